#!/usr/bin/perl
# The recipes of policyd-ratelimit.conf(5): each file, as it is printed there, keeps the promise
# that stands above it.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(slurp spew build_dir);

# Noon: no calendar window ends soon.
my $noon = 1_700_049_600;
my $next = 0;

# The files in the section RECIPES, by the title above each.
sub recipes {
    my $manual = slurp(build_dir() . '/doc/policyd-ratelimit.conf.5');
    my ($section) = $manual =~ /^\.Sh RECIPES\n(.*?)^\.Sh /ms or return;
    my %recipe;
    for my $part (split /^\.Ss /m, $section) {
        my ($title) = $part =~ /\A(.*)\n/;
        my @files = grep {/^\[rule /m} $part =~ /^\.Bd -literal[^\n]*\n(.*?)^\.Ed$/msg;
        next if !@files && $part =~ /\AEach/;
        is(scalar @files, 1, "one file: $title");
        $recipe{$title} = ($files[0] // '') =~ s/\\&//gr =~ s/\\-/-/gr =~ s/\\e/\\/gr;
    }
    return %recipe;
}

my %recipe = recipes();

# A recipe, with the database, the log and the account of a test, and a helper that uses it.
sub start {
    my ($title) = @_;
    my $text = delete $recipe{$title} // '';
    my $t    = RateTest->new;
    my %own  = (
        database        => $t->{database},
        state_directory => $t->{dir},
        log_target      => "file:$t->{logfile}",
        user            => scalar getpwuid($>),
    );
    $text =~ s/^(?:database|log_target|user)\s*=.*\n//mg;
    $text = "[global]\n$text" if $text !~ /^\[global\]$/m;
    $text =~ s/^\[global\]\n\K/join '', map {"$_ = $own{$_}\n"} sort keys %own/me;
    spew($t->{config}, $text);
    my ($status, undef, $errors) = $t->ctl('config');
    is($status . $errors, '0', 'a good file');
    like($text, qr/^\[rule /m, 'with rules');
    $t->set_clock($noon);
    return ($t, $t->helper);
}

# A message to so many recipients, at DATA: "passes", or the answer.
sub message {
    my ($helper, $recipients, %attributes) = @_;
    my $action = $helper->ask(protocol_state => 'DATA', recipient => '',
        recipient_count => $recipients, instance => 'i' . ++$next, %attributes) // 'none';
    return $action eq 'DUNNO' ? 'passes' : $action;
}

# How many recipients of one message get through until one is denied; so many are tried.
sub passing {
    my ($helper, $most, %attributes) = @_;
    my %common = (instance => 'i' . ++$next, protocol_state => 'RCPT', %attributes);
    for my $n (0 .. $most - 1) {
        return $n if ($helper->ask(%common, recipient => "r$n\@example.net") // '') ne 'DUNNO';
    }
    return $most;
}

# How many messages, each to one recipient, get through. Values may be functions of the number.
sub messages_passing {
    my ($helper, $most, %attributes) = @_;
    for my $n (0 .. $most - 1) {
        my %now = map { $_ => ref $attributes{$_} ? $attributes{$_}->($n) : $attributes{$_} }
            keys %attributes;
        return $n if message($helper, 1, %now) ne 'passes';
    }
    return $most;
}

sub logged { my ($t, $status) = @_; return scalar(() = $t->log_text =~ /, status=$status,/g) }

subtest 'a stolen password' => sub {
    my ($t, $helper) = start('A stolen password: limits per hour and per day');
    my %bob   = (sasl_username => 'bob@example.com');
    my %alice = (sasl_username => 'alice@example.com');
    is(passing($helper, 79, %bob), 79);
    is(logged($t, 'warning'), 0, 'no warning yet');
    is(message($helper, 1, %bob), 'passes');
    is(logged($t, 'warning'), 1, 'a warning at 80 %');
    is(passing($helper, 50, %bob), 20, 'no more than 100 in the first hour');
    is(logged($t, 'warning'), 1, 'no second warning');
    like(message($helper, 1, %bob),
        qr{^DEFER_IF_PERMIT 4\.7\.1 bob\@example\.com: 100/hour, again in \d+m$});
    is(message($helper, 1, %alice), 'passes', 'others go on');
    for my $hour (1 .. 4) {
        $t->set_clock($noon + $hour * 4000);
        is(passing($helper, 120, %bob), 100, "nor in hour $hour after");
    }
    $t->set_clock($noon + 5 * 4000);
    like(message($helper, 1, %bob), qr{: 500/day, again in \d+h$}, 'no more than 500 in a day');
    is(passing($helper, 120, %alice), 100, 'others go on');
    $t->set_clock($noon + 2 * 86400);
    is(passing($helper, 120, %bob), 100, 'when the day is over it is 100 an hour again');
};

subtest 'domains above users' => sub {
    my ($t, $helper) = start('A limit for each domain and one for each user');
    is(passing($helper, 120, sasl_username => 'u0@hosted.example'), 100, 'a user: 100 an hour');
    like(message($helper, 1, sasl_username => 'u0@hosted.example'),
        qr{Limit of 100/hour reached for u0\@hosted\.example}, 'who gets to read that');
    is(join(' ', map { message($helper, 100, sasl_username => "u$_\@hosted.example") } 1 .. 9),
        join(' ', ('passes') x 9), 'ten users');
    like(message($helper, 1, sasl_username => 'u10@hosted.example'),
        qr{^DEFER_IF_PERMIT 4\.7\.1 hosted\.example has sent its 1000/day$}, 'a domain: 1000 a day'
    );
    is(message($helper, 1, sasl_username => 'u0@other.example'), 'passes', 'another one goes on');
    my @paid = map { message($helper, 100, sasl_username => "u$_\@Customer.example") } 1 .. 100;
    is(scalar(grep { $_ eq 'passes' } @paid), 100, 'who has paid has more');
    like(message($helper, 1, sasl_username => 'u0@customer.example'),
        qr{customer\.example has sent its 10000/day$}, 'and no more than that');
    my @own = map { message($helper, 100, sasl_username => "u$_\@example.com") } 1 .. 101;
    is(scalar(grep { $_ eq 'passes' } @own), 101, 'the own domain has no cap');
    like(message($helper, 1, sasl_username => 'u1@example.com'), qr{100/hour},
        'but its users have');
};

subtest 'a web server' => sub {
    my ($t, $helper) = start('Mail from a web server');
    my %web = (sasl_username => '', policy_context => 'web');
    is(passing($helper, 50, %web, sender => 'www-data@www.example.com'), 20,
        'www-data: 20 an hour');
    is(passing($helper, 120, %web, sender => 'shop@example.com'), 100, 'other senders: 100');
    is(logged($t, 'warning'), 0);
    is(messages_passing($helper, 200, %web, sender => sub {"x$_[0]\@example.com"}), 180,
        'made-up senders: 300 together');
    is(logged($t, 'warning'), 1, 'a warning at half of it');
    like(message($helper, 1, %web, sender => 'new@example.com'),
        qr{^DEFER_IF_PERMIT 4\.7\.1 This web server has sent 300/hour$});
    is(messages_passing($helper, 200, sender => 'www-data@www.example.com'), 200,
        'what comes another way is not concerned');
};

subtest 'a ceiling' => sub {
    my ($t, $helper) = start('A limit for the whole server');
    like(message($helper, 501, sasl_username => 'u0'), qr{500/hour}, 'a user: 500 an hour');
    my @sent = map { message($helper, 500, sasl_username => "u$_") } 1 .. 15;
    is(scalar(grep { $_ eq 'passes' } @sent), 15);
    is(logged($t, 'warning'), 0, 'no warning yet');
    is(message($helper, 500, sasl_username => 'u16'), 'passes');
    is(logged($t, 'warning'), 1, 'a warning at 80 %');
    is(message($helper, 500, sasl_username => "u$_"), 'passes') for 17 .. 18;
    is(message($helper, 499, sasl_username => ''), 'passes', 'mail without a login counts too');
    is(message($helper, 1, sasl_username => 'u19'), 'passes');
    is(message($helper, 1, sasl_username => $_),
        'DEFER_IF_PERMIT 4.7.1 This server sends no more mail now', "9500 a day, also for '$_'")
        for 'u20', '';
    $t->set_clock($noon + 13 * 3600);
    isnt(message($helper, 1, sasl_username => 'u20'), 'passes', 'midnight changes nothing');
    $t->set_clock($noon + 27 * 3600);
    is(message($helper, 1, sasl_username => 'u20'), 'passes', 'a day later');
};

subtest 'mail that comes in' => sub {
    my ($t, $helper) = start('Inbound mail, by network');
    my %in = (sasl_username => '');
    is(messages_passing($helper, 60, %in, client_address => sub { '203.0.113.' . $_[0] }), 50,
        'a network of IPv4: 50 a minute');
    like(message($helper, 1, %in, client_address => '203.0.113.200'),
        qr{^450 4\.7\.1 Too much mail from 203\.0\.113\.0/24, again in \d+[sm]$});
    is(message($helper, 1, %in, client_address => '203.0.114.1'), 'passes', 'the next one goes on');
    is(messages_passing($helper, 60, %in, client_address => sub {"2001:db8:2:$_[0]::1"}), 50,
        'of IPv6 too');
    is(message($helper, 1, %in, client_address => '2001:db8:3::1'), 'passes',
        'the next one goes on');
    is(messages_passing($helper, 60, %in, client_address => $_), 60, "$_ has no limit, or another")
        for qw(127.0.0.1 ::1 ::ffff:192.0.2.7 2001:db8:1:2::3 198.51.100.9);
    is(messages_passing($helper, 60, sasl_username => 'bob', client_address => '203.0.113.1'), 60,
        'a user who logged in is not concerned');
    for my $minute (1 .. 11) {
        $t->set_clock($noon + 100 * $minute);
        is(messages_passing($helper, 60, %in, client_address => '203.0.113.1'), 50);
    }
    $t->set_clock($noon + 1200);
    like(message($helper, 1, %in, client_address => '203.0.113.1'), qr{again in \d+m$},
        '600 an hour');
    is(message($helper, 90, %in, client_address => '203.0.114.1'), 'passes',
        'recipients do not count');
};

subtest 'try it out first' => sub {
    my ($t, $helper) = start('Try it out first');
    is(passing($helper, 130, sasl_username => 'bob'), 130, 'nobody is denied');
    is(passing($helper, 100, sasl_username => 'alice'), 100);
    is(logged($t, 'observed'), 30, 'those above the limit are in the log');
    is(() = $t->log_text =~ m{, key=bob, used=1[0-3]\d/100, window=3600, status=observed,}g, 30);
    $t->set_clock($noon + $_ * 4000), passing($helper, 100, sasl_username => 'bob') for 1 .. 4;
    like($t->log_text, qr{, used=501/500, window=86400, status=observed,}, 'of the day as well');
    my $manual = slurp(build_dir() . '/doc/policyd-ratelimit.conf.5');
    my ($script) = $manual =~ /^ +(sed -n '.*status=observed.*') \|$/m;
    $script =~ s/\\e/\\/g;
    like(scalar(`$script $t->{logfile} | sort | uniq -c`), qr/\A *\d+ bob\n\z/,
        'and the command finds them');
    spew($t->{config}, slurp($t->{config}) =~ s/^mode.*\n//mr);
    my $again = $t->helper;
    isnt(message($again, 1, sasl_username => 'bob'), 'passes', 'enforced: what was counted stays');
};

subtest 'only clients that did not log in' => sub {
    my ($t, $helper) = start('Only clients that did not log in');
    my %none = (sasl_username => '');
    is(passing($helper, 30, %none, client_address => '203.0.113.1'), 20, '20 a minute');
    is(passing($helper, 30, %none, client_address => '2001:db8::1'), 20);
    is(passing($helper, 30, %none, client_address => '203.0.113.2'), 20, 'for each');
    is(passing($helper, 30, %none, client_address => $_), 30, $_) for qw(127.0.0.1 127.1.2.3 ::1);
    is(passing($helper, 30, sasl_username => 'bob', client_address => '203.0.113.1'), 30, 'a user');
    $t->set_clock($noon + 70);
    is(passing($helper, 30, %none, client_address => '203.0.113.1'), 20, 'a minute later');
};

subtest 'only port 587' => sub {
    my ($t, $helper) = start('Only port 587');
    is(passing($helper, 120, server_port => 587), 100);
    is(passing($helper, 120, server_port => $_), 120, "port $_") for 25, 465, 5870;
    is(passing($helper, 120), 120, 'no port at all');
    is(passing($helper, 120, server_port => 587, sasl_username => 'alice'), 100, 'another user');
    is(passing($helper, 1, server_port => 587), 0, 'it is still full');
};

is_deeply([sort keys %recipe], [], 'every recipe was tried');

done_testing;
