//! The far sides of a load measurement: servers that answer as fast as one thread can, and clients that wrk and h2load
//! are not. One epoll loop each, nothing allocated per message.
//!
//! load_tool responder LISTEN        HTTP/1.1: GET /N is answered with N bytes
//! load_tool echo LISTEN             TCP: every byte comes back
//! load_tool source LISTEN           TCP: bytes without end
//! load_tool relay LISTEN TO...      between clients and servers, looking at nothing: what the kernel alone costs
//! load_tool asker N PATH|- TO...   N connections a second to servers in turn, a GET each or nothing: checks, for the kernel
//! load_tool pingpong TO C SECONDS   C connections, 64 bytes there and back, one after the other
//! load_tool bulk TO C SECONDS       C connections, read and thrown away
//! load_tool idle TO N               N connections, one GET each, then held until stdin ends
//!
//! Clients print one JSON object.

mod asker;
mod relay;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

/// Sent back by a ping.
const PING: usize = 64;
/// The token of the listening socket.
const LISTENER: u64 = u64::MAX;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["responder", listen] => serve(listen, EventFlags::IN, Responder::default()),
        ["echo", listen] => serve(listen, EventFlags::IN, Echo),
        ["source", listen] => serve(listen, EventFlags::IN | EventFlags::OUT, Source),
        ["relay", listen, ref to @ ..] if !to.is_empty() => {
            relay::relay(address(listen), &to.iter().map(|to| address(to)).collect::<Vec<_>>())
        }
        ["asker", per_second, question, ref to @ ..] if !to.is_empty() => {
            let servers = to.iter().map(|to| address(to)).collect::<Vec<_>>();
            asker::ask(number(per_second), Some(question).filter(|question| *question != "-"), &servers)
        }
        ["pingpong", to, count, seconds] => pingpong(address(to), number(count), span(seconds)),
        ["bulk", to, count, seconds] => bulk(address(to), number(count), span(seconds)),
        ["idle", to, count] => idle(address(to), number(count)),
        _ => {
            eprintln!(
                "usage: load_tool responder|echo|source LISTEN | relay LISTEN TO... | asker PER_SECOND PATH|- TO... | \
                 pingpong|bulk TO CONNECTIONS SECONDS | idle TO CONNECTIONS"
            );
            std::process::exit(2);
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn span(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// An epoll set and its events.
struct Poll {
    set: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    fn new() -> io::Result<Self> {
        Ok(Poll { set: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(512) })
    }

    fn add(&self, stream: &impl std::os::fd::AsFd, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.set, stream, EventData::new_u64(token), flags)?)
    }

    fn change(&self, stream: &TcpStream, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.set, stream, EventData::new_u64(token), flags)?)
    }

    /// Waits for something, at most 100 ms; tokens with their flags.
    fn wait(&mut self, into: &mut Vec<(u64, EventFlags)>) -> io::Result<()> {
        self.wait_at_most(Duration::from_millis(100), into)
    }

    /// The same, at most `limit`, which is below a second.
    fn wait_at_most(&mut self, limit: Duration, into: &mut Vec<(u64, EventFlags)>) -> io::Result<()> {
        self.events.clear();
        let limit = rustix::time::Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut self.events), Some(&limit))?;
        into.clear();
        // The kernel's struct is packed: its fields are copied out.
        into.extend(self.events.iter().map(|event| ({ event.data }.u64(), { event.flags })));
        Ok(())
    }
}

/// What a server does with one connection that can be read or written.
trait Service {
    type State: Default;

    /// `false` ends the connection.
    fn ready(
        &mut self,
        stream: &mut TcpStream,
        state: &mut Self::State,
        flags: EventFlags,
        buffer: &mut [u8],
    ) -> io::Result<Next>;
}

enum Next {
    Read,
    /// Tell me when I can write.
    Write,
    Close,
}

fn serve<S: Service>(listen: &str, first: EventFlags, mut service: S) -> io::Result<()> {
    let listener = TcpListener::bind(address(listen))?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, EventFlags::IN)?;
    let mut connections: HashMap<u64, (TcpStream, S::State, EventFlags)> = HashMap::new();
    let (mut next, mut ready, mut buffer) = (0, Vec::new(), vec![b'x'; 256 * 1024]);
    loop {
        poll.wait(&mut ready)?;
        for (token, flags) in ready.iter().copied() {
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    poll.add(&stream, next, first)?;
                    connections.insert(next, (stream, S::State::default(), first));
                    next += 1;
                }
                continue;
            }
            let Some((stream, state, watched)) = connections.get_mut(&token) else { continue };
            let wanted = match service.ready(stream, state, flags, &mut buffer) {
                Ok(Next::Read) => first,
                Ok(Next::Write) => EventFlags::OUT,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => first,
                Ok(Next::Close) | Err(_) => {
                    connections.remove(&token);
                    continue;
                }
            };
            if *watched != wanted {
                *watched = wanted;
                poll.change(stream, token, wanted)?;
            }
        }
    }
}

struct Echo;

impl Service for Echo {
    type State = ();

    fn ready(&mut self, stream: &mut TcpStream, (): &mut (), _: EventFlags, buffer: &mut [u8]) -> io::Result<Next> {
        match stream.read(buffer)? {
            0 => Ok(Next::Close),
            length => stream.write_all(&buffer[..length]).map(|()| Next::Read),
        }
    }
}

struct Source;

impl Service for Source {
    type State = ();

