//! What does `show info` tell of the process? One table of fields, in HAProxy's order (management guide 9.3), printed
//! as `Name: value`, typed or JSON. No value holds a colon: Datadog splits each line there and expects two parts.

use std::time::Duration;

use super::columns::Cell;
use super::report::ProcessReport;

/// One field: name, typed-output tags, value.
pub(crate) struct InfoField {
    pub name: &'static str,
    pub tags: &'static str,
    pub value: for<'a> fn(&'a ProcessReport) -> Cell<'a>,
}

const fn field(name: &'static str, tags: &'static str, value: for<'a> fn(&'a ProcessReport) -> Cell<'a>) -> InfoField {
    InfoField { name, tags, value }
}

/// `0d 0h00m04s`
pub(crate) fn uptime_text(uptime: Duration) -> String {
    let seconds = uptime.as_secs();
    format!("{}d {}h{:02}m{:02}s", seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

fn clipped(value: u64) -> Cell<'static> {
    Cell::U32(u32::try_from(value).unwrap_or(u32::MAX))
}

fn megabytes(bytes: u64) -> Cell<'static> {
    clipped(bytes >> 20)
}

/// What we do not have, such as compression; HAProxy prints 0 then.
fn none(_: &ProcessReport) -> Cell<'_> {
    Cell::U32(0)
}

fn reuse_percent(process: &ProcessReport) -> Cell<'_> {
    clipped((process.tls_resumed * 100).checked_div(process.tls_handshakes).unwrap_or(0))
}

/// A connection has one in each direction at most, and each is two descriptors.
fn most_pipes(process: &ProcessReport) -> u64 {
    (u64::from(process.maxconn) * 2).min(process.open_files_limit / 2)
}

#[rustfmt::skip]
pub(crate) static FIELDS: [InfoField; 82] = [
    field("Name", "POS", |_| Cell::Text("Lockgate")),
    field("Version", "POS", |p| Cell::Owned(super::tool_version(p.version))),
    field("Release_date", "POS", |_| Cell::Text(super::RELEASE_DATE)),
    field("Nbthread", "CGS", |p| clipped(p.workers as u64)),
    field("Nbproc", "CGS", |_| Cell::U32(1)),
    field("Process_num", "KGP", |_| Cell::U32(1)),
    field("Pid", "SGP", |p| Cell::U32(p.pid)),
    field("Uptime", "MDP", |p| Cell::Owned(uptime_text(p.uptime))),
    field("Uptime_sec", "MDP", |p| clipped(p.uptime.as_secs())),
    field("Memmax_MB", "CLP", none),
    field("PoolAlloc_MB", "MGP", |p| megabytes(p.resident_bytes)),
    field("PoolUsed_MB", "MGP", |p| megabytes(p.resident_bytes)),
    field("PoolFailed", "MCP", none),
    field("Ulimit-n", "CLP", |p| clipped(p.open_files_limit)),
    field("Maxsock", "CLP", |p| clipped(p.open_files_limit)),
    field("Maxconn", "CLP", |p| Cell::U32(p.maxconn)),
    field("Hard_maxconn", "CLP", |p| Cell::U32(p.maxconn)),
    field("CurrConns", "MGP", |p| Cell::U32(p.connections.now)),
    field("CumConns", "MCP", |p| clipped(p.total_connections)),
    field("CumReq", "MCP", |p| clipped(p.total_requests)),
    field("MaxSslConns", "MMP", none),
    field("CurrSslConns", "MGP", |p| Cell::U32(p.tls_connections.now)),
    field("CumSslConns", "MCP", |p| clipped(p.total_tls_connections)),
    field("Maxpipes", "CLP", |p| clipped(most_pipes(p))),
    field("PipesUsed", "MGP", |p| clipped(p.pipes_lent)),
    field("PipesFree", "MGP", |p| clipped(p.pipes_kept)),
    field("ConnRate", "MRP", |p| Cell::U32(p.connection_rate.now)),
    field("ConnRateLimit", "CLP", none),
    field("MaxConnRate", "MMP", |p| Cell::U32(p.connection_rate.max)),
    field("SessRate", "MRP", |p| Cell::U32(p.session_rate.now)),
    field("SessRateLimit", "CLP", none),
    field("MaxSessRate", "MRP", |p| Cell::U32(p.session_rate.max)),
    field("SslRate", "MRP", |p| Cell::U32(p.tls_rate.now)),
    field("SslRateLimit", "CLP", none),
    field("MaxSslRate", "MMP", |p| Cell::U32(p.tls_rate.max)),
    field("SslFrontendKeyRate", "MGP", |p| Cell::U32(p.tls_rate.now)),
    field("SslFrontendMaxKeyRate", "MMP", |p| Cell::U32(p.tls_rate.max)),
    field("SslFrontendSessionReuse_pct", "MGP", reuse_percent),
    field("SslBackendKeyRate", "MRP", none),
    field("SslBackendMaxKeyRate", "MMP", none),
    field("SslCacheLookups", "MCP", none),
    field("SslCacheMisses", "MCP", none),
    field("CompressBpsIn", "MRP", none),
    field("CompressBpsOut", "MRP", none),
    field("CompressBpsRateLim", "CLP", none),
    field("ZlibMemUsage", "MGP", none),
    field("MaxZlibMemUsage", "CLP", none),
    field("Tasks", "MGP", |p| Cell::U32(p.connections.now)),
    field("Run_queue", "MGP", none),
    field("Idle_pct", "MaP", |p| Cell::U32(p.idle_percent)),
    field("node", "COS", |p| Cell::Text(&p.node)),
    field("description", "COS", |p| p.description.as_deref().map_or(Cell::Empty, Cell::Text)),
    field("Stopping", "MGP", |p| Cell::U32(u32::from(p.stopping))),
    field("Jobs", "MGP", |p| Cell::U32(p.listeners + p.connections.now)),
    field("Unstoppable Jobs", "MGP", none),
    field("Listeners", "MGP", |p| Cell::U32(p.listeners)),
    field("ActivePeers", "MGP", none),
    field("ConnectedPeers", "MGP", none),
    field("DroppedLogs", "MGP", |p| clipped(p.dropped_logs)),
    field("BusyPolling", "MGP", none),
    field("FailedResolutions", "MGP", none),
    field("TotalBytesOut", "MGP", |p| Cell::U64(p.total_bytes_out)),
    field("TotalSplicedBytesOut", "MGP", |p| Cell::U64(p.spliced_bytes)),
    field("BytesOutRate", "MRP", |p| Cell::U64(u64::from(p.bytes_out_rate))),
    field("DebugCommandsIssued", "MGP", none),
    field("CumRecvLogs", "MCP", none),
    field("Build info", "POS", |p| Cell::Owned(super::tool_version(p.version))),
    field("Memmax_bytes", "CLP", none),
    field("PoolAlloc_bytes", "MGP", |p| Cell::U64(p.resident_bytes)),
    field("PoolUsed_bytes", "MGP", |p| Cell::U64(p.resident_bytes)),
    field("Start_time_sec", "MDP", |p| clipped(super::epoch_seconds(p.started_at))),
    field("Tainted", "SGP", |_| Cell::Text("0")),
    field("TotalWarnings", "MCP", none),
    field("MaxconnReached", "MCP", none),
    field("BootTime_ms", "MDP", none),
    field("Niced_tasks", "MGP", none),
    field("CurrStreams", "MGP", |p| Cell::U32(p.connections.now)),
    field("CumStreams", "MCP", |p| Cell::U64(p.total_requests)),
    field("BlockedTrafficWarnings", "MCP", none),
    field("PatternsAdded", "MCP", none),
    field("PatternsFreed", "MCP", none),
    field("NbThreadGroups", "KGP", |_| Cell::U32(1)),
];

