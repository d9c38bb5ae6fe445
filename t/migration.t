#!/usr/bin/perl
# The examples of doc/migration.md: complete files, which decide as the older tools do.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use POSIX qw(mktime);
use RateTest qw(slurp source_dir);

my @sections = ('postfixlimit', 'policyd-rate-limit (Python)', 'policyd-rate-limit (Rust)',
    'ratelimit-policyd');

# Heading of a section to its example.
my %example;
my $manual = slurp(source_dir() . '/doc/migration.md');
for my $section (split /^(?=## )/m, $manual) {
    my ($heading) = $section =~ /\A## (.*)/ or next;
    my @blocks = $section =~ /^```ini\n(.*?)^```$/msg;
    $example{$heading} = $blocks[0] if @blocks == 1;
}
is_deeply([sort keys %example], [sort @sections], 'an example for each of the four tools')
    or BAIL_OUT('doc/migration.md is not as expected');

# Limits of an example with its database, account and log replaced by those of a test.
sub limiter {
    my ($text, %more) = @_;
    my %global;
    if ($text =~ s/\A\s*\[global\]\n(.*?)(?=^\[)//ms) {
        my $lines = $1;
        %global = $lines =~ /^(\w+)\s*=\s*(.*?)\s*$/mg;
    }
    delete @global{qw(database user log_target)};
    return RateTest->new(global => {log => 'denied', %global, %more}, rules => $text);
}

sub seconds {
    my ($y, $m, $d, $h, $min, $s) = $_[0] =~ /\d+/g;
    return mktime($s, $min, $h, $d, $m - 1, $y - 1900, 0, 0, -1);
}

my $next = 0;

# Asks n times, for another message each time; the answers, D for DUNNO, R for the denial.
sub answers {
    my ($helper, $denial, $n, %attributes) = @_;
    return join '', map {
        my $action = $helper->ask(instance => 'i' . ++$next . '.0', %attributes) // 'none';
        $action eq 'DUNNO' ? 'D' : $action =~ $denial ? 'R' : "<$action>"
    } 1 .. $n;
}

sub user   { return (sasl_username => @_) }
sub sender { return (sender => $_[0], sasl_username => '') }
sub client {
    return (client_address => $_[0], sasl_username => '', sender => $_[1] // 'a@example.com')
}

# A message as smtpd_data_restrictions sends it.
sub message {
    my ($recipients, @attributes) = @_;
    return (protocol_state => 'DATA', recipient => '', recipient_count => $recipients, @attributes);
}

my %denial = (
    'postfixlimit'                => qr/^DEFER 4\.7\.1 \S+@\S+ may send \d+\/(?:\d+ )?[a-z]+$/,
    'policyd-rate-limit (Python)' =>
        qr/^DEFER_IF_PERMIT 4\.7\.1 Too much mail, try again in (?:\d+[smhd]|never)$/,
    'policyd-rate-limit (Rust)'   => qr/^REJECT 5\.7\.1 Sending limit exceeded$/,
    'ratelimit-policyd'           => qr/^471 4\.7\.1 daily message quota exceeded$/,
);

# One case: a tool, what is tested, time zone, changes of the example (each [old, new], which
# must be there), then steps: when, attributes, the answers, one for each letter.
sub decides {
    my ($tool, $name, $zone, $changes, @steps) = @_;
    my $text = $example{$tool};
    for my $change (@$changes) {
        my ($old, $new) = @$change;
        $text =~ s/\Q$old\E/$new/g or fail("$tool: $name: the example has \"$old\"");
    }
    local $ENV{TZ} = $zone;
    POSIX::tzset();
    my $t = limiter($text);
    my ($helper, @got, @want);
    for my $step (@steps) {
        my ($when, $attributes, $letters) = @$step;
        $t->set_clock(seconds($when));
        $helper //= $t->helper;
        push @got,  "$when " . answers($helper, $denial{$tool}, length $letters, @$attributes);
        push @want, "$when $letters";
    }
    is_deeply(\@got, \@want, "$tool: $name");
    return $t;
}

for my $tool (@sections) {
    my ($status, $out, $err) = limiter($example{$tool})->ctl('config');
    is("$status $err", '0 ', "$tool: the example is valid");
}

# --- postfixlimit: each request is one; windows that start where the calendar's do.
{
    my $tool = 'postfixlimit';
    my @ann  = sender('ann@example.com');
    decides($tool, 'five an hour for a sender, others have their own', 'UTC', [],
        ['2026-03-10 10:00:00', \@ann,                       'DDDDDRR'],
        ['2026-03-10 10:00:00', [sender('joe@example.com')], 'DDDDDR'],
        ['2026-03-10 10:59:59', \@ann,                       'R'],
        ['2026-03-10 11:00:00', \@ann,                       'DDDDDR']);
    decides($tool, 'a recipient is one, and the first try too many is not counted', 'UTC', [],
        ['2026-03-10 10:00:00', [@ann, instance => 'one', recipient => 'a@x.org'], 'D'],
        ['2026-03-10 10:00:00', [@ann, instance => 'one', recipient => 'b@x.org'], 'D'],
        ['2026-03-10 10:00:00', [@ann, instance => 'one', recipient => 'c@x.org'], 'D'],
        ['2026-03-10 10:00:00', [@ann, instance => 'two', recipient => 'a@x.org'], 'D'],
        ['2026-03-10 10:00:00', [@ann, instance => 'two', recipient => 'b@x.org'], 'D'],
        ['2026-03-10 10:00:00', [@ann, instance => 'two', recipient => 'c@x.org'], 'R']);
    decides($tool, 'messages in smtpd_data_restrictions', 'UTC', [['= recipients', '= messages']],
        ['2026-03-10 10:00:00', [message(50, @ann)], 'DDDDDR']);
    decides($tool, 'limits of single senders, longer and shorter', 'UTC', [],
        ['2026-03-10 00:00:00', [sender('backup@example.com')], 'DDR'],
        ['2026-03-10 10:00:00', [sender('shop@example.com')],   'D' x 20 . 'R'],
        ['2026-03-10 11:00:00', [sender('shop@example.com')],   'D' x 20 . 'R'],
        ['2026-03-10 23:59:59', [sender('backup@example.com')], 'R'],
        ['2026-03-11 00:00:00', [sender('backup@example.com')], 'DDR']);
    decides($tool, 'case of a sender does not matter', 'UTC', [],
        ['2026-03-10 10:00:00', [sender('Ann@Example.COM')], 'DDD'],
        ['2026-03-10 10:00:00', \@ann,                       'DDR'],
        ['2026-03-10 10:00:00', [sender('SHOP@example.com')], 'D' x 20 . 'R']);
    decides(
        $tool, 'it does with fold_case = no', 'UTC',
        [["key      = sender\n", "key = sender\nfold_case = no\n"]],
        ['2026-03-10 10:00:00', [sender('Ann@Example.COM')], 'DDDDDR'],
        ['2026-03-10 10:00:00', \@ann,                       'DDDDDR'],
        ['2026-03-10 10:00:00', [sender('Shop@example.com')], 'DDDDDR']);
    decides($tool, 'field = sasl_username', 'UTC', [['= sender', '= sasl_username']],
        ['2026-03-10 10:00:00', [user('u@example.com', sender => 'a@x.org')], 'DDD'],
        ['2026-03-10 10:00:00', [user('u@example.com', sender => 'b@x.org')], 'DDR'],
        ['2026-03-10 10:00:00', [user('v@example.com', sender => 'b@x.org')], 'D']);
    decides(
        $tool, 'a limit of 5 per 2 hours', 'UTC', [['limit    = 5/hour', 'limit = 5 per 2 hours']],
        ['2026-03-10 10:00:00', \@ann, 'DDDDDR'],
        ['2026-03-10 11:59:59', \@ann, 'R'],
        ['2026-03-10 12:00:00', \@ann, 'DDDDDR']);
    decides($tool, 'strategy = moving-window', 'UTC', [['= fixed-window', '= moving-window']],
        ['2026-03-10 10:10:00', \@ann, 'D'],
        ['2026-03-10 10:20:00', \@ann, 'DD'],
        ['2026-03-10 10:50:00', \@ann, 'DDR'],
        ['2026-03-10 11:09:59', \@ann, 'R'],
        ['2026-03-10 11:10:01', \@ann, 'DR'],
        ['2026-03-10 11:19:59', \@ann, 'R'],
        ['2026-03-10 11:20:01', \@ann, 'DDR']);
    decides($tool, 'strategy = sliding-window: never more than five in an hour', 'UTC',
        [['= fixed-window', '= sliding-window']],
        ['2026-03-10 10:59:00', \@ann, 'DDDDDR'],
        ['2026-03-10 11:00:00', \@ann, 'R'],
        ['2026-03-10 11:58:59', \@ann, 'R'],
        ['2026-03-10 12:04:00', \@ann, 'DDDDDR']);
    my $t = decides(
        $tool, 'transparent', 'UTC', [['[rule senders]', "[rule senders]\nmode = observe"]],
        ['2026-03-10 10:00:00', \@ann, 'DDDDDDD']);
    is(() = $t->log_text =~ /status=observed/g, 2, 'what would have been denied is logged');

    $t = decides($tool, 'before a reset', 'UTC', [],
        ['2026-03-10 10:00:00', \@ann,                       'DDDDDR'],
        ['2026-03-10 10:00:00', [sender('joe@example.com')], 'DDDDDR']);
    $t->ctl('reset', 'ann@example.com');
    my $helper = $t->helper;
    is(answers($helper, $denial{$tool}, 1, @ann), 'D', 'reset KEY');
    is(answers($helper, $denial{$tool}, 1, sender('joe@example.com')), 'R', 'of that one alone');
    $t->ctl('reset', '--all');
    is(answers($helper, $denial{$tool}, 1, sender('joe@example.com')), 'D', 'reset ALL');
}

# --- policyd-rate-limit in Python: exact windows, all of which hold.
{
    my $tool = 'policyd-rate-limit (Python)';
    my @bob  = user('bob@example.com');
    decides($tool, 'several windows at once', 'UTC', [],
        ['2026-03-10 10:00:00', [message(10, @bob)], 'DR'],
        ['2026-03-10 10:00:00', [message(1,  @bob)], 'R'],
        ['2026-03-10 10:00:59', [message(1,  @bob)], 'R'],
        ['2026-03-10 10:01:01', [message(10, @bob)], 'DR'],
        ['2026-03-10 10:03:00', [message(10, @bob)], 'D'],
        ['2026-03-10 12:00:00', [message(1,  @bob)], 'R'],
        ['2026-03-11 09:59:59', [message(1,  @bob)], 'R'],
        ['2026-03-11 10:00:01', [message(10, @bob)], 'DR'],
        ['2026-03-11 10:01:00', [message(1,  @bob)], 'R']);
    decides(
        $tool, 'a message passes whole or not at all, and denied ones are not counted', 'UTC', [],
        ['2026-03-10 10:00:00', [message(8,  @bob)], 'D'],
        ['2026-03-10 10:00:01', [message(3,  @bob)], 'RR'],
        ['2026-03-10 10:00:02', [message(2,  @bob)], 'DR'],
        ['2026-03-10 10:05:00', [message(11, @bob)], 'R']);
    decides($tool, 'limits by id: other windows, none', 'UTC', [],
        ['2026-03-10 10:00:00', [message(150, user('newsletter@example.com'))], 'D'],
        ['2026-03-10 10:00:00', [message(50,  user('newsletter@example.com'))], 'DR'],
        ['2026-03-10 22:00:00', [message(1,   user('newsletter@example.com'))], 'R'],
        ['2026-03-11 10:00:01', [message(200, user('newsletter@example.com'))], 'DR'],
        ['2026-03-11 11:00:00', [message(900, user('monitor'))],                'DDDDD'],
        ['2026-03-11 11:00:00', [message(10,  user('monitor2'))],               'DR'],
        ['2026-03-11 11:00:00', [message(900, client('192.0.2.25'))],           'DDDDD']);
    decides($tool, 'who is neither a user nor in a network is not counted', 'UTC', [],
        ['2026-03-10 10:00:00', [message(900, client('198.51.100.1'))], 'DDDDD']);
    for my $inside (qw(192.0.2.0 192.0.2.24 192.0.2.26 192.0.2.127 2001:db8:1:: 2001:db8:1::1
        2001:db8:1:ffff:ffff:ffff:ffff:ffff))
    {
        decides($tool, "$inside is limited", 'UTC', [],
            ['2026-03-10 10:00:00', [message(10, client($inside))], 'D'],
            ['2026-03-10 10:00:59', [message(1,  client($inside))], 'R'],
            ['2026-03-10 10:01:01', [message(11, client($inside))], 'R'],
            ['2026-03-10 10:01:01', [message(10, client($inside))], 'DR'],
            ['2026-03-10 10:04:00', [message(10, client($inside))], 'D'],
            ['2026-03-10 10:06:00', [message(1,  client($inside))], 'R']);
    }
    for my $outside (
        qw(192.0.1.255 192.0.2.128 2001:db8::ffff 2001:db8:0:ffff:ffff:ffff:ffff:ffff 2001:db8:2::))
    {
        decides($tool, "$outside is not", 'UTC', [],
            ['2026-03-10 10:00:00', [message(10, client($outside))], 'DDDDD']);
    }
    decides($tool, 'each address has a counter of its own', 'UTC', [],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1'))],      'DR'],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.2'))],      'DR'],
        ['2026-03-10 10:00:00', [message(10, client('2001:db8:1::1'))],  'DR'],
        ['2026-03-10 10:00:00', [message(10, client('2001:db8:1::2'))],  'DR'],
        ['2026-03-10 10:00:00', [message(10, client('2001:DB8:1:0::1'))], 'R']);
    decides($tool, 'a user in a network is counted as a user alone', 'UTC', [],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1'), @bob)],                   'DR'],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1'), user('joe@example.com'))], 'DR'],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1'))],                         'DR']);
    decides($tool, 'limit_by_sasl: False', 'UTC', [["match       = sasl_username =\n", ''],
            ["key      = sasl_username\n",
                "key = sasl_username\nmatch = client_address = 203.0.113.255\n"]
        ],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1'), @bob)],  'DR'],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1'), user('joe@example.com'))], 'R']);
    decides($tool, 'limit_by_sender: the first that is not empty', 'UTC',
        [['key      = sasl_username', 'key = sasl_username, sender'],
            ["match       = sasl_username =\n", "match = sasl_username =\nmatch = sender =\n"]],
        ['2026-03-10 10:00:00', [message(10, @bob, sender => 'x@example.com')],        'DR'],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1', 'x@example.com'))],   'DR'],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1', 'y@example.com'))],   'DR'],
        ['2026-03-10 10:00:00', [message(10, client('192.0.2.1', ''))],                'DR'],
        ['2026-03-10 10:00:00', [message(10, client('198.51.100.1', ''))],             'DDD']);
    decides($tool, 'count_mode 0: each recipient', 'UTC', [],
        ['2026-03-10 10:00:00', [@bob], 'D' x 10 . 'R'],
        ['2026-03-10 10:01:01', [@bob], 'D' x 10 . 'R']);
    decides($tool, 'count_mode 2: each message', 'UTC', [['= recipients', '= messages']],
        ['2026-03-10 10:00:00', [message(100, @bob)], 'D' x 10 . 'R']);
    decides($tool, 'case of an id does not matter', 'UTC', [],
        ['2026-03-10 10:00:00', [message(10, user('BOB@Example.com'))],        'DR'],
        ['2026-03-10 10:00:00', [message(1,  @bob)],                           'R'],
        ['2026-03-10 10:00:00', [message(99, user('Newsletter@example.com'))], 'DDR'],
        ['2026-03-10 10:00:00', [message(99, user('Monitor'))],                'DDD']);
    decides(
        $tool, 'it does with fold_case = no', 'UTC',
        [["key      = sasl_username\n", "key = sasl_username\nfold_case = no\n"]],
        ['2026-03-10 10:00:00', [message(10, user('BOB@Example.com'))], 'DR'],
        ['2026-03-10 10:00:00', [message(10, @bob)],                    'DR'],
        ['2026-03-10 10:00:00', [message(99, user('Monitor'))],         'RR']);

    my $t = limiter($example{$tool}, database => '/nonexistent/counters.tdb');
    is($t->helper->ask(message(1, @bob)), 'DEFER 4.3.0 Try again later', 'db_error_action');
}

