#!/usr/bin/perl
# Exceptions in the database, in bulk: dump and load.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Encode qw(decode FB_CROAK LEAVE_SRC);
use JSON::PP qw(decode_json);
use Test::More;
use Exceptions;
use RateTest qw(run slurp spew);

subtest 'dump and load' => sub {
    my $t      = limiter();
    my $helper = fill($t);
    my ($dump) = ($t->ctl('dump'))[1];
    is(() = $dump =~ /\n/g, 13);
    my $counted = join '', $t->ctl('show', '--json');
    my $loaded  = "13 lines for 8 keys loaded\n";
    is_deeply([$t->ctl({text => $dump}, 'load', '-')], [0, $loaded, ''], 'over itself');
    is(($t->ctl('dump'))[1], $dump, 'changes nothing');
    is(join('', $t->ctl('show', '--json')), $counted, 'no counter either');
    spew("$t->{dir}/dump", $dump);
    is_deeply([$t->ctl('load', '--replace', "$t->{dir}/dump")], [0, $loaded, ''],
        'instead of itself');
    is(($t->ctl('dump'))[1], $dump);
    is(passing($helper, 20, 'users', 'bob'), 5, 'a running helper follows: 8');
    is(passing($helper, 50, 'exact', 'bob'), 21, '10 and five grants');
    is(passing($helper, 20, 'users', 'alice'), 2,
        'of a key with a counter that had no limits of its own');
    is(($t->ctl({text => "users\talice\t9/hour\n"}, 'load', '-'))[0], 0);
    is(passing($helper, 20, 'users', 'alice'), 4, 'its use stays, its limits are new');
    $t->ctl('unset', 'users', 'alice');

    my $empty = limiter();
    is_deeply([$empty->ctl({text => $dump}, 'load', '-')], [0, $loaded, ''],
        'where there is no file yet');
    is(($empty->ctl('dump'))[1], $dump, 'it is the same');
    is((stat $empty->{database})[2] & 07777, 0600, 'the file is as the helper makes it');
    is(passing($empty->helper, 20, 'users', 'bob'), 8, 'and used by it');

    is_deeply([$t->ctl({text => "users\tbob\t6/hour\nusers\tnew\t2/hour\n"}, 'load', '-')],
        [0, "2 lines for 2 keys loaded\n", ''], 'some keys');
    is(($t->ctl('dump'))[1], $dump =~ s{users\tbob\t\K.*\n}{6/hour\nusers\tnew\t2/hour\n}r,
        'others stay');
    is_deeply([$t->ctl({text => "users\tbob\t7/hour\n"}, 'load', '--replace', '-')],
        [0, "1 line for 1 key loaded\n", '']);
    is(($t->ctl('dump'))[1], "users\tbob\t7/hour\n", '--replace: others go');
    is(passing($helper, 20, 'users', 'new'), 5, 'back to the configuration');
    $t->ctl('grant', '--for', '1h', 'users', 'bob', '+9');
    $t->ctl({text => "users\tbob\t7/hour\n"}, 'load', '-');
    is(($t->ctl('dump'))[1], "users\tbob\t7/hour\n",
        'whatever was set or granted for a key of the file');
    is_deeply([$t->ctl({text => ''}, 'load', '-')], [0, "0 lines for 0 keys loaded\n", ''],
        'nothing');
    is(($t->ctl('dump'))[1], "users\tbob\t7/hour\n", 'changes nothing');
    for my $nothing ('', "# none\n", "\n\r\n") {
        is_deeply([$t->ctl({text => $nothing}, 'load', '--replace', '-')],
            [65, '',
                'policyd-ratelimit-ctl: stdin: no limits, so that --replace would end all there '
                    . "are; --force does that\npolicyd-ratelimit-ctl: nothing was loaded\n"],
            'nor does --replace');
    }
    is(($t->ctl('dump'))[1], "users\tbob\t7/hour\n");
    is_deeply([$t->ctl({text => "# none\n"}, 'load', '--replace', '--force', '-')],
        [0, "0 lines for 0 keys loaded\n", '']);
    is(($t->ctl('dump'))[1], '', 'unless it is forced');
};

