#!/usr/bin/perl
# Helpers and ctl commands killed with SIGKILL under load, at random: no acknowledged charge is
# missing, none is counted twice, and the file goes on working. 1,000 kills, in `make check-long`
# 10,000; KILLS says how many else.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use List::Util qw(sum);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(build_dir result_of slurp spew start_process);

my @strategies = qw(sliding-window moving-window fixed-window);
my $kills     = int(($ENV{KILLS} // ($ENV{RATELIMIT_LONG} ? 10_000 : 1000)) / @strategies + 1);
my $processes = 4;
my $keys      = 40;

# A client like smtpd: one request after the other, and one that got no answer is sent again to
# another helper. It kills its helper itself, at random moments while a request is under way.
# Reports what it knows to be charged, by key, and the number of kills.
sub client {
    my ($t, $number) = @_;
    srand $number;
    my ($killed, $n, $errors, %charged) = (0, 0, 0);
    my $helper = $t->helper;
    while ($killed < $kills / $processes) {
        # Old keys and new ones, so that inserts and compactions are hit as well.
        my $key =
              rand() < 0.3 ? "new$number.$n"
            : rand() < 0.1 ? 'boss' . int rand 20
            : 'key' . int rand $keys;
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
    return join ' ', $killed, $errors, %charged;
}

# An administrator whose commands are killed at random, until the other end of $stop is closed:
# how many were killed, and what those said that ran to their end but failed.
sub administrator {
    my ($t, $stop, $close) = @_;
    close $close;
    srand 4711;
    my ($killed, $failed) = (0, '');
    spew("$t->{dir}/load", join '', map {"user\tboss$_\t900$_/day, 99999/week\n"} 1 .. 50);
    my $wanted = '';
    vec($wanted, fileno $stop, 1) = 1;
    until (select my $ready = $wanted, undef, undef, 0) {
        my $boss = 'boss' . int rand 20;
        my @commands = (
            ['set', 'user', $boss, 5000 + int(rand 5000) . '/day, 9000/week, 9000/month'],
            ['unset', 'user', $boss],
            ['grant', '--for', '1h', 'user', $boss, '+5'], ['reset', '--rule', 'user', $boss],
            ['clean'], ['load', "$t->{dir}/load"]);
        my $command = $commands[rand @commands];
        my $ctl = fork() // POSIX::_exit(1);
        if ($ctl == 0) {
            open STDOUT, '>', '/dev/null';
            open STDERR, '>', "$t->{dir}/said";
            exec build_dir() . '/policyd-ratelimit-ctl', '-c', $t->{config}, @$command
                or POSIX::_exit(98);
        }
        # Most of them take some 3 ms.
        if (rand() < 0.8) {
            sleep rand 0.005;
            kill 'KILL', $ctl;
        }
        waitpid $ctl, 0;
        $killed++ if $? & 127;
        # 1: there was nothing to unset or to reset; 65: too many grants.
        $failed .= "@$command: $?: " . slurp("$t->{dir}/said")
            if ($? & 127) != 9 && !grep { $_ == $? >> 8 } 0, 1, 65;
    }
    return "$killed $failed";
}

for my $strategy (@strategies) {
    my $t = RateTest->new(
        rules =>
            "[rule user]\nkey = sasl_username\nlimit = 900/day, 1000/week\nstrategy = $strategy\n"
            . "[rule all]\nkey = everything\nlimit = 1G/day\n",
        global => {log => 'none', lock_timeout => '60s', on_error => 'WARN trouble'},
    );
    my ($killed, $errors, %charged) = (0, 0);
    $t->helper->ask(sasl_username => 'boss1');
    $charged{boss1} = 1;
    pipe my $stop, my $close or die "pipe: $!";
    my $administrator = start_process(sub { administrator($t, $stop, $close) });
    my @clients = map {
        my $number = $_;
        start_process(sub { close $close; client($t, $number) })
    } 1 .. $processes;
    for my $client (@clients) {
        my ($k, $e, %own) = split ' ', result_of($client);
        $killed += $k;
        $errors += $e;
        $charged{$_} += $own{$_} for keys %own;
    }
    close $close;
    my ($commands, $failed) = split ' ', result_of($administrator), 2;
    cmp_ok($killed, '>=', $kills, "$strategy: $killed helpers were killed");
    cmp_ok($commands, '>', 20, "and $commands commands of the ctl");
    is($failed, '', 'of which those that were left alone worked');
    is($errors, 0, 'every request got its answer in the end');
    my ($shown, @rows) = $t->show;
    is($shown, '0', 'no record is damaged');
    my %used = map { $_->{key} => $_->{used} }
        grep { $_->{rule} eq 'user' && $_->{window} == 86400 } @rows;
    my ($all) = map { $_->{used} } grep { $_->{rule} eq 'all' } @rows;
    # Those of the boss are being reset.
    my @missing = grep { !/^boss/ && ($used{$_} // 0) < $charged{$_} } keys %charged;
    my @twice   = grep { !/^boss/ && $used{$_} > ($charged{$_} // 0) } keys %used;
    is_deeply(\@missing, [], 'no acknowledged charge is missing');
    is_deeply(\@twice, [], 'none is counted twice');
    my $total = sum(values %charged);
    is($all, $total, 'by the second rule neither');
    my $helper = $t->helper;
    is($helper->ask(sasl_username => "after$_"), 'DUNNO', 'the file goes on working') for 1 .. 3;
    is($helper->ask(sasl_username => 'after1', protocol_state => 'DATA', recipient_count => 5000)
        =~ /^DEFER_IF_PERMIT/ ? 1 : 0, 1, 'and the limits hold');
}

done_testing;
