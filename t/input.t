#!/usr/bin/perl
# Input that no Postfix sends, or in pieces that it may send: a well-formed answer or a clean
# end, and a log line where an administrator should know.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest;

my $t = RateTest->new(
    rules  => "[rule r]\nkey = sasl_username\nlimit = 1000/hour\naction = REJECT over\n",
    global => {on_error => 'WARN bad', log => 'denied'},
);
my $good = RateTest::Helper::request(sasl_username => 'u');

sub request { return RateTest::Helper::request(@_) }

my @cases = (
    # what, bytes, answers, log line
    ['a line without "="', "request=smtpd_access_policy\nnonsense\n\n", ['WARN bad'],
        qr/a line that is not "name=value"/],
    ['a line without a name', "=x\n\n", ['WARN bad'], qr/a line that is not "name=value"/],
    ['a value of 8 KiB', request(helo_name => 'x' x 8192), ['DUNNO']],
    ['a value over 8 KiB', request(helo_name => 'x' x 8193), ['WARN bad'],
        qr/the value of "helo_name" is longer than 8192 bytes/],
    ['a request over 64 KiB', "a=b\n" x 20000 . "\n", ['WARN bad'],
        qr/the request is longer than 65536 bytes/],
    ['a request of 1 MiB in one line', 'x' x (1 << 20) . "\n\n", ['WARN bad'],
        qr/the request is longer than 65536 bytes/],
    ['two of them', join('', ("a=b\n" x 20000 . "\n") x 2), ['WARN bad', 'WARN bad']],
    ['a NUL byte', "request=smtpd_access_policy\nsender=a\0b\n\n", ['WARN bad'], qr/a NUL byte/],
    ['too many attributes', join('', map {"a$_=\n"} 1 .. 129) . "\n", ['WARN bad'],
        qr/more than 128 attributes/],
    ['another kind of request', "request=other_policy\n\n", ['WARN bad'],
        qr/not smtpd_access_policy/],
    ['an empty request', "\n", ['DUNNO']],
    ['broken UTF-8', request(sasl_username => "u\xff\xc3(\xed\xa0\x80"), ['DUNNO']],
    ['unknown attributes', request(future_attribute => 'x'), ['DUNNO']],
    [
        'numbers that are none',
        request(protocol_state => 'DATA', recipient_count => '-1', size => '1e9'),
        ['DUNNO']],
    ['numbers too large', request(protocol_state => 'DATA', recipient_count => '9' x 30),
        ['DUNNO']],
    ['nearly the largest', request(protocol_state => 'DATA', recipient_count => 68719476735),
        ['REJECT over']],
    ['format strings', request(sasl_username => '%s%n%99999d', sender => '%n'), ['DUNNO']],
);
for my $case (@cases) {
    my ($name, $bytes, $answers, $line) = @$case;
    my $helper = $t->helper;
    my $before = length $t->log_text;
    my @expected = (@$answers, 'DUNNO');
    # Written by another process, so that nobody waits for the other.
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) { $helper->write($bytes . $good); POSIX::_exit(0) }
    is_deeply([map { $helper->answer } @expected],
        \@expected, "$name, and on with the next request");
    waitpid $pid, 0;
    is_deeply([$helper->finish], ['', 0], 'clean end');
    my $log = substr $t->log_text, $before;
    like($log, $line // qr/\A(?:\S+ \S+: NOQUEUE: .*status=(?:denied|error).*\n)*\z/, 'log');
    like($log, qr/\A[^\x00-\x09\x0b-\x1f\x7f]*\z/, 'printable');
}

subtest 'the last one of two attributes holds' => sub {
    my $helper = $t->helper;
    $helper->write("sasl_username=first\n" . $good =~ s/\n\n/\nsasl_username=last\n\n/r);
    is($helper->answer, 'DUNNO');
    ok($t->records->{'r:last'}, 'last');
    ok(!$t->records->{'r:first'}, 'not first');
};

subtest '100 requests in one write' => sub {
    my $helper = $t->helper;
    $helper->write(join '', map { request(sasl_username => 'batch', instance => "i$_") } 1 .. 100);
    is_deeply([map { $helper->answer } 1 .. 100], [('DUNNO') x 100]);
    is($helper->ask(sasl_username => 'batch', protocol_state => 'DATA', recipient_count => 901),
        'REJECT over', 'each was counted');
    is($helper->ask(sasl_username => 'batch', protocol_state => 'DATA', recipient_count => 900),
        'DUNNO');
};

subtest 'one byte per write' => sub {
    my $helper = $t->helper;
    $helper->write($_) for split //, request(sasl_username => "b\xc3\xa4r") x 2;
    is_deeply([map { $helper->answer } 1 .. 2], ['DUNNO', 'DUNNO']);
};

subtest 'a request that stops half way' => sub {
    my $helper = $t->helper;
    my $before = length $t->log_text;
    $helper->write(substr $good, 0, -1);
    is_deeply([$helper->finish], ['', 0], 'no answer, a clean end');
    like(substr($t->log_text, $before), qr/the input ended within a request/);
    $helper = $t->helper;
    is_deeply([$helper->finish], ['', 0], 'no input at all');
};

subtest 'a peer that goes away' => sub {
    my $helper = $t->helper;
    $helper->write($good x 50);
    close $helper->{socket};
    is($helper->wait, 0, 'a clean end');
};

done_testing;
