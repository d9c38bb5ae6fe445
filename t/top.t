#!/usr/bin/perl
# policyd-ratelimit-ctl top, in a real terminal (tmux): its screen, its keys, what it
# sends, and the terminal as it was before, however it ends.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(has_tmux run slurp spew build_dir);

plan skip_all => 'needs tmux (Debian: tmux), and terminals in /dev/pts' if !has_tmux();

my $now = 1_700_049_600;    # 12:00:00
my $t   = RateTest->new(rules => <<'END');
[rule users]
key = sasl_username
limit = 10/hour, 50/day
[rule volume]
key = sender_domain
count = bytes
limit = 10MiB/day
END
$t->set_clock($now);
@ENV{qw(LC_ALL TZ)} = qw(C.UTF-8 UTC);
delete @ENV{qw(TMUX NO_COLOR)};

sub tmux { return run('tmux', '-u', '-S', "$t->{dir}/tmux", '-f', '/dev/null', @_) }
sub keys_sent { return tmux('send-keys', '-t', 'test', @_) }
# Names of keys would be taken for keys.
sub type_line { keys_sent('-l', @_); return keys_sent('Enter') }
sub screen    { return (tmux('capture-pane', '-p', '-t', 'test', @_))[1] =~ s/\n*\z/\n/r }

