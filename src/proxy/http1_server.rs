//! An HTTP/1 client connection: one request after the other, parked in between with nothing but a socket and a timer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::io::AsyncWriteExt;

use super::answer::{self, LocalAnswer};
use super::buffers::LentFor;
use super::connection::Connection;
use super::downstream::{LINGER, LINGER_BYTES};
use super::exchange::{self, Next, Scratch, Setting};
use super::http1_downstream::Http1Downstream;
use super::record::Bytes;
use super::stream::Stream;
use super::tunnel::{IdleTimeouts, Tunnel};
use super::upstream::slot::Slot;
use super::worker::deadline;
use super::{clock, http2_server, worker};
use crate::http::{BadBody, BadRequest, BodyReader, Progress};
use crate::logline::{Cause, Phase};
use crate::moment::Moment;
use crate::state::events;

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests of one connection that are served before others on its worker get their turn. A client may send hundreds in one
/// go, and those that the proxy answers by itself wait for nobody.
const REQUESTS_IN_A_ROW: u32 = 16;

/// What came while a connection was parked.
enum Arrival {
    /// The first bytes of a request.
    Bytes(Vec<u8>),
    Closed,
    TimedOut,
    /// The process or the listener is going away.
    Leaving,
    Broken,
}

/// What a request's head came to.
enum HeadRead {
    Complete,
    Bad(BadRequest),
    /// The body's first bytes, which came with it, are malformed.
    BadBody(BadBody),
    TimedOut,
    Gone,
}

/// What is there of a connection between two requests, on the heap and once: in the future it would be held by each that
/// hands it on.
struct Parked {
    /// Closed first: whoever gets the connection's place is not to find one more open than there may be.
    stream: Stream,
    connection: Connection,
    /// Read already.
    rest: Vec<u8>,
    idle_since: Moment,
    /// Nothing has been asked yet.
    first: bool,
}

/// Serves requests until one side has had enough. `rest` was read already.
pub(crate) fn serve(connection: Box<Connection>, stream: Stream, rest: Vec<u8>) -> impl Future<Output = ()> {
    let idle_since = connection.accepted;
    let mut parked = Box::new(Parked { connection: *connection, stream, rest, idle_since, first: true });
    async move {
        loop {
            let input = if parked.rest.is_empty() {
                match park(&mut parked).await {
                    Arrival::Bytes(input) => input,
                    Arrival::TimedOut if parked.first => {
                        return Box::pin(refuse_silence(&parked.connection, &mut parked.stream)).await;
                    }
                    Arrival::Closed | Arrival::Broken if parked.first => return log_null(&parked.connection),
                    _ => break,
                }
            } else {
                std::mem::take(&mut parked.rest)
            };
            if parked.first {
                if parked.connection.detects_http2() && is_preface(&input) {
                    return serve_detected(parked, input).await;
                }
                parked.connection.count().h1_sessions.add(1);
            }
            parked.connection.follow_reload();
            // In a room of the worker's: the future of an exchange is large, and most connections are parked most of the time.
            let exchanges = &parked.connection.worker.exchanges;
            let mut exchange =
                exchanges.room().place(one(&parked.connection, &mut parked.stream, input, parked.idle_since));
            let behind = exchange.future().await;
            exchanges.give_room(exchange.leave());
            match behind {
                Some(behind) => parked.rest = behind,
                None => return,
            }
            parked.first = false;
            parked.idle_since = clock::now();
            if parked.connection.is_leaving() && parked.rest.is_empty() {
                break;
            }
        }
        Box::pin(close(&mut parked)).await;
    }
}

