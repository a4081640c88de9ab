//! HTTP/2 servers that reset, stall, flood or answer what is no HTTP/2: one request's trouble is no other's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::admin::stat;
use crate::harness::{
    Client, Haproxy, Http2Origin, Instance, Manners, Proxy, Site, curl, eventually, http2_connect, tell, tool_output,
    whole,
};

fn proxy_to(server: SocketAddr, options: &str) -> Proxy {
    let line = format!("server a {server} proto h2 {options}");
    Site::http().global("nbthread 1").defaults("timeout connect 2s").backend(&line).start()
}

#[test]
fn a_reset_is_an_answer_and_costs_no_connection() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Http2Origin::start(Manners::default(), move |_, mut respond| {
        count.fetch_add(1, SeqCst);
        async move { respond.send_reset(h2::Reason::INTERNAL_ERROR) }
    });
    let proxy = proxy_to(origin.address(), "");
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status, 502);
    }
    assert_eq!((asked.load(SeqCst), origin.connections()), (10, 1));
    proxy.wait_for(" SH-- ");
}

#[test]
fn a_request_with_a_body_that_was_refused_is_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = Http2Origin::start(Manners::default(), move |request: Request<h2::RecvStream>, mut respond| {
        let first = asked.fetch_add(1, SeqCst) == 0;
        async move {
            let (body, _) = whole(request.into_body()).await.unwrap();
            if first {
                return respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            respond.send_response(Response::new(()), false).unwrap().send_data(Bytes::from(body), true).unwrap();
        }
    });
    let proxy = proxy_to(origin.address(), "");
    let url = proxy.url("http", "web", "/");
    assert_eq!(curl(&["--http2-prior-knowledge", "-d", "what", &url]), "what");
}

/// Refuses everything; behind an interim response what asks for `/late`. Counts how often it was asked.
fn refusing() -> (Http2Origin, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Http2Origin::start(Manners::default(), move |request: Request<h2::RecvStream>, mut respond| {
        count.fetch_add(1, SeqCst);
        async move {
            let late = request.uri().path() == "/late";
            let hints = || Response::builder().status(103).body(()).unwrap();
            if late && respond.send_informational(hints()).is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await; // the reset would overtake it
            }
            respond.send_reset(h2::Reason::REFUSED_STREAM)
        }
    });
    (origin, asked)
}

/// What comes of one request of an HTTP/2 client: a status, or the reason of a reset.
async fn outcome(address: SocketAddr, path: &str, body: &'static str) -> Result<u16, Option<h2::Reason>> {
    let mut sender = http2_connect(address).await;
    let request = Request::post(format!("http://a{path}")).body(()).unwrap();
    let (response, mut send) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        let _ = send.send_data(Bytes::from_static(body.as_bytes()), true);
    }
    match response.await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(error.reason()),
    }
}

#[test]
fn what_a_server_refuses_to_the_last_is_given_back_to_http2_clients_as_haproxy_does() {
    let told = |proxy: &Instance| {
        let address = proxy.address("web");
        tell(async move {
            for body in ["", "what"] {
                assert_eq!(outcome(address, "/", body).await, Err(Some(h2::Reason::REFUSED_STREAM)), "{body:?}");
            }
        });
        eventually("both are over", || (stat(proxy, "web", "FRONTEND", "scur") == "0").then_some(()));
        let columns = ["req_tot", "hrsp_2xx", "hrsp_5xx", "hrsp_other", "eresp", "srv_abrt"];
        let rows = [("web", "FRONTEND"), ("app", "BACKEND"), ("app", "a")];
        rows.map(|(name, row)| columns.map(|column| stat(proxy, name, row, column)))
    };
    let (origin, asked) = refusing();
    let site = Site::http().global("nbthread 1").backend(&format!("server a {} proto h2", origin.address()));
    let proxy = site.start();
    let ours = told(&proxy);
    assert_eq!(asked.load(SeqCst), 2 * 4, "three retries first");
    let line = proxy.wait_for(" SH-- ");
    assert!(line.contains(" -1 0 ") && line.contains("POST"), "{line}");
    assert_eq!(ours, told(&Haproxy::start(&site.text())));
    assert_eq!(proxy.get("/").status, 502, "HTTP/1 has no word for it");
}

#[test]
fn what_a_server_may_have_begun_is_not_given_back() {
    let (origin, asked) = refusing();
    let proxy = proxy_to(origin.address(), "");
    let address = proxy.address("web");
    tell(async move { assert_eq!(outcome(address, "/late", "").await, Ok(502)) });
    assert_eq!(asked.load(SeqCst), 1);
    // It may have acted on the first attempt, whatever it says of the others.
    let count = Arc::clone(&asked);
    let origin = Http2Origin::start(Manners::default(), move |_, mut respond| {
        let first = count.fetch_add(1, SeqCst) == 1;
        async move {
            if first {
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            }
            respond.send_reset(h2::Reason::REFUSED_STREAM)
        }
    });
    let line = format!("server a {} proto h2", origin.address());
    let site = Site::http().global("nbthread 1").backend("retry-on response-timeout").backend("timeout server 300ms");
    let proxy = site.backend(&line).start();
    let address = proxy.address("web");
    tell(async move { assert_eq!(outcome(address, "/", "").await, Ok(502)) });
    assert!(asked.load(SeqCst) > 2);
}

