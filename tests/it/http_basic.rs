//! Requests and responses go through as they are: bodies of both kinds, HEAD, 204, 304, 1xx, Upgrade, errors.

use std::io::{Read, Write};

use crate::harness::{Client, Origin, Reply, Site, curl};

#[test]
fn requests_reach_the_servers_in_turn() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = Site::http().server(&a, "").server(&b, "").start();
    assert_eq!(proxy.get_times(4, "/"), ["a", "b", "a", "b"]);
    let response = proxy.get("/some/path?with=query");
    assert_eq!((response.status, response.header("x-origin")), (200, Some("a")));
    assert_eq!(a.received()[2].target, "/some/path?with=query");
}

#[test]
fn weights_decide_how_often() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = Site::http().server(&a, "weight 3").server(&b, "weight 1").start();
    let answers = proxy.get_times(8, "/").concat();
    assert_eq!((answers.matches('a').count(), answers.matches('b').count()), (6, 2), "{answers}");
}

#[test]
fn curl_uploads_and_downloads() {
    let a = Origin::scripted("a", |request| Reply::text(200, &"x".repeat(request.body.len())));
    let proxy = Site::http().server(&a, "").start();
    let file = proxy.file("upload");
    std::fs::write(&file, vec![b'u'; 3_000_000]).unwrap();
    let data = format!("@{}", file.display());
    let url = proxy.url("http", "web", "/");
    for extra in [&[][..], &["-H", "Transfer-Encoding: chunked"][..]] {
        let answer = curl(&[&["--data-binary", &data, &url], extra].concat());
        assert_eq!(answer.len(), 3_000_000, "{extra:?}");
    }
    assert!(a.received().iter().all(|request| request.body.len() == 3_000_000));
}

#[test]
fn chunked_bodies_pass_in_both_directions_with_trailers_filtered() {
    let a = Origin::scripted("a", |_| {
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    });
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5\r\npedia\r\n0\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().text(), "abcde");
    assert_eq!(a.only_request().body, b"wikipedia");
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().text(), "abcde"); // the connection is still in step
}

#[test]
fn a_large_response_streams_through() {
    let big = "0123456789abcdef".repeat(500_000);
    let length = big.len();
    let a = Origin::scripted("a", move |_| Reply::text(200, &big));
    let proxy = Site::http().server(&a, "").start();
    let response = proxy.get("/");
    assert_eq!(response.body.len(), length);
    assert!(response.body.chunks(16).all(|part| part == b"0123456789abcdef"));
}

#[test]
fn responses_without_body_leave_the_connection_in_step() {
    let a = Origin::scripted("a", |request| match request.target.as_str() {
        "/204" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 5\r\n\r\n"),
        _ if request.method == "HEAD" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        _ => Reply::text(200, "hello"),
    });
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to("HEAD").header("content-length"), Some("5"));
    for (path, status) in [("/204", 204), ("/304", 304), ("/", 200)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.response().status, status);
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole() {
    let a = Origin::scripted("a", |_| Reply::raw("HTTP/1.0 200 OK\r\n\r\nuntil the end").then_close());
    let proxy = Site::http().server(&a, "").start();
    assert_eq!(proxy.get("/").text(), "until the end");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let a = Origin::scripted("a", |request| Reply::text(200, &request.target));
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client
        .send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
    let answers: Vec<String> = (0..3).map(|_| client.response().text()).collect();
    assert_eq!(answers, ["/1", "/2", "/3"]);
}

#[test]
fn an_absolute_target_decides_the_host() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET http://real.example/p HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let request = a.only_request();
    assert_eq!((request.target.as_str(), request.all("host")), ("/p", vec!["real.example"]));
}

#[test]
fn expect_continue_is_answered_before_the_body() {
    let a = Origin::scripted("a", |request| Reply::text(200, &String::from_utf8_lossy(&request.body)));
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("body");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
}

