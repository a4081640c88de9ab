//! Layer 4: bytes both ways, half-close kept, PROXY headers in and out, timeouts, log lines.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use crate::harness::{Client, Haproxy, Origin, Site};

/// Accepts one connection, reads it to its end, then answers with `answer` and what it read.
fn server(answer: &'static str) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        bytes
    });
    (address, thread)
}

#[test]
fn a_client_that_has_finished_sending_still_gets_the_answer() {
    let (address, thread) = server("answer");
    let proxy = Site::tcp().backend(&format!("server s {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("question").finish_sending();
    assert_eq!(client.rest_as_text(), "answer");
    assert_eq!(thread.join().unwrap(), b"question");
    let line = proxy.wait_for(" web app/s ");
    assert!(line.contains(" 6 -- "), "{line}");
}

#[test]
fn bulk_passes_unchanged() {
    let (address, thread) = server("done");
    let proxy = Site::tcp().backend(&format!("server s {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    (0..16).for_each(|_| {
        client.send(&block);
    });
    client.finish_sending();
    assert_eq!(client.rest_as_text(), "done");
    let received = thread.join().unwrap();
    assert_eq!(received.len(), 16 << 20);
    assert!(received.chunks(1 << 20).all(|part| part == block));
}

#[test]
fn proxy_headers_are_written_in_both_versions() {
    let (address, thread) = server("");
    let proxy = Site::tcp().backend(&format!("server s {address} send-proxy")).start();
    let mut client = Client::connect(proxy.address("web"));
    let local = client.local();
    client.send("hello").finish_sending();
    client.rest_as_text();
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello", local.port(), proxy.address("web").port());
    assert_eq!(String::from_utf8(thread.join().unwrap()).unwrap(), expected);

    let (address, thread) = server("");
    let proxy = Site::tcp().backend(&format!("server s {address} send-proxy-v2")).start();
    let mut client = Client::connect(proxy.address("web"));
    let local = client.local();
    client.send("hello").finish_sending();
    client.rest_as_text();
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    expected.extend(local.port().to_be_bytes());
    expected.extend(proxy.address("web").port().to_be_bytes());
    expected.extend(b"hello");
    assert_eq!(thread.join().unwrap(), expected);
}

#[test]
fn proxy_headers_are_read_in_both_versions_and_tell_the_client() {
    let a = Origin::named("a");
    let proxy =
        Site::http().bind("bind 127.0.0.1:<web> accept-proxy").frontend("option forwardfor").server(&a, "").start();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut client = Client::connect(proxy.address("web"));
    client.send(format!("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n{request}"));
    assert_eq!(client.response().status, 200);
    let mut client = Client::connect(proxy.address("web"));
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x04\xd2\0\x50".to_vec();
    header.extend(request.as_bytes());
    // In pieces: a header may come split.
    for byte in header.chunks(5) {
        client.send(byte);
    }
    assert_eq!(client.response().status, 200);
    let seen: Vec<String> =
        a.received().iter().map(|request| request.header("x-forwarded-for").unwrap_or("-").to_owned()).collect();
    assert_eq!(seen, ["192.0.2.1", "192.0.2.7"]);
    proxy.wait_for("192.0.2.7:1234");
}

#[test]
fn a_connection_without_its_proxy_header_is_closed() {
    let a = Origin::named("a");
    let proxy = Site::http().bind("bind 127.0.0.1:<web> accept-proxy").server(&a, "").start();
    for bytes in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PROXY TCP4 9.8.7.256 1.1.1.1 1 2\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 70000 2\r\n",
    ] {
        let mut client = Client::connect(proxy.address("web"));
        client.send(bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
    assert!(a.received().is_empty());
}

#[test]
fn an_idle_session_ends_after_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Site::tcp().defaults("timeout client 300ms").backend(&format!("server s {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("x");
    let _server = listener.accept().unwrap();
    assert!(client.is_closed());
    let line = proxy.wait_for(" web app/s ");
    assert!(line.contains(" cD "), "{line}");
}

#[test]
fn a_refused_server_closes_the_session() {
    let a = Origin::named("a");
    a.stop();
    let proxy = Site::tcp().backend("retries 0").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    assert!(client.is_closed());
    let line = proxy.wait_for(" web app/a ");
    assert!(line.contains(" SC "), "{line}");
}

#[test]
fn unix_sockets_are_listened_on_and_connected_to() {
    let dir = crate::harness::TempDir::new();
    let path = dir.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let site = Site::tcp().bind("bind unix@<dir>/front.sock mode 600").backend("server s unix@<dir>/app.sock");
    let proxy = crate::harness::Proxy::start_in(&site.text(), dir);
    let mut client = std::os::unix::net::UnixStream::connect(proxy.file("front.sock")).unwrap();
    client.write_all(b"over sockets").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "over sockets");
    server.join().unwrap();
}

/// Adds one value of a version 2 header.
fn push_value(kind: u8, value: &[u8], block: &mut Vec<u8>) {
    block.push(kind);
    block.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    block.extend(value);
}

/// A header of version 2 for a client on 192.0.2.7:1234, with these values.
fn version_2(values: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = b"\xc0\0\x02\x07\xc0\0\x02\x08\x04\xd2\0\x50".to_vec();
    values.iter().for_each(|(kind, value)| push_value(*kind, value, &mut block));
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length[..], &block].concat()
}

#[test]
fn what_a_proxy_in_front_tells_is_asked_by_rules_and_told_on() {
    let (address, thread) = server("");
    let site = Site::tcp()
        .bind("bind 127.0.0.1:<web> accept-proxy")
        .frontend("use_backend other if { fc_pp_authority -i APP.example } { fc_pp_unique_id id-1 }")
        .section(&format!(
            "backend other\n    server s {address} send-proxy-v2 proxy-v2-options ssl,authority,unique-id\n"
        ));
    let proxy = site.start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(version_2(&[(4, b"padding"), (2, b"app.example"), (5, b"id-1")]));
    client.send("hello").finish_sending();
    client.rest_as_text();
    let told = version_2(&[(2, b"app.example"), (5, b"id-1"), (0x20, &[0; 5])]);
    let received = thread.join().unwrap();
    assert_eq!(received.escape_ascii().to_string(), [&told[..], b"hello"].concat().escape_ascii().to_string());

    // A wrong checksum says that somebody has changed it on the way.
    let mut client = Client::connect(proxy.address("web"));
    client.send(version_2(&[(3, b"\x01\x02\x03\x04"), (2, b"app.example")]));
    assert!(client.is_closed());
    proxy.wait_for("PROXY header with a wrong checksum");
}

#[test]
fn haproxy_understands_what_is_told_and_is_understood() {
    let dir = crate::harness::TempDir::new();
    dir.write("site.pem", crate::harness::certificate(&["site.example"]).combined());
    // HAProxy behind: it verifies the checksum and shows what it was told.
    let behind = crate::harness::Haproxy::start(
        "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 1s\n\
         frontend web\n    bind 127.0.0.1:<web> accept-proxy\n    http-request return status 200 content-type text/plain \
         lf-string \"%[src] %[fc_pp_authority] %[fc_pp_unique_id]\"\n",
    );
    let options = "send-proxy-v2-ssl proxy-v2-options ssl-cipher,crc32c,authority,unique-id";
    let site = Site::tcp()
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem")
        .backend(&format!("server s {} {options}", behind.address("web")));
    let proxy = crate::harness::Proxy::start_in(&site.text(), dir);
    let address = proxy.address("web");
    let answer = crate::harness::curl(&[
        "-k",
        "--resolve",
        &format!("site.example:{}:127.0.0.1", address.port()),
        &format!("https://site.example:{}/", address.port()),
    ]);
    assert_eq!(answer, "127.0.0.1 site.example ");

    // HAProxy in front: its header, with a checksum, passes ours.
    let a = Origin::named("a");
    let inner = Site::http()
        .bind("bind 127.0.0.1:<web> accept-proxy")
        .frontend("http-request set-header X-Ssl %[fc_pp_tlv(SSL),length]")
        .server(&a, "")
        .start();
    let front = crate::harness::Haproxy::start(&format!(
        "defaults\n    mode tcp\n    timeout client 5s\n    timeout server 5s\n    timeout connect 1s\n\
         frontend web\n    bind 127.0.0.1:<web>\n    default_backend b\nbackend b\n    \
         server s {} send-proxy-v2 proxy-v2-options ssl,crc32c\n",
        inner.address("web")
    ));
    assert_eq!(crate::harness::get(front.address("web"), "/").text(), "a");
    assert_eq!(a.only_request().header("x-ssl"), Some("5"));
}

/// Accepts one connection and gives where it came from; whoever connects is greeted with it.
fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = stream.write_all(peer.to_string().as_bytes());
        }
    });
    address
}

