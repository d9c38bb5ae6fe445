#!/usr/bin/perl
# The order of the layers (HACKING.md), and who may include what.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(source_dir build_dir slurp run);

# A file includes only what stands in its own layer or above it.
my @layers = (
    [qw(util log clock)],
    [qw(limit rate digits record record_format record_convert record_log counter template netaddr pattern key override allowance)],
    [qw(policy config config_key config_options config_rule store store_file store_map store_rewrite
        store_salvage store_walk store_watch confine)],
    [qw(rule quota engine engine_keep verdict)],
    [qw(policyd-ratelimit ctl ctl_allow ctl_check ctl_config ctl_explain ctl_load ctl_mail ctl_metrics ctl_postconf ctl_postfix ctl_postfix_lists
        ctl_postfix_smtpd ctl_progress ctl_report ctl_reset ctl_rows
        ctl_show ctl_time ctl_top ctl_top_draw output screen confine_filter)],
);
my %layer;
for my $n (0 .. $#layers) { $layer{$_} = $n for @{$layers[$n]} }

my %system = ('ini.h' => qr/^config\.c$/, 'tdb.h' => qr/^store(?:_file|_map|_rewrite|_salvage|_walk)?\.c$/, 'jansson.h' => qr/^output\.c$/,
    'seccomp.h' => qr/^confine_filter\.c$/, 'linux/landlock.h' => qr/^confine\.c$/);
my $src = source_dir() . '/src';
for my $path (sort glob "$src/*.[ch]") {
    my ($file, $name) = $path =~ m{/(([^/]+)\.[ch])$};
    my $text = slurp($path);
    ok(defined $layer{$name}, "$file has a layer") or next;
    my @low = grep { ($layer{$_} // 99) > $layer{$name} } $text =~ /^#include "(.+)\.h"/mg;
    is_deeply(\@low, [], "$file includes nothing of a later layer");
    if ($layer{$name} == 1) {
        unlike($text, qr/\b(?:clock_now_ms|log_line|fopen|open|fprintf)\(/, "$file is pure");
    }
    if ($layer{$name} >= 1 && $layer{$name} <= 3) {
        unlike($text, qr/\b(?:log_line|exit|err|errx|warn|warnx)\(/, "$file neither logs nor exits");
    }
    my @wrong = grep { $file !~ ($system{$_} // qr//) } $text =~ /^#include <(.+)>/mg;
    is_deeply(\@wrong, [], "$file leaves libraries to those that wrap them");
    unlike($text, qr/\b(?:clock_gettime|gettimeofday|time)\((?:NULL|CLOCK|&)/, "$file asks clock.h")
        if $name ne 'clock';
    like($text, qr{\A/\*\n \* .*?SPDX-License-Identifier: BSD-2-Clause\n \*/\n}s, "$file says what it is");
}

# Every header compiles alone.
my $compiler = $ENV{CC} // 'cc';
for my $header (sort glob "$src/*.h") {
    my ($status, undef, $errors) = run($compiler, '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra',
        '-Werror', '-fsyntax-only', '-x', 'c', $header);
    is($status, 0, "$header compiles alone") or diag $errors;
}

# The helper links tdb, inih and libc, and nothing else.
my (undef, $needed) = run('objdump', '-p', build_dir() . '/policyd-ratelimit');
my @libraries = grep { !/^(?:libc|libtdb|libinih|lib(?:a|ub|l|t)san|libm|ld-linux.*|libgcc_s|libclang_rt.*)\.so/ }
    $needed =~ /NEEDED\s+(\S+)/g;
is_deeply(\@libraries, [], 'libraries of the helper');

done_testing;
