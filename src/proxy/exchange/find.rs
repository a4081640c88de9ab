//! A server for one exchange: a place and a connection, kept or new, with the retries the backend allows.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::super::downstream::Downstream;
use super::super::rules_context::proxy_values;
use super::super::upstream::OnBehalfOf;
use super::super::upstream::attempts::{Attempts, NoUpstream};
use super::super::upstream::http2_pool::{Sharing, reach};
use super::super::upstream::reuse::{Reuse, checkout, http2_pool, is_private, source_named};
use super::super::upstream::slot::{NoServer, Slot, Wish, acquire, try_acquire};
use super::{Scratch, Setting, Upstream};
use crate::http::RequestHead;
use crate::logline::{Cause, Phase};
use crate::model::BackendId;
use crate::state::snapshot::BackendInForce;

const NO_SERVER: NoUpstream = (Some(503), Cause::Server, Phase::Connect);

/// What is there for a request without waiting.
pub(super) enum Found<'b> {
    /// A connection that others have used.
    Kept(Upstream<'b>),
    /// A place at a server, but no such connection to it.
    Slot(Slot<'b>),
    Full,
}

/// A slot and a kept connection, which is all that most requests need. On failure: as [`find_server`].
pub(super) fn look<'b>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    id: BackendId,
    backend: &'b BackendInForce,
    attempts: &Attempts,
) -> Result<Found<'b>, NoUpstream> {
    match try_acquire(backend, attempts.wish) {
        Ok(Some(slot)) => Ok(take_kept(setting, scratch, id, backend, attempts, slot)),
        Ok(None) => Ok(Found::Full),
        Err(_) => {
            scratch.account.unserved(setting.connection.worker.index, backend);
            Err(NO_SERVER)
        }
    }
}

fn take_kept<'b>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    id: BackendId,
    backend: &'b BackendInForce,
    attempts: &Attempts,
    slot: Slot<'b>,
) -> Found<'b> {
    scratch.account.give_to(setting.connection.worker.index, backend, &slot, attempts);
    let server = backend.server(slot.server);
    if server.websockets.is_some() && asks_for_websocket(&scratch.request) {
        return Found::Slot(slot);
    }
    let Some((stream, uses, private)) = checkout(setting, scratch, id, backend, server, attempts.reuse_now()) else {
        return Found::Slot(slot);
    };
    scratch.account.reused(setting.connection.worker.index, backend, &slot);
    Found::Kept(Upstream { stream, slot, reused: true, uses, private, aside: false })
}

/// A slot and a connection, from the pool or new, with the retries the backend allows; `found` is what there was at the first
/// look. On failure: the status to answer and how it is logged.
pub(super) async fn find_server<'b, D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    id: BackendId,
    backend: &'b BackendInForce,
    attempts: &mut Attempts,
    mut found: Found<'b>,
) -> Result<Upstream<'b>, NoUpstream> {
    loop {
        let slot = match found {
            Found::Kept(upstream) => return Ok(upstream),
            Found::Slot(slot) => slot,
            Found::Full => {
                let slot = wait_for_slot(setting, scratch, down, backend, attempts.wish).await?;
                found = take_kept(setting, scratch, id, backend, attempts, slot);
                continue;
            }
        };
        let server = backend.server(slot.server);
        let aside = server.websockets.as_deref().filter(|_| asks_for_websocket(&scratch.request));
        scratch.account.connecting(setting.connection.worker.index, backend, &slot);
        let named = source_named(server, &scratch.request);
        let values = proxy_values(setting, &backend.config.name, &server.config, Some(&scratch.request), None);
        let client = OnBehalfOf { named, ..OnBehalfOf::of(setting.connection) }.telling(&values);
        let may_share = aside.is_none() && attempts.reuse_now() != Reuse::Never;
        let pool = may_share.then(|| http2_pool(setting, &scratch.request, id, backend, server)).flatten();
        let sharing = Sharing { pool: pool.as_deref(), most_uses: server.config.pool.max_reuse };
        let (server, aside) = (aside.unwrap_or(server), aside.is_some());
        let (timeout, timer) = (backend.config.timeouts.connect, setting.timer);
        let global = &setting.view.config.global;
        // Boxed: rare beside the requests that find a pooled connection, and large.
        let connected = if backend.config.abort_on_close {
            let host = scratch.request.host().map(<[u8]>::to_vec);
            let connecting = reach(server, timeout, client, host.as_deref(), timer, sharing, global);
            let connecting = Box::pin(slot.unless_killed(connecting));
            let connected = unless_left(connecting, down, &mut scratch.request).await;
            connected.ok_or_else(|| client_left(setting, scratch, backend))?
        } else {
            let connecting = reach(server, timeout, client, scratch.request.host(), timer, sharing, global);
            Box::pin(slot.unless_killed(connecting)).await
        };
        match connected.ok_or((None, Cause::Killed, Phase::Normal))? {
            Ok((stream, reused)) => {
                scratch.account.connected();
                return Ok(Upstream { stream, slot, reused, uses: 0, private: is_private(backend, server), aside });
            }
            Err(error) => {
                let Scratch { request, account, .. } = &mut *scratch;
                // Boxed: rare, and it may wait.
                let failing = Box::pin(attempts.fail(setting, backend, slot, &error, account));
                let last = if backend.config.abort_on_close {
                    let last = unless_left(failing, down, request).await;
                    last.ok_or_else(|| client_left(setting, scratch, backend))?
                } else {
                    failing.await
                };
                if let Some(failed) = last {
                    return Err(failed);
                }
                found = look(setting, scratch, id, backend, attempts)?;
            }
        }
    }
}

fn client_left(setting: &Setting<'_>, scratch: &mut Scratch, backend: &BackendInForce) -> NoUpstream {
    scratch.account.client_left(setting.connection.worker.index, backend);
    (None, Cause::Client, Phase::Connect)
}

fn asks_for_websocket(request: &RequestHead) -> bool {
    request.upgrade().is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// `None` when the client closed first (`option abortonclose`).
async fn unless_left<D: Downstream, F: Future + Unpin>(
    mut connecting: F,
    down: &mut D,
    request: &mut RequestHead,
) -> Option<F::Output> {
    poll_fn(|cx| match Pin::new(&mut connecting).poll(cx) {
        Poll::Ready(connected) => Poll::Ready(Some(connected)),
        Poll::Pending => down.poll_left(cx, request, true).map(|_| None),
    })
    .await
}

async fn wait_for_slot<'b, D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    backend: &'b BackendInForce,
    wish: Wish,
) -> Result<Slot<'b>, NoUpstream> {
    let request = &mut scratch.request;
    let abort_on_close = backend.config.abort_on_close;
    let gone = poll_fn(|cx| down.poll_left(cx, request, abort_on_close).map(|_| ()));
    let (slot, waited) = acquire(backend, wish, scratch.handling, setting.timer, gone).await;
    if waited.place > 0 {
        scratch.account.waited(&waited);
    }
    match slot {
        Ok(slot) => Ok(slot),
        Err(NoServer::NoneUp) => {
            scratch.account.unserved(setting.connection.worker.index, backend);
            Err(NO_SERVER)
        }
        Err(NoServer::QueueTimedOut) => {
            scratch.account.unserved(setting.connection.worker.index, backend);
            Err((Some(503), Cause::ServerTimeout, Phase::Queue))
        }
        Err(NoServer::ClientGone) => {
            scratch.account.client_left(setting.connection.worker.index, backend);
            Err((None, Cause::Client, Phase::Queue))
        }
    }
}
