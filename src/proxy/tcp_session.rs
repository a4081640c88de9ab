//! One session of a TCP frontend: choose a backend, reach a server, copy bytes until both sides are done, write the record.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::buffers::Buffers;
use super::connection::Connection;
use super::exchange::Setting;
use super::http1_server;
use super::inspect::{glance, inspect};
use super::record::{Account, Bytes};
use super::rules_context::{self, proxy_values};
use super::stream::Stream;
use super::tunnel::{IdleTimeouts, Tunnel};
use super::upstream::OnBehalfOf;
use super::upstream::attempts::Attempts;
use super::upstream::connect::connect;
use super::upstream::reuse::Reuse;
use super::upstream::slot::{NoServer, Slot, Wish, acquire};
use super::worker::must_stop;
use crate::logline::{Cause, Phase};
use crate::model::backend::BackendTimeouts;
use crate::model::stats::StatsPage;
use crate::rules::FirstBytes;
use crate::rules::Handling;
use crate::state::snapshot::BackendInForce;

/// How long a client of a frontend with a stats page may take to show that it does not want it. Clients of protocols in
/// which the server speaks first lose this much.
const PAGE_WAIT: Duration = Duration::from_millis(500);

/// Serves a client connection to its end.
pub(crate) async fn serve(connection: Box<Connection>, mut stream: Stream) {
    let mut early = Early::default();
    if let Some(page) = &connection.frontend().config.stats {
        let opening = opening(&connection, &mut stream, &mut early, page).await;
        if opening == Opening::Page {
            return http1_server::serve(connection, stream, early.bytes).await;
        }
    }
    let view = Rc::clone(&connection.view);
    let setting = Setting {
        connection: &connection,
        view: &view,
        frontend: view.frontend(connection.listener().frontend),
        timer: &connection.timer,
    };
    let mut account = Account::default();
    account.begin(connection.accepted, Duration::ZERO, connection.handshake);
    let bytes = match session(&setting, &mut account, &mut stream, early).await {
        Ok(bytes) => bytes,
        Err(Unserved { cause, phase, received }) => {
            account.end(cause, phase);
            account.write_session(&setting, Bytes { received, sent: 0 });
            if matches!(cause, Cause::Server | Cause::ServerTimeout) && !connection.frontend().config.nolinger {
                // Closing with something unread would break the connection: the client would be told of an error in place
                // of an end. Nobody can see that beneath TLS. Boxed: rare.
                let unread = stream.is_tls() || stream.unread() > 0;
                Box::pin(http1_server::finish(&connection, &mut stream, unread)).await;
            }
            return;
        }
    };
    account.write_session(&setting, bytes);
}

/// How a session ended before a byte was passed on, and what its client had sent by then.
struct Unserved {
    cause: Cause,
    phase: Phase,
    received: u64,
}

/// Runs the session.
async fn session(
    setting: &Setting<'_>,
    account: &mut Account,
    client: &mut Stream,
    mut early: Early,
) -> Result<Bytes, Unserved> {
    let worker = &setting.connection.worker;
    // Boxed: short beside the tunnel, which a quiet connection keeps for hours, and larger.
    let reached = Box::pin(begin(setting, account, client, &mut early)).await;
    let (backend, slot, mut server) = match reached {
        Ok(reached) => reached,
        Err((cause, phase)) => {
            let received = early.bytes.len() as u64 + client.unread();
            worker.buffers.give(early.bytes);
            return Err(Unserved { cause, phase, received });
        }
    };
    #[cfg(test)]
    super::panic_tests::inject("session", setting.frontend.config.name.as_bytes());
    let generation = slot.kill_generation();
    let is_broken_off = backend.server(slot.server).config.dial.as_ref().is_some_and(|dial| dial.nolinger);
    let ended = Tunnel {
        client,
        server: &mut server,
        from_client: early.bytes,
        from_server: Vec::new(),
        idle: IdleTimeouts::new(&setting.frontend.config.timeouts, &backend.config.timeouts),
        buffers: &worker.buffers,
        timer: setting.timer,
        moved: &mut |received, sent| account.moved(setting, Bytes { received, sent }),
        ends_with_silence: setting.frontend.config.nolinger || is_broken_off,
        ends_with_server: false,
        stop: &|| must_stop(worker, &slot, generation),
    }
    .run()
    .await;
    worker.counts().spliced_bytes.add(ended.spliced);
    account.leave_server(&slot);
    if ended.termination.cause == Cause::Client {
        server.break_at_close();
    }
    if ended.termination.cause != Cause::Normal {
        account.end(ended.termination.cause, ended.termination.phase);
    }
    Ok(Bytes { received: ended.to_server, sent: ended.to_client })
}

