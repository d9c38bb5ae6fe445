#!/usr/bin/perl
# Overrides in the database: set, unset, grant, limits, load, dump, clean, and explain, all of
# it while helpers run.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use JSON::PP qw(decode_json);
use POSIX ();
use Test::More;
use RateTest qw(run slurp spew build_dir);

# Noon: no calendar window ends soon.
my $now = 1_700_049_600;

# One rule a request: policy_context says which.
my @rules = (
    users => "key = sasl_username\nlimit = 5/hour, 20/day\noverride = boss\@example.com 9/hour\n",
    exact_case => "key = sasl_username\nlimit = 5/hour\nfold_case = no\n",
    fixed      => "key = sasl_username\nlimit = 5/day\nstrategy = fixed-window\n",
    nets       => "key = client_address\nlimit = 5/hour\n",
    closed     => "key = sender\nlimit = deny\n",
    open       => "key = sender\nlimit = unlimited\n",
    exact      => "key = sasl_username\nlimit = 10/hour\nstrategy = moving-window\noverride = big 30/hour\n",
    pair       => "key = sasl_username+client_address\nlimit = 5/hour\n",
    volume     => "key = sasl_username\ncount = bytes\nlimit = 1MiB/day\n",
    all        => "key = everything\nlimit = 5/hour\n",
);
my @names = grep {/^\w+$/} @rules[map { 2 * $_ } 0 .. $#rules / 2];
my %rule  = @rules;
my $rules = join '', map {"[rule $_]\nmatch = policy_context = $_\n$rule{$_}"} @names;

sub limiter {
    my (%global) = @_;
    my $t = RateTest->new(rules => $rules, global => {on_error => 'WARN trouble', %global});
    $t->set_clock($now);
    return $t;
}

sub ask {
    my ($helper, $rule, $key, %more) = @_;
    my $name = $rule eq 'nets' ? 'client_address' : $rule =~ /closed|open/ ? 'sender' : 'sasl_username';
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

sub done { my ($name, $result, $expected) = @_; return is_deeply($result, [0, "$expected\n", ''], $name) }

sub refused {
    my ($t, $status, $why, @command) = @_;
    my ($got, $out, $err) = $t->ctl(@command);
    my $name = join ' ', map { ref ? () : substr $_, 0, 40 } @command;
    is_deeply([$got, $out], [$status, ''], $name);
    return like($err, $why, '  says why');
}

sub rows {
    my ($t, @options) = @_;
    my (undef, $out) = $t->ctl('show', '--json', @options);
    return @{decode_json($out)};
}

# What is set, as dump has it, and what is counted.
sub state { my ($t) = @_; return join '', map { ($t->ctl(@$_))[1] } ['dump'], ['show', '--json', '--sort', 'key'] }

subtest 'a helper that runs takes it up at its next request' => sub {
    my $t = limiter();
    my ($helper, $other) = ($t->helper, $t->helper);
    is(passing($helper, 9, 'users', 'bob'), 5, 'the rule: 5');
    done('raised', [$t->ctl('set', 'users', 'bob', '8/hour')], 'users: bob: 8/hour');
    is(passing($helper, 9, 'users', 'bob'), 3, '3 more: what was used stays used');
    like(ask($other, 'users', 'bob'), qr{Limit of 8/hour reached for bob}, 'in every process');
    done('lowered', [$t->ctl('set', 'users', 'bob', '3/hour')], 'users: bob: 3/hour');
    like(ask($helper, 'users', 'bob'), qr{Limit of 3/hour});
    my ($row) = rows($t, '--key', 'bob');
    is_deeply([@$row{qw(limit used remaining percent source denied)}], [3, 8, 0, 266, 'set', 4], 'as show has it');
    done('denied', [$t->ctl('set', 'users', 'newcomer', 'deny')], 'users: newcomer: deny');
    is(passing($helper, 1, 'users', 'newcomer'), 0, 'who has no counter yet too');
    done('unlimited', [$t->ctl('set', 'users', 'bob', 'unlimited')], 'users: bob: unlimited');
    is(passing($helper, 50, 'users', 'bob'), 50);
    is((rows($t, '--key', 'bob'))[0]{limit}, undef, 'null in show');
    done('back', [$t->ctl('unset', 'users', 'bob')], 'users: bob: as the configuration says');
    like(ask($helper, 'users', 'bob'), qr{Limit of 20/day}, 'what was used meanwhile counts');
    is((rows($t, '--key', 'bob'))[0]{source}, 'rule');
    is(passing($other, 9, 'users', 'alice'), 5, 'others have the limits of the rule');

    is(passing($helper, 20, 'users', 'boss@example.com'), 9, 'an override of the file');
    $t->ctl('set', 'users', 'boss@example.com', '12/hour');
    is(passing($helper, 20, 'users', 'boss@example.com'), 3, 'set wins over it');
    $t->ctl('unset', 'users', 'boss@example.com');
    like(ask($helper, 'users', 'boss@example.com'), qr{Limit of 9/hour}, 'which comes back');

    $t->ctl('set', 'users', 'carol', '60/hour');
    is(passing($helper, 100, 'users', 'carol'), 60, 'all limits of the rule are replaced: none a day');
    done('in a window of its own', [$t->ctl('set', 'users', 'carol', '70 per week')], 'users: carol: 70/week');
    is(passing($helper, 100, 'users', 'carol'), 70, 'which starts empty');
    done('limits in their shortest form', [$t->ctl('set', 'users', 'dan', '4/60 minutes | 1k/day')],
        'users: dan: 4/hour, 1000/day');
    is(passing($helper, 9, 'users', 'dan'), 4);
    $t->ctl('set', 'fixed', 'dan', '7/day');
    is(passing($helper, 9, 'fixed', 'dan'), 7, 'in a fixed window');
    $t->ctl('set', 'volume', 'dan', '2MiB/day');
    my @mail = (protocol_state => 'END-OF-MESSAGE', size => 1 << 20);
    is(passing($helper, 9, 'volume', 'dan', @mail), 2, 'in bytes');
    $t->ctl('set', 'all', 'everything', '8/hour');
    is(passing($helper, 20, 'all', 'x'), 8, 'the one key of everything');
};

subtest 'keys are folded as the rule does' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    done('case', [$t->ctl('set', 'users', 'BOB@Example.COM', '2/hour')], 'users: bob@example.com: 2/hour');
    is(passing($helper, 9, 'users', 'Bob@example.com'), 2);
    $t->ctl('unset', 'users', 'boB@example.com');
    like(ask($helper, 'users', 'bob@example.com'), qr{^DUNNO$}, 'unset too');
    done('unless it does not', [$t->ctl('set', 'exact_case', 'Bob', '2/hour')], 'exact_case: Bob: 2/hour');
    is(passing($helper, 9, 'exact_case', 'Bob'), 2);
    is(passing($helper, 9, 'exact_case', 'bob'), 5);

    my ($long, $longer) = map { 'x' x 250 . $_ . '@example.com' } '', 'y';
    like(($t->ctl('set', 'users', $long, '2/hour'))[1], qr/^users: x+~[0-9a-f]{16}: 2\/hour$/, 'a long key is cut');
    is(passing($helper, 9, 'users', $long),   2, 'and known again');
    is(passing($helper, 9, 'users', $longer), 5, 'from one that differs further on');
    is(($t->ctl('unset', 'users', $longer))[0], 1);
    is(($t->ctl('unset', 'users', $long))[0],   0);

    done('an address', [$t->ctl('set', 'nets', '2001:DB8:0::1', '2/hour')], 'nets: 2001:db8::/64: 2/hour');
    is(passing($helper, 9, 'nets', '2001:db8::ffff'), 2, 'stands for the network that it is counted in');
    done('a network', [$t->ctl('set', 'nets', '2001:db8::/64', '3/hour')], 'nets: 2001:db8::/64: 3/hour');
    is(passing($helper, 9, 'nets', '2001:db8::1'), 1);
    done('of IPv4', [$t->ctl('set', 'nets', '192.0.2.1/32', '3/hour')], 'nets: 192.0.2.1: 3/hour');
    is(passing($helper, 9, 'nets', '192.0.2.1'), 3);
    done('a pair', [$t->ctl('set', 'pair', 'Bob+192.0.2.1', '3/hour')], 'pair: bob+192.0.2.1: 3/hour');
    is(passing($helper, 9, 'pair', 'bob'), 3);

    my $advice = qr/; limits for many keys at once are override lines of the configuration$/;
    refused($t, 65, qr/"2001:db8::\/48" is larger than the \/64 that share a counter$advice/,
        'set', 'nets', '2001:db8::/48', '5/hour');
    refused($t, 65, qr/"192\.0\.2\.0\/24" is larger than the \/32/, 'grant', '--for', '1h', 'nets', '192.0.2.0/24', '+5');
    done('spelt otherwise', [$t->ctl('set', 'nets', '2001:DB8:0:0::/64', '4/hour')], 'nets: 2001:db8::/64: 4/hour');
    is(passing($helper, 9, 'nets', '2001:db8::1'), 1);
    is_deeply([$t->ctl('reset', '2001:DB8:0::/64', '192.0.2.1/32')], [0, "2 counters reset\n", ''], 'reset too');
    refused($t, 65, qr/"2001:db8::\/96" is smaller than the networks of \/64 that share a counter/,
        'set', 'nets', '2001:db8::/96', '5/hour');
    refused($t, 65, qr/"192\.0\.2\.1\/24" has bits set after its prefix/, 'set', 'nets', '192.0.2.1/24', '5/hour');
    refused($t, 65, qr/"bob" is not an IP address, but keys of the rule nets are/, 'set', 'nets', 'bob', '5/hour');
    refused($t, 65, qr/"\Q$_\E" is a pattern, not a key$advice/, 'set', 'users', $_, '5/hour')
        for '@example.com', '.example.com', '*@example.com';
    refused($t, 65, qr/the rule all has one key, everything; not "bob"/, 'set', 'all', 'bob', '5/hour');
};

subtest 'an end by itself' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    passing($helper, 9, 'users', 'bob');
    done('--for', [$t->ctl('set', '--for', '1h30m', 'users', 'bob', '6/hour')],
        'users: bob: 6/hour until ' . POSIX::strftime('%Y-%m-%d %H:%M', localtime $now + 5400));
    $t->ctl('set', '--for', '30m', 'users', 'bob', '7/hour');
    is(passing($helper, 9, 'users', 'bob'), 2, 'the last one holds');
    $t->set_clock($now + 1799);
    like(ask($helper, 'users', 'bob'), qr{Limit of 7/hour}, 'to its last second');
    $t->set_clock($now + 1800);
    like(ask($helper, 'users', 'bob'), qr{Limit of 5/hour}, 'and not longer');
    is(($t->ctl('dump'))[1], '', 'nothing is set any more');
    is(($t->ctl('unset', 'users', 'bob'))[0], 1);
    is((rows($t))[0]{source}, 'rule');
};