# --- policyd-rate-limit in Rust: each request is one, denied ones too.
{
    my $tool = 'policyd-rate-limit (Rust)';
    my @bob  = user('bob@example.com');
    decides($tool, 'two windows', 'Europe/Berlin', [],
        ['2026-03-10 10:00:00', \@bob, 'DDD'],
        ['2026-03-10 11:00:00', \@bob, 'DDD'],
        ['2026-03-10 12:00:00', \@bob, 'R'],
        ['2026-03-10 23:59:59', \@bob, 'R'],
        ['2026-03-11 00:00:00', \@bob, 'DDDR']);
    decides($tool, 'what the hour denies uses up the day', 'Europe/Berlin', [],
        ['2026-03-10 10:00:00', \@bob, 'DDDRR'],
        ['2026-03-10 10:59:59', \@bob, 'R'],
        ['2026-03-10 11:00:00', \@bob, 'R'],
        ['2026-03-11 00:00:00', \@bob, 'DDDR']);
    decides(
        $tool, 'without count_denied it would not', 'Europe/Berlin', [["count_denied = yes\n", '']],
        ['2026-03-10 10:00:00', \@bob, 'DDDRR'],
        ['2026-03-10 11:00:00', \@bob, 'DDDR']);
    decides($tool, 'the quota of one user', 'Europe/Berlin', [],
        ['2026-03-10 10:00:00', [user('lists@example.com')], 'D' x 8],
        ['2026-03-10 11:00:00', [user('lists@example.com')], 'D' x 4 . 'R']);
    decides($tool, 'mail without a login is not counted', 'Europe/Berlin', [],
        ['2026-03-10 10:00:00', [client('192.0.2.1')], 'D' x 20]);
    decides($tool, 'case of a user does not matter', 'Europe/Berlin', [],
        ['2026-03-10 10:00:00', [user('Bob@Example.com')],   'DD'],
        ['2026-03-10 10:00:00', \@bob,                       'DR'],
        ['2026-03-10 10:00:00', [user('LISTS@example.com')], 'D' x 8 . 'R']);
    decides($tool, 'the default of -l and -r', 'Europe/Berlin', [['3/hour, 6/day', '10/day']],
        ['2026-03-10 00:00:00', \@bob, 'D' x 10 . 'R'],
        ['2026-03-10 23:59:59', \@bob, 'R'],
        ['2026-03-11 00:00:00', \@bob, 'D']);
}

