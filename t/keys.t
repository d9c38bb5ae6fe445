#!/usr/bin/perl
# Keys as they are kept, shown and written: lists of attributes, pairs, dots, long keys. What helper
# and ctl make of one is the same.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest;

my $none = {sasl_username => '', sender => '', client_address => 'unknown', client_name => ''};

sub rule {
    my ($options) = @_;
    my $t = RateTest->new(rules => "[rule r]\naction = REJECT {key}\n$options\n");
    $t->set_clock(1_700_049_600);
    return $t;
}

# How many of nine requests pass.
sub room {
    my ($helper, %request) = @_;
    for my $n (0 .. 8) {
        my $answer = $helper->ask(%$none, %request) // 'gone';
        return $n if $answer =~ /^REJECT /;
        return $answer if $answer ne 'DUNNO';
    }
    return 9;
}

sub keys_of {
    my ($t) = @_;
    my (undef, @rows) = $t->show('--sort', 'key');
    return [map { $_->{key} } @rows];
}

# The key option, then the requests and the keys under which they are kept.
my @apart = (
    ['sasl_username, sender',
        {sasl_username => 'bob@x'}                         => 'bob@x',
        {sender => 'bob@x'}                                => 'sender:bob@x',
        {sasl_username => 'sender:bob@x'}                  => 'sasl_username:sender:bob@x',
        {sasl_username => 'Sasl_Username:Sender:bob@x'}
            => 'sasl_username:sasl_username:sender:bob@x',
        {sasl_username => 'recipient:bob@x'}               => 'recipient:bob@x'],
    ['sasl_username, client_address',
        {sasl_username => '192.0.2.1'}                     => '192.0.2.1',
        {client_address => '192.0.2.1'}                    => 'client_address:192.0.2.1',
        {sasl_username => 'client_address:192.0.2.1'}
            => 'sasl_username:client_address:192.0.2.1',
        {sasl_username => '2001:db8::/64'}                 => '2001:db8::/64',
        {client_address => '2001:db8::1'}                  => 'client_address:2001:db8::/64'],
    ['sasl_username, client_name',
        {sasl_username => 'mx.example'}                    => 'mx.example',
        {client_name => 'mx.example'}                      => 'client_name:mx.example'],
    ['sasl_username, sender+client_address, client_address',
        {sasl_username => 'bob+192.0.2.1'}                 => 'bob+192.0.2.1',
        {sender => 'bob', client_address => '192.0.2.1'}
            => 'sender+client_address:bob+192.0.2.1',
        {sasl_username => 'sender+client_address:bob+192.0.2.1'}
            => 'sasl_username:sender+client_address:bob+192.0.2.1',
        {client_address => '192.0.2.1'}                    => 'client_address:192.0.2.1'],
    ['sasl_username+client_address, sender',
        {sasl_username => 'bob', client_address => '192.0.2.1'} => 'bob+192.0.2.1',
        {sender => 'bob+192.0.2.1'}                        => 'sender:bob+192.0.2.1'],
    ['sender_domain, sasl_domain, client_name',
        {sender => 'a@x.example'}                          => 'x.example',
        {sasl_username => 'a@x.example'}                   => 'sasl_domain:x.example',
        {client_name => 'x.example'}                       => 'client_name:x.example'],
);
for my $case (@apart) {
    my ($key, @requests) = @$case;
    subtest "key = $key: values of different attributes share no counter" => sub {
        my $t      = rule("key = $key\nlimit = 3/hour");
        my $helper = $t->helper;
        my @kept   = map { $requests[2 * $_ + 1] } 0 .. $#requests / 2;
        for my $i (0 .. $#kept) {
            my %request = %{$requests[2 * $i]};
            is(room($helper, %request), 3, $kept[$i]);
            is(scalar(grep {/, key=\Q$kept[$i]\E, .*status=denied/} split /\n/, $t->log_text),
                1, 'its line in the log');
        }
        is_deeply(keys_of($t), [sort @kept], 'each is shown as it is kept');
        for my $i (0 .. $#kept) {
            my %request = (%$none, %{$requests[2 * $i]});
            my ($status, $out) = $t->ctl('explain', map {"$_=$request{$_}"} keys %request);
            like($out, qr/applies, key \Q$kept[$i]\E, /, 'explain');
            room($helper, %request);
            is_deeply([$t->ctl('reset', $kept[$i])], [0, "1 counter reset\n", ''], 'reset');
            is(room($helper, %request), 3, 'alone');
            $t->ctl('reset', '--all');
            is_deeply([$t->ctl('set', 'r', $kept[$i], '2/hour')],
                [0, "r: $kept[$i]: 2/hour\n", ''], 'set');
            is_deeply([map { room($helper, %{$requests[2 * $_]}) } 0 .. $#kept],
                [map { $_ == $i ? 2 : 3 } 0 .. $#kept], 'for it alone');
            my ($found, $dump) = $t->ctl('dump');
            is($dump, "r\t$kept[$i]\t2/hour\n", 'dump');
            is_deeply([$t->ctl({text => $dump}, 'load', '--replace', '-')],
                [0, "1 line for 1 key loaded\n", ''], 'load');
            is(($t->ctl('dump'))[1], $dump, 'the same');
            is(($t->ctl('unset', 'r', $kept[$i]))[0], 0, 'unset');
            $t->ctl('reset', '--all');
        }
    };
}

subtest 'patterns and {key} see the value' => sub {
    my $t = rule("key = sasl_username, sender, client_address\nlimit = 1/hour\n"
        . "override = bob\@x 2/hour\noverride = \@y 3/hour\noverride = 192.0.2.0/24 4/hour\n");
    my $helper = $t->helper;
    is(room($helper, @$_[0 .. 1]), $_->[2], "$_->[0] $_->[1]")
        for ['sasl_username', 'bob@x', 2], ['sender', 'bob@x', 2], ['sender', 'a@y', 3],
        ['sasl_username', 'sender:a@y',   3], ['client_address', '192.0.2.7', 4],
        ['sasl_username', '192.0.2.7', 1], ['sender', '192.0.2.7', 1];
    is($helper->ask(%$none, @$_[0 .. 1]), "REJECT $_->[1]", '{key}')
        for ['sasl_username', 'bob@x'], ['sender', 'bob@x'], ['sasl_username', 'sender:a@y'],
        ['client_address', '192.0.2.7'];
    my (undef, @rows) = $t->show('--sort', 'key');
    is_deeply([map {"$_->{key} $_->{limit} $_->{source}"} @rows],
        ['192.0.2.7 1 rule', 'bob@x 2 override', 'client_address:192.0.2.7 4 override',
            'sasl_username:sender:a@y 3 override', 'sender:192.0.2.7 1 rule',
            'sender:a@y 3 override', 'sender:bob@x 2 override'], 'show has the same limits');
};

subtest 'a value of the first attribute may be written with its name' => sub {
    my $t = rule("key = sasl_username, sender\nlimit = 1/hour");
    my $helper = $t->helper;
    is(($t->ctl('set', 'r', 'sasl_username:bob', '2/hour'))[1], "r: bob: 2/hour\n");
    is(room($helper, sasl_username => 'bob'), 2);
};

subtest 'dots at the end of a domain' => sub {
    my $t = rule("key = sender_domain\nlimit = 1/hour\noverride = y.example. 4/hour\n"
        . "override = .z.example. 5/hour\n");
    my $helper = $t->helper;
    is(($t->ctl('set', 'r', 'X.example.', '2/hour'))[1], "r: x.example: 2/hour\n", 'set');
    is(room($helper, sender => 'a@x.example'),    2);
    is(room($helper, sender => 'a@x.example.'),   0, 'is the same key');
    is(($t->ctl('reset', 'x.example..'))[1], "1 counter reset\n", 'reset');
    is(room($helper, sender => 'a@x.example..'),  2);
    is(room($helper, sender => 'a@y.example'),    4, 'in an override');
    is(room($helper, sender => 'a@b.z.example.'), 5, 'in a domain of an override');
    $t = rule("key = sender+recipient_domain\nlimit = 1/hour");
    $helper = $t->helper;
    is(($t->ctl('set', 'r', 'A@x.+Y.', '2/hour'))[1], "r: a\@x+y: 2/hour\n", 'in a pair');
    is(room($helper, sender => 'a@x', recipient => 'b@y.'), 2);
    for my $match ('sender = a@x.', 'sender = @x.', 'sender = .y.', 'sender_domain = x.',
        'sender_domain = .y.') {
        my $value = $match =~ /y/ ? 'a@b.y' : 'a@x';
        $t = rule("key = sender\nlimit = 1/hour\nmatch = $match");
        is(room($t->helper, sender => $value), 1, "match = $match");
    }
};

subtest 'strip_extension, and pairs' => sub {
    my $t = rule("key = sasl_username, sender+client_address\nstrip_extension = +\n"
        . "limit = 1/hour\noverride = carl+192.0.2.1 3/hour\n");
    my $helper = $t->helper;
    my @pair   = (sender => 'bob+tag', client_address => '192.0.2.1');
    is(room($helper, @pair), 1);
    is(room($helper, sasl_username => 'bob'), 1);
    is(($t->ctl('reset', 'sender+client_address:bob+192.0.2.1'))[1], "1 counter reset\n");
    is(room($helper, @pair), 1, 'the pair was reset');
    is(room($helper, sasl_username => 'bob+x'), 0, 'and not the first part of it');
    is(room($helper, sender => 'carl', client_address => '192.0.2.1'), 3, 'in an override');
    $t = rule("key = sender+client_address, sasl_username\nstrip_extension = +\nlimit = 1/hour");
    $helper = $t->helper;
    is(($t->ctl('set', 'r', 'bob+192.0.2.1', '2/hour'))[1], "r: bob+192.0.2.1: 2/hour\n");
    is(room($helper, @pair), 2, 'as the first of a list');
    is(($t->ctl('set', 'r', 'bob+tag+192.0.2.1', '3/hour'))[1], "r: bob+192.0.2.1: 3/hour\n");
    is_deeply([$t->ctl('set', 'r', 'bob', '2/hour')],
        [65, '', qq(policyd-ratelimit-ctl: "bob" can't be a key of the rule r, )
            . "key = sender+client_address, sasl_username\n"], 'what is no pair');
};

subtest 'keys over 200 bytes: override, show, report and explain are of one mind' => sub {
    my $t = rule("key = sender, client_name\nlimit = 1/hour\noverride = \@x.example 3/hour\n"
        . "override = .y.example 4/hour\nexempt = \@free.example\n");
    my $helper = $t->helper;
    my $long   = 'l' x 210;
    my %sender = ('x.example' => 3, 'a.y.example' => 4, 'free.example' => 9, 'a.x.example' => 1,
        'd' x 240 . '.y.example' => 4);
    for my $domain (sort keys %sender) {
        my $room = $sender{$domain};
        is(room($helper, sender => "$long\@$domain"), $room, substr $domain, -20);
        my (undef, @rows) = $t->show('--key', 
            (length $domain < 20 ? "*\@$domain~*" : 'l*d.y.example~*'));
        is_deeply([map {"$_->{used} $_->{source}"} @rows],
            [join ' ', $room == 9 ? 0 : $room, $room == 1 ? 'rule' : 'override'], 'show')
            if $room < 9;
        my ($status, $out) = $t->ctl('explain', "sender=$long\@$domain");
        is($status, $room == 9 ? 0 : 1, 'explain');
        is_deeply([$t->ctl('reset', "$long\@$domain")], [0, "1 counter reset\n", ''], 'reset')
            if $room < 9;
        room($helper, sender => "$long\@$domain");
    }
    is(room($helper, client_name => "$long.y.example"), 4, 'a long name');
    my ($status, $out) = $t->ctl('report');
    is_deeply([sort map {m{ (\d)/hour }} grep {/l/} split /\n/, $out], [1, 3, 4, 4, 4], 'report');
    my ($key) = grep {/^l.*\@x\.example~/} @{keys_of($t)};
    is(($t->ctl('set', 'r', $key, '7/hour'))[1], "r: $key: 7/hour\n", 'set, as it is shown');
    is(room($helper, sender => "$long\@x.example"), 4);
};

done_testing;
