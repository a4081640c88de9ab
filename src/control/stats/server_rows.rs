//! What does a report say of a server and of its backend?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::gather::{Gathering, level, position, rate};
use super::report::*;
use crate::control::history::{self, Cause};
use crate::control::sampler::TimeAverages;
use crate::control::watch::{BackendWatch, ServerWatch};
use crate::health::{AdminState, Origin, Status};
use crate::model::backend::{Role, ServerAddress};
use crate::model::tls::ServerVerify;
use crate::model::{Backend, Balance, Mode};
use crate::state::counters::BackendTotals;
use crate::state::servers::TimePeaks;
use crate::state::snapshot::ServerInForce;
use crate::wire::check_dialog::{CheckResult, Outcome};

/// What HAProxy has as a server's health when nobody checks it.
const UNCHECKED_HEALTH: u32 = 2;

pub(super) fn server_row(
    gathering: Gathering<'_>,
    backend: &Arc<Backend>,
    server: &ServerInForce,
    watch: &ServerWatch,
    iid: u32,
) -> Row {
    let totals = watch.totals();
    let status = watch.status();
    let backup = server.config.role == Role::Backup;
    let weight = u32::from(watch.weight);
    Row {
        name: server.config.name.clone(),
        sid: position(server.config.id.index()),
        status: status.to_string(),
        tone: tone(status),
        since: Some(gathering.now.saturating_duration_since(watch.changed_at)),
        downtime: Some(watch.downtime.total(gathering.now)),
        went_down: Some(watch.went_down),
        queue: Some(level(&watch.state.queued)),
        sessions: level(&watch.state.sessions),
        session_limit: server.config.maxconn,
        queue_limit: server.config.maxqueue,
        idle_limit: server.config.pool.max_conn,
        balance: Some(BalanceFacts {
            weight,
            user_weight: weight,
            active: u32::from(!backup),
            backup: u32::from(backup),
            picked: totals.picked,
        }),
        rate: Some(rate(&watch.sessions)),
        last_session: Some(last_session(gathering, &watch.state.last_session_ms)),
        times: Some(times(&watch.averages, &watch.state.peaks)),
        address: Some(server.config.address.to_string()),
        server: Some(facts(gathering, server, watch)),
        trend: watch.sessions.seconds().collect(),
        ..counted_row(RowKind::Server, backend, iid, &totals)
    }
}

pub(super) fn backend_row(gathering: Gathering<'_>, config: &Arc<Backend>, watch: &BackendWatch, iid: u32) -> Row {
    let totals = watch.totals();
    let up = watch.is_up();
    let usable = |role: Role| {
        config
            .servers
            .iter()
            .zip(&watch.servers)
            .filter(move |(server, watch)| server.role == role && watch.is_usable())
    };
    let (active, backup) = (usable(Role::Active).count(), usable(Role::Backup).count());
    // Backups weigh only while they serve: no active server does.
    let serving = if active > 0 { Role::Active } else { Role::Backup };
    let take = if active > 0 || config.all_backups { usize::MAX } else { 1 };
    let weight: u32 = usable(serving).take(take).map(|(_, watch)| u32::from(watch.weight)).sum();
    Row {
        name: "BACKEND".into(),
        status: if up { "UP" } else { "DOWN" }.into(),
        tone: if up { Tone::Up } else { Tone::Down },
        since: Some(gathering.now.saturating_duration_since(watch.changed_at)),
        downtime: Some(watch.downtime.total(gathering.now)),
        went_down: Some(watch.went_down),
        queue: Some(level(&watch.state.queued)),
        sessions: level(&watch.state.sessions),
        session_limit: Some(config.fullconn),
        denied_requests: Some(totals.denied_requests),
        balance: Some(BalanceFacts {
            weight,
            user_weight: weight,
            active: u32::try_from(active).unwrap_or(u32::MAX),
            backup: u32::try_from(backup).unwrap_or(u32::MAX),
            picked: totals.picked,
        }),
        rate: Some(rate(&watch.sessions)),
        last_session: Some(last_session(gathering, &watch.state.last_session_ms)),
        times: Some(times(&watch.averages, &watch.state.peaks)),
        algorithm: Some(match config.balance {
            Balance::RoundRobin => "roundrobin",
        }),
        trend: watch.sessions.seconds().collect(),
        ..counted_row(RowKind::Backend, config, iid, &totals)
    }
}

/// What servers and backends count alike.
fn counted_row(kind: RowKind, config: &Backend, iid: u32, totals: &BackendTotals) -> Row {
    let http = config.mode == Mode::Http;
    Row {
        sessions_total: totals.sessions,
        bytes_in: totals.bytes_in,
        bytes_out: totals.bytes_out,
        denied_responses: Some(totals.denied_responses),
        connection_errors: Some(totals.connection_errors),
        response_errors: Some(totals.response_errors),
        retries: Some(totals.retries),
        redispatches: Some(totals.redispatches),
        requests: http.then_some(totals.requests),
        responses: http.then_some([
            totals.http_1xx,
            totals.http_2xx,
            totals.http_3xx,
            totals.http_4xx,
            totals.http_5xx,
            totals.http_other,
        ]),
        client_aborts: Some(totals.client_aborts),
        server_aborts: Some(totals.server_aborts),
        failed_rewrites: totals.failed_rewrites,
        internal_errors: totals.internal_errors,
        connects: Some(totals.connections),
        reuses: Some(totals.reuses),
        ..Row::empty(kind, config.name.clone(), iid, config.mode)
    }
}

