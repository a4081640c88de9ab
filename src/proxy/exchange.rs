//! One HTTP request and its response, from a complete head to the log line. The same for every client protocol: what
//! differs is behind [`Downstream`].
//!
//! Readable top to bottom in [`run`]: frontend rules, backend, backend rules, server, transfer, record.

mod find;

use std::cell::RefCell;
use std::rc::Rc;

use super::answer::{self, LocalAnswer};
use super::connection::Connection;
use super::downstream::{BodyFraming, Downstream};
use super::record::Account;
use super::rules_context;
use super::stream::Stream;
use super::timer::Timer;
use super::transfer::{Failure, Sides, Transfer, Transferred};
use super::upstream::attempts::Attempts;
use super::upstream::http2_exchange::Lost;
use super::upstream::reuse::{Reuse, keep, stick};
use super::upstream::slot::{Slot, Wish};
use super::view::View;
use crate::http::{BodyLength, EncodeRequest, RequestHead, ResponseHead, encode_request, forwarded, respell};
use crate::logline::{Cause, Phase};
use crate::model::BackendId;
use crate::model::backend::{HttpConnectionMode, RetryOn};
use crate::moment::Moment;
use crate::rules::Handling;
use crate::state::Event;
use crate::state::snapshot::{BackendInForce, FrontendInForce};
use crate::sys::Room;
use find::{Found, find_server, look};

/// The heavy parts of an exchange, used again by the next one on the same worker.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub request: RequestHead,
    pub response: ResponseHead,
    /// What goes to the server.
    pub out: Vec<u8>,
    /// Bytes of it that are the request's head.
    pub out_head: usize,
    pub account: Account,
    /// What rules decided about it.
    pub handling: Handling,
    /// What a response rule wants answered instead of the response.
    pub refusal: Option<LocalAnswer>,
}

/// Scratches not in use, and rooms for the futures of exchanges.
#[derive(Debug, Default)]
#[allow(clippy::vec_box)] // both are large: what is handed out and back is a pointer
pub(crate) struct Exchanges {
    scratches: RefCell<Vec<Box<Scratch>>>,
    rooms: RefCell<Vec<Box<Room>>>,
}

/// Scratches and rooms kept for the next use.
const KEPT: usize = 256;

impl Exchanges {
    pub fn take(&self) -> Box<Scratch> {
        self.scratches.borrow_mut().pop().unwrap_or_default()
    }

    /// Where the future of one exchange can be.
    pub fn room(&self) -> Box<Room> {
        self.rooms.borrow_mut().pop().unwrap_or_else(Room::new)
    }

    pub fn give_room(&self, room: Box<Room>) {
        let mut kept = self.rooms.borrow_mut();
        if kept.len() < KEPT {
            kept.push(room);
        }
    }

    /// The request's input buffer must have been taken out.
    pub fn give(&self, mut scratch: Box<Scratch>) {
        let mut kept = self.scratches.borrow_mut();
        if kept.len() < KEPT {
            scratch.request.clear();
            scratch.response.clear();
            scratch.out.clear();
            scratch.account.clear();
            scratch.handling = Handling::default();
            kept.push(scratch);
        }
    }
}

/// What an exchange runs in.
pub(crate) struct Setting<'a> {
    pub connection: &'a Connection,
    pub view: &'a Rc<View>,
    pub frontend: &'a FrontendInForce,
    /// Not used by anyone else while the exchange runs.
    pub timer: &'a Timer,
}

/// What is left to be done when an exchange is over.
pub(crate) enum Next<'b> {
    /// The client's connection can take another request.
    KeepAlive,
    Close,
    /// The server has switched protocols: what it sent behind its 101 is in the buffer. The tunnel ends the exchange.
    Tunnel {
        server: Stream,
        slot: Slot<'b>,
        early: Vec<u8>,
    },
}

