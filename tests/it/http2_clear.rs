//! HTTP/2 in clear text: whoever begins with its preface gets it, as HAProxy gives it, unless a line says otherwise.

use crate::harness::{Client, Haproxy, Origin, Proxy, Site, TempDir, check_config, curl};

/// The preface and an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What a listener says first to a client that begins with HTTP/2: the type of a frame (4 is SETTINGS), or HTTP/1 text.
fn first_word(mut client: Client) -> String {
    client.send(HELLO);
    let head = client.exactly(9).unwrap_or_default();
    match head.get(3) {
        Some(4) => "h2".to_owned(),
        Some(_) if head.starts_with(b"HTTP/1") => "h1".to_owned(),
        _ => format!("{head:?}"),
    }
}

#[track_caller]
fn check(bind: &str, option: &str, expected: &str) {
    let a = Origin::named("a");
    let site = Site::http().bind(&format!("bind 127.0.0.1:<web> {bind}")).frontend(option).server(&a, "");
    let ours = first_word(Client::connect(site.start().address("web")));
    let theirs = first_word(Haproxy::start(&site.text()).client());
    assert_eq!((ours.as_str(), theirs.as_str()), (expected, expected), "ours, HAProxy's for `{bind}` `{option}`");
}

#[test]
fn the_first_bytes_decide_as_with_haproxy() {
    check("", "", "h2");
    check("proto h2", "", "h2");
    check("proto h1", "", "h1");
    check("", "option disable-h2-upgrade", "h1");
    check("proto h2", "option disable-h2-upgrade", "h2");
}

#[test]
fn curl_speaks_both_on_one_listener() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    let url = proxy.url("http", "web", "/");
    assert_eq!(curl(&[&version[..], &["--http2-prior-knowledge", &url]].concat()), "2 200");
    assert_eq!(curl(&[&version[..], &["--http1.1", &url]].concat()), "1.1 200");
    assert_eq!(a.received().len(), 2);
}

#[test]
fn a_preface_in_pieces_is_waited_for_and_half_a_one_is_refused() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let mut slow = Client::connect(proxy.address("web"));
    for piece in HELLO.chunks(5) {
        slow.send(piece);
        std::thread::yield_now();
    }
    assert_eq!(slow.exactly(9).unwrap()[3], 4);
    let mut other = Client::connect(proxy.address("web"));
    other.send("PATCH /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(other.response().status, 200);
    let mut half = Client::connect(proxy.address("web"));
    half.send("PRI * HTTP/2.0\r\n\r\n").finish_sending();
    assert_eq!(half.response().status, 505);
}

#[test]
fn a_listener_of_http2_only_refuses_http1() {
    let a = Origin::named("a");
    let proxy = Site::http().bind("bind 127.0.0.1:<web> proto h2").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let said = client.rest().unwrap_or_default();
    assert!(!said.starts_with(b"HTTP/1"), "{said:?}");
    assert!(a.received().is_empty());
}

#[track_caller]
fn refused(config: &str, told: &str) {
    let output = check_config(config, &TempDir::new(), &[] as &[&str]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains(told), "{said}");
}

#[test]
fn wrong_values_are_told() {
    refused("frontend web\n  mode tcp\n  bind :8080 proto h2\n", "this is mode tcp");
    refused("frontend web\n  mode http\n  bind :8080 proto h3\n", "h3");
    refused("backend b\n  mode tcp\n  server a 127.0.0.1:1 proto h2\n", "this is mode tcp");
    refused("global\n  tune.h2.max-frame-size 100\n", "16384");
    refused("global\n  tune.h2.header-table-size 70000\n", "65536");
    refused("backend b\n  mode http\n  server a 127.0.0.1:1 proto fcgi\n", "FastCGI");
    refused("global\n  h1-case-adjust x-a X-B\n", "differ in more than case");
    refused("global\n  h1-case-adjust-file /nowhere\n", "/nowhere");
}

#[test]
fn limits_are_told_to_clients() {
    let a = Origin::named("a");
    let site = Site::http().global("tune.h2.max-concurrent-streams 7").global("tune.h2.fe.initial-window-size 70000");
    let proxy: Proxy = site.global("tune.h2.header-table-size 1000").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send(HELLO);
    let head = client.exactly(9).unwrap();
    let settings = client.exactly(usize::from(head[2])).unwrap();
    let told = |id: u16| {
        let mut each = settings.chunks(6).filter(|one| u16::from_be_bytes([one[0], one[1]]) == id);
        each.next().map(|one| u32::from_be_bytes([one[2], one[3], one[4], one[5]]))
    };
    // Header table, streams, window, extended CONNECT (RFC 9113 §6.5.2, RFC 8441 §3).
    assert_eq!([1, 3, 4, 8].map(told), [Some(1000), Some(7), Some(70_000), Some(1)]);
}
