//! Streams of HTTP/2 from a client to a server that speaks it too: gRPC, WebSockets, and who is slow.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64::Engine;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use crate::harness::{Http2Origin, Manners, Proxy, Site, http2_connect, tell, whole};

fn proxy_to(server: SocketAddr, options: &str) -> Proxy {
    Site::http().global("nbthread 1").backend(&format!("server a {server} {options}")).start()
}

fn call(path: &str) -> Request<()> {
    let request = Request::post(format!("http://grpc.example{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

fn grpc_status(trailers: Option<&HeaderMap>) -> Option<&str> {
    trailers?.get("grpc-status")?.to_str().ok()
}

fn done() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// Echoes each message as it comes (`/echo`), or refuses without a message (`/refuse`).
async fn grpc(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    assert_eq!(request.headers()["te"], "trailers", "gRPC servers insist on it");
    let head = Response::builder().header("content-type", "application/grpc");
    if request.uri().path() == "/refuse" {
        respond.send_response(head.header("grpc-status", "12").body(()).unwrap(), true).unwrap();
        return;
    }
    let mut out = respond.send_response(head.body(()).unwrap(), false).unwrap();
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        out.send_data(data, false).unwrap();
    }
    let said = body.trailers().await.ok().flatten();
    let mut trailers = done();
    if let Some(value) = said.and_then(|trailers| trailers.get("x-end").cloned()) {
        trailers.insert("x-heard", value);
    }
    out.send_trailers(trailers).unwrap();
}

#[test]
fn grpc_calls_of_every_shape_pass() {
    let server = Http2Origin::start(Manners::default(), grpc);
    let proxy = proxy_to(server.address(), "proto h2");
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        // Unary.
        let (response, mut upload) = client.send_request(call("/echo"), false).unwrap();
        upload.send_data(Bytes::from_static(b"\0\0\0\0\x05hello"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let (body, trailers) = whole(response.into_body()).await.unwrap();
        assert_eq!((&body[5..], grpc_status(trailers.as_ref())), (&b"hello"[..], Some("0")));
        // A refusal is a head alone, which ends the stream.
        let (response, _upload) = client.send_request(call("/refuse"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(grpc_status(Some(response.headers())), Some("12"));
        assert!(response.body().is_end_stream());
        // Both talk in turns: nothing may wait for an end.
        let (response, mut upload) = client.send_request(call("/echo"), false).unwrap();
        upload.send_data(Bytes::from_static(b"first"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "first");
        for word in ["second", "third"] {
            upload.send_data(Bytes::from(word), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), word);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", HeaderValue::from_static("of-client"));
        upload.send_trailers(trailers).unwrap();
        let (rest, trailers) = whole(body).await.unwrap();
        assert_eq!((rest.len(), grpc_status(trailers.as_ref())), (0, Some("0")));
        assert_eq!(trailers.unwrap()["x-heard"], "of-client");
    });
    assert_eq!(server.connections(), 1);
}

const LARGE: usize = 64 << 20;

/// Sends [`LARGE`] bytes for `/large`, as fast as they are taken, and counts them.
async fn large(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, sent: Arc<AtomicUsize>) {
    if request.uri().path() != "/large" {
        respond.send_response(Response::new(()), true).unwrap();
        return;
    }
    let mut out: SendStream<Bytes> = respond.send_response(Response::new(()), false).unwrap();
    while sent.load(SeqCst) < LARGE {
        out.reserve_capacity(16 * 1024);
        let Some(Ok(room)) = std::future::poll_fn(|cx| out.poll_capacity(cx)).await else { return };
        sent.fetch_add(room, SeqCst);
        if out.send_data(Bytes::from(vec![0; room]), false).is_err() {
            return;
        }
    }
}

#[test]
fn a_slow_stream_holds_up_its_server_and_not_its_neighbours() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server =
        Http2Origin::start(Manners::default(), move |request, respond| large(request, respond, Arc::clone(&count)));
    let proxy = proxy_to(server.address(), "proto h2");
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let request = |path: &str| Request::get(format!("http://a{path}")).body(()).unwrap();
        let (slow, _upload) = client.send_request(request("/large"), true).unwrap();
        let slow = slow.await.unwrap(); // and is not read
        let mut before = usize::MAX;
        while before != sent.load(SeqCst) {
            before = sent.load(SeqCst);
            for _ in 0..20 {
                let (other, _upload) = client.send_request(request("/small"), true).unwrap();
                assert_eq!(other.await.unwrap().status(), 200);
            }
        }
        assert!(before < LARGE / 4, "{before} bytes were taken for a client that takes none");
        drop(slow);
    });
}

/// An HTTP/1 server of WebSockets for one connection, which answers a key with `accept` of it and then echoes bytes.
fn websocket_server(accept: fn(&str) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /chat?x=1 HTTP/1.1\r\n"), "{head}");
        let value = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        assert_eq!(value("upgrade").as_deref(), Some("websocket"), "{head}");
        assert_eq!(value("connection").as_deref(), Some("upgrade"), "{head}");
        assert_eq!(value("sec-websocket-version").as_deref(), Some("13"), "{head}");
        let accept = accept(&value("sec-websocket-key").unwrap());
        let answer = format!(
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\nwelcome "
        );
        stream.write_all(answer.as_bytes()).unwrap();
        let mut piece = [0; 1000];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            stream.write_all(&piece[..length]).unwrap();
        }
    });
    address
}

