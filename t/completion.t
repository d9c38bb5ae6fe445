#!/usr/bin/perl
# Completion in bash and in zsh: commands, options, rules, keys and settings.
# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use Cwd qw(abs_path);
use Test::More;
use RateTest qw(has_tmux run slurp spew source_dir build_dir);

my $t = RateTest->new(rules => <<'END');
[rule users]
key = sasl_username
limit = 100/hour
[rule clients]
key = client_address
limit = 100/hour
END
my $source = abs_path(source_dir()) . '/completion';
$ENV{PATH} = abs_path(build_dir()) . ":$ENV{PATH}";
$ENV{LC_ALL} = 'C.UTF-8';
my $helper = $t->helper;
for my $user ('ann@example.com', 'ann@example.org', 'bob smith', q{eve'$(touch x)`"\\;},
    "\x{c3}\x{a9}va", '*')
{
    $helper->ask(sasl_username => $user, client_address => '2001:db8::1');
}
my $ctl = "policyd-ratelimit-ctl -c $t->{config}";

# What bash offers for a line with the cursor at its end.
spew("$t->{dir}/complete.bash", <<"END");
. $source/policyd-ratelimit-ctl
COMP_LINE=\$1 COMP_POINT=\${#1}
_policyd_ratelimit_ctl policyd-ratelimit-ctl
printf '%s\\n' "\${COMPREPLY[@]}"
END
sub offers {
    my ($line) = @_;
    my ($status, $out, $err) =
        run('bash', '--norc', '--noprofile', "$t->{dir}/complete.bash", $line);
    return "$status$err" if $status || $err;
    return join ' | ', sort split /\n/, $out;
}

subtest 'bash' => sub {
    my @cases = (
        ['policyd-ratelimit-ctl se', 'set'],
        ["$ctl show --", '--json | --key | --over | --rule | --sort | --top'],
        ["$ctl show --rule ", 'clients | users'],
        ["$ctl show --rule=u", 'users'],
        ["$ctl top --sort ", 'key | last | percent | used'],
        ["$ctl reset a", 'ann@example.com | ann@example.org'],
        ["$ctl reset ann\@example.c", '@example.com', 'bash takes @ for the start of a word'],
        ["$ctl reset --rule clients ", '2001:db8::/64', 'keys of the rule'],
        ["$ctl reset 2001:db", 'db8::/64', 'a colon ends a word of bash'],
        ["$ctl reset bob", 'bob\\ smith', 'quoted'],
        ["$ctl reset bob\\ s", 'bob\\ smith'],
        ["$ctl reset 'bob s", 'bob smith', 'in quotes'],
        ["$ctl reset ev", q{eve\'\$\(touch\ x\)\`\"\\\\\;}, 'nothing is expanded'],
        ["$ctl reset '*", '*', 'is no pattern'],
        ["$ctl reset \"eve", q{eve'\$(touch x)\\`\\"\\\\;}, 'in double quotes'],
        ["$ctl reset eve\\'\\\$\\(touch\\ x\\)\\`\\\"\\\\", q{eve\'\$\(touch\ x\)\`\"\\\\\;},
            'all of it typed'],
        ["$ctl reset \x{c3}", "\x{c3}\x{a9}va"],
        ["$ctl set ", 'clients | users'],
        ["$ctl set --for 1h users a", 'ann@example.com | ann@example.org'],
        ["$ctl unset clients ", '2001:db8::/64'],
        ["$ctl config users.k", 'users.key'],
        ["$ctl explain sasl_u", 'sasl_username='],
        ["policyd-ratelimit-ctl -c $t->{dir}/poli", $t->{config}],
        ["policyd-ratelimit-ctl --config=$t->{config} show --rule c", 'clients'],
        ['policyd-ratelimit-ctl -c /nonexistent show --rule ', '', 'silent'],
        ["$ctl nothing ", ''],
    );
    # The copy that the helper has kept: another file with such a name.
    unlink glob "$t->{dir}/*.good";
    for my $case (@cases) {
        my ($line, $expected, $name) = @$case;
        is(offers($line), $expected, $line =~ s/\Q$t->{dir}\E/DIR/gr . ($name ? ": $name" : ''));
    }
    my ($status, $out, $err) =
        run('bash', '--norc', '--noprofile', '-c',
              ". $source/policyd-ratelimit-ctl;"
        . " COMP_WORDS=(policyd-ratelimit-ctl -c $t->{config} show --rule u) COMP_CWORD=5;"
        . ' _policyd_ratelimit_ctl policyd-ratelimit-ctl; echo "${COMPREPLY[*]}"');
    is("$status$out$err", "0users\n", 'from COMP_WORDS alone');
    ok(!-e 'x', 'nothing was run');
};

my $tmux = has_tmux();
my $zsh  = grep { -x "$_/zsh" } split /:/, $ENV{PATH};

my $terminals = 0;

# What a real shell makes of a line and a Tab. The line becomes arguments, one a line.
sub tab {
    my ($start, $line, $keys) = @_;
    my @tmux = ('tmux', '-u', '-S', "$t->{dir}/tmux" . ++$terminals, '-f', '/dev/null');
    local $ENV{TMUX};
    delete $ENV{TMUX};
    unlink "$t->{dir}/arguments";
    run(@tmux, 'new-session', '-d', '-s', 'test', '-x', 200, '-y', 24, @$start);
    run(@tmux, 'send-keys', '-t', 'test', '-l', $line);
    run(@tmux, 'send-keys', '-t', 'test', 'Tab');
    run(@tmux, 'send-keys', '-t', 'test', '-l', $keys) if $keys;
    run(@tmux, 'send-keys', '-t', 'test', 'Enter');
    for (1 .. 200) {
        last if -e "$t->{dir}/arguments";
        select undef, undef, undef, 0.05;
    }
    my $arguments = slurp("$t->{dir}/arguments");
    diag((run(@tmux, 'capture-pane', '-p', '-t', 'test'))[1]) if $arguments eq '';
    run(@tmux, 'kill-server');
    return join '|', split /\n/, $arguments;
}

# The program for these: with the last word on the line "x" it writes its arguments down.
mkdir "$t->{dir}/bin";
spew("$t->{dir}/bin/policyd-ratelimit-ctl", <<"END");
#!/bin/sh
for last; do :; done
if [ "\$last" = x ]; then
	printf '%s\\n' "\$@" >$t->{dir}/arguments.new
	mv $t->{dir}/arguments.new $t->{dir}/arguments
	exit
fi
exec @{[abs_path(build_dir())]}/policyd-ratelimit-ctl "\$@"
END
chmod 0755, "$t->{dir}/bin/policyd-ratelimit-ctl";
my @lines = (
    ['con', 'config'],
    ['show --rule cl', 'show|--rule|clients'],
    ['reset bo', 'reset|bob smith'],
    ['reset ev', q{reset|eve'$(touch x)`"\\;}],
    ['reset ann@example.c', 'reset|ann@example.com'],
    ['reset 2001:d', 'reset|2001:db8::/64'],
    ['reset --rule=cl', 'reset|--rule=clients'],
    ['unset clients 2', 'unset|clients|2001:db8::/64'],
    ['config users.ke', 'config|users.key'],
);
spew("$t->{dir}/rc.bash",
    "PATH=$t->{dir}/bin:\$PATH PS1='\$ '\nunset HISTFILE\n. $source/policyd-ratelimit-ctl\n");
spew("$t->{dir}/.zshrc", "PATH=$t->{dir}/bin:\$PATH PS1='\$ '\nfpath=($source \$fpath)\n"
    . "autoload -Uz compinit\ncompinit -u -D\nunsetopt beep\n");

for my $shell (['bash', 1, 'bash', '--rcfile', "$t->{dir}/rc.bash", '--noprofile', '-i'],
    ['zsh', $zsh, 'env', "ZDOTDIR=$t->{dir}", 'zsh', '-d', '-i']) {
    my ($name, $there, @start) = @$shell;
    subtest "$name, typed" => sub {
        plan skip_all => 'needs tmux (Debian: tmux)' if !$tmux;
        plan skip_all => "needs $name (Debian: $name)" if !$there;
        for my $case (@lines) {
            my ($line, $expected) = @$case;
            is(tab(\@start, "$ctl $line", ' x'), "-c|$t->{config}|$expected|x", $line);
        }
    };
}

SKIP: {
    skip 'needs zsh', 1 if !$zsh;
    is_deeply([run('zsh', '-n', "$source/_policyd-ratelimit-ctl")], [0, '', ''], 'zsh can read it');
}

# Nothing in the help is missing in the completions.
my (undef, $help) = run(build_dir() . '/policyd-ratelimit-ctl', '--help');
my %text = map { $_ => slurp("$source/$_") } qw(policyd-ratelimit-ctl _policyd-ratelimit-ctl);
my ($commands) = $text{'policyd-ratelimit-ctl'} =~ /commands='([^']*)'/;
for my $command ($help =~ /^  ([a-z]+) /mg) {
    my (undef, $arguments) = run(build_dir() . '/policyd-ratelimit-ctl', $command, '--help');
    like($arguments, qr/^usage: policyd-ratelimit-ctl $command\b/, "usage of $command");
    like($commands, qr/\b$command\b/, "bash knows $command");
    like($text{'_policyd-ratelimit-ctl'}, qr/^\t\t'$command:/m, "zsh knows $command");
    my ($case) = $text{'policyd-ratelimit-ctl'} =~ /^\t\t$command\) ([^\n]*)/m;
    for my $option ($arguments =~ /(--[a-z]+)/g) {
        like($case // '', qr/$option\b/, "bash knows $command $option");
        like($text{'_policyd-ratelimit-ctl'}, qr/'(?:\([^)]*\))?$option=?\[/, "zsh knows $option");
    }
}

# Nor an attribute.
my $table = slurp(source_dir() . '/src/policy/attributes.c');
my @sent  = $table =~ /\{"(\w+)"(?:, ATTRIBUTE_[A-Z]+)?\}/g;
for my $file (sort keys %text) {
    my ($offered) = $text{$file} =~ /\battributes=['(]([^')]+)/;
    is_deeply([sort split ' ', $offered // ''], [sort @sent], "attributes in $file");
}

done_testing;
