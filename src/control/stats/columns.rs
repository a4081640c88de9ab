//! Which columns does `show stat` have, and what stands in each? One table row a column (management guide 9.1),
//! in the order of HAProxy 3.x, whose first 103 are those of 2.6. CSV, typed text and JSON are all printed from it.

use super::report::{CheckFacts, LastSession, Row, RowKind, ServerFacts};
use crate::model::Mode;

/// What stands in one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Empty,
    Text(&'a str),
    Owned(String),
    U32(u32),
    S32(i32),
    U64(u64),
}

/// One column: its name, its typed-output tags and its value in a row.
pub(crate) struct Column {
    pub name: &'static str,
    tags: &'static str,
    /// Where HAProxy tags a backend's value otherwise.
    backend_tags: Option<&'static str>,
    pub value: for<'a> fn(&'a Row) -> Cell<'a>,
}

impl Column {
    /// Origin, nature and scope (management guide 9.2): `MGP` is a metric, a gauge, of the process.
    pub fn tags(&self, kind: RowKind) -> &'static str {
        match (kind, self.backend_tags) {
            (RowKind::Backend, Some(tags)) => tags,
            _ => self.tags,
        }
    }
}

const fn column(name: &'static str, tags: &'static str, value: for<'a> fn(&'a Row) -> Cell<'a>) -> Column {
    Column { name, tags, backend_tags: None, value }
}

const fn column_for_backends(
    name: &'static str,
    tags: &'static str,
    backend_tags: &'static str,
    value: for<'a> fn(&'a Row) -> Cell<'a>,
) -> Column {
    Column { name, tags, backend_tags: Some(backend_tags), value }
}

/// Number of the column with this name.
pub(crate) fn index_of(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|column| column.name == name)
}

fn u32_of(value: Option<u32>) -> Cell<'static> {
    value.map_or(Cell::Empty, Cell::U32)
}

fn u64_of(value: Option<u64>) -> Cell<'static> {
    value.map_or(Cell::Empty, Cell::U64)
}

/// Milliseconds and seconds are `u32` in HAProxy's output.
fn clipped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn clipped_of(value: Option<u64>) -> Cell<'static> {
    u32_of(value.map(clipped))
}

fn server<'a>(row: &'a Row, value: impl FnOnce(&'a ServerFacts) -> Cell<'a>) -> Cell<'a> {
    row.server.as_ref().map_or(Cell::Empty, value)
}

fn check<'a>(row: &'a Row, value: impl FnOnce(&'a CheckFacts) -> Cell<'a>) -> Cell<'a> {
    row.active_check().map_or(Cell::Empty, value)
}

/// Counted and shown while checks are enabled, in maintenance too.
fn counted_check<'a>(row: &'a Row, value: impl FnOnce(&'a CheckFacts) -> Cell<'a>) -> Cell<'a> {
    let facts = row.server.as_ref().and_then(|server| server.check.as_ref());
    facts.filter(|facts| facts.enabled).map_or(Cell::Empty, value)
}

fn checks_count(row: &Row) -> bool {
    row.kind == RowKind::Backend || row.server.as_ref().is_some_and(|s| s.check.as_ref().is_some_and(|c| c.enabled))
}

fn response(row: &Row, class: usize) -> Cell<'static> {
    u64_of(row.responses.and_then(|responses| responses.get(class).copied()))
}

fn is_proxy(row: &Row) -> bool {
    matches!(row.kind, RowKind::Frontend | RowKind::Backend)
}

/// We neither compress nor cache; HAProxy counts 0 then.
fn zero_if(holds: bool) -> Cell<'static> {
    if holds { Cell::U64(0) } else { Cell::Empty }
}

fn empty(_: &Row) -> Cell<'_> {
    Cell::Empty
}

