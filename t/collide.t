#!/usr/bin/perl
# Addresses chosen so that their keys would lie on one chain of the counter file's hash table:
# with the secret prefix of stored keys they spread as others do, and are counted as others are.
# What is measured are lengths of chains, not times.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest qw(build_dir run slurp spew);

my $senders = $ENV{RATELIMIT_LONG} ? 90_000 : 20_000;    # ordinary ones, which come first
my $chosen  = $ENV{RATELIMIT_LONG} ? 70_000 : 15_000;
my $stored  = 5_000;    # of the chosen ones, in a file without a prefix: that takes long
my $longest = 40;
my $limit   = 2;
my $program = build_dir() . '/t/collide';

my $t = RateTest->new(
    rules  => "[rule users]\nkey = sender\nlimit = $limit/day\n",
    global => {
        log => 'none', on_error => 'WARN trouble', database_max_size => '1G', lock_timeout => '60s'
    });

# One request for each of the senders; how often each answer came.
my $requests = 0;
sub ask_all {
    my ($helper, @senders) = @_;
    my %answers;
    while (my @some = splice @senders, 0, 50) {
        $helper->write(join '', map {
            RateTest::Helper::request(sender => $_, instance => 'i' . ++$requests)
        } @some);
        for (@some) {
            my $answer = $helper->answer(300) // 'none';
            return {%answers, none => 1} if $answer eq 'none';
            $answers{$answer =~ s/ .*//r}++;
        }
    }
    return \%answers;
}

# Keys, chains and the longest one of a TDB.
sub chains {
    my ($file) = @_;
    my ($status, $out, $errors) = run($program, 'chains', $file);
    my @chains = $out =~ /\A(\d+) keys, (\d+) chains, longest (\d+)\n\z/
        or die "$status $out $errors";
    return @chains;
}

# What has to hold after the flood, whatever was done to the file then.
sub check_file {
    my ($when) = @_;
    my ($keys, $chains, $most) = chains($t->{database});
    cmp_ok($keys, '>=', $senders + $chosen, "$when: every key is there");
    cmp_ok($most, '<=', $longest, "$when: no chain of $chains is long");
    return;
}

my $helper = $t->helper;
is_deeply(ask_all($helper, map {"user$_\@a.example"} 1 .. $senders), {DUNNO => $senders},
    'ordinary senders');
$helper->finish;
is(($t->ctl('clean'))[0], 0, 'their file is compacted');

# Who knows about how many keys a file has knows the size of its hash table.
my (undef, $hash_size) = chains($t->{database});
my ($status, $out, $errors) = run($program, 'keys', 'users:', $hash_size, $chosen);
is("$status $errors", '0 ', "keys for $hash_size chains");
my @keys = split /\n/, $out;
my %different = map { $_ => 1 } @keys;
is(scalar(keys %different), $chosen, 'all differ');
is(scalar(grep { !/\Ausers:[\x21-\x7e]+@[a-z2-7]+\z/ } @keys), 0, 'and are printable addresses');

spew("$t->{dir}/some", join '', map {"$_\n"} @keys[0 .. $stored - 1]);
is((run({stdin => "$t->{dir}/some"}, $program, 'store', "$t->{dir}/plain.tdb", $hash_size))[0], 0,
    'a file of another program');
is_deeply([chains("$t->{dir}/plain.tdb")], [$stored, $hash_size, $stored],
    'has all of them on one chain');

# Several connections, as a client would have them.
s/\Ausers:// for @keys;
my @helpers = map { $t->helper } 1 .. 4;
my %answers;
for my $i (0 .. $#helpers) {
    my $some = ask_all($helpers[$i], @keys[grep { $_ % @helpers == $i } 0 .. $#keys]);
    $answers{$_} += $some->{$_} for keys %$some;
}
is_deeply(\%answers, {DUNNO => $chosen}, 'each of the chosen senders is counted');
check_file('after the flood');

my @probes = (@keys[0, -1, map { int rand @keys } 1 .. 30], 'user1@a.example');
my %probes = map { $_ => 1 } @probes;
@probes = sort keys %probes;
is_deeply(ask_all($_, @probes), {DUNNO => scalar @probes},
    'their limits hold: the last that passes')
    for $helpers[0];
is_deeply(ask_all($_, @probes), {DEFER_IF_PERMIT => scalar @probes}, 'and then none') for @helpers;
is(join(' ', map { ($_->finish)[1] } @helpers), '0 0 0 0', 'the helpers end well');

($status, $out, $errors) = $t->ctl('clean');
is("$status $errors", '0 ', 'compaction works');
like($out, qr/\A@{[$senders + $chosen]} records kept/, 'and keeps every record');
check_file('after compaction');
$helper = $t->helper;
is_deeply(ask_all($helper, @probes), {DEFER_IF_PERMIT => scalar @probes}, 'the limits still hold');
is_deeply(ask_all($helper, 'other@a.example'), {DUNNO => 1}, 'another sender is not affected');
$helper->finish;

done_testing;
