//! Large uploads: do they arrive whole by every way, are they spliced where they can be, and does a slow server hold its
//! client back?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{Context, Digest, SHA256};

use crate::harness::{Client, Instance, Proxy, Site, TempDir, certificate, curl, eventually};

const LARGE: usize = 100_000_000;

/// Bytes that never repeat at a distance a buffer could have.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&aws_lc_rs::digest::digest(&SHA256, bytes))
}

/// Serves one connection: answers each request with the SHA-256 of its body. Asks for bodies that wait to be asked for.
fn digests(stream: TcpStream) -> Option<()> {
    let mut input = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if input.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            } else if line.starts_with("expect:") {
                input.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
            }
        }
        let mut context = Context::new(&SHA256);
        while length > 0 {
            let bytes = input.fill_buf().ok().filter(|bytes| !bytes.is_empty())?;
            let count = bytes.len().min(length);
            context.update(&bytes[..count]);
            input.consume(count);
            length -= count;
        }
        let digest = hex(&context.finish());
        write!(input.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{digest}", digest.len()).ok()?;
    }
}

fn digesting() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || digests(stream));
        }
    });
    address
}

/// A number of `show info`.
fn info(proxy: &Instance, name: &str) -> usize {
    let said = proxy.admin("show info");
    let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {said}"))
}

/// Bytes from clients, as `show stat` has them for the frontend.
fn received(proxy: &Instance) -> usize {
    let said = proxy.admin("show stat");
    let row = said.lines().find(|line| line.starts_with("web,FRONTEND,")).unwrap();
    row.split(',').nth(8).unwrap().parse().unwrap()
}

fn post(length: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn a_large_upload_between_clear_connections_arrives_whole_and_spliced() {
    let proxy = Site::http().backend(&format!("server s {}", digesting())).start();
    let body = noise(LARGE);
    let (head, expected) = (post(LARGE), sha256(&body));
    let mut client = Client::connect(proxy.address("web"));
    // The second one comes with the first one's end, and is another request all the same.
    let little = noise(1000);
    client.send(&head).send(&body).send([post(little.len()).as_bytes(), &little].concat());
    assert_eq!(client.response().text(), expected);
    assert_eq!(client.response().text(), sha256(&little));
    proxy.wait_for_nth(" 200 ", 2);
    let spliced = info(&proxy, "TotalSplicedBytesOut");
    assert!((LARGE / 2..=LARGE).contains(&spliced), "{spliced} bytes were spliced");
    assert_eq!(received(&proxy), head.len() + LARGE + post(little.len()).len() + little.len());
    // A worker tells of its pipes once a second.
    eventually("the pipe is kept", || (info(&proxy, "PipesFree") > 0 && info(&proxy, "PipesUsed") == 0).then_some(()));
}

/// curl asks before it sends (`Expect: 100-continue`) over HTTP/1, where nothing else is said.
#[track_caller]
fn check(proxy: &Proxy, scheme: &str, options: &[&str], file: &Path, is_spliced: bool) {
    let (data, url) = (format!("@{}", file.display()), proxy.url(scheme, "web", "/up"));
    let before = info(proxy, "TotalSplicedBytesOut");
    let answer = curl(&[options, &["-k", "--data-binary", &data, &url]].concat());
    let body = std::fs::read(file).unwrap();
    assert_eq!(answer, sha256(&body), "{scheme} {options:?}");
    let spliced = info(proxy, "TotalSplicedBytesOut") - before;
    let right = if is_spliced { (body.len() / 2..=body.len()).contains(&spliced) } else { spliced == 0 };
    assert!(right, "{scheme} {options:?}: {spliced} bytes were spliced");
}

#[test]
fn uploads_arrive_whole_by_every_way() {
    let certified = || {
        let dir = TempDir::new();
        dir.write("site.pem", certificate(&["site.example"]).combined());
        (dir, "bind 127.0.0.1:<web> ssl crt <dir>/site.pem alpn h2,http/1.1")
    };
    let server = format!("server s {}", digesting());
    let files = TempDir::new();
    let file = files.write("upload", noise(10_000_000));

    let clear = Site::http().backend(&server).start();
    check(&clear, "http", &[], &file, true);
    check(&clear, "http", &["-H", "Expect:"], &file, true);

    let (dir, bind) = certified();
    let secured = Proxy::start_in(&Site::http().bind(bind).backend(&server).text(), dir);
    check(&secured, "https", &["--http1.1"], &file, false);
    check(&secured, "https", &["--http2"], &file, false);

    for options in ["ssl verify none", "ssl verify none alpn h2"] {
        let server = format!("server s {} {options}", secured.address("web"));
        let to_secured = Site::http().backend(&server).start();
        check(&to_secured, "http", &[], &file, false);
    }
}

#[test]
fn unix_sockets_on_both_sides_are_spliced_too() {
    let dir = TempDir::new();
    let (front, back) = (dir.path().join("front.sock"), dir.path().join("back.sock"));
    let listener = std::os::unix::net::UnixListener::bind(&back).unwrap();
    let serving = thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        digests(TcpStream::from(std::os::fd::OwnedFd::from(stream)));
    });
    let site = Site::http().bind("bind unix@<dir>/front.sock").backend("server s unix@<dir>/back.sock");
    let proxy = Proxy::start_in(&site.text(), dir);
    let body = noise(10_000_000);
    let mut client = std::os::unix::net::UnixStream::connect(front).unwrap();
    let head = post(body.len()).replace("Host", "Connection: close\r\nHost");
    client.write_all(head.as_bytes()).unwrap();
    client.write_all(&body).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&sha256(&body)), "{answer}");
    assert!(info(&proxy, "TotalSplicedBytesOut") > body.len() / 2);
    drop(proxy);
    serving.join().unwrap();
}

#[test]
fn a_slow_server_holds_its_client_back() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = format!("server s {}", listener.local_addr().unwrap());
    let (go_on, until) = mpsc::channel::<()>();
    thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let _ = until.recv();
        digests(stream)
    });
    let proxy = Site::http().backend(&server).start();
    let body = noise(LARGE);
    let mut client = TcpStream::connect(proxy.address("web")).unwrap();
    client.write_all(post(LARGE).as_bytes()).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while let Ok(count) = client.write(&body[sent..]) {
        sent += count;
        assert!(sent < LARGE, "all of it was taken in");
    }
    go_on.send(()).unwrap();
    client.set_write_timeout(None).unwrap();
    client.write_all(&body[sent..]).unwrap();
    assert_eq!(Client::over(client).response().text(), sha256(&body));
}