#[test]
fn connections_to_servers_come_from_where_they_are_told_to() {
    let greeter = greeter();
    for (section, server, expected) in [
        ("source 127.0.0.2", "", "127.0.0.2:"),
        ("source 127.0.0.2", "source 127.0.0.3", "127.0.0.3:"),
        ("", "source 0.0.0.0", "127.0.0.1:"),
    ] {
        let proxy = Site::tcp().backend(section).backend(&format!("server s {greeter} {server}")).start();
        let said = Client::connect(proxy.address("web")).rest_as_text();
        assert!(said.starts_with(expected), "{section} {server}: {said}");
    }
}

#[test]
fn a_source_that_cannot_be_had_is_pointed_out_as_by_haproxy() {
    // Not an address of this machine.
    let site = Site::tcp().defaults("retries 0").backend("server s 127.0.0.1:9 source 203.0.113.77");
    let complaint = "Cannot bind to source address before connect() for backend app.";
    let (haproxy, proxy) = (Haproxy::start(&site.text()), site.start());
    for instance in [&*haproxy, &proxy] {
        let _ = Client::connect(instance.address("web")).rest();
        instance.wait_for(complaint);
    }
}

/// Whether this process may show servers addresses that are not its machine's (CAP_NET_ADMIN, CAP_NET_RAW).
pub fn may_present_others() -> bool {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    socket.and_then(|socket| socket.set_ip_transparent_v4(true)).is_ok()
}