    fn ready(&mut self, stream: &mut TcpStream, (): &mut (), flags: EventFlags, buffer: &mut [u8]) -> io::Result<Next> {
        if flags.contains(EventFlags::IN) {
            let mut word = [0; 4096];
            if stream.read(&mut word)? == 0 {
                return Ok(Next::Close);
            }
        }
        stream.write(buffer).map(|_| Next::Read)
    }
}

/// Answers are made once per size and shared.
#[derive(Default)]
struct Responder {
    answers: HashMap<(usize, bool), Rc<[u8]>>,
}

#[derive(Default)]
struct Conversation {
    input: Vec<u8>,
    /// Bytes of a request body still to come.
    skip: usize,
    output: Vec<Rc<[u8]>>,
    /// Of the first answer, already sent.
    sent: usize,
    close: bool,
}

impl Service for Responder {
    type State = Conversation;

    fn ready(
        &mut self,
        stream: &mut TcpStream,
        state: &mut Conversation,
        flags: EventFlags,
        buffer: &mut [u8],
    ) -> io::Result<Next> {
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            match stream.read(buffer)? {
                0 => return Ok(Next::Close),
                length => {
                    // While a body is skipped nothing waits in front of it.
                    let skipped = state.skip.min(length);
                    state.skip -= skipped;
                    state.input.extend_from_slice(&buffer[skipped..length]);
                }
            }
            self.take_requests(state);
        }
        while let Some(answer) = state.output.first() {
            match stream.write(&answer[state.sent..]) {
                Ok(length) if state.sent + length == answer.len() => {
                    state.output.remove(0);
                    state.sent = 0;
                }
                Ok(length) => state.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::Write),
                Err(error) => return Err(error),
            }
        }
        Ok(if state.close { Next::Close } else { Next::Read })
    }
}

impl Responder {
    fn take_requests(&mut self, state: &mut Conversation) {
        loop {
            let skipped = state.skip.min(state.input.len());
            state.input.drain(..skipped);
            state.skip -= skipped;
            let Some(end) = state.input.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            let head = String::from_utf8_lossy(&state.input[..end]).to_ascii_lowercase();
            let size = head.split('/').nth(1).map_or(0, leading_number);
            state.close |= head.contains("\r\nconnection: close");
            state.skip = head.split("\r\ncontent-length: ").nth(1).map_or(0, leading_number);
            state.input.drain(..end + 4);
            let close = state.close;
            state.output.push(Rc::clone(self.answers.entry((size, close)).or_insert_with(|| answer(size, close))));
        }
    }
}

fn leading_number(text: &str) -> usize {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn answer(size: usize, close: bool) -> Rc<[u8]> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: load\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n\
         Content-Length: {size}\r\n{connection}\r\n"
    )
    .into_bytes();
    bytes.extend((b'a'..=b'z').cycle().take(size));
    bytes.into()
}

fn connect_all(to: SocketAddr, count: usize, poll: &Poll) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for token in 0..count {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, token as u64, EventFlags::IN)?;
        streams.push(stream);
    }
    Ok(streams)
}

fn pingpong(to: SocketAddr, count: usize, during: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut streams = connect_all(to, count, &poll)?;
    let (ping, mut buffer) = ([b'p'; PING], [0; 4096]);
    let mut waiting = vec![(0, Instant::now()); count];
    for stream in &mut streams {
        stream.write_all(&ping)?;
    }
    let (begin, mut ready, mut micros, mut errors) = (Instant::now(), Vec::new(), Vec::new(), 0);
    while begin.elapsed() < during {
        poll.wait(&mut ready)?;
        for (token, _) in ready.iter().copied() {
            let (stream, (got, since)) = (&mut streams[token as usize], &mut waiting[token as usize]);
            match stream.read(&mut buffer) {
                Ok(length @ 1..) => *got += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                _ => {
                    errors += 1;
                    continue;
                }
            }
            if *got >= PING {
                micros.push(since.elapsed().as_secs_f64() * 1e6);
                (*got, *since) = (0, Instant::now());
                stream.write_all(&ping)?;
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    micros.sort_by(f64::total_cmp);
    let at = |part: f64| micros.get(((micros.len() as f64 - 1.0) * part) as usize).copied().unwrap_or(0.0);
    println!(
        "{{\"ops\":{},\"secs\":{seconds:.3},\"p50_us\":{:.1},\"p99_us\":{:.1},\"errors\":{errors}}}",
        micros.len(),
        at(0.5),
        at(0.99)
    );
    Ok(())
}

fn bulk(to: SocketAddr, count: usize, during: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut streams = connect_all(to, count, &poll)?;
    let (begin, mut ready, mut buffer) = (Instant::now(), Vec::new(), vec![0; 1 << 20]);
    let (mut bytes, mut errors) = (0_u64, 0);
    while begin.elapsed() < during {
        poll.wait(&mut ready)?;
        for (token, _) in ready.iter().copied() {
            match streams[token as usize].read(&mut buffer) {
                Ok(length @ 1..) => bytes += length as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => errors += 1,
            }
        }
    }
    println!("{{\"bytes\":{bytes},\"secs\":{:.3},\"errors\":{errors}}}", begin.elapsed().as_secs_f64());
    Ok(())
}

fn idle(to: SocketAddr, count: usize) -> io::Result<()> {
    let mut held = Vec::with_capacity(count);
    let mut buffer = [0; 4096];
    for _ in 0..count {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /100 HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        if matches!(stream.read(&mut buffer), Ok(1..)) {
            held.push(stream);
        }
    }
    println!("{{\"held\":{}}}", held.len());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
