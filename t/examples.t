#!/usr/bin/perl
# The examples: units for systemd, a cron file, a dashboard. They fit the programs, and what
# they run does what they say.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;
use FindBin;
use lib "$FindBin::Bin/lib";
use PrivatePostfix;
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
        ok($service->{'Service.User'}, 'not as root');
    }
};

# Nothing may write as root where another account could have put a symbolic link.
unlike($text{'policyd-ratelimit.cron'}, qr/^#?(?:[\d*]+ ){5} *root /m, 'cron: nothing as root');

subtest 'systemd-analyze security' => sub {
    plan skip_all => 'needs systemd-analyze'
        if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
    for my $job (qw(clean metrics report)) {
        my $unit = "$examples/policyd-ratelimit-$job.service";
        my (undef, $out, $err) = run('systemd-analyze', 'security', '--offline=yes', $unit);
        my ($level) = $out =~ /Overall exposure level for \S+: ([\d.]+)/;
        plan skip_all => "it says nothing: $err" if !defined $level;
        cmp_ok($level, '<', 2, "$job: exposure");
    }
};

# As the unit runs it: no new privileges, and the group of postdrop as one more.
subtest 'the report can be mailed' => sub {
    my $missing = PrivatePostfix::missing('sendmail', 'setpriv');
    plan skip_all => $missing if $missing;
    # An account other than root may only use the configuration in the usual place.
    my @in_place = ('unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/postfix && exec "$@"');
    plan skip_all => 'needs name spaces and /etc/postfix'
        if (run(@in_place, source_dir(), 'true'))[0] != 0;
    my $service = unit('policyd-ratelimit-report.service');
    is_deeply([map { $service->{"Service.$_"}[0] } 'NoNewPrivileges', 'SupplementaryGroups'],
        ['yes', 'postdrop'], 'its group');
    my $postfix = PrivatePostfix->new->start;
    my $mail = $postfix->dir . '/mail';
    spew($mail, "To: root\@example.com\nSubject: report\n\nNobody.\n");
    chmod 0644, $mail;
    my ($sendmail) = grep { -x } map {"$_/sendmail"} PrivatePostfix::path();
    my ($status, $out, $err) = run({stdin => $mail}, @in_place,
        $postfix->dir . '/etc', 'setpriv', '--reuid=nobody',
        '--regid=nogroup', '--groups=postdrop', '--no-new-privs', '--bounding-set=-all',
        $sendmail, '-t', '-f', 'nobody@example.com');
    is("$status$out$err", '0', 'accepted');
    ok($postfix->wait_for_mail_log(qr/pickup\[\d+\]: \w+: uid=\d+ from=<nobody/), 'picked up')
        or diag $postfix->mail_log;
    $postfix->stop;
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
my ($cron) = $text{'policyd-ratelimit.cron'} =~ /^#\* \* \* \* \*  \S+  (.+)$/m;
my %writer =
    ('the service' => ($service // '') =~ s/\$\$/\$/gr, 'the line for cron' => $cron // '');
for my $who (sort keys %writer) {
    subtest "metrics by $who" => sub {
        my $dir = tempdir(CLEANUP => 1);
        my $command = $writer{$who} =~ s/\Q$installed\E/$ctl/gr
            =~ s{/var/lib/policyd-ratelimit-metrics}{$dir}gr;
        local $ENV{STATE_DIRECTORY} = $dir;
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
