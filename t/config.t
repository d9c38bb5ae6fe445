#!/usr/bin/perl
# The configuration: every mistake with its line and message, defaults, and what the helper
# does with a file that is bad, absent or changed.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(build_dir complaints run slurp spew);

my $rule = "[rule r]\nkey = sender\nlimit = 1/hour\n";
my $dir  = RateTest->new->{dir};
my $file = "$dir/settings.conf";

my $units = 'one of second, minute, hour, day, week, month, year';
my $words = 'one of DEFER_IF_PERMIT, DEFER_IF_REJECT, DEFER, REJECT, 4NN or 5NN and a text, DUNNO, '
    . 'WARN, INFO, HOLD, DISCARD, REDIRECT, FILTER, BCC, PREPEND';
my $rule_options = 'key, limit, count, strategy, resolution, match, override, exempt, action, '
    . 'mode, count_denied, warn_at, ipv4_prefix, ipv6_prefix, fold_case, strip_extension';
my $option = 'not of the form OPTION = VALUE; both must be on one line';

# One mistake a line: the file, and every message it gives.
my @cases = (
    ["key = x\n", '1: "key" is not in a section; start one with [global] or [rule NAME]'],
    (map { ["[$_]\nx = y\n", "1: unknown section [$_], did you mean [global]?"] }
        'globl', 'Global', 'GLOBAL', 'globals'),
    (map { ["[$_]\nx = y\n", "1: unknown section [$_], did you mean [rule users]?"] }
        'Rule users', 'RULE  users', 'rules users', 'rul users', 'rule:users', 
        'rule.users', 'rule=users', 'users'),
    (map { ["[$_]\n", "1: unknown section [$_]; one of [global] and [rule NAME]"] }
        'rule', 'Rule', 'my rule', '', 'x' x 33),
    ["[rule a b]\n",
        q{1: "a b" is not a rule name; use 1 to 32 letters, digits, '-' or '_'}],
    ['[rule ' . 'x' x 33 . "]\n",
        '1: "' . 'x' x 33 . q{" is not a rule name; }
        . q{use 1 to 32 letters, digits, '-' or '_'}],
    ["[rule global]\n", q{1: a rule can't be named global; use another name}],
    [join('', map {"[rule r$_]\nkey = sender\nlimit = 1/hour\n"} 1 .. 65),
        '193: more than 64 rules'],
    ["[global\n", q{1: a '[' without its ']'; a section is [global] or [rule NAME]}],
    ["$rule$rule", '4: [rule r] is already in line 1; each rule needs its own name'],
    ["[global]\n[global]\n", '2: [global] is already in line 1'],
    ["[global]\nlog = all\nlog = none\n",
        '3: log is already set in line 2; set it once in a section'],
    ["[global]\nlogs = all\n", '2: unknown option "logs", did you mean "log"?'],
    ["${rule}limits = 1/day\n", '4: unknown option "limits", did you mean "limit"?'],
    ["[global]\nfrobnicate = all\n", '2: unknown option "frobnicate" in [global]; one of database, '
        . 'database_mode, database_max_size, state_directory, user, on_error, success_action, '
        . 'lock_timeout, log, '
        . 'log_target'],
    ["${rule}frobnicate = 1/day\n",
        qq{4: unknown option "frobnicate" in [rule r]; one of $rule_options}],
    ["[rule r]\nlimit = 1/hour\n",
        '1: [rule r] has no key; say what is counted, such as key = sasl_username'],
    ["[rule r]\nkey = sender\n",
        '1: [rule r] has no limit; say how much, such as limit = 100/hour'],
    ["$rule\nnonsense\n", "5: $option"],
    ["${rule}action = REJECT\n  and more\n", "5: $option"],
    ["[rule r] key = sender\nlimit = 1/hour\n",
        "1: text after the ']'; put each option on a line of its own"],
    ["${rule}action ;x = REJECT no\n", "4: a ';' here starts a comment; "
        . 'put comments on their own lines'],
    ["${rule}override =;x 1/day\n", "4: a ';' here starts a comment; "
        . 'put comments on their own lines'],
    ["${rule}action = REJECT no ; more\n",
        "4: a ';' here starts a comment; "
        . 'put comments on their own lines'],
    ["${rule}action = REJECT " . 'x' x 190 . "\n", '4: the line has 206 bytes; 198 are allowed'],
    ["${rule}action = REJECT \xff\n", '4: a byte that is not UTF-8'],
    ["${rule}action = REJECT a\x07b\n", '4: a control character; only text is allowed'],
    ["${rule}action = REJECT a\0b\n", '4: a control character; only text is allowed'],
    ["${rule}action = 450\n", '4: action: 450 alone means OK to Postfix; add a text'],
    ["${rule}action = 250 fine\n",
        '4: action: "250" is not a reply code for a denial; use 4NN or 5NN and a text'],
    ["${rule}action = DEFFER x\n", qq{4: action: unknown action "DEFFER"; $words}],
    ["${rule}action = PREPEND\n", '4: action: PREPEND needs an argument, see access(5)'],
    ["${rule}action = OK\n", '4: action: OK would skip all later restrictions; use DUNNO'],
    ["[global]\nsuccess_action = permit\n",
        '2: success_action: permit would skip all later restrictions; use DUNNO'],
    ["[global]\non_error = 451\n",
        '2: on_error: 451 alone means OK to Postfix; add a text'],
    ["${rule}action = REJECT {used\n", q(4: action: a '{' without its '}'; for a brace write "{{")],
    ["${rule}action = REJECT {usd}\n",
        '4: action: unknown placeholder "{usd}"; one of {rule}, {key}, '
        . '{field}, {limit}, {used}, {remaining}, {count}, {window}, {retry_after} or a request '
        . 'attribute such as {sasl_username}'],
    ["[rule r]\nkey = sasluser\nlimit = 1/hour\n",
        '2: key: unknown attribute "sasluser"; one that Postfix '
        . 'sends, such as sasl_username, sender, client_address, or sasl_domain, sender_domain, '
        . 'recipient_domain, or everything'],
    ["[rule r]\nkey = sender\nlimit = 1/our\n",
        qq{3: limit: unknown unit "our" in "1/our"; $units}],
    ["[rule r]\nkey = sender\nlimit = many\n",
        '3: limit: "many" does not start with a number; a limit is '
        . 'COUNT/UNIT such as 100/hour, or unlimited, or deny'],
    ["[rule r]\nkey = sender\nlimit = 10\n",
        q{3: limit: a '/' or "per" must follow the number in "10"}],
    ["[rule r]\nkey = sender\nlimit = 1/0 hours\n",
        '3: limit: the window of "1/0 hours" must be 1 second to 10 years, that is 1 to 87600 '
            . 'hours'],
    ["[rule r]\nkey = sender\ncount = bytes\nlimit = 100MB/day\n",
        '4: limit: unknown suffix "MB", did you mean "MiB"?'],
    ["[rule r]\nkey = sender\nlimit = 1/hour 2/day\n",
        q{3: limit: "2/day" follows a limit; several are separated by ',' or '|'}],
    ["[rule r]\nkey = sender\nlimit = 1/hour, 2/60 minutes\n",
        '3: limit: two limits have the same window'],
    ["[rule r]\nkey = sender\nlimit = 10MiB/day\n",
        '3: limit: "MiB" is for count = bytes; here a number may end in k, M or G'],
    ["[rule r]\nkey = sender\nlimit = 99999999999/day\n",
        '3: limit: the number in "99999999999/day" is too large, the most is 68719476735'],
    ["[rule r]\nkey = sender\nlimit = 10001/day\nstrategy = moving-window\n",
        '3: limit: a moving-window remembers each event, 10000 at most; for a limit above that '
        . 'use strategy = sliding-window'],
    ["${rule}count = mails\n", '4: count: "mails" is not messages, recipients or bytes'],
    ["${rule}strategy = sliding\n",
        '4: strategy: "sliding" is not fixed-window, sliding-window or moving-window'],
    ["${rule}resolution = 61\n", '4: resolution: "61" is not a number from 1 to 60'],
    ["${rule}fold_case = maybe\n", '4: fold_case: "maybe" is not no or yes'],
    ["${rule}count_denied = 1\n", '4: count_denied: "1" is not no or yes'],
    ["[global]\ndatabase = counters.tdb\n", '2: database: "counters.tdb" is not an absolute path'],
    ["[global]\ndatabase_mode = 0666\n",
        '2: database_mode: "0666" is not a mode such as 0600; its owner '
        . 'must read and write, nobody else may write'],
    ["[global]\ndatabase_max_size = 5G\n",
        '2: database_max_size: "5G" is not a size from 64K to 4G, such as 256M'],
    ["[global]\nuser = a b\n", '2: user: "a b" is not the name of an account'],
    ["[global]\nlock_timeout = 2\n",
        '2: lock_timeout: "2" is not a time from 10ms to 60s, such as 2s'],
    ["[global]\nlog = verbose\n", '2: log: "verbose" is not none, denied or all'],
    ["[global]\nlog_target = stderr\n",
        '2: log_target: "stderr" is not syslog, syslog:FACILITY or file:/PATH'],
    ["[global]\nlog_target = syslog:mial\n",
        '2: log_target: unknown facility "mial"; see syslog(3) for their names'],
    ["[global]\nlog = x\n\n# fine\n[rule r]\nkey = y\nlimit = z\n",
        '2: log: "x" is not none, denied or all',
        '6: key: unknown attribute "y"; one that Postfix sends, such as sasl_username, sender, '
            . 'client_address, or sasl_domain, sender_domain, recipient_domain, or everything',
        '7: limit: "z" does not start with a number; a limit is COUNT/UNIT such as 100/hour, or '
            . 'unlimited, or deny'],
    # And what is right.
    ["\xef\xbb\xbf; comment\r\n[global]\r\n  log = all\r\n# comment\r\n"
        . "[rule r]\r\n  key = sender\r\n  limit: 1/h|2/d\r\n"],
    [''],
    ["[global]\n"],
    ["${rule}action = 550 5.7.1 a;b#c \xc3\xa4 {{ {sasl_username}\n"],
);
for my $case (@cases) {
    my ($text, @expected) = @$case;
    is_deeply([complaints($text)], [@expected ? 78 : 0, @expected], $expected[0] // "good: $text");
}

subtest 'effective settings' => sub {
    spew($file, <<'END');
[rule r]
key = sasl_domain
limit = 5k per 60 min | 10k/14 days, 20000/2 h, 30k/86400 seconds
[rule b]
key = sender
count = bytes
strategy = fixed-window
limit = 10240KiB/24 hours
END
    my ($status, $out) = run(build_dir() . '/policyd-ratelimit-ctl', '-c', $file, 'config');
    is($out =~ s/^global\.(?:database|state_directory) = .*\n//mgr, <<'END');
global.database_mode = 0600
global.database_max_size = 256M
global.user = policyd-ratelimit
global.on_error = DUNNO
global.success_action = DUNNO
global.lock_timeout = 2s
global.log = denied
global.log_target = syslog
r.key = sasl_domain
r.limit = 5000/hour, 10000/2 weeks, 20000/2 hours, 30000/day
r.count = recipients
r.strategy = sliding-window
r.resolution = 12
r.action = DEFER_IF_PERMIT 4.7.1 Limit of {limit} reached for {key}, try again in {retry_after}
r.mode = enforce
r.count_denied = no
r.warn_at = 
r.ipv4_prefix = 32
r.ipv6_prefix = 64
r.fold_case = yes
r.strip_extension = 
b.key = sender
b.limit = 10MiB/24 hours
b.count = bytes
b.strategy = fixed-window
b.resolution = 12
b.action = DEFER_IF_PERMIT 4.7.1 Limit of {limit} reached for {key}, try again in {retry_after}
b.mode = enforce
b.count_denied = no
b.warn_at = 
b.ipv4_prefix = 32
b.ipv6_prefix = 64
b.fold_case = yes
b.strip_extension = 
END
    is_deeply([run(build_dir() . '/policyd-ratelimit-ctl', '-c', $file, 'config', 'b.limit')],
        [0, "10MiB/24 hours\n", ''], 'one of them');
    is((run(build_dir() . '/policyd-ratelimit-ctl', '-c', $file, 'config', 'b.limits'))[0], 1,
        'none');
};

# Asks until the answer is the expected one; false after some seconds.
sub becomes {
    my ($helper, $expected) = @_;
    my $end = time + 10;
    while (time < $end) {
        return 1 if ($helper->ask // 'gone') eq $expected;
        sleep 0.02;
    }
    return 0;
}

# The answer of a helper that ends after it.
sub finished {
    my ($t) = @_;
    my $helper = $t->helper;
    my $action = $helper->ask;
    $helper->finish;
    return $action;
}

subtest 'a bad file, and one that is repaired' => sub {
    my $t = RateTest->new;
    my %global = (global => {on_error => 'WARN broken'});
    my $good = "[rule r]\nkey = everything\nlimit = 0/hour\naction = REJECT good\n";
    $t->configure(%global, rules => "[rule r]\nkey = nonsense\n");
    my $helper = $t->helper;
    is($helper->ask, 'WARN broken', 'on_error of the bad file itself') for 1 .. 3;
    my @lines = $t->log_text =~ /conf:\d+: (.*)/g;
    is(scalar @lines, 2, 'each mistake is logged once, not per request') or diag $t->log_text;
    $t->configure(%global, rules => $good);
    ok(becomes($helper, 'REJECT good'), 'repaired: no restart needed');
    my $before = length $t->log_text;
    $t->configure(rules => "[rule r\n");
    ok(becomes($helper, 'REJECT good'), 'a running helper keeps the last good one');
    my $end = time + 10;
    sleep 0.02
        while $helper->ask eq 'REJECT good'
        && substr($t->log_text, $before) !~ /last good/
        && time < $end;
    $helper->ask for 1 .. 3;
    is(() = substr($t->log_text, $before) =~ /last good one stays in force/g, 1,
        'and says so once');
    $t->configure(rules => $good =~ s/good/better/r);
    ok(becomes($helper, 'REJECT better'), 'the next good one is taken up');
    rename $t->{config}, "$t->{config}.away";
    $helper->ask for 1 .. 3;
    is($helper->ask, 'REJECT better', 'an absent one too leaves the last good one');
};

# The copies of good configurations in a folder.
sub kept { return glob "$_[0]/*.good" }

# What is new in the log since the last call.
sub news {
    my ($t) = @_;
    my $log = $t->log_text;
    my $news = substr $log, $t->{read} // 0;
    $t->{read} = length $log;
    return $news;
}

subtest 'a helper that starts with a bad file uses the last good one' => sub {
    my $t = RateTest->new;
    mkdir "$t->{dir}/state" or die $!;
    my %global = (global => {on_error => 'WARN broken', state_directory => "$t->{dir}/state"});
    my $good = "[rule r]\nkey = everything\nlimit = 0/hour\naction = REJECT good\n";
    my $bad  = $good =~ s/limit/limits/r;
    $t->configure(%global, rules => $bad);
    is($t->helper->ask, 'WARN broken', 'there is none yet: on_error');
    is_deeply([kept("$t->{dir}/state")], [], 'a bad one is not kept');

    $t->configure(%global, rules => $good);
    is(finished($t), 'REJECT good', 'a good one');
    my ($kept, @more) = kept("$t->{dir}/state");
    ok($kept && !@more && slurp($kept) eq slurp($t->{config}), 'is kept') or diag $kept;
    is((stat $kept)[2] & 07777, 0600, 'for the account alone');
    my $inode = (stat _)[1];
    is(finished($t), 'REJECT good');
    is((stat $kept)[1], $inode, 'once');
    is($t->log_text =~ /kept/, '', 'nothing to log');
    $t->configure(%global, rules => $good =~ s/good/later/r);
    is(finished($t), 'REJECT later');
    is(slurp($kept), slurp($t->{config}), 'a changed one takes its place');
    is_deeply([glob "$t->{dir}/state/*"], [$kept], 'and leaves nothing beside it');

    news($t);
    $t->configure(%global, rules => $bad);
    my $helper = $t->helper;
    is($helper->ask, 'REJECT later', 'a bad one') for 1 .. 3;
    my $news = news($t);
    my $said = "$t->{config} is not used; the last good one is in force, which was kept as $kept";
    is(() = $news =~ /: \Q$said\E$/gm, 1, 'the log says so, once')
        or diag $news;
    like($news, qr/did you mean "limit"/, 'and why');
    like(slurp($kept), qr/later/, 'the copy stays');
    $t->configure(%global, rules => $good =~ s/good/repaired/r);
    ok(becomes($helper, 'REJECT repaired'), 'a good one again: taken up');
    $helper->ask;
    like(slurp($kept), qr/repaired/, 'and kept');
    $t->configure(%global, rules => $good =~ s/good/later/r);
    is(finished($t), 'REJECT later');

    # Another file has its own copy.
    my $other = "$t->{dir}/state.conf";
    spew($other, slurp($t->{config}) =~ s/later/other/r);
    utime 0, 0, $other;
    ($helper = $t->helper(args => ['-c', $other]))->ask;
    $helper->finish;
    is(scalar(my @both = kept("$t->{dir}/state")), 2);
    $t->configure(%global, rules => $bad);
    is($t->helper->ask, 'REJECT later', 'two files have two copies');
};

subtest 'a kept configuration that is not to be trusted' => sub {
    my $t = RateTest->new;
    my %global = (global => {on_error => 'WARN broken'});
    my $good = "[rule r]\nkey = everything\nlimit = 0/hour\naction = REJECT good\n";
    my $start = sub {
        $t->configure(%global, rules => $good);
        is(finished($t), 'REJECT good', 'a good one first');
        $t->configure(%global, rules => 'nonsense');
        news($t);
        return (kept($t->{dir}))[0];
    };
    my $kept = $start->() // die $t->log_text;
    for my $case ([0620, 'its group'], [0602, 'others']) {
        chmod $case->[0], $kept or die $!;
        is($t->helper->ask, 'WARN broken', "$case->[1] may write it");
        like(news($t), qr/\Q$kept\E: not used, because $case->[1] may write it; run: chmod go-w/);
    }
    $start->();
    ok(((stat $kept)[2] & 07777) == 0600, 'it is replaced by a good one');
    rename $kept, "$t->{dir}/elsewhere" or die $!;
    symlink 'elsewhere', $kept or die $!;
    is($t->helper->ask, 'WARN broken', 'a symbolic link is not followed');
    like(news($t), qr/\Q$kept\E: can't be read: Too many levels of symbolic links/);
    unlink $kept;
    symlink 'victim', $kept or die $!;
    spew("$t->{dir}/victim", 'precious');
    $start->();
    is(slurp("$t->{dir}/victim"), 'precious', 'nor is it written through');
    ok(!-l $kept && slurp($kept) =~ /REJECT good/, 'but replaced');
    spew($kept, "[rule r]\nkey = sender\n");
    is($t->helper->ask, 'WARN broken', 'a bad copy');
    like(news($t), qr/\Q$kept\E:1: \[rule r\] has no limit/, 'is said');
    SKIP: {
        skip 'needs root', 2 if $> != 0;
        $start->();
        chown 1, -1, $kept or die $!;
        is($t->helper->ask, 'WARN broken', 'another account owns it');
        like(news($t), qr/\Q$kept\E: not used, because account 1 owns it; only root may/);
    }
    mkdir "$t->{dir}/file" or die $!;
    spew("$t->{dir}/file/f", '');
    $global{global}{state_directory} = "$t->{dir}/file/f";
    $t->configure(%global, rules => $good);
    is(finished($t), 'REJECT good', 'no folder');
    like(news($t), qr/\Q$t->{config}\E: can't be kept for a start with a bad one: \S+: Not a direc/,
        'is said');
};

subtest 'a changed file for which there is no memory' => sub {
    my $good = "[rule r]\nkey = sender\nlimit = 0/hour\naction = REJECT good\n";
    my $t = RateTest->new(rules => $good);
    my $helper = $t->helper;
    my $limit = sub { run('prlimit', '--pid', $helper->{pid}, "--as=$_[0]:") };
    is($helper->ask, 'REJECT good', 'the first one');
    my ($size) = slurp("/proc/$helper->{pid}/status") =~ /^VmSize:\s+(\d+) kB/m;
    plan skip_all => 'a sanitizer takes all addresses there are' if $size > 1 << 30;
    plan skip_all => 'needs prlimit (Debian: util-linux)' if ($limit->($size << 10))[0];
    $t->configure(rules => $good =~ s/good/large/r
        . join '', map {"exempt = user$_\@example.com\n"} 1 .. 20_000);
    my $end = time + 10;
    sleep 0.02 while $helper->ask eq 'REJECT good' && $t->log_text !~ /last good/ && time < $end;
    like($t->log_text, qr/\Q$t->{config}\E: out of memory\n.*last good one stays in force/,
        'the log says so');
    is($helper->ask, 'REJECT good', 'the old one stays in force');
    $limit->('unlimited');
    ok(becomes($helper, 'REJECT large'), 'memory is back: the file is taken up as it is');
};

subtest 'a file that others may write' => sub {
    my $t = RateTest->new;
    my $good = "[rule r]\nkey = everything\nlimit = 0/hour\naction = REJECT good\n";
    my $t2 = RateTest->new(rules => $good);
    chmod 0664, $t2->{config} or die $!;
    is($t2->helper->ask, 'DUNNO', 'nor may its group');
    is(($t2->ctl('config'))[2],
        "$t2->{config}: not used, because its group may write it; run: chmod go-w $t2->{config}\n");
    $t->configure(global => {on_error => 'REDIRECT evil@example.com'}, rules => $good);
    chmod 0646, $t->{config} or die $!;
    my ($status, undef, $errors) = $t->ctl('config');
    is_deeply([$status, $errors],
        [78, "$t->{config}: not used, because others may write it; run: chmod go-w $t->{config}\n"],
        'ctl');
    my $helper = $t->helper;
    is($helper->ask, 'DUNNO', 'nothing in it is used, on_error neither');
    ok(!-e $t->{logfile}, 'nor log_target');
    chmod 0644, $t->{config} or die $!;
    ok(becomes($helper, 'REJECT good'), 'closed to others: taken up');
    $t->configure(rules => $good =~ s/good/changed/r);
    chmod 0666, $t->{config} or die $!;
    my $end = time + 10;
    sleep 0.02 while $helper->ask eq 'REJECT good' && $t->log_text !~ /last good/ && time < $end;
    my $said = qr/: not used, because others may write it; run: chmod go-w \Q$t->{config}\E\n/;
    like($t->log_text, qr/$said.*last good one stays/,
        'a running helper says so');
    is($helper->ask, 'REJECT good', 'and keeps the last good one');
};

subtest 'a file that another account owns' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my ($nobody, $mail) = (scalar getpwnam 'nobody', scalar getpwnam 'mail');
    my $t = RateTest->new;
    $t->configure(global => {on_error => 'REDIRECT evil@example.com', user => 'nobody'},
        rules => "[rule r]\nkey = everything\nlimit = 0/hour\naction = REJECT good\n");
    chmod 0755, $t->{dir};
    my $only = "not used, because account $nobody owns it; only root";
    my $run  = "may; run: chown root $t->{config}\n";
    is(($t->ctl_as('nobody', 'config'))[0], 0, 'of root: any account uses it');
    chown $nobody, -1, $t->{config} or die $!;
    is(($t->ctl_as('nobody', 'config'))[0], 0, 'its own: it uses it too');
    is_deeply([$t->ctl_as('mail', 'config')],
        [78, '', "$t->{config}: $only or the account that runs $run"], 'that of another one: not');
    # Otherwise the account would say what root does.
    is_deeply([$t->ctl('config')], [78, '', "$t->{config}: $only $run"], 'nor does root');
    is($t->helper->ask, 'DUNNO', 'a helper uses nothing of it');
    ok(!-e $t->{logfile}, 'nor log_target');
};

subtest 'a file that is half written when a helper starts' => sub {
    my $t = RateTest->new;
    my $begin = slurp($t->{config}) . "[rule r]\nkey = everything\nlimit = 5/hour\n";
    spew($t->{config}, $begin);
    my $helper = $t->helper;
    $helper->write(RateTest::Helper::request());
    my $ready = '';
    vec($ready, fileno($helper->{socket}), 1) = 1;
    is(scalar select($ready, undef, undef, 0.1), 0, 'no answer by a file that was just written to');
    open my $fh, '>>', $t->{config} or die $!;
    print $fh "[rule whole]\nkey = everything\nlimit = deny\naction = REJECT whole\n";
    close $fh;
    is($helper->answer, 'REJECT whole', 'but by all of it');
};

subtest 'no file at all' => sub {
    my $t = RateTest->new;
    rename $t->{config}, "$t->{config}.away";
    my $helper = $t->helper;
    is($helper->ask, 'DUNNO', 'mail flows') for 1 .. 3;
    spew("$t->{config}.tmp", slurp("$t->{config}.away")
        . "[rule r]\nkey = everything\nlimit = 0/hour\naction = REJECT here\n");
    rename "$t->{config}.tmp", $t->{config};
    ok(becomes($helper, 'REJECT here'), 'and goes on with limits as soon as there is one');
};

done_testing;
