//! A made-up report for tests and for looking at the page: a frontend, a backend whose master has just failed, and a TCP
//! `listen` with servers in every state.

use std::time::{Duration, SystemTime};

use super::report::*;
use crate::model::Mode;

const NOW: u64 = 1_795_172_600;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

pub(super) fn report() -> Report {
    Report { process: process(), proxies: vec![web(), app(), tcp()] }
}

fn process() -> ProcessReport {
    ProcessReport {
        version: "0.1.0",
        pid: 4711,
        now: now(),
        started_at: ago(93_784),
        uptime: Duration::from_secs(93_784),
        workers: 2,
        node: "lb1".into(),
        description: Some("front door, rack 4".into()),
        stopping: false,
        generation: 3,
        last_reload: Some(ReloadFacts {
            at: ago(640),
            succeeded: false,
            message: "/etc/haproxy/haproxy.cfg:41:9: backend `app2` is not defined; did you mean `app`?".into(),
        }),
        maxconn: 2000,
        open_files_limit: 4096,
        resident_bytes: 14 << 20,
        connections: Level { now: 12, max: 40 },
        total_connections: 182_313,
        total_requests: 1_882_313,
        total_bytes_out: 12_883_991_000,
        spliced_bytes: 8_192_000,
        pipes_lent: 3,
        pipes_kept: 5,
        tls_connections: Level { now: 4, max: 11 },
        total_tls_connections: 90_040,
        tls_handshakes: 90_000,
        tls_resumed: 45_000,
        connection_rate: Rate { now: 9, max: 120 },
        session_rate: Rate { now: 9, max: 120 },
        request_rate: Rate { now: 187, max: 944 },
        tls_rate: Rate { now: 2, max: 60 },
        idle_percent: 97,
        bytes_out_rate: 1_388_120,
        request_trend: trend(187),
        listeners: 3,
        dropped_logs: 0,
        dropped_events: 0,
        panics: 0,
        certificate_renewals: 3,
        certificates: vec![CertificateFacts {
            path: "/etc/ssl/site.pem".into(),
            names: vec!["www.example.org".into()],
            not_before: now() - Duration::from_secs(86_400 * 78),
            not_after: now() + Duration::from_secs(86_400 * 12),
        }],
    }
}

fn trend(around: u32) -> Vec<u32> {
    (0..60).map(|second| around + (second * 37 % 23) * around / 60 - around / 8 * (second % 3)).collect()
}

fn section(name: &str, iid: u32, mode: Mode, section: Section, mut rows: Vec<Row>) -> ProxyReport {
    for row in &mut rows {
        row.proxy = name.into();
        row.iid = iid;
        row.mode = mode;
        if mode == Mode::Tcp {
            row.responses = None;
            if row.kind != RowKind::Frontend {
                row.requests = None;
            }
            row.intercepted = None;
        }
    }
    ProxyReport { name: name.into(), mode, section, description: None, rows }
}

fn web() -> ProxyReport {
    let frontend = Row {
        sessions: Level { now: 12, max: 40 },
        session_limit: Some(2000),
        sessions_total: 182_313,
        bytes_in: 733_882_100,
        bytes_out: 12_883_991_000,
        request_errors: Some(31),
        requests: Some(1_882_313),
        connections: Some(182_313),
        responses: Some([12, 1_870_113, 9_104, 3_011, 73, 0]),
        rate: Some(Rate { now: 9, max: 120 }),
        request_rate: Some(Rate { now: 187, max: 944 }),
        connection_rate: Some(Rate { now: 9, max: 121 }),
        tls: Some(TlsFacts { handshakes: 90_000, resumed: 45_000, failures: 12 }),
        trend: trend(187),
        ..frontend_row()
    };
    let listener = |name: &str, address: &str, sid: u32, now: u32| Row {
        name: name.into(),
        sid,
        sessions: Level { now, max: 30 },
        sessions_total: 91_000 + u64::from(sid),
        bytes_in: 366_000_000,
        bytes_out: 6_400_000_000,
        address: Some(address.into()),
        ..listener_row()
    };
    section(
        "web",
        2,
        Mode::Http,
        Section::Frontend,
        vec![frontend, listener("public", "192.0.2.10:80", 1, 8), listener("tls", "192.0.2.10:443", 2, 4)],
    )
}

