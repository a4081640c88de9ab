//! The report in Prometheus' text format. Names and labels are HAProxy's (`families` has the tables), the encoding is
//! the `prometheus` crate's; what HAProxy has no name for is called `lockgate_…`.

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::columns::{self, COLUMNS};
use super::families::{COLUMN_FAMILIES, ColumnFamily, Missing, PROCESS_FAMILIES, Scale, number, prefix, process_value};
use super::report::{ProcessReport, Report, Row, RowKind, Tone};
use crate::control::stats::epoch_seconds;

/// What `Content-Type` says of it.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// What a scrape asked for (`?scope=…&metrics=…&no-maint`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Empty wants all.
    pub scopes: Vec<Scope>,
    /// Whole names; empty wants all.
    pub only: Vec<String>,
    /// Whole names, `-` in front of them.
    pub without: Vec<String>,
    /// No servers in maintenance.
    pub no_maintenance: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Global,
    Rows(RowKind),
    StickTables,
}

impl Scope {
    /// `None` for a word that is no scope.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "global" => Scope::Global,
            "frontend" => Scope::Rows(RowKind::Frontend),
            "listener" => Scope::Rows(RowKind::Listener),
            "backend" => Scope::Rows(RowKind::Backend),
            "server" => Scope::Rows(RowKind::Server),
            "sticktable" => Scope::StickTables,
            _ => return None,
        })
    }
}

impl Wanted {
    fn scope(&self, scope: Scope) -> bool {
        self.scopes.is_empty() || self.scopes.contains(&scope)
    }

    fn name(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|only| only == name))
            && !self.without.iter().any(|without| without == name)
    }
}

pub(crate) fn render(report: &Report, wanted: &Wanted) -> String {
    let mut out = Output { text: String::with_capacity(64 * 1024), wanted };
    if wanted.scope(Scope::Global) {
        process(&mut out, &report.process);
    }
    for kind in [RowKind::Frontend, RowKind::Listener, RowKind::Backend, RowKind::Server] {
        if wanted.scope(Scope::Rows(kind)) {
            rows(&mut out, report, kind);
        }
    }
    out.text
}

/// Encodes one family at a time, so that a large report is never held twice.
struct Output<'a> {
    text: String,
    wanted: &'a Wanted,
}

impl Output<'_> {
    /// Writes a family unless nobody wants it or it has no samples.
    fn family(&mut self, name: String, help: &str, kind: MetricType, samples: impl FnOnce(&mut Vec<Metric>)) {
        if !self.wanted.name(&name) {
            return;
        }
        let mut metrics = Vec::new();
        samples(&mut metrics);
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name);
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        if let Err(error) = TextEncoder::new().encode_utf8(&[family], &mut self.text) {
            tracing::error!(%error, "cannot encode a metric");
        }
    }
}

