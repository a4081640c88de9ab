//! Servers that serve the same thing: one `backend`, or the back of a `listen` (HAProxy manual chapter 4).

use super::context::{Context, Section};
use super::frontend::{connection, timeout};
use super::{error_pages, forwarded, http, logs, rules, server, stats, tcp};
use crate::config::raw::{self, ProxyKind, Span, Timeouts};
use crate::diag::Diagnostic;
use crate::model::backend::{BackendTimeouts, HttpReuse, RetryOn};
use crate::model::forwarded::Forwarded;
use crate::model::tcp::TcpRules;
use crate::model::{Backend, BackendId, Balance, Frontend, Global, Mode};

/// HAProxy's default.
const USUAL_RETRIES: u32 = 3;

/// The back of a `listen` leaves rules, forwarded fields and the stats page to its front: both would run for the same
/// request, and a field would be added twice.
pub(super) fn resolve<'a>(context: &Context<'a>, section: &Section<'a>, id: BackendId, global: &Global) -> Backend {
    let layers = &section.layers;
    let timeouts = timeouts(context, section);
    let alone = section.kind == ProxyKind::Backend;
    Backend {
        id,
        name: section.name.into(),
        mode: section.mode,
        disabled: layers.value(|proxy| proxy.disabled.as_ref()).unwrap_or(false),
        description: section.own().description.clone(),
        balance: Balance::RoundRobin,
        servers: server::resolve_all(context, section, &timeouts),
        all_backups: layers.value(|proxy| proxy.allbackups.as_ref()).unwrap_or(false),
        tcp_request: if alone { tcp::request(context, section) } else { TcpRules::default() },
        http_request: if alone { rules::request(context, section) } else { Vec::new() },
        http_response: if alone { rules::response(context, section) } else { Vec::new() },
        timeouts,
        retries: layers.value(|proxy| proxy.retries.as_ref()).unwrap_or(USUAL_RETRIES),
        redispatch: redispatch(context, section),
        retry_on: retry_on(context, section),
        http_reuse: match layers.value(|proxy| proxy.http_reuse.as_ref()) {
            Some(raw::HttpReuse::Never) => HttpReuse::Never,
            Some(raw::HttpReuse::Safe) | None => HttpReuse::Safe,
            Some(raw::HttpReuse::Aggressive) => HttpReuse::Aggressive,
            Some(raw::HttpReuse::Always) => HttpReuse::Always,
        },
        prefer_last_server: layers.value(|proxy| proxy.prefer_last_server.as_ref()).unwrap_or(false),
        max_keep_alive_queue: max_keep_alive_queue(context, section),
        abort_on_close: layers.value(|proxy| proxy.abortonclose.as_ref()).unwrap_or(false),
        connection: connection(section),
        forwarded: if alone { forwarded::resolve(context, section) } else { Forwarded::default() },
        error_pages: error_pages::resolve(context, section, &global.limits),
        no_store: layers.value(|proxy| proxy.no_store.as_ref()).unwrap_or(false),
        stats: if alone { stats::resolve(context, section) } else { None },
        log: logs::settings(context, section, &global.logs),
        header_case: http::wanted_case(section, global, |proxy| proxy.h1_case_adjust_bogus_server.as_ref()),
        fullconn: layers.value(|proxy| proxy.fullconn.as_ref()).unwrap_or(0),
    }
}

fn timeouts(context: &Context<'_>, section: &Section<'_>) -> BackendTimeouts {
    let time = |field: &str, pick: fn(&Timeouts) -> Option<&Span>| timeout(context, section, field, pick);
    let connect = time("connect", |timeout| timeout.connect.as_ref());
    BackendTimeouts {
        connect,
        server: time("server", |timeout| timeout.server.as_ref()),
        server_fin: time("server_fin", |timeout| timeout.server_fin.as_ref()),
        tunnel: time("tunnel", |timeout| timeout.tunnel.as_ref()),
        queue: time("queue", |timeout| timeout.queue.as_ref()).or(connect),
        check: time("check", |timeout| timeout.check.as_ref()),
        tarpit: time("tarpit", |timeout| timeout.tarpit.as_ref()).or(connect),
    }
}

