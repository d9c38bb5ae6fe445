#!/usr/bin/perl
# What a rule says besides its limit: keys, match, override and exempt, observe, warn_at.
# Mistakes in those lines are in t/mistakes.t.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use JSON::PP qw(decode_json);
use RateTest;

my $next = 0;

# A letter for each request: D if it passed, R if the rule denied it.
sub letters {
    my ($helper, @requests) = @_;
    return join '', map {
        my $answer = $helper->ask(instance => 'i' . ++$next . '.0', %$_) // 'none';
        $answer eq 'DUNNO' ? 'D' : $answer eq 'REJECT r' ? 'R' : "<$answer>"
    } @requests;
}

sub rule {
    my ($options, %global) = @_;
    return RateTest->new(rules => "[rule r]\naction = REJECT r\n$options\n", global => \%global);
}

# How many of some requests pass.
sub room {
    my ($helper, %request) = @_;
    my $letters = letters($helper, ({%request}) x 9);
    return $letters =~ /^(D*)R*$/ ? length $1 : $letters;
}

sub users     { return map { {sasl_username => $_} } @_ }
sub addresses { return map { {client_address => $_} } @_ }

sub pair {
    my ($name, $other, @pairs) = @_;
    return map { {$name => $_->[0], $other => $_->[1]} } @pairs;
}

