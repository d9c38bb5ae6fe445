#!/usr/bin/perl
# The helper as Postfix sees it: what counts, and when; keys; several rules; answers; log.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(run build_dir slurp spew);

my $full = qr/^DEFER_IF_PERMIT 4\.7\.1 Limit of /;
my $next = 0;

# A new transaction's instance.
sub instance { return 'i' . ++$next . '.0' }

# Asks each of the requests of one transaction in turn; the actions, D for DUNNO, R for denied.
sub transaction {
    my ($helper, %common) = @_;
    my $requests = delete $common{requests};
    my $instance = delete $common{instance} // instance();
    return join '', map {
        my $action = $helper->ask(instance => $instance, %common, %$_) // 'none';
        $action eq 'DUNNO' ? 'D' : $action =~ $full ? 'R' : "<$action>"
    } @$requests;
}

sub rcpt { return map { {protocol_state => 'RCPT', recipient => "r$_\@example.net"} } @_ }
sub data { my ($n) = @_; return {protocol_state => 'DATA', recipient_count => $n, recipient => ''} }

sub end_of_message {
    my ($n, $size) = @_;
    return {protocol_state => 'END-OF-MESSAGE', recipient_count => $n, recipient => '',
        size => $size, queue_id => 'ABC123'};
}

# What is counted: case by case, [requests of one transaction, expected actions] in turn.
my @counting = (
    ['recipients in RCPT', 'limit = 3/hour',
        [[rcpt(1 .. 4)], 'DDDR'], [[rcpt(1)], 'R']],
    ['recipients in DATA: all or none of a message', 'limit = 3/hour',
        [[data(2)], 'D'], [[data(2)], 'R'], [[data(1)], 'D'], [[data(1)], 'R']],
    ['recipients in RCPT and DATA: each once', 'limit = 5/hour',
        [[rcpt(1 .. 3), data(3), end_of_message(3, 10)], 'DDDDD'],
        [[rcpt(1 .. 2), data(2)], 'DDD'], [[rcpt(1)], 'R']],
    ['DATA charges the recipients that RCPT did not see', 'limit = 5/hour',
        [[rcpt(1, 2), data(5)], 'DDD'], [[rcpt(1)], 'R']],
    ['a denied recipient does not come back at DATA', 'limit = 2/hour',
        [[rcpt(1 .. 3), data(2)], 'DDRD']],
    ['recipients that Postfix refused later give nothing back', 'limit = 3/hour',
        [[rcpt(1 .. 3), data(1)], 'DDDD'], [[rcpt(1)], 'R']],
    ['recipients at end of message', 'limit = 3/hour',
        [[end_of_message(3, 10)], 'D'], [[end_of_message(1, 10)], 'R']],
    ['messages: one a transaction', "count = messages\nlimit = 2/hour",
        [[rcpt(1 .. 3), data(3), end_of_message(3, 1)], 'DDDDD'], [[data(9)], 'D'],
        [[rcpt(1, 2)], 'RR']],
    ['bytes: at end of message alone', "count = bytes\nlimit = 10KiB/hour",
        [[rcpt(1), data(1), end_of_message(1, 10000)], 'DDD'],
        [[rcpt(1), data(1), end_of_message(1, 241)], 'DDR'],
        [[end_of_message(1, 240)], 'D'], [[end_of_message(1, 1)], 'R']],
    ['other states count nothing', 'limit = 1/hour',
        [[
                map { {protocol_state => $_, recipient_count => 5} }
                    qw(CONNECT EHLO HELO MAIL VRFY ETRN)
            ],
            'DDDDDD'],
        [[rcpt(1)], 'D'], [[rcpt(2)], 'R']],
    ['a cost above the limit never passes', 'limit = 3/hour', [[data(4)], 'R'], [[data(3)], 'D']],
    ['no recipients cost nothing, even over the limit', 'limit = 1/hour',
        [[rcpt(1)], 'D'], [[data(0)], 'D']],
    ['several windows all hold', 'limit = 2/minute, 3/hour | 100/day',
        [[rcpt(1 .. 3)], 'DDR']],
    ['0 and deny', 'limit = 0/hour', [[rcpt(1)], 'R'], [[data(0)], 'D']],
    ['deny', 'limit = deny', [[rcpt(1)], 'R']],
    ['unlimited', 'limit = unlimited', [[rcpt(1 .. 20)], 'D' x 20]],
);
for my $strategy (qw(sliding-window fixed-window moving-window)) {
    for my $case (@counting) {
        my ($name, $options, @transactions) = @$case;
        next if $strategy eq 'moving-window' && $options =~ /bytes/;
        my $t = RateTest->new(
            rules => "[rule r]\nkey = sasl_username\nstrategy = $strategy\n$options\n");
        # Noon: no calendar window ends within this test.
        $t->set_clock(1_700_049_600);
        my $helper = $t->helper;
        is(join(' ', map { transaction($helper, requests => $_->[0]) } @transactions),
            join(' ', map { $_->[1] } @transactions), "$strategy: $name");
    }
}

