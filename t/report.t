#!/usr/bin/perl
# policyd-ratelimit-ctl report: who hit a limit; its message, and how sendmail is called.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use JSON::PP qw(decode_json);
use MIME::QuotedPrint qw(decode_qp);
use Test::More;
use PrivatePostfix;
use RateTest qw(run slurp spew build_dir);

$ENV{TZ} = 'CET-1CEST,M3.5.0,M10.5.0/3';
my $start = 1_795_132_800;    # 2026-11-20 01:00 in that zone
my $now   = $start + 12 * 3600;
my $t     = RateTest->new(rules => <<'END');
[rule users]
key = sasl_username
limit = 3/hour, 100/day
[rule volume]
key = sender_domain
count = bytes
limit = 1MiB/day
[rule closed]
key = client_address
limit = 10/hour
override = 192.0.2.66 deny
[rule watched]
key = recipient
limit = 1/day
mode = observe
END

sub message {
    my ($helper, %attributes) = @_;
    return $helper->ask(
        protocol_state => 'END-OF-MESSAGE', recipient_count => 1, size => 1, recipient => '',
        client_address => '', sender => '', instance => 'i' . rand, %attributes);
}

$t->set_clock($start);
my $helper = $t->helper;
message($helper, sasl_username => 'ann');
is_deeply([$t->ctl('report')], [0, '', "nobody hit a limit\n"], 'nobody, and that is no failure');
is_deeply([$t->ctl('report', '--json')], [0, "[]\n", ''], 'in JSON');
is_deeply(
    [$t->ctl('report', '--since', '24h')], [1, '', "nobody hit a limit since 2026-11-19 01:00\n"],
    'a filter that nothing matched');
is_deeply([$t->ctl('report', '--since', '24h', '--json')], [1, "[]\n", '']);

message($helper, sasl_username => 'ann') for 1 .. 4;
message($helper, sasl_username => 'bob', sender => 'x@big.example', size => 2 << 20)
    for 1 .. 2;
$t->set_clock($now - 60);
message($helper, sasl_username => 'ann') for 1 .. 8;
$t->set_clock($now - 30);
message($helper, sasl_username => '', client_address => '192.0.2.66') for 1 .. 2;
message($helper, sasl_username => 'carl', recipient => "r\@example.net") for 1 .. 3;
message($helper, sasl_username => "a\x01", recipient_count => 4);
message($helper, sasl_username => "a\x02", recipient_count => 4);
$t->set_clock($now);

subtest 'the table' => sub {
    my ($status, $out, $err) = $t->ctl('report');
    is("$status$err", '0');
    is($out, <<'END', 'a line for each counter, with its fullest window');
RULE    KEY          DENIED  SINCE             LAST                 LIMIT    USED     %  ROOM
users   ann               7  2026-11-20 01:00  2026-11-20 12:59    3/hour  3 rcpt  100%  in 60m
closed  192.0.2.66        2  2026-11-20 12:59  2026-11-20 12:59    0/hour  0 rcpt  100%  never
volume  big.example       2  2026-11-20 01:00  2026-11-20 01:00  1MiB/day     0 B    0%  now
users   a?                1  2026-11-20 12:59  2026-11-20 12:59    3/hour  0 rcpt    0%  now
users   a?                1  2026-11-20 12:59  2026-11-20 12:59    3/hour  0 rcpt    0%  now
END
};

sub keys_of {
    my ($status, $out, $err) = $t->ctl('report', '--json', @_);
    return join ' ', $status, map {"$_->{rule}:$_->{key}"} @{decode_json($out)};
}

subtest '--json' => sub {
    my (undef, $out) = $t->ctl('report', '--json');
    my $rows = decode_json($out);
    is_deeply(
        $rows->[0],
        {
            rule => 'users', key => 'ann', denied => 7, since => $start, last => $now - 60,
            window => 3600, count => 'recipients', limit => 3, used => 3, percent => 100,
            retry_after => 3600
        }) or diag explain $rows->[0];
    is($rows->[1]{retry_after}, undef, 'never');
    like($out, qr/"since": $start, "last": \d+,/, 'seconds since the epoch, as numbers');
};

subtest '--since' => sub {
    is(keys_of('--since', '1h'), '0 users:ann closed:192.0.2.66 users:a? users:a?',
        'by the last denial');
    is(keys_of('--since', '@' . ($now - 60)), '0 users:ann closed:192.0.2.66 users:a? users:a?',
        'at that moment');
    is(keys_of('--since', '@' . ($now - 59)), '0 closed:192.0.2.66 users:a? users:a?',
        'and after it');
    is(keys_of('--since', 'today'), keys_of(), 'today');
    is(keys_of('--since', '10s'), '1', 'none');
};

