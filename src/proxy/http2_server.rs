//! HTTP/2 clients: each stream is an exchange of its own, side by side on one connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use super::answer::{self, LocalAnswer};
use super::clock;
use super::connection::Connection;
use super::downstream::{BodyFraming, Downstream, LINGER, LINGER_BYTES};
use super::exchange::{self, Next, Scratch, Setting};
use super::http1_server;
use super::http2_connection::{self, Exchanging, Http2Request, Http2Settings, Taken};
use super::http2_stream::Http2Stream;
use super::record::Bytes;
use super::stream::Stream;
use super::timer::Timer;
use super::upstream::slot::Slot;
use super::view::View;
use crate::http::RequestHead;
use crate::logline::{Cause, Phase};
use crate::wire::http2_frames::Refusal;

/// Serves requests until one side has had enough. `early` was read already.
pub(crate) async fn serve(connection: Box<Connection>, stream: Stream, early: Vec<u8>) {
    connection.count().h2_sessions.add(1);
    let connection: Rc<Connection> = Rc::from(connection);
    let timeouts = &connection.frontend().config.timeouts;
    let settings = Http2Settings::new(&connection.view.config.global, timeouts);
    let place = Rc::new(Place::new(&connection));
    let (streams, views) = (Rc::clone(&connection), Rc::clone(&place));
    let leaving = || connection.worker.is_leaving() || place.newest(&connection).is_none();
    let take_up = move |request, running| exchange(Rc::clone(&streams), Rc::clone(&views), request, running);
    let refused = |refusal| match refusal {
        Refusal::Malformed => log_refused(&connection, NOT_ANSWERED),
        Refusal::TooLarge => log_refused(&connection, 431),
    };
    let timer = &connection.timer;
    let served = http2_connection::run(stream, early, settings, timer, leaving, take_up, refused).await;
    if let Err(bad) = served {
        tracing::debug!(client = ?connection.ends.get().peer, %bad, "HTTP/2 connection ended");
        if bad.is_protocol() {
            log_refused(&connection, NOT_ANSWERED);
        }
    }
}

/// The status HAProxy's log shows where HTTP/2 has refused what could not be read (run against 2.6).
const NOT_ANSWERED: u16 = 0;

/// A client that did not keep to the protocol is logged as one whose request could not be read.
fn log_refused(connection: &Connection, status: u16) {
    let view = Rc::clone(&connection.view);
    let setting = Setting { connection, view: &view, frontend: connection.frontend(), timer: &connection.timer };
    let mut scratch = connection.worker.exchanges.take();
    scratch.account.begin_broken(clock::now());
    scratch.account.answered_locally(status);
    scratch.account.end(Cause::Proxy, Phase::Request);
    scratch.account.write(&setting, &scratch.request, Bytes::default());
    connection.worker.exchanges.give(scratch);
}

/// Where a connection stands in the configuration in force. Looked for anew only after a reload.
struct Place(RefCell<(Rc<View>, Option<usize>)>);

impl Place {
    fn new(connection: &Connection) -> Self {
        let view = Rc::clone(&connection.view);
        let index = view.listener_of(connection.listener().socket.id).map(|(index, _)| index);
        Place(RefCell::new((view, index)))
    }

    /// The configuration in force, if it still has this connection's listener: its index is the second value.
    fn newest(&self, connection: &Connection) -> Option<(Rc<View>, usize)> {
        let mut known = self.0.borrow_mut();
        if !connection.worker.is_view(&known.0) {
            let newest = connection.worker.view();
            let index = newest.listener_of(connection.listener().socket.id).map(|(index, _)| index);
            *known = (newest, index);
        }
        Some((Rc::clone(&known.0), known.1?))
    }
}

/// One request and its response, as HTTP/1 has them.
async fn exchange(connection: Rc<Connection>, place: Rc<Place>, request: Http2Request, _running: Exchanging) {
    let started = clock::now();
    let worker = &connection.worker;
    // The connection goes on without this stream.
    let _witness = worker.shared.process.panics.witness();
    let (view, frontend) = match place.newest(&connection) {
        Some((view, index)) => {
            let frontend = view.listeners[index].frontend;
            (view, frontend)
        }
        None => (Rc::clone(&connection.view), connection.listener().frontend),
    };
    let timer = worker.timers.timer();
    let frontend = view.frontend(frontend);
    let setting = Setting { connection: &connection, view: &view, frontend, timer: &timer };
    let mut scratch = worker.exchanges.take();
    let Taken { mut stream, read } = request.into_parts(&mut scratch.request, &view.config.global.limits);
    let head_len = scratch.request.head_len() as u64;
    connection.count().h2_requests.add(1);
    let next = match read {
        Err(bad) => {
            tracing::debug!(client = ?connection.ends.get().peer, %bad, "bad request");
            scratch.account.begin_broken(started);
            scratch.account.end(Cause::Proxy, Phase::Request);
            answer::send(&setting, &mut scratch, &mut stream, LocalAnswer::Error(bad.status()), None).await
        }
        Ok(()) => {
            scratch.account.begin(started, std::time::Duration::ZERO, connection.handshake);
            scratch.account.capture_request(&scratch.request, &frontend.config.log.request_captures);
            exchange::run(&setting, &mut scratch, &mut stream).await
        }
    };
    let (body, sent) = stream.transferred();
    let mut bytes = Bytes { received: head_len + body, sent };
    if let Next::Tunnel { server, slot, early } = next {
        // Boxed: rare, and large.
        Box::pin(tunnel(&setting, &mut scratch, &mut stream, (server, slot, early), &mut bytes)).await;
    }
    scratch.account.write(&setting, &scratch.request, bytes);
    worker.exchanges.give(scratch);
    linger(&mut stream, &timer).await;
}

/// A WebSocket, once both sides have agreed on it.
async fn tunnel(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    client: &mut Http2Stream,
    (server, slot, early): (Stream, Slot<'_>, Vec<u8>),
    bytes: &mut Bytes,
) {
    let Some(tunnel) = client.open_tunnel() else { return };
    let mut client = Stream::Tunnel(Box::new(tunnel));
    http1_server::tunnel(setting, &mut client, server, slot, (Vec::new(), early), scratch, bytes).await;
}

/// A client that is still sending when its answer is complete is listened to for a while: some (curl 7.88 is one) lose an
/// answer whose stream is reset right behind it.
async fn linger(stream: &mut Http2Stream, timer: &Timer) {
    if !stream.is_answered() {
        return;
    }
    timer.set_after(Some(LINGER));
    let mut request = RequestHead::new();
    let (mut rest, mut total) = (Vec::new(), 0);
    while total < LINGER_BYTES && !stream.body_is_done() {
        let more = poll_fn(|cx| stream.poll_body(cx, &mut request, BodyFraming::Plain, &mut rest));
        let Some(Ok(_)) = timer.bound(more).await else { break };
        total += rest.len();
        rest.clear();
    }
}
