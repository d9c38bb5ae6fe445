#!/usr/bin/perl
# The counter file as a crash of the machine may leave it, pages of two moments mixed: the first
# helper after the boot finds out, and no counter is above what was charged.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use RateTest qw(run slurp spew);

my $cases = $ENV{RATELIMIT_LONG} ? 1000 : 60;
my $seed  = $ENV{POWER_SEED} // int(time) ^ $$;
my $page  = 4096;
my $long  = 'long' . 'x' x 300;
my @keys  = ('heavy', $long, map {"user$_"} 1 .. 20);

my @windows = ('1000/hour', '1000/hour, 5000/day', '1000/hour, 5000/day, 9000/week');

# The windows of the first rule; a change of them resizes its records, in transactions.
sub rules {
    my ($windows) = @_;
    return <<"END";
[rule slide]
key = sasl_username
limit = $windows
[rule fix]
key = sasl_username
strategy = fixed-window
limit = 5000/day
[rule move]
key = sasl_username
strategy = moving-window
limit = 400/day
[rule octets]
key = sasl_username
count = bytes
limit = 1G/week
[rule all]
key = everything
limit = 1G/day
END
}

my $t = RateTest->new(rules => rules($windows[0]));

sub configure {
    my ($windows) = @_;
    $t->configure(rules => rules($windows),
        global => {on_error => 'WARN trouble', log => 'denied'});
    return;
}

# One request each, sent at once; the answers that are not DUNNO. Adds to charged what was answered.
my $requests = 0;
sub ask_all {
    my ($helper, $charged, @users) = @_;
    my @wrong;
    while (my @some = splice @users, 0, 40) {
        $helper->write(join '', map {
            RateTest::Helper::request(protocol_state => 'END-OF-MESSAGE', recipient_count => 1,
                sasl_username => $_, size => 1000, instance => "i$$." . ++$requests)
        } @some);
        for my $user (@some) {
            my $answer = $helper->answer(20) // 'none';
            push @wrong, "$user: $answer" if $answer ne 'DUNNO';
            last if $answer eq 'none';
            my $key = substr $user, 0, 150;
            $charged->{"$_:$key"}++ for qw(slide fix move);
            $charged->{"octets:$key"} += 1000;
            $charged->{'all:everything'}++;
        }
    }
    return @wrong;
}