#[test]
fn a_client_s_own_address_is_presented_where_the_kernel_allows_it() {
    let greeter = greeter();
    let site = Site::tcp().backend(&format!("server s {greeter} source 0.0.0.0 usesrc clientip"));
    if !may_present_others() {
        // Without the right there is no start, and the reason is told.
        let mut program = crate::harness::Process::spawn(&site.text(), crate::harness::TempDir::new(), &[]);
        let exit = program.exit();
        assert!(exit.code != Some(0) && exit.lines.contains("`usesrc` needs CAP_NET_ADMIN"), "{}", exit.lines);
        return;
    }
    let proxy = site.start();
    // The whole of 127.0.0.0/8 is this machine's, so a client may come from any of it, and answers find their way.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 77], 0)).into()).unwrap();
    socket.connect(&proxy.address("web").into()).unwrap();
    let said = Client::over(socket.into()).rest_as_text();
    assert!(said.starts_with("127.0.0.77:"), "{said}");
}

#[test]
fn abstract_sockets_are_haproxys_and_socats() {
    let name = format!("lockgate-{}", std::process::id());
    let (front, back) = (format!("{name}-front"), format!("{name}-back"));
    // The server is HAProxy, which fills the name up with zeros.
    let _server = crate::harness::Haproxy::start(&format!(
        "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 1s\n\
         frontend web\n    bind 127.0.0.1:<web>\n    bind abns@{back}\n    \
         http-request return status 200 content-type text/plain string reached\n"
    ));
    let site = Site::tcp()
        .bind(&format!("bind 127.0.0.1:<web>\n    bind abns@{front}"))
        .backend(&format!("server s abns@{back} check inter 100ms"));
    let proxy = site.start();
    assert_eq!(crate::harness::get(proxy.address("web"), "/").text(), "reached");
    let said = crate::harness::tool_output(
        "socat",
        &["-t5", "-", &format!("ABSTRACT-CONNECT:{front},unix-tightsocklen=0")],
        b"GET / HTTP/1.0\r\n\r\n",
    );
    assert!(said.ends_with("reached"), "{said}");
    let checked = || crate::admin::stat(&proxy, "app", "s", "check_status") == "L4OK";
    crate::harness::eventually("a check over the abstract socket", || checked().then_some(()));
}

