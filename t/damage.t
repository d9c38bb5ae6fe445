#!/usr/bin/perl
# A counter file that is cut off, overwritten or replaced while helpers use it: every request is
# answered in time, and what is not damaged is counted as before.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Fcntl qw(SEEK_SET);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use RateTest qw(run slurp spew);

my $seed = $ENV{DAMAGE_SEED} // int(time) ^ $$;
note("seed $seed: DAMAGE_SEED=$seed makes the same choices");
srand $seed;
$SIG{PIPE} = 'IGNORE'; # of a helper that died

my $rules = <<'END';
[rule r]
key = sasl_username
limit = 1000/hour
[rule move]
key = sasl_username
strategy = moving-window
limit = 200/day
END

my $rounds  = $ENV{RATELIMIT_LONG} ? 20 : 1;
my $keys    = 60;
my $timeout = 2;
my $saved =
    qr/:[ ](\d+)[ ]records[ ]were[ ]saved[ ]into[ ]a[ ]new[ ]file,[ ](\d+)[ ]are[ ]damaged;
        [ ]the[ ]old[ ]file[ ]is[ ](?:kept[ ]as[ ](\S+)|not[ ]kept:[ ](.*))/x;
my $bounds  = 24 + 4093 * 4 + 200; # about where the hash table ends

sub limiter {
    my (%global) = @_;
    return RateTest->new(rules => $rules,
        global =>
            {on_error => 'WARN trouble', log => 'denied', lock_timeout => "${timeout}s", %global});
}

# Sends a request and says what is wrong with its answer: its form, or the time that it took.
my $requests = 0;
sub ask {
    my ($helper, $user, $charged) = @_;
    my $start  = time;
    # A whole message: no record needs places for others, and grows. Old bytes would stay then.
    my $answer = $helper->ask(
        sasl_username   => $user,
        instance        => "i$$." . ++$requests,
        protocol_state  => 'END-OF-MESSAGE',
        recipient_count => 1
    ) // 'gone';
    my $took   = time - $start;
    $charged->{$user}++ if $charged && $answer eq 'DUNNO';
    return "$user: $answer"
        if $answer !~ /\A(?:DUNNO|WARN trouble|DEFER_IF_PERMIT 4\.7\.1 Limit of .*)\z/;
    # The process that rescues also waits for the disk, which may be busy.
    return sprintf '%s: after %.1f s', $user, $took if $took > $timeout + 15;
    return;
}

sub used {
    my ($t) = @_;
    my ($shown, @rows) = $t->show;
    my %used;
    $used{$_->{rule}}{$_->{key}} = $_->{used} for @rows;
    return ($shown, \%used);
}

# The lines about damage, each as [saved, damaged, name of the kept file].
sub rescues { my ($t) = @_; return map { [/$saved/] } grep {/$saved/} split /\n/, $t->log_text }

# Changes bytes of the file in place.
sub overwrite {
    my ($t, $at, $bytes) = @_;
    open my $fh, '+<', $t->{database} or die $!;
    seek $fh, $at, SEEK_SET;
    print $fh $bytes;
    close $fh or die $!;
    return;
}

sub noise { my ($n) = @_; return join '', map { chr int rand 256 } 1 .. $n }

# Keys with a count of their own each, and what was charged to them.
sub fill {
    my ($t, $helper) = @_;
    my %charged;
    for my $n (1 .. $keys) {
        ask($helper, "k$n", \%charged) for 1 .. 1 + $n % 5;
    }
    return \%charged;
}

# Where in the file a record's key stands; where it ends.
sub places {
    my ($bytes) = @_;
    my %place;
    while ($bytes =~ /((?:r|move):k\d+)(?=3 [sm]\d)/g) {
        my ($start, $end) = ($-[0] - 24, 0);
        my ($length, $key, $data) = unpack 'x4 L L L', substr $bytes, $start, 16;
        $place{$1} = [$start, $start + 24 + $key + $data];
    }
    return \%place;
}

