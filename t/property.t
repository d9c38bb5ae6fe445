#!/usr/bin/perl
# Random rules and random mail, against a model that keeps an exact log of everything that
# was charged. SEED=N runs the same again; RUNS=N is the number of configurations.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Test::More;
use RateTest;

my $seed = $ENV{SEED} // time ^ $$ << 8;
srand $seed;
note "SEED=$seed";
$ENV{TZ} = 'UTC';

sub one_of { return $_[rand @_] }
sub chance { my ($share) = @_; return rand() < $share }
sub between { my ($low, $high) = @_; return $low + int rand $high - $low + 1 }

# Windows: text, seconds.
my @windows = (
    ['minute', 60], ['10 seconds', 10], ['5 minutes', 300], ['hour', 3600], ['3 hours', 10_800],
    ['day', 86_400], ['2 days', 172_800], ['week', 604_800],
);

# What an attribute's values are: as they are sent, and as they are counted.
my @users = (['alice@a.example', 'alice@a.example'], ['Alice@A.Example', 'alice@a.example'],
    ['bob@b.example', 'bob@b.example'], ['carol@sub.b.example', 'carol@sub.b.example'],
    ['dave', 'dave'], ['', '']);
my @addresses = (['192.0.2.7', '192.0.2.7'], ['::ffff:192.0.2.7', '192.0.2.7'],
    ['192.0.2.200', '192.0.2.200'], ['198.51.100.1', '198.51.100.1'],
    ['2001:db8::1', '2001:db8::/64'], ['2001:DB8:0:0:ffff::2', '2001:db8::/64'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'], ['unknown', '']);

sub domain { my ($value) = @_; return $value =~ /@([^@]*)\z/ ? lc $1 : '' }

# Keys: the option, what it is of a transaction and a recipient, which overrides fit.
my %keys = (
    'everything'               => [sub { 'everything' }, ''],
    'sasl_username'            => [sub { $_[0]{user}[1] }, 'mailbox'],
    'client_address'           => [sub { $_[0]{address}[1] }, 'address'],
    'sasl_username, client_address' =>
        [sub { $_[0]{user}[1] ne '' ? $_[0]{user}[1] : $_[0]{address}[1] }, 'both'],
    'sender_domain'            => [sub { domain($_[0]{sender}) }, ''],
    'recipient_domain'         => [sub { domain($_[1]) }, ''],
    'sasl_username+client_address' => [sub {
        my ($user, $address) = ($_[0]{user}[1], $_[0]{address}[1]);
        return $user ne '' && $address ne '' ? "$user\0$address" : '';
    }, ''],
);

# Matches: the line, and whether it holds.
my @matches = (
    ['sasl_username = *',             sub { $_[0]{user}[0] ne '' }],
    ['sasl_username =',               sub { $_[0]{user}[0] eq '' }],
    ['client_address = 192.0.2.0/24', sub { $_[0]{address}[1] =~ /^192\.0\.2\./ }],
    ['client_address != 192.0.2.0/25, 2001:db8::/48, unknown',
        sub { $_[0]{address}[1] !~ /^192\.0\.2\.7$|^2001|^$/ }],
    ['sasl_username = @A.example, dave', sub { $_[0]{user}[1] =~ /\@a\.example$|^dave$/ }],
    ['sasl_username != .b.example',   sub { $_[0]{user}[1] !~ /\.b\.example$/ }],
    ['protocol_state = RCPT',         sub { $_[2] eq 'RCPT' }],
    ['protocol_state != RCPT',        sub { $_[2] ne 'RCPT' }],
    ['recipient = *',                 sub { $_[1] ne '' }],
    ['server_port = 25, 587',         sub { $_[0]{port} != 465 }],
    ['policy_context = submission',   sub { $_[0]{context} eq 'submission' }],
);

# Overrides by the kind of key, the most specific first: pattern, which keys it is for.
my %overrides = (
    mailbox => [
        ['Alice@a.example', qr/^alice\@a\.example$/], ['dave', qr/^dave$/],
        ['@a.example', qr/\@a\.example$/],            ['@b.example', qr/\@b\.example$/],
        ['.b.example', qr/\.b\.example$/],            ['.example', qr/\.example$/],
    ],
    address => [
        ['192.0.2.7', qr/^192\.0\.2\.7$/],    ['192.0.2.0/26', qr/^192\.0\.2\.7$/],
        ['2001:db8::/64', qr/^2001:db8::/],   ['192.0.2.0/24', qr/^192\.0\.2\./],
        ['2001:db8::/32', qr/^2001:db8:/],    ['0.0.0.0/0', qr/^[\d.]+$/],
    ],
);
$overrides{both} = [map {@$_} @overrides{qw(mailbox address)}];

# Limits as text, and as windows; 'unlimited' or 'deny'.
sub random_limits {
    my ($rule) = @_;
    my @chosen;
    my %seen;
    for (1 .. between(1, 3)) {
        my $window = one_of(@windows);
        my $count = $rule->{count} eq 'bytes' ? between(1, 3000) : between(1, 12);
        push @chosen, [$count, @$window] if !$seen{$window->[1]}++;
    }
    return {kind => 'windows', windows => \@chosen,
        text => join ', ', map {"$_->[0]/$_->[1]"} @chosen};
}

sub random_override_limits {
    my ($rule) = @_;
    return {kind => 'unlimited', text => 'unlimited'} if chance(0.2);
    return {kind => 'deny', text => 'deny'} if chance(0.15);
    return random_limits($rule);
}

sub random_rule {
    my ($name) = @_;
    my %rule = (
        name         => $name,
        key          => one_of(sort keys %keys),
        count        => one_of(qw(messages recipients recipients bytes)),
        strategy     => one_of(qw(moving-window moving-window sliding-window fixed-window)),
        resolution   => between(1, 60),
        count_denied => chance(0.25) ? 1 : 0,
        observe      => chance(0.15) ? 1 : 0,
        matches      => [],
        overrides    => [],
    );
    $rule{limits} = random_limits(\%rule);
    for (1 .. one_of(0, 0, 0, 1, 2)) {
        my $match = one_of(@matches);
        # Those would be a mistake: the rule could never apply.
        next if $match->[0] =~ /protocol_state/
            && ($rule{count} eq 'bytes' || grep { $_->[0] =~ /protocol_state/ } @{$rule{matches}});
        push @{$rule{matches}}, $match;
    }
    for my $override (@{$overrides{$keys{$rule{key}}[1]} // []}) {
        push @{$rule{overrides}}, [@$override, random_override_limits(\%rule)] if chance(0.3);
    }
    my @lines = (
        "[rule $name]", "key = $rule{key}", "count = $rule{count}", "strategy = $rule{strategy}",
        "resolution = $rule{resolution}", "limit = $rule{limits}{text}", "action = REJECT $name");
    push @lines, 'count_denied = yes' if $rule{count_denied};
    push @lines, 'mode = observe' if $rule{observe};
    push @lines, "match = $_->[0]" for @{$rule{matches}};
    push @lines, map {
        $_->[2]{kind} eq 'unlimited' && chance(0.5)
            ? "exempt = $_->[0]"
            : "override = $_->[0] $_->[2]{text}"
    } sort { rand() <=> 0.5 } @{$rule{overrides}};
    return (\%rule, join "\n", @lines, '');
}

# The calendar window in UTC that a moment is in; it starts there.
sub fixed_start {
    my ($text, $length, $now) = @_;
    my $offset = $text eq 'week' ? 4 * 86_400 : 0;    # the first Monday
    return $now - ($now - $offset) % $length;
}

# Whether an exact log has room for a cost, or one for each window; slack: as if windows were that
# much longer.
sub has_room {
    my ($rule, $limits, $log, $now, $cost, $costs, $slack) = @_;
    return 1 if $cost == 0;
    return 0 if $limits->{kind} eq 'deny';
    for my $i (0 .. $#{$limits->{windows}}) {
        my ($limit, $text, $length) = @{$limits->{windows}[$i]};
        my $own = $costs ? $costs->[$i] : $cost;
        my $after = $rule->{strategy} eq 'fixed-window'
            ? fixed_start($text, $length, $now) - 1
            : $now - $length - ($slack ? $length / $rule->{resolution} : 0);
        my $used = 0;
        $used += $_->[1] for grep { $_->[0] > $after } @$log;
        return 0 if $own && $used + $own > $limit;
    }
    return 1;
}

# The rules that count something of a request: each with its log, its limits, its cost.
sub concerned {
    my ($rules, $logs, $transaction, $request) = @_;
    my ($state, $recipient, $recipients, $size) = @$request{qw(state recipient recipients size)};
    my @concerned;
    for my $rule (@$rules) {
        next if grep { !$_->[1]->($transaction, $recipient, $state) } @{$rule->{matches}};
        my $key = $keys{$rule->{key}}[0]->($transaction, $recipient);
        next if $key eq '';
        my $paid    = $transaction->{paid}{"$rule->{name}:$key"} //= [];
        my $charged = \($transaction->{charged}{"$rule->{name}:$key"} //= 0);
        my $cost =
              $rule->{count} eq 'bytes'    ? ($state eq 'END-OF-MESSAGE' ? $size : 0)
            : $rule->{count} eq 'messages' ? 1 - $$charged
            : $state eq 'RCPT'             ? 1
            :                                $recipients - $$charged;
        my ($own) = grep { $key =~ $_->[1] } @{$rule->{overrides}};
        my $limits = $own ? $own->[2] : $rule->{limits};
        next if $limits->{kind} eq 'unlimited';
        my $amount =
              $rule->{count} eq 'bytes'    ? ($state eq 'END-OF-MESSAGE' ? $size : 0)
            : $rule->{count} eq 'messages' ? 1
            : $state eq 'RCPT'             ? 1
            :                                $recipients;
        push @concerned, {rule => $rule, limits => $limits, cost => $cost > 0 ? $cost : 0,
            amount => $amount, charged => $charged, paid => $paid,
            log => $logs->{"$rule->{name}:$key"} //= []};
    }
    return @concerned;
}

# What is wrong with an answer; nothing if it is as it must be.
sub judge {
    my ($answer, $now, @concerned) = @_;
    my ($denier) = $answer =~ /^REJECT (\w+)$/;
    return "answer $answer" if !$denier && $answer ne 'DUNNO';
    for my $one (grep { !$_->{rule}{observe} } @concerned) {
        my @room = (@$one{qw(rule limits log)}, $now, @$one{qw(cost costs)});
        my $name = $one->{rule}{name};
        if (!$denier || $denier ne $name) {
            return "$answer, but $name has no room" if !has_room(@room, 0);
            next;
        }
        my $late = $one->{rule}{strategy} eq 'sliding-window';
        return has_room(@room, $late) ? "$answer, but $name has room" : '';
    }
    return $denier ? "$answer, but $denier has nothing to say" : '';
}

# Charges what the answer says was charged.
sub charge {
    my ($answer, $now, @concerned) = @_;
    for my $one (@concerned) {
        my $rule = $one->{rule};
        next if !$one->{cost} || ($answer ne 'DUNNO' && !$rule->{count_denied});
        push @{$one->{log}}, [$now, $one->{cost}];
        push @{$one->{paid}}, [$now, $one->{cost}];
        ${$one->{charged}} += $one->{cost} if $answer eq 'DUNNO';
    }
    return;
}

# Whether a window still counts what was charged at a moment; undef: that depends on sub-buckets.
sub counts {
    my ($rule, $window, $at, $now) = @_;
    my (undef, $text, $length) = @$window;
    return $at >= fixed_start($text, $length, $now) if $rule->{strategy} eq 'fixed-window';
    return 1 if $now - $at < $length;
    return 0 if $rule->{strategy} eq 'moving-window';
    return $now - $at >= $length * (1 + 1 / $rule->{resolution}) ? 0 : undef;
}

# What a request costs that was allowed at a moment and comes again: nothing in windows that count
# that moment, in others what it asks for, less what was charged for its transaction and still
# counts. False if that can't be told.
sub cost_again {
    my ($first, $now, @concerned) = @_;
    my %costs;
    for my $one (@concerned) {
        my %moments = map { $_->[0] => 1 } @{$one->{paid}};
        # A record knows the moments of two charges.
        return 0 if keys %moments > 2;
        return 0 if $one->{limits}{kind} eq 'deny' && $one->{amount};
        for my $window (@{$one->{limits}{windows} // []}) {
            my $covered = counts($one->{rule}, $window, $first, $now) // return 0;
            my $cost = $covered ? 0 : $one->{amount};
            for my $paid (@{$one->{paid}}) {
                my $counts = counts($one->{rule}, $window, $paid->[0], $now) // return 0;
                $cost -= $paid->[1] if $counts;
            }
            push @{$costs{$one}}, $cost > 0 ? $cost : 0;
        }
    }
    for my $one (@concerned) {
        $one->{costs} = $costs{$one} // [];
        ($one->{cost}) = sort { $b <=> $a } @{$one->{costs}}, 0;
    }
    return 1;
}

# Charges it: what only some windows still count is taken back first, so that all count the
# request from now on.
sub charge_again {
    my ($answer, $now, @concerned) = @_;
    for my $one (@concerned) {
        next if !$one->{cost} || ($answer ne 'DUNNO' && !$one->{rule}{count_denied});
        my ($least) = sort { $a <=> $b } @{$one->{costs}};
        my $rest = $one->{cost} - ($least // 0);
        my ($highest) =
            grep { $one->{costs}[$_] == $one->{cost} } 0 .. $#{$one->{costs}};
        for my $paid (sort { $b->[0] <=> $a->[0] } @{$one->{paid}}) {
            next if !$rest || counts($one->{rule}, $one->{limits}{windows}[$highest],
                $paid->[0], $now);
            my $taken = $paid->[1] < $rest ? $paid->[1] : $rest;
            $rest -= $taken;
            $paid->[1] -= $taken;
            for my $event (grep { $_->[0] == $paid->[0] } @{$one->{log}}) {
                my $less = $event->[1] < $taken ? $event->[1] : $taken;
                $event->[1] -= $less;
                $taken -= $less;
            }
        }
        @{$one->{paid}} = grep { $_->[1] } @{$one->{paid}};
        push @{$one->{$_}}, [$now, $one->{cost}] for qw(log paid);
    }
    return;
}

my $instances = 0;

sub new_transaction {
    my $user = one_of(@users);
    my %transaction = (
        user     => $user,
        address  => one_of(@addresses),
        sender   => one_of('x@a.example', 'y@b.example', 'z@B.example', ''),
        port     => one_of(25, 465, 587),
        context  => one_of('submission', 'smtps'),
        instance => ++$instances . '.5f.0',
        charged  => {},
        paid     => {},
        accepted => 0,
        states   => [('RCPT') x between(1, 5), 'DATA', 'END-OF-MESSAGE'],
        began    => $instances,
    );
    shift @{$transaction{states}} while @{$transaction{states}} > 2 && chance(0.05);
    return \%transaction;
}

sub next_request {
    my ($transaction) = @_;
    my $state = shift @{$transaction->{states}};
    my $n = @{$transaction->{states}};
    $transaction->{recipients} //= $transaction->{accepted} + (chance(0.2) ? between(1, 3) : 0)
        if $state ne 'RCPT';
    return {
        state      => $state,
        recipient => $state eq 'RCPT'
        ? "r$n\@" . one_of('c.example', 'd.example', 'D.example')
        : '',
        recipients => $transaction->{recipients} // 0,
        size       => $state eq 'END-OF-MESSAGE' ? between(0, 1500) : 0,
    };
}

sub ask {
    my ($helper, $transaction, $request) = @_;
    return $helper->ask(
        instance        => $transaction->{instance},
        sasl_username   => $transaction->{user}[0],
        client_address  => $transaction->{address}[0],
        sender          => $transaction->{sender},
        server_port     => $transaction->{port},
        policy_context  => $transaction->{context},
        protocol_state  => $request->{state},
        recipient       => $request->{recipient},
        recipient_count => $request->{recipients},
        size            => $request->{size},
    ) // 'no answer';
}

sub random_step {
    return 0 if chance(0.55);
    return between(1, 20) if chance(0.6);
    return between(20, 4000) if chance(0.8);
    return between(4000, 200_000);
}

# One configuration under random mail; what went wrong, if anything did.
sub run_one {
    my ($requests, $seen) = @_;
    my (@rules, $text);
    for my $i (1 .. between(1, 4)) {
        my ($rule, $section) = random_rule("r$i");
        push @rules, $rule;
        $text .= $section;
    }
    my $t   = RateTest->new(rules => $text, global => {log => 'none'});
    my $now = 1_700_000_000 + between(0, 30_000_000);
    $t->set_clock($now);
    my @helpers = map { $t->helper } 1 .. 3;
    my (%logs, @open, @trace);
    while ($requests > 0) {
        my $step = random_step();
        $now += $step;
        $t->set_clock($now) if $step;
        # A counter whose windows are empty may go, with what it knows of transactions.
        @open = () if $step > 20;
        push @open, new_transaction() if @open < 3;
        # A key's record remembers a few transactions: none here waits for many others.
        my ($i) = $open[0]{began} < $instances - 4 ? 0 : between(0, $#open);
        my $transaction = $open[$i];
        my $request     = next_request($transaction);
        my @concerned   = concerned(\@rules, \%logs, $transaction, $request);
        my $answer      = ask(one_of(@helpers), $transaction, $request);
        push @trace, "$now $transaction->{instance} $request->{state} $request->{recipient} "
            . "n=$request->{recipients} size=$request->{size} user=$transaction->{user}[0] "
            . "address=$transaction->{address}[0] sender=$transaction->{sender} "
            . "port=$transaction->{port} context=$transaction->{context}: $answer";
        $requests--;
        $seen->{$answer}++;
        my $wrong = judge($answer, $now, @concerned);
        charge($answer, $now, @concerned);
        if (!$wrong && chance(0.15)) {
            # Postfix lost its connection and asks again; or the client does later.
            my $later = $now + between(1, 100);
            $later = $now
                if $answer ne 'DUNNO' || chance(0.7) || !cost_again($now, $later, @concerned);
            if ($later > $now) {
                $now = $later;
                $t->set_clock($now);
            }
            my $again = ask(one_of(@helpers), $transaction, $request);
            push @trace, "$now the same again: $again";
            $requests--;
            $seen->{again}++;
            if (grep { $_->{costs} } @concerned) {
                $wrong = judge($again, $now, @concerned);
                charge_again($again, $now, @concerned);
                $seen->{later}++;
                $seen->{$again}++;
            } elsif ($again ne $answer) {
                $wrong = "$answer, and $again when it was sent again";
            }
        }
        if ($wrong) {
            my $from = @trace > 60 ? @trace - 60 : 0;
            return join "\n", $wrong, $text, @trace[$from .. $#trace];
        }
        $transaction->{accepted}++ if $answer eq 'DUNNO' && $request->{state} eq 'RCPT';
        # Without recipients, or denied as a whole, it is over.
        my $over =
            !@{$transaction->{states}} || ($answer ne 'DUNNO' && $request->{state} ne 'RCPT');
        splice @open, $i, 1 if $over;
    }
    return '';
}

my $runs = $ENV{RUNS} // 40;
my %seen;
my @wrong;
for my $run (1 .. $runs) {
    my $wrong = run_one(200, \%seen);
    push @wrong, "configuration $run: $wrong" if $wrong;
    last if @wrong >= 3;
}
is(scalar @wrong, 0, 'every answer is as the exact log says')
    or diag "SEED=$seed\n", join "\n\n", @wrong;
my $denied = 0;
$denied += $seen{$_} for grep {/^REJECT/} keys %seen;
note "$seen{DUNNO} passed, $denied were denied, $seen{again} were sent again";
if ($runs >= 40 && !@wrong) {
    cmp_ok($denied,     '>', 500, 'enough was denied for this to mean something');
    cmp_ok($seen{DUNNO}, '>', 500, 'and enough passed');
}

done_testing;
