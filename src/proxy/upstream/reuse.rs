//! Which connections may a request use that others have used, and which are kept behind it? (HAProxy manual 4.2 `http-reuse`)

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use super::super::clock;
use super::super::exchange::{Scratch, Setting, Upstream};
use super::super::stream::Stream;
use super::http2_exchange::Lost;
use super::http2_pool::Http2Pool;
use super::own::Bond;
use super::pool::FRESH;
use crate::balance::idle::{Kept, Wanted};
use crate::http::RequestHead;
use crate::model::BackendId;
use crate::model::backend::HttpReuse;
use crate::model::http::ServerProtocol;
use crate::model::tls::ServerSni;
use crate::rules::address_in;
use crate::state::snapshot::{BackendInForce, ServerInForce};

/// Which idle connections may be tried for a request (HAProxy manual 4.2 `http-reuse`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It is its client's first.
    First,
    Later,
    /// An idle connection has just turned out dead: only what is shared with others, over HTTP/2, and not idle.
    Shared,
    /// That was dead, too, or what ended it may happen again: a new connection, for this request alone.
    Never,
}

impl Reuse {
    /// After a connection that ended before its answer. No more than two are tried in vain.
    pub fn after(self, ended: &Stream) -> Self {
        match self {
            Reuse::First | Reuse::Later if ended.lost() != Some(Lost::Spoilt) => Reuse::Shared,
            _ => Reuse::Never,
        }
    }

    /// For one more attempt, after one that failed over this.
    pub fn on_retry(self, failed: &Stream) -> Self {
        if matches!(failed.lost(), Some(Lost::Spoilt | Lost::Malformed)) { Reuse::Never } else { self.shared_only() }
    }

    /// Without what is idle.
    pub fn shared_only(self) -> Self {
        if self == Reuse::Never { self } else { Reuse::Shared }
    }
}

/// Whether connections to this server belong to the client they were made for: they began with its address or come from
/// it, or it was said that none is shared.
pub(in super::super) fn is_private(backend: &BackendInForce, server: &ServerInForce) -> bool {
    server.config.send_proxy.is_some()
        || server.config.presents_clients()
        || backend.config.http_reuse == HttpReuse::Never
}

/// The HTTP/2 connections that a request may have a stream of: everybody's that wish the same, or those of its client. `None` where
/// the server does not speak it.
pub(in super::super) fn http2_pool(
    setting: &Setting<'_>,
    request: &RequestHead,
    id: BackendId,
    backend: &BackendInForce,
    server: &ServerInForce,
) -> Option<Rc<Http2Pool>> {
    if server.config.protocol == ServerProtocol::Http1 {
        return None;
    }
    let wish = wish(setting, server, request);
    let shared = || setting.view.pool(id, server.config.id).http2(wish.as_deref());
    let shared = if is_private(backend, server) { None } else { shared() };
    Some(shared.unwrap_or_else(|| setting.connection.client.http2(server, wish.as_deref())))
}

/// What a connection is opened for, where that is the request's wish: no request that wishes otherwise may use it.
fn wish<'a>(setting: &Setting<'a>, server: &ServerInForce, request: &'a RequestHead) -> Option<Cow<'a, [u8]>> {
    let sni = server.config.tls.as_ref().and_then(|tls| tls.sni.as_ref());
    let name = match sni {
        Some(ServerSni::RequestHost) => Some(request.host().unwrap_or_default()),
        Some(ServerSni::ClientSni) => Some(setting.connection.sni().unwrap_or_default()),
        Some(ServerSni::Fixed(_)) | None => None,
    };
    if server.config.presents_field().is_none() {
        return name.map(Cow::Borrowed);
    }
    // A NUL stands in no name.
    let source = source_named(server, request).map(|address| address.to_string()).unwrap_or_default();
    Some([name.unwrap_or_default(), b"\0", source.as_bytes()].concat().into())
}

/// The address that a field of the request names for the server to see (`usesrc hdr_ip`).
pub(in super::super) fn source_named(server: &ServerInForce, request: &RequestHead) -> Option<IpAddr> {
    address_in(server.config.presents_field()?, request)
}

/// An idle connection, the requests sent over it, and whether it is this client's own.
pub(in super::super) fn checkout(
    setting: &Setting<'_>,
    scratch: &Scratch,
    id: BackendId,
    backend: &BackendInForce,
    server: &ServerInForce,
    reuse: Reuse,
) -> Option<(Stream, u32, bool)> {
    if reuse == Reuse::Never {
        return None;
    }
    if let Some(pool) = http2_pool(setting, &scratch.request, id, backend, server)
        && let Some(stream) = pool.open_stream(server.config.pool.max_reuse)
    {
        return Some((stream, 0, is_private(backend, server)));
    }
    if reuse == Reuse::Shared {
        return None;
    }
    let wish = wish(setting, server, &scratch.request);
    let wish = wish.as_deref();
    // What is its own was perhaps authenticated as it: nothing else will do.
    if let Some((stream, uses)) = setting.connection.client.checkout(server, wish) {
        return Some((stream, uses, true));
    }
    let proven = match (backend.config.http_reuse, reuse) {
        (HttpReuse::Safe, Reuse::First) => return None,
        (HttpReuse::Aggressive, Reuse::First) => true,
        _ => false,
    };
    if is_private(backend, server) {
        return None;
    }
    let within = (!scratch.request.is_idempotent()).then_some(FRESH);
    let pool = setting.view.pool(id, server.config.id);
    let kept = pool.checkout(clock::now(), Wanted { proven, within, wish })?;
    Some((kept.connection, kept.uses, false))
}

/// Keeps a connection whose last response has been read to its end, for this client or for all.
pub(in super::super) fn keep(
    setting: &Setting<'_>,
    scratch: &Scratch,
    id: BackendId,
    backend: &BackendInForce,
    upstream: Upstream<'_>,
) {
    let server = backend.server(upstream.slot.server);
    let kept = Kept {
        connection: upstream.stream,
        since: clock::now(),
        uses: upstream.uses + 1,
        wish: wish(setting, server, &scratch.request).map(Box::from),
    };
    if upstream.private {
        setting.connection.client.checkin(server, kept);
    } else {
        setting.view.pool(id, upstream.slot.server).checkin(kept);
    }
}

/// A client that was asked who it is answers the server that asked; and one may be kept at its server by
/// `option prefer-last-server` (HAProxy manual 4.2).
pub(in super::super) fn stick(setting: &Setting<'_>, backend: &BackendInForce, upstream: &Upstream<'_>, status: u16) {
    let bond = match status {
        401 | 407 => Some(Bond::Challenge),
        _ => backend.config.prefer_last_server.then_some(Bond::Wish),
    };
    setting.connection.client.stick_to(bond.map(|bond| (upstream.slot.state(), bond)));
}