pub(super) fn tone(status: Status) -> Tone {
    match status {
        Status::NoCheck => Tone::NoCheck,
        Status::Up { left, fall } if left == fall => Tone::Up,
        Status::Up { .. } => Tone::GoingDown,
        Status::Down { passed: 0, .. } => Tone::Down,
        Status::Down { .. } => Tone::GoingUp,
        Status::NoLb { .. } => Tone::NoLb,
        Status::Drain { .. } => Tone::Drain,
        Status::Maint => Tone::Maint,
    }
}

fn last_session(gathering: Gathering<'_>, at_ms: &AtomicU64) -> LastSession {
    match at_ms.load(Relaxed) {
        0 => LastSession::Never,
        at_ms => {
            let uptime = gathering.controller.shared().uptime(gathering.now);
            LastSession::Ago(uptime.saturating_sub(Duration::from_millis(at_ms)))
        }
    }
}

fn times(averages: &TimeAverages, peaks: &TimePeaks) -> Times {
    Times {
        queue: averages.queue.ms(),
        connect: averages.connect.ms(),
        response: averages.response.ms(),
        total: averages.total.ms(),
        max_queue: peaks.queue.get(),
        max_connect: peaks.connect.get(),
        max_response: peaks.response.get(),
        max_total: peaks.total.get(),
    }
}

fn facts(gathering: Gathering<'_>, server: &ServerInForce, watch: &ServerWatch) -> ServerFacts {
    let health = &watch.health;
    let admin = health.admin();
    let (ip, port) = match &server.config.address {
        ServerAddress::Tcp(address) => (address.ip().to_string(), address.port()),
        unix @ ServerAddress::Unix(_) => (unix.to_string(), 0),
    };
    let tls = server.config.tls.as_ref();
    let checks: Vec<PastCheck> = watch.checks.iter().map(|past| past_check(gathering, past)).collect();
    ServerFacts {
        backup: server.config.role == Role::Backup,
        initial_weight: u32::from(watch.initial_weight),
        ip,
        port,
        hostname: server.config.hostname.clone(),
        tls: tls.is_some(),
        unverified: tls.is_some_and(|tls| matches!(tls.verify, ServerVerify::None)),
        maintenance: (admin.state == AdminState::Maint).then_some(match admin.origin {
            Origin::Config => Maintenance::ByConfig,
            Origin::Operator => Maintenance::ByOperator,
        }),
        draining: admin.state == AdminState::Drain,
        running: health.is_up(),
        stopping: health.is_stopping(),
        check: server.config.check.as_ref().map(|check| CheckFacts {
            enabled: health.checks_enabled(),
            running: watch.checking.get(),
            failures: watch.failed_checks,
            last: checks.last().cloned(),
            rise: check.rise,
            fall: check.fall,
            health: health.score().value(),
        }),
        score: if health.is_checkable() { health.score().value() } else { UNCHECKED_HEALTH },
        idle_connections: level(&watch.state.idle),
        transitions: watch.transitions.iter().map(|past| past_transition(gathering, past)).collect(),
        checks,
    }
}

fn past_check(gathering: Gathering<'_>, past: &history::PastCheck) -> PastCheck {
    let result = &past.result;
    PastCheck {
        at: gathering.wall_clock(past.at),
        passed: result.outcome.passed(),
        code: result.outcome.code(),
        number: number(result.outcome),
        description: result.outcome.description(),
        status: result.code,
        duration: result.duration,
        info: result.info.clone(),
        expectation: expectation(result),
    }
}

/// In the words of the check, where they add something.
fn expectation(result: &CheckResult) -> Option<String> {
    match (&result.expected, &result.got) {
        (Some(expected), Some(got)) => Some(format!("expected {expected}, got {got}")),
        (Some(expected), None) => Some(format!("expected {expected}")),
        (None, Some(got)) => Some(format!("got {got}")),
        (None, None) if !result.outcome.passed() && result.info.is_empty() => {
            Some(format!("while in phase {}", result.phase.as_str()))
        }
        (None, None) => None,
    }
}

fn past_transition(gathering: Gathering<'_>, past: &history::PastTransition) -> PastTransition {
    PastTransition {
        at: gathering.wall_clock(past.at),
        status: past.status.to_string(),
        tone: tone(past.status),
        cause: match &past.cause {
            Cause::Check(result) => cause_of(result),
            Cause::Operator => "ordered by an operator".to_owned(),
            Cause::Config => "the configuration was read again".to_owned(),
        },
    }
}

fn cause_of(result: &CheckResult) -> String {
    let mut cause = result.outcome.description().to_owned();
    if let Some(code) = result.code {
        cause.push_str(&format!(", code {code}"));
    }
    if !result.info.is_empty() {
        cause.push_str(", ");
        cause.push_str(&result.info);
    }
    cause
}

/// How `show servers state` numbers results; measured with haproxy 2.6.
fn number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::SocketError => 5,
        Outcome::L4Ok => 6,
        Outcome::L4Timeout => 7,
        Outcome::L4Connection => 8,
        Outcome::L6Ok => 9,
        Outcome::L6Timeout => 10,
        Outcome::L6Response => 11,
        Outcome::L7Timeout => 12,
        Outcome::L7Response => 13,
        Outcome::L7Ok => 15,
        Outcome::L7Status => 17,
    }
}
