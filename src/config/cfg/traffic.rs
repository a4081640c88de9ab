//! Mode, timeouts, limits, balance, error pages and the like: the plain settings of a proxy (HAProxy manual 4.2).

use std::path::PathBuf;

use super::args::Args;
use super::draft::ProxyDraft;
use crate::config::raw::{Balance, HttpReuse, Mode, OneOrMany};
use crate::diag::{Diagnostic, FieldPath, did_you_mean};

fn field(name: &str) -> FieldPath {
    FieldPath::root().key(name)
}

pub(super) fn mode(args: &mut Args, proxy: &mut ProxyDraft) {
    let known = [
        ("tcp", Some(Mode::Tcp)),
        ("http", Some(Mode::Http)),
        ("log", None),
        ("health", None),
        ("haterm", None),
        ("spop", None),
    ];
    match args.choice("a mode", &known) {
        Some(Some(mode)) => {
            args.mark_last(field("mode"));
            args.end();
            proxy.raw.mode = Some(mode);
        }
        Some(None) => {
            let message = "only `mode tcp` and `mode http` are built so far";
            args.tell_last(Diagnostic::error(message));
        }
        None => {}
    }
}

macro_rules! timeout {
    ($name:ident) => {
        pub(super) fn $name(args: &mut Args, proxy: &mut ProxyDraft) {
            if let Some(time) = args.time() {
                args.mark_last(field("timeout").key(stringify!($name)));
                args.end();
                proxy.raw.timeout.$name = Some(time);
            }
        }
    };
}

timeout!(connect);
timeout!(client);
timeout!(server);
timeout!(check);
timeout!(queue);
timeout!(tunnel);
timeout!(client_fin);
timeout!(server_fin);
timeout!(http_request);
timeout!(http_keep_alive);
timeout!(client_hs);
timeout!(tarpit);

macro_rules! number {
    ($name:ident, $smallest:expr, $largest:expr) => {
        pub(super) fn $name(args: &mut Args, proxy: &mut ProxyDraft) {
            if let Some(number) = args.number("a whole number", $smallest, $largest) {
                args.mark_last(field(stringify!($name)));
                args.end();
                proxy.raw.$name = Some(number);
            }
        }
    };
}

number!(maxconn, 0, u32::MAX);
number!(fullconn, 0, u32::MAX);
number!(backlog, 1, i32::MAX as u32);
number!(retries, 0, 1_000);
number!(rate_limit_sessions, 0, u32::MAX);

/// `max-keep-alive-queue <number>`, -1 for no limit
pub(super) fn max_keep_alive_queue(args: &mut Args, proxy: &mut ProxyDraft) {
    let number = match args.take_if("-1") {
        true => Some(-1),
        false => args.number("a whole number, or -1", 0, i32::MAX as u32).map(|number| number as i32),
    };
    if let Some(number) = number {
        args.mark_last(field("max_keep_alive_queue"));
        args.end();
        proxy.raw.max_keep_alive_queue = Some(number);
    }
}

pub(super) fn http_reuse(args: &mut Args, proxy: &mut ProxyDraft) {
    let known = [
        ("never", HttpReuse::Never),
        ("safe", HttpReuse::Safe),
        ("aggressive", HttpReuse::Aggressive),
        ("always", HttpReuse::Always),
    ];
    if let Some(reuse) = args.choice("a way to reuse connections", &known) {
        args.mark_last(field("http_reuse"));
        args.end();
        proxy.raw.http_reuse = Some(reuse);
    }
}

/// `retry-on <failure or status>…`; each line goes before those above it.
pub(super) fn retry_on(args: &mut Args, proxy: &mut ProxyDraft) {
    if !args.more() {
        args.missing("at least one failure or status (`conn-failure`, `503`)");
        return;
    }
    args.mark_line(field("retry_on"));
    let mut words = Vec::new();
    while let Some(word) = args.take() {
        args.mark_last(field("retry_on").index(words.len()));
        words.push(word.to_owned());
    }
    proxy.raw.retry_on = OneOrMany(words);
}

const ALGORITHMS: [&str; 12] = [
    "static-rr",
    "leastconn",
    "first",
    "source",
    "uri",
    "url_param",
    "hdr",
    "random",
    "rdp-cookie",
    "hash",
    "log-hash",
    "sticky",
];

pub(super) fn balance(args: &mut Args, proxy: &mut ProxyDraft) {
    let Some(word) = args.text("an algorithm (`roundrobin`)") else {
        return;
    };
    if word == "roundrobin" {
        args.mark_last(field("balance"));
        args.end();
        proxy.raw.balance = Some(Balance::Roundrobin);
        return;
    }
    let name = word.split('(').next().unwrap_or_default();
    let message = if ALGORITHMS.contains(&name) {
        format!("`balance {name}` is known but not built yet; `balance roundrobin` is")
    } else {
        let near = did_you_mean(name, ALGORITHMS.into_iter().chain(["roundrobin"]));
        let near = near.map_or("; `balance roundrobin` is".to_owned(), |near| format!("; did you mean `{near}`?"));
        format!("`{word}` is not a way to balance{near}")
    };
    args.tell_last(Diagnostic::error(message));
}

/// `disabled`, `enabled`
pub(super) fn disabled(args: &mut Args, proxy: &mut ProxyDraft) {
    args.mark_line(field("disabled"));
    args.end();
    proxy.raw.disabled = Some(args.keyword() == "disabled");
}

pub(super) fn description(args: &mut Args, proxy: &mut ProxyDraft) {
    let words: Vec<&str> = std::iter::from_fn(|| args.take()).collect();
    if words.is_empty() {
        args.missing("a text");
        return;
    }
    args.mark_line(field("description"));
    proxy.raw.description = Some(words.join(" "));
}

/// Statuses HAProxy has pages for (manual 4.2 `errorfile`).
const STATUSES: [u16; 20] =
    [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504];

pub(super) fn errorfile(args: &mut Args, proxy: &mut ProxyDraft) {
    let Some(status) = args.number("a status and a file (`503 /etc/errors/503.http`)", 100, 599) else {
        return;
    };
    let status = u16::try_from(status).unwrap_or_default();
    if !STATUSES.contains(&status) {
        let all: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
        let message = format!("no page of ours has status {status}");
        args.tell_last(Diagnostic::error(message).hint(format!("pages can be given for {}", all.join(", "))));
        return;
    }
    if let Some(file) = args.text("a file behind the status") {
        args.mark_last(field("errorfile").key(status.to_string()));
        args.end();
        proxy.raw.errorfile.insert(status, PathBuf::from(file));
    }
}
