//! Bodies that do not come to their end, in either direction.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::{REQUEST, check, get, head, pause, say_and_close, say_and_wait, send, story, with};
use crate::harness::Client;

/// More than fits in all buffers on the way.
fn large(mut stream: TcpStream) {
    head(&mut stream);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    while stream.write_all(&[b'x'; 65536]).is_ok() {}
}

#[test]
fn answers_that_are_cut() {
    check(&[
        story(
            "server closes",
            with(|s| say_and_close(s, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")),
            "/x",
            get,
        ),
        story(
            "server closes between chunks",
            with(|s| say_and_close(s, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")),
            "/x",
            get,
        ),
        story(
            "a bad chunk",
            with(|s| say_and_wait(s, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")),
            "/x",
            get,
        ),
        story(
            "server silent",
            with(|s| say_and_wait(s, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")),
            "/x",
            get,
        ),
        story("until closed", with(|s| say_and_close(s, b"HTTP/1.1 200 OK\r\n\r\nabc")), "/x", get),
        story("client breaks", with(large), "/x", |at| {
            let mut client = Client::connect(at);
            client.send(REQUEST);
            let _ = client.exactly(100);
            client.break_off();
        }),
        story("client does not read", with(large), "/x", |at| {
            let mut client = Client::connect(at);
            client.send(REQUEST);
            let _ = client.exactly(100);
            thread::sleep(Duration::from_millis(2500));
        }),
        story(
            "answered before the body is there",
            with(|s| say_and_wait(s, b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
            "/x",
            |at| {
                send(at, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
            },
        ),
    ]);
}

const UPLOAD: usize = 100_000_000;
/// What servers take of it before something happens.
const SOME: usize = 1_000_000;

/// An upload of [`UPLOAD`] bytes is announced, and so many of them sent as far as the proxy takes them.
fn upload(at: SocketAddr, count: usize) -> Client {
    let mut client = Client::connect(at);
    client.send(format!("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: {UPLOAD}\r\n\r\n"));
    let _ = client.try_send(vec![b'u'; count]);
    client
}

/// Sends all of it and waits for the end of all that comes.
fn upload_all(at: SocketAddr) {
    let _ = upload(at, UPLOAD).rest();
}

fn upload_little(at: SocketAddr) {
    send(at, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
}

/// Reads a head and this much behind it.
fn take(stream: &mut TcpStream, count: usize) {
    head(stream);
    let _ = std::io::copy(&mut stream.take(count as u64), &mut std::io::sink());
}

fn break_off(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn uploads_whose_client_fails() {
    let swallowing = || with(|mut s| take(&mut s, UPLOAD));
    check(&[
        story("client breaks", swallowing(), "/x", |at| {
            let client = upload(at, SOME);
            pause();
            client.break_off();
        }),
        story("client closes", swallowing(), "/x", |at| {
            let mut client = upload(at, SOME);
            pause();
            client.finish_sending();
            let _ = client.rest();
        }),
        story("client falls silent", swallowing(), "/x", |at| {
            let _ = upload(at, SOME).rest();
        })
        .ours("app/a +++-+ 408 cH-- /0", "the client is the one who is waited for"),
    ]);
}

#[test]
fn uploads_whose_server_fails() {
    const TOLD: &str = "the client is told";
    check(&[
        story(
            "server closes",
            with(|mut s| {
                take(&mut s, SOME);
                pause(); // until everyone on the way holds what he can
                let _ = s.shutdown(Shutdown::Both);
            }),
            "/x",
            upload_all,
        )
        .ours("app/a +++-+ 502 SD-- /0", TOLD),
        story(
            "server breaks",
            with(|mut s| {
                take(&mut s, SOME);
                break_off(s);
            }),
            "/x",
            upload_all,
        )
        .ours("app/a +++-+ 502 SD-- /0", TOLD),
        story(
            "server takes no more",
            with(|mut s| {
                take(&mut s, SOME);
                thread::sleep(Duration::from_secs(5));
            }),
            "/x",
            upload_all,
        )
        .ours("app/a +++-+ 504 sD-- /0", TOLD),
        story(
            "server closes, and has taken all there was",
            with(|mut s| {
                take(&mut s, 3);
                let _ = s.shutdown(Shutdown::Both);
            }),
            "/x",
            upload_little,
        ),
        story(
            "server breaks, and has taken all there was",
            with(|mut s| {
                take(&mut s, 3);
                break_off(s);
            }),
            "/x",
            upload_little,
        )
        .ours("app/a +++-+ 502 SD-- /0", TOLD),
    ]);
}