fn sample(kind: MetricType, labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut metric = Metric::from_label(labels);
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// `proxy`, and `server` or `listener`.
fn labels(row: &Row) -> Vec<LabelPair> {
    let mut labels = vec![label("proxy", &row.proxy)];
    match row.kind {
        RowKind::Server => labels.push(label("server", &row.name)),
        RowKind::Listener => labels.push(label("listener", &row.name)),
        RowKind::Frontend | RowKind::Backend => {}
    }
    labels
}

fn labels_and(row: &Row, name: &str, value: &str) -> Vec<LabelPair> {
    let mut labels = labels(row);
    labels.push(label(name, value));
    labels
}

fn process(out: &mut Output<'_>, report: &ProcessReport) {
    for family in &PROCESS_FAMILIES {
        out.family(format!("haproxy_process_{}", family.suffix), family.help, family.kind, |metrics| {
            metrics.extend(process_value(report, family.field).map(|value| sample(family.kind, Vec::new(), value)));
        });
    }
    let gauge = MetricType::GAUGE;
    let version = super::tool_version(report.version);
    out.family("haproxy_process_build_info".into(), "The version, as a label.", gauge, |metrics| {
        metrics.push(sample(gauge, vec![label("version", &version)], 1.0));
    });
    own(out, report);
}

/// What HAProxy has no metric for.
fn own(out: &mut Output<'_>, report: &ProcessReport) {
    let mut one = |name: &str, help: &str, kind: MetricType, value: f64| {
        out.family(format!("lockgate_{name}"), help, kind, |metrics| metrics.push(sample(kind, Vec::new(), value)));
    };
    let (gauge, counter) = (MetricType::GAUGE, MetricType::COUNTER);
    let reload = report.last_reload.as_ref();
    let successful = reload.is_none_or(|reload| reload.succeeded);
    one("config_last_reload_successful", "0 after a reload that failed.", gauge, f64::from(u8::from(successful)));
    let at = reload.map_or(report.started_at, |reload| reload.at);
    one("config_last_reload_timestamp_seconds", "When it was last tried.", gauge, epoch_seconds(at) as f64);
    one("config_generation", "Number of the configuration in force.", gauge, report.generation as f64);
    one("dropped_log_lines_total", "Log lines not handed over.", counter, report.dropped_logs as f64);
    one(
        "panics_total",
        "Defects met and contained: each ended one connection, check or answer.",
        counter,
        report.panics as f64,
    );
    one(
        "certificate_renewals_total",
        "Certificates and OCSP answers replaced while running, because their files changed.",
        counter,
        report.certificate_renewals as f64,
    );
    one("dropped_events_total", "Worker events not handed over.", counter, report.dropped_events as f64);
    out.family(
        "lockgate_certificate_not_after_timestamp_seconds".into(),
        "When a certificate expires, in seconds since 1970.",
        gauge,
        |metrics| {
            metrics.extend(report.certificates.iter().map(|certificate| {
                let name = certificate.names.first().map_or("", String::as_str);
                let labels = vec![label("path", &certificate.path), label("name", name)];
                sample(gauge, labels, epoch_seconds(certificate.not_after) as f64)
            }));
        },
    );
}

fn rows(out: &mut Output<'_>, report: &Report, kind: RowKind) {
    let maintained = |row: &Row| out_of_service(row) && row.kind == RowKind::Server;
    let no_maintenance = out.wanted.no_maintenance;
    let rows: Vec<&Row> =
        report.rows().filter(|row| row.kind == kind && !(no_maintenance && maintained(row))).collect();
    status(out, &rows, kind);
    for family in COLUMN_FAMILIES.iter().filter(|family| family.applies_to(kind)) {
        out.family(format!("haproxy_{}_{}", prefix(kind), family.suffix), family.help, family.kind, |metrics| {
            metrics.extend(rows.iter().filter_map(|row| column_sample(family, row)));
        });
    }
    if kind != RowKind::Listener {
        responses(out, &rows, kind);
    }
    match kind {
        RowKind::Backend => aggregates(out, report, &rows),
        RowKind::Server => check_status(out, &rows),
        RowKind::Frontend | RowKind::Listener => {}
    }
}

fn out_of_service(row: &Row) -> bool {
    row.tone == Tone::Maint
}

fn column_sample(family: &ColumnFamily, row: &Row) -> Option<Metric> {
    let column = columns::index_of(family.column).and_then(|index| COLUMNS.get(index))?;
    let value = match (number(&(column.value)(row)), family.missing) {
        (Some(value), _) => value,
        (None, Missing::NotANumber) => f64::NAN,
        // A server without a check has no check's code either.
        (None, Missing::Zero) if row.active_check().is_some() => 0.0,
        (None, Missing::Zero | Missing::Skip) => return None,
    };
    let value = match family.scale {
        Scale::AsIs => value,
        Scale::Milliseconds => value / 1000.0,
    };
    Some(sample(family.kind, labels(row), value))
}

fn responses(out: &mut Output<'_>, rows: &[&Row], kind: RowKind) {
    let counter = MetricType::COUNTER;
    out.family(
        format!("haproxy_{}_http_responses_total", prefix(kind)),
        "HTTP responses by class.",
        counter,
        |metrics| {
            for (class, code) in ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].into_iter().enumerate() {
                metrics.extend(rows.iter().filter_map(|row| {
                    let count = *row.responses?.get(class)?;
                    Some(sample(counter, labels_and(row, "code", code), count as f64))
                }));
            }
        },
    );
}

