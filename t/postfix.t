#!/usr/bin/perl
# The helper behind a real Postfix: each placement, counted by what gets through.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use PrivatePostfix;
use RateTest qw(run slurp spew build_dir);
use Test::More;

my $missing = PrivatePostfix::missing();
plan skip_all => $missing if $missing;

# The same service by two names: Postfix keeps a connection, so a helper, for each.
my $service = 'check_policy_service {unix:private/policy, timeout=10s, default_action=DUNNO}';
my $other   = 'check_policy_service {unix:private/policy, timeout=10s}';

my $postfix;

sub rule {
    my ($limit, $count) = @_;
    return "[rule users]\nkey = sasl_username\nlimit = $limit\ncount = $count\n";
}

# A fresh start with the service in these places.
sub use_postfix {
    my ($config, %place) = @_;
    my %restrictions = map { ("smtpd_${_}_restrictions" => $place{$_}) } keys %place;
    $restrictions{smtpd_recipient_restrictions} .= ', permit_sasl_authenticated, reject'
        if $place{recipient};
    my @option = (config => $config, restrictions => \%restrictions);
    if ($postfix) {
        $postfix->reconfigure(@option);
    } else {
        $postfix = PrivatePostfix->new(@option)->start;
    }
    return;
}

sub recipients { return [map {"r$_\@example.com"} 1 .. $_[0]] }

# One message from alice to so many recipients, in a connection of its own.
sub mail {
    my ($recipients, %option) = @_;
    return ($postfix->send(user => 'alice', recipients => recipients($recipients), %option))[0];
}

sub accepted_ok {
    my ($result, $recipients, $name) = @_;
    is($result->{accepted}, $recipients, "$name: $recipients recipients accepted");
    like($result->{end}, qr/^250 2\.0\.0 Ok: queued as/, "$name: message accepted");
    return;
}

sub denied_ok {
    my ($reply, $where, $limit, $name) = @_;
    my $text = "Limit of $limit reached for alice\@example.org, try again in ";
    like($reply, qr/^450 4\.7\.1 <\Q$where\E>: .*: \Q$text\E(?:6[0-5]m|[12]h)$/, $name);
    return;
}

# What the helper decided, once it has logged so many: "allowed 1/5", or "allowed" if no rule
# applied. Sorted, as two helpers may log in any order.
sub verdicts {
    my ($wanted) = @_;
    my @lines = $postfix->helper_log_lines($wanted);
    return sort map { /(?:used=(\d+\/\d+).*)?status=(\w+)/ ? $2 . ($1 ? " $1" : '') : $_ } @lines;
}

sub logged_ok {
    my @expected = @_;
    is_deeply([verdicts(scalar @expected)], [sort @expected], 'logged so');
    return;
}

# The processes that did.

sub helpers {
    my %pid = map { ($_ => 1) } $postfix->helper_log =~ /policyd-ratelimit\[(\d+)\]/g;
    my @pids = sort { $a <=> $b } keys %pid;
    return @pids;
}

# Postfix delivered it, to so many.
sub delivered_ok {
    my ($result, $recipients, $name) = @_;
    my ($id) = $result->{end} =~ /queued as (\w+)/ or return fail("$name: delivered");
    ok($postfix->wait_for_mail_log(qr/ $id: removed/), "$name: out of the queue");
    my $sent = () = $postfix->mail_log =~ / $id: to=.*status=sent/g;
    is($sent, $recipients, "$name: delivered to $recipients");
    return;
}

subtest 'smtpd_recipient_restrictions' => sub {
    use_postfix(rule('5/hour', 'recipients'), recipient => $service);
    my $result = mail(6);
    accepted_ok($result, 5, 'message to six');
    denied_ok($result->{rcpt}[5], 'r6@example.com', '5/hour', 'the sixth is denied');
    delivered_ok($result, 5, 'message to six');
    accepted_ok(mail(1, user => 'bob'), 1, 'another user');
    denied_ok(mail(1)->{rcpt}[0], 'r1@example.com', '5/hour', 'denied in the next connection');
    logged_ok((map {"allowed $_/5"} 1 .. 5), 'denied 6/5', 'allowed 1/5', 'denied 6/5');
};

