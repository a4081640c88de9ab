//! Exchanges over real sockets, told as what a client and a server see.

use std::time::Duration;

use super::testing::{Client, Origin, Rig, back, front, nobody};
use crate::model::backend::{HttpConnectionMode, ProxyVersion};
use crate::state::Event;

const GET: &str = "GET /a HTTP/1.1\r\nHost: app\r\n\r\n";
const GET_CLOSE: &str = "GET /a HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";

fn one() -> (Rig, Origin) {
    let origin = Origin::new();
    let rig = Rig::start(front(), back(&[origin.address()]));
    (rig, origin)
}

/// One exchange has been: both its connections are kept.
fn kept() -> (Rig, Origin, Client, Client) {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send(GET);
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.head();
    (rig, origin, client, server)
}

#[test]
fn both_connections_are_kept() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send(GET);
    let mut server = origin.accept();
    assert_eq!(server.head(), "GET /a HTTP/1.1\r\nHost: app\r\n\r\n");
    for _ in 0..3 {
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        assert!(client.until("hi").starts_with("HTTP/1.1 200 OK\r\n"));
        client.send(GET);
        server.head();
    }
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: app\r\n\r\nPOST /2 HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: app\r\n\r\n");
    let mut server = origin.accept();
    assert!(server.head().starts_with("GET /1 "));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    assert!(server.until("abc").starts_with("POST /2 "));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
    assert!(server.head().starts_with("GET /3 "));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
    for n in ["1", "2", "3"] {
        client.head();
        client.until(n);
    }
}

/// Small bodies are copied behind the head, larger ones have it in front of them where it fits, or go beside it.
#[test]
fn heads_and_bodies_of_any_size_leave_in_order() {
    for grows in [false, true] {
        let origin = Origin::new();
        let front = crate::model::Frontend { no_store: grows, ..front() };
        let rig = Rig::start(front, back(&[origin.address()]));
        let mut client = rig.connect();
        let mut server: Option<Client> = None;
        for size in [1, 1023, 1024, 10_000, 12_289, 16_384, 70_000] {
            client.send(GET);
            let server = server.get_or_insert_with(|| origin.accept());
            server.head();
            let body: String = (b'a'..=b'y').cycle().take(size).map(char::from).collect();
            server.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}z", size + 1));
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert_eq!(head.len() > format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", size + 1).len(), grows);
            assert!(client.until("z") == body + "z", "{size} bytes, other ones came");
        }
    }
}

#[test]
fn chunks_pass_both_ways() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut server = origin.accept();
    assert!(server.head().contains("ransfer-Encoding: chunked\r\n"));
    assert_eq!(server.until("abc\r\n"), "3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\n\r\n");
    assert_eq!(server.until("0\r\n\r\n"), "2\r\nde\r\n0\r\n\r\n");
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    client.head();
    client.until("1\r\nx\r\n");
    server.send("0\r\n\r\n");
    client.until("0\r\n\r\n");
    client.send(GET);
    server.head();
}

#[test]
fn an_http10_client_gets_a_plain_body_and_the_end() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send("GET / HTTP/1.0\r\nHost: app\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let answer = client.rest();
    assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
    assert!(!answer.contains("chunked"), "{answer}");
}

