#!/usr/bin/perl
# policyd-ratelimit-ctl: show, reset, config; exit statuses; the account it acts as.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(run slurp spew build_dir);

my $now = 1_700_049_600;
my $t   = RateTest->new(rules => <<'END');
[rule users]
key = sasl_username
limit = 10/hour, 50/day
[rule volume]
key = sender_domain
count = bytes
limit = 10MiB/day
[rule mails]
key = sasl_username
count = messages
strategy = fixed-window
fold_case = no
limit = 5/day
[rule exact]
key = client_address
strategy = moving-window
limit = 3/hour
END
$t->set_clock($now);
is_deeply(
    [$t->ctl('show')],
    [
        69, '',
        "policyd-ratelimit-ctl: $t->{database}: can't be opened: it is not there; "
    . "the helper makes it at its first request\n"], 'before the first request');
ok(!-e $t->{database}, 'and makes no file');

sub message {
    my ($helper, %attributes) = @_;
    my $recipients = delete $attributes{recipients};
    return $helper->ask(protocol_state => 'END-OF-MESSAGE', recipient_count => $recipients,
        instance => 'i' . rand, %attributes);
}
my $helper = $t->helper;
message($helper, sasl_username => 'Ann@example.com', recipients => 3, size => 1000,
    client_address => '192.0.2.1');
message($helper, sasl_username => 'ann@example.com', recipients => 7, size => 3_000_000,
    client_address => '192.0.2.2') for 1 .. 2;
$t->set_clock($now + 600);
message(
    $helper, sasl_username => 'bob@example.org', sender => "bob\@example.org", recipients => 2,
    size => 11 << 20,
    client_address => '2001:db8::1');
message(
    $helper, sasl_username => 'bob@example.org', sender => "bob\@\x01\xff.org", recipients => 2,
    size => 5 << 20,
    client_address => '2001:db8::1');

sub json {
    my ($shown, @rows) = $t->show(@_);
    diag $shown if !@rows;
    return \@rows;
}

sub json_of { my ($limiter) = @_; my (undef, @rows) = $limiter->show; return @rows }

subtest 'show --json' => sub {
    my @rows = grep { $_->{rule} eq 'users' && $_->{key} =~ /ann/ } @{json()};
    my %wait = map { $_->{window} => delete $_->{retry_after} } @rows;
    is_deeply(\@rows, [
        {rule => 'users', key => 'ann@example.com', window => 3600, strategy => 'sliding-window',
            count => 'recipients', limit => 10, used => 3, remaining => 7, percent => 30,
            denied => 0, last_seen => $now, last_client => undef, source => 'rule'},
        {rule => 'users', key => 'ann@example.com', window => 86400, strategy => 'sliding-window',
            count => 'recipients', limit => 50, used => 3, remaining => 47, percent => 6,
            denied => 0, last_seen => $now, last_client => undef, source => 'rule'},
    ], 'a row a window, with the names and units that are promised') or diag explain \@rows;
    is_deeply(\%wait, {3600 => 0, 86400 => 0});
    my ($exact) = grep { $_->{rule} eq 'exact' && $_->{key} eq '192.0.2.1' } @{json()};
    is($exact->{retry_after}, 3000, 'seconds until there is room');
    my ($denied) = grep { $_->{rule} eq 'exact' && $_->{key} eq '192.0.2.2' } @{json()};
    is_deeply([@$denied{qw(used denied last_client)}], [0, 2, '192.0.2.2'],
        'an empty counter is shown if it has denials, and who was denied last');
    is_deeply([sort map { $_->{key} } grep { $_->{rule} eq 'volume' } @{json()}],
        ["?\x{3f}.org", 'example.com', 'example.org'], 'keys are made printable');
};

subtest 'show: filters and order' => sub {
    my @cases = (
        [['--rule', 'mails'], 'mails:Ann@example.com mails:bob@example.org'],
        [['--rule', 'users', '--key', 'BOB*'], 'users:bob@example.org users:bob@example.org'],
        [['--rule', 'mails', '--key', 'ann*'], ''],
        [['--over', '50%'], 'exact:192.0.2.1 exact:2001:db8::/64 volume:??.org'],
        [['--over', '100'], 'exact:192.0.2.1'],
        [['--sort', 'used', '--top', '1'], 'volume:??.org'],
        [['--sort', 'key', '--rule', 'exact'],
            'exact:192.0.2.1 exact:192.0.2.2 exact:2001:db8::/64'],
        [['--sort', 'last', '--rule', 'users', '--top', '2'],
            'users:bob@example.org users:bob@example.org'],
        [['--sort', 'percent', '--top', '2', '--rule', 'users'],
            'users:ann@example.com users:bob@example.org'],
    );
    for my $case (@cases) {
        my ($options, $expected) = @$case;
        is(join(' ', map {"$_->{rule}:$_->{key}"} @{json(@$options)}), $expected, "@$options");
    }
    is(($t->ctl('show', '--key', 'nobody'))[0], 1, 'nothing matched');
    is_deeply([$t->ctl('show', '--key', 'nobody', '--json')], [1, "[]\n", ''], 'in JSON');
};

