#!/usr/bin/perl
# Exceptions in the database: set, unset, grant, limits, clean, all of it while helpers run.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use JSON::PP qw(decode_json);
use POSIX ();
use Test::More;
use Exceptions;
use RateTest qw(slurp spew);

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
    is_deeply([@$row{qw(limit used remaining percent source denied)}], [3, 8, 0, 266, 'set', 4],
        'as show has it');
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
    is(passing($helper, 100, 'users', 'carol'), 60,
        'all limits of the rule are replaced: none a day');
    done('in a window of its own', [$t->ctl('set', 'users', 'carol', '70 per week')],
        'users: carol: 70/week');
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
    done('case', [$t->ctl('set', 'users', 'BOB@Example.COM', '2/hour')],
        'users: bob@example.com: 2/hour');
    is(passing($helper, 9, 'users', 'Bob@example.com'), 2);
    $t->ctl('unset', 'users', 'boB@example.com');
    like(ask($helper, 'users', 'bob@example.com'), qr{^DUNNO$}, 'unset too');
    done('unless it does not', [$t->ctl('set', 'exact_case', 'Bob', '2/hour')],
        'exact_case: Bob: 2/hour');
    is(passing($helper, 9, 'exact_case', 'Bob'), 2);
    is(passing($helper, 9, 'exact_case', 'bob'), 5);

    my ($long, $longer) = map { 'x' x 250 . $_ . '@example.com' } '', 'y';
    like(($t->ctl('set', 'users', $long, '2/hour'))[1], 
        qr/^users: x+\@example\.com~[0-9a-f]{16}: 2\/hour$/, 'a long key is cut');
    is(passing($helper, 9, 'users', $long),   2, 'and known again');
    is(passing($helper, 9, 'users', $longer), 5, 'from one that differs further on');
    is(($t->ctl('unset', 'users', $longer))[0], 1);
    is(($t->ctl('unset', 'users', $long))[0],   0);

    done('an address', [$t->ctl('set', 'nets', '2001:DB8:0::1', '2/hour')],
        'nets: 2001:db8::/64: 2/hour');
    is(passing($helper, 9, 'nets', '2001:db8::ffff'), 2,
        'stands for the network that it is counted in');
    done('a network', [$t->ctl('set', 'nets', '2001:db8::/64', '3/hour')],
        'nets: 2001:db8::/64: 3/hour');
    is(passing($helper, 9, 'nets', '2001:db8::1'), 1);
    done('of IPv4', [$t->ctl('set', 'nets', '192.0.2.1/32', '3/hour')], 'nets: 192.0.2.1: 3/hour');
    is(passing($helper, 9, 'nets', '192.0.2.1'), 3);
    done('a pair', [$t->ctl('set', 'pair', 'Bob+192.0.2.1', '3/hour')],
        'pair: bob+192.0.2.1: 3/hour');
    is(passing($helper, 9, 'pair', 'bob'), 3);

    my $advice = qr/; for limits of many keys, write override lines in the configuration$/;
    fails($t, 65, qr/"2001:db8::\/48" is larger than the \/64 that share a counter$advice/,
        'set', 'nets', '2001:db8::/48', '5/hour');
    fails($t, 65, qr/"192\.0\.2\.0\/24" is larger than the \/32/, 'grant', '--for', '1h', 'nets',
        '192.0.2.0/24', '+5');
    done('spelt otherwise', [$t->ctl('set', 'nets', '2001:DB8:0:0::/64', '4/hour')],
        'nets: 2001:db8::/64: 4/hour');
    is(passing($helper, 9, 'nets', '2001:db8::1'), 1);
    is_deeply([$t->ctl('reset', '2001:DB8:0::/64', '192.0.2.1/32')], [0, "2 counters reset\n", ''],
        'reset too');
    fails($t, 65, qr/"2001:db8::\/96" is smaller than the networks of \/64 that share a counter/,
        'set', 'nets', '2001:db8::/96', '5/hour');
    fails($t, 65, qr/"192\.0\.2\.1\/24" has bits set after its prefix/, 'set', 'nets',
        '192.0.2.1/24', '5/hour');
    fails($t, 65, qr/"bob" is not an IP address, but keys of the rule nets are/, 'set', 'nets',
        'bob', '5/hour');
    fails($t, 65, qr/"\Q$_\E" is a pattern, not a key$advice/, 'set', 'users', $_, '5/hour')
        for '@example.com', '.example.com', '*@example.com';
    fails($t, 65, qr/the rule all has one key, everything; not "bob"/, 'set', 'all', 'bob',
        '5/hour');
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
        'users: bob: 2 more in each window until '
            . $end->(600)
            . '; in total 2 more: 7/hour, 22/day');
    is(passing($helper, 9, 'users', 'bob'), 2);
    done('another says the sum', [$t->ctl('grant', '--for', '20m', 'users', 'bob', '+3')],
        'users: bob: 3 more in each window until '
            . $end->(1200)
            . '; in total 5 more: 10/hour, 25/day');
    is(passing($helper, 9, 'users', 'bob'), 3, 'they add up');
    is_deeply([map {"$_->{used}/$_->{limit} $_->{source}"} rows($t)], ['10/10 set', '10/25 set'],
        'in each window');
    $t->set_clock($now + 600);
    like(ask($helper, 'users', 'bob'), qr{Limit of 8/hour}, 'and end one by one');
    is(($t->ctl('set', 'users', 'bob', '20/hour'))[0], 0);
    is(passing($helper, 50, 'users', 'bob'), 13, 'on top of what is set');
    $t->set_clock($now + 1200);
    like(ask($helper, 'users', 'bob'), qr{Limit of 20/hour});
    $t->ctl('unset', 'users', 'bob');
    is(($t->ctl('grant', '--for', ($_ + 1) . 'm', 'users', 'bob', '+1'))[0], 0, "grant $_")
        for 1 .. 8;
    fails($t, 65, qr/the key has 8 grants already; unset ends them all/, 'grant', '--for', '1h',
        'users', 'bob', '+1');
    is((rows($t))[0]{limit}, 13, 'which are left');
    $t->set_clock($now + 1200 + 120);
    is(($t->ctl('grant', '--for', '1h', 'users', 'bob', '+1'))[0], 0,
        'when one has ended there is room');
    is(($t->ctl('unset', 'users', 'bob'))[0], 0);
    is(($t->ctl('dump'))[1], '', 'unset ends them all');
    is((rows($t))[0]{limit}, 5);

    $t->ctl('set', 'users', 'deny', 'deny');
    fails($t, 65, qr/the key is denied altogether \(see set\); there is nothing to grant more of/,
        'grant', '--for', '1h', 'users', 'deny', '+1');
    fails($t, 65, qr/the key is unlimited; there is/, 'grant', '--for', '1h', 'open',
        'x@example.com', '+1');
    ask($helper, 'volume', 'bob', protocol_state => 'END-OF-MESSAGE', size => 1);
    is_deeply([($t->ctl('grant', '--for', '1h', 'volume', 'bob', '+1MiB'))[0, 2]], [0, '']);
    is(passing($helper, 9, 'volume', 'bob', protocol_state => 'END-OF-MESSAGE', size => 1 << 20),
        1, 'of bytes');
};

