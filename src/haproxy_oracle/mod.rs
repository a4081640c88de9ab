//! Do rules mean here what they mean in HAProxy? Holds reader and engine together against answers recorded from it.
//!
//! The recording is `rules.txt`; what differs on purpose is listed in [`DIFFERENT`], with the reason.

use crate::config::expr::fetch::parse_expr;
use crate::config::expr::{Scope, Side, parse_condition, parse_format};
use crate::config::words;
use crate::http::RequestHead;
use crate::model::global::HttpLimits;
use crate::model::{BackendId, Mode};
use crate::rules::{Context, Facts, eval, format, holds};

/// Lines that have another answer here, or none.
const DIFFERENT: &[(&str, &str)] = &[
    ("cookie(a)", "not built"),
    ("http_first_req", "not built"),
    ("fc_http_major", "not built"),
    ("so_name", "not built"),
    ("env(HOME)", "not built"),
    ("src,ipmask(8)", "not built"),
    ("{ path -m bin 2f61 }", "not built"),
    ("{ path_beg }", "a test that can never hold is refused"),
    ("{ str() -m str -- }", "a test that can never hold is refused"),
    ("{ hdr host }", "a header without a name is refused: it would never be found"),
    ("hdr(a b)", "no header can have this name"),
    ("TRUE or", "half an `or` is refused"),
    ("or TRUE", "half an `or` is refused"),
    ("{ status 200 }", "there is no response yet"),
    ("{ res.hdr(x) a }", "there is no response yet"),
    ("{ bool(1) -m bool 0 }", "a pattern that is ignored but reads like the opposite is refused"),
    ("{ method -i get }", "`-i` is not ignored"),
    ("hdr_val(big)", "a number too large stays large"),
    ("hdr_val(plus)", "`+` is no digit"),
];

/// One recorded line.
struct Recorded<'a> {
    kind: &'a str,
    text: &'a str,
    value: &'a str,
}

#[test]
fn rules_mean_what_they_mean_in_haproxy() {
    let mut request = RequestHead::new();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for line in include_str!("rules.txt").lines() {
        if let Some(text) = line.strip_prefix("> ") {
            request = parse_request(text);
            continue;
        }
        let Some(recorded) = recorded(line) else { continue };
        if DIFFERENT.iter().any(|(text, _)| *text == recorded.text) {
            continue;
        }
        asked += 1;
        let answer = answer(&recorded, &request);
        if answer.as_deref() != Ok(recorded.value) {
            wrong.push(format!("{line}\n    here: {answer:?}"));
        }
    }
    assert!(asked > 1500, "{asked}");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_difference_is_in_the_recording() {
    let texts: Vec<&str> = include_str!("rules.txt").lines().filter_map(recorded).map(|line| line.text).collect();
    for (text, reason) in DIFFERENT {
        assert!(texts.contains(text), "{text}: {reason}");
    }
}

fn recorded(line: &str) -> Option<Recorded<'_>> {
    let (kind, rest) = line.split_once(' ').filter(|(kind, _)| ["expr", "form", "cond"].contains(kind))?;
    let (text, value) = rest.rsplit_once(" =>")?;
    Some(Recorded { kind, text, value: value.trim_start() })
}

fn answer(recorded: &Recorded<'_>, request: &RequestHead) -> Result<String, String> {
    let usable = |backend| if backend == BackendId(0) { 2 } else { 0 };
    let facts = Facts {
        src: "127.0.0.1:45672".parse().ok(),
        dst: "127.0.0.1:9590".parse().ok(),
        tls: None,
        frontend: "web",
        backend: None,
        server: None,
        hostname: "proxy1",
        pid: 77,
        now: std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_174_334),
        unique_id: None,
        told: None,
        first_bytes: None,
        usable_servers: &usable,
    };
    let context = Context { request: Some(request), response: None, facts: &facts };
    let backends = ["two".to_string(), "none".to_string()];
    let scope = Scope {
        mode: Mode::Http,
        side: Side::Request,
        acls: &|_| None,
        acl_names: &[],
        backends: &|name| backends.iter().position(|known| known == name).map(|at| BackendId(at as u32)),
        backend_names: &backends,
        own_backend: None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    match recorded.kind {
        "cond" => {
            let words = words::split(recorded.text).map_err(|error| error.to_string())?;
            let condition = parse_condition(&words, false, &scope).map_err(|error| error.message)?;
            Ok(if holds(&condition, &context) { "yes" } else { "no" }.to_string())
        }
        "expr" => {
            // Through a format, as it was recorded: absent values are empty there, control bytes encoded.
            parse_expr(recorded.text, &scope).map(|expr| drop(eval(&expr, &context))).map_err(|error| error.message)?;
            formatted(&format!("%[{}]", recorded.text), &scope, &context)
        }
        _ => formatted(recorded.text, &scope, &context),
    }
}

fn formatted(text: &str, scope: &Scope<'_>, context: &Context<'_>) -> Result<String, String> {
    let parsed = parse_format(text, scope).map_err(|error| error.message)?;
    let mut out = Vec::new();
    format(&parsed, context, &mut out);
    // The field this was recorded in had blanks around its value taken off by nobody: it stood in brackets.
    Ok(out.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\""))
}

fn parse_request(text: &str) -> RequestHead {
    let mut head = RequestHead::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'\\' => match bytes.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'x') => {
                    let digits = [bytes.next(), bytes.next()].map(|digit| char::from(digit.unwrap_or(b'0')));
                    u8::from_str_radix(&String::from_iter(digits), 16).unwrap()
                }
                Some(escaped) => escaped,
                None => byte,
            },
            byte => byte,
        };
        head.input().push(byte);
    }
    let parsed = head.parse(&HttpLimits::default());
    assert!(parsed.is_ok(), "{text}: {parsed:?}");
    head
}
