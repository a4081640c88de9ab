//! What does the proxy know of itself right now? Plain data gathered once, from which every rendering is made: the
//! page, CSV, JSON, the runtime socket's answers and the metrics.
//!
//! A field is `None` where HAProxy leaves the column empty for that kind of row (compared with haproxy 2.6,
//! management guide 9.1).

use std::time::{Duration, SystemTime};

use crate::model::{Mode, Name};

#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub process: ProcessReport,
    /// In the order of the configuration; the parts of a `listen` stand together.
    pub proxies: Vec<ProxyReport>,
}

/// The process as a whole (`show info`).
#[derive(Debug, Clone)]
pub(crate) struct ProcessReport {
    pub version: &'static str,
    pub pid: u32,
    pub now: SystemTime,
    pub started_at: SystemTime,
    pub uptime: Duration,
    pub workers: usize,
    pub node: String,
    pub description: Option<String>,
    pub stopping: bool,
    /// Number of the configuration in force; 1 is the first.
    pub generation: u64,
    /// `None` until the first reload was tried.
    pub last_reload: Option<ReloadFacts>,
    pub maxconn: u32,
    /// The process's limit of open files.
    pub open_files_limit: u64,
    /// Memory the process holds, in bytes; 0 where the system does not say.
    pub resident_bytes: u64,
    pub connections: Level,
    pub total_connections: u64,
    pub total_requests: u64,
    pub total_bytes_out: u64,
    pub spliced_bytes: u64,
    pub pipes_lent: u64,
    pub pipes_kept: u64,
    pub tls_connections: Level,
    pub total_tls_connections: u64,
    pub tls_handshakes: u64,
    pub tls_resumed: u64,
    pub connection_rate: Rate,
    pub session_rate: Rate,
    pub request_rate: Rate,
    pub tls_rate: Rate,
    /// Of the process's processors since the report before, 0 to 100.
    pub idle_percent: u32,
    /// Bytes per second to clients.
    pub bytes_out_rate: u32,
    /// Requests in each of the last seconds, oldest first.
    pub request_trend: Vec<u32>,
    pub listeners: u32,
    /// Log lines that could not be handed over.
    pub dropped_logs: u64,
    /// Events that workers could not hand to control.
    pub dropped_events: u64,
    /// Tasks that panicked, each on its own.
    pub panics: u64,
    /// Certificates replaced since the start because they were renewed on disk.
    pub certificate_renewals: u64,
    /// Of every listener, and shown to servers, each file once.
    pub certificates: Vec<CertificateFacts>,
}

/// The last attempt to read the configuration again.
#[derive(Debug, Clone)]
pub(crate) struct ReloadFacts {
    pub at: SystemTime,
    pub succeeded: bool,
    pub message: String,
}

#[derive(Debug, Clone)]
pub(crate) struct CertificateFacts {
    pub path: String,
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// One section of the configuration with its rows: frontend, listeners, servers, backend, as far as it has them.
#[derive(Debug, Clone)]
pub(crate) struct ProxyReport {
    pub name: Name,
    pub mode: Mode,
    pub section: Section,
    pub description: Option<String>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Frontend,
    Backend,
    Listen,
}

/// What a row is about; the numbers are the `type` column's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RowKind {
    Frontend = 0,
    Backend = 1,
    Server = 2,
    Listener = 3,
}

/// How many there are now and how many there ever were at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Level {
    pub now: u32,
    pub max: u32,
}

/// Per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    pub now: u32,
    pub max: u32,
}

