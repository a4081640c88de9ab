//! Clients that use HTTP/2 to keep a proxy busy are cut off, and others on the same worker do not notice.

use std::time::{Duration, Instant};

use crate::harness::{Client, DEADLINE, Origin, Proxy, Reply, Site};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A request's header block: `:method POST`, `:scheme http`, `:path /`, `:authority a` in HPACK (RFC 7541).
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 0x01, b'a'];
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

fn proxy(a: &Origin) -> Proxy {
    // One worker: whoever is starved would be seen.
    Site::http().global("nbthread 1").server(a, "").start()
}

/// Sends frames until the proxy closes the connection.
#[track_caller]
fn is_cut_off(proxy: &Proxy, begin: &[u8], mut next: impl FnMut(u32) -> Vec<u8>) {
    let mut client = Client::connect(proxy.address("web"));
    client.send([PREFACE, &frame(SETTINGS, 0, 0, b""), begin].concat());
    let until = Instant::now() + DEADLINE;
    for round in 0.. {
        if client.try_send(next(round)).is_err() {
            break;
        }
        assert!(Instant::now() < until, "still served after {round} rounds");
    }
    assert_eq!(proxy.get("/other").status, 200, "others are served");
}

#[test]
fn floods_end_their_connection_and_no_other() {
    let a = Origin::named("a");
    let proxy = proxy(&a);
    let open = frame(HEADERS, END_HEADERS, 1, POST);
    // Rapid reset (CVE-2023-44487).
    is_cut_off(&proxy, b"", |round| {
        let stream = round * 2 + 1;
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
        [request, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    });
    // CONTINUATION without end (CVE-2024-27316), with fields and without.
    is_cut_off(&proxy, &frame(HEADERS, 0, 1, POST), |_| frame(CONTINUATION, 0, 1, b""));
    let field = [&[0x00, 0x7f, 0x00][..], &[b'x'; 127], &[0x01, b'y']].concat();
    is_cut_off(&proxy, &frame(HEADERS, 0, 1, POST), |_| frame(CONTINUATION, 0, 1, &field));
    // Questions that must be answered (CVE-2019-9512, CVE-2019-9515).
    is_cut_off(&proxy, b"", |_| frame(PING, 0, 0, &[0; 8]).repeat(50));
    is_cut_off(&proxy, b"", |_| frame(SETTINGS, 0, 0, b"").repeat(50));
    // DATA without data (CVE-2019-9518).
    is_cut_off(&proxy, &open, |_| frame(DATA, 0, 1, b"").repeat(50));
    // Frames that are skipped.
    is_cut_off(&proxy, b"", |_| frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()).repeat(50));
    is_cut_off(&proxy, b"", |_| frame(0x2, 0, 1, &[0, 0, 0, 0, 1]).repeat(50));
    is_cut_off(&proxy, b"", |_| frame(0xee, 0, 0, b"grease").repeat(50));
}

#[test]
fn a_flood_is_logged_as_a_request_that_could_not_be_read() {
    let a = Origin::named("a");
    let proxy = proxy(&a);
    is_cut_off(&proxy, b"", |_| frame(PING, 0, 0, &[0; 8]).repeat(50));
    proxy.wait_for("<BADREQ>");
}

#[test]
fn a_head_that_is_too_large_is_refused_and_its_connection_lives() {
    let a = Origin::named("a");
    let proxy = proxy(&a);
    let mut client = Client::connect(proxy.address("web"));
    let field = [&[0x00, 0x01, b'x', 0x7f, 0x81, 0x3e][..], &vec![b'y'; 127 + 0x1f01]].concat();
    let large = [GET, &field, &field].concat();
    let (first, rest) = large.split_at(16_000);
    client.send([PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(HEADERS, END_STREAM, 1, first)].concat());
    client.send(frame(CONTINUATION, END_HEADERS, 1, rest));
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, GET));
    let (mut refused, mut served) = (false, false);
    while !(refused && served) {
        let head = client.exactly(9).expect("the connection lives");
        let payload = client.exactly(usize::from(head[1]) * 256 + usize::from(head[2])).unwrap();
        let stream = head[8];
        // Answered 431 (an indexed or literal status), or reset.
        refused |= stream == 1 && (head[3] == HEADERS || head[3] == RST_STREAM);
        served |= stream == 3 && head[3] == HEADERS && payload.first() == Some(&0x88);
    }
    assert_eq!(a.received().len(), 1);
}

