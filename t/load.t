#!/usr/bin/perl
# Eight helpers under full load, while an administrator looks at the counters, cleans the file
# and loads thousands of limits, again and again: no request waits for long, none is lost.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(time);
use RateTest qw(build_dir result_of run spew start_process);

my $processes = 8;
my $rounds    = 6;
my $lines     = 10_000;
my $seconds   = 2;        # lock_timeout

my $t = RateTest->new(
    rules => "[rule users]\nkey = sasl_username\nlimit = 1G/year\n"
        . "[rule all]\nkey = everything\nlimit = 1G/year\n",
    global => {log => 'denied', lock_timeout => "${seconds}s", on_error => 'WARN trouble'},
);

# Asks until the other end of $stop is closed; says how many passed, what else was answered, and
# how long the slowest answer took.
sub ask_until {
    my ($name, $stop, $close) = @_;
    close $close;
    my $helper = $t->helper;
    my ($asked, $passed, $slowest, $other) = (0, 0, 0, '');
    for (;;) {
        my $wanted = '';
        vec($wanted, fileno $stop, 1) = 1;
        last if select $wanted, undef, undef, 0;
        my $start  = time;
        my $answer =
            $helper->ask(instance => "$name." . ++$asked, sasl_username => 'user' . $asked % 300)
            // 'none';
        my $took   = time - $start;
        $slowest = $took if $took > $slowest;
        if ($answer eq 'DUNNO') { $passed++ } else { $other = $answer }
        last if $answer eq 'none';
    }
    my (undef, $status) = $helper->finish;
    return join "\t", $asked, $passed, $slowest, $status, $other;
}

pipe my $stop, my $close or die "pipe: $!";
my @clients = map {
    my $name = $_;
    start_process(sub { ask_until($name, $stop, $close) })
} 1 .. $processes;

spew("$t->{dir}/limits", join '',
    map { sprintf "users\tuser%d\t%d/year\n", $_, 500_000_000 + $_ } 0 .. $lines - 1);
my @commands = (['show', '--json'], ['clean'], ['load', "$t->{dir}/limits"]);
my ($has_metrics) = grep {/^  metrics /} split /^/,
    (run(build_dir() . '/policyd-ratelimit-ctl', '--help'))[1];
push @commands, ['metrics'] if $has_metrics;
my %failed;
# The file is there as soon as one helper has answered.
select undef, undef, undef, 0.01 while !-e $t->{database};
for my $round (1 .. $rounds) {
    for my $command (@commands) {
        my ($status, $out, $err) = $t->ctl(@$command);
        $failed{"$command->[0]: status $status: $err"}++ if $status ne 0 || $err ne '';
        $failed{"$command->[0]: printed nothing"}++ if $out eq '';
        $failed{"$command->[0]: no JSON"}++
            if "@$command" =~ /--json/ && !eval { decode_json($out) };
    }
}
close $close;
is_deeply(\%failed, {}, "$rounds times each of " . join ', ', map { $_->[0] } @commands);

my ($asked, $passed, $slowest) = (0, 0, 0);
my @bad;
for my $client (@clients) {
    my ($his_asked, $his_passed, $his_slowest, $status, $other) =
        split /\t/, result_of($client), -1;
    push @bad, "status $status, $other" if "$status$other" ne '0';
    $asked  += $his_asked;
    $passed += $his_passed;
    $slowest = $his_slowest if $his_slowest > $slowest;
}
is_deeply(\@bad, [], 'every request was judged') or diag $t->log_text;
is($passed, $asked, 'and passed');
cmp_ok($slowest, '<', $seconds, 'within lock_timeout');
note sprintf '%d requests, the slowest answer took %.3f s', $asked, $slowest;
cmp_ok($asked, '>', 1000, 'this was under load');

my (undef, @rows) = $t->show;
my %sum;
$sum{$_->{rule}} += $_->{used} for @rows;
is_deeply(\%sum, {users => $passed, all => $passed}, 'every charge is kept, in both rules');
is(scalar(grep { $_->{source} ne ($_->{rule} eq 'users' ? 'set' : 'rule') } @rows), 0,
    'and every limit is what was loaded');
is($t->log_text, '', 'without a word in the log');

done_testing;
