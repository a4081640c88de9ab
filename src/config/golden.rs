//! Does a configuration text mean what it should? Every `tests/it/golden/cfg/*.case` is a text of haproxy.cfg, a
//! line `----`, and either what it says as YAML or what is told about it. `tests/it/golden/yaml/*.case` are texts of the
//! native language with all that is told about them, as an operator sees it.
//!
//! `LOCKGATE_BLESS=1` writes what comes out into the cases; read the difference before it is committed.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::config::locate::Locate;
use crate::config::{cfg, raw, yaml};
use crate::diag::{Diagnostics, FieldPath};

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
        let yaml = raw.to_yaml().unwrap();
        assert_eq!(read_yaml(&yaml), raw, "written as YAML it says something else:\n{yaml}");
        out.push_str(&yaml);
    }
    out
}

/// Fails on anything that is wrong with the text.
fn read_yaml(text: &str) -> raw::Config {
    let mut diagnostics = Diagnostics::new();
    let read = yaml::read(&"case.yaml".into(), &text.into(), &|_| None, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics:?} in\n{text}");
    read.unwrap().0
}

proptest! {
    /// Lines of known and unknown words in any order.
    #[test]
    fn no_text_panics(lines in proptest::collection::vec(line(), 0..30)) {
        crate::bench_api::fuzz_cfg((lines.join("\n") + "\n").as_bytes());
    }

    /// Lines of the cases in another order: often still right, and then the same as YAML.
    #[test]
    fn shuffled_cases_read_back_the_same(lines in proptest::collection::vec(case_line(), 0..12)) {
        crate::bench_api::fuzz_cfg((String::from("listen web\n") + &lines.join("\n") + "\n").as_bytes());
    }

    #[test]
    fn no_bytes_panic(text in ".{0,200}") {
        crate::bench_api::fuzz_cfg(text.as_bytes());
    }
}

fn case_line() -> impl Strategy<Value = String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/cfg");
    let cases = fs::read_dir(directory).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let inputs = cases.map(|text| text.split_once("----\n").map(|(input, _)| input.to_owned()).unwrap_or_default());
    let lines: Vec<String> = inputs.flat_map(|input| input.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    proptest::sample::select(lines)
}

/// A line that might stand in a file: mostly real words, mostly in the wrong company.
fn line() -> impl Strategy<Value = String> {
    let mut words: Vec<&'static str> = cfg::keywords().into_iter().map(|keyword| keyword.name).collect();
    words.extend(["if", "unless", "{", "}", "!", "no", "default", "from", "a", "127.0.0.1:80", ":0", "5s", "0", "-1"]);
    words.extend([
        "300",
        "99999999999",
        "\"$HOME\"",
        "\"${X-y}\"",
        "'q'",
        "\"",
        "\\",
        "#",
        "%[src]",
        "global",
        ".if",
        "",
    ]);
    proptest::collection::vec(proptest::sample::select(words), 1..6).prop_map(|words| words.join(" "))
}

#[test]
fn every_field_knows_its_place() {
    let text = "global\n    maxconn 5\nfrontend web\n    bind :80 ssl crt a.pem crt b.pem\n    http-request deny if { src ::1 }\n";
    let files = [("x.cfg".into(), text.into())];
    let (_, places) = cfg::read(&files, cfg::Environment::new(), &mut Diagnostics::new());
    let web = FieldPath::root().key("frontends").key("web");
    let check = |path: &FieldPath, expected: &str| {
        let place = places.locate(path).map(|place| format!("{place} {}", place.length));
        assert_eq!(place.as_deref(), Some(expected), "{path}");
    };
    check(&FieldPath::root().key("global").key("maxconn"), "x.cfg:2:13 1");
    check(&web, "x.cfg:3:10 3");
    check(&web.key("bind").index(0).key("crt").index(1), "x.cfg:4:32 5");
    check(&web.key("bind").index(0).key("alpn"), "x.cfg:4:5 32"); // not written: the line
    check(&web.key("timeout").key("client"), "x.cfg:3:10 3"); // nor anything near: the section
    let condition = web.key("http_request").index(0).key("if");
    check(&condition, "x.cfg:5:26 11");
    assert_eq!(places.locate_word(&condition, 1).map(|place| place.column), Some(28));
    assert_eq!(places.locate(&FieldPath::root().key("backends").key("none")), None);
}

#[test]
fn every_keyword_has_one_row() {
    let mut seen = std::collections::HashSet::new();
    for keyword in cfg::keywords() {
        assert!(seen.insert((keyword.group, keyword.name)), "{} {} twice", keyword.group, keyword.name);
    }
    assert!(seen.len() > 700);
}

/// What `check` shows of a native text: read, resolved, drawn.
fn shown(text: &str) -> String {
    let loaded = crate::config::load_text("case.yaml", text);
    let told = loaded.diagnostics.render(&loaded.sources, crate::diag::Colour::Never);
    if loaded.config.is_some() { format!("{told}valid\n") } else { told }
}

#[test]
fn cases_come_out_as_written() {
    compare("cfg", outcome);
}

#[test]
fn native_cases_come_out_as_written() {
    compare("yaml", shown);
}

fn compare(language: &str, outcome: impl Fn(&str) -> String) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(language);
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
