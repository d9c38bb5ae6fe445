#!/usr/bin/perl
# Disks that are full, read-only or over quota, with a sound counter file and a damaged one: every
# request is answered, and nothing is lost. Mounts small file systems, which needs root.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Fcntl qw(SEEK_SET);
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(run slurp spew);

plan skip_all => 'needs root, to mount small file systems' if $> != 0;

my $rules = "[rule r]\nkey = sasl_username\nlimit = 1000/hour\n";
my $saved = qr/: \d+ records were saved into a new file, \d+ are damaged; the old file is kept as/;

sub on_disk {
    my (@mount) = @_;
    my $t    = RateTest->new;
    my $disk = $t->mount(@mount) or return;
    mkdir "$disk/folder";
    $t->{disk}     = $disk;
    $t->{database} = "$disk/folder/counters.tdb";
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble', log => 'denied'});
    return $t;
}

my $requests = 0;
sub ask {
    my ($helper, $user) = @_;
    my $start  = time;
    my $answer = $helper->ask(sasl_username => $user, instance => "i$$." . ++$requests) // 'gone';
    return time - $start < 3 ? $answer : "$answer, too late";
}

sub used {
    my ($t) = @_;
    my (undef, @rows) = $t->show;
    return {map { $_->{key} => $_->{used} } grep { $_->{window} == 3600 } @rows};
}

# Makes the record of a key unreadable, in place.
sub damage {
    my ($t, $key) = @_;
    my $bytes = slurp($t->{database});
    $bytes =~ /r:\Q$key\E3 s12 r3 1h\|/ or die 'no such record';
    open my $fh, '+<', $t->{database} or die $!;
    seek $fh, $+[0], SEEK_SET;
    print $fh 'z' x 400;
    close $fh or die $!;
    return;
}

sub lines { my ($t, $what) = @_; return scalar(() = $t->log_text =~ /$what/g) }