subtest 'a request that is sent again is charged once' => sub {
    for my $strategy (qw(sliding-window fixed-window moving-window)) {
        my $t = RateTest->new(
            rules => "[rule r]\nkey = sasl_username\nlimit = 3/hour\nstrategy = $strategy\n");
        my ($one, $two) = ($t->helper, $t->helper);
        my $i = instance();
        is(transaction($one, instance => $i, requests => [rcpt(1, 1)]), 'DD', 'to the same helper');
        is(transaction($two, instance => $i, requests => [rcpt(1)]),    'D',  'to another one');
        is(transaction($two, instance => $i, requests => [data(1)]),    'D',  'the message there');
        is(transaction($one, requests => [rcpt(1 .. 3)]), 'DDR', "$strategy: one was charged");
    }
};

subtest 'a repeated request costs what it asks for, less what was charged' => sub {
    for my $strategy (qw(sliding-window fixed-window moving-window)) {
        my $t = RateTest->new(
            rules => "[rule r]\nkey = sasl_username\nlimit = 50/hour\nstrategy = $strategy\n");
        $t->set_clock(1_700_049_600);
        my ($one, $two) = ($t->helper, $t->helper);
        my $i = instance();
        is(transaction($one, instance => $i, requests => [data(2), data(2), data(1000)]), 'DDR');
        is(transaction($two, instance => $i, requests => [data(51), data(50)]), 'RD');
        is(transaction($one, requests => [rcpt(1)]), 'R', "$strategy: 50 were charged");
        $t->set_clock(1_700_049_600 + 3900);
        is(transaction($two, instance => $i, requests => [data(50)]), 'D');
        is(transaction($one, requests => [rcpt(1)]), 'R', 'and an hour later once more');
    }
    my $t = RateTest->new(
        rules => "[rule r]\nkey = sasl_username\ncount = bytes\nlimit = 1000/hour\n");
    my $helper = $t->helper;
    is(transaction($helper, requests => [map { end_of_message(1, $_) } 10, 1000, 1001]), 'DDR');
};

subtest 'count_denied: what has left the window was not paid for this time' => sub {
    for my $strategy (qw(sliding-window fixed-window moving-window)) {
        my $t = RateTest->new(rules => "[rule r]\nkey = sasl_username\nlimit = 5/hour\n"
            . "count_denied = yes\nstrategy = $strategy\n");
        $t->set_clock(1_700_049_600);
        my @helpers   = ($t->helper, $t->helper);
        my @instances = map { instance() } 1 .. 50;
        my $all = sub {
            my $answers = join '', map {
                transaction($helpers[$_ % 2], instance => $instances[$_], requests => [rcpt(1)])
            } 0 .. $#instances;
            return $answers =~ tr/D//;
        };
        is(transaction($helpers[0], requests => [data(5)]), 'D');
        is($all->(), 0, 'none passes');
        $t->set_clock(1_700_049_600 + 3900);
        is($all->(), 5, "$strategy: an hour later 5 do");
    }
};

# [helper, instance, request] after the other; the counter of all is what they charge in total.
sub charged {
    my ($t, @asked) = @_;
    transaction($_->[0], instance => $_->[1], requests => [$_->[2]]) for @asked;
    my (undef, @rows) = $t->show;
    return $rows[0]{used};
}