subtest 'smtpd_data_restrictions' => sub {
    use_postfix(rule('5/hour', 'recipients'), data => $service);
    accepted_ok(mail(3), 3, 'message to three');
    my $result = mail(3);
    is($result->{accepted}, 3, 'recipients are not judged alone');
    denied_ok($result->{data}, 'DATA', '5/hour', 'denied as a whole');
    accepted_ok(mail(2), 2, 'a smaller one fits: nothing was charged');
    denied_ok(mail(1)->{data}, 'DATA', '5/hour', 'then it is full');
    logged_ok('allowed 3/5', 'denied 6/5', 'allowed 5/5', 'denied 6/5');
};

subtest 'smtpd_end_of_data_restrictions, recipients' => sub {
    use_postfix(rule('5/hour', 'recipients'), end_of_data => $service);
    accepted_ok(mail(3), 3, 'message to three');
    my $result = mail(3);
    denied_ok($result->{end}, 'END-OF-MESSAGE', '5/hour', 'denied as a whole');
    $result = mail(2);
    accepted_ok($result, 2, 'a smaller one fits: nothing was charged');
    delivered_ok($result, 2, 'the smaller one');
    denied_ok(mail(1)->{end}, 'END-OF-MESSAGE', '5/hour', 'then it is full');
};

subtest 'smtpd_end_of_data_restrictions, bytes' => sub {
    use_postfix(rule('30k/hour', 'bytes'), end_of_data => $service);
    accepted_ok(mail(2, size => 10_000), 2, 'first third');
    accepted_ok(mail(1, size => 10_000), 1, 'second third');
    denied_ok(mail(1, size => 10_001)->{end}, 'END-OF-MESSAGE', '30k/hour', 'a byte too much');
    accepted_ok(mail(1, size => 10_000), 1, 'last third');
    denied_ok(mail(1)->{end}, 'END-OF-MESSAGE', '30k/hour', 'then it is full');
    logged_ok(map {"$_/30000"} 'allowed 10000', 'allowed 20000', 'denied 30001', 'allowed 30000',
        'denied 30200');
};