#[test]
fn a_body_larger_than_any_buffer_streams_through() {
    let (rig, origin) = one();
    let body: String = (0..300_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let mut client = rig.connect();
    client
        .send(&format!("POST / HTTP/1.1\r\nHost: app\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()));
    let sent = body.clone();
    let mut writer = Client::over(client.0.try_clone().unwrap());
    let sending = std::thread::spawn(move || writer.send(&sent));
    let mut server = origin.accept();
    server.head();
    let mut got = vec![0; body.len()];
    std::io::Read::read_exact(&mut server.0, &mut got).unwrap();
    assert!(got == body.as_bytes());
    sending.join().unwrap();
    server.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert!(client.rest().ends_with(&body));
}

#[test]
fn expect_goes_to_the_server_and_its_100_comes_back() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send("PUT / HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let mut server = origin.accept();
    assert!(server.head().to_lowercase().contains("expect: 100-continue\r\n"));
    server.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("body");
    server.until("body");
    server.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 201 "));
}

#[test]
fn an_answer_before_the_body_ends_is_passed_on_and_the_rest_of_the_body_too() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 100\r\n\r\nfirst");
    let mut server = origin.accept();
    server.until("first");
    server.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    let answer = client.until("no");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("no"), "{answer}");
    assert!(!answer.to_lowercase().contains("connection: close"), "{answer}");
    client.send(&"x".repeat(95));
    assert!(server.until(&"x".repeat(95)).ends_with("x"));
}

#[test]
fn an_upgrade_becomes_a_tunnel_after_101() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut server = origin.accept();
    assert!(server.head().to_lowercase().contains("upgrade: websocket\r\n"));
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
    assert!(client.until("early").starts_with("HTTP/1.1 101 "));
    client.send("ping");
    server.until("ping");
    server.send("pong");
    client.until("pong");
    drop(server);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.head();
    assert!(server.head().starts_with("GET /smuggled "), "read as a request of its own, after the answer");
}

#[test]
fn a_connection_the_server_has_closed_meanwhile_costs_no_request() {
    let (_rig, origin, mut client, mut server) = kept();
    client.send(GET);
    server.head(); // takes the second request and dies without an answer
    drop(server);
    let mut again = origin.accept();
    again.head();
    again.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_server_that_ends_without_an_answer_is_502() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send(GET);
    let mut server = origin.accept();
    server.head();
    drop(server);
    assert!(client.rest().starts_with("HTTP/1.1 502 "));
}

#[test]
fn a_server_that_talks_nonsense_is_502() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send(GET);
    let mut server = origin.accept();
    server.head();
    server.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert!(client.rest().starts_with("HTTP/1.1 502 "));
}

#[test]
fn a_silent_server_is_504() {
    let origin = Origin::new();
    let mut backend = back(&[origin.address()]);
    backend.timeouts.server = Some(Duration::from_millis(60));
    let rig = Rig::start(front(), backend);
    assert!(rig.ask(GET).starts_with("HTTP/1.1 504 "));
}

#[test]
fn a_body_cut_by_the_server_is_not_ended_for_the_client() {
    let (rig, origin) = one();
    let mut client = rig.connect();
    client.send(GET);
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    drop(server);
    let answer = client.rest();
    assert!(answer.ends_with("3\r\nabc\r\n"), "no last chunk: {answer}");
}

#[test]
fn a_request_that_never_ends_is_408() {
    let mut frontend = front();
    frontend.timeouts.http_request = Some(Duration::from_millis(60));
    let rig = Rig::start(frontend, back(&[nobody()]));
    assert!(rig.ask("GET / HTTP/1.1\r\nHost:").starts_with("HTTP/1.1 408 "));
}

#[test]
fn ambiguous_requests_are_refused_and_closed() {
    let (rig, _origin) = one();
    for bad in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let answer = rig.ask(bad);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?}: {answer}");
    }
}

#[test]
fn a_dead_server_is_passed_over_at_once() {
    let origin = Origin::new();
    let mut rig = Rig::start(front(), back(&[nobody(), origin.address()]));
    let mut client = rig.connect();
    client.send(GET_CLOSE);
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.rest().starts_with("HTTP/1.1 200 "));
    match rig.events.blocking_recv() {
        Some(Event::ConnectFailed { server, .. }) => assert_eq!(&*server, "s0"),
        _ => panic!("control was not told"),
    }
    let totals = rig.shared.snapshot.load().backends[0].state.counters.totals();
    assert_eq!((totals.retries, totals.redispatches, totals.connection_errors), (0, 1, 0));
}

#[test]
fn a_dead_server_is_insisted_on_where_redispatching_is_off() {
    let origin = Origin::new();
    let mut backend = back(&[nobody(), origin.address()]);
    backend.redispatch = 0;
    backend.retries = 1;
    // Also how long the pause between two attempts is, at most.
    backend.timeouts.connect = Some(Duration::from_millis(20));
    let rig = Rig::start(front(), backend);
    assert!(rig.ask(GET_CLOSE).starts_with("HTTP/1.1 503 "));
    let totals = rig.shared.snapshot.load().backends[0].state.counters.totals();
    assert_eq!((totals.retries, totals.redispatches, totals.connection_errors), (1, 0, 1));
}

