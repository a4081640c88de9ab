//! What does a valid configuration do? In a few lines for people, as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{Loaded, detection_time};
use crate::diag::{Diagnostic, Sources};
use crate::model::backend::{Role, ServerAddress};
use crate::model::check::CheckKind;
use crate::model::frontend::{ListenAddress, Listener};
use crate::model::{Backend, Config, Frontend, Mode, Server};

/// Files read, then a line for each frontend and backend; with `verbose` one for each server.
pub(crate) fn text(config: &Config, sources: &Sources, verbose: bool) -> String {
    let mut out = String::new();
    let files: Vec<&str> = sources.names().collect();
    let servers: usize = config.backends.iter().map(|backend| backend.servers.len()).sum();
    let _ = writeln!(out, "read       {}", files.join(", "));
    let _ = writeln!(
        out,
        "process    {}, {} client connections at most",
        count(config.global.threads.get(), "worker"),
        config.global.maxconn
    );
    let _ = writeln!(out, "frontends  {}", config.frontends.len());
    let width = widest(config);
    for frontend in &config.frontends {
        let _ = writeln!(out, "  {:width$}  {}", frontend.name, of_frontend(frontend, config));
    }
    let _ = writeln!(out, "backends   {}, {}", config.backends.len(), count(servers, "server"));
    for backend in &config.backends {
        let _ = writeln!(out, "  {:width$}  {}", backend.name, of_backend(backend));
        for server in backend.servers.iter().filter(|_| verbose) {
            let _ = writeln!(out, "    {}", of_server(server));
        }
    }
    out
}

fn widest(config: &Config) -> usize {
    let frontends = config.frontends.iter().map(|frontend| frontend.name.len());
    frontends.chain(config.backends.iter().map(|backend| backend.name.len())).max().unwrap_or(0)
}

fn of_frontend(frontend: &Frontend, config: &Config) -> String {
    let mut parts = vec![mode(frontend.mode).to_owned()];
    let listeners: Vec<String> = frontend.listeners.iter().map(of_listener).collect();
    parts.push(if listeners.is_empty() { "no address".to_owned() } else { listeners.join(" ") });
    let mut backends: Vec<&str> = Vec::new();
    for id in frontend.use_backend.iter().map(|(_, id)| *id).chain(frontend.default_backend) {
        let name = config.backends.get(id.index()).map_or("?", |backend| &*backend.name);
        if !backends.contains(&name) {
            backends.push(name);
        }
    }
    if !backends.is_empty() {
        parts.push(format!("to {}", backends.join(", ")));
    }
    if let Some(stats) = &frontend.stats {
        parts.push(format!("stats page at {}", stats.uri));
    }
    if frontend.disabled {
        parts.push("disabled".to_owned());
    }
    parts.join(", ")
}

fn of_listener(listener: &Listener) -> String {
    let address = match &listener.address {
        ListenAddress::Tcp { address, .. } => address.to_string(),
        ListenAddress::Unix(unix) => unix.path.display().to_string(),
    };
    match &listener.tls {
        Some(tls) => format!("{address} (TLS, {})", count(tls.certificates.len(), "certificate")),
        None => address,
    }
}

fn of_backend(backend: &Backend) -> String {
    let backups = backend.servers.iter().filter(|server| server.role == Role::Backup).count();
    let mut parts = vec![mode(backend.mode).to_owned(), count(backend.servers.len(), "server")];
    if backups > 0 {
        parts.push(format!("{backups} backup"));
    }
    match (worst_detection(backend), unchecked(backend)) {
        _ if backend.servers.is_empty() => {}
        (None, _) => parts.push("no server is checked: a dead one keeps its share of traffic".to_owned()),
        (Some(time), 0) => parts.push(format!("a dead server is noticed within {}", seconds(time))),
        (Some(time), rest) => {
            parts.push(format!("a dead checked server is noticed within {}, {rest} not checked", seconds(time)));
        }
    }
    parts.join(", ")
}

fn of_server(server: &Server) -> String {
    let mut parts = vec![format!("{} {}", server.name, server_address(&server.address))];
    if server.role == Role::Backup {
        parts.push("backup".to_owned());
    }
    if server.weight != 1 {
        parts.push(format!("weight {}", server.weight));
    }
    if server.tls.is_some() {
        parts.push("TLS".to_owned());
    }
    parts.push(match server.check.as_deref() {
        None => "not checked".to_owned(),
        Some(check) => {
            let what = match &check.kind {
                CheckKind::Connect => "connect".to_owned(),
                CheckKind::Http(http) => format!("{} {}", http.method, http.uri),
            };
            let target = server_address(&check.target);
            let every = seconds(check.interval);
            format!("check: {what} at {target} every {every}, rise {}, fall {}", check.rise, check.fall)
        }
    });
    parts.join(", ")
}

/// How long the slowest checked server may be dead unnoticed.
fn worst_detection(backend: &Backend) -> Option<Duration> {
    backend.servers.iter().filter_map(|server| server.check.as_deref()).map(detection_time).max()
}

fn unchecked(backend: &Backend) -> usize {
    backend.servers.iter().filter(|server| server.check.is_none()).count()
}

/// Everything `check` knows, under stable names.
pub(crate) fn json(loaded: &Loaded, valid: bool) -> Value {
    let config = loaded.config.as_ref();
    json!({
        "valid": valid,
        "files": loaded.sources.names().collect::<Vec<_>>(),
        "errors": loaded.diagnostics.errors(),
        "warnings": loaded.diagnostics.warnings(),
        "diagnostics": loaded.diagnostics.iter().map(json_diagnostic).collect::<Vec<_>>(),
        "frontends": config.map(|config| config.frontends.iter().map(|frontend| json_frontend(frontend)).collect::<Vec<_>>()),
        "backends": config.map(|config| config.backends.iter().map(|backend| json_backend(backend)).collect::<Vec<_>>()),
    })
}

fn json_diagnostic(diagnostic: &Diagnostic) -> Value {
    let place = diagnostic.position.as_ref();
    json!({
        "severity": diagnostic.severity.to_string(),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "file": place.map(|place| &*place.file),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "length": place.map(|place| place.length),
    })
}

fn json_frontend(frontend: &Frontend) -> Value {
    json!({
        "name": &*frontend.name,
        "mode": mode(frontend.mode),
        "listeners": frontend.listeners.iter().map(of_listener).collect::<Vec<_>>(),
    })
}

fn json_backend(backend: &Backend) -> Value {
    let servers = backend.servers.iter().map(|server| {
        json!({
            "name": &*server.name,
            "address": server_address(&server.address),
            "backup": server.role == Role::Backup,
            "weight": server.weight,
            "detection_ms": server.check.as_deref().map(detection_time).map(|time| time.as_millis() as u64),
        })
    });
    json!({ "name": &*backend.name, "mode": mode(backend.mode), "servers": servers.collect::<Vec<_>>() })
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
    }
}

fn server_address(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Tcp(address) => address.to_string(),
        unix @ ServerAddress::Unix(_) => unix.to_string(),
    }
}

/// `1 server`, `2 servers`.
fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// `2s`, `1.5s`, `200ms`.
fn seconds(time: Duration) -> String {
    match (time.as_millis(), time.as_secs_f64()) {
        (ms, _) if ms < 1000 => format!("{ms}ms"),
        (_, seconds) => format!("{seconds}s"),
    }
}
