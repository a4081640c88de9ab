//! HTTP requests: server, which timers were reached, status, termination state, retries.

mod bodies;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::{
    Story, nobody, pause, peer, reached, send, send_and_break, send_and_finish, silent, spent, story,
    story_with_orders, wait_for_end,
};
use crate::harness::{Client, Instance, Site};

/// `app/a ++++- 200 ---- /0`: server, timers reached, status, termination state, retries.
fn essence(line: &str) -> String {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [server, timers, status] = [3, 4, 5].map(|at| fields.get(at).copied().unwrap_or("?"));
    let [state, counts] = [9, 10].map(|at| fields.get(at).copied().unwrap_or("?"));
    let retries = counts.rsplit('/').next().unwrap_or("?");
    format!("{server} {} {status} {state} /{retries}", reached(timers))
}

#[track_caller]
fn check(stories: &[Story]) {
    super::check(stories, essence);
}

/// Short timeouts, one retry; servers are added by each story.
fn site() -> Site {
    Site::http()
        .global("nbthread 1")
        // The first look whether HAProxy listens.
        .defaults("option dontlognull")
        .defaults("timeout connect 400ms")
        .defaults("timeout client 900ms")
        .defaults("timeout server 600ms")
        .defaults("timeout http-request 500ms")
        .defaults("timeout http-keep-alive 500ms")
        .defaults("timeout queue 400ms")
        .defaults("timeout tarpit 400ms")
        .defaults("retries 1")
}

/// With one server that treats every connection by `serve`.
fn with(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Site {
    site().backend(&format!("server a {}", peer(serve)))
}

/// Reads a request's head.
fn head(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let mut byte = [0];
    while !got.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        got.push(byte[0]);
    }
    String::from_utf8_lossy(&got).into_owned()
}

fn answer(mut stream: TcpStream, bytes: &[u8]) {
    while head(&mut stream).ends_with("\r\n\r\n") {
        if stream.write_all(bytes).is_err() {
            return;
        }
    }
}

