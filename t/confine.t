#!/usr/bin/perl
# What a confined helper can't do any more, and that it still does its work.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(build_dir run slurp spew);

my $rules = "[rule r]\nkey = sasl_username\nlimit = 3/hour\n";
my $build = build_dir();
my $makefile = slurp("$build/Makefile");
plan skip_all => 'a sanitizer needs other files and processes'
    if $makefile =~ /^CFLAGS = .*-fsanitize/m;

# What the build and the kernel support.
my $has_seccomp = $makefile =~ /-DHAVE_SECCOMP=1/ && -e '/proc/sys/kernel/seccomp';
my $landlock_create_ruleset = 444;    # everywhere but on alpha
my $landlock = syscall $landlock_create_ruleset, 0, 0, 1;
my $has_landlock = $makefile =~ /-DHAVE_LANDLOCK=1/ ? $landlock : -1;
note "seccomp: ", $has_seccomp ? 'yes' : 'no', "; version of Landlock: $has_landlock";

sub status {
    my ($pid) = @_;
    return {slurp("/proc/$pid/status") =~ /^(\w+):\s+(.*)$/mg};
}

subtest 'a running helper' => sub {
    my $t = RateTest->new(rules => $rules);
    my $helper = $t->helper;
    is($helper->ask, 'DUNNO', 'works');
    my $status = status($helper->{pid});
    is($status->{NoNewPrivs}, 1, 'gains no privileges');
    is((stat "/proc/$helper->{pid}/environ")[4], 0,
        "is closed to others of its account, and leaves no core");
    like(slurp("/proc/$helper->{pid}/limits"), qr/^Max core file size\s+0\s+0\s/m, 'nor may it');
    SKIP: {
        skip 'no seccomp here', 1 if !$has_seccomp;
        is($status->{Seccomp}, 2, 'is filtered by seccomp');
    }
};

subtest 'no core of a helper that does not run as root' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $nobody = getpwnam 'nobody';
    plan skip_all => 'there is no account nobody' if !defined $nobody;
    my $dir = tempdir(CLEANUP => 1);
    chmod 0755, $dir;
    is((run('cp', "$build/policyd-ratelimit", "$dir/helper"))[0], 0);
    spew("$dir/config", "[global]\nlog = none\n$rules");
    utime 0, 0, "$dir/config";
    for my $program ("$dir/helper", '/bin/cat') {
        pipe my $in, my $to or die $!;
        pipe my $from, my $out or die $!;
        my $pid = fork() // die $!;
        if ($pid == 0) {
            POSIX::dup2(fileno $in, 0);
            POSIX::dup2(fileno $out, 1);
            close $to;
            POSIX::setuid($nobody);
            exec $program, $program =~ /cat/ ? () : ('-c', "$dir/config") or POSIX::_exit(98);
        }
        close $out;
        # When it answers, it is confined.
        syswrite $to, RateTest::Helper::request();
        sysread $from, my $answer, 100;
        is((stat "/proc/$pid/environ")[4], $program =~ /cat/ ? $nobody : 0,
            $program =~ /cat/ ? 'any other process is open' : 'the helper is not');
        close $to;
        waitpid $pid, 0;
    }
};

# What t/confined tries, and in which of its modes that must fail.
my @needed = (
    'read the configuration', 'write a database', 'open it again', 'make it longer', 'map it',
    'lock it',
    'set its mode', 'set its times', 'look at its disk', 'sync it', 'rename it',
    'rename it to a free name', 'give it a second name',
    'look at it', 'remove it', 'write a log', 'get random bytes', 'set an alarm',
    'limit the size of files',
    'have more memory', 'syslog');
my %forbidden = (
    'read another file'         => ['files'],
    'read /etc/passwd'          => ['files'],
    'read through a link'       => ['files'],
    'list a folder'             => ['files'],
    'write another file'        => ['files'],
    'make another file'         => ['files'],
    'remove another file'       => ['files'],
    'write the configuration'   => ['files'],
    'replace the configuration' => ['files'],
    'read the log'              => ['files'],
    'make a folder'             => ['files', 'process'],
    'make a link'               => ['files', 'process'],
    'change owners'             => ['process'],
    'set a set-user-ID bit'     => ['process'],
    'set a set-group-ID bit'    => ['process'],
    'make a set-user-ID file'   => ['process'],
    'make one with other bits'  => ['process'],
    'name a process to signal'  => ['process'],
    'name one in another way'   => ['process'],
    'name one with other bits'  => ['process'],
    'choose the signal'         => ['process'],
    'internet'                  => ['process', $landlock >= 4 ? 'files' : ()],
    'IPv6'                      => ['process'],
    'netlink'                   => ['process'],
    'signal'                    => ['process', $landlock >= 6 ? 'files' : ()],
    'map code'                  => ['process'],
    'another process'           => ['process'],
    'fork'                      => ['process'],
    'execute'                   => ['files', 'process'],
);