#[test]
fn interim_responses_without_end_are_cut_off() {
    let origin = Http2Origin::start(Manners::default(), |_, mut respond| async move {
        for _ in 0..1000 {
            let hint = Response::builder().status(103).header("link", "</a.css>").body(()).unwrap();
            if respond.send_informational(hint).is_err() {
                return;
            }
        }
        let _ = respond.send_response(Response::new(()), true);
    });
    let proxy = proxy_to(origin.address(), "");
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = std::iter::repeat_with(|| client.response().status).find(|status| *status != 103);
    assert_eq!(last, Some(502));
}

#[test]
fn a_client_that_does_not_read_stops_no_other() {
    let origin = Http2Origin::start(Manners::default(), |_, mut respond| async move {
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        let _ = body.send_data(Bytes::from(vec![b'x'; 600_000]), true);
    });
    let proxy = proxy_to(origin.address(), "");
    let url = proxy.url("http", "web", "/");
    let address = proxy.address("web");
    tell(async {
        let mut sender = http2_connect(address).await;
        let mut unread = Vec::new();
        for _ in 0..8 {
            let request = Request::get("http://a/").body(()).unwrap();
            unread.push(sender.send_request(request, true).unwrap().0.await.unwrap());
        }
        let said = tokio::task::spawn_blocking(move || curl(&["-m", "5", &url])).await.unwrap();
        assert_eq!(said.len(), 600_000);
        drop(unread);
    });
}

#[test]
fn room_elsewhere_ends_the_wait_for_a_connection_that_does_not_come() {
    let manners = Manners { streams: Some(1), mute_from: Some(2), ..Manners::default() };
    let origin = Http2Origin::start(manners, |_, mut respond| async move {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let _ = respond.send_response(Response::new(()), true);
    });
    let proxy = proxy_to(origin.address(), "");
    let said = tool_output("h2load", &["-n6", "-c1", "-m6", &proxy.url("http", "web", "/")], b"");
    assert!(said.contains("6 succeeded") && said.contains("6 2xx"), "{said}");
}

#[test]
fn connections_are_kept_idle_only_where_that_is_said() {
    for (options, backend, expected) in [
        ("", "", 1),
        ("", "option httpclose", 1),
        ("", "option http-server-close", 1),
        ("pool-max-conn 0", "", 3),
        ("pool-purge-delay 0", "", 3),
        ("max-reuse 0", "", 3),
        ("max-reuse 1", "", 2),
    ] {
        let origin = Http2Origin::start(Manners::default(), |_, mut respond| async move {
            let _ = respond.send_response(Response::new(()), true);
        });
        let line = format!("server a {} proto h2 {options}", origin.address());
        let proxy = Site::http().global("nbthread 1").backend(backend).backend(&line).start();
        let statuses: Vec<u16> = (0..3).map(|_| proxy.get("/").status).collect();
        assert_eq!((statuses, origin.connections()), (vec![200; 3], expected), "`{options}` `{backend}`");
    }
}