const SERVER_STATES: [&str; 5] = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];

/// The states a row of this kind can be in.
fn states(kind: RowKind) -> &'static [&'static str] {
    match kind {
        RowKind::Frontend | RowKind::Backend => &["DOWN", "UP"],
        RowKind::Listener => &["WAITING", "OPEN", "FULL"],
        RowKind::Server => &SERVER_STATES,
    }
}

fn state_of(row: &Row) -> &'static str {
    match (row.kind, row.tone) {
        (RowKind::Listener, Tone::Full) => "FULL",
        (RowKind::Listener, Tone::Stopped) => "WAITING",
        (RowKind::Listener, _) => "OPEN",
        (RowKind::Server, Tone::Maint) => "MAINT",
        (RowKind::Server, Tone::Drain) => "DRAIN",
        (RowKind::Server, Tone::NoLb) => "NOLB",
        (_, Tone::Down | Tone::GoingUp | Tone::Stopped | Tone::Maint) => "DOWN",
        _ => "UP",
    }
}

/// One 0/1 gauge for each state a row can be in.
fn status(out: &mut Output<'_>, rows: &[&Row], kind: RowKind) {
    let gauge = MetricType::GAUGE;
    out.family(format!("haproxy_{}_status", prefix(kind)), "1 for the state it is in.", gauge, |metrics| {
        for row in rows {
            metrics.extend(states(kind).iter().map(|state| {
                let is = f64::from(u8::from(state_of(row) == *state));
                sample(gauge, labels_and(row, "state", state), is)
            }));
        }
    });
}

const CHECK_STATES: [&str; 16] = [
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK", "L7OKC",
    "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

fn check_status(out: &mut Output<'_>, rows: &[&Row]) {
    let gauge = MetricType::GAUGE;
    out.family("haproxy_server_check_status".into(), "1 for the last check's result.", gauge, |metrics| {
        for row in rows {
            let Some(check) = row.active_check() else { continue };
            metrics.extend(CHECK_STATES.iter().map(|state| {
                let is = f64::from(u8::from(check.code() == *state));
                sample(gauge, labels_and(row, "state", state), is)
            }));
        }
    });
}

/// How many of a backend's servers are in each state, and how many checks ended how.
fn aggregates(out: &mut Output<'_>, report: &Report, rows: &[&Row]) {
    let gauge = MetricType::GAUGE;
    let servers = |proxy: &str| -> Vec<&Row> {
        let of_proxy = report.proxies.iter().filter(|report| &*report.name == proxy);
        of_proxy.flat_map(|report| &report.rows).filter(|row| row.kind == RowKind::Server).collect()
    };
    let by_backend: Vec<(&Row, Vec<&Row>)> = rows.iter().map(|row| (*row, servers(&row.proxy))).collect();
    for name in ["haproxy_backend_agg_server_status", "haproxy_backend_agg_server_check_status"] {
        out.family(name.into(), "Servers in each state.", gauge, |metrics| {
            for (row, servers) in &by_backend {
                metrics.extend(SERVER_STATES.iter().map(|state| {
                    let count = servers.iter().filter(|server| state_of(server) == *state).count();
                    sample(gauge, labels_and(row, "state", state), count as f64)
                }));
            }
        });
    }
    out.family("haproxy_backend_agg_check_status".into(), "Servers by last check result.", gauge, |metrics| {
        for (row, servers) in &by_backend {
            metrics.extend(CHECK_STATES.iter().map(|state| {
                let checks = servers.iter().filter_map(|server| server.active_check());
                let count = checks.filter(|check| check.code() == *state).count();
                sample(gauge, labels_and(row, "state", state), count as f64)
            }));
        }
    });
}