subtest 'grants' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    my $end    = sub { POSIX::strftime('%Y-%m-%d %H:%M', localtime $now + $_[0]) };
    is(passing($helper, 9, 'users', 'bob'), 5);
    done('one', [$t->ctl('grant', '--for', '10m', 'users', 'Bob', '+2')],
        'users: bob: 2 more in each window until ' . $end->(600));
    is(passing($helper, 9, 'users', 'bob'), 2);
    is(($t->ctl('grant', '--for', '20m', 'users', 'bob', '+3'))[0], 0);
    is(passing($helper, 9, 'users', 'bob'), 3, 'they add up');
    is_deeply([map {"$_->{used}/$_->{limit} $_->{source}"} rows($t)], ['10/10 set', '10/25 set'], 'in each window');
    $t->set_clock($now + 600);
    like(ask($helper, 'users', 'bob'), qr{Limit of 8/hour}, 'and end one by one');
    is(($t->ctl('set', 'users', 'bob', '20/hour'))[0], 0);
    is(passing($helper, 50, 'users', 'bob'), 13, 'on top of what is set');
    $t->set_clock($now + 1200);
    like(ask($helper, 'users', 'bob'), qr{Limit of 20/hour});
    $t->ctl('unset', 'users', 'bob');
    is(($t->ctl('grant', '--for', ($_ + 1) . 'm', 'users', 'bob', '+1'))[0], 0, "grant $_") for 1 .. 8;
    refused($t, 65, qr/the key has 8 grants already; unset ends them all/, 'grant', '--for', '1h', 'users', 'bob', '+1');
    is((rows($t))[0]{limit}, 13, 'which are left');
    $t->set_clock($now + 1200 + 120);
    is(($t->ctl('grant', '--for', '1h', 'users', 'bob', '+1'))[0], 0, 'when one has ended there is room');
    is(($t->ctl('unset', 'users', 'bob'))[0], 0);
    is(($t->ctl('dump'))[1], '', 'unset ends them all');
    is((rows($t))[0]{limit}, 5);

    $t->ctl('set', 'users', 'deny', 'deny');
    refused($t, 65, qr/the key is denied altogether \(see set\); there is nothing to grant more of/,
        'grant', '--for', '1h', 'users', 'deny', '+1');
    refused($t, 65, qr/the key is unlimited; there is/, 'grant', '--for', '1h', 'open', 'x@example.com', '+1');
    $t->ctl('grant', '--for', '1h', 'volume', 'bob', '+1MiB');
    is(passing($helper, 9, 'volume', 'bob', protocol_state => 'END-OF-MESSAGE', size => 1 << 20), 2, 'of bytes');
    $t->ctl('grant', '--for', '1h', 'users', 'fresh', '+3');
    is(passing($helper, 20, 'users', 'fresh'), 8, 'to a key without a counter');
};

