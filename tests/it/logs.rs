//! Log lines as HAProxy writes them: the same traffic through both, the lines held against each other.

use regex::Regex;

use crate::harness::{Client, Haproxy, Origin, Proxy, Reply, Site, certificate};

/// What differs between two runs of the same thing: ports, dates, times, counts of connections. And the size of a
/// response, which HAProxy counts in its own representation.
fn masked(line: &str) -> String {
    let mut line = line.trim_end().to_owned();
    for (pattern, with) in [
        (r"^\S+ ", "CLIENT "),
        (r"\[[^\]]+\]", "[DATE]"),
        (r" (-?\d+(?:/[-+]?\d+){1,4}) ", " TIMES "),
        (r" \d+/\d+/\d+/\d+/(\+?\d+) ", " N/N/N/N/$1 "),
        (r" TIMES (\d+|-1) \d+ ", " TIMES $1 SIZE "),
    ] {
        line = Regex::new(pattern).unwrap().replace(&line, with).into_owned();
    }
    line
}

/// The same bytes through both; the masked log lines must be equal.
#[track_caller]
fn check_same(site: &Site, request: &str, line_with: &str) {
    let haproxy = Haproxy::start(&site.text());
    let proxy = site.start();
    for mut client in [haproxy.client(), Client::connect(proxy.address("web"))] {
        client.send(request);
        let _ = client.rest();
    }
    let theirs = masked(&haproxy.wait_for(line_with));
    let ours = masked(&proxy.wait_for(line_with));
    assert_eq!(ours, theirs);
}

fn origin() -> Origin {
    Origin::scripted("a", |request| match request.target.as_str() {
        "/missing" => Reply::text(404, "missing"),
        _ => Reply::with_headers(200, "X-Reply: r1\r\n", "hello"),
    })
}

#[test]
fn http_lines_are_haproxys() {
    let a = origin();
    let site = Site::http().server(&a, "");
    check_same(&site, "GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/plain");
    check_same(&site, "GET /missing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/missing");
    check_same(&site, "GET /old HTTP/1.0\r\n\r\n", "/old");
    check_same(&site, "GET /quo\"te\\ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/quo");
}

#[test]
fn captures_are_haproxys() {
    let a = origin();
    let site = Site::http()
        .frontend("capture request header Host len 10")
        .frontend("capture request header User-Agent len 4")
        .frontend("capture request header X-None len 4")
        .frontend("capture response header X-Reply len 10")
        .server(&a, "");
    check_same(
        &site,
        "GET /c HTTP/1.1\r\nHost: a.very.long.example\r\nUser-Agent: curl|{}\"\r\nConnection: close\r\n\r\n",
        "/c",
    );
}

#[test]
fn refusals_are_haproxys() {
    let site = Site::http()
        .frontend("http-request deny if { path /no }")
        .frontend("http-request redirect location / if { path /go }")
        // Nothing to capture in an answer of the proxy's own; the braces stand all the same.
        .frontend("capture response header Server len 10")
        .frontend("capture response header Location len 10");
    check_same(&site, "GET /no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/no");
    check_same(&site, "GET /go HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/go");
    check_same(&site, "GET /nobody HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "/nobody");
}

#[test]
fn tcp_lines_are_haproxys() {
    let a = origin();
    let site = Site::tcp().server(&a, "");
    check_same(&site, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " web app/a ");
    check_same(&Site::tcp(), "", "app/<NOSRV>");
}

#[test]
fn json_lines_hold_the_same_facts() {
    let a = origin();
    let proxy = Proxy::start(&format!(
        "global:
  log:
    - to: stdout
      format: raw
defaults:
  mode: http
  log_global: true
  log_format: json
  timeout:
    connect: 1s
    client: 5s
    server: 5s
    http_request: 5s
frontends:
  web:
    bind:
      - address: 127.0.0.1:<web>
    default_backend: app
backends:
  app:
    servers:
      a:
        address: {}
",
        a.address()
    ));
    proxy.get("/json\"path");
    let line = proxy.wait_for("/json");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = value.to_string();
    for fact in ["web", "app", "/json", "200"] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
}

#[test]
fn syslog_lines_go_over_udp() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    let a = origin();
    let proxy = Site::http().global(&format!("log {} local3", socket.local_addr().unwrap())).server(&a, "").start();
    proxy.get("/syslog");
    let framed = Regex::new(r"^<158>\w{3} [ \d]\d [\d:]{8} lockgate\[\d+\]: ").unwrap();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).expect("a datagram");
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if line.contains("/syslog") {
            // local3 (19) and info (6).
            assert!(line.starts_with("<158>"), "{line}");
            // No host name unless `log-send-hostname` asks for it: the date, then the tag.
            assert!(framed.is_match(&line), "{line}");
            return;
        }
    }
}

