//! How do bytes flow between two connections until both are done? TCP sessions and upgraded HTTP connections alike.
//!
//! Each direction is its own small machine: read, write what was read, and when the reader has ended, pass the end on
//! and keep the other direction open (half-close). A direction never reads on while it holds bytes the other side has
//! not taken, which is all the back-pressure there is. A buffer is borrowed from the worker for as long as it holds
//! bytes: a quiet tunnel owns two sockets and this future.
//!
//! Idle time is kept per side, as HAProxy keeps it (manual 4.2, `option independent-streams`): sending to a side counts
//! as its activity too, and a side that nothing is expected of has no deadline. A side that is silent for too long is taken
//! to have ended: what the other one says still reaches it, unless that has been silent for too long as well. One that does
//! not take its bytes ends the tunnel.

mod direction;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use self::direction::{Direction, Moved, State};
use super::buffers::{Buffers, let_others_run};
use super::clock;
use super::record::COUNT_EVERY;
use super::stream::Stream;
use super::timer::Timer;
use crate::logline::{Cause, Phase, Termination};
use crate::model::backend::BackendTimeouts;
use crate::model::frontend::FrontendTimeouts;
use crate::moment::Moment;

/// One tunnel to be run.
pub(crate) struct Tunnel<'a> {
    pub client: &'a mut Stream,
    pub server: &'a mut Stream,
    /// Bytes that were read from a side before the tunnel began; they go first. Their buffers go back to the worker.
    pub from_client: Vec<u8>,
    pub from_server: Vec<u8>,
    pub idle: IdleTimeouts,
    pub buffers: &'a Buffers,
    /// Used for the idle deadlines; whoever wants `stop` to be asked wakes it.
    pub timer: &'a Timer,
    /// Told now and then how many bytes the server and the client have got.
    pub moved: &'a mut dyn FnMut(u64, u64),
    /// One side at least is closed by breaking it (`option nolinger`), so there is no half a close to be had: silence ends both.
    pub ends_with_silence: bool,
    /// Whether it is over when the server has ended its side, whatever the client still has to say.
    pub ends_with_server: bool,
    /// Asked whenever the tunnel wakes: must it end now, and why?
    pub stop: &'a dyn Fn() -> Option<Cause>,
}

/// How long each side may stay silent. `None` waits for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IdleTimeouts {
    pub client: Option<Duration>,
    pub server: Option<Duration>,
    /// While one direction is closed already.
    pub client_fin: Option<Duration>,
    pub server_fin: Option<Duration>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub termination: Termination,
    /// Bytes the server got, those of `from_client` included.
    pub to_server: u64,
    /// Bytes the client got, those of `from_server` included.
    pub to_client: u64,
    /// Of both together, those that were never copied here.
    pub spliced: u64,
}

impl IdleTimeouts {
    /// `timeout tunnel` stands in for `client` and `server`; the `-fin` ones override it once a direction is closed
    /// (manual 4.2).
    pub fn new(client: &FrontendTimeouts, server: &BackendTimeouts) -> Self {
        let open_client = server.tunnel.or(client.client);
        let open_server = server.tunnel.or(server.server);
        IdleTimeouts {
            client: open_client,
            server: open_server,
            client_fin: client.client_fin.or(open_client),
            server_fin: server.server_fin.or(open_server),
        }
    }
}