fn app() -> ProxyReport {
    let master = {
        let mut row = server_row("master", 1, Tone::Down, "DOWN", "10.0.0.11");
        row.since = Some(Duration::from_secs(13));
        row.downtime = Some(Duration::from_secs(13));
        row.went_down = Some(1);
        row.connection_errors = Some(2);
        row.response_errors = Some(5);
        row.retries = Some(2);
        row.redispatches = Some(2);
        row.responses = Some([12, 1_870_003, 9_100, 3_000, 66, 0]);
        row.sessions_total = 1_800_000;
        row.requests = Some(1_800_000);
        row.bytes_in = 700_000_000;
        row.bytes_out = 12_000_000_000;
        row.sessions.max = 38;
        row.last_session = Some(LastSession::Ago(Duration::from_secs(1)));
        row.trend = trend(187).into_iter().enumerate().map(|(i, n)| if i > 46 { 0 } else { n }).collect();
        row.rate = Some(Rate { now: 0, max: 944 });
        row.times = Some(Times {
            queue: 0,
            connect: 1,
            response: 12,
            total: 14,
            max_response: 3004,
            max_total: 3010,
            ..Times::default()
        });
        let results = [("L7OK", Some(200), 22), ("L7TOUT", None, 2), ("L7STS", Some(503), 6)];
        checked(&mut row, 0, &results);
        if let Some(server) = &mut row.server {
            server.running = false;
            server.transitions = vec![
                transition(93_700, "UP", Tone::Up, "Layer7 check passed, code 200"),
                transition(13, "DOWN", Tone::Down, "Layer7 wrong status, code 503, Service Unavailable"),
            ];
        }
        row
    };
    let slave = {
        let mut row = server_row("slave", 2, Tone::Up, "UP", "10.0.0.12");
        row.since = Some(Duration::from_secs(93_784));
        row.balance = Some(BalanceFacts { weight: 1, user_weight: 1, active: 0, backup: 1, picked: 2_433 });
        row.sessions = Level { now: 11, max: 24 };
        row.sessions_total = 2_433;
        row.requests = Some(2_433);
        row.responses = Some([0, 2_420, 4, 9, 0, 0]);
        row.bytes_in = 938_100;
        row.bytes_out = 16_991_000;
        row.rate = Some(Rate { now: 186, max: 201 });
        row.trend = trend(186).into_iter().enumerate().map(|(i, n)| if i > 46 { n } else { 0 }).collect();
        row.last_session = Some(LastSession::Ago(Duration::ZERO));
        checked(&mut row, 4, &[("L7OK", Some(200), 30)]);
        if let Some(server) = &mut row.server {
            server.backup = true;
            server.initial_weight = 1;
            server.tls = true;
            server.unverified = true;
        }
        row
    };
    let plain = server_row("plain", 3, Tone::NoCheck, "no check", "10.0.0.13");
    let going_down = {
        let mut row = server_row("wobbly", 4, Tone::GoingDown, "UP 1/3", "10.0.0.14");
        row.balance = Some(BalanceFacts { weight: 50, user_weight: 50, active: 1, backup: 0, picked: 9 });
        checked(&mut row, 2, &[("L7OK", Some(200), 28), ("L4CON", None, 2)]);
        row
    };
    let backend = Row {
        name: "BACKEND".into(),
        tone: Tone::Up,
        status: "UP".into(),
        balance: Some(BalanceFacts { weight: 51, user_weight: 51, active: 1, backup: 1, picked: 1_802_433 }),
        sessions: Level { now: 11, max: 38 },
        sessions_total: 1_882_282,
        requests: Some(1_882_282),
        responses: Some([12, 1_872_423, 9_104, 3_009, 73, 0]),
        bytes_in: 733_882_100,
        bytes_out: 12_883_991_000,
        retries: Some(2),
        redispatches: Some(2),
        connection_errors: Some(2),
        response_errors: Some(5),
        rate: Some(Rate { now: 186, max: 944 }),
        trend: trend(186),
        ..backend_row()
    };
    section("app", 3, Mode::Http, Section::Backend, vec![master, slave, plain, going_down, backend])
}

fn tcp() -> ProxyReport {
    let t1 = {
        let mut row = server_row("t1", 1, Tone::Down, "DOWN", "10.0.1.1");
        checked(&mut row, 0, &[("L4CON", None, 30)]);
        row.went_down = Some(1);
        row.since = Some(Duration::from_secs(4_000));
        row.downtime = Some(Duration::from_secs(4_000));
        row
    };
    let resting = {
        let mut row = server_row("resting", 2, Tone::Maint, "MAINT", "10.0.1.2");
        checked(&mut row, 4, &[("L4OK", None, 12)]);
        if let Some(server) = &mut row.server {
            server.maintenance = Some(Maintenance::ByOperator);
        }
        row
    };
    let rising = {
        let mut row = server_row("rising", 3, Tone::GoingUp, "DOWN 1/2", "10.0.1.3");
        checked(&mut row, 1, &[("L4CON", None, 8), ("L4OK", None, 1)]);
        row
    };
    let draining = {
        let mut row = server_row("draining", 4, Tone::Drain, "DRAIN", "10.0.1.4");
        checked(&mut row, 4, &[("L4OK", None, 12)]);
        row.sessions = Level { now: 3, max: 9 };
        row
    };
    let backend = Row {
        tone: Tone::Down,
        status: "DOWN".into(),
        balance: Some(BalanceFacts { weight: 0, user_weight: 0, active: 0, backup: 0, picked: 10 }),
        queue: Some(Level { now: 7, max: 9 }),
        ..backend_row()
    };
    section("tcp", 4, Mode::Tcp, Section::Backend, vec![t1, resting, rising, draining, backend])
}