#[test]
fn trailers_pass_behind_bodies_of_known_length() {
    let origin = Http2Origin::start(Manners::default(), |request: Request<h2::RecvStream>, mut respond| async move {
        let (body, trailers) = whole(request.into_body()).await.unwrap();
        let head = Response::builder().header("content-length", body.len()).body(()).unwrap();
        let mut send = respond.send_response(head, false).unwrap();
        if !body.is_empty() {
            send.send_data(Bytes::from(body), false).unwrap();
        }
        match trailers {
            Some(trailers) => send.send_trailers(trailers).unwrap(),
            None => send.send_data(Bytes::new(), true).unwrap(),
        }
    });
    let proxy = proxy_to(origin.address(), "");
    let address = proxy.address("web");
    tell(async {
        let mut sender = http2_connect(address).await;
        for (with_trailers, sent) in [(true, "body"), (false, "body"), (true, ""), (false, "")] {
            let request = Request::put("http://a/").header("content-length", sent.len()).body(()).unwrap();
            let (answer, mut send) = sender.send_request(request, false).unwrap();
            if !sent.is_empty() {
                send.send_data(Bytes::from_static(sent.as_bytes()), false).unwrap();
            }
            let mut trailers = HeaderMap::new();
            if with_trailers {
                trailers.insert("x-sum", HeaderValue::from_static("7"));
                send.send_trailers(trailers.clone()).unwrap();
            } else {
                send.send_data(Bytes::new(), true).unwrap();
            }
            let (body, got) = whole(answer.await.unwrap().into_body()).await.unwrap();
            assert_eq!((body.as_slice(), got.unwrap_or_default()), (sent.as_bytes(), trailers));
        }
    });
    assert_eq!(curl(&["-d", "to http/1", &proxy.url("http", "web", "/")]), "to http/1");
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status 200` and `:status 204` in HPACK (RFC 7541 appendix A).
const OK: &[u8] = &[0x88];
const NO_CONTENT: &[u8] = &[0x89];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// A server that answers each request with what `answer` makes of its connection and stream, both counted from 1 in
/// whole numbers.
fn raw_server(answer: impl Fn(usize, u32) -> Vec<u8> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || -> std::io::Result<()> {
                stream.read_exact(&mut [0; 24])?;
                stream.write_all(&frame(SETTINGS, 0, 0, b""))?;
                loop {
                    let mut head = [0; 9];
                    stream.read_exact(&mut head)?;
                    let [a, b, c, kind, flags, id @ ..] = head;
                    stream.read_exact(&mut vec![0; u32::from_be_bytes([0, a, b, c]) as usize])?;
                    match kind {
                        SETTINGS if flags == 0 => stream.write_all(&frame(SETTINGS, 1, 0, b""))?,
                        HEADERS => stream.write_all(&answer(connection + 1, u32::from_be_bytes(id).div_ceil(2)))?,
                        _ => {}
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_malformed_answer_costs_those_beside_it_a_retry() {
    let connections = Arc::new(AtomicUsize::new(0));
    let most = Arc::clone(&connections);
    // What h2 makes a connection's end of: a field's name in upper case, for the second of two that wait.
    let server = raw_server(move |connection, stream| {
        most.fetch_max(connection, SeqCst);
        let id = stream * 2 - 1;
        match (connection, stream) {
            (1, 1) => Vec::new(),
            (1, _) => frame(HEADERS, END_HEADERS | END_STREAM, id, b"\x88\x00\x01X\x011"),
            _ => frame(HEADERS, END_HEADERS | END_STREAM, id, NO_CONTENT),
        }
    });
    let proxy = proxy_to(server, "");
    let said = tool_output("h2load", &["-n2", "-c1", "-m2", &proxy.url("http", "web", "/")], b"");
    assert!(said.contains("2 succeeded") && said.contains("2 2xx"), "{said}");
    assert_eq!(connections.load(SeqCst), 3, "each alone");
}

#[test]
fn malformed_answers_are_logged_as_such() {
    let server = raw_server(|_, stream| {
        let id = stream * 2 - 1;
        let status_twice =
            [frame(HEADERS, END_HEADERS, id, OK), frame(HEADERS, END_HEADERS | END_STREAM, id, OK)].concat();
        match stream {
            1 => frame(HEADERS, END_HEADERS | END_STREAM, id, b"\x00\x01a\x011"), // no `:status`
            2 => status_twice,
            _ => frame(HEADERS, END_HEADERS | END_STREAM, id, b"\x88\x00\x01X\x011"),
        }
    });
    let proxy = proxy_to(server, "");
    assert_eq!(proxy.get("/without-status").status, 502);
    assert!(proxy.wait_for("/without-status").contains(" PH-- "));
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /status-twice HTTP/1.1\r\nHost: h\r\n\r\n");
    let said = String::from_utf8_lossy(&client.rest().unwrap_or_default()).into_owned();
    assert!(said.starts_with("HTTP/1.1 200 OK") && !said.contains("\r\n0\r\n"), "{said}");
    assert!(proxy.wait_for("/status-twice").contains(" SD-- "));
    assert_eq!(proxy.get("/upper-case").status, 502);
    assert!(proxy.wait_for("/upper-case").contains(" PH-- "));
}

#[test]
fn a_reset_behind_a_whole_body_takes_nothing_of_it() {
    // As servers do that do not want to hear the rest of a request (RFC 9113 §8.1).
    let server = raw_server(|_, stream| {
        let id = stream * 2 - 1;
        let head = frame(HEADERS, END_HEADERS, id, b"\x88\x00\x0econtent-length\x012");
        [head, frame(0, 0, id, b"ok"), frame(3, 0, id, &0u32.to_be_bytes())].concat()
    });
    let proxy = proxy_to(server, "");
    let url = proxy.url("http", "web", "/");
    assert_eq!((curl(&[&url]), curl(&["--http2-prior-knowledge", &url])), ("ok".to_owned(), "ok".to_owned()));
}

#[test]
fn what_a_server_says_goodbye_to_is_given_back_as_well() {
    const GOAWAY: u8 = 7;
    let connections = Arc::new(AtomicUsize::new(0));
    let most = Arc::clone(&connections);
    let server = raw_server(move |connection, _| {
        most.fetch_max(connection, SeqCst);
        frame(GOAWAY, 0, 0, &[0; 8]) // the last stream it has looked at is none
    });
    let proxy = proxy_to(server, "");
    let address = proxy.address("web");
    tell(async move { assert_eq!(outcome(address, "/", "").await, Err(Some(h2::Reason::REFUSED_STREAM))) });
    // As with any connection that ends, two more may be tried where no retries are left.
    assert!((4..=6).contains(&connections.load(SeqCst)), "{connections:?}");
}
