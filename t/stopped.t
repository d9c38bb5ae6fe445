#!/usr/bin/perl
# Processes stopped at a step, with t/stepper: others are answered meanwhile, and all is well
# when the process goes on or is killed; and when the clock was set meanwhile. In `make check`
# some of the steps, in `make check-long` all of them.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use RateTest qw(slurp spew);
use Steps;

# What others get while a process is stopped at a step, and when it goes on or is killed. What
# is wrong, or ''; and how many answers were on_error.
sub try_stop {
    my ($t, $option, $bytes, $n, $signal) = @_;
    restore($t, $bytes);
    my $witness = $t->helper;
    $witness->write(request(sasl_username => 'v', instance => 'first v'));
    $witness->answer;
    my $before = (state($t)->{'u slide 3600'} // '') =~ /used (\d+)/ ? $1 : 0;
    my ($said, $rest) = program_to($t, $option, 'syscall', $n, 'stop');
    return ('', 0) if $said !~ /^stopped (\d+)/;
    my $pid = $1;
    my ($passed, $troubles, @wrong) = (0, 0);
    for my $asker ($witness, $t->helper) {
        my $start = time;
        my $answer = $asker->ask(sasl_username => 'u', instance => "others $passed") // 'none';
        push @wrong, 'an answer took ' . (time - $start) . ' s' if time - $start > 10;
        push @wrong, "answer: $answer" if $answer !~ /^(?:DUNNO|WARN trouble)$/;
        $passed++   if $answer eq 'DUNNO';
        $troubles++ if $answer eq 'WARN trouble';
    }
    my $start = time;
    $t->ctl('reset', 'nobody');
    push @wrong, 'the ctl took ' . (time - $start) . ' s' if time - $start > 10;
    kill $signal, $pid;
    1 while readline $rest;
    close $rest;
    for my $asker ($witness, $t->helper) {
        # A file that was full takes one more compaction.
        my ($answer) = grep { $_ eq 'DUNNO' }
            map { $asker->ask(sasl_username => 'u', instance => 'after') // 'none' } 1 .. 2;
        push @wrong, "$signal: no answer after it" if !$answer;
    }
    my $state = state($t);
    push @wrong, $state->{status} if $state->{status} ne '0';
    my ($used) = $state->{'u slide 3600'} =~ /used (\d+)/;
    my $own = $used - $before - $passed - 1;
    push @wrong, "$signal: $used used, $before before, $passed passed" if $own < 0 || $own > 1;
    return (join(', ', @wrong), $troubles);
}

for my $scenario (
    grep { $_->[0] =~ /^(?:a charge|a helper's compaction|set, for a key that has|load|clean)$/ }
    @scenarios)
{
    my ($name, %option) = @$scenario;
    subtest "stopped: $name" => sub {
        my $t = prepare(\%option);
        my $full = $option{after} ? '300K' : '256M';
        $t->configure(rules => $rules,
            global => {%global, lock_timeout => '100ms', database_max_size => $full});
        # Tracing is slow: without the alarm each run takes the same steps.
        $option{config} = "$t->{dir}/patient.conf";
        spew($option{config},
            slurp($t->{config}) =~ s/^lock_timeout = \K100ms$/$global{lock_timeout}/mr);
        my $bytes = slurp($t->{database});
        my ($steps, undef, $writing) = look($t, \%option, $bytes);
        # Where it is about to write it has its locks for certain.
        # The witness can move that by a step or two.
        my ($wrong, $troubles) = ('', 0);
        for my $back (1 .. 10) {
            ($wrong, $troubles) = try_stop($t, \%option, $bytes, $writing - $back, 'CONT');
            last if $wrong || $troubles == 2;
        }
        is($wrong, '', 'others are answered, and go on when it is continued');
        is($troubles, 2, 'with on_error, since it holds a lock');
        my @tries = $long ? map({ ([$_, 'KILL'], [$_, 'CONT']) } 1 .. $steps)
            : ([$writing - 1, 'KILL'], [1 + int rand $steps, rand() < 0.5 ? 'KILL' : 'CONT']);
        my @wrong;
        for my $try (@tries) {
            ($wrong) = try_stop($t, \%option, $bytes, @$try);
            push @wrong, "@$try: $wrong" if $wrong;
        }
        is(join("\n", @wrong), '', 'wherever it is stopped, and whether it is killed or continued');
    };
}

# What another process does to the records of one that is stopped at a step. name; the scenario that
# is stopped; what the other does, true if it could; what the state says then, of the first and of
# the other.
my @meetings = (
    [
        'an insert while a TDB transaction is under way',
        {command => ['set', 'slide', 'u', '7/hour']},
        sub { $_[0]->helper->ask(sasl_username => 'fresh') eq 'DUNNO' },
        ['u slide 3600', qr/ of 7,/], ['fresh slide 3600', qr/^used 1 /],
    ],
    [
        'a TDB transaction while an insert is under way',
        {request => [sasl_username => 'fresh', instance => 'i']},
        sub { ($_[0]->ctl('set', 'slide', 'u', '7/hour'))[0] == 0 },
        ['fresh slide 3600', qr/^used 1 /], ['u slide 3600', qr/ of 7,/],
    ],
    [
        'a record that vanishes between two looks',
        {
            after => sub { $_[0]->ctl('grant', '--for', '3h', 'slide', 'v', '+30') },
            command => ['grant', '--for', '2d', 'slide', 'v', '+3']
        },
        sub {
            my ($t) = @_;
            $t->set_clock(time + 4 * 3600);
            return ($t->ctl('clean'))[0] == 0;
        },
        ['v slide 86400', qr/ of 12,/], ['v slide 86400', qr/ of 12,/],
    ],
    [
        'a record that appears between two looks',
        {command => ['set', 'slide', 'fresh', '7/hour']},
        sub {
            my ($t) = @_;
            return $t->helper->ask(sasl_username => 'fresh') eq 'DUNNO'
                && ($t->ctl('set', 'slide', 'fresh', '8/hour'))[0] == 0;
        },
        ['set', qr{^0slide\tfresh\t[78]/hour$}m], ['fresh slide 3600', qr/^used 1 of [78],/],
    ],
);

for my $meeting (@meetings) {
    my ($name, $option, $other, @expected) = @$meeting;
    subtest $name => sub {
        my $t = prepare($option);
        $option->{config} = "$t->{dir}/patient.conf";
        spew($option->{config}, slurp($t->{config}));
        $t->configure(rules => $rules, global => {%global, lock_timeout => '100ms'});
        my $bytes = slurp($t->{database});
        my ($steps) = look($t, $option, $bytes);
        my ($could, @wrong) = (0);
        for my $n ($long ? 1 .. $steps : map { int(1 + $_ * ($steps - 1) / 14) } 0 .. 14) {
            restore($t, $bytes);
            $t->set_clock(time);
            my ($said, $rest) = program_to($t, $option, 'syscall', $n, 'stop');
            next if $said !~ /^stopped (\d+)/;
            my $done = $other->($t);
            kill CONT => $1;
            1 while readline $rest;
            close $rest;
            $could += $done;
            my $state = state($t);
            push @wrong, "$n: $state->{status}" if $state->{status} ne '0';
            for my $i ($done ? (0, 1) : 0) {
                my ($what, $pattern) = @{$expected[$i]};
                push @wrong, "$n: $what: " . ($state->{$what} // 'none')
                    if ($state->{$what} // '') !~ $pattern;
            }
            my ($status, undef, $errors) = $t->ctl('clean');
            push @wrong, "$n: clean: $status $errors" if $status || $errors;
        }
        is(join("\n", @wrong), '', 'both are done');
        cmp_ok($could, '>', 2, 'and not only one after the other');
    };
}

# An administrator replaces the file while it is compacted, at a step, and maybe compacts the other
# one then. What is wrong, or ''.
sub try_replacement {
    my ($t, $old, $other, $n, $second) = @_;
    restore($t, $old);
    my ($said, $rest) = program_to($t, {command => ['clean']}, 'syscall', $n, 'stop');
    return '' if $said !~ /^stopped (\d+)/;
    my $pid = $1;
    spew("$t->{dir}/restored", $other);
    chmod 0600, "$t->{dir}/restored" or die $!;
    rename "$t->{dir}/restored", $t->{database} or die $!;
    my @wrong;
    if ($second) {
        my ($status, undef, $errors) = $t->ctl('clean');
        push @wrong, "the second: $status $errors" if $status || $errors;
    }
    kill CONT => $pid;
    my $wrote = do { local $/; readline $rest };
    close $rest;
    push @wrong, "the first: $wrote"
        if $wrote !~ /records kept/ || $wrote =~ /policyd-ratelimit-ctl:/;
    my $used = (state($t)->{'u slide 3600'} // 'none');
    push @wrong, "u: $used" if $used !~ /^used 3 /;
    push @wrong, 'left: ' . join ' ', leftovers($t) if leftovers($t);
    return @wrong ? "$n: " . join(', ', @wrong) : '';
}

subtest 'a file is replaced while it is compacted' => sub {
    my $t = prepare({});
    my $old = slurp($t->{database});
    my $asker = $t->helper;
    $asker->ask(sasl_username => 'u', instance => "more $_") for 1 .. 2;
    $asker->finish;
    my $other = slurp($t->{database});
    my ($steps) = look($t, {command => ['clean']}, $old);
    my @steps = $long ? 1 .. $steps : map { $steps - 2 * $_ } 0 .. 14;
    my @wrong = grep {$_}
        map { my $n = $_; map { try_replacement($t, $old, $other, $n, $_) } 0, 1 } @steps;
    is(join("\n", @wrong), '', 'what took its name keeps it');
};

subtest 'the clock is set forward in the middle of a compaction' => sub {
    my $t = prepare({});
    $t->set_clock(time);
    my %option = (command => ['clean']);
    my $bytes = slurp($t->{database});
    my (undef, $first) = look($t, \%option, $bytes);
    restore($t, $bytes);
    my ($said, $rest) = program_to($t, \%option, 'syscall', $first, 'stop');
    like($said, qr/^stopped/);
    $t->set_clock(time + 5 * 365 * 86400);
    kill 'CONT', $said =~ /(\d+)/;
    like(do { local $/; readline $rest }, qr/records kept/);
    my ($took) = $t->records->{':meta'} =~ /took=(\d+)ms/;
    cmp_ok($took, '<', 3600 * 1000, 'it is not thought to have taken years');
};

# A compaction of a large file takes seconds: what others charge meanwhile is of a later time than
# when it began, and no clock was set back.
subtest 'the clock goes on during a compaction' => sub {
    my $rules = "[rule r]\nkey = sasl_username\nlimit = 2/hour\n";
    my $t     = RateTest->new(global => {%global, lock_timeout => '300ms'}, rules => $rules);
    my $start = 1_800_000_000;
    my @clean = ($ctl, '-c', $t->{config}, 'clean');
    my ($tried, @wrong) = (0);
    $t->set_clock($start);
    is($t->helper->ask(sasl_username => 'u'), 'DUNNO');
    my $bytes = slurp($t->{database});
    my ($steps) = (step($t, ['look'], '', @clean))[0] =~ /(\d+)/;
    for (my $n = 1; $n < $steps; $n += 1 + int($steps / 12)) {
        restore($t, $bytes);
        $t->set_clock($start);
        my $helper = $t->helper;
        $helper->ask(sasl_username => 'warm');
        my ($said, $rest) = step($t, ['syscall', $n, 'stop'], '', @clean);
        next if $said !~ /^stopped (\d+)/;
        my $pid = $1;
        $t->set_clock($start + 2000);
        my $second = $helper->ask(sasl_username => 'u');
        kill CONT => $pid;
        1 while readline $rest;
        close $rest;
        next if $second ne 'DUNNO';
        $t->set_clock($start + 3000);
        my $third = $t->helper->ask(sasl_username => 'u');
        $tried++;
        push @wrong, "$n: $third" if $third !~ /Limit of 2/;
    }
    is("@wrong", '', 'counts keep their age');
    cmp_ok($tried, '>', 5, 'often enough for this to mean something');
};

done_testing;
