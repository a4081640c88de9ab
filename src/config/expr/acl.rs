//! What does one test ask? A value, how it is matched, and its patterns (HAProxy manual 7.1).

use std::path::Path;

use super::arguments::split_calls;
use super::fetch::{FETCHES, Kind, build};
use super::known::is_known_fetch;
use super::pattern::{lines, parse_hex, parse_integers, parse_networks, parse_versions};
use super::{ExprError, Scope, Side, parse_regex};
use crate::diag::did_you_mean;
use crate::model::rule::{Fetch, Matcher, Test, TextMatch};

/// How patterns are compared, as `-m` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Found,
    Boolean,
    Integer,
    Address,
    Length,
    Text(TextMatch),
    Regex,
    /// Whole texts, in hexadecimal digits.
    Binary,
    /// Integers written as `3.1`; not to be named.
    Version,
}

const METHODS: &[(&str, Method)] = &[
    ("found", Method::Found),
    ("bool", Method::Boolean),
    ("int", Method::Integer),
    ("ip", Method::Address),
    ("len", Method::Length),
    ("str", Method::Text(TextMatch::Exact)),
    ("beg", Method::Text(TextMatch::Prefix)),
    ("end", Method::Text(TextMatch::Suffix)),
    ("sub", Method::Text(TextMatch::Substring)),
    ("dir", Method::Text(TextMatch::Directory)),
    ("dom", Method::Text(TextMatch::Domain)),
    ("reg", Method::Regex),
    ("bin", Method::Binary),
];

/// Fetches with `_beg`, `_dir`, … of their own (manual 7.3.6, "ACL derivatives").
const DERIVED: &[&str] = &[
    "base",
    "baseq",
    "cook",
    "hdr",
    "path",
    "pathq",
    "req.cook",
    "req.hdr",
    "res.hdr",
    "shdr",
    "url",
    "url_param",
    "urlp",
];

/// What stands between the criterion and the patterns.
#[derive(Default)]
struct Flags {
    ignore_case: bool,
    method: Option<Method>,
    files: Vec<(usize, String)>,
    /// Index of the first word that is no flag.
    end: usize,
}

/// Reads what stands behind `acl NAME`: `hdr_beg(host) -i www.`.
///
/// # Errors
/// Anything HAProxy refuses; also a test that could never hold because it has no pattern.
pub(crate) fn parse_acl(name: &str, words: &[String], scope: &Scope<'_>) -> Result<Test, ExprError> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)) {
        return Err(ExprError::new(0, format!("`{name}` cannot be the name of an ACL"))
            .hint("names are made of letters, digits, `-`, `_`, `.` and `:`"));
    }
    if name == "or" {
        return Err(ExprError::new(0, "an ACL named `or` could never be used in a condition"));
    }
    // Whoever uses the name says which message it is about; that is checked there.
    parse_test(words, &Scope { side: Side::Response, ..*scope })
}

/// Whether a test asks something of the response.
pub(super) fn needs_response(test: &Test) -> bool {
    matches!(test.value.fetch, Fetch::Status | Fetch::ResponseHeader(_) | Fetch::ResponseHeaderCount(_))
}

