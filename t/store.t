#!/usr/bin/perl
# The counter file: what breaks it, how it grows, and that it stops growing.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Fcntl qw(:DEFAULT F_SETLKW F_WRLCK F_UNLCK SEEK_SET);
use Test::More;
use POSIX ();
use Time::HiRes qw(time);
use RateTest qw(run slurp spew);

my $rules = "[rule r]\nkey = sasl_username\nlimit = 3/hour\n";

sub limiter {
    my (%global) = @_;
    return RateTest->new(rules => $rules,
        global => {on_error => 'WARN trouble', log => 'denied', %global});
}

sub ask { my ($helper, $user) = @_; return $helper->ask(sasl_username => $user // 'u') // 'gone' }

sub lines { my ($t, $what) = @_; return scalar(() = $t->log_text =~ /$what/g) }

# Makes keys until there is no room, also not after a compaction; how many went in.
sub fill {
    my ($helper) = @_;
    my $n = 0;
    for (1 .. 5) {
        $n++ while $n < 5000 && ask($helper, "key$n") eq 'DUNNO';
    }
    return $n;
}

# Counts that ctl show sees, by key.
sub used {
    my ($t) = @_;
    my (undef, @rows) = $t->show;
    return {map { $_->{key} => $_->{used} } @rows};
}

subtest 'a file that is not a TDB' => sub {
    for my $content ("root:x:0:0\n" x 1000, '') {
        my $t = limiter();
        spew($t->{database}, $content);
        my $helper = $t->helper;
        is(ask($helper), 'DUNNO', 'is replaced') for 1 .. 3;
        like(ask($helper), qr/Limit of 3/, 'by one that counts');
        is(
            lines(
                $t, 'counters\.tdb: can\'t be opened: it is not a TDB file: 0 records were saved'
            ),
            1,
            'said once'
        );
        my ($aside, @more) = glob "$t->{database}.damaged-*";
        is_deeply(\@more, [], 'one file is kept');
        is(slurp($aside), $content, 'as it was');
    }
};

subtest 'a file that others may write' => sub {
    my $t = limiter();
    my ($one, $two) = ($t->helper, $t->helper);
    is(ask($_), 'DUNNO') for $one, $two;
    for my $mode (0646, 0660) {
        my $content = slurp($t->{database});
        chmod $mode, $t->{database} or die $!;
        RateTest::await_recheck();
        is(ask($_), 'WARN trouble', 'is used by nobody: one that has it open, a new one')
            for $one, $two, $t->helper;
        is(lines($t, "can't be opened: others may write it"), $mode == 0646 ? 3 : 4,
            'said once by each')
            or diag $t->log_text;
        is(slurp($t->{database}), $content, 'left as it was');
        is((stat $t->{database})[2] & 07777, $mode, 'by its permissions too');
        for my $command (['show'], ['reset', 'u']) {
            my ($status, undef, $errors) = $t->ctl(@$command);
            is($status, 69, "ctl $command->[0] does not either");
            like($errors, qr/others may write it/);
        }
        chmod 0600, $t->{database} or die $!;
        is(ask($one), 'DUNNO', 'goes on when it is closed to them') if $mode == 0646;
        like(ask($two), qr/Limit of 3/, 'with what is counted');
    }
};

subtest 'a file of another account' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $t      = limiter();
    my $nobody = getpwnam 'nobody' // die;
    my $mail   = getpwnam 'mail'   // die;
    my ($one, $two) = ($t->helper, $t->helper);
    is(ask($_), 'DUNNO') for $one, $two;
    chown $nobody, -1, $t->{database} or die $!;
    RateTest::await_recheck();
    is(ask($_), 'WARN trouble', 'is used by no helper: one that has it open, a new one')
        for $one, $two, $t->helper;
    is(lines($t, "can't be opened: it belongs to uid $nobody and may hold anything; "
        . 'it must belong to uid 0 or to root'), 3, 'said once by each') or diag $t->log_text;
    my ($status, undef, $errors) = $t->ctl('reset', 'u');
    is($status, 77, 'nor changed by a command') or diag $errors;
    is(($t->ctl('show'))[0], 0, 'one that only reads does not lock it');
    chown 0, -1, $t->{database} or die $!;
    is(ask($one), 'DUNNO', 'goes on when it is its own');
    like(ask($two), qr/Limit of 3/, 'with what is counted');
};

subtest 'an absent folder' => sub {
    my $t = limiter();
    $t->{database} = "$t->{dir}/folder/counters.tdb";
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble'});
    my $helper = $t->helper;
    is(ask($helper), 'WARN trouble') for 1 .. 3;
    is(lines($t, 'its folder must exist and belong to'), 1, 'said once');
    mkdir "$t->{dir}/folder" or die $!;
    is(ask($helper), 'DUNNO');
    is_deeply([glob "$t->{dir}/folder/*"], [$t->{database}], 'one file, nothing beside it');
};

subtest 'a file that is removed under a running helper' => sub {
    my $t = limiter();
    my ($one, $two) = ($t->helper, $t->helper);
    is(ask($one), 'DUNNO') for 1 .. 3;
    unlink $t->{database} or die $!;
    RateTest::await_recheck();
    is(ask($two), 'DUNNO', 'a new one starts') for 1 .. 2;
    is(ask($one), 'DUNNO', 'that is shared');
    isnt(ask($two), 'DUNNO');
};

subtest 'a file that is moved away, or replaced by another one' => sub {
    my $t = limiter();
    my ($one, $two) = ($t->helper, $t->helper);
    is(ask($one), 'DUNNO') for 1 .. 2;
    is((run('cp', '-p', $t->{database}, "$t->{dir}/copy"))[0], 0);
    is(ask($one), 'DUNNO');
    link $t->{database}, "$t->{dir}/backup" or die $!;
    rename "$t->{dir}/copy", $t->{database} or die $!;
    RateTest::await_recheck();
    is(ask($one), 'DUNNO', 'the copy has room for one');
    like(ask($_), qr/Limit of 3/, 'and not more, whoever asks') for $two, $one;
    rename $t->{database}, "$t->{dir}/away" or die $!;
    RateTest::await_recheck();
    is(ask($one), 'DUNNO', 'a new file') for 1 .. 2;
    is(ask($two), 'DUNNO');
    like(ask($_), qr/Limit of 3/, 'that all share') for $one, $two;
    is_deeply([sort glob "$t->{database}*"], [$t->{database}], 'nothing beside it');
};

# A helper looks four times a second what the name stands for, not with each request.
subtest 'what happens under helpers that have been asked before' => sub {
    my $t = limiter();
    my @helpers = map { $t->helper } 1 .. 2;
    my $copy = "$t->{dir}/copy";
    for my $helper (@helpers) { ask($helper, 'warm') for 1 .. 4 }
    is(ask($helpers[0]), 'DUNNO');
    for my $times (1 .. 3) {
        is((run('cp', '-p', $t->{database}, $copy))[0], 0);
        is(ask($helpers[$times % 2]), 'DUNNO');
        rename $copy, $t->{database} or die $!;
        RateTest::await_recheck();
        is(ask($_, 'warm'), ask($t->helper, 'warm'), 'they see the older file, whatever was asked')
            for @helpers;
    }
    is(ask($_), 'DUNNO', 'which has room') for @helpers;
    like(ask($_), qr/Limit of 3/, 'and no more') for @helpers;
    is(($t->ctl('clean'))[0], 0);
    like(ask($_), qr/Limit of 3/, 'nor in the new file after clean') for @helpers;
    ask($_, 'warm') for (@helpers) x 2;
    chmod 0646, $t->{database} or die $!;
    RateTest::await_recheck();
    is(ask($_), 'WARN trouble', 'opened to others') for @helpers;
    chmod 0640, $t->{database} or die $!;
    like(ask($_), qr/Limit of 3/, 'and closed again') for (@helpers) x 3;
    unlink $t->{database} or die $!;
    RateTest::await_recheck();
    is(ask($_), 'DUNNO', 'a new one that they share') for @helpers, $helpers[0];
    like(ask($_), qr/Limit of 3/) for @helpers;
};

subtest 'another folder in place of the one with the file' => sub {
    my $t = limiter();
    mkdir "$t->{dir}/folder";
    $t->{database} = "$t->{dir}/folder/counters.tdb";
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble', log => 'denied'});
    my $helper = $t->helper;
    ask($helper) for 1 .. 4;
    rename "$t->{dir}/folder", "$t->{dir}/gone" or die $!;
    mkdir "$t->{dir}/folder" or die $!;
    my ($until, $answer) = (time + 10, '');
    $answer = ask($helper) while $answer ne 'DUNNO' && time < $until;
    is($answer, 'DUNNO', 'is found');
    ok(-s $t->{database}, 'has the new file');
};

# tdbbackup(8) makes files with TDB's older hash.
subtest 'a file that tdbbackup made' => sub {
    my $t = limiter();
    my $helper = $t->helper;
    ask($helper) for 1 .. 2;
    is((run('tdbbackup', $t->{database}))[0], 0);
    rename "$t->{database}.bak", $t->{database} or die $!;
    RateTest::await_recheck();
    is(ask($helper), 'DUNNO', 'goes on');
    like(ask($_), qr/Limit of 3/, 'with its counts') for ($helper, $t->helper) x 3;
    is(ask($helper, 'other'), 'DUNNO', 'and takes new keys') for 1 .. 3;
    like(ask($helper, 'other'), qr/Limit of 3/);
};

subtest 'a name that is a symbolic link' => sub {
    my $t = limiter(database_max_size => '300K');
    mkdir "$t->{dir}/real";
    symlink "$t->{dir}/real/counters.tdb", $t->{database} or die $!;
    my $real = $t->{database};
    $t->{database} = "$t->{dir}/real/counters.tdb";
    $t->configure(rules => $rules, global => {log => 'none'});
    is(ask($t->helper), 'DUNNO') for 1 .. 2;
    $t->{database} = $real;
    $t->configure(rules => $rules, global => {log => 'none', database_max_size => '300K'});
    my ($one, $two) = ($t->helper, $t->helper);
    is(ask($two), 'DUNNO', 'is followed');
    fill($one);
    ok(-l $real, 'a compaction leaves it');
    like(ask($_), qr/Limit of 3/, 'and what is counted') for $one, $two;
    is((run('cp', '-p', "$t->{dir}/real/counters.tdb", "$t->{dir}/other.tdb"))[0], 0);
    is((run('cp', '-p', $real, "$t->{dir}/real/copy"))[0], 0);
    for my $helper ($one, $two) {
        is(ask($helper, 'key1'), 'DUNNO', 'counted in one file');
        is((run('cp', '-p', "$t->{dir}/other.tdb", "$t->{dir}/real/copy"))[0], 0);
        rename "$t->{dir}/real/copy", "$t->{dir}/real/counters.tdb" or die $!;
        RateTest::await_recheck();
    }
    is(ask($_, 'key1'), 'DUNNO', 'and, when another one is where it leads to, in that')
        for $one, $two;
    like(ask($_, 'key1'), qr/Limit of 3/) for $one, $two;
    symlink "$t->{dir}/other.tdb", "$t->{dir}/link" or die $!;
    rename "$t->{dir}/link", $real or die $!;
    RateTest::await_recheck();
    is(ask($_, 'key1'), 'DUNNO', 'or when it leads to another one') for $one, $two;
    like(ask($_, 'key1'), qr/Limit of 3/) for $one, $two;
};

subtest 'helpers that start at once agree on one file' => sub {
    for (1 .. 30) {
        my $t = limiter();
        my @helpers = map { $t->helper } 1 .. 4;
        $_->write(RateTest::Helper::request(instance => 'i', sasl_username => 'u')) for @helpers;
        my @answers = map { $_->answer } @helpers;
        my $used = used($t);
        is_deeply([@answers, $used->{u}], [('DUNNO') x 4, 1],
            'a request sent to all four is charged once')
            or last;
    }
};

# Overwrites what a pattern finds in the file, in place.
sub damage {
    my ($t, $pattern, $replacement) = @_;
    my $bytes = slurp($t->{database});
    $bytes =~ /$pattern/ or die 'pattern not found';
    open my $fh, '+<', $t->{database} or die $!;
    seek $fh, $-[1], 0;
    print $fh $replacement;
    close $fh or die $!;
    return;
}

subtest 'damaged records' => sub {
    my $t = limiter();
    my $helper = $t->helper;
    ask($helper) for 1 .. 2;
    is(ask($helper, 'other'), 'DUNNO');
    damage($t, qr/r:u3 s12 r3 1h\|(t)\S+ d=0 +u=2 /, 'z');
    is_deeply(used($t), {u => 1, other => 1}, 'one slot: the state before the last charge');
    is(ask($helper), 'DUNNO') for 1 .. 2;
    is_deeply(used($t), {u => 3, other => 1}, 'goes on from there');
    damage($t, qr/r:u3 s12 r3 1h\|(t)\S+ d=0 +u=2 /, 'z');
    damage($t, qr/r:u3 s12 r3 1h\|.*?\|(t)\S+ d=0 +u=3 /, 'z');
    my ($status, undef, $errors) = $t->ctl('show');
    is($status, 69);
    like($errors, qr/the record of "r:u" is damaged/, 'both slots: show says so');
    is_deeply([$t->ctl('reset', 'u')], [0, "1 counter reset\n", ''], 'reset makes it new');
    is(ask($helper), 'DUNNO') for 1 .. 3;
    isnt(ask($helper), 'DUNNO');
    damage($t, qr/r:u3 s12 r3 1h\|(t...)/, 'zzzz');
    damage($t, qr/r:u3 s12 r3 1h\|.*?\|(t...)/, 'zzzz');
    is(ask($helper), 'DUNNO', 'the helper makes the file anew without it') for 1 .. 3;
    isnt(ask($helper), 'DUNNO', 'and counts');
    is(lines($t, 'the record of "r:u" is damaged: neither of its two slots has a good checksum: '
        . '1 records were saved into a new file, \d are damaged'), 1, 'said once');
    is(used($t)->{other}, 1, 'other keys keep their counts');
    is(scalar(my @aside = glob "$t->{database}.damaged-*"), 1, 'the damaged file is kept');
};

subtest 'a lock that is not given back' => sub {
    my $t = limiter(lock_timeout => '300ms');
    my $helper = $t->helper;
    is(ask($helper), 'DUNNO');
    pipe my $locked, my $tell or die $!;
    pipe my $release, my $let or die $!;
    my $pid = fork() // die $!;
    if ($pid == 0) {
        # Every chain of the file, as a process does that was stopped while it held them.
        close $let;
        my $lock = pack 's s l! l! i', F_WRLCK, SEEK_SET, 0, 0, 0;
        my $fh;
        sysopen($fh, $t->{database}, O_RDWR) && fcntl($fh, F_SETLKW, $lock) or POSIX::_exit(1);
        syswrite $tell, 'x';
        sysread $release, my $byte, 1;
        POSIX::_exit(0);
    }
    close $tell;
    close $release;
    sysread $locked, my $byte, 1;
    my $start = time;
    is(ask($helper), 'WARN trouble') for 1 .. 3;
    cmp_ok(time - $start, '<', 20, 'answers come in time');
    my $new = $t->helper;
    is(ask($new), 'WARN trouble', 'a process that starts now as well');
    is(lines($t, 'another process has kept its lock for 300 ms'), 2, 'said once by each');
    is(($t->ctl('reset', 'u'))[0], 69, 'ctl gives up too');
    close $let;
    waitpid $pid, 0;
    is(ask($helper), 'DUNNO', 'goes on when the lock is free') for 1 .. 2;
    isnt(ask($new), 'DUNNO', 'and nothing was charged meanwhile');
};

subtest 'database_max_size' => sub {
    my $t = limiter(database_max_size => '300K');
    $t->set_clock(1_700_000_000);
    my $helper = $t->helper;
    is(ask($helper, 'first'), 'DUNNO');
    my $n = fill($helper);
    cmp_ok($n, '>', 100, "$n keys went in");
    cmp_ok($n, '<', 1000, 'then there was no room');
    cmp_ok(-s $t->{database}, '<=', 300 * 1024, 'the file keeps within its size');
    is(ask($helper, 'late'), 'WARN trouble', 'a new key is answered on_error');
    is(ask($helper, 'first'), 'DUNNO', 'a known one goes on') for 1 .. 2;
    like(ask($helper, 'first'), qr/Limit of 3/, 'and is limited');
    is(lines($t, 'no room for a new counter'), 1, 'said once') or diag $t->log_text;
    $t->configure(rules => $rules . "[rule sender]\nkey = sender\nlimit = 100/hour\n",
        global => {on_error => 'WARN trouble', log => 'denied', database_max_size => '300K'});
    my $another = $t->helper;
    is(
        join(
            ' ',
            map { substr $another->ask(sasl_username => 'key1', sender => "new$_"), 0, 5 } 1 .. 4
        ),
        'WARN  WARN  DEFER DEFER', 'new keys of one rule do not switch off another one');
    $t->set_clock(1_700_000_000 + 3600 + 301);
    # Whichever of the two helpers compacts the file, the other one goes on meanwhile.
    my $answer = '';
    for (my $until = time + 10; time < $until && $answer ne 'DUNNO';) {
        $answer = ask($helper, 'late');
    }
    is($answer, 'DUNNO', 'the space comes back as keys expire');
    cmp_ok(-s $t->{database}, '<=', 300 * 1024);
};

subtest 'the file is compacted when it has doubled' => sub {
    my $t = limiter();
    $t->set_clock(1_700_000_000);
    my ($one, $two) = ($t->helper, $t->helper);
    ask($two, 'early') for 1 .. 2;
    my $inode = (stat $t->{database})[1];
    my @left = map {"$t->{database}.new-$_"} 1, "$inode", '1.scan';
    spew($_, 'left by a process that was killed') for @left;
    ask($one, "a$_") for 1 .. 2000;
    isnt((stat $t->{database})[1], $inode, 'a new file');
    is_deeply([glob "$t->{database}?*"], [], 'in its place');
    is((stat $t->{database})[2] & 07777, 0600, 'with its permissions');
    is(ask($two, 'early'), 'DUNNO', 'a running helper follows');
    isnt(ask($two, 'early'), 'DUNNO', 'to what is counted there');
    my $used = used($t);
    is(scalar keys %$used, 2001, 'no key is lost');
    is(scalar(grep { $used->{"a$_"} != 1 } 1 .. 2000), 0, 'no count either');
    my $size = -s $t->{database};
    for my $round (1 .. 5) {
        $t->set_clock(1_700_000_000 + $round * 8000);
        ask($one, "b$round.$_") for 1 .. 2000;
    }
    cmp_ok(-s $t->{database}, '<', 2.5 * $size, 'with expired keys it stops growing');
    is(scalar keys %{used($t)}, 2001, 'which are not shown, but for one with a denial');
    cmp_ok(-s $t->{database}, '<', 900 * 2 * 2000 + 300_000, 'nor kept');
    is($t->log_text, '' . join('', grep {/status=denied/} split /^/, $t->log_text),
        'without any trouble');
};

subtest 'a full disk' => sub {
    plan skip_all => 'needs root, to mount a small file system' if $> != 0;
    my $t    = limiter();
    my $disk = $t->mount('-t', 'tmpfs', '-o', 'size=400k', 'none')
        or plan skip_all => 'no tmpfs here';
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble', log => 'denied'});
    my $helper = $t->helper;
    is(ask($helper, 'first'), 'DUNNO');
    my $n = fill($helper);
    cmp_ok($n, '>', 100, "$n keys went in");
    is(ask($helper, 'late'), 'WARN trouble', 'a new key is answered on_error');
    like($t->log_text, qr/no room for a new counter: the disk is full\n/, 'the log says why');
    my ($status, $out, $err) = $t->ctl('explain', 'sasl_username=late');
    like($out, qr/^answer: WARN trouble$/m, 'explain has the same answer');
    like($err, qr/no room for a new counter: the disk is full\n/, 'and says why');
    like(($t->ctl('explain', 'sasl_username=first'))[1], qr/^answer: DUNNO$/m, 'and of a known');
    is(ask($helper, 'first'), 'DUNNO', 'a known one goes on') for 1 .. 2;
    like(ask($helper, 'first'), qr/Limit of 3/, 'and is limited');
    is_deeply([glob "$disk/*"], [$t->{database}], 'nothing half done stays behind');
    is((run('mount', '-o', 'remount,size=4m', $disk))[0], 0, 'there is room again');
    is(ask($helper, 'late'), 'DUNNO', 'goes on as soon as there is');
    is(scalar keys %{used($t)}, $n + 2, 'with every key');
};

subtest 'the record' => sub {
    my $t = RateTest->new(rules => <<'END');
[rule slide]
key = sasl_username
limit = 100/hour, 500/day
[rule fix]
key = sasl_username
strategy = fixed-window
limit = 100/day
[rule move]
key = sasl_username
strategy = moving-window
limit = 100/day
[rule octets]
key = sasl_username
count = bytes
limit = 1GiB/day
END
    my $helper = $t->helper;
    my %length;
    for my $n (1 .. 30) {
        $helper->ask(protocol_state => 'END-OF-MESSAGE', recipient_count => 1, size => 1000 * $n,
            instance => "i$n");
        my $records = $t->records;
        $length{$_}{length $records->{$_}} = 1 for keys %$records;
    }
    my $records = $t->records;
    is(scalar keys %$records, 5, 'a record a counter, and :meta');
    is(join(',', map { scalar keys %{$length{$_}} } sort keys %length), '1,1,1,1,1',
        'of a fixed length');
    is(scalar(grep { !/\A[ -~]+\z/ } values %$records), 0, 'printable');
    like($records->{'slide:user@example.com'}, qr/\A3 s12 r3 1h,1d\|/,
        'that says its version and layout');
    my %used = (slide => 'u=30 +u=30', fix => 'u=30', move => 'u=30', octets => 'u=465000');
    for my $rule (sort keys %used) {
        my @at = $records->{"$rule:user\@example.com"} =~ /\|t=(\d{10})\.\d{3} d=0 +$used{$rule} /;
        is(scalar @at, 1, "and in decimal what is used of $rule");
        cmp_ok(abs($at[0] - time), '<', 60, 'and when');
    }
};

done_testing;
