//! HTTP/2 to servers: Debian's haproxy and nginx, and servers that push requests away.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::harness::{
    Client, Haproxy, Http2Origin, Manners, Origin, Ports, Proxy, Reply, Site, TempDir, certificate, curl, eventually,
    tool_output, whole,
};

fn proxy_to(server: impl std::fmt::Display, options: &str) -> Proxy {
    Site::http().global("nbthread 1").backend(&format!("server a {server} {options}")).start()
}

/// Debian's haproxy that takes HTTP/2 only and passes on to this origin.
fn haproxy_before(origin: &Origin) -> Haproxy {
    Haproxy::start(&Site::http().bind("bind 127.0.0.1:<web> proto h2").server(origin, "").text())
}

#[test]
fn haproxy_is_spoken_to_in_http2_with_prior_knowledge() {
    let a = Origin::scripted("a", |request| Reply::text(200, &"y".repeat(request.body.len())));
    let haproxy = haproxy_before(&a);
    let proxy = proxy_to(haproxy.address("web"), "proto h2");
    let upload = vec![b'u'; 3_000_000];
    let mut client = Client::connect(proxy.address("web"));
    client.send(format!("POST /up?x=1 HTTP/1.1\r\nHost: h.test\r\nContent-Length: {}\r\n\r\n", upload.len()));
    client.send(&upload);
    assert_eq!(client.response().body.len(), upload.len());
    client.send(
        "PUT /chunks HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().text(), "yyyyyyy");
    client.send("HEAD /head HTTP/1.1\r\nHost: h.test\r\n\r\nGET /last|\"<> HTTP/1.1\r\nHost: h.test\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);
    assert_eq!(client.response().status, 200);
    let line = haproxy.wait_for("/up?x=1");
    assert!(line.contains("HTTP/2.0\""), "{line}");
    let received = a.received();
    assert_eq!(received[0].header("host"), Some("h.test"));
    assert_eq!((received[0].body.len(), received[1].body.as_slice()), (upload.len(), &b"abcdefg"[..]));
    // And a client of HTTP/2 all the way.
    assert_eq!(curl(&["--http2-prior-knowledge", "-d", "12345", &proxy.url("http", "web", "/x")]), "yyyyy");
}

/// Debian's nginx with a certificate, ended with this.
struct Nginx {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Nginx {
    fn start(listen: &str) -> Self {
        let dir = TempDir::new();
        let port = Ports::default().get("nginx");
        let made = certificate(&["localhost"]);
        dir.write("site.pem", made.combined());
        let root = dir.path().display();
        let text = format!(
            "daemon off; master_process off; pid {root}/nginx.pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n\
             client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path \
             {root}/u; scgi_temp_path {root}/s;\nserver {{ listen 127.0.0.1:{port} {listen}; ssl_certificate \
             {root}/site.pem; ssl_certificate_key {root}/site.pem;\nlocation / {{ return 200 \"$server_protocol \
             $http_x_one\"; }} }} }}\n"
        );
        let file = dir.write("nginx.conf", text);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(file).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("nginx: {error}; install it, see README.md"));
        eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Nginx { child, port, _dir: dir }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tls_agrees_with_nginx_on_the_protocol() {
    for (listen, options, expected) in [
        ("ssl http2", "ssl verify none alpn h2,http/1.1", "HTTP/2.0 1"),
        ("ssl http2", "ssl verify none alpn http/1.1", "HTTP/1.1 1"),
        ("ssl http2", "ssl verify none", "HTTP/1.1 1"),
        ("ssl http2", "ssl verify none proto h2", "HTTP/2.0 1"),
        ("ssl", "ssl verify none alpn h2,http/1.1", "HTTP/1.1 1"),
    ] {
        let nginx = Nginx::start(listen);
        let proxy = proxy_to(format!("127.0.0.1:{}", nginx.port), options);
        for _ in 0..3 {
            let said = curl(&["-H", "X-One: 1", &proxy.url("http", "web", "/")]);
            assert_eq!(said, expected, "nginx `{listen}`, server `{options}`");
        }
    }
}

/// Answers with the path, and counts how many it answers at once.
fn counting(manners: Manners, at_once: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) -> Http2Origin {
    let (at_once, most) = (Arc::clone(at_once), Arc::clone(most));
    Http2Origin::start(manners, move |request: Request<h2::RecvStream>, mut respond| {
        let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
        async move {
            most.fetch_max(at_once.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            let path = Bytes::copy_from_slice(request.uri().path().as_bytes());
            at_once.fetch_sub(1, SeqCst);
            if let Ok(mut out) = respond.send_response(Response::new(()), false) {
                let _ = out.send_data(path, true);
            }
        }
    })
}

#[test]
fn many_clients_share_one_connection() {
    let server = counting(Manners::default(), &Arc::default(), &Arc::default());
    let proxy = proxy_to(server.address(), "proto h2");
    let said = tool_output("h2load", &["-n300", "-c10", "-m4", &proxy.url("http", "web", "/x")], b"");
    assert!(said.contains("300 succeeded") && said.contains("300 2xx"), "{said}");
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_server_is_asked_no_more_at_once_than_it_takes() {
    let manners = Manners { streams: Some(3), ..Manners::default() };
    let server = counting(manners, &Arc::default(), &Arc::default());
    let proxy = proxy_to(server.address(), "proto h2");
    let said = tool_output("h2load", &["-n300", "-c5", "-m4", &proxy.url("http", "web", "/x")], b"");
    assert!(said.contains("300 succeeded") && said.contains("300 2xx"), "{said}");
    assert!((2..=20).contains(&server.connections()), "{} connections", server.connections());
}

#[test]
fn a_server_that_says_goodbye_loses_no_request() {
    let manners = Manners { goodbye_after: Some(7), ..Manners::default() };
    let server = counting(manners, &Arc::default(), &Arc::default());
    let proxy = proxy_to(server.address(), "proto h2");
    let said = tool_output("h2load", &["-n300", "-c4", "-m5", &proxy.url("http", "web", "/x")], b"");
    assert!(said.contains("300 succeeded") && said.contains("300 2xx"), "{said}");
    assert!(server.connections() > 10, "{} connections", server.connections());
}

#[test]
fn a_refused_request_is_sent_again_whatever_it_is() {
    let seen: Arc<Mutex<HashSet<String>>> = Arc::default();
    let server = Http2Origin::start(Manners::default(), move |request: Request<h2::RecvStream>, mut respond| {
        let first = seen.lock().unwrap().insert(request.uri().path().to_owned());
        async move {
            if first {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                return;
            }
            let (body, _) = whole(request.into_body()).await.unwrap();
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data(Bytes::from(body), true).unwrap();
        }
    });
    let proxy = proxy_to(server.address(), "proto h2");
    assert_eq!(proxy.get("/a").status, 200);
    let mut client = Client::connect(proxy.address("web"));
    client.send("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nwhat");
    assert_eq!(client.response().text(), "what");
}

#[test]
fn trailers_and_cuts_reach_http1_clients() {
    let server = Http2Origin::start(Manners::default(), |request: Request<h2::RecvStream>, mut respond| async move {
        let mut out = respond.send_response(Response::new(()), false).unwrap();
        out.send_data(Bytes::from_static(b"part"), false).unwrap();
        if request.uri().path() == "/cut" {
            // The bytes leave before the reset overtakes them.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            return out.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        out.send_trailers(trailers).unwrap();
    });
    let proxy = proxy_to(server.address(), "proto h2");
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
    let said = client.rest_as_text();
    assert!(said.ends_with("4\r\npart\r\n0\r\nx-sum: 7\r\n\r\n"), "{said}");
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n");
    let said = String::from_utf8_lossy(&client.rest().unwrap_or_default()).into_owned();
    assert!(said.starts_with("HTTP/1.1 200 OK") && !said.contains("\r\n0\r\n"), "{said}");
    proxy.wait_for(" SD-- ");
}

#[test]
fn a_server_without_http2_is_an_error_and_not_a_hang() {
    let a = Origin::named("a");
    let proxy = proxy_to(a.address(), "proto h2");
    let answer = proxy.get("/");
    assert!(matches!(answer.status, 502 | 503), "{}", answer.head);
}

#[test]
fn checks_speak_what_their_server_does() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Http2Origin::start(Manners::default(), move |request: Request<h2::RecvStream>, mut respond| {
        let well = request.uri().path() == "/alive" && request.uri().authority().is_some_and(|host| host == "app.test");
        count.fetch_add(usize::from(well), SeqCst);
        async move {
            let head = Response::builder().status(if well { 200 } else { 404 }).body(()).unwrap();
            respond.send_response(head, true).unwrap();
        }
    });
    let site = Site::http()
        .backend("option httpchk")
        .backend("http-check send meth GET uri /alive ver HTTP/1.1 hdr Host app.test")
        .backend(&format!("server a {} proto h2 check inter 100ms fall 1", server.address()))
        .backend(&format!("server b {} proto h2 check check-proto h1 inter 100ms fall 1", server.address()));
    let proxy = site.start();
    eventually("checks over HTTP/2", || (asked.load(SeqCst) > 3).then_some(()));
    proxy.wait_for("app/b is DOWN");
    assert!(!proxy.said().contains("app/a is DOWN"), "{}", proxy.said());
}

#[test]
fn a_connection_its_server_has_forgotten_costs_those_who_wait_and_nobody_after_them() {
    let manners = Manners { silent_from: Some(2), ..Manners::default() };
    let origin = Http2Origin::start(manners, |_, mut respond| async move {
        let _ = respond.send_response(Response::new(()), true);
    });
    let server = format!("server a {} proto h2", origin.address());
    let proxy = Site::http().global("nbthread 1").defaults("timeout server 300ms").backend(&server).start();
    let statuses: Vec<u16> = (0..4).map(|_| proxy.get("/").status).collect();
    assert_eq!((statuses, origin.connections()), (vec![200, 504, 200, 200], 2));
}

#[test]
fn interim_responses_pass_and_a_body_is_held_back_until_its_server_wants_it() {
    let origin = Http2Origin::start(Manners::default(), |request, mut respond| async move {
        let interim = |status: u16| Response::builder().status(status).header("link", "</a.css>").body(()).unwrap();
        let expects = request.headers().get("expect").is_some_and(|expected| expected == "100-continue");
        let mut body = request.into_body();
        if expects {
            respond.send_informational(interim(100)).unwrap();
            while body.data().await.is_some() {}
        }
        respond.send_informational(interim(103)).unwrap();
        let _ = respond.send_response(Response::new(()), true);
    });
    let proxy = proxy_to(origin.address(), "proto h2");
    let mut client = Client::connect(proxy.address("web"));
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("body");
    let hints = client.response();
    assert_eq!((hints.status, hints.header("link")), (103, Some("</a.css>")));
    assert_eq!(client.response().status, 200);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((client.response().status, client.response().status), (103, 200));
    // And a client of HTTP/2 all the way.
    let said = curl(&["--http2-prior-knowledge", "-i", &proxy.url("http", "web", "/")]).replace("\r\n", "\n");
    assert_eq!(said, "HTTP/2 103 \nlink: </a.css>\n\nHTTP/2 200 \ncontent-length: 0\n\n");
}

#[test]
fn a_stream_whose_end_comes_behind_its_last_byte_is_not_reset() {
    let (told, resets) = std::sync::mpsc::channel();
    let told = Arc::new(Mutex::new(told));
    let origin = Http2Origin::start(Manners::default(), move |_, mut respond| {
        let told = Arc::clone(&told);
        async move {
            let head = Response::builder().header("content-length", "2").body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(b"ok"), false).unwrap();
            // Time enough for a client to have read that, or to have reset the stream.
            let pause = tokio::time::sleep(std::time::Duration::from_millis(100));
            let reset = tokio::select! {
                reason = std::future::poll_fn(|cx| body.poll_reset(cx)) => Some(reason.unwrap()),
                () = pause => None,
            };
            let _ = body.send_data(Bytes::new(), true);
            told.lock().unwrap().send(reset).unwrap();
        }
    });
    let proxy = proxy_to(origin.address(), "proto h2");
    assert_eq!(proxy.get_times(2, "/"), ["ok", "ok"]);
    for _ in 0..2 {
        assert_eq!(resets.recv().unwrap(), None);
    }
    assert_eq!(origin.connections(), 1);
}
