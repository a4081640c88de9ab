//! `log` lines, and what is logged (HAProxy manual 4.2 `log`, 8).

use super::args::{Args, Negation};
use super::draft::{GlobalDraft, ProxyDraft};
use crate::config::raw::{Capture, LogFormat, LogTarget};
use crate::diag::{Diagnostic, FieldPath};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp", "audit",
    "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

const FORMATS: [&str; 8] = ["local", "rfc3164", "rfc5424", "raw", "short", "priority", "timed", "iso"];

pub(super) fn global_log(args: &mut Args, global: &mut GlobalDraft) {
    if args.peek() == Some("global") {
        args.tell_next(Diagnostic::error("`log global` is for proxies; here, name an address"));
        return;
    }
    let path = FieldPath::root().key("log").index(global.raw.log.len());
    if let Some(target) = target(args, &path) {
        global.raw.log.push(target);
    }
}

pub(super) fn log(args: &mut Args, proxy: &mut ProxyDraft) {
    match args.negation {
        Negation::Plain => {}
        Negation::No => {
            args.end();
            args.mark_line(FieldPath::root().key("no_log"));
            proxy.raw.no_log = Some(true);
            proxy.raw.log_global = None;
            proxy.raw.log.clear();
            return;
        }
        Negation::Default => {
            args.tell_word(0, Diagnostic::error("`log` cannot be reset").hint("`no log` forgets what was inherited"));
            return;
        }
    }
    if args.take_if("global") {
        args.mark_last(FieldPath::root().key("log_global"));
        args.end();
        proxy.raw.log_global = Some(true);
        return;
    }
    let path = FieldPath::root().key("log").index(proxy.raw.log.len());
    if let Some(target) = target(args, &path) {
        proxy.raw.log.push(target);
    }
}

/// `<address> [len <length>] [format <format>] <facility> [<level> [<least level>]]`
fn target(args: &mut Args, path: &FieldPath) -> Option<LogTarget> {
    args.mark_line(path.clone());
    let to = args.text("an address: `127.0.0.1:514`, `/dev/log`, `stdout`")?;
    args.mark_last(path.key("to"));
    if let Some((family, _)) = to.split_once('@')
        && matches!(family, "ring" | "backend" | "fd" | "udp" | "udp4" | "udp6" | "uxdg")
        && !matches!(to.as_str(), "fd@1" | "fd@2")
    {
        args.tell_last(Diagnostic::error(format!("logging to `{family}@` is known but not built yet")));
        args.skip_to(usize::MAX);
        return None;
    }
    let to = match to.as_str() {
        "fd@1" => "stdout".to_owned(),
        "fd@2" => "stderr".to_owned(),
        _ => to,
    };
    let mut target = LogTarget { to, ..LogTarget::default() };
    loop {
        match args.peek() {
            Some("len") => {
                args.take();
                args.set_keyword("len");
                target.len = Some(args.number("a length in bytes", 80, 65_535)?);
                args.mark_last(path.key("len"));
            }
            Some("format") => {
                args.take();
                args.set_keyword("format");
                let known = FORMATS.map(|name| (name, name));
                target.format = Some(args.choice("a log format", &known)?.to_owned());
                args.mark_last(path.key("format"));
            }
            Some(word @ ("sample" | "profile")) => {
                args.tell_next(Diagnostic::error(format!("`log … {word}` is known but not built yet")));
                args.skip_to(args.index() + 2);
            }
            _ => break,
        }
    }
    args.set_keyword("log");
    let facilities = FACILITIES.map(|name| (name, name));
    target.facility = Some(args.choice("a facility", &facilities)?.to_owned());
    args.mark_last(path.key("facility"));
    let levels = LEVELS.map(|name| (name, name));
    if args.more() {
        target.level = Some(args.choice("a level", &levels)?.to_owned());
        args.mark_last(path.key("level"));
    }
    if args.more() {
        target.min_level = Some(args.choice("a level", &levels)?.to_owned());
        args.mark_last(path.key("min_level"));
    }
    args.end();
    // Natively a terminal gets lines for people; HAProxy frames them for syslog everywhere.
    if target.format.is_none() && matches!(target.to.as_str(), "stdout" | "stderr") {
        target.format = Some("local".to_owned());
    }
    Some(target)
}

pub(super) fn httplog(args: &mut Args, proxy: &mut ProxyDraft) {
    if args.take_if("clf") {
        args.tell_last(Diagnostic::error("the CLF log format is known but not built yet"));
        return;
    }
    set_format(args, proxy, LogFormat::Http);
}

pub(super) fn tcplog(args: &mut Args, proxy: &mut ProxyDraft) {
    if args.take_if("clf") {
        args.tell_last(Diagnostic::error("the CLF log format is known but not built yet"));
        return;
    }
    set_format(args, proxy, LogFormat::Tcp);
}

fn set_format(args: &mut Args, proxy: &mut ProxyDraft, format: LogFormat) {
    args.mark_line(FieldPath::root().key("log_format"));
    args.end();
    proxy.raw.log_format = Some(format);
}

pub(super) fn log_tag(args: &mut Args, proxy: &mut ProxyDraft) {
    if let Some(tag) = args.text("a name") {
        args.mark_last(FieldPath::root().key("log_tag"));
        args.end();
        proxy.raw.log_tag = Some(tag);
    }
}

pub(super) fn capture_request(args: &mut Args, proxy: &mut ProxyDraft) {
    let path = FieldPath::root().key("capture_request_header").index(proxy.raw.capture_request_header.len());
    proxy.raw.capture_request_header.extend(capture(args, &path));
}

pub(super) fn capture_response(args: &mut Args, proxy: &mut ProxyDraft) {
    let path = FieldPath::root().key("capture_response_header").index(proxy.raw.capture_response_header.len());
    proxy.raw.capture_response_header.extend(capture(args, &path));
}

/// `<name> len <length>`
fn capture(args: &mut Args, path: &FieldPath) -> Option<Capture> {
    args.mark_line(path.clone());
    let name = args.text("the name of a header field")?;
    args.mark_last(path.key("name"));
    if !args.take_if("len") {
        args.missing("`len` and a length in bytes behind the name");
        return None;
    }
    let len = args.number("a length in bytes", 1, 65_535)?;
    args.mark_last(path.key("len"));
    args.end();
    Some(Capture { name, len })
}