subtest 'a key without a counter' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    ask($helper, 'users',  $_) for qw(bob@example.org fred);
    ask($helper, 'volume', 'bob@example.net');
    my $no     = 'policyd-ratelimit-ctl: the rule users has no counter for "bob"';
    my $near   = '; near it: bob@example.org';
    my @grant  = ('grant', '--for', '1h');
    my $before = state($t);
    is_deeply([$t->ctl(@grant, 'users', 'bob', '+3')],
        [1, '', "$no; --force grants it all the same$near\n"], 'grant');
    is(state($t), $before, 'does nothing');
    is_deeply([$t->ctl('reset', '--rule', 'users', 'bob')],
        [1, "0 counters reset\n", "$no$near\n"], 'reset');
    is_deeply([$t->ctl('unset', 'users', 'fred')],
        [1, '', qq(policyd-ratelimit-ctl: the rule users has nothing set for "fred"\n)], 'unset');
    is_deeply([($t->ctl(@grant, '--force', 'users', 'bob', '+3'))[0, 2]], [0, ''],
        'grant --force does it');
    is(passing($helper, 20, 'users', 'bob'), 8);
    is_deeply([$t->ctl('unset', 'users', 'BOB@example.org')],
        [1, '',
            'policyd-ratelimit-ctl: the rule users has nothing set for "BOB@example.org"'
                . "; near it: bob\n"],
        'unset names those of which something is set');
    is_deeply([$t->ctl('set', 'users', 'fret', '3/hour')],
        [0, "users: fret: 3/hour\n",
            'policyd-ratelimit-ctl: the rule users has no counter for "fret" yet; '
                . "near it: fred\n"],
        'set does it, and says so');
    is_deeply([($t->ctl(@grant, 'users', 'fret', '+1'))[0, 2]], [0, ''],
        'a key of which something is set is known');
    is(passing($helper, 20, 'users', 'fret'), 4);
    is_deeply([$t->ctl('set', 'users', 'fret', '4/hour')], [0, "users: fret: 4/hour\n", ''],
        'nothing to say of a key with a counter');
    is_deeply([$t->ctl('unset', 'users', 'Fret')],
        [0, "users: fret: as the configuration says\n", '']);
};

