//! What may be written on the command line? The native commands, as clap reads them; HAProxy's own spelling is in
//! [`haproxy_flags`](super::haproxy_flags) and ends in the same types.
//!
//! Help, completions and the man pages are generated from here, so a word is explained in one place.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  lockgate demo                                two servers, a proxy and a stats page on this machine
  lockgate check -f /etc/haproxy/haproxy.cfg   what is wrong, and what would be run
  lockgate run -f /etc/haproxy/haproxy.cfg     serve, in the foreground
  lockgate run -f site.yaml -f conf.d/         several files, and every file of a directory

HAProxy's own spelling works as well:
  lockgate -c -f /etc/haproxy/haproxy.cfg      check
  lockgate -D -p /run/lockgate.pid -f …        serve, in the background
  lockgate -Ws -f …                            serve, under systemd

Signals: TERM and USR1 finish what runs and stop, INT stops at once, HUP and USR2 reload.
Exit codes: 0 all is well, 1 the configuration or the start failed, 2 the command line is wrong.";

const RUN_EXAMPLES: &str = "\
Examples:
  lockgate run -f /etc/haproxy/haproxy.cfg
  lockgate run -f site.yaml --daemon --pid-file /run/lockgate.pid
  kill -HUP \"$(cat /run/lockgate.pid)\"      read the files again without losing a connection";

const CHECK_EXAMPLES: &str = "\
Examples:
  lockgate check -f /etc/haproxy/haproxy.cfg
  lockgate check -f site.yaml --format json | jq '.diagnostics[].message'
  lockgate check -f site.yaml --strict      warnings fail too: for continuous integration";

/// A health-checking TCP and HTTP reverse proxy that reads haproxy.cfg and YAML.
#[derive(Debug, Parser)]
#[command(name = "lockgate", version, disable_version_flag = true, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print the version; HAProxy's `-v` and `-vv` do too.
    // Without a short form: `-V` is HAProxy's for verbose.
    #[arg(long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve what the configuration says.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Read a configuration, say all that is wrong or doubtful in it, and what it would do.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Try everything without a file: two small servers, a proxy in front of them, a stats page.
    Demo(DemoArgs),
    /// Print the JSON Schema of the YAML configuration, for editors.
    #[command(after_help = "Example: lockgate schema > lockgate.schema.json")]
    Schema,
    /// Print what a haproxy.cfg says in the native language, YAML.
    #[command(after_help = "Example: lockgate convert -f /etc/haproxy/haproxy.cfg > site.yaml")]
    Convert(ConfigArgs),
    /// List every keyword of haproxy.cfg and what becomes of it here: built, without effect, not built yet, refused.
    #[command(after_help = "Example: lockgate keywords | grep 'not built yet'")]
    Keywords,
    /// Print the completions of a shell.
    #[command(after_help = "Example: lockgate completions bash > /etc/bash_completion.d/lockgate")]
    Completions { shell: Shell },
    /// Print the manual page, or write one page per command.
    #[command(after_help = "Example: lockgate man | man -l -")]
    Man {
        /// Write lockgate.1, lockgate-run.1, … into this directory instead.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Which configuration is meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// A configuration file, or a directory whose *.cfg, *.yaml and *.yml files are read in order of their names. May be given several times.
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR", required = true, num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// Change to this directory before reading the files.
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Go to the background once everything is bound; the exit code says whether it worked.
    #[arg(short = 'D', long)]
    pub daemon: bool,
    /// Stay in the foreground even when the configuration says `daemon`.
    #[arg(long, conflicts_with = "daemon")]
    pub foreground: bool,
    /// Write the process id here while running; goes before `pidfile` in the configuration.
    #[arg(short = 'p', long = "pid-file", value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Client connections in the whole process; goes before `maxconn` in `global`.
    #[arg(short = 'n', long = "maxconn", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub maxconn: Option<u32>,
    /// Say nothing while starting.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Also say what is normal.
    #[arg(short = 'V', long)]
    pub verbose: bool,
    /// Refuse to start on warnings.
    #[arg(long)]
    pub strict: bool,
    /// Older processes to be told once this one serves (HAProxy's `-sf` and `-st`).
    #[arg(skip)]
    pub predecessors: Predecessors,
}

/// Processes this one takes over from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Predecessors {
    /// `-sf`: finish what they have (SIGUSR1).
    pub finish: Vec<u32>,
    /// `-st`: stop now (SIGTERM).
    pub terminate: Vec<u32>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// For people, or one JSON object for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Warnings fail the check.
    #[arg(long)]
    pub strict: bool,
    /// Say nothing; the exit code tells.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Also list every server and how it is checked.
    #[arg(short = 'V', long)]
    pub verbose: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DemoArgs {
    /// Print the configuration the demo runs, and stop.
    #[arg(long)]
    pub print_config: bool,
}
