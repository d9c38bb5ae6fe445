# A Postfix of one's own, wholly inside a temporary folder: with SMTP AUTH, the helper
# behind spawn(8), and every mail discarded. Uses nothing of the machine's own Postfix but
# its programs. It is stopped and removed when the object or the process goes.
# SPDX-License-Identifier: BSD-2-Clause
package PrivatePostfix;
use strict;
use warnings;
use File::Copy qw(copy);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use Scalar::Util qw(weaken);
use Time::HiRes qw(time);

use constant { REALM => 'example.org', PATIENCE_S => 10, STOP_S => 5 };

my @SIGNALS = qw(INT TERM HUP);
my %alive;    # what is still to be stopped, by folder

# Why this can't work here, or nothing. More programs that are needed may be named.
sub missing {
    my @programs = @_;
    return 'needs root' if $> != 0;
    for my $program (qw(postconf saslpasswd2), @programs) {
        return "needs $program" unless grep { -x "$_/$program" } path();
    }
    for my $account (qw(postfix nobody)) {
        return "needs the account $account" unless defined getpwnam $account;
    }
    return;
}

sub path { return split(/:/, $ENV{PATH} // ''), qw(/usr/sbin /sbin /usr/local/sbin) }

# new(restrictions => {smtpd_recipient_restrictions => '...', ...}, config => "[rule ...] ...")
# config is what follows [global], which is added here. parent is where its folder is made.
sub new {
    my ($class, %option) = @_;
    my $parent = $option{parent} // '/tmp';
    my $dir  = tempdir('policyd-ratelimit-XXXXXXXX', DIR => $parent, CLEANUP => 0);
    my $self = bless {dir => $dir, owner => $$, password => random_word()}, $class;
    weaken($alive{$dir} = $self);
    $SIG{$_} = \&end_by_signal for @SIGNALS;

    my $build = $ENV{top_builddir} // 'build';
    chmod 0711, $dir or die "chmod $dir: $!\n";
    copy("$build/policyd-ratelimit", "$dir/policyd-ratelimit")
        or die "$build/policyd-ratelimit can't be copied to $dir: $!\n";
    chmod 0755, "$dir/policyd-ratelimit";
    $self->make_folders;
    $self->make_sasl_users(qw(alice bob));
    $self->configure(%option);
    return $self;
}

sub random_word { return join '', map { ('a' .. 'z', 0 .. 9)[rand 36] } 1 .. 16 }

# What post-install(1) would make for a queue, and folders for the rest.
sub make_folders {
    my ($self) = @_;
    my @queues = qw(active bounce corrupt defer deferred flush hold incoming saved trace);
    $self->make_folder(0755, 'root', qw(etc etc/sasl queue queue/pid));
    $self->make_folder(0700, 'postfix', qw(data queue/private), map {"queue/$_"} @queues);
    $self->make_folder(0710, 'postfix', 'queue/public');
    $self->make_folder(0730, 'postfix', 'queue/maildrop');
    my $postdrop = getgrnam('postdrop') // die "needs the group postdrop\n";
    chown -1, $postdrop, map {"$self->{dir}/queue/$_"} qw(public maildrop);
    return;
}

sub make_folder {
    my ($self, $mode, $owner, @names) = @_;
    my ($uid, $gid) = (getpwnam $owner)[2, 3];
    for my $folder (map {"$self->{dir}/$_"} @names) {
        mkdir $folder or die "mkdir $folder: $!\n";
        chown $uid, $gid, $folder;
        chmod $mode, $folder;
    }
    return;
}

sub make_sasl_users {
    my ($self, @users) = @_;
    my $file = "$self->{dir}/etc/sasl/sasldb2";
    local $ENV{PATH} = join ':', path();
    for my $user (@users) {
        open my $pipe, '|-', 'saslpasswd2', '-c', '-p', '-f', $file, '-u', REALM, $user
            or die "saslpasswd2: $!\n";
        print {$pipe} $self->{password};
        close $pipe or die "saslpasswd2 failed for $user\n";
    }
    chown((getpwnam 'postfix')[2, 3], $file);
    write_file("$self->{dir}/etc/sasl/smtpd.conf", <<"END");
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: $file
mech_list: PLAIN LOGIN
END
    return;
}

# Writes everything that a test may choose; the helper starts from empty counters.
sub configure {
    my ($self, %option) = @_;
    my $dir = $self->{dir};
    remove_tree("$dir/policy");
    $self->make_folder(0700, 'nobody', 'policy');
    $self->{restrictions} = $option{restrictions} if $option{restrictions};
    $self->{config}       = $option{config}       if $option{config};
    write_file($self->config_path, <<"END" . ($self->{config} // ''));
[global]
database = ${\$self->database_path}
state_directory = $dir/policy
user = nobody
log = all
log_target = file:${\$self->helper_log_path}

END
    my %restriction = (
        smtpd_recipient_restrictions => 'permit_sasl_authenticated, reject',
        %{$self->{restrictions} // {}},
    );
    $self->write_main_cf(map {"$_ = $restriction{$_}\n"} sort keys %restriction);
    return;
}

sub write_main_cf {
    my ($self, @more) = @_;
    my $dir = $self->{dir};
    my $file = "$dir/etc/main.cf";
    write_file($file, <<"END", @more);
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
meta_directory = $dir/etc
mail_owner = postfix
setgid_group = postdrop
maillog_file = $dir/maillog
maillog_file_prefixes = $dir
syslog_name = postfix

myhostname = mail.${\REALM}
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
default_transport = discard:
relay_transport = discard:
local_transport = discard:
virtual_transport = discard:
notify_classes =
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_tls_security_level = none

smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = ${\REALM}
cyrus_sasl_config_path = $dir/etc/sasl
smtpd_relay_restrictions = permit_sasl_authenticated, reject

policy_time_limit = 3600
END
    # Postfix waits for seconds if the file is new: it may be half written.
    utime time - 60, time - 60, $file;
    return;
}

sub write_master_cf {
    my ($self) = @_;
    my $dir = $self->{dir};
    write_file("$dir/etc/master.cf", <<"END");
127.0.0.1:$self->{port} inet n - n - - smtpd
pickup   unix  n - n 60 1 pickup
cleanup  unix  n - n - 0 cleanup
qmgr     unix  n - n 300 1 qmgr
rewrite  unix  - - n - - trivial-rewrite
bounce   unix  - - n - 0 bounce
defer    unix  - - n - 0 bounce
trace    unix  - - n - 0 bounce
verify   unix  - - n - 1 verify
proxymap unix  - - n - - proxymap
error    unix  - - n - - error
retry    unix  - - n - - error
discard  unix  - - n - - discard
anvil    unix  - - n - 1 anvil
postlog  unix-dgram n - n - 1 postlogd
policy   unix  - n n - 0 spawn
    user=nobody argv=$dir/policyd-ratelimit -c ${\$self->config_path}
END
    return;
}

sub dir             { return $_[0]{dir} }
sub port            { return $_[0]{port} }
sub password        { return $_[0]{password} }
sub login           { return "$_[1]@" . REALM }
sub config_path     { return "$_[0]{dir}/policyd-ratelimit.conf" }
sub database_path   { return "$_[0]{dir}/policy/counters.tdb" }
sub helper_log_path { return "$_[0]{dir}/policy/log" }
sub mail_log        { return read_file("$_[0]{dir}/maillog") }
sub helper_log      { return read_file($_[0]->helper_log_path) }

# Starts on a free port. Another program may take it first: then once more on another one.
sub start {
    my ($self) = @_;
    for my $try (1 .. 5) {
        $self->{port} = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
        $self->write_master_cf;
        if ($self->run_master) {
            $self->connect->quit;
            return $self;
        }
        last if $self->mail_log !~ /Address already in use/;
    }
    die "Postfix did not start:\n", read_file("$self->{dir}/master.out"), $self->mail_log;
}

# With -w, master(8) returns when all its sockets listen; -e is for when we get killed.
# A signal has to wait until then, so that it does not miss a master that is starting.
sub run_master {
    my ($self) = @_;
    my $signal;
    my $done = do {
        local @SIG{@SIGNALS} = (sub { $signal = $_[0] }) x @SIGNALS;
        $self->spawn_master;
    };
    end_by_signal($signal) if $signal;
    return $done;
}

sub spawn_master {
    my ($self) = @_;
    my $dir = $self->{dir};
    local $ENV{PATH} = join ':', path();
    chomp(my $daemons = `postconf -c $dir/etc -dh daemon_directory`);
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        %ENV = (PATH => $ENV{PATH}, MAIL_CONFIG => "$dir/etc", LANG => 'C');
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', "$dir/master.out";
        open STDERR, '>&', \*STDOUT;
        exec "$daemons/master", '-c', "$dir/etc", '-w', '-e', 900 or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return $? == 0;
}

# Starts anew: with other settings, if given, and in any case with empty counters.
sub reconfigure {
    my ($self, %option) = @_;
    $self->stop_master;
    $self->configure(%option);
    return $self->start;
}

# Our processes work in our folder: master(8) and all of its children, so helpers as well.
sub processes {
    my ($self) = @_;
    return grep {
        my $pid = $_;
        grep { /^\Q$self->{dir}\E\// } map { readlink("/proc/$pid/$_") // '' } qw(cwd exe)
    } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

sub stop_master {
    my ($self) = @_;
    my ($master) = read_file("$self->{dir}/queue/pid/master.pid") =~ /(\d+)/;
    my @left = $self->processes;
    kill 'TERM', grep { $_ == ($master // 0) } @left;
    my $start = time;
    while (@left && time < $start + 2 * STOP_S) {
        kill 'KILL', @left if time > $start + STOP_S;
        pause();
        @left = $self->processes;
    }
    warn "still running: @left\n" if @left;
    unlink "$self->{dir}/queue/pid/master.pid";
    return;
}

# Stops and removes it all; nothing may come in between.
sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $@, $!);
    local @SIG{@SIGNALS} = ('IGNORE') x @SIGNALS;
    return if !delete $alive{$self->{dir}};
    $self->stop_master;
    remove_tree($self->{dir});
    return;
}

sub DESTROY { $_[0]->stop; return }

END { $_->stop for grep {defined} values %alive }

sub end_by_signal {
    my ($signal) = @_;
    my %number = (HUP => 1, INT => 2, TERM => 15);
    exit 128 + $number{$signal};
}

sub pause { select undef, undef, undef, 0.01; return }

# Whether it comes true before patience ends.
sub wait_for {
    my ($self, $condition) = @_;
    my $end = time + PATIENCE_S;
    until ($condition->()) {
        return 0 if time > $end;
        pause();
    }
    return 1;
}

sub wait_for_mail_log {
    my ($self, $pattern) = @_;
    return $self->wait_for(sub { $self->mail_log =~ $pattern });
}

# The lines of the helper's log, once there are so many. (It logs when it has answered.)
sub helper_log_lines {
    my ($self, $wanted) = @_;
    my @lines;
    $self->wait_for(sub { @lines = split /\n/, $self->helper_log; @lines >= ($wanted // 0) });
    return @lines;
}

sub connect { return PrivatePostfix::Client->new($_[0]) }

# send(user => 'alice', recipients => [...], messages => 2, size => 1000): in one connection.
# For each message {mail =>, rcpt => [...], data =>, end =>, accepted => how many recipients}.
sub send {
    my ($self, %option) = @_;
    my $client = $self->connect->auth($option{user});
    my @result = map { $client->message(%option) } 1 .. $option{messages} // 1;
    $client->quit;
    return @result;
}

sub write_file {
    my ($path, @text) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    print {$file} @text;
    close $file or die "$path: $!\n";
    return;
}

# Empty if there is none.
sub read_file {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

# One SMTP connection.
package PrivatePostfix::Client;
use IO::Select;
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(time);

sub new {
    my ($class, $postfix) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $postfix->port,
        Timeout  => PrivatePostfix::PATIENCE_S,
    ) or die "no connection to Postfix: $!\n";
    my $self = bless {postfix => $postfix, socket => $socket, input => ''}, $class;
    $self->expect(qr/^220 /, $self->reply);
    $self->expect(qr/^250 /, $self->command('EHLO client.example.net'));
    return $self;
}

# Without line ends; of a reply of several lines the last one.
sub reply {
    my ($self) = @_;
    my $end = time + PrivatePostfix::PATIENCE_S;
    while ($self->{input} !~ /^\d{3}(?: .*)?\r\n\z/m) {
        IO::Select->new($self->{socket})->can_read($end - time > 0 ? $end - time : 0)
            or die "Postfix did not answer in time:\n", $self->{postfix}->mail_log;
        sysread($self->{socket}, $self->{input}, 4096, length $self->{input})
            or die "Postfix closed the connection:\n", $self->{postfix}->mail_log;
    }
    my @lines = split /\r\n/, $self->{input};
    $self->{input} = '';
    return $lines[-1];
}

sub command {
    my ($self, $line) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{socket} } "$line\r\n";
    return $self->reply;
}

sub expect {
    my ($self, $pattern, $reply) = @_;
    die "Postfix answered \"$reply\":\n", $self->{postfix}->mail_log if $reply !~ $pattern;
    return $reply;
}

sub auth {
    my ($self, $user) = @_;
    my $postfix  = $self->{postfix};
    my $response = encode_base64(join("\0", '', $postfix->login($user), $postfix->password), '');
    $self->expect(qr/^235 /, $self->command("AUTH PLAIN $response"));
    return $self;
}

# Goes on to DATA if a recipient was accepted, and to the end if DATA was.
sub message {
    my ($self, %option) = @_;
    my $from = $option{from} // 'sender@example.net';
    my %result = (mail => $self->command("MAIL FROM:<$from>"));
    $result{rcpt} = [map { $self->command("RCPT TO:<$_>") } @{$option{recipients}}];
    $result{accepted} = grep {/^250 /} @{$result{rcpt}};
    if ($result{accepted}) {
        $result{data} = $self->command('DATA');
        $result{end} = $self->command(text($option{size} // 200) . '.') if $result{data} =~ /^354 /;
    }
    $self->command('RSET') unless ($result{end} // '') =~ /^250 /;
    return \%result;
}

# A message of that many bytes, 60 at least, with the line ends of SMTP.
sub text {
    my ($size) = @_;
    my $text = "Subject: a test\r\nFrom: <sender\@example.net>\r\n\r\n";
    my $line = ('x' x 70) . "\r\n";
    my $rest = $size - length $text;
    $text .= $line x int($rest / 72);
    $rest %= 72;
    $text =~ s/x\r\n\z/\r\n/ && $rest++ if $rest == 1;
    return $text . ($rest ? ('x' x ($rest - 2)) . "\r\n" : '');
}

sub quit {
    my ($self) = @_;
    $self->command('QUIT');
    close $self->{socket};
    return;
}

1;
