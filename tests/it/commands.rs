//! The command line itself: what is printed where, and with which exit code.

use crate::harness::{Site, TempDir, check_config, lockgate};

#[track_caller]
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = lockgate().args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_stderr() {
    for arguments in [&["frobnicate"][..], &["-z"], &["check"], &["-c"], &["run", "--nope", "-f", "x"], &[]] {
        let (code, out, err) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
        assert!(out.is_empty() && !err.is_empty(), "{arguments:?}: {out}");
    }
}

#[test]
fn help_shows_examples_and_every_command() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in ["run", "check", "demo", "Examples:", "haproxy.cfg", "Exit codes"] {
        assert!(out.contains(word), "{word} in {out}");
    }
    assert_eq!(run(&["check", "--help"]).0, Some(0));
}

#[test]
fn versions_are_printed_in_both_spellings() {
    let version = env!("CARGO_PKG_VERSION");
    for arguments in [&["-v"][..], &["-vv"], &["--version"]] {
        let (code, out, _) = run(arguments);
        assert_eq!(code, Some(0));
        assert!(out.contains(version), "{arguments:?}: {out}");
    }
}

#[test]
fn completions_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert_eq!(code, Some(0));
        assert!(out.contains("lockgate") && out.contains("check"), "{shell}: {out}");
    }
    let (_, page, _) = run(&["man"]);
    assert!(page.contains(".TH lockgate 1"), "{page}");
    let dir = TempDir::new();
    assert_eq!(run(&["man", "--dir", dir.path().to_str().unwrap()]).0, Some(0));
    assert!(dir.path().join("lockgate-check.1").exists());
}

#[test]
fn the_schema_is_json() {
    let (code, out, _) = run(&["schema"]);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(schema["properties"]["frontends"].is_object(), "{out}");
}

#[test]
fn check_sums_up_a_valid_configuration() {
    let site = Site::http().backend("server a 127.0.0.1:1 check").backend("server b 127.0.0.1:2 check backup");
    let output = check_config(&site.text(), &TempDir::new(), &[""; 0]);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for words in ["checked.cfg", "web", "app", "1 backup", "configuration is valid"] {
        assert!(out.contains(words), "{words} in {out}");
    }
    // inter 2s, fall 3, timeout check 1s: how long a dead server may stay unnoticed.
    assert!(out.contains("noticed within"), "{out}");
}