fn transition(seconds_ago: u64, status: &str, tone: Tone, cause: &str) -> PastTransition {
    PastTransition { at: ago(seconds_ago), status: status.into(), tone, cause: cause.into() }
}

/// Gives the server a check with these results, oldest first, two seconds apart.
fn checked(row: &mut Row, health: u32, results: &[(&'static str, Option<u16>, usize)]) {
    let total: usize = results.iter().map(|(.., count)| count).sum();
    let mut checks = Vec::new();
    for (code, status, count) in results {
        for _ in 0..*count {
            let seconds = 1 + 2 * (total - checks.len() - 1) as u64;
            let ms = if *code == "L7TOUT" { 2001 } else { 1 + checks.len() as u64 % 3 };
            checks.push(past(code, *status, ago(seconds), ms));
        }
    }
    if let Some(last) = checks.last_mut() {
        last.duration = Duration::from_millis(2);
    }
    let failures = checks.iter().filter(|check| !check.passed).count() as u64;
    let Some(server) = &mut row.server else { return };
    server.check = Some(CheckFacts {
        enabled: true,
        running: false,
        failures,
        last: checks.last().cloned(),
        rise: 2,
        fall: 3,
        health,
    });
    server.checks = checks;
}

fn past(code: &'static str, status: Option<u16>, at: SystemTime, ms: u64) -> PastCheck {
    let (number, description, info, expectation) = match code {
        "L4OK" => (6, "Layer4 check passed", "", None),
        "L4CON" => (8, "Layer4 connection problem", "Connection refused", None),
        "L7OK" => (15, "Layer7 check passed", "", None),
        "L7TOUT" => (13, "Layer7 timeout", "", Some("connected, no answer within 2s")),
        _ => (17, "Layer7 wrong status", "Service Unavailable", Some("expected status 200, got 503")),
    };
    PastCheck {
        at,
        passed: code.ends_with("OK"),
        code,
        number,
        description,
        status,
        duration: Duration::from_millis(ms),
        info: info.into(),
        expectation: expectation.map(str::to_owned),
    }
}

fn frontend_row() -> Row {
    Row {
        kind: RowKind::Frontend,
        name: "FRONTEND".into(),
        status: "OPEN".into(),
        tone: Tone::Open,
        denied_requests: Some(0),
        denied_responses: Some(0),
        denied_connections: Some(0),
        denied_sessions: Some(0),
        request_errors: Some(0),
        intercepted: Some(0),
        protocols: Some(ProtocolFacts { h1_requests: 1_700_000, h2_requests: 182_313, ..ProtocolFacts::default() }),
        ..Row::empty(RowKind::Listener, "".into(), 0, Mode::Http)
    }
}

fn listener_row() -> Row {
    Row {
        kind: RowKind::Listener,
        status: "OPEN".into(),
        tone: Tone::Open,
        session_limit: Some(0),
        denied_requests: Some(0),
        denied_responses: Some(0),
        denied_connections: Some(0),
        denied_sessions: Some(0),
        request_errors: Some(0),
        ..Row::empty(RowKind::Listener, "".into(), 0, Mode::Http)
    }
}

fn backend_row() -> Row {
    Row {
        kind: RowKind::Backend,
        name: "BACKEND".into(),
        queue: Some(Level::default()),
        session_limit: Some(200),
        since: Some(Duration::from_secs(4_000)),
        downtime: Some(Duration::from_secs(0)),
        went_down: Some(0),
        denied_requests: Some(0),
        denied_responses: Some(0),
        connection_errors: Some(0),
        response_errors: Some(0),
        retries: Some(0),
        redispatches: Some(0),
        requests: Some(0),
        responses: Some([0; 6]),
        rate: Some(Rate::default()),
        client_aborts: Some(0),
        server_aborts: Some(0),
        connects: Some(0),
        reuses: Some(0),
        last_session: Some(LastSession::Never),
        times: Some(Times::default()),
        algorithm: Some("roundrobin"),
        ..Row::empty(RowKind::Listener, "".into(), 0, Mode::Http)
    }
}

fn server_row(name: &str, sid: u32, tone: Tone, status: &str, ip: &str) -> Row {
    Row {
        kind: RowKind::Server,
        name: name.into(),
        sid,
        status: status.into(),
        tone,
        balance: Some(BalanceFacts { weight: 100, user_weight: 100, active: 1, backup: 0, picked: 0 }),
        queue: Some(Level::default()),
        session_limit: (name == "master").then_some(200),
        denied_responses: Some(0),
        denied_requests: None,
        since: Some(Duration::from_secs(70)),
        address: Some(format!("{ip}:8080")),
        algorithm: None,
        server: Some(ServerFacts {
            backup: false,
            initial_weight: 100,
            ip: ip.into(),
            port: 8080,
            hostname: None,
            tls: false,
            unverified: false,
            maintenance: None,
            draining: false,
            running: true,
            stopping: false,
            score: 4,
            check: None,
            idle_connections: Level { now: 2, max: 5 },
            checks: Vec::new(),
            transitions: Vec::new(),
        }),
        ..backend_row()
    }
}