/// A connection to the server an exchange is given to.
pub(crate) struct Upstream<'b> {
    pub stream: Stream,
    pub slot: Slot<'b>,
    pub reused: bool,
    /// Requests sent over it before this one.
    pub uses: u32,
    /// Only this client's requests may use it.
    pub private: bool,
    /// It speaks another protocol than this server's others, for a WebSocket: nobody else uses it.
    pub aside: bool,
}

/// Runs one exchange whose request head is complete. The caller writes the record (after the tunnel, if there is one).
pub(crate) async fn run<'s, D: Downstream>(setting: &'s Setting<'_>, scratch: &mut Scratch, down: &mut D) -> Next<'s> {
    let frontend = setting.frontend;
    if let Some(local) = rules_context::frontend_rules(setting, scratch) {
        return answer::send(setting, scratch, down, local, None).await;
    }
    if let Some(page) = answer::page_for(&frontend.config.stats, &scratch.request) {
        return answer::serve_page(setting, scratch, down, page, &frontend.config.name).await;
    }
    let Some(id) = rules_context::choose_backend(setting, &scratch.request) else {
        scratch.account.end(Cause::Server, Phase::Connect);
        return answer::send(setting, scratch, down, LocalAnswer::Error(503), None).await;
    };
    let backend = setting.view.backend(id);
    scratch.account.enter_backend(setting.connection.worker.index, id, backend);
    if let Some(local) = rules_context::backend_rules(setting, backend, scratch) {
        return answer::send(setting, scratch, down, local, Some(backend)).await;
    }
    if let Some(page) = answer::page_for(&backend.config.stats, &scratch.request) {
        return answer::serve_page(setting, scratch, down, page, &backend.config.name).await;
    }
    if !scratch.request.take_hop() {
        let answer = answer::at_the_last_hop(&scratch.request);
        return answer::send(setting, scratch, down, answer, Some(backend)).await;
    }
    let facts = setting.connection.facts();
    forwarded::apply(&mut scratch.request, &frontend.config.forwarded, &backend.config.forwarded, &facts);
    write_request(scratch, backend);
    serve(setting, scratch, down, id, backend).await
}

/// Writes the request's head as the server gets it. It stays in `out` until an answer comes, so it can be sent again.
fn write_request(scratch: &mut Scratch, backend: &BackendInForce) {
    scratch.out.clear();
    let options = EncodeRequest {
        keep_alive: backend.config.connection == HttpConnectionMode::KeepAlive,
        keep_upgrade: true,
        extra: &[],
    };
    encode_request(&scratch.request, options, &mut scratch.out);
    if let Some(case) = &backend.config.header_case {
        respell(&mut scratch.out, case);
    }
    scratch.out_head = scratch.out.len();
}