pub(super) fn parse_test(words: &[String], scope: &Scope<'_>) -> Result<Test, ExprError> {
    let Some(criterion) = words.first() else {
        return Err(ExprError::new(0, "a test is missing: say what is compared, such as `path_beg /img`"));
    };
    let mut calls = split_calls(criterion)?;
    let mut implied = None;
    if let Some(first) = calls.first_mut() {
        if let Some((base, method)) = derivation(&first.name) {
            first.name = base.to_string();
            implied = Some(method);
        } else if let Some(near) = near_derivation(&first.name) {
            let message = format!("there is no fetch `{}`; did you mean `{near}`?", first.name);
            return Err(ExprError::new(0, message));
        }
        if first.name == "hdr" || first.name.starts_with("hdr_") {
            // In tests these mean the request's, also in response rules (manual 7.3.6, `hdr`).
            first.name.insert_str(0, "req.");
        }
    }
    let (first, converters) = calls.split_first().ok_or_else(|| ExprError::new(0, "a test is missing"))?;
    let (value, kind) = build(first, converters, scope)?;
    if !converters.is_empty() {
        // What matters behind a converter is what it gives (manual 7.1).
        implied = None;
    }
    let flags = parse_flags(words)?;
    let method = flags.method.or(implied).unwrap_or(match kind {
        Kind::Boolean => Method::Boolean,
        Kind::Integer => Method::Integer,
        Kind::Address => Method::Address,
        Kind::Text => Method::Text(TextMatch::Exact),
        Kind::Binary => Method::Binary,
        Kind::Version => Method::Version,
    });
    let compatible = match method {
        Method::Boolean => kind != Kind::Address,
        Method::Integer => kind != Kind::Address,
        Method::Address => matches!(kind, Kind::Address | Kind::Text),
        Method::Binary => matches!(kind, Kind::Binary | Kind::Text),
        _ => true,
    };
    if !compatible {
        let message = format!("`{criterion}` cannot be matched this way: see the table in HAProxy's manual, 7.1");
        return Err(ExprError::new(0, message));
    }
    let matcher = build_matcher(method, &flags, words, scope)?;
    Ok(Test { value, matcher })
}

/// `hdr_beg` is `hdr` matched by `beg`.
fn derivation(name: &str) -> Option<(&str, Method)> {
    if FETCHES.contains(&name) {
        return None;
    }
    let (base, suffix) = name.rsplit_once('_')?;
    DERIVED.contains(&base).then_some((base, deriving(suffix)?))
}

fn deriving(suffix: &str) -> Option<Method> {
    let derives = |method: &Method| matches!(method, Method::Text(_) | Method::Regex | Method::Length);
    METHODS.iter().find(|(word, method)| *word == suffix && derives(method)).map(|(_, method)| *method)
}

/// Who writes `pth_beg` means `path_beg`: a slip in the first half.
fn near_derivation(name: &str) -> Option<String> {
    let (base, suffix) = name.rsplit_once('_')?;
    if FETCHES.contains(&name) || is_known_fetch(name) {
        return None;
    }
    deriving(suffix)?;
    let near = did_you_mean(base, DERIVED.iter().copied())?;
    Some(format!("{near}_{suffix}"))
}

fn parse_flags(words: &[String]) -> Result<Flags, ExprError> {
    let mut flags = Flags { end: 1, ..Flags::default() };
    while let Some(word) = words.get(flags.end) {
        let argument = |what: &str| {
            words.get(flags.end + 1).ok_or_else(|| ExprError::new(flags.end + 1, format!("`{word}` needs {what}")))
        };
        match word.as_str() {
            "--" => {
                flags.end += 1;
                break;
            }
            "-i" if flags.files.is_empty() => {
                flags.ignore_case = true;
                flags.end += 1;
            }
            "-i" => {
                let message = "`-i` behind `-f` would hold for some patterns only, which is not built yet";
                return Err(ExprError::new(flags.end, message)
                    .hint("write two `acl` lines of the same name, one with `-i` and one without"));
            }
            // Names are never resolved here, so there is nothing to forbid.
            "-n" => flags.end += 1,
            "-m" => {
                let name = argument("a method")?;
                if !flags.files.is_empty() {
                    return Err(ExprError::new(flags.end, "`-m` must stand before `-f`"));
                }
                flags.method = Some(parse_method(name, flags.end + 1)?);
                flags.end += 2;
            }
            "-f" => {
                let file = argument("a file")?.clone();
                flags.files.push((flags.end + 1, file));
                flags.end += 2;
            }
            "-M" | "-u" => {
                return Err(ExprError::new(flags.end, format!("`{word}` is known but not built yet")));
            }
            _ if word.starts_with('-') => {
                return Err(ExprError::new(flags.end, format!("`{word}` is no flag of a test"))
                    .hint("put `--` in front of a pattern that begins with `-`"));
            }
            _ => break,
        }
    }
    Ok(flags)
}

