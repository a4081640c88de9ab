//! Where does a report come from? It reads what the controller keeps and what the workers counted, on the control thread
//! and without stopping anyone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::report::*;
use super::server_rows::{backend_row, server_row};
use crate::control::Controller;
use crate::control::sampler;
use crate::control::watch::{BackendWatch, FrontendWatch, ListenerWatch, Serving, Watch, wall_clock};
use crate::model::{Frontend, Mode, Name};
use crate::state::counters::{FrontendTotals, Gauge};
use crate::state::events::Phase;
use crate::state::logs;
use crate::state::snapshot::{BackendInForce, FrontendInForce};

/// Number of the first proxy; HAProxy's own socket is number 1.
const FIRST_IID: u32 = 2;

/// What a report's parts have in common.
#[derive(Clone, Copy)]
pub(super) struct Gathering<'a> {
    pub controller: &'a Controller,
    pub now: Instant,
}

impl Gathering<'_> {
    pub fn wall_clock(&self, at: Instant) -> std::time::SystemTime {
        let process = &self.controller.shared().process;
        wall_clock(at, process.started.instant(), process.started_at)
    }
}

impl Report {
    /// Everything as it is at `now`. `idle_percent` is measured by whoever asks, between two of its reports.
    pub fn gather(controller: &Controller, idle_percent: u32, now: Instant) -> Report {
        let gathering = Gathering { controller, now };
        Report { process: process(gathering, idle_percent), proxies: proxies(gathering) }
    }
}

/// One section of the configuration: a frontend, a backend, or both of one name.
struct Numbered {
    iid: u32,
    frontend: Option<usize>,
    backend: Option<usize>,
}

/// Frontends in the order of the configuration, a `listen`'s two halves as one; then the other backends.
fn numbered(watch: &Watch) -> Vec<Numbered> {
    let snapshot = &watch.snapshot;
    let by_name: HashMap<&str, usize> =
        snapshot.backends.iter().enumerate().map(|(index, backend)| (&*backend.config.name, index)).collect();
    let mut sections: Vec<(Option<usize>, Option<usize>)> = snapshot
        .frontends
        .iter()
        .enumerate()
        .map(|(index, frontend)| (Some(index), by_name.get(&*frontend.config.name).copied()))
        .collect();
    let halves: HashSet<usize> = sections.iter().filter_map(|(_, backend)| *backend).collect();
    let rest = (0..snapshot.backends.len()).filter(|index| !halves.contains(index));
    sections.extend(rest.map(|index| (None, Some(index))));
    let with_number = |(iid, (frontend, backend))| Numbered { iid, frontend, backend };
    (FIRST_IID..).zip(sections).map(with_number).collect()
}

/// Backends with their numbers, as `#7` and `show servers state` know them.
pub(crate) fn numbered_backends(watch: &Watch) -> impl Iterator<Item = (u32, &Name)> {
    numbered(watch)
        .into_iter()
        .filter_map(|section| Some((section.iid, &watch.snapshot.backends.get(section.backend?)?.config.name)))
}

/// The backend an operator means: its name, or `#` and its number. `None` when there is none.
pub(crate) fn backend_name(watch: &Watch, written: &str) -> Option<String> {
    match numbered_as(written) {
        Some(number) => numbered_backends(watch).find(|(iid, _)| *iid == number).map(|(_, name)| name.to_string()),
        None => watch.find_backend(written).map(|_| written.to_owned()),
    }
}

/// The same for a frontend.
pub(crate) fn frontend_name(watch: &Watch, written: &str) -> Option<String> {
    let Some(number) = numbered_as(written) else {
        return watch.find_frontend(written).map(|_| written.to_owned());
    };
    let section = numbered(watch).into_iter().find(|section| section.iid == number)?;
    watch.snapshot.frontends.get(section.frontend?).map(|frontend| frontend.config.name.to_string())
}

fn numbered_as(written: &str) -> Option<u32> {
    written.strip_prefix('#')?.parse().ok()
}

fn proxies(gathering: Gathering<'_>) -> Vec<ProxyReport> {
    let sections = numbered(gathering.controller.watch());
    sections.into_iter().filter_map(|section| proxy(gathering, &section)).collect()
}

