//! TLS with real peers: openssl and curl in front, TLS servers behind.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::stat;
use crate::harness::{
    Authority, Client, DEADLINE, Haproxy, Instance, Key, Origin, Proxy, Reply, Site, TempDir, certificate,
    certificate_valid, check_config, curl, tool_output,
};

/// A directory with two certificates, and a proxy that serves them.
fn site_with_names() -> (Site, TempDir) {
    let dir = TempDir::new();
    dir.write("certs/a-default.pem", certificate(&["default.example"]).combined());
    dir.write("certs/b-wild.pem", certificate(&["*.wild.example", "exact.example"]).combined());
    (Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/certs/ alpn h2,http/1.1"), dir)
}

/// What `openssl s_client` says about a handshake.
fn handshake(proxy: &Proxy, arguments: &[&str]) -> String {
    let address = proxy.address("web").to_string();
    tool_output("openssl", &[&["s_client", "-connect", &address], arguments].concat(), b"")
}

#[test]
fn the_certificate_follows_the_name_asked_for() {
    let a = Origin::named("a");
    let (site, dir) = site_with_names();
    let proxy = Proxy::start_in(&site.server(&a, "").text(), dir);
    for (asked, subject) in [
        ("default.example", "default.example"),
        ("www.wild.example", "*.wild.example"),
        ("WWW.Wild.Example", "*.wild.example"),
        ("exact.example", "*.wild.example"),
        ("two.levels.wild.example", "default.example"),
        ("unknown.example", "default.example"),
    ] {
        let said = handshake(&proxy, &["-servername", asked]);
        assert!(
            said.contains(&format!("CN = {subject}")) || said.contains(&format!("CN={subject}")),
            "{asked}: {said}"
        );
    }
    let said = handshake(&proxy, &["-noservername"]);
    assert!(said.contains("default.example"), "{said}");
}

#[test]
fn strict_sni_refuses_unknown_names() {
    let (site, dir) = site_with_names();
    let site = site.bind("bind 127.0.0.1:<web> ssl crt <dir>/certs strict-sni");
    let proxy = Proxy::start_in(&site.text(), dir);
    assert!(handshake(&proxy, &["-servername", "exact.example"]).contains("wild.example"));
    assert!(handshake(&proxy, &["-servername", "unknown.example"]).contains("alert"));
    proxy.wait_for("SSL handshake failure: no certificate for the name the client asked for");
    assert!(handshake(&proxy, &["-noservername"]).contains("alert"));
    proxy.wait_for("SSL handshake failure: the client asked for no name, and there is no certificate for that");
}

#[test]
fn versions_are_1_2_and_1_3_and_can_be_narrowed() {
    let (site, dir) = site_with_names();
    let proxy = Proxy::start_in(&site.text(), dir);
    assert!(handshake(&proxy, &["-tls1_3"]).contains("TLSv1.3"));
    assert!(handshake(&proxy, &["-tls1_2"]).contains("TLSv1.2"));
    let (site, dir) = site_with_names();
    let only = site.bind("bind 127.0.0.1:<web> ssl crt <dir>/certs ssl-min-ver TLSv1.3");
    let proxy = Proxy::start_in(&only.text(), dir);
    assert!(handshake(&proxy, &["-tls1_2"]).contains("alert"));
    assert!(
        handshake(&proxy, &["-tls1_1"]).contains("alert") || handshake(&proxy, &["-tls1_1"]).contains("no protocols")
    );
}

#[test]
fn a_session_is_resumed_across_connections_in_both_versions() {
    let (site, dir) = site_with_names();
    let proxy = Proxy::start_in(&site.text(), dir);
    for version in ["-tls1_2", "-tls1_3"] {
        let session = proxy.file("session");
        let session = session.to_str().unwrap();
        let address = proxy.address("web").to_string();
        // A 1.3 ticket comes after the handshake: stay until the server has answered.
        let request = b"GET / HTTP/1.1\r\nHost: exact.example\r\nConnection: close\r\n\r\n";
        let common = ["s_client", "-connect", &address, version, "-servername", "exact.example", "-ign_eof"];
        let first = tool_output("openssl", &[&common[..], &["-sess_out", session]].concat(), request);
        assert!(first.contains("New, TLS"), "{first}");
        let second = tool_output("openssl", &[&common[..], &["-sess_in", session]].concat(), request);
        assert!(second.contains("Reused, TLS"), "{version}: {second}");
    }
}

#[test]
fn clients_are_told_apart_in_the_log_and_to_the_server() {
    let a = Origin::named("a");
    let (site, dir) = site_with_names();
    let site = site.frontend("http-request set-header X-Tls yes if { ssl_fc }").server(&a, "");
    let proxy = Proxy::start_in(&site.text(), dir);
    assert_eq!(curl(&["-k", "--http1.1", &proxy.url("https", "web", "/")]), "a");
    assert_eq!(a.only_request().header("x-tls"), Some("yes"));
    proxy.wait_for(" web~ app/a ");
}

#[test]
fn a_client_of_http_1_0_is_served_although_it_offers_that_alone() {
    let a = Origin::named("a");
    let (site, dir) = site_with_names();
    let proxy = Proxy::start_in(&site.server(&a, "").text(), dir);
    let url = proxy.url("https", "web", "/");
    assert_eq!(curl(&["-k", "--http1.0", &url]), "a");
}

#[test]
fn what_comes_to_nothing_is_a_connection_and_no_session() {
    let (site, dir) = site_with_names();
    let proxy = Proxy::start_in(&site.frontend("tcp-request session reject if { ssl_fc_sni no.example }").text(), dir);
    let address = proxy.address("web");
    let mut client = crate::harness::Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let _ = client.rest();
    let mut client = crate::harness::Client::connect(address);
    client.finish_sending();
    let _ = client.rest();
    handshake(&proxy, &["-servername", "no.example"]);
    handshake(&proxy, &["-servername", "exact.example"]);
    let counted = ["conn_tot", "stot", "dses"].map(|column| stat(&proxy, "web", "FRONTEND", column));
    assert_eq!(counted, ["4", "1", "1"]);
    assert!(proxy.admin("show info").contains("\nCumSslConns: 4\n"));
}

#[test]
fn plain_http_to_a_tls_port_is_closed_and_logged() {
    let (site, dir) = site_with_names();
    let proxy = Proxy::start_in(&site.text(), dir);
    let mut client = crate::harness::Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let _ = client.rest();
    let line = proxy.wait_for("SSL handshake failure");
    assert!(line.contains("web"), "{line}");
    // And it is as well as before.
    assert!(handshake(&proxy, &[]).contains("default.example"));
}

#[test]
fn servers_are_reached_over_tls_and_verified_when_asked() {
    let real = certificate(&["app.example"]);
    let other = certificate(&["other.example"]);
    let dir = TempDir::new();
    dir.write("server.pem", real.combined());
    dir.write("right-ca.pem", &real.certificate);
    dir.write("wrong-ca.pem", &other.certificate);
    // The TLS server is another Lockgate in front of a plain origin.
    let a = Origin::named("a");
    let inner_site = Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/server.pem").server(&a, "");
    let inner_dir = TempDir::new();
    inner_dir.write("server.pem", real.combined());
    let inner = Proxy::start_in(&inner_site.text(), inner_dir);
    let address = inner.address("web");
    let site = |options: &str| {
        Site::http().backend("retries 0").backend(&format!("server tls {address} ssl {options}")).text()
    };
    let ask = |options: &str| {
        let dir = TempDir::new();
        dir.write("right-ca.pem", &real.certificate);
        dir.write("wrong-ca.pem", &other.certificate);
        Proxy::start_in(&site(options), dir).get("/").status
    };
    assert_eq!(ask("verify none"), 200);
    assert_eq!(ask("verify required ca-file <dir>/right-ca.pem sni str(app.example)"), 200);
    assert_eq!(ask("verify required ca-file <dir>/right-ca.pem verifyhost app.example"), 200);
    assert_eq!(ask("verify required ca-file <dir>/wrong-ca.pem sni str(app.example)"), 503);
    assert_eq!(ask("verify required ca-file <dir>/right-ca.pem sni str(elsewhere.example)"), 503);
    // Nobody checks it: the log says why, once.
    let dir = TempDir::new();
    dir.write("right-ca.pem", &real.certificate);
    let proxy = Proxy::start_in(&site("ca-file <dir>/right-ca.pem sni str(elsewhere.example)"), dir);
    assert_eq!([proxy.get("/").status, proxy.get("/").status], [503, 503]);
    let why = "server app/tls: SSL handshake failure (certificate not accepted: for another name)";
    let line = proxy.wait_for(&format!("WARN {why}"));
    assert!(!line.contains("SC--"), "{line}");
    // The other line of the pair is the log target's.
    proxy.wait_for_nth(why, 2);
    assert_eq!(proxy.said().matches(why).count(), 2);
}

/// `server … ssl verify required` with these options, and what a request with this `Host`, or none, is answered.
const NAMES: [(&str, Option<&str>, u16); 15] = [
    ("sni str(other.test) verifyhost app.test", Some("app.test"), 503),
    ("sni str(app.test) verifyhost other.test", Some("other.test"), 200),
    ("sni req.hdr(host) verifyhost app.test", Some("app.test"), 200),
    ("sni req.hdr(host) verifyhost app.test", Some("other.test"), 503),
    ("sni req.hdr(host) verifyhost app.test", Some("192.0.2.1"), 503),
    ("sni req.hdr(host) verifyhost app.test", Some(""), 200),
    ("sni req.hdr(host) verifyhost app.test", None, 200),
    ("sni req.hdr(host) verifyhost other.test", Some("app.test"), 200),
    ("sni req.hdr(host) verifyhost other.test", None, 503),
    ("sni ssl_fc_sni verifyhost app.test", Some("other.test"), 200), // over clear text nobody asks for a name
    ("sni ssl_fc_sni verifyhost other.test", Some("app.test"), 503),
    ("sni req.hdr(host)", Some("app.test"), 200),
    ("sni req.hdr(host)", Some("other.test"), 503),
    ("verifyhost app.test", Some("other.test"), 200),
    ("verifyhost other.test", Some("app.test"), 503),
];

#[test]
fn haproxy_holds_a_server_s_certificate_against_the_same_names() {
    let authority = Authority::new("Authority");
    let dir = TempDir::new();
    dir.write("server.pem", std::fs::read(authority.sign("server", "app.test", Key::Ec)).unwrap());
    let inner = Site::http()
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/server.pem")
        .frontend("http-request return status 200 content-type text/plain lf-string \"%[ssl_fc_sni]\"");
    let inner = Proxy::start_in(&inner.text(), dir);
    let trusted = authority.path("ca.pem");
    let mut site = Site::http().defaults("retries 0");
    for (number, (options, ..)) in NAMES.iter().enumerate() {
        site = site.section(&format!(
            "listen names{number}\n    bind 127.0.0.1:<names{number}>\n    server tls {} ssl verify required ca-file {} {options}",
            inner.address("web"),
            trusted.display()
        ));
    }
    let (ours, theirs) = (Proxy::start(&site.text()), Haproxy::start(&site.text()));
    for (number, (options, host, expected)) in NAMES.into_iter().enumerate() {
        let ask = |instance: &Instance| {
            let mut client = Client::connect(instance.address(&format!("names{number}")));
            let host = host.map(|host| format!("Host: {host}\r\n")).unwrap_or_default();
            client.send(format!("GET / HTTP/1.0\r\n{host}\r\n"));
            client.response().status
        };
        assert_eq!([ask(&ours), ask(&theirs)], [expected; 2], "{options}, Host {host:?}");
    }
}

#[test]
fn check_points_out_servers_whose_name_nobody_verifies() {
    let authority = Authority::new("Authority");
    let trusted = authority.path("ca.pem");
    let told = |options: &str| {
        let site = Site::http().backend(&format!("server s 127.0.0.1:443 ssl {options}")).text();
        let site = site.replace("<ca>", &trusted.display().to_string());
        let told = check_config(&site, &TempDir::new(), &[""; 0]);
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        told.lines().find(|line| line.contains("[server-name-not-verified]")).map(|line| {
            let (_, told) = line.split_once(": ").unwrap();
            told.to_owned()
        })
    };
    let anyone = "`s` may be anyone who has a certificate: whatever name that is for, it is accepted";
    let known = "`s` may be anyone with a certificate of its `ca-file`'s authorities: whatever name that is for, it is \
                 accepted";
    let code = "[server-name-not-verified]";
    assert_eq!(told(""), Some(format!("warning: {anyone} {code}")));
    assert_eq!(told("verify required ca-file @system-ca"), Some(format!("warning: {anyone} {code}")));
    assert_eq!(told("ca-file <ca>"), Some(format!("note: {known} {code}")));
    for fine in ["verify none", "verifyhost a.test", "sni str(a.test)", "ca-file <ca> sni req.hdr(host)"] {
        assert_eq!(told(fine), None, "{fine}");
    }
}

#[test]
fn checks_of_tls_servers_use_tls() {
    let dir = TempDir::new();
    dir.write("server.pem", certificate(&["app.example"]).combined());
    let a = Origin::named("a");
    let inner =
        Proxy::start_in(&Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/server.pem").server(&a, "").text(), dir);
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP\r\n");
        }
    });
    let proxy = Site::http()
        .backend("option httpchk GET /health")
        .backend(&format!("server good {} check inter 200ms ssl verify none", inner.address("web")))
        .backend(&format!("server bad {address} check inter 200ms rise 1 fall 1 ssl verify none"))
        .start();
    let line = proxy.wait_for("Server app/bad is DOWN");
    assert!(line.contains("Layer6 invalid response"), "{line}");
    assert_eq!(proxy.get("/").text(), "a");
}