subtest 'an exempt key has no grant, however it is written' => sub {
    my $t = RateTest->new(rules => <<'END');
[rule mailbox]
key = sasl_username
limit = 5/hour
exempt = bob@example.org, @dom.example
[rule list]
key = sasl_username, client_address
limit = 5/hour
exempt = 192.0.2.0/24, bob
[rule pairs]
key = sasl_username+client_address
limit = 5/hour
strip_extension = +
exempt = bob+192.0.2.1, bob+2001:db8::/64
[rule domain]
key = sender_domain
limit = 5/hour
exempt = example.org, @dom.example
END
    my $long = 'y' x 220 . '@dom.example';
    $t->helper->ask(sasl_username => $long);
    my ($cut) = map { $_->{key} } grep { $_->{key} =~ /~/ } rows($t, '--rule', 'mailbox');
    my %keys = (
        mailbox => ['bob@example.org', 'BOB@EXAMPLE.ORG', 'bob@example.org..', 'x@dom.example.',
            $long, uc $long, $cut],
        list => ['client_address:192.0.2.1', 'client_address:192.0.2.1/32', 'bob', 'Bob'],
        pairs => ['bob+192.0.2.1', 'BOB+192.0.2.1', 'bob+2001:DB8::7', 'bob+2001:db8::/64',
            'Bob+::ffff:192.0.2.1'],
        domain => ['example.org', 'Example.Org.', 'dom.example'],
    );
    for my $rule (sort keys %keys) {
        fails($t, 65, qr/the key is unlimited; there is nothing to grant more of$/,
            'grant', '--for', '1h', '--force', $rule, $_, '+5')
            for @{$keys{$rule}};
    }
};

subtest 'rules without windows' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    is(passing($helper, 1, 'closed', 'ann@example.com'), 0, 'deny');
    $t->ctl('set', 'closed', 'ann@example.com', '3/hour');
    is(passing($helper, 9, 'closed', 'ann@example.com'), 3, 'is a list of who may');
    is(passing($helper, 1, 'closed', 'bob@example.com'), 0, 'others may not');
    is_deeply([map {"$_->{rule} $_->{key} $_->{used}"} rows($t)], ['closed ann@example.com 3'],
        'shown');
    is(($t->ctl('reset', 'ann@example.com'))[0], 0);
    is(passing($helper, 9, 'closed', 'ann@example.com'), 3, 'and reset');
    $t->ctl('set', 'closed', 'ann@example.com', 'unlimited');
    is(passing($helper, 9, 'closed', 'ann@example.com'), 9);
    $t->ctl('unset', 'closed', 'ann@example.com');
    is(passing($helper, 9, 'closed', 'ann@example.com'), 0);
    is(passing($helper, 9, 'open', 'ann@example.com'), 9, 'unlimited');
    $t->ctl('set', 'open', 'ann@example.com', '3/hour');
    is(passing($helper, 9, 'open', 'ann@example.com'), 3,
        'is a list of who may not, or not so much');
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
    my $room = qr/a[ ]limit[ ]above[ ]30:[ ]the[ ]records[ ]of[ ]this[ ]moving-window[ ]have
        [ ]no[ ]room[ ]for[ ]more;[ ]raise[ ]the[ ]rule's[ ]limit/x;
    fails($t, 65, $room, 'set', 'exact', 'bob', '31/hour');
    fails($t, 65, $room, 'grant', '--for', '1h', 'exact', 'bob', '+1');
    fails($t, 65, $room, 'grant', '--for', '1h', 'exact', 'alice', '+21');
    is(($t->ctl('grant', '--for', '1h', '--force', 'exact', 'alice', '+20'))[0], 0);
    is(passing($helper, 50, 'exact', 'alice'), 30);
    $t->set_clock($now + 3599);
    is(passing($helper, 50, 'exact', 'bob'), 0);
    $t->set_clock($now + 3600);
    is(passing($helper, 50, 'exact', 'bob'), 30, 'exact as ever');
    # The configuration changes, and has no room for it any more.
    $t->configure(rules => $rules =~ s/override = big 30\/hour\n//r,
        global => {on_error => 'WARN trouble'});
    my $new = $t->helper;
    $t->set_clock($now + 9000);
    is(passing($new, 50, 'exact', 'bob'), 10, 'what does not fit any more does not hold');
};