#[test]
fn silent_peers_are_probed_when_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let site = Site::tcp()
        .frontend("option clitcpka")
        .frontend("clitcpka-idle 100s")
        .backend("option srvtcpka")
        .backend("srvtcpka-idle 200s")
        .backend(&format!("server s {address}"));
    let proxy = site.start();
    let client = Client::connect(proxy.address("web"));
    let _server = listener.accept().unwrap();
    // `ss -o` tells the timer of each connection: minutes are `1min`, seconds `40sec`.
    let timer = |filter: &str| {
        let said = crate::harness::tool_output("ss", &["-Htno", filter], b"");
        said.lines().find(|line| line.contains("timer:(keepalive")).unwrap_or_default().to_owned()
    };
    let of_client = timer(&format!("sport = :{} and dport = :{}", proxy.address("web").port(), client.local().port()));
    assert!(of_client.contains("1min"), "{of_client}");
    let of_server = timer(&format!("dport = :{}", address.port()));
    assert!(of_server.contains("3min"), "{of_server}");
}

#[test]
fn tls_ends_here_behind_a_proxy_header_and_begins_again_with_the_client_s_name() {
    // The server shows which name it was asked for.
    let inner_dir = crate::harness::TempDir::new();
    inner_dir.write("site.pem", crate::harness::certificate(&["one.example", "two.example"]).combined());
    let inner = crate::harness::Proxy::start_in(
        &Site::http()
            .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem")
            .frontend("http-request return status 200 content-type text/plain lf-string \"%[ssl_fc_sni]\"")
            .text(),
        inner_dir,
    );
    let dir = crate::harness::TempDir::new();
    dir.write("site.pem", crate::harness::certificate(&["one.example", "two.example"]).combined());
    let site = Site::tcp()
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem accept-proxy")
        .frontend("use_backend named if { ssl_fc_sni one.example }")
        .backend(&format!("server s {} ssl verify none sni str(two.example)", inner.address("web")))
        .section(&format!("backend named\n    server s {} ssl verify none sni ssl_fc_sni\n", inner.address("web")));
    let proxy = crate::harness::Proxy::start_in(&site.text(), dir);
    let port = proxy.address("web").port();
    for (name, expected) in [("one.example", "one.example"), ("three.example", "two.example")] {
        let answer = crate::harness::curl(&[
            "-k",
            "--haproxy-protocol",
            "--resolve",
            &format!("{name}:{port}:127.0.0.1"),
            &format!("https://{name}:{port}/"),
        ]);
        assert_eq!(answer, expected);
    }
    proxy.wait_for(" web~ named/s ");
    proxy.wait_for(" web~ app/s ");
}

#[test]
fn a_client_that_does_not_finish_its_handshake_is_closed() {
    let dir = crate::harness::TempDir::new();
    dir.write("site.pem", crate::harness::certificate(&["site.example"]).combined());
    let a = Origin::named("a");
    let site = Site::tcp()
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem")
        .defaults("timeout client-hs 100ms")
        .server(&a, "");
    let proxy = crate::harness::Proxy::start_in(&site.text(), dir);
    let mut client = Client::connect(proxy.address("web"));
    client.send(b"\x16\x03\x01");
    assert!(client.is_closed());
    proxy.wait_for("Timeout during SSL handshake");
}
