//! TCP sessions over real sockets, told as what a client, a server and the log's reader see. The log lines are those
//! HAProxy 2.6 wrote for the same stories, but for the milliseconds.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::testing::{Client, Origin, Rig, back, front, nobody};
use crate::model::Mode;
use crate::model::backend::{Backend, ProxyVersion, Server};
use crate::model::frontend::{AcceptProxy, Frontend};
use crate::model::log::{LogFormat, LogSettings};
use crate::model::stats::StatsPage;
use crate::state::Event;
use crate::state::events::{PageBody, PageKind, PageReply};

const SHORT: Option<Duration> = Some(Duration::from_millis(60));

fn tcp_front() -> Frontend {
    let log = LogSettings { format: LogFormat::Tcp, ..LogSettings::default() };
    Frontend { mode: Mode::Tcp, log, ..front() }
}

fn tcp_back(origin: &Origin) -> Backend {
    Backend { mode: Mode::Tcp, ..back(&[origin.address()]) }
}

fn change_server(backend: &mut Backend, change: impl Fn(&mut Server)) {
    for server in &mut backend.servers {
        change(Arc::get_mut(server).unwrap());
    }
}

/// A session that has begun: its client and its server have each seen the other's first byte.
fn begun(rig: &Rig, origin: &Origin) -> (Client, Client) {
    let mut client = rig.connect();
    client.send("hello");
    let mut server = origin.accept();
    server.until("hello");
    server.send("hi");
    client.until("hi");
    (client, server)
}

/// The log line's timers replaced by `+` where they are positive, so that it can be compared.
fn without_times(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    words[2] =
        words[2].split('/').map(|time| if time.starts_with('-') { time } else { "+" }).collect::<Vec<_>>().join("/");
    words.join(" ")
}

#[track_caller]
fn check_line(rig: &Rig, expected: &str) {
    assert_eq!(without_times(&rig.line()), expected);
}

#[track_caller]
fn ended(client: &mut Client) {
    let mut rest = [0; 10];
    assert!(matches!(client.0.read(&mut rest), Ok(0) | Err(_)), "{rest:?}");
}

fn reset(client: Client) {
    socket2::SockRef::from(&client.0).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_session_ends_when_both_sides_have_ended() {
    let origin = Origin::new();
    let rig = Rig::start(tcp_front(), tcp_back(&origin));
    let (mut client, mut server) = begun(&rig, &origin);
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.rest(), "");
    server.send("bye");
    drop(server);
    assert_eq!(client.rest(), "bye");
    check_line(&rig, "front back/s0 +/+/+ 5 -- 1/1/0/0/0 0/0");
    let snapshot = rig.shared.snapshot.load();
    let totals = snapshot.backends[0].servers[0].state.counters.totals();
    assert_eq!((totals.sessions, totals.bytes_in, totals.bytes_out, totals.picked), (1, 5, 5, 1));
    assert_eq!((totals.client_aborts, totals.server_aborts, totals.requests), (0, 0, 0));
    assert_eq!(snapshot.frontends[0].state.counters.totals().bytes_in, 5);
    assert_eq!(snapshot.backends[0].servers[0].state.sessions.now(), 0);
}

#[test]
fn who_resets_is_named() {
    let origin = Origin::new();
    let rig = Rig::start(tcp_front(), tcp_back(&origin));
    let (client, mut server) = begun(&rig, &origin);
    reset(client);
    ended(&mut server);
    check_line(&rig, "front back/s0 +/+/+ 2 CD 1/1/0/0/0 0/0");
    let (mut client, server) = begun(&rig, &origin);
    reset(server);
    ended(&mut client);
    check_line(&rig, "front back/s0 +/+/+ 2 SD 1/1/0/0/0 0/0");
    let totals = rig.shared.snapshot.load().backends[0].state.counters.totals();
    assert_eq!((totals.client_aborts, totals.server_aborts, totals.response_errors), (1, 1, 1));
}