subtest '50 transactions at once on one key, in any placement' => sub {
    for my $key ('sasl_username', 'everything') {
        my $t = RateTest->new(rules => "[rule r]\nkey = $key\nlimit = 9999/hour\n");
        my @helpers   = map { $t->helper } 1 .. 50;
        my @instances = map { instance() } @helpers;
        my $extra     = $t->helper;
        my $messages  = 0;
        my @asked;
        my $round = 0;
        for my $request (rcpt(1, 2), rcpt(2), data(2), data(2), end_of_message(2, 9)) {
            for my $n (0 .. 49) {
                # Each request is sent to another process than the last.
                push @asked, [$helpers[($n + $round) % 50], $instances[$n], $request];
                next if $n % 10;
                # Whole messages beside them.
                push @asked, map { [$extra, "extra$messages", $_] } rcpt(1), end_of_message(1, 9);
                $messages++;
            }
            $round++;
        }
        is(charged($t, @asked), 100 + $messages, "$key: two recipients each");
        my ($bytes) = grep {/^3 /} values %{$t->records};
        note length $bytes;
    }
};

subtest 'many transactions at once in a file that may not grow' => sub {
    my $t = RateTest->new(
        rules  => "[rule r]\nkey = sasl_username\nlimit = 9999/hour\n",
        global => {database_max_size => '64K', on_error => 'WARN trouble'});
    my @helpers = map { $t->helper } 1 .. 20;
    is(join('', map { transaction($_, requests => [rcpt(1)]) } @helpers), 'D' x 20);
    cmp_ok(-s $t->{database}, '<=', 65_536, 'it has not');
};

subtest 'a slow client, whole messages beside it' => sub {
    my $t = RateTest->new(rules => "[rule r]\nkey = sasl_username\nlimit = 9999/hour\n");
    my ($slow, $fast, $other) = map { $t->helper } 1 .. 3;
    my @whole = map { my $n = $_; map { [$fast, "fast$n", $_] } rcpt(1), end_of_message(1, 9) }
        1 .. 100;
    is(charged($t, [$slow, 'slow', data(2)], @whole, [$other, 'slow', data(2)]), 102);
    my ($bytes) = grep {/^3 /} values %{$t->records};
    like($bytes, qr/^3 s12 r3 /, 'finished ones need no more places');
};

subtest 'what a process knows survives a reload' => sub {
    my $t = RateTest->new(rules => "[rule r]\nkey = sasl_username\nlimit = 9999/hour\n");
    my ($helper, @others) = map { $t->helper } 1 .. 101;
    my @many = map { [$others[$_], "other$_", data(1)] } 0 .. 99;
    is(charged($t, [$helper, 'first', data(200)], @many), 300);
    $t->configure(rules => "[rule r]\nkey = sasl_username\nlimit = 9998/hour\n");
    for (1 .. 30) {
        RateTest::await_recheck();
        last if transaction($helper, instance => '', requests => [
            {protocol_state => 'DATA', recipient_count => 9999, recipient => ''}]) =~ /R/
            && $t->log_text =~ m{/9998};
    }
    is(charged($t, [$helper, 'first', data(200)]), 300, 'not charged again');
};

subtest 'many transactions at once on one key' => sub {
    my $t = RateTest->new(rules => "[rule r]\nkey = sasl_username\nlimit = 40/hour\n");
    my @helpers   = map { $t->helper } 1 .. 20;
    my @instances = map { instance() } @helpers;
    is(transaction($helpers[$_], instance => $instances[$_], requests => [rcpt(1, 2)]), 'DD')
        for 0 .. $#helpers;
    is(transaction($helpers[$_], instance => $instances[$_], requests => [data(2)]), 'D',
        "message $_ is not charged again") for 0 .. $#helpers;
    is(transaction($helpers[0], requests => [rcpt(1)]), 'R', '40 were charged');
};

subtest 'without an instance each request stands alone' => sub {
    my $t      = RateTest->new(rules => "[rule r]\nkey = sasl_username\nlimit = 3/hour\n");
    my $helper = $t->helper;
    is(transaction($helper, instance => '', requests => [rcpt(1, 1), data(1), data(1)]), 'DDDR');
};

