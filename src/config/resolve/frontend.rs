//! Where clients come in: one `frontend`, or the front of a `listen` (HAProxy manual chapter 4).

use std::time::Duration;

use super::context::{Context, Section};
use super::rules::Conditions;
use super::{bind, dial, error_pages, forwarded, http, logs, rules, stats, tcp};
use crate::config::raw::{self, ProxyKind, Span, Timeouts};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::backend::HttpConnectionMode;
use crate::model::frontend::FrontendTimeouts;
use crate::model::rule::{Condition, Fetch};
use crate::model::{BackendId, Frontend, FrontendId, Global, Mode};

pub(super) fn resolve<'a>(context: &Context<'a>, section: &Section<'a>, id: FrontendId, global: &Global) -> Frontend {
    let layers = &section.layers;
    let own = section.own();
    let listeners = bind::resolve(context, section);
    let backlog = layers.value(|proxy| proxy.backlog.as_ref());
    let backlog = backlog.or_else(|| own.bind.iter().filter_map(|bind| bind.backlog).max());
    let conditions = Conditions::of(context, section);
    let use_backend = use_backend(context, section, &conditions);
    let default_backend = default_backend(context, section);
    Frontend {
        id,
        name: section.name.into(),
        mode: section.mode,
        disabled: layers.value(|proxy| proxy.disabled.as_ref()).unwrap_or(false),
        description: own.description.clone(),
        listeners,
        routes_by_first_bytes: use_backend
            .iter()
            .any(|(condition, _)| condition.as_ref().is_some_and(|given| given.asks(Fetch::is_of_first_bytes))),
        maxconn: layers.value(|proxy| proxy.maxconn.as_ref()).filter(|most| *most > 0),
        use_backend,
        default_backend,
        tcp_request: tcp::request(context, section),
        http_request: rules::request(context, section),
        http_response: rules::response(context, section),
        timeouts: timeouts(context, section),
        log: logs::settings(context, section, &global.logs),
        stats: stats::resolve(context, section),
        connection: connection(section),
        forwarded: forwarded::resolve(context, section),
        error_pages: error_pages::resolve(context, section, &global.limits),
        no_store: layers.value(|proxy| proxy.no_store.as_ref()).unwrap_or(false),
        session_rate: layers.value(|proxy| proxy.rate_limit_sessions.as_ref()).filter(|most| *most > 0),
        keep_alive: dial::client_keep_alive(context, section),
        socket_stats: layers.value(|proxy| proxy.socket_stats.as_ref()).unwrap_or(false),
        nolinger: layers.value(|proxy| proxy.nolinger.as_ref()).unwrap_or(false),
        backlog,
        header_case: http::wanted_case(section, global, |proxy| proxy.h1_case_adjust_bogus_client.as_ref()),
    }
}

/// A TCP frontend in front of HTTP backends: HAProxy begins to speak HTTP when the backend is chosen. Here it speaks
/// HTTP from the first byte, which is the same as long as all its backends do.
pub(super) fn mode(context: &Context<'_>, section: &Section<'_>) -> Mode {
    let targets = targets(context, section);
    let is_http = |name: &str| context.backend_mode(name) == Some(Mode::Http);
    match section.mode {
        Mode::Http => {
            for (name, path) in &targets {
                if context.backend_mode(name) == Some(Mode::Tcp) {
                    let told = format!("{} is in mode http and backend `{name}` in mode tcp", section.title());
                    context.tell(path, Diagnostic::error(told).hint("give both the same `mode`"));
                }
            }
            Mode::Http
        }
        Mode::Tcp if section.kind == ProxyKind::Frontend && targets.iter().any(|(name, _)| is_http(name)) => {
            if let Some((name, path)) = targets.iter().find(|(name, _)| !is_http(name)) {
                let told = format!("{} has backends in mode http; `{name}` is in mode tcp", section.title());
                context.tell(path, Diagnostic::error(told).hint("give all of them the same `mode`"));
            }
            let told = Diagnostic::warning(format!(
                "{} is in mode tcp, its backends in mode http; it speaks HTTP",
                section.title()
            ));
            context.tell(&section.path, told.code("tcp-frontend-http-backend").hint("write `mode http` there"));
            Mode::Http
        }
        Mode::Tcp => Mode::Tcp,
    }
}

