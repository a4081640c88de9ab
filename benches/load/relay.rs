//! What does the kernel alone cost a proxy? A relay that looks at nothing: a connection to a server for each client's, and what
//! comes on one goes out on the other, by one read and one write.
//!
//! It is the floor under what a proxy of small messages can reach, not a proxy: a write that finds no room holds all up.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, poll};

use super::{LISTENER, Poll};

/// Relays from `listen` to the servers in turn, for ever.
pub fn relay(listen: SocketAddr, servers: &[SocketAddr]) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut events = Poll::new()?;
    events.add(&listener, LISTENER, EventFlags::IN)?;
    // Two ends of a session stand side by side: 2n and 2n + 1.
    let mut ends: Vec<Option<TcpStream>> = Vec::new();
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let mut turns = servers.iter().cycle();
    loop {
        events.wait(&mut ready)?;
        for (token, _) in ready.iter().copied() {
            if token == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let Some(server) = turns.next() else { return Ok(()) };
                    for end in [client, TcpStream::connect(server)?] {
                        end.set_nonblocking(true)?;
                        end.set_nodelay(true)?;
                        events.add(&end, ends.len() as u64, EventFlags::IN)?;
                        ends.push(Some(end));
                    }
                }
                continue;
            }
            let (at, other) = (token as usize, token as usize ^ 1);
            let (Some(from), Some(to)) = (&ends[at], &ends[other]) else { continue };
            let moved = match (&*from).read(&mut buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => write_all(to, &buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(error) => Err(error),
            };
            if moved.is_err() {
                (ends[at], ends[other]) = (None, None);
            }
        }
    }
}

fn write_all(mut to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(to, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