# Under 1/hour: the first of each key passes, another one is denied.
my $users_first = "key = sasl_username, client_address";
my $both        = 'key = sasl_username+client_address';
my @keys = (
    ['a list: the first that is not empty', $users_first, 'DRDRDR',
        pair('sasl_username', 'client_address', ['a', '192.0.2.1'], ['a', '192.0.2.2'],
            ['', '192.0.2.1'], ['', '192.0.2.1'], ['b', '192.0.2.1'], ['B', 'unknown'])],
    ['a list: nothing of it', $users_first, 'DDD',
        pair('sasl_username', 'client_address', ['', 'unknown'], ['', 'unknown'], ['', ''])],
    ['a list of three, with blanks', 'key = sasl_username , sender_domain,client_address', 'DDRDR',
        {sasl_username => '', sender => 'a@x'}, {sasl_username => '', sender => 'a@y'},
        {sasl_username => '', sender => 'b@x'}, {sasl_username => '', sender => ''},
        {sasl_username => '', sender => 'postmaster'}],
    ['a list: a pair, else one', 'key = sasl_username+sender_domain, client_address', 'DRDRD',
        {sender => 'a@x'}, {sender => 'b@x'}, {sender => ''}, {sasl_username => ''},
        {sasl_username => '', client_address => '192.0.2.9'}],
    ['a pair: both count', $both, 'DDRDR',
        pair('sasl_username', 'client_address', ['a', '192.0.2.1'], ['a', '192.0.2.2'],
            ['a', '192.0.2.1'], ['b', '192.0.2.1'], ['b', '192.0.2.1'])],
    ['a pair: without one of them the rule does not apply', $both, 'DDDDDD',
        pair('sasl_username', 'client_address', ['', '192.0.2.1'], ['', '192.0.2.1'], ['a', ''],
            ['a', ''], ['a', 'unknown'], ['a', 'unknown'])],
    ["a pair: 'a+b' and 'c' are not 'a' and 'b+c'", 'key = sasl_username + sender', 'DDDDRRRR',
        (pair('sasl_username', 'sender', ['a+b', 'c'], ['a', 'b+c'], ['a', 'b'],
            ['a+', '+b'])) x 2],
    ["a pair: nor are 'a%2bb' and 'a+b' the same", 'key = sasl_username+sender', 'DDDRRR',
        (pair('sasl_username', 'sender', ['a+b', 'c'], ['a%2bb', 'c'], ['a%b', 'c'])) x 2],
    ['a pair of domains', 'key = sender_domain+recipient_domain', 'DRDD',
        pair('sender', 'recipient', ['a@x', 'b@y'], ['c@X', 'd@Y'], ['a@y', 'b@x'], ['a@x', 'b'])],
    ['IPv4: each address', 'key = client_address', 'DDRR',
        (addresses('192.0.2.1', '192.0.2.2')) x 2],
    ['IPv4-mapped IPv6', 'key = client_address', 'DRR',
        addresses('192.0.2.1', '::ffff:192.0.2.1', '::FFFF:c000:201')],
    ['IPv6: a /64 is one client', 'key = client_address', 'DRRDR',
        addresses('2001:db8::1', '2001:DB8::ffff', '2001:db8:0:0:1:2:3:4', '2001:db8:0:1::1',
            '2001:db8:0:1::2')],
    ['no address', 'key = client_address', 'DDDDDD',
        (addresses('unknown', '', '192.0.2.1000')) x 2],
    ['ipv4_prefix', "key = client_address\nipv4_prefix = 25", 'DRDR',
        addresses('192.0.2.1', '192.0.2.127', '192.0.2.128', '::ffff:192.0.2.255')],
    ['ipv4_prefix 0: all of them', "key = client_address\nipv4_prefix = 0", 'DRD',
        addresses('192.0.2.1', '203.0.113.1', '2001:db8::1')],
    ['ipv6_prefix 128', "key = client_address\nipv6_prefix = 128", 'DDR',
        addresses('2001:db8::1', '2001:db8::2', '2001:db8:0::1')],
    ['ipv6_prefix 47', "key = client_address\nipv6_prefix = 47", 'DRD',
        addresses('2001:db8::1', '2001:db8:1::1', '2001:db8:2::1')],
    ['ipv6_prefix does not touch mapped IPv4', "key = client_address\nipv6_prefix = 0", 'DDDR',
        addresses('192.0.2.1', '::ffff:192.0.2.2', '2001:db8::', '3001::')],
    ['prefixes in a pair', "$both\nipv4_prefix = 24", 'DRD',
        pair('sasl_username', 'client_address', ['a', '192.0.2.1'], ['a', '192.0.2.2'],
            ['a', '192.0.3.1'])],
    ['server_address too', 'key = server_address', 'DR',
        map { {server_address => $_} } '2001:db8::1', '2001:db8::2'],
    ['case', 'key = sasl_username', 'DRRD',
        users('User@X.example', 'user@x.EXAMPLE', 'USER@x.example', 'user')],
    ['case: ASCII alone', 'key = sasl_username', 'DD', users("\xc3\x84", "\xc3\xa4")],
    ['fold_case = no', "key = sasl_username\nfold_case = no", 'DDR', users('User', 'user', 'User')],
    ['fold_case = no: of both parts of a pair', "key = sasl_username+sender\nfold_case = no",
        'DDDR', pair('sasl_username', 'sender', ['A', 'b'], ['a', 'b'], ['A', 'B'], ['a', 'b'])],
    ['fold_case = no: an address is one in any spelling', "key = client_address\nfold_case = no",
        'DR', addresses('2001:db8::1', '2001:DB8::1')],
    ['extensions without strip_extension', 'key = sender', 'DD',
        map { {sender => $_} } 'a@x', 'a+b@x'],
    ['strip_extension', "key = sender\nstrip_extension = +", 'DRRDDD',
        map { {sender => $_} } 'a@x', 'a+b@x', 'A+b+c@X', 'a-b@x', '+b@x', 'a@x+y'],
    ['strip_extension: several delimiters', "key = recipient\nstrip_extension = +-", 'DRRR',
        map { {recipient => $_} } 'a@x', 'a+b@x', 'a-b@x', 'a-b+c@x'],
    ['strip_extension: a name without a domain', "key = sasl_username\nstrip_extension = +", 'DR',
        users('bob+x', 'bob')],
    ['strip_extension: in a pair', "key = sender+recipient\nstrip_extension = +", 'DRD',
        pair('sender', 'recipient', ['a+1@x', 'b@y'], ['a@x', 'b+2@y'], ['a@x', 'c@y'])],
    ['strip_extension: not of what is no mailbox', "key = helo_name\nstrip_extension = -", 'DD',
        map { {helo_name => $_} } 'mx-1', 'mx-2'],
    ['long keys', 'key = sasl_username', 'DDDRRR',
        (users('x' x 300, 'x' x 300 . 'y', 'y' . 'x' x 300)) x 2],
    ['long keys: in a pair', 'key = sasl_username+sender', 'DDRR',
        (pair('sasl_username', 'sender', ['x' x 300, 'a'], ['x' x 300, 'b'])) x 2],
    ['the longest value', 'key = sender+recipient', 'DDRR',
        (pair('sender', 'recipient', ['+' x 8000, '+' x 8000], ['+' x 8000, '+' x 7999])) x 2],
);
for my $case (@keys) {
    my ($name, $options, $expected, @requests) = @$case;
    is(letters(rule("$options\nlimit = 1/hour")->helper, @requests), $expected, "key: $name");
}