subtest 'what dump writes, load --replace reads to the same state' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    my @set    = (
        ['closed', 'ann@x.example',  '3/hour'],    ['open',  'ann@x.example', '3/hour'],
        ['closed', 'eve@x.example',  'unlimited'], ['open',  'eve@x.example', 'deny'],
        ['users',  'boss@example.com', '4/hour'],  ['exact', 'bob',           '5/hour'],
        ['exact',  'big',            '8/hour'],    ['all', 'everything', '7/hour'],
        ['pair', 'bob+192.0.2.1', '3/hour'], ['fixed', 'bob', '7/day'],
    );
    my @grants = (
        ['closed', 'ann@x.example', 2], ['open', 'ann@x.example', 2], ['exact', 'bob', 25],
        ['exact', 'big', 22], ['users', 'boss@example.com', 3], ['users', 'free', 6],
        ['users', 'shut', 6], ['users', 'exempt', 6], ['all', 'everything', 2], ['fixed', 'bob', 1],
    );
    is(($t->ctl('set', @$_))[0], 0, "set @$_") for @set;
    for my $grant (@grants) {
        my ($rule, $key, $n) = @$grant;
        is(($t->ctl('grant', '--force', '--for', '2h', $rule, $key, "+$n"))[0], 0, "grant @$grant");
    }
    # Later these need no grant any more.
    $t->ctl('set', 'users', 'free', 'unlimited');
    $t->ctl('set', 'users', 'shut', 'deny');
    my $with = $rules =~ s/^(\[rule users\]\n)/$1exempt = exempt\n/mr;
    my $state = sub { my ($limiter) = @_; return join '', map { ($limiter->ctl(@$_))[1] }
            ['limits', '--json'], ['dump'] };
    my $judged = sub {
        my ($limiter) = @_;
        my $asked = $limiter->helper;
        my %seen;
        return join ' ', map {"$_->[0]:$_->[1]=" . passing($asked, 40, $_->[0], $_->[1])}
            grep { $_->[0] ne 'pair' && !$seen{"@$_[0, 1]"}++ } @set, @grants;
    };
    $t->configure(rules => $with);
    my $before = $state->($t);
    my ($dump) = ($t->ctl('dump'))[1];
    unlike($dump, qr/^#/m, 'load refuses none of it');
    is(() = $dump =~ /\n/g, 22, 'all is there');
    is_deeply([($t->ctl({text => $dump}, 'load', '--replace', '-'))[0, 2]], [0, ''], 'over itself');
    is($state->($t), $before);
    my $empty = limiter();
    $empty->configure(rules => $with);
    is_deeply([($empty->ctl({text => $dump}, 'load', '--replace', '-'))[0, 2]], [0, ''],
        'elsewhere');
    is($state->($empty), $before);
    my $answers = $judged->($t);
    like($answers, qr/closed:ann\@x.example=5 open:ann\@x.example=5 .*exact:bob=30/, 'it holds');
    is($judged->($empty), $answers, 'there too');

    $t->configure(rules => $with =~ s/rule pair/rule other/r =~ s{override = big 30/hour\n}{}r);
    ($dump) = ($t->ctl('dump'))[1];
    my @comments = $dump =~ /^#.*\n/mg;
    is(scalar(@comments), 8, 'what load would refuse is a comment') or diag $dump;
    like($comments[0], qr/^# load refuses this: a limit above 10: /, 'and says why');
    like($comments[1], qr{^# exact\tbig\t8/hour$});
    like($comments[2], qr/^# exact\tbig\t\+22\t\d+$/);
    like($comments[6], qr/^# load refuses this: there is no rule "pair"/);
    like($comments[7], qr/^# pair\tbob\+192\.0\.2\.1\t3\/hour$/);
    is(($t->ctl({text => $dump}, 'load', '--replace', '-'))[0], 0, 'load takes it');
    is(($t->ctl('dump'))[1], join('', $dump =~ /^[^#].*\n/mg), 'and drops that');

    $t->configure(rules => $with);
    my $grants = "exact\tbob\t5/hour\nexact\tbob\t+20\t9999999999\nexact\tbob\t+6\t9999999999\n";
    my ($status, undef, $err) = $t->ctl({text => $grants}, 'load', '-');
    is($status, 65, 'grants that together are too many');
    like($err, qr/^stdin:3: a limit above 30: /);
};

# Whether a terminal shows all of it: lines of well-formed UTF-8, nothing invisible.
sub is_printable {
    my ($text, $name) = @_;
    my $decoded = eval { decode('UTF-8', $text, FB_CROAK | LEAVE_SRC) } // "\e";
    return ok($decoded !~ /[^\P{C}\n\t]|[\x{2028}\x{2029}\x{ad}\x{fe0f}\x{3164}]/, $name)
        || diag unpack 'H*', $text;
}

my @odd = (
    "latin\xe9", "\x80\xff", "right\xe2\x80\xaeleft", "ara\xd8\x9cbic", "mon\xe1\xa0\x8egol",
    "note\xef\xbf\xb9\xef\xbf\xbb", "tag\xf3\xa0\x81\x81\xf3\xa0\x81\xbf", "DOM\\xavier",
    'DOM\\x41bby', 'back\\\\x5c', 'nul\\x00', "\xc3\xa9va", 'a\\',
);

subtest 'keys of odd bytes' => sub {
    my $t = limiter();
    $t->ctl('set', 'exact_case', $_, '2/hour') for @odd;
    my ($dump) = ($t->ctl('dump'))[1];
    is(() = $dump =~ /^exact_case\t[^\t\n]+\t2\/hour$/mg, scalar @odd, 'a line for each');
    is_printable($dump, 'dump prints no byte that a terminal would not show');
    like($dump, qr/^exact_case\tlatin\\xe9\t/m,      'but its code');
    like($dump, qr/^exact_case\tDOM\\xavier\t/m,     'a backslash is itself');
    like($dump, qr/^exact_case\tDOM\\x5cx41bby\t/m,  'unless it looks like a code');
    my $empty = limiter();
    is(($empty->ctl({text => $dump}, 'load', '--replace', '-'))[0], 0, 'load reads that');
    is(($empty->ctl('dump'))[1], $dump, 'to the same state');
    my $helper = $empty->helper;
    is(passing($helper, 9, 'exact_case', $_), 2, 'of the same keys') for @odd;
    is_printable(join('', $t->ctl('limits')), 'limits');
    my ($json) = ($t->ctl('limits', '--json'))[1];
    is_printable($json, 'limits --json');
    is(scalar @{decode_json($json)}, scalar @odd, 'is JSON');
    is_printable(join('', $empty->ctl('show')), 'show');
    is_printable(join('', $empty->ctl('set', 'exact_case', $_, '3/hour')), 'set')     for @odd;
    for my $key (@odd, @odd) {
        is_printable(join('', $empty->ctl('unset', 'exact_case', $key)), 'unset');
    }
    is_printable(join('', $empty->ctl('explain', "sasl_username=$_", 'policy_context=exact_case')),
        'explain')
        for @odd;
};

subtest 'what was written into the file forges no line' => sub {
    my $t = limiter();
    $t->ctl('set', 'exact_case', 'bobNusersTbossTunlimitedN', '2/hour');
    $t->ctl('set', 'exact_case', 'bobZeve',                   '3/hour');
    my $bytes = slurp($t->{database});
    $bytes =~ s/bobNusersTbossTunlimitedN/bob\nusers\tboss\tunlimited\n/ or die;
    $bytes =~ s/bobZeve/bob\0eve/ or die;
    spew($t->{database}, $bytes);
    my ($status, $dump) = $t->ctl('dump');
    is_deeply([$status, $dump],
        [0, "# load refuses this: the key contains control characters\n# exact_case\t"
            . "bob\\x0ausers\\x09boss\\x09unlimited\\x0a\t2/hour\n"], 'dump');
    is_printable($dump, 'prints all of it');
    is(($t->ctl('limits'))[1], <<'END', 'limits');
RULE        KEY                        LIMITS  UNTIL
exact_case  bob?users?boss?unlimited?  2/hour  -
END
    is(($t->ctl('limits', '--json'))[1],
        "[{\"rule\": \"exact_case\", \"key\": \"bob?users?boss?unlimited?\", "
            . "\"limits\": \"2/hour\", \"until\": null}]\n", 'limits --json');
};

subtest 'messages about odd input' => sub {
    my $t    = limiter();
    my $odd  = "\e]0;x\a\xff\xe2\x80\xae\xd8\x9c\xf3\xa0\x81\x81";
    my $file = "$t->{dir}/a\n$odd";
    $t->helper->ask;
    spew($file, join '', map {"$_\n"} "$odd\tbob\t5/hour", "users\t\@$odd\t5/hour",
        "users\tbob\t5/$odd", "users\tbob\t$odd", "users\tbob\t5/hour\t$odd",
        "nets\t$odd\t5/hour");
    my @commands = (
        ['load', $file], ['load', "$file.absent"], ['explain', $odd], ['explain', "$odd=x"],
        ['explain', "sasl_username$odd=x"],
        ['explain', "protocol_state=$odd", 'policy_context=users'],
        ['explain', "policy_context=$odd"], ['set', $odd, 'bob', '5/hour'],
        ['set', 'users', 'bob', $odd], ['set', 'nets', $odd, '5/hour'],
        ['set', '--for', $odd, 'users', 'bob', '5/hour'],
        ['grant', '--for', '1h', 'users', 'bob', "+$odd"],
        ['unset', 'users', "bob$odd"],
        ['unset', $odd, 'bob'], ['reset', $odd],
        ['reset', '--rule', $odd, 'x'],
        ['show', '--sort', $odd], ['show', '--over', $odd], ['show', '--top', $odd],
        ['report', '--since', $odd], ['report', '--mail', $odd], ['config', $odd], [$odd],
    );
    for my $command (@commands) {
        my ($status, $out, $err) = $t->ctl(@$command);
        is_printable("$out$err", "$command->[0] $#$command");
        isnt($err, '', '  says something') if $command->[0] !~ /explain|reset/;
    }
    my ($status, $out, $err) = $t->ctl({text => "$odd\n$odd=\n\n"}, 'explain');
    is_printable("$out$err", 'explain of a request');
};

subtest 'the form of what is loaded' => sub {
    my $t    = limiter();
    my $when = $now + 86400;
    my @date = gmtime $when;
    my $date = sprintf '%04d-%02d-%02d %02d:%02d', $date[5] + 1900, $date[4] + 1, @date[3, 2, 1];
    local $ENV{TZ} = 'UTC';
    my ($status, $out, $err) =
        $t->ctl({text => <<"END" =~ s/EOL/\r/gr . "users\tlast\t1/hour"}, 'load', '-');
# a comment\tthat looks\tlike a line

users\ta\t1/hourEOL
users\tb\t1/hour\tNULL
users\tc\t1/hour\t
users\td\t1/hour\t${when}EOL
users\te\t1/hour\t$date
users\tf\t1/hour\t${date}Z
users\tg\t+5\t$when
users\th\t1/hour\t0
users\ti\t1/hour\t-
users\tj\t1/hour\t@{[$now - 1]}
users\tK\t1 per hour, 2/24 h
END
    is_deeply([$status, $out, $err], [0, "12 lines for 12 keys loaded, 1 of them expired\n", '']);
    is(($t->ctl('dump'))[1], <<"END");
users\ta\t1/hour
users\tb\t1/hour
users\tc\t1/hour
users\td\t1/hour\t$when
users\te\t1/hour\t$when
users\tf\t1/hour\t$when
users\tg\t+5\t$when
users\th\t1/hour
users\ti\t1/hour
users\tk\t1/hour, 2/day
users\tlast\t1/hour
END
    $t->ctl('set', 'users', 'j', '5/hour');
    $t->ctl({text => "users\tj\t1/hour\t@{[$now - 1]}\n"}, 'load', '-');
    unlike(($t->ctl('dump'))[1], qr/\tj\t/, 'one that has expired ends what was set');
};

subtest 'mistakes in what is loaded' => sub {
    my $t = limiter();
    fill($t);
    my $before = state($t);
    my @bad    = (
        ['users', 'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ['users bob 5/hour', 'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ["users\tbob", 'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ["users\tbob\t5/hour\t\t", 'not RULE, KEY, LIMITS and perhaps UNTIL, separated by TABs'],
        ["user\tbob\t5/hour",
            "there is no rule \"user\" in $t->{config}; its rules are " . join ', ', @names],
        ["users\t\t5/hour",               'the key is missing'],
        ["users\tbob\t5/hour\rusers\tx\tdeny", 'a carriage return within the line'],
        ["# no\rusers\tx\tdeny",             'a carriage return within the line'],
        ["users\tb\x01b\t5/hour",         'the key contains control characters'],
        ["users\t\@example.com\t5/hour",  qr/"\@example\.com" is a pattern, not a key; /],
        ["nets\t192.0.2.0/24\t5/hour",    qr/is larger than the \/32 that share a counter; /],
        ["nets\tlocalhost\t5/hour",       qr/"localhost" is not an IP address/],
        ["users\tbob\t",                  qr/./],
        ["users\tbob\t5",                 qr/./],
        ["users\tbob\t5/fortnight",       qr/fortnight/],
        ["users\tbob\t5/hour, 6/hour",    qr/same window/],
        ["users\tbob\t+5",                'a grant needs UNTIL, the time when it ends'],
        ["users\tbob\t+0\t9999999999",    '+0 grants nothing'],
        ["users\tbob\t+x\t9999999999",    qr/./],
        ["users\tbob\t5/hour\ttomorrow",  qr/"tomorrow" is not a time/],
        ["users\tbob\t5/hour\t2h",        qr/"2h" is a duration, not a time/],
        ["exact\tbob\t31/hour",           qr/a limit above 30/],
        ["users\tb\0b\t5/hour",           'NUL bytes, or longer than 64 KiB'],
        ["users\t" . 'x' x 65536 . "\t5/hour", 'NUL bytes, or longer than 64 KiB'],
    );
    # Twenty are shown at a time.
    for my $part ([0 .. 10], [11 .. $#bad]) {
        my $file = "$t->{dir}/bad";
        spew($file, join '', map {"users\tgood$_\t5/hour\n$bad[$_][0]\n"} @$part);
        my ($status, $out, $err) = $t->ctl('load', $file);
        is("$status$out", '65', 'bad input data');
        my @lines = split /\n/, $err;
        is(pop @lines, 'policyd-ratelimit-ctl: nothing was loaded');
        is(scalar @lines, scalar @$part, 'every line is reported') or diag $err;
        for my $i (0 .. $#$part) {
            my ($line, $why) = @{$bad[$part->[$i]]};
            my $place = quotemeta "$file:" . (2 * $i + 2) . ': ';
            like($lines[$i] // '', ref $why ? qr/^$place.*$why/ : qr/^$place\Q$why\E$/,
                substr $line, 0, 60);
        }
        is(state($t), $before, 'nothing has changed');
    }
    my @pairs = ([
            "users\tBob\t5/hour\n#\nusers\tbob\t5/hour\n",
            "stdin:3: the key already has limits, in line 1\n"
        ],
        ["nets\t2001:db8::1\t5/hour\nnets\t2001:db8::2\tdeny\n",
            "stdin:2: the key already has limits, in line 1\n"],
        [join('', map {"users\tbob\t+$_\t9999999999\n"} 1 .. 9),
            "stdin:9: more than 8 grants for one key\n"],
    );
    for my $case (@pairs) {
        is_deeply([$t->ctl({text => $case->[0]}, 'load', '-')],
            [65, '', "$case->[1]policyd-ratelimit-ctl: nothing was loaded\n"], $case->[1]);
    }
    my ($status, undef, $err) = $t->ctl({text => "bad\n" x 25}, 'load', '-');
    is($status, 65);
    like($err,
        qr/^stdin:20: .*\nstdin: 5 more mistakes\npolicyd-ratelimit-ctl: nothing was loaded\n\z/m,
        'very many');
    is(($t->ctl({text => "bad\n"}, 'load', '--replace', '-'))[0], 65, '--replace');
    is(state($t), $before, 'nothing has changed');
};

subtest 'no room' => sub {
    my $t = limiter(database_max_size => '300K');
    fill($t);
    my $before = state($t);
    my $many   = join '', map {"users\tkey$_\t5/hour\n"} 1 .. 5000;
    my ($status, $out, $err) = $t->ctl({text => $many}, 'load', '-');
    is("$status$out", '69', 'database_max_size');
    like($err, qr/would need \d+ bytes, but database_max_size is 307200\n/);
    like($err, qr/\npolicyd-ratelimit-ctl: nothing was loaded\n\z/);
    is(state($t), $before, 'nothing has changed');
    is_deeply([glob "$t->{database}*"], [$t->{database}], 'nothing beside the file');
    is(($t->ctl({text => "users\tfew\t5/hour\n"}, 'load', '-'))[0], 0, 'what fits is loaded');
};

subtest 'a full disk' => sub {
    plan skip_all => 'needs root, to mount a small file system' if $> != 0;
    my $t    = limiter();
    my $disk = $t->mount('-t', 'tmpfs', '-o', 'size=2m', 'none')
        or plan skip_all => 'no tmpfs here';
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble'});
    my $helper = fill($t);
    my $before = state($t);
    my $many   = join '', map {"users\tkey$_\t5/hour\n"} 1 .. 30000;
    for my $option ([], ['--replace']) {
        my ($status, $out, $err) = $t->ctl({text => $many}, 'load', @$option, '-');
        is("$status$out", '69', "load @$option");
        like($err, qr/can't be written: .*\npolicyd-ratelimit-ctl: nothing was loaded\n\z/);
        is(state($t), $before, 'leaves everything as it was');
        is_deeply([glob "$disk/*"], [$t->{database}], 'and nothing beside it');
    }
    is(passing($helper, 20, 'users', 'bob'), 5, 'the helper goes on');
    is((run('mount', '-o', 'remount,size=20m', $disk))[0], 0, 'there is room');
    is(($t->ctl({text => $many}, 'load', '-'))[0], 0, 'it is loaded');
    is(passing($helper, 20, 'users', 'key5000'), 5);
};

done_testing;