subtest 'a disk that is full while a damaged file has to be rescued' => sub {
    my $t = on_disk('-t', 'tmpfs', '-o', 'size=600k', 'none') or plan skip_all => 'no tmpfs here';
    my @helpers = map { $t->helper } 1 .. 2;
    ask($helpers[0], "k$_") for 1 .. 150;
    is(ask($_, 'bad'), 'DUNNO') for @helpers;
    damage($t, 'bad');
    my $bytes = slurp($t->{database});
    open my $fh, '>', "$t->{disk}/filler" or die $!;
    1 while syswrite $fh, 'x' x 4096;
    close $fh;
    is(ask($_, 'bad'), 'WARN trouble', 'on_error') for (@helpers, $t->helper) x 2;
    is(lines($t, qr/counters\.tdb\.new-\d+: can't be /), 3, 'each says why, once')
        or diag $t->log_text;
    ok(slurp($t->{database}) eq $bytes, 'nothing is lost');
    is(ask($_, 'k1'), 'DUNNO', 'other keys go on') for @helpers;
    is_deeply([glob "$t->{disk}/folder/*"], [$t->{database}], 'nothing half done stays behind');
    unlink "$t->{disk}/filler" or die $!;
    sleep 2.1;
    is(ask($_, 'bad'), 'DUNNO', 'with room it is rescued') for (@helpers) x 2;
    is(lines($t, $saved), 1, 'once') or diag $t->log_text;
    my $used = used($t);
    is($used->{bad}, 4, 'the damaged counter starts anew');
    is($used->{k1}, 3, 'the others stay');
    is(scalar(grep { $used->{"k$_"} != 1 } 2 .. 150), 0, 'all of them');
};

subtest 'a full disk while records are resized' => sub {
    my $t = on_disk('-t', 'tmpfs', '-o', 'size=600k', 'none') or plan skip_all => 'no tmpfs here';
    my $helper = $t->helper;
    ask($helper, "k$_") for 1 .. 150;
    $helper->finish;
    open my $fh, '>', "$t->{disk}/filler" or die $!;
    1 while syswrite $fh, 'x' x 4096;
    close $fh;
    $t->configure(
        rules => $rules =~ s/limit = .*/limit = 1000\/hour, 2000\/day, 3000\/week, 4000\/month/r,
        global => {on_error => 'WARN trouble', log => 'denied'});
    $helper = $t->helper;
    my %answers;
    $answers{ask($helper, "k$_")}++ for 1 .. 150;
    is(join(',', sort keys %answers), 'WARN trouble', 'on_error')
        or diag explain(\%answers), $t->log_text;
    is(lines($t, $saved), 0, 'which is not taken for damage');
    is_deeply([glob "$t->{disk}/folder/*"], [$t->{database}], 'nothing half done stays behind');
    is((run('mount', '-o', 'remount,size=8m', $t->{disk}))[0], 0, 'there is room again');
    is(ask($helper, "k$_"), 'DUNNO', 'goes on') for 1, 150;
    my $used = used($t);
    is(scalar(grep { !$used->{"k$_"} } 1 .. 150), 0, 'no counter is lost');
};

subtest 'a disk that becomes read-only' => sub {
    my $t = on_disk('-t', 'tmpfs', '-o', 'size=4m', 'none') or plan skip_all => 'no tmpfs here';
    my @helpers = map { $t->helper } 1 .. 2;
    is(ask($_, 'k1'), 'DUNNO') for @helpers;
    $_->finish for @helpers;
    is((run('mount', '-o', 'remount,ro', $t->{disk}))[0], 0);
    @helpers = map { $t->helper } 1 .. 2;
    is(ask($_, 'k1'), 'WARN trouble', 'on_error') for (@helpers) x 2;
    is(lines($t, qr/counters\.tdb: can't be opened: Read-only file system/),
        2, 'each says why, once')
        or diag $t->log_text;
    is((run('mount', '-o', 'remount,rw', $t->{disk}))[0], 0);
    is(ask($_, 'k1'), 'DUNNO', 'goes on when it can') for @helpers;
    is(used($t)->{k1}, 4, 'with what was counted');
};

subtest 'a damaged file on a disk that is read-only' => sub {
    my $t = on_disk('-t', 'tmpfs', '-o', 'size=4m', 'none') or plan skip_all => 'no tmpfs here';
    spew($t->{database}, 'noise' x 1000);
    is((run('mount', '-o', 'remount,ro', $t->{disk}))[0], 0);
    my $helper = $t->helper;
    is(ask($helper, 'k1'), 'WARN trouble', 'on_error') for 1 .. 2;
    is((run('mount', '-o', 'remount,rw', $t->{disk}))[0], 0);
    is(ask($helper, 'k1'), 'DUNNO', 'rescued when it can be') for 1 .. 2;
    is(lines($t, $saved), 1, 'once') or diag $t->log_text;
};

# An ext4 of its own, in a file, with a limit of blocks for the account.
subtest 'a quota' => sub {
    my $t     = RateTest->new;
    my $image = "$t->{dir}/image";
    open my $fh, '>', $image or die $!;
    truncate $fh, 8 << 20 or die $!;
    close $fh;
    (grep { -x "$_/setquota" } split /:/, $ENV{PATH} . ':/usr/sbin:/sbin')
        or plan skip_all => 'setquota is not installed';
    (run('mkfs.ext4', '-q', '-O', 'quota', $image))[0] eq '0'
        or plan skip_all => 'no mkfs.ext4 here';
    my $user = getpwnam('nobody') or plan skip_all => 'no account nobody';
    my $d = on_disk('-o', 'loop,usrquota', $image)
        or plan skip_all => 'ext4 with quota can not be mounted';
    (run('setquota', '-u', 'nobody', 300, 300, 0, 0, $d->{disk}))[0] eq '0'
        or plan skip_all => 'quota can not be set';
    chmod 0755, $d->{dir};
    chown $user, -1, "$d->{disk}/folder", $d->{config} or die $!;
    spew($d->{logfile}, '');
    chmod 0666, $d->{logfile};
    local $> = $user;
    my $helper = $d->helper;
    my $n = 0;
    $n++ while $n < 2000 && ask($helper, "k$n") eq 'DUNNO';
    cmp_ok($n, '<', 2000, "$n keys went in");
    is(ask($helper, 'late'), 'WARN trouble', 'a new key is answered on_error');
    is(ask($helper, 'k1'), 'DUNNO', 'a known one goes on');
    $helper->finish;
    local $> = 0;
};

# Whatever limits a file, the helper sees the same errors from write and ftruncate: where quota
# can't be had, this is what it comes to, within one file.
subtest 'a limit of the size of files' => sub {
    my $t = RateTest->new;
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble', log => 'denied'});
    ask($t->helper, "k$_") for 1 .. 100;
    ask($t->helper, 'bad');
    damage($t, 'bad');
    my $bytes = slurp($t->{database});
    # ulimit -f counts kilobytes in bash, blocks of 512 bytes in other shells.
    spew("$t->{dir}/limited", "#!/bin/bash\nulimit -f 30\nexec " . RateTest::build_dir()
            . "/policyd-ratelimit -c $t->{config} 2>/dev/null\n");
    chmod 0755, "$t->{dir}/limited";
    spew("$t->{dir}/in", RateTest::Helper::request(sasl_username => 'bad', instance => 'a')
            . RateTest::Helper::request(sasl_username => 'k1', instance => 'b')
            . RateTest::Helper::request(sasl_username => 'new', instance => 'c'));
    my ($status, $out) = run('/bin/bash', '-c', "$t->{dir}/limited <$t->{dir}/in");
    is($status, 0, 'it does not die');
    is($out, "action=WARN trouble\n\naction=DUNNO\n\naction=DUNNO\n\n", 'each request is answered')
        or diag $t->log_text;
    is(length slurp($t->{database}), length $bytes, 'nothing is lost');
    is_deeply([glob "$t->{database}*"], [$t->{database}], 'nothing half done stays behind');
    my $helper = $t->helper;
    is(ask($helper, 'bad'), 'DUNNO', 'without it all goes on') for 1 .. 2;
    is(used($t)->{k1}, 2, 'with what was counted');
};

done_testing;
