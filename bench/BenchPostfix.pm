# The tests' Postfix, for bulk mail from loopback: without SMTP AUTH, and with the helper's default
# log level.
# SPDX-License-Identifier: BSD-2-Clause
package BenchPostfix;
use strict;
use warnings;
use File::Copy qw(copy);
use Time::HiRes qw(time);
use parent 'PrivatePostfix';

use constant { SESSIONS => 8, MESSAGE_BYTES => 4096 };

sub missing { return PrivatePostfix::missing(@_) }

sub configure {
    my ($self, %option) = @_;
    $self->SUPER::configure(%option);
    my $config = PrivatePostfix::read_file($self->config_path);
    $config =~ s/^log = all$/log = denied/m;
    PrivatePostfix::write_file($self->config_path, $config);
    # At its start, the helper waits for a file that was just written.
    utime time - 60, time - 60, $self->config_path;
    return;
}

# Restarts it with empty counters and these parameters in main.cf.
sub restart {
    my ($self, %parameter) = @_;
    my %all = (
        smtpd_sasl_auth_enable   => 'no',
        smtpd_relay_restrictions => 'permit_mynetworks, reject',
        smtpd_recipient_restrictions => 'permit_mynetworks, reject',
        %parameter,
    );
    return $self->reconfigure(restrictions => \%all);
}

sub write_main_cf {
    my ($self, @more) = @_;
    my %ours = map { /^(\S+) =/ ? ($1 => 1) : () } @more;
    $self->SUPER::write_main_cf(@more);
    my $file = $self->dir . '/etc/main.cf';
    my @lines = split /^/, PrivatePostfix::read_file($file);
    # The last setting wins, but Postfix would warn of the earlier ones, so they are removed.
    my $first = @lines - @more;
    @lines = grep { !(/^(\S+) =/ && $ours{$1}) } @lines[0 .. $first - 1];
    PrivatePostfix::write_file($file, @lines, @more);
    utime time - 60, time - 60, $file;
    return;
}

# Sets the program that spawn(8) starts from now on.
sub use_program {
    my ($self, $program) = @_;
    my $path = $self->dir . '/policyd-ratelimit';
    copy($program, "$path.new") && chmod(0755, "$path.new") && rename "$path.new", $path
        or die "$program can't be copied to $path: $!\n";
    return;
}

# Sends messages and waits until the queue is empty. Returns messages/s, until all were accepted.
sub pass_mail {
    my ($self, $count) = @_;
    local $ENV{PATH} = join ':', PrivatePostfix::path();
    my $start = time;
    my @mail = ('-l', MESSAGE_BYTES, '-f', 'alice@example.org', '-t', 'someone@example.com');
    system('smtp-source', '-s', SESSIONS, '-m', $count, @mail, '127.0.0.1:' . $self->port) == 0
        or die "smtp-source failed:\n", $self->mail_log;
    my $rate = $count / (time - $start);
    my $queue = $self->dir . '/queue';
    $self->wait_for(sub { !glob "$queue/incoming/* $queue/active/*" })
        or die "the queue does not become empty\n";
    return $rate;
}

1;