fn right(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

fn websocket(path: &str) -> Request<()> {
    let mut request = Request::connect(format!("http://chat.example{path}"));
    request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat");
    request.extension(h2::ext::Protocol::from_static("websocket")).body(()).unwrap()
}

#[track_caller]
fn chat(server: SocketAddr, options: &str) {
    let proxy = proxy_to(server, options);
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let (response, mut upload) = client.send_request(websocket("/chat?x=1"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        upload.send_data(Bytes::from_static(b"over HTTP/2"), true).unwrap();
        let (said, _) = whole(response.into_body()).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&said), "welcome over HTTP/2");
    });
    let line = proxy.wait_for("/chat?x=1");
    assert!(line.contains(" 101 ") && line.contains(" ---- "), "{line}");
}

#[test]
fn a_websocket_over_http2_reaches_an_http1_server() {
    chat(websocket_server(right), "");
}

#[test]
fn a_websocket_over_http2_reaches_an_http2_server() {
    let server = Http2Origin::start(Manners::default(), |request, mut respond| async move {
        assert_eq!(request.method(), "CONNECT");
        assert!(!request.headers().contains_key("sec-websocket-key"));
        let head = Response::builder().header("sec-websocket-protocol", "chat").body(()).unwrap();
        let mut out = respond.send_response(head, false).unwrap();
        out.send_data(Bytes::from_static(b"welcome "), false).unwrap();
        let (said, _) = whole(request.into_body()).await.unwrap();
        out.send_data(Bytes::from(said), true).unwrap();
    });
    chat(server.address(), "proto h2");
}

/// What a client does to be rid of its WebSocket, and what is logged at once: the server itself stays for ever.
#[track_caller]
fn leave(how: impl AsyncFn(h2::client::SendRequest<Bytes>, SendStream<Bytes>)) {
    let server = Http2Origin::start(Manners::default(), |request, mut respond| async move {
        let _out = respond.send_response(Response::new(()), false).unwrap();
        let _body = request.into_body();
        std::future::pending::<()>().await;
    });
    let proxy = Site::http().defaults("timeout tunnel 1h").backend(&format!("server a {} proto h2", server.address()));
    let proxy = proxy.start();
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let (response, upload) = client.send_request(websocket("/chat"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        how(client, upload).await;
        // The client's connection ends with this block, the tunnel before it unless that is the story.
        let line = tokio::task::spawn_blocking(move || proxy.wait_for("GET http://chat.example/chat")).await.unwrap();
        assert!(line.contains(" 101 ") && line.contains(" CD-- "), "{line}");
        drop(response);
    });
}

#[test]
fn a_websocket_ends_as_soon_as_its_client_has_given_it_up() {
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        leave(async |_client, mut upload| upload.send_reset(reason));
    }
    // Its own end alone says nothing; what follows does.
    leave(async |_client, mut upload| {
        upload.send_data(Bytes::new(), true).unwrap();
        upload.send_reset(Reason::CANCEL);
    });
}

#[test]
fn a_websocket_ends_with_its_clients_connection() {
    let server = Http2Origin::start(Manners::default(), |request, mut respond| async move {
        let _out = respond.send_response(Response::new(()), false).unwrap();
        let (said, _) = whole(request.into_body()).await.unwrap();
        assert_eq!(said, b"bye");
        std::future::pending::<()>().await;
    });
    let proxy = Site::http().defaults("timeout tunnel 1h").backend(&format!("server a {} proto h2", server.address()));
    let proxy = proxy.start();
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let (response, mut upload) = client.send_request(websocket("/chat"), false).unwrap();
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
        upload.send_data(Bytes::from_static(b"bye"), true).unwrap();
    });
    let line = proxy.wait_for("GET http://chat.example/chat");
    assert!(line.contains(" 101 ") && line.contains(" CD-- "), "{line}");
}

#[test]
fn a_websocket_its_server_has_given_up_is_broken_off() {
    let server = Http2Origin::start(Manners::default(), |request, mut respond| async move {
        let mut out = respond.send_response(Response::new(()), false).unwrap();
        assert_eq!(request.into_body().data().await.unwrap().unwrap(), "hello");
        out.send_reset(Reason::CANCEL);
    });
    let proxy = proxy_to(server.address(), "proto h2");
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let (response, mut upload) = client.send_request(websocket("/chat"), false).unwrap();
        let response = response.await.unwrap();
        upload.send_data(Bytes::from_static(b"hello"), false).unwrap();
        assert!(whole(response.into_body()).await.is_err(), "an end would look like the server's own");
    });
    let line = proxy.wait_for("GET http://chat.example/chat");
    assert!(line.contains(" 101 ") && line.contains(" SD-- "), "{line}");
}

