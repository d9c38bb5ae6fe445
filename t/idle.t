#!/usr/bin/perl
# Slow clients and idle connections cost their own process, and nobody else anything.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(slurp);

my $t = RateTest->new(
    rules  => "[rule r]\nkey = sasl_username\nlimit = 1000/hour\naction = REJECT over\n",
    global => {on_error => 'WARN a lock was held', lock_timeout => '2s'},
);
my $request = RateTest::Helper::request(sasl_username => 'u');

# Far more than an answer takes, and what it would take if a lock were held.
my $at_once_s = 2;

subtest 'a client that drips' => sub {
    my $slow  = $t->helper;
    my $other = $t->helper;
    my $pause = 1 / length $request;
    my $worst = 0;
    my $asked = 0;
    for my $byte (split //, $request) {
        $slow->write($byte);
        my $start = time;
        $asked += ($other->ask(sasl_username => 'u') // '') eq 'DUNNO';
        $worst = time - $start if time - $start > $worst;
        sleep $pause;
    }
    is($asked, length $request, 'another is answered all the while');
    cmp_ok($worst, '<', $at_once_s, 'at once');
    is($slow->answer, 'DUNNO', 'and so is this one when its request is complete');
    is_deeply([$_->finish], ['', 0], 'a clean end') for $slow, $other;
};

# Bytes of memory that are a process's own.
sub private_memory {
    my ($pid) = @_;
    my $sum = 0;
    $sum += $1 for slurp("/proc/$pid/smaps_rollup") =~ /^Private_\w+:\s+(\d+) kB/mg;
    return $sum * 1024;
}

subtest '500 connections with half a request' => sub {
    my $idle = 500;
    my $half = substr $request, 0, length($request) / 2;
    my @helpers;
    for (1 .. $idle) {
        push @helpers, $t->helper;
        $helpers[-1]->write($half);
    }
    my $new = $t->helper;
    is($new->ask(sasl_username => 'u'), 'DUNNO', 'one more is answered');
    my $start = time;
    is($new->ask(sasl_username => 'u'), 'DUNNO', 'and again');
    cmp_ok(time - $start, '<', $at_once_s, 'at once');

    SKIP: {
        skip 'under a sanitizer memory says nothing', 1
            if slurp("/proc/$new->{pid}/maps") =~ /lib[a-z]+san\.so/;
        my ($most) = sort { $b <=> $a } map { private_memory($_->{pid}) } @helpers;
        cmp_ok($most, '<', 2 << 20, 'each takes less than 2 MiB');
    }

    $helpers[0]->write(substr $request, length $half);
    is($helpers[0]->answer, 'DUNNO', 'one of them goes on');
    shutdown $_->{socket}, 1 for @helpers;
    my @ends = map { [$_->finish] } @helpers, $new;
    is(scalar(grep { $_->[0] eq '' && $_->[1] eq '0' } @ends), $idle + 1, 'all end at end of file');
};

done_testing;
