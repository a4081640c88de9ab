//! Which metrics are there, what are they called and where does each value come from? Tables only; names and labels
//! are those of HAProxy's own exporter, so that its dashboards and alerts work unchanged.

use super::info;
use super::report::{ProcessReport, RowKind};
use prometheus::proto::MetricType::{self, COUNTER, GAUGE};

/// A metric of frontends, listeners, backends or servers that is one column of `show stat`.
pub(crate) struct ColumnFamily {
    pub suffix: &'static str,
    pub column: &'static str,
    pub kind: MetricType,
    pub scale: Scale,
    /// Letters of the rows that have it: `FLBS`.
    rows: &'static str,
    /// What a row says whose cell is empty.
    pub missing: Missing,
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    AsIs,
    /// The column is in milliseconds, the metric in seconds.
    Milliseconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No sample: the row has no such thing (a TCP proxy has no HTTP responses).
    Skip,
    /// There is no limit: NaN, as HAProxy says it.
    NotANumber,
    Zero,
}

impl ColumnFamily {
    pub fn applies_to(&self, kind: RowKind) -> bool {
        self.rows.contains(letter(kind))
    }
}

fn letter(kind: RowKind) -> char {
    match kind {
        RowKind::Frontend => 'F',
        RowKind::Listener => 'L',
        RowKind::Backend => 'B',
        RowKind::Server => 'S',
    }
}

/// The first word of a metric's name behind `haproxy_`.
pub(crate) fn prefix(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Frontend => "frontend",
        RowKind::Listener => "listener",
        RowKind::Backend => "backend",
        RowKind::Server => "server",
    }
}

const fn family(
    suffix: &'static str,
    column: &'static str,
    kind: MetricType,
    rows: &'static str,
    help: &'static str,
) -> ColumnFamily {
    ColumnFamily { suffix, column, kind, scale: Scale::AsIs, rows, missing: Missing::Skip, help }
}

const fn seconds(suffix: &'static str, column: &'static str, rows: &'static str, help: &'static str) -> ColumnFamily {
    ColumnFamily { scale: Scale::Milliseconds, ..family(suffix, column, GAUGE, rows, help) }
}

const fn limit(suffix: &'static str, column: &'static str, rows: &'static str, help: &'static str) -> ColumnFamily {
    ColumnFamily { missing: Missing::NotANumber, ..family(suffix, column, GAUGE, rows, help) }
}

const fn or_zero(family: ColumnFamily) -> ColumnFamily {
    ColumnFamily { missing: Missing::Zero, ..family }
}