subtest 'count_denied' => sub {
    my $t = RateTest->new(
        rules => "[rule r]\nkey = sasl_username\nlimit = 2/minute\ncount_denied = yes\n");
    $t->set_clock(1_700_000_000);
    my $helper = $t->helper;
    is(transaction($helper, requests => [rcpt(1 .. 3)]), 'DDR');
    $t->set_clock(1_700_000_050);
    is(transaction($helper, requests => [rcpt(1, 2)]), 'RR');
    $t->set_clock(1_700_000_070);
    is(transaction($helper, requests => [rcpt(1)]), 'R', 'tries after 50 s still fill the minute');
    my $i = instance();
    is(transaction($helper, instance => $i, requests => [rcpt(1)]), 'R');
    is(transaction($helper, instance => $i, requests => [rcpt(1)]), 'R', 'sent again');
    my ($line) = ($t->ctl('show'))[1] =~ /(\d+) rcpt/;
    is($line, 4, 'in the last minute: two, one, and one that was sent twice');
    $t->set_clock(1_700_000_200);
    is(transaction($helper, requests => [rcpt(1, 2)]), 'DD', 'a minute of silence later');
};

subtest 'count_denied: a denied request that is sent again stays denied' => sub {
    for my $strategy (qw(sliding-window fixed-window moving-window)) {
        my $t = RateTest->new(
            rules => "[rule r]\nkey = sasl_username\nlimit = 3/hour\ncount_denied = yes\n"
            . "strategy = $strategy\n");
        $t->set_clock(1_700_049_600);
        my $helper = $t->helper;
        is(join('', map { transaction($helper, requests => [rcpt($_, $_, $_)]) } 1 .. 6),
            'DDD' x 3 . 'RRR' x 3, $strategy);
    }
};

subtest 'count_denied: a denied request that passes later is charged once' => sub {
    my $t = RateTest->new(
        rules => "[rule r]\nkey = sasl_username\nlimit = 2/minute, 100/hour\n"
            . "count_denied = yes\nstrategy = moving-window\n",
    );
    $t->set_clock(1_700_000_000);
    my $helper = $t->helper;
    my $i = instance();
    is(transaction($helper, instance => $i, requests => [rcpt(1 .. 3)]), 'DDR');
    $t->set_clock(1_700_000_120);
    is(transaction($helper, instance => $i, requests => [rcpt(3), data(3)]), 'DD');
    my (undef, @rows) = $t->show;
    my ($used) = map { $_->{used} } grep { $_->{window} == 3600 } @rows;
    is($used, 3, 'three recipients, each once');
};

subtest 'keys' => sub {
    my @cases = (
        # key, options, attributes that share a counter, attributes that do not
        ['sasl_username', '', [{sasl_username => 'Bob@X.org'}, {sasl_username => 'bob@x.ORG'}],
            [{sasl_username => 'bob'}]],
        ['sasl_username', 'fold_case = no', [{sasl_username => 'Bob'}], [{sasl_username => 'bob'}]],
        ['sasl_domain', '', [{sasl_username => 'a@x.org'}, {sasl_username => 'b@X.org'}],
            [{sasl_username => 'a@y.org'}]],
        ['sender_domain', '', [{sender => 'a@x.org'}, {sender => '"b@c"@x.org'}],
            [{sender => 'x.org@z'}]],
        ['recipient_domain', '', [{recipient => 'a@x.org'}, {recipient => 'b@x.org'}],
            [{recipient => 'a@sub.x.org'}]],
        ['everything', '',
            [{sasl_username => 'a'}, {client_address => '::1', sasl_username => ''}], []],
        ['client_address', '', [{client_address => '192.0.2.7'}],
            [{client_address => '192.0.2.8'}]],
        ['policy_context', '', [{policy_context => 'submission'}], [{policy_context => 'smtps'}]],
        ['sender', '', [{sender => 'x' x 300 . '@x.org'}, {sender => 'X' x 300 . '@x.org'}],
            [{sender => 'x' x 300 . '@x.orh'}, {sender => 'x' x 299 . 'y@x.org'}]],
    );
    for my $case (@cases) {
        my ($key, $options, $same, $other) = @$case;
        my $t      = RateTest->new(rules => "[rule r]\nkey = $key\nlimit = 1/hour\n$options\n");
        my $helper = $t->helper;
        my @got = map { $helper->ask(%$_) eq 'DUNNO' ? 'D' : 'R' } @$same[0], @$same, @$other;
        is(join('', @got), 'D' . 'R' x @$same . 'D' x @$other, "$key $options") or diag "@got";
    }
    for my $empty ({key => 'sasl_username', sasl_username => ''}, {key => 'sender', sender => ''},
        {key => 'sasl_domain', sasl_username => 'nodomain'},
        {key => 'sender_domain', sender => 'a@'},
        {key => 'policy_context'})
    {
        my %attributes = %$empty;
        my $key        = delete $attributes{key};
        my $t          = RateTest->new(rules => "[rule r]\nkey = $key\nlimit = 1/hour\n");
        my $helper     = $t->helper;
        is(join('', map { $helper->ask(%attributes) } 1 .. 3), 'DUNNO' x 3,
            "an empty $key is nobody's counter");
        is_deeply([grep { !/^:/ } keys %{$t->records}], [], 'and makes none');
    }
};