#[test]
fn without_any_server_the_answer_is_503_at_once() {
    let rig = Rig::start(front(), back(&[]));
    assert!(rig.ask(GET).starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_full_server_makes_requests_wait_their_turn() {
    let origin = Origin::new();
    let mut backend = back(&[origin.address()]);
    let server = std::sync::Arc::get_mut(&mut backend.servers[0]).unwrap();
    server.maxconn = Some(1);
    backend.timeouts.queue = Some(Duration::from_millis(80));
    let rig = Rig::start(front(), backend);
    let mut first = rig.connect();
    first.send(GET);
    let mut server = origin.accept();
    server.head();
    let mut late = rig.connect();
    late.send(GET_CLOSE);
    assert!(late.rest().starts_with("HTTP/1.1 503 "), "timeout queue");
    let totals = || rig.shared.snapshot.load().backends[0].state.counters.totals();
    assert_eq!(totals().connection_errors, 1, "the backend's, as in HAProxy");
    let mut second = rig.connect();
    second.send(GET_CLOSE);
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    first.head();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(second.rest().starts_with("HTTP/1.1 200 "));
}

#[test]
fn server_close_mode_keeps_only_the_client() {
    let origin = Origin::new();
    let mut backend = back(&[origin.address()]);
    backend.connection = HttpConnectionMode::ServerClose;
    let rig = Rig::start(front(), backend);
    let mut client = rig.connect();
    for _ in 0..2 {
        client.send(GET);
        let mut server = origin.accept();
        assert!(server.head().to_lowercase().contains("connection: close\r\n"));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.head();
        assert_eq!(server.rest(), "");
    }
}

#[test]
fn a_connection_that_tells_a_servers_one_client_is_not_shared() {
    let origin = Origin::new();
    let mut backend = back(&[origin.address()]);
    std::sync::Arc::get_mut(&mut backend.servers[0]).unwrap().send_proxy = Some(ProxyVersion::V1);
    let rig = Rig::start(front(), backend);
    for _ in 0..2 {
        let mut client = rig.connect();
        let from = client.0.local_addr().unwrap().port();
        client.send(GET_CLOSE);
        let mut server = origin.accept();
        assert!(server.until("\r\n").contains(&format!(" {from} ")));
        server.head();
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.rest();
    }
}

#[test]
fn a_request_that_may_have_been_carried_out_is_not_sent_again() {
    let (_rig, _origin, mut client, mut server) = kept();
    client.send("POST /pay HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc");
    server.until("abc");
    drop(server);
    assert!(client.rest().starts_with("HTTP/1.1 502 "));
}

#[test]
fn a_connection_that_tells_its_client_is_kept_for_that_clients_next_request() {
    let origin = Origin::new();
    let mut backend = back(&[origin.address()]);
    std::sync::Arc::get_mut(&mut backend.servers[0]).unwrap().send_proxy = Some(ProxyVersion::V1);
    let rig = Rig::start(front(), backend);
    let mut client = rig.connect();
    client.send(GET);
    let mut server = origin.accept();
    assert!(server.until("\r\n").starts_with("PROXY TCP4 "));
    for _ in 0..2 {
        assert!(server.head().starts_with("GET /a "), "one header, at the connection's start");
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.head();
        client.send(GET);
    }
    server.head();
    drop(server); // with its answer still due: the request goes over a new connection
    let mut again = origin.accept();
    assert!(again.until("\r\n").starts_with("PROXY TCP4 "));
    again.head();
    again.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    let state = std::sync::Arc::clone(&rig.shared.snapshot.load().backends[0].servers[0].state);
    drop(client);
    assert_eq!(again.rest(), "", "closed with its client");
    drop(rig);
    assert_eq!((state.idle.now(), state.sessions.now()), (0, 0));
}
