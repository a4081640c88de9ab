//! What HTTP/1 messages carry from one side to the other, and how large they may be: FACTS of RFC 9110 and RFC 9112.

use crate::harness::{Client, Haproxy, Origin, Proxy, Reply, Site, TempDir, curl};

fn ask(proxy: &Proxy, request: &str) -> String {
    let mut client = Client::connect(proxy.address("web"));
    client.send(request).finish_sending();
    client.rest_as_text()
}

#[test]
fn old_applications_get_field_names_in_the_spelling_they_know() {
    let a = Origin::scripted("a", |_| Reply::with_headers(200, "x-app-id: 7\r\nX-Mixed: 1\r\n", "ok"));
    let dir = TempDir::new();
    dir.write("spellings", "# of the mainframe\nx-app-id X-APP-ID\nhost HOST\n");
    let site = Site::http()
        .global("h1-case-adjust content-length Content-LENGTH")
        .global("h1-case-adjust-file <dir>/spellings")
        .section("frontend plain\n    bind 127.0.0.1:<plain>\n    default_backend app")
        .frontend("option h1-case-adjust-bogus-client")
        .backend("option h1-case-adjust-bogus-server")
        .server(&a, "");
    let proxy = Proxy::start_in(&site.text(), dir);
    let said = ask(&proxy, "GET /host:x HTTP/1.1\r\nhost: a\r\nX-app-Id: 1\r\nX-Mixed: 2\r\nConnection: close\r\n\r\n");
    assert!(said.contains("\r\nContent-LENGTH: 2\r\n") && said.contains("\r\nX-APP-ID: 7\r\n"), "{said}");
    assert!(said.contains("\r\nX-Mixed: 1\r\n"), "other names keep their case: {said}");
    let head = a.only_request().head;
    assert!(head.starts_with("GET /host:x ") && head.contains("\r\nHOST: a"), "{head}");
    assert!(head.contains("\r\nX-APP-ID: 1") && head.contains("\r\nX-Mixed: 2"), "{head}");
    // A proxy that does not ask for it leaves names alone.
    let mut client = Client::connect(proxy.address("plain"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.response().head;
    assert!(head.contains("\r\nx-app-id: 7\r\n") && head.contains("\r\nContent-Length: 2\r\n"), "{head}");
}

#[test]
fn limits_on_heads_are_configuration_for_both_sides() {
    let a = Origin::scripted("a", |request| match request.target.as_str() {
        "/many" => Reply::with_headers(200, &"X-A: 1\r\n".repeat(20), "ok"),
        "/large" => Reply::with_headers(200, &format!("X-A: {}\r\n", "y".repeat(3000)), "ok"),
        _ => Reply::text(200, "ok"),
    });
    let site = Site::http().global("tune.bufsize 3072").global("tune.maxrewrite 1024").global("tune.http.maxhdr 10");
    let proxy = site.server(&a, "").start();
    let status = |request: String| {
        let mut client = Client::connect(proxy.address("web"));
        let _ = client.try_send(request);
        client.try_response("GET").map(|response| response.status).unwrap_or(0)
    };
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    assert_eq!(status(get("/", &"X-A: 1\r\n".repeat(8))), 200);
    assert_eq!(status(get("/", &"X-A: 1\r\n".repeat(10))), 431);
    assert_eq!(status(get("/", &format!("X-A: {}\r\n", "y".repeat(1900)))), 200);
    assert_eq!(status(get("/", &format!("X-A: {}\r\n", "y".repeat(2100)))), 431);
    assert_eq!(status(get(&format!("/{}", "p".repeat(2100)), "")), 414);
    assert_eq!(status(get("/many", "")), 502);
    assert_eq!(status(get("/large", "")), 502);
}

#[test]
fn a_long_target_has_a_limit_of_its_own() {
    let a = Origin::named("a");
    let config = format!(
        "global: {{ tune: {{ http_max_uri: 100B }} }}\ndefaults: {{ mode: http, timeout: {{ connect: 1s, client: 9s, server: 9s }} \
         }}\nfrontends:\n  web: {{ bind: [{{ address: \"127.0.0.1:<web>\" }}], default_backend: app }}\nbackends:\n  app: {{ \
         servers: {{ a: {{ address: \"{}\", check: false }} }} }}\n",
        a.address()
    );
    let proxy = Proxy::start(&config);
    assert_eq!(proxy.get(&format!("/{}", "p".repeat(99))).status, 200);
    assert_eq!(proxy.get(&format!("/{}", "p".repeat(100))).status, 414);
}

#[test]
fn the_last_hop_of_options_and_trace_is_here() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let said = ask(&proxy, "TRACE / HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 405 ") && said.contains("Allow: GET"), "{said}");
    let said = ask(&proxy, "OPTIONS * HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!(a.received().is_empty());
    ask(&proxy, "TRACE /x HTTP/1.1\r\nHost: x\r\nMax-Forwards: 3\r\nConnection: close\r\n\r\n");
    assert_eq!(a.only_request().header("max-forwards"), Some("2"));
}

#[test]
fn a_response_without_length_fits_every_client() {
    let a = Origin::scripted("a", |_| Reply::raw("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nto the end").then_close());
    let proxy = Site::http().server(&a, "").start();
    // HTTP/1.1: chunks, and the connection goes on.
    let mut client = Client::connect(proxy.address("web"));
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = client.response();
        assert_eq!((response.header("transfer-encoding"), response.text().as_str()), (Some("chunked"), "to the end"));
    }
    // HTTP/1.0: the bytes and the end, whatever it asked for.
    for wish in ["", "Connection: keep-alive\r\n"] {
        let said = ask(&proxy, &format!("GET / HTTP/1.0\r\n{wish}\r\n"));
        assert!(said.ends_with("\r\n\r\nto the end") && !said.contains("chunked"), "{said}");
        assert!(said.contains("Connection: close"), "{said}");
    }
}

