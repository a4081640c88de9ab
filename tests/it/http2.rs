//! HTTP/2 on TLS frontends, chosen by ALPN, to HTTP/1 servers.

use crate::harness::{Client, Origin, Proxy, Reply, Site, TempDir, certificate, curl, tool_output};

fn start(site: Site) -> Proxy {
    let dir = TempDir::new();
    dir.write("site.pem", certificate(&["localhost"]).combined());
    Proxy::start_in(&site.bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem alpn h2,http/1.1").text(), dir)
}

#[test]
fn curl_speaks_http2_and_the_server_sees_http1() {
    let a = Origin::scripted("a", |_| Reply::with_headers(200, "X-Origin: a\r\nConnection: keep-alive\r\n", "hello"));
    let proxy = start(Site::http().frontend("option forwardfor").server(&a, ""));
    let said = curl(&["-k", "--http2", "-i", "-H", "X-Custom: 1", &proxy.url("https", "web", "/path?q=1")]);
    assert!(said.starts_with("HTTP/2 200"), "{said}");
    assert!(said.contains("x-origin: a") && said.ends_with("hello"), "{said}");
    assert!(!said.to_ascii_lowercase().contains("connection:"), "{said}");
    let request = a.only_request();
    assert_eq!((request.target.as_str(), request.header("x-custom")), ("/path?q=1", Some("1")));
    assert_eq!(request.header("host"), Some(proxy.address("web").to_string().as_str()));
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    // With scheme and authority, as HAProxy logs HTTP/2.
    proxy.wait_for(&format!("\"GET https://{}/path?q=1 HTTP/2.0\"", proxy.address("web")));
}

#[test]
fn interim_responses_reach_the_client_before_the_answer() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let a = Origin::scripted("a", move |request| match request.target.as_str() {
        "/hints" => Reply::raw(format!("{hints}{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
        _ => Reply::text(200, &String::from_utf8_lossy(&request.body)),
    });
    let proxy = start(Site::http().server(&a, ""));
    let said = curl(&["-k", "--http2", "-i", &proxy.url("https", "web", "/hints")]).replace("\r\n", "\n");
    let hint = "HTTP/2 103 \nlink: </a.css>\n\n";
    assert_eq!(said, format!("{hint}{hint}HTTP/2 200 \ncontent-length: 2\n\nok"));

    // The server of this test says 100 when it is asked to, and only then is the body sent.
    let expecting = ["-k", "--http2", "-i", "-H", "Expect: 100-continue", "-d", "body"];
    let said = curl(&[&expecting[..], &[&proxy.url("https", "web", "/")]].concat());
    assert!(said.starts_with("HTTP/2 100") && said.ends_with("body"), "{said}");
}

#[test]
fn bodies_stream_both_ways() {
    let a = Origin::scripted("a", |request| Reply::text(200, &"y".repeat(request.body.len())));
    let proxy = start(Site::http().server(&a, ""));
    let file = proxy.file("upload");
    std::fs::write(&file, vec![b'u'; 2_000_000]).unwrap();
    let data = format!("@{}", file.display());
    let answer = curl(&["-k", "--http2", "--data-binary", &data, &proxy.url("https", "web", "/")]);
    assert_eq!(answer.len(), 2_000_000);
    assert_eq!(a.only_request().body.len(), 2_000_000);
}

#[test]
fn many_streams_share_one_connection() {
    let a = Origin::scripted("a", |request| Reply::text(200, &request.target));
    let proxy = start(Site::http().server(&a, ""));
    let said = tool_output("h2load", &["-n200", "-c1", "-m20", &proxy.url("https", "web", "/x")], b"");
    assert!(said.contains("200 succeeded"), "{said}");
    assert_eq!(a.received().len(), 200);
}

#[test]
fn head_and_errors_of_the_proxy_work_too() {
    let a = Origin::scripted("a", |_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"));
    let proxy = start(Site::http().frontend("http-request deny if { path /no }").server(&a, ""));
    let head = curl(&["-k", "--http2", "-I", &proxy.url("https", "web", "/")]);
    assert!(head.contains("content-length: 7"), "{head}");
    let denied = curl(&[
        "-k",
        "--http2",
        "-o",
        "/dev/null",
        "-w",
        "%{http_version} %{http_code}",
        &proxy.url("https", "web", "/no"),
    ]);
    assert_eq!(denied, "2 403");
}

#[test]
fn clients_without_http2_get_http1() {
    let a = Origin::named("a");
    let proxy = start(Site::http().server(&a, ""));
    let version = ["-k", "-o", "/dev/null", "-w", "%{http_version}"];
    assert_eq!(curl(&[&version[..], &["--http1.1", &proxy.url("https", "web", "/")]].concat()), "1.1");
    assert_eq!(curl(&[&version[..], &["--http2", &proxy.url("https", "web", "/")]].concat()), "2");
}

#[test]
fn an_answer_before_the_end_of_an_upload_reaches_curl() {
    let a = Origin::named("a");
    let proxy = start(Site::http().frontend("http-request deny").server(&a, ""));
    let file = proxy.file("upload");
    std::fs::write(&file, vec![b'u'; 20_000_000]).unwrap();
    let said = curl(&["-k", "--http2", "-i", "-T", &file.display().to_string(), &proxy.url("https", "web", "/")]);
    assert!(said.starts_with("HTTP/2 403"), "{said}");
}

#[test]
fn a_client_that_breaks_the_protocol_is_logged() {
    let proxy = start(Site::http().frontend("option dontlognull"));
    let address = proxy.address("web").to_string();
    tool_output("openssl", &["s_client", "-connect", &address, "-alpn", "h2", "-quiet"], b"GET / HTTP/1.1\r\n\r\n PRI");
    let line = proxy.wait_for("<BADREQ>");
    assert!(line.contains(" PR-- "), "{line}");
}

/// A request's frame with this header block.
fn head(stream: u8, block: &[u8]) -> Vec<u8> {
    let len = (block.len() as u32).to_be_bytes();
    [&len[1..], &[1, 5, 0, 0, 0, stream], block].concat()
}

const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What is logged of a request with these fields besides `:scheme http`, and of one behind it on the same connection.
#[track_caller]
fn logged(fields: &[u8], expected: &str) {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(BEGIN).send(head(1, &[&[0x86], fields].concat()));
    client.send(head(3, b"\x82\x86\x04\x07/behind\x41\x01a"));
    proxy.wait_for("/behind HTTP/2.0");
    proxy.wait_for(expected);
}

#[test]
fn requests_are_logged_with_the_host_their_client_named_and_bad_ones_as_such() {
    logged(b"\x82\x84\x41\x01h", " 200 ");
    logged(b"\x82\x84\x41\x01h", "\"GET http://h/ HTTP/2.0\"");
    logged(b"\x82\x84\x00\x04host\x02zz", "\"GET / HTTP/2.0\"");
    logged(b"\x02\x07OPTIONS\x04\x01*\x41\x01h", "\"OPTIONS http://h HTTP/2.0\"");
    // Refused by the library: nobody else sees them.
    let refused = "web/<NOSRV> -1/-1/-1/-1/0 0 0 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"";
    logged(b"\x82\x84\x41\x01h\x00\x0aconnection\x05close", refused);
    logged(b"\x82\x41\x01h", refused);
    let large = [b"\x82\x84\x41\x01h\x00\x01x\x7f\x81\x7a", &[b'y'; 127 + 0x3d01][..]].concat();
    logged(&large, "web/<NOSRV> -1/-1/-1/-1/0 431 0 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"");
}

#[test]
fn a_bad_request_that_comes_in_pieces_is_logged() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    let bad = head(3, b"\x82\x86\x84\x41\x01a\x00\x0aconnection\x05close");
    let (first, rest) = bad.split_at(20);
    client.send([BEGIN, &head(1, b"\x82\x86\x04\x07/before\x41\x01a"), first].concat());
    proxy.wait_for("/before HTTP/2.0");
    client.send(rest);
    proxy.wait_for("<BADREQ>");
}

#[test]
fn a_client_that_says_goodbye_over_an_error_has_sent_no_bad_request() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    let goodbye = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
    client.send([BEGIN, &head(1, b"\x82\x86\x84\x41\x01a"), &goodbye].concat());
    client.rest().expect("the connection ends behind the answer");
    proxy.get("/behind");
    proxy.wait_for("/behind");
    let said = proxy.said();
    assert!(said.contains("GET http://a/ HTTP/2.0") && !said.contains("<BADREQ>"), "{said}");
}
