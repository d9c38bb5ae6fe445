#!/usr/bin/perl
# The manual: well-formed, and complete as to options, commands and samples.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use RateTest qw(run slurp spew source_dir build_dir);

my ($source, $build) = (source_dir(), build_dir());

for my $page (qw(policyd-ratelimit.8 policyd-ratelimit-ctl.8 policyd-ratelimit.conf.5)) {
    # Whether pages that are referred to are installed here does not matter.
    my ($status, $out, $err) = run('mandoc', '-Tlint', "$build/doc/$page");
    is(
        join('', grep { !/referenced manual not found|mandoc\.db lacks/ } split /^/m, $out . $err),
        '',
        "mandoc -Tlint $page");
}

# Text of a page without mark-up.
sub page {
    my ($name) = @_;
    return (run('mandoc', '-Tascii', '-Owidth=200', "$build/doc/$name"))[1] =~ s/.\x08//gr
}

my $ctl = "$build/policyd-ratelimit-ctl";
my $dir = tempdir(CLEANUP => 1);
spew("$dir/conf", "[rule r]\nkey = sender\nlimit = 1/hour\n");
my (undef, $settings) = run($ctl, '-c', "$dir/conf", 'config');
my $manual = page('policyd-ratelimit.conf.5');
my $sample = slurp("$build/doc/policyd-ratelimit.conf");
while ($settings =~ /^(\w+)\.(\w+) = (.*)$/mg) {
    my ($section, $option, $default) = ($1, $2, $3);
    like($manual, qr/^\s+\Q$option\E = /m, "policyd-ratelimit.conf(5) has $option");
    like($sample, qr/^#?\s*\Q$option\E\s*= /m, "so has the sample configuration");
}
my $commands = page('policyd-ratelimit-ctl.8');
my (undef, $help) = run($ctl);
while ($help =~ /^  (\w+) +[\[K]/mg) {
    my $command = $1;
    like($commands, qr/^\s+$command\b/m, "policyd-ratelimit-ctl(8) has $command");
}

# Every configuration that the manual shows can be used as it is.
my $text = slurp("$build/doc/policyd-ratelimit.conf.5") . slurp("$source/README.md");
my @examples = $text =~ /^(?:\.Bd -literal[^\n]*|```ini)\n((?:[^\n]*\n)*?)(?:\.Ed|```)/mg;
@examples = grep {/^\[(?:global|rule)/m} @examples;
cmp_ok(scalar @examples, '>=', 3, 'examples in the manual');
for my $example (@examples) {
    spew("$dir/example", $example =~ s/\\&//gr =~ s/\\-/-/gr =~ s/\\e/\\/gr);
    is_deeply([(run($ctl, '-c', "$dir/example", 'config'))[0, 2]], [0, ''], 'is good')
        or diag $example;
}

SKIP: {
    skip 'Postfix is not installed', 2 if !-x '/usr/sbin/postconf';
    mkdir "$dir/postfix";
    spew("$dir/postfix/main.cf", "compatibility_level = 3.6\n");
    spew("$dir/postfix/master.cf", slurp("$build/doc/master.cf.example"));
    my ($status, $out, $err) =
        run('/usr/sbin/postconf', '-c', "$dir/postfix", '-M', 'policyd-ratelimit/unix');
    is($status . $err, '0', 'Postfix can read master.cf.example');
    like($out, qr/^policyd-ratelimit unix\s+-\s+n\s+n\s+-\s+0\s+spawn user=\S+ argv=\S+$/,
        'its spawn entry');
}

my $readme = slurp("$source/README.md");
unlike($readme, qr/^ +(?:[#\$] |.*\| *)?sudo /m, 'README needs no sudo');
like($readme, qr/no `main\.cf`/, 'README says what to do about a Postfix without main.cf');

# Without a timeout, mail would wait for minutes if the helper can't be started.
my %shown = map { ($_ => slurp($_)) } glob "$source/README.md $source/doc/* "
    . "$source/master.cf.example $source/examples/* $source/t/demo";
for my $file (sort keys %shown) {
    my $shown = $shown{$file} =~ s/^#//mgr;
    my @checks = $shown =~ /check_policy_service\s+(\{[^}]*\}|(?:unix|inet):\S+)/g;
    is_deeply([grep { !/\A\{\s*\w+:[^,]+,\s*timeout=10s,\s*default_action=DUNNO\b/ } @checks], [],
        "timeout and default_action in $file");
}
like($readme, qr/^\s*\.\/bootstrap $_\b/m, "README has ./bootstrap $_") for qw(demo check);

done_testing;
