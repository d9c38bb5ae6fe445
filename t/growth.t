#!/usr/bin/perl
# A flood of ever new keys: the file keeps within database_max_size, keys that are known are
# judged as ever, and the space comes back as keys expire, without anybody's doing. 30,000 keys,
# in `make check-long` 1,000,000 with a file that holds them all and with one that does not.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(result_of start_process);

my $start     = 1_700_006_400;
my $processes = 3;

# Asks once for each of many new keys, in a process of its own; how many got DUNNO, and what
# else was answered.
sub flood {
    my ($t, $name, $count) = @_;
    return start_process(sub {
        my $helper = $t->helper;
        my %answers;
        for (my $n = 0; $n < $count; $n += 100) {
            my @keys = map {"$name.$_"} $n .. $n + 99;
            $helper->write(join '',
                map { RateTest::Helper::request(sasl_username => $_, instance => $_) } @keys);
            $answers{$helper->answer(120) // 'none'}++ for 1 .. 100;
        }
        my (undef, $status) = $helper->finish;
        return join "\t", $status, %answers;
    });
}

# Floods from several processes at once, and what is asked meanwhile, until they are done.
sub flood_and {
    my ($t, $name, $count, $meanwhile) = @_;
    my @floods = map { flood($t, "$name$_", $count / $processes) } 1 .. $processes;
    my %answers;
    for my $flood (@floods) {
        my $wanted = '';
        vec($wanted, fileno $flood->{result}, 1) = 1;
        $meanwhile->() until select my $ready = $wanted, undef, undef, 0.01;
        my ($status, %own) = split /\t/, result_of($flood);
        is($status, 0, 'a helper ends well');
        $answers{$_} += $own{$_} for keys %own;
    }
    return \%answers;
}

sub run_case {
    my ($keys, $max_size, $fits) = @_;
    my $t = RateTest->new(
        rules  => "[rule user]\nkey = sasl_username\nlimit = 5/hour\n",
        global => {
            log => 'none', on_error => 'WARN trouble', database_max_size => $max_size,
            lock_timeout => '60s'
        });
    my ($number, $unit) = $max_size =~ /^(\d+)([KM])$/;
    my $max = $number * {K => 1 << 10, M => 1 << 20}->{$unit};
    $t->set_clock($start);
    my $judge = $t->helper;
    my $ask = sub { $judge->ask(sasl_username => $_[0]) // 'none' };
    # Some stand right before their limit, some at it.
    for my $n (1 .. 50) {
        $ask->("near$n") for 1 .. 4;
        $ask->("over$n") for 1 .. 5;
    }
    my ($largest, $asked, @wrong) = (0, 0);
    my $meanwhile = sub {
        my $size = -s $t->{database} // 0;
        $largest = $size if $size > $largest;
        my $answer = $ask->('over' . (1 + $asked++ % 50));
        push @wrong, $answer
            if $answer !~ m{^DEFER_IF_PERMIT 4\.7\.1 Limit of 5/hour reached for over};
    };
    my $answers = flood_and($t, 'first', $keys, $meanwhile);
    my $passed  = $answers->{DUNNO} // 0;
    note "$keys keys in $max_size: $passed went in, the file had up to $largest bytes; ",
        "$asked requests meanwhile";
    is_deeply([grep { !/^(?:DUNNO|WARN trouble)$/ } keys %$answers], [],
        'a new key gets in, or on_error');
    $fits
        ? is($passed, $keys, 'all went in')
        : cmp_ok($passed, '<', $keys, "$passed went in, then it was full");
    cmp_ok($passed, '>', 100, 'but many');
    is("@wrong", '', 'who is over the limit stays so meanwhile');
    $meanwhile->();
    cmp_ok($largest, '<=', $max, "the file keeps within $max_size");
    is(
        join(' ', map { substr $ask->("near$_->[0]"), 0, 5 } map { [$_], [$_] } 1 .. 50),
        join(' ', ('DUNNO DEFER') x 50),
        'who was right before it has exactly one more');
    # All but the known ones expire.
    $t->set_clock($start + 3600 + 301);
    my $again = flood_and($t, 'second', $fits ? $keys : 500 * int($passed / 250), sub { });
    # Requests until the end of the compaction that makes room are answered on_error.
    cmp_ok($again->{DUNNO} // 0, '>=', $passed * 0.5, 'the space comes back as keys expire');
    cmp_ok($again->{'WARN trouble'} // 0, '<=', 2 * $processes, 'at once') if $fits;
    cmp_ok(-s $t->{database}, '<=', $max, "the file keeps within $max_size");
    $t->set_clock($start + 9 * 86400);
    my $size = -s $t->{database};
    # New keys until the file is full and is compacted: what expired goes.
    my ($inode, $n, $until) = ((stat $t->{database})[1], 0, time + 30);
    $ask->('room' . $n++) while time < $until && (stat $t->{database})[1] == $inode;
    my $few = flood_and($t, 'third', 60, sub { });
    cmp_ok($few->{DUNNO} // 0, '>=', 50, 'there is room again') if !$fits;
    cmp_ok(-s $t->{database}, '<', $size / 4, 'and the file is small again when few are left')
        if !$fits;
    my (undef, @rows) = $t->show;
    cmp_ok(scalar(grep { $_->{key} =~ /^third/ } @rows), '>=', 50, 'with these few');
    return;
}

my @cases = $ENV{RATELIMIT_LONG}
    ? ([30_000, '2M', 0], [999_900, '1000M', 1], [999_900, '256M', 0])
    : ([30_000, '2M', 0], [9_000, '64M', 1]);
for my $case (@cases) {
    subtest "$case->[0] keys, $case->[1]" => sub { run_case(@$case) };
}

done_testing;
