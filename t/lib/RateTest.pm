# What the black-box tests share: a folder with a configuration and a counter file,
# helpers started as spawn(8) starts them, the ctl program, a clock that can be moved.
# SPDX-License-Identifier: BSD-2-Clause
package RateTest;
use strict;
use warnings;
use Exporter 'import';
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use POSIX ();
use Socket;

our @EXPORT_OK = qw(has_tmux build_dir complaints copy_for_others result_of source_dir slurp spew
    start_process run);

sub source_dir { return $ENV{top_srcdir} // '.' }
sub build_dir  { return $ENV{top_builddir} // 'build' }

# Whether tmux is there and can have terminals: a chroot may lack /dev/pts.
sub has_tmux {
    open my $terminal, '+<', '/dev/ptmx' or return 0;
    return scalar grep { -x "$_/tmux" } split /:/, $ENV{PATH};
}

sub slurp {
    my ($path) = @_;
    open my $fh, '<', $path or return '';
    local $/;
    my $text = <$fh>;
    return $text // '';
}

sub spew {
    my ($path, $text) = @_;
    open my $fh, '>', $path or die "$path: $!";
    print $fh $text;
    close $fh or die "$path: $!";
    return;
}

# Runs a command; (exit status, stdout, stderr). A hash in front of it says more: stdin, a
# file; both, whether stderr comes with stdout.
sub run {
    my %how = ref $_[0] ? %{+shift} : ();
    my (@command) = @_;
    # Removed at the end of the function: a test may run thousands of commands.
    my $dir = File::Temp->newdir;
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', $how{stdin} // '/dev/null' or POSIX::_exit(99);
        open STDOUT, '>>', "$dir/out" or POSIX::_exit(99);
        open STDERR, '>>', $how{both} ? '/dev/stdout' : "$dir/err" or POSIX::_exit(99);
        exec { $command[0] } @command or POSIX::_exit(98);
    }
    waitpid $pid, 0;
    my $status = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
    return ($status, slurp("$dir/out"), slurp("$dir/err"));
}

# Runs code in a process of its own. What it returns is what result_of returns, a string.
sub start_process {
    my ($code) = @_;
    pipe my $result, my $tell or die "pipe: $!";
    my $pid = fork() // die "fork: $!";
    return {pid => $pid, result => $result} if $pid;
    print $tell $code->();
    close $tell;
    POSIX::_exit(0);
}

# Waits for a process to end.
sub result_of {
    my ($process) = @_;
    my $text = do { local $/; readline $process->{result} };
    waitpid $process->{pid}, 0;
    return $text // '';
}

# A copy of one of the programs that every account can run: the checkout may be in a folder
# that others can't enter. Its path.
sub copy_for_others {
    my ($program) = @_;
    my $dir = tempdir('ratelimit-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    copy(build_dir() . "/$program", "$dir/$program") or die "$program: $!";
    chmod 0755, $dir, "$dir/$program";
    return "$dir/$program";
}

# What policyd-ratelimit-ctl says of a configuration: its exit status, and its complaints
# without the file's name.
sub complaints {
    my ($text) = @_;
    my $file = tempdir(CLEANUP => 1) . '/bad.conf';
    spew($file, $text);
    my ($status, undef, $errors) =
        run(build_dir() . '/policyd-ratelimit-ctl', '-c', $file, 'config');
    return ($status, map { s/^\Q$file\E://r } split /\n/, $errors);
}

# rules: the [rule] sections; global: hash of further [global] options.
sub new {
    my ($class, %args) = @_;
    my $self = bless {dir => tempdir('ratelimit-XXXXXX', TMPDIR => 1, CLEANUP => 1)}, $class;
    $self->{database} = "$self->{dir}/counters.tdb";
    $self->{config}   = "$self->{dir}/policyd-ratelimit.conf";
    $self->{logfile}  = "$self->{dir}/log";
    $self->configure(%args);
    return $self;
}

sub configure {
    my ($self, %args) = @_;
    my %global = (
        database        => $self->{database},
        state_directory => $self->{dir},
        user            => scalar getpwuid($>),
        log             => 'all',
        log_target      => "file:$self->{logfile}",
        %{$args{global} // {}},
    );
    my $text = "[global]\n" . join '', map {"$_ = $global{$_}\n"} sort keys %global;
    spew($self->{config}, $text . ($args{rules} // ''));
    # As if it had been written long ago: a file that is just written is not taken up yet.
    utime 0, 0, $self->{config} or die "$self->{config}: $!";
    return;
}

my @mounted;
my $owner = $$;

# Mounts a file system of its own for the database, with the arguments of mount(8). The folder
# that it is in; nothing if that can't be done here. It is unmounted at the end of the test.
sub mount {
    my ($self, @arguments) = @_;
    my $disk = "$self->{dir}/disk";
    mkdir $disk or die "$disk: $!";
    return if (run('mount', @arguments, $disk))[0] ne '0';
    push @mounted, $disk;
    $self->{database} = "$disk/counters.tdb";
    return $disk;
}

END {
    local $?;
    run('umount', '-l', $_) for $$ == $owner ? reverse @mounted : ();
}

sub log_text { my ($self) = @_; return slurp($self->{logfile}) }

my $clocks = 0;

# Helpers and ctl started from now on see this time, in seconds since the epoch, standing
# still; running ones that were started with a moved clock follow. undef: the real time.
sub set_clock {
    my ($self, $seconds) = @_;
    $self->{clock} = $seconds;
    if (defined $seconds) {
        spew("$self->{dir}/clock.new", "$seconds\n");
        # libfaketime reads it again when its time has changed, which the kernel counts in
        # some milliseconds: a process would go on with the time before.
        utime $^T, $^T + ++$clocks, "$self->{dir}/clock.new" or die $!;
        rename "$self->{dir}/clock.new", "$self->{dir}/clock" or die $!;
    }
    return;
}

sub clock_environment {
    my ($self) = @_;
    return () if !defined $self->{clock};
    my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
    die "libfaketime is missing (Debian: faketime)\n" if !$library;
    return (
        LD_PRELOAD                    => $library,
        FAKETIME_TIMESTAMP_FILE       => "$self->{dir}/clock",
        FAKETIME_FMT                  => '%s',
        FAKETIME_NO_CACHE             => 1,
        FAKETIME_DONT_FAKE_MONOTONIC  => 1,
        DONT_FAKE_MONOTONIC           => 1,
        NO_FAKE_STAT                  => 1,
        # A preloaded library would come before the sanitizers' one.
        ASAN_OPTIONS => join(':', grep {defined} $ENV{ASAN_OPTIONS}, 'verify_asan_link_order=0'),
    );
}

# Starts a helper as spawn(8) does: descriptors 0, 1 and 2 are one socket, umask 077.
sub helper {
    my ($self, %args) = @_;
    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
    my %environment = ($self->clock_environment, %{$args{env} // {}});
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        umask 077;
        $SIG{PIPE} = 'IGNORE';
        %ENV = (%ENV, %environment);
        POSIX::dup2(fileno($theirs), $_) for 0 .. 2;
        my @arguments = $args{args} ? @{$args{args}} : ('-c', $self->{config});
        exec { build_dir() . '/policyd-ratelimit' } 'policyd-ratelimit', @arguments
            or POSIX::_exit(98);
    }
    close $theirs;
    return RateTest::Helper->new($pid, $ours);
}

# The same hash as for run may come first; with text, what comes on stdin.
sub ctl {
    my ($self, @args) = @_;
    my %how = ref $args[0] ? %{shift @args} : ();
    if (defined $how{text}) {
        $how{stdin} = "$self->{dir}/stdin";
        spew($how{stdin}, delete $how{text});
    }
    local %ENV = (%ENV, $self->clock_environment);
    return run(\%how, build_dir() . '/policyd-ratelimit-ctl', '-c', $self->{config}, @args);
}

# As ctl, run by another account.
sub ctl_as {
    my ($self, $account, @args) = @_;
    my ($uid, $gid) = (getpwnam $account)[2, 3];
    my $become = "(\$(, \$)) = ($gid, '$gid $gid'); (\$<, \$>) = ($uid, $uid); exec \@ARGV";
    my %clock = $self->clock_environment;
    $self->{ctl_for_others} //= copy_for_others('policyd-ratelimit-ctl');
    return run($^X, '-e', $become, 'env', (map {"$_=$clock{$_}"} keys %clock),
        $self->{ctl_for_others}, '-c', $self->{config}, @args);
}

# The counters as `show --json` prints them. First its status and complaints: '0' if all is well.
sub show {
    my ($self, @options) = @_;
    my ($status, $out, $complaints) = $self->ctl('show', '--json', @options);
    my $rows = eval { decode_json($out) } // [];
    return ("$status$complaints", @$rows);
}

# Records of the counter file, by key without its hash, as tdbdump shows them.
sub records {
    my ($self) = @_;
    my (undef, $out) = run('tdbdump', $self->{database});
    my %record;
    $record{$1} = $2 while $out =~ /^key\(\d+\) = "(?:\d{8} )?(.*)"\ndata\(\d+\) = "(.*)"$/mg;
    return \%record;
}

# After the counter file was replaced by hand: running helpers notice within 250 ms.
sub await_recheck { select undef, undef, undef, 0.3; return }

# A key as it stands in the counter file, with its hash.
sub stored_key {
    my ($self, $key) = @_;
    my (undef, $out) = run('tdbdump', $self->{database});
    return $out =~ /^key\(\d+\) = "(\d{8} \Q$key\E)"$/m ? $1 : undef;
}

package RateTest::Helper;
use strict;
use warnings;

sub new {
    my ($class, $pid, $socket) = @_;
    return bless {pid => $pid, socket => $socket, buffer => ''}, $class;
}

# The text of a request; the values given go over those of a typical one.
sub request {
    my (%attributes) = @_;
    my %all = (
        request         => 'smtpd_access_policy',
        protocol_state  => 'RCPT',
        protocol_name   => 'ESMTP',
        client_address  => '192.0.2.1',
        client_name     => 'client.example.com',
        sender          => 'user@example.com',
        recipient       => 'someone@example.net',
        recipient_count => 0,
        size            => 0,
        instance        => '',
        sasl_method     => 'PLAIN',
        sasl_username   => 'user@example.com',
        queue_id        => '',
        %attributes,
    );
    return join('', map {"$_=$all{$_}\n"} sort keys %all) . "\n";
}

sub write {
    my ($self, $bytes) = @_;
    while (length $bytes) {
        my $n = syswrite $self->{socket}, $bytes;
        return 0 if !defined $n;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

# The next answer's action; undef at end of file, or after the time is up.
sub answer {
    my ($self, $seconds) = @_;
    my $end = time + ($seconds // 30);
    for (;;) {
        if ($self->{buffer} =~ s/\A(.*?)\n\n//s) {
            my $answer = $1;
            return $answer =~ /\Aaction=([^\n]*)\z/ ? $1 : "MALFORMED: $answer";
        }
        my $wanted = '';
        vec($wanted, fileno($self->{socket}), 1) = 1;
        my $left = $end - time;
        return undef if $left <= 0 || !select $wanted, undef, undef, $left;
        my $n = sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
        return undef if !$n;
    }
}

sub ask {
    my ($self, %attributes) = @_;
    $self->write(request(%attributes)) or return undef;
    return $self->answer;
}

# Ends the input as smtpd does, and waits: what the helper still wrote, its exit status.
sub finish {
    my ($self) = @_;
    shutdown $self->{socket}, 1;
    my $rest = $self->{buffer};
    1 while sysread $self->{socket}, $rest, 65536, length $rest;
    return ($rest, $self->wait);
}

sub wait {
    my ($self) = @_;
    return if !$self->{pid};
    waitpid $self->{pid}, 0;
    forget_clock(delete $self->{pid});
    return $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
}

sub kill {
    my ($self, $signal) = @_;
    CORE::kill $signal // 'KILL', $self->{pid};
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if !$self->{pid};
    local ($?, $!);
    # One that is killed has no figures for `make coverage`.
    my $end = time + ($ENV{RATELIMIT_COVERAGE} ? 3 : 0);
    my $ended;
    while (!$ended && time < $end) {
        shutdown $self->{socket}, 2 if defined fileno $self->{socket};
        select undef, undef, undef, 0.01;
        $ended = waitpid($self->{pid}, POSIX::WNOHANG()) != 0;
    }
    if (!$ended) {
        CORE::kill 'KILL', $self->{pid};
        waitpid $self->{pid}, 0;
    }
    forget_clock($self->{pid});
    return;
}

# What libfaketime leaves of a process that was killed, or may not remove files.
sub forget_clock {
    my ($pid) = @_;
    unlink "/dev/shm/faketime_shm_$pid", "/dev/shm/sem.faketime_sem_$pid";
    return;
}

1;