subtest 'rules without windows' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    is(passing($helper, 1, 'closed', 'ann@example.com'), 0, 'deny');
    $t->ctl('set', 'closed', 'ann@example.com', '3/hour');
    is(passing($helper, 9, 'closed', 'ann@example.com'), 3, 'is a list of who may');
    is(passing($helper, 1, 'closed', 'bob@example.com'), 0, 'others may not');
    is_deeply([map {"$_->{rule} $_->{key} $_->{used}"} rows($t)], ['closed ann@example.com 3'], 'shown');
    is(($t->ctl('reset', 'ann@example.com'))[0], 0);
    is(passing($helper, 9, 'closed', 'ann@example.com'), 3, 'and reset');
    $t->ctl('set', 'closed', 'ann@example.com', 'unlimited');
    is(passing($helper, 9, 'closed', 'ann@example.com'), 9);
    $t->ctl('unset', 'closed', 'ann@example.com');
    is(passing($helper, 9, 'closed', 'ann@example.com'), 0);
    is(passing($helper, 9, 'open', 'ann@example.com'), 9, 'unlimited');
    $t->ctl('set', 'open', 'ann@example.com', '3/hour');
    is(passing($helper, 9, 'open', 'ann@example.com'), 3, 'is a list of who may not, or not so much');
    is(passing($helper, 9, 'open', 'bob@example.com'), 9);
    $t->ctl('unset', 'open', 'ann@example.com');
    is(passing($helper, 9, 'open', 'ann@example.com'), 9);
};

subtest 'a moving window has the room that the configuration gives it' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    is(passing($helper, 20, 'exact', 'bob'), 10);
    is(($t->ctl('set', 'exact', 'bob', '30/hour'))[0], 0);
    is(passing($helper, 50, 'exact', 'bob'), 20, 'as much as the largest override of the file');
    my $room = qr/a limit above 30: the records of this moving-window have no room for more; raise the rule's limit/;
    refused($t, 65, $room, 'set', 'exact', 'bob', '31/hour');
    refused($t, 65, $room, 'grant', '--for', '1h', 'exact', 'bob', '+1');
    refused($t, 65, $room, 'grant', '--for', '1h', 'exact', 'alice', '+21');
    is(($t->ctl('grant', '--for', '1h', 'exact', 'alice', '+20'))[0], 0);
    is(passing($helper, 50, 'exact', 'alice'), 30);
    $t->set_clock($now + 3599);
    is(passing($helper, 50, 'exact', 'bob'), 0);
    $t->set_clock($now + 3600);
    is(passing($helper, 50, 'exact', 'bob'), 30, 'exact as ever');
    # The configuration changes, and has no room for it any more.
    $t->configure(rules => $rules =~ s/override = big 30\/hour\n//r, global => {on_error => 'WARN trouble'});
    my $new = $t->helper;
    $t->set_clock($now + 9000);
    is(passing($new, 50, 'exact', 'bob'), 10, 'what does not fit any more does not hold');
};