#[test]
fn a_proxys_lines_carry_its_own_tag() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    let a = origin();
    let site = Site::http().global(&format!("log {} local3", socket.local_addr().unwrap())).global("log-tag gate");
    let site = site.frontend("log-tag shop").backend("log-tag stock").backend("option httpchk GET /health");
    let proxy = site.server(&a, "check inter 100ms rise 1 fall 1").start();
    proxy.get("/tagged");
    a.answer_checks(503);
    let tagged = Regex::new(r"^<\d+>\w{3} [ \d]\d [\d:]{8} (\w+)\[\d+\]: (.*)").unwrap();
    let (mut request, mut server) = (None, None);
    let mut buffer = [0; 4096];
    while request.is_none() || server.is_none() {
        let length = socket.recv(&mut buffer).expect("a datagram");
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let Some(found) = tagged.captures(&line) else { panic!("{line}") };
        if found[2].contains("/tagged") {
            request = Some(found[1].to_owned());
        } else if found[2].contains("is DOWN") {
            server = Some(found[1].to_owned());
        }
    }
    assert_eq!((request.as_deref(), server.as_deref()), (Some("shop"), Some("stock")));
}

#[test]
fn a_target_that_takes_nothing_is_told_at_the_start_and_at_reloads() {
    let site = Site::http().global("log /nonexistent/log local0");
    let proxy = site.start();
    let told = "log target /nonexistent/log: No such file or directory";
    proxy.wait_for(told);
    proxy.reload();
    proxy.wait_for(told);
}

#[test]
fn a_log_file_that_was_moved_away_is_written_anew() {
    let dir = crate::harness::TempDir::new();
    let a = origin();
    let text = format!(
        "global:
  log:
    - to: file:<dir>/access.log
      format: raw
defaults:
  mode: http
  log_global: true
  log_format: http
  timeout:
    connect: 1s
    client: 5s
    server: 5s
    http_request: 5s
frontends:
  web:
    bind:
      - address: 127.0.0.1:<web>
    default_backend: app
backends:
  app:
    servers:
      a:
        address: {}
",
        a.address()
    );
    let proxy = Proxy::start_in(&text, dir);
    let log = proxy.file("access.log");
    let holds = |path: &str| {
        crate::harness::eventually(path, || std::fs::read_to_string(&log).ok().filter(|text| text.contains(path)))
    };
    proxy.get("/before");
    holds("/before");
    std::fs::rename(&log, proxy.file("access.log.1")).unwrap();
    crate::harness::eventually("the file is there again", || {
        proxy.get("/after");
        std::fs::read_to_string(&log).ok().filter(|text| text.contains("/after"))
    });
}

#[test]
fn tls_clients_are_marked() {
    let dir = crate::harness::TempDir::new();
    dir.write("site.pem", certificate(&["localhost"]).combined());
    let a = origin();
    let proxy =
        Proxy::start_in(&Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem").server(&a, "").text(), dir);
    crate::harness::curl(&["-k", &proxy.url("https", "web", "/tls")]);
    let line = proxy.wait_for("/tls");
    assert!(line.contains(" web~ app/a "), "{line}");
}