#[test]
fn silence_is_cut_after_the_timeouts() {
    let origin = Origin::new();
    let mut frontend = tcp_front();
    frontend.timeouts.client = SHORT;
    let rig = Rig::start(frontend, tcp_back(&origin));
    let (mut client, _server) = begun(&rig, &origin);
    assert_eq!(client.rest(), "");
    check_line(&rig, "front back/s0 +/+/+ 2 cD 1/1/0/0/0 0/0");

    let mut backend = tcp_back(&origin);
    backend.timeouts.server = SHORT;
    let rig = Rig::start(tcp_front(), backend);
    let (client, _server) = begun(&rig, &origin);
    client.0.shutdown(Shutdown::Write).unwrap();
    check_line(&rig, "front back/s0 +/+/+ 2 sD 1/1/0/0/0 0/0");
}

#[test]
fn a_dead_server_is_tried_again_after_a_while() {
    let mut backend = Backend { mode: Mode::Tcp, ..back(&[nobody()]) };
    backend.timeouts.connect = SHORT;
    let rig = Rig::start(tcp_front(), backend);
    let mut client = rig.connect();
    client.send("hello");
    ended(&mut client);
    check_line(&rig, "front back/s0 +/-1/+ 0 SC 1/1/0/0/3 0/0");
    let totals = rig.shared.snapshot.load().backends[0].state.counters.totals();
    assert_eq!((totals.connection_errors, totals.retries, totals.sessions), (1, 3, 1));

    // A client that leaves meanwhile, without having said anything, is not kept waiting for.
    drop(rig.connect());
    check_line(&rig, "front back/s0 +/-1/+ 0 CC 1/1/0/0/1 0/0");
}

#[test]
fn without_a_server_a_session_ends_at_once() {
    let rig = Rig::start(tcp_front(), Backend { mode: Mode::Tcp, ..back(&[]) });
    ended(&mut rig.connect());
    check_line(&rig, "front back/<NOSRV> -1/-1/+ 0 SC 1/1/0/0/0 0/0");

    let rig = Rig::start(Frontend { default_backend: None, ..tcp_front() }, back(&[]));
    ended(&mut rig.connect());
    check_line(&rig, "front front/<NOSRV> -1/-1/+ 0 SC 1/1/0/0/0 0/0");
}

#[test]
fn a_full_server_makes_sessions_wait() {
    let origin = Origin::new();
    let mut backend = tcp_back(&origin);
    backend.timeouts.queue = SHORT;
    change_server(&mut backend, |server| server.maxconn = Some(1));
    let rig = Rig::start(tcp_front(), backend);
    let (_client, _server) = begun(&rig, &origin);
    let mut waiting = rig.connect();
    ended(&mut waiting);
    check_line(&rig, "front back/<NOSRV> +/-1/+ 0 sQ 2/2/1/0/0 0/1");
    drop(rig.connect());
    check_line(&rig, "front back/<NOSRV> +/-1/+ 0 CQ 2/2/1/0/0 0/1");
}

#[test]
fn a_server_learns_who_the_client_is() {
    for (version, expected) in
        [(ProxyVersion::V1, "PROXY TCP4 127.0.0.1 127.0.0.1 "), (ProxyVersion::V2, "\r\n\r\n\0\r\nQUIT\n!")]
    {
        let origin = Origin::new();
        let mut backend = tcp_back(&origin);
        change_server(&mut backend, |server| server.send_proxy = Some(version));
        let rig = Rig::start(tcp_front(), backend);
        let mut client = rig.connect();
        let mut got = vec![0; expected.len()];
        origin.accept().0.read_exact(&mut got).unwrap();
        assert_eq!(got, expected.as_bytes());
        client.send("x");
    }
}