subtest 'grants that together need more than the room of a moving window' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    my $room   = qr/a limit above 30: the records of this moving-window have no room for more/;
    my $later  = $now + 7200;
    my $grants = "exact\tbob\t+15\t$later\nexact\tbob\t+15\t$later\n";
    fails($t, 65, qr/^stdin:2: $room/, {text => $grants}, 'load', '-');
    my $each = join '', map {"exact\t$_\t+15\t$later\n"} qw(bob ann);
    is(($t->ctl({text => $each}, 'load', '-'))[0], 0, 'those of different keys');
    is(passing($helper, 50, 'exact', 'bob'), 25);

    # A grant that lasts longer than the limits is added to those of the file.
    is(($t->ctl('set', '--for', '1h', 'exact', 'carl', '2/hour'))[0], 0);
    fails($t, 65, $room, 'grant', '--for', '2h', 'exact', 'carl', '+25');
    is(($t->ctl('grant', '--for', '30m', 'exact', 'carl', '+25'))[0], 0, 'one that ends first');
    is(passing($helper, 50, 'exact', 'carl'), 27);
    fails($t, 65, qr/^stdin:2: $room/,
        {text => "exact\tdora\t2/hour\t" . ($now + 3600) . "\nexact\tdora\t+25\t$later\n"}, 'load',
        '-');
    is(($t->ctl({text => "exact\tdora\t+25\t$later\nexact\tdora\t2/hour\n"}, 'load', '-'))[0], 0,
        'limits that stay');
    is(passing($helper, 50, 'exact', 'dora'), 27);

    # What was loaded under another configuration still gives as much as there is room for.
    $t->configure(rules => $rules =~ s/override = big 30/override = big 20/r,
        global => {on_error => 'WARN trouble'});
    is(passing($t->helper, 50, 'exact', 'ann'), 20, 'a configuration with less room');
    my ($row) = rows($t, '--rule', 'exact', '--key', 'ann');
    is("$row->{limit} $row->{source}", '20 set', 'show has it so');
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
    # Two days later nothing is left but what is set for good: and, for 7 days, who was denied.
    $t->ctl('reset', '--history', '--all');
    $t->set_clock($now + 2 * 86400);
    ($status, $out, $err) = $t->ctl('clean');
    is("$status$err", '0');
    like($out, qr/^2 records kept, 5 expired records removed; /,
        'what has expired goes, limits that were set too');
    is_deeply([sort grep { !/^:meta/ } keys %{$t->records}],
        [':set:users:bob', ':set:users:fresh']);
    is(($t->ctl('dump'))[1], "users\tbob\t8/hour\nusers\tfresh\t7/hour\n");
    is(passing($helper, 20, 'users', 'bob'), 8, 'a counter that comes later finds its limits');
    is((grep {/\.new/} glob "$t->{dir}/*"), 0, 'nothing beside the file');
};