#[rustfmt::skip]
pub(crate) static COLUMNS: [Column; 119] = [
    column("pxname", "KNS", |r| Cell::Text(&r.proxy)),
    column("svname", "KNS", |r| Cell::Text(&r.name)),
    column("qcur", "MGP", |r| u32_of(r.queue.map(|q| q.now))),
    column("qmax", "MMP", |r| u32_of(r.queue.map(|q| q.max))),
    column("scur", "MGP", |r| Cell::U32(r.sessions.now)),
    column("smax", "MMP", |r| Cell::U32(r.sessions.max)),
    column("slim", "CLP", |r| u32_of(r.session_limit)),
    column("stot", "MCP", |r| Cell::U64(r.sessions_total)),
    column("bin", "MCP", |r| Cell::U64(r.bytes_in)),
    column("bout", "MCP", |r| Cell::U64(r.bytes_out)),
    column("dreq", "MCP", |r| u64_of(r.denied_requests)),
    column("dresp", "MCP", |r| u64_of(r.denied_responses)),
    column("ereq", "MCP", |r| u64_of(r.request_errors)),
    column("econ", "MCP", |r| u64_of(r.connection_errors)),
    column("eresp", "MCP", |r| u64_of(r.response_errors)),
    column("wretr", "MCP", |r| u64_of(r.retries)),
    column("wredis", "MCP", |r| u64_of(r.redispatches)),
    column("status", "SGP", |r| Cell::Text(&r.status)),
    column("weight", "MaP", |r| u32_of(r.balance.map(|b| b.weight))),
    column_for_backends("act", "SGP", "MGP", |r| u32_of(r.balance.map(|b| b.active))),
    column_for_backends("bck", "SGP", "MGP", |r| u32_of(r.balance.map(|b| b.backup))),
    column("chkfail", "MCP", |r| counted_check(r, |c| Cell::U64(c.failures))),
    column("chkdown", "MCP", |r| if checks_count(r) { u64_of(r.went_down) } else { Cell::Empty }),
    column("lastchg", "MAP", |r| clipped_of(r.since.map(|since| since.as_secs()))),
    column("downtime", "MCP", |r| if checks_count(r) { clipped_of(r.downtime.map(|down| down.as_secs())) } else { Cell::Empty }),
    column("qlimit", "CLS", |r| u32_of(r.queue_limit)),
    column("pid", "KGP", |_| Cell::U32(1)),
    column("iid", "KGS", |r| Cell::U32(r.iid)),
    column("sid", "KGS", |r| Cell::U32(r.sid)),
    column("throttle", "MaP", empty),
    column("lbtot", "MCP", |r| u64_of(r.balance.map(|b| b.picked))),
    column("tracked", "CNS", empty),
    column("type", "CGS", |r| Cell::U32(r.kind as u32)),
    column_for_backends("rate", "MRP", "MGP", |r| u32_of(r.rate.map(|rate| rate.now))),
    column("rate_lim", "CLP", |r| if r.kind == RowKind::Frontend { Cell::U32(r.session_rate_limit) } else { Cell::Empty }),
    column_for_backends("rate_max", "MMP", "MGP", |r| u32_of(r.rate.map(|rate| rate.max))),
    column("check_status", "MOP", |r| check(r, |c| if c.running {
        Cell::Owned(format!("* {}", c.code()))
    } else {
        Cell::Text(c.code())
    })),
    column("check_code", "MOP", |r| check(r, |c| u32_of(c.last.as_ref().and_then(|last| last.status).map(u32::from)))),
    column("check_duration", "MDP", |r| check(r, |c| {
        u64_of(c.last.as_ref().map(|last| u64::try_from(last.duration.as_millis()).unwrap_or(u64::MAX)))
    })),
    column("hrsp_1xx", "MCP", |r| response(r, 0)),
    column("hrsp_2xx", "MCP", |r| response(r, 1)),
    column("hrsp_3xx", "MCP", |r| response(r, 2)),
    column("hrsp_4xx", "MCP", |r| response(r, 3)),
    column("hrsp_5xx", "MCP", |r| response(r, 4)),
    column("hrsp_other", "MCP", |r| response(r, 5)),
    column("hanafail", "MCP", empty),
    column("req_rate", "MRP", |r| u32_of(r.request_rate.map(|rate| rate.now))),
    column("req_rate_max", "MMP", |r| u32_of(r.request_rate.map(|rate| rate.max))),
    column("req_tot", "MCP", |r| u64_of(r.requests)),
    column("cli_abrt", "MCP", |r| u64_of(r.client_aborts)),
    column("srv_abrt", "MCP", |r| u64_of(r.server_aborts)),
    column("comp_in", "MCP", |r| zero_if(is_proxy(r))),
    column("comp_out", "MCP", |r| zero_if(is_proxy(r))),
    column("comp_byp", "MCP", |r| zero_if(is_proxy(r))),
    column("comp_rsp", "MCP", |r| zero_if(is_proxy(r))),
    column("lastsess", "MAP", |r| r.last_session.map_or(Cell::Empty, |last| Cell::S32(match last {
        LastSession::Never => -1,
        LastSession::Ago(ago) => i32::try_from(ago.as_secs()).unwrap_or(i32::MAX),
    }))),
    column("last_chk", "MOP", |r| check(r, |c| c.last.as_ref().map_or(Cell::Empty, |last| Cell::Text(&last.info)))),
    column("last_agt", "MOP", empty),
    column("qtime", "MaP", |r| clipped_of(r.times.map(|t| t.queue))),
    column("ctime", "MaP", |r| clipped_of(r.times.map(|t| t.connect))),
    column("rtime", "MaP", |r| clipped_of(r.times.map(|t| t.response))),
    column("ttime", "MaP", |r| clipped_of(r.times.map(|t| t.total))),
    column("agent_status", "MOP", empty),
    column("agent_code", "MOP", empty),
    column("agent_duration", "MDP", empty),
    column("check_desc", "MOP", |r| check(r, |c| Cell::Text(c.last.as_ref().map_or("Initializing", |last| last.description)))),
    column("agent_desc", "MOP", empty),
    column("check_rise", "CGS", |r| check(r, |c| Cell::U32(c.rise))),
    column("check_fall", "CGS", |r| check(r, |c| Cell::U32(c.fall))),
    column("check_health", "CGS", |r| check(r, |c| Cell::U32(c.health))),
    column("agent_rise", "CGS", empty),
    column("agent_fall", "CGS", empty),
    column("agent_health", "CGS", empty),
    column("addr", "CGS", |r| r.address.as_deref().map_or(Cell::Empty, Cell::Text)),
    column("cookie", "CNS", empty),
    column("mode", "CGS", |r| Cell::Text(match r.mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
    })),
    column("algo", "CGS", |r| r.algorithm.map_or(Cell::Empty, Cell::Text)),
    column("conn_rate", "MRP", |r| u32_of(r.connection_rate.map(|rate| rate.now))),
    column("conn_rate_max", "MMP", |r| u32_of(r.connection_rate.map(|rate| rate.max))),
    column("conn_tot", "MCP", |r| u64_of(r.connections)),
    column("intercepted", "MCP", |r| u64_of(r.intercepted)),
    column("dcon", "MCP", |r| u64_of(r.denied_connections)),
    column("dses", "MCP", |r| u64_of(r.denied_sessions)),
    column("wrew", "MCP", |r| Cell::U64(r.failed_rewrites)),
    column("connect", "MCP", |r| u64_of(r.connects)),
    column("reuse", "MCP", |r| u64_of(r.reuses)),
    column("cache_lookups", "MCP", |r| zero_if(is_proxy(r) && r.mode == Mode::Http)),
    column("cache_hits", "MCP", |r| zero_if(is_proxy(r) && r.mode == Mode::Http)),
    column("srv_icur", "MGP", |r| server(r, |s| Cell::U32(s.idle_connections.now))),
    column("src_ilim", "CLP", |r| u32_of(r.idle_limit)),
    column("qtime_max", "MMP", |r| clipped_of(r.times.map(|t| t.max_queue))),
    column("ctime_max", "MMP", |r| clipped_of(r.times.map(|t| t.max_connect))),
    column("rtime_max", "MMP", |r| clipped_of(r.times.map(|t| t.max_response))),
    column("ttime_max", "MMP", |r| clipped_of(r.times.map(|t| t.max_total))),
    column("eint", "MCP", |r| Cell::U64(r.internal_errors)),
    column("idle_conn_cur", "MGP", |r| server(r, |_| Cell::U32(0))),
    column("safe_conn_cur", "MGP", |r| server(r, |s| Cell::U32(s.idle_connections.now))),
    column("used_conn_cur", "MGP", |r| server(r, |_| Cell::U32(r.sessions.now))),
    column("need_conn_est", "MGP", |r| server(r, |_| Cell::U32(r.sessions.now))),
    column("uweight", "MaP", |r| u32_of(r.balance.map(|b| b.user_weight))),
    column("agg_server_status", "MGP", |r| if r.kind == RowKind::Backend { Cell::U32(0) } else { Cell::Empty }),
    column("agg_server_check_status", "MGP", |r| if r.kind == RowKind::Backend { Cell::U32(0) } else { Cell::Empty }),
    column("agg_check_status", "MGP", |r| if r.kind == RowKind::Backend { Cell::U32(0) } else { Cell::Empty }),
    column("srid", "KGS", |r| server(r, |_| Cell::U32(0))),
    column("sess_other", "MCP", |r| u64_of(r.protocols.map(|p| p.other_sessions))),
    column("h1sess", "MCP", |r| u64_of(r.protocols.map(|p| p.h1_sessions))),
    column("h2sess", "MCP", |r| u64_of(r.protocols.map(|p| p.h2_sessions))),
    column("h3sess", "MCP", |r| u64_of(r.protocols.map(|_| 0))),
    column("req_other", "MCP", |r| u64_of(r.protocols.map(|_| 0))),
    column("h1req", "MCP", |r| u64_of(r.protocols.map(|p| p.h1_requests))),
    column("h2req", "MCP", |r| u64_of(r.protocols.map(|p| p.h2_requests))),
    column("h3req", "MCP", |r| u64_of(r.protocols.map(|_| 0))),
    column("proto", "CGS", empty),
    column("priv_idle_cur", "MGP", |r| server(r, |_| Cell::U32(0))),
    column("reqbin", "MCP", empty),
    column("reqbout", "MCP", empty),
    column("resbin", "MCP", empty),
    column("resbout", "MCP", empty),
    column("cache_hint_hits", "MCP", |r| zero_if(is_proxy(r) && r.mode == Mode::Http)),
];

