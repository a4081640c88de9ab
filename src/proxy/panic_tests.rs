//! Does a defect in one connection stay there? Panics are injected where most is held: a slot, a place in every counter,
//! a connection to a server, borrowed buffers.

use std::time::Duration;

use super::memory::{self, Speaks};
use super::testing::{Client, Origin, Rig, back, front, nobody};
use crate::model::backend::HttpReuse;
use crate::model::testing::config;
use crate::model::{Frontend, Mode};
use crate::state::Event;

/// Panics when the test named this place: as a request's target or a frontend's name.
pub(super) fn inject(place: &str, named: &[u8]) {
    // Without an allocation: other tests count those.
    assert!(named.strip_prefix(b"/panic-in-") != Some(place.as_bytes()), "injected in the {place}");
}

fn named(frontend: Frontend, name: &str) -> Frontend {
    Frontend { name: name.into(), ..frontend }
}

/// All that is counted as being there now.
fn at_rest(rig: &Rig) -> bool {
    let snapshot = rig.shared.snapshot.load();
    let process = &rig.shared.process;
    let (frontend, backend) = (&snapshot.frontends[0].state, &snapshot.backends[0]);
    let counts = [
        process.connections.now(),
        process.tls_connections.now(),
        frontend.sessions.now(),
        snapshot.listeners[0].state.sessions.now(),
        backend.state.sessions.now(),
        backend.state.queued.now(),
        backend.servers[0].state.sessions.now(),
    ];
    counts == [0; 7]
}

#[track_caller]
fn eventually(rig: &Rig, what: &str, holds: impl Fn(&Rig) -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while !holds(rig) {
        assert!(std::time::Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_panic_ends_its_connection_and_no_other() {
    let origin = Origin::new();
    let mut backend = back(&[origin.address()]);
    // One slot: a lost one would leave everybody waiting.
    backend.servers = backend
        .servers
        .iter()
        .map(|server| {
            std::sync::Arc::new(crate::model::Server { maxconn: Some(1), ..crate::model::Server::clone(server) })
        })
        .collect();
    let rig = Rig::start(front(), backend);
    let mut bystander = rig.connect();
    bystander.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send(OK);
    bystander.until("hi");
    for times in 1..=3 {
        let mut unlucky = rig.connect();
        unlucky.send("GET /panic-in-exchange HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(unlucky.rest(), "", "it is cut without an answer");
        eventually(&rig, "the panic is counted once", |rig| rig.shared.process.panics.total() == times);
    }
    // It took its connection to the server with it; the next one is new.
    bystander.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answering = origin.accept();
    while answering.0.peek(&mut [0]).is_ok_and(|length| length == 0) {
        answering = origin.accept();
    }
    answering.head();
    answering.send(OK);
    bystander.until("hi");
    drop(bystander);
    eventually(&rig, "nothing is counted as there", at_rest);
}

/// A request's frame on an HTTP/2 connection: HEADERS with a path of less than 128 bytes, nothing behind it.
fn http2_get(stream: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x41, 1, b'a']);
    let mut frame = vec![0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream];
    frame.append(&mut block);
    frame
}

#[test]
fn a_stream_that_panics_is_reset_and_the_others_of_its_connection_go_on() {
    let mut backend = back(&[nobody()]);
    backend.http_reuse = HttpReuse::Always; // the servers that stand ready in memory
    let (shared, _events) = memory::shared(memory::all_in_rotation(config(vec![front()], vec![backend])), 1);
    let mut asked = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    asked.extend(http2_get(1, "/panic-in-exchange"));
    asked.extend(http2_get(3, "/"));
    let got = memory::talk(&shared, Speaks::Http2, &asked, OK.as_bytes());
    let holds = |bytes: &[u8]| got.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(b"\0\0\x04\x03\0\0\0\0\x01"), "no RST_STREAM for the first: {got:?}");
    assert!(holds(b"\0\0\0\x03hi"), "no answer to the second: {got:?}");
    assert_eq!(shared.process.panics.total(), 1);
}

#[test]
fn a_tcp_session_that_panics_gives_everything_back() {
    let origin = Origin::new();
    let mut frontend = named(front(), "/panic-in-session");
    frontend.mode = Mode::Tcp;
    let mut backend = back(&[origin.address()]);
    backend.mode = Mode::Tcp;
    let rig = Rig::start_config(config(vec![frontend], vec![backend]));
    for times in 1..=2 {
        let mut client = rig.connect();
        assert_eq!(client.rest(), "");
        let mut server = origin.accept();
        assert_eq!(server.rest(), "", "its connection to the server is closed");
        eventually(&rig, "the panic is counted once", |rig| rig.shared.process.panics.total() == times);
        eventually(&rig, "nothing is counted as there", at_rest);
    }
}

#[test]
fn a_worker_whose_own_loop_panics_is_reported() {
    let origin = Origin::new();
    let mut rig = Rig::start(named(front(), "/panic-in-accept"), back(&[origin.address()]));
    let mut client = Client::to(rig.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let told = rig.events.blocking_recv();
    assert!(matches!(told, Some(Event::WorkerFailed { worker: 0 })), "the worker said nothing");
}