/// Finds a server and transfers; a pooled connection that turns out dead before a byte of answer costs one more round.
async fn serve<'b, D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    id: BackendId,
    backend: &'b BackendInForce,
) -> Next<'b> {
    let reuse = if setting.connection.client.asks_first() { Reuse::First } else { Reuse::Later };
    let wish = setting.connection.client.last_of(backend).map_or(Wish::Any, Wish::Same);
    let mut attempts = Attempts::new(backend, wish, reuse);
    let mut refusals = 0;
    // No server has, as far as is known, looked at it.
    let mut untouched = true;
    loop {
        let found = match look(setting, scratch, id, backend, &attempts) {
            Ok(Found::Kept(upstream)) => Ok(upstream),
            Ok(found) => find_server(setting, scratch, down, id, backend, &mut attempts, found).await,
            Err(none) => Err(none),
        };
        let mut upstream = match found {
            Ok(upstream) => upstream,
            Err((status, cause, phase)) => {
                scratch.account.end(cause, phase);
                let Some(status) = status else { return Next::Close };
                return answer::send(setting, scratch, down, LocalAnswer::Error(status), Some(backend)).await;
            }
        };
        #[cfg(test)]
        super::panic_tests::inject("exchange", scratch.request.target());
        let framing = match scratch.request.body() {
            BodyLength::Chunked => BodyFraming::Chunked,
            _ => BodyFraming::Plain,
        };
        let again = backend.config.retry_on.after_sending() && attempts.left() && !scratch.handling.send_once;
        let retry_on = if again { backend.config.retry_on } else { RetryOn::NONE };
        let sides = Sides::new(setting, backend, framing, retry_on);
        let outcome = Transfer::new(setting, backend, scratch, down, &mut upstream, sides).run().await;
        match outcome {
            Ok(transferred) => return settle(setting, scratch, id, backend, upstream, transferred),
            Err(Failure::Stale) if upstream.stream.was_refused() && refusals < backend.config.retries => {
                refusals += 1; // nothing was done with it; another connection, or server, may take it
                attempts.wish = Wish::Any;
            }
            Err(Failure::Stale) if attempts.reuse != Reuse::Never && upstream.stream.lost() != Some(Lost::Refused) => {
                untouched &= upstream.stream.was_refused();
                attempts.reuse = attempts.reuse.after(&upstream.stream); // as if it had never been tried; the slot is taken anew
            }
            Err(Failure::Again) => {
                untouched &= upstream.stream.was_refused();
                let failed = upstream.slot.server;
                attempts.reuse = attempts.reuse.on_retry(&upstream.stream);
                drop(upstream);
                attempts.again(backend, failed, &mut scratch.account);
            }
            Err(failure)
                if untouched && failure.is_without_answer() && upstream.stream.was_refused() && down.hand_back() =>
            {
                return fail(setting, scratch, down, backend, upstream, Failure::HandedBack).await;
            }
            Err(failure) => return fail(setting, scratch, down, backend, upstream, failure).await,
        }
    }
}

/// Accounts for a transfer that ended well and keeps what can be kept.
fn settle<'b>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    id: BackendId,
    backend: &'b BackendInForce,
    upstream: Upstream<'b>,
    transferred: Transferred,
) -> Next<'b> {
    scratch.account.leave_server(&upstream.slot);
    match transferred {
        Transferred::Switched { early } => Next::Tunnel { server: upstream.stream, slot: upstream.slot, early },
        Transferred::Done { keep_client, keep_server } => {
            stick(setting, backend, &upstream, scratch.response.status());
            if keep_server
                && !upstream.aside
                && !upstream.stream.is_http2()
                && backend.config.connection == HttpConnectionMode::KeepAlive
            {
                keep(setting, scratch, id, backend, upstream);
            }
            if keep_client { Next::KeepAlive } else { Next::Close }
        }
    }
}

/// Accounts for a transfer that failed, and tells the client if it can still be told.
async fn fail<'b, D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    backend: &'b BackendInForce,
    upstream: Upstream<'b>,
    failure: Failure,
) -> Next<'b> {
    scratch.account.leave_server(&upstream.slot);
    let (answer, cause, phase) = failure.meaning();
    if failure.is_without_answer() {
        tell_refusal(setting, &upstream);
    }
    scratch.account.fail(setting.connection.worker.index, backend, &failure);
    scratch.account.end(cause, phase);
    if matches!(failure, Failure::ClientGone { .. }) && !down.body_is_done() {
        upstream.stream.break_at_close();
    }
    drop(upstream);
    let Some(status) = answer else { return Next::Close };
    let answer = scratch.refusal.take().unwrap_or(LocalAnswer::Error(status));
    answer::send(setting, scratch, down, answer, Some(backend)).await
}

/// A server that ends TLS with an alert instead of an answer has refused us.
fn tell_refusal(setting: &Setting<'_>, upstream: &Upstream<'_>) {
    let Some(why) = upstream.stream.refused_by_server() else { return };
    let state = upstream.slot.state();
    let (backend, server) = (state.backend.clone(), state.name.clone());
    let handshake = Some(why.to_string().into());
    // A full queue counts what it drops.
    let _ = setting.connection.worker.shared.tell(Event::ConnectFailed { backend, server, handshake });
}

/// Milliseconds between two instants, for timers.
pub(crate) fn ms_between(from: Moment, to: Moment) -> i64 {
    to.ms_since(from) as i64 // far below its end
}