#[test]
fn check_shows_every_error_with_its_line_and_a_caret() {
    let text = "frontend web\n    bnid :80\n    default_backend nope\nbackend app\n    blaance roundrobin\n";
    let output = check_config(text, &TempDir::new(), &[""; 0]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    for words in [
        "checked.cfg:2:5",
        "did you mean `bind`",
        "checked.cfg:3:21",
        "checked.cfg:5:5",
        "did you mean `balance`",
        "^^^^",
    ] {
        assert!(err.contains(words), "{words} in {err}");
    }
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
}

/// What `check` says of a file, without the lines shown: `2:3: error: …`.
fn told_by_check(text: &str) -> Vec<String> {
    let output = check_config(text, &TempDir::new(), &[""; 0]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let at_line = |line: &str| line.split_once("checked.cfg:").map(|(_, told)| told.to_owned());
    err.lines().filter_map(at_line).collect()
}

#[test]
fn check_names_the_line_and_the_word_that_is_wrong() {
    let text = "global\n h1-case-adjust foo bar\n h1-case-adjust foo FOO\nlisten app\n bind :1\n option clitcpka\n \
                clitcpka-idle 500ms\n clitcpka-intvl 0\n";
    let expected = [
        "2:21: error: `foo` and `bar` differ in more than case",
        "3:17: error: `foo` has a spelling already",
        "7:16: error: `clitcpka-idle` is 1s to 32767s",
        "8:17: error: `clitcpka-intvl` is 1s to 32767s",
    ];
    assert_eq!(told_by_check(text), expected);
}

#[test]
fn check_tells_each_thing_once_and_what_has_no_effect_in_mode_tcp() {
    let times = " timeout connect 1s\n timeout client 1s\n timeout server 1s\n log stderr local0\n";
    let server = " server s 127.0.0.1:3\n";
    let text = format!(
        "defaults\n mode tcp\n{times} option httplog\nlisten a\n bind :1\n{server}listen b\n bind :2\n retry-on 503\n{server}\
         defaults\n mode http\n{times} http-reuse always\nlisten c\n mode tcp\n option tcplog\n bind :4\n{server}"
    );
    let expected = [
        "7:2: warning: listen `a` is in mode tcp and has no requests to log; it writes TCP lines [httplog-in-tcp]",
        "7:2: warning: listen `b` is in mode tcp and has no requests to log; it writes TCP lines [httplog-in-tcp]",
        "13:2: warning: this does nothing: listen `b` is in mode tcp, where there are no requests [http-in-tcp]",
    ];
    assert_eq!(told_by_check(&text), expected);
}

#[test]
fn check_speaks_json_to_programs() {
    let text = "frontend web\n    bnid :80\n";
    let output = check_config(text, &TempDir::new(), &["--format", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["valid"], false);
    let first = &value["diagnostics"][0];
    assert_eq!(
        (&first["severity"], &first["line"], &first["column"]),
        (&"error".into(), &2.into(), &5.into()),
        "{value}"
    );
}

#[test]
fn strict_fails_on_warnings_and_quiet_is_silent() {
    // No timeouts: a warning.
    let text = "frontend web\n    mode http\n    bind 127.0.0.1:1\n    default_backend app\nbackend app\n    mode http\n    server a 127.0.0.1:2\n";
    let dir = TempDir::new();
    assert_eq!(check_config(text, &dir, &[""; 0]).status.code(), Some(0));
    let strict = check_config(text, &dir, &["--strict"]);
    assert_eq!(strict.status.code(), Some(1));
    let quiet = check_config(text, &dir, &["-q"]);
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
    let path = dir.path().join("checked.cfg");
    let (code, _, _) = run(&["-c", "-f", path.to_str().unwrap()]);
    assert_eq!(code, Some(0));
}

#[test]
fn several_files_and_directories_are_one_configuration() {
    let dir = TempDir::new();
    dir.write("conf.d/10-front.cfg", "frontend web\n    mode http\n    bind 127.0.0.1:1\n    default_backend app\n");
    dir.write("conf.d/20-back.cfg", "backend app\n    mode http\n    server a 127.0.0.1:2\n");
    dir.write("conf.d/README", "not a configuration");
    dir.write("first.cfg", "defaults\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n");
    let (code, out, err) = run(&["check", "-C", dir.path().to_str().unwrap(), "-f", "first.cfg", "-f", "conf.d"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("10-front.cfg") && out.contains("20-back.cfg"), "{out}");
}

#[test]
fn a_file_that_is_not_there_is_a_wrong_configuration() {
    for arguments in
        [["check", "-f", "/nonexistent.cfg"], ["-c", "-f", "/nonexistent.cfg"], ["run", "-f", "/nonexistent.cfg"]]
    {
        let (code, _, err) = run(&arguments);
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(err.contains("/nonexistent.cfg"), "{err}");
    }
}

#[test]
fn a_file_of_garbage_is_refused_in_words() {
    let dir = TempDir::new();
    for (name, bytes) in [
        ("zeros", vec![0; 4096]),
        ("binary", (0..=255).cycle().take(100_000).collect()),
        ("empty", Vec::new()),
        ("brackets", vec![b'['; 50_000]),
    ] {
        let path = dir.write(name, bytes);
        let (code, _, err) = run(&["check", "-f", path.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{name}: {err}");
        assert!(!err.is_empty() && !err.contains("panicked"), "{name}: {err}");
    }
}

#[test]
fn convert_writes_yaml_that_means_the_same() {
    let dir = TempDir::new();
    let text = Site::http().backend("option httpchk GET /ready").backend("server a 127.0.0.1:1 check backup").text();
    let text = text.replace("<web>", "8080").replace("<dir>", "/tmp");
    let cfg = dir.write("site.cfg", text);
    let (code, yaml, err) = run(&["convert", "-f", cfg.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{err}");
    let converted = dir.write("site.yaml", &yaml);
    let summary = |path: &std::path::Path| {
        run(&["check", "-V", "-f", path.to_str().unwrap()]).1.replace(path.to_str().unwrap(), "FILE")
    };
    assert_eq!(summary(&converted), summary(&cfg), "{yaml}");
}

#[test]
fn keywords_are_listed_with_what_becomes_of_them() {
    let (code, out, _) = run(&["keywords"]);
    assert_eq!(code, Some(0));
    let status = |keyword: &str| {
        let line =
            out.lines().find(|line| line.split('\t').nth(1) == Some(keyword)).unwrap_or_else(|| panic!("no {keyword}"));
        line.split('\t').nth(2).unwrap().to_owned()
    };
    assert_eq!(status("bind"), "built");
    assert_eq!(status("stick-table"), "not built yet");
}
