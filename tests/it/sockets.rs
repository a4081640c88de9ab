//! What is set on sockets, seen from their other ends, beside HAProxy.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::harness::{Client, DEADLINE, Haproxy, Instance, Site, TempDir, check_config};

/// Runs a story at HAProxy and here: what was seen there, and here.
fn beside<T>(site: &Site, story: impl Fn(&Instance) -> T) -> [T; 2] {
    let theirs = story(&Haproxy::start(&site.text()));
    let ours = story(&site.start());
    [theirs, ours]
}

/// How a connection ended: in order, or broken.
fn end(stream: &mut TcpStream) -> &'static str {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => "ended",
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "broken",
        Err(error) => panic!("{error}"),
    }
}

/// A server that greets and tells how its connections end.
fn witness() -> (SocketAddr, mpsc::Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"hi");
            let _ = tell.send(end(&mut stream));
        }
    });
    (address, told)
}

#[test]
fn connections_are_broken_instead_of_ended_where_that_is_asked_for() {
    let check = |front: &str, back: &str, expected: [&str; 2]| {
        let (address, told) = witness();
        let site = Site::tcp().defaults("timeout client 300ms").frontend(front).backend(back);
        let proxy = site.backend(&format!("server s {address}")).start();
        let mut client = TcpStream::connect(proxy.address("web")).unwrap();
        let seen = [end(&mut client), told.recv_timeout(DEADLINE).unwrap()];
        assert_eq!(seen, expected, "client and server with `{front}` and `{back}`");
    };
    check("", "", ["ended", "ended"]);
    check("option nolinger", "", ["broken", "ended"]);
    check("", "option nolinger", ["ended", "broken"]);
    check("option nolinger", "no option nolinger", ["broken", "ended"]);
}

#[test]
fn servers_are_left_by_a_reset_as_with_haproxy() {
    let (address, told) = witness();
    let site = Site::tcp().defaults("timeout client 300ms").defaults("option nolinger");
    let site = site.frontend("no option nolinger").backend(&format!("server s {address}"));
    let seen = beside(&site, |proxy| {
        let mut client = TcpStream::connect(proxy.address("web")).unwrap();
        (end(&mut client), told.recv_timeout(DEADLINE).unwrap())
    });
    assert_eq!(seen, [("ended", "broken"); 2]);
}

#[test]
fn what_a_client_breaks_off_is_no_good_end_for_its_server_either() {
    let (address, told) = witness();
    let site = Site::tcp().backend(&format!("server s {address}"));
    for breaks in [true, false] {
        let seen = beside(&site, |proxy| {
            let mut client = Client::connect(proxy.address("web"));
            client.send("half of it");
            std::thread::sleep(Duration::from_millis(200));
            if breaks {
                client.break_off();
            } else {
                client.finish_sending();
            }
            told.recv_timeout(DEADLINE).unwrap()
        });
        assert_eq!(seen, [if breaks { "broken" } else { "ended" }; 2]);
    }
}

/// An HTTP server that answers each request with the address it came from.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, peer)) = listener.accept() {
            std::thread::spawn(move || {
                let mut stream = Client::over(stream);
                loop {
                    match stream.line() {
                        Ok(line) if !line.is_empty() => continue,
                        Ok(_) => {}
                        Err(_) => return,
                    }
                    let text = peer.ip().to_string();
                    stream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
                }
            });
        }
    });
    address
}

#[test]
fn a_field_of_the_request_says_where_its_connection_comes_from() {
    if !crate::tcp::may_present_others() {
        return; // what is said then is told in `tcp`
    }
    let mirror = mirror();
    for usesrc in ["hdr_ip(x-from)", "hdr_ip(X-From,1)", "hdr_ip(x-from,-2)", "hdr_ip(x-from,0)"] {
        let site = Site::http().backend(&format!("server s {mirror} source 0.0.0.0 usesrc {usesrc}"));
        let [theirs, ours] = beside(&site, |proxy| {
            let mut client = Client::connect(proxy.address("web"));
            let mut ask = |fields: &str| {
                client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
                client.response().text()
            };
            // The same client, one after the other: each over a connection of that address.
            [
                ask("X-From: 127.0.0.5\r\n"),
                ask("X-From: 127.0.0.6, 127.0.0.7\r\n"),
                ask("X-From: 127.0.0.6\r\nX-From: 127.0.0.5\r\n"),
                ask("X-From: nobody\r\n"),
                ask(""),
                ask("X-From: 127.0.0.5\r\n"),
            ]
        });
        // Where there is no such value HAProxy 2.6 answers 500; the manual has its own address.
        let expected = theirs.map(|text| if text.contains("500 Internal") { "127.0.0.1".to_owned() } else { text });
        assert_eq!(ours, expected, "{usesrc}");
        assert!(usesrc.ends_with(",0)") || ours[1] != ours[0], "{usesrc}: {ours:?}");
    }
}

#[test]
fn clients_agree_on_the_largest_segment_that_is_said() {
    let (address, _told) = witness();
    let site = |bind: &str| Site::tcp().bind(bind).backend(&format!("server s {address}"));
    let agreed = |site: Site| {
        beside(&site, |proxy| {
            let mut client = TcpStream::connect(proxy.address("web")).unwrap();
            client.read_exact(&mut [0; 2]).unwrap();
            socket2::SockRef::from(&client).tcp_mss().unwrap()
        })
    };
    let [theirs, ours] = agreed(site("bind 127.0.0.1:<web> mss 900"));
    assert!(theirs == ours && (800..=900).contains(&ours), "{theirs} {ours}");
    let [theirs, ours] = agreed(site("bind 127.0.0.1:<web>"));
    assert!(theirs == ours && ours > 900, "{theirs} {ours}");
}

#[test]
fn a_segment_size_that_cannot_be_is_told() {
    let told = |bind: &str| {
        let output = check_config(&Site::tcp().bind(bind).text(), &TempDir::new(), &[""; 0]);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (bind, expected) in [
        ("bind 127.0.0.1:<web> mss 20", "`mss` is 88 to 32767 bytes, not 20"),
        ("bind 127.0.0.1:<web> mss -100", "a negative size changes a connection that stands already"),
        ("bind 127.0.0.1:<web> mss small", "`mss` needs a size in bytes; `small` is not one"),
        ("bind unix@<dir>/web.sock mss 1000", "`mss` is about TCP, this is a unix socket"),
    ] {
        let said = told(bind);
        assert!(said.contains(expected), "{bind}: {said}");
    }
}