#[test]
fn check_tells_what_is_wrong_with_a_certificate() {
    let good = certificate(&["a.example"]);
    let other = certificate(&["b.example"]);
    let site = Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/x.pem").text();
    let told = |pem: String, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new();
        let path = dir.write("x.pem", pem);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = check_config(&site, &dir, &[""; 0]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (what, pem, mode, code, words) in [
        ("key first", good.key.clone() + &good.certificate, 0o600, 0, ""),
        ("no key", good.certificate.clone(), 0o600, 1, "key"),
        ("no certificate", good.key.clone(), 0o600, 1, "certificate"),
        ("another's key", good.certificate.clone() + &other.key, 0o600, 1, "fit"),
        ("garbage", "hello".to_owned(), 0o600, 1, "x.pem"),
        ("expired", certificate_valid(&["a.example"], 2001, 2002).combined(), 0o600, 0, "expired"),
        ("readable by all", good.combined(), 0o644, 0, "0644"),
    ] {
        let (status, said) = told(pem, mode);
        assert_eq!(status, Some(code), "{what}: {said}");
        assert!(said.contains(words), "{what}: {said}");
    }
}

/// Sends a request, ends its side without TLS's goodbye, and reads what comes.
fn ask_and_end_rudely(address: SocketAddr, certificate: &str) -> String {
    let mut roots = rustls::RootCertStore::empty();
    for root in rustls_pemfile::certs(&mut certificate.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), "site.example".try_into().unwrap()).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n").unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    String::from_utf8(said).unwrap()
}

#[test]
fn a_client_that_ends_without_tlss_goodbye_still_gets_its_answer() {
    for site in [Site::http(), Site::tcp()] {
        let a = Origin::scripted("a", |_| {
            std::thread::sleep(Duration::from_millis(100)); // the client's end is to come first
            Reply::text(200, "a")
        });
        let certificate = certificate(&["site.example"]);
        let dir = TempDir::new();
        dir.write("site.pem", certificate.combined());
        let site = site.bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem").server(&a, "");
        let proxy = Proxy::start_in(&site.text(), dir);
        let said = ask_and_end_rudely(proxy.address("web"), &certificate.combined());
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("\r\n\r\na"), "{said}");
        proxy.wait_for(" --");
    }
}