fn ok(stream: TcpStream) {
    answer(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

fn say_and_close(mut stream: TcpStream, bytes: &[u8]) {
    head(&mut stream);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Both);
}

fn say_and_wait(mut stream: TcpStream, bytes: &[u8]) {
    head(&mut stream);
    let _ = stream.write_all(bytes);
    wait_for_end(&mut stream);
}

fn silence(stream: TcpStream) {
    say_and_wait(stream, b"");
}

fn get(address: SocketAddr) {
    send(address, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn requests_that_never_become_whole() {
    check(&[
        story("normal end", with(ok), "/x", get),
        story("half a head, then closed", with(ok), "BADREQ", |at| send_and_finish(at, "GET /x HTTP/1.1\r\nHo")),
        story("half a head, then broken", with(ok), "BADREQ", |at| send_and_break(at, "GET /x HTTP/1.1\r\nHo")),
        story("half a head, then silence", with(ok), "BADREQ", |at| send(at, "GET /x HTTP/1.1\r\nHo")),
        story("nothing, then silence", with(ok).frontend("no option dontlognull"), "cR--", |at| send(at, "")),
        story("nonsense", with(ok), "BADREQ", |at| send(at, "GET\r\n\r\n")),
        story("a bad field", with(ok), "BADREQ", |at| send(at, "GET /x HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n")),
        story("half of the second request", with(ok), "BADREQ", |at| {
            let mut client = Client::connect(at);
            client.send(REQUEST);
            client.response();
            client.send("GET /y HT");
            let _ = client.rest();
        }),
        story("a bad first chunk", with(ok), " 400 ", |at| {
            send(at, "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
        }),
        story("a bad chunk later", with(silence), " 400 ", |at| {
            let mut client = Client::connect(at);
            client.send("POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
            pause();
            client.send("zz\r\n");
            let _ = client.rest();
        }),
    ]);
}

#[test]
fn requests_answered_by_the_proxy() {
    let rule = |rule: &str| with(ok).frontend(rule);
    check(&[
        story("deny", rule("http-request deny if { path /x }"), "/x", get),
        story("deny in the backend", with(ok).backend("http-request deny if { path /x }"), "/x", get),
        story("return", rule("http-request return status 200 if { path /x }"), "/x", get),
        story("redirect", rule("http-request redirect location / if { path /x }"), "/x", get),
        story("tarpit", rule("http-request tarpit if { path /x }"), "/x", get),
        story("tarpit with a status", rule("http-request tarpit deny_status 429 if { path /x }"), "/x", get),
        story("tarpit in the backend", with(ok).backend("http-request tarpit if { path /x }"), "/x", get),
        story("tarpit, client breaks", rule("http-request tarpit if { path /x }"), "/x", |at| {
            send_and_break(at, REQUEST);
        })
        .ours("web/<NOSRV> -+--+ -1 CT-- /0", "a broken connection is noticed, and told as the manual has it"),
        story(
            "tarpit, client breaks, abortonclose",
            rule("http-request tarpit if { path /x }").defaults("option abortonclose"),
            "/x",
            |at| {
                send_and_break(at, REQUEST);
            },
        )
        .ours("web/<NOSRV> -+--+ -1 CT-- /0", "it is told as the manual has it"),
        story(
            "tarpit, client closes, abortonclose",
            rule("http-request tarpit if { path /x }").defaults("option abortonclose"),
            "/x",
            |at| {
                send_and_finish(at, REQUEST);
            },
        ),
        story("tarpit, client closes", rule("http-request tarpit if { path /x }"), "/x", |at| {
            send_and_finish(at, REQUEST);
        }),
        story("response deny", with(ok).backend("http-response deny if { status 200 }"), "/x", get),
    ]);
}

#[test]
fn requests_without_a_server() {
    let dead = || site().backend(&format!("server a {}", nobody()));
    let mute = || site().backend(&format!("server a {}", silent()));
    check(&[
        story("no server", site(), "/x", get),
        story("refused", dead(), "/x", get),
        story("refused, no retries", dead().backend("retries 0"), "/x", get),
        story("refused, two retries", dead().backend("retries 2"), "/x", get),
        story(
            "refused, then another",
            dead().backend("option redispatch 1").backend(&format!("server b {}", peer(ok))),
            "/x",
            get,
        ),
        story(
            "refused, then another at the last",
            dead().backend("option redispatch -1").backend("retries 2").backend(&format!("server b {}", peer(ok))),
            "/x",
            get,
        ),
        story("not retried", dead().backend("retry-on none"), "/x", get),
        story("no answer to a connection", mute(), "/x", get),
        story("no answer to a connection, retries 0", mute().backend("retries 0"), "/x", get),
        story("client breaks while connecting", mute(), "/x", |at| send_and_break(at, REQUEST)),
        story("client closes while connecting", mute().defaults("option abortonclose"), "/x", |at| {
            send_and_finish(at, REQUEST)
        }),
        story("client closes while connecting, served all the same", mute(), "/x", |at| send_and_finish(at, REQUEST)),
    ]);
}

/// Somebody else has the only slot for as long as `act` takes.
fn behind(at: SocketAddr, act: impl Fn()) {
    let mut first = Client::connect(at);
    first.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
    pause();
    act();
    pause();
    first.break_off();
}

#[test]
fn requests_in_the_queue() {
    let full = || site().defaults("timeout server 5s").backend(&format!("server a {} maxconn 1", peer(silence)));
    check(&[
        story("too long", full(), "/x", |at| behind(at, || get(at))),
        story("client breaks", full(), "/x", |at| behind(at, || send_and_break(at, REQUEST)))
            .ours("app/<NOSRV> ++--+ -1 CQ-- /0", "a broken connection is noticed although nothing asks for it"),
        story("client closes", full().defaults("option abortonclose"), "/x", |at| {
            behind(at, || send_and_finish(at, REQUEST));
        }),
        story("client breaks, abortonclose", full().defaults("option abortonclose"), "/x", |at| {
            behind(at, || send_and_break(at, REQUEST));
        }),
        story("client closes, which is no reason", full(), "/x", |at| behind(at, || send_and_finish(at, REQUEST))),
    ]);
}

/// Each byte in time, but not all of them.
fn drip(mut stream: TcpStream, bytes: &[u8]) {
    head(&mut stream);
    for byte in bytes {
        pause();
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
    }
    wait_for_end(&mut stream);
}

fn hint_and_hint(mut stream: TcpStream) {
    head(&mut stream);
    for status in ["103 Early Hints", "103 Early Hints", "200 OK\r\nContent-Length: 0"] {
        (0..3).for_each(|_| pause());
        let _ = stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes());
    }
    wait_for_end(&mut stream);
}

#[test]
fn answers_that_do_not_come() {
    check(&[
        story("silence", with(silence), "/x", get),
        story("closed", with(|s| say_and_close(s, b"")), "/x", get),
        story("closed at once", with(drop), "/x", get),
        story("half a head, then closed", with(|s| say_and_close(s, b"HTTP/1.1 200 OK\r\nCont")), "/x", get),
        story("half a head, then silence", with(|s| say_and_wait(s, b"HTTP/1.1 200 OK\r\nCont")), "/x", get),
        story("a head in drips", with(|s| drip(s, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), "/x", get),
        story("interim heads with a wait for each", with(hint_and_hint), "/x", get),
        story("nonsense", with(|s| say_and_close(s, b"SSH-2.0-OpenSSH_9.2\r\n\r\n")), "/x", get),
        story("a bad field", with(|s| say_and_wait(s, b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n")), "/x", get),
        story("client breaks", with(silence), "/x", |at| send_and_break(at, REQUEST))
            .ours("app/a +++-+ -1 CH-- /0", "a broken connection is noticed although nothing asks for it"),
        story("client closes", with(silence).defaults("option abortonclose"), "/x", |at| send_and_finish(at, REQUEST)),
        story("client closes, which is no reason", with(silence), "/x", |at| send_and_finish(at, REQUEST)),
        story(
            "client does not send its body, and is waited for less",
            with(silence).defaults("timeout server 2s"),
            "/x",
            |at| {
                send(at, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
            },
        )
        .ours("app/a +++-+ 408 cH-- /0", "the client is the one who is waited for"),
        story("client breaks, abortonclose", with(silence).defaults("option abortonclose"), "/x", |at| {
            send_and_break(at, REQUEST);
        })
        .ours("app/a +++-+ -1 CH-- /0", "nothing of an answer was there yet"),
        story("client does not send its body", with(silence), "/x", |at| {
            send(at, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
        })
        .ours("app/a +++-+ 408 cH-- /0", "the client is the one who is waited for"),
        story("client breaks in its body", with(silence), "/x", |at| {
            send_and_break(at, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
        }),
        story("client closes in its body", with(silence), "/x", |at| {
            send_and_finish(at, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
        }),
        story("server silent after a body", with(silence), "/x", |at| {
            send(at, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        }),
    ]);
}

fn switching(mut stream: TcpStream) {
    head(&mut stream);
    let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    wait_for_end(&mut stream);
}

const UPGRADE: &str = "GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

#[test]
fn tunnels() {
    check(&[
        story("silence", with(switching).defaults("timeout tunnel 400ms"), "/x", |at| send(at, UPGRADE)),
        story("client closes", with(switching), "/x", |at| send_and_finish(at, UPGRADE)),
        story("client breaks", with(switching), "/x", |at| send_and_break(at, UPGRADE)),
        story(
            "client closes, server stays",
            with(|mut s| {
                head(&mut s);
                let _ = s.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
                thread::sleep(Duration::from_secs(3));
            })
            .defaults("timeout server-fin 300ms")
            .defaults("timeout client-fin 300ms"),
            "/x",
            |at| send_and_finish(at, UPGRADE),
        ),
        story(
            "server closes",
            with(|s| {
                say_and_close(s, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            }),
            "/x",
            |at| send(at, UPGRADE),
        ),
    ]);
}

/// A server that fails every second connection, from the first on.
fn fails_first(failure: &'static [u8]) -> Site {
    let asked = Arc::new(AtomicUsize::new(0));
    with(
        move |stream| {
            if asked.fetch_add(1, SeqCst).is_multiple_of(2) { say_and_close(stream, failure) } else { ok(stream) }
        },
    )
}

#[test]
fn requests_sent_again() {
    check(&[
        story(
            "a status",
            fails_first(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").backend("retry-on 503"),
            "/x",
            get,
        ),
        story("empty", fails_first(b"").backend("retry-on empty-response"), "/x", get),
        story("half a head", fails_first(b"HTTP/1.1 200 OK\r\nX-").backend("retry-on empty-response"), "/x", get),
        story("junk", fails_first(b"SSH-2.0\r\n\r\n").backend("retry-on junk-response"), "/x", get),
        story("with a body", fails_first(b"").backend("retry-on all-retryable-errors"), "/x", |at| {
            send(at, "POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
        }),
        story(
            "a status each time",
            with(|s| say_and_close(s, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"))
                .backend("retry-on 503")
                .backend("retries 2"),
            "/x",
            get,
        ),
        story(
            "empty each time",
            with(|s| say_and_close(s, b"")).backend("retry-on empty-response").backend("retries 2"),
            "/x",
            get,
        ),
        story("timed out each time", with(silence).backend("retry-on response-timeout"), "/x", get),
        story("not asked for", with(|s| say_and_close(s, b"")).backend("retry-on 503"), "/x", get),
        story(
            "not allowed",
            with(|s| say_and_close(s, b""))
                .backend("retry-on all-retryable-errors")
                .frontend("http-request disable-l7-retry"),
            "/x",
            get,
        ),
        story(
            "on another server",
            {
                site()
                    .backend(&format!("server a {}", peer(|s| say_and_close(s, b""))))
                    .backend(&format!("server b {}", peer(ok)))
                    .backend("retry-on empty-response")
                    .backend("option redispatch 1")
            },
            "/x",
            get,
        ),
    ]);
}

/// How long its timers were, instead of whether they were reached.
fn essence_with_times(line: &str) -> String {
    format!("{} {}", essence(line), spent(line.split_whitespace().nth(4).unwrap_or_default()))
}

#[test]
fn what_retries_are_waited_for() {
    let refused = site().backend(&format!("server a {}", nobody()));
    super::check(
        &[
            story("refused", refused, "/x", get),
            story("no answer in time", with(silence).backend("retry-on response-timeout"), "/x", get),
        ],
        essence_with_times,
    );
}

#[test]
fn requests_whose_sessions_are_killed() {
    fn kill_soon(on: &Instance) {
        let mut client = Client::connect(on.address("web"));
        client.send(REQUEST);
        pause();
        on.admin("shutdown sessions server app/a");
        let _ = client.rest();
    }
    let patient = |site: Site| site.defaults("timeout server 5s").defaults("timeout connect 5s");
    let mute = site().backend(&format!("server a {}", silent()));
    check(&[
        story_with_orders("before an answer", patient(with(silence)), "/x", kill_soon),
        story_with_orders(
            "in an answer",
            patient(with(|s| say_and_wait(s, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))),
            "/x",
            kill_soon,
        ),
        story_with_orders("while connecting", patient(mute), "/x", kill_soon),
        story_with_orders("in a tunnel", patient(with(switching)), "/x", |on| {
            let mut client = Client::connect(on.address("web"));
            client.send(UPGRADE);
            pause();
            on.admin("shutdown sessions server app/a");
            let _ = client.rest();
        }),
    ]);
}