#[test]
fn a_client_that_takes_no_answers_is_given_up_stream_by_stream() {
    let a = Origin::scripted("a", |_| Reply::text(200, &"z".repeat(1000)));
    let site = Site::http().global("nbthread 1").global("tune.h2.max-concurrent-streams 5");
    let proxy = site.defaults("timeout client 200ms").defaults("timeout http-keep-alive 1h").server(&a, "").start();
    for window in [0, 10] {
        let before = proxy.said().matches(" cD-- ").count();
        let mut client = Client::connect(proxy.address("web"));
        let small_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]);
        client.send([PREFACE, &small_window].concat());
        for stream in [1, 3, 5, 7, 9] {
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
        }
        proxy.wait_for_nth(" cD-- ", before + 5);
        // They no longer take the place of others.
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 11, GET));
        client.send(frame(WINDOW_UPDATE, 0, 11, &1000u32.to_be_bytes()));
        let mut ended = false;
        while !ended {
            let head = client.exactly(9).expect("the connection lives");
            client.exactly(usize::from(head[1]) * 256 + usize::from(head[2])).unwrap();
            assert!(head[8] != 11 || head[3] != RST_STREAM, "refused");
            ended = head[8] == 11 && head[3] == DATA && head[4] & END_STREAM != 0;
        }
    }
}

#[test]
fn a_client_that_takes_its_last_bytes_slowly_has_its_time_anew_for_each() {
    let a = Origin::scripted("a", |_| Reply::text(200, &"z".repeat(20)));
    let proxy = Site::http().defaults("timeout client 400ms").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    client.send([PREFACE, &no_window, &frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)].concat());
    let (begun, mut taken) = (Instant::now(), 0);
    while taken < 20 {
        // Too slow for all of them in one `timeout client`, and not for one.
        if begun.elapsed() < Duration::from_millis(60) * taken {
            proxy.admin("show info");
            continue;
        }
        client.send(frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes()));
        loop {
            let head = client.exactly(9).expect("the connection lives");
            client.exactly(usize::from(head[1]) * 256 + usize::from(head[2])).unwrap();
            assert_ne!(head[3], RST_STREAM, "given up after {taken} bytes");
            if head[3] == DATA {
                break;
            }
        }
        taken += 1;
    }
    assert!(begun.elapsed() > Duration::from_millis(800));
    assert!(proxy.wait_for("GET http://a/ HTTP/2.0").contains(" ---- "));
}

#[test]
fn thousands_of_short_messages_may_wait_for_their_server() {
    let (release, held) = std::sync::mpsc::channel();
    let held = std::sync::Mutex::new(held);
    let a = Origin::scripted("a", move |request| {
        if request.target == "/held" {
            held.lock().unwrap().recv().unwrap();
        }
        Reply::text(200, &request.body.len().to_string())
    });
    let proxy = Site::http().global("nbthread 1").server(&a, "maxconn 1").start();
    let mut client = Client::connect(proxy.address("web"));
    let first = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x04\x05/held\x41\x01a");
    client.send([PREFACE, &frame(SETTINGS, 0, 0, b""), &first].concat());
    a.wait_for_requests(1);
    // What no window is needed for: 65,535 bytes.
    client.send([frame(HEADERS, END_HEADERS, 3, POST), frame(DATA, 0, 3, &[b'm'; 20]).repeat(3270)].concat());
    client.send([frame(DATA, END_STREAM, 3, b""), frame(PING, 0, 0, b"all read")].concat());
    let mut said = |kind, stream| loop {
        let head = client.exactly(9).expect("the connection lives");
        let payload = client.exactly(usize::from(head[1]) * 256 + usize::from(head[2])).unwrap();
        assert_ne!(head[3], 7, "goodbye: {}", payload.escape_ascii());
        if (head[3], head[8]) == (kind, stream) && payload != b"" {
            return payload;
        }
    };
    while said(PING, 0) != b"all read" {}
    release.send(()).unwrap();
    assert_eq!(said(DATA, 3), b"65400");
}