/// HAProxy's default is to insist on a server that refuses: three seconds and then 503. Here it is every retry.
fn redispatch(context: &Context<'_>, section: &Section<'_>) -> i32 {
    // The number belongs to the nearest line that says whether at all.
    let mut layers = section.layers.iter();
    let said = layers.find(|layer| layer.proxy.redispatch.is_some() || layer.proxy.redispatch_interval.is_some());
    let Some(layer) = said else { return -1 };
    if layer.proxy.redispatch_interval == Some(0) {
        let told = Diagnostic::error("an interval of 0 is none").hint("write `redispatch: false`");
        context.tell(&layer.path.key("redispatch_interval"), told);
    }
    match layer.proxy.redispatch {
        Some(false) => 0,
        Some(true) | None => layer.proxy.redispatch_interval.unwrap_or(-1),
    }
}

/// -1 is no limit.
fn max_keep_alive_queue(context: &Context<'_>, section: &Section<'_>) -> Option<u32> {
    let said = section.layers.said("max_keep_alive_queue", |proxy| proxy.max_keep_alive_queue.as_ref())?;
    if *said.value < -1 {
        context.error(&said.path, "`max_keep_alive_queue` is -1, which is no limit, or at least 0");
    }
    u32::try_from(*said.value).ok()
}

fn retry_on(context: &Context<'_>, section: &Section<'_>) -> RetryOn {
    let said = section.layers.said("retry_on", |proxy| Some(&proxy.retry_on).filter(|words| !words.is_empty()));
    let Some(said) = said else { return RetryOn::default() };
    if section.mode == Mode::Tcp {
        return RetryOn::default(); // there are no answers to judge (manual 4.2 `retry-on`)
    }
    let words = said.value.as_slice();
    let mut all = RetryOn::NONE;
    for (index, word) in words.iter().enumerate() {
        let path = if words.len() == 1 { said.path.clone() } else { said.path.index(index) };
        match retry_on_word(word) {
            Some(RetryOn::NONE) if words.len() > 1 => {
                context.error(&path, "`none` and other reasons to retry exclude each other");
            }
            Some(reason) => all = all.and(reason),
            None => {
                let message = format!("`{word}` is not a reason to send a request again");
                let statuses = RetryOn::STATUSES.map(|status| status.to_string()).join(", ");
                let hint = format!("known are {} and the statuses {statuses}", RETRY_WORDS.join(", "));
                context.tell(&path, Diagnostic::error(message).suggest(word, RETRY_WORDS).hint(hint));
            }
        }
    }
    all
}

const RETRY_WORDS: [&str; 7] = [
    "none",
    "conn-failure",
    "empty-response",
    "junk-response",
    "response-timeout",
    "0rtt-rejected",
    "all-retryable-errors",
];

fn retry_on_word(word: &str) -> Option<RetryOn> {
    Some(match word {
        "none" => RetryOn::NONE,
        "conn-failure" => RetryOn::CONN_FAILURE,
        "empty-response" => RetryOn::EMPTY_RESPONSE,
        "junk-response" => RetryOn::JUNK_RESPONSE,
        "response-timeout" => RetryOn::RESPONSE_TIMEOUT,
        "0rtt-rejected" => RetryOn::EARLY_DATA_REJECTED,
        "all-retryable-errors" => RetryOn::all_retryable(),
        status => RetryOn::status(status.parse().ok()?)?,
    })
}

/// Gives every backend without `fullconn` a tenth of the connections its frontends may have (manual 4.2 `fullconn`).
pub(super) fn share_out_fullconn(backends: &mut [Backend], frontends: &[Frontend], maxconn: u32) {
    for backend in backends.iter_mut().filter(|backend| backend.fullconn == 0) {
        let leads_here = |frontend: &&Frontend| {
            let rules = frontend.use_backend.iter().map(|(_, target)| *target);
            rules.chain(frontend.default_backend).any(|target| target == backend.id)
        };
        let most = |frontend: &Frontend| u64::from(frontend.maxconn.unwrap_or(maxconn));
        let all: u64 = frontends.iter().filter(leads_here).map(most).sum();
        backend.fullconn = u32::try_from(all / 10).unwrap_or(u32::MAX).max(1);
    }
}
