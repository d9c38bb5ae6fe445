#!/usr/bin/perl
# The programs are hardened and link shared libraries, and the builder's own flags win.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use Test::More;
use RateTest qw(run slurp source_dir build_dir);

my $source = abs_path(source_dir());

# A variable of a build folder's Makefile.
sub setting {
    my ($build, $name) = @_;
    my ($value) = slurp("$build/Makefile") =~ /^\Q$name\E = *(.*?) *$/m;
    return $value // '';
}

# What readelf or nm prints of a program.
sub output_of {
    my @command = @_;
    my ($status, $out, $err) = run(@command);
    is($status, 0, "@command[0, 1] works") or diag $err;
    return $out;
}

my $build = build_dir();
for my $program (qw(policyd-ratelimit policyd-ratelimit-ctl)) {
    my $path = "$build/$program";
    subtest "$program: shared libraries" => sub {
        my $dynamic = output_of('readelf', '-dW', $path);
        like($dynamic, qr/\(NEEDED\).*\[\Q$_\E\.so/, $_) for qw(libtdb libinih libc);
    };
    subtest "$program: protections" => sub {
        plan skip_all => 'configured with --disable-hardening'
            if setting($build, 'enable_hardening') eq 'no';
        my $cflags = setting($build, 'CFLAGS');
        plan skip_all => 'a sanitizer does without FORTIFY_SOURCE' if $cflags =~ /-fsanitize/;
        like(output_of('readelf', '-hW', $path), qr/Type: +DYN /, 'position-independent');
        my $segments = output_of('readelf', '-lW', $path);
        like($segments, qr/ INTERP /,    'a program, not a library');
        like($segments, qr/ GNU_RELRO /, 'relocations are read-only');
        like($segments, qr/ GNU_STACK .* RW /, 'the stack is not executable');
        my $dynamic = output_of('readelf', '-dW', $path);
        like($dynamic, qr/\(FLAGS\).*BIND_NOW/,
            'all of them, since symbols are bound at the start');
        like($dynamic, qr/\(FLAGS_1\).*\bPIE\b/, 'linked as a program');
        my $symbols = output_of('nm', '-D', $path);
        like($symbols, qr/ __stack_chk_fail\b/, 'the stack is protected');
        SKIP: {
            skip 'compiled without optimization', 1 if $cflags !~ /-O(?:[1-9sgz]|fast)?(?: |$)/;
            like($symbols, qr/ __\w+_chk\b/, 'sizes are checked (_FORTIFY_SOURCE)');
        }
    };
}

# Configures in a folder of its own, which it returns.
sub configure {
    my @arguments = @_;
    my $folder = tempdir(CLEANUP => 1);
    my @compiler = defined $ENV{CC} ? "CC=$ENV{CC}" : ();
    my ($status, $out, $err) = run('sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $folder,
        "$source/configure", '-q', @compiler, @arguments);
    is($status, 0, "configure @arguments") or BAIL_OUT($out . $err);
    return $folder;
}

my @hardening = map {"HARDENING_${_}FLAGS"} qw(CPP C LD);

subtest '--disable-hardening' => sub {
    my $folder = configure('--disable-hardening', 'CFLAGS=-O2');
    is(setting($folder, $_), '', "no $_") for @hardening;
    is(setting($folder, 'enable_hardening'), 'no');
};

subtest "flags of the builder's own" => sub {
    my %own = (
        CPPFLAGS => '-Wdate-time -D_FORTIFY_SOURCE=1',
        CFLAGS   => '-g -O2 -Wformat -Werror=format-security -fstack-protector-all',
        LDFLAGS  => '-Wl,-z,lazy',
    );
    my $folder = configure(map {"$_=$own{$_}"} sort keys %own);
    is(setting($folder, $_), $own{$_}, "$_ as given") for sort keys %own;
    unlike(setting($folder, 'HARDENING_CPPFLAGS'), qr/FORTIFY/, 'FORTIFY_SOURCE is not set again');
    # make prints what it would run. Of two flags that disagree the compiler takes the later one.
    delete local @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};
    my ($status, $out, $err) = run('make', '-C', $folder, '-n', 'V=1', 'policyd-ratelimit');
    is($status, 0, 'make -n') or diag $err;
    $out =~ s/\\\n//g;
    my ($compile) = $out =~ /^(.* -c .*main\.c.*)$/m;
    my ($link)    = $out =~ /^(.* -o policyd-ratelimit .*)$/m;
    like($compile, qr/-fstack-protector-strong .*-fstack-protector-all/, 'the compiler');
    like($link,    qr/-Wl,-z,now .*-Wl,-z,lazy/,                         'the linker');
};

for my $cflags ('-O1 -fsanitize=address', '-O0 -g') {
    subtest "CFLAGS=$cflags" => sub {
        my $folder = configure("CFLAGS=$cflags");
        is(setting($folder, 'HARDENING_CPPFLAGS'), '', 'without FORTIFY_SOURCE');
        like(setting($folder, 'HARDENING_CFLAGS'), qr/-fstack-protector-strong/, 'with the rest');
    };
}

done_testing;
