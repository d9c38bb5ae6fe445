#!/usr/bin/perl
# The wall clock goes wrong and is put right: what it may and may not do to limits. See CLOCK in
# policyd-ratelimit(8), whose promises these are.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use POSIX qw(mktime strftime);
use Test::More;
use RateTest qw(run);

my $long  = $ENV{RATELIMIT_LONG};
my $start = 1_700_006_400;    # 2023-11-15 00:00 UTC
my $years = 5 * 365 * 86400;

sub limiter {
    my ($strategy, $limit, $more) = @_;
    return RateTest->new(
        rules => "[rule r]\nkey = sasl_username\nlimit = $limit\nstrategy = $strategy\n"
            . ($more // ''),
        global => {log => 'denied'});
}

# Asks until denied; how many passed.
sub fill {
    my ($helper, $user) = @_;
    my $passed = 0;
    $passed++ while ($helper->ask(sasl_username => $user // 'u') // '') eq 'DUNNO';
    return $passed;
}

# Random walks: time goes on by a little or by a lot, and the clock is set back now and then, or
# also forward. `true` time is what a right clock would show. A stretch of a window's length
# never has more than the limit, and once more for each step forward within it; of a fixed
# window, whose end may lie in the stretch, once more for that, and for a step back by more
# than 1/12 of it. Nobody is denied for longer than a window and its coarseness after his
# first try since the last step.
sub walk {
    my ($strategy, $resolution, $forward, $seed) = @_;
    my $name = "$strategy $resolution" . ($forward ? ', forward too' : '') . ", seed $seed";
    srand $seed;
    my @windows = ([6, 3600], [15, 10800]);
    my $t =
        limiter($strategy, '6/hour, 15/3 hours', $resolution ? "resolution = $resolution\n" : '');
    my $coarse =
          $strategy eq 'sliding-window' ? 1 + 1 / $resolution
        : $strategy eq 'fixed-window' ? 1 + 1 / 12
        : 1;
    my ($true, $offset, $since) = ($start, 0, $start);
    $t->set_clock($true);
    my $helper = $t->helper;
    my (@passed, @steps, @over, @locked);
    for my $n (1 .. ($long ? 6000 : 600)) {
        $true += rand() < 0.1 ? int rand 9000 : int rand 400;
        if (rand() < 0.08) {
            my @by = (1, 1 + int rand 300, int rand 4000, int rand 20000, 86400 * int rand 50);
            my $by = -$by[rand @by];
            if ($forward && rand() < 0.5) {
                # Far ahead, or back to the right time again.
                $by = $offset > 86400 ? -$offset : rand() < 0.5 ? $years : -$by;
            }
            $offset += $by;
            push @steps, [$true, $by];
            undef $since;
        }
        $t->set_clock($true + $offset);
        $since //= $true;
        my $tries = 1 + int rand 3;
        while ($tries--) {
            if ($helper->ask(sasl_username => 'u') eq 'DUNNO') {
                push @passed, $true;
                $since = $true;
            } elsif ($true - $since > 10800 * $coarse + 1) {
                push @locked, "$n: for " . ($true - $since);
            }
        }
        for my $window (@windows) {
            my ($limit, $length) = @$window;
            my $times = 1 + grep { $_->[0] > $true - $length && $_->[1] > 0 } @steps;
            if ($strategy eq 'fixed-window') {
                # The shortest window counts: one record has them all.
                $times += 1 + grep { $_->[0] > $true - $length && -$_->[1] > 300 } @steps;
                $times += 3600 / 300 if grep { $_->[0] > $true - $length && -$_->[1] > 300 } @steps;
            }
            my $got = grep { $_ > $true - $length } @passed;
            push @over, "$n: $got in $length" if $got > $limit * $times;
        }
    }
    is("@over[0 .. ($#over < 2 ? $#over : 2)]", '', "$name: no stretch has more than it may");
    is("@locked[0 .. ($#locked < 2 ? $#locked : 2)]", '', "$name: nobody is locked out");
    cmp_ok(scalar @passed, '>', 100, "$name: enough passed for this to mean something");
    unlike($t->log_text, qr/status=error|try again in (?:\d+d|never|[2-9]\dh)/,
        "$name: the answers make sense");
    return;
}

for my $case (
    ['sliding-window', 12], ['sliding-window', 1], ['sliding-window', 60], ['moving-window', 0],
    ['fixed-window', 0]) {
    walk(@$case, $_, 20261120 + $case->[1] + $_) for 0, 1;
}

subtest 'far ahead for ten minutes, then right again' => sub {
    for my $strategy (qw(sliding-window moving-window fixed-window)) {
        for my $ahead (3600, 2 * 86400, $years) {
            my $t = limiter($strategy, '5/hour, 9/day');
            $t->set_clock($start);
            my $helper = $t->helper;
            is(fill($helper), 5);
            $t->set_clock($start + $ahead);
            is(fill($helper), $ahead == 3600 ? ($strategy eq 'sliding-window' ? 0 : 4) : 5,
                "$strategy, ahead by $ahead s: what is older than its window has left it");
            $t->set_clock($start + 600);
            my (undef, @rows) = $t->show;
            my @waits = grep {defined} map { $_->{retry_after} } @rows;
            is(scalar(grep { $_ > 86400 * 13 / 12 } @waits), 0,
                "set right: show waits for no more than a window (@waits)");
            my (undef, $table) = $t->ctl('show');
            unlike($table, qr/\b(?:[2-9]\d|\d{3,})d\b/,
                'nor does its table know anything of years');
            is(fill($t->helper), 0, 'what was counted is not forgotten');
            $t->set_clock($start + 600 + 86400 * 13 / 12);
            is(fill($helper), 5, 'a window later all is there again');
        }
    }
};

subtest 'a counter that lies ahead is set right by the first request, even a denied one' => sub {
    for my $strategy (qw(sliding-window moving-window fixed-window)) {
        my $t = RateTest->new(rules => "[rule short]\nkey = everything\nlimit = 5/hour\n"
                . "[rule long]\nkey = everything\nlimit = 5/2 hours\nstrategy = $strategy\n");
        $t->set_clock($start + $years);
        my $helper = $t->helper;
        is(fill($helper), 5);
        my $now = $start + 70 * 60;
        for my $minutes (0, 30, 64, 90, 119) {
            $t->set_clock($now + $minutes * 60);
            $helper->ask;
        }
        $t->set_clock($now + 131 * 60);
        is($helper->ask, 'DUNNO', "$strategy: a window after the first try there is room");
    }
};

subtest 'a leap second, and other small steps back, at the end of a window' => sub {
    for my $strategy (qw(sliding-window moving-window fixed-window)) {
        for my $back (1, 10, 3600) {
            my $t = limiter($strategy, '5/day');
            my $midnight = $start + 86400;
            $t->set_clock($midnight - 1);
            my $helper = $t->helper;
            my @got = fill($helper);
            for my $clock ($midnight, $midnight - $back, $midnight, $midnight + 86400 - $back - 61,
                $midnight + 86400 - $back - 1) {
                $t->set_clock($clock);
                push @got, fill($helper);
            }
            $t->set_clock($midnight + 86400 + 7300);
            push @got, fill($helper);
            is("@got", $strategy eq 'fixed-window' ? '5 5 0 0 0 0 5' : '5 0 0 0 0 0 5',
                "$strategy: back by $back s, no limit passes twice");
        }
    }
};

# The calendar window of a limit that a moment is in, by the clock on the wall.
sub wall {
    my ($unit, $seconds) = @_;
    my @local = localtime $seconds;
    return strftime('%F', @local) . ($unit eq 'day' ? '' : " $local[2] $local[8]");
}

subtest 'daylight saving time' => sub {
    my @changes = (
        ['Europe/Berlin',    '2026-03-29', 23], ['Europe/Berlin',    '2026-10-25', 25],
        ['America/New_York', '2026-03-08', 23], ['America/New_York', '2026-11-01', 25],
    );
    for my $change (@changes) {
        my ($zone, $date, $hours) = @$change;
        local $ENV{TZ} = $zone;
        POSIX::tzset();
        my ($y, $m, $d) = split /-/, $date;
        my @midnight = map { mktime(0, 0, 0, $d + $_, $m - 1, $y - 1900, 0, 0, -1) } -1 .. 2;
        is(($midnight[2] - $midnight[1]) / 3600, $hours, "$zone $date has $hours hours");
        for my $limit ('3/hour', '20/day') {
            my ($count, $unit) = split m{/}, $limit;
            my $t = limiter('fixed-window', $limit);
            $t->set_clock($midnight[0]);
            my $helper = $t->helper;
            my (%got, %expected);
            for (my $now = $midnight[0]; $now < $midnight[3]; $now += 900) {
                $t->set_clock($now);
                $got{wall($unit, $now)} += fill($helper);
                $expected{wall($unit, $now)} = $count;
            }
            is_deeply(\%got, \%expected,
                "$zone $date: each $unit has its $count, no more and no less");
        }
        for my $strategy (qw(sliding-window moving-window)) {
            my %passed;
            for my $where ($zone, 'UTC') {
                local $ENV{TZ} = $where;
                my $t = limiter($strategy, '7/2 hours, 20/day');
                $t->set_clock($midnight[0]);
                my $helper = $t->helper;
                for (my $now = $midnight[0]; $now < $midnight[3]; $now += 1300) {
                    $t->set_clock($now);
                    $passed{$where} .= $helper->ask(sasl_username => 'u') eq 'DUNNO' ? 1 : 0;
                }
            }
            is($passed{$zone}, $passed{UTC}, "$zone $date: does not matter to a $strategy");
        }
    }
    POSIX::tzset();
};

subtest 'fixed windows of more than one hour, day or week' => sub {
    local $ENV{TZ} = 'Europe/Berlin';
    POSIX::tzset();
    my $from = mktime(0, 0, 0, 1, 2, 126);
    for my $case (['4/2 hours', 1800, 14], ['9/6 hours', 3600, 40], ['4/2 days', 7200, 40],
        ['5/2 weeks', 43200, 90])
    {
        my ($limit, $tick, $days) = @$case;
        my ($count) = $limit =~ /(\d+)/;
        my $t = limiter('fixed-window', $limit);
        $t->set_clock($from);
        my $helper = $t->helper;
        my @passed;
        for (my $now = $from; $now < $from + $days * 86400; $now += $tick) {
            $t->set_clock($now);
            push @passed, [$now, $_] if $_ = fill($helper);
        }
        is(scalar(grep { $_->[1] != $count } @passed), 0, "$limit: comes back whole");
        my ($n, $unit) = $limit =~ m{/(\d+) (\w+)s};
        my $length = $n * {hour => 3600, day => 86400, week => 604800}->{$unit};
        my @short =
            grep { abs($passed[$_ + 1][0] - $passed[$_][0] - $length) > 3600 } 1 .. $#passed - 1;
        is("@short", '', 'each window has its length, but for the hour of the change');
    }
    POSIX::tzset();
};

subtest 'what came while the clock was ahead goes at the next compactions' => sub {
    for my $strategy (qw(sliding-window moving-window fixed-window)) {
        my $t = limiter($strategy, '3/hour');
        $t->set_clock($start + $years);
        my $helper = $t->helper;
        $helper->ask(sasl_username => "k$_") for 1 .. 20;
        fill($helper, 'full');
        $t->set_clock($start);
        like(($t->ctl('clean'))[1], qr/^21 records kept, 0 expired/,
            "$strategy: nothing is forgotten");
        is(fill($helper, 'full'), 0, 'and nothing lifted');
        is(fill($helper, 'k1'), 2);
        $t->set_clock($start + 3600 + 301);
        like(($t->ctl('clean'))[1], qr/^2 records kept, 19 expired/,
            'a window later they go; not the denied one');
        $t->set_clock($start + 8 * 86400);
        like(($t->ctl('clean'))[1], qr/^0 records kept, 2 expired/, 'which go after their 7 days');
    }
};

subtest 'the file goes on being compacted' => sub {
    my $t = limiter('sliding-window', '3/hour');
    $t->set_clock($start + $years);
    my $helper = $t->helper;
    $helper->ask(sasl_username => "k$_") for 1 .. 2500;
    like($t->records->{':meta'}, qr/compacted=${\ ($start + $years)}\.000 /,
        'a first time');
    $t->set_clock($start);
    $helper->ask(sasl_username => "l$_") for 1 .. 2500;
    like($t->records->{':meta'}, qr/compacted=${start}\.000 /,
        'though that lies years ahead');
    my $size = -s $t->{database};
    for my $round (1 .. 4) {
        $t->set_clock($start + $round * 8000);
        $helper->ask(sasl_username => "m$round.$_") for 1 .. 2500;
    }
    cmp_ok(-s $t->{database}, '<', 2.5 * $size, 'and stops growing');
};

subtest 'what is set and granted for a while' => sub {
    my $t = limiter('sliding-window', '3/hour');
    $t->set_clock($start);
    my $helper = $t->helper;
    is(($t->ctl('grant', '--for', '2h', '--force', 'r', 'u', '+4'))[0], 0);
    is(fill($helper), 7);
    is(($t->ctl('set', '--for', '2h', 'r', 'v', '1/hour'))[0], 0);
    is(fill($helper, 'v'), 1);
    # The compaction that is due after transactions, so that none comes while the clock is ahead.
    $t->set_clock($start + 60);
    is($helper->ask(sasl_username => 'w'), 'DUNNO') for 1 .. 2;
    $t->set_clock($start + 86400);
    is(fill($helper, $_), 3, 'is over when the clock is ahead') for qw(u v);
    $t->set_clock($start + 3600 + 301);
    $helper->ask(sasl_username => $_) for qw(u v);
    $t->set_clock($start + 2 * 3600 - 10);
    is(($t->ctl('limits', '--json'))[1] =~ tr/{//, 2, 'and there again when it is right');
    is(fill($helper), 3, 'a grant, of which four are used');
    is(fill($helper, 'v'), 0, 'and a lower limit, also for the helper');
    $t->set_clock($start + 86400);
    is(($t->ctl('clean'))[0], 0);
    $t->set_clock($start + 2 * 3600 - 10);
    unlike(($t->ctl('limits', '--json'))[1], qr/[{]/, 'unless the file was compacted meanwhile');
    is(fill($helper, 'v'), 0);
};

done_testing;