#[rustfmt::skip]
pub(crate) static COLUMN_FAMILIES: [ColumnFamily; 66] = [
    family("current_queue", "qcur", GAUGE, "BS", "Requests waiting in the queue."),
    family("max_queue", "qmax", GAUGE, "BS", "The most requests that ever waited in the queue."),
    family("current_sessions", "scur", GAUGE, "FLBS", "Sessions now."),
    family("max_sessions", "smax", GAUGE, "FLBS", "The most sessions at once."),
    limit("limit_sessions", "slim", "FLBS", "Most sessions allowed at once (maxconn, or a backend's fullconn)."),
    family("sessions_total", "stot", COUNTER, "FLBS", "Sessions since the start."),
    limit("limit_session_rate", "rate_lim", "F", "Most new sessions allowed per second."),
    family("current_session_rate", "rate", GAUGE, "FBS", "Sessions during the last second."),
    family("max_session_rate", "rate_max", GAUGE, "FBS", "The most sessions in any second."),
    family("connections_rate_max", "conn_rate_max", GAUGE, "F", "The most connections in any second."),
    family("connections_total", "conn_tot", COUNTER, "F", "Connections accepted."),
    family("bytes_in_total", "bin", COUNTER, "FLBS", "Bytes of requests."),
    family("bytes_out_total", "bout", COUNTER, "FLBS", "Bytes of responses."),
    seconds("queue_time_average_seconds", "qtime", "BS", "Average time in the queue, over the last 1024."),
    seconds("connect_time_average_seconds", "ctime", "BS", "Average time to connect, over the last 1024."),
    seconds("response_time_average_seconds", "rtime", "BS", "Average time to the response, over the last 1024."),
    seconds("total_time_average_seconds", "ttime", "BS", "Average whole time, over the last 1024."),
    seconds("max_queue_time_seconds", "qtime_max", "BS", "The longest time in the queue."),
    seconds("max_connect_time_seconds", "ctime_max", "BS", "The longest time to connect."),
    seconds("max_response_time_seconds", "rtime_max", "BS", "The longest time to the response."),
    seconds("max_total_time_seconds", "ttime_max", "BS", "The longest whole time."),
    family("requests_denied_total", "dreq", COUNTER, "FLB", "Requests denied by a rule."),
    family("responses_denied_total", "dresp", COUNTER, "FLBS", "Responses denied by a rule."),
    family("request_errors_total", "ereq", COUNTER, "FL", "Requests that were broken or given up while coming in."),
    family("connection_errors_total", "econ", COUNTER, "BS", "Failed attempts to connect to a server."),
    family("response_errors_total", "eresp", COUNTER, "BS", "Responses that were broken or given up."),
    family("retry_warnings_total", "wretr", COUNTER, "BS", "Connection attempts that were repeated."),
    family("redispatch_warnings_total", "wredis", COUNTER, "BS", "Requests given to another server instead."),
    family("denied_connections_total", "dcon", COUNTER, "FL", "Connections denied by a rule."),
    family("denied_sessions_total", "dses", COUNTER, "FL", "Sessions denied by a rule."),
    family("failed_header_rewriting_total", "wrew", COUNTER, "FLBS", "Header rewrites that failed."),
    family("internal_errors_total", "eint", COUNTER, "FLBS", "Internal errors."),
    family("intercepted_requests_total", "intercepted", COUNTER, "F", "Requests answered by the proxy itself."),
    family("weight", "weight", GAUGE, "BS", "Weight in force; of a backend, that of its usable servers."),
    family("uweight", "uweight", GAUGE, "BS", "Weight as an operator set it; of a backend, that of its usable servers."),
    family("active_servers", "act", GAUGE, "B", "Usable servers that are not backups."),
    family("backup_servers", "bck", GAUGE, "B", "Usable backups."),
    family("check_failures_total", "chkfail", COUNTER, "S", "Checks that failed while the server was up."),
    family("check_up_down_total", "chkdown", COUNTER, "BS", "Changes from up to down."),
    family("check_last_change_seconds", "lastchg", GAUGE, "BS", "Seconds since the status last changed."),
    family("downtime_seconds_total", "downtime", COUNTER, "BS", "Seconds spent down."),
    limit("queue_limit", "qlimit", "S", "Most requests allowed to wait."),
    limit("current_throttle", "throttle", "S", "Percent of its weight a starting server gets."),
    family("loadbalanced_total", "lbtot", COUNTER, "BS", "Times picked by load balancing."),
    or_zero(family("check_code", "check_code", GAUGE, "S", "Status code of the last check, where it has one.")),
    seconds("check_duration_seconds", "check_duration", "S", "How long the last check took."),
    family("http_requests_rate_max", "req_rate_max", GAUGE, "F", "The most HTTP requests in any second."),
    family("http_requests_total", "req_tot", COUNTER, "FB", "HTTP requests."),
    family("client_aborts_total", "cli_abrt", COUNTER, "BS", "Transfers the client gave up."),
    family("server_aborts_total", "srv_abrt", COUNTER, "BS", "Transfers the server gave up."),
    family("http_comp_bytes_in_total", "comp_in", COUNTER, "FB", "Bytes before compression; there is none."),
    family("http_comp_bytes_out_total", "comp_out", COUNTER, "FB", "Bytes after compression; there is none."),
    family("http_comp_bytes_bypassed_total", "comp_byp", COUNTER, "FB", "Bytes that passed compression by."),
    family("http_comp_responses_total", "comp_rsp", COUNTER, "FB", "Compressed responses; there are none."),
    family("http_cache_lookups_total", "cache_lookups", COUNTER, "FB", "Cache lookups; there is no cache."),
    family("http_cache_hits_total", "cache_hits", COUNTER, "FB", "Cache hits; there is no cache."),
    family("last_session_seconds", "lastsess", GAUGE, "BS", "Seconds since the last session; -1 before the first."),
    family("connection_attempts_total", "connect", COUNTER, "BS", "Connections made to servers."),
    family("connection_reuses_total", "reuse", COUNTER, "BS", "Requests that found an open connection."),
    family("idle_connections_current", "srv_icur", GAUGE, "S", "Idle connections kept for reuse."),
    limit("idle_connections_limit", "src_ilim", "S", "Most idle connections allowed."),
    family("unsafe_idle_connections_current", "idle_conn_cur", GAUGE, "S", "Idle connections not safe to reuse."),
    family("safe_idle_connections_current", "safe_conn_cur", GAUGE, "S", "Idle connections safe to reuse."),
    family("used_connections_current", "used_conn_cur", GAUGE, "S", "Connections in use."),
    family("need_connections_current", "need_conn_est", GAUGE, "S", "Connections thought to be needed."),
    family("private_idle_connections_current", "priv_idle_cur", GAUGE, "S", "Idle connections of one session."),
];

