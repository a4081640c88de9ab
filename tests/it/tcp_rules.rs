//! Who is let in, and where to, before anybody speaks the connection's protocol: `tcp-request` rules and routing by the
//! name a TLS client asks for.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};

use crate::admin::stat;
use crate::harness::{
    Client, Origin, Proxy, Site, TempDir, certificate, check_config, eventually, run_tool, tool_output,
};

/// A TLS server with a certificate for this name.
fn tls_server(name: &str) -> Proxy {
    let dir = TempDir::new();
    dir.write("server.pem", certificate(&[name]).combined());
    let answer = format!("http-request return status 200 content-type text/plain string {name}");
    let site = Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/server.pem").frontend(&answer);
    Proxy::start_in(&site.text(), dir)
}

/// Sends back what it gets, behind its name, for as long as it runs.
pub fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes);
                let _ = stream.write_all(&[name.as_bytes(), b":", &bytes].concat());
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

const SNI: [&str; 4] = [
    "tcp-request inspect-delay 10s",
    "tcp-request content accept if { req.ssl_hello_type 1 }",
    "use_backend one if { req.ssl_sni -i one.example }",
    "use_backend two if { req.ssl_sni -m end .two.example }",
];

fn sni_site(one: SocketAddr, two: SocketAddr, other: SocketAddr) -> Site {
    let site = SNI.iter().fold(Site::tcp(), |site, line| site.frontend(line));
    site.backend(&format!("server other {other}"))
        .section(&format!("backend one\n    server s {one}\n"))
        .section(&format!("backend two\n    server s {two}\n"))
}

/// The subject of the certificate somebody shows to a client that asks for `name`.
fn shown(proxy: &Proxy, name: &str) -> String {
    let address = proxy.address("web").to_string();
    let asked = ["s_client", "-connect", &address, "-servername", name, "-ign_eof"];
    let said = tool_output("openssl", &asked, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answered = said.contains("HTTP/1.1 200");
    let subject = said.lines().find(|line| line.starts_with("subject=")).unwrap_or("nobody").to_owned();
    format!("{} {answered}", subject.replace(' ', ""))
}

#[test]
fn tls_goes_to_the_server_of_the_name_it_asks_for() {
    let (one, two) = (tls_server("one.example"), tls_server("www.two.example"));
    let proxy = sni_site(one.address("web"), two.address("web"), echo("other")).start();
    assert_eq!(shown(&proxy, "one.example"), "subject=CN=one.example true");
    assert_eq!(shown(&proxy, "ONE.example"), "subject=CN=one.example true");
    assert_eq!(shown(&proxy, "www.two.example"), "subject=CN=www.two.example true");
    proxy.wait_for(" web one/s ");
    proxy.wait_for(" web two/s ");

    // Another name, and no TLS at all: the default, with every byte.
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.0\r\n\r\n").finish_sending();
    assert_eq!(client.rest_as_text(), "other:GET / HTTP/1.0\r\n\r\n");
    proxy.wait_for(" web app/other ");
    let hello = hello("three.example");
    let mut client = Client::connect(proxy.address("web"));
    client.send(&hello).finish_sending();
    assert_eq!(client.rest().unwrap(), [b"other:", &hello[..]].concat());
}

/// A ClientHello of openssl for this name, as bytes.
fn hello(name: &str) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let name = name.to_owned();
    let client = std::thread::spawn(move || {
        tool_output("openssl", &["s_client", "-connect", &address, "-servername", &name], b"");
    });
    let mut stream = listener.accept().unwrap().0;
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut body).unwrap();
    drop(stream);
    client.join().unwrap();
    [&header[..], &body].concat()
}

#[test]
fn a_hello_in_pieces_is_put_together_and_passed_on_unchanged() {
    let proxy = sni_site(echo("one"), echo("two"), echo("other")).start();
    let hello = hello("one.example");
    let mut client = Client::connect(proxy.address("web"));
    for piece in hello.chunks(40) {
        client.send(piece);
    }
    client.finish_sending();
    assert_eq!(client.rest().unwrap(), [b"one:", &hello[..]].concat());

    // Two records, cut within the message.
    let records: Vec<u8> = hello[5..]
        .chunks(100)
        .flat_map(|part| [&[22, 3, 1, 0, u8::try_from(part.len()).unwrap()][..], part].concat())
        .collect();
    let mut client = Client::connect(proxy.address("web"));
    client.send(&records).finish_sending();
    assert_eq!(client.rest().unwrap(), [b"one:", &records[..]].concat());
}