subtest 'a key is 200 bytes at most' => sub {
    for my $letter ('x', "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80") {
        for my $before (0 .. 3) {
            my $t = rule("key = sender\nlimit = 1/hour");
            letters($t->helper, {sender => 'a' x $before . $letter x 220});
            my (undef, $row) = $t->show;
            utf8::encode(my $key = $row->{key});
            cmp_ok(length $key, '<=', 200);
            like($key, qr/\Aa{$before}(?:$letter)+~[0-9a-f]{16}\z/, 'and no character is cut');
        }
    }
};

# Under `deny`: R if the rule applies.
my @match = (
    ['match = sasl_username = Bob', 'RRDDD', users('bob', 'BOB', 'bobby', '', 'bob@x')],
    ['match = sasl_username = *', 'RD', users('a', '')],
    ['match = sasl_username =', 'DR', users('a', '')],
    ['match = sasl_username !=', 'RD', users('a', '')],
    ['match = sasl_username != *', 'DR', users('a', '')],
    ['match = helo_name = *', 'D', {}],
    ['match = helo_name =', 'R', {}],
    ['match = helo_name != x', 'R', {}],
    ['match = sender = @X.example', 'RRDDDD',
        map { {sender => $_} } 'a@x.example', '"b@c"@X.EXAMPLE', 'a@sub.x.example', 'x.example',
        'a@ax.example', ''],
    ['match = sender = .x.example', 'DRRDD',
        map { {sender => $_} } 'a@x.example', 'a@sub.x.example', 'a@b.SUB.X.example',
        'a@ax.example', ''],
    ['match = sender = @x.example, .x.example', 'RRD',
        map { {sender => $_} } 'a@x.example', 'a@sub.x.example', 'a@y.example'],
    ['match = client_name = .example.com', 'RDD', {}, {client_name => 'example.com'},
        {client_name => 'unknown'}],
    ['match = sender_domain = x.example', 'RD',
        map { {sender => $_} } 'a@X.example', 'a@y.example'],
    ['match = sender_domain = .example', 'RD', map { {sender => $_} } 'a@x.example', 'a@example'],
    ['match = sender_domain =', 'RRD', map { {sender => $_} } '', 'postmaster', 'a@x'],
    ['match = recipient_domain != x.example', 'DR',
        map { {recipient => $_} } 'a@x.example', 'a@y.example'],
    ['match = client_address = 192.0.2.64/26', 'DRRDRD',
        addresses('192.0.2.63', '192.0.2.64', '192.0.2.127', '192.0.2.128', '::ffff:192.0.2.100',
            'unknown')],
    ['match = client_address = 192.0.2.1', 'RRD',
        addresses('192.0.2.1', '::ffff:192.0.2.1', '192.0.2.10')],
    ['match = client_address = 0.0.0.0/0', 'RRDD',
        addresses('0.0.0.0', '255.255.255.255', '::1', 'unknown')],
    ['match = client_address = ::/0', 'DRRD', addresses('192.0.2.1', '::1', 'ffff::', 'unknown')],
    ['match = client_address = ::ffff:192.0.2.0/120', 'RD', addresses('192.0.2.1', '192.0.3.1')],
    ['match = client_address = 2001:db8::/33', 'RRDD',
        addresses('2001:db8::', '2001:DB8:7fff:ffff:ffff:ffff:ffff:ffff', '2001:db8:8000::',
            '2001:db7:ffff::')],
    ['match = client_address = 2001:db8::1', 'RD', addresses('2001:db8:0::1', '2001:db8::2')],
    ['match = client_address != 127.0.0.0/8, ::1', 'DDRR',
        addresses('127.9.9.9', '::1', '192.0.2.1', 'unknown')],
    ['match = client_address = unknown', 'RD', addresses('unknown', '192.0.2.1')],
    ['match = client_address =', 'RD', addresses('', '192.0.2.1')],
    ['match = client_address = *', 'DRR', addresses('', '192.0.2.1', 'unknown')],
    ['match = server_port = 25, 587', 'RRD', map { {server_port => $_} } 25, 587, 465],
    ['match = policy_context = submission', 'RDD',
        map { {policy_context => $_} } 'submission', 'smtps', ''],
    ['match = protocol_state = RCPT', 'RDD',
        map { {protocol_state => $_, recipient_count => 1} } 'RCPT', 'DATA', 'END-OF-MESSAGE'],
    ['match = protocol_state != rcpt', 'DRR',
        map { {protocol_state => $_, recipient_count => 1} } 'RCPT', 'DATA', 'END-OF-MESSAGE'],
    ['match = sasl_username = a=b', 'RD', users('a=b', 'a')],
    ['match = sasl_username=!b', 'RD', users('!b', 'a')],
    ['match=sasl_username!=b', 'DR', users('b', 'a')],
    ["match = sasl_username =\nmatch = client_address != 192.0.2.0/24", 'DDRD',
        pair('sasl_username', 'client_address', ['', '192.0.2.1'], ['a', '192.0.2.1'],
            ['', '192.0.3.1'], ['a', '192.0.3.1'])],
    ["match = sender = \@x\nmatch = sender != a\@x, b\@x", 'DDRD',
        map { {sender => $_} } 'a@x', 'b@x', 'c@x', 'c@y'],
);
for my $case (@match) {
    my ($lines, $expected, @requests) = @$case;
    is(letters(rule("key = everything\nlimit = deny\n$lines")->helper, @requests), $expected,
        $lines =~ s/\n/; /r);
}