fn parse_method(name: &str, word: usize) -> Result<Method, ExprError> {
    if let Some((_, method)) = METHODS.iter().find(|(known, _)| *known == name) {
        return Ok(*method);
    }
    let candidates = METHODS.iter().map(|(known, _)| *known);
    Err(ExprError::new(word, format!("there is no match `{name}`")).suggest(name, candidates))
}

fn build_matcher(method: Method, flags: &Flags, words: &[String], scope: &Scope<'_>) -> Result<Matcher, ExprError> {
    let written = words.get(flags.end..).unwrap_or_default();
    match method {
        Method::Found | Method::Boolean => return without_patterns(method, flags, written),
        _ if written.is_empty() && flags.files.is_empty() => {
            return Err(ExprError::new(words.len(), "no pattern to match against: this test would never hold")
                .hint("add a pattern, or use `-m found` to ask whether the value exists"));
        }
        _ => {}
    }
    if flags.ignore_case && !matches!(method, Method::Text(_) | Method::Regex) {
        return Err(ExprError::new(1, "`-i` means nothing where texts are not compared"));
    }
    // Patterns of files first, as they stand first.
    let mut patterns = Vec::new();
    for (word, file) in &flags.files {
        let content = (scope.read)(Path::new(file))
            .map_err(|error| ExprError::new(*word, format!("cannot read the pattern file `{file}`: {error}")))?;
        let content = String::from_utf8(content)
            .map_err(|_| ExprError::new(*word, format!("the pattern file `{file}` is not UTF-8 text")))?;
        patterns.extend(lines(&content).map(|line| (*word, line.to_string())));
    }
    patterns.extend(written.iter().enumerate().map(|(at, text)| (flags.end + at, text.clone())));
    let texts: Vec<String> = patterns.iter().map(|(_, text)| text.clone()).collect();
    let place = |error: ExprError| {
        let word = patterns.get(error.word).map_or(0, |(word, _)| *word);
        error.at(word)
    };
    Ok(match method {
        Method::Integer => Matcher::Integers(parse_integers(&texts, 0).map_err(place)?),
        Method::Version => Matcher::Integers(parse_versions(&texts, 0).map_err(place)?),
        Method::Binary => {
            let bytes = |(word, text): &(usize, String)| parse_hex(text).map_err(|error| error.at(*word));
            let patterns = patterns.iter().map(bytes).collect::<Result<_, _>>()?;
            Matcher::Text { how: TextMatch::Exact, ignore_case: false, patterns }
        }
        Method::Length => Matcher::Length(parse_integers(&texts, 0).map_err(place)?),
        Method::Address => Matcher::Networks(parse_networks(&texts, 0).map_err(place)?),
        Method::Regex => {
            let regex =
                |(word, text): &(usize, String)| parse_regex(text, flags.ignore_case).map_err(|error| error.at(*word));
            Matcher::Regex(patterns.iter().map(regex).collect::<Result<_, _>>()?)
        }
        Method::Text(how) => {
            let bytes = |text: &String| match how {
                TextMatch::Directory => trimmed(text, b"/?"),
                TextMatch::Domain => trimmed(text, b"/?.:"),
                _ => text.clone().into_bytes(),
            };
            Matcher::Text { how, ignore_case: flags.ignore_case, patterns: texts.iter().map(bytes).collect() }
        }
        Method::Found => Matcher::Found,
        Method::Boolean => Matcher::True,
    })
}

