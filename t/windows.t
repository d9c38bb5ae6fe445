#!/usr/bin/perl
# The windows of the three strategies, driven through helpers with a moved clock.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use POSIX qw(mktime);
use RateTest;

# Asks until denied; how many passed.
sub fill {
    my ($helper) = @_;
    my $passed = 0;
    $passed++ while ($helper->ask // '') eq 'DUNNO';
    return $passed;
}

sub limiter {
    my ($strategy, $limit, $more) = @_;
    return RateTest->new(
        rules => "[rule r]\nkey = everything\nlimit = $limit\nstrategy = $strategy\n"
            . ($more // ''));
}

# A random walk of the clock, against a log of what passed.
for my $case (['sliding-window', 12], ['sliding-window', 1], ['sliding-window', 60],
    ['moving-window', 0])
{
    my ($strategy, $resolution) = @$case;
    my $seed = 20261120 + $resolution;
    srand $seed;
    note "seed $seed";
    my $t =
        limiter($strategy, '10/hour, 25/3 hours', $resolution ? "resolution = $resolution\n" : '');
    my $now = 1_700_000_000;
    $t->set_clock($now);
    my $helper = $t->helper;
    my (@passed, @over, @late);
    for my $step (1 .. 600) {
        $now += rand() < 0.1 ? int rand 9000 : int rand 400;
        $t->set_clock($now);
        my $answer = $helper->ask;
        my $exact = 1;
        my $slack = 1;    # as an exact log that is length/resolution longer would judge
        for my $window ([10, 3600], [25, 10800]) {
            my ($limit, $length) = @$window;
            my $more = $resolution ? $length / $resolution : 0;
            $exact = 0 if grep({ $_ > $now - $length } @passed) >= $limit;
            $slack = 0 if grep({ $_ > $now - $length - $more } @passed) >= $limit;
        }
        push @over, $step if $answer eq 'DUNNO' && !$exact;
        push @late, $step if $answer ne 'DUNNO' && $slack;
        push @passed, $now if $answer eq 'DUNNO';
    }
    is_deeply(\@over, [], "$strategy $resolution: never more than the limit in any stretch");
    is_deeply(\@late, [], "$strategy $resolution: no denial longer than it may last");
    cmp_ok(scalar @passed, '>', 100, 'enough passed for this to mean something');
}

subtest 'fixed-window: calendar windows in local time' => sub {
    my @cases = (
        # zone, limit, fill at, one second before the window's end, its end
        ['UTC', '3/minute', '2026-03-10 10:15:07', '2026-03-10 10:15:59', '2026-03-10 10:16:00'],
        ['Asia/Kolkata', '3/hour', '2026-03-10 10:15:07', '2026-03-10 10:59:59',
            '2026-03-10 11:00:00'],
        ['Europe/Berlin', '3/day', '2026-03-28 23:00:00', '2026-03-28 23:59:59',
            '2026-03-29 00:00:00'],
        ['Europe/Berlin', '3/day', '2026-03-29 01:30:00', '2026-03-29 23:59:59',
            '2026-03-30 00:00:00'],
        ['Europe/Berlin', '3/day', '2026-10-25 00:30:00', '2026-10-25 23:59:59',
            '2026-10-26 00:00:00'],
        ['Europe/Berlin', '3/week', '2026-03-25 12:00:00', '2026-03-29 23:59:59',
            '2026-03-30 00:00:00'],
        ['Europe/Berlin', '3/month', '2026-02-01 00:00:00', '2026-02-28 23:59:59',
            '2026-03-01 00:00:00'],
        ['America/New_York', '3/year', '2026-07-04 00:00:00', '2026-12-31 23:59:59',
            '2027-01-01 00:00:00'],
        ['UTC', '3/6 hours', '2026-03-10 07:00:00', '2026-03-10 11:59:59', '2026-03-10 12:00:00'],
    );
    for my $case (@cases) {
        my ($zone, $limit, @moments) = @$case;
        local $ENV{TZ} = $zone;
        POSIX::tzset();
        my @seconds = map {
            my ($y, $m, $d, $h, $min, $s) = /\d+/g;
            mktime($s, $min, $h, $d, $m - 1, $y - 1900, 0, 0, -1)
        } @moments;
        my $t = limiter('fixed-window', $limit);
        $t->set_clock($seconds[0]);
        my $helper = $t->helper;
        my @got = fill($helper);
        for my $moment (@seconds[1, 2]) {
            $t->set_clock($moment);
            push @got, fill($helper);
        }
        is("@got", '3 0 3', "$zone $limit from $moments[0]");
    }
    POSIX::tzset();
};

# Clocks go back from 02:00 to 01:30, and forward from 02:00 to 02:30.
subtest 'fixed-window: an hour is no longer where clocks change by half of one' => sub {
    local $ENV{TZ} = 'Australia/Lord_Howe';
    for my $change (1_712_415_600, 1_728_142_200) {
        my $t = limiter('fixed-window', '3/hour');
        $t->set_clock($change - 60);
        my $helper = $t->helper;
        my @got = fill($helper);
        for my $moment ($change - 1, $change, $change + 1799, $change + 3600) {
            $t->set_clock($moment);
            push @got, fill($helper);
        }
        is("@got", '3 0 3 0 3', 'not denied for more than an hour');
    }
};

subtest 'the clock is set' => sub {
    for my $strategy (qw(sliding-window moving-window fixed-window)) {
        my $t   = limiter($strategy, '5/hour');
        my $now = 1_700_049_600;    # the start of an hour
        $t->set_clock($now + 7200);
        my $helper = $t->helper;
        is(fill($helper), 5);
        $t->set_clock($now);
        is(fill($helper), 0, "$strategy: set back by two hours: what is counted stays");
        my $other = $t->helper;
        is(fill($other), 0, 'for a new process as well');
        $t->set_clock($now + 3600 + 300);
        is(fill($helper), 5, 'and nobody is locked out for longer than a window');
        $t->set_clock($now + 3650 * 86400);
        is(fill($helper), 5, 'forwards by ten years');
        $t->set_clock($now + 3650 * 86400 + 3601 + 300);
        is(fill($helper), 5, 'and on from there');
        is($t->log_text =~ /status=error/ ? 1 : 0, 0, 'without an error');
    }
};

subtest 'a changed limit keeps what is counted' => sub {
    my $t = limiter('sliding-window', '3/hour, 9/day');
    $t->set_clock(1_700_000_000);
    is(fill($t->helper), 3);
    my @steps = (
        ['limit = 5/hour, 9/day',                                   2, 'a higher limit'],
        ['limit = 6/hour, 9/day, 10/week',                          1, 'a window more'],
        ['limit = 7/day',                                           1, 'a window less'],
        ["limit = 8/day\nresolution = 24",                          1, 'another resolution'],
        ["limit = 9/day\nstrategy = moving-window",                 1, 'another strategy'],
        ["limit = 10/day, 1000/2 days\nstrategy = moving-window",   1, 'a longer log'],
        ["limit = 11/day\nstrategy = fixed-window",                 1, 'a third strategy'],
    );
    for my $step (@steps) {
        my ($options, $room, $name) = @$step;
        $t->configure(rules => "[rule r]\nkey = everything\n$options\n");
        is(fill($t->helper), $room, $name);
    }
};

done_testing;