# The most specific override wins, in whatever order the lines stand: how many pass.
my @overrides = (
    ['users', 'key = sasl_username',
        ['override = boss@b.example 6/hour', 'override = @b.example 5/hour',
            'override = .b.example 4/hour',
            'override = .example 3/hour', 'exempt = root@b.example, @friend.example',
            'override = spam@x.org deny',
            'override = dave 1/day'],
        [map { [{sasl_username => $_->[0]}, $_->[1]] } ['boss@b.example', 6], ['BOSS@B.example', 0],
            ['other@b.example', 5], ['x@sub.b.example', 4], ['x@deep.sub.B.example', 4],
                ['x@c.example', 3],
            ['x@b.example.org', 2], ['root@b.example', 9], ['Root@B.Example', 9],
                ['x@friend.example', 9],
            ['x@sub.friend.example', 3], ['spam@x.org', 0], ['dave', 1], ['dave@x.org', 2],
                ['b.example', 3]]],
    ['the longest domain', 'key = sender',
        ['override = .c.example 5/hour', 'override = .b.c.example 4/hour',
            'override = @a.b.c.example 3/hour'],
        [map { [{sender => $_->[0]}, $_->[1]] } ['x@a.b.c.example', 3], ['x@z.a.b.c.example', 4],
            ['x@b.c.example', 5], ['x@c.example', 2]]],
    ['case is folded', 'key = sasl_username',
        ['override = Boss@B.example 5/hour', 'override = @C.Example 4/hour',
            'override = .D.Example 3/hour'],
        [map { [{sasl_username => $_->[0]}, $_->[1]] } ['boss@b.EXAMPLE', 5], ['x@c.EXAMPLE', 4],
            ['x@y.d.EXAMPLE', 3]]],
    ['case is not folded', "key = sasl_username\nfold_case = no",
        ['override = Boss 5/hour', 'override = boss 4/hour', 'exempt = BOSS'],
        [map { [{sasl_username => $_->[0]}, $_->[1]] } ['Boss', 5], ['boss', 4], ['BOSS', 9],
            ['bosS', 2]]],
    ['addresses', 'key = client_address',
        ['override = 192.0.2.7 6/hour', 'override = 192.0.2.0/26 5/hour',
            'override = 192.0.2.0/24 4/hour',
            'override = 0.0.0.0/0 3/hour', 'exempt = 2001:db8:1::/48, 198.51.100.0/24',
            'override = 2001:db8::/32 1/hour', 'override = 2001:db8:1:2::5 deny'],
        [map { [{client_address => $_->[0]}, $_->[1]] } ['192.0.2.7', 6], ['192.0.2.8', 5],
            ['192.0.2.64', 4],
            ['::ffff:192.0.2.65', 4], ['203.0.113.1', 3], ['198.51.100.9', 9],
                ['2001:db8:1:1::1', 9],
            ['2001:db8:2::1', 1], ['2001:db8:1:2::9', 0], ['2001:db9::1', 2], ['unknown', 9]]],
    ['networks and ipv4_prefix', "key = client_address\nipv4_prefix = 24",
        ['override = 192.0.2.0/24 5/hour', 'override = 192.0.0.0/16 4/hour',
            'override = 198.51.100.7 3/hour'],
        [map { [{client_address => $_->[0]}, $_->[1]] } ['192.0.2.7', 5], ['192.0.3.7', 4],
            ['198.51.100.9', 3]]],
    ['a list of keys', 'key = sasl_username, client_address',
        ['override = @b.example 5/hour', 'override = 192.0.2.0/24 4/hour'],
        [map { [{sasl_username => $_->[0], client_address => $_->[1]}, $_->[2]] } ['x@b.example',
            '192.0.2.1', 5],
            ['', '192.0.2.1', 4], ['x', '192.0.2.1', 2], ['', '192.0.3.1', 2]]],
    ['extensions', "key = recipient\nstrip_extension = +", ['override = a+x@b.example 5/hour',
        'exempt = @c.example'],
        [map { [{recipient => $_->[0]}, $_->[1]] } ['a@b.example', 5], ['A+y@b.example', 0],
            ['a+b@c.example', 9]]],
    ['domains', 'key = sender_domain',
        ['override = b.example 5/hour', 'override = .b.example 4/hour', 'exempt = c.example'],
        [map { [{sender => $_->[0]}, $_->[1]] } ['x@b.example', 5], ['x@a.b.example', 4],
            ['x@c.example', 9],
            ['x@d.example', 2]]],
    ['an over-long key', 'key = sasl_username', ['override = @b.example 5/hour',
        'override = .example 4/hour'],
        [map { [{sasl_username => 'x' x 200 . $_->[0]}, $_->[1]] } ['@b.example', 5],
            ['@c.example', 4], ['@x.org', 2]]],
    ['everything', 'key = everything', ['override = everything 5/hour'], [[{}, 5]]],
);
for my $case (@overrides) {
    my ($name, $options, $lines, $tries) = @$case;
    my @expected = map { $_->[1] } @$tries;
    for my $order ($lines, [reverse @$lines], [sort { $a cmp $b } @$lines]) {
        my $helper = rule(join "\n", $options, 'limit = 2/hour', @$order)->helper;
        is_deeply([map { room($helper, %{$_->[0]}) } @$tries], \@expected, "override: $name")
            or diag join "\n", @$order;
    }
}