#[test]
fn a_client_that_says_nothing_gets_the_default_when_the_wait_is_over() {
    let site = Site::tcp()
        .frontend("tcp-request inspect-delay 100ms")
        .frontend("tcp-request content accept if { req.ssl_hello_type 1 }");
    let proxy = site.backend(&format!("server other {}", echo("other"))).start();
    let mut client = Client::connect(proxy.address("web"));
    // The server is reached although nothing was said: it may be the one to speak first.
    eventually("a session", || (stat(&proxy, "app", "other", "scur") == "1").then_some(()));
    client.finish_sending();
    assert_eq!(client.rest_as_text(), "other:");
    proxy.wait_for(" web app/other ");
}

#[test]
fn refused_content_is_closed_and_logged() {
    let site = Site::tcp()
        .frontend("tcp-request inspect-delay 10s")
        .frontend("tcp-request content reject if { req.payload(0,4) 5353482d }")
        .frontend("tcp-request content reject if !HTTP { req.len gt 8 }");
    let proxy = site.backend(&format!("server other {}", echo("other"))).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("SSH-2.0-OpenSSH");
    assert!(client.is_closed());
    let line = proxy.wait_for(" web web/<NOSRV> ");
    assert!(line.contains(" -1/-1/") && line.contains(" 0 PR "), "{line}");
    let mut client = Client::connect(proxy.address("web"));
    client.send("EHLO mail.example\r\n");
    assert!(client.is_closed());
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.0\r\n\r\n").finish_sending();
    assert_eq!(client.rest_as_text(), "other:GET / HTTP/1.0\r\n\r\n");
    let counted = ["stot", "dreq", "ereq"].map(|column| stat(&proxy, "web", "FRONTEND", column));
    assert_eq!(counted, ["3", "2", "0"]);
}

#[test]
fn a_client_that_falls_silent_or_leaves_while_it_is_waited_for() {
    let site = Site::tcp()
        .defaults("timeout client 150ms")
        .frontend("tcp-request inspect-delay 10s")
        .frontend("tcp-request content accept if { req.ssl_hello_type 1 }");
    let proxy = site.backend(&format!("server other {}", echo("other"))).start();
    assert!(Client::connect(proxy.address("web")).is_closed());
    let line = proxy.wait_for(" web app/<NOSRV> ");
    assert!(line.contains(" 0 cR "), "{line}");
    let mut client = Client::connect(proxy.address("web"));
    client.send(b"\x16\x03\x01");
    client.break_off();
    let line = proxy.wait_for_nth(" web app/<NOSRV> ", 2);
    assert!(line.contains(" CR ") || line.contains(" cR "), "{line}");
}

#[test]
fn connections_and_sessions_are_refused_without_a_word() {
    let a = Origin::named("a");
    for (rule, stot, dcon, dses) in [
        ("tcp-request connection reject if { src 127.0.0.1 }", "0", "1", "0"),
        ("tcp-request session reject if { src 127.0.0.1 }", "0", "0", "1"),
    ] {
        for site in [Site::tcp(), Site::http()] {
            let proxy = site.frontend(rule).server(&a, "").start();
            let mut client = Client::connect(proxy.address("web"));
            let _ = client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(client.is_closed());
            let counted = ["dcon", "dses", "stot"].map(|column| stat(&proxy, "web", "FRONTEND", column));
            assert_eq!(counted, [dcon, dses, stot], "{rule}");
            assert!(!proxy.said().contains(" web "), "{}", proxy.said());
        }
    }
    assert_eq!(a.received().len(), 0);
}

#[test]
fn a_rule_may_expect_a_proxy_header_and_another_judge_by_it() {
    let site = Site::tcp()
        .frontend("tcp-request connection expect-proxy layer4 if { src 127.0.0.1 }")
        .frontend("tcp-request session reject if { src 192.0.2.1 }");
    let proxy = site.backend(&format!("server other {}", echo("other"))).start();
    let ask = |source: &str| {
        let mut client = Client::connect(proxy.address("web"));
        client.send(format!("PROXY TCP4 {source} 192.0.2.9 1234 80\r\n"));
        let _ = client.try_send("hello");
        client.finish_sending();
        client.rest().map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default()
    };
    assert_eq!(ask("192.0.2.1"), "");
    assert_eq!(ask("192.0.2.2"), "other:hello");
    let line = proxy.wait_for(" web app/other ");
    assert!(line.starts_with("192.0.2.2:1234 "), "{line}");
}