/// What a status means, whatever its words: it chooses colour and sign on the page and the gauges of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tone {
    /// A frontend or listener that takes connections.
    Open,
    /// At its limit.
    Full,
    /// A frontend that was stopped or disabled.
    Stopped,
    Up,
    /// Up, but failing checks.
    GoingDown,
    Down,
    /// Down, but passing checks.
    GoingUp,
    /// Up, taking no new traffic by its own word.
    NoLb,
    Drain,
    Maint,
    NoCheck,
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub kind: RowKind,
    pub proxy: Name,
    /// `FRONTEND`, `BACKEND`, or the listener's or server's own name.
    pub name: Name,
    /// Number of the proxy, from 2 as HAProxy counts (1 is its own socket).
    pub iid: u32,
    /// Number of the server or listener in its proxy, from 1; 0 for the proxy itself.
    pub sid: u32,
    pub mode: Mode,
    /// HAProxy's words: `OPEN`, `UP 1/2`, `no check`.
    pub status: String,
    pub tone: Tone,
    /// In this status (`lastchg`).
    pub since: Option<Duration>,
    pub downtime: Option<Duration>,
    /// Times it went down (`chkdown`).
    pub went_down: Option<u64>,
    pub queue: Option<Level>,
    pub sessions: Level,
    pub session_limit: Option<u32>,
    /// `rate-limit sessions`; 0 is none.
    pub session_rate_limit: u32,
    /// `maxqueue` and `pool-max-conn` of a server.
    pub queue_limit: Option<u32>,
    pub idle_limit: Option<u32>,
    pub sessions_total: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub denied_requests: Option<u64>,
    pub denied_responses: Option<u64>,
    pub denied_connections: Option<u64>,
    pub denied_sessions: Option<u64>,
    pub request_errors: Option<u64>,
    pub connection_errors: Option<u64>,
    pub response_errors: Option<u64>,
    pub retries: Option<u64>,
    pub redispatches: Option<u64>,
    pub balance: Option<BalanceFacts>,
    /// Sessions per second.
    pub rate: Option<Rate>,
    pub request_rate: Option<Rate>,
    pub connection_rate: Option<Rate>,
    pub requests: Option<u64>,
    pub connections: Option<u64>,
    /// 1xx to 5xx and others; HTTP mode only.
    pub responses: Option<[u64; 6]>,
    pub intercepted: Option<u64>,
    pub client_aborts: Option<u64>,
    pub server_aborts: Option<u64>,
    pub failed_rewrites: u64,
    pub internal_errors: u64,
    /// Connections made to servers, and requests that found one open.
    pub connects: Option<u64>,
    pub reuses: Option<u64>,
    pub last_session: Option<LastSession>,
    pub times: Option<Times>,
    pub tls: Option<TlsFacts>,
    pub protocols: Option<ProtocolFacts>,
    pub address: Option<String>,
    /// `balance` of a backend.
    pub algorithm: Option<&'static str>,
    pub server: Option<ServerFacts>,
    /// Sessions (servers, TCP) or requests (HTTP frontends) in each of the last seconds, oldest first.
    pub trend: Vec<u32>,
}

/// Weight and who of them is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BalanceFacts {
    /// In force now; of a backend: all its usable servers' together.
    pub weight: u32,
    /// As an operator sees and sets it.
    pub user_weight: u32,
    pub active: u32,
    pub backup: u32,
    /// Times a server was picked (`lbtot`).
    pub picked: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastSession {
    Never,
    Ago(Duration),
}

/// Averages over the last 1024 exchanges, and the longest, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub queue: u64,
    pub connect: u64,
    pub response: u64,
    pub total: u64,
    pub max_queue: u64,
    pub max_connect: u64,
    pub max_response: u64,
    pub max_total: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    pub handshakes: u64,
    pub resumed: u64,
    pub failures: u64,
}

/// Sessions and requests by HTTP version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ProtocolFacts {
    pub h1_sessions: u64,
    pub h2_sessions: u64,
    pub other_sessions: u64,
    pub h1_requests: u64,
    pub h2_requests: u64,
}

