//! TCP sessions: server, which timers were reached, bytes, termination state, counts with retries, places
//! in queues.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::{
    Story, nobody, pause, peer, reached, send, send_and_break, send_and_finish, silent, spent, story,
    story_with_orders, wait_for_end,
};
use crate::harness::{Authority, Client, Key, Site, TempDir, certificate, tool_output};

/// `web app/a +++ 212 -- 1/1/0/0/0 0/0`. Of a connection that came to nothing, where and why: `SSL handshake failure`.
fn essence(line: &str) -> String {
    let fields: Vec<&str> = line.split_whitespace().skip(2).collect();
    match fields[..] {
        // Which listener it was is told otherwise here: by its name, or its address.
        [place, ..] if place.ends_with(':') => fields.join(" ").split(": ").nth(1).unwrap_or_default().to_owned(),
        [frontend, server, timers, bytes, state, counts, queues] => {
            format!("{frontend} {server} {} {bytes} {state} {counts} {queues}", reached(timers))
        }
        _ => line.to_owned(),
    }
}

#[track_caller]
fn check(stories: &[Story]) {
    super::check(stories, essence);
}

/// Short timeouts, one retry; servers are added by each story.
fn site() -> Site {
    Site::tcp()
        .global("nbthread 1")
        .defaults("timeout connect 400ms")
        .defaults("timeout client 900ms")
        .defaults("timeout server 600ms")
        .defaults("timeout queue 400ms")
        .defaults("retries 1")
}

