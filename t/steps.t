#!/usr/bin/perl
# Processes killed step by step, with t/stepper: at each system call, and where a copy into the
# file is half done. Every counter is then as before or charged once, whatever was interrupted
# is done wholly or not at all, and who comes next goes on. In `make check` a sample of the
# steps, in `make check-long` all of them.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(slurp);
use Steps;

# One kill, and all that must hold then. What is wrong, or ''; and what stepper said.
sub try_kill {
    my ($t, $option, $bytes, $before, $after, $kind, $n) = @_;
    restore($t, $bytes);
    # One that has the file open meanwhile: it knows a request that is charged already.
    my $witness;
    if ($bytes) {
        $witness = $t->helper;
        $witness->write(request(sasl_username => 'v', instance => 'first v'));
        return ("the witness got @{[$witness->answer // 'nothing']}", '')
            if $witness->answer ne 'DUNNO';
    }
    my $said = run_program($t, $option, $kind, $n);
    my $changed = slurp($t->{database}) ne ($bytes // '') || leftovers($t);
    my @left = grep { !/^(?:new-)?\d+$/ } leftovers($t);
    return ("left behind: @left", $said) if @left || leftovers($t) > 1;
    # A file that was never made has no state.
    my $state = -e $t->{database} ? state($t) : {};
    my $wrong = $option->{new}
        && !-e $t->{database} ? '' : compare($state, $before, $after, $option->{each});
    return ("after it: $wrong", $said, $changed) if $wrong;
    my $done = !compare($state, $after, $after);
    if (!($option->{not_twice} && $done)) {
        # The witness and a new process in turn; a request is sent again to the same file.
        my $asker = $witness && $n =~ /[13579]$/ ? $witness : $t->helper;
        my $got = do_it($t, $option, $asker);
        return ("once more: $got", $said, $changed) if $got ne ($option->{command} ? 0 : 'DUNNO');
    }
    $wrong = compare(state($t), $after, $after);
    return ("done again: $wrong", $said, $changed) if $wrong;
    for my $asker (grep {$_} $witness, $t->helper) {
        my $answer = $asker->ask(sasl_username => 'fresh') // 'none';
        return ("then: $answer", $said, $changed) if $answer ne 'DUNNO';
    }
    my ($status, $out, $err) = $t->ctl('clean');
    return ("clean: $status $err", $said, $changed) if $status ne 0;
    return ('clean left ' . join(' ', leftovers($t)), $said, $changed)
        if grep {/^new/} leftovers($t);
    $state = state($t);
    delete $state->{$_} for grep {/^fresh /} keys %$state;
    $wrong = compare($state, $after, $after);
    return ($wrong ? "cleaned: $wrong" : '', $said, $changed);
}

for my $scenario (@scenarios) {
    my ($name, %option) = @$scenario;
    subtest $name => sub {
        my $t = prepare(\%option);
        my $bytes = $option{new} ? undef : slurp($t->{database});
        my $before = $option{new} ? {} : state($t);
        my $asker = $t->helper;
        do_it($t, \%option, $asker);
        my $after = state($t);
        like($after->{status}, qr/^0$/, 'undisturbed it works');
        my ($killed, $last, @wrong, %changed) = (0, 0);
        my $try = sub {
            my ($kind, $n) = @_;
            my ($wrong, $said, $changed) =
                try_kill($t, \%option, $bytes, $before, $after, $kind, $n);
            push @wrong, "$kind $n: $wrong" if $wrong;
            $changed{$n} = $changed;
            $killed += $said =~ /^killed/;
            return $said =~ /^killed/ && @wrong < 10;
        };
        # Into the system and back out of it.
        my ($steps, $first) = look($t, \%option, $bytes);
        my $stride = $long ? 1 : int($steps / 6);
        my $step = 1 + int rand $stride;
        for (; $step < 10 * $steps && $try->('syscall', $step); $step += $stride) {
            $last = $step;
        }
        push @wrong, "of $steps steps $step were done: it does not end" if $step >= 10 * $steps;
        # Within copies into the file: in the short form into the old one, first of all.
        if ($long) {
            for my $n (grep { $changed{$_} || $changed{$_ + 1} } 1 .. $last) {
                for (my $c = 1; $try->('change', "$n+$c"); $c += 1 + int $c / 4) { }
            }
        } else {
            my $unchanged = $first - 1;
            for (my $c = 1; $c < 5 && $try->('change', "$unchanged+$c"); $c += 3 + int rand 3) { }
            # After requests that only prepare for it the copy that matters is the last one.
            my $n = $option{warm} ? $steps : 0;
            for (; $n > 0; $n--) {
                restore($t, $bytes);
                last if run_program($t, \%option, 'change', "$n+1") =~ /^killed/;
            }
            for (my $c = 1; $n > 0 && $try->('change', "$n+$c"); $c += 1 + int rand 6) { }
        }
        is(join("\n", @wrong), '', "killed $killed times: all is as before, or as after");
        cmp_ok($killed, '>', 5, 'often enough for this to mean something');
        note "$name: killed $killed times";
    };
}

done_testing;