/// Waits for the first byte of a request, holding no buffer. With a wait, others have had their turn.
fn park(parked: &mut Parked) -> impl Future<Output = Arrival> {
    let Parked { connection, stream, first, .. } = parked;
    let (connection, first) = (&*connection, *first);
    let timeouts = &connection.frontend().config.timeouts;
    let wait = if first {
        timeouts.http_request.or(timeouts.client)
    } else {
        timeouts.http_keep_alive.or(timeouts.http_request).or(timeouts.client)
    };
    connection.timer.set_after(wait);
    poll_fn(move |cx| {
        clock::count_poll();
        let arrival = match stream.poll_read_lent(cx, &connection.worker.buffers, LentFor::Head) {
            Poll::Ready(Ok(input)) if input.is_empty() => Arrival::Closed,
            Poll::Ready(Ok(input)) => Arrival::Bytes(input),
            Poll::Ready(Err(_)) => Arrival::Broken,
            Poll::Pending if !first && connection.is_leaving() => Arrival::Leaving,
            Poll::Pending if connection.worker.phase() == events::Phase::Stopping => Arrival::Leaving,
            Poll::Pending if connection.timer.poll_expired(cx) => Arrival::TimedOut,
            Poll::Pending => {
                connection.in_a_row.set(0);
                return Poll::Pending;
            }
        };
        connection.timer.set(None);
        Poll::Ready(arrival)
    })
}

/// Whether these bytes begin HTTP/2, as far as they go.
fn is_preface(input: &[u8]) -> bool {
    let len = input.len().min(HTTP2_PREFACE.len());
    input.get(..len) == HTTP2_PREFACE.get(..len)
}

/// Reads until it is clear whether a client that knows us to speak HTTP/2 does so (RFC 9113 §3.3), and serves it. A
/// preface that never becomes whole is left to the HTTP/1 parser, which refuses it.
fn serve_detected(parked: Box<Parked>, mut input: Vec<u8>) -> Pin<Box<dyn Future<Output = ()>>> {
    let Parked { connection, mut stream, .. } = *parked;
    let mut connection = Box::new(connection);
    Box::pin(async move {
        let timeouts = &connection.frontend().config.timeouts;
        connection.timer.set_after(timeouts.http_request.or(timeouts.client));
        while is_preface(&input) && input.len() < HTTP2_PREFACE.len() {
            let read = connection.timer.bound(poll_fn(|cx| stream.poll_read_into(cx, &mut input))).await;
            if !matches!(read, Some(Ok(1..))) {
                break;
            }
        }
        connection.timer.set(None);
        connection.looked_at = true;
        if is_preface(&input) && input.len() >= HTTP2_PREFACE.len() {
            http2_server::serve(connection, stream, input).await;
        } else {
            serve(connection, stream, input).await;
        }
    })
}

/// One request and its response. Returns what was read of the next request if the connection is kept.
async fn one(connection: &Connection, stream: &mut Stream, input: Vec<u8>, idle_since: Moment) -> Option<Vec<u8>> {
    let worker = &connection.worker;
    let started = clock::now();
    connection.in_a_row.update(|served| served + 1);
    if connection.in_a_row.get() > REQUESTS_IN_A_ROW {
        tokio::task::yield_now().await; // here, because a parked connection's future has no room for it
        connection.in_a_row.set(1);
    }
    let view = Rc::clone(&connection.view);
    let setting = Setting { connection, view: &view, frontend: connection.frontend(), timer: &connection.timer };
    let mut scratch = worker.exchanges.take();
    scratch.request.put_input(input);
    let head = read_head(&setting, stream, &mut scratch, started).await;
    let kept = match head {
        HeadRead::Complete => {
            let idle = started.saturating_duration_since(idle_since);
            scratch.account.begin(started, idle, connection.handshake);
            whole(&setting, stream, &mut scratch).await
        }
        HeadRead::Bad(bad) => {
            tracing::debug!(client = ?connection.ends.get().peer, %bad, "bad request");
            broken(&setting, stream, &mut scratch, started, bad.status(), (Cause::Proxy, Phase::Request)).await;
            false
        }
        HeadRead::BadBody(bad) => {
            tracing::debug!(client = ?connection.ends.get().peer, %bad, "bad request");
            broken(&setting, stream, &mut scratch, started, 400, (Cause::Proxy, Phase::Request)).await;
            false
        }
        HeadRead::TimedOut => {
            broken(&setting, stream, &mut scratch, started, 408, (Cause::ClientTimeout, Phase::Request)).await;
            false
        }
        HeadRead::Gone => {
            broken(&setting, stream, &mut scratch, started, 400, (Cause::Client, Phase::Request)).await;
            false
        }
    };
    let mut input = scratch.request.take_input();
    worker.exchanges.give(scratch);
    if !kept || input.is_empty() {
        worker.buffers.give(std::mem::take(&mut input));
    }
    kept.then_some(input)
}

