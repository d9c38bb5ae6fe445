#!/usr/bin/perl
# policyd-ratelimit-ctl check: silent where all is well; each fault is found, in one line,
# alone, and gone when the line that repairs it is followed. The real postconf on real folders.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use RateTest qw(run slurp spew source_dir build_dir);

$ENV{PATH} .= ':/usr/sbin:/sbin';
plan skip_all => 'needs postconf' if !grep { -x "$_/postconf" } split /:/, $ENV{PATH};
delete $ENV{MAIL_CONFIG};

# Root's helper runs as another account, which has to get at everything here.
my $user = $> == 0 ? 'nobody' : getpwuid $>;
my ($uid, $gid) = (getpwnam $user)[2, 3];
my $rules = "[rule users]\nkey = sasl_username, sender\nlimit = 10/hour\n";
my $bytes = "[rule volume]\nkey = sender\ncount = bytes\nlimit = 1GiB/day\n";
my $t     = RateTest->new;
my ($dir, $config) = ($t->{dir}, $t->{config});
my $folder   = "$dir/lib/policyd-ratelimit";
my $database = $t->{database} = "$folder/counters.tdb";
# Stands for the place that this build would be installed in.
my $elsewhere = "$dir/elsewhere/policyd-ratelimit";
my $helper   = "$dir/policyd-ratelimit";
chmod 0755, $dir;
mkdir "$dir/$_" for qw(lib elsewhere queue queue/pid queue/private queue/public);
spew($helper, "#!/bin/sh\n");
chmod 0755, $helper;