#[test]
fn in_http_content_rules_see_the_request() {
    let a = Origin::named("a");
    let proxy = Site::http().frontend("tcp-request content reject if { path_beg /no }").server(&a, "").start();
    assert_eq!(proxy.get("/yes").text(), "a");
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /no HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.is_closed());
    let line = proxy.wait_for(" web/<NOSRV> ");
    assert!(line.contains(" -1 0 - - PR-- "), "{line}");
    assert_eq!(a.only_request().target, "/yes");
}

#[test]
fn over_http2_a_refused_request_ends_without_an_answer_and_the_next_is_served() {
    let dir = TempDir::new();
    dir.write("site.pem", certificate(&["site.example"]).combined());
    let a = Origin::named("a");
    let site = Site::http()
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem alpn h2")
        .frontend("tcp-request content reject if { path /no }")
        .server(&a, "");
    let proxy = Proxy::start_in(&site.text(), dir);
    let (no, yes) = (proxy.url("https", "web", "/no"), proxy.url("https", "web", "/yes"));
    let output = run_tool("curl", &["-sk", "--http2", "--max-time", "20", &no, "--next", "-sk", "--http2", &yes], b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a");
    assert_eq!(a.only_request().target, "/yes");
}

#[test]
fn looking_for_a_hello_behind_tls_that_ends_here_is_warned_of() {
    let told = |bind: &str| {
        let dir = TempDir::new();
        dir.write("site.pem", certificate(&["site.example"]).combined());
        let site = SNI.iter().fold(Site::tcp().bind(bind), |site, line| site.frontend(line));
        let text = site.section("backend one\nbackend two").text();
        let output = check_config(&text, &dir, &[""; 0]);
        String::from_utf8_lossy(&output.stderr).contains("[hello-behind-tls]")
    };
    assert!(told("bind 127.0.0.1:<web> ssl crt <dir>/site.pem"));
    assert!(!told("bind 127.0.0.1:<web>"));
}

#[test]
fn rules_of_named_defaults_come_first_and_those_of_a_backend_when_it_is_chosen() {
    let proxy = Proxy::start(&format!(
        "global\n    log stdout format raw local0\n    stats socket <dir>/admin.sock level admin\n\
         defaults base\n    mode tcp\n    log global\n    option tcplog\n    timeout connect 2s\n    timeout client 10s\n    \
         timeout server 10s\n    tcp-request inspect-delay 10s\n    tcp-request content reject if {{ req.len lt 3 }} WAIT_END\n\
         listen web from base\n    bind 127.0.0.1:<web>\n    tcp-request content accept if {{ req.len gt 0 }}\n    \
         server s {0}\n\
         frontend other from base\n    bind 127.0.0.1:<other>\n    default_backend judging\n\
         backend judging\n    mode tcp\n    timeout connect 2s\n    timeout server 10s\n    tcp-request inspect-delay 10s\n    \
         tcp-request content reject unless {{ req.payload(0,3) -m str yes }}\n    server s {0}\n",
        echo("e")
    ));
    let ask = |port: &str, text: &str| {
        let mut client = Client::connect(proxy.address(port));
        client.send(text).finish_sending();
        client.rest_as_text()
    };
    assert_eq!(ask("web", "long enough"), "e:long enough");
    assert_eq!(ask("web", "ab"), "", "refused by the rule of the defaults, which stands first");
    assert_eq!(ask("other", "yes please"), "e:yes please");
    assert_eq!(ask("other", "no thanks"), "");
    let line = proxy.wait_for(" other judging/<NOSRV> ");
    assert!(line.contains(" PR "), "{line}");
    let refused = ["other", "judging"].map(|name| {
        let row = if name == "other" { "FRONTEND" } else { "BACKEND" };
        stat(&proxy, name, row, "dreq")
    });
    assert_eq!(refused, ["1", "0"], "counted where the client came in");
}