/// These take no pattern. HAProxy ignores what stands there; here only what cannot mislead is let pass.
fn without_patterns(method: Method, flags: &Flags, written: &[String]) -> Result<Matcher, ExprError> {
    if let Some((word, _)) = flags.files.first() {
        return Err(ExprError::new(*word, "this match takes no patterns"));
    }
    let harmless = |word: &String| method == Method::Boolean && matches!(word.as_str(), "1" | "true");
    if let Some(at) = written.iter().position(|word| !harmless(word)) {
        return Err(ExprError::new(
            flags.end + at,
            format!("`{}` is ignored here: this match takes no patterns", written[at]),
        )
        .hint("put `!` in front of the test to ask for the opposite"));
    }
    Ok(if method == Method::Found { Matcher::Found } else { Matcher::True })
}

/// Delimiters around these patterns mean nothing (manual 7.1.3).
fn trimmed(text: &str, delimiters: &[u8]) -> Vec<u8> {
    text.trim_matches(|c: char| c.is_ascii() && delimiters.contains(&(c as u8))).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::{with_scope, words};
    use super::*;
    use crate::model::Mode;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = with_scope(Mode::Http, Side::Request, |scope| match parse_acl("a", &words(text), scope) {
            Ok(test) => match test.matcher {
                Matcher::Text { how, ignore_case, patterns } => {
                    let patterns: Vec<_> = patterns.iter().map(|text| String::from_utf8_lossy(text)).collect();
                    format!("{how:?} {}{}", if ignore_case { "-i " } else { "" }, patterns.join("|"))
                }
                Matcher::Regex(list) => format!("Regex {}", list.len()),
                other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_string(),
            },
            Err(error) => format!("{}: {error}", error.word),
        });
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn the_type_decides_the_match() {
        check("path /a /b", "Exact /a|/b");
        check("src 10.0.0.0/8", "Networks");
        check("dst_port 80", "Integers");
        check("ssl_fc", "True");
        check("ssl_fc 1", "True");
        check("path,length 3", "Integers");
        check("hdr_ip(x) ::1", "Networks");
        check("method GET", "Exact GET");
        check("path -m bin 2f61", "Exact /a");
    }

    #[test]
    fn first_bytes_have_patterns_of_their_own() {
        let test = |text: &str| {
            with_scope(Mode::Tcp, Side::Request, |scope| parse_acl("a", &words(text), scope).map(|test| test.matcher))
        };
        let ranges = |text: &str| match test(text) {
            Ok(Matcher::Integers(list)) => list.iter().map(|range| (range.from, range.to)).collect::<Vec<_>>(),
            other => panic!("{text}: {other:?}"),
        };
        let (tls10, tls12) = (3 << 16 | 1, 3 << 16 | 3);
        assert_eq!(ranges("req.ssl_ver 3.1"), [(tls10, tls10)]);
        assert_eq!(ranges("req.ssl_ver 3:3.1 ge 3.3"), [(3 << 16, tls10), (tls12, i64::MAX)]);
        assert_eq!(ranges("req.ssl_hello_type 1"), [(1, 1)]);
        assert!(test("req.ssl_ver 3.x").unwrap_err().message.contains("is not a version"));
        assert_eq!(test("req.ssl_ver :").unwrap_err().message, "`:` is a range without an end");
        assert!(matches!(test("req.payload(0,3) 535348"), Ok(Matcher::Text { patterns, .. }) if patterns == [b"SSH"]));
        assert!(matches!(test("req.payload(0,3) -m beg SS"), Ok(Matcher::Text { how: TextMatch::Prefix, .. })));
    }

    #[test]
    fn derivatives_and_m_decide_it_otherwise() {
        check("path_beg -i /a", "Prefix -i /a");
        check("hdr_end(host) .com", "Suffix .com");
        check("url_sub x", "Substring x");
        check("path_dir /a/", "Directory a");
        check("hdr_dom(host) .example.com:", "Domain example.com");
        check("path_reg ^/a$ b", "Regex 2");
        check("path_len gt 3", "Length");
        check("hdr_beg(host) -m end x", "Suffix x");
        check("path,lower -m beg /a", "Prefix /a");
        check("hdr_beg(t),lower case", "Exact case");
        check("path -m found", "Found");
        check("hdr(n) -m int 3:4", "Integers");
        check("hdr(n) -m ip 1.2.3.4", "Networks");
        check("src -m str 127.0.0.1", "Exact 127.0.0.1");
    }

    #[test]
    fn a_named_test_may_be_of_either_message() {
        check("status 200:299", "Integers");
        check("res.hdr(x) a", "Exact a");
        let of = |text: &str| {
            with_scope(Mode::Http, Side::Request, |scope| parse_acl("a", &words(text), scope).unwrap().value.fetch)
        };
        for text in ["hdr(x) a", "hdr_beg(x) a", "req.hdr(x) a", "hdr_val(x) 3"] {
            assert!(matches!(of(text), Fetch::RequestHeader(_)), "{text}");
        }
        assert!(matches!(of("shdr_beg(x) a"), Fetch::ResponseHeader(_)));
    }

    #[test]
    fn flags_end_where_patterns_begin() {
        check("path -- -i", "Exact -i");
        check("path a -i", "Exact a|-i");
        check("path -f patterns", "Exact /a|/b/c");
        check("path -i -f patterns -- /z", "Exact -i /a|/b/c|/z");
        check("src -n 127.0.0.1", "Networks");
        check("path -m beg -f patterns", "Prefix /a|/b/c");
    }

    #[test]
    fn errors_name_their_word() {
        check("", "0: a test is missing: say what is compared, such as `path_beg /img`");
        check("pth /a", "0: there is no fetch `pth`; did you mean `path`?");
        check("pth_beg /a", "0: there is no fetch `pth_beg`; did you mean `path_beg`?");
        check("path", "1: no pattern to match against: this test would never hold");
        check("path_beg -i", "2: no pattern to match against: this test would never hold");
        check("dst_port 80 abc", "2: `abc` is not a number or a range of numbers");
        check("src -n 1.2.3", "Networks");
        check("src 1.2.3.4 nohost", "2: `nohost` is not an address or a network");
        check("path -m nosuch x", "2: there is no match `nosuch`");
        check("path -m bin 2f2", "3: `2f2` is not made of pairs of hexadecimal digits");
        check("src -m bin 2f", "0: `src` cannot be matched this way: see the table in HAProxy's manual, 7.1");
        check("path -z x", "1: `-z` is no flag of a test");
        check("path -m", "2: `-m` needs a method");
        check("path -f nofile", "2: cannot read the pattern file `nofile`: entity not found");
        check("path -f bytes", "2: the pattern file `bytes` is not UTF-8 text");
        check("path -f patterns -i x", "3: `-i` behind `-f` would hold for some patterns only, which is not built yet");
        check("dst_port -f patterns", "2: `/a` is not a number or a range of numbers");
        check("dst_port -i 80", "1: `-i` means nothing where texts are not compared");
        check("ssl_fc 0", "1: `0` is ignored here: this match takes no patterns");
        check("path -m found x", "3: `x` is ignored here: this match takes no patterns");
        check("src -m int 3", "0: `src` cannot be matched this way: see the table in HAProxy's manual, 7.1");
        check("dst_port -m ip ::1", "0: `dst_port` cannot be matched this way: see the table in HAProxy's manual, 7.1");
    }

    #[test]
    fn a_regular_expression_of_pcre_is_told_apart() {
        let error = with_scope(Mode::Http, Side::Request, |scope| {
            parse_acl("a", &words("path_reg ok '^/(?!x)'"), scope).map(|_| ()).unwrap_err()
        });
        assert_eq!(error.word, 2);
        assert!(error.message.contains("look-around"), "{error}");
        assert!(error.hint.is_some());
    }

    #[test]
    fn names_are_checked() {
        with_scope(Mode::Http, Side::Request, |scope| {
            for name in ["", "a b", "a{", "or", "é"] {
                assert!(parse_acl(name, &words("path /a"), scope).is_err(), "{name}");
            }
            assert!(parse_acl("my-acl_1.x:y", &words("path /a"), scope).is_ok());
        });
    }
}