/// What only a server has.
#[derive(Debug, Clone)]
pub(crate) struct ServerFacts {
    pub backup: bool,
    pub initial_weight: u32,
    /// IP address and port apart, for `show servers state`.
    pub ip: String,
    pub port: u16,
    /// As written in the configuration, when it was a name.
    pub hostname: Option<String>,
    pub tls: bool,
    /// TLS without verification: anyone could be this server.
    pub unverified: bool,
    /// In maintenance by an operator's word, not the file's.
    pub maintenance: Option<Maintenance>,
    pub draining: bool,
    /// Up by its checks, whatever was ordered.
    pub running: bool,
    /// Alive, but wants no new traffic.
    pub stopping: bool,
    /// How sure it is that it is up; also without a check.
    pub score: u32,
    /// `None` without a check in the configuration.
    pub check: Option<CheckFacts>,
    pub idle_connections: Level,
    /// Newest last.
    pub checks: Vec<PastCheck>,
    pub transitions: Vec<PastTransition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maintenance {
    ByConfig,
    ByOperator,
}

#[derive(Debug, Clone)]
pub(crate) struct CheckFacts {
    /// `enable|disable health`.
    pub enabled: bool,
    /// A check is on its way.
    pub running: bool,
    /// Failed checks while up (`chkfail`).
    pub failures: u64,
    pub last: Option<PastCheck>,
    pub rise: u32,
    pub fall: u32,
    /// 0 to `rise + fall - 1`; up from `rise` on.
    pub health: u32,
}

/// One check that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastCheck {
    pub at: SystemTime,
    pub passed: bool,
    /// `L7STS`
    pub code: &'static str,
    /// Number in `show servers state`.
    pub number: u8,
    /// In words: `Layer7 wrong status`.
    pub description: &'static str,
    /// The HTTP status.
    pub status: Option<u16>,
    pub duration: Duration,
    /// The error's or the status line's text.
    pub info: String,
    /// What was wanted and what came, where that adds something.
    pub expectation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastTransition {
    pub at: SystemTime,
    /// The status after it.
    pub status: String,
    pub tone: Tone,
    pub cause: String,
}

impl Tone {
    /// Is this something an operator should look at?
    pub fn is_problem(self) -> bool {
        matches!(self, Tone::Down | Tone::GoingDown | Tone::GoingUp | Tone::Full | Tone::Stopped)
    }
}

impl Report {
    /// All rows, in HAProxy's order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.proxies.iter().flat_map(|proxy| &proxy.rows)
    }

    /// What may be shown over HTTP without `stats show-legends`: no addresses, no algorithms.
    pub fn hide_legends(&mut self) {
        for row in self.proxies.iter_mut().flat_map(|proxy| &mut proxy.rows) {
            row.address = None;
            row.algorithm = None;
        }
    }
}

impl Row {
    /// A row that says nothing yet.
    pub fn empty(kind: RowKind, proxy: Name, iid: u32, mode: Mode) -> Row {
        Row {
            kind,
            proxy,
            name: "".into(),
            iid,
            sid: 0,
            mode,
            status: String::new(),
            tone: Tone::Up,
            since: None,
            downtime: None,
            went_down: None,
            queue: None,
            sessions: Level::default(),
            session_limit: None,
            session_rate_limit: 0,
            queue_limit: None,
            idle_limit: None,
            sessions_total: 0,
            bytes_in: 0,
            bytes_out: 0,
            denied_requests: None,
            denied_responses: None,
            denied_connections: None,
            denied_sessions: None,
            request_errors: None,
            connection_errors: None,
            response_errors: None,
            retries: None,
            redispatches: None,
            balance: None,
            rate: None,
            request_rate: None,
            connection_rate: None,
            requests: None,
            connections: None,
            responses: None,
            intercepted: None,
            client_aborts: None,
            server_aborts: None,
            failed_rewrites: 0,
            internal_errors: 0,
            connects: None,
            reuses: None,
            last_session: None,
            times: None,
            tls: None,
            protocols: None,
            address: None,
            algorithm: None,
            server: None,
            trend: Vec::new(),
        }
    }

    pub fn is_backup(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.backup)
    }

    /// The check's facts when HAProxy shows them: it is enabled and the server not in maintenance.
    pub fn active_check(&self) -> Option<&CheckFacts> {
        let server = self.server.as_ref()?;
        server.check.as_ref().filter(|check| check.enabled && server.maintenance.is_none())
    }
}

impl CheckFacts {
    /// `L7OK`, and `INI` before the first has ended.
    pub fn code(&self) -> &'static str {
        self.last.as_ref().map_or("INI", |last| last.code)
    }
}

impl PastCheck {
    /// Code, HTTP status and duration as HAProxy's page prints them: `L7STS/503 in 1ms`.
    pub fn summary(&self) -> String {
        let status = self.status.map(|status| format!("/{status}")).unwrap_or_default();
        format!("{}{status} in {}ms", self.code, self.duration.as_millis())
    }

    /// Everything known of why, in one line.
    pub fn reason(&self) -> String {
        let mut reason = self.description.to_owned();
        for more in [Some(self.info.as_str()), self.expectation.as_deref()].into_iter().flatten() {
            if !more.is_empty() {
                reason.push_str(", ");
                reason.push_str(more);
            }
        }
        reason
    }
}