/// All that comes before the first byte is passed on: rules, a backend, a server.
async fn begin<'s>(
    setting: &'s Setting<'_>,
    account: &mut Account,
    client: &mut Stream,
    early: &mut Early,
) -> Result<(&'s BackendInForce, Slot<'s>, Stream), (Cause, Phase)> {
    let frontend = &setting.frontend.config;
    let let_in = inspect(setting, account, client, early, &frontend.tcp_request, None).await;
    if let Err((Cause::Proxy, _)) = let_in {
        account.deny(false);
        return Err((Cause::Proxy, Phase::Request));
    }
    if frontend.routes_by_first_bytes {
        glance(setting, client, early).await;
    }
    let id = rules_context::choose_tcp_backend(setting, &FirstBytes::new(&early.bytes, true))
        .ok_or((Cause::Server, Phase::Connect))?;
    let backend = setting.view.backend(id);
    account.enter_backend(setting.connection.worker.index, id, backend);
    // Who left or fell silent is told with the backend it would have got, as HAProxy does.
    let_in?;
    let let_in =
        inspect(setting, account, client, early, &backend.config.tcp_request, Some(&backend.config.name)).await;
    if let Err((Cause::Proxy, _)) = let_in {
        account.deny(false);
    }
    let_in?;
    let (slot, stream) = reach(setting, account, client, early, backend).await?;
    Ok((backend, slot, stream))
}

/// A slot on a server and a connection to it, with the retries the backend allows.
async fn reach<'b>(
    setting: &Setting<'_>,
    account: &mut Account,
    client: &mut Stream,
    early: &mut Early,
    backend: &'b BackendInForce,
) -> Result<(Slot<'b>, Stream), (Cause, Phase)> {
    let connection = setting.connection;
    let (worker, buffers) = (connection.worker.index, &connection.worker.buffers);
    let on_behalf = OnBehalfOf::of(connection);
    let sni = connection.sni();
    let BackendTimeouts { connect: timeout, .. } = backend.config.timeouts;
    early.abort_on_close = backend.config.abort_on_close;
    let mut attempts = Attempts::new(backend, Wish::Any, Reuse::Never);
    loop {
        let handling = early.handling;
        let gone = early.until_useless(client, buffers);
        let (slot, waited) = acquire(backend, attempts.wish, handling, setting.timer, gone).await;
        if waited.place > 0 {
            account.waited(&waited);
        }
        let slot = match slot {
            Ok(slot) => slot,
            Err(NoServer::NoneUp) => {
                account.unserved(worker, backend);
                return Err((Cause::Server, Phase::Connect));
            }
            Err(NoServer::QueueTimedOut) => {
                account.unserved(worker, backend);
                return Err((Cause::ServerTimeout, Phase::Queue));
            }
            Err(NoServer::ClientGone) => return Err((Cause::Client, Phase::Queue)),
        };
        account.give_to(worker, backend, &slot, &attempts);
        let server = backend.server(slot.server);
        account.connecting(worker, backend, &slot);
        let first = FirstBytes::new(&early.bytes, true);
        let values = proxy_values(setting, &backend.config.name, &server.config, None, Some(&first));
        let on_behalf = on_behalf.telling(&values);
        let connecting = slot.unless_killed(connect(server, timeout, on_behalf, sni, setting.timer));
        let client_gone = (Cause::Client, Phase::Connect);
        let connected = early.unless_useless(client, buffers, connecting).await.ok_or(client_gone)?;
        match connected.ok_or((Cause::Killed, Phase::Connect))? {
            Ok(stream) => {
                account.connected();
                return Ok((slot, stream));
            }
            Err(error) => {
                let failing = attempts.fail(setting, backend, slot, &error, account);
                let last = early.unless_useless(client, buffers, failing).await.ok_or(client_gone)?;
                if let Some((_, cause, phase)) = last {
                    return Err((cause, phase));
                }
            }
        }
    }
}

/// What a client sent before a server was there for it.
#[derive(Default)]
pub(super) struct Early {
    pub bytes: Vec<u8>,
    /// The client has closed its sending side; the tunnel will find that out again.
    ended: bool,
    /// Reading has failed. The kernel says so once; asked again, it would tell of an orderly end.
    broken: bool,
    /// A client that has closed its sending side is not waited for, whatever it has sent.
    abort_on_close: bool,
    /// What rules say of its turn in a queue.
    pub handling: Handling,
}

impl Early {
    /// No more will be read: the client has ended, or the buffer is full.
    pub fn is_all(&self) -> bool {
        self.ended || (self.bytes.capacity() > 0 && self.bytes.len() == self.bytes.capacity())
    }

