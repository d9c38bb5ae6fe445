#!/usr/bin/perl
# policyd-ratelimit-ctl explain says what the helper does, and counts nothing.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Exceptions;
use RateTest qw(slurp);

subtest 'explain' => sub {
    local $ENV{TZ} = 'UTC';
    my $t = limiter();
    my $e = sub { [$t->ctl('explain', @_)] };
    like($e->('sasl_username=' . 'x' x 8193)->[2],
        qr/the value of sasl_username is longer than 8192 bytes$/, 'as long as Postfix may');
    like($e->(('sender=a') x 129)->[2], qr/more than 128 attributes$/, 'and as many');
    is_deeply($e->('policy_context=users', 'sasl_username=bob'),
        [0, <<'END', ''], 'without a counter file');
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
        return $status . $err . "\n" . join '',
            $out =~ /^(rule $rule: .*\n(?: .*\n)*|answer: .*\n)/mg;
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
    my $granted = join ', ', map { "+$_ granted until 2023-11-15 1" . ($_ + 2) . ':00' } 1 .. 5;
    is($of->('exact', 'sasl_username=bob'), <<"END", 'grants');
0
rule exact: applies, key bob, costs 1 rcpt
  limits: of the rule, $granted
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
    fails($t, 65, qr/Postfix sends no attribute "sasl_usrname"; perhaps sasl_username\?$/,
        'explain', 'sasl_usrname=bob');
    fails($t, 65, qr/Postfix sends no attribute "xyzzy"$/, 'explain', 'xyzzy=bob');
    fails($t, 65, qr/"bob" is not ATTRIBUTE=VALUE, such as sasl_username=user\@example\.com/,
        'explain', 'bob');
    fails($t, 65, qr/no request on stdin/, 'explain');
    fails($t, 65, qr/is not ATTRIBUTE=VALUE/, {text => "sasl_username\n\n"}, 'explain');
    my $request = "request=smtpd_access_policy\r\npolicy_context=users\r\n"
        . "sasl_username=alice\n\nmore\n";
    is_deeply([$t->ctl({text => $request}, 'explain')],
        $e->('policy_context=users', 'sasl_username=alice'), 'a request on stdin');

    # Whatever explain says of a request, the helper does; and explain counts nothing.
    my ($compared, $denied) = (0, 0);
    # So that the helper has no reason to compact the file meanwhile.
    is(($t->ctl('clean'))[0], 0);
    for my $rule (@names) {
        for my $key ('bob', 'alice', 'boss@example.com', '') {
            for my $state ('RCPT', 'DATA', 'END-OF-MESSAGE', 'VRFY') {
                for my $recipients (0, 1, 6, 200) {
                    my %request = (policy_context => $rule, sasl_username => $key, sender => $key,
                        client_address => $key eq 'bob' ? '2001:db8::1' : '192.0.2.1',
                        protocol_state => $state,
                        recipient_count => $recipients, size => $recipients * 10000,
                        recipient => 'r@example.net', instance => "$rule$key");
                    next if $state eq 'VRFY' && $recipients != 1;
                    my $before = $t->records;
                    my ($status, $out, $err) = @{$e->(map {"$_=$request{$_}"} sort keys %request)};
                    is_deeply($t->records, $before, 'counts nothing') or return;
                    my $answer = $helper->ask(%request);
                    is_deeply(
                        [$out =~ /^answer: (.*)$/m, $status, $err],
                        [$answer, $answer eq 'DUNNO' ? 0 : 1, ''],
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

subtest 'without protocol_state: the one in which what is given counts' => sub {
    my $t = RateTest->new(rules => "[rule users]\nkey = sasl_username\nlimit = 50/hour\n"
        . "[rule volume]\nkey = sasl_username\ncount = bytes\nlimit = 1MiB/hour\n");
    my @cases = (
        [[], 0, 'users 1 rcpt'],
        [['recipient_count=0'], 0, 'users 1 rcpt'],
        [['recipient_count=50'], 0, 'users 50 rcpt'],
        [['recipient_count=60'], 1, 'users 60 rcpt'],
        [['recipient_count=60', 'protocol_state=RCPT'], 0, 'users 1 rcpt'],
        [['size=1048576'], 0, 'volume 1.0 MiB'],
        [['size=1048577'], 1, 'volume 1.0 MiB'],
        [['size=1000', 'recipient_count=60'], 1, 'users 60 rcpt, volume 1000 B'],
        [['recipient_count=many'], 0, 'users 1 rcpt'],
    );
    for my $case (@cases) {
        my ($given, $status, $costs) = @$case;
        for my $how ('arguments', 'stdin') {
            my @request = ('sasl_username=bob', @$given);
            my ($got, $out) = $how eq 'stdin'
                ? $t->ctl({text => join '', map {"$_\n"} @request, ''}, 'explain')
                : $t->ctl('explain', @request);
            my @costs;
            push @costs, "$1 $2" while $out =~ /^rule (\w+): applies, .* costs (.*)$/mg;
            is_deeply([$got, join ', ', @costs], [$status, $costs], "@$given, $how");
        }
    }
};

subtest 'a full counter file: on_error for a new counter, as the helper answers' => sub {
    my $t = RateTest->new(
        rules => "[rule r]\nkey = sasl_username\nlimit = 3/hour\naction = REJECT r\n"
            . "[rule s]\nkey = sender\nlimit = 5/hour\naction = REJECT s\nmatch = sender = *\n",
        global => {on_error => 'WARN trouble', log => 'none', database_max_size => '300K'});
    $t->set_clock($now);
    my $helper  = $t->helper;
    my $explain = sub {
        my ($user, $sender) = @_;
        my ($status, $out, $err) = $t->ctl('explain', "sasl_username=$user", "sender=$sender");
        return ($out =~ /^answer: (.*)$/m)[0], $status, $err, $out;
    };
    my ($n, $wrong, $full) = (0, 0, 0);
    # A compaction may make some room.
    while ($full < 5 && $n < 5000) {
        my ($explained) = $n % 10 ? () : $explain->("key$n", '');
        my $answer = $helper->ask(sasl_username => "key$n", sender => '');
        $wrong++ if defined $explained && $explained ne $answer;
        $answer eq 'DUNNO' ? $n++ : $full++;
    }
    is($wrong, 0, "what explain said while $n keys went in");
    my ($answer, $status, $err, $out) = $explain->('late', '');
    is($answer, 'WARN trouble', 'a new key');
    is($status, 69);
    is($err, "policyd-ratelimit-ctl: $t->{database}: no room for a new counter: "
            . "database_max_size is 307200 bytes\n");
    like($out, qr/^rule r: applies, key late, .*\n.*\n  it has no counter yet, and there is/m);
    is(($explain->('key1', ''))[0], 'DUNNO', 'a known one');
    is($helper->ask(sasl_username => 'key1', sender => ''), $_) for 'DUNNO', 'DUNNO', 'REJECT r';
    is(($explain->('key1', 'new'))[0], 'REJECT r', 'a known one over its limit, and a new one');
    is($helper->ask(sasl_username => 'key1', sender => 'new'), 'REJECT r');
    is(($explain->('key2', 'new'))[0], 'WARN trouble', 'a known one with room, and a new one');
    is($helper->ask(sasl_username => 'key2', sender => 'new'), 'WARN trouble');
};

done_testing;