impl Tunnel<'_> {
    /// Runs until both directions have ended, a side broke or stayed silent too long, or `stop` said so. The streams
    /// are the caller's to close.
    pub async fn run(mut self) -> Ended {
        let can_splice = self.client.as_socket().is_some() && self.server.as_socket().is_some();
        let mut up = Direction::new(std::mem::take(&mut self.from_client), can_splice);
        let mut down = Direction::new(std::mem::take(&mut self.from_server), can_splice);
        let mut client = Side::new();
        let mut server = Side::new();
        // Why a side was taken to have ended: what follows from that is not news.
        let mut late = None;
        let mut count_at = clock::now() + COUNT_EVERY;
        // Both directions wait to read and nothing else is waited for.
        let mut both_read = false;
        let cause = poll_fn(|cx| {
            if let Some(cause) = (self.stop)() {
                return Poll::Ready(cause);
            }
            let [up_moved, down_moved] = self.advance(cx, &mut up, &mut down, both_read);
            let pausing = up_moved.more || down_moved.more;
            let writing = up.awaits_writer() || down.awaits_writer();
            // Without a budget not all that is waited for was noted.
            let noted = !pausing && tokio::task::coop::has_budget_remaining();
            both_read = up.awaits_reader() && down.awaits_reader() && !writing && noted;
            let server_is_done = self.ends_with_server && down.state == State::Closed;
            let over = outcome(&up, &down).or(server_is_done.then_some(Cause::Normal));
            if let Some(cause) = over.or_else(|| self.deserted(cx, &up, &down)) {
                return Poll::Ready(late.unwrap_or(cause));
            }
            if up_moved.read || down_moved.wrote {
                client.active = clock::now();
            }
            if down_moved.read || up_moved.wrote {
                server.active = clock::now();
            }
            if client.active >= count_at {
                count_at = client.active + COUNT_EVERY;
                (self.moved)(up.written, down.written);
            }
            self.set_deadlines(&up, &down, &mut client, &mut server);
            if pausing {
                let_others_run(cx);
                return Poll::Pending;
            }
            let Some(cause) = self.expired(cx, &client, &server) else { return Poll::Pending };
            let (its_own, towards_it) = if cause == Cause::ServerTimeout { (&mut down, &up) } else { (&mut up, &down) };
            let nobody_speaks = client.is_overdue() && server.is_overdue();
            if self.ends_with_silence || nobody_speaks || towards_it.awaits_writer() || !its_own.awaits_reader() {
                return Poll::Ready(late.unwrap_or(cause));
            }
            late.get_or_insert(cause);
            its_own.state = State::Ending;
            both_read = false;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.timer.set(None);
        // Nothing went wrong with the data of a session that an operator ended (run against HAProxy 2.6).
        let phase = if matches!(cause, Cause::Normal | Cause::Killed) { Phase::Normal } else { Phase::Data };
        let (to_server, to_client, spliced) = (up.written, down.written, up.spliced + down.spliced);
        up.give_back(self.buffers);
        down.give_back(self.buffers);
        Ended { termination: Termination { cause, phase }, to_server, to_client, spliced }
    }

    /// Moves bytes in both directions. `both_read`: each waits for nothing but its reader, who will wake this task; so one
    /// that has nothing to read is not asked again.
    fn advance(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Direction,
        down: &mut Direction,
        both_read: bool,
    ) -> [Moved; 2] {
        let quiet = |stream: &Stream| both_read && stream.as_socket().is_some_and(|socket| !socket.may_be_read());
        let (up_quiet, down_quiet) = (quiet(self.client), quiet(self.server));
        let mut moved = [Moved::default(), Moved::default()];
        if !up_quiet {
            moved[0] = up.advance(cx, self.client, self.server, self.buffers);
        }
        if !down_quiet {
            moved[1] = down.advance(cx, self.server, self.client, self.buffers);
        }
        moved
    }

    /// A side that has ended is read no more; whether anybody is there still has to be asked.
    fn deserted(&mut self, cx: &mut Context<'_>, up: &Direction, down: &Direction) -> Option<Cause> {
        let reads_no_more = |direction: &Direction| matches!(direction.state, State::Closed | State::Unwritable);
        if reads_no_more(up) && self.client.poll_gone(cx).is_ready() {
            return Some(Cause::Client);
        }
        (reads_no_more(down) && self.server.poll_gone(cx).is_ready()).then_some(Cause::Server)
    }

    /// A side has a deadline while it is expected to send or to take something.
    fn set_deadlines(&self, up: &Direction, down: &Direction, client: &mut Side, server: &mut Side) {
        let half_closed = up.state != State::Open || down.state != State::Open;
        let idle = &self.idle;
        let (for_client, for_server) =
            if half_closed { (idle.client_fin, idle.server_fin) } else { (idle.client, idle.server) };
        let client_changed = client.expect(up.awaits_reader() || down.awaits_writer(), for_client);
        let server_changed = server.expect(down.awaits_reader() || up.awaits_writer(), for_server);
        if client_changed || server_changed {
            self.timer.set(earlier(client, server));
        }
    }

    /// Activity only moves a deadline back, so the timer hears of it no sooner than it has fired.
    fn expired(&self, cx: &Context<'_>, client: &Side, server: &Side) -> Option<Cause> {
        if !self.timer.poll_expired(cx) {
            return None;
        }
        self.timer.set(earlier(client, server));
        if !self.timer.poll_expired(cx) {
            return None;
        }
        match (client.deadline(), server.deadline()) {
            (Some(client), Some(server)) if server < client => Some(Cause::ServerTimeout),
            (None, Some(_)) => Some(Cause::ServerTimeout),
            _ => Some(Cause::ClientTimeout),
        }
    }
}

/// One end of the tunnel, as far as waiting for it goes.
#[derive(Debug)]
struct Side {
    /// When it last sent or took something, or began to be waited for.
    active: Moment,
    /// How long it may stay silent from then on; `None` while nothing is expected of it.
    limit: Option<Duration>,
}

impl Side {
    fn new() -> Self {
        Side { active: clock::now(), limit: None }
    }

    /// True when the limit changed: the deadline may be an earlier one then.
    fn expect(&mut self, awaited: bool, limit: Option<Duration>) -> bool {
        let limit = limit.filter(|_| awaited);
        if self.limit == limit {
            return false;
        }
        self.limit = limit;
        self.active = clock::now();
        true
    }

    fn is_overdue(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= clock::now())
    }

    fn deadline(&self) -> Option<Moment> {
        self.limit.and_then(|limit| self.active.checked_add(limit))
    }
}

fn earlier(client: &Side, server: &Side) -> Option<Moment> {
    client.deadline().into_iter().chain(server.deadline()).min()
}

/// Why the tunnel is over, if it is. A connection that cannot be read is dead both ways. One that cannot be written may
/// still hold an answer to be read, so the other direction goes on until it ends by itself.
fn outcome(up: &Direction, down: &Direction) -> Option<Cause> {
    match (up.state, down.state) {
        (State::Unreadable, _) => Some(Cause::Client),
        (_, State::Unreadable) => Some(Cause::Server),
        (State::Closed, State::Closed) => Some(Cause::Normal),
        (State::Unwritable, State::Closed) => Some(Cause::Server),
        (State::Closed | State::Unwritable, State::Unwritable) => Some(Cause::Client),
        _ => None,
    }
}
