//! How did it end, who ended it, and when? The same thing happens to HAProxy and to us; the log lines must say the same.

mod http;
mod tcp;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::harness::{Client, DEADLINE, Haproxy, Instance, Site};

/// Stories told side by side: most of each is waiting for a timeout.
const AT_A_TIME: usize = 6;

/// What one story is about, with what is in the way of reading its line.
struct Story {
    name: &'static str,
    site: Site,
    /// Part of the log line that is compared.
    marker: &'static str,
    /// What happens to it.
    act: Box<dyn Fn(&Instance) + Send + Sync>,
    /// What is ours where it is another than HAProxy's, and why.
    ours: Option<(&'static str, &'static str)>,
}

impl Story {
    /// Ours is this, because of that.
    fn ours(mut self, essence: &'static str, because: &'static str) -> Self {
        self.ours = Some((essence, because));
        self
    }

    /// Plays it to both. `Some` with both lines when they differ in what `essence` takes from them.
    fn difference(&self, essence: fn(&str) -> String) -> Option<String> {
        let theirs = {
            let haproxy = Haproxy::start(&self.site.text());
            (self.act)(&haproxy);
            haproxy.wait_for(self.marker)
        };
        let ours = {
            let proxy = self.site.start();
            (self.act)(&proxy);
            proxy.wait_for(self.marker)
        };
        let (expected, because) = self.ours.map_or((essence(&theirs), ""), |(own, why)| (own.to_owned(), why));
        let outdated = self.ours.is_some() && essence(&theirs) == expected;
        (essence(&ours) != expected || outdated).then(|| {
            let (theirs, ours) = (theirs.trim_end(), ours.trim_end());
            format!("{} {because}\n  HAProxy: {theirs}\n  here:    {ours}", self.name)
        })
    }
}

fn story(
    name: &'static str,
    site: Site,
    marker: &'static str,
    act: impl Fn(SocketAddr) + Send + Sync + 'static,
) -> Story {
    story_with_orders(name, site, marker, move |on| act(on.address("web")))
}

/// A story in which somebody uses the runtime socket as well.
fn story_with_orders(
    name: &'static str,
    site: Site,
    marker: &'static str,
    act: impl Fn(&Instance) + Send + Sync + 'static,
) -> Story {
    Story { name, site, marker, act: Box::new(act), ours: None }
}

/// Plays each story to both and shows all that differ.
#[track_caller]
fn check(stories: &[Story], essence: fn(&str) -> String) {
    let next = AtomicUsize::new(0);
    let tell_some = || {
        let mut wrong = Vec::new();
        while let Some(story) = stories.get(next.fetch_add(1, SeqCst)) {
            let told = panic::catch_unwind(AssertUnwindSafe(|| story.difference(essence)));
            wrong.extend(told.unwrap_or_else(|_| Some(format!("{} did not come to its end; see above", story.name))));
        }
        wrong
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let tellers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(tell_some)).collect();
        tellers.into_iter().flat_map(|teller| teller.join().expect("panics are caught")).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), stories.len(), wrong.join("\n"));
}

/// `++-` for `0/12/-1`: which timers were reached.
fn reached(timers: &str) -> String {
    timers.split('/').map(|timer| if timer.starts_with('-') { '-' } else { '+' }).collect()
}

/// As [`reached`], with `0` for those that took less than 200 ms: for stories whose waits are 400 ms or more.
fn spent(timers: &str) -> String {
    let spent = |timer: &str| match timer.parse::<i32>() {
        Ok(..0) => '-',
        Ok(..200) => '0',
        _ => '+',
    };
    timers.split('/').map(spent).collect()
}

/// A server that does with each connection what it is told, for as long as the test runs.
fn peer(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Nobody listens here, nor will for as long as the test runs: the port stays taken.
fn nobody() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// An address that answers no SYN: its queue of connections is full. The queue stays so for as long as the test runs.
fn silent() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = vec![TcpStream::connect(address).unwrap()];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    std::mem::forget((socket, waiting));
    address
}

/// Until the other side closes.
fn wait_for_end(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let _ = std::io::copy(stream, &mut std::io::sink());
}

/// Sends and waits for the end of all that comes.
fn send(address: SocketAddr, bytes: &str) {
    let mut client = Client::connect(address);
    client.send(bytes);
    let _ = client.rest();
}

/// A client that breaks its connection a moment after its bytes have gone.
fn send_and_break(address: SocketAddr, bytes: &str) {
    let mut client = Client::connect(address);
    client.send(bytes);
    pause();
    client.break_off();
}

/// A client that closes its sending side a moment after its bytes have gone.
fn send_and_finish(address: SocketAddr, bytes: &str) {
    let mut client = Client::connect(address);
    client.send(bytes);
    pause();
    client.finish_sending();
    let _ = client.rest();
}

/// Long enough for the proxy to have read and acted, short beside every timeout.
fn pause() {
    thread::sleep(Duration::from_millis(150));
}