subtest 'show: the table' => sub {
    my ($status, $out, $err) = $t->ctl('show', '--sort', 'key');
    is("$status$err", '0');
    is($out, <<'END');
RULE    KEY                  LIMIT     USED                   %  ROOM    DENIED  LAST
exact   192.0.2.1           3/hour   3 rcpt  [##########]  100%  in 50m       0  10m ago
exact   192.0.2.2           3/hour   0 rcpt  [          ]    0%  now          2  10m ago
exact   2001:db8::/64       3/hour   2 rcpt  [######    ]   66%  now          0  0s ago
volume  ??.org           10MiB/day  5.0 MiB  [#####     ]   50%  now          0  0s ago
mails   Ann@example.com      5/day    1 msg  [##        ]   20%  now          0  10m ago
users   ann@example.com    10/hour   3 rcpt  [###       ]   30%  now          0  10m ago
users   ann@example.com     50/day   3 rcpt  [          ]    6%  now          0  10m ago
users   bob@example.org    10/hour   2 rcpt  [##        ]   20%  now          0  0s ago
users   bob@example.org     50/day   2 rcpt  [          ]    4%  now          0  0s ago
mails   bob@example.org      5/day    1 msg  [##        ]   20%  now          0  0s ago
volume  example.com      10MiB/day   1000 B  [          ]    0%  now          0  10m ago
volume  example.org      10MiB/day      0 B  [          ]    0%  now          1  0s ago
END
};

subtest 'reset' => sub {
    my $rows = sub { scalar @{json('--rule', $_[0], '--key', $_[1])} };
    is_deeply(
        [$t->ctl('reset', '--rule', 'users', 'ANN@Example.com')], [0, "1 counter reset\n", ''],
        'of one rule; letter case as the rule has it');
    is($rows->('users', 'ann*'), 0);
    is($rows->('mails', 'Ann*'), 1, 'others stay');
    is_deeply([$t->ctl('reset', 'bob@example.org')], [0, "2 counters reset\n", ''],
        'of all rules');
    is(message($helper, sasl_username => 'ann@example.com', recipients => 10, size => 1,
            client_address => '192.0.2.9'
        ),
        'DEFER_IF_PERMIT 4.7.1 Limit of 3/hour reached for 192.0.2.9, try again in never'
    );
    is(($t->ctl('reset', '--all', '--rule', 'exact'))[0], 0);
    is_deeply([map {"$_->{key} $_->{used} $_->{denied}"} @{json('--rule', 'exact')}],
        ['192.0.2.2 0 2', '192.0.2.9 0 1'], 'keeps the denials');
    like(($t->ctl('reset', '--all'))[1], qr/^[1-9]\d* counters reset\n$/);
    my $report = ($t->ctl('report', '--json'))[1];
    is(() = $report =~ /"denied": [1-9]/g, 3, 'which report tells');
    is_deeply([$t->ctl('reset', '--all')], [0, "0 counters reset\n", ''], 'nothing is used');
    is(($t->ctl('report', '--json'))[1], $report);
    is_deeply([$t->ctl('reset', '--history', '192.0.2.9')], [0, "1 counter reset\n", ''],
        '--history forgets them');
    is_deeply([map { $_->{key} } @{json('--rule', 'exact')}], ['192.0.2.2'], 'of that key');
    is(($t->ctl('reset', '--history', '--all'))[1], "2 counters reset\n");
    is_deeply([$t->ctl('show')], [0, '', "no counters yet\n"]);
    is(($t->ctl('reset', '--all'))[0], 1, 'there is none to reset');
};

subtest 'how long clean keeps a counter' => sub {
    my $w     = RateTest->new(rules => "[rule r]\nkey = sasl_username\nlimit = 5/minute\n");
    my $reset = sub { $w->set_clock($now + $_[0]); return $w->ctl('reset', 'u') };
    my $week  = 7 * 86400;
    my @cases = (
        ['a charge', 1, sub { }, 599, 600],
        ['a denial', 6, sub { }, $week - 1, $week],
        ['a charge, and a reset',            1, sub { $reset->(30) }, 599, 600],
        ['a charge, and a reset much later', 1, sub { $reset->(590) }, 599, 600],
        ['a denial, and a reset', 6, sub { $reset->(30) }, $week - 1, $week],
    );
    for my $case (@cases) {
        my ($name, $recipients, $then, @after) = @$case;
        for my $kept (1, 0) {
            unlink $w->{database};
            $w->set_clock($now);
            my $asking = $w->helper;
            $asking->ask(sasl_username => 'u', protocol_state => 'DATA', instance => 'i',
                recipient_count => $_)
                for $recipients;
            $asking->finish;
            $then->();
            $w->set_clock($now + $after[!$kept]);
            is(($w->ctl('clean'))[0], 0);
            is((exists $w->records->{'r:u'}) + 0, $kept, "$name: $after[!$kept] s later");
        }
    }
    $w->set_clock($now);
    $w->helper->ask(sasl_username => 'u', protocol_state => 'DATA', recipient_count => 6);
    $reset->(300);
    is((json_of($w))[0]{last_seen}, $now, 'a reset is no charge or denial');
};

subtest 'reset: keys that have no counter, and patterns' => sub {
    my $w = RateTest->new(rules => <<'END');
[rule users]
key = sasl_username
limit = 100/hour
[rule cased]
key = sender
limit = 100/hour
fold_case = no
END
    my $asking = $w->helper;
    my @users =
        qw(bob@example.org bob@example.com bobby@example.org alice ann@example.org a*b a-b x[1]y
        x1y);
    my $charge = sub { $asking->ask(sasl_username => $_, sender => uc) for @users };
    my $left   = sub {
        my (undef, @rows) = $w->show;
        join ' ', sort map {"$_->{rule}:$_->{key}"} grep { $_->{used} } @rows;
    };
    $charge->();
    my $all  = $left->();
    my $none = "0 counters reset\n";
    my $no   = sub { "policyd-ratelimit-ctl: no rule has a counter for \"$_[0]\"$_[1]\n" };
    my @near = (
        [bob                 => '; near it: BOB@EXAMPLE.COM, BOB@EXAMPLE.ORG, bob@example.com, '
                . 'bob@example.org, BOBBY@EXAMPLE.ORG'],
        ['alice@example.org' => '; near it: ALICE, alice'],
        [zzz                 => ''],
        ['*@example.net'     => ''],
        ['zzz*'              => ''],
    );
    for my $case (@near) {
        is_deeply([$w->ctl('reset', $case->[0])], [1, $none, $no->(@$case)], $case->[0]);
    }
    is_deeply(
        [$w->ctl('reset', '--rule', 'users', 'alise')],
        [
            1, $none,
            "policyd-ratelimit-ctl: the rule users has no counter for \"alise\"; near it: alice\n"
        ],
        'of the rule');
    is($left->(), $all, 'nothing is reset');
    is_deeply([$w->ctl('reset', 'alice', 'zzz', 'ann@example.org')],
        [1, "2 counters reset\n", $no->('zzz', '')], 'the others are, and the status tells');
    is($left->(), $all =~ s/users:(?:alice|ann\S*) //gr);
    $charge->();
    my @globs = (
        [['*@example.org'],              'users:(?:bob|bobby|ann)@example.org', 3],
        [['*@EXAMPLE.ORG'],              '(?i)\w+:\w+@example.org',             6],
        [['--rule', 'cased', 'B?B@*'],   'cased:BOB@\S+',                       2],
        [['[ab]*@example.com', 'ali??'], 'users:(?:bob@example.com|alice)',     2],
        [['a*b'],                        'users:a\*b',                          1],
        [['A*b'],                        'users:a\*b',                          1],
        [['a?[b]'],                      'users:a[*-]b',                        2],
        [['x[1]y'],                      'users:x\[1]y',                        1],
        [['*'],                          '\S+',                                 18],
    );
    for my $case (@globs) {
        my ($options, $gone, $counters) = @$case;
        $charge->();
        is_deeply([$w->ctl('reset', @$options)],
            [0, $counters . ' counter' . ($counters > 1 ? 's' : '') . " reset\n", ''], "@$options");
        is($left->(), join(' ', grep { !/^$gone$/ } split ' ', $all), '  no other');
    }
};

subtest 'usage' => sub {
    my @cases = (
        [[], 0, qr/^usage: .*^  reset /ms],
        [['--help'], 0, qr/^usage: /],
        [['--version'], 0, qr/^policyd-ratelimit \d/],
        [['shwo'], 64,
            qr/there is no command "shwo"; one of show, top, explain, .*config, check\n/],
        [['--what'], 64, qr/--help shows the options/],
        [['show', 'x'], 64, qr/^usage: policyd-ratelimit-ctl show /],
        [['show', '--what'], 64, qr/usage: policyd-ratelimit-ctl show /],
        [['show', '--sort', 'x'], 64, qr/--sort x: not one of used, percent, key, last/],
        [['show', '--over', 'x'], 64, qr/--over x: not a percentage such as 80/],
        [['show', '--top', '0'], 64, qr/--top 0: not a number of lines/],
        [['show', '--rule', 'x'], 65,
            qr/there is no rule "x" in \S+; its rules are users, volume, mails, exact\n/],
        [['reset', '--rule', 'x', 'y'], 65, qr/there is no rule "x"/],
        [['reset'], 64, qr/^usage: policyd-ratelimit-ctl reset /],
        [['reset', '--all', 'x'], 64, qr/^usage: policyd-ratelimit-ctl reset /],
        [['config', 'a', 'b'], 64, qr/^usage: policyd-ratelimit-ctl config /],
        [['config', 'users.limits'], 1, qr/there is no setting "users\.limits"/],
        [['config', 'users.limit'], 0, qr{^10/hour, 50/day\n$}],
    );
    for my $case (@cases) {
        my ($arguments, $expected, $text) = @$case;
        my ($status, $out, $err) = $t->ctl(@$arguments);
        is($status, $expected, "@$arguments");
        like($out . $err, $text);
    }
};

subtest 'what is broken' => sub {
    my $broken = RateTest->new(rules => "[rule r]\nkey = x\n");
    is(($broken->ctl('show'))[0], 78, 'configuration');
    is((run(build_dir() . '/policyd-ratelimit-ctl', '-c', '/nonexistent', 'show'))[0], 78, 'none');
    $broken->configure(rules => "[rule r]\nkey = sender\nlimit = 1/hour\n");
    spew($broken->{database}, 'no database');
    for my $command (['show'], ['reset', 'x'], ['reset', '--all']) {
        my ($status, undef, $err) = $broken->ctl(@$command);
        is($status, 69, "@$command");
        like($err, qr/it is not a TDB file/);
    }
    is(slurp($broken->{database}), 'no database', 'left as it was');
};

subtest 'started as root it acts as user' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $w = RateTest->new;
    my %global = (user => 'nobody', log => 'none', database => "$w->{dir}/db/counters.tdb");
    my $rules  = "[rule r]\nkey = everything\nlimit = 5/hour\n";
    chmod 0755, $w->{dir};
    mkdir "$w->{dir}/db", 0700;
    chown +(getpwnam 'nobody')[2, 3], "$w->{dir}/db";
    $w->configure(global => \%global, rules => $rules);
    my $helper = $w->helper;
    is($helper->ask, 'DUNNO');
    chmod 0600, $w->{config};    # read before it takes on the account
    chown 0, 0, "$w->{dir}/db/counters.tdb";
    chmod 0600, "$w->{dir}/db/counters.tdb";
    is(($w->ctl('reset', '--all'))[0], 77, 'what the account may not open it may not open');
    is(($w->ctl('show'))[0], 77);
    chmod 0644, "$w->{dir}/db/counters.tdb";
    is(($w->ctl('show'))[0], 0, 'show needs no more than read permission');
    is(($w->ctl('reset', '--all'))[0], 77);
    chown +(getpwnam 'nobody')[2, 3], "$w->{dir}/db/counters.tdb";
    is(($w->ctl('reset', '--all'))[0], 0);
    $w->configure(global => {%global, user => 'no-such-user'}, rules => $rules);
    my ($status, undef, $err) = $w->ctl('reset', '--all');
    is($status, 78);
    like($err, qr/there is no account "no-such-user"; create it \(useradd --system no-such-user\)/);
    is(($w->ctl('show'))[0], 0, 'without the account what only reads goes on');
};

done_testing;