subtest 'limits' => sub {
    my $t = limiter();
    $t->helper->ask;
    is_deeply([$t->ctl('limits')],
        [0, '', "nothing is set; config shows the overrides of the configuration\n"]);
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
    is(decode_json(($t->ctl('limits', '--json', '--rule', 'nets'))[1])->[0]{until}, undef,
        'null: for good');
    is_deeply([($t->ctl('limits', '--rule', 'all'))[0, 1]], [1, ''], 'none of this rule');
    is(($t->ctl('dump'))[1], <<"END", 'dump');
nets\t192.0.2.7\tunlimited
users\tbob\t8/hour, 50/day\t@{[$now + 86400]}
users\tbob\t+10\t@{[$now + 3600]}
users\tbob\t+100\t@{[$now + 7200]}
END
};

subtest 'usage' => sub {
    my $t = limiter();
    $t->helper->ask;
    fails($t, 64, qr/^usage: policyd-ratelimit-ctl $_->[0] /m, @$_) for (
        ['set'], ['set', 'users', 'bob'], ['set', 'users', 'bob', '5/hour', 'x'],
        ['set', 'users', 'bob', '+5'],
        ['grant', 'users', 'bob', '+5'], ['grant', '--for', '1h', 'users', 'bob', '5'],
        ['grant', '--for', '1h', 'users', '+5'], ['unset', 'users'], ['unset', 'users', 'a', 'b'],
        ['unset', '--x', 'y'],
        ['limits', 'x'], ['load'], ['load', 'a', 'b'], ['load', '--what', 'a'],
        ['explain', '--what'],
    );
    fails($t, 64, qr/^usage: policyd-ratelimit-ctl $_->[0]$/m, @$_)
        for ['dump', 'x'], ['clean', 'x'];
    fails($t, 64, qr/--for $_: "$_" is not a duration/, 'set', '--for', $_, 'users', 'bob',
        '5/hour')
        for 'x', '0', '-1h', '2h5', '101y', '1 fortnight', '';
    fails($t, 65, qr/there is no rule "user" in \S+; its rules are users, /, @$_)
        for ['set', 'user', 'bob', '5/hour'], ['grant', '--for', '1h', 'user', 'bob', '+5'],
        ['unset', 'user', 'bob'];
    fails($t, 65, qr/there is no rule "user"/, 'limits', '--rule', 'user');
    fails($t, 65, qr/fortnight/, 'set', 'users', 'bob', '5/fortnight');
    fails($t, 65, qr/the key is missing/, 'set', 'users', '', '5/hour');
    fails($t, 65, qr/"$_" begins or ends with a blank; write the key without it/, 'set', 'users',
        $_, '5/hour')
        for 'bob ', ' bob', ' ';
    fails($t, 65, qr/"bob " begins or ends with a blank/, 'grant', '--for', '1h', 'users', 'bob ',
        '+5');
    fails($t, 65, qr/"bob " begins or ends with a blank/, 'unset', 'users', 'bob ');
    fails($t, 65, qr/control characters/, 'set', 'users', "a\nb", '5/hour');
    fails($t, 65, qr/\+0 grants nothing/, 'grant', '--for', '1h', 'users', 'bob', '+0');
    fails($t, 1, qr/the rule users has nothing set for "bob"$/, 'unset', 'users', 'bob');
    is(($t->ctl('dump'))[1], '', 'nothing was set');
};

subtest 'show is what the next request finds' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    is(passing($helper, 9, 'exact', 'bob'), 9);
    is(passing($helper, 5, 'users', 'bob'), 5);
    $t->ctl('set', 'exact', 'bob', '10/2 hours, 12/day');
    $t->ctl('set', 'users', 'bob', '6/hour, 30/week');
    my $check = sub {
        my ($name) = @_;
        for my $rule ('exact', 'users') {
            my ($status, $out) = $t->ctl('explain', "policy_context=$rule", 'sasl_username=bob');
            my ($explained) = $out =~ /^rule $rule: .*\n((?: .*\n)*)/m;
            my @explained = $explained =~ m{^  (\S.*?): (\d+) (?:rcpt|msg) used, (\d+)}mg;
            my @shown     = map {
                my $window = {3600 => 'hour', 7200 => '2h', 86400 => 'day', 604800 => 'week'}
                    ->{$_->{window}};
                ("$_->{limit}/$window", $_->{used}, $_->{remaining})
            } rows($t, '--rule', $rule, '--sort', 'key');
            s{/2 hours?}{/2h} for @explained;
            is_deeply(\@shown, \@explained, "$name: $rule") or diag "@shown, @explained";
        }
    };
    $check->('other windows');
    my @used = map { $_->{used} } rows($t, '--rule', 'exact');
    is("@used", '9 9', 'a moving window remembers what came before');
    is(passing($helper, 9, 'exact', 'bob'), 1, 'so does the helper');
    is(passing($helper, 9, 'users', 'bob'), 1);
    $check->('after requests');
    (my $other = $rules) =~ s/strategy = moving-window/strategy = sliding-window/;
    $other =~ s/(\[rule users\]\n)/$1resolution = 6\ncount = messages\n/;
    $t->configure(rules => $other, global => {on_error => 'WARN trouble'});
    $check->('other rules');
};

