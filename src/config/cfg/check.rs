//! Health checks of a backend (HAProxy manual 4.2 `option httpchk`, `http-check`, `option tcp-check`).

use super::args::Args;
use super::draft::ProxyDraft;
use crate::config::raw::{Check, CheckHeader, CheckType, Expect, ExpectHeader};
use crate::diag::{Diagnostic, FieldPath};

fn path(field: &str) -> FieldPath {
    FieldPath::root().key("check").key(field)
}

/// `option tcp-check`: without `tcp-check` rules, the connection alone.
pub(super) fn tcp_check(args: &mut Args, proxy: &mut ProxyDraft) {
    args.mark_line(path("type"));
    args.end();
    proxy.raw.check.get_or_insert_default().kind = Some(CheckType::Tcp);
}

/// `option httpchk`, `… <uri>`, `… <method> <uri>`, `… <method> <uri> <version>`. Says the whole request anew.
///
/// The version may carry header fields behind `\r\n`, the way Host was sent before `http-check send` came.
pub(super) fn httpchk(args: &mut Args, proxy: &mut ProxyDraft) {
    args.mark_line(path("type"));
    let check = proxy.raw.check.get_or_insert_default();
    check.kind = Some(CheckType::Http);
    let words: Vec<&str> = std::iter::from_fn(|| args.take()).collect();
    let first = args.index() - words.len();
    let (method, uri, version) = match words.as_slice() {
        [] => (None, None, [].as_slice()),
        [uri] => (None, Some((first, *uri)), [].as_slice()),
        [method, uri, version @ ..] => (Some((first, *method)), Some((first + 1, *uri)), version),
    };
    check.method = Some(said(args, "method", method, DEFAULT_METHOD));
    check.uri = Some(said(args, "uri", uri, DEFAULT_URI));
    check.version = Some(DEFAULT_VERSION.to_owned());
    if !version.is_empty() {
        args.mark_words(path("version"), first + 2, args.index());
        // Written without quotes, what stands behind the version is header fields too: `HTTP/1.1\r\nHost:\ www`.
        set_version(args, check, &version.join(" "), first + 2);
    }
}

/// What HAProxy sends without a word (manual 4.2 `option httpchk`).
pub(super) const DEFAULT_METHOD: &str = "OPTIONS";
pub(super) const DEFAULT_URI: &str = "/";
pub(super) const DEFAULT_VERSION: &str = "HTTP/1.0";

fn said(args: &mut Args, field: &str, word: Option<(usize, &str)>, default: &str) -> String {
    if let Some((index, _)) = word {
        args.mark_words(path(field), index, index + 1);
    }
    word.map_or(default, |(_, word)| word).to_owned()
}

fn set_version(args: &mut Args, check: &mut Check, text: &str, at: usize) {
    let mut lines = text.split("\r\n");
    let version = lines.next().unwrap_or_default().trim_end_matches(' ');
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        let message = format!("`{version}` is not an HTTP version a check can speak");
        args.tell_word(at, Diagnostic::error(message).suggest(version, ["HTTP/1.0", "HTTP/1.1"]));
        return;
    }
    check.version = Some(version.to_owned());
    for line in lines.filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, value)) => {
                let header = CheckHeader { name: name.trim().to_owned(), value: value.trim().to_owned() };
                check.headers.get_or_insert_default().push(header);
            }
            None => {
                let message = format!("`{line}` is not a header field: it has no `:`");
                args.tell_word(at, Diagnostic::error(message));
            }
        }
    }
}

/// `http-check send [meth …] [uri …] [ver …] [hdr <name> <value>]… [body …]`
pub(super) fn send(args: &mut Args, proxy: &mut ProxyDraft) {
    proxy.check.sends += 1;
    if proxy.check.sends > 1 || proxy.check.expects > 0 {
        let message = "a second request in one check is known but not built yet";
        args.tell_word(0, Diagnostic::error(message).hint("one `http-check send`, before every `http-check expect`"));
        return;
    }
    let check = proxy.raw.check.get_or_insert_default();
    if args.line.words.iter().any(|word| word.text == "hdr") {
        // Fields hidden behind the version of `option httpchk` do not add up with these.
        check.headers = None;
    }
    while let Some(word) = args.take() {
        args.set_keyword(&format!("http-check send {word}"));
        let done = match word {
            "meth" => args.text("a method").map(|method| {
                args.mark_last(path("method"));
                check.method = Some(method);
            }),
            "uri" => args.text("a URI").map(|uri| {
                args.mark_last(path("uri"));
                check.uri = Some(uri);
            }),
            "ver" => args.text("a version (`HTTP/1.1`)").map(|version| {
                args.mark_last(path("version"));
                let at = args.index() - 1;
                set_version(args, check, &version, at);
            }),
            "hdr" => header(args, check),
            "body" => args.text("a text").map(|body| {
                args.mark_last(path("body"));
                check.body = Some(body);
            }),
            "comment" => args.text("a text").map(drop),
            "uri-lf" | "body-lf" => {
                let message = format!("`http-check send {word}` is known but not built yet");
                args.tell_last(Diagnostic::error(message));
                args.take().map(drop)
            }
            other => {
                let known = ["meth", "uri", "ver", "hdr", "body", "comment"];
                let message = format!("unknown `{other}` in `http-check send`");
                args.tell_last(Diagnostic::error(message).suggest(other, known));
                None
            }
        };
        if done.is_none() {
            return;
        }
    }
}

