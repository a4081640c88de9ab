//! A client that sends exactly the bytes it is given and reads one response at a time, whoever is at the other end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::DEADLINE;

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A whole response. Header names are compared without case.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        lines.next().map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect_timeout(&address, DEADLINE).unwrap_or_else(|error| panic!("{address}: {error}"));
        Client::over(stream)
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, buffer: Vec::new() }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the proxy reads");
        self
    }

    /// As [`Self::send`], when the other side may already have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Breaks the connection (RST): nobody can take it for a client that only has nothing more to send.
    pub fn break_off(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).expect("an option");
    }

    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("an address")
    }

    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The next response; `HEAD` ones have no body whatever they say.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        match self.try_response(method) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error}; got {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} in {head:?}"));
        let mut lines = head.trim_end().split("\r\n");
        let status =
            lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(|| bad("no status"))?;
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| bad("no colon"))?;
        let mut response = Response { status, head: head.clone(), headers, body: Vec::new() };
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        response.body = if bodiless {
            Vec::new()
        } else if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            self.chunked()?
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| bad("a bad length"))?;
            self.exactly(length)?
        } else {
            self.rest()?
        };
        Ok(response)
    }

    /// All bytes until the other side closes.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more_or_end()? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    #[track_caller]
    pub fn rest_as_text(&mut self) -> String {
        String::from_utf8_lossy(&self.rest().expect("an orderly end")).into_owned()
    }

    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Whether the other side has closed and sent nothing more.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.more_or_end(), Ok(false) | Err(_))
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length =
                usize::from_str_radix(digits, 16).map_err(|_| io::Error::other(format!("chunk size {line:?}")))?;
            if length == 0 {
                // Trailers, then an empty line.
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(length)?);
            self.exactly(2)?;
        }
    }

    pub fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            self.more()?;
        };
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 2);
        Ok(line)
    }

    fn more(&mut self) -> io::Result<()> {
        if self.more_or_end()? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn more_or_end(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        let length = loop {
            match self.stream.read(&mut piece) {
                // A read with a timeout is not begun again by itself when the process was stopped and went on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.buffer.extend_from_slice(&piece[..length]);
        Ok(length > 0)
    }
}

/// One GET on a connection of its own.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Response {
    get_with(address, path, "")
}

/// As [`get`], with more header lines, each ended by CRLF.
#[track_caller]
pub fn get_with(address: SocketAddr, path: &str, headers: &str) -> Response {
    let mut client = Client::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n{headers}\r\n"));
    client.response()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