#[test]
fn a_proxy_in_front_tells_who_the_client_is() {
    let origin = Origin::new();
    let mut frontend = tcp_front();
    frontend.listeners[0].accept_proxy = AcceptProxy::Always;
    let mut backend = tcp_back(&origin);
    change_server(&mut backend, |server| server.send_proxy = Some(ProxyVersion::V1));
    let rig = Rig::start(frontend, backend);
    let mut client = rig.connect();
    client.send("PROXY TCP4 203.0.113.7 203.0.113.8 1234 443\r\nhello");
    let mut server = origin.accept();
    assert_eq!(server.until("hello"), "PROXY TCP4 203.0.113.7 203.0.113.8 1234 443\r\nhello");
    drop((client, server));
    let (_, line) = rig.lines.recv().unwrap();
    assert!(line.starts_with("203.0.113.7:1234 ["), "{line}");

    let mut liar = rig.connect();
    liar.send("GET / HTTP/1.1\r\n\r\n");
    ended(&mut liar);
}

#[test]
fn the_stats_page_is_served_on_a_tcp_frontend() {
    let origin = Origin::new();
    let page = StatsPage { uri: "/haproxy?stats".into(), ..StatsPage::metrics_only() };
    let frontend = Frontend { stats: Some(Arc::new(page)), ..tcp_front() };
    let mut rig = Rig::start(frontend, tcp_back(&origin));
    let mut browser = rig.connect();
    // In pieces, to be put together before it can be judged.
    browser.send("GET /hap");
    browser.send("roxy?stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let Some(Event::Page(asked)) = rig.events.blocking_recv() else { panic!("no page was asked for") };
    assert_eq!((asked.kind, asked.uri.as_str()), (PageKind::Stats, "/haproxy?stats"));
    let body = PageBody::Whole("the page".into());
    assert!(asked.reply.send(PageReply { status: 200, headers: Vec::new(), body }).is_ok());
    assert!(browser.rest().ends_with("\r\n\r\nthe page"));
    rig.line();

    // Whoever wants something else gets it, with every byte.
    let (client, server) = begun(&rig, &origin);
    drop((client, server));
    check_line(&rig, "front back/s0 +/+/+ 2 -- 1/1/0/0/0 0/0");
    // So does a client that waits for its server to speak first.
    let mut quiet = rig.connect();
    let mut server = origin.accept();
    server.send("220 welcome");
    quiet.until("220 welcome");
}

#[test]
fn killed_sessions_end() {
    let origin = Origin::new();
    let rig = Rig::start(tcp_front(), tcp_back(&origin));
    let (mut client, _server) = begun(&rig, &origin);
    rig.shared.snapshot.load().backends[0].servers[0].state.kill_generation.fetch_add(1, Relaxed);
    rig.shared.phase.send_modify(|_| ()); // as control does, so that workers look
    ended(&mut client);
    check_line(&rig, "front back/s0 +/+/+ 2 K- 1/1/0/0/0 0/0");
}

#[test]
fn a_large_download_arrives_whole() {
    let origin = Origin::new();
    let rig = Rig::start(tcp_front(), tcp_back(&origin));
    let (mut client, mut server) = begun(&rig, &origin);
    let sent: Vec<u8> = (0..20_000_000u32).map(|i| (i / 1000) as u8).collect();
    let copy = sent.clone();
    let sender = std::thread::spawn(move || server.0.write_all(&copy).unwrap());
    let mut got = Vec::new();
    client.0.read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert!(got == sent);
    drop(client);
    check_line(&rig, "front back/s0 +/+/+ 20000002 -- 1/1/0/0/0 0/0");
}

#[test]
fn a_client_without_a_server_gets_an_end_in_order() {
    let mut backend = Backend { mode: Mode::Tcp, retries: 1, ..back(&[nobody()]) };
    backend.timeouts.connect = SHORT;
    let rig = Rig::start(tcp_front(), backend);
    let mut client = rig.connect();
    client.send(&"z".repeat(100_000)); // more than is read while a server is looked for
    assert_eq!(client.rest(), "");
    check_line(&rig, "front back/s0 +/-1/+ 0 SC 1/1/0/0/1 0/0");
}
