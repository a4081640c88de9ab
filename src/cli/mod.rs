//! Which command is meant, and with which exit code does it end?
//!
//! Results go to stdout, talk goes to stderr, so that both can be used in a pipe.

mod args;
mod check;
mod daemon;
mod demo;
mod generate;
mod haproxy_flags;
#[doc(hidden)]
pub mod in_process;
mod languages;
mod notify;
mod output;
mod pid_file;
mod privileges;
mod run;
mod source;
mod summary;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Command};
use haproxy_flags::Asked;

/// The configuration, or the start, failed.
const FAILED: u8 = 1;
/// The command line is wrong.
const WRONG_USAGE: u8 = 2;

/// The whole program.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if speaks_haproxy(&arguments) { main_as_haproxy(&arguments[1..]) } else { main_as_clap(arguments) }
}

/// HAProxy has no commands: its command line starts with a flag.
fn speaks_haproxy(arguments: &[OsString]) -> bool {
    let first = arguments.get(1).map(|first| first.to_string_lossy());
    first.is_some_and(|first| first.starts_with('-') && !matches!(&*first, "-h" | "--help" | "--version"))
}

fn main_as_haproxy(arguments: &[OsString]) -> ExitCode {
    let read = match haproxy_flags::read(arguments) {
        Ok(read) => read,
        Err(wrong) => {
            output::talk(&format!("lockgate: {wrong}"));
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let quiet = match &read.asked {
        Asked::Run(run) => run.quiet,
        Asked::Check(check) => check.quiet,
        Asked::Version | Asked::VersionAndBuild => false,
    };
    if !quiet {
        read.notes.iter().for_each(|note| output::talk(&format!("lockgate: {note}")));
    }
    match read.asked {
        Asked::Run(run) => run::run(&run),
        Asked::Check(check) => check::check(&check),
        Asked::Version => generate::version(),
        Asked::VersionAndBuild => generate::version_and_build(),
    }
}

fn main_as_clap(arguments: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version were asked for; everything else is a mistake.
            let asked = matches!(told.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A closed pipe is the reader's choice.
            let _ = told.print();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(WRONG_USAGE) };
        }
    };
    match cli.command {
        Command::Run(run) => run::run(&run),
        Command::Check(check) => check::check(&check),
        Command::Demo(demo) => demo::demo(&demo),
        Command::Schema => generate::schema(),
        Command::Convert(files) => languages::convert(&files),
        Command::Keywords => languages::keywords(),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(dir.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, haproxy: bool) {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        assert_eq!(speaks_haproxy(&arguments), haproxy, "{line}");
    }

    #[test]
    fn a_flag_first_is_haproxys_spelling() {
        check("lockgate -c -f x", true);
        check("lockgate -f x", true);
        check("lockgate --help", false);
        check("lockgate check -f x", false);
        check("lockgate", false);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