/// `None` when it is disabled: HAProxy does not show it then.
fn proxy(gathering: Gathering<'_>, section: &Numbered) -> Option<ProxyReport> {
    let watch = gathering.controller.watch();
    let frontend =
        section.frontend.and_then(|index| watch.snapshot.frontends.get(index).zip(watch.frontends.get(index)));
    let backend = section.backend.and_then(|index| watch.snapshot.backends.get(index).zip(watch.backends.get(index)));
    let mut rows = Vec::new();
    if let Some((frontend, watch)) = frontend {
        rows.extend(frontend_rows(gathering, frontend, watch, section.iid));
    }
    if let Some((backend, watch)) = backend {
        rows.extend(backend_rows(gathering, backend, watch, section.iid));
    }
    let (name, mode, disabled, description) = match (frontend, backend) {
        (Some((FrontendInForce { config, .. }, _)), _) => {
            (&config.name, config.mode, config.disabled, &config.description)
        }
        (None, Some((backend, _))) => {
            let config = &backend.config;
            (&config.name, config.mode, config.disabled, &config.description)
        }
        (None, None) => return None,
    };
    (!disabled).then(|| ProxyReport {
        name: name.clone(),
        mode,
        section: match (frontend, backend) {
            (Some(_), Some(_)) => Section::Listen,
            (Some(_), None) => Section::Frontend,
            (None, _) => Section::Backend,
        },
        description: description.clone(),
        rows,
    })
}

/// Servers first, as HAProxy has them, then the backend itself.
fn backend_rows(gathering: Gathering<'_>, backend: &BackendInForce, watch: &BackendWatch, iid: u32) -> Vec<Row> {
    let servers = backend.servers.iter().zip(&watch.servers);
    let mut rows: Vec<Row> =
        servers.map(|(server, watch)| server_row(gathering, &backend.config, server, watch, iid)).collect();
    rows.push(backend_row(gathering, &backend.config, watch, iid));
    rows
}

fn frontend_rows(gathering: Gathering<'_>, frontend: &FrontendInForce, watch: &FrontendWatch, iid: u32) -> Vec<Row> {
    let mut rows = vec![frontend_row(gathering, frontend, watch, iid)];
    // Who takes every row that is not FRONTEND or BACKEND for a server is to be asked first, as in HAProxy.
    if frontend.config.socket_stats {
        let row = |listener| listener_row(gathering, &frontend.config, watch, listener, iid);
        rows.extend(watch.listeners.iter().map(row));
    }
    rows
}

fn frontend_row(gathering: Gathering<'_>, frontend: &FrontendInForce, watch: &FrontendWatch, iid: u32) -> Row {
    let config = &frontend.config;
    let totals = watch.totals();
    let global_maxconn = gathering.controller.watch().snapshot.config.global.maxconn;
    let (status, tone) = match watch.serving {
        Serving::Open => ("OPEN", Tone::Open),
        Serving::Disabled => ("PAUSED", Tone::Stopped),
        Serving::ShutDown => ("STOP", Tone::Stopped),
    };
    let http = config.mode == Mode::Http;
    Row {
        name: "FRONTEND".into(),
        status: status.into(),
        tone,
        sessions: level(&watch.state.sessions),
        session_limit: Some(watch.maxconn.or(config.maxconn).unwrap_or(global_maxconn)),
        session_rate_limit: config.session_rate.unwrap_or(0),
        rate: Some(rate(&watch.sessions)),
        request_rate: Some(rate(&watch.requests)),
        connection_rate: Some(rate(&watch.connections)),
        requests: Some(totals.requests),
        connections: Some(totals.connections),
        responses: http.then(|| frontend_responses(&totals)),
        intercepted: http.then_some(totals.intercepted),
        protocols: Some(ProtocolFacts {
            h1_sessions: totals.h1_sessions,
            h2_sessions: totals.h2_sessions,
            other_sessions: totals.sessions.saturating_sub(totals.h1_sessions + totals.h2_sessions),
            h1_requests: totals.h1_requests,
            h2_requests: totals.h2_requests,
        }),
        trend: if http { watch.requests.seconds().collect() } else { watch.sessions.seconds().collect() },
        ..counted_row(RowKind::Frontend, config, iid, &totals)
    }
}

fn listener_row(
    gathering: Gathering<'_>,
    config: &Frontend,
    frontend: &FrontendWatch,
    watch: &ListenerWatch,
    iid: u32,
) -> Row {
    let totals = watch.totals();
    let snapshot = &gathering.controller.watch().snapshot;
    let bound =
        snapshot.listeners.iter().find(|bound| bound.frontend == config.id && bound.index == watch.index).map(
            |bound| bound.socket.local.map_or_else(|| bound.socket.address.to_string(), |local| local.to_string()),
        );
    let limit = config.listeners.get(watch.index).and_then(|listener| listener.maxconn);
    let (status, tone) = if frontend.serving != Serving::Open {
        ("WAITING", Tone::Stopped)
    } else if limit.is_some_and(|limit| watch.state.sessions.now() >= limit) {
        ("FULL", Tone::Full)
    } else {
        ("OPEN", Tone::Open)
    };
    Row {
        name: watch.state.name.clone(),
        sid: position(watch.index),
        status: status.into(),
        tone,
        sessions: level(&watch.state.sessions),
        session_limit: Some(limit.unwrap_or(0)),
        address: bound,
        ..counted_row(RowKind::Listener, config, iid, &totals)
    }
}

