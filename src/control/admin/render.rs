//! What do the questions about the process and its proxies answer? HAProxy's text (management guide 9.3).

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::control::Watch;
use crate::control::stats::report::{ProcessReport, Report, RowKind};
use crate::control::stats::{Selection, backend_name, csv, frontend_name, info, json, numbered_backends, tool_version};
use crate::logline::date::{DateCache, DateStyle};
use crate::model::frontend::ListenAddress;
use crate::model::global::{AccessLevel, StatsSocketAddress};
use crate::sys;

pub(super) fn info(process: &ProcessReport, words: &[&str]) -> String {
    if words.contains(&"json") {
        json::info_json(process)
    } else if words.contains(&"typed") {
        json::info_typed(process)
    } else {
        info::render(process)
    }
}

/// `show stat [<iid>|<proxy> <type> <sid>] [typed|json] [up|no-maint]`; words it does not know change nothing.
///
/// # Errors
/// There is no such proxy.
pub(super) fn stat(report: &Report, words: &[&str]) -> Result<String, String> {
    let mut selection = Selection { hide_down: words.contains(&"up"), ..Selection::default() };
    selection.hide_maintenance = words.contains(&"no-maint");
    if let [proxy, kinds, sid, ..] = words
        && let (Ok(kinds), Ok(sid)) = (kinds.parse::<i64>(), sid.parse::<i64>())
    {
        selection.iid = match proxy.parse::<i64>() {
            Ok(all) if all < 0 => None,
            Ok(iid) => Some(u32::try_from(iid).unwrap_or(u32::MAX)),
            Err(_) => Some(iid_of(report, proxy).ok_or("No such proxy.")?),
        };
        // -1 selects all of them, as HAProxy reads it.
        selection.kinds = u32::try_from(kinds).ok();
        selection.sid = u32::try_from(sid).ok();
    }
    Ok(if words.contains(&"json") {
        json::stat_json(report, &selection)
    } else if words.contains(&"typed") {
        json::stat_typed(report, &selection)
    } else {
        csv::render(report, &selection)
    })
}

fn iid_of(report: &Report, name: &str) -> Option<u32> {
    report.rows().find(|row| &*row.proxy == name).map(|row| row.iid)
}

pub(super) fn version() -> String {
    format!("{}\n", tool_version(env!("CARGO_PKG_VERSION")))
}

pub(super) fn backends(watch: &Watch) -> String {
    let mut out = "# name\n".to_owned();
    for (_, name) in numbered_backends(watch) {
        out.push_str(name);
        out.push('\n');
    }
    out
}

pub(super) fn sockets(watch: &Watch) -> String {
    let mut out = "# socket lvl processes\n".to_owned();
    for socket in &watch.snapshot.config.global.stats_sockets {
        let address = match &socket.address {
            StatsSocketAddress::Unix(options) => ListenAddress::Unix(options.clone()).to_string(),
            StatsSocketAddress::Tcp(address) => address.to_string(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{address} {} all", level_name(socket.level));
    }
    out
}

pub(super) fn level_name(level: AccessLevel) -> &'static str {
    match level {
        AccessLevel::User => "user",
        AccessLevel::Operator => "operator",
        AccessLevel::Admin => "admin",
    }
}

/// # Errors
/// There is no such variable.
pub(super) fn environment(name: Option<&str>) -> Result<String, String> {
    match name {
        Some(name) => {
            let value = std::env::var_os(name).ok_or("Variable not found")?;
            Ok(format!("{name}={}\n", value.to_string_lossy()))
        }
        None => Ok(std::env::vars_os().fold(String::new(), |mut out, (name, value)| {
            let _ = writeln!(out, "{}={}", name.to_string_lossy(), value.to_string_lossy());
            out
        })),
    }
}

/// We keep no broken messages; what was wrong is in the log.
///
/// # Errors
/// There is no such proxy.
pub(super) fn errors(watch: &Watch, proxy: Option<&str>, now: SystemTime) -> Result<String, String> {
    if let Some(proxy) = proxy.filter(|proxy| !matches!(*proxy, "request" | "response" | "-1")) {
        let numbered = format!("#{proxy}");
        let known = [proxy, numbered.as_str()]
            .iter()
            .any(|name| backend_name(watch, name).is_some() || frontend_name(watch, name).is_some());
        if !known {
            return Err("No such proxy.".to_owned());
        }
    }
    Ok(format!("Total events captured on [{}] : 0\n", log_date(now)))
}

/// `20/Nov/2026:11:00:36.077`, in local time.
fn log_date(at: SystemTime) -> String {
    let mut out = Vec::new();
    DateCache::new(DateStyle::Log).append(at, sys::local_offset, &mut out);
    String::from_utf8_lossy(&out).trim_matches(['[', ']', ' ']).to_owned()
}

/// How many there are; they are not listed one by one.
pub(super) fn sessions(report: &Report) -> String {
    let mut out = "# sessions are counted, not listed: proxy svname current max\n".to_owned();
    for row in report.rows().filter(|row| row.kind != RowKind::Listener) {
        let _ = writeln!(out, "{} {} {} {}", row.proxy, row.name, row.sessions.now, row.sessions.max);
    }
    out
}

pub(super) fn certificates(process: &ProcessReport) -> String {
    let mut out = "# filename\n".to_owned();
    for certificate in &process.certificates {
        out.push_str(&certificate.path);
        out.push('\n');
    }
    out
}