#[test]
fn early_hints_pass_to_clients_that_may_see_them() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let a = Origin::scripted("a", move |_| Reply::raw(hints));
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().status, 103);
    assert_eq!(client.response().text(), "ok");
    let mut old = Client::connect(proxy.address("web"));
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.response().status, 200);
}

#[test]
fn an_upgrade_becomes_a_tunnel_only_after_101() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let echo = std::thread::spawn(move || {
        let mut stream = server.accept().unwrap().0;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
            .unwrap();
        let mut message = [0; 4];
        stream.read_exact(&mut message).unwrap();
        stream.write_all(&message).unwrap();
        String::from_utf8(head).unwrap()
    });
    let proxy = Site::http().backend(&format!("server ws {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(
        "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
    );
    assert_eq!(client.response().status, 101);
    assert_eq!(client.exactly(5).unwrap(), b"first");
    client.send("ping");
    assert_eq!(client.exactly(4).unwrap(), b"ping");
    let head = echo.join().unwrap().to_ascii_lowercase();
    assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
}

#[test]
fn an_upgrade_the_server_ignores_stays_http() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send("GET /again HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

#[test]
fn fields_named_by_connection_stay_on_their_hop() {
    let a = Origin::scripted("a", |_| {
        Reply::with_headers(200, "Connection: X-Hop\r\nX-Hop: server\r\nKeep-Alive: timeout=5\r\nX-Keep: yes\r\n", "ok")
    });
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: X-Secret, Host\r\nX-Secret: 1\r\nTE: gzip\r\nX-Other: 2\r\n\r\n",
    );
    let response = client.response();
    let request = a.only_request();
    assert_eq!((request.header("x-secret"), request.header("te")), (None, None));
    assert_eq!((request.header("host"), request.header("x-other")), (Some("x"), Some("2")));
    assert_eq!((response.header("x-hop"), response.header("keep-alive")), (None, None));
    assert_eq!(response.header("x-keep"), Some("yes"));
}

#[test]
fn rules_choose_backends_and_answer_by_themselves() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = Site::http()
        .frontend("acl api path_beg /api")
        .frontend("acl admin path /admin")
        .frontend("http-request deny deny_status 403 if admin")
        .frontend("http-request redirect location /new code 301 if { path /old }")
        .frontend("http-request return status 200 content-type text/plain string \"pong\" if { path /ping }")
        .frontend("http-request set-header X-Seen yes")
        .frontend("http-request del-header X-Drop")
        .frontend("http-response set-header X-Proxy lockgate")
        .frontend("http-response del-header X-Origin")
        .frontend("use_backend api if api { method GET }")
        .server(&a, "")
        .section(&format!("backend api\n    server b {}", b.address()))
        .start();
    assert_eq!(proxy.get("/").text(), "a");
    assert_eq!(proxy.get("/api/x").text(), "b");
    assert_eq!(proxy.get("/admin").status, 403);
    assert_eq!(proxy.get("/ping").text(), "pong");
    let moved = proxy.get("/old");
    assert_eq!((moved.status, moved.header("location")), (301, Some("/new")));
    let response = crate::harness::get_with(proxy.address("web"), "/", "X-Drop: 1\r\n");
    assert_eq!((response.header("x-proxy"), response.header("x-origin")), (Some("lockgate"), None));
    let seen = a.received().pop().unwrap();
    assert_eq!((seen.header("x-seen"), seen.header("x-drop")), (Some("yes"), None));
}

#[test]
fn the_proxy_answers_errors_with_the_operators_page_or_its_own() {
    let dir = crate::harness::TempDir::new();
    dir.write("503.http", "HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<h1>Back soon</h1>\n");
    let site = Site::http().backend("errorfile 503 <dir>/503.http");
    let proxy = crate::harness::Proxy::start_in(&site.text(), dir);
    let response = proxy.get("/");
    assert_eq!(response.status, 503);
    assert!(response.text().contains("Back soon"), "{}", response.text());
    let plain = Site::http().start();
    let response = plain.get("/");
    assert_eq!((response.status, response.header("cache-control")), (503, Some("no-cache")));
}
