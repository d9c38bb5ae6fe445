#!/usr/bin/perl
# The examples of policyd-ratelimit-ctl(8): each command, run in the order of the page on the
# database that is made here, prints what the page says. With UPDATE_MANUAL=1 the page is given
# what they print. Its recipes: each does what it is for.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(has_tmux run slurp spew source_dir build_dir);

# Commands whose example is not run, and why.
my %not_run = (check => 'it looks at the Postfix of the machine');
# It needs a terminal, and goes on until it is stopped.
$not_run{top} = 'tmux is not installed, or has no terminals' if !has_tmux();

my $page   = source_dir() . '/doc/policyd-ratelimit-ctl.8.in';
my $manual = slurp($page);
my $now    = 1_795_176_000;    # 2026-11-20 12:00 UTC
my $width  = 80;
$ENV{TZ} = 'UTC';

sub plain { my ($roff) = @_; return $roff =~ s/\\&//gr =~ s/\\-/-/gr =~ s/\\e/\\/gr }
sub roff  { my ($text) = @_; return $text =~ s/\\/\\e/gr =~ s/^(?=[.'])/\\&/gmr }

# The screen of a command that fills the terminal.
sub screen {
    my ($t, $command) = @_;
    my @tmux = ('tmux', '-u', '-S', "$t->{dir}/tmux", '-f', '/dev/null');
    local %ENV = (%ENV, PATH => "$t->{dir}/bin:$ENV{PATH}", LC_ALL => 'C.UTF-8');
    delete @ENV{qw(TMUX NO_COLOR)};
    my %clock = $t->clock_environment;
    run(@tmux, 'new-session', '-d', '-x', 80, '-y', 9,
        join ' ', 'env', (map {"'$_=$clock{$_}'"} sort keys %clock), $command =~ s/\n//r);
    my ($screen, $before) = ('', '');
    for (1 .. 200) {
        $screen = (run(@tmux, 'capture-pane', '-p'))[1];
        last if $screen eq $before && $screen =~ /\S/;
        $before = $screen;
        select undef, undef, undef, 0.1;
    }
    run(@tmux, 'kill-server');
    return (0, $screen);
}

# Breaks a line as the page does: at blanks, in JSON between members; no line of a table.
sub fold {
    my ($line) = @_;
    return $line if 4 < (() = $line =~ /\S {2,}/g);
    my $place = $line =~ /\A[\[ ]\{"/ ? qr/,/ : qr/\S/;
    my @parts;
    while (length $line > $width && substr($line, 0, $width + 1) =~ /\A( *\S.*$place) +/) {
        push @parts, $1;
        $line = '    ' . substr $line, $+[0];
    }
    return join "\n", @parts, $line;
}

# How large TDB makes a file is its own affair.
sub comparable { my ($text) = @_; return $text =~ s/\b\d+ KiB/N KiB/gr }

# A folder with a database and a configuration; policyd-ratelimit-ctl in PATH uses them.
sub place {
    my ($rules) = @_;
    my $t = RateTest->new(rules => $rules);
    mkdir "$t->{dir}/$_" or die $! for qw(state etc bin run);
    $t->{database} = "$t->{dir}/state/counters.tdb";
    $t->configure(rules => $rules, global => {log => 'none'});
    spew("$t->{dir}/etc/policyd-ratelimit.conf",
        "[global]\ndatabase = $t->{database}\nuser = " . getpwuid($>) . "\n$rules");
    program($t, 'policyd-ratelimit-ctl',
        "exec '"
            . build_dir()
            . "/policyd-ratelimit-ctl' -c '$t->{dir}/etc/policyd-ratelimit.conf' \"\$@\""
    );
    return $t;
}

sub program {
    my ($t, $name, $script) = @_;
    spew("$t->{dir}/bin/$name", "#!/bin/sh\n$script\n");
    return chmod 0755, "$t->{dir}/bin/$name";
}

# Paths of the page, and those here.
sub from_page {
    my ($t, $text) = @_;
    return $text =~ s/\@statedir\@/$t->{dir}\/state/gr =~ s/\@sysconfdir\@/$t->{dir}\/etc/gr
}

sub to_page {
    my ($t, $text) = @_;
    $text =~ s/\Q$t->{dir}\E\/state/\@statedir\@/g;
    $text =~ s/\Q$t->{dir}\E\/etc/\@sysconfdir\@/g;
    # What the test had to set; an administrator has no need to.
    $text =~ s/^global\.(?:database|user) = .*\n//mg;
    return $text;
}

# Runs a command line; its status, and what it printed.
sub shell {
    my ($t, $command) = @_;
    local %ENV = (%ENV, $t->clock_environment, PATH => "$t->{dir}/bin:$ENV{PATH}");
    my ($status, $out) = run({both => 1}, 'sh', '-c', "cd '$t->{dir}'\n$command");
    return ($status, $out);
}

my ($examples) = $manual =~ /^\.Sh EXAMPLES\n(.*?)^\.Sh /ms;
my ($rules) = $examples =~ /^\.Bd -literal[^\n]*\n(\[rule .*?)^\.Ed$/ms;
my $t = place(plain($rules));

# Some hours of mail: when, who, how many recipients, how many bytes.
my @mail = (
    [-20000, 'news',  900,  40_000],
    [-15000, 'alice', 93,   310_000_000],
    [-9000,  'erin',  12,   25_000],
    [-7000,  'news',  300,  40_000],
    [-3000,  'carol', 40,   7_000_000],
    [-2400,  'bob',   60,   2_400_000],
    [-1500,  '',      1,    8_000, client_address => '2001:db8:5::25'],
    [-1200,  'alice', 31,   1_100_000],
    [-1100,  'erin',  3,    9_000],
    [-900,   'bob',   40,   2_400_000],
    [-600,   '',      60,   8_000, client_address => '198.51.100.7'],
    [-600,   '',      1,    8_000, client_address => '198.51.100.7'],
    [-300,   'bob',   20,   2_400_000],
    [-290,   'bob',   20,   2_400_000],
    [-280,   'bob',   1,    2_400_000],
);
my $n = 0;
$t->set_clock($now);
my $helper = $t->helper;
for my $mail (@mail) {
    my ($when, $user, $recipients, $bytes, %more) = @$mail;
    $t->set_clock($now + $when);
    $helper->ask(protocol_state => 'END-OF-MESSAGE', recipient_count => $recipients, size => $bytes,
        sasl_username => $user, sender => $user eq '' ? 'x@example.net' : "$user\@example.com",
        instance => 'i' . $n++, %more);
}
$t->set_clock($now);

my %shown;
my ($blocks, $changed) = (0, 0);
my $is_command = qr/^# (?=.*\bpolicyd-ratelimit-ctl\b)(?!HELP |TYPE |UNIT )/m;
$manual =~ s{^(\.Bd -literal[^\n]*\n)(# [^\n]*policyd-ratelimit-ctl .*?)^(\.Ed)$}{
    my ($head, $block, $foot) = ($1, $2, $3);
    my $new = '';
    $blocks++;
    for my $part (split $is_command, $block) {
        next if $part eq '';
        my ($command, $expected) = $part =~ /\A((?:[^\n]*\\e\n)*[^\n]*\n)(.*)\z/s;
        my @names = $command =~ /policyd-ratelimit-ctl (\w+)/g;
        @shown{@names} = (1) x @names;
        my $got = $expected;
        if (!grep { $not_run{$_} } @names) {
            my ($status, $out) = (grep { $_ eq 'top' } @names)
                ? screen($t, from_page($t, plain($command)))
                : shell($t, from_page($t, plain($command)));
            like($status, qr/\A(?:0|1|65)\z/, $command =~ s/\n//gr);
            $got = roff(join '', map { fold($_) . "\n" } split /\n/, to_page($t, $out));
            if ($ENV{UPDATE_MANUAL}) {
                $got = $expected if comparable($got) eq comparable($expected);
                $changed++ if $got ne $expected;
            } else {
                is(comparable($got), comparable($expected), 'prints what the page says')
                    or diag 'UPDATE_MANUAL=1 takes it into the page, if it is right; ',
                    'see HACKING.md';
            }
        }
        $new .= "# $command$got";
    }
    "$head$new$foot"
}gmse;
cmp_ok($blocks, '>', 10, 'there are examples');
if ($changed) {
    spew($page, $manual);
    note "$changed examples changed";
}
my (undef, $help) = run(build_dir() . '/policyd-ratelimit-ctl', '--help');
for my $command ($help =~ /^  ([a-z]+) /mg) {
    ok($shown{$command}, "$command has an example in policyd-ratelimit-ctl(8)")
        or diag
        "add a line '# policyd-ratelimit-ctl $command' in a block of its own; see HACKING.md";
}

# The recipes, by their titles.
my ($section) = $manual =~ /^\.Sh RECIPES\n(.*?)^\.Sh /ms;
my %script = $section =~ /^\.Ss ([^\n]*)\n.*?^\.Bd -literal[^\n]*\n(#!.*?)^\.Ed$/msg;
my ($table) = $section =~ /^(CREATE TABLE .*?^\);)$/ms;
my $limits = "users\tann\t1000/day\nusers\tbob\t2000/day\t1795262400\n";

# A place where an older limit is set, and the script with its paths there.
sub recipe {
    my ($title, %path) = @_;
    my $script = plain(delete $script{$title} // "false\n");
    my $t      = place(plain($rules));
    $t->set_clock($now);
    shell($t, 'policyd-ratelimit-ctl set users old 5/day');
    $script =~ s{/run/}{$t->{dir}/run/}g;
    $script =~ s{\Q$_\E}{$t->{dir}/run/$path{$_}}g for keys %path;
    return ($t, $script);
}

sub dump_of { my ($t) = @_; return (shell($t, 'policyd-ratelimit-ctl dump'))[1] }

# What the client prints is loaded; where it fails, after half of it, nothing is.
sub follows {
    my ($title, $client, $prints, $wanted, %path) = @_;
    my ($t, $script) = recipe($title, %path);
    return subtest $title => sub {
        program($t, $client,
                  "printf '%s\\n' \"\$@\" >'$t->{dir}/arguments'\ncat '$t->{dir}/prints'\n"
            . "test ! -e '$t->{dir}/fails'");
        spew("$t->{dir}/prints", $prints);
        spew("$t->{dir}/fails",  '');
        isnt((shell($t, $script))[0], 0, 'a query that fails');
        is(dump_of($t), "users\told\t5/day\n", 'changes nothing');
        unlink "$t->{dir}/fails";
        is_deeply([shell($t, $script)], [0, "2 lines for 2 keys loaded\n"], 'one that does not');
        is(dump_of($t), $limits, 'gives the limits of its rows, and takes others back');
        my $arguments = slurp("$t->{dir}/arguments");
        like($arguments, $_) for @$wanted;
        is((stat "$t->{dir}/run/send-limits")[2] & 077, 0,
            'nobody else may write, or read, the file');
    };
}

follows(
    'MySQL and MariaDB', 'mysql', "users\tann\t1000/day\tNULL\nusers\tbob\t2000/day\t1795262400\n",
    [qr/\A-N\n-B\n-e\n\s*SELECT 'users', username,.*\nmail\n\z/s]);
follows('PostgreSQL', 'psql', "users\tann\t1000/day\t\nusers\tbob\t2000/day\t1795262400\n",
    [qr/\A-At\n-F\n\t\n-c\n\s*SELECT 'users', username,.*\nmail\n\z/s]);

subtest 'SQLite' => sub {
    my ($t, $script) = recipe('SQLite', '/var/lib/mail.sqlite' => 'mail.sqlite');
    plan skip_all => 'sqlite3 is not installed' if (run('sh', '-c', 'command -v sqlite3'))[0] != 0;
    isnt((shell($t, $script))[0], 0, 'without a table');
    is(dump_of($t), "users\told\t5/day\n", 'nothing changes');
    is_deeply([run('sqlite3', "$t->{dir}/run/mail.sqlite", "$table INSERT INTO send_limits VALUES "
        . "('ann', 1000, NULL), ('bob', 2000, '2026-11-21 12:00:00')")], [0, '', '']);
    is_deeply([shell($t, $script)], [0, "2 lines for 2 keys loaded\n"]);
    is(dump_of($t), $limits, 'gives the limits of its rows, and takes others back');
};

$limits = "users\tann\t1000/day\nusers\tbob\t100/hour, 2000/day\n";
my $ldif = <<'END';
dn: uid=ann,ou=people,dc=example,dc=com
uid: ann
sendLimit: 1000/day

dn:: dWlkPWLDtmIsb3U9cGVvcGxlLGRjPWV4YW1wbGUsZGM9Y29t
sendLimit: 100/hour, 2000/day
uid: bob

dn: uid=nobody,ou=people,dc=example,dc=com
uid: nobody
END
follows('LDAP', 'ldapsearch', $ldif, [qr/^\(sendLimit=\*\)\nuid\nsendLimit\n\z/m, qr/\A-LLL\n/]);

is_deeply([sort keys %script], [], 'every recipe was tried');

done_testing;