subtest 'several rules: all or none, the first without room answers' => sub {
    my $t = RateTest->new(rules => <<'END');
[rule first]
key = sasl_username
limit = 2/hour
action = REJECT first
[rule second]
key = sender_domain
limit = 3/hour
action = REJECT second
[rule third]
key = everything
limit = 10/hour
action = REJECT third
END
    my $helper = $t->helper;
    my @got = map { $helper->ask(sasl_username => $_) } qw(a a a a b b c);
    is_deeply(\@got, ['DUNNO', 'DUNNO', 'REJECT first', 'REJECT first', 'DUNNO',
        'REJECT second', 'REJECT second']);
    my (undef, @rows) = $t->show;
    my %used = map { $_->{rule} => $_->{used} } @rows;
    is($used{third}, 3, 'a denied request is counted by no rule');
    is($used{second}, 3);
};

subtest 'placeholders' => sub {
    my $t = RateTest->new(rules => <<'END');
[rule r-1]
key = sasl_domain
limit = 2/hour, 100/day
action = 450 {rule}|{key}|{field}|{limit}|{used}|{remaining}|{count}|{window}|{{x}
[rule r2]
key = everything
limit = 3/2 minutes
action = REJECT {retry_after} {client_address} {sender} {sasl_username}
END
    $t->set_clock(1_700_000_000);
    my $helper = $t->helper;
    $helper->ask(sasl_username => 'a@X.org') for 1 .. 2;
    is($helper->ask(sasl_username => 'a@X.org'),
        '450 r-1|x.org|sasl_domain|2/hour|3|0|recipients|3600|{x}');
    $helper->ask(sasl_username => '');
    is($helper->ask(sender => "evil\r\x01\xff\xe2\x80\xa8\xc3\xa4", sasl_username => ''),
        "REJECT 3m 192.0.2.1 evil????\xc3\xa4 ", 'made printable UTF-8');
    is($helper->ask(protocol_state => 'DATA', recipient_count => 4, sasl_username => ''),
        'REJECT never 192.0.2.1 user@example.com ');
};

subtest 'what a client calls itself' => sub {
    my $t = RateTest->new(
        rules => "[rule r]\nkey = sender, client_address\nlimit = deny\nexempt = 10.0.0.0/8\n");
    my $helper = $t->helper;
    is($helper->ask(sender => '', client_address => '10.1.1.1'), 'DUNNO', 'an exempt network');
    like($helper->ask(sender => $_, client_address => '192.0.2.1'), $full, "but not a sender $_")
        for '10.1.1.1', '10.0.0.0/8', '10.1.1.1@x';
    $t = RateTest->new(
        rules => "[rule r]\nkey = sender\nlimit = 1/hour\n"
            . "[rule d]\nkey = sender_domain\nlimit = 3/hour\n"
            . "[rule m]\nkey = everything\nmatch = recipient_domain = x.com\nlimit = deny\n",
    );
    $helper = $t->helper;
    is(
        join('',
            map { substr $helper->ask(sender => $_), 0, 5 } 'a@x.com',
            'a@x.com.', 'b@x.com.', 'c@X.com', 'd@x.com..'),
        'DUNNODEFERDUNNODUNNODEFER', 'a dot behind the domain changes nothing');
    like($helper->ask(sender => 'e@y', recipient => 'z@x.com.'), $full, 'nor for a match');
};

subtest 'an action whose placeholders come out empty' => sub {
    for my $action ('450 {sender}', 'REDIRECT {sasl_method}', "550\t{sender} ") {
        my $t =
            RateTest->new(rules => "[rule r]\nkey = everything\nlimit = deny\naction = $action\n");
        is($t->helper->ask(sender => '', sasl_method => ''),
            'DEFER_IF_PERMIT 4.7.1 Limit reached', $action);
    }
};

subtest 'retry_after is when it passes' => sub {
    my $t = RateTest->new(
        rules => "[rule r]\nkey = everything\nlimit = 1/hour\naction = 450 {retry_after}\n");
    $t->set_clock(1_700_000_000);
    my $helper = $t->helper;
    is($helper->ask, 'DUNNO');
    like($helper->ask, qr/^450 6\dm$/);
    my ($seconds) = $t->log_text =~ /retry_after=(\d+)\n\z/;
    cmp_ok($seconds, '<=', 3900, 'not later than window/resolution behind the window');
    $t->set_clock(1_700_000_000 + $seconds - 1);
    like($helper->ask, qr/^450 1s$/);
    $t->set_clock(1_700_000_000 + $seconds);
    is($helper->ask, 'DUNNO');
};

subtest 'success_action and log' => sub {
    my $rules = "[rule r]\nkey = sasl_username\nlimit = 1/hour\n";
    my $t =
        RateTest->new(rules => $rules, global => {success_action => 'WARN seen', log => 'denied'});
    my $helper = $t->helper;
    my %request = (queue_id => '4FzQ', recipient_count => 0, sasl_username => 'Eve, status=allowed',
        sender => "a\nb" =~ s/\n/\x0b/r);
    is($helper->ask(%request), 'WARN seen');
    is($t->log_text, '', 'denied: an allowed request has no line');
    $helper->ask(%request);
    like(
        $t->log_text,
        qr{^\S+\ policyd-ratelimit\[\d+\]:\ 4FzQ:\ client=client\.example\.com\[192\.0\.2\.1\],
        \ sasl_method=PLAIN,\ sasl_username=Eve\\x2c\\x20status=allowed,\ sender=<a\?b>,
        \ recipient_count=0,\ rule=r,\ key=eve\\x2c\\x20status=allowed,\ used=2/1,\ window=3600,
        \ status=denied,\ retry_after=\d+\n\z}x, 'one line a decision, no value forges a field');
    $t = RateTest->new(rules => $rules, global => {log => 'none'});
    $helper = $t->helper;
    $helper->ask for 1 .. 3;
    ok(!-e $t->{logfile}, 'none');
    $t = RateTest->new(rules => $rules);
    $helper = $t->helper;
    $helper->ask for 1 .. 2;
    $helper->ask(sasl_username => '');
    is(join(' ', $t->log_text =~ /NOQUEUE:.*recipient_count=0, (rule=\w+, )?.*status=(\w+)/g),
        'rule=r,  allowed rule=r,  denied  allowed', 'all');
    like($t->log_text, qr/ recipient_count=0, status=allowed\n\z/, 'no field that does not apply');
};

subtest 'ends at end of file, and never before' => sub {
    my $t = RateTest->new(rules => "[rule r]\nkey = everything\nlimit = 1/hour\n");
    my $helper = $t->helper;
    $helper->ask for 1 .. 5;
    is_deeply([$helper->finish], ['', 0]);
    is(($t->records->{'r:everything'} // '') =~ /\A[ -~]+\z/ ? 1 : 0, 1, 'printable record');
    is((stat $t->{database})[2] & 07777, 0600, 'mode of the file');
    my $u = RateTest->new(rules => "[rule r]\nkey = everything\nlimit = 1/hour\n",
        global => {database_mode => '0640'});
    $u->helper->ask;
    is((stat $u->{database})[2] & 07777, 0640, 'as database_mode says, in spite of umask 077');
};

subtest 'a log without syslog' => sub {
    my @hide;
    if (-e '/dev/log') {
        @hide = ('unshare', '-m', 'sh', '-c',
            'mount --bind /dev/null "$(readlink -f /dev/log)" && exec "$@"', 'sh');
        plan skip_all => 'there is a syslog, which can not be hidden' if (run(@hide, 'true'))[0];
    }
    my @program = (@hide, build_dir() . '/policyd-ratelimit', '-c');
    my $rules   = "[rule r]\nkey = everything\nlimit = deny\n";
    my $line    = qr/^\S+T\S+ policyd-ratelimit\[\d+\]: NOQUEUE: .* status=denied, .*$/m;
    my $answer  = "action=DEFER_IF_PERMIT 4.7.1 Limit of deny reached for everything, try again in "
        . "never\n\n";
    for my $target ('syslog', 'file:/nonexistent/log') {
        my $t = RateTest->new(rules => $rules, global => {log_target => $target});
        spew("$t->{dir}/requests", RateTest::Helper::request() x 2);
        my %in = (stdin => "$t->{dir}/requests");
        my ($status, $out, $errors) = run(\%in, @program, $t->{config});
        is("$status$out", "0$answer$answer", "$target: answers");
        is(() = $errors =~ /$line/g, 2, 'lines go to stderr') or diag $errors;
        is_deeply([run({%in, both => 1}, @program, $t->{config})], [0, "$answer$answer", ''],
            'but not if the client would get them');
        my $helper = $t->helper;
        is($helper->ask . "\n\n", $answer =~ s/action=//r, 'as with spawn(8)') for 1 .. 2;
        is_deeply([$helper->finish], ['', 0]);
    }
    my $t = RateTest->new(rules => $rules);
    spew("$t->{dir}/requests", RateTest::Helper::request());
    is_deeply([run({stdin => "$t->{dir}/requests"}, @program, $t->{config})], [0, $answer, ''],
        'a file that can be written comes first');
    like($t->log_text, $line);
};

subtest 'a helper that root starts' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $nobody = getpwnam 'nobody';
    my $t      = RateTest->new;
    my %global = (user => 'nobody', on_error => 'WARN broken');
    my $rules  = "[rule r]\nkey = everything\nlimit = deny\naction = REJECT limit\n";
    $t->configure(rules => $rules, global => \%global);
    chown $nobody, -1, $t->{dir} or die $!;
    my $helper = $t->helper;
    is($helper->ask, 'REJECT limit', 'works');
    my $status = slurp("/proc/$helper->{pid}/status");
    like($status, qr/^Uid:(?:\t$nobody){4}$/m, 'as user, for good');
    like($status, qr/^Groups:\t${\ (getpwnam 'nobody')[3]} ?$/m, 'with its group alone');
    $helper->finish;
    my %owner = map { s{.*/}{}r => (stat)[4] } grep { $_ ne $t->{config} } glob "$t->{dir}/*";
    is_deeply([grep { $owner{$_} != $nobody } keys %owner], [], 'no file is of root')
        or diag explain \%owner;
    cmp_ok(keys %owner, '>=', 3, 'database, log and copy of the configuration');

    unlink map {"$t->{dir}/$_"} keys %owner;
    $global{user} = 'no-such-account';
    $t->configure(rules => $rules, global => \%global);
    $helper = $t->helper;
    is($helper->ask, 'WARN broken', 'no such account: on_error') for 1, 2;
    $helper->finish;
    is_deeply([glob "$t->{dir}/*"], [$t->{config}], 'and no file at all');
    SKIP: {
        skip 'the line goes to syslog', 1 if -e '/dev/log';
        my $program = build_dir() . '/policyd-ratelimit';
        like((run($program, '-c', $t->{config}))[2],
            qr/: root has started the helper, and it could not change to the account "no-such-/);
    }
    $global{user} = 'nobody';
    chmod 0600, $t->{config};
    $t->configure(rules => $rules, global => \%global);
    $helper = $t->helper;
    is($helper->ask, 'DUNNO', 'the account can not read the configuration, as with spawn(8)');
};

subtest 'arguments' => sub {
    my $program = build_dir() . '/policyd-ratelimit';
    my ($status, $out) = run($program, '--version');
    like($out, qr/^policyd-ratelimit \d+\.\d+/);
    ($status, $out) = run($program, '-h');
    is($status, 0);
    like($out, qr/^usage: policyd-ratelimit \[-c FILE\]/);
    my $t = RateTest->new(rules => "[rule r]\nkey = everything\nlimit = 1/hour\n");
    my $helper = $t->helper(args => ['-c', $t->{config}, '--no-such-option', 'x']);
    is($helper->ask, 'DUNNO', 'a slip in master.cf does not stop mail');
    is($helper->ask =~ $full ? 1 : 0, 1, 'nor the limits');
    like($t->log_text, qr/unknown arguments in master.cf are ignored/);
};

done_testing;
