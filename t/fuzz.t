#!/usr/bin/perl
# Seeds of the fuzz targets, and inputs that once broke something, hold what the targets
# promise. make fuzz looks for new ones.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(build_dir run source_dir);

my @targets = map { m{/([^/]+)$} } sort glob source_dir() . '/t/fuzz/corpus/*';
my @sources = map { m{/([^/]+)\.c$} } sort glob source_dir() . '/t/fuzz/*.c';
is_deeply(\@targets, [grep { !/\A(?:fuzz|main)\z/ } @sources], 'every target has seeds');

for my $target (@targets) {
    my @files = sort glob source_dir() . "/t/fuzz/corpus/$target/*";
    my ($status, $out, $errors) = run(build_dir() . "/t/fuzz/$target", @files);
    my @done = split /\n/, $out;
    is($status, 0, "$target") or diag(@done ? "$done[-1]:\n$errors" : $errors);
    is(scalar @done, scalar @files, 'all files were read');
}

done_testing;