# What show says besides rows ('0': all is well), and the counters: the highest of the windows
# of each.
sub used {
    my ($shown, @rows) = $t->show;
    my %used;
    for my $row (@rows) {
        my $key = "$row->{rule}:" . substr $row->{key}, 0, 150;
        $used{$key} = $row->{used} if $row->{used} > ($used{$key} // 0);
    }
    return ($shown, \%used);
}

# The file at one moment: its bytes, what was charged by then, and which file it was.
sub moment {
    my ($charged) = @_;
    return {bytes => slurp($t->{database}), charged => {%$charged},
        inode => (stat $t->{database})[1]};
}

# A run with traffic: every kind of change comes between two moments.
sub record_moments {
    my %charged;
    my @moments;
    my @wrong;
    configure($windows[0]);
    my $helper = $t->helper;
    push @wrong, ask_all($helper, \%charged, @keys, ('heavy') x 120);
    push @moments, moment(\%charged);
    for my $round (1 .. 12) {
        if ($round % 4 == 1) {
            is(($t->ctl('set', 'slide', "user$round", '2000/hour, 3000/day'))[0], 0,
                'an exception');
            my @grant = $t->ctl(qw(grant --for 1d fix user2 +50));
            is("@grant[0, 2]", "0 ", "a grant");
        } elsif ($round % 4 == 2) {
            $helper->finish;
            configure($windows[$round / 4 % 2 + 1]);
            $helper = $t->helper;
        }
        my @new = $round % 4 == 3 ? map {"new$round.$_"} 1 .. 8 : ();
        push @wrong, ask_all($helper, \%charged, @new, map { $keys[rand @keys] } 1 .. 30 + rand 40);
        push @wrong, ask_all($helper, \%charged, ('heavy') x rand 30) if $round % 2;
        push @moments, moment(\%charged);
    }
    $helper->finish;
    is_deeply(\@wrong, [], 'the run itself: every request is answered DUNNO');
    return \@moments;
}

# The pages of two moments: each from one of them, as likely as share says.
sub mix {
    my ($first, $second, $share) = @_;
    my $length = length((rand() < 0.5 ? $first : $second)->{bytes});
    my $mixed = '';
    for (my $at = 0; $at < $length; $at += $page) {
        my $bytes = (rand() < $share ? $second : $first)->{bytes};
        my $piece = $at < length $bytes ? substr $bytes, $at, $page : '';
        # Behind the end of the shorter file there was nothing yet.
        $mixed .= $piece . "\0" x ($page - length $piece);
    }
    return substr $mixed, 0, $length;
}

# As if it had been written before the machine was started.
sub other_boot {
    my ($bytes) = @_;
    return $bytes
        =~ s/(:meta2 secret=[^|]{0,100}? boot=)([0-9a-f])/$1 . ($2 eq '7' ? '5' : '7')/ger;
}

sub put_file {
    my ($bytes) = @_;
    unlink glob("$t->{database}*"), $t->{logfile};
    spew($t->{database}, $bytes);
    return;
}

my $saved = qr/: \d+ records were saved into a new file, \d+ are damaged/;

# What is wrong after one case; nothing if all is as promised.
sub problems {
    my ($second, $sums) = @_;
    my %charged = %{$second->{charged}};
    my (undef, $check) = run('timeout', 20, 'tdbtool', "$t->{dir}/copy", 'check');
    my $sound = $check =~ /integrity is OK/;
    my $helper = $t->helper;
    my @problems = ask_all($helper, \%charged, @keys, 'after');
    my ($rest, $status) = $helper->finish;
    push @problems, "exit status $status" if $status ne '0';
    push @problems, "stray output $rest"  if $rest ne '';
    my ($shown, $used) = used();
    push @problems, "ctl show: $shown" if $shown ne '0';
    push @problems, map {"$_: $used->{$_} of " . ($charged{$_} // 0)}
        grep { $used->{$_} > ($charged{$_} // 0) } sort keys %$used;
    my $rescues = () = $t->log_text =~ /$saved/g;
    push @problems, "not found out: $check" if !$sound && !$rescues;
    push @problems, 'rescued more than once: ' . $t->log_text if $rescues > 1;
    push @problems, 'no file is kept' if $rescues && 1 != (() = glob "$t->{database}.damaged-*");
    $sums->{$rescues ? 'rescued' : 'sound'}++;
    $sums->{counters} += keys %charged;
    $sums->{gone} += grep { !$used->{$_} } keys %charged;
    $sums->{lower} += grep { $used->{$_} && $used->{$_} < $charged{$_} } keys %charged;
    return @problems;
}

diag("seed $seed") if $ENV{RATELIMIT_LONG};
note("seed $seed: POWER_SEED=$seed does the same again");
srand $seed;
my $moments = record_moments();
# A compaction makes another file: a crash never mixes pages of two.
my @pairs = grep { $moments->[$_->[0]]{inode} == $moments->[$_->[1]]{inode} }
    map { my $j = $_; map { [$_, $j] } 0 .. $j } 0 .. $#$moments;
ok((grep { length $moments->[$_->[0]]{bytes} < length $moments->[$_->[1]]{bytes} } @pairs),
    'the file grew');

subtest 'a file that is sound is only marked' => sub {
    put_file(other_boot($moments->[-1]{bytes}));
    my $was = (stat $t->{database})[1];
    my (undef, $before) = used();
    my $helper = $t->helper;
    my %sent;
    is_deeply([ask_all($helper, \%sent, 'user1')], [], 'a request');
    my (undef, $after) = used();
    $before->{$_} += $sent{$_} for keys %sent;
    is_deeply($after, $before, 'every counter is there');
    is_deeply($after, {map { $_ => $moments->[-1]{charged}{$_} + ($sent{$_} // 0) } keys %$after},
        'as it was charged');
    is((stat $t->{database})[1], $was, 'in the same file');
    is_deeply([glob "$t->{database}*"], [$t->{database}], 'nothing beside it');
    is($t->log_text, '', 'without a word in the log');
    my ($old)  = $moments->[-1]{bytes} =~ /:meta2 secret=.*? (boot=\w+)/;
    my ($meta) = slurp($t->{database}) =~ /:meta2 secret=.*? (boot=\w+)/;
    is($meta, $old, 'which now is of this boot');
};

subtest 'a file without its record :meta' => sub {
    my $bytes = $moments->[-1]{bytes};
    $bytes =~ s/:meta2 secret=/:mexx2 secret=/g;
    put_file($bytes);
    my %sent = %{$moments->[-1]{charged}};
    my $helper = $t->helper;
    is_deeply([ask_all($helper, \%sent, 'user1')], [], 'a request');
    $helper->finish;
    is(scalar(() = $t->log_text =~ /it has no record :meta$saved/g), 1, 'is found out')
        or diag $t->log_text;
    my (undef, $after) = used();
    is_deeply(
        {map { $_ => $after->{$_} } grep { !/:long/ } keys %sent},
        {map { $_ => $sent{$_} } grep { !/:long/ } keys %sent},
        'and every counter saved');
};

my (%sums, @broken);
my $start = time;
for my $case (1 .. $cases) {
    my ($i, $j) = @{$pairs[rand @pairs]};
    my $mixed = other_boot(mix($moments->[$i], $moments->[$j], (0.5, 0.5, 0.05, 0.95)[rand 4]));
    put_file($mixed);
    spew("$t->{dir}/copy", $mixed);
    my @problems = problems($moments->[$j], \%sums);
    push @broken, "case $case, moments $i and $j: @problems" if @problems;
    if (@problems && @broken == 1 && $ENV{POWER_KEEP}) {
        spew($ENV{POWER_KEEP}, $mixed);
    }
}
is_deeply([splice @broken, 0, 5], [], "$cases cases") or diag("POWER_SEED=$seed shows it again");
my $line =
    sprintf '%d cases in %.0f s: %d sound, %d rescued; of %d counters %d are gone, %d lower',
    $cases, time - $start, map { $sums{$_} // 0 } qw(sound rescued counters gone lower);
$ENV{RATELIMIT_LONG} ? diag($line) : note($line);
cmp_ok($sums{rescued} // 0, '>', $cases / 4, 'many were found out');

done_testing;