#[test]
fn interim_responses_of_all_kinds_pass_in_order() {
    let bytes = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early \
                 Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let a = Origin::scripted("a", move |_| Reply::raw(bytes));
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let told: Vec<(u16, Option<String>)> = (0..4)
        .map(|_| client.response())
        .map(|response| (response.status, response.header("link").map(str::to_owned)))
        .collect();
    let link = |text: &str| Some(text.to_owned());
    assert_eq!(told, [(102, None), (103, link("</a>")), (103, link("</b>")), (204, None)]);
}

#[test]
fn malformed_messages_are_not_let_in_by_an_option() {
    for (option, section) in [
        ("accept-invalid-http-request", "frontend web\n    bind 127.0.0.1:<web>\n"),
        ("accept-unsafe-violations-in-http-request", "frontend web\n    bind 127.0.0.1:<web>\n"),
        ("accept-invalid-http-response", "backend app\n"),
        ("accept-unsafe-violations-in-http-response", "backend app\n"),
    ] {
        let config = format!("defaults\n    mode http\n{section}    option {option}\n");
        let output = crate::harness::check_config(&config, &TempDir::new(), &[] as &[&str]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains("two readers could take it for two"), "{option}: {said}");
    }
}

#[test]
fn statuses_beyond_the_rfc_pass_as_with_haproxy() {
    let answer = |target: &str| format!("HTTP/1.1 {} Odd\r\nContent-Length: 2\r\n\r\nok", &target[1..]);
    let a = Origin::scripted("a", move |request| Reply::raw(answer(&request.target)));
    let site = Site::http().server(&a, "");
    let (haproxy, proxy) = (Haproxy::start(&site.text()), site.start());
    for (status, ours) in [("600", None), ("999", None), ("1000", Some("502")), ("099", Some("502"))] {
        let answered = [haproxy.address("web"), proxy.address("web")].map(|address| {
            let mut client = Client::connect(address);
            client.send(format!("GET /{status} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            client.rest_as_text().split(' ').nth(1).unwrap_or_default().to_owned()
        });
        // A status has three digits, and none is below 100 (RFC 9110 §15): HAProxy does not look.
        assert_eq!(answered, [status, ours.unwrap_or(status)]);
    }
    let logged = proxy.wait_for("/600 ");
    assert!(logged.contains(" 600 ") && logged.contains(" ---- "), "{logged}");
    let others = crate::admin::stat(&proxy, "app", "a", "hrsp_other");
    assert_eq!(others, "2");
    let said = curl(&["--http2-prior-knowledge", "-w", "%{http_code}", &proxy.url("http", "web", "/999")]);
    assert_eq!(said, "ok999");
}
