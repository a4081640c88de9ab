//! What `tcp-request` rules change about a connection, as its server, its client and its log line tell it, beside HAProxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::time::Duration;

use crate::harness::{Authority, Client, Haproxy, Instance, Key, Origin, Proxy, Site, tool_output};
use crate::tcp_rules::echo;

/// Client and server as the log has them, and what the server was told of the client, HAProxy's and ours.
#[track_caller]
fn check(rules: &[&str], expected: &str) {
    let site = Site::tcp().backend(&format!("server other {} send-proxy", echo("")));
    let site = rules.iter().fold(site, |site, rule| site.frontend(rule));
    let seen = |proxy: &Instance| {
        let mut client = Client::connect(proxy.address("web"));
        let ports = [client.local(), proxy.address("web")].map(|address| format!(" {}", address.port()));
        client.send("hello").finish_sending();
        let told = client.rest_as_text();
        let told = told.trim_start_matches(':').trim_end_matches("hello").trim_end();
        let line = proxy.wait_for(" web app/other ");
        let from = line.split(' ').next().unwrap_or_default();
        let own = format!("127.0.0.1:{}", ports[0].trim());
        format!(
            "{} {}",
            if from == own { "own" } else { from },
            told.replace(&ports[0], " own").replace(&ports[1], " web")
        )
    };
    let theirs = seen(&Haproxy::start(&site.text()));
    let ours = seen(&site.start());
    assert_eq!((ours.as_str(), theirs.as_str()), (expected, expected), "{rules:?}");
}

#[test]
fn addresses_are_what_rules_say() {
    check(&[], "own PROXY TCP4 127.0.0.1 127.0.0.1 own web");
    check(
        &["tcp-request connection set-src str(192.0.2.7)", "tcp-request connection set-src-port int(99)"],
        "192.0.2.7:99 PROXY TCP4 192.0.2.7 127.0.0.1 99 web",
    );
    check(
        &["tcp-request session set-dst str(192.0.2.8)", "tcp-request session set-dst-port int(443)"],
        "own PROXY TCP4 127.0.0.1 192.0.2.8 own 443",
    );
    // Later rules see it.
    check(
        &[
            "tcp-request connection set-src str(192.0.2.7)",
            "tcp-request session set-src-port int(7) if { src 192.0.2.7 }",
            "tcp-request session set-dst-port int(8) if { src 127.0.0.1 }",
        ],
        "192.0.2.7:7 PROXY TCP4 192.0.2.7 127.0.0.1 7 web",
    );
}

/// A client from this address of the machine's.
fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn the_level_of_a_log_line_may_be_said_for_each_session_and_request() {
    let a = Origin::named("a");
    for site in [Site::tcp(), Site::http()] {
        let site = site
            .frontend("tcp-request content set-log-level silent if { src 127.0.0.2 }")
            .frontend("tcp-request content set-log-level debug if { src 127.0.0.3 }")
            .frontend("tcp-request content set-log-level err if { src 127.0.0.4 }")
            .server(&a, "");
        let text = site.text().replace("format raw local0", "format short local0 info");
        let lines = |proxy: &Instance| {
            for last in [2, 3, 4, 1] {
                let mut client = Client::over(from([127, 0, 0, last], proxy.address("web")));
                client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").finish_sending();
                let _ = client.rest();
            }
            proxy.wait_for("127.0.0.1:");
            let said = proxy.said();
            let of_sessions = said.lines().filter(|line| line.contains(" web app/a "));
            of_sessions.map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let theirs = lines(&Haproxy::start(&text));
        assert_eq!(theirs, ["<3>127.0.0.4", "<6>127.0.0.1"]);
        assert_eq!(lines(&Proxy::start(&text)), theirs);
    }
}

#[test]
fn sessions_may_be_forgotten() {
    for stage in ["connection", "session", "content"] {
        let site = Site::tcp().frontend(&format!("tcp-request {stage} silent-drop if {{ src 127.0.0.2 }}"));
        let site = site.backend(&format!("server other {}", echo("other")));
        let seen = |proxy: &Instance| {
            let mut client = from([127, 0, 0, 2], proxy.address("web"));
            client.write_all(b"hello").unwrap();
            // Another client is served meanwhile, which tells that the first one has been dealt with.
            let mut other = Client::connect(proxy.address("web"));
            other.send("hello").finish_sending();
            let _ = other.rest();
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            // It is told nothing, or, without the right to keep silent, that it is broken off.
            assert!(client.read(&mut [0; 10]).is_err());
            let counted = |column| crate::admin::stat(proxy, "web", "FRONTEND", column);
            ["dcon", "dses", "dreq"].map(counted)
        };
        let theirs = seen(&Haproxy::start(&site.text()));
        let ours = seen(&site.start());
        assert_eq!(ours, theirs, "{stage}");
    }
}

/// What the kernel says of packets on the proxy's connection with this client.
fn packets(client: SocketAddr) -> String {
    let said = crate::harness::tool_output("ss", &["-Htnie", "--tos", &format!("dport = :{}", client.port())], b"");
    let wanted = |word: &&str| word.starts_with("tos:") || word.starts_with("fwmark:");
    said.split_whitespace().filter(wanted).collect::<Vec<_>>().join(" ")
}

#[test]
fn packets_carry_what_rules_say() {
    for stage in ["connection", "session", "content"] {
        let site = Site::tcp().frontend(&format!("tcp-request {stage} set-tos 0x20"));
        let site = site.backend(&format!("server other {}", echo("other")));
        let seen = |proxy: &Instance| {
            let mut client = Client::connect(proxy.address("web"));
            client.send("hello");
            crate::harness::eventually("a session", || {
                (crate::admin::stat(proxy, "app", "other", "scur") == "1").then_some(())
            });
            packets(client.local())
        };
        let theirs = seen(&Haproxy::start(&site.text()));
        let ours = seen(&site.start());
        assert_eq!((ours.as_str(), theirs.as_str()), ("tos:0x20", "tos:0x20"), "{stage}");
    }
}

/// The head of a PROXY header of version 2 and the values behind its addresses.
fn values(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    assert!(bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), "{}", bytes.escape_ascii());
    let length = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let mut rest = &bytes[28..16 + length];
    let mut found = Vec::new();
    while let [kind, high, low, behind @ ..] = rest {
        let (value, behind) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        found.push((*kind, value.to_vec()));
        rest = behind;
    }
    found
}