/// A metric of the process: name behind `haproxy_process_`, its field of `show info`, type and help.
pub(crate) struct ProcessFamily {
    pub suffix: &'static str,
    pub field: &'static str,
    pub kind: MetricType,
    pub help: &'static str,
}

const fn process(suffix: &'static str, field: &'static str, kind: MetricType, help: &'static str) -> ProcessFamily {
    ProcessFamily { suffix, field, kind, help }
}

#[rustfmt::skip]
pub(crate) static PROCESS_FAMILIES: [ProcessFamily; 59] = [
    process("nbthread", "Nbthread", GAUGE, "Workers."),
    process("nbproc", "Nbproc", GAUGE, "Processes, always 1."),
    process("relative_process_id", "Process_num", GAUGE, "Number of this process, always 1."),
    process("uptime_seconds", "Uptime_sec", GAUGE, "Seconds since the start."),
    process("pool_failures_total", "PoolFailed", COUNTER, "Failed allocations."),
    process("max_fds", "Ulimit-n", GAUGE, "Most open files allowed."),
    process("max_sockets", "Maxsock", GAUGE, "Most sockets allowed."),
    process("max_connections", "Maxconn", GAUGE, "Most client connections allowed at once."),
    process("hard_max_connections", "Hard_maxconn", GAUGE, "Most client connections allowed at once."),
    process("current_connections", "CurrConns", GAUGE, "Client connections now."),
    process("connections_total", "CumConns", COUNTER, "Client connections since the start."),
    process("requests_total", "CumReq", COUNTER, "Requests since the start."),
    process("max_ssl_connections", "MaxSslConns", GAUGE, "Most TLS connections allowed; 0 has no limit."),
    process("current_ssl_connections", "CurrSslConns", GAUGE, "TLS connections now."),
    process("ssl_connections_total", "CumSslConns", COUNTER, "TLS connections since the start."),
    process("max_pipes", "Maxpipes", GAUGE, "Most pipes for splicing."),
    process("pipes_used_total", "PipesUsed", COUNTER, "Pipes in use."),
    process("pipes_free_total", "PipesFree", COUNTER, "Pipes kept for later."),
    process("current_connection_rate", "ConnRate", GAUGE, "Connections during the last second."),
    process("limit_connection_rate", "ConnRateLimit", GAUGE, "Most connections allowed per second."),
    process("max_connection_rate", "MaxConnRate", GAUGE, "The most connections in any second."),
    process("current_session_rate", "SessRate", GAUGE, "Sessions during the last second."),
    process("limit_session_rate", "SessRateLimit", GAUGE, "Most sessions allowed per second."),
    process("max_session_rate", "MaxSessRate", GAUGE, "The most sessions in any second."),
    process("current_ssl_rate", "SslRate", GAUGE, "TLS handshakes during the last second."),
    process("limit_ssl_rate", "SslRateLimit", GAUGE, "Most TLS handshakes allowed per second."),
    process("max_ssl_rate", "MaxSslRate", GAUGE, "The most TLS handshakes in any second."),
    process("current_frontend_ssl_key_rate", "SslFrontendKeyRate", GAUGE, "TLS handshakes with clients during the last second."),
    process("max_frontend_ssl_key_rate", "SslFrontendMaxKeyRate", GAUGE, "The most TLS handshakes with clients in any second."),
    process("frontend_ssl_reuse", "SslFrontendSessionReuse_pct", GAUGE, "Percent of client handshakes that resumed a session."),
    process("current_backend_ssl_key_rate", "SslBackendKeyRate", GAUGE, "TLS handshakes with servers during the last second."),
    process("max_backend_ssl_key_rate", "SslBackendMaxKeyRate", GAUGE, "The most TLS handshakes with servers in any second."),
    process("ssl_cache_lookups_total", "SslCacheLookups", COUNTER, "Lookups of TLS sessions."),
    process("ssl_cache_misses_total", "SslCacheMisses", COUNTER, "Lookups of TLS sessions that found none."),
    process("http_comp_bytes_in_total", "CompressBpsIn", COUNTER, "Bytes per second before compression."),
    process("http_comp_bytes_out_total", "CompressBpsOut", COUNTER, "Bytes per second after compression."),
    process("limit_http_comp", "CompressBpsRateLim", GAUGE, "Most bytes compressed per second."),
    process("current_zlib_memory", "ZlibMemUsage", GAUGE, "Memory of compression."),
    process("max_zlib_memory", "MaxZlibMemUsage", GAUGE, "Most memory allowed to compression."),
    process("current_tasks", "Tasks", GAUGE, "Tasks."),
    process("current_run_queue", "Run_queue", GAUGE, "Tasks waiting to run."),
    process("idle_time_percent", "Idle_pct", GAUGE, "Percent of time not spent working."),
    process("stopping", "Stopping", GAUGE, "1 while the process ends."),
    process("jobs", "Jobs", GAUGE, "Listeners and connections."),
    process("unstoppable_jobs", "Unstoppable Jobs", GAUGE, "Of these, those that do not end on a soft stop."),
    process("listeners", "Listeners", GAUGE, "Listeners."),
    process("active_peers", "ActivePeers", GAUGE, "Peers."),
    process("connected_peers", "ConnectedPeers", GAUGE, "Connected peers."),
    process("dropped_logs_total", "DroppedLogs", COUNTER, "Log lines that could not be handed over."),
    process("busy_polling_enabled", "BusyPolling", GAUGE, "1 when workers never sleep."),
    process("failed_resolutions", "FailedResolutions", COUNTER, "Failed name resolutions."),
    process("bytes_out_total", "TotalBytesOut", COUNTER, "Bytes sent."),
    process("spliced_bytes_out_total", "TotalSplicedBytesOut", COUNTER, "Bytes sent by splicing."),
    process("bytes_out_rate", "BytesOutRate", GAUGE, "Bytes sent during the last second."),
    process("recv_logs_total", "CumRecvLogs", COUNTER, "Log lines received."),
    process("max_memory_bytes", "Memmax_bytes", GAUGE, "Most memory allowed; 0 has no limit."),
    process("pool_allocated_bytes", "PoolAlloc_bytes", GAUGE, "Memory held."),
    process("pool_used_bytes", "PoolUsed_bytes", GAUGE, "Memory held."),
    process("start_time_seconds", "Start_time_sec", GAUGE, "When the process started, in seconds since 1970."),
];

/// A field of `show info` as a number.
pub(crate) fn process_value(report: &ProcessReport, field: &str) -> Option<f64> {
    let field = info::FIELDS.iter().find(|known| known.name == field)?;
    number(&(field.value)(report))
}

/// A cell as a number; text and empty cells have none.
pub(crate) fn number(cell: &super::columns::Cell<'_>) -> Option<f64> {
    use super::columns::Cell;
    match cell {
        Cell::U32(value) => Some(f64::from(*value)),
        Cell::S32(value) => Some(f64::from(*value)),
        Cell::U64(value) => Some(*value as f64),
        Cell::Empty | Cell::Text(_) | Cell::Owned(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::{columns, sample};

    #[test]
    fn every_family_has_a_source() {
        for family in &COLUMN_FAMILIES {
            assert!(columns::index_of(family.column).is_some(), "{} reads {}", family.suffix, family.column);
        }
        let report = sample::report();
        for family in &PROCESS_FAMILIES {
            assert!(process_value(&report.process, family.field).is_some(), "{} reads {}", family.suffix, family.field);
        }
    }
}
