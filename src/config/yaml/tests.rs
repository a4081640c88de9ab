//! What an operator reads about a native file that is wrong.

use super::*;
use crate::config::locate::Locate;
use crate::diag::{Colour, Sources};
use proptest::prelude::*;

fn variable(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8080".to_owned()),
        "ON" => Some("true".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> (Option<(raw::Config, Places)>, Diagnostics) {
    let mut found = Diagnostics::new();
    let read = read(&"f".into(), &text.into(), &variable, &mut found);
    found.sort();
    (read, found)
}

/// Exactly these diagnostics, one line each.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let told: Vec<String> = load(text).1.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected, "{text}");
}

#[test]
fn reads_what_was_said() {
    let (read, found) = load(
        "global: { maxconn: 100 }
frontends:
  web:
    mode: http
    bind:
      - address: '*:${PORT}'
        ssl: ${ON}
        crt: [a.pem, b.pem]
      - { address: ':81', crt: c.pem }
    errorfile: { 503: /x/503.http }
    acls: { api: path_beg /api, static: [path_end .css, path_end .js] }
    use_backend: [{ backend: app, if: api }]
    maxconn: ${PORT}
backends:
  app:
    servers:
",
    );
    assert!(found.is_empty(), "{:?}", found.iter().next());
    let (config, _) = read.unwrap();
    let web = &config.frontends["web"];
    assert_eq!(web.bind[0].address, "*:8080");
    assert_eq!((web.bind[0].ssl, web.bind[0].crt.as_slice().len()), (Some(true), 2));
    assert_eq!(web.maxconn, Some(8080));
    assert_eq!(web.errorfile[&503].to_str(), Some("/x/503.http"));
    assert_eq!(web.acls["static"].as_slice().len(), 2);
    assert!(config.backends["app"].servers.is_empty());
    assert!(load("").0.is_some());
}

#[test]
fn tells_every_wrong_field_with_its_place() {
    check(
        "frontends:
  web:
    bnid: []
    mode: htpp
    maxconn: many
    timeout:
      client: 5000
backends:
  app:
    redispatch: yes
    servers:
      a: { weight: -1, adress: 'x' }
      b: nothing
    check:
      expect:
        - status: 200
    description: 7
global: { crt_watch: 5, tune: { bufsize: 64 } }
",
        &[
            "f:3:5: error: there is no field `bnid` here; did you mean `bind`?",
            "f:4:11: error: `htpp` is none of `tcp`, `http`; did you mean `http`?",
            "f:5:14: error: a whole number, not below 0, is needed here, not `many`",
            "f:7:15: error: `5000`: a time needs a unit: us, ms, s, m, h or d",
            "f:10:17: error: `true` or `false` is needed here, not `yes`",
            "f:12:20: error: a whole number, not below 0, is needed here, not `-1`",
            "f:12:24: error: there is no field `adress` here; did you mean `address`?",
            "f:13:10: error: a mapping is needed here, not `nothing`",
            "f:17:18: error: a text is needed here, not the number 7",
            "f:18:22: error: `5`: a time needs a unit: us, ms, s, m, h or d",
            "f:18:42: error: `64`: a size needs a unit: B, KiB, MiB or GiB",
        ],
    );
}

#[test]
fn tells_what_is_no_yaml() {
    check("a: b: c\n", &["f:1:5: error: mapping values are not allowed in this context"]);
    check(
        "global:\n\tmaxconn: 1\n",
        &[
            "f:2:1: error: a character that cannot stand here; tabs may not indent, and text beginning with @ ` % needs quotes",
        ],
    );
    check("global: {}\nbackends: {}\nglobal: {}\n", &["f:3:1: error: `global` is written twice"]);
    check("backends: { a: {}, b: {}, a: {} }\n", &["f:1:27: error: `a` is written twice"]);
    check(
        "backends: { a: {}, a: {} }\nglobel: {}\nbackends: {}\n",
        &[
            "f:1:20: error: `a` is written twice",
            "f:2:1: error: there is no field `globel` here; did you mean `global`?",
            "f:3:1: error: `backends` is written twice",
        ],
    );
    check("- a\n", &["f:1:1: error: a mapping is needed here, not a list"]);
    check("global: !x { }\n", &["f:1:9: error: YAML tags (`!…`) are not part of the language"]);
    check("global: { <<: { maxconn: 1 } }\n", &["f:1:11: error: there is no field `<<` here"]);
    check("global: { node: '${NOPE}' }\n", &["f:1:17: error: the environment variable `NOPE` is not set"]);
    check(
        "frontends: { a: { use_backend: [{ if: 'x \"y' , backend: b }] } }\n",
        &["f:1:39: error: this quote is never closed"],
    );
}

/// The place of a path, as `line:column+length`.
#[track_caller]
fn check_place(path: &FieldPath, expected: &str) {
    let text = "frontends:
  web:
    bind:
      - { address: '127.0.0.1:80' , ssl: true }
    use_backend:
      - { backend: app, if: 'api !{ path /ä } or  b' }  # why
    rules: [one, two words]
    empty:
";
    let places = Places::new(&"f".into(), &text.into());
    let found = places.locate(path).map(|at| format!("{}:{}+{}", at.line, at.column, at.length)).unwrap_or_default();
    assert_eq!(found, expected, "{path}");
}

#[test]
fn finds_values_keys_and_what_is_around_them() {
    let web = FieldPath::root().key("frontends").key("web");
    check_place(&web, "2:3+3");
    check_place(&web.key("bind").index(0).key("address"), "4:20+14");
    check_place(&web.key("bind").index(0).key("ssl"), "4:42+4");
    check_place(&web.key("bind").index(0).key("crt"), "4:9+1"); // not written: the line it would stand in
    check_place(&web.key("bind").index(7), "3:5+4");
    check_place(&web.key("timeout").key("client"), "2:3+3");
    check_place(&web.key("empty"), "8:5+5");
    check_place(&web.key("rules").index(1), "7:18+9");
    check_place(&FieldPath::root().key("backends"), "");
    check_place(&FieldPath::root(), "1:1+9");
}

#[test]
fn finds_words_within_a_condition() {
    let text = "frontends: { web: { use_backend: [{ if: 'api !{ path /ä } or  b' }, { if: [x, y] }] } }";
    let places = Places::new(&"f".into(), &text.into());
    let path = FieldPath::root().key("frontends").key("web").key("use_backend");
    let place =
        |rule: usize, word| places.locate_word(&path.index(rule).key("if"), word).map(|at| (at.column, at.length));
    assert_eq!(place(0, 0), Some((42, 3)));
    assert_eq!(place(0, 1), Some((46, 2)));
    assert_eq!(place(0, 5), Some((59, 2)));
    assert_eq!(place(0, 6), Some((63, 1)));
    assert_eq!(place(0, 99), Some((41, 24)));
    assert_eq!(place(1, 1), Some((79, 1)));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s)[a-z:{}\\[\\],'\"$\\-#&*!|> \n\t0-9é]{0,120}") {
        let (_, found) = load(&text);
        let mut sources = Sources::new();
        sources.insert("f".into(), text.as_str());
        let _ = found.render(&sources, Colour::Never);
    }

    #[test]
    fn no_configuration_panics(
        section in "(global|defaults|frontends|backends|listens)",
        field in "(bind|servers|timeout|check|stats|acls|mode|from|log|errorfile|forwarded)",
        value in "(\\[\\]|\\{\\}|1|x|null|\\[1\\]|\\{a: 1\\}|\\{a: \\{\\}\\}|\\[\\{address: ':80'\\}\\])",
    ) {
        let text = if section.ends_with('s') && section != "defaults" {
            format!("{section}: {{ x: {{ {field}: {value} }} }}")
        } else {
            format!("{section}: {{ {field}: {value} }}")
        };
        let (read, mut found) = load(&text);
        if let Some((config, places)) = read {
            let _ = crate::config::resolve::resolve(&config, &places, &mut found);
        }
    }
}