# Running helpers, the damage while they have the file open, then traffic by them and by new ones.
# What is checked: answers; counts of keys of which no byte was touched (range [from, to) of the
# file, in bytes, or undef for all of it); one line in the log, at most; the kept file.
sub survives {
    my ($name, $damage, %expect) = @_;
    my $t       = limiter();
    my @helpers = map { $t->helper } 1 .. 3;
    my $charged = fill($t, $helpers[0]);
    ask($_, 'k1', $charged) for @helpers;
    my $before  = slurp($t->{database});
    my @problems;
    $damage->($t, $before);
    my $after  = slurp($t->{database});
    my $places = places($before);
    # Untouched: every byte of the record is as it was.
    my %whole = map { $_ => 1 } grep {
        my ($from, $to) = @{$places->{$_}};
        length $after >= $to && substr($before, $from, $to - $from) eq substr $after, $from,
            $to - $from;
    } keys %$places;
    for my $round (1 .. 4) {
        push @helpers, $t->helper if $round < 3;
        for my $helper (@helpers) {
            push @problems, ask($helper, 'k' . (1 + int rand $keys), $charged) for 1 .. 5;
        }
    }
    # Every key is asked for, so that every damaged record is come across.
    push @problems, ask($helpers[0], "k$_", $charged) for 1 .. $keys;
    my @rescues = rescues($t);
    push @problems,
          'not '
        . ($expect{rescues} // 1) . ' but '
        . @rescues
        . ' lines in the log: '
        . $t->log_text
        if $expect{any} ? @rescues > $expect{any} : @rescues != ($expect{rescues} // 1);
    push @problems, 'kept: ' . join ' ', glob "$t->{database}.*"
        if @rescues != (() = glob "$t->{database}.damaged-*");
    push @problems, 'not kept as it was'
        if @rescues && slurp($rescues[0][2] // '/') eq '' && length $after;
    my ($shown, $used) = used($t);
    push @problems, "show: $shown" if $shown ne '0';
    for my $rule (qw(r move)) {
        for my $key (sort keys %$charged) {
            my $count = $used->{$rule}{$key} // 0;
            push @problems, "$rule:$key: $count, charged $charged->{$key}"
                if $count > $charged->{$key}
                || ($whole{"$rule:$key"} && $count != $charged->{$key} && !$expect{lossy});
        }
    }
    for my $helper (@helpers) {
        my ($rest, $exit) = $helper->finish;
        push @problems, "exit $exit, $rest" if $exit ne '0' || $rest ne '';
    }
    return is(join("\n", @problems), '', $name) || diag($t->log_text);
}

subtest 'cut off while it is in use' => sub {
    for my $round (1 .. $rounds) {
        # Within TDB's header, the hash table, page boundaries, in the middle of records.
        for my $at (0, 1, 100, 167, 168, 172, 4096, 10_000, 16_384, 20_480, 24_576,
            'middle', 'end', map {'random'} 1 .. 4) {
            my $name = "at $at";
            survives($name, sub {
                my ($t, $bytes) = @_;
                my @places = sort { $a->[0] <=> $b->[0] } values %{places($bytes)};
                my $length = $at =~ /\A\d/ ? $at
                    : $at eq 'middle' ? $places[@places / 2][0] + 60
                    : $at eq 'end'    ? length($bytes) - 1
                    :                   int rand length $bytes;
                truncate $t->{database}, $length or die $!;
                RateTest::await_recheck();
            });
        }
    }
};

subtest 'cut off between two reads, in full traffic' => sub {
    my $t       = limiter(lock_timeout => '5s');
    my $running = 4;
    my @pids;
    fill($t, $t->helper);
    for my $number (1 .. $running) {
        my $pid = fork() // die $!;
        if ($pid == 0) {
            my ($helper, $wrong, $end) = ($t->helper, 0, time + 3);
            while (time < $end) {
                my @wrong = ask($helper, 'k' . (1 + int rand $keys));
                warn "@wrong\n" if @wrong;
                $wrong += @wrong;
            }
            $wrong++ if ($helper->finish)[1] ne '0';
            POSIX::_exit($wrong ? 1 : 0);
        }
        push @pids, $pid;
    }
    for my $size (20_000, 0, 30_001, 168) {
        sleep 0.6;
        truncate $t->{database}, $size or die $!;
    }
    my $bad = grep { waitpid $_, 0; $? != 0 } @pids;
    is($bad, 0, 'no helper dies, every request is answered');
    my $helper = $t->helper;
    sleep 2.1;
    is(ask($helper, 'last'), undef, 'and the file is whole again');
    is((used($t))[0], 0, 'which show reads');
};

subtest 'noise and zeros' => sub {
    for my $round (1 .. $rounds) {
        for my $with ('noise', 'zeros') {
            my $fill = $with eq 'noise' ? \&noise : sub { "\0" x $_[0] };
            my $whole = sub { my ($t, $bytes) = @_; overwrite($t, 0, $fill->(length $bytes)) };
            survives("$with everywhere", $whole);
            # What TDB has in its map decides whether anything is wrong at all.
            survives("$with in the header", sub { overwrite($_[0], 0, $fill->(168)) }, any => 1);
            survives("$with in the hash table", sub { overwrite($_[0], 168, $fill->(16_000)) },
                any => 1, lossy => $with eq 'zeros');
            survives("$with in a page", sub {
                my ($t, $bytes) = @_;
                overwrite($t, 4096 * (5 + int rand length($bytes) / 4096 - 6), $fill->(4096));
            }, any => 1);
            survives("$with in both slots of a record", sub {
                my ($t, $bytes) = @_;
                my $place = places($bytes)->{'r:k7'};
                overwrite($t, $place->[0] + 24 + 5 + 12, $fill->(400));
            });
            survives("$with in a record's key", sub {
                my ($t, $bytes) = @_;
                overwrite($t, places($bytes)->{'r:k7'}[0] + 24, $fill->(3));
            }, any => 1);
            survives("$with in a record's header", sub {
                my ($t, $bytes) = @_;
                overwrite($t, places($bytes)->{'r:k7'}[0], $fill->(24));
            }, any => 1, lossy => 1);
        }
    }
};

subtest 'a transaction that nobody can bring to its end' => sub {
    # TDB's header tells where what it saved would be: behind the end of the file.
    my $broken = sub { my ($t) = @_; overwrite($t, 44, pack 'L', 0x7ffffff0) };
    survives('while helpers run', $broken);
    survives('before one starts', sub {
        my ($t) = @_;
        $broken->($t);
        my $helper = $t->helper;
        is($helper->ask(sasl_username => 'other'), 'DUNNO', 'who starts then rescues');
        $helper->finish;
    });
};

subtest 'other files in its place' => sub {
    my %kind = (
        'a directory' => sub { mkdir $_[0] or die $! },
        'a FIFO'      => sub { POSIX::mkfifo($_[0], 0666) or die $! },
        'a symbolic link to itself' => sub { symlink $_[0], $_[0] or die $! },
        'a device'    => sub { symlink '/dev/null', $_[0] or die $! },
    );
    for my $name (sort keys %kind) {
        my $t = limiter(lock_timeout => '500ms');
        my @helpers = map { $t->helper } 1 .. 2;
        ask($_, 'k1') for @helpers;
        rename $t->{database}, "$t->{dir}/away" or die $!;
        $kind{$name}->($t->{database});
        RateTest::await_recheck();
        push @helpers, $t->helper;
        my $start = time;
        is($_->ask(sasl_username => 'k1'), 'WARN trouble', $name) for (@helpers) x 2;
        cmp_ok(time - $start, '<', 3, 'is no reason to wait');
        is(scalar(() = $t->log_text =~ /^.*counters\.tdb: .*$/mg), 3, 'each says so once')
            or diag $t->log_text;
        is_deeply([glob "$t->{database}.*"], [], 'nothing is beside it');
        ok(-d $t->{database} ? rmdir $t->{database} : unlink($t->{database}), 'nor in it');
        rename "$t->{dir}/away", $t->{database} or die $!;
        is($_->ask(sasl_username => 'k1'), 'DUNNO', 'the file is back') for @helpers;
        is((used($t))[1]{r}{k1}, 5, 'with what was counted');
    }
};

subtest 'another counter file by cp, in place' => sub {
    for my $larger (0, 1) {
        my ($t, $other) = (limiter(), limiter());
        my @helpers = map { $t->helper } 1 .. 2;
        my $charged = fill($t, $helpers[0]);
        my $copy    = $other->helper;
        is(ask($copy, 'copied'), undef) for 1 .. 3;
        ask($copy, "more$_") for 1 .. 400 * $larger;
        is((run('cp', $other->{database}, $t->{database}))[0], 0);
        RateTest::await_recheck();
        my @problems = map { ask($_, 'copied') } @helpers, $t->helper;
        is_deeply(\@problems, [], 'is used');
        is((used($t))[1]{r}{copied}, 6, 'with what it has');
        cmp_ok(scalar(rescues($t)), '<=', 1, 'looked at once at the most');
    }
};

subtest 'a folder that vanishes and returns' => sub {
    my $t = limiter();
    mkdir "$t->{dir}/folder";
    $t->{database} = "$t->{dir}/folder/counters.tdb";
    $t->configure(rules => $rules, global => {on_error => 'WARN trouble', log => 'denied'});
    my @helpers = map { $t->helper } 1 .. 2;
    is(ask($_, 'k1'), undef) for @helpers;
    rename "$t->{dir}/folder", "$t->{dir}/gone" or die $!;
    RateTest::await_recheck();
    is($_->ask(sasl_username => 'k1'), 'WARN trouble', 'without it') for (@helpers, $t->helper) x 2;
    rename "$t->{dir}/gone", "$t->{dir}/folder" or die $!;
    is($_->ask(sasl_username => 'k1'), 'DUNNO', 'with it') for @helpers;
    is((used($t))[1]{r}{k1}, 4, 'what was counted is back');
};

subtest 'a file of a newer version' => sub {
    for my $kind ('as now', 'with a longer :meta', 'damaged too') {
        my $t = limiter();
        my $helper = $t->helper;
        ask($helper, 'k1');
        my $bytes = slurp($t->{database});
        $bytes =~ s/:meta2 secret/:meta3 secret/ or die;
        substr $bytes, $-[0] - 12, 4, pack 'L', 194 if $kind eq 'with a longer :meta';
        substr $bytes, 168, 4 * 4093, 'x' x (4 * 4093) if $kind eq 'damaged too';
        spew("$t->{dir}/newer", $bytes);
        rename "$t->{dir}/newer", $t->{database} or die $!;
        RateTest::await_recheck();
        is($_->ask(sasl_username => 'k1'), 'WARN trouble', 'on_error')
            for ($helper, $t->helper) x 3;
        is(scalar(() = $t->log_text =~ /counters\.tdb: it is of a newer version$/mg), 2,
            'each says why, once')
            or diag $t->log_text;
        is(scalar(split /\n/, $t->log_text), 2, 'and nothing else');
        ok(slurp($t->{database}) eq $bytes, 'it is left alone');
        is_deeply([glob "$t->{database}*"], [$t->{database}], 'nothing beside it');
    }
};

subtest 'records of a newer version' => sub {
    my $t      = limiter();
    my $helper = $t->helper;
    ask($helper, $_) for qw(k1 k2 bad);
    is(($t->ctl('set', 'r', 'k3', '5/hour'))[0], 0);
    my $bytes = slurp($t->{database});
    $bytes =~ s/(r:k23 s12 r3 1h\|.{20})/$1 =~ s{k23}{k24}r/e or die;
    $bytes =~ s/(:set:r:k3)1 /${1}2 / or die;
    my $place = places($bytes =~ s/r:bad/r:k99/r)->{'r:k99'};
    substr $bytes, $place->[0] + 24 + 5 + 12, 400, 'z' x 400;
    overwrite($t, 0, $bytes);
    is($helper->ask(sasl_username => 'k2'), 'WARN trouble', 'are not used');
    like($t->log_text, qr/the record of "r:k2" is of a newer version$/m, 'the log says why');
    is($helper->ask(sasl_username => 'bad'), 'DUNNO', 'another record is damaged') for 1 .. 2;
    is(scalar(rescues($t)), 1, 'so that the file is rescued');
    my $records = $t->records;
    like($records->{'r:k2'}, qr/\A4 s12 r3 1h\|/, 'they stay');
    like($records->{':set:r:k3'}, qr/\A2 /, 'an exception too');
    is(($t->ctl('clean'))[0], 0, 'a compaction');
    $records = $t->records;
    like($records->{'r:k2'}, qr/\A4 s12 r3 1h\|/, 'leaves them');
    like($records->{':set:r:k3'}, qr/\A2 /, 'both');
};

subtest 'several helpers come across the same damage' => sub {
    my $t       = limiter(lock_timeout => '20s');
    my @helpers = map { $t->helper } 1 .. 6;
    my $charged = fill($t, $helpers[0]);
    ask($_, 'k1', $charged) for @helpers;
    for my $size (20_000, 0, 100) {
        truncate $t->{database}, $size or die $!;
        unlink $t->{logfile};
        $_->write(RateTest::Helper::request(sasl_username => 'k2', instance => 'x' . ++$requests))
            for @helpers;
        is_deeply([map { $_->answer } @helpers], [('DUNNO') x 6], 'all are answered');
        # The line comes after the answer, but before the next one.
        ask($_, 'k2') for @helpers;
        is(scalar(rescues($t)), 1, 'the log says it once') or diag $t->log_text;
        sleep 2.1;
    }
    is(scalar(my @aside = glob "$t->{database}.damaged-*"), 3, 'each file is kept once');
};

subtest 'damaged again and again' => sub {
    my $t = limiter();
    $t->set_clock(1_700_000_000);
    for my $n (1 .. 11) {
        my $helper = $t->helper;
        spew($t->{database}, "damage $n");
        is(ask($helper, 'k1'), undef, 'is answered') if $n > 9;
        ask($helper, 'k1');
    }
    my @aside = glob "$t->{database}.damaged-*";
    is(scalar @aside, 8, 'eight files are kept, also if they come within a second');
    my %different = map { slurp($_) => 1 } @aside;
    is(scalar keys %different, 8, 'all of them');
    is((grep { defined $_->[3] } rescues($t))[0][3], 'there are 8 already',
        'the log tells that the ninth is not');
    my $helper = $t->helper;
    ask($helper, 'k1') for 1 .. 2;
    spew($t->{database}, 'damage');
    is($helper->ask(sasl_username => 'k1'), 'DUNNO', 'a helper that has not rescued lately does');
    spew($t->{database}, 'damage');
    is($helper->ask(sasl_username => 'k1'), 'WARN trouble', 'but not at once again') for 1 .. 3;
    is(scalar(() = $t->log_text =~ /damaged again/g), 1, 'which is said once');
};

subtest 'ctl clean' => sub {
    my $t       = limiter();
    my $charged = fill($t, $t->helper);
    my $bytes   = slurp($t->{database});
    overwrite($t, places($bytes)->{'r:k7'}[0], 'x' x 24);
    my ($status, undef, $errors) = $t->ctl('clean');
    is($status, 0, 'works on a damaged file');
    like($errors, qr/$saved/, 'and says what it did to it');
    is((used($t))[1]{move}{k7}, $charged->{k7}, 'with the counters that are not damaged');
};

subtest 'a backup that is damaged' => sub {
    my $t       = limiter();
    my $charged = fill($t, $t->helper);
    is((run('tdbbackup', $t->{database}))[0], 0, 'which TDB writes with another hash function');
    rename "$t->{database}.bak", $t->{database} or die $!;
    overwrite($t, 0, "\0" x 168);
    spew("$t->{database}.new-1.scan", 'of a process that was killed');
    is(ask($t->helper, 'other', $charged), undef, 'is rescued');
    is_deeply([glob "$t->{database}.new*"], [], 'and what a killed process left is gone');
    is(scalar(rescues($t)), 1, 'once') or diag $t->log_text;
    is_deeply((used($t))[1]{r}, $charged, 'with every counter');
};

# cp(1) empties the file and fills it while helpers use it.
for my $maker (qw(cp tdbbackup)) {
    subtest "a backup by $maker is copied over the file" => sub {
        my $t       = limiter();
        my @helpers = map { $t->helper } 1 .. 2;
        my $charged = fill($t, $helpers[0]);
        is((run(@$_))[0], 0) for $maker eq 'cp' ? ['cp', $t->{database}, "$t->{database}.bak"]
            : ['tdbbackup', $t->{database}];
        ask($_, 'later') for @helpers;
        my $backup = slurp("$t->{database}.bak");
        unlink "$t->{database}.bak";
        open my $fh, '>', $t->{database} or die $!;
        $_->write(RateTest::Helper::request(sasl_username => 'k1', instance => "during $_"))
            for @helpers;
        for my $part (unpack '(a20000)*', $backup) {
            syswrite $fh, $part;
            sleep 0.01;
        }
        close $fh;
        is($_->answer, 'DUNNO', 'a request waits for the rest') for @helpers;
        $charged->{k1} += 2;
        is_deeply([rescues($t)], [], 'nothing is damaged') or diag $t->log_text;
        is(ask($_, 'k2', $charged), undef) for @helpers, $t->helper;
        is_deeply((used($t))[1]{r}, $charged, 'with what the backup has');
    };
}

# TDB undoes a TDB transaction of a killed process with what is in its recovery area, and trusts the
# lengths there.
subtest 'a wrong length in the recovery area' => sub {
    my $magic = 0xf53bc0e7;
    my $valid = sub { my ($area) = @_; ($area->[5], $area->[3]) = ($magic, 100); return };
    my %damage = (
        'the length of a piece'    => sub { $valid->($_[0]); @{$_[0]}[6, 7] = (0, 0x7fffffff) },
        'the length of a piece, a little' => sub { $valid->($_[0]); @{$_[0]}[6, 7] = (200, 93) },
        'the place of a piece'     => sub { $valid->($_[0]); @{$_[0]}[6, 7] = (0xfffffff0, 16) },
        'the length of all pieces' => sub { $valid->($_[0]); $_[0][3] = 0x7fffffff },
        'pieces past the area'     => sub { $valid->($_[0]); $_[0][3] = $_[0][1] + 4 },
        'the length of the area'   => sub { $valid->($_[0]); $_[0][1] = 0x7fffffff },
        'the length of an unused area' => sub { $_[0][1] = 0x7fffffff },
        'the place of the area'    => sub { $valid->($_[0]); return 0xfffffff0 },
    );
    for my $name (sort keys %damage) {
        my $t       = limiter();
        my $running = $t->helper;
        my $charged = fill($t, $running);
        $t->ctl('set', 'r', 'k1', '900/hour');
        ask($running, 'k2', $charged);
        my $bytes = slurp($t->{database});
        my $at    = unpack 'x44 L', $bytes;
        cmp_ok($at, '>', 168, 'there is one');
        my @area  = unpack 'L8', substr $bytes, $at, 32;
        my $start = $damage{$name}->(\@area);
        overwrite($t, $at, pack 'L8', @area);
        overwrite($t, 44, pack 'L', $start) if $name eq 'the place of the area';
        my ($status, undef, $errors) = $t->ctl('show');
        is($status, 69, "$name: a command that only reads says so");
        like($errors, qr/counters\.tdb: can't be opened: its recovery area is damaged$/m);
        RateTest::await_recheck();
        is(ask($running, 'k3', $charged), undef, 'a running helper goes on');
        is(ask($t->helper, 'k4', $charged), undef, 'so does a new one');
        is(scalar(rescues($t)), 1, 'one rescues the file') or diag $t->log_text;
        is_deeply((used($t))[1]{r}, $charged, 'with every counter');
        like(($t->ctl('limits'))[1], qr/900/, 'and what was set');
    }
};

subtest 'a header with the number of an old format' => sub {
    my $t       = limiter();
    my $charged = fill($t, $t->helper);
    overwrite($t, 40, pack 'L', 1000);
    is(ask($t->helper, 'k1', $charged), undef, 'a helper goes on');
    is(scalar(rescues($t)), 1, 'and rescues the file') or diag $t->log_text;
    is_deeply((used($t))[1]{r}, $charged, 'with every counter');
};

subtest 'a file of another account' => sub {
    plan skip_all => 'needs root, to give files away' if $> != 0;
    my $t = limiter();
    my $helper = $t->helper;
    ask($helper, 'k1');
    spew("$t->{dir}/noise", 'noise' x 1000);
    chown 65534, 65534, "$t->{dir}/noise" or die $!;
    rename "$t->{dir}/noise", $t->{database} or die $!;
    RateTest::await_recheck();
    is($_->ask(sasl_username => 'k1'), 'WARN trouble', 'on_error') for ($helper, $t->helper) x 2;
    is(scalar(() = $t->log_text =~ /it belongs to uid 65534 and may hold anything/g), 2,
        'each says why, once')
        or diag $t->log_text;
    is(slurp($t->{database}), 'noise' x 1000, 'it is left alone');
    is_deeply([glob "$t->{database}*"], [$t->{database}], 'nothing beside it');
};

done_testing;