async fn read_head(setting: &Setting<'_>, stream: &mut Stream, scratch: &mut Scratch, started: Moment) -> HeadRead {
    let limits = setting.view.config.global.limits;
    let timeouts = &setting.frontend.config.timeouts;
    let mut armed = false;
    loop {
        match scratch.request.parse(&limits) {
            Ok(Progress::Complete) => {
                if armed {
                    setting.timer.set(None);
                }
                // No server has to see a request whose body is known to be bad.
                let start = BodyReader::check_start(scratch.request.body(), scratch.request.rest());
                return start.map_or_else(HeadRead::BadBody, |()| HeadRead::Complete);
            }
            Ok(Progress::Partial) => {}
            Err(bad) => return HeadRead::Bad(bad),
        }
        if !armed {
            setting.timer.set(deadline(started, timeouts.http_request.or(timeouts.client)));
            armed = true;
        }
        let input = scratch.request.input();
        if input.len() == input.capacity() {
            input.reserve(limits.head); // the parser says when it is enough
        }
        let read = setting.timer.bound(poll_fn(|cx| stream.poll_read_into(cx, input))).await;
        match read {
            Some(Ok(n)) if n > 0 => {}
            Some(_) => return HeadRead::Gone,
            None => return HeadRead::TimedOut,
        }
    }
}

/// A complete request: the exchange, the tunnel it may become, the record. `true` when the connection can go on.
async fn whole(setting: &Setting<'_>, stream: &mut Stream, scratch: &mut Scratch) -> bool {
    let connection = setting.connection;
    let head_len = scratch.request.head_len() as u64;
    connection.count().h1_requests.add(1);
    scratch.account.capture_request(&scratch.request, &setting.frontend.config.log.request_captures);
    let case = setting.frontend.config.header_case.as_deref();
    let mut down = Http1Downstream::new(stream, &connection.worker.buffers, &scratch.request, case);
    let next = exchange::run(setting, scratch, &mut down).await;
    let (body, sent) = super::downstream::Downstream::transferred(&down);
    let mut bytes = Bytes { received: head_len + body, sent };
    let used = down.used();
    let unread = !super::downstream::Downstream::body_is_done(&down);
    let ended = down.ended;
    drop(down);
    let keep = match next {
        Next::KeepAlive => !ended || scratch.request.rest().len() > used,
        Next::Close => false,
        Next::Tunnel { server, slot, early } => {
            let behind = scratch.request.rest().get(used..).unwrap_or_default().to_vec();
            tunnel(setting, stream, server, slot, (behind, early), scratch, &mut bytes).await;
            false
        }
    };
    scratch.account.write(setting, &scratch.request, bytes);
    if keep {
        scratch.request.next(used);
    } else {
        let announced = !scratch.request.keep_alive() && stream.as_socket().is_some();
        if unread || !announced {
            // Requests sent early count too: what nobody reads makes the kernel reset, and the answer may be lost to that.
            let unread = unread || !stream.is_quiet();
            finish(connection, stream, unread).await;
        }
    }
    keep
}

/// After a 101: bytes both ways until one side ends.
pub(super) async fn tunnel(
    setting: &Setting<'_>,
    client: &mut Stream,
    mut server: Stream,
    slot: Slot<'_>,
    (from_client, from_server): (Vec<u8>, Vec<u8>),
    scratch: &mut Scratch,
    bytes: &mut Bytes,
) {
    let Some(backend) = scratch.account.backend() else { return };
    let timeouts = setting.view.backend(backend).config.timeouts;
    let worker = &setting.connection.worker;
    let generation = slot.kill_generation();
    let stop = || worker::must_stop(worker, &slot, generation);
    let before = *bytes;
    let tunnel = Tunnel {
        client,
        server: &mut server,
        from_client,
        from_server,
        idle: IdleTimeouts::new(&setting.frontend.config.timeouts, &timeouts),
        buffers: &worker.buffers,
        timer: setting.timer,
        moved: &mut |received, sent| {
            let (received, sent) = (before.received + received, before.sent + sent);
            scratch.account.moved(setting, Bytes { received, sent });
        },
        ends_with_silence: setting.frontend.config.nolinger,
        ends_with_server: true, // as in HAProxy: nobody is left to speak the other protocol with
        stop: &stop,
    };
    let ended = tunnel.run().await;
    worker.counts().spliced_bytes.add(ended.spliced);
    if ended.termination.cause == Cause::Client {
        server.break_at_close();
    }
    bytes.received += ended.to_server;
    bytes.sent += ended.to_client;
    scratch.account.leave_server(&slot);
    if ended.termination.cause != Cause::Normal {
        scratch.account.end(ended.termination.cause, ended.termination.phase);
        scratch.account.tunnel_broke(worker.index);
    }
}

