//! Layer 4: bytes both ways, half-close kept, PROXY headers in and out, timeouts, log lines.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use crate::harness::{Client, Origin, Site};

/// Accepts one connection, reads it to its end, then answers with `answer` and what it read.
fn server(answer: &'static str) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        bytes
    });
    (address, thread)
}

#[test]
fn a_client_that_has_finished_sending_still_gets_the_answer() {
    let (address, thread) = server("answer");
    let proxy = Site::tcp().backend(&format!("server s {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("question").finish_sending();
    assert_eq!(client.rest_as_text(), "answer");
    assert_eq!(thread.join().unwrap(), b"question");
    let line = proxy.wait_for(" web app/s ");
    assert!(line.contains(" 6 -- "), "{line}");
}

#[test]
fn bulk_passes_unchanged() {
    let (address, thread) = server("done");
    let proxy = Site::tcp().backend(&format!("server s {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    (0..16).for_each(|_| {
        client.send(&block);
    });
    client.finish_sending();
    assert_eq!(client.rest_as_text(), "done");
    let received = thread.join().unwrap();
    assert_eq!(received.len(), 16 << 20);
    assert!(received.chunks(1 << 20).all(|part| part == block));
}

#[test]
fn proxy_headers_are_written_in_both_versions() {
    let (address, thread) = server("");
    let proxy = Site::tcp().backend(&format!("server s {address} send-proxy")).start();
    let mut client = Client::connect(proxy.address("web"));
    let local = client.local();
    client.send("hello").finish_sending();
    client.rest_as_text();
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello", local.port(), proxy.address("web").port());
    assert_eq!(String::from_utf8(thread.join().unwrap()).unwrap(), expected);

    let (address, thread) = server("");
    let proxy = Site::tcp().backend(&format!("server s {address} send-proxy-v2")).start();
    let mut client = Client::connect(proxy.address("web"));
    let local = client.local();
    client.send("hello").finish_sending();
    client.rest_as_text();
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    expected.extend(local.port().to_be_bytes());
    expected.extend(proxy.address("web").port().to_be_bytes());
    expected.extend(b"hello");
    assert_eq!(thread.join().unwrap(), expected);
}

#[test]
fn proxy_headers_are_read_in_both_versions_and_tell_the_client() {
    let a = Origin::named("a");
    let proxy =
        Site::http().bind("bind 127.0.0.1:<web> accept-proxy").frontend("option forwardfor").server(&a, "").start();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut client = Client::connect(proxy.address("web"));
    client.send(format!("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n{request}"));
    assert_eq!(client.response().status, 200);
    let mut client = Client::connect(proxy.address("web"));
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x04\xd2\0\x50".to_vec();
    header.extend(request.as_bytes());
    // In pieces: a header may come split.
    for byte in header.chunks(5) {
        client.send(byte);
    }
    assert_eq!(client.response().status, 200);
    let seen: Vec<String> =
        a.received().iter().map(|request| request.header("x-forwarded-for").unwrap_or("-").to_owned()).collect();
    assert_eq!(seen, ["192.0.2.1", "192.0.2.7"]);
    proxy.wait_for("192.0.2.7:1234");
}

#[test]
fn a_connection_without_its_proxy_header_is_closed() {
    let a = Origin::named("a");
    let proxy = Site::http().bind("bind 127.0.0.1:<web> accept-proxy").server(&a, "").start();
    for bytes in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PROXY TCP4 9.8.7.256 1.1.1.1 1 2\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 70000 2\r\n",
    ] {
        let mut client = Client::connect(proxy.address("web"));
        client.send(bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
    assert!(a.received().is_empty());
}

#[test]
fn an_idle_session_ends_after_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Site::tcp().defaults("timeout client 300ms").backend(&format!("server s {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("x");
    let _server = listener.accept().unwrap();
    assert!(client.is_closed());
    let line = proxy.wait_for(" web app/s ");
    assert!(line.contains(" cD "), "{line}");
}

#[test]
fn a_refused_server_closes_the_session() {
    let a = Origin::named("a");
    a.stop();
    let proxy = Site::tcp().backend("retries 0").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    assert!(client.is_closed());
    let line = proxy.wait_for(" web app/a ");
    assert!(line.contains(" SC "), "{line}");
}

#[test]
fn unix_sockets_are_listened_on_and_connected_to() {
    let dir = crate::harness::TempDir::new();
    let path = dir.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let site = Site::tcp().bind("bind unix@<dir>/front.sock mode 600").backend("server s unix@<dir>/app.sock");
    let proxy = crate::harness::Proxy::start_in(&site.text(), dir);
    let mut client = std::os::unix::net::UnixStream::connect(proxy.file("front.sock")).unwrap();
    client.write_all(b"over sockets").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "over sockets");
    server.join().unwrap();
}
