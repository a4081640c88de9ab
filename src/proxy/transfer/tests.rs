//! Request bodies on their way to the server: which are spliced, and does anyone notice but the counter?

use std::io::{ErrorKind, Read, Write};
use std::thread::JoinHandle;

use super::super::testing::{Client, Origin, Rig, back, front};
use crate::model::backend::RetryOn;
use crate::model::log::{LogFormat, LogSettings};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const LARGE: usize = 3_000_000;

fn rig() -> (Rig, Origin) {
    let origin = Origin::new();
    let mut frontend = front();
    frontend.log = LogSettings { format: LogFormat::Http, ..frontend.log };
    (Rig::start(frontend, back(&[origin.address()])), origin)
}

/// Bytes whose place can be told.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn post(len: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: app\r\nContent-Length: {len}\r\n\r\n")
}

/// Sends on a thread of its own, as far as the other side takes it.
fn send(client: &Client, pieces: &[&[u8]]) -> JoinHandle<bool> {
    let (mut writer, bytes) = (client.0.try_clone().unwrap(), pieces.concat());
    std::thread::spawn(move || writer.write_all(&bytes).is_ok())
}

fn exactly(from: &mut Client, len: usize) -> Vec<u8> {
    let mut got = vec![0; len];
    from.0.read_exact(&mut got).unwrap();
    got
}

fn spliced(rig: &Rig) -> usize {
    rig.shared.process.counters.spliced_bytes() as usize
}

/// What the log says of status and end: `200 ----`.
fn told(rig: &Rig) -> String {
    let line = rig.line();
    let words: Vec<&str> = line.split(' ').collect();
    format!("{} {}", words[3], words[7])
}

/// A body of this many bytes, sent with a request behind it, and whether most of it is spliced.
#[track_caller]
fn check(len: usize, is_spliced: bool) {
    let (rig, origin) = rig();
    let (mut client, body) = (rig.connect(), pattern(len));
    let sending = send(&client, &[post(len).as_bytes(), &body, b"GET /behind HTTP/1.1\r\nHost: app\r\n\r\n"]);
    let mut server = origin.accept();
    let head = server.head();
    assert!(exactly(&mut server, len) == body, "{len}: bytes were lost or mixed up");
    server.send(OK);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert!(server.head().starts_with("GET /behind "), "over the same connections");
    server.send(OK);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert!(sending.join().unwrap());
    assert_eq!(told(&rig), "200 ----");
    assert_eq!(told(&rig), "200 ----");
    let received = rig.shared.snapshot.load().frontends[0].state.counters.totals().bytes_in as usize;
    assert_eq!(received, head.len() + len + "GET /behind HTTP/1.1\r\nHost: app\r\n\r\n".len());
    let spliced = spliced(&rig);
    assert!(if is_spliced { spliced > len / 2 && spliced <= len } else { spliced == 0 }, "{len}: {spliced} spliced");
}

#[test]
fn large_bodies_are_spliced_and_small_ones_are_not() {
    check(LARGE, true);
    check(100_000, true);
    check(30_000, false);
    check(1, false);
}

