//! How do bytes flow between two connections until both are done? TCP sessions and upgraded HTTP connections alike.
//!
//! Each direction is its own small machine: read, write what was read, and when the reader has ended, pass the end on
//! and keep the other direction open (half-close). A direction never reads on while it holds bytes the other side has
//! not taken, which is all the back-pressure there is. A buffer is borrowed from the worker for as long as it holds
//! bytes: a quiet tunnel owns two sockets and this future.
//!
//! Idle time is kept per side, as HAProxy keeps it (manual 4.2, `option independent-streams`): sending to a side counts
//! as its activity too, and a side that nothing is expected of has no deadline.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;

use super::buffers::{BODY_BUFFER, BULK_BUFFER, Buffers};
use super::clock;
use super::splice::{self, Pipe};
use super::stream::Stream;
use super::timer::Timer;
use crate::logline::{Cause, Phase, Termination};
use crate::model::backend::BackendTimeouts;
use crate::model::frontend::FrontendTimeouts;

/// Bytes moved in one direction, and reads in a row, before others on this worker get their turn.
const BYTES_IN_A_ROW: u64 = 1024 * 1024;
const READS_IN_A_ROW: u32 = 8;

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
        let mut client = Side::default();
        let mut server = Side::default();
        let cause = poll_fn(|cx| {
            if let Some(cause) = (self.stop)() {
                return Poll::Ready(cause);
            }
            let up_moved = up.advance(cx, self.client, self.server, self.buffers);
            let down_moved = down.advance(cx, self.server, self.client, self.buffers);
            if let Some(cause) = outcome(&up, &down) {
                return Poll::Ready(cause);
            }
            client.active = up_moved.read || down_moved.wrote;
            server.active = down_moved.read || up_moved.wrote;
            self.set_deadlines(&up, &down, &mut client, &mut server);
            if up_moved.more || down_moved.more {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.expired(cx, &client, &server).map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.timer.set(None);
        let phase = if cause == Cause::Normal { Phase::Normal } else { Phase::Data };
        let (to_server, to_client, spliced) = (up.written, down.written, up.spliced + down.spliced);
        up.give_back(self.buffers);
        down.give_back(self.buffers);
        Ended { termination: Termination { cause, phase }, to_server, to_client, spliced }
    }

    /// A side has a deadline while it is expected to send or to take something.
    fn set_deadlines(&self, up: &Direction, down: &Direction, client: &mut Side, server: &mut Side) {
        let half_closed = up.state != State::Open || down.state != State::Open;
        let idle = &self.idle;
        let (for_client, for_server) =
            if half_closed { (idle.client_fin, idle.server_fin) } else { (idle.client, idle.server) };
        let client_moved = client.expect(up.awaits_reader() || down.awaits_writer(), for_client);
        let server_moved = server.expect(down.awaits_reader() || up.awaits_writer(), for_server);
        if client_moved || server_moved {
            self.timer.set(client.deadline.into_iter().chain(server.deadline).min());
        }
    }

    fn expired(&self, cx: &Context<'_>, client: &Side, server: &Side) -> Option<Cause> {
        if !self.timer.poll_expired(cx) {
            return None;
        }
        // The timer was set to the earlier of the two.
        match (client.deadline, server.deadline) {
            (Some(client), Some(server)) if server < client => Some(Cause::ServerTimeout),
            (None, Some(_)) => Some(Cause::ServerTimeout),
            _ => Some(Cause::ClientTimeout),
        }
    }
}

/// One end of the tunnel, as far as waiting for it goes.
#[derive(Debug, Default)]
struct Side {
    /// Sent or took something in this turn.
    active: bool,
    deadline: Option<Instant>,
    /// What the deadline was computed from.
    limit: Option<Duration>,
}

impl Side {
    /// True when the deadline changed.
    fn expect(&mut self, awaited: bool, limit: Option<Duration>) -> bool {
        let limit = limit.filter(|_| awaited);
        if !self.active && self.limit == limit {
            return false;
        }
        let before = self.deadline;
        self.limit = limit;
        self.deadline = limit.and_then(|limit| clock::now().checked_add(limit));
        self.deadline != before
    }
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

/// Bytes from one side to the other.
#[derive(Debug)]
struct Direction {
    /// What was read and not yet written; without capacity while nothing is in flight.
    buffer: Vec<u8>,
    /// Bytes of `buffer` already written.
    sent: usize,
    written: u64,
    /// Of `written`, what came through the pipe.
    spliced: u64,
    state: State,
    /// The last read was a large one: the next one is done by splicing or into a larger buffer.
    is_bulk: bool,
    /// Both sides are sockets and the kernel has not said no.
    can_splice: bool,
    /// What bytes are spliced through; empty-handed while nothing is in flight.
    pipe: Option<Pipe>,
    /// The writer holds bytes of ours back (TLS records that did not fit into the socket).
    unflushed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The reader has ended; what is left is to be written and the end to be passed on.
    Ending,
    Closed,
    /// Reading failed. Nothing is left to be written: only empty buffers are read into.
    Unreadable,
    /// Writing failed; what was not written is lost.
    Unwritable,
}

/// What one call of [`Direction::advance`] did.
#[derive(Debug, Default)]
struct Moved {
    read: bool,
    wrote: bool,
    /// It stopped only to let others run.
    more: bool,
}

impl Direction {
    fn new(early: Vec<u8>, can_splice: bool) -> Self {
        Direction {
            buffer: early,
            sent: 0,
            written: 0,
            spliced: 0,
            state: State::Open,
            is_bulk: false,
            can_splice,
            pipe: None,
            unflushed: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.pipe.as_ref().is_none_or(|pipe| pipe.held() == 0)
    }

    fn awaits_reader(&self) -> bool {
        self.state == State::Open && self.is_empty()
    }

    fn awaits_writer(&self) -> bool {
        !self.is_empty() || self.unflushed || self.state == State::Ending
    }

    /// Moves bytes until one side has to be waited for.
    fn advance(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream, buffers: &Buffers) -> Moved {
        let mut moved = Moved { more: true, ..Moved::default() };
        let enough = self.written + BYTES_IN_A_ROW;
        for _ in 0..READS_IN_A_ROW {
            let ready = match self.write(cx, to, &mut moved.wrote) {
                Poll::Ready(Ok(())) => self.state == State::Open && self.read(cx, from, &mut moved.read, buffers),
                Poll::Ready(Err(_)) => {
                    self.state = State::Unwritable;
                    self.unflushed = false;
                    self.buffer.clear();
                    self.pipe = None; // what it holds is lost
                    false
                }
                Poll::Pending => false,
            };
            if !ready {
                moved.more = false;
                break;
            }
            if self.written >= enough {
                break;
            }
        }
        if !moved.more && self.is_empty() {
            self.give_back(buffers);
        }
        moved
    }

    /// Nothing is in flight, or the tunnel is over.
    fn give_back(&mut self, buffers: &Buffers) {
        buffers.give(std::mem::take(&mut self.buffer));
        if let Some(pipe) = self.pipe.take() {
            buffers.give_pipe(pipe);
        }
    }

    /// Reads once while nothing is in flight. True when that brought bytes, or the end.
    fn read(&mut self, cx: &mut Context<'_>, from: &mut Stream, read: &mut bool, buffers: &Buffers) -> bool {
        let count = match self.take_in(cx, from, buffers) {
            Poll::Ready(count) => count,
            Poll::Pending => return false,
        };
        match count {
            Ok(0) => self.state = State::Ending,
            Ok(count) => {
                *read = true;
                self.is_bulk = count >= if self.can_splice { splice::WORTH_IT } else { BODY_BUFFER };
            }
            // TLS without a goodbye: bytes of unknown meaning have no other end either.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.state = State::Ending,
            Err(_) => self.state = State::Unreadable,
        }
        self.state != State::Unreadable
    }

    fn take_in(&mut self, cx: &mut Context<'_>, from: &mut Stream, buffers: &Buffers) -> Poll<io::Result<usize>> {
        if self.is_bulk
            && self.can_splice
            && let Some(socket) = from.as_socket()
        {
            if self.pipe.is_none() {
                buffers.give(std::mem::take(&mut self.buffer));
                self.pipe = buffers.pipe();
            }
            match self.pipe.as_mut().map(|pipe| pipe.poll_fill(cx, socket, u64::MAX)) {
                Some(Poll::Ready(Err(error))) if splice::is_unsupported(&error) => {}
                Some(filled) => return filled,
                None => {}
            }
            self.can_splice = false; // out of pipes, or a kind of socket that cannot: copying always works
        }
        if self.is_bulk && self.buffer.capacity() < BULK_BUFFER {
            buffers.give(std::mem::replace(&mut self.buffer, buffers.bulk()));
        } else if self.buffer.capacity() == 0 {
            self.buffer = buffers.body();
        }
        from.poll_read_into(cx, &mut self.buffer)
    }

    /// Writes what is there, and passes the end on when it has come. Ready when nothing is left to be written.
    fn write(&mut self, cx: &mut Context<'_>, to: &mut Stream, wrote: &mut bool) -> Poll<io::Result<()>> {
        let mut to = Pin::new(to);
        while let Some(bytes) = self.buffer.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            let count = ready!(to.as_mut().poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.written += count as u64;
            self.unflushed = to.is_tls();
            *wrote = true;
        }
        self.sent = 0;
        self.buffer.clear();
        if let (Some(pipe), Some(socket)) = (&mut self.pipe, to.as_socket()) {
            while pipe.held() > 0 {
                let count = ready!(pipe.poll_drain(cx, socket))? as u64;
                self.written += count;
                self.spliced += count;
                *wrote = true;
            }
        }
        if self.unflushed {
            ready!(to.as_mut().poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.state == State::Ending {
            match ready!(to.as_mut().poll_shutdown(cx)) {
                // The other side has gone already: nobody is left to be told.
                Err(error) if error.kind() != io::ErrorKind::NotConnected => return Poll::Ready(Err(error)),
                _ => self.state = State::Closed,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::stream::Plain;
    use super::super::timer::Timers;
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// Bytes each in-memory stream holds before its writer must wait.
    const WINDOW: usize = 1000;

    /// The far ends of a tunnel that runs on its own, and what it needs.
    struct Story {
        client: DuplexStream,
        server: DuplexStream,
        stop: Rc<Cell<Option<Cause>>>,
        timers: Rc<Timers>,
        tunnel: tokio::task::JoinHandle<Ended>,
    }

    fn memory(stream: DuplexStream) -> Stream {
        Stream::Plain(Plain::Memory(stream))
    }

    fn start(
        client: Stream,
        server: Stream,
        idle: IdleTimeouts,
        early: [&[u8]; 2],
        stop: &Rc<Cell<Option<Cause>>>,
    ) -> (Rc<Timers>, tokio::task::JoinHandle<Ended>) {
        let timers = Timers::new(clock::refresh());
        tokio::task::spawn_local(Rc::clone(&timers).drive());
        let [from_client, from_server] = early.map(<[u8]>::to_vec);
        let (mut client, mut server) = (client, server);
        let (stop, for_tunnel) = (Rc::clone(stop), Rc::clone(&timers));
        let tunnel = tokio::task::spawn_local(async move {
            let buffers = Buffers::default();
            let tunnel = Tunnel {
                client: &mut client,
                server: &mut server,
                from_client,
                from_server,
                idle,
                buffers: &buffers,
                timer: &for_tunnel.timer(),
                stop: &|| stop.get(),
            };
            tunnel.run().await
        });
        (timers, tunnel)
    }

    impl Story {
        fn begin(idle: IdleTimeouts, early: [&[u8]; 2]) -> Self {
            let (client, near_client) = duplex(WINDOW);
            let (server, near_server) = duplex(WINDOW);
            let stop = Rc::new(Cell::new(None));
            let (timers, tunnel) = start(memory(near_client), memory(near_server), idle, early, &stop);
            Story { client, server, stop, timers, tunnel }
        }

        #[track_caller]
        fn check(ended: Ended, termination: &str, to_server: u64, to_client: u64) {
            let Termination { cause, phase } = ended.termination;
            let shown: String = [cause as u8, phase as u8].map(char::from).iter().collect();
            assert_eq!((shown.as_str(), ended.to_server, ended.to_client), (termination, to_server, to_client));
        }
    }

    /// Runs one story on a runtime as workers have it.
    fn tell<F: Future<Output = ()>>(story: F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async {
            tokio::time::timeout(Duration::from_secs(10), story).await.expect("the story ends in time");
        }));
    }

    async fn read_all(stream: &mut DuplexStream) -> Vec<u8> {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all
    }

    #[test]
    fn a_closed_direction_leaves_the_other_open() {
        tell(async {
            let mut story = Story::begin(IdleTimeouts::default(), [b"", b""]);
            story.client.write_all(b"question").await.unwrap();
            story.client.shutdown().await.unwrap();
            assert_eq!(read_all(&mut story.server).await, b"question");
            story.server.write_all(b"the answer").await.unwrap();
            story.server.shutdown().await.unwrap();
            assert_eq!(read_all(&mut story.client).await, b"the answer");
            Story::check(story.tunnel.await.unwrap(), "--", 8, 10);
        });
    }

    #[test]
    fn bytes_read_before_go_first() {
        tell(async {
            let mut story = Story::begin(IdleTimeouts::default(), [b"first ", b"hello "]);
            story.client.write_all(b"second").await.unwrap();
            story.client.shutdown().await.unwrap();
            assert_eq!(read_all(&mut story.server).await, b"first second");
            drop(story.server);
            assert_eq!(read_all(&mut story.client).await, b"hello ");
            Story::check(story.tunnel.await.unwrap(), "--", 12, 6);
        });
    }

    #[test]
    fn a_slow_reader_slows_the_writer_and_loses_nothing() {
        tell(async {
            let story = Story::begin(IdleTimeouts::default(), [b"", b""]);
            let sent: Vec<u8> = (0..300_000u32).map(|i| (i / 7) as u8).collect();
            let copy = sent.clone();
            let (mut client, mut server) = (story.client, story.server);
            let writer = tokio::task::spawn_local(async move {
                server.write_all(&copy).await.unwrap();
                server.shutdown().await.unwrap();
                read_all(&mut server).await
            });
            let mut got = Vec::new();
            let mut piece = [0; 777];
            loop {
                let count = client.read(&mut piece).await.unwrap();
                if count == 0 {
                    break;
                }
                got.extend_from_slice(&piece[..count]);
                tokio::task::yield_now().await;
            }
            assert!(got == sent);
            client.write_all(b"thanks").await.unwrap();
            drop(client);
            assert_eq!(writer.await.unwrap(), b"thanks");
            Story::check(story.tunnel.await.unwrap(), "--", 6, 300_000);
        });
    }

    #[test]
    fn an_answer_still_arrives_when_the_server_takes_no_more() {
        tell(async {
            let (mut client, near_client) = duplex(WINDOW);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let near_server = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let stop = Rc::default();
            let near_server = Stream::Plain(Plain::Tcp(near_server));
            let (_, tunnel) = start(memory(near_client), near_server, IdleTimeouts::default(), [b"", b""], &stop);
            server.write_all(b"go away").await.unwrap();
            client.write_all(b"unread").await.unwrap();
            server.readable().await.unwrap();
            drop(server); // with unread bytes: the kernel resets
            let mut answer = [0; 7];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"go away");
            let _ = client.write_all(b"more").await;
            Story::check(tunnel.await.unwrap(), "SD", 6, 7);
        });
    }

    #[test]
    fn a_client_that_resets_is_named_as_the_cause() {
        tell(async {
            let (server, near_server) = duplex(WINDOW);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (near_client, _) = listener.accept().await.unwrap();
            let stop = Rc::default();
            let near_client = Stream::Plain(Plain::Tcp(near_client));
            let (_, tunnel) = start(near_client, memory(near_server), IdleTimeouts::default(), [b"", b""], &stop);
            client.set_zero_linger().unwrap();
            drop(client);
            Story::check(tunnel.await.unwrap(), "CD", 0, 0);
            drop(server);
        });
    }

    async fn connected() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        (far, Stream::Plain(Plain::Tcp(near)))
    }

    /// Large messages between sockets are spliced, small ones before and behind them are not, and all keep their order.
    #[test]
    fn bulk_between_sockets_is_spliced_and_keeps_its_order() {
        const LEN: usize = 5 * 1024 * 1024 + 7;
        tell(async {
            let ((mut client, near_client), (mut server, near_server)) = (connected().await, connected().await);
            let (_, tunnel) =
                start(near_client, near_server, IdleTimeouts::default(), [b"early ", b""], &Rc::default());
            let sent: Vec<u8> = (0..LEN).map(|at| (at * 31 % 251) as u8).collect();
            let expected = sent.clone();
            let serving = tokio::task::spawn_local(async move {
                let mut hello = [0; 11];
                server.read_exact(&mut hello).await.unwrap();
                assert_eq!(&hello, b"early hello");
                server.write_all(b"small ").await.unwrap();
                server.write_all(&sent).await.unwrap();
                server.write_all(b" small").await.unwrap();
                server.shutdown().await.unwrap();
                let mut rest = Vec::new();
                server.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, b"bye");
            });
            client.write_all(b"hello").await.unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            assert!(got == [b"small ", &expected[..], b" small"].concat(), "bytes were lost or mixed up");
            client.write_all(b"bye").await.unwrap();
            client.shutdown().await.unwrap();
            serving.await.unwrap();
            let ended = tunnel.await.unwrap();
            Story::check(ended, "--", 14, LEN as u64 + 12);
            assert!(ended.spliced > LEN as u64 / 2, "only {} bytes were spliced", ended.spliced);
        });
    }

    fn idle(client: u32, server: u32) -> IdleTimeouts {
        let after = |ms: u32| (ms > 0).then(|| MS * ms);
        IdleTimeouts {
            client: after(client),
            server: after(server),
            client_fin: after(client),
            server_fin: after(server),
        }
    }

    #[test]
    fn silence_ends_it() {
        tell(async {
            let silent = |idle| async move {
                let story = Story::begin(idle, [b"", b""]);
                let (tunnel, _ends) = (story.tunnel, (story.client, story.server));
                tunnel.await.unwrap()
            };
            Story::check(silent(idle(30, 0)).await, "cD", 0, 0);
            Story::check(silent(idle(0, 30)).await, "sD", 0, 0);
            Story::check(silent(idle(30, 30)).await, "cD", 0, 0);
            Story::check(silent(idle(5000, 30)).await, "sD", 0, 0);
        });
    }

    #[test]
    fn a_side_that_does_not_take_its_bytes_times_out() {
        tell(async {
            let mut story = Story::begin(idle(30, 60_000), [b"", b""]);
            // More than the client's window: it reads nothing.
            story.server.write_all(&[7; 2 * WINDOW]).await.unwrap();
            Story::check(story.tunnel.await.unwrap(), "cD", 0, WINDOW as u64);
        });
    }

    #[test]
    fn traffic_in_either_direction_keeps_a_side_alive() {
        tell(async {
            let mut story = Story::begin(idle(200, 200), [b"", b""]);
            let tick = story.timers.timer();
            for _ in 0..30 {
                story.server.write_all(b".").await.unwrap();
                let mut byte = [0];
                story.client.read_exact(&mut byte).await.unwrap();
                tick.sleep(10 * MS).await;
            }
            story.server.shutdown().await.unwrap();
            story.client.shutdown().await.unwrap();
            Story::check(story.tunnel.await.unwrap(), "--", 0, 30);
        });
    }

    #[test]
    fn after_half_a_close_the_fin_timeouts_hold() {
        tell(async {
            let far = MS * 60_000;
            let fin =
                IdleTimeouts { client: Some(far), server: Some(far), client_fin: None, server_fin: Some(30 * MS) };
            let mut story = Story::begin(fin, [b"", b""]);
            story.client.shutdown().await.unwrap();
            Story::check(story.tunnel.await.unwrap(), "sD", 0, 0);
        });
    }

    #[test]
    fn it_ends_when_told_to() {
        tell(async {
            let story = Story::begin(idle(60_000, 0), [b"", b""]);
            tokio::task::yield_now().await;
            story.stop.set(Some(Cause::Down));
            story.timers.wake_all();
            Story::check(story.tunnel.await.unwrap(), "DD", 0, 0);
        });
    }

    #[test]
    fn the_tunnel_timeout_stands_in_until_one_side_closes() {
        let seconds = |s| Some(Duration::from_secs(s));
        let client = FrontendTimeouts { client: seconds(1), client_fin: seconds(2), ..FrontendTimeouts::default() };
        let server = BackendTimeouts { server: seconds(3), ..BackendTimeouts::default() };
        let plain =
            IdleTimeouts { client: seconds(1), server: seconds(3), client_fin: seconds(2), server_fin: seconds(3) };
        assert_eq!(IdleTimeouts::new(&client, &server), plain);
        let server = BackendTimeouts { tunnel: seconds(9), ..server };
        let tunnel =
            IdleTimeouts { client: seconds(9), server: seconds(9), client_fin: seconds(2), server_fin: seconds(9) };
        assert_eq!(IdleTimeouts::new(&client, &server), tunnel);
    }
}
