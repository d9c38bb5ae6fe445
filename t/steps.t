#!/usr/bin/perl
# Processes killed, or stopped, step by step, with t/stepper: at each system call, and where a
# copy into the file is half done. Every counter is then as before or charged once, whatever
# was interrupted is done wholly or not at all, and who comes next goes on. In `make check` a
# sample of the steps, in `make check-long` all of them.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use RateTest qw(build_dir run slurp spew);

my $long = $ENV{RATELIMIT_LONG};
my $seed = srand;
note "seed $seed";

my $stepper = build_dir() . '/t/stepper';
my $helper  = build_dir() . '/policyd-ratelimit';
my $ctl     = build_dir() . '/policyd-ratelimit-ctl';

my $rules = <<'END';
[rule slide]
key = sasl_username
limit = 5/hour, 9/day
[rule move]
key = sasl_username
limit = 20/day
strategy = moving-window
[rule fix]
key = sasl_username
limit = 1G/day
count = bytes
strategy = fixed-window
END

my %global = (log => 'none', lock_timeout => '20s', on_error => 'WARN trouble');

# Runs a program under stepper: up to a step, or to its end, with 'look'. (the first line that
# stepper says, what the program wrote)
sub step {
    my ($t, $how, $input, @program) = @_;
    local %ENV = (%ENV, $t->clock_environment);
    # Looking for leaks is tracing too, and a process has one tracer.
    $ENV{ASAN_OPTIONS} = join ':', grep {defined} $ENV{ASAN_OPTIONS}, 'detect_leaks=0';
    spew("$t->{dir}/input", $input);
    open my $fh, '-|', 'sh', '-c', 'input=$1; shift; exec "$@" <"$input"', 'sh', "$t->{dir}/input",
        $stepper, $t->{database}, @$how, '--', @program
        or die "stepper: $!";
    my $first = readline($fh) // '';
    return ($first, $fh) if $first =~ /^stopped/;
    local $/;
    my $rest = readline($fh) // '';
    close $fh;
    plan skip_all => 'ptrace is not allowed here' if $? >> 8 == 77;
    die "stepper: $?" if $?;
    return ($first, $rest);
}

sub request {
    return RateTest::Helper::request(protocol_state => 'END-OF-MESSAGE', recipient_count => 1,
        size => 1000, @_)
}

# All that can be seen: use and refusals of each window, what is set, whether anything is damaged.
sub state {
    my ($t) = @_;
    my ($shown, @rows) = $t->show;
    my %state = (status => $shown);
    for my $row (@rows) {
        $state{"$row->{key} $row->{rule} $row->{window}"} =
            "used $row->{used} of $row->{limit}, denied $row->{denied}";
    }
    my ($status, $out, $complaints) = $t->ctl('dump');
    $state{set} = $status . $out =~ s/\t\d+$/\tUNTIL/mgr . $complaints;
    return \%state;
}

