# Other policy servers, from Debian's packages. They are started on loopback with private files, and
# stopped again; the machine's own services are not touched.
# SPDX-License-Identifier: BSD-2-Clause
package Peers;
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(time);

use constant { START_S => 15, STOP_S => 10 };

my %running;    # by process id

sub find {
    my ($program) = @_;
    my ($found) = grep { -x } map {"$_/$program"} split(/:/, $ENV{PATH}), qw(/usr/sbin /sbin);
    return $found;
}

sub pause { select undef, undef, undef, 0.05; return }

# Makes a folder. If we are root, it belongs to the account that the peers run as.
sub make_folder {
    my ($folder) = @_;
    mkdir $folder;
    my ($parent) = $folder =~ m{^(.*)/};
    if ($> == 0) {
        chmod 0711, $parent;
        chown +(getpwnam 'nobody')[2, 3], $folder;
    }
    return;
}

sub account { return $> == 0 ? 'nobody' : scalar getpwuid $> }
sub group   { return scalar getgrgid((getpwnam account())[3]) }

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    print {$file} $text;
    close $file or die "$path: $!\n";
    return;
}

# Starts a program whose output goes to a file.
sub launch {
    my ($output, @command) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>',  $output;
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    return $pid;
}

sub wait_for {
    my ($what, $condition) = @_;
    my $end = time + START_S;
    until ($condition->()) {
        die "$what did not start\n" if time > $end;
        pause();
    }
    return;
}

# Debian's default configuration, except for debug (true in Debian), paths and limits.
sub start_policyd_rate_limit {
    my ($folder, $limit) = @_;
    make_folder($folder);
    unlink "$folder/db.sqlite3";
    my ($account, $group) = (account(), group());
    write_file("$folder.yaml", <<"END");
debug: False
user: "$account"
group: "$group"
pidfile: "$folder/pid"
backend: 0
sqlite_config:
    database: "$folder/db.sqlite3"
SOCKET: "$folder/socket"
socket_permission: 0666
limits:
    - [$limit, 3600]
    - [@{[5 * $limit]}, 86400]
limit_by_sasl: True
END
    my $pid = launch("$folder.out", find('policyd-rate-limit'), '--file', "$folder.yaml");
    my $self = $running{$pid} = {pid => $pid, child => 1, target => "unix:$folder/socket"};
    wait_for('policyd-rate-limit', sub { IO::Socket::UNIX->new(Peer => "$folder/socket") });
    return $self;
}

# With the arguments of Debian's /etc/default/postfwd.
sub start_postfwd2 {
    my ($folder, $limit) = @_;
    make_folder($folder);
    unlink "$folder.pid";
    my $day = 5 * $limit;
    write_file("$folder.cf", <<"END");
id=HOUR; sasl_username=~/./; action=rate(sasl_username/$limit/3600/DEFER_IF_PERMIT limit reached)
id=DAY; sasl_username=~/./; action=rate(sasl_username/$day/86400/DEFER_IF_PERMIT limit reached)
END
    my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
    my $starter = launch(
        "$folder.out", find('postfwd2'),
        qw(--summary=600 --cache=600 --cache-rdomain-only --cache-no-size),
        '--daemon', '--file', "$folder.cf", '--interface', '127.0.0.1', '--port', $port,
        '--user', account(), '--group', group(), '--pidfile', "$folder.pid",
        '--cache_socket', "unix::$folder/cache",
    );
    waitpid $starter, 0;
    my $pid;
    wait_for('postfwd2', sub {
        return if !open my $file, '<', "$folder.pid";
        ($pid) = (<$file> // '') =~ /^(\d+)/;
        return $pid;
    });
    my $self = $running{$pid} = {pid => $pid, target => "inet:127.0.0.1:$port"};
    wait_for('postfwd2', sub {
        -S "$folder/cache" && IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    });
    return $self;
}

# A process and all its descendants.
sub tree {
    my ($root) = @_;
    my %children;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $stat, '<', $file or next;
        my ($pid, $parent) = (<$stat> // '') =~ /^(\d+) .*\) \S (\d+)/ or next;
        push @{$children{$parent}}, $pid;
    }
    my @tree = $root;
    for (my $i = 0; $i < @tree; $i++) {
        push @tree, @{$children{$tree[$i]} // []};
    }
    return @tree;
}

sub stop {
    my ($self) = @_;
    return if !delete $running{$self->{pid}};
    my @left = tree($self->{pid});
    kill 'TERM', $self->{pid};
    my $end = time + STOP_S;
    while (@left) {
        waitpid $self->{pid}, POSIX::WNOHANG() if $self->{child};
        @left = grep { -d "/proc/$_" } @left;
        kill 'KILL', @left if time > $end;
        pause() if @left;
    }
    return;
}

sub stop_all { stop($_) for values %running; return }

1;
