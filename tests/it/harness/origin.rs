//! An application server that does as it is told and remembers what reached it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{DEADLINE, Ports, eventually};

/// One request as it came, the proxy's view of it.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub target: String,
    /// Request line and fields as received, without the final empty line.
    pub head: String,
    pub body: Vec<u8>,
    /// Which of the origin's connections it came on, from 0.
    pub connection: usize,
}

impl Received {
    /// The values of all lines of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// What is sent back.
#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    close: bool,
    /// Send nothing more and keep the connection.
    silent: bool,
}

impl Reply {
    pub fn text(status: u16, body: &str) -> Self {
        Reply::with_headers(status, "", body)
    }

    /// `headers`: lines, each ended by CRLF.
    pub fn with_headers(status: u16, headers: &str, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        Reply::raw([head.as_bytes(), body.as_bytes()].concat())
    }

    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Reply { bytes: bytes.into(), close: false, silent: false }
    }

    /// Closes the connection behind the bytes.
    pub fn then_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Never answers.
    pub fn silence() -> Self {
        Reply { bytes: Vec::new(), close: false, silent: true }
    }
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;

struct Inner {
    script: Box<Script>,
    check_status: AtomicU16,
    checks: AtomicUsize,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

pub struct Origin {
    pub name: String,
    address: SocketAddr,
    inner: Arc<Inner>,
    /// Nobody else's while it is dead.
    _port: Ports,
}

impl Origin {
    /// Answers every request with its name, and `/health` with 200.
    pub fn named(name: &str) -> Self {
        let body = name.to_owned();
        Origin::scripted(name, move |_| Reply::with_headers(200, &format!("X-Origin: {body}\r\n"), &body))
    }

    /// Answers by `script`; checks (`/health`, `OPTIONS`) are answered apart, see [`Self::answer_checks`].
    pub fn scripted(name: &str, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let mut port = Ports::default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.get(name)));
        let listener = TcpListener::bind(address).expect("the port");
        let inner = Arc::new(Inner {
            script: Box::new(script),
            check_status: AtomicU16::new(200),
            checks: AtomicUsize::new(0),
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let origin = Origin { name: name.to_owned(), address, inner, _port: port };
        origin.accept(listener);
        origin
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The status of every further health check.
    pub fn answer_checks(&self, status: u16) {
        self.inner.check_status.store(status, SeqCst);
    }

    /// Health checks answered so far.
    pub fn checks(&self) -> usize {
        self.inner.checks.load(SeqCst)
    }

    /// Requests that reached it, checks not counted.
    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn only_request(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].clone()
    }

    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests at {}", self.name), || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
    }

    /// Dies: the port is closed, connections are cut.
    pub fn stop(&self) {
        self.inner.stopped.store(true, SeqCst);
        // Wakes the accept loop, which then drops its listener.
        let _ = TcpStream::connect_timeout(&self.address, DEADLINE);
        for stream in self.inner.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        eventually("the origin's port is closed", || TcpStream::connect_timeout(&self.address, DEADLINE).err());
    }

    /// Comes back on the same port.
    pub fn start_again(&self) {
        let listener = eventually("the origin's port again", || TcpListener::bind(self.address).ok());
        self.inner.stopped.store(false, SeqCst);
        self.accept(listener);
    }

    fn accept(&self, listener: TcpListener) {
        let inner = Arc::clone(&self.inner);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if inner.stopped.load(SeqCst) {
                    return;
                }
                if let Ok(copy) = stream.try_clone() {
                    inner.open.lock().unwrap().push(copy);
                }
                let inner = Arc::clone(&inner);
                thread::spawn(move || inner.serve(stream));
            }
        });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.inner.stopped.store(true, SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, DEADLINE);
    }
}

impl Inner {
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let connection = self.connections.fetch_add(1, SeqCst);
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut buffer, connection) {
            let reply = self.reply(request);
            if reply.silent {
                // Until the proxy gives up.
                let _ = stream.read(&mut [0; 1]);
                return;
            }
            if stream.write_all(&reply.bytes).is_err() || reply.close {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    fn reply(&self, request: Received) -> Reply {
        if request.target == "/health" || request.method == "OPTIONS" {
            self.checks.fetch_add(1, SeqCst);
            let close = request.head.contains("HTTP/1.0") || request.header("connection") == Some("close");
            let reply = Reply::text(self.check_status.load(SeqCst), "health");
            return if close { reply.then_close() } else { reply };
        }
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.received.lock().unwrap().push(request.clone());
        let reply = (self.script)(&request);
        if close { reply.then_close() } else { reply }
    }
}

/// Reads one request, its body decoded. `None` at the connection's end.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Received> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        more(stream, buffer)?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut line = head.split("\r\n").next()?.split(' ');
    let (method, target) = (line.next()?.to_owned(), line.next()?.to_owned());
    let mut request = Received { method, target, head, body: Vec::new(), connection };
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    if request.header("transfer-encoding").is_some() {
        request.body = chunked_body(stream, buffer)?;
    } else if let Some(length) = request.header("content-length").and_then(|length| length.parse().ok()) {
        request.body = exactly(stream, buffer, length)?;
    }
    Some(request)
}

fn chunked_body(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream, buffer)?;
        let length = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if length == 0 {
            while !line(stream, buffer)?.is_empty() {}
            return Some(body);
        }
        body.extend(exactly(stream, buffer, length)?);
        exactly(stream, buffer, 2)?;
    }
}

fn line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 2);
            return Some(line);
        }
        more(stream, buffer)?;
    }
}

fn exactly(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        more(stream, buffer)?;
    }
    Some(buffer.drain(..length).collect())
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16 * 1024];
    match stream.read(&mut piece) {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            buffer.extend_from_slice(&piece[..length]);
            Some(())
        }
    }
}