/// What frontends and listeners count alike.
fn counted_row(kind: RowKind, config: &Frontend, iid: u32, totals: &FrontendTotals) -> Row {
    Row {
        sessions_total: totals.sessions,
        bytes_in: totals.bytes_in,
        bytes_out: totals.bytes_out,
        denied_requests: Some(totals.denied_requests),
        denied_responses: Some(totals.denied_responses),
        denied_connections: Some(totals.denied_connections),
        denied_sessions: Some(totals.denied_sessions),
        request_errors: Some(totals.request_errors),
        failed_rewrites: totals.failed_rewrites,
        internal_errors: totals.internal_errors,
        tls: Some(TlsFacts {
            handshakes: totals.tls_handshakes,
            resumed: totals.tls_resumed,
            failures: totals.tls_failures,
        }),
        ..Row::empty(kind, config.name.clone(), iid, config.mode)
    }
}

fn frontend_responses(totals: &FrontendTotals) -> [u64; 6] {
    [totals.http_1xx, totals.http_2xx, totals.http_3xx, totals.http_4xx, totals.http_5xx, totals.http_other]
}

/// Numbers of servers and listeners start at 1.
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

pub(super) fn level(gauge: &Gauge) -> Level {
    Level { now: gauge.now(), max: gauge.max() }
}

pub(super) fn rate(rate: &sampler::Rate) -> Rate {
    Rate { now: rate.now(), max: rate.max() }
}

fn process(gathering: Gathering<'_>, idle_percent: u32) -> ProcessReport {
    let Gathering { controller, now } = gathering;
    let (shared, watch) = (controller.shared(), controller.watch());
    let facts = &shared.process;
    let global = &watch.snapshot.config.global;
    let totals: Vec<FrontendTotals> = watch.frontends.iter().map(|frontend| frontend.state.counters.totals()).collect();
    let sum = |field: fn(&FrontendTotals) -> u64| totals.iter().map(field).fold(0, u64::wrapping_add);
    ProcessReport {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        now: gathering.wall_clock(now),
        started_at: facts.started_at,
        uptime: shared.uptime(now),
        workers: facts.workers,
        node: global.node.as_deref().map_or_else(host_name, str::to_owned),
        description: global.description.clone(),
        stopping: !matches!(*shared.phase.borrow(), Phase::Running { .. }),
        generation: watch.snapshot.generation,
        last_reload: watch.last_reload.as_ref().map(|reload| ReloadFacts {
            at: gathering.wall_clock(reload.at),
            succeeded: reload.succeeded,
            message: reload.message.clone(),
        }),
        maxconn: global.maxconn,
        open_files_limit: open_files_limit(),
        resident_bytes: resident_bytes(),
        connections: level(&facts.connections),
        total_connections: facts.total_connections.load(Relaxed),
        total_requests: facts.counters.requests(),
        total_bytes_out: sum(|totals| totals.bytes_out),
        spliced_bytes: facts.counters.spliced_bytes(),
        pipes_lent: facts.counters.sum(|shard| &shard.pipes_lent),
        pipes_kept: facts.counters.sum(|shard| &shard.pipes_kept),
        tls_connections: level(&facts.tls_connections),
        total_tls_connections: sum(|totals| totals.tls_connections),
        tls_handshakes: sum(|totals| totals.tls_handshakes),
        tls_resumed: sum(|totals| totals.tls_resumed),
        connection_rate: rate(&watch.process.connections),
        session_rate: rate(&watch.process.sessions),
        request_rate: rate(&watch.process.requests),
        tls_rate: rate(&watch.process.tls),
        idle_percent,
        bytes_out_rate: watch.process.bytes_out.now(),
        request_trend: watch.process.requests.seconds().collect(),
        listeners: u32::try_from(watch.snapshot.listeners.len()).unwrap_or(u32::MAX),
        dropped_logs: logs::dropped_total(),
        dropped_events: shared.dropped_events.load(Relaxed),
        panics: shared.process.panics.total(),
        certificate_renewals: gathering.controller.certificates.renewals,
        certificates: certificates(gathering),
    }
}

/// Each file once, in the order of the configuration.
fn certificates(gathering: Gathering<'_>) -> Vec<CertificateFacts> {
    let in_force = gathering.controller.certificates_in_force();
    let facts = in_force.iter().map(|certificate| CertificateFacts {
        path: certificate.path.display().to_string(),
        names: certificate.names.clone(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
    });
    facts.collect()
}

/// The machine's name, as HAProxy's `node` is when none is set.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn open_files_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// 0 where there is no `/proc`, such as in a chroot.
fn resident_bytes() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let resident = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = resident.and_then(|value| value.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
