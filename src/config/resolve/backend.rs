//! Servers that serve the same thing: one `backend`, or the back of a `listen` (HAProxy manual chapter 4).

use super::context::{Context, Section};
use super::frontend::{connection, timeout};
use super::{error_pages, forwarded, logs, rules, server, stats, tcp};
use crate::config::raw::{ProxyKind, Span, Timeouts};
use crate::model::backend::BackendTimeouts;
use crate::model::forwarded::Forwarded;
use crate::model::tcp::TcpRules;
use crate::model::{Backend, BackendId, Balance, Frontend, Global};

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
        // HAProxy's default is to insist on a server that refuses: three seconds and then 503.
        redispatch: layers.value(|proxy| proxy.redispatch.as_ref()).unwrap_or(true),
        connection: connection(section),
        forwarded: if alone { forwarded::resolve(context, section) } else { Forwarded::default() },
        error_pages: error_pages::resolve(context, section, &global.limits),
        no_store: layers.value(|proxy| proxy.no_store.as_ref()).unwrap_or(false),
        stats: if alone { stats::resolve(context, section) } else { None },
        log: logs::settings(context, section, &global.logs),
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
    }
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