/// Behind a column `-` HAProxy prints what its modules count, in no promised order; these are the ones we count too.
pub(crate) static EXTRA_COLUMNS: [Column; 3] = [
    column("ssl_sess", "MCP", |r| u64_of(r.tls.map(|t| t.handshakes))),
    column("ssl_reused_sess", "MCP", |r| u64_of(r.tls.map(|t| t.resumed))),
    column("ssl_failed_handshake", "MCP", |r| u64_of(r.tls.map(|t| t.failures))),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_where_tools_that_read_by_number_expect_them() {
        let check = |name: &str, expected: usize| assert_eq!(index_of(name), Some(expected), "{name}");
        // haproxy_exporter reads these by number; HAProxy's typed output prints the numbers.
        for (name, number) in [
            ("pxname", 0),
            ("svname", 1),
            ("status", 17),
            ("pid", 26),
            ("type", 32),
            ("check_duration", 38),
            ("req_rate", 46),
            ("lastsess", 55),
            ("qtime", 58),
            ("ttime", 61),
            ("check_desc", 65),
            ("addr", 73),
            ("mode", 75),
            ("conn_rate", 77),
            ("intercepted", 80),
            ("srv_icur", 88),
            ("eint", 94),
            ("uweight", 99),
            ("agg_check_status", 102),
            ("cache_hint_hits", 118),
        ] {
            check(name, number);
        }
    }
}