/// Every backend named, and where.
fn targets(context: &Context<'_>, section: &Section<'_>) -> Vec<(String, FieldPath)> {
    let rules = section.own().use_backend.iter().enumerate();
    let mut named: Vec<(String, FieldPath)> = rules
        .map(|(index, rule)| (rule.backend.clone(), section.path.key("use_backend").index(index).key("backend")))
        .collect();
    let default = section.layers.said("default_backend", |proxy| proxy.default_backend.as_ref());
    named.extend(default.map(|said| (said.value.clone(), said.path)));
    named.retain(|(name, _)| context.backend(name).is_some());
    named
}

fn use_backend(
    context: &Context<'_>,
    section: &Section<'_>,
    conditions: &Conditions<'_, '_>,
) -> Vec<(Option<Condition>, BackendId)> {
    let mut rules = Vec::new();
    for (index, rule) in section.own().use_backend.iter().enumerate() {
        let path = section.path.key("use_backend").index(index);
        let condition = conditions.read(&path, rule.if_.as_ref(), rule.unless.as_ref());
        let backend = backend(context, &path.key("backend"), &rule.backend);
        if let (Ok(condition), Some(backend)) = (condition, backend) {
            rules.push((condition, backend));
        }
    }
    rules
}

/// A `listen` is its own backend unless it names another.
fn default_backend(context: &Context<'_>, section: &Section<'_>) -> Option<BackendId> {
    match section.layers.said("default_backend", |proxy| proxy.default_backend.as_ref()) {
        Some(said) => backend(context, &said.path, said.value),
        None if section.kind == ProxyKind::Listen => context.backend(section.name),
        None => None,
    }
}

fn backend(context: &Context<'_>, path: &FieldPath, name: &str) -> Option<BackendId> {
    let found = context.backend(name);
    if found.is_none() {
        let mut told = Diagnostic::error(format!("backend `{name}` is not defined"));
        if name.contains("%[") {
            told = Diagnostic::error("a backend chosen by a log-format is known but not built yet");
        } else if context.raw.frontends.contains_key(name) {
            told = told.hint(format!("`{name}` is a frontend"));
        } else {
            told = told.suggest(name, context.backend_names());
        }
        context.tell(path, told);
    }
    found
}

fn timeouts(context: &Context<'_>, section: &Section<'_>) -> FrontendTimeouts {
    let time = |field: &str, pick: fn(&Timeouts) -> Option<&Span>| timeout(context, section, field, pick);
    let client = time("client", |timeout| timeout.client.as_ref());
    FrontendTimeouts {
        client,
        http_request: time("http_request", |timeout| timeout.http_request.as_ref()),
        http_keep_alive: time("http_keep_alive", |timeout| timeout.http_keep_alive.as_ref()),
        client_fin: time("client_fin", |timeout| timeout.client_fin.as_ref()),
        client_handshake: time("client_hs", |timeout| timeout.client_hs.as_ref()).or(client),
        tarpit: time("tarpit", |timeout| timeout.tarpit.as_ref())
            .or_else(|| time("connect", |timeout| timeout.connect.as_ref())),
    }
}

/// One timeout, inherited or not; 0 waits for ever, as in HAProxy.
pub(super) fn timeout(
    context: &Context<'_>,
    section: &Section<'_>,
    field: &str,
    pick: fn(&Timeouts) -> Option<&Span>,
) -> Option<Duration> {
    let said = section.layers.said(&format!("timeout.{field}"), |proxy| pick(&proxy.timeout))?;
    context.time(&said).filter(|time| !time.is_zero())
}

pub(super) fn connection(section: &Section<'_>) -> HttpConnectionMode {
    match section.layers.value(|proxy| proxy.http_connection.as_ref()) {
        Some(raw::HttpConnection::KeepAlive) | None => HttpConnectionMode::KeepAlive,
        Some(raw::HttpConnection::ServerClose) => HttpConnectionMode::ServerClose,
        Some(raw::HttpConnection::Close) => HttpConnectionMode::Close,
    }
}
