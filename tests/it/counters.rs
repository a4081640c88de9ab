//! What is counted and logged of sessions that last, that fail, and that there is no room for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::admin::stat;
use crate::harness::{Client, Haproxy, Instance, Origin, Reply, Site, eventually};

/// A server that sends `first` and then nothing until it is let go.
fn lasting(first: &'static [u8]) -> (SocketAddr, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (let_go, until) = mpsc::channel::<()>();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 1000]);
        while until.try_recv().is_err() {
            if stream.write_all(first).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    (address, let_go)
}

/// The bytes of what still runs are in every row that has a column for them.
#[track_caller]
fn check_moving(site: Site, first: &'static [u8]) {
    let (address, let_go) = lasting(first);
    let proxy = site.backend(&format!("server s {address}")).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    thread::spawn(move || client.rest());
    for (name, row) in [("web", "FRONTEND"), ("app", "BACKEND"), ("app", "s")] {
        eventually(&format!("{row} tells of bytes"), || (stat(&proxy, name, row, "bout") != "0").then_some(()));
    }
    assert_eq!(stat(&proxy, "app", "BACKEND", "scur"), "1");
    drop(let_go);
}

#[test]
fn the_bytes_of_what_lasts_are_counted_while_it_does() {
    check_moving(Site::tcp(), b"hello");
    check_moving(Site::http(), b"HTTP/1.1 200 OK\r\n\r\nhello");
    check_moving(Site::http(), b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
}

#[test]
fn a_limit_of_connections_is_never_passed_by_several_workers() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (Arc::clone(&inside), Arc::clone(&most));
    let origin = Origin::scripted("a", move |_| {
        seen.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_millis(5));
        counted.fetch_sub(1, SeqCst);
        Reply::text(200, "ok")
    });
    let site = Site::http().global("nbthread 4").frontend("maxconn 2").server(&origin, "");
    let proxy = site.start();
    let address = proxy.address("web");
    let clients: Vec<_> = (0..12)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..8 {
                    let mut client = Client::connect(address);
                    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                    assert_eq!(client.response().status, 200);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(most.load(SeqCst) <= 2, "{} at once", most.load(SeqCst));
    assert_eq!(stat(&proxy, "web", "FRONTEND", "smax"), "2");
}

/// A TCP session that no server takes, with and without bytes of its client: what the columns and the log say of it.
fn unserved(proxy: &Instance, said: &str) -> (Vec<String>, usize) {
    let mut client = Client::connect(proxy.address("web"));
    if !said.is_empty() {
        client.send(said);
    }
    let _ = client.rest();
    eventually("the session is counted", || (stat(proxy, "web", "FRONTEND", "scur") == "0").then_some(()));
    let columns = [("FRONTEND", "bin"), ("FRONTEND", "bout")].map(|(row, column)| stat(proxy, "web", row, column));
    let errors = stat(proxy, "app", "BACKEND", "econ");
    thread::sleep(Duration::from_millis(200));
    ([columns.to_vec(), vec![errors]].concat(), proxy.said().matches(" SC ").count())
}

#[test]
fn sessions_that_no_server_takes_are_no_null_connections_once_their_client_has_spoken() {
    let dead = Origin::named("dead");
    dead.stop();
    let site = Site::tcp().defaults("option dontlognull").defaults("retries 1").server(&dead, "");
    for said in ["", "hello"] {
        let theirs = unserved(&Haproxy::start(&site.text()), said);
        assert_eq!(unserved(&site.start(), said), theirs, "{said:?}");
    }
}

#[test]
fn a_backend_without_servers_counts_an_error_of_its_own() {
    for site in [Site::http(), Site::tcp()] {
        let proxy = site.start();
        let mut client = Client::connect(proxy.address("web"));
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let _ = client.rest();
        eventually("it is counted", || (stat(&proxy, "app", "BACKEND", "econ") == "1").then_some(()));
    }
}

#[test]
fn an_empty_error_page_closes_without_a_word() {
    let site = Site::http().defaults("errorfile 503 /dev/null").defaults("errorfile 400 /dev/null");
    let story = |proxy: &Instance| {
        ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "no request\r\n\r\n"].map(|said| {
            let mut client = Client::connect(proxy.address("web"));
            client.send(said);
            client.rest_as_text()
        })
    };
    let proxy = site.start();
    assert_eq!(story(&proxy), ["", ""]);
    assert_eq!(story(&Haproxy::start(&site.text())), ["", ""]);
    let line = proxy.wait_for("<NOSRV>");
    assert!(line.contains(" 503 0 ") && line.contains(" SC-- "), "{line}");
}
