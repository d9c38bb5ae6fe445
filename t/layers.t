#!/usr/bin/perl
# The order of the folders (HACKING.md), and who may include what.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(source_dir build_dir slurp run);

# A file includes only from its own folder and from those named here.
my %may_use = (
    base   => [],
    count  => [qw(base)],
    match  => [qw(base)],
    policy => [qw(base)],
    store  => [qw(base)],
    config => [qw(base count match policy)],
    engine => [qw(base count match policy store config)],
    helper => [qw(base count match policy store config engine)],
    ctl    => [qw(base count match policy store config engine)],
);
my %pure = map { $_ => 1 } qw(count match policy);

# The only places that include a library's header.
my %library = (
    'ini.h'            => qr{^config/file\.c$},
    'tdb.h'            => qr{^store/tdb/},
    'jansson.h'        => qr{^ctl/table\.c$},
    'curses.h'         => qr{^ctl/screen\.c$},
    'seccomp.h'        => qr{^helper/confine_filter\.c$},
    'linux/landlock.h' => qr{^helper/confine\.c$},
);

my $src   = source_dir() . '/src';
my @paths = sort map { chomp; $_ } `find '$src' -name '*.[ch]'`;
my (%text, %includes);
for my $path (@paths) {
    my $file = substr $path, length("$src/");
    $text{$file} = slurp($path);
    $includes{$file} = [$text{$file} =~ /^#include "(.+\.h)"/mg];
}
is_deeply([grep { !$may_use{$_} } map { m{^([^/]+)/} ? $1 : $_ } keys %text], [],
    'every file has a layer');

for my $file (sort keys %text) {
    my ($folder) = $file =~ m{^([^/]+)/};
    my %allowed = map { $_ => 1 } $folder, @{$may_use{$folder}};
    my @strangers = grep { m{^([^/]+)/} && !$allowed{$1} } @{$includes{$file}};
    is_deeply(\@strangers, [], "$file includes from lower folders alone");
    my @absent = grep { !$text{$_} } @{$includes{$file}};
    is_deeply(\@absent, [], "$file names folders in its includes");
    if ($pure{$folder}) {
        unlike($text{$file}, qr/\b(?:clock_\w+|log_line|fopen|open|fprintf)\(/, "$file is pure");
    }
    if ($folder ne 'helper' && $folder ne 'ctl') {
        unlike($text{$file}, qr/\b(?:log_line|exit|abort|err|errx|warn|warnx)\(/,
            "$file neither logs nor ends the process")
            if $file !~ m{^base/log\.};
    }
    cmp_ok(scalar(() = $text{$file} =~ /\n/g), '<=', 600, "$file can be read in one sitting");
    unlike($text{$file}, qr/^.{101}/m, "$file keeps to 100 columns");
    my @wrong = grep { $file !~ ($library{$_} // qr//) } $text{$file} =~ /^#include <(.+)>/mg;
    is_deeply(\@wrong, [], "$file leaves libraries to those that wrap them");
    unlike($text{$file}, qr/\b(?:clock_gettime|gettimeofday|time)\((?:NULL|CLOCK|&)/,
        "$file asks clock.h")
        if $file ne 'base/clock.c';
    like($text{$file}, qr{\A/\*\n \* .*?SPDX-License-Identifier: BSD-2-Clause\n \*/\n}s,
        "$file says what it is");
}

# A header that leads back to itself by includes.
sub reaches {
    my ($from, $to, $seen) = @_;
    for my $next (@{$includes{$from}}) {
        return 1 if $next eq $to;
        return 1 if !$seen->{$next}++ && reaches($next, $to, $seen);
    }
    return 0;
}
is_deeply([grep { reaches($_, $_, {}) } sort keys %text], [],
    'no header includes itself in a circle');

# Files that call each other in a circle, by the symbols of their objects.
my (%defines, %needs);
for my $file (grep { /\.c$/ && $_ ne 'helper/confine_filter.c' } sort keys %text) {
    my ($folder, $name) = $file =~ m{^(.*)/([^/]+)\.c$};
    my ($object) = grep { -e } map { build_dir() . "/src/$folder/$_$name.o" }
        '', 'policyd_ratelimit_ctl-', 'policyd_ratelimit-';
    ok($object, "$file has an object") or next;
    my (undef, $symbols) = run('nm', $object);
    $defines{$_} = $file for $symbols =~ /^[0-9a-f]+ [TDBRV] (\S+)$/mg;
    $needs{$file} = [$symbols =~ /^\s+U (\S+)$/mg];
}
my %calls = map {
    my $file = $_;
    $file => [grep { $_ && $_ ne $file } map { $defines{$_} } @{$needs{$file}}]
} keys %needs;

sub circle {
    my ($from, $to, $seen, @way) = @_;
    for my $next (@{$calls{$from}}) {
        return (@way, $next) if $next eq $to;
        next if $seen->{$next}++;
        my @found = circle($next, $to, $seen, @way, $next);
        return @found if @found;
    }
    return;
}
for my $file (sort keys %calls) {
    my @way = circle($file, $file, {}, $file);
    is_deeply(\@way, [], "$file calls nothing that calls it back");
    my ($folder) = $file =~ m{^([^/]+)/};
    my %allowed = map { $_ => 1 } $folder, @{$may_use{$folder}};
    is_deeply([grep { m{^([^/]+)/} && !$allowed{$1} } @{$calls{$file}}], [],
        "$file calls lower folders alone");
}
cmp_ok(scalar(map { @$_ } values %calls), '>', 100, 'calls were found');

# So do tests and benchmarks keep to 100 columns.
my $top  = source_dir();
my @long = grep { slurp($_) =~ /^.{101}/m } map { chomp; $_ }
    `find '$top/t' '$top/bench' -name '*.[ch]' -o -name '*.t' -o -name '*.pm' -o -name run`;
is_deeply(\@long, [], 'tests and benchmarks keep to 100 columns');

# Every header compiles alone.
my $compiler = $ENV{CC} // 'cc';
for my $header (grep { /\.h$/ } sort keys %text) {
    my ($status, undef, $errors) = run($compiler, '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra',
        '-Werror', '-fsyntax-only', "-I$src", '-x', 'c', "$src/$header");
    is($status, 0, "$header compiles alone") or diag $errors;
}

# The helper links tdb, inih and libc, and nothing else.
my (undef, $needed) = run('objdump', '-p', build_dir() . '/policyd-ratelimit');
my $allowed   = qr/libc|libtdb|libinih|lib(?:a|ub|l|t)san|libm|ld-linux.*|libgcc_s|libclang_rt.*/;
my @libraries = grep { !/^(?:$allowed)\.so/ } $needed =~ /NEEDED\s+(\S+)/g;
is_deeply(\@libraries, [], 'libraries of the helper');

done_testing;