/// Answers a request that could not be read, and counts it.
async fn broken(
    setting: &Setting<'_>,
    stream: &mut Stream,
    scratch: &mut Scratch,
    started: Moment,
    status: u16,
    (cause, phase): (Cause, Phase),
) {
    scratch.account.begin_broken(started);
    scratch.account.end(cause, phase);
    let received = scratch.request.input().len() as u64;
    let case = setting.frontend.config.header_case.as_deref();
    let mut down = Http1Downstream::new(stream, &setting.connection.worker.buffers, &scratch.request, case);
    answer::send(setting, scratch, &mut down, LocalAnswer::Error(status), None).await;
    let (_, sent) = super::downstream::Downstream::transferred(&down);
    drop(down);
    scratch.account.write(setting, &scratch.request, Bytes { received, sent });
    finish(setting.connection, stream, true).await;
}

/// A client that connected and said nothing in time gets 408, as HAProxy gives it, unless null connections are no news.
async fn refuse_silence(connection: &Connection, stream: &mut Stream) {
    let view = Rc::clone(&connection.view);
    let setting = Setting { connection, view: &view, frontend: connection.frontend(), timer: &connection.timer };
    let mut scratch = connection.worker.exchanges.take();
    let silent = (Cause::ClientTimeout, Phase::Request);
    broken(&setting, stream, &mut scratch, connection.accepted, 408, silent).await;
    connection.worker.exchanges.give(scratch);
}

/// A connection that was closed before it had sent anything: counted, and logged unless null connections are no news.
fn log_null(connection: &Connection) {
    let view = Rc::clone(&connection.view);
    let setting = Setting { connection, view: &view, frontend: connection.frontend(), timer: &connection.timer };
    let mut scratch = connection.worker.exchanges.take();
    scratch.account.begin_broken(connection.accepted);
    scratch.account.answered_locally(400);
    scratch.account.end(Cause::Client, Phase::Request);
    scratch.account.write(&setting, &scratch.request, Bytes::default());
    connection.worker.exchanges.give(scratch);
}

/// Ends the connection so that the client gets all it was sent. A client that asked for the end and has sent everything
/// needs none of it: closing says the same with a system call less.
pub(super) async fn finish(connection: &Connection, stream: &mut Stream, unread: bool) {
    connection.timer.set_after(Some(LINGER));
    let shut = connection.timer.bound(stream.shutdown()).await;
    if unread && matches!(shut, Some(Ok(()))) {
        let drained = connection.timer.bound(drain(connection, stream)).await;
        tracing::trace!(drained = drained.is_some(), "lingered");
    }
    connection.timer.set(None);
}

/// Reads and forgets until the client closes or [`LINGER_BYTES`] have come.
async fn drain(connection: &Connection, stream: &mut Stream) -> io::Result<()> {
    let mut total = 0;
    let mut buffer = connection.worker.buffers.body();
    while total < LINGER_BYTES {
        buffer.clear();
        match poll_fn(|cx| stream.poll_read_into(cx, &mut buffer)).await {
            Ok(n) if n > 0 => total += n,
            _ => break,
        }
    }
    connection.worker.buffers.give(buffer);
    Ok(())
}

/// A parked connection ends: TLS says goodbye, TCP simply closes.
async fn close(Parked { connection, stream, .. }: &mut Parked) {
    if stream.is_tls() {
        connection.timer.set_after(Some(LINGER));
        let _ = connection.timer.bound(stream.shutdown()).await;
    }
}
