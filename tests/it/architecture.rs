//! Does every directory import from lower floors only? ARCHITECTURE.md is the plan; here it is held.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room with its floor. A room imports rooms of lower floors; within one floor only what [`NEIGHBOURS`] names.
const FLOORS: &[(&str, u8)] = &[
    ("moment", 0),
    ("units", 0),
    ("diag", 0),
    ("sys", 0),
    ("model", 1),
    ("http", 2),
    ("wire", 2),
    ("rules", 2),
    ("balance", 2),
    ("health", 2),
    ("config", 2),
    ("logline", 2),
    ("state", 3),
    ("proxy", 4),
    ("control", 4),
    ("cli", 5),
    ("haproxy_oracle", 5),
];

/// What benches and fuzz targets come in by, and property tests too: it has no floor.
const DOOR: &str = "bench_api";

/// Who may look into a room of the same floor.
const NEIGHBOURS: &[(&str, &str)] =
    &[("rules", "http"), ("rules", "wire"), ("wire", "http"), ("diag", "units"), ("units", "diag")];

/// Crates that only some places may name: what is behind them can then be replaced.
const CRATES: &[(&str, &[&str])] = &[
    ("serde", &["config/raw", "config/yaml", "config/words"]),
    ("rustls_pemfile", &["config/pem"]),
    ("h2", &["proxy/http2", "proxy/upstream/http2"]),
    ("hyper", &["bench_api/differential", "control/probe", "proxy/http2_connection/tests"]),
];

#[test]
fn every_directory_imports_lower_floors_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(room) = room_of(&path).filter(|room| room != DOOR) else { continue };
        let floor = floor(&room).unwrap_or_else(|| panic!("{room} has no floor in this test"));
        for import in imports(&text) {
            let Some(its_floor) = self::floor(&import) else { continue };
            let neighbour = NEIGHBOURS.contains(&(room.as_str(), import.as_str()));
            if import != room && its_floor >= floor && !neighbour {
                wrong.push(format!("{path} (floor {floor}) uses {import} (floor {its_floor})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn some_crates_stay_in_their_places() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (name, places) in CRATES {
            let named = text.lines().any(|line| uses_crate(line, name));
            if named && !places.iter().any(|place| path.starts_with(place)) {
                wrong.push(format!("{path} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_in_one_file() {
    let with_unsafe = sources().into_iter().filter(|(_, text)| text.lines().any(|line| line.contains("unsafe {")));
    let paths: Vec<String> = with_unsafe.map(|(path, _)| path).collect();
    assert_eq!(paths, ["sys.rs"]);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//!"));
    let paths: Vec<String> = silent.map(|(path, _)| path).collect();
    assert!(paths.is_empty(), "{paths:?}");
}

#[test]
fn the_import_reader_sees_all_spellings() {
    let found = |text| imports(text).into_iter().collect::<Vec<_>>();
    assert_eq!(found("use crate::model::Config;"), ["model"]);
    assert_eq!(found("use crate::{model, state::Shared};"), ["model", "state"]);
    assert_eq!(found("use crate::{\n    model::{A, B},\n    units,\n};"), ["model", "units"]);
    assert_eq!(found("let x = crate::sys::fork();"), ["sys"]);
    assert_eq!(found("// see crate::proxy"), [""; 0]);
}

/// Every source file but the two roots: path below `src/`, and text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        (name, fs::read_to_string(path).unwrap())
    };
    let files: Vec<(String, String)> =
        files.into_iter().map(read).filter(|(name, _)| !matches!(name.as_str(), "main.rs" | "lib.rs")).collect();
    assert!(files.len() > 20, "the sources were not found");
    files
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn room_of(path: &str) -> Option<String> {
    path.split('/').next().map(|first| first.trim_end_matches(".rs").to_owned())
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The rooms named behind `crate::`, in a `use` with braces or anywhere in code.
fn imports(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(top_level_names(list)),
            None => found.push(first_name(rest)),
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The first names of `a::{b, c}, d}` up to the closing brace: `a`, `d`.
fn top_level_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(first_name(list[start..at].trim()));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

fn uses_crate(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    [format!("use {name}::"), format!("{name}::")].iter().any(|spelling| {
        code.match_indices(spelling.as_str()).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|character| character.is_alphanumeric() || matches!(character, '_' | ':'))
        })
    })
}
