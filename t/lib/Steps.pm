# What t/steps.t and t/stopped.t share: programs that run under t/stepper up to a step, and
# scenarios in which that is done.
# SPDX-License-Identifier: BSD-2-Clause
package Steps;
use strict;
use warnings;
use Exporter 'import';
use Test::More;
use RateTest qw(build_dir slurp spew);

our @EXPORT = qw($ctl $long $rules %global @scenarios
    compare do_it leftovers look prepare program_to request restore run_program state step);

our $long = $ENV{RATELIMIT_LONG};
my $seed = srand;
note "seed $seed";

my $stepper = build_dir() . '/t/stepper';
my $helper  = build_dir() . '/policyd-ratelimit';
our $ctl    = build_dir() . '/policyd-ratelimit-ctl';

our $rules = <<'END';
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

our %global = (log => 'none', lock_timeout => '20s', on_error => 'WARN trouble');

# Runs a program under stepper: up to a step, or to its end, with 'look'. (the first line that
# stepper says, what the program wrote)
sub step {
    my ($t, $how, $input, @program) = @_;
    local %ENV = (%ENV, $t->clock_environment);
    # Looking for leaks is tracing too, and a process has one tracer. Without leaks to explain, the
    # fast unwinder does.
    $ENV{ASAN_OPTIONS} = join ':', grep {defined} $ENV{ASAN_OPTIONS}, 'detect_leaks=0',
        'fast_unwind_on_malloc=1';
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

# All that can be seen: use and denials of each window, what is set, whether anything is damaged.
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
    $t->set_clock($t->{began}) if $t->{began};
    return if !defined $bytes;
    spew("$t->{dir}/restored", $bytes);
    chmod 0600, "$t->{dir}/restored";
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
#   config     the configuration of the program that is traced, if not that of the others
our @scenarios = (
    ['a charge', request => [sasl_username => 'u', instance => 'i'], each => 1],
    [
        'a charge of a process that has charged before',
        request => [sasl_username => 'u', instance => 'i'], each => 1,
        warm => [([sasl_username => 'other', instance => 'j']) x 2]
    ],
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
        "a helper's compaction", request => [sasl_username => 'later', instance => 'i'], each => 1,
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
    # The first denial may lead to a compaction that makes room again: nothing has expired yet.
    my $full = 0;
    for my $n (1 .. 2000) {
        $full = $asker->ask(sasl_username => "old$n") eq 'DUNNO' ? 0 : $full + 1;
        last if $full == 10;
    }
    $asker->finish;
    $t->set_clock($t->{began} = undef);
    return;
}

# A limiter with a file to begin with.
sub prepare {
    my ($option) = @_;
    my $t = RateTest->new(global => \%global, rules => $rules);
    # The clock stands still: a compaction is due some time after the one before, and would come
    # in some of the runs only.
    $t->set_clock($t->{began} = time);
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
    if ($option->{command}) {
        return ($t->ctl({text => $option->{input} // ''}, @{$option->{command}}))[0];
    }
    my $answer;
    for my $warm (@{$option->{warm} // []}) {
        $asker->write(request(@{$warm}));
        $asker->answer;
    }
    # The file may be full until the compaction that the helper does then, if that is due. A kill
    # may also have left free space at the end of the file that TDB never uses again: then it lets
    # the file grow to its full size.
    for (1 .. 3) {
        $asker->write(request(@{$option->{request}}));
        $answer = $asker->answer // 'none';
        last if $answer ne 'WARN trouble';
        $t->set_clock($t->{began} + 60) if $t->{began};
    }
    return $answer;
}

# The program of a scenario, as step runs it.
sub program_to {
    my ($t, $option, @how) = @_;
    my @config  = ('-c', $option->{config} // $t->{config});
    my @program =
        $option->{command} ? ($ctl, @config, @{$option->{command}}) : ($helper, @config);
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

1;