    /// Reads what comes, up to one buffer. Ready with `false` when the client is gone, with `true` when something came.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, client: &mut Stream, buffers: &Buffers) -> Poll<bool> {
        if self.broken {
            return Poll::Ready(false);
        }
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.head();
        }
        if self.ended || self.bytes.len() == self.bytes.capacity() {
            return Poll::Pending; // no more is read ahead; the tunnel goes on
        }
        match client.poll_read_into(cx, &mut self.bytes) {
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                Poll::Ready(true)
            }
            Poll::Ready(Ok(_)) => Poll::Ready(true),
            Poll::Ready(Err(_)) => {
                self.broken = true;
                Poll::Ready(false)
            }
            Poll::Pending => {
                if self.bytes.is_empty() {
                    buffers.give(std::mem::take(&mut self.bytes));
                }
                Poll::Pending
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, client: &mut Stream, buffers: &Buffers) -> Poll<()> {
        loop {
            match self.poll_read(cx, client, buffers) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The client is gone, or has closed its sending side: without a word, or where that is enough (`option abortonclose`).
    /// Then nobody is worth waiting for.
    fn poll_useless(&mut self, cx: &mut Context<'_>, client: &mut Stream, buffers: &Buffers) -> Poll<()> {
        let gone = self.poll_gone(cx, client, buffers);
        if self.ended && (self.abort_on_close || self.bytes.is_empty()) { Poll::Ready(()) } else { gone }
    }

    async fn until_useless(&mut self, client: &mut Stream, buffers: &Buffers) {
        poll_fn(|cx| self.poll_useless(cx, client, buffers)).await;
    }

    /// `None` when the client became useless first.
    async fn unless_useless<F: Future>(
        &mut self,
        client: &mut Stream,
        buffers: &Buffers,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let first = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_useless(cx, client, buffers).map(|()| None),
        })
        .await;
        if first.is_some() || self.broken {
            return first;
        }
        // Who closes its sending side at once still gets a server that was reached at once.
        tokio::task::yield_now().await;
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

/// What a client's first bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// A request for the stats page or the metrics.
    Page,
    /// A session like any other.
    Session,
    /// Not to be told yet.
    Undecided,
}

/// Reads until it is clear whether the client asks for the frontend's page; what was read is in `early`.
async fn opening(connection: &Connection, client: &mut Stream, early: &mut Early, page: &StatsPage) -> Opening {
    let buffers = &connection.worker.buffers;
    connection.timer.set_after(Some(PAGE_WAIT));
    let reading = async {
        loop {
            let alive = poll_fn(|cx| early.poll_read(cx, client, buffers)).await;
            match guess(&early.bytes, page) {
                Opening::Undecided if alive && !early.ended => {}
                decided => return decided,
            }
        }
    };
    let decided = connection.timer.bound(reading).await;
    connection.timer.set(None);
    decided.unwrap_or(Opening::Session)
}

/// Judges by the first bytes alone: a method a browser or a scraper would use, then the page's URI.
fn guess(bytes: &[u8], page: &StatsPage) -> Opening {
    let paths = std::iter::once(page.uri.as_str()).chain(page.metrics.as_deref());
    let mut undecided = false;
    for path in paths {
        for method in ["GET ", "HEAD ", "POST "] {
            let expected = [method.as_bytes(), path.as_bytes()].concat();
            if bytes.starts_with(&expected) {
                return Opening::Page;
            }
            undecided |= expected.starts_with(bytes);
        }
    }
    if undecided { Opening::Undecided } else { Opening::Session }
}

#[cfg(test)]
mod tests {
    use super::super::stream::Plain;
    use super::*;
    use crate::model::stats::StatsAdmin;

    #[track_caller]
    fn check(bytes: &[u8], expected: Opening) {
        let page = StatsPage {
            uri: "/haproxy?stats".into(),
            realm: String::new(),
            auth: Vec::new(),
            refresh: None,
            hide_version: false,
            admin: StatsAdmin::Never,
            scope: Vec::new(),
            show_legends: false,
            show_node: None,
            show_description: None,
            metrics: Some("/metrics".into()),
        };
        assert_eq!(guess(bytes, &page), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn a_client_that_has_broken_off_stays_gone() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            let mut stream = Stream::Plain(Plain::Tcp(accepted));
            let (mut early, buffers) = (Early::default(), Buffers::default());
            for _ in 0..2 {
                assert!(!poll_fn(|cx| early.poll_read(cx, &mut stream, &buffers)).await);
            }
        });
    }

    #[test]
    fn the_first_bytes_tell_a_page_from_a_session() {
        check(b"", Opening::Undecided);
        check(b"GET", Opening::Undecided);
        check(b"GET /haproxy?stat", Opening::Undecided);
        check(b"GET /haproxy?stats HTTP/1.1\r\n", Opening::Page);
        check(b"GET /haproxy?stats;csv HTTP/1.0\r\n", Opening::Page);
        check(b"POST /haproxy?stats HTTP/1.1\r\n", Opening::Page);
        check(b"HEAD /metrics HTTP/1.1\r\n", Opening::Page);
        check(b"GET /haproxy HTTP/1.1\r\n", Opening::Session);
        check(b"GET / HTTP/1.1\r\n", Opening::Session);
        check(b"\x16\x03\x01\x02\x00\x01", Opening::Session);
        check(b"PUT /haproxy?stats HTTP/1.1\r\n", Opening::Session);
    }
}
