#!/usr/bin/perl
# make install: what goes where, under which paths, and what a second one leaves alone.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Find qw(find);
use File::Temp qw(tempdir);
use Test::More;
use RateTest qw(run slurp spew source_dir build_dir);

my $source = abs_path(source_dir());
# The make that runs this test must not pass on its own settings.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL DESTDIR)};

sub files {
    my ($root) = @_;
    my @files;
    find({no_chdir => 1, wanted => sub { push @files, substr $_, length $root if -f $_ }}, $root);
    return [sort @files];
}

# Out of tree, with every path other than the default.
my $build = tempdir(CLEANUP => 1);
# How fast the programs are does not matter here; that they are built soon does.
my @flags = ('CFLAGS=' . ($ENV{CFLAGS} // '-O0'), map {"CC=$_"} grep {defined} $ENV{CC});
my ($status, $out, $err) = run('sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $build,
    "$source/configure", '-q', '--prefix=/opt/limiter', '--sysconfdir=/etc/limiter',
    '--localstatedir=/srv', 'POLICYD_USER=ratelimit', @flags);
is($status, 0, 'configure') or BAIL_OUT($out . $err);
my $root = tempdir(CLEANUP => 1);
my @make = ('make', '-s', '-C', $build, "DESTDIR=$root");
($status, $out, $err) = run(@make, 'install');
is($status, 0, 'make install') or diag $out . $err;
my @expected = map {"/opt/limiter/$_"} (
    'libexec/policyd-ratelimit',
    'sbin/policyd-ratelimit-ctl',
    'share/bash-completion/completions/policyd-ratelimit-ctl',
    (map {"share/doc/policyd-ratelimit/$_"} qw(
        HACKING.md LICENSE NEWS README.md SECURITY.md counter-file.md master.cf.example
        migration.md performance.md policyd-ratelimit.conf robustness.md)),
    (map {"share/doc/policyd-ratelimit/examples/$_"}
        'grafana-dashboard.json', 'policyd-ratelimit.cron',
        map { ("policyd-ratelimit-$_.service", "policyd-ratelimit-$_.timer") }
            qw(clean metrics report)),
    'share/man/man5/policyd-ratelimit.conf.5',
    'share/man/man8/policyd-ratelimit-ctl.8',
    'share/man/man8/policyd-ratelimit.8',
    'share/zsh/site-functions/_policyd-ratelimit-ctl',
);
is_deeply(files($root), [sort '/etc/limiter/policyd-ratelimit.conf', @expected],
    'every file in its place');
ok(-d "$root/srv/lib/policyd-ratelimit", 'the folder of the counters');
is((stat _)[2] & 0007, 0, 'closed to others');

my $ctl = "$root/opt/limiter/sbin/policyd-ratelimit-ctl";
my $conf = "$root/etc/limiter/policyd-ratelimit.conf";
($status, $out, $err) = run($ctl, '-c', $conf, 'config');
is($status . $err, '0', 'the sample configuration is good');
like($out, qr{^global\.database = /srv/lib/policyd-ratelimit/counters\.tdb$}m, 'compiled defaults');
like($out, qr{^global\.user = ratelimit$}m);
like((run($ctl, '--help'))[1], qr{/etc/limiter/policyd-ratelimit\.conf});
my $master = slurp("$root/opt/limiter/share/doc/policyd-ratelimit/master.cf.example");
like($master, qr{user=ratelimit\b.*argv=/opt/limiter/libexec/policyd-ratelimit}s,
    'the spawn entry');
my $examples = join '',
    map { slurp($_) } glob "$root/opt/limiter/share/doc/policyd-ratelimit/examples/*";
like($examples, qr{^ExecStart=/opt/limiter/sbin/policyd-ratelimit-ctl report }m, 'units');
like($examples, qr{^ReadWritePaths=/srv/lib/policyd-ratelimit$}m);
like($examples, qr{^User=ratelimit$}m);
my $pages = join '', map { slurp($_) } glob "$root/opt/limiter/share/man/man?/*";
like($pages, qr{/etc/limiter/policyd-ratelimit\.conf}, 'manual pages');
unlike($pages . $master . $examples, qr/\@[a-z]+dir\@|\@user\@/, 'no placeholder is left');

spew($conf, slurp($conf) . "# changed\n");
is((run(@make, 'install'))[0], 0, 'installed once more');
like(slurp($conf), qr/^# changed$/m, 'a changed configuration stays');
is((run(@make, 'uninstall'))[0], 0);
is_deeply(files($root), ['/etc/limiter/policyd-ratelimit.conf'], 'also when all else goes');

done_testing;
