//! What does the kernel alone cost who checks servers? As many connections a second as the checks make, in the same
//! handfuls; each asks its question, reads what comes and judges nothing.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with, sockopt,
};

use super::Poll;

/// Between two handfuls of questions, as the checks of `inter 2s` keep it.
const GRID: Duration = Duration::from_millis(20);

/// Asks the servers in turn, `per_second` times, for ever. Without a question a connection is enough, and a reset ends it.
pub fn ask(per_second: usize, question: Option<&str>, servers: &[SocketAddr]) -> io::Result<()> {
    let request = question.map(|path| format!("GET {path} HTTP/1.0\r\n\r\n"));
    let mut events = Poll::new()?;
    // With whether the question was sent.
    let mut asked: HashMap<u64, (OwnedFd, bool)> = HashMap::new();
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 4096]);
    let mut turns = servers.iter().cycle();
    let (began, mut sent) = (Instant::now(), 0);
    loop {
        let grid = began.elapsed().as_millis() as usize / GRID.as_millis() as usize;
        while sent < grid * per_second / (1000 / GRID.as_millis() as usize) {
            let Some(server) = turns.next() else { return Ok(()) };
            let socket = begin(*server)?;
            events.add(&socket, sent as u64, EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET)?;
            asked.insert(sent as u64, (socket, false));
            sent += 1;
        }
        let next = GRID * (grid as u32 + 1);
        events.wait_at_most(next.saturating_sub(began.elapsed()), &mut ready)?;
        for (token, flags) in ready.iter() {
            let Some((socket, spoken)) = asked.get_mut(token) else { continue };
            let done = match &request {
                None => sockopt::set_socket_linger(&*socket, Some(Duration::ZERO)).is_ok(),
                Some(request) if !*spoken && flags.contains(EventFlags::OUT) => {
                    *spoken = true;
                    sockopt::socket_error(&*socket)?.is_err()
                        || send(&*socket, request.as_bytes(), SendFlags::NOSIGNAL).is_err()
                }
                Some(_) => flags.contains(EventFlags::IN) && recv(&*socket, &mut *buffer, RecvFlags::empty()).is_ok(),
            };
            if done {
                asked.remove(token);
            }
        }
    }
}

fn begin(server: SocketAddr) -> io::Result<OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_quickack(&socket, false)?;
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