# Runs t/confined; returns name => result of each try.
sub tries {
    my ($mode) = @_;
    my $dir = tempdir(CLEANUP => 1);
    mkdir "$dir/$_" or die $! for qw(config store store/data log other);
    spew("$dir/$_", 'x')
        for qw(config/file config/spare store/data/file log/file other/file other/victim);
    symlink '../other/file', "$dir/config/link" or die $!;
    my $internet = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
    my $local = IO::Socket::UNIX->new(Listen => 1, Local => "$dir/socket") or die $!;
    my ($status, $out) = run(
        "$build/t/confined", $mode, "$dir/config", "$dir/store/data", "$dir/log",
        "$dir/other", $internet->sockport, "$dir/socket");
    is($status, 0, "$mode: ends well");
    return {$out =~ /^(.*?): (.*)$/mg};
}

for my $mode (qw(none files process both)) {
    subtest "from inside, confined: $mode" => sub {
        plan skip_all => 'Landlock is missing' if $mode eq 'files' && $has_landlock < 1;
        plan skip_all => 'seccomp is missing' if $mode eq 'process' && !$has_seccomp;
        my %guards = (files => $has_landlock >= 1, process => $has_seccomp);
        my $did = tries($mode);
        is_deeply([grep { ($did->{$_} // 'not tried') ne 'yes' } @needed], [],
            'what is needed works')
            or diag explain $did;
        for my $what (sort keys %forbidden) {
            my $expected =
                grep({ $guards{$_} && ($mode eq 'both' || $mode eq $_) } @{$forbidden{$what}})
                ? 'no'
                : 'yes';
            my $got = $did->{$what} // 'not tried';
            is($got eq 'yes' || $got eq 'not tried' ? $got : 'no', $expected, "$what: $got");
        }
        is(scalar keys %$did, @needed + keys %forbidden, 'nothing else was tried');
    };
}

# Sends requests until the log has a line; false after ten seconds.
sub logs {
    my ($t, $helper, $line) = @_;
    my $end = time + 10;
    while ($t->log_text !~ $line) {
        return 0 if time > $end;
        $helper->ask(sasl_username => '');
        sleep 0.02;
    }
    return 1;
}

sub ask { my ($helper) = @_; return $helper->ask =~ /^DUNNO/ ? 'D' : 'R' }

subtest 'files that are moved and made again under a confined helper' => sub {
    my $t = RateTest->new;
    mkdir "$t->{dir}/$_" or die $! for qw(state log);
    $t->{database} = "$t->{dir}/state/counters.tdb";
    $t->{logfile}  = "$t->{dir}/log/limits";
    $t->configure(rules => $rules);
    my $helper = $t->helper;
    is(ask($helper), 'D');
    rename $t->{logfile}, "$t->{logfile}.1" or die $!;
    is(ask($helper), 'D');
    like($t->log_text, qr/used=2/, 'a log that was rotated');
    is((run('rm', '-r', "$t->{dir}/state"))[0], 0);
    RateTest::await_recheck();
    is(ask($helper), 'D', 'no folder: on_error');
    like($t->log_text, qr/its folder must exist/);
    mkdir "$t->{dir}/state" or die $!;
    is(join('', map { ask($helper) } 1 .. 4), 'DDDR', 'a folder that was removed and made again');
    ok(-e $t->{database}, 'has a new file');
    rename $t->{config}, "$t->{config}.old" or die $!;
    $t->configure(rules => $rules =~ s/3/4/r);
    is(join('', map { sleep 0.4; ask($helper) } 1 .. 3), 'DRR',
        'a new configuration under the same name');
};

subtest 'the last good configuration is kept in a folder of its own' => sub {
    my $t     = RateTest->new;
    my $state = tempdir(DIR => '/var/tmp', CLEANUP => 1);
    my $next  = tempdir(DIR => '/var/tmp', CLEANUP => 1);
    my $good  = "[rule r]\nkey = everything\nlimit = deny\naction = REJECT one\n";
    my %global = (state_directory => $state);
    $t->configure(rules => $good, global => \%global);
    my $helper = $t->helper;
    $helper->ask for 1, 2;
    like(join('', map { slurp($_) } glob "$state/*"), qr/REJECT one/, 'by a helper that starts');
    my $take_up = sub {
        my ($name) = @_;
        $t->configure(rules => $good =~ s/one/$name/r, global => \%global);
        my $end = time + 10;
        sleep 0.02 while $helper->ask ne "REJECT $name" && time < $end;
        is($helper->ask, "REJECT $name", "takes up $name");
    };
    $take_up->('two');
    like(join('', map { slurp($_) } glob "$state/*"), qr/REJECT two/, 'and by a confined one');
    $global{state_directory} = $next;
    $take_up->('three');
    is_deeply([glob "$next/*"], [], 'which can not reach another folder') if $has_landlock >= 1;
    unlike($t->log_text, qr/kept/, 'that needs no line in the log');
    $helper = $t->helper;
    $helper->ask for 1, 2;
    like(join('', map { slurp($_) } glob "$next/*"), qr/REJECT three/, 'one that starts can');
};

subtest 'a configuration behind a symbolic link that is changed' => sub {
    my $t = RateTest->new;
    # Outside the database's folder.
    my $dir = tempdir(DIR => '/var/tmp', CLEANUP => 1);
    mkdir "$dir/$_" or die $! for qw(releases releases/1 releases/2 etc);
    for my $n (1, 2) {
        $t->{config} = "$dir/releases/$n/conf";
        $t->configure(rules => "[rule r]\nkey = everything\nlimit = deny\naction = REJECT $n\n");
    }
    symlink "$dir/releases/1", "$dir/current" or die $!;
    symlink '../current/conf', "$dir/etc/conf" or die $!;
    $t->{config} = "$dir/etc/conf";
    my $helper = $t->helper;
    is($helper->ask, 'REJECT 1');
    symlink "$dir/releases/2", "$dir/next" or die $!;
    rename "$dir/next", "$dir/current" or die $!;
    my $end = time + 10;
    sleep 0.02 while $helper->ask eq 'REJECT 1' && time < $end;
    is($helper->ask, 'REJECT 2', 'is followed');
};

subtest 'a changed database or log_target' => sub {
    my $t = RateTest->new;
    my $elsewhere = tempdir(DIR => '/var/tmp', CLEANUP => 1);
    mkdir "$t->{dir}/state" or die $!;
    mkdir "$t->{dir}/state/more" or die $!;
    $t->{database} = "$t->{dir}/state/counters.tdb";
    $t->configure(rules => $rules);
    my $helper = $t->helper;
    is(join('', map { ask($helper) } 1 .. 3), 'DDD');
    for my $within ("$t->{dir}/state/other.tdb", "$t->{dir}/state/more/counters.tdb") {
        $t->configure(rules => "$rules# $within\n", global => {database => $within});
        sleep 0.7;
        ask($helper);
        sleep 0.4;
        is(join('', map { ask($helper) } 1 .. 3), 'DDR', "within its folder: followed");
    }
    my $old = "$t->{dir}/state/more/counters.tdb";
    my @moved = (database => "$elsewhere/counters.tdb", log_target => "file:$elsewhere/log");
    $t->configure(rules => $rules =~ s/3/5/r, global => {@moved});
    my $unreachable = qr{conf:[ ]database[ ]=[ ]$elsewhere/counters\.tdb[ ]and
        [ ]log_target[ ]=[ ]file:$elsewhere/log:[ ]this[ ]process[ ]can't[ ]reach}x;
    ok(logs($t, $helper, $unreachable), 'elsewhere: said') if $has_landlock >= 1;
    sleep 0.7;
    is(join('', map { ask($helper) } 1 .. 3), 'DDR', 'the new limit on the old counters')
        if $has_landlock >= 1;
    is($t->helper->ask, 'DUNNO', 'a new helper') for 1 .. 5;
    ok(-e "$elsewhere/$_", "uses the new $_") for qw(counters.tdb log);
    SKIP: {
        skip 'Landlock is missing', 2 if $has_landlock < 1;
        is(() = $t->log_text =~ /can't reach/g, 1, 'said once');
        $t->configure(rules => $rules =~ s/3/6/r, global => {database => $old});
        sleep 0.7;
        ask($helper);
        sleep 0.4;
        is(join('', map { ask($helper) } 1 .. 2), 'RR', 'and back again');
    }
};

subtest 'a helper that starts without a configuration' => sub {
    my $t = RateTest->new(rules => $rules);
    rename $t->{config}, "$t->{config}.away" or die $!;
    my $helper = $t->helper;
    is(ask($helper), 'D');
    rename "$t->{config}.away", $t->{config} or die $!;
    my $end = time + 10;
    sleep 0.02 while ask($helper) eq 'D' && time < $end;
    is(ask($helper), 'R', 'works as soon as there is one');
};

subtest 'syslog that starts, stops and starts again' => sub {
    plan skip_all => 'needs root' if $> != 0;
    plan skip_all => 'no mount namespaces here' if (run('unshare', '-m', 'true'))[0] != 0;
    my $t = RateTest->new(rules => $rules, global => {log_target => 'syslog'});
    my $dir = tempdir(CLEANUP => 1);
    # A /dev with a log socket of its own: an empty folder with two devices is mounted over it.
    spew("$dir/setup", <<'END');
mount -t tmpfs none "$1" && touch "$1/null" "$1/urandom" && mount --bind /dev/null "$1/null" &&
mount --bind /dev/urandom "$1/urandom" && ln -s "$1.log/socket" "$1/log" &&
mount --rbind "$1" /dev && shift && exec "$@"
END
    mkdir "$dir/dev" or die $!;
    mkdir "$dir/dev.log" or die $!;
    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die $!;
    my $pid = fork() // die $!;
    if ($pid == 0) {
        POSIX::dup2(fileno $theirs, $_) for 0 .. 1;
        exec 'unshare', '-m', 'sh', "$dir/setup", "$dir/dev", "$build/policyd-ratelimit", '-c',
            $t->{config}
            or POSIX::_exit(98);
    }
    close $theirs;
    my $helper = RateTest::Helper->new($pid, $ours);
    is(ask($helper), 'D', 'without one');
    for my $round (1, 2) {
        my $syslog = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$dir/dev.log/socket")
            or die $!;
        ask($helper);
        my $ready = '';
        vec($ready, fileno $syslog, 1) = 1;
        ok(select($ready, undef, undef, 5), "round $round: a line");
        recv $syslog, my $line, 8192, 0 if vec $ready, fileno $syslog, 1;
        like($line, qr/^<22>.*policyd-ratelimit\[\d+\]: NOQUEUE: .*status=/, 'of syslog');
        close $syslog;
        unlink "$dir/dev.log/socket" or die $!;
    }
};

subtest 'no variable of the environment changes what it does' => sub {
    my %library = map { $_ => 1 } (run('ldd', "$build/policyd-ratelimit"))[1] =~ m{=> (/\S+)}g;
    my %names = map { $_ => 1 }
        qw(HOME PATH TMPDIR USER LANG LANGUAGE LC_ALL LC_TIME LOCPATH NLSPATH
        POSIXLY_CORRECT TZDIR TDB_NO_FSYNC MAIL_CONFIG CONFIG DATABASE POLICYD_USER GCONV_PATH);
    # Everything that looks like a variable in the program and its libraries, except those of the
    # loader and of coverage.
    for my $file ("$build/policyd-ratelimit", keys %library) {
        my $bytes = slurp($file);
        $names{$1} = 1 while $bytes =~ /(?<![ -~])([A-Z][A-Z0-9_]{3,29})(?![ -~])/g;
    }
    delete @names{grep { /^(?:LD_|GLIBC_|GCOV_|TZ$)/ } keys %names};
    cmp_ok(scalar keys %names, '>', 20, 'names to try');
    my $decoy = tempdir(CLEANUP => 1);
    my %result;
    for my $run ('', "$decoy", '1') {
        my $t = RateTest->new(rules => $rules
                . "[rule day]\nkey = everything\nstrategy = fixed-window\nlimit = 5/year\n");
        # With POSIXLY_CORRECT, the option after the argument "x" would be ignored.
        my $helper = $t->helper(args => ['x', '-c', $t->{config}],
            env => {TZ => 'Asia/Kolkata', $run eq '' ? () : map { ($_ => $run) } keys %names});
        my @answers = map { $helper->ask(instance => "i$_") =~ s/in \d+m//r } 1 .. 7;
        is_deeply([$helper->finish], ['', 0]);
        my $log =
            $t->log_text =~ s/^\S{19}(\S+ policyd-ratelimit)\[\d+\]/$1/mgr =~ s/retry_after=\d+//gr;
        like($log, qr/^\+0530 /, 'but for TZ');
        $result{$run} = [\@answers, $log, [sort keys %{$t->records}], (stat $t->{database})[2]];
        is_deeply(
            [sort map { s{.*/}{}r =~ s/[.][0-9a-f]{16}[.]/./r } glob "$t->{dir}/*"],
            [qw(counters.tdb log policyd-ratelimit.conf policyd-ratelimit.conf.good)],
            'the same files');
    }
    is_deeply($result{$decoy}, $result{''}, 'each names a folder');
    is_deeply($result{1}, $result{''}, 'each is 1');
    is_deeply([glob "$decoy/*"], [], 'which stays empty');
};

done_testing;
