#!/usr/bin/perl
# Many helpers, one key: exactly the limit gets through, under each strategy.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(result_of run slurp start_process);

my $processes = 8;
my $requests  = 50_000;
my $limit     = 1000;

# Asks $count times in a process of its own, some requests at once; the number that passed.
sub start_client {
    my ($t, $count, $attributes) = @_;
    return start_process(sub {
        my $helper = $t->helper;
        my $passed = 0;
        for (my $n = 0; $n < $count; $n += 50) {
            my @requests = map { RateTest::Helper::request($attributes->($n + $_)) } 1 .. 50;
            $helper->write(join '', @requests);
            $passed += ($helper->answer // '') eq 'DUNNO' for 1 .. 50;
        }
        my (undef, $status) = $helper->finish;
        return $status eq 0 ? $passed : "helper: $status";
    });
}

sub sum {
    my (@clients) = @_;
    my $sum = 0;
    $sum += result_of($_) for @clients;
    return $sum;
}

for my $strategy (qw(sliding-window fixed-window moving-window)) {
    my $t = RateTest->new(
        rules  => "[rule r]\nkey = sasl_username\nlimit = $limit/year\nstrategy = $strategy\n",
        global => {log => 'none', lock_timeout => '60s'},
    );
    # The middle of a year, so that no window ends meanwhile.
    $t->set_clock(1_752_000_000);
    my @clients = map {
        my $c = $_;
        start_client($t, $requests / $processes, sub { (instance => "$c.$_[0]") })
    } 1 .. $processes;
    is(sum(@clients), $limit,
        "$strategy: of $requests requests in $processes processes exactly $limit pass");
}

subtest 'many keys, several rules, new counters and compactions at the same time' => sub {
    my $t = RateTest->new(
        rules => "[rule user]\nkey = sasl_username\nlimit = 10/year\n"
            . "[rule sender]\nkey = sender\nlimit = 10/year\n"
            . "[rule all]\nkey = everything\nlimit = 6000/year\n",
        global => {log => 'none', lock_timeout => '60s'},
    );
    $t->set_clock(1_752_000_000);
    # Each process walks through the same keys, in another order.
    my @clients = map {
        my $c = $_;
        start_client($t, 2000, sub {
            my $key = ($_[0] * ($c * 2 + 1)) % 512;
            return (instance => "$c.$_[0]", sasl_username => "u$key", sender => 's' . (511 - $key));
        })
    } 1 .. $processes;
    is(sum(@clients), 5120, '512 keys, 10 each: no more and no less');
    my (undef, @rows) = $t->show;
    my %sum;
    $sum{$_->{rule}} += $_->{used} for @rows;
    is_deeply(\%sum, {user => 5120, sender => 5120, all => 5120},
        'and each rule counted all of them');
};

# tdbbackup(8) makes files with TDB's default hash, and so another order of the chains.
subtest 'several rules on a file that tdbbackup made' => sub {
    my $t = RateTest->new(
        rules => join('', map {"[rule r$_]\nkey = sasl_username\nlimit = 1M/year\n"} 1 .. 8),
        global => {log => 'none', lock_timeout => '60s', on_error => 'WARN trouble'});
    my $maker = $t->helper;
    $maker->ask(sasl_username => "u$_", instance => $_) for 1 .. 250;
    $maker->finish;
    # Each round has but a moment: the first request has the file written anew.
    my $passed = 0;
    for my $round (1 .. 5) {
        is((run('tdbbackup', $t->{database}))[0], 0);
        isnt((unpack 'x40 L', slurp("$t->{database}.bak")), 0xbad1a51, 'it has the other hash');
        rename "$t->{database}.bak", $t->{database} or die $!;
        my @clients = map {
            my $c = $_;
            start_client($t, 1000, sub {
                (instance => "$round.$c.$_[0]", sasl_username => 'u' . ($_[0] * $c) % 250)
            })
        } 1 .. $processes;
        $passed += sum(@clients);
        is((unpack 'x40 L', slurp($t->{database})), 0xbad1a51, 'which it has no more');
    }
    is($passed, 5 * $processes * 1000, 'nobody waits for another who waits for him');
    my (undef, @rows) = $t->show('--rule', 'r1');
    my $used = 0;
    $used += $_->{used} for @rows;
    is($used, $passed + 250, 'and all is counted');
};

done_testing;
