//! Does a configuration text mean what it should? Every `tests/it/golden/cfg/*.case` is a text of haproxy.cfg, a
//! line `----`, and either what it says as YAML or what is told about it.
//!
//! `LOCKGATE_BLESS=1` writes what comes out into the cases; read the difference before it is committed.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::config::cfg;
use crate::diag::Diagnostics;

/// What the text says when nothing is wrong with it, and everything told, errors first.
fn outcome(text: &str) -> String {
    let environment = [("SET", "a b"), ("PORT", "8080")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut diagnostics = Diagnostics::new();
    let files = [("case.cfg".into(), text.into())];
    let (raw, _) = cfg::read(&files, environment.into_iter().collect(), &mut diagnostics);
    diagnostics.sort();
    let mut out = String::new();
    for diagnostic in diagnostics.iter() {
        let length = diagnostic.position.as_ref().map_or(0, |position| position.length);
        let _ = writeln!(out, "{diagnostic} ({length})");
        if let Some(hint) = &diagnostic.hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
    }
    if !diagnostics.has_errors() {
        out.push_str(&raw.to_yaml().unwrap());
    }
    out
}

#[test]
fn cases_come_out_as_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/cfg");
    let bless = std::env::var_os("LOCKGATE_BLESS").is_some();
    let mut cases: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let mut failed = Vec::new();
    for case in cases.iter().filter(|path| path.extension().is_some_and(|ending| ending == "case")) {
        let text = fs::read_to_string(case).unwrap();
        let (input, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        // A case about the missing last line feed ends its input in `\` before the mark.
        let given = input.strip_suffix("\\\n").unwrap_or(input);
        let found = outcome(given);
        if found == expected {
            continue;
        }
        if bless {
            fs::write(case, format!("{input}----\n{found}")).unwrap();
        } else {
            failed.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(!cases.is_empty(), "no cases in {}", directory.display());
    assert!(failed.is_empty(), "these came out differently:\n{}", failed.join("\n"));
}
