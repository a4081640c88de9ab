//! What do peers cost us that do not behave: servers that never come to the point, clients that leave without a word?

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use http::{Request, Response};

use crate::harness::{Client, DEADLINE, Http2Origin, Manners, Origin, Reply, Site, TempDir, get, http2_connect, tell};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A site in front of a server whose one connection `serve` has, behind its request's head; what that tells.
fn served_by<T: Send + 'static>(serve: impl FnOnce(TcpStream, Sender<T>) + Send + 'static) -> (Site, Receiver<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = format!("server s {}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        serve(stream, tell);
    });
    (Site::http().backend(&server), told)
}

#[test]
fn a_head_may_be_as_large_as_the_operator_says() {
    let a = Origin::scripted("a", |request| {
        let lines: usize = request.target[1..].parse().unwrap();
        Reply::with_headers(200, &format!("X-Long: {}\r\n", "x".repeat(1000)).repeat(lines), "ok")
    });
    let proxy = Site::http().global("tune.bufsize 200000").server(&a, "").start();
    // Around the buffer it is read into.
    for lines in [10, 63, 64, 65, 66, 95] {
        assert_eq!(get(proxy.address("web"), &format!("/{lines}")).status, 200, "{lines} lines");
    }
}

#[test]
fn interim_answers_do_not_pile_up_before_a_client_that_takes_none() {
    const ENOUGH: usize = 64 << 20;
    let (site, told) = served_by(|mut server, tell| {
        let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(4000)).repeat(100);
        server.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while sent < ENOUGH {
            match server.write(&hints.as_bytes()[sent % hints.len()..]) {
                Ok(count) => sent += count,
                Err(_) => break, // nobody takes it
            }
        }
        let _ = tell.send(sent);
        server.set_write_timeout(None).unwrap();
        server.write_all(&hints.as_bytes()[sent % hints.len()..]).unwrap();
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let proxy = site.start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(GET);
    let sent = told.recv_timeout(DEADLINE).unwrap();
    assert!(sent < ENOUGH, "all of it was taken in");
    let mut status = client.response().status;
    while status == 103 {
        status = client.response().status;
    }
    assert_eq!(status, 200);
}

/// A server that has begun to answer and goes on one day; it tells when the proxy has let go of it.
fn streaming() -> (Site, Receiver<&'static str>) {
    served_by(|mut server, tell| {
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").unwrap();
        let _ = server.read(&mut [0; 16]);
        let _ = tell.send("closed");
    })
}

#[test]
fn a_client_that_breaks_off_is_noticed_while_its_server_has_nothing_to_say() {
    let (site, told) = streaming();
    let proxy = site.start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(GET);
    assert!(String::from_utf8_lossy(&client.exactly(12).unwrap()).ends_with("200"));
    proxy.admin("show info"); // whatever time that takes, nothing ends
    assert!(told.try_recv().is_err());
    client.break_off();
    assert_eq!(told.recv_timeout(DEADLINE), Ok("closed"));
    let line = proxy.wait_for("\"GET / HTTP/1.1\"");
    assert!(line.contains(" 200 ") && line.contains(" CD-- "), "{line}");
}

#[test]
fn a_reset_stream_is_noticed_while_its_server_has_nothing_to_say() {
    let (site, told) = streaming();
    let proxy = site.bind("bind 127.0.0.1:<web> proto h2").start();
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let request = Request::get("http://x/").body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "data: 1\n\n");
        drop(body); // resets the stream; the connection stays
        tokio::task::spawn_blocking(move || assert_eq!(told.recv_timeout(DEADLINE), Ok("closed"))).await.unwrap();
        drop(client);
    });
    let line = proxy.wait_for(" HTTP/2.0\"");
    assert!(line.contains(" 200 ") && line.contains(" CD-- "), "{line}");
}