#[test]
fn chunks_are_copied() {
    let (rig, origin) = rig();
    let (mut client, body) = (rig.connect(), pattern(LARGE));
    let head = "POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n";
    let sending = send(&client, &[head.as_bytes(), format!("{LARGE:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"]);
    let mut server = origin.accept();
    server.head();
    let mut got = Vec::new();
    loop {
        let size = server.until("\r\n");
        let len = usize::from_str_radix(size.trim_end(), 16).unwrap();
        if len == 0 {
            break;
        }
        got.extend(exactly(&mut server, len));
        server.until("\r\n");
    }
    assert!(got == body, "bytes were lost or mixed up");
    server.send(OK);
    client.head();
    assert!(sending.join().unwrap());
    assert_eq!(spliced(&rig), 0);
}

#[test]
fn bodies_go_both_ways_at_once() {
    let (rig, origin) = rig();
    let (mut client, body) = (rig.connect(), pattern(LARGE));
    let sending = send(&client, &[post(LARGE).as_bytes(), &body]);
    let mut server = origin.accept();
    server.head();
    let first = exactly(&mut server, 100_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let answering = send(&server, &[answer.as_bytes(), &body]);
    let reading = std::thread::spawn(move || exactly(&mut server, LARGE - 100_000));
    client.head();
    assert!(exactly(&mut client, LARGE) == body);
    let rest = reading.join().unwrap();
    assert!([first, rest].concat() == body);
    assert!(sending.join().unwrap() && answering.join().unwrap());
    assert_eq!(told(&rig), "200 ----");
    assert!(spliced(&rig) > LARGE);
}

#[test]
fn an_answer_in_the_middle_reaches_the_client() {
    let (rig, origin) = rig();
    let (mut client, body) = (rig.connect(), pattern(20 * LARGE));
    let sending = send(&client, &[post(body.len()).as_bytes(), &body]);
    let mut server = origin.accept();
    server.head();
    exactly(&mut server, 1_000_000);
    server.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    assert!(client.until("\r\n\r\nno").starts_with("HTTP/1.1 413 "));
    drop(server);
    assert_eq!(told(&rig), "413 SD--", "as HAProxy tells of a server that takes no more");
    drop(client);
    sending.join().unwrap();
    assert!(spliced(&rig) > 500_000);
}

#[test]
fn a_client_that_stalls_behind_an_answer_is_let_go_when_its_server_takes_no_more() {
    let (rig, origin) = rig();
    let mut client = rig.connect();
    client.send(&post(LARGE));
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    assert!(client.until("\r\n\r\nno").starts_with("HTTP/1.1 413 "));
    drop(server);
    client.send(&"z".repeat(50_000)); // and then no more
    assert_eq!(client.rest(), "");
    assert_eq!(told(&rig), "413 SD--", "as HAProxy tells of it");
}

/// A body that goes on when the answer has come: `sent` is how the client writes it, `got` what the server has to get.
#[track_caller]
fn check_rest(head: &str, sent: &[&[u8]], got: &[u8]) {
    let (rig, origin) = rig();
    let mut client = rig.connect();
    client.send(head);
    let mut server = origin.accept();
    server.head();
    server.send(OK);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    let behind: &[u8] = b"GET /behind HTTP/1.1\r\nHost: app\r\n\r\n";
    let sending = send(&client, &[sent, &[behind]].concat());
    assert!(exactly(&mut server, got.len()) == got, "{head}");
    assert!(server.head().starts_with("GET /behind "), "both connections go on");
    server.send(OK);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert!(sending.join().unwrap());
    assert_eq!(told(&rig), "200 ----");
}

#[test]
fn a_server_that_has_answered_gets_the_rest_of_the_body() {
    let body = pattern(LARGE);
    check_rest(&post(LARGE), &[&body], &body);
    let chunked = b"5\r\nhello\r\n0\r\n\r\n";
    check_rest("POST /up HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n", &[chunked], chunked);
}

#[test]
fn a_client_that_was_refused_before_it_sent_its_body_is_not_asked_for_it() {
    let (rig, origin) = rig();
    let mut client = rig.connect();
    client.send(&post(LARGE).replace("Host: app", "Host: app\r\nExpect: 100-continue"));
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 417 ") && answer.to_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(told(&rig), "417 ----");
}

#[test]
fn a_client_that_leaves_in_the_middle_is_told_of() {
    let (rig, origin) = rig();
    let client = rig.connect();
    let sending = send(&client, &[post(LARGE).as_bytes(), &pattern(LARGE / 2)]);
    let mut server = origin.accept();
    server.head();
    exactly(&mut server, LARGE / 2);
    assert!(sending.join().unwrap());
    drop(client);
    let mut behind = Vec::new();
    let end = server.0.read_to_end(&mut behind).unwrap_err();
    assert_eq!(
        (end.kind(), behind.len()),
        (ErrorKind::ConnectionReset, 0),
        "no end that could be taken for a good one"
    );
    assert_eq!(told(&rig), "-1 CD--");
    assert!(spliced(&rig) > LARGE / 4);
}

/// What `retry-on` does with a POST whose head and body make `beyond` bytes more than may be kept, in this many pieces: each
/// but the first is sent when the server has the one before. The server takes all of it and says nothing, then answers.
#[track_caller]
fn check_sent_again(framing: &str, beyond: i64, pieces: usize, expected: &str) {
    let origin = Origin::new();
    let mut backend = back(&[origin.address()]);
    backend.retry_on = RetryOn::EMPTY_RESPONSE;
    let rig = Rig::start(front(), backend);
    let limit = rig.shared.snapshot.load().config.global.limits.head as i64;
    let head = |length: &str| format!("POST / HTTP/1.1\r\nHost: app\r\n{framing}{length}\r\n\r\n");
    let is_chunked = framing.starts_with("Transfer");
    // What the proxy adds to the head is not told by the head of another length: five digits each.
    let mut probe = rig.connect();
    probe.send(&head(if is_chunked { "" } else { "10000" }));
    let mut server = origin.accept();
    let sent_head = server.head().len() as i64;
    drop((probe, server));
    let size = usize::try_from(limit - sent_head + beyond).unwrap();
    let body = if is_chunked {
        let data = size - "0000\r\n\r\n0\r\n\r\n".len(); // as the client sends it
        format!("{data:04x}\r\n{}\r\n0\r\n\r\n", "z".repeat(data))
    } else {
        "z".repeat(size)
    };
    let mut client = rig.connect();
    client.send(&head(&if is_chunked { String::new() } else { size.to_string() }));
    let mut server = origin.accept();
    server.head();
    let mut taken = 0;
    for piece in body.as_bytes().chunks(body.len().div_ceil(pieces)) {
        client.send(std::str::from_utf8(piece).unwrap());
        if !is_chunked {
            taken += exactly(&mut server, piece.len()).len();
        }
    }
    if is_chunked {
        server.until("\r\n0\r\n\r\n");
    } else {
        assert_eq!(taken, size);
    }
    drop(server);
    let again = std::thread::spawn(move || {
        let mut server = origin.accept();
        server.head();
        if is_chunked {
            server.until("\r\n0\r\n\r\n").len()
        } else {
            exactly(&mut server, size).len()
        };
        server.send(OK);
    });
    let head = client.head();
    assert_eq!(head.split(' ').nth(1), Some(expected), "{framing:?} {beyond} in {pieces}");
    if expected == "200" {
        again.join().unwrap();
    }
}

#[test]
fn a_request_is_sent_again_up_to_one_size_however_it_arrives() {
    for pieces in [1, 2, 5] {
        for framing in ["Content-Length: ", "Transfer-Encoding: chunked"] {
            check_sent_again(framing, 0, pieces, "200");
            check_sent_again(framing, 1, pieces, "502");
            check_sent_again(framing, 20_000, pieces, "502");
        }
    }
}
