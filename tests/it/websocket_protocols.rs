//! In which protocol does a WebSocket reach its server? (`ws`, HAProxy manual 5.2), beside HAProxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use crate::harness::{Client, DEADLINE, Haproxy, Instance, Origin, Proxy, Reply, Site, TempDir, certificate};

/// A server that tells how each of its connections begins, and hangs up on HTTP/2.
fn witness() -> (SocketAddr, mpsc::Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0; 4];
            if stream.read_exact(&mut first).is_err() {
                continue;
            }
            let is_h2 = &first == b"PRI ";
            let _ = tell.send(if is_h2 { "h2" } else { "h1" });
            if !is_h2 {
                let mut rest = [0; 4096];
                let length = stream.read(&mut rest).unwrap_or(0);
                let upgrades = String::from_utf8_lossy(&rest[..length]).to_ascii_lowercase().contains("upgrade:");
                let switched = "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                let answer =
                    if upgrades { switched } else { "200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" };
                let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes());
            }
        }
    });
    (address, told)
}

const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The protocols of a request and a WebSocket.
#[track_caller]
fn check(server: &str, expected: [&str; 2]) {
    let (address, told) = witness();
    let site = Site::http().backend("retries 0").backend(&format!("server a {address} {server}"));
    let seen = |proxy: &Instance| {
        ["GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", WEBSOCKET].map(|request| {
            let mut client = Client::connect(proxy.address("web"));
            client.send(request);
            let seen = told.recv_timeout(DEADLINE).unwrap();
            if seen == "h1" && request == WEBSOCKET {
                assert_eq!(client.response().status, 101);
            }
            seen
        })
    };
    let theirs = seen(&Haproxy::start(&site.text()));
    let ours = seen(&site.start());
    assert_eq!((ours, theirs), (expected, expected), "{server}");
}

#[test]
fn websockets_are_passed_on_in_the_protocol_that_is_said() {
    check("", ["h1", "h1"]);
    check("ws auto", ["h1", "h1"]);
    check("ws h1", ["h1", "h1"]);
    check("ws h2", ["h1", "h2"]);
    check("proto h2", ["h2", "h2"]);
    check("proto h2 ws h1", ["h2", "h1"]);
}

#[test]
fn over_tls_only_that_protocol_is_offered() {
    // An origin that speaks HTTP/1 alone, behind a TLS listener that would agree on HTTP/2.
    let a = Origin::scripted("a", |request| match request.header("upgrade") {
        Some(_) => Reply::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ),
        None => Reply::text(200, request.header("x-agreed").unwrap_or_default()),
    });
    let dir = TempDir::new();
    dir.write("site.pem", certificate(&["site.example"]).combined());
    let inner = Site::http()
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem alpn h2,http/1.1")
        .frontend("http-request set-header X-Agreed %[ssl_fc_alpn]")
        .server(&a, "");
    let inner = Proxy::start_in(&inner.text(), dir);
    let server = format!("server tls {} ssl verify none alpn h2,http/1.1 ws h1", inner.address("web"));
    let proxy = Site::http().backend(&server).start();
    assert_eq!(proxy.get("/").text(), "h2");
    let mut client = Client::connect(proxy.address("web"));
    client.send(WEBSOCKET);
    assert_eq!(client.response().status, 101);
    let asked = a.received();
    let agreed = asked.iter().map(|request| request.header("x-agreed").unwrap_or_default());
    assert_eq!(agreed.collect::<Vec<_>>(), ["h2", "http/1.1"]);
    // Connections for WebSockets are nobody else's.
    assert_eq!(proxy.get("/").text(), "h2");
}