# --- ratelimit-policyd: recipients in calendar windows, and counting goes on over quota.
{
    my $tool = 'ratelimit-policyd';
    my @bob  = user('bob@example.com');
    # deltaconf, zone, filled at, the last second of the window, the next window
    my @windows = (
        ['hour', 'UTC', '2026-03-10 10:00:00', '2026-03-10 10:59:59', '2026-03-10 11:00:00'],
        ['hour', 'Asia/Kolkata', '2026-03-10 10:00:00', '2026-03-10 10:59:59',
            '2026-03-10 11:00:00'],
        ['day', 'Europe/Berlin', '2026-03-10 08:00:00', '2026-03-10 23:59:59',
            '2026-03-11 00:00:00'],
        ['day', 'Europe/Berlin', '2026-03-29 00:30:00', '2026-03-29 23:59:59',
            '2026-03-30 00:00:00'],
        ['day', 'Europe/Berlin', '2026-10-25 00:30:00', '2026-10-25 23:59:59',
            '2026-10-26 00:00:00'],
        ['day', 'America/New_York', '2026-12-31 20:00:00', '2026-12-31 23:59:59',
            '2027-01-01 00:00:00'],
        ['week', 'Europe/Berlin', '2026-03-25 12:00:00', '2026-03-28 23:59:59',
            '2026-03-30 00:00:00'],
        ['month', 'Europe/Berlin', '2026-02-01 00:00:00', '2026-02-28 23:59:59',
            '2026-03-01 00:00:00'],
        ['month', 'Pacific/Auckland', '2026-12-02 12:00:00', '2026-12-31 23:59:59',
            '2027-01-01 00:00:00'],
    );
    for my $case (@windows) {
        my ($unit, $zone, $full, $last, $new) = @$case;
        decides($tool, "by the $unit in $zone from $full", $zone, [['1000/day', "1000/$unit"]],
            [$full, [message(600, @bob)], 'D'],
            [$full, [message(400, @bob)], 'DR'],
            [$last, [message(1,   @bob)], 'R'],
            [$new,  [message(600, @bob)], 'D'],
            [$new,  [message(400, @bob)], 'D'],
            [$new,  [message(1,   @bob)], 'R']);
    }
    decides($tool, 'our week begins on Monday', 'UTC', [['1000/day', '1000/week']],
        ['2026-03-28 23:59:59', [message(1000, @bob)], 'D'],
        ['2026-03-29 23:59:59', [message(1,    @bob)], 'R'],
        ['2026-03-30 00:00:00', [message(1000, @bob)], 'D']);
    my $t = decides($tool, 'counting goes on while over quota', 'UTC', [],
        ['2026-03-10 08:00:00', [message(990, @bob)], 'D'],
        ['2026-03-10 08:00:01', [message(50,  @bob)], 'R'],
        ['2026-03-10 08:00:02', [message(1,   @bob)], 'R'],
        ['2026-03-11 00:00:00', [message(1,   @bob)], 'D']);
    is_deeply([$t->log_text =~ /(used=\S+), window=86400, (status=\w+)/g],
        [map { split / / } 'used=990/1000 status=allowed', 'used=1040/1000 status=denied',
            'used=1041/1000 status=denied', 'used=1/1000 status=allowed'],
        'a log line for each decision, with what is used');
    decides($tool, 'recipients, not messages', 'UTC', [],
        ['2026-03-10 08:00:00', [message(100, @bob)], 'D' x 10 . 'R']);
    decides($tool, 'a persistent quota', 'UTC', [],
        ['2026-03-10 08:00:00', [message(2500, user('news@example.com'))], 'DD'],
        ['2026-03-10 08:00:00', [message(1,    user('news@example.com'))], 'R'],
        ['2026-03-11 00:00:00', [message(2500, user('news@example.com'))], 'DDR']);
    decides($tool, 'mail without a login is not counted', 'UTC', [],
        ['2026-03-10 08:00:00', [message(5000, client('192.0.2.1'))], 'DDD']);
    decides(
        $tool, 's_key_type = domain', 'UTC',
        [['= sasl_username', '= sasl_domain'], ['= news@example.com', '= example.com']],
        ['2026-03-10 08:00:00', [message(500, user('a@x.org'))], 'D'],
        ['2026-03-10 08:00:00', [message(500, user('b@x.org'))], 'D'],
        ['2026-03-10 08:00:00', [message(1,   user('c@x.org'))], 'R'],
        ['2026-03-10 08:00:00', [message(1,   user('c@y.org'))], 'D']);
    decides($tool, 'case of a user does not matter', 'UTC', [],
        ['2026-03-10 08:00:00', [message(1000, @bob)],                    'D'],
        ['2026-03-10 08:00:00', [message(1, user('Bob@Example.com'))],    'R'],
        ['2026-03-10 08:00:00', [message(2500, user('News@example.com'))], 'DD']);
    decides(
        $tool, 'it does with fold_case = no', 'UTC',
        [["= sasl_username\n", "= sasl_username\nfold_case = no\n"]],
        ['2026-03-10 08:00:00', [message(1000, @bob)],                       'DR'],
        ['2026-03-10 08:00:00', [message(1000, user('Bob@Example.com'))],    'DR'],
        ['2026-03-10 08:00:00', [message(2500, user('News@example.com'))],   'R']);
}

done_testing;