subtest 'reset and clean' => sub {
    my $t = limiter();
    my ($helper, $other) = ($t->helper, $t->helper);
    ask($helper, 'users', $_) for qw(bob bob bob alice);
    $t->ctl('set', 'users', 'bob', '8/hour');
    $t->ctl('set', 'users', 'fresh', '7/hour');
    $t->ctl('set', '--for', '1h', 'users', 'short', '6/hour');
    $t->ctl('grant', '--for', '3h', 'users', 'bob', '+1');
    ask($helper, 'users', 'short');
    is_deeply([$t->ctl('reset', 'bob')], [0, "1 counter reset\n", '']);
    is(passing($helper, 20, 'users', 'bob'), 9, 'a reset leaves what is set and granted');
    is_deeply([$t->ctl('reset', '--all')], [0, "3 counters reset\n", ''], 'which is no counter');
    is(passing($helper, 20, 'users', 'bob'), 9);
    ask($other, 'users', 'alice');
    my ($before, $file) = (state($t), (stat $t->{database})[1]);
    my ($status, $out, $err) = $t->ctl('clean');
    is("$status$err", '0');
    like($out, qr/^\d+ records kept, \d+ expired records removed; \d+ KiB, before that \d+ KiB$/);
    isnt((stat $t->{database})[1], $file, 'clean makes a new file');
    is(state($t), $before, 'with what was in the old one');
    like(ask($helper, 'users', 'bob'), qr{Limit of 9/hour}, 'running helpers follow');
    is(passing($other, 9, 'users', 'alice'), 4);
    is(passing($other, 9, 'users', 'fresh'), 7);
    # Two days later nothing is left but what is set for good: and for 7 days whom it refused.
    $t->ctl('reset', '--all');
    $t->set_clock($now + 2 * 86400);
    ($status, $out, $err) = $t->ctl('clean');
    is("$status$err", '0');
    like($out, qr/^2 records kept, 5 expired records removed; /, 'what has expired goes, limits that were set too');
    is_deeply([sort grep { !/^:meta/ } keys %{$t->records}], [':set:users:bob', ':set:users:fresh']);
    is(($t->ctl('dump'))[1], "users\tbob\t8/hour\nusers\tfresh\t7/hour\n");
    is(passing($helper, 20, 'users', 'bob'), 8, 'a counter that comes later finds its limits');
    is((grep {/\.new$/} glob "$t->{dir}/*"), 0, 'nothing beside the file');
};

subtest 'limits' => sub {
    my $t = limiter();
    $t->helper->ask;
    is_deeply([$t->ctl('limits')], [0, '', "nothing is set; config shows the overrides of the configuration\n"]);
    is_deeply([$t->ctl('limits', '--json')], [0, "[]\n", '']);
    is_deeply([$t->ctl('dump')], [0, '', '']);
    local $ENV{TZ} = 'UTC';
    $t->ctl('set', '--for', '1d', 'users', 'bob', '8/hour, 50/day');
    $t->ctl('grant', '--for', '2h', 'users', 'bob', '+100');
    $t->ctl('grant', '--for', '1h', 'users', 'bob', '+10');
    $t->ctl('set', 'nets', '192.0.2.7', 'unlimited');
    is(($t->ctl('limits'))[1], <<'END', 'the table');
RULE   KEY        LIMITS          UNTIL
nets   192.0.2.7  unlimited       -
users  bob        8/hour, 50/day  2023-11-16 12:00
users  bob        +10             2023-11-15 13:00
users  bob        +100            2023-11-15 14:00
END
    is_deeply(decode_json(($t->ctl('limits', '--json', '--rule', 'users'))[1]), [
        {rule => 'users', key => 'bob', limits => '8/hour, 50/day', until => $now + 86400},
        {rule => 'users', key => 'bob', limits => '+10',            until => $now + 3600},
        {rule => 'users', key => 'bob', limits => '+100',           until => $now + 7200},
    ], 'JSON');
    is(decode_json(($t->ctl('limits', '--json', '--rule', 'nets'))[1])->[0]{until}, undef, 'null: for good');
    is_deeply([($t->ctl('limits', '--rule', 'all'))[0, 1]], [1, ''], 'none of this rule');
    is(($t->ctl('dump'))[1], <<"END", 'dump');
nets\t192.0.2.7\tunlimited
users\tbob\t8/hour, 50/day\t@{[$now + 86400]}
users\tbob\t+10\t@{[$now + 3600]}
users\tbob\t+100\t@{[$now + 7200]}
END
};

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

subtest 'dump and load' => sub {
    my $t      = limiter();
    my $helper = fill($t);
    my ($dump) = ($t->ctl('dump'))[1];
    is(() = $dump =~ /\n/g, 13);
    my $counted = join '', $t->ctl('show', '--json');
    my $loaded  = "13 lines for 8 keys loaded\n";
    is_deeply([$t->ctl({text => $dump}, 'load', '-')], [0, $loaded, ''], 'over itself');
    is(($t->ctl('dump'))[1], $dump, 'changes nothing');
    is(join('', $t->ctl('show', '--json')), $counted, 'no counter either');
    spew("$t->{dir}/dump", $dump);
    is_deeply([$t->ctl('load', '--replace', "$t->{dir}/dump")], [0, $loaded, ''], 'instead of itself');
    is(($t->ctl('dump'))[1], $dump);
    is(passing($helper, 20, 'users', 'bob'), 5, 'a running helper follows: 8');
    is(passing($helper, 50, 'exact', 'bob'), 21, '10 and five grants');
    is(passing($helper, 20, 'users', 'alice'), 2, 'of a key with a counter that had no limits of its own');
    is(($t->ctl({text => "users\talice\t9/hour\n"}, 'load', '-'))[0], 0);
    is(passing($helper, 20, 'users', 'alice'), 4, 'its use stays, its limits are new');
    $t->ctl('unset', 'users', 'alice');

    my $empty = limiter();
    is_deeply([$empty->ctl({text => $dump}, 'load', '-')], [0, $loaded, ''], 'where there is no file yet');
    is(($empty->ctl('dump'))[1], $dump, 'it is the same');
    is((stat $empty->{database})[2] & 07777, 0640, 'the file is as the helper makes it');
    is(passing($empty->helper, 20, 'users', 'bob'), 8, 'and used by it');

    is_deeply([$t->ctl({text => "users\tbob\t6/hour\nusers\tnew\t2/hour\n"}, 'load', '-')],
        [0, "2 lines for 2 keys loaded\n", ''], 'some keys');
    is(($t->ctl('dump'))[1], $dump =~ s{users\tbob\t\K.*\n}{6/hour\nusers\tnew\t2/hour\n}r, 'others stay');
    is_deeply([$t->ctl({text => "users\tbob\t7/hour\n"}, 'load', '--replace', '-')], [0, "1 line for 1 key loaded\n", '']);
    is(($t->ctl('dump'))[1], "users\tbob\t7/hour\n", '--replace: others go');
    is(passing($helper, 20, 'users', 'new'), 5, 'back to the configuration');
    $t->ctl('grant', '--for', '1h', 'users', 'bob', '+9');
    $t->ctl({text => "users\tbob\t7/hour\n"}, 'load', '-');
    is(($t->ctl('dump'))[1], "users\tbob\t7/hour\n", 'whatever was set or granted for a key of the file');
    is_deeply([$t->ctl({text => ''}, 'load', '-')], [0, "0 lines for 0 keys loaded\n", ''], 'nothing');
    is(($t->ctl('dump'))[1], "users\tbob\t7/hour\n", 'changes nothing');
    is_deeply([$t->ctl({text => "# none\n"}, 'load', '--replace', '-')], [0, "0 lines for 0 keys loaded\n", '']);
    is(($t->ctl('dump'))[1], '', 'unless it is to replace');
};

