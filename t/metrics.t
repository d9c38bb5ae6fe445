#!/usr/bin/perl
# policyd-ratelimit-ctl metrics: what it counts, and that it is OpenMetrics as well as the
# older text format of Prometheus.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use RateTest qw(run slurp spew build_dir);

my $now = 1_795_132_800;
my $t   = RateTest->new(rules => <<'END');
[rule users]
key = sasl_username
limit = 10/hour, 100/day
override = vip unlimited
override = bulk 40/2 hours
override = small 5/hour
[rule volume]
key = sender_domain
count = bytes
limit = 1MiB/day
[rule idle]
key = client_address
limit = 5/minute
END
$t->set_clock($now);
is_deeply(
    [$t->ctl('metrics')],
    [
        69, '',
        "policyd-ratelimit-ctl: $t->{database}: can't be opened: it is not there; "
    . "the helper makes it at its first request\n"], 'before the first request');

# A strict reader of OpenMetrics 1.0 (its ABNF, and its rules on order), for the types that
# Prometheus' text format has as well. ({family => {help, type, unit}}, {sample => value}, errors)
sub parse {
    my ($text) = @_;
    my (%family, %sample, @errors, $current);
    my $bad = sub { push @errors, "$_[0]: $_"; return };
    $text =~ s/\n# EOF\n\z// or push @errors, 'no # EOF at its end';
    push @errors, 'not UTF-8' if !utf8::decode(my $copy = $text);
    for (split /\n/, $text, -1) {
        if (/\A# (HELP|TYPE|UNIT) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)\z/) {
            my ($what, $name, $value) = (lc $1, $2, $3);
            if (!defined $current || $current ne $name) {
                $bad->('interleaved families') if $family{$name};
                $bad->('HELP is not the first') if $what ne 'help';
                $current = $name;
            }
            $bad->("$what twice") if defined $family{$name}{$what};
            $bad->("$what after samples") if $family{$name}{samples};
            $bad->('escape in HELP') if $what eq 'help' && $value =~ /\\(?![\\n"])|"/;
            $bad->('no type of both formats')
                if $what eq 'type' && $value !~ /\A(?:counter|gauge)\z/;
            $bad->('the name must end in the unit') if $what eq 'unit' && $name !~ /_\Q$value\E\z/;
            $family{$name}{$what} = $value;
            next;
        }
        my ($name, $labels, $value) = /\A([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\z/;
        if (!defined $name) {
            $bad->('syntax');
            next;
        }
        $bad->('sample of another family') if !defined $current || $name ne $current;
        $bad->('no TYPE') if !defined $family{$name}{type};
        $bad->('not a number') if $value !~ /\A-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf|NaN)\z/i;
        $bad->('reserved suffix') if $name =~ /_(?:total|created|bucket|count|sum)\z/;
        my (%label, $key);
        if (defined $labels) {
            my $rest = $labels;
            while ($rest =~ s/\A([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^\\"\n]|\\[\\"n])*)"(?:,(?=.)|\z)//)
            {
                $bad->("label $1 twice") if exists $label{$1};
                $label{$1} = $2;
            }
            $bad->("labels end in $rest") if $rest ne '';
        }
        $key = join ' ', $name, map {"$_=$label{$_}"} sort keys %label;
        $bad->('the same labels again') if exists $sample{$key};
        $sample{$key} = $value;
        $family{$name}{samples}++;
    }
    return (\%family, \%sample, @errors);
}

sub metrics {
    my ($status, $out, $err) = $t->ctl('metrics');
    is("$status$err", '0', 'metrics');
    my ($family, $sample, @errors) = parse($out);
    is(join("\n", @errors), '', 'well-formed') or diag $out;
    return ($sample, $family, $out);
}

sub values_of {
    my ($sample, $name) = @_;
    return {
        map { s/^policyd_ratelimit_\Q$name\E //r => $sample->{$_} }
            grep {/^policyd_ratelimit_\Q$name\E /}
            keys %$sample};
}

sub message {
    my ($helper, %attributes) = @_;
    return $helper->ask(
        protocol_state => 'END-OF-MESSAGE', recipient_count => 1, size => 1, instance => 'i' . rand,
        client_address => '', sender => '', %attributes);
}

subtest 'the reader of this test is strict' => sub {
    my $good = "# HELP a x\n# TYPE a gauge\na{b=\"c\\\\\\\"\\n\"} 1\n";
    my (undef, $sample, @errors) = parse("$good# EOF\n");
    is_deeply([$sample, @errors], [{'a b=c\\\\\\"\\n' => 1}], 'good');
    my @bad = (
        $good, "${good}# EOF\n\n", "# TYPE a gauge\na 1\n# EOF\n", "$good\n# EOF\n",
        "${good}a{b=\"c\\\\\\\"\\n\"} 2\n# EOF\n",
        "${good}b 1\n# EOF\n", "${good}a{b=\"\"\"} 1\n# EOF\n", "${good}a{b=\"\\x\"} 1\n# EOF\n",
        "${good}a{b=\"x\",} 1\n# EOF\n",
        "${good}a  1\n# EOF\n", "${good}a 1 \n# EOF\n", "${good}a x\n# EOF\n",
        "# HELP a x\n# TYPE a info\na 1\n# EOF\n",
        "# HELP a x\n# TYPE a gauge\n# UNIT a bytes\na 1\n# EOF\n",
        "${good}# HELP b x\n# TYPE b gauge\nb 1\na 1\n# EOF\n"
    );
    for my $bad (@bad) {
        (undef, undef, @errors) = parse($bad);
        isnt(scalar @errors, 0, 'bad: ' . $bad =~ s/\n/|/gr);
    }
};

my $helper = $t->helper;
$helper->ask(protocol_state => 'CONNECT');
message($helper, sasl_username => '', client_address => '2001:db8::1', protocol_state => 'RCPT',
    instance => '');
is(($t->ctl('reset', '--all'))[0], 0);

subtest 'rules without counters' => sub {
    my ($sample, $family) = metrics();
    is_deeply(values_of($sample, 'counters'), {map { ("rule=$_" => 0) } qw(users volume idle)},
        'counters');
    is_deeply(values_of($sample, 'denials'), {map { ("rule=$_" => 0) } qw(users volume idle)},
        'denials');
    my %windows = map { ($_ => 0) } 'rule=users window=3600', 'rule=users window=7200',
        'rule=users window=86400',
        'rule=volume window=86400', 'rule=idle window=60';
    is_deeply(values_of($sample, 'used'), \%windows, 'used: windows of overrides too');
    is_deeply(values_of($sample, 'fullest_ratio'), \%windows, 'fullest_ratio');
    is_deeply(
        values_of($sample, 'overrides'),
        {map { ("kind=set rule=$_" => 0, "kind=grant rule=$_" => 0) }
            qw(users volume idle)}, 'overrides');
    is(scalar keys %{values_of($sample, 'keys_over')}, 15, 'keys_over');
    is_deeply(values_of($sample, 'key_used_ratio'), {}, 'no key is near its limit');
    is($sample->{policyd_ratelimit_database_bytes}, -s $t->{database}, 'database_bytes');
    is($sample->{policyd_ratelimit_database_max_bytes}, 256 << 20, 'database_max_bytes');
    is($sample->{policyd_ratelimit_database_records}, 1, 'database_records');
    is($sample->{policyd_ratelimit_database_damaged_records}, 0);
    my ($version) = (run(build_dir() . '/policyd-ratelimit-ctl', '--version'))[1] =~ / (\S+)$/;
    is($sample->{"policyd_ratelimit_build_info version=$version"}, 1, 'build_info');
    is_deeply([
            map { $family->{"policyd_ratelimit_$_"}{unit} }
                qw(database_bytes database_max_bytes fullest_ratio
            key_used_ratio used)], ['bytes', 'bytes', 'ratio', 'ratio', undef], 'units');
};

subtest 'what counters hold' => sub {
    message($helper, sasl_username => 'ann') for 1 .. 5;
    message($helper, sasl_username => 'bob') for 1 .. 13;
    message($helper, sasl_username => 'vip', recipient_count => 1000);
    message($helper, sasl_username => 'bulk', recipient_count => 32);
    message($helper, sasl_username => '', sender => 'a@big.example', size => 1 << 19);
    my ($sample) = metrics();
    is_deeply(values_of($sample, 'counters'),
        {'rule=users' => 4, 'rule=volume' => 1, 'rule=idle' => 0}, 'counters');
    is_deeply(values_of($sample, 'denials'),
        {'rule=users' => 3, 'rule=volume' => 0, 'rule=idle' => 0}, 'denials');
    is_deeply(
        values_of($sample, 'used'),
        {
            'rule=users window=3600' => 1015, 'rule=users window=7200' => 32,
            'rule=users window=86400' => 1015, 'rule=volume window=86400' => 1 << 19,
            'rule=idle window=60' => 0
        },
        'used'
    );
    is_deeply(
        values_of($sample, 'fullest_ratio'),
        {
            'rule=users window=3600' => 1, 'rule=users window=7200' => '0.8',
            'rule=users window=86400' => '0.1', 'rule=volume window=86400' => '0.5',
            'rule=idle window=60' => 0
        },
        'fullest_ratio; who is exempt has none');
    my $over = values_of($sample, 'keys_over');
    is_deeply([
            map {
                my $window = $_;
                map { $over->{"percent=$_ rule=users window=$window"} } 50, 80, 100
            } 3600,
            7200,
            86400
        ],
        [2, 1, 1, 1, 1, 0, 0, 0, 0],
        'keys_over'
    );
    is_deeply(values_of($sample, 'key_used_ratio'), {'key=bob rule=users window=3600' => 1,
        'key=bulk rule=users window=7200' => '0.8'}, 'key_used_ratio, from 0.8 on');
    is($sample->{policyd_ratelimit_database_records}, 6, 'records, empty ones too');
};

subtest 'overrides' => sub {
    $helper->finish;
    is(($t->ctl(@$_))[0], 0, "@$_")
        for ['set', 'users', 'a', '5/hour'], ['set', '--for', '2m', 'users', 'b', '5/hour'],
        ['grant', '--for', '1m', 'users', 'b', '+3'], ['grant', '--for', '2m', 'users', 'b', '+3'],
        ['set', '--for', '1m', 'users', 'c', '5/hour'],
        ['grant', '--for', '1m', 'users', 'c', '+3'],
        ['grant', '--force', '--for', '2m', 'volume', 'd', '+3'], ['set', 'users', 'e', '5/hour'],
        ['unset', 'users', 'e'];
    $t->set_clock($now + 90);
    my ($sample) = metrics();
    is_deeply(
        values_of($sample, 'overrides'),
        {
            'kind=set rule=users' => 2, 'kind=grant rule=users' => 1,
        'kind=set rule=volume' => 0, 'kind=grant rule=volume' => 1, 'kind=set rule=idle' => 0,
        'kind=grant rule=idle' => 0}, 'those in force');
    is($sample->{policyd_ratelimit_database_damaged_records}, 0, 'all well-formed');
};

subtest 'a window that set added' => sub {
    is(($t->ctl('set', 'users', 'odd', '4/3 hours'))[0], 0);
    my $odd = $t->helper;
    message($odd, sasl_username => 'odd', recipient_count => 2);
    $odd->finish;
    my ($sample) = metrics();
    is($sample->{'policyd_ratelimit_used rule=users window=10800'}, 2, 'has its lines');
    is($sample->{'policyd_ratelimit_fullest_ratio rule=users window=10800'}, 0.5);
};

subtest 'damaged records' => sub {
    my @store = ('store', '00000000 :set:users:f', '1 0 5/hour|00000000000');
    is((run('tdbtool', $t->{database}, @store))[0], 0);
    is((run('tdbtool', $t->{database}, 'store', '00000000 users:g', 'damaged'))[0], 0);
    my ($sample) = metrics();
    is($sample->{policyd_ratelimit_database_damaged_records}, 2, 'are counted, in silence');
};

subtest 'keys of any kind' => sub {
    $t = RateTest->new(rules => "[rule r]\nkey = helo_name\nfold_case = no\nlimit = 100/day\n");
    $t->set_clock($now);
    $helper = $t->helper;
    my @keys =
        ('a"b', 'a\\b', "a\\n", "\x{c3}\x{b6}", "n\x01", "n\x02", 'x}y', 'x,y="z"', '#', ' ');
    message($helper, helo_name => $_, recipient_count => 80 + @keys) for @keys;
    my ($sample, undef, $out) = metrics();
    my $ratio = values_of($sample, 'key_used_ratio');
    is_deeply(
        [sort map {/\Akey=(.*) rule=r window=86400\z/} keys %$ratio],
        [
            sort 'a\\"b', 'a\\\\b', 'a\\\\n',
        "\x{c3}\x{b6}", 'n?', 'x}y', 'x,y=\\"z\\"', '#', ' '], 'are escaped, and none comes twice');
    is($sample->{'policyd_ratelimit_counters rule=r'}, scalar @keys);

    message($helper, helo_name => "key$_", recipient_count => 79 + $_ % 20) for 1 .. 200;
    ($sample) = metrics();
    $ratio = values_of($sample, 'key_used_ratio');
    is(scalar keys %$ratio, 50, 'fifty at the most');
    my ($least) = sort { $a <=> $b } values %$ratio;
    is($least, 0.94, 'the fullest ones');
};

subtest 'promtool' => sub {
    plan skip_all => 'needs promtool' if !grep { -x "$_/promtool" } split /:/, $ENV{PATH};
    my $dir = tempdir(CLEANUP => 1);
    spew("$dir/metrics", (metrics())[2]);
    my ($status, $out, $err) =
        run('sh', '-c', 'promtool check metrics <"$1"', 'sh', "$dir/metrics");
    is("$status$out$err", '0');
};

subtest 'the manual' => sub {
    my ($page) =
        slurp(build_dir() . '/doc/policyd-ratelimit-ctl.8') =~ /^\.Ss metrics\n(.*?)^\.S[sh] /ms;
    my %documented = map { ($_ => 1) } map { s/ Ns .*//r =~ /(\w+)/g } $page =~ /^\.It Sy (.*)/mg;
    my %known = map { (s/\Apolicyd_ratelimit_//r => 1) } (metrics())[2] =~ /^# TYPE (\S+)/mg;
    is_deeply([sort keys %documented], [sort keys %known], 'has every metric, and no other');
};

is(($t->ctl('metrics', 'x'))[0], 64, 'usage');

done_testing;