#[test]
fn a_server_that_hears_no_more_and_says_nothing_has_its_time_like_any_other() {
    let dir = TempDir::new();
    let path = dir.path().join("deaf.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (let_go, until) = mpsc::channel::<()>();
    let serving = thread::spawn(move || {
        let (mut server, _) = listener.accept().unwrap();
        assert!(server.read(&mut [0; 4096]).unwrap() > 0);
        server.shutdown(Shutdown::Read).unwrap();
        let _ = until.recv();
    });
    let server = format!("server deaf unix@{}", path.display());
    let proxy = Site::http().defaults("timeout client 5s").defaults("timeout server 300ms").backend(&server).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..4 {
        if client.try_send([b'x'; 65536]).is_err() {
            break;
        }
    }
    let line = proxy.wait_for("\"POST / HTTP/1.1\"");
    assert!(line.contains(" 504 ") && line.contains(" sD-- "), "{line}");
    drop(let_go);
    serving.join().unwrap();
}

#[test]
fn without_a_timeout_a_tarpit_holds_nobody() {
    let a = Origin::named("a");
    let text = Site::http().frontend("http-request tarpit").server(&a, "").text();
    let proxy = crate::harness::Proxy::start(&text.replace("    timeout connect 2s\n", ""));
    assert_eq!(proxy.get("/").status, 500);
    let line = proxy.wait_for("\"GET / HTTP/1.1\"");
    assert!(line.contains(" PT-- "), "{line}");
}

#[test]
fn requests_sent_early_do_not_cost_the_answer_that_ends_the_connection() {
    let proxy = Site::http().start(); // no server
    for _ in 0..5 {
        let mut client = Client::connect(proxy.address("web"));
        client.send(GET.repeat(20_000));
        let answer = client.rest().unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
        client.try_send("x").expect("the proxy has ended its side only");
    }
}

/// RFC 9113 §8.1: NO_ERROR says that no more is wanted, not that what there is is all.
#[test]
fn a_request_that_is_reset_without_an_error_is_not_taken_for_a_whole_one() {
    let (site, told) = served_by(|mut server, tell| {
        let _ = tell.send("head".to_owned());
        let mut first = [0; 3];
        server.read_exact(&mut first).unwrap();
        let _ = tell.send("body".to_owned());
        let mut rest = Vec::new();
        let _ = server.read_to_end(&mut rest);
        let _ = tell.send(String::from_utf8(rest).unwrap());
    });
    let proxy = site.bind("bind 127.0.0.1:<web> proto h2").start();
    tell(async {
        let told = Arc::new(Mutex::new(told));
        let next = || {
            let told = Arc::clone(&told);
            tokio::task::spawn_blocking(move || told.lock().unwrap().recv_timeout(DEADLINE).unwrap())
        };
        let mut client = http2_connect(proxy.address("web")).await;
        let request = Request::post("http://x/").body(()).unwrap();
        let (_answer, mut body) = client.send_request(request, false).unwrap();
        assert_eq!(next().await.unwrap(), "head");
        body.send_data("abc".into(), false).unwrap();
        assert_eq!(next().await.unwrap(), "body");
        body.send_reset(h2::Reason::NO_ERROR);
        let rest = next().await.unwrap();
        assert_eq!(rest, "abc\r\n", "behind `3` and its line end, and nothing behind that");
    });
    let line = proxy.wait_for(" HTTP/2.0\"");
    assert!(line.contains(" CD-- "), "{line}");
}

#[test]
fn an_answer_that_is_reset_without_an_error_is_not_taken_for_a_whole_one() {
    let seen = Arc::new(tokio::sync::Notify::new());
    let until = Arc::clone(&seen);
    let origin = Http2Origin::start(Manners::default(), move |_, mut respond| {
        let until = Arc::clone(&until);
        async move {
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data("half".into(), false).unwrap();
            until.notified().await;
            body.send_reset(h2::Reason::NO_ERROR);
        }
    });
    let proxy = Site::http().backend(&format!("server s {} proto h2", origin.address())).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(GET);
    while client.line().unwrap() != "4" {}
    assert_eq!(client.exactly(6).unwrap(), b"half\r\n");
    seen.notify_one();
    assert_eq!(client.rest().unwrap(), b"");
    let line = proxy.wait_for("\"GET / HTTP/1.1\"");
    assert!(line.contains(" SD-- "), "{line}");
}