subtest 'the form of what is loaded' => sub {
    my $t    = limiter();
    my $when = $now + 86400;
    my @date = gmtime $when;
    my $date = sprintf '%04d-%02d-%02d %02d:%02d', $date[5] + 1900, $date[4] + 1, @date[3, 2, 1];
    local $ENV{TZ} = 'UTC';
    my ($status, $out, $err) = $t->ctl({text => <<"END" =~ s/EOL/\r/gr . "users\tlast\t1/hour"}, 'load', '-');
# a comment\tthat looks\tlike a line

users\ta\t1/hourEOL
users\tb\t1/hour\tNULL
users\tc\t1/hour\t
users\td\t1/hour\t${when}EOL
users\te\t1/hour\t$date
users\tf\t1/hour\t${date}Z
users\tg\t+5\t$when
users\th\t1/hour\t0
users\ti\t1/hour\t-
users\tj\t1/hour\t@{[$now - 1]}
users\tK\t1 per hour, 2/24 h
END
    is_deeply([$status, $out, $err], [0, "12 lines for 12 keys loaded, 1 of them expired\n", '']);
    is(($t->ctl('dump'))[1], <<"END");
users\ta\t1/hour
users\tb\t1/hour
users\tc\t1/hour
users\td\t1/hour\t$when
users\te\t1/hour\t$when
users\tf\t1/hour\t$when
users\tg\t+5\t$when
users\th\t1/hour
users\ti\t1/hour
users\tk\t1/hour, 2/day
users\tlast\t1/hour
END
    $t->ctl('set', 'users', 'j', '5/hour');
    $t->ctl({text => "users\tj\t1/hour\t@{[$now - 1]}\n"}, 'load', '-');
    unlike(($t->ctl('dump'))[1], qr/\tj\t/, 'one that has expired ends what was set');
};