# Which of the two a state is; of single counters if the program writes them one by one.
sub compare {
    my ($got, $before, $after, $each) = @_;
    my %keys = map { $_ => 1 } keys %$got, keys %$before, keys %$after;
    my $show = sub { $_[0] // 'none' };
    my ($is_before, $is_after, @neither) = (1, 1);
    for my $key (sort keys %keys) {
        my ($g, $b, $a) = map { $show->($_->{$key}) } $got, $before, $after;
        $is_before &&= $g eq $b;
        $is_after  &&= $g eq $a;
        push @neither, "$key: $g (before $b, after $a)" if $g ne $b && $g ne $a;
    }
    return '' if $is_before || $is_after || ($each && !@neither);
    return @neither ? "@neither" : 'half done';
}

# Puts the file as it was under its name, as another file, with nothing beside it.
sub restore {
    my ($t, $bytes) = @_;
    unlink glob "$t->{database}*";
    return if !defined $bytes;
    spew("$t->{dir}/restored", $bytes);
    chmod 0640, "$t->{dir}/restored";
    rename "$t->{dir}/restored", $t->{database} or die $!;
    return;
}

sub leftovers {
    my ($t) = @_;
    return map { s/.*counters\.tdb\.//r } grep { $_ ne $t->{database} } glob "$t->{database}*";
}

# name, options:
#   request    what a helper is asked, after what is in warm
#   command    of the ctl, in place of that, and input, its stdin
#   each       single counters are done wholly or not at all, else everything is
#   after      called when the file has been prepared
#   new        starts without a file
#   not_twice  it may not be done again when it was done
my @scenarios = (
    ['a charge', request => [sasl_username => 'u', instance => 'i'], each => 1],
    # The third request of a process takes the short way (store_map.c), as nearly all do.
    ['a charge the short way', request => [sasl_username => 'u', instance => 'i'], each => 1,
        warm => [([sasl_username => 'other', instance => 'j']) x 2]],
    ['a charge for a recipient', each => 1,
        request =>
            [sasl_username => 'u', instance => 'i', protocol_state => 'RCPT', recipient_count => 0]
    ],
    ['an insert', request => [sasl_username => 'new', instance => 'i'], each => 1],
    [
        'the first request of all', request => [sasl_username => 'u', instance => 'i'], each => 1,
        new => 1
    ],
    [
        'a charge that changes the layout of a record',
        request => [sasl_username => 'u', instance => 'i'], each => 1,
        after => sub {
            $_[0]->configure(global => \%global,
                rules => $rules =~ s{9/day}{9/day, 100/week}r =~ s{= 20/}{= 30/}r)
        }
    ],
    [
        "a helper's rewrite", request => [sasl_username => 'later', instance => 'i'], each => 1,
        after => \&fill_up
    ],
    ['reset',  command => ['reset', 'u'], each => 1, not_twice => 1],
    ['set, for a key that has nothing set', command => ['set', 'slide', 'u', '7/hour'], ],
    [
        'set, for a key that has',
        command => ['set', 'slide', 'other', '70/hour, 800/day, 9000/week'],
    ],
    ['unset',  command => ['unset', 'slide', 'other'], not_twice => 1],
    ['grant',  command => ['grant', '--for', '2h', 'slide', 'u', '+3'], not_twice => 1],
    [
        'load', command => ['load', '-'],
        input => join('', map {"slide\tk$_\t$_/hour\n"} 1 .. 20) . "move\tu\t9/day\n"
    ],
    ['load --replace', command => ['load', '--replace', '-'], input => "slide\tu\t8/hour\n"],
    ['clean',  command => ['clean']],
);

# Makes a file without room, though much of it has expired.
sub fill_up {
    my ($t) = @_;
    $t->configure(global => {%global, database_max_size => '300K'}, rules => $rules);
    $t->set_clock(time - 86400 * 30);
    my $asker = $t->helper;
    for my $n (1 .. 2000) {
        last if $asker->ask(sasl_username => "old$n") ne 'DUNNO';
    }
    $asker->finish;
    $t->set_clock(undef);
    return;
}

# A limiter with a file to begin with.
sub prepare {
    my ($option) = @_;
    my $t = RateTest->new(global => \%global, rules => $rules);
    if (!$option->{new}) {
        is(($t->ctl('set', 'slide', 'other', '60/hour'))[0], 0) or diag 'set';
        my $asker = $t->helper;
        $asker->write(request(sasl_username => $_, instance => "first $_")) && $asker->answer
            for qw(u u v other);
        $asker->finish;
        $t->ctl('grant', '--for', '3h', 'move', 'v', '+30');
    }
    $option->{after}->($t) if $option->{after};
    return $t;
}

# The program of a scenario, done by a process that is left alone.
sub do_it {
    my ($t, $option, $asker) = @_;
    return ($t->ctl_with($option->{input}, @{$option->{command}}))[0] if $option->{command};
    my $answer;
    for my $warm (@{$option->{warm} // []}) {
        $asker->write(request(@{$warm}));
        $asker->answer;
    }
    # The file may be full until the rewrite that the helper does then.
    for (1 .. 3) {
        $asker->write(request(@{$option->{request}}));
        $answer = $asker->answer // 'none';
        last if $answer ne 'WARN trouble';
    }
    return $answer;
}

sub RateTest::ctl_with {
    my ($t, $input, @command) = @_;
    spew("$t->{dir}/input", $input // '');
    return run('sh', '-c', 'input=$1; shift; exec "$@" <"$input"', 'sh', "$t->{dir}/input", $ctl,
        '-c', $t->{config}, @command);
}

# The program of a scenario, as step runs it.
sub program_to {
    my ($t, $option, @how) = @_;
    my @program =
        $option->{command}
        ? ($ctl, '-c', $t->{config}, @{$option->{command}})
        : ($helper, '-c', $t->{config});
    my $input = $option->{command} ? $option->{input} // ''
        : join '', map { request(@{$_}) } @{$option->{warm} // []}, $option->{request};
    return step($t, \@how, $input, @program);
}

sub run_program {
    my ($t, $option, $kind, $n) = @_;
    my ($said) = program_to($t, $option, $kind, $n, 'kill');
    return $said;
}

# How many steps the program of a scenario takes; the first step at which any file is not as it
# was, and the first one at which that is so of the database itself.
sub look {
    my ($t, $option, $bytes) = @_;
    restore($t, $bytes);
    my ($said) = program_to($t, $option, 'look');
    return $said =~ /^ended after (\d+) steps, changes at (\d+), the database at (\d+)$/;
}

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
    my @left = grep { !/^(?:new|\d+)$/ } leftovers($t);
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
        if grep { $_ eq 'new' } leftovers($t);
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
        for (my $n = 1 + int rand $stride; $try->('syscall', $n); $n += $stride) {
            $last = $n;
        }
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
        # A file that was full takes a rewrite more.
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
    grep { $_->[0] =~ /^(?:a charge|a helper's rewrite|set, for a key that has|load|clean)$/ }
    @scenarios)
{
    my ($name, %option) = @$scenario;
    subtest "stopped: $name" => sub {
        my $t = prepare(\%option);
        my $full = $option{after} ? '300K' : '256M';
        $t->configure(rules => $rules,
            global => {%global, lock_timeout => '100ms', database_max_size => $full});
        my $bytes = slurp($t->{database});
        my ($steps, undef, $writing) = look($t, \%option, $bytes);
        # Where it is about to write it has its locks for certain.
        # The witness, or an alarm on a slow machine, can move that by a step or two.
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

subtest 'the clock is set forward in the middle of a rewrite' => sub {
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
    my ($took) = $t->records->{':meta'} =~ /took=([0-9a-f]+)/;
    cmp_ok(hex $took, '<', 3600 * 1000, 'it is not thought to have taken years');
};

# A rewrite of a large file takes seconds: what others charge meanwhile is of a later time than
# when it began, and no clock was set back.
subtest 'the clock goes on during a rewrite' => sub {
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
