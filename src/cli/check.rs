//! What is wrong with a configuration, and what would it do? Everything is read as for a start; nothing is started.

use std::fmt::Write;
use std::process::ExitCode;

use super::args::{CheckArgs, Format};
use super::source::{self, Source};
use super::{FAILED, output, summary};
use crate::config::Loaded;

pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    if let Err(error) = source::enter_directory(&args.config) {
        if !args.quiet {
            output::talk(&error);
        }
        return ExitCode::from(FAILED);
    }
    let loaded = Source::Files(args.config.files.clone()).load();
    let valid = source::is_acceptable(&loaded, args.strict);
    if !args.quiet {
        let written = match args.format {
            Format::Text => text(&loaded, args, valid),
            Format::Json => output::print(&format!("{:#}\n", summary::json(&loaded, valid))),
        };
        if let Err(error) = written {
            output::talk(&format!("lockgate: cannot write: {error}"));
            return ExitCode::from(FAILED);
        }
    }
    if valid { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// Diagnostics on stderr; the summary, which there is only of a valid configuration, on stdout.
fn text(loaded: &Loaded, args: &CheckArgs, valid: bool) -> std::io::Result<()> {
    source::tell(loaded);
    match (&loaded.config, valid) {
        (Some(config), true) => {
            let mut text = summary::text(config, &loaded.sources, args.verbose);
            let _ = writeln!(text, "configuration is valid{}", counted(loaded));
            output::print(&text)
        }
        _ => {
            // A file that listens nowhere, or warnings with `--strict`.
            let verdict = if loaded.diagnostics.has_errors() { "is wrong" } else { "is not accepted" };
            output::talk(&format!("configuration {verdict}{}", counted(loaded)));
            Ok(())
        }
    }
}

/// ` (2 errors, 1 warning)`
fn counted(loaded: &Loaded) -> String {
    let counts = [(loaded.diagnostics.errors(), "error"), (loaded.diagnostics.warnings(), "warning")];
    let words: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}