subtest 'the windows of an override' => sub {
    for my $strategy (qw(sliding-window moving-window fixed-window)) {
        my $t = rule(<<"END");
key = sasl_username
strategy = $strategy
limit = 2/hour
override = day 5/day
override = two 3/minute, 4/2 hours
override = none unlimited
override = high 9/hour
override = low 1/hour
END
        $t->set_clock(1_700_006_400);    # the start of a day in UTC
        local $ENV{TZ} = 'UTC';
        my $helper = $t->helper;
        is(room($helper, sasl_username => $_->[0]), $_->[1], "$strategy: $_->[0]")
            for ['day', 5], ['two', 3], ['none', 9], ['high', 9], ['low', 1], ['other', 2];
        is(letters($helper, users('high')), 'R', 'nine and no more');
        my (undef, @shown) = $t->show;
        my %rows;
        push @{$rows{$_->{key}}}, $_ for @shown;
        my %expected = (
            other => [[3600, 2, 'rule']],
            high  => [[3600, 9, 'override']],
            low   => [[3600, 1, 'override']],
        );
        for my $key (sort keys %expected) {
            my @rows = sort { $a->{window} <=> $b->{window} } @{$rows{$key}};
            is_deeply([map { [@$_{qw(window limit source)}] } @rows], $expected{$key},
                "$strategy: rows of $key");
        }
        my ($day) = grep { $_->{window} == 86_400 } @{$rows{day}};
        is_deeply([@$day{qw(limit used remaining percent source)}], [5, 5, 0, 100, 'override'],
            'row of day');
        my ($none) = @{$rows{none} // []};
        is_deeply([@$none{qw(limit remaining source)}], [undef, undef, 'override'],
            'unlimited: null');
        $t->set_clock(1_700_006_400 + 120);
        is(room($helper, sasl_username => 'two'), 1, 'one is left of the longer window');
        $t->set_clock(1_700_006_400 + 3 * 3600);
        is(room($helper, sasl_username => 'day'), 0, "the rule's hour has no say");
        is(room($helper, sasl_username => 'other'), 2);
    }
};

subtest 'rows of exempt and deny' => sub {
    my $t = rule("key = sasl_username\nlimit = 2/hour\nexempt = free\noverride = bad deny\n");
    my $helper = $t->helper;
    room($helper, sasl_username => $_) for qw(free bad);
    my ($status, $out) = $t->ctl('show', '--json');
    my %rows = map { ($_->{key} => $_) } @{decode_json($out)};
    is_deeply([@{$rows{free}}{qw(rule window used limit remaining denied source)}],
        ['r', 3600, 9, undef, undef, 0, 'override'], 'exempt counts on');
    like($out, qr/"limit": ?null/, 'null in JSON');
    is_deeply([@{$rows{bad}}{qw(limit denied source)}], [0, 9, 'override'], 'deny');
};

subtest 'calendar windows of an override are its own' => sub {
    local $ENV{TZ} = 'UTC';
    my $t = rule("key = sasl_username\n"
        . "strategy = fixed-window\nlimit = 2/week\noverride = x 2/7 days\n");
    $t->set_clock(1_700_006_400);    # Wednesday; 7 days from the epoch end on the next morning
    my $helper = $t->helper;
    is(room($helper, sasl_username => $_), 2) for qw(x y);
    $t->set_clock(1_700_006_400 + 86_400);
    is(room($helper, sasl_username => 'y'), 0, 'a week ends on Monday');
    is(room($helper, sasl_username => 'x'), 2, '7 days count from the epoch');
};

subtest 'moving-window: an override above the limit' => sub {
    my $t = rule("key = sasl_username\n"
        . "strategy = moving-window\nlimit = 2/hour\noverride = x 300/hour\n");
    $t->set_clock(1_700_000_000);
    my $helper = $t->helper;
    is(letters($helper, (users('x')) x 150), 'D' x 150);
    $t->set_clock(1_700_001_800);
    is(letters($helper, (users('x')) x 151), 'D' x 150 . 'R', 'exact');
    $t->set_clock(1_700_003_600);
    is(letters($helper, (users('x')) x 151), 'D' x 150 . 'R', 'an hour after each');
    is(letters($helper, (users('y')) x 3), 'DDR', 'others have the limit of the rule');
};

subtest 'mode = observe' => sub {
    my $t = RateTest->new(global => {log => 'denied'}, rules => <<'END');
[rule watched]
key = sasl_username
limit = 2/hour
mode = observe
action = REJECT watched
[rule held]
key = sasl_username
limit = 4/hour
action = REJECT held
[rule never]
key = everything
limit = deny
match = sasl_username = *
mode = observe
END
    my $helper = $t->helper;
    is_deeply([map { $helper->ask } 1 .. 5], [('DUNNO') x 4, 'REJECT held'], 'the others deny');
    is(join(' ', $t->log_text =~ /rule=watched,.* used=(\d+\/\d+), .*status=observed/g),
        '3/2 4/2 5/2',
        'what would have been denied is logged');
    is(() = $t->log_text =~ /rule=watched,.*status=denied/g, 0);
    is(() = $t->log_text =~ /rule=held,.*status=denied/g, 1);
    cmp_ok(scalar(() = $t->log_text =~ /rule=never,.*status=observed/g), '>=', 4,
        'deny is observed, too');
    my (undef, @rows) = $t->show;
    my %rows = map { ($_->{rule} => $_) } @rows;
    is($rows{watched}{used}, 4, 'counts on above the limit');
    is($rows{held}{used}, 4);
    is($rows{watched}{denied}, 0, 'and has denied nothing');
};

subtest 'observe: other strategies' => sub {
    for my $strategy (qw(fixed-window moving-window)) {
        my $t = rule("key = sasl_username\nlimit = 2/day\nmode = observe\nstrategy = $strategy\n");
        my $helper = $t->helper;
        is(letters($helper, ({}) x 6), 'D' x 6);
        is(() = $t->log_text =~ /status=observed/g, 4, $strategy);
    }
};

# Lines with status=warning in a log.
sub warnings { my ($t) = @_; return grep {/status=warning/} split /\n/, $t->log_text }

subtest 'warn_at: once per key and window' => sub {
    for my $strategy (qw(sliding-window moving-window fixed-window)) {
        my $t = rule("key = sasl_username\nstrategy = $strategy\n"
            . "limit = 10/minute, 20/hour\nwarn_at = 80%\n", log => 'denied');
        $t->set_clock(1_700_006_400);
        my $helper = $t->helper;
        my @counts;
        for (1 .. 12) {
            letters($helper, {});
            push @counts, scalar warnings($t);
        }
        is("@counts", '0 0 0 0 0 0 0 1 1 1 1 1', "$strategy: when use reaches it");
        like((warnings($t))[0], qr{key=user\@example\.com, used=8/10, window=60, status=warning});
        letters($helper, (users('other')) x 8);
        is(scalar(warnings($t)), 2, 'another key');
        $t->set_clock(1_700_006_400 + 180);
        letters($helper, ({}) x 8);
        is_deeply([map {/used=(\S+), window=(\d+)/} (warnings($t))[2 .. 3]],
            ['16/20', 3600, '8/10', 60],
            'again when the minute had emptied; the hour for itself')
            or diag join "\n", warnings($t);
        is(scalar(warnings($t)), 4);
    }
};

subtest 'warn_at: not again and again while nothing is charged' => sub {
    my $t = rule("key = sasl_username\nlimit = 10/hour\nwarn_at = 80%\n", log => 'denied');
    my $helper = $t->helper;
    my $same   = {instance => 'same', recipient => 'a@x.example'};
    letters($helper, ({}) x 4, $same);
    $t->ctl('set', 'r', 'user@example.com', '6/hour');
    is(letters($helper, ($same) x 3), 'DDD', 'a request that Postfix repeats');
    is(scalar(warnings($t)), 0, 'costs nothing, and brings nothing to a limit');
    is(letters($helper, {}), 'D');
    is(scalar(warnings($t)), 1, 'the next charge does');
    is(letters($helper, ($same) x 3), 'DDD');
    is(scalar(warnings($t)), 1, 'once');
};

subtest 'warn_at: fifty helpers at once' => sub {
    for my $percent ('80%', '100', '1%') {
        my $t = rule("key = everything\nlimit = 100/hour\nwarn_at = $percent\n", log => 'denied');
        $t->set_clock(1_700_006_400);
        for my $round (1, 2) {
            my @helpers = map { $t->helper } 1 .. 50;
            for my $helper (@helpers) {
                $helper->write(join '', map {RateTest::Helper::request()} 1 .. 6);
            }
            my @answers = map { my $helper = $_; map { $helper->answer } 1 .. 6 } @helpers;
            is(scalar(grep { $_ eq 'DUNNO' } @answers), 100);
            is(scalar(warnings($t)), $round, "$percent: one line of them all");
            $t->set_clock(1_700_006_400 + 7200);
        }
    }
};

subtest 'warn_at: of an override; of a cost that jumps over it; not of log = none' => sub {
    my $t = rule("key = sasl_username\nlimit = 5/hour\n"
        . "override = x 20/hour\nexempt = free\nwarn_at = 50%\n", log => 'denied');
    my $helper = $t->helper;
    letters($helper, (users('x')) x 9);
    is(scalar(warnings($t)), 0);
    letters($helper, (users('x')) x 9, (users('free')) x 20);
    is_deeply([map {/used=(\S+),/} warnings($t)], ['10/20']);
    letters($helper, {protocol_state => 'DATA', recipient_count => 4});
    is_deeply([map {/used=(\S+),/} warnings($t)], ['10/20', '4/5']);
    $t = rule("key = everything\nlimit = 5/hour\nwarn_at = 50%\n", log => 'none');
    letters($t->helper, ({}) x 5);
    is($t->log_text, '');
};

done_testing;
