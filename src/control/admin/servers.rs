//! What do the questions about servers answer? `show servers state` and `conn`, `get weight`, and our own `show health`.

use std::fmt::Write as _;

use crate::control::Watch;
use crate::control::command::ServerName;
use crate::control::stats::iso;
use crate::control::stats::report::{Maintenance, Report, Row, ServerFacts};

/// Columns of `show servers state`, version 1 of the format.
const STATE_HEADER: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
    srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
    srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
    srv_check_addr srv_agent_addr srv_agent_port\n";

const CONN_HEADER: &str = "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb \
    safe_nb idle_lim idle_cur idle_per_thr[1]\n";

/// The name of the server with this number in its backend, from 1.
pub(super) fn by_number(watch: &Watch, backend: &str, number: &str) -> Option<String> {
    let index = number.parse::<usize>().ok()?.checked_sub(1)?;
    let backend = watch.find_backend(backend)?;
    watch.snapshot.backend(backend).config.servers.get(index).map(|server| server.name.to_string())
}

fn servers<'a>(report: &'a Report, backend: Option<&'a str>) -> impl Iterator<Item = (&'a Row, &'a ServerFacts)> {
    report
        .rows()
        .filter(move |row| backend.is_none_or(|backend| &*row.proxy == backend))
        .filter_map(|row| row.server.as_ref().map(|server| (row, server)))
}

fn find<'a>(report: &'a Report, name: &ServerName) -> Result<(&'a Row, &'a ServerFacts), String> {
    report
        .rows()
        .filter(|row| *row.proxy == *name.backend && *row.name == *name.server)
        .find_map(|row| row.server.as_ref().map(|server| (row, server)))
        .ok_or_else(|| "No such server.".to_owned())
}

/// # Errors
/// There is no such server.
pub(super) fn weight(report: &Report, name: &ServerName) -> Result<String, String> {
    let (row, server) = find(report, name)?;
    let weight = row.balance.map_or(0, |balance| balance.user_weight);
    Ok(format!("{weight} (initial {})\n", server.initial_weight))
}

/// Of one backend, or of all.
pub(super) fn state(report: &Report, backend: Option<&str>) -> String {
    let mut out = STATE_HEADER.to_owned();
    for (row, server) in servers(report, backend) {
        let last = server.check.as_ref().and_then(|check| check.last.as_ref());
        let result = last.map_or(0, |last| match (last.passed, last.code) {
            (true, "L7OKC") => 4,
            (true, _) => 3,
            (false, _) => 2,
        });
        let in_maintenance = server.maintenance.is_some();
        let health = if in_maintenance { 0 } else { server.score };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} {} {} {} {} {} {} {} {} {} {} {result} {health} {} 0 0 0 {} {} - {} 0 - - 0",
            row.iid,
            row.proxy,
            row.sid,
            row.name,
            server.ip,
            operational_state(server),
            admin_state(server),
            row.balance.map_or(0, |balance| balance.user_weight),
            server.initial_weight,
            row.since.unwrap_or_default().as_secs(),
            last.map_or(1, |last| last.number),
            check_state(server),
            server.hostname.as_deref().unwrap_or("-"),
            server.port,
            u32::from(server.tls),
        );
    }
    out
}

/// 0 stopped, 2 running, 3 stopping (management guide 9.3, `show servers state`).
fn operational_state(server: &ServerFacts) -> u32 {
    if server.maintenance.is_some() || !server.running {
        0
    } else if server.stopping {
        3
    } else {
        2
    }
}

/// 0x01 forced maintenance, 0x04 maintenance by the configuration, 0x08 forced drain.
fn admin_state(server: &ServerFacts) -> u32 {
    let maintenance = match server.maintenance {
        Some(Maintenance::ByConfig) => 0x05,
        Some(Maintenance::ByOperator) => 0x01,
        None => 0,
    };
    maintenance | if server.draining { 0x08 } else { 0 }
}

/// 0x01 in progress, 0x02 configured, 0x04 enabled, 0x08 paused.
fn check_state(server: &ServerFacts) -> u32 {
    let paused = if server.maintenance.is_some() { 0x08 } else { 0 };
    let check =
        server.check.as_ref().map_or(0, |check| 0x02 | if check.enabled { 0x04 } else { 0 } | u32::from(check.running));
    check | paused
}

/// Of one backend, or of all.
pub(super) fn connections(report: &Report, backend: Option<&str>) -> String {
    let mut out = CONN_HEADER.to_owned();
    for (row, server) in servers(report, backend) {
        let idle = server.idle_connections.now;
        let _ = writeln!(
            out,
            "{}/{} {}/{} {} {} - {} {} {} {} 0 {idle} -1 {idle} {idle}",
            row.proxy,
            row.name,
            row.iid,
            row.sid,
            server.ip,
            server.port,
            PURGE_DELAY_MS,
            row.sessions.now,
            row.sessions.max,
            row.sessions.now,
        );
    }
    out
}

/// `pool-purge-delay`, HAProxy's default.
const PURGE_DELAY_MS: u32 = 5000;

/// Our own `show health`: the last checks and changes, oldest first, each with its cause.
///
/// # Errors
/// There is no such server.
pub(super) fn health(report: &Report, name: &ServerName) -> Result<String, String> {
    let (row, server) = find(report, name)?;
    let mut out = format!("# {}/{} is {}, {} s in this status\n", row.proxy, row.name, row.status, since_seconds(row));
    let _ = match &server.check {
        Some(check) => writeln!(out, "# rise {} fall {} health {}", check.rise, check.fall, check.health),
        None => writeln!(out, "# it has no check"),
    };
    out.push_str("# changes: time status cause\n");
    for change in &server.transitions {
        let _ = writeln!(out, "{} {} {}", iso(change.at), change.status.replace(' ', "_"), change.cause);
    }
    out.push_str("# checks: time code status ms cause\n");
    for check in &server.checks {
        let status = check.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let (at, ms) = (iso(check.at), check.duration.as_millis());
        let _ = writeln!(out, "{at} {} {status} {ms} {}", check.code, check.reason());
    }
    Ok(out)
}

fn since_seconds(row: &Row) -> u64 {
    row.since.unwrap_or_default().as_secs()
}