subtest 'no counter file yet' => sub {
    my $t = limiter();
    fails($t, 69, qr/counters\.tdb: can't be opened: it is not there/, @$_)
        for ['unset', 'users', 'bob'], ['limits'], ['dump'], ['clean'];
    ok(!-e $t->{database}, 'none of these makes one');
    is(($t->ctl('set', 'users', 'bob', '2/hour'))[0], 0, 'set does');
    is((stat $t->{database})[2] & 07777, 0600, 'as the helper would');
    is(passing($t->helper, 9, 'users', 'bob'), 2, 'which uses it');
    my $u = limiter();
    is(($u->ctl('grant', '--for', '1h', 'users', 'bob', '+2'))[0], 1, 'grant knows no such key');
    is(($u->ctl('grant', '--for', '1h', '--force', 'users', 'bob', '+2'))[0], 0,
        'and makes it too');
    is(passing($u->helper, 9, 'users', 'bob'), 7);
    spew($u->{database}, 'no database');
    fails($u, 69, qr/it is not a TDB file/, @$_)
        for ['set', 'users', 'bob', '2/hour'], ['limits'], ['dump'], ['load', '/dev/null'];
    is(slurp($u->{database}), 'no database', 'left as it was');
};

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
    is_deeply([$t->ctl_as('nobody', 'load', "$t->{dir}/root/limits")],
        [77, '', "policyd-ratelimit-ctl: $t->{dir}/root/limits: Permission denied\n"],
        'FILE that may not be read'
    );
    is(($t->ctl('load', "$t->{dir}/none"))[0], 65, 'FILE that is not there');
    is(($t->ctl('load', $t->{dir}))[0], 65, 'FILE that is a folder');

    ask($t->helper, 'users', 'bob');
    chmod 0644, $t->{database};
    my @read = (['limits'], ['dump'], ['explain', 'policy_context=users', 'sasl_username=bob']);
    is_deeply([($t->ctl_as('mail', @$_))[0, 2]], [0, ''],
        "$_->[0] needs no more than read permission")
        for @read;
    is(($t->ctl_as('mail', @{$read[2]}))[1], ($t->ctl(@{$read[2]}))[1],
        'and says the same without a lock');
    like(($t->ctl(@{$read[2]}))[1], qr/: 1 rcpt used/, 'of what is counted');
    is(($t->ctl_as('mail', @$_))[0], 77, "$_->[0] does")
        for ['set', 'users', 'bob', '2/hour'], ['unset', 'users', 'bob'], ['load', '/dev/null'],
        ['clean'];
    chmod 0600, $t->{database};
    is(($t->ctl_as('mail', @$_))[0], 77, "$_->[0] without it") for @read;
    unlink $t->{database};
    chmod 0777, "$t->{dir}/db";
    is(($t->ctl_as('mail', 'set', 'users', 'bob', '2/hour'))[0], 69,
        'another account makes no file');
    ok(!-e $t->{database});
    is(($t->ctl('set', 'users', 'bob', '2/hour'))[0], 0, 'root does, as user');
    is((stat $t->{database})[4], $nobody[0]);
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
    is(($t->ctl('set', 'users', 'bob', '2/hour'))[0], 0, 'set repairs it');
    like(ask($helper, 'users', 'bob'), qr{Limit of 2/hour});
};

done_testing;
