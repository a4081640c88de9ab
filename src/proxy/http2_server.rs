//! HTTP/2 clients: each stream is an exchange of its own, side by side on one connection.

use std::future::poll_fn;
use std::rc::Rc;

use super::answer::{self, LocalAnswer};
use super::clock;
use super::connection::Connection;
use super::downstream::{BodyFraming, Downstream, LINGER, LINGER_BYTES};
use super::exchange::{self, Setting};
use super::http2_connection::{self, Http2Request, Http2Settings};
use super::http2_stream::Http2Stream;
use super::record::Bytes;
use super::stream::Stream;
use super::timer::Timer;
use super::view::View;
use crate::http::RequestHead;
use crate::logline::{Cause, Phase};

/// Serves requests until one side has had enough.
pub(crate) async fn serve(connection: Box<Connection>, stream: Stream) {
    connection.count().h2_sessions.add(1);
    let connection: Rc<Connection> = Rc::from(connection);
    let timeouts = &connection.frontend().config.timeouts;
    let settings = Http2Settings::new(connection.view.config.global.limits, timeouts);
    let streams = Rc::clone(&connection);
    let leaving = || connection.worker.is_leaving() || newest_view(&connection).is_none();
    let take_up = move |request| exchange(Rc::clone(&streams), request);
    let served = http2_connection::run(stream, settings, &connection.timer, leaving, take_up).await;
    if let Err(bad) = served {
        tracing::debug!(client = ?connection.ends.peer, %bad, "HTTP/2 connection ended");
        if bad.is_protocol() {
            log_broken(&connection);
        }
    }
}

/// A client that did not keep to the protocol is logged as one whose request could not be read.
fn log_broken(connection: &Connection) {
    let view = Rc::clone(&connection.view);
    let setting = Setting { connection, view: &view, frontend: connection.frontend(), timer: &connection.timer };
    let mut scratch = connection.worker.exchanges.take();
    scratch.account.begin_broken(clock::now());
    scratch.account.end(Cause::Proxy, Phase::Request);
    scratch.account.write(&setting, &scratch.request, Bytes::default());
    connection.worker.exchanges.give(scratch);
}

/// The configuration in force, if it still has this connection's listener: its index is the second value.
fn newest_view(connection: &Connection) -> Option<(Rc<View>, usize)> {
    let newest = connection.worker.view();
    let (index, _) = newest.listener_of(connection.listener().socket.id)?;
    Some((newest, index))
}

/// One request and its response, as HTTP/1 has them.
async fn exchange(connection: Rc<Connection>, request: Http2Request) {
    let started = clock::now();
    let worker = &connection.worker;
    // The connection goes on without this stream.
    let _witness = worker.shared.process.panics.witness();
    let (view, frontend) = match newest_view(&connection) {
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
    let (mut stream, read) = request.into_parts(&mut scratch.request, &view.config.global.limits);
    let head_len = scratch.request.head_len() as u64;
    connection.count().h2_requests.add(1);
    match read {
        Err(bad) => {
            tracing::debug!(client = ?connection.ends.peer, %bad, "bad request");
            scratch.account.begin_broken(started);
            scratch.account.end(Cause::Proxy, Phase::Request);
            answer::send(&setting, &mut scratch, &mut stream, LocalAnswer::Error(bad.status()), None).await;
        }
        Ok(()) => {
            scratch.account.begin(started, std::time::Duration::ZERO, connection.handshake);
            scratch.account.capture_request(&scratch.request, &frontend.config.log.request_captures);
            // There is no tunnel over HTTP/2: its requests ask for no upgrade.
            exchange::run(&setting, &mut scratch, &mut stream).await;
        }
    }
    let (body, sent) = stream.transferred();
    scratch.account.write(&setting, &scratch.request, Bytes { received: head_len + body, sent });
    worker.exchanges.give(scratch);
    linger(&mut stream, &timer).await;
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