fn header(args: &mut Args, check: &mut Check) -> Option<()> {
    let headers = check.headers.get_or_insert_default();
    let path = path("headers").index(headers.len());
    let name = args.text("the name and the value of a header field")?;
    args.mark_last(path.key("name"));
    let value = args.text("the value of the header field")?;
    args.mark_last(path.key("value"));
    if value.contains("%[") {
        args.tell_last(Diagnostic::error("values computed for each check are known but not built yet"));
        return None;
    }
    headers.push(CheckHeader { name, value });
    Some(())
}

/// `http-check expect [!] <match> <pattern>`
pub(super) fn expect(args: &mut Args, proxy: &mut ProxyDraft) {
    proxy.check.expects += 1;
    let list = proxy.raw.check.get_or_insert_default().expect.get_or_insert_default();
    let path = path("expect").index(list.len());
    args.mark_line(path.clone());
    while let Some(word) = args.peek() {
        match word {
            "comment" => {
                args.skip_to(args.index() + 2);
            }
            "min-recv" | "ok-status" | "error-status" | "tout-status" | "on-success" | "on-error" | "status-code" => {
                let message = format!("`http-check expect {word}` is known but not built yet");
                args.tell_next(Diagnostic::error(message));
                args.skip_to(args.index() + 2);
            }
            _ => break,
        }
    }
    let mut expect = Expect::default();
    if args.take_if("!") {
        expect.not = Some(true);
    }
    list.extend(expected(args, &path, expect));
}

fn expected(args: &mut Args, path: &FieldPath, mut expect: Expect) -> Option<Expect> {
    let known = ["status", "rstatus", "string", "rstring", "hdr"];
    let word = args.text("what to expect: `status 200`, `string ok`, `hdr name x-ok`")?;
    // `!status 200` is written too.
    let word = match word.strip_prefix('!') {
        Some(rest) if !rest.is_empty() => {
            expect.not = Some(true);
            rest.to_owned()
        }
        _ => word,
    };
    args.set_keyword(&format!("http-check expect {word}"));
    match word.as_str() {
        "status" => expect.status = Some(status(args)?),
        "rstatus" => expect.rstatus = Some(args.text("a regular expression")?),
        "string" => expect.string = Some(args.text("a text")?),
        "rstring" => expect.rstring = Some(args.text("a regular expression")?),
        "hdr" => {
            expect.header = Some(expected_header(args)?);
            args.mark_line(path.key("header"));
        }
        "fhdr" | "string-lf" | "rstring-lf" => {
            args.tell_last(Diagnostic::error(format!("`http-check expect {word}` is known but not built yet")));
            return None;
        }
        other => {
            let message = format!("unknown `{other}` in `http-check expect`");
            args.tell_last(Diagnostic::error(message).suggest(other, known));
            return None;
        }
    }
    args.mark_last(path.key(word.replace("hdr", "header")));
    args.end();
    Some(expect)
}

/// Codes and ranges: `200,204,300-399`.
fn status(args: &mut Args) -> Option<String> {
    let text = args.text("a status (`200`, `200-399`)")?;
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    let good = |part: &str| match part.split_once('-') {
        Some((from, to)) => matches!((code(from), code(to)), (Some(from), Some(to)) if from <= to),
        None => code(part).is_some(),
    };
    if let Some(wrong) = text.split(',').find(|part| !good(part)) {
        let message = format!("`{wrong}` is not a status or a range of them, 100 to 599");
        args.tell_last(Diagnostic::error(message));
        return None;
    }
    Some(text)
}

/// `hdr name [-m str] <name> [value [-m str] <value>]`
fn expected_header(args: &mut Args) -> Option<ExpectHeader> {
    if matches!(args.peek(), Some("name-lf")) {
        args.tell_next(Diagnostic::error("`name-lf` is known but not built yet"));
        return None;
    }
    if !args.take_if("name") {
        args.missing("`name` and the name of a header field");
        return None;
    }
    plain_match(args)?;
    let name = args.text("the name of a header field")?;
    let value = match args.peek() {
        Some("value") => {
            args.take();
            plain_match(args)?;
            Some(args.text("a value")?)
        }
        Some("value-lf") => {
            args.tell_next(Diagnostic::error("`value-lf` is known but not built yet"));
            return None;
        }
        _ => None,
    };
    Some(ExpectHeader { name, value })
}

/// Takes `-m str`, the default; other ways to match are not built.
fn plain_match(args: &mut Args) -> Option<()> {
    if !args.take_if("-m") {
        return Some(());
    }
    match args.take() {
        Some("str") => Some(()),
        _ => {
            args.tell_last(Diagnostic::error("only `-m str` can be used in `http-check expect hdr` so far"));
            None
        }
    }
}
