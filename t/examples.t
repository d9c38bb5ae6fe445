#!/usr/bin/perl
# The examples: units for systemd, a cron file, a dashboard. They fit the programs, and what
# they run does what they say.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;
use RateTest qw(run slurp spew source_dir build_dir);

my $examples = build_dir() . '/examples';
my %text = map { m{([^/]+)\z} => slurp($_) } glob "$examples/policyd-ratelimit*";
is_deeply(
    [sort keys %text],
    [(
            map { ("policyd-ratelimit-$_.service", "policyd-ratelimit-$_.timer") }
                qw(clean metrics report)
        ),
    'policyd-ratelimit.cron',
], 'all are there');

my $real = `cd '@{[build_dir()]}' && pwd` =~ s/\n//r . '/policyd-ratelimit-ctl';
my ($installed) =
    $text{'policyd-ratelimit-clean.service'} =~ m{^ExecStart=(/\S+/policyd-ratelimit-ctl) clean$}m;
ok($installed, 'the path of policyd-ratelimit-ctl');
for my $name (sort keys %text) {
    like($text{$name}, qr/\A# SPDX-License-Identifier: BSD-2-Clause\n/, "$name: licence");
    unlike($text{$name}, qr/\@(?:[a-z]+dir|user)\@/, 'no placeholder is left');
    is((grep { !/^#?\* \* \* \* \*/ && length > 120 } split /\n/, $text{$name}), 0,
        'lines that can be read');
}

# Every command and option that an example names is one.
my (undef, $help) = run($real, '--help');
for my $name (sort keys %text) {
    while ($text{$name} =~ m{\Q$installed\E (\w+)([^>\n]*)}g) {
        my ($command, $options) = ($1, $2);
        like($help, qr/^  $command\b/m, "$name: there is a command $command");
        my $usage = join '', (run($real, $command, '--help'))[1, 2];
        like($usage, qr/\Q$_\E\b/, "$command has $_") for $options =~ /(--\w+)/g;
    }
}

sub unit {
    my ($name) = @_;
    my (%setting, $section);
    for my $line (split /\n/, $text{$name} =~ s/^#.*\n//mgr =~ s/\\\n/ /gr) {
        $section = $1 if $line =~ /\A\[(\w+)\]\z/;
        push @{$setting{"$section.$1"}}, $2 if $line =~ /\A(\w+)=(.*)\z/;
    }
    return \%setting;
}

subtest 'units' => sub {
    for my $job (qw(clean metrics report)) {
        my ($timer, $service) = map { unit("policyd-ratelimit-$job.$_") } qw(timer service);
        is_deeply($timer->{'Install.WantedBy'}, ['timers.target'],
            "$job: its timer can be enabled");
        is_deeply($service->{'Service.Type'}, ['oneshot'], 'it runs and ends');
        ok($service->{'Service.ProtectSystem'}, 'shut in');
        is(!!$service->{'Service.User'}, $job ne 'metrics', 'account');
    }
    # Postfix's sendmail needs the group of postdrop, which these settings keep from it.
    my @deadly = grep {
        /\AService\.(?:NoNewPrivileges|SystemCall\w+|Restrict\w+|PrivateDevices|ProtectKernel\w+
        |ProtectClock|ProtectHostname|MemoryDenyWriteExecute|LockPersonality|DynamicUser
        |PrivateUsers)\z/x
    } keys %{unit('policyd-ratelimit-report.service')};
    is_deeply(\@deadly, [], 'the report can be mailed');
};

subtest 'systemd-analyze verify' => sub {
    plan skip_all => 'needs systemd-analyze'
        if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
    my $dir = tempdir(CLEANUP => 1);
    # The programs are not installed.
    spew("$dir/$_", $text{$_} =~ s/\Q$installed\E/$real/gr)
        for grep { !/cron/ } keys %text;
    my ($status, $out, $err) = run('systemd-analyze', 'verify', '--man=no', glob "$dir/*");
    my @own = grep {/policyd-ratelimit/} split /^/m, $out . $err;
    is(join('', @own), '', 'no complaint') or diag "status $status";
};

my $t = RateTest->new(rules => "[rule r]\nkey = sender\nlimit = 10/hour\n");
$t->helper->ask(protocol_state => 'DATA', recipient_count => 9, sender => 'a@example.com');
my $ctl = "$t->{dir}/ctl";
spew($ctl, "#!/bin/sh\nexec '$real' -c '$t->{config}' \"\$@\"\n");
chmod 0755, $ctl;

# What a shell gets to see: systemd makes one dollar of two.
my ($service) = unit('policyd-ratelimit-metrics.service')->{'Service.ExecStart'}[0]
    =~ m{\A/bin/sh -c '([^']+)'\z};
my ($cron) = $text{'policyd-ratelimit.cron'} =~ /^#\* \* \* \* \*  root  (.+)$/m;
my %writer =
    ('the service' => ($service // '') =~ s/\$\$/\$/gr, 'the line for cron' => $cron // '');
for my $who (sort keys %writer) {
    subtest "metrics by $who" => sub {
        my $dir = tempdir(CLEANUP => 1);
        my $command = $writer{$who} =~ s/\Q$installed\E/$ctl/gr
            =~ s{/var/lib/prometheus/node-exporter}{$dir}gr;
        local $ENV{DIRECTORY} = $dir;
        my ($status, $out, $err) = run('/bin/sh', '-c', $command);
        is("$status$out$err", '0', 'runs');
        is_deeply([map {s{.*/}{}r} glob "$dir/*"], ['policyd-ratelimit.prom'], 'one file is there');
        my $written = slurp("$dir/policyd-ratelimit.prom");
        like($written, qr/\A# HELP .*# EOF\n\z/s, 'whole');
        spew($ctl . '.bad', "#!/bin/sh\necho half\nexit 69\n");
        chmod 0755, "$ctl.bad";
        ($status) = run('/bin/sh', '-c', $command =~ s/\Q$ctl\E/$ctl.bad/gr);
        is($status, 1, 'systemd hears of a failure') if $who eq 'the service';
        is_deeply([map {s{.*/}{}r} glob "$dir/*"], ['policyd-ratelimit.prom'],
            'nothing is left by a failure');
        is(slurp("$dir/policyd-ratelimit.prom"), $written, 'which changes nothing');
        # Under its name there is never a part, and under no other that is read.
        like($command, qr/metrics >"?(\S+?)"? && mv "?\1"? /, 'written under another name');
        unlike($command, qr/metrics >\S*\.prom"? /);
    };
}

subtest 'the cron file' => sub {
    my @jobs = grep { !/^#|^[A-Z]+=|^$/ } split /\n/, $text{'policyd-ratelimit.cron'};
    is(scalar @jobs, 2, 'report and clean');
    like($_, qr{\A(?:[\d*]+ ){5} *[\w-]+  \Q$installed\E [^%]+\z}, 'a line of cron') for @jobs;
    like($text{'policyd-ratelimit.cron'}, qr/^MAILTO=\S/m);
};

subtest 'the dashboard' => sub {
    my $dashboard = eval { decode_json(slurp(source_dir() . '/examples/grafana-dashboard.json')) };
    ok($dashboard, 'JSON') or diag $@;
    my (undef, $metrics) = $t->ctl('metrics');
    my %known = map { ($_ => 1) } $metrics =~ /^# TYPE (\S+)/mg;
    my %labels;
    while ($metrics =~ /^(\w+)\{(.*)\} /mg) {
        my ($name, $all) = ($1, $2);
        $labels{$name}{$1} = 1 while $all =~ /(\w+)="/g;
    }
    my (%used, %id);
    for my $panel (@{$dashboard->{panels}}) {
        is($id{$panel->{id}}++, 0, "panel \"$panel->{title}\"");
        cmp_ok(scalar @{$panel->{targets}}, '>', 0, 'shows something');
        for my $expression (map { $_->{expr} } @{$panel->{targets}}) {
            my @names = $expression =~ /(policyd_ratelimit_\w+)/g;
            is_deeply([grep { !$known{$_} } @names], [], $expression);
            $used{$_}++ for @names;
            while ($expression =~ /(policyd_ratelimit_\w+)\{([^}]*)\}/g) {
                my ($name, $selected) = ($1, $2);
                is_deeply([grep { $_ ne 'instance' && !$labels{$name}{$_} } $selected =~ /(\w+)=/g],
                    [], "labels of $name");
            }
            is(($expression =~ tr/(//), ($expression =~ tr/)//), 'parentheses');
        }
    }
    is_deeply([grep { !$used{$_} } sort keys %known], [], 'every metric is shown');
    my @queries = map { $_->{definition} // () } @{$dashboard->{templating}{list}};
    is_deeply([grep { !$known{$_} } map {/(policyd_\w+)/g} @queries], [], 'variables');
};

done_testing;