subtest 'usage' => sub {
    my @cases = (
        [['x'], qr/^usage: policyd-ratelimit-ctl report \[--since TIME\]/],
        [['--what'], qr/^usage: policyd-ratelimit-ctl report /m],
        [['--since', 'monday'], qr/--since: "monday" is not a time: a date such as 2026-11-20/],
        [['--always'], qr/^usage: /],
        [['--mail', 'root', '--json'], qr/^usage: /],
    );
    for my $case (@cases) {
        my ($status, $out, $err) = $t->ctl('report', @{$case->[0]});
        is("$status$out", '64', "@{$case->[0]}");
        like($err, $case->[1]);
    }
};

# A sendmail that keeps what it gets, and ends as it is told.
my $bin = "$t->{dir}/bin";
mkdir $bin;
my $path = $ENV{PATH};
sub fake_sendmail {
    my ($more) = @_;
    unlink map {"$t->{dir}/sent.$_"} qw(argv body fds);
    spew("$bin/sendmail", <<"END");
#!/bin/sh
unset LD_PRELOAD
PATH=/usr/bin:/bin
for argument; do printf '%s\\n' "\$argument"; done >'$t->{dir}/sent.argv'
ls -l /proc/\$\$/fd >'$t->{dir}/sent.fds'
$more
END
    chmod 0755, "$bin/sendmail";
    return;
}
my $keep = "cat >'$t->{dir}/sent.body'\n";

sub mail {
    local $ENV{PATH} = "$bin:$path";
    return join '|', $t->ctl('report', @_);
}

sub sent { return slurp("$t->{dir}/sent.body") }

# Header fields by name, unfolded; and the body.
sub parse {
    my ($text) = @_;
    my ($head, $body) = split /\n\n/, $text, 2;
    my (%field, @names);
    for my $line (split /\n(?![ \t])/, $head) {
        my ($name, $value) = $line =~ /\A([A-Za-z-]+): ([^\r]*)\z/s or return {}, "bad line: $line";
        push @names, $name;
        $field{$name} = $value =~ s/\n//gr;
    }
    $field{names} = \@names;
    return \%field, $body;
}

