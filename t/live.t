#!/usr/bin/perl
# The configuration is edited again and again, in all the ways in which people do that, while
# helpers work: every request is answered, out of one whole version of the file.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use RateTest qw(spew);

my $seed = $ENV{SEED} // time ^ $$ << 8;
srand $seed;
note "SEED=$seed";

my $edits = 30;
my $t     = RateTest->new;
my $file  = $t->{config};

# Every answer of a version says which one it is: that of the first rule, of the last one, and
# that of no rule, which stands at the top.
my $padding = join '', map { "# " . '-' x 76 . "\n" } 1 .. 30;

sub version {
    my ($n) = @_;
    my $user = getpwuid $>;
    return sprintf <<"END", ($n) x 4;
# version %04d
[global]
database = $t->{database}
state_directory = $t->{dir}
user = $user
log = none
success_action = WARN version %04d none
on_error = WARN on_error
$padding
[rule first]
key = sasl_username
match = sasl_username = first
limit = deny
action = REJECT version %04d first
$padding
[rule counted]
key = sasl_username
limit = 1000000/hour
$padding
[rule last]
key = sasl_username
match = sasl_username = last
limit = deny
action = REJECT version %04d last
END
}

# The same with a mistake in it.
sub bad_version {
    my ($n) = @_;
    my $text = version($n);
    my @mistakes = (
        sub { $text =~ s/limit = 1000000/limits = 1000000/ },
        sub { $text =~ s/\[rule last\]/[rule last/ },
        sub { $text =~ s/deny\naction = REJECT (\S+ \S+) last/deny\naction = REJCT $1 last/ },
        sub { $text .= "[rule first]\n" },
        sub { $text .= "limit = 5/hour\n" },
    );
    $mistakes[rand @mistakes]->();
    return $text;
}

my @words = qw(first none last);
my @helpers;
my $newest   = 0;    # the last good version that was whole in the file
my $requests = 0;
my $answers  = 0;
my %wrong;

sub start {
    my $helper = $t->helper;
    push @helpers, {helper => $helper, seen => -1, word => ''};
    ask($helpers[-1]);
    return $helpers[-1];
}

sub ask {
    my ($one) = @_;
    $one->{word} = $words[$requests++ % @words];
    $one->{helper}->write(RateTest::Helper::request(
        sasl_username => $one->{word}, instance => "i$requests"));
    return;
}

sub take {
    my ($one, $action) = @_;
    $answers++;
    my ($version, $word) = $action =~ /^(?:REJECT|WARN) version (\d{4}) (\w+)$/;
    if (!defined $version) {
        $wrong{"answer '$action' of a helper that has seen $one->{seen}"}++;
        return;
    }
    $wrong{"an answer for '$word' to a request for '$one->{word}', version $version"}++
        if $word ne $one->{word};
    $wrong{"version $version after $one->{seen}"}++ if $version < $one->{seen};
    $wrong{"version $version, which was never whole; $newest is the newest"}++
        if $version > $newest;
    $one->{seen} = $version;
    return;
}

# Lets all helpers work for some time, or until a condition holds; false if it did not.
sub work {
    my ($seconds, $condition) = @_;
    my $end = time + $seconds;
    while (time < $end) {
        return 1 if $condition && $condition->();
        my $wanted = '';
        vec($wanted, fileno $_->{helper}{socket}, 1) = 1 for @helpers;
        my $left = $end - time;
        select my $ready = $wanted, undef, undef, $left > 0.02 ? 0.02 : $left > 0 ? $left : 0;
        for my $one (@helpers) {
            my $helper = $one->{helper};
            next if !vec $ready, fileno $helper->{socket}, 1;
            if (!sysread $helper->{socket}, $helper->{buffer}, 65536, length $helper->{buffer}) {
                die "a helper has ended\n";
            }
            next if $helper->{buffer} !~ s/\A(.*?)\n\n//s;
            take($one, $1 =~ /\Aaction=([^\n]*)\z/ ? $1 : "malformed: $1");
            $wrong{'two answers to one request'}++ if length $helper->{buffer};
            ask($one);
        }
    }
    return $condition ? $condition->() : 1;
}

sub between { my ($low, $high) = @_; return $low + rand $high - $low }

# Writes by renaming into place.
sub replace {
    my ($text) = @_;
    spew("$file.new", $text);
    rename "$file.new", $file or die $!;
    return;
}

# Writes in place, in two halves, the helpers at work between them; from nothing, or over what
# is there. A file that did not change for 0.3 s counts as whole: on a machine with too much else
# to do this may take longer.
my $longest = 0;

sub overwrite {
    my ($text, $truncate, $good) = @_;
    my $cut = int between(1, length($text) - 1);
    open my $fh, $truncate ? '>' : '+<', $file or die $!;
    my $began = time;
    syswrite $fh, substr $text, 0, $cut;
    # One that starts meanwhile sees that the end of the file is missing.
    my $born =
        $truncate && $good && substr($text, $cut - 1, 1) ne "\n" && rand() < 0.3 ? start() : undef;
    work($born ? between(0.01, 0.1) : between(0.01, 0.2));
    syswrite $fh, substr $text, $cut;
    truncate $fh, length $text;
    close $fh or die $!;
    my $took = time - $began;
    $longest = $took if $took > $longest;
    return $born;
}

replace(version(0));
start() for 1 .. 4;
work(5, sub { !grep { $_->{seen} < 0 } @helpers });

my ($late, $waited, $slowest) = (0, 0, 0);
for my $n (1 .. $edits) {
    my $good = rand() < 0.7;
    my $text = $good ? version($n) : bad_version($n);
    my $way  = int rand 3;
    if ($way == 0) {
        $newest = $n if $good;
        replace($text);
    } else {
        my $born = overwrite($text, $way == 1, $good);
        $newest = $n if $good;
        # It reads the file as it starts, settled or not: let it finish before the next edit.
        work(5, sub { $born->{seen} >= 0 }) if $born;
    }
    my $whole = time;
    if ($good && rand() < 0.5) {
        $waited++;
        $late++ if !work(1, sub { !grep { $_->{seen} < $n } @helpers });
        my $took = time - $whole;
        $slowest = $took if $took > $slowest;
    } else {
        work(between(0, 0.45));
    }
    # As Postfix does, some go and others come.
    if (@helpers > 4) {
        my $one = shift @helpers;
        my ($rest, $status) = $one->{helper}->finish;
        $wrong{"status $status"}++ if $status ne '0';
        if ($rest =~ /\Aaction=([^\n]*)\n\n\z/) {
            take($one, $1);
        } else {
            $wrong{"'$rest' at the end"}++;
        }
    }
}
# The last good one is in force everywhere in the end.
replace(version($edits + 1));
$newest = $edits + 1;
ok(
    work(
        1,
        sub {
            !grep { $_->{seen} < $newest } @helpers
        }
    ),
    'the last version is taken up within a second'
);
is($late, 0, "each version that was left alone is taken up within a second, $waited times")
    or diag "slowest: $slowest s";
note sprintf '%d requests, %d helpers at the end, slowest %.3f s', $requests, scalar @helpers,
    $slowest;
for my $one (@helpers) {
    my ($rest, $status) = $one->{helper}->finish;
    is($status, 0, 'a helper ends well');
    like($rest, qr/\Aaction=[^\n]*\n\n\z/, 'with an answer to its last request');
    $answers++;
}
is($answers, $requests, 'every request was answered once');
SKIP: {
    skip sprintf('a file was half written for %.2f s', $longest), 1 if %wrong && $longest > 0.28;
    is_deeply(\%wrong, {}, 'and each answer is of one whole version') or diag "SEED=$seed";
}
cmp_ok($requests, '>', 2000, 'this was under load');

done_testing;
