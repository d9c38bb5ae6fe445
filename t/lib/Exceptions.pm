# A limiter with rules of all kinds, and what tests of exceptions in its database share: set,
# unset, grant, limits, load, dump, explain.
# SPDX-License-Identifier: BSD-2-Clause
package Exceptions;
use strict;
use warnings;
use Exporter 'import';
use Test::More;
use RateTest;

our @EXPORT = qw($now @names $rules ask done fails fill limiter passing rows state);

# Noon: no calendar window ends soon.
our $now = 1_700_049_600;

# One rule a request: policy_context says which.
my @rules = (
    users      => "key = sasl_username\nlimit = 5/hour, 20/day\n"
        . "override = boss\@example.com 9/hour\n",
    exact_case => "key = sasl_username\nlimit = 5/hour\nfold_case = no\n",
    fixed      => "key = sasl_username\nlimit = 5/day\nstrategy = fixed-window\n",
    nets       => "key = client_address\nlimit = 5/hour\n",
    closed     => "key = sender\nlimit = deny\n",
    open       => "key = sender\nlimit = unlimited\n",
    exact      => "key = sasl_username\nlimit = 10/hour\nstrategy = moving-window\n"
        . "override = big 30/hour\n",
    pair       => "key = sasl_username+client_address\nlimit = 5/hour\n",
    volume     => "key = sasl_username\ncount = bytes\nlimit = 1MiB/day\n",
    all        => "key = everything\nlimit = 5/hour\n",
);
our @names = grep {/^\w+$/} @rules[map { 2 * $_ } 0 .. $#rules / 2];
my %rule  = @rules;
our $rules = join '', map {"[rule $_]\nmatch = policy_context = $_\n$rule{$_}"} @names;

sub limiter {
    my (%global) = @_;
    my $t = RateTest->new(rules => $rules, global => {on_error => 'WARN trouble', %global});
    $t->set_clock($now);
    return $t;
}

sub ask {
    my ($helper, $rule, $key, %more) = @_;
    my $name =
        $rule eq 'nets' ? 'client_address' : $rule =~ /closed|open/ ? 'sender' : 'sasl_username';
    return $helper->ask(policy_context => $rule, $name => $key, %more) // 'gone';
}

# How many requests pass, of so many at most.
sub passing {
    my ($helper, $most, $rule, $key, %more) = @_;
    for my $n (0 .. $most - 1) {
        return $n if ask($helper, $rule, $key, %more) ne 'DUNNO';
    }
    return $most;
}

# A command that did what it should. set also says on stderr if the key has no counter.
sub done {
    my ($name, $result, $expected) = @_;
    my ($status, $out, $err) = @$result;
    $err =~ s/\Apolicyd-ratelimit-ctl: the rule \w+ has no counter for ".+" yet.*\n\z//;
    return is_deeply([$status, $out, $err], [0, "$expected\n", ''], $name)
}

sub fails {
    my ($t, $status, $why, @command) = @_;
    my ($got, $out, $err) = $t->ctl(@command);
    my $name = join ' ', map { ref ? () : substr $_, 0, 40 } @command;
    is_deeply([$got, $out], [$status, ''], $name);
    return like($err, $why, '  says why');
}

# Rows of show.
sub rows {
    my ($t, @options) = @_;
    my (undef, @rows) = $t->show(@options);
    return @rows;
}

# What is set, as dump has it, and what is counted.
sub state {
    my ($t) = @_;
    return join '', map { ($t->ctl(@$_))[1] } ['dump'], ['show', '--json', '--sort', 'key']
}

# Some of everything.
sub fill {
    my ($t) = @_;
    my $helper = $t->helper;
    passing($helper, 3, 'users', $_) for qw(bob alice);
    passing($helper, 4, 'exact', 'bob');
    is(($t->ctl('set', 'users', 'bob', '8/hour, 100/day'))[0], 0);
    $t->ctl('set', 'users', 'x' x 250, '8/hour');
    $t->ctl('set', 'users', 'a b#c', '9/hour');
    $t->ctl('set', '--for', '3 days', 'nets', '2001:db8::1', 'deny');
    $t->ctl('set', 'volume', 'bob', '5GiB/day');
    $t->ctl('set', 'pair', 'bob+192.0.2.1', '3/hour');
    $t->ctl('set', 'all', 'everything', 'unlimited');
    $t->ctl('grant', '--for', "${_}h", 'exact', 'bob', "+$_") for 1 .. 5;
    $t->ctl('grant', '--for', '1h', 'volume', 'bob', '+1500k');
    return $helper;
}

1;