subtest 'mistakes in what is loaded' => sub {
    my $t = limiter();
    fill($t);
    my $before = state($t);
    my @bad    = (
        ['users',                         'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ['users bob 5/hour',              'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ["users\tbob",                    'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ["users\tbob\t5/hour\t\t",        'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ["user\tbob\t5/hour",             "there is no rule \"user\" in $t->{config}; its rules are " . join ', ', @names],
        ["users\t\t5/hour",               'the key is missing'],
        ["users\tb\x01b\t5/hour",         'the key contains control characters'],
        ["users\t\@example.com\t5/hour",  qr/"\@example\.com" is a pattern, not a key; /],
        ["nets\t192.0.2.0/24\t5/hour",    qr/is larger than the \/32 that share a counter; /],
        ["nets\tlocalhost\t5/hour",       qr/"localhost" is not an IP address/],
        ["users\tbob\t",                  qr/./],
        ["users\tbob\t5",                 qr/./],
        ["users\tbob\t5/fortnight",       qr/fortnight/],
        ["users\tbob\t5/hour, 6/hour",    qr/same window/],
        ["users\tbob\t+5",                'a grant needs UNTIL, the time when it ends'],
        ["users\tbob\t+0\t9999999999",    '+0 grants nothing'],
        ["users\tbob\t+x\t9999999999",    qr/./],
        ["users\tbob\t5/hour\ttomorrow",  qr/"tomorrow" is not a time/],
        ["users\tbob\t5/hour\t2h",        qr/"2h" is a duration, not a time/],
        ["exact\tbob\t31/hour",           qr/a limit above 30/],
        ["users\tb\0b\t5/hour",           'NUL bytes, or longer than 64 KiB'],
        ["users\t" . 'x' x 65536 . "\t5/hour", 'NUL bytes, or longer than 64 KiB'],
    );
    # Twenty are shown at a time.
    for my $part ([0 .. 10], [11 .. $#bad]) {
        my $file = "$t->{dir}/bad";
        spew($file, join '', map {"users\tgood$_\t5/hour\n$bad[$_][0]\n"} @$part);
        my ($status, $out, $err) = $t->ctl('load', $file);
        is("$status$out", '65', 'bad input data');
        my @lines = split /\n/, $err;
        is(pop @lines, 'policyd-ratelimit-ctl: nothing was loaded');
        is(scalar @lines, scalar @$part, 'every line is reported') or diag $err;
        for my $i (0 .. $#$part) {
            my ($line, $why) = @{$bad[$part->[$i]]};
            my $place = quotemeta "$file:" . (2 * $i + 2) . ': ';
            like($lines[$i] // '', ref $why ? qr/^$place.*$why/ : qr/^$place\Q$why\E$/, substr $line, 0, 60);
        }
        is(state($t), $before, 'nothing has changed');
    }
    my @pairs = (
        ["users\tBob\t5/hour\n#\nusers\tbob\t5/hour\n", "stdin:3: the key already has limits, in line 1\n"],
        ["nets\t2001:db8::1\t5/hour\nnets\t2001:db8::2\tdeny\n", "stdin:2: the key already has limits, in line 1\n"],
        [join('', map {"users\tbob\t+$_\t9999999999\n"} 1 .. 9), "stdin:9: more than 8 grants for one key\n"],
    );
    for my $case (@pairs) {
        is_deeply([$t->ctl({text => $case->[0]}, 'load', '-')],
            [65, '', "$case->[1]policyd-ratelimit-ctl: nothing was loaded\n"], $case->[1]);
    }
    my ($status, undef, $err) = $t->ctl({text => "bad\n" x 25}, 'load', '-');
    is($status, 65);
    like($err, qr/^stdin:20: .*\nstdin: 5 more mistakes\npolicyd-ratelimit-ctl: nothing was loaded\n\z/m, 'very many');
    is(($t->ctl({text => "bad\n"}, 'load', '--replace', '-'))[0], 65, '--replace');
    is(state($t), $before, 'nothing has changed');
};

subtest 'usage' => sub {
    my $t = limiter();
    $t->helper->ask;
    refused($t, 64, qr/^usage: policyd-ratelimit-ctl $_->[0] /m, @$_) for (
        ['set'], ['set', 'users', 'bob'], ['set', 'users', 'bob', '5/hour', 'x'], ['set', 'users', 'bob', '+5'],
        ['grant', 'users', 'bob', '+5'], ['grant', '--for', '1h', 'users', 'bob', '5'],
        ['grant', '--for', '1h', 'users', '+5'], ['unset', 'users'], ['unset', 'users', 'a', 'b'], ['unset', '--x', 'y'],
        ['limits', 'x'], ['load'], ['load', 'a', 'b'], ['load', '--what', 'a'], ['explain', '--what'],
    );
    refused($t, 64, qr/^usage: policyd-ratelimit-ctl $_->[0]$/m, @$_) for ['dump', 'x'], ['clean', 'x'];
    refused($t, 64, qr/--for $_: "$_" is not a duration/, 'set', '--for', $_, 'users', 'bob', '5/hour')
        for 'x', '0', '-1h', '2h5', '101y', '1 fortnight', '';
    refused($t, 65, qr/there is no rule "user" in \S+; its rules are users, /, @$_)
        for ['set', 'user', 'bob', '5/hour'], ['grant', '--for', '1h', 'user', 'bob', '+5'], ['unset', 'user', 'bob'];
    refused($t, 65, qr/there is no rule "user"/, 'limits', '--rule', 'user');
    refused($t, 65, qr/fortnight/, 'set', 'users', 'bob', '5/fortnight');
    refused($t, 65, qr/the key is missing/, 'set', 'users', '', '5/hour');
    refused($t, 65, qr/control characters/, 'set', 'users', "a\nb", '5/hour');
    refused($t, 65, qr/\+0 grants nothing/, 'grant', '--for', '1h', 'users', 'bob', '+0');
    refused($t, 1, qr/nothing is set for bob in the rule users/, 'unset', 'users', 'bob');
    is(($t->ctl('dump'))[1], '', 'nothing was set');
};

subtest 'no counter file yet' => sub {
    my $t = limiter();
    refused($t, 69, qr/counters\.tdb: can't be opened: it is not there/, @$_)
        for ['unset', 'users', 'bob'], ['limits'], ['dump'], ['clean'];
    ok(!-e $t->{database}, 'none of these makes one');
    is(($t->ctl('set', 'users', 'bob', '2/hour'))[0], 0, 'set does');
    is((stat $t->{database})[2] & 07777, 0640, 'as the helper would');
    is(passing($t->helper, 9, 'users', 'bob'), 2, 'which uses it');
    my $u = limiter();
    is(($u->ctl('grant', '--for', '1h', 'users', 'bob', '+2'))[0], 0, 'so does grant');
    is(passing($u->helper, 9, 'users', 'bob'), 7);
    spew($u->{database}, 'no database');
    refused($u, 69, qr/it is not a TDB file/, @$_)
        for ['set', 'users', 'bob', '2/hour'], ['limits'], ['dump'], ['load', '/dev/null'];
    is(slurp($u->{database}), 'no database', 'left as it was');
};

# As run, by somebody else.
sub run_as {
    my ($user, $t, @command) = @_;
    my (undef, undef, $uid, $gid) = getpwnam $user;
    my $become = "(\$(, \$)) = ($gid, '$gid $gid'); (\$<, \$>) = ($uid, $uid); exec \@ARGV";
    my %clock = $t->clock_environment;
    return run($^X, '-e', $become, 'env', (map {"$_=$clock{$_}"} keys %clock), build_dir() . '/policyd-ratelimit-ctl', '-c', $t->{config}, @command);
}

subtest 'accounts' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $t = limiter();
    my @nobody = (getpwnam 'nobody')[2, 3];
    chmod 0755, $t->{dir};
    mkdir "$t->{dir}/db", 0755;
    chown @nobody, "$t->{dir}/db";
    $t->{database} = "$t->{dir}/db/counters.tdb";
    $t->configure(rules => $rules, global => {user => 'nobody', log => 'none'});
    mkdir "$t->{dir}/root", 0700;
    spew("$t->{dir}/root/limits", "users\tbob\t2/hour\n");
    chmod 0600, "$t->{dir}/root/limits";
    is_deeply([$t->ctl('load', "$t->{dir}/root/limits")], [0, "1 line for 1 key loaded\n", ''],
        'load opens FILE as root');
    is((stat $t->{database})[4], $nobody[0], 'and makes the database as user');
    is_deeply([run_as('nobody', $t, 'load', "$t->{dir}/root/limits")],
        [77, '', "policyd-ratelimit-ctl: $t->{dir}/root/limits: Permission denied\n"], 'FILE that may not be read');
    is(($t->ctl('load', "$t->{dir}/none"))[0], 65, 'FILE that is not there');
    is(($t->ctl('load', $t->{dir}))[0], 65, 'FILE that is a folder');

    ask($t->helper, 'users', 'bob');
    chown @nobody, $t->{database};
    chmod 0644, $t->{database};
    my @read = (['limits'], ['dump'], ['explain', 'policy_context=users', 'sasl_username=bob']);
    is_deeply([(run_as('mail', $t, @$_))[0, 2]], [0, ''], "$_->[0] needs no more than read permission") for @read;
    is((run_as('mail', $t, @{$read[2]}))[1], ($t->ctl(@{$read[2]}))[1], 'and says the same without a lock');
    like(($t->ctl(@{$read[2]}))[1], qr/: 1 rcpt used/, 'of what is counted');
    is((run_as('mail', $t, @$_))[0], 77, "$_->[0] does")
        for ['set', 'users', 'bob', '2/hour'], ['unset', 'users', 'bob'], ['load', '/dev/null'], ['clean'];
    chmod 0600, $t->{database};
    is((run_as('mail', $t, @$_))[0], 77, "$_->[0] without it") for @read;
    unlink $t->{database};
    chmod 0777, "$t->{dir}/db";
    is((run_as('mail', $t, 'set', 'users', 'bob', '2/hour'))[0], 69, 'another account makes no file');
    ok(!-e $t->{database});
    is(($t->ctl('set', 'users', 'bob', '2/hour'))[0], 0, 'root does, as user');
    is((stat $t->{database})[4], $nobody[0]);
};

subtest 'no room' => sub {
    my $t = limiter(database_max_size => '300K');
    fill($t);
    my $before = state($t);
    my $many   = join '', map {"users\tkey$_\t5/hour\n"} 1 .. 5000;
    my ($status, $out, $err) = $t->ctl({text => $many}, 'load', '-');
    is("$status$out", '69', 'database_max_size');
    like($err, qr/would need \d+ bytes, but database_max_size is 307200\npolicyd-ratelimit-ctl: nothing was loaded\n\z/);
    is(state($t), $before, 'nothing has changed');
    is_deeply([glob "$t->{database}*"], [$t->{database}], 'nothing beside the file');
    is(($t->ctl({text => "users\tfew\t5/hour\n"}, 'load', '-'))[0], 0, 'what fits is loaded');
};

subtest 'a full disk' => sub {
    plan skip_all => 'needs root, to mount a small file system' if $> != 0;
    my $t    = limiter();
    my $disk = "$t->{dir}/disk";
    mkdir $disk;
    plan skip_all => 'no tmpfs here' if (run('mount', '-t', 'tmpfs', '-o', 'size=2m', 'none', $disk))[0] != 0;
    $t->{database} = "$disk/counters.tdb";
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble'});
    my $helper = fill($t);
    my $before = state($t);
    my $many   = join '', map {"users\tkey$_\t5/hour\n"} 1 .. 30000;
    for my $option ([], ['--replace']) {
        my ($status, $out, $err) = $t->ctl({text => $many}, 'load', @$option, '-');
        is("$status$out", '69', "load @$option");
        like($err, qr/can't be written: .*\npolicyd-ratelimit-ctl: nothing was loaded\n\z/);
        is(state($t), $before, 'leaves everything as it was');
        is_deeply([glob "$disk/*"], [$t->{database}], 'and nothing beside it');
    }
    is(passing($helper, 20, 'users', 'bob'), 5, 'the helper goes on');
    is((run('mount', '-o', 'remount,size=20m', $disk))[0], 0, 'there is room');
    is(($t->ctl({text => $many}, 'load', '-'))[0], 0, 'it is loaded');
    is(passing($helper, 20, 'users', 'key5000'), 5);
    undef $helper;
    run('umount', $disk);
};

subtest 'a damaged record of limits is none' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    $t->ctl('set', 'users', 'bob', '2/hour');
    $t->ctl('set', 'users', 'ann', '2/hour');
    is(passing($helper, 9, 'users', 'bob'), 2);
    my $bytes = slurp($t->{database});
    $bytes =~ m{:set:users:bob1 \d+ 0 (2)/hour\|} or die;
    open my $fh, '+<', $t->{database} or die $!;
    seek $fh, $-[1], 0;
    print $fh '9';
    close $fh or die $!;
    is(($t->ctl('dump'))[1], "users\tann\t2/hour\n");
    is(passing($helper, 9, 'users', 'bob'), 3, 'the rule holds');
    is(passing($helper, 9, 'users', 'ann'), 2);
    is(($t->ctl('set', 'users', 'bob', '2/hour'))[0], 0, 'set mends it');
    like(ask($helper, 'users', 'bob'), qr{Limit of 2/hour});
};

subtest 'explain' => sub {
    local $ENV{TZ} = 'UTC';
    my $t = limiter();
    my $e = sub { [$t->ctl('explain', @_)] };
    like($e->('sasl_username=' . 'x' x 8193)->[2], qr/the value of sasl_username is longer than 8192 bytes$/, 'as long as Postfix may');
    like($e->(('sender=a') x 129)->[2], qr/more than 128 attributes$/, 'and as many');
    is_deeply($e->('policy_context=users', 'sasl_username=bob'), [0, <<'END', ''], 'without a counter file');
rule users: applies, key bob, costs 1 rcpt
  limits: of the rule
  5/hour: 0 rcpt used, 5 rcpt left, room
  20/day: 0 rcpt used, 20 rcpt left, room
rule exact_case: does not apply: match = policy_context = exact_case: it is "users"
rule fixed: does not apply: match = policy_context = fixed: it is "users"
rule nets: does not apply: match = policy_context = nets: it is "users"
rule closed: does not apply: match = policy_context = closed: it is "users"
rule open: does not apply: match = policy_context = open: it is "users"
rule exact: does not apply: match = policy_context = exact: it is "users"
rule pair: does not apply: match = policy_context = pair: it is "users"
rule volume: does not apply: count = bytes: there is nothing to count at RCPT
rule all: does not apply: match = policy_context = all: it is "users"
answer: DUNNO
END
    ok(!-e $t->{database}, 'and it makes none');
    my $helper = fill($t);
    # Of the rule asked for alone.
    my $of = sub {
        my ($rule, @attributes) = @_;
        my ($status, $out, $err) = @{$e->("policy_context=$rule", @attributes)};
        return $status . $err . "\n" . join '', $out =~ /^(rule $rule: .*\n(?: .*\n)*|answer: .*\n)/mg;
    };
    passing($helper, 9, 'users', 'alice');
    is($of->('users', 'sasl_username=Alice'), <<'END', 'denied: status 1');
1
rule users: applies, key alice, costs 1 rcpt
  limits: of the rule
  5/hour: 5 rcpt used, 0 rcpt left, no room, in 65m
  20/day: 5 rcpt used, 15 rcpt left, room
answer: DEFER_IF_PERMIT 4.7.1 Limit of 5/hour reached for alice, try again in 65m
END
    is($of->('users', 'sasl_username=boss@example.com'), <<'END', 'an override');
0
rule users: applies, key boss@example.com, costs 1 rcpt
  limits: override boss@example.com in the configuration
  9/hour: 0 rcpt used, 9 rcpt left, room
answer: DUNNO
END
    is($of->('exact', 'sasl_username=bob'), <<'END', 'grants');
0
rule exact: applies, key bob, costs 1 rcpt
  limits: of the rule, +1 granted until 2023-11-15 13:00, +2 granted until 2023-11-15 14:00, +3 granted until 2023-11-15 15:00, +4 granted until 2023-11-15 16:00, +5 granted until 2023-11-15 17:00
  25/hour: 4 rcpt used, 21 rcpt left, room
answer: DUNNO
END
    is($of->('nets', 'client_address=2001:db8::7'), <<'END', 'set, and for how long');
1
rule nets: applies, key 2001:db8::/64, costs 1 rcpt
  limits: set in the database, until 2023-11-18 12:00: deny
answer: DEFER_IF_PERMIT 4.7.1 Limit of deny reached for 2001:db8::/64, try again in never
END
    is($of->('volume', 'sasl_username=bob', 'protocol_state=RCPT'), <<'END', 'nothing to count');
0
rule volume: does not apply: count = bytes: there is nothing to count at RCPT
answer: DUNNO
END
    is($of->('nets', 'client_address=unknown'), <<'END', 'no key');
0
rule nets: does not apply: key = client_address: it is empty, or its value can't be a key
answer: DUNNO
END
    refused($t, 65, qr/Postfix sends no attribute "sasl_usrname"; perhaps sasl_username\?$/, 'explain', 'sasl_usrname=bob');
    refused($t, 65, qr/Postfix sends no attribute "xyzzy"$/,                     'explain', 'xyzzy=bob');
    refused($t, 65, qr/"bob" is not ATTRIBUTE=VALUE, such as sasl_username=user\@example\.com/, 'explain', 'bob');
    refused($t, 65, qr/no request on stdin/, 'explain');
    refused($t, 65, qr/is not ATTRIBUTE=VALUE/, {text => "sasl_username\n\n"}, 'explain');
    is_deeply([$t->ctl({text => "request=smtpd_access_policy\r\npolicy_context=users\r\nsasl_username=alice\n\nmore\n"},
            'explain')], $e->('policy_context=users', 'sasl_username=alice'), 'a request on stdin');

    # Whatever explain says of a request, the helper does; and explain counts nothing.
    my ($compared, $denied) = (0, 0);
    # So that the helper has no reason to rewrite the file meanwhile.
    is(($t->ctl('clean'))[0], 0);
    for my $rule (@names) {
        for my $key ('bob', 'alice', 'boss@example.com', '') {
            for my $state ('RCPT', 'DATA', 'END-OF-MESSAGE', 'VRFY') {
                for my $recipients (0, 1, 6, 200) {
                    my %request = (policy_context => $rule, sasl_username => $key, sender => $key,
                        client_address => $key eq 'bob' ? '2001:db8::1' : '192.0.2.1', protocol_state => $state,
                        recipient_count => $recipients, size => $recipients * 10000,
                        recipient => 'r@example.net', instance => "$rule$key");
                    next if $state eq 'VRFY' && $recipients != 1;
                    my $before = $t->records;
                    my ($status, $out, $err) = @{$e->(map {"$_=$request{$_}"} sort keys %request)};
                    is_deeply($t->records, $before, 'counts nothing') or return;
                    my $answer = $helper->ask(%request);
                    is_deeply([$out =~ /^answer: (.*)$/m, $status, $err], [$answer, $answer eq 'DUNNO' ? 0 : 1, ''],
                        join ' ', map {"$_=$request{$_}"} sort keys %request) or return;
                    $compared++;
                    $denied++ if $answer ne 'DUNNO';
                }
            }
        }
    }
    note "$compared requests, $denied denied";
    cmp_ok($denied, '>', 50, 'of which many were denied');
};

done_testing;