/// With one server that treats every connection by `serve`.
fn with(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Site {
    site().backend(&format!("server a {}", peer(serve)))
}

fn silence(mut stream: TcpStream) {
    wait_for_end(&mut stream);
}

/// Greets, and goes when its client goes.
fn greet(mut stream: TcpStream) {
    let _ = stream.write_all(b"hi");
    wait_for_end(&mut stream);
}

/// Closes its sending side: what comes still is taken, or it would break the connection.
fn greet_and_close(mut stream: TcpStream) {
    let _ = stream.write_all(b"hi");
    let _ = stream.shutdown(Shutdown::Write);
    wait_for_end(&mut stream);
}

/// Says something when its client has said all.
fn answer(mut stream: TcpStream) {
    wait_for_end(&mut stream);
    let _ = stream.write_all(b"bye");
}

/// Greets, takes something and breaks the connection a moment later.
fn greet_and_break(mut stream: TcpStream) {
    let _ = stream.write_all(b"hi");
    let _ = stream.read(&mut [0; 100]);
    pause();
    break_off(stream);
}

fn break_off(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Not before the proxy has seen that the connection stands.
fn break_soon(stream: TcpStream) {
    pause();
    break_off(stream);
}

/// Keeps the connection whatever its client does.
fn stay(mut stream: TcpStream) {
    let _ = stream.write_all(b"hi");
    thread::sleep(Duration::from_secs(4));
}

fn pour(mut stream: TcpStream) {
    while stream.write_all(&[b'x'; 65536]).is_ok() {}
}

/// Neither says a word nor reads one.
fn deaf(stream: TcpStream) {
    thread::sleep(Duration::from_secs(4));
    drop(stream);
}

/// A client that says a word, hears one and does then what `then` does.
fn exchange(address: SocketAddr, then: impl FnOnce(Client)) {
    let mut client = Client::connect(address);
    client.send("hello");
    let _ = client.exactly(2);
    pause();
    then(client);
}

/// It closes its sending side and waits for the end.
fn finish(mut client: Client) {
    client.finish_sending();
    let _ = client.rest();
}

/// It waits for the end.
fn wait(mut client: Client) {
    let _ = client.rest();
}

/// It waits for the end and keeps its own side open for a while.
fn wait_and_stay(mut client: Client) {
    let _ = client.rest();
    thread::sleep(Duration::from_millis(2500));
}

/// What every line about a session has, whether it came to something or not.
const AS_IN_THE_MANUAL: &str = "the phase is told as the manual has it";

/// With a server that does not answer who connects.
fn mute() -> Site {
    site().backend(&format!("server a {}", silent()))
}

const WEB: &str = "] web";

#[test]
fn sessions_that_end_by_themselves() {
    check(&[
        story("client first", with(greet), WEB, |at| exchange(at, finish)),
        story("client first, and answered then", with(answer), WEB, |at| send_and_finish(at, "hello")),
        story("server first", with(greet_and_close), WEB, |at| exchange(at, drop)),
        story("server first, nothing said by the client", with(greet_and_close), WEB, |at| send(at, "")),
        story("client closes without a word", with(silence), WEB, |at| send_and_finish(at, "")),
        story("server closes without a word", with(drop), WEB, |at| send(at, "")),
        story("neither says a word", with(silence), WEB, |at| drop(Client::connect(at))),
        story("client closes both sides at once", with(greet), WEB, |at| exchange(at, drop)),
    ]);
}

#[test]
fn sessions_that_are_broken_off() {
    check(&[
        story("client breaks", with(greet), WEB, |at| exchange(at, Client::break_off)),
        story("server breaks", with(greet_and_break), WEB, |at| exchange(at, wait)),
        story("server breaks at once", with(break_soon), WEB, |at| send(at, "")),
        story("server breaks at once, client has said something", with(break_soon), WEB, |at| send(at, "hello")),
        story(
            "server breaks after its client has finished",
            with(|mut stream| {
                let _ = stream.write_all(b"hi");
                wait_for_end(&mut stream);
                pause();
                break_off(stream);
            }),
            WEB,
            |at| exchange(at, finish),
        ),
        story(
            "client breaks after its server has finished",
            with(|mut stream| {
                let _ = stream.write_all(b"hi");
                let _ = stream.shutdown(Shutdown::Write);
                wait_for_end(&mut stream);
            }),
            WEB,
            |at| {
                exchange(at, |mut client| {
                    let _ = client.rest();
                    pause();
                    client.break_off();
                });
            },
        ),
        story("client breaks without a word", with(silence), WEB, |at| {
            let client = Client::connect(at);
            pause();
            client.break_off();
        }),
        story("client breaks after a word", with(silence), WEB, |at| send_and_break(at, "hello")),
    ]);
}

#[test]
fn sessions_that_fall_silent() {
    let client_first = || with(greet).defaults("timeout client 400ms").defaults("timeout server 2s");
    let server_first = || with(greet).defaults("timeout client 2s").defaults("timeout server 400ms");
    check(&[
        story("client", client_first(), WEB, |at| exchange(at, wait)),
        story("server", server_first(), WEB, |at| exchange(at, wait)),
        story("client, without a word", with(silence).defaults("timeout client 400ms"), WEB, |at| send(at, "")),
        story("server, without a word", with(silence).defaults("timeout client 2s"), WEB, |at| send(at, "")),
        story("tunnel", with(greet).defaults("timeout tunnel 300ms"), WEB, |at| exchange(at, wait)),
        story("tunnel, longer than both", with(greet).defaults("timeout tunnel 1200ms"), WEB, |at| exchange(at, wait)),
        story("tunnel, without a word", with(silence).defaults("timeout tunnel 300ms"), WEB, |at| send(at, "")),
        story("server stays when its client has gone", with(stay), WEB, |at| exchange(at, finish)),
        story("client stays when its server has gone", with(greet_and_close), WEB, |at| exchange(at, wait_and_stay)),
        story("server stays, server-fin", with(stay).defaults("timeout server-fin 300ms"), WEB, |at| {
            exchange(at, finish);
        }),
        story("server stays, client-fin", with(stay).defaults("timeout client-fin 300ms"), WEB, |at| {
            exchange(at, finish);
        }),
        story(
            "server stays, both fins",
            with(stay).defaults("timeout client-fin 300ms").defaults("timeout server-fin 300ms"),
            WEB,
            |at| {
                exchange(at, finish);
            },
        ),
        story("client stays, client-fin", with(greet_and_close).defaults("timeout client-fin 300ms"), WEB, |at| {
            exchange(at, wait_and_stay);
        }),
        story("client stays, server-fin", with(greet_and_close).defaults("timeout server-fin 300ms"), WEB, |at| {
            exchange(at, wait_and_stay);
        }),
        story(
            "server stays, tunnel and fins",
            with(stay)
                .defaults("timeout tunnel 5s")
                .defaults("timeout client-fin 300ms")
                .defaults("timeout server-fin 300ms"),
            WEB,
            |at| {
                exchange(at, finish);
            },
        ),
        story("server stays, tunnel", with(stay).defaults("timeout tunnel 300ms"), WEB, |at| exchange(at, finish)),
    ]);
}

/// Of lines whose bytes depend on how much fits into the sockets on the way.
fn essence_without_bytes(line: &str) -> String {
    let essence = essence(line);
    let mut words: Vec<&str> = essence.split(' ').collect();
    words.remove(3);
    words.join(" ")
}

#[test]
fn sessions_that_are_stuck() {
    super::check(
        &[
            story("client does not read", with(pour), WEB, |at| {
                let mut client = Client::connect(at);
                let _ = client.exactly(100);
                thread::sleep(Duration::from_millis(2500));
            }),
            story("client breaks instead of reading", with(pour), WEB, |at| {
                let mut client = Client::connect(at);
                let _ = client.exactly(100);
                pause();
                client.break_off();
            }),
            story("server does not read", with(deaf), WEB, |at| {
                let mut client = Client::connect(at);
                while client.try_send([b'x'; 65536]).is_ok() {}
            }),
            story(
                "server breaks instead of reading",
                with(|stream| {
                    pause();
                    break_off(stream);
                }),
                WEB,
                |at| {
                    let mut client = Client::connect(at);
                    while client.try_send([b'x'; 65536]).is_ok() {}
                },
            ),
            story(
                "server closes instead of reading",
                with(|stream| {
                    pause();
                    drop(stream);
                }),
                WEB,
                |at| {
                    let mut client = Client::connect(at);
                    while client.try_send([b'x'; 65536]).is_ok() {}
                },
            ),
        ],
        essence_without_bytes,
    );
}

#[test]
fn sessions_without_a_server() {
    let dead = || site().backend(&format!("server a {}", nobody()));
    let other = || format!("server b {}", peer(greet));
    check(&[
        story("no server", site(), WEB, |at| send(at, "")),
        story("no server, client has said something", site(), WEB, |at| send(at, "hello")),
        story(
            "server in maintenance",
            with(greet).backend("server b 127.0.0.1:1 disabled").backend("default-server disabled"),
            WEB,
            |at| send(at, ""),
        ),
        story("refused", dead(), WEB, |at| send(at, "")),
        story("refused, client has said something", dead(), WEB, |at| send(at, "hello")),
        story("refused, no retries", dead().backend("retries 0"), WEB, |at| send(at, "")),
        story("refused, two retries", dead().backend("retries 2"), WEB, |at| send(at, "")),
        story("refused, then another", dead().backend("option redispatch 1").backend(&other()), WEB, |at| {
            exchange(at, finish)
        }),
        story(
            "refused, then another at the last",
            dead().backend("option redispatch").backend("retries 2").backend(&other()),
            WEB,
            |at| exchange(at, finish),
        ),
        story("refused, no redispatch", dead().backend("no option redispatch").backend(&other()), WEB, |at| {
            send(at, "")
        }),
        story(
            "refused twice",
            dead().backend("option redispatch 1").backend(&format!("server b {}", nobody())),
            WEB,
            |at| send(at, ""),
        ),
        story("mute", mute(), WEB, |at| send(at, "")),
        story("mute, no retries", mute().backend("retries 0"), WEB, |at| send(at, "")),
        story("mute, then another", mute().backend("option redispatch 1").backend(&other()), WEB, |at| {
            exchange(at, finish)
        }),
        story("client breaks while connecting", mute(), WEB, |at| send_and_break(at, "hello"))
            .ours("web app/a +-+ 0 CC 1/1/0/0/0 0/0", AS_IN_THE_MANUAL),
        story("client breaks while connecting, without a word", mute(), WEB, |at| send_and_break(at, ""))
            .ours("web app/a +-+ 0 CC 1/1/0/0/0 0/0", AS_IN_THE_MANUAL),
        story("client closes while connecting", mute(), WEB, |at| send_and_finish(at, "hello")),
        story("client closes while connecting, without a word", mute(), WEB, |at| send_and_finish(at, "")),
        story("client closes while connecting, abortonclose", mute().defaults("option abortonclose"), WEB, |at| {
            send_and_finish(at, "hello")
        }),
        story("client leaves before the same server is tried again", dead(), WEB, |at| {
            let client = Client::connect(at);
            pause();
            drop(client);
        }),
        story("client breaks before the same server is tried again", dead(), WEB, |at| send_and_break(at, "hello"))
            .ours("web app/a +-+ 0 CC 1/1/0/0/1 0/0", AS_IN_THE_MANUAL),
        story("client closes before the same server is tried again", dead(), WEB, |at| send_and_finish(at, "hello")),
    ]);
}

/// How long its timers were, instead of whether they were reached.
fn essence_with_times(line: &str) -> String {
    format!("{} {}", essence(line), spent(line.split_whitespace().nth(4).unwrap_or_default()))
}

#[test]
fn what_retries_are_waited_for() {
    let dead = || site().backend(&format!("server a {}", nobody()));
    let other = || format!("server b {}", peer(greet));
    super::check(
        &[
            story("the same", dead(), WEB, |at| send(at, "")),
            story("the only one, although any would do", dead().backend("option redispatch 1"), WEB, |at| send(at, ""))
                .ours(
                    "web app/a +-+ 0 SC 1/1/0/0/1 0/0 0-+",
                    "to connect to the same again is not to wait for another",
                ),
            story("none answers", mute(), WEB, |at| send(at, "")),
            story("another", dead().backend("option redispatch 1").backend(&other()), WEB, |at| exchange(at, finish)),
            story("another after a silent one", mute().backend("option redispatch 1").backend(&other()), WEB, |at| {
                exchange(at, finish);
            }),
        ],
        essence_with_times,
    );
}

/// Somebody else has the only slot for as long as `act` takes.
fn behind(at: SocketAddr, act: impl Fn()) {
    let mut first = Client::connect(at);
    first.send("first");
    pause();
    act();
    pause();
    first.break_off();
}

#[test]
fn sessions_in_the_queue() {
    let full = || {
        site()
            .defaults("timeout server 5s")
            .defaults("timeout client 5s")
            .backend(&format!("server a {} maxconn 1", peer(silence)))
    };
    check(&[
        story("too long", full(), WEB, |at| behind(at, || send(at, "hello"))),
        story("too long, without a word", full(), WEB, |at| behind(at, || send(at, ""))),
        story("client breaks", full(), WEB, |at| behind(at, || send_and_break(at, "hello")))
            .ours("web app/<NOSRV> +-+ 0 CQ 2/2/1/0/0 0/1", AS_IN_THE_MANUAL),
        story("client closes", full(), WEB, |at| behind(at, || send_and_finish(at, "hello"))),
        story("client closes without a word", full(), WEB, |at| behind(at, || send_and_finish(at, ""))),
        story("client closes, abortonclose", full().defaults("option abortonclose"), WEB, |at| {
            behind(at, || send_and_finish(at, "hello"))
        }),
        story("its turn comes", full().defaults("timeout queue 4s"), " -- ", |at| {
            let mut first = Client::connect(at);
            first.send("first");
            pause();
            let mut second = Client::connect(at);
            second.send("second");
            pause();
            first.break_off();
            pause();
            second.finish_sending();
            let _ = second.rest();
        }),
        story("it has to wait for its own server", full(), WEB, |at| behind(at, || send(at, "hello"))),
    ]);
}

#[test]
fn sessions_that_are_killed() {
    check(&[
        story_with_orders("in a tunnel", with(greet).defaults("timeout server 5s"), WEB, |on| {
            exchange(on.address("web"), |client| {
                on.admin("shutdown sessions server app/a");
                wait(client);
            });
        }),
        story_with_orders("while connecting", mute().defaults("timeout connect 5s"), WEB, |on| {
            let client = Client::connect(on.address("web"));
            pause();
            on.admin("shutdown sessions server app/a");
            wait(client);
        }),
    ]);
}

#[test]
fn sessions_refused_by_rules() {
    let rule = |rule: &str| with(greet).frontend(rule);
    let delayed = |line: &str| with(greet).frontend("tcp-request inspect-delay 300ms").frontend(line);
    check(&[
        story("content", rule("tcp-request content reject"), WEB, |at| send(at, "hello")),
        story("content, without a word", rule("tcp-request content reject"), WEB, |at| send(at, "")),
        story("content in the backend", with(greet).backend("tcp-request content reject"), WEB, |at| send(at, "hello")),
        story("what was said", delayed("tcp-request content reject if { req.len gt 3 }"), WEB, |at| send(at, "hello")),
        story("what was not said in time", delayed("tcp-request content reject unless { req.len gt 9 }"), WEB, |at| {
            send(at, "hello")
        }),
        story("nothing said in time", delayed("tcp-request content accept if { req.len gt 9 }"), WEB, |at| {
            exchange(at, finish)
        }),
        story("nothing said in time, and waited for", delayed("tcp-request content accept if WAIT_END"), WEB, |at| {
            exchange(at, finish)
        }),
        story(
            "nothing said in time, in the backend",
            with(greet)
                .backend("tcp-request inspect-delay 300ms")
                .backend("tcp-request content reject unless { req.len gt 9 }"),
            WEB,
            |at| send(at, "hello"),
        ),
        story("client breaks", delayed("tcp-request content reject if { req.len gt 9 } || WAIT_END"), WEB, |at| {
            send_and_break(at, "hello")
        }),
        story("client closes", delayed("tcp-request content reject if { req.len gt 9 } || WAIT_END"), WEB, |at| {
            send_and_finish(at, "hello")
        }),
        story(
            "client closes without a word",
            delayed("tcp-request content reject if { req.len gt 9 } || WAIT_END"),
            WEB,
            |at| send_and_finish(at, ""),
        ),
        story("client breaks, and would be let in", delayed("tcp-request content accept if WAIT_END"), WEB, |at| {
            send_and_break(at, "hello");
        }),
        story(
            "client falls silent",
            delayed("tcp-request content reject if { req.len gt 9 }").defaults("timeout client 150ms"),
            WEB,
            |at| send(at, "hello"),
        ),
        story("connection: told nowhere", rule("tcp-request connection reject if { src 127.0.0.2 }"), WEB, |at| {
            from_another_address(at);
            exchange(at, finish);
        }),
        story("session: told nowhere", rule("tcp-request session reject if { src 127.0.0.2 }"), WEB, |at| {
            from_another_address(at);
            exchange(at, finish);
        }),
    ]);
}

/// From 127.0.0.2, to its end.
fn from_another_address(to: SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut client = Client::over(socket.into());
    let _ = client.rest();
}

#[test]
fn sessions_with_tls() {
    let dir = TempDir::new();
    let pem = dir.write("site.pem", certificate(&["site.example"]).combined());
    let bind = format!("bind 127.0.0.1:<web> ssl crt {}", pem.display());
    let front = || with(greet_and_close).bind(&bind);
    let behind = |serve: fn(TcpStream)| site().backend(&format!("server a {} ssl verify none", peer(serve)));
    check(&[
        story("closed, dontlognull", front().frontend("option dontlognull"), WEB, |at| {
            send_and_finish(at, "");
            send(at, "hello, this is not TLS");
        }),
        story("closed in the handshake, dontlognull", front().frontend("option dontlognull"), WEB, |at| {
            send_and_finish(at, "\x16\x03\x01\x02\x00");
            send(at, "hello, this is not TLS");
        }),
        story("normal", front(), WEB, |at| {
            tool_output("openssl", &["s_client", "-quiet", "-connect", &at.to_string()], b"");
        }),
        story("not TLS", front(), WEB, |at| send(at, "hello, this is not TLS")),
        story("closed", front(), WEB, |at| send_and_finish(at, "")),
        story("closed in the handshake", front(), WEB, |at| send_and_finish(at, "\x16\x03\x01\x02\x00")),
        story("closed after the hello", front(), WEB, |at| send_and_finish(at, &hello())),
        story("closed after the hello, dontlognull", front().frontend("option dontlognull"), WEB, |at| {
            send_and_finish(at, &hello());
        }),
        story("broken in the handshake", front(), WEB, |at| send_and_break(at, "\x16\x03\x01\x02\x00")),
        story("silent", front(), WEB, |at| send(at, "")),
        story("silent in the handshake", front(), WEB, |at| send(at, "\x16\x03\x01\x02\x00")),
        story("server without TLS", behind(greet_and_close), WEB, |at| send(at, "")),
        story("server silent in its handshake", behind(silence), WEB, |at| send(at, "")),
        story("server closes in its handshake", behind(drop), WEB, |at| send(at, "")),
        story(
            "server breaks in its handshake",
            behind(|mut stream| {
                let _ = stream.read(&mut [0; 100]);
                break_off(stream);
            }),
            WEB,
            |at| send(at, ""),
        ),
    ]);
}

/// The hello of a client of TLS 1.3 that may be answered: one suite, group and signature.
fn hello() -> String {
    let extensions = format!(
        "\0\x2b\0\x03\x02\x03\x04\0\x0a\0\x04\0\x02\0\x1d\0\x0d\0\x04\0\x02\x04\x03\0\x33\0\x26\0\x24\0\x1d\0\x20{}",
        "k".repeat(32)
    );
    let random = "r".repeat(32);
    format!("\x16\x03\x01\0\x70\x01\0\0\x6c\x03\x03{random}\0\0\x02\x13\x01\x01\0\0\x41{extensions}")
}

#[test]
fn clients_with_certificates_that_are_not_accepted() {
    let authority = Authority::new("Authority");
    let stranger = Authority::new("Stranger");
    authority.sign("revoked", "joe", Key::Ec);
    authority.revoke("revoked");
    let pem = authority.sign("site", "site.test", Key::Ec);
    let written = |name: &str, text: String| {
        let path = authority.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (trusted, list) = (written("trusted.pem", authority.pem()), written("list.pem", authority.list()));
    let bind = format!("bind 127.0.0.1:<web> ssl crt {} verify required ca-file {trusted}", pem.display());
    stranger.sign("client", "jim", Key::Ec);
    // What a client shows: its own certificate, and others above it.
    let shows = |by: &Authority, name: &str, above: String| {
        let (own, key) = (by.read(&format!("{name}.crt")), by.read(&format!("{name}.key")));
        let own = written(&format!("{name}.shown"), own + &key);
        let above = written(&format!("{name}.above"), above);
        move |at: SocketAddr| {
            let at = at.to_string();
            let shown = ["-cert", &own, "-cert_chain", &above, "-quiet", "-no_ign_eof"];
            tool_output("openssl", &[&["s_client", "-connect", &at][..], &shown].concat(), b"");
        }
    };
    check(&[
        story("none", with(greet_and_close).bind(&bind), WEB, |at| {
            tool_output("openssl", &["s_client", "-quiet", "-connect", &at.to_string()], b"");
        }),
        story("unknown issuer", with(greet_and_close).bind(&bind), WEB, shows(&stranger, "client", authority.pem())),
        story("unknown authority", with(greet_and_close).bind(&bind), WEB, shows(&stranger, "client", stranger.pem())),
        story(
            "revoked",
            with(greet_and_close).bind(&format!("{bind} crl-file {list}")),
            WEB,
            shows(&authority, "revoked", authority.pem()),
        ),
    ]);
}

const IN_PIECES: &str = "a header may come in pieces here";

#[test]
fn sessions_behind_a_proxy_header() {
    let front = || with(greet).bind("bind 127.0.0.1:<web> accept-proxy");
    check(&[
        story("normal", front(), WEB, |at| {
            let mut client = Client::connect(at);
            client.send("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n");
            let _ = client.exactly(2);
            finish(client);
        }),
        story("none", front(), WEB, |at| send(at, "hello, is anybody there?\r\n")),
        story("closed", front(), WEB, |at| send_and_finish(at, "")),
        story("closed in the middle", front(), WEB, |at| send_and_finish(at, "PROXY TCP4 192.0")),
        story("silent in the middle", front(), WEB, |at| send(at, "PROXY TCP4 192.0"))
            .ours("Timeout while waiting for PROXY protocol header", IN_PIECES),
        story("a bad one", front(), WEB, |at| send(at, "PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n")),
        story("broken in the middle", front(), WEB, |at| send_and_break(at, "PROXY TCP4 192.0"))
            .ours("Connection error while waiting for PROXY protocol header", IN_PIECES),
        story("closed, dontlognull", front().frontend("option dontlognull"), WEB, |at| {
            send_and_finish(at, "");
            send(at, "hello, is anybody there?\r\n");
        }),
        story("closed in the middle, dontlognull", front().frontend("option dontlognull"), WEB, |at| {
            send_and_finish(at, "PROXY TCP4 192.0");
            send(at, "hello, is anybody there?\r\n");
        }),
        story("silent", front(), WEB, |at| send(at, "")),
    ]);
}
