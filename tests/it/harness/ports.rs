//! Which TCP port is free, and stays ours until the test ends?
//!
//! A port from the ephemeral range could be taken by any outgoing connection, so ports come from below it. Holding the UDP
//! port of the same number keeps other test processes from choosing it. Origins have theirs from here too: one that has died
//! must not be replaced by a stranger.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Ports by the name a configuration gives them.
#[derive(Debug, Default)]
pub struct Ports {
    held: BTreeMap<String, (u16, UdpSocket)>,
}

impl Ports {
    /// The port of this name; reserved at the first call.
    pub fn get(&mut self, name: &str) -> u16 {
        let (port, _) = self.held.entry(name.to_owned()).or_insert_with(reserve);
        *port
    }

    #[track_caller]
    pub fn known(&self, name: &str) -> u16 {
        self.held.get(name).unwrap_or_else(|| panic!("no port `{name}` in the configuration")).0
    }
}

fn reserve() -> (u16, UdpSocket) {
    // Test processes start at different places.
    let start = std::process::id().wrapping_mul(7919) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let Ok(lock) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return (port, lock);
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