# All as it should be, but for what a test asks for.
sub configure {
    my (%args) = @_;
    $t->configure(global => {user => $user, database => $database, log => 'none',
        state_directory => $folder,
        %{$args{global} // {}}},
        rules => $args{rules} // $rules);
    chmod 0644, $config;
    run('rm', '-rf', $folder, $elsewhere);
    # Where the program is installed, nothing has to be made.
    if (grep { -d } glob "{/usr/local,}/var/lib/policyd-ratelimit") {
        mkdir $elsewhere or die $!;
        chown $uid, $gid, $elsewhere;
    }
    mkdir $folder or die $!;
    chmod 0750, $folder;
    chown $uid, $gid, $folder;
    return;
}

# Another folder that the account can use.
sub usable {
    mkdir "$dir/usable";
    chown $uid, $gid, "$dir/usable";
    return "$dir/usable";
}

my $spawn  = "policyd-ratelimit unix - n n - 0 spawn user=$user argv=$helper -c $config\n";
my $smtp   = "smtp inet n - y - - smtpd\n";
my $submit = "submission inet n - y - - smtpd\n    -o smtpd_sasl_auth_enable=yes\n"
    . "    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n";
my $ask    = 'check_policy_service { unix:private/policyd-ratelimit, timeout=10s, '
    . 'default_action=DUNNO }';
my $limit  = "policyd-ratelimit_time_limit = 3600\n";
my $data   = "smtpd_data_restrictions = $ask\n";
my $relay  = 'smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, '
    . "reject_unauth_destination\n";

# Postfix, and so postconf, waits for seconds if main.cf is new: it may be half written.
sub spew_old {
    my ($file, $text) = @_;
    spew($file, $text);
    # The fake Postfix below has read it.
    utime $^T - 60, $^T - 60, $file;
    return;
}

# A folder of Postfix's: main.cf, of which the first lines are always there, and master.cf.
sub postfix {
    my ($main, $master, $name) = @_;
    my $folder = "$dir/" . ($name // 'postfix');
    mkdir $folder;
    spew_old("$folder/main.cf", 
        "compatibility_level = 3.6\nsmtpd_sasl_auth_enable = no\n"
            . "queue_directory = $dir/queue\n$main");
    spew_old("$folder/master.cf", $master);
    return $folder;
}

sub check { return $t->ctl('check', map { ('-P', $_) } @_ ? @_ : "$dir/postfix") }

sub silent {
    my ($name, @folders) = @_;
    is_deeply([check(@folders)], [0, '', ''], $name);
    return;
}

# Does what a finding says.
sub repair {
    my ($line) = @_;
    my ($where, $rest) = $line =~ m{^(/[^:]*): (.*)$} or return;
    my ($service) = $rest =~ /^(\S+): /;
    my (undef, @repairs) = split /; (write|run): /, $rest;
    while (my ($how, $what) = splice @repairs, 0, 2) {
        # Where this build would be installed there may be none.
        $what =~ s{(?<= )(?:/usr/local)?/var/(?:lib|spool)/policyd-ratelimit}{$elsewhere}g;
        $what =~ s{(?:/usr/local)?/var/(?:lib|spool)/policyd-ratelimit/}{$elsewhere/}g;
        if ($how eq 'run') {
            # Nor is a Postfix started: t/postfix.t does that.
            next if $what =~ m{/usr/local|^postfix };
            local $ENV{PATH} = build_dir() . ":$ENV{PATH}";
            run('sh', '-c', $what);
        } else {
            write_line($where, $service, $what);
        }
    }
    return;
}

sub write_line {
    my ($where, $service, $write) = @_;
    my ($name) = $write =~ /^(\S+)/;
    my $is_global = $name =~ /^(?:database|state_directory|user$|log_target)/;
    my $file = $is_global ? $config : $where;
    my $text = slurp($file);
    $write =~ s/argv=(\S+)/'argv=' . (-x $1 ? $1 : $helper)/e;
    if ($write =~ /^-o /) {
        $text =~ s/^(\Q$service\E .*\n(?:\s.*\n)*)/$1    $write\n/m;
    } elsif ($file =~ /master\.cf$/) {
        $text =~ s/^\Q$name\E .*\n(?:\s.*\n)*//mg;
        $text .= "$write\n";
    } elsif ($is_global) {
        $text =~ s/^$name = .*\n//m;
        $text =~ s/^(\[global\]\n)/$1$write\n/m;
    } else {
        # The last one counts, but postconf would warn.
        $text =~ s/^\Q$name\E =.*\n(?:\s.*\n)*//mg;
        $text .= "$write\n";
    }
    spew_old($file, $text);
    return;
}

# One finding, that line; and silence once its advice was followed.
sub finds {
    my ($name, $pattern, @folders) = @_;
    my ($status, $out, $err) = check(@folders);
    is("$status$err", '1', "$name: status");
    like($out, qr/\A$pattern[^\n]*; (?:write|run): [^\n]+\n\z/, $name);
    repair($_) for split /\n/, $out;
    silent("$name: repaired", @folders);
    return;
}

# Stands in for a running Postfix: a process master with a child qmgr, and sockets on which each
# question gets an answer.
my $port;

sub fake_postfix {
    my @sockets = map {
        my $path = "$dir/queue/$_";
        IO::Socket::UNIX->new(Local => $path, Listen => 9) or die "$path: $!";
    } qw(private/policyd-ratelimit public/policyd-ratelimit private/other);
    push @sockets, IO::Socket::INET->new(Listen => 9, LocalAddr => '127.0.0.1') || die $!;
    $port = $sockets[-1]->sockport;
    pipe my $ready, my $tell or die $!;
    my $pid = fork // die $!;
    if ($pid == 0) {
        $0 = 'master';
        my $master = $$;
        my $qmgr = fork // POSIX::_exit(1);
        if ($qmgr == 0) {
            $0 = 'qmgr';
            $SIG{TERM} = 'DEFAULT';
            print {$tell} "ready\n";
            close $tell;
            sleep 1 while getppid == $master;
            POSIX::_exit(0);
        }
        $SIG{TERM} = sub { kill 'KILL', $qmgr; POSIX::_exit(0) };
        close $tell;
        my $select = IO::Select->new(@sockets);
        while (my @can = $select->can_read) {
            for my $socket (@can) {
                if (grep { $_ == $socket } @sockets) {
                    $select->add(scalar $socket->accept);
                } elsif (sysread $socket, my $question, 4096) {
                    spew("$dir/question", $question);
                    my $answer = -e "$dir/answer" ? slurp("$dir/answer") : "action=DUNNO\n\n";
                    syswrite $socket, $answer if length $answer;
                    $select->remove($socket) if !length $answer;
                    close $socket if !length $answer;
                } else {
                    $select->remove($socket);
                    close $socket;
                }
            }
        }
        POSIX::_exit(0);
    }
    close $tell;
    die "no fake Postfix\n" if !readline $ready;
    spew("$dir/queue/pid/master.pid", "$pid\n");
    return $pid;
}

my $fake = fake_postfix();
END { kill 'TERM', $fake if $fake }

subtest 'silent: master.cf.example' => sub {
    configure();
    my $text = slurp(source_dir() . '/master.cf.example');
    $text =~ s/user=policyd-ratelimit/user=$user/;
    $text =~ s{/usr/local/libexec/policyd-ratelimit$}{$helper -c $config}m;
    my ($entry) = $text =~ /^(policyd-ratelimit unix .*\n(?: .*\n)*)/m;
    my ($time, @variant) = map {s/^#//mgr} grep {/\A#(?:[a-z]|    -o )/} split /^#\n/m, $text;
    is(scalar @variant, 7, 'samples in it') or diag explain \@variant;
    my ($a, $b, $c, $list, $submission, $braces, $recipients) = @variant;
    $_ =~ s/^# .*\n//mg for @variant;
    $recipients =~ s/^[^ ].*\n//mg;
    for my $services ('', $smtp) {
        postfix($time . $a, $entry . $services);
        silent('A');
        postfix($time . $b, $entry . $services);
        silent('B');
        postfix($time . $c, $entry . $services);
        silent('C');
        postfix($time . $a . $c, $entry . $services);
        silent('A and C');
        postfix($time . $list, $entry . $services . $submission);
        silent('submission with a list of main.cf');
        (my $other = $submission) =~ s/^    -o smtpd_data_restrictions=.*\n/$braces/m or die;
        postfix($time, $entry . $services . $other);
        silent('submission with braces');
        $other =~ s/^    -o (?:smtpd_re|\{).*\n(?:         .*\n)?//mg;
        postfix($time, $entry . $services . $other . $recipients);
        silent('submission with B');
    }
    configure(rules => $rules . $bytes);
    postfix($time . $a . $c, $entry . $smtp);
    silent('C, with a rule that counts bytes');
};

subtest 'silent: other good set-ups' => sub {
    configure();
    my %good = (
        'as it is here'       => [$limit . $data, $spawn . $smtp . $submit],
        'a class'             => ["${limit}smtpd_restriction_classes = c\nc = $ask\n"
            . "smtpd_data_restrictions = c\n", $spawn . $smtp],
        'a class of a table'  => ["${limit}smtpd_restriction_classes = c\nc = $ask\n"
            . "smtpd_sender_restrictions = check_sasl_access static:c\n", $spawn . $smtp . $submit],
        'permit behind it'    => ["${limit}smtpd_data_restrictions = $ask, permit\n",
            $spawn . $smtp],
        'a content filter'    => ["${limit}${data}smtpd_sasl_auth_enable = yes\n",
            "$spawn$smtp" . "127.0.0.1:10025 inet n - n - - smtpd -o smtpd_data_restrictions=\n"],
        'an absolute path'    => [$limit . ($data =~ s/unix:/unix:$dir\/queue\//r), $spawn . $smtp],
        'an action for all'   => ["${limit}smtpd_policy_service_default_action = DUNNO\n"
            . "smtpd_policy_service_timeout = 20\n"
            . "smtpd_data_restrictions = check_policy_service unix:private/policyd-ratelimit\n",
            $spawn . $smtp],
        'a port'              => ["127.0.0.1:${port}_time_limit = 1h\nsmtpd_data_restrictions = "
            . ($ask =~ s/unix:\S+,/inet:localhost:$port,/r) . "\n",
            ($spawn =~ s/^\S+ unix/127.0.0.1:$port inet/r) . $smtp],
        'a public socket'     => [$limit . ($data =~ s/private/public/r),
            ($spawn =~ s/unix -/unix n/r) . $smtp],
        'time in hours'       => ["policyd-ratelimit_time_limit = 1h\n$data", $spawn . $smtp],
        'a group'             => [$limit . $data, ($spawn =~ s/(user=\S+)/$1:nogroup/r) . $smtp],
        'reject, then a list' => [$limit
            . "smtpd_client_restrictions = permit_sasl_authenticated, reject\n"
            . "smtpd_sender_restrictions = $ask\n", $spawn . $smtp],
        'a list that an -o fills' => ["${limit}smtpd_data_restrictions = \$mua\nmua =\n",
            $spawn . $smtp . "$submit    -o { mua = $ask }\n"],
        'two limiters'        => ["$limit$data" . "other_time_limit = 1h\n", $spawn . $smtp
            . "other unix - n n - 0 spawn user=$user argv=$helper -c $dir/other.conf\n"
            . "$submit    -o { smtpd_data_restrictions = "
            . "check_policy_service {unix:private/other, timeout=9} }\n"],
        'an action with blanks' => ["${limit}smtpd_data_restrictions = check_policy_service "
            . "{ unix:private/policyd-ratelimit, { default_action = 451 4.3.5 later }, "
            . "timeout=10s, policy_context=a }\n", $spawn . $smtp],
    );
    for my $name (sort keys %good) {
        postfix(@{$good{$name}});
        silent($name);
    }
};

subtest 'the service' => sub {
    configure();
    my $master = "$dir/postfix/master.cf: policyd-ratelimit:";
    my @cases  = (
        ['no service',   "$dir/postfix/master.cf: no service runs the helper", sub {''}],
        ['another user', "$master user=somebody is not the user", sub {s/user=\S+/user=somebody/r}],
        ['longer user',  "$master user=${user}x is not the user", sub {s/user=\S+/user=${user}x/r}],
        ['no user',      "$master it has no user=", sub {s/user=\S+ //r}],
        ['chroot',       "$master chroot is y", sub {s/n n - 0/n y - 0/r}],
        ['unpriv',       "$master unpriv is y", sub {s/- n n/- - n/r}],
        ['maxproc',      "$master maxproc is 100, not 0", sub {s/- 0 spawn/- - spawn/r}],
        ['maxproc 5',    "$master maxproc is 5, not 0", sub {s/- 0 spawn/- 5 spawn/r}],
        ['another configuration', "$master the helper can't read /other: No such file",
            sub {s/-c \S+/-c \/other/r}],
        ['and in one word',       "$master the helper can't read /other: No such",
            sub {s/-c \S+/-c\/other/r}],
        ['and with a long name',  "$master the helper can't read /other: No such",
            sub {s/-c \S+/--config=\/other/r}],
        ['an unknown argument', "$master the argument --debug is unknown: the helper ignores it",
            sub {s/-c/--debug -c/r}],
        ['none',                  "$master the helper can't read /\\S+: No such",
            sub {s/ -c \S+//r}],
    );
    for my $case (@cases) {
        my ($name, $pattern, $change) = @$case;
        my ($broken) = map { $change->($_) } $spawn;
        postfix($limit . $data, $broken . $smtp);
        finds($name, $pattern);
    }
    my $new = "$dir/new.conf";
    spew($new, slurp($config));
    chmod 0644, $new;
    postfix($limit . $data, $spawn . $smtp);
    is_deeply([run(build_dir() . '/policyd-ratelimit-ctl', '-c', $new, 'check', '-P',
        "$dir/postfix")], [0, '', ''], 'a new file, which no service uses yet');
    postfix($data, $spawn . $smtp);
    finds('time limit', "$dir/postfix/main.cf: policyd-ratelimit_time_limit is 1000s");
    postfix("policyd-ratelimit_time_limit = 1h\nsmtpd_policy_service_max_ttl = 2h\n$data",
        $spawn . $smtp);
    finds('time limit in hours',
        "$dir/postfix/main.cf: policyd-ratelimit_time_limit is 1h, .*\\(7200s\\)");
    postfix("compatibility_level = 0\n"
            . "smtpd_relay_restrictions = reject_unauth_destination\n$limit$data",
        ($spawn =~ s/n n - 0/n - - 0/r) . $smtp);
    finds('chroot by default', "$master chroot is y");

    postfix($limit . $data, ($spawn =~ s/argv=\S+/argv=$dir\/no\/policyd-ratelimit/r) . $smtp);
    my ($status, $out) = check();
    like("$status $out",
        qr{\A1 $master $dir/no/policyd-ratelimit can't be run: No such.*; write: policyd-\N+\n\z},
        'no such program');
    postfix("mail_owner = $user\n$limit$data", $spawn . $smtp);
    ($status, $out) = check();
    like("$status $out", qr{\A1 $config: user = $user is mail_owner\N+; write: user = \S+\n\z},
        'the owner of mail');
};

subtest 'the lists' => sub {
    configure();
    my ($main, $master) = map {"$dir/postfix/$_"} qw(main.cf master.cf);
    my $plain = 'check_policy_service unix:private/policyd-ratelimit';
    my $early = 'comes before reject_unauth_destination';
    my @cases = (
        ['no check', "$main: no list has check_policy_service", '', $smtp],
        ['no check, other restrictions', "$main: no list has check_policy_service",
            "smtpd_data_restrictions = reject_unauth_pipelining, permit\n", $smtp],
        ['behind permit_mynetworks',
            "$main: smtpd_data_restrictions: \\S+ comes after permit_mynetworks:",
            "smtpd_data_restrictions = permit_mynetworks, $ask\n", $smtp],
        ['behind permit_sasl_authenticated',
            "$main: smtpd_data_restrictions: \\S+ comes after permit_sasl_authenticated:",
            "smtpd_data_restrictions = permit_sasl_authenticated, $ask\n", $smtp],
        ['behind both',
            "$main: smtpd_recipient_restrictions: \\S+ comes after permit_mynetworks, "
                . 'permit_sasl_authenticated:',
            'smtpd_recipient_restrictions = permit_mynetworks permit_sasl_authenticated '
                . "reject_unauth_destination $ask\n", $smtp],
        ['behind permit', "$main: smtpd_end_of_data_restrictions: \\S+ comes after permit:",
            "smtpd_end_of_data_restrictions = reject_rbl_client b.example, permit, $ask\n", $smtp],
        ['behind another permit',
            "$main: smtpd_data_restrictions: \\S+ comes after permit_tls_clientcerts:",
            "smtpd_data_restrictions = permit_tls_clientcerts, $ask\n", $smtp],
        ['behind reject', "$main: smtpd_data_restrictions: \\S+ comes after reject:",
            "smtpd_data_restrictions = warn_if_reject reject, reject, $ask\n", $smtp],
        ['behind a permit in a class',
            "$main: smtpd_data_restrictions: \\S+ comes after permit_mynetworks:",
            "smtpd_restriction_classes = c\nc = permit_mynetworks\n"
                . "smtpd_data_restrictions = c, $ask\n", $smtp],
        ['behind permit in a list of master.cf',
            "$master: submission: smtpd_data_restrictions: \\S+ comes after permit_sasl",
            '', "$smtp$submit    -o "
                . "{ smtpd_data_restrictions = permit_sasl_authenticated, $ask }\n"],
        ['in the client list', "$main: smtpd_client_restrictions: \\S+ $early",
            "smtpd_client_restrictions = $ask\n", $smtp],
        ['in the sender list', "$main: smtpd_sender_restrictions: \\S+ $early",
            "smtpd_sender_restrictions = reject_non_fqdn_sender, $ask\n", $smtp],
        ['in the relay list', "$main: smtpd_relay_restrictions: \\S+ $early",
            "smtpd_relay_restrictions = $ask, permit_mynetworks, reject_unauth_destination\n",
            $smtp],
        ['before the relay list', "$main: smtpd_recipient_restrictions: \\S+ $early",
            "smtpd_relay_before_recipient_restrictions = no\n$relay"
                . "smtpd_recipient_restrictions = $ask\n", $smtp],
        ['no relay list', "$main: smtpd_recipient_restrictions: \\S+ $early",
            "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = $ask, "
                . "permit_mynetworks, reject_unauth_destination\n", $smtp],
        ['too early to count',
            "$main: smtpd_sender_restrictions: \\S+ with smtpd_delay_reject = no",
            "smtpd_delay_reject = no\n"
                . "smtpd_sender_restrictions = reject_unauth_destination, $ask\n", $smtp],
        ['no default_action',
            "$main: smtpd_data_restrictions: check_policy_service without default_action",
            "smtpd_data_restrictions = $plain, permit\n", $smtp],
        ['no default_action in braces',
            "$main: smtpd_data_restrictions: check_policy_service without default_action",
            'smtpd_data_restrictions = check_policy_service '
                . "{ unix:private/policyd-ratelimit, timeout=10s }\n", $smtp],
        ['no timeout',
            "$main: smtpd_data_restrictions: check_policy_service without timeout: each message "
                . 'waits for 60 to 200 s',
            "smtpd_data_restrictions = $plain\nsmtpd_policy_service_default_action = DUNNO\n",
            $smtp],
        ['no timeout in braces',
            "$main: smtpd_data_restrictions: check_policy_service without timeout",
            'smtpd_data_restrictions = check_policy_service { unix:private/policyd-ratelimit, '
                . "default_action=DUNNO, policy_context = timeout }\n", $smtp],
        ['no closing brace', "$main: smtpd_data_restrictions: missing \\}: smtpd ends",
            'smtpd_data_restrictions = check_policy_service { unix:private/policyd-ratelimit, '
                . "timeout=10s, default_action=DUNNO\n", $smtp],
        ['no closing brace, and more', "$main: smtpd_data_restrictions: missing \\}: smtpd ends",
            'smtpd_data_restrictions = check_policy_service { unix:private/policyd-ratelimit, '
                . "timeout=10s, reject_rbl_client b.example, permit\n", $smtp],
        ['no opening brace', "$main: smtpd_data_restrictions: missing \\{: smtpd does not know",
            'smtpd_data_restrictions = check_policy_service unix:private/policyd-ratelimit, '
                . "timeout=9s, default_action=DUNNO }, permit\n", $smtp],
        ['a relay list that only permits', "$main: smtpd_recipient_restrictions: \\S+ $early",
            "smtpd_relay_restrictions = check_client_access hash:/etc/clients, permit\n"
                . "smtpd_recipient_restrictions = $ask\n", $smtp],
        ['behind warn_if_reject',
            "$main: smtpd_data_restrictions: check_policy_service comes after warn_if_reject:",
            "smtpd_data_restrictions = reject_unauth_pipelining, warn_if_reject $ask\n", $smtp],
        ['a wrong name',
            "$main: smtpd_data_restrictions: it asks unix:private/ratelimit, but the service is "
                . 'unix:private/policyd',
            'smtpd_data_restrictions = check_policy_service '
                . "{ unix:private/ratelimit, timeout=9, default_action=DUNNO }\n", $smtp],
        ['a public socket',
            "$main: smtpd_data_restrictions: it asks unix:public/policyd-ratelimit, but",
            'smtpd_data_restrictions = check_policy_service '
                . "{ unix:public/policyd-ratelimit, timeout=9, default_action=DUNNO }\n", $smtp],
        ['replaced by an -o',
            "$master: submission: its own smtpd_data_restrictions has no check_policy_service",
            $data, "$smtp$submit    -o smtpd_data_restrictions=\n"],
        ['replaced by all',
            "$master: smtp: its own smtpd_data_restrictions has no check_policy_service",
            $data, $smtp =~ s/$/ -o smtpd_data_restrictions=permit/r],
        ['the stock -o of a submission entry',
            "$master: submission: its own smtpd_recipient_restrictions has no",
            "smtpd_recipient_restrictions = $ask\n",
            "$smtp$submit    -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n"],
        ['another service with logins', "$master: submissions: users can log in, and no list",
            '', "$smtp$submit    -o { smtpd_data_restrictions = $ask }\n"
                . $submit =~ s/submission/submissions/r],
    );
    for my $case (@cases) {
        my ($name, $pattern, $lists, $services) = @$case;
        postfix($limit . $lists, $spawn . $services);
        finds($name, $pattern);
    }
    # Lines about one list are the same, so that following one does not undo another.
    for my $broken (
        ["smtpd_sender_restrictions = permit_mynetworks, $plain\n", 3],
        ["smtpd_relay_restrictions = reject_unauth_destination\n"
            . "smtpd_recipient_restrictions = permit_mynetworks, warn_if_reject $plain\n", 3],
        ["smtpd_data_restrictions = warn_if_reject $plain, permit, $ask\n", 3],
        ["smtpd_client_restrictions = permit_mynetworks, $ask\nsmtpd_delay_reject = no\n", 2],
    ) {
        my ($text, $faults) = @$broken;
        for my $n (0 .. $faults - 1) {
            postfix($limit . $text, $spawn . $smtp);
            my @lines = split /\n/, (check())[1];
            is(scalar @lines, $faults, 'faults of one list') or diag explain \@lines;
            my %repair = map { s/.*?(?=; write: )//r => 1 } @lines;
            is(scalar keys %repair, 1, 'one repair for all') or diag explain \%repair;
            repair($lines[$n]);
            silent("following line $n alone: " . $text =~ s/\n.*//rs);
        }
    }
    postfix("${limit}smtpd_data_restrictions = permit_mynetworks, $plain\n", $spawn . $smtp);
    my (undef, $two) = check();
    is(() = $two =~ /^\Q$main\E: smtpd_data_restrictions: /mg, 2, 'two faults of one check');
    repair($_) for split /\n/, $two;
    silent('two faults of one check: repaired');
    for my $rule (
        ['match = protocol_state = RCPT', 'recipient', 'its match on protocol_state, counts'],
        ['match = protocol_state != DATA', 'recipient', 'its match on protocol_state, counts'],
        ['match = protocol_state = END-OF-MESSAGE', 'end_of_data', 'its match on'],
        ['match = recipient = @example.net', 'recipient', 'the recipient, misses messages to'],
        ['key = recipient_domain', 'recipient', 'the recipient, misses messages to'],
    ) {
        my ($option, $list, $loss) = @$rule;
        my $key = $option =~ /^key/ ? '' : "key = sender\n";
        configure(rules => "[rule late]\n$key$option\nlimit = 10/hour\n");
        postfix($limit . $data, $spawn . $smtp);
        finds("$option: asked at DATA alone",
            "$main: smtpd_${list}_restrictions: no check_policy_service: rule late, $loss");
    }
    configure(rules => "[rule logins]\nkey = sasl_username\nlimit = 10/hour\n");
    postfix($limit . $data, $spawn . $smtp);
    finds('no logins', "$main: smtpd_sasl_auth_enable is no everywhere: rule logins needs a login");
    postfix($limit . $data, $spawn . $smtp . $submit =~ s/.*sasl_auth_enable.*\n//mr);
    finds('no logins at the submission service',
        "$master: submission: smtpd_sasl_auth_enable is no everywhere");
    configure(rules => "$rules\nmatch = sasl_username = *\n");
    postfix($limit . $data, $spawn . $smtp);
    finds('a match on logins', "$main: smtpd_sasl_auth_enable is no everywhere: rule users");
    configure(rules => "$rules\nmatch = sasl_username =\n");
    silent('a match on strangers');
    configure(rules => "[rule logins]\nkey = sasl_username\nlimit = 10/hour\n");
    postfix("smtpd_authorized_xclient_hosts = 127.0.0.1\n$limit$data", $spawn . $smtp);
    silent('logins at a proxy');
    configure(rules => $rules . $bytes);
    postfix($limit . $data, $spawn . $smtp);
    finds('bytes are never counted',
        "$main: smtpd_end_of_data_restrictions: no check_policy_service: rule volume,");
    postfix($limit . $data . ($data =~ s/data/end_of_data/r),
        "$spawn$smtp$submit    -o smtpd_end_of_data_restrictions=\n");
    finds('nor where users are',
        "$master: submission: smtpd_end_of_data_restrictions: no check_policy_service");
};

subtest 'the running Postfix' => sub {
    configure();
    my ($main, $master) = map {"$dir/postfix/$_"} qw(main.cf master.cf);
    postfix($limit . $data, $spawn . $smtp);
    silent('all is well');
    like(slurp("$dir/question"), qr/^protocol_state=VRFY$/m, 'a question that costs nothing');
    utime time + 60, time + 60, $master;
    my ($status, $out, $err) = check();
    is("$status$err$out", "1$master: changed since Postfix has read it: the old settings hold; "
        . "run: postfix -c $dir/postfix reload\n", 'not reloaded');
    utime $^T - 60, $^T - 60, $master;
    utime time + 60, time + 60, $main;
    like((check())[1], qr/\A$main: changed since Postfix has read it:\N+\n\z/, 'main.cf too');
    utime $^T - 60, $^T - 60, $main;

    my $pid = slurp("$dir/queue/pid/master.pid");
    my $stopped = "$main: Postfix is stopped: no mail is accepted; "
        . "run: postfix -c $dir/postfix start\n";
    unlink "$dir/queue/pid/master.pid";
    is((check())[1], $stopped, 'stopped');
    spew("$dir/queue/pid/master.pid", "$$\n");
    is((check())[1], $stopped, 'another process has its ID');
    spew("$dir/queue/pid/master.pid", $pid);
    silent('running again');

    rename "$dir/queue/private/policyd-ratelimit", "$dir/queue/away";
    like((check())[1], qr{\A$master:[ ]policyd-ratelimit:[ ]Postfix[ ]does[ ]not[ ]listen[ ]on
        [ ]\S+:[ ]\N+;[ ]run:[ ]postfix[ ]-c[ ]$dir/postfix[ ]reload\n\z}x,
        'an entry that it has not taken up');
    rename "$dir/queue/away", "$dir/queue/private/policyd-ratelimit";
    my $asked = "$master: policyd-ratelimit: asked through its socket,";
    for my $case (['', 'it closes the connection'], ["what?\n\n", 'what it answers is not'],
        ["action=451 4.3.5 no\n\n", 'it answers 451 4.3.5 no and not success_action']) {
        my ($answer, $fault) = @$case;
        spew("$dir/answer", $answer);
        like((check())[1], qr/\A\Q$asked $fault\E\N+; run: \N+\n\z/, $fault);
    }
    unlink "$dir/answer";
    silent('answers again');
    postfix("127.0.0.1:1_time_limit = 1h\nsmtpd_data_restrictions = "
        . ($ask =~ s/unix:\S+,/inet:127.0.0.1:1,/r) . "\n",
        ($spawn =~ s/^\S+ unix/127.0.0.1:1 inet/r) . $smtp);
    like((check())[1], qr/\A$master: 127.0.0.1:1: Postfix does not listen on inet:\N+\n\z/, 'port');
};

subtest 'instances' => sub {
    configure();
    my $one = postfix($limit . $data, $spawn . $smtp, 'one');
    my $two = postfix($limit . $data, $spawn . $smtp, 'two');
    silent('two that are well', $one, $two);
    postfix($limit . $data, ($spawn =~ s/- 0 spawn/- 7 spawn/r) . $smtp, 'two');
    finds('one of two', "$two/master.cf: policyd-ratelimit: maxproc is 7", $one, $two);
    postfix($limit, $smtp, 'two');
    my ($status, $out) = check($one, $two);
    is($status, 1);
    is(() = $out =~ m{^$two/}mg, 2, 'one that does nothing, if it is named') or diag $out;

    local $ENV{MAIL_CONFIG} = $one;
    postfix("multi_instance_directories = $two\n$limit$data", $spawn . $smtp, 'one');
    is_deeply([$t->ctl('check')], [0, '', ''],
        'the default, and one that it names and that only passes mail on');
    postfix($limit, $smtp . $submit, 'two');
    ($status, $out) = $t->ctl('check');
    is(() = $out =~ m{^$two/}mg, 2, 'one where users log in') or diag $out;

    my @none = $t->ctl('check', '-P', "$dir/none");
    is("$none[0]$none[2]", '1');
    like($none[1],
        qr{\A$dir/none:[ ]postconf:[ ]fatal:[ ]\N*$dir/none/main\.cf:[ ]No[ ]such[ ]file\N*:
            [ ]Postfix's[ ]settings[ ]were[ ]not[ ]checked;[ ]run:[ ]\N+\n\z}x,
        'no such folder');
    postfix($limit . $data, "no entry\n", 'odd');
    like(($t->ctl('check', '-P', "$dir/odd"))[1],
        qr{\A$dir/odd: postconf: fatal: \N*; run: \N+\n\z}, 'no such master.cf');
};

# Stands in for postconf.
sub fake_postconf {
    my ($text) = @_;
    mkdir "$dir/bin";
    chmod 0755, "$dir/bin";
    spew("$dir/bin/postconf", $text);
    chmod 0755, "$dir/bin/postconf";
    return "$dir/bin";
}

subtest 'postconf' => sub {
    configure();
    local $ENV{PATH} = '/nonexistent';
    if (-x '/usr/sbin/postconf') {
        postfix($limit . $data, $spawn . $smtp);
        silent('found where PATH lacks it');
    }
    for my $odd ('', 'x', ' =', '= =', "a b c d e f g smtpd {{{", "a/b/c = }}",
        "smtp inet - - - - - smtpd -o",
        "policyd-ratelimit unix - - - - - spawn argv=",
        "x unix n n n n n spawn argv=/policyd-ratelimit -c {",
        "smtpd_data_restrictions = check_policy_service",
        "smtpd_data_restrictions = check_policy_service {\n",
        "smtpd_restriction_classes = a b\na = a b\nb = a a a a b b b b\n"
            . 'smtpd_data_restrictions = a b a b a b',
        "smtpd_data_restrictions = " . 'permit ' x 9999,
        "\xff\xfe = \x01\nsmtpd_data_restrictions = {\xff\x1b") {
        local $ENV{PATH} = fake_postconf("#!/bin/sh\n/bin/cat <<'END'\n$odd\nEND\n") . ':/bin';
        my ($status, $out, $err) = check();
        is("$status$err", '1', 'odd output: ' . substr $odd =~ s/[^ -~]/?/gr, 0, 50) or diag $out;
        unlike($out, qr/[^ -~\n]/, 'is made printable');
    }
    local $ENV{PATH} = fake_postconf("#!/bin/sh\necho warning >&2\necho 'fatal: no' >&2\nexit 3\n");
    like((check())[1], qr{\A$dir/postfix: fatal: no: Postfix's settings were},
        'the last of its messages');
};

subtest 'configuration' => sub {
    configure(rules => '');
    postfix($limit . $data, $spawn . $smtp . $submit);
    finds('no rule', "$config: there is no rule");
    configure();
    chmod 0666, $config;
    my ($status, $out, $err) = check();
    is("$status$out", '78', 'everybody may write');
    like($err, qr{\A$config: not used, because others may write it; run: chmod go-w $config\n\z},
        'is said once');
    chmod 0664, $config;
    ($status, $out, $err) = check();
    is("$status$out$err",
        "78$config: not used, because its group may write it; run: chmod go-w $config\n",
        'nor may its group');
    configure(rules => "[rule x]\nkey = nonsense\nlimit = 1/hour\n");
    ($status, $out, $err) = check();
    is("$status$out", '78', 'bad: the status says so, and that is all');
    like($err, qr{\A$config:\d+: \N*nonsense\N*\n\z}, 'its errors are printed');
    postfix($limit . $data, ($spawn =~ s/- 0 spawn/- 7 spawn/r) . $smtp);
    ($status, $out) = check();
    is($status, 78);
    like($out, qr/\A\N+maxproc is 7\N+\n\z/, 'and what can be checked is');
    postfix($limit . $data, $spawn . $smtp);
    configure(global => {user => 'no-such-user'});
    like((check())[1],
        qr/^$config: there is no account "no-such-user": \N+; run: useradd \N+ no-such-user$/m,
        'no account');
SKIP: {
        skip 'needs root', 2 if $> != 0;
        configure();
        chmod 0600, $config;
        finds('the helper cannot read it', "$config: nobody can't read it");
    }
    configure();
    is(($t->ctl('check', @$_))[0], 64, "usage: @$_") for ['x'], ['-x'], ['-P'];
    unlike(($t->ctl('check', '-x'))[2], qr/usage.*usage/s);
};

# A counter file with two counters, of the account's.
sub database {
    configure(@_);
    my $maker = $t->helper;
    $maker->ask(sasl_username => $_) for 'ann@example.com', 'bob@example.com';
    $maker->finish;
    chown $uid, $gid, $database;
    return;
}

sub damage {
    my ($key, $change) = @_;
    my $bytes = slurp($database);
    my $at    = index $bytes, $key;
    die "$key is not there" if $at < 0;
    my $record = substr $bytes, $at + length $key, 1000;
    $change->() for $record;
    substr($bytes, $at + length $key, 1000) = $record;
    spew($database, $bytes);
    return;
}

subtest 'database' => sub {
    postfix($limit . $data, $spawn . $smtp);
    database();
    silent('a counter file');
    configure();
    rmdir $folder;
    finds('no folder', "$folder: the folder of the counter file is missing");
    symlink "$dir/nowhere", "$dir/dangling";
    configure(global => {database => "$dir/dangling/counters.tdb"});
    finds('a link to no folder', "$dir/dangling: the folder of the counter file is missing");
    configure(global => {database => "$helper/sub/counters.tdb"});
    finds('a folder below a file', "$helper/sub: the folder of the counter file can't be reached");
    configure();
    chmod 0777, $folder;
    finds('everybody may write to the folder', "$folder: mode is 0777");
    configure();
    chmod 0550, $folder;
    finds('the account may not', "$folder: $user can't write to the folder") if $> == 0;
    my $state = "$dir/state/policyd-ratelimit";
    mkdir "$dir/state";
    configure(global => {state_directory => $state});
    finds('no state_directory', "$state: $user can't keep the last good configuration there");
    chown 0, 0, $state;
    finds("a state_directory of root's", "$state: $user can't keep") if $> == 0;
    configure(global => {state_directory => $dir});
    finds('a state_directory of somebody else', "$dir: $user can't keep") if $> == 0;
    database(global => {database_mode => '0640'});
    chmod 0600, $database;
    finds('mode', "$database: mode is 0600, not database_mode: accounts that should read it can't");
    database();
    chmod 0662, $database;
    finds('writable by others', "$database: mode is 0662, not database_mode: others can change");
    database();
    chmod 0620, $database;
    finds('writable by the group', "$database: mode is 0620, not database_mode: others can change");
    database();
    chmod 0640, $database;
    finds('readable by the group', "$database: mode is 0640, not database_mode: others can lock");
    database(global => {database_max_size => '64K'});
    truncate $database, 60_000;
    finds('nearly full', "$config: $database has 0 MiB, 90 %");
    database();
    spew($database, 'no database at all');
    finds('no TDB', "$database: can't be opened: it is not a TDB file: nothing is limited");
    database();
    truncate $database, 30_000;
    finds('cut off', "$database: ");
    database();
    damage('users:bob@example.com',
        sub {s/(?<=\|)([^|]+)\|([^|]+)(?=\|)/'!' x length($1) . '|' . '!' x length $2/e});
    finds('a damaged record', "$database: the record of \"users:bob\@example.com\" can't be read");
    database();
    damage('users:ann@example.com', sub {s/3 s12/4 s12/});
    finds('a later version',
        "$database: the record of \"users:ann\@example.com\" can't be read: "
            . 'not a counter of version');

    my $strange = "$dir/it's \$(touch strange)";
    configure(global => {database => "$strange/counters.tdb"});
    finds('a name that a shell must not read',
        quotemeta "$strange: the folder of the counter file is missing");
    is_deeply([sort map {s{.*/}{}r} glob "$dir/*strange*"], ["it's \$(touch strange)"],
        'what was to be run makes it');
    ok(!-e 'strange', 'and does no more');
    configure(global => {database => "$helper/counters.tdb"});
    finds('a file for a folder', "$helper: not a folder: nothing is limited");
    configure();
    mkdir $database or die $!;
    finds('a folder for a file', "$database: not a file: nothing is limited");

SKIP: {
        # A disk of a megabyte, in a name space of its own.
        configure(global => {database_max_size => '2M'});
        my @small = ('unshare', '-m', 'sh', '-c',
            'mount -t tmpfs -o size=1M none "$0" && chown "$1" "$0" && '
            . 'chmod 750 "$0" && shift && exec "$@"', $folder, $user);
        skip 'no disk that is small enough', 3 if $> != 0 || (run(@small, 'true'))[0] != 0;
        my @ctl = (@small, build_dir() . '/policyd-ratelimit-ctl', '-c', $config,
            'check', '-P', "$dir/postfix");
        my ($status, $out, $err) = run(@ctl);
        is("$status$err", '1');
        is($out, "$config: 1 MiB are free on the disk of $database, and it may grow by 2 MiB: "
            . "new keys are not counted once the disk is full; "
            . "write: database_max_size = 512K\n", 'disk');
        repair($out);
        is_deeply([run(@ctl)], [0, '', ''], 'disk: repaired');
    }

SKIP: {
        skip 'needs root', 1 if $> != 0;
        configure();
        chown 0, 0, $folder;
        finds('the folder of another', "$folder: nobody can't write to the folder");
        database();
        chown 0, $gid, $database;
        finds('the file of another', "$database: belongs to uid 0, not to nobody");
        configure();
        chown $uid, $gid + 1, $folder;
        chmod 0770, $folder;
        finds('the group of another may write to the folder',
            "$folder: mode is 0770: its group, which is not that of nobody");
        configure(global => {user => 'root'});
        like((check())[1], qr/^$config: user = root: /m, 'root');
    }
};

# What these modes and owners were is not changed by any advice.
sub untouched {
    my ($name, $path, $code) = @_;
    my $facts = sub { join ' ', map { $_ // 'none' } (stat $path)[2, 4, 5] };
    my $before = $facts->();
    $code->();
    is($facts->(), $before, "$name: $path is as it was");
    return;
}

# As finds, in a name space of its own, where these commands have been run before each check.
sub finds_in_space {
    my ($name, $commands, $pattern, $change) = @_;
    my @check = ('unshare', '-m', 'sh', '-c', "$commands && exec \"\$@\"", 'sh',
        build_dir() . '/policyd-ratelimit-ctl', '-c', $config, 'check', '-P', "$dir/postfix");
    my ($status, $out, $err) = run(@check);
    is("$status$err", '1', "$name: status");
    like($out, $change ? qr/\A$pattern\z/ : qr/\A$pattern[^\n]*; [^\n]+\n\z/, $name);
    $change ? $change->($out) : repair($out =~ s/\n//r);
    is_deeply([run(@check)], [0, '', ''], "$name: repaired");
    return;
}

subtest 'what is not the program\'s own' => sub {
    plan skip_all => 'needs root' if $> != 0;
    postfix($limit . $data, $spawn . $smtp);
    my $for_all = "$dir/tmp";
    mkdir $for_all;
    chmod 01777, $for_all;
    untouched('a folder for everybody', $for_all, sub {
        configure(global => {database => "$for_all/counters.tdb"});
        finds('a folder for everybody', "$for_all: mode is 1777: every account can replace");
    });
    my $home = "$dir/home";
    mkdir $home;
    chmod 0700, $home;
    untouched('the home of root', $home, sub {
        configure(global => {database => "$home/counters.tdb"});
        finds('the home of root', "$home: $user can't write to the folder");
        configure(global => {database => "$home/sub/counters.tdb"});
        mkdir "$home/sub";
        finds('a folder below it', "$home: $user can't enter it, and so not reach $home/sub");
    });
    chmod 0755, $home;
    spew("$home/counters.tdb", 'not ours');
    chown $uid, 0, $home;
    chown 1, 1, "$home/counters.tdb";
    chown 0, 0, $home;
    chmod 0770, $home;
    chown 0, $gid, $home;
    untouched('a file of somebody', "$home/counters.tdb", sub {
        configure(global => {database => "$home/counters.tdb"});
        finds('a file of somebody', "$home/counters.tdb: belongs to uid 1, as its folder");
    });
    untouched('a closed folder above', "$dir/lib", sub {
        configure(global => {state_directory => usable()});
        chmod 0700, "$dir/lib";
        finds('a closed folder above', "$dir/lib: $user can't enter it");
        chmod 0755, "$dir/lib";
    });
    spew("$dir/other.log", '');
    untouched('the file of another log', "$dir/other.log", sub {
        configure(global => {log => 'denied', log_target => "file:$dir/other.log"});
        finds('the file of another log', "$config: $user can't write to $dir/other.log");
    });
};

subtest 'what is no matter of owners' => sub {
    plan skip_all => 'needs root' if $> != 0;
    postfix($limit . $data, $spawn . $smtp);
    configure();
    chown $uid, $gid, $config;
    # ctl reads nothing of it, and says itself what repairs that.
    my $owned = "not used, because account $uid owns it; only root may; run: chown root $config\n";
    is_deeply([check()], [78, '', "$config: $owned"], 'the account owns the configuration');
    chown 0, $gid, $config;
    silent('the account owns the configuration: repaired');
    chown $uid, 0, $config;
    chmod 0600, $config;
    is_deeply([check()], [78, '', "$config: $owned"], 'and nobody else may read it');
    chown 0, -1, $config;
    finds('then the account can not read it', "$config: $user can't read it");
    chown 0, 0, $config;
    {
        configure();
        my $own = "$dir/own/policyd-ratelimit";
        run('mkdir', '-p', $own);
        spew("$own/file.conf", slurp($config));
        chmod 0644, "$own/file.conf";
        chown $uid, $gid, $own;
        my ($status, $out) = run(build_dir() . '/policyd-ratelimit-ctl', '-c', "$own/file.conf",
            'check', '-P', "$dir/postfix");
        like("$status $out", qr{\A1[ ]$own/file.conf:[ ]$user[ ]can[ ]write[ ]to[ ]its[ ]folder:
            \N+;[ ]run:[ ]install[ ]-o[ ]root[ ]-g[ ]\+$gid[ ]-m[ ]0640[ ]$own/file.conf
            [ ]/\S+\n\z}x,
            'a folder in which the account can replace the configuration');
        chown 0, 0, $own;
        chmod 0700, "$dir/own";
        ($status, $out) = run(build_dir() . '/policyd-ratelimit-ctl', '-c', "$own/file.conf",
            'check', '-P', "$dir/postfix");
        like("$status $out", qr{\A1 $own/file.conf: $user can't enter $dir/own: \N+; run: inst},
            'a folder that it cannot enter');
    }
    configure();
    chmod 0700, $helper;
    finds('a program that the account may not run',
        "$dir/postfix/master.cf: policyd-ratelimit: $helper can't be run: Permission denied");
    is((stat $helper)[2] & 07777, 0755, 'its mode');
SKIP: {
        my $file = "$dir/immutable";
        spew($file, '');
        my $can = (run('chattr', '+i', $file))[0] == 0;
        run('chattr', '-i', $file);
        skip 'chattr does not work here', 1 if !$can;
        database();
        run('chattr', '+i', $database);
        finds('an immutable file', "$database: it is immutable");
        configure();
        run('chattr', '+i', $folder);
        finds('an immutable folder', "$folder: $user can't write to the folder, which is immu");
        run('chattr', '-i', $folder);
    }
SKIP: {
        skip 'no name spaces', 1 if (run('unshare', '-m', 'true'))[0] != 0;
        configure(global => {state_directory => usable()});
        finds_in_space('a read-only folder',
            "mount --bind '$folder' '$folder' && mount -o remount,bind,ro '$folder'",
            "$folder: $user can't write to the folder, which is on a read-only");
        mkdir "$dir/noexec";
        spew("$dir/noexec/policyd-ratelimit", "#!/bin/sh\n");
        chmod 0755, "$dir/noexec/policyd-ratelimit";
        configure();
        postfix($limit . $data,
            ($spawn =~ s{argv=\S+}{argv=$dir/noexec/policyd-ratelimit}r) . $smtp);
        finds_in_space('a file system without programs',
            "mount --bind '$dir/noexec' '$dir/noexec' && "
                . "mount -o remount,bind,noexec '$dir/noexec'",
            "$dir/postfix/master.cf: policyd-ratelimit: $dir/noexec/policyd-ratelimit can't be "
                . 'run: its file system is mounted noexec: no helper is started, mail is not '
                . 'limited; run: install -D -m 0755 ');
        # No size of the file would do: a smaller one would end the limits of new keys.
        postfix($limit . $data, $spawn . $smtp);
        database(global => {database_max_size => '600K'});
        run('cp', '-p', $database, "$dir/saved");
        spew("$dir/filler", 'x' x 1_000_000);
        finds_in_space('a full disk',
            "mount -t tmpfs -o size=1200K,mode=0750,uid=$uid,gid=$gid none '$folder' && "
                . "cp -p '$dir/saved' '$database' && cp '$dir/filler' '$folder/filler'",
            "$config: 0 MiB are free on the disk of $database, \\N+; make room there: 1 MiB\n",
            sub { spew("$dir/filler", '') });
    }
};

subtest 'the log' => sub {
    plan skip_all => 'needs root' if $> != 0;
    postfix($limit . $data, $spawn . $smtp);
    configure(global => {log => 'denied', log_target => "file:$dir/none/log"});
    finds('no folder of the log', "$config: $user can't write to $dir/none/log");
    configure(global => {log => 'denied', log_target => 'file:/proc/log',
        database => "$dir/tmp/counters.tdb"});
    repair($_) for split /\n/, (check())[1];
    silent('neither log nor counters');
    configure(global => {log => 'denied'});
    my $own = IO::Socket::UNIX->new(Peer => '/dev/log', Type => SOCK_DGRAM);
    $t->configure(
        global => {
            user => $user, database => $database, state_directory => $folder,
            log_target => 'syslog'
        },
        rules => $rules);
    chmod 0644, $config;
    if ($own) {
        silent('syslog');
    } else {
        finds('nothing listens', "$config: nothing listens on /dev/log: the log is lost");
    }
};

done_testing;