/// What HAProxy has no field for; behind its own, so that no number moves.
#[rustfmt::skip]
pub(crate) static OWN_FIELDS: [InfoField; 5] = [
    field("Generation", "SGP", |p| Cell::U64(p.generation)),
    field("LastReloadSuccessful", "SGP", |p| {
        Cell::U32(u32::from(p.last_reload.as_ref().is_none_or(|reload| reload.succeeded)))
    }),
    field("DroppedEvents", "MCP", |p| Cell::U64(p.dropped_events)),
    field("Panics", "MCP", |p| Cell::U64(p.panics)),
    field("CertificateDaysLeft", "MGP", |p| {
        let next = p.certificates.iter().map(|certificate| certificate.not_after).min();
        next.map_or(Cell::Empty, |at| clipped(at.duration_since(p.now).unwrap_or_default().as_secs() / 86_400))
    }),
];

/// Fields with a value, each with its number.
pub(crate) fn present(process: &ProcessReport) -> impl Iterator<Item = (usize, &'static InfoField, Cell<'_>)> {
    FIELDS
        .iter()
        .chain(&OWN_FIELDS)
        .enumerate()
        .map(|(number, field)| (number, field, (field.value)(process)))
        .filter(|(.., cell)| *cell != Cell::Empty)
}

/// `Name: value` lines. A colon or line end in a value (a description may hold one) becomes a space.
pub(crate) fn render(process: &ProcessReport) -> String {
    let mut out = String::with_capacity(2048);
    for (_, field, cell) in present(process) {
        out.push_str(field.name);
        out.push_str(": ");
        out.extend(super::json::plain(&cell).chars().map(|c| if matches!(c, ':' | '\n' | '\r') { ' ' } else { c }));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::sample;

    #[test]
    fn each_line_has_one_colon_and_a_value() {
        let mut report = sample::report();
        report.process.description = Some("rack 4: left".into());
        let text = render(&report.process);
        for line in text.lines() {
            let parts: Vec<&str> = line.split(':').collect();
            assert!(parts.len() == 2 && parts[1].len() > 1, "{line}");
        }
        assert!(text.starts_with("Name: Lockgate\nVersion: "));
        assert!(text.contains("\nUptime: 1d 2h03m04s\nUptime_sec: 93784\n"));
        assert!(text.contains("\nMaxconn: 2000\n"));
    }
}