subtest 'the message' => sub {
    fake_sendmail($keep);
    is(mail('--mail', 'root,  postmaster@example.com', '--since', '2026-11-20'), '0||',
        'sent, and nothing is said');
    is(slurp("$t->{dir}/sent.argv"), "-i\n--\nroot\npostmaster\@example.com\n",
        'arguments of sendmail');
    my $open = slurp("$t->{dir}/sent.fds");
    like($open, qr/ 0 -> pipe:/, 'the message comes through a pipe');
    unlike($open, qr/counters\.tdb/, 'the counters are closed in it');
    my ($field, $body) = parse(sent());
    is_deeply($field->{names}, [qw(From To Subject Date Message-ID MIME-Version Content-Type
        Content-Transfer-Encoding Auto-Submitted)], 'header fields, each once');
    my $account = getpwuid $>;
    like($field->{From}, qr/\Apolicyd-ratelimit <\Q$account\E\@[\w.-]+>\z/);
    is($field->{To}, 'root, postmaster@example.com');
    like($field->{Subject},
        qr/\Apolicyd-ratelimit on [\w.-]+: 5 keys hit a limit since 2026-11-20 00:00\z/);
    is($field->{Date}, 'Fri, 20 Nov 2026 13:00:00 +0100');
    like($field->{'Message-ID'}, qr/\A<$now\.\d+\.[0-9a-f]{16}\@[\w.-]+>\z/);
    unlike($field->{'Message-ID'}, qr/0{16}/);
    is($field->{'MIME-Version'}, '1.0');
    is($field->{'Content-Type'}, 'text/plain; charset=utf-8');
    is($field->{'Content-Transfer-Encoding'}, '8bit');
    is($field->{'Auto-Submitted'}, 'auto-generated');
    my (undef, $table) = $t->ctl('report');
    my $head = qr/\AOn [\w.-]+ 5 keys hit a limit since 2026-11-20 00:00\./;
    like($body, qr/$head\n\n\Q$table\E\nDENIED is the number /, 'the text');
    like($body, qr/policyd-ratelimit-ctl $_\b/, "names the command $_") for qw(show explain reset);
    is(join('', grep { length > 78 } split /\n/, $body =~ s/\Q$table\E//r), '', 'short lines');
    my $first = $field->{'Message-ID'};
    mail('--mail', 'root');
    ($field) = parse(sent());
    isnt($field->{'Message-ID'}, $first, 'every message has an id of its own');
    like($field->{Subject}, qr/: 5 keys hit a limit\z/);
};

subtest 'dates in other zones and languages' => sub {
    my %expected = (
        'UTC'                     => 'Fri, 20 Nov 2026 12:00:00 +0000',
        'NST3:30'                 => 'Fri, 20 Nov 2026 08:30:00 -0330',
        '<+0545>-5:45'            => 'Fri, 20 Nov 2026 17:45:00 +0545',
        '<-0030>0:30'             => 'Fri, 20 Nov 2026 11:30:00 -0030',
    );
    for my $zone (sort keys %expected) {
        local @ENV{qw(TZ LC_ALL)} = ($zone, 'de_DE.UTF-8');
        mail('--mail', 'root');
        is((parse(sent()))[0]{Date}, $expected{$zone}, $zone);
    }
};

subtest 'a long report' => sub {
    my $long = RateTest->new(
        rules => "[rule a-rule-that-has-a-long-name-0001]\nkey = sender\nlimit = 1/day\n");
    $long->set_clock($now);
    my $flood = $long->helper;
    my $key = 'k' x 150 . "\x{c3}\x{a4}" x 20;
    for my $n (1 .. 1010) {
        $flood->ask(protocol_state => 'DATA', recipient_count => 2, sender => sprintf '%s%04d',
            $key, $n);
    }
    fake_sendmail($keep);
    local $ENV{PATH} = "$bin:$path";
    is(($long->ctl('report', '--mail', 'root'))[0], 0);
    my ($field, $body) = parse(sent());
    like($field->{Subject}, qr/: 1010 keys hit a limit\z/);
    is(scalar(() = $body =~ /^a-rule/mg), 1000, 'no message that is too large for anybody');
    like($body, qr/^and 10 more, which policyd-ratelimit-ctl report shows$/m);
    is((grep { length > 996 } split /\n/, $body), 0, 'every line may be sent');
};

subtest 'nothing to say' => sub {
    fake_sendmail($keep);
    is(mail('--mail', 'root', '--since', '5s'), '0||', 'is no failure');
    ok(!-e "$t->{dir}/sent.argv", 'and nothing is sent');
    is(mail('--mail', 'root', '--since', '5s', '--always'), '0||', '--always');
    my ($field, $body) = parse(sent());
    like($field->{Subject}, qr/: nobody hit a limit since 2026-11-20 12:59\z/);
    like($body, qr/\AOn [\w.-]+ nobody hit a limit since 2026-11-20 12:59\.\n\z/);
};

subtest 'sendmail fails' => sub {
    fake_sendmail("cat >/dev/null\necho 'queue is full' >&2\nexit 75");
    my $failed = 'policyd-ratelimit-ctl: the message was not sent: ';
    is(mail('--mail', 'root'),
        "69||queue is full\n${failed}sendmail failed with exit status 75\n", 'its status');
    fake_sendmail('kill -9 $$');
    is(mail('--mail', 'root'),
        "69||policyd-ratelimit-ctl: the message was not sent: sendmail was killed by signal 9\n",
        'killed'
    );
    fake_sendmail("exec 0</dev/null\nsleep 0.5\nexit 0");
    my $many = RateTest->new(rules => "[rule r]\nkey = sender\nlimit = 1/day\n");
    my $flood = $many->helper;
    $flood->ask(protocol_state => 'DATA', recipient_count => 2, sender => "$_" . 'x' x 180)
        for 1 .. 500;
    local $ENV{PATH} = "$bin:$path";
    is_deeply([$many->ctl('report', '--mail', 'root')], [69, '',
            "policyd-ratelimit-ctl: the message was not sent: sendmail did not read it to the end\n"
        ],
        'a closed pipe'
    );
    fake_sendmail("echo text\n$keep");
    is(mail('--mail', 'root'), "0||text\n", 'what it says goes to stderr');
};

# In a name space of its own, where /usr/sbin is another folder.
subtest 'where sendmail is' => sub {
    plan skip_all => 'needs unshare as root'
        if $> != 0 || (run('unshare', '--mount', 'true'))[0] != 0;
    fake_sendmail($keep);
    mkdir "$t->{dir}/empty";
    local %ENV = (%ENV, ctl => build_dir() . '/policyd-ratelimit-ctl', conf => $t->{config},
        $t->clock_environment);
    my $report = sub {
        return run(
            'unshare', '--mount', 'sh', '-c',
            'mount --bind "$1" /usr/sbin && PATH=/nonexistent && '
            . 'exec "$ctl" -c "$conf" report --mail root', 'sh', $_[0]);
    };
    is_deeply([$report->($bin)], [0, '', ''], 'not in PATH: in /usr/sbin');
    like(sent(), qr/^Subject: policyd-ratelimit on/m);
    my ($status, $out, $err) = $report->("$t->{dir}/empty");
    is("$status$out", '69', 'nowhere');
    like($err, qr{sendmail can't be started: No such file or directory; it is neither in PATH nor});
};

subtest 'addresses' => sub {
    fake_sendmail($keep);
    for my $good (
        'root', 'a.b+c@example.com', 'a@[192.0.2.1]', 'a@[IPv6:2001:db8::1]',
        "b\x{c3}\x{b6}b\@example.org",
        "o'neill\@example.org", join(',', map {"u$_\@example.org"} 1 .. 50)) {
        is(mail('--mail', $good), '0||', $good);
        is(slurp("$t->{dir}/sent.argv"), join('', map {"$_\n"} '-i', '--', split /,/, $good),
            'arrives as it is');
    }
    my @bad = (
        '', ' ', ',', 'root,', ',root', 'a,,b', '-f', '-bs', 'root,-oQ/tmp', '|/bin/sh', '/tmp/x',
        ':include:/x',
        '@example.com', 'root@', 'a b', "root\nBcc: x\@example.com", "root\r\nBcc: x", "a\tb",
        "a\x7fb", "a\xffb",
        'Ann <ann@example.com>', 'a;b', 'a(b)', '"a"', 'a\\b', "a\x{e2}\x{80}\x{a8}b", 'a' x 321,
        join(',', map {"u$_\@example.org"} 1 .. 51));
    unlink "$t->{dir}/sent.argv";
    for my $bad (@bad) {
        my ($status, $out, $err) =
            do { local $ENV{PATH} = "$bin:$path"; $t->ctl('report', '--mail', $bad) };
        is("$status$out", '64', "not accepted: $bad" =~ s/[^ -~]/?/gr);
        like($err, qr/\Apolicyd-ratelimit-ctl: --mail: [^\x00-\x1f]+\n\z/);
    }
    ok(!-e "$t->{dir}/sent.argv", 'and sendmail never started');
};

subtest 'a host that is not called in ASCII' => sub {
    plan skip_all => 'needs unshare as root'
        if $> != 0 || (run('unshare', '--uts', 'true'))[0] != 0;
    my $name = "h\x{c3}\x{b6}st" . "\x{e2}\x{82}\x{ac}" x 19;    # with 64 bytes at most
    fake_sendmail($keep);
    local %ENV = (
        %ENV, PATH => "$bin:$path", name => $name, ctl => build_dir() . '/policyd-ratelimit-ctl',
        conf => $t->{config}, $t->clock_environment);
    my ($status, $out, $err) = run('unshare', '--uts', 'sh', '-c',
        'printf %s "$name" >/proc/sys/kernel/hostname && exec "$ctl" -c "$conf" report --mail root'
    );
    is("$status$out$err", '0');
    my ($field, $body) = parse(sent());
    unlike(join('', map {"$_$field->{$_}"} grep { !/names/ } keys %$field), qr/[^ -~]/,
        'the header is ASCII');
    like($field->{From}, qr/\@localhost>\z/);
    my @words = split / /, $field->{Subject};
    cmp_ok(scalar @words, '>', 1);
    is((grep { length > 75 || !/\A=\?UTF-8\?Q\?(?:=[0-9A-F]{2})+\?=\z/ } @words), 0,
        'encoded words (RFC 2047)');
    my @decoded = map { decode_qp(s/\A.*\?Q\?|\?=\z//gr) } @words;
    is(join('', @decoded), "policyd-ratelimit on $name: 5 keys hit a limit", 'the subject');
    is((grep { !utf8::decode(my $copy = $_) } @decoded), 0, 'no character is torn');
    like($body, qr/\AOn \Q$name\E 5 keys/);
};

subtest 'a real delivery' => sub {
    my $missing = PrivatePostfix::missing('sendmail');
    plan skip_all => $missing if $missing;
    my $postfix = PrivatePostfix->new->start;
    spew("$bin/sendmail", "#!/bin/sh\nunset LD_PRELOAD\nMAIL_CONFIG=" . $postfix->dir
        . "/etc exec /usr/sbin/sendmail \"\$@\"\n");
    chmod 0755, "$bin/sendmail";
    is(mail('--mail', 'postmaster@example.com,root@example.net'), '0||',
        'Postfix takes the message');
    ok($postfix->wait_for_mail_log(qr/to=<\Q$_\E>.*status=sent/), "and delivers it to $_")
        for qw(postmaster@example.com root@example.net);
    like($postfix->mail_log, qr/cleanup\[\d+\]: \w+: message-id=<$now\.\d+\.\w+\@/,
        'under its own id');
};

subtest 'a damaged record' => sub {
    my $key = $t->stored_key('users:ann');
    $helper->finish;
    run('tdbtool', $t->{database}, 'store', $key, 'damaged');
    fake_sendmail($keep);
    like(mail('--mail', 'root'), qr/\A69\|\|[^\n]*the record of "users:ann" is damaged[^\n]*\n\z/,
        'is told');
    like(sent(), qr/192\.0\.2\.66/, 'and the message sent');
};

done_testing;