# Waits until something is so; its last value.
sub until_true {
    my ($what, $seconds) = @_;
    my $end = time + ($seconds // 20);
    for (;;) {
        my $value = $what->();
        return $value if $value || time > $end;
        sleep 0.03;
    }
}

sub shows {
    my ($expected, $name) = @_;
    my $screen = '';
    until_true(
        sub { $screen = screen(); ref $expected ? $screen =~ $expected : $screen eq $expected });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ref $expected ? like($screen, $expected, $name) : is($screen, $expected, $name);
}

# The script "top": the program with the test's clock. It leaves its process id in "pid".
my %clock = $t->clock_environment;
my $ctl   = build_dir() . '/policyd-ratelimit-ctl';
$ctl = "$ENV{PWD}/$ctl" if $ctl !~ m{^/};
spew("$t->{dir}/top", join "\n", '#!/bin/sh', "echo \$\$ >$t->{dir}/pid",
    (map {"export $_='$clock{$_}'"} sort keys %clock), "exec $ctl -c $t->{config} top \"\$@\"", '');
chmod 0755, "$t->{dir}/top";
$ENV{PATH} = "$t->{dir}:$ENV{PATH}";

sub start_terminal {
    my (@command) = @_;
    my ($status, undef, $err) =
        tmux('new-session', '-d', '-s', 'test', '-x', 80, '-y', 24, @command);
    is($status, 0, 'a terminal') or BAIL_OUT("tmux: $err");
    return;
}

# Starts it in the shell of the terminal, the clean screen of which is remembered.
sub start_top {
    my ($options, $first) = @_;
    unlink "$t->{dir}/pid", "$t->{dir}/after";
    type_line("clear; stty -a >$t->{dir}/before; top $options");
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return shows($first // qr/^q quit /m, "top $options");
}

sub pid { return slurp("$t->{dir}/pid") =~ s/\s+//gr }

# That the shell's screen is back, with this status, and all settings of the terminal.
sub ended {
    my ($status, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    shows(qr/\A(?:\^.)?\s*(?:(?:Terminated|Quit|Hangup)[^\n]*\n)?status $status\n\$\n\z/, $name);
    until_true(sub { slurp("$t->{dir}/after") });
    is(slurp("$t->{dir}/after"), slurp("$t->{dir}/before"), 'settings of the terminal');
    unlink "$t->{dir}/after";
    is((
            tmux(
                'display-message', '-p', '-t', 'test',
                '#{alternate_on} #{cursor_flag} #{wrap_flag}'
            )
        )[1],
        "0 1 1\n",
        'its screen, its cursor, its edge');
    return;
}

my $helper = $t->helper;
sub message {
    my ($user, $recipients, $size, $sender) = @_;
    return $helper->ask(
        protocol_state => 'END-OF-MESSAGE', recipient_count => $recipients, instance => 'i' . rand,
        sasl_username => $user, sender => $sender // $user, size => $size // 1000);
}

start_terminal('bash', '--norc', '--noprofile', '-i');
spew("$t->{dir}/prompt",
    "PS1='\$ '; unset HISTFILE\nPROMPT_COMMAND='echo status \$?; stty -a >$t->{dir}/after'\n");
type_line(". $t->{dir}/prompt");
until_true(sub { -e "$t->{dir}/after" });

my $keys_line = "q quit   space refresh   sort by: [p percent]  u used   k key   l last\n";
# A screen of so many lines: those above, the keys at the bottom.
sub full_screen {
    my ($lines, $text) = @_;
    return $text . "\n" x ($lines - 1 - $text =~ tr/\n//) . $keys_line;
}

subtest 'before the first request' => sub {
    start_top('--interval 1', full_screen(24, "12:00:00  $t->{database}\n"
        . "can't be opened: it is not there; the helper makes it at its first request\n"));
    message('ann@example.com', 9);
    message('bob@example.org', 2, 10 << 20) for 1 .. 2;
    message("\x{c3}\x{a9}.with-a-name-that-is-long\@example.net", 10, 9 << 20);
    shows(qr/^6 counters/m, 'it goes on by itself');
    keys_sent('q');
    ended(0, 'q');
};

my $table = <<"END";
12:00:00  $t->{database}
6 counters, 9 windows, 4 at 80 %+, 2 full
RULE    KEY                  LIMIT      USED                   %  ROOM    DENIED
volume  example.org      10MiB/day  10.0 MiB  [##########]  100%  in 26h       1
users   \x{c3}\x{a9}.with-a-name-~    10/hour   10 rcpt  [##########]  100%  in 65m       0
users   ann\@example.com    10/hour    9 rcpt  [######### ]   90%  now          0
volume  example.net      10MiB/day   9.0 MiB  [######### ]   90%  now          0
users   bob\@example.org    10/hour    2 rcpt  [##        ]   20%  now          0
users   \x{c3}\x{a9}.with-a-name-~     50/day   10 rcpt  [##        ]   20%  now          0
users   ann\@example.com     50/day    9 rcpt  [#         ]   18%  now          0
users   bob\@example.org     50/day    2 rcpt  [          ]    4%  now          0
volume  example.com      10MiB/day    1000 B  [          ]    0%  now          0
END

subtest 'the screen, and what is sent' => sub {
    start_top('--interval 3600', full_screen(24, $table));
    keys_sent('q');
    ended(0, 'q');
    start_top('--interval 1 --sort key');
    tmux('pipe-pane', '-t', 'test', "cat >>$t->{dir}/sent");
    message('ann@example.com', 1, 0, '');
    shows(
        qr/^users   ann\@example.com    10\/hour   10 rcpt  \[##########\]  100%  in 65m       0$/m,
        'a charge shows');
    $t->set_clock($now + 5);
    shows(qr/\A12:00:05  /, 'so does the time');
    tmux('pipe-pane', '-t', 'test');
    my $sent = until_true(sub {
        my $text = slurp("$t->{dir}/sent");
        return $text =~ /in 65m.*H5/s && $text;
    });
    like($sent, qr/ann\@example/, 'lines that changed');
    unlike($sent, qr/volume|RULE|quit|bob/, 'and no others');
    keys_sent('q');
    ended(0, 'q');
};

sub order { my @keys = screen() =~ /^(?:users|volume) +(.{3})/mg; return join ' ', @keys }

subtest 'keys' => sub {
    my %order = (
        p => 'cid zoe bob cid zoe bob',
        u => 'cid cid zoe zoe bob bob',
        k => 'bob bob cid cid zoe zoe',
        l => 'zoe zoe cid cid bob bob',
    );
    message('cid', 5, 0, '');
    start_top('--rule users --key "[bcz]*" --interval 3600');
    is(order(), 'cid bob cid bob', 'by percent at first');
    $t->set_clock($now + 7);
    message('zoe', 4, 0, '');
    keys_sent('u');
    shows(qr/\[u /);
    is(order(), 'cid cid bob bob', 'nothing is read before it is time');
    keys_sent('Space');
    shows(qr/\A12:00:07 /, 'space reads now');
    for my $key (qw(l k u p)) {
        keys_sent($key);
        shows(qr/\[$key /, "$key is marked");
        is(order(), $order{$key}, "order by $key");
    }
    keys_sent('x', 'Up', 'F1', 'F5');
    keys_sent('k');
    shows(qr/\[k /, 'other keys do nothing');
    keys_sent('q');
    ended(0, 'q');
    start_top('--over 80 --sort key');
    like(screen(), qr/\[k key\]/, '--sort');
    unlike(screen(), qr/bob/, '--over');
    keys_sent('C-d', 'q');
    ended(0, 'C-d is no end of file');
};

subtest 'sizes' => sub {
    start_top('--interval 3600');
    tmux('resize-window', '-t', 'test', '-x', 120, '-y', 24);
    shows(qr/^RULE    KEY {30,}LIMIT      USED                   %  ROOM    DENIED\n/m,
        '120 columns');
    like(screen(), qr/\xc3\xa9\.with-a-name-that-is-long\@example\.net    10\/hour/,
        'keys in full');
    tmux('resize-window', '-t', 'test', '-x', 60, '-y', 10);
    shows(qr/^RULE    KEY +LIMIT      USED     %  ROOM\n/m, '60 columns: some are left out');
    my $screen = screen();
    my @lines = split /\n/, $screen;
    is(scalar @lines, 10, '10 lines');
    like($lines[1], qr/, 7 not shown$/, 'says what is missing');
    like($lines[-1], qr/^q quit .*~$/, 'the last one, cut');
    like($screen, qr/^users   \xc3\xa9\.with-a-name-th~ /m, 'keys are cut between characters');
    tmux('resize-window', '-t', 'test', '-x', 10, '-y', 3);
    shows(qr/\A12:00:0\d ~\n/, 'almost none');
    tmux('resize-window', '-t', 'test', '-x', 80, '-y', 24);
    shows(qr/\A12:00:07 .*\n8 counters.*\nRULE .*\nusers   ann\@.*\n(?:.*\n)+\n+\Q$keys_line\E\z/,
        'and back');
    keys_sent('q');
    ended(0, 'q');
};

subtest 'colours' => sub {
    start_top('--interval 3600');
    my $screen = screen('-e');
    like($screen, qr/^(?:\e\[\d*m)*\e\[31m(?:\e\[\d*m)*users   ann/m, 'full is red');
    like($screen, qr/^\e\[33mvolume  example\.net.*\n\e\[39musers/m,
        'nearly full is yellow, others are not');
    keys_sent('q');
    ended(0, 'q');
    type_line("export NO_COLOR=1");
    start_top('--interval 3600');
    unlike(screen('-e'), qr/\e\[3[13]m/, 'NO_COLOR');
    keys_sent('q');
    ended(0, 'q');
    type_line("unset NO_COLOR");
};

subtest 'signals' => sub {
    for my $case (['TERM', 143], ['HUP', 129], ['INT', 130]) {
        my ($signal, $status) = @$case;
        start_top('--interval 3600');
        kill $signal, pid();
        ended($status, "SIG$signal");
    }
    start_top('--interval 3600');
    keys_sent('C-c');
    ended(130, 'Ctrl-C');
};

subtest 'stopped, and on again' => sub {
    start_top('--interval 3600');
    keys_sent('C-z');
    shows(qr/\A\^?Z?\s*\[1\]\+  Stopped .*\nstatus 148\n\$\n\z/, 'Ctrl-Z: the shell, its screen');
    until_true(sub { slurp("$t->{dir}/after") });
    is(slurp("$t->{dir}/after"), slurp("$t->{dir}/before"), 'settings of the terminal');
    $t->set_clock($now + 8);
    type_line("clear; fg");
    shows(qr/\A12:00:07 .*^users   ann\@.*^q quit/ms, 'fg: the screen as it was');
    keys_sent('Space');
    shows(qr/\A12:00:08 /, 'and keys');
    keys_sent('C-z');
    shows(qr/Stopped/, 'once more');
    type_line("clear; kill %1; wait; echo done");
    until_true(sub { !kill 0, pid() });
    ok(!kill(0, pid()), 'ended while it was stopped');
    shows(qr/^done$/m, 'and left the screen alone');
    # By a signal that nobody can catch, without a shell that notices.
    start_top('--interval 3600');
    kill 'STOP', pid();
    shows(qr/Stopped/, 'SIGSTOP');
    type_line("fg");
    shows(qr/\A12:00:08 .*^users   ann\@.*^q quit/ms, 'fg after that');
    keys_sent('q');
    shows(qr/^status 0$/m, 'q');
};

subtest 'a terminal that takes nothing' => sub {
    start_top('--interval 1');
    keys_sent('C-s');
    $t->set_clock($now + 20);
    sleep 2.5;    # at least one refresh
    unlike(screen(), qr/12:00:20/, 'Ctrl-S stops it');
    keys_sent('C-q');
    shows(qr/\A12:00:20 /, 'Ctrl-Q lets it go on');
    for my $end ('q', 'SIGTERM') {
        keys_sent('C-s');
        $t->set_clock($now + ($end eq 'q' ? 30 : 40));
        sleep 2.5;
        $end eq 'q' ? keys_sent('q') : kill 'TERM', pid();
        ended($end eq 'q' ? 0 : 143, "$end while it is stopped");
        start_top('--interval 1') if $end eq 'q';
    }
};

subtest 'the counters are gone for a while' => sub {
    start_top('--interval 1');
    rename $t->{database}, "$t->{database}.away";
    shows(qr/^as of 12:00:40; can't be opened: .*\nRULE .*\nusers   ann\@/m,
        'said, and the old ones stay');
    rename "$t->{database}.away", $t->{database};
    shows(qr/^8 counters/m, 'it goes on');
    # As a compaction does.
    spew("$t->{database}.copy", slurp($t->{database}));
    rename "$t->{database}.copy", $t->{database};
    message('dan', 1, 0, '');
    shows(qr/^9 counters/m, 'from the file that has taken its place');
    keys_sent('q');
    ended(0, 'q');
};

subtest 'the terminal goes away' => sub {
    for my $ignored ('', "trap '' HUP; ") {
        start_top('--interval 3600') if !$ignored;
        if ($ignored) {
            start_terminal('sh', '-c', "$ignored exec top --interval 3600");
            shows(qr/^q quit/m);
        }
        my $pid = pid();
        tmux('kill-session', '-t', 'test');
        until_true(sub { !kill 0, $pid });
        ok(!kill(0, $pid), $ignored ? 'SIGHUP ignored: by the end of file' : 'it ends');
    }
};

subtest 'no terminal' => sub {
    my @error = (64, '', "policyd-ratelimit-ctl: top needs a terminal; use show\n");
    is_deeply([$t->ctl('top')], \@error, 'neither');
    start_terminal('sh', '-c', "cd $t->{dir}; top </dev/null 2>error1; echo \$? >>error1;"
            . ' top 2>&1 >/dev/null | cat >error2;'
            . ' TERM=dumb top 2>error3; echo $? >>error3; exec sleep 60');
    until_true(sub { slurp("$t->{dir}/error3") =~ /\d\n\z/ });
    is(slurp("$t->{dir}/error1"), "$error[2]64\n", 'no stdin');
    is(slurp("$t->{dir}/error2"), $error[2], 'no stdout');
    is(slurp("$t->{dir}/error3"), "$error[2]64\n", 'TERM=dumb');
};

subtest 'usage' => sub {
    my @cases = (
        [['x'], 64, qr/^usage: policyd-ratelimit-ctl top /],
        [['--top', '3'], 64, qr/^usage: policyd-ratelimit-ctl top |unrecognized option/],
        [['--interval', '0'], 64, qr/--interval 0: not a number of seconds/],
        [['--interval', 'x'], 64, qr/--interval x: not a number of seconds/],
        [['--rule', 'x'], 65, qr/there is no rule "x"/],
    );
    for my $case (@cases) {
        my ($arguments, $expected, $text) = @$case;
        my ($status, undef, $err) = $t->ctl('top', @$arguments);
        is($status, $expected, "top @$arguments");
        like($err, $text);
    }
};

tmux('kill-server');
done_testing;