/// Takes one connection; gives what came over it until its end, or a blank line.
fn taken() -> (SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taking = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece) {
                Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
                _ => return bytes,
            }
            if bytes.ends_with(b"\r\n\r\n") && bytes.len() > 16 {
                let _ = stream.write_all(b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n");
                return bytes;
            }
        }
    });
    (address, taking)
}

#[test]
fn servers_are_told_values_of_the_operators_own() {
    let (address, taking) = taken();
    let options = "set-proxy-v2-tlv-fmt(0xE1) %[src]-%[req.len] set-proxy-v2-tlv-fmt(0xE3) %[fc_pp_tlv(0xE9)]";
    let site = Site::tcp()
        .bind("bind 127.0.0.1:<web> accept-proxy")
        .frontend("tcp-request inspect-delay 5s")
        .frontend("tcp-request content accept if { req.len 5 }")
        .backend("default-server set-proxy-v2-tlv-fmt(0xE1) overwritten set-proxy-v2-tlv-fmt(226) %b/%s")
        .backend(&format!("server other {address} send-proxy-v2 {options}"));
    let proxy = site.start();
    let mut client = Client::connect(proxy.address("web"));
    // Any bytes may be told on, also those that would end a line.
    client.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\xc0\0\x02\x08\x04\xd2\0\x50\xe9\0\x04a\0\r\n");
    client.send("hello").finish_sending();
    let _ = client.rest();
    let told = values(&taking.join().unwrap());
    let expected: [(u8, &[u8]); 3] = [(0xe2, b"app/other"), (0xe1, b"192.0.2.7-5"), (0xe3, b"a\0\r\n")];
    assert_eq!(told, expected.map(|(kind, value)| (kind, value.to_vec())));

    // In mode http they may be about the request.
    let (address, taking) = taken();
    let site = Site::http();
    let proxy = site.backend(&format!("server a {address} send-proxy-v2 set-proxy-v2-tlv-fmt(0xE1) %[path]")).start();
    assert_eq!(proxy.get("/about").status, 204);
    assert_eq!(values(&taking.join().unwrap()), [(0xe1, b"/about".to_vec())]);
}

#[test]
fn haproxy_takes_a_header_with_such_values() {
    let behind = Haproxy::start(
        "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 1s\n\
         frontend web\n    bind 127.0.0.1:<web> accept-proxy\n    http-request return status 200 content-type text/plain \
         lf-string \"%[fc_pp_authority] %[fc_pp_unique_id]\"\n",
    );
    let options = "send-proxy-v2 proxy-v2-options crc32c set-proxy-v2-tlv-fmt(2) shop.example set-proxy-v2-tlv-fmt(0x05) id-%[dst]";
    let proxy = Site::tcp().backend(&format!("server s {} {options}", behind.address("web"))).start();
    assert_eq!(proxy.get("/").text(), "shop.example id-127.0.0.1");
}

#[test]
fn servers_are_told_what_the_certificate_is_made_with() {
    let authority = Authority::new("Stories");
    for (kind, expected) in [(Key::Rsa, ["RSA2048", "ecdsa-with-SHA256"]), (Key::Ec, ["EC256", "ecdsa-with-SHA256"])] {
        let pem = authority.sign(&format!("{kind:?}"), "site.example", kind);
        let bind = format!("bind 127.0.0.1:<web> ssl crt {}", pem.display());
        let told = |start: &dyn Fn(&str) -> Box<dyn Deref<Target = Instance>>| {
            let (address, taking) = taken();
            let options = "send-proxy-v2 proxy-v2-options cert-sig,cert-key";
            let site = Site::tcp().bind(&bind).backend(&format!("server s {address} {options}"));
            let proxy = start(&site.text());
            let web = proxy.address("web").to_string();
            tool_output("openssl", &["s_client", "-quiet", "-connect", &web], b"\r\n\r\n");
            values(&taking.join().unwrap())
        };
        let theirs = told(&|text| Box::new(Haproxy::start(text)));
        let ours = told(&|text| Box::new(Proxy::start(text)));
        assert_eq!(ours, theirs);
        let shown = ours[0].1.escape_ascii().to_string();
        assert!(expected.iter().all(|word| shown.contains(word)), "{shown}");
    }
}
