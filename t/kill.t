#!/usr/bin/perl
# Helpers killed with SIGKILL under load: no acknowledged charge is missing, none is counted
# twice, and the file goes on working.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(run);

my $kills     = $ENV{KILLS} // 1000;
my $processes = 4;
my $keys      = 40;

# A client like smtpd: one request after the other, and one that got no answer is sent again to
# another helper. It kills its helper itself, at random moments while a request is under way.
# Reports what it knows to be charged, by key, and the number of kills.
sub client {
    my ($t, $number) = @_;
    pipe my $result, my $tell or die "pipe: $!";
    my $pid = fork() // die "fork: $!";
    return {pid => $pid, result => $result} if $pid;
    srand $number;
    my ($killed, $n, $errors, %charged) = (0, 0, 0);
    my $helper = $t->helper;
    while ($killed < $kills / $processes) {
        # Old keys and new ones, so that inserts and rewrites are hit as well.
        my $key = rand() < 0.3 ? "new$number.$n" : 'key' . int rand $keys;
        my %request = (sasl_username => $key, instance => "$number." . ++$n);
        my $answer;
        $helper->write(RateTest::Helper::request(%request));
        if (rand() < 0.2) {
            # Up to some 300 us: about as long as the helper is busy with it.
            my $until = time + rand 0.0003;
            1 while time < $until;
            $helper->kill('KILL');
            $killed++;
            $answer = $helper->answer;
            $helper = $t->helper;
            $answer = $helper->ask(%request) if !defined $answer;
        } else {
            $answer = $helper->answer;
        }
        $answer = 'none' if !defined $answer;
        $errors++ if $answer ne 'DUNNO';
        $charged{$key}++ if $answer eq 'DUNNO';
    }
    $helper->finish;
    print $tell join(' ', $killed, $errors, %charged), "\n";
    close $tell;
    POSIX::_exit(0);
}

for my $strategy (qw(sliding-window moving-window)) {
    my $t = RateTest->new(
        rules => "[rule user]\nkey = sasl_username\nlimit = 5000/day, 9000/week\nstrategy = $strategy\n"
            . "[rule all]\nkey = everything\nlimit = 1G/day\n",
        global => {log => 'none', lock_timeout => '60s'},
    );
    my @clients = map { client($t, $_) } 1 .. $processes;
    my ($killed, $errors, %charged) = (0, 0);
    for my $client (@clients) {
        my $line = readline $client->{result};
        waitpid $client->{pid}, 0;
        my ($k, $e, %own) = split ' ', $line;
        $killed += $k;
        $errors += $e;
        $charged{$_} += $own{$_} for keys %own;
    }
    cmp_ok($killed, '>=', $kills, "$strategy: $killed helpers were killed");
    is($errors, 0, 'every request got its answer in the end');
    my ($status, $out, $problems) = $t->ctl('show', '--json');
    is($problems, '', 'no record is damaged');
    my (%used, $total, $all);
    while ($out =~ /"rule": "(\w+)", "key": "([^"]*)", "window": (\d+).*?"used": (\d+)/g) {
        $used{$2} = $4 if $1 eq 'user' && $3 == 86400;
        $all = $4 if $1 eq 'all';
    }
    my @missing = grep { ($used{$_} // 0) < $charged{$_} } keys %charged;
    my @twice   = grep { $used{$_} > ($charged{$_} // 0) } keys %used;
    is_deeply(\@missing, [], 'no acknowledged charge is missing');
    is_deeply(\@twice, [], 'none is counted twice');
    $total += $_ for values %charged;
    is($all, $total, 'by the second rule neither');
    my $helper = $t->helper;
    is($helper->ask(sasl_username => "after$_"), 'DUNNO', 'the file goes on working') for 1 .. 3;
    is($helper->ask(sasl_username => 'after1', protocol_state => 'DATA', recipient_count => 5000)
        =~ /^DEFER_IF_PERMIT/ ? 1 : 0, 1, 'and the limits hold');
}

done_testing;