# Each recipient is charged once, however often the helper hears of it.
for my $case (
    ['RCPT and DATA', 1, recipient => $service, data => $service],
    ['RCPT and DATA, two helpers', 2, recipient => $service, data => $other],
    ['RCPT, DATA and END-OF-MESSAGE, two helpers', 2,
        recipient => $service, data => $other, end_of_data => $service],
) {
    my ($name, $helpers, %place) = @$case;
    subtest $name => sub {
        use_postfix(rule('5/hour', 'recipients'), %place);
        my @result = $postfix->send(user => 'alice', recipients => recipients(2), messages => 2);
        accepted_ok($result[0], 2, 'first message');
        accepted_ok($result[1], 2, 'second message');
        my @places = keys %place;
        logged_ok((map {"allowed $_/5"} 1 .. 4), ('allowed 2/5', 'allowed 4/5') x $#places);
        is(scalar(helpers()), $helpers, "helpers: $helpers");
        my $result = mail(2);
        accepted_ok($result, 1, 'third message');
        denied_ok($result->{rcpt}[1], 'r2@example.com', '5/hour', 'its second is denied');
    };
}

subtest 'a message counts once' => sub {
    use_postfix(rule('2/hour', 'messages'), recipient => $service, data => $other);
    accepted_ok(mail(4), 4, 'first message');
    accepted_ok(mail(4), 4, 'second message');
    my $result = mail(2);
    is($result->{accepted}, 0, 'third message: no recipient is accepted');
    denied_ok($result->{rcpt}[$_ - 1], "r$_\@example.com", '2/hour', "recipient $_ is denied")
        for 1, 2;
};

subtest 'several messages in one connection' => sub {
    use_postfix(rule('5/hour', 'recipients'), recipient => $service);
    my @result = $postfix->send(user => 'alice', recipients => recipients(1), messages => 6);
    accepted_ok($result[$_ - 1], 1, "message $_") for 1 .. 5;
    denied_ok($result[5]{rcpt}[0], 'r1@example.com', '5/hour', 'the sixth is denied');
    logged_ok((map {"allowed $_/5"} 1 .. 5), 'denied 6/5');
    is(scalar(helpers()), 1, 'by one helper');
};

unlike($postfix->mail_log, qr/warning|error:|fatal|panic/, 'nothing to complain about so far');

subtest 'a broken configuration' => sub {
    use_postfix(rule('5/fortnight', 'recipients'), recipient => $other);
    my $result = mail(6);
    accepted_ok($result, 6, 'mail flows');
    delivered_ok($result, 6, 'mail flows');
    my $file = $postfix->config_path;
    like($postfix->helper_log, qr/\Q$file\E:\d+: limit: .*fortnight/, 'the log says why');
};

# The new helper comes in the middle of a message, and knows what was charged for it.
subtest 'the helper is killed between two requests' => sub {
    use_postfix(rule('3/hour', 'recipients'), recipient => $service, data => $service);
    my $client = $postfix->connect->auth('alice');
    like($client->command('MAIL FROM:<sender@example.net>'), qr/^250 /, 'sender');
    like($client->command('RCPT TO:<r1@example.com>'), qr/^250 /, 'first recipient');
    verdicts(1);
    my ($killed) = helpers() or return fail('a helper in the log');
    kill 'KILL', $killed;
    ok($postfix->wait_for(sub { !kill 0, $killed }), 'the helper is gone');

    like($client->command('RCPT TO:<r2@example.com>'), qr/^250 /, 'second recipient');
    like($client->command('DATA'), qr/^354 /, 'DATA');
    my $result = {end => $client->command("Subject: a test\r\n\r\n.")};
    delivered_ok($result, 2, 'the message');
    logged_ok('allowed 1/3', 'allowed 2/3', 'allowed 2/3');
    is(scalar(helpers()), 2, 'by another helper');
    $result = $client->message(recipients => recipients(2));
    accepted_ok($result, 1, 'next message');
    denied_ok($result->{rcpt}[1], 'r2@example.com', '3/hour', 'its second is denied');
    $client->quit;
};

subtest 'check of a running Postfix' => sub {
    use_postfix(rule('5/hour', 'recipients'), data => $service);
    my $etc = $postfix->dir . '/etc';
    my $check = sub {
        my ($status, $out, $err) = run(build_dir() . '/policyd-ratelimit-ctl', '-c',
            $postfix->config_path, 'check', '-P', $etc);
        return "$status $out$err";
    };
    is($check->(), '0 ', 'all is well');
    ok(!-e $postfix->database_path, 'its question counts nothing');
    logged_ok('allowed');
    utime undef, undef, "$etc/master.cf";
    my $fault = "1 $etc/master.cf: changed since Postfix has read it: the old settings hold; "
        . "run: postfix -c $etc reload\n";
    ok($postfix->wait_for(sub { $check->() eq $fault }), 'changed') or diag $check->();
    my ($master) = slurp($postfix->dir . '/queue/pid/master.pid') =~ /(\d+)/;
    kill 'HUP', $master;
    ok($postfix->wait_for(sub { $check->() eq '0 ' }), 'reloaded') or diag $check->();

    my $helper = $postfix->dir . '/policyd-ratelimit';
    rename $helper, "$helper.good";
    spew($helper, "#!/bin/false\n");
    chmod 0755, $helper;
    like($check->(), qr/\A1 $etc\/master.cf: policy: asked through its socket, it closes the /,
        'a helper that does not work');
    rename "$helper.good", $helper;
    is($check->(), '0 ', 'one that works');
    $postfix->stop_master;
    is($check->(), "1 $etc/main.cf: Postfix is stopped: no mail is accepted; "
        . "run: postfix -c $etc start\n", 'stopped');
};

$postfix->stop;
ok(!-e $postfix->dir, 'nothing is left');

done_testing();