#[test]
fn a_server_that_did_not_understand_the_websocket_is_not_believed() {
    let proxy = proxy_to(websocket_server(|_| "bm90IGl0Cg==".to_owned()), "");
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let (response, _upload) = client.send_request(websocket("/chat?x=1"), false).unwrap();
        assert_eq!(response.await.unwrap().status(), StatusCode::BAD_GATEWAY);
    });
}

#[test]
fn a_request_in_the_queue_is_not_sent_for_a_client_that_is_gone() {
    let server = Http2Origin::start(Manners::default(), |request, respond| async move {
        let _held = respond;
        assert_eq!(request.uri().path(), "/first", "whose client has left");
        std::future::pending::<()>().await;
    });
    let site = Site::http().defaults("option abortonclose");
    let proxy = site.backend(&format!("server a {} proto h2 maxconn 1", server.address())).start();
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let mut ask = |path: &str| {
            let request = Request::get(format!("http://a.example{path}")).body(()).unwrap();
            client.send_request(request, true).unwrap().0
        };
        let first = ask("/first");
        while server.connections() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let more = ["/second", "/third", "/fourth"].map(&mut ask);
        while !proxy.admin("show stat").lines().any(|line| line.starts_with("app,BACKEND,3,")) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        drop((first, more));
    });
    for (path, ended) in [("/first", "CH--"), ("/second", "CQ--"), ("/third", "CQ--"), ("/fourth", "CQ--")] {
        let line = proxy.wait_for(&format!("http://a.example{path} "));
        assert!(line.contains(ended), "{line}");
    }
}

#[test]
fn requests_under_way_end_well_when_the_process_leaves() {
    let server = Http2Origin::start(Manners::default(), grpc);
    let site = Site::http().backend(&format!("server a {} proto h2", server.address()));
    let process = site.start_process();
    tell(async {
        let mut client = http2_connect(process.address("web")).await;
        let (response, mut upload) = client.send_request(call("/echo"), false).unwrap();
        upload.send_data(Bytes::from_static(b"before"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "before");
        process.signal(rustix::process::Signal::USR1);
        // GOAWAY: no new request.
        while client.clone().ready().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        upload.send_data(Bytes::from_static(b"behind"), true).unwrap();
        let (rest, trailers) = whole(body).await.unwrap();
        assert_eq!((&rest[..], grpc_status(trailers.as_ref())), (&b"behind"[..], Some("0")));
    });
}

#[test]
fn a_reload_takes_effect_at_the_next_stream_and_lets_those_of_a_gone_listener_end() {
    let server = Http2Origin::start(Manners::default(), grpc);
    let site = Site::http().backend(&format!("server a {} proto h2", server.address()));
    let more = "frontend more\n    bind 127.0.0.1:<more>\n    default_backend app";
    let mut process = site.clone().section(more).start_process();
    tell(async {
        let mut leaving = http2_connect(process.address("more")).await;
        let (response, mut upload) = leaving.send_request(call("/echo"), false).unwrap();
        upload.send_data(Bytes::from_static(b"before"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "before");
        let mut staying = http2_connect(process.address("web")).await;
        let (response, _upload) = staying.send_request(call("/refuse"), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);

        process.rewrite(&site.frontend("http-request deny deny_status 429").text());
        process.signal(rustix::process::Signal::HUP);
        process.wait_for("generation 2");
        while leaving.clone().ready().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        upload.send_data(Bytes::from_static(b"behind"), true).unwrap();
        let (rest, trailers) = whole(body).await.unwrap();
        assert_eq!((&rest[..], grpc_status(trailers.as_ref())), (&b"behind"[..], Some("0")));
        // The same connection, by the new rules.
        let (response, _upload) = staying.send_request(call("/refuse"), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 429);
    });
}

#[test]
fn a_client_that_gives_up_an_upload_its_server_does_not_take_is_noticed_at_once() {
    let full = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&full);
    let server = Http2Origin::start(Manners::default(), move |request: Request<RecvStream>, _respond| {
        let told = Arc::clone(&told);
        async move {
            let mut body = request.into_body();
            let mut received = 0;
            while received < 65_535 {
                received += body.data().await.unwrap().unwrap().len(); // and no window is opened again
            }
            told.notify_one();
            std::future::pending::<()>().await;
        }
    });
    let site = Site::http().global("nbthread 1").defaults("timeout server 1h").defaults("timeout client 1h");
    let proxy = site.backend(&format!("server a {} proto h2", server.address())).start();
    tell(async {
        let mut client = http2_connect(proxy.address("web")).await;
        let (_response, mut upload) = client.send_request(call("/upload"), false).unwrap();
        upload.send_data(Bytes::from(vec![b'u'; 250_000]), false).unwrap();
        full.notified().await;
        upload.send_reset(Reason::CANCEL);
        let line = tokio::task::spawn_blocking(move || proxy.wait_for("/upload")).await.unwrap();
        assert!(line.contains(" CD-- "), "{line}");
    });
}
