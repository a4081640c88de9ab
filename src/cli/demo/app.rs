//! What do the demo's application servers do? Say who answered, what the proxy told them, and fail when asked to.
//!
//! One thread per connection and no more than a demo needs: these stand in for the operator's own servers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Bytes of one request's head; a longer one is refused.
const HEAD_LIMIT: usize = 16 * 1024;
/// Connections at once; more are closed at once.
const MOST_CONNECTIONS: usize = 256;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    failing: AtomicBool,
    connections: AtomicUsize,
}

/// Serves on this socket until the process ends, from threads of its own. Gives its address.
///
/// # Errors
/// The socket has no address, or no thread can be started.
pub(crate) fn start(name: &'static str, listener: TcpListener) -> io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared { name, failing: AtomicBool::new(false), connections: AtomicUsize::new(0) });
    thread::Builder::new().name(format!("demo {name}")).spawn(move || accept(&listener, &shared))?;
    Ok(address)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.connections.fetch_add(1, Relaxed) >= MOST_CONNECTIONS {
            shared.connections.fetch_sub(1, Relaxed);
            continue;
        }
        let own = Arc::clone(shared);
        let started = thread::Builder::new().name(shared.name.to_owned()).spawn(move || {
            // A client that goes away in the middle is nothing to tell.
            let _ = own.serve(stream);
            own.connections.fetch_sub(1, Relaxed);
        });
        if started.is_err() {
            shared.connections.fetch_sub(1, Relaxed);
        }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE))?;
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut buffer)? {
            let request = Request { head: &head };
            // A body is not read; the connection ends with it.
            let close = request.has_body()
                || request.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            stream.write_all(&self.answer(&request, close))?;
            if close {
                return Ok(());
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request<'_>, close: bool) -> Vec<u8> {
        let name = self.name;
        let failing = self.failing.load(Relaxed);
        let (status, kind, body) = match request.path() {
            "/health" if failing => ("503 Service Unavailable", "text/plain", "failing\n".to_owned()),
            "/health" => ("200 OK", "text/plain", "well\n".to_owned()),
            "/fail" => {
                self.failing.store(true, Relaxed);
                ("200 OK", "text/plain", format!("{name} fails its health checks from now on\n"))
            }
            "/recover" => {
                self.failing.store(false, Relaxed);
                ("200 OK", "text/plain", format!("{name} passes its health checks again\n"))
            }
            _ if request.wants_html() => ("200 OK", "text/html; charset=utf-8", self.page(request)),
            _ => ("200 OK", "text/plain", format!("answered by {name}\n")),
        };
        let connection = if close { "close" } else { "keep-alive" };
        let length = body.len();
        let mut out = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\
             X-Served-By: {name}\r\n\r\n"
        );
        if request.method() != "HEAD" {
            out.push_str(&body);
        }
        out.into_bytes()
    }

    fn page(&self, request: &Request<'_>) -> String {
        let rows: String = request
            .fields()
            .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value)))
            .collect();
        let name = self.name;
        let colour = if name == "master" { "#1a7f5a" } else { "#8a5a00" };
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>{name}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;\
             padding:0 1rem;color-scheme:light dark}}h1{{color:{colour}}}th{{text-align:left;padding-right:1rem;\
             font-weight:500}}td{{word-break:break-all}}</style><h1>Answered by {name}</h1>\
             <p>This is what the proxy sent:</p><table>{rows}</table></html>\n"
        )
    }
}

struct Request<'a> {
    head: &'a str,
}

impl<'a> Request<'a> {
    fn word(&self, index: usize) -> &'a str {
        self.head.lines().next().and_then(|line| line.split(' ').nth(index)).unwrap_or_default()
    }

    fn method(&self) -> &'a str {
        self.word(0)
    }

    fn path(&self) -> &'a str {
        self.word(1).split('?').next().unwrap_or_default()
    }

    fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name, value.trim()))
    }

    fn field(&self, name: &str) -> Option<&'a str> {
        self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn has_body(&self) -> bool {
        self.field("transfer-encoding").is_some() || self.field("content-length").is_some_and(|length| length != "0")
    }

    fn wants_html(&self) -> bool {
        self.field("accept").is_some_and(|kinds| kinds.contains("text/html"))
    }
}

/// The next request's head without its empty line. `None` at an orderly end.
fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            buffer.truncate(end);
            let head = String::from_utf8_lossy(buffer).into_owned();
            *buffer = rest;
            return Ok(Some(head));
        }
        if buffer.len() > HEAD_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request's head is too large"));
        }
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Shared {
        Shared { name: "master", failing: AtomicBool::new(false), connections: AtomicUsize::new(0) }
    }

    #[track_caller]
    fn check(app: &Shared, path: &str, expected: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x");
        let answer = String::from_utf8(app.answer(&Request { head: &head }, false)).unwrap();
        assert!(answer.contains(expected), "{path}: {answer}");
    }

    #[test]
    fn fails_and_recovers_when_asked() {
        let app = app();
        check(&app, "/health", "200 OK");
        check(&app, "/fail", "fails its health checks");
        check(&app, "/health?x", "503");
        check(&app, "/", "answered by master");
        check(&app, "/recover", "passes");
        check(&app, "/health", "200 OK");
    }

    #[test]
    fn shows_fields_to_browsers_and_trusts_none_of_them() {
        let head = "GET / HTTP/1.1\r\nAccept: text/html\r\nX-Evil: <script>";
        let answer = String::from_utf8(app().answer(&Request { head }, true)).unwrap();
        assert!(answer.contains("X-Evil</th><td>&lt;script&gt;"), "{answer}");
    }

    #[test]
    fn a_head_response_has_no_body() {
        let answer = app().answer(&Request { head: "HEAD / HTTP/1.1\r\nHost: x" }, false);
        assert!(answer.ends_with(b"\r\n\r\n"));
    }
}
