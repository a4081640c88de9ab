//! Tunnels between streams in memory and between sockets.

use std::cell::Cell;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::super::accepted::Accepted;
use super::super::stream::Plain;
use super::super::timer::Timers;
use super::*;

const MS: Duration = Duration::from_millis(1);
/// Bytes each in-memory stream holds before its writer must wait.
const WINDOW: usize = 1000;

/// The far ends of a tunnel that runs on its own, and what it needs.
struct Story {
    client: DuplexStream,
    server: DuplexStream,
    stop: Rc<Cell<Option<Cause>>>,
    timers: Rc<Timers>,
    tunnel: tokio::task::JoinHandle<Ended>,
}

fn memory(stream: DuplexStream) -> Stream {
    Stream::Plain(Plain::Memory(stream))
}

fn start(
    client: Stream,
    server: Stream,
    idle: IdleTimeouts,
    early: [&[u8]; 2],
    stop: &Rc<Cell<Option<Cause>>>,
) -> (Rc<Timers>, tokio::task::JoinHandle<Ended>) {
    let timers = Timers::new(clock::refresh());
    tokio::task::spawn_local(Rc::clone(&timers).drive());
    let [from_client, from_server] = early.map(<[u8]>::to_vec);
    let (mut client, mut server) = (client, server);
    let (stop, for_tunnel) = (Rc::clone(stop), Rc::clone(&timers));
    let tunnel = tokio::task::spawn_local(async move {
        let buffers = Buffers::default();
        let tunnel = Tunnel {
            client: &mut client,
            server: &mut server,
            from_client,
            from_server,
            idle,
            buffers: &buffers,
            timer: &for_tunnel.timer(),
            moved: &mut |_, _| {},
            ends_with_silence: false,
            ends_with_server: false,
            stop: &|| stop.get(),
        };
        tunnel.run().await
    });
    (timers, tunnel)
}

impl Story {
    fn begin(idle: IdleTimeouts, early: [&[u8]; 2]) -> Self {
        let (client, near_client) = duplex(WINDOW);
        let (server, near_server) = duplex(WINDOW);
        let stop = Rc::new(Cell::new(None));
        let (timers, tunnel) = start(memory(near_client), memory(near_server), idle, early, &stop);
        Story { client, server, stop, timers, tunnel }
    }

    #[track_caller]
    fn check(ended: Ended, termination: &str, to_server: u64, to_client: u64) {
        let Termination { cause, phase } = ended.termination;
        let shown: String = [cause as u8, phase as u8].map(char::from).iter().collect();
        assert_eq!((shown.as_str(), ended.to_server, ended.to_client), (termination, to_server, to_client));
    }
}

/// Runs one story on a runtime as workers have it.
fn tell<F: Future<Output = ()>>(story: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        tokio::time::timeout(Duration::from_secs(10), story).await.expect("the story ends in time");
    }));
}

async fn read_all(stream: &mut DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

#[test]
fn a_closed_direction_leaves_the_other_open() {
    tell(async {
        let mut story = Story::begin(IdleTimeouts::default(), [b"", b""]);
        story.client.write_all(b"question").await.unwrap();
        story.client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut story.server).await, b"question");
        story.server.write_all(b"the answer").await.unwrap();
        story.server.shutdown().await.unwrap();
        assert_eq!(read_all(&mut story.client).await, b"the answer");
        Story::check(story.tunnel.await.unwrap(), "--", 8, 10);
    });
}

#[test]
fn bytes_read_before_go_first() {
    tell(async {
        let mut story = Story::begin(IdleTimeouts::default(), [b"first ", b"hello "]);
        story.client.write_all(b"second").await.unwrap();
        story.client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut story.server).await, b"first second");
        drop(story.server);
        assert_eq!(read_all(&mut story.client).await, b"hello ");
        Story::check(story.tunnel.await.unwrap(), "--", 12, 6);
    });
}

#[test]
fn a_slow_reader_slows_the_writer_and_loses_nothing() {
    tell(async {
        let story = Story::begin(IdleTimeouts::default(), [b"", b""]);
        let sent: Vec<u8> = (0..300_000u32).map(|i| (i / 7) as u8).collect();
        let copy = sent.clone();
        let (mut client, mut server) = (story.client, story.server);
        let writer = tokio::task::spawn_local(async move {
            server.write_all(&copy).await.unwrap();
            server.shutdown().await.unwrap();
            read_all(&mut server).await
        });
        let mut got = Vec::new();
        let mut piece = [0; 777];
        loop {
            let count = client.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            got.extend_from_slice(&piece[..count]);
            tokio::task::yield_now().await;
        }
        assert!(got == sent);
        client.write_all(b"thanks").await.unwrap();
        drop(client);
        assert_eq!(writer.await.unwrap(), b"thanks");
        Story::check(story.tunnel.await.unwrap(), "--", 6, 300_000);
    });
}

#[test]
fn an_answer_still_arrives_when_the_server_takes_no_more() {
    tell(async {
        let (mut client, near_client) = duplex(WINDOW);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near_server = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let stop = Rc::default();
        let near_server = Stream::Plain(Plain::Tcp(near_server));
        let (_, tunnel) = start(memory(near_client), near_server, IdleTimeouts::default(), [b"", b""], &stop);
        server.write_all(b"go away").await.unwrap();
        client.write_all(b"unread").await.unwrap();
        server.readable().await.unwrap();
        drop(server); // with unread bytes: the kernel resets
        let mut answer = [0; 7];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"go away");
        let _ = client.write_all(b"more").await;
        Story::check(tunnel.await.unwrap(), "SD", 6, 7);
    });
}

#[test]
fn a_client_that_resets_is_named_as_the_cause() {
    tell(async {
        let (server, near_server) = duplex(WINDOW);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near_client, _) = listener.accept().await.unwrap();
        let stop = Rc::default();
        let near_client = Stream::Plain(Plain::Tcp(near_client));
        let (_, tunnel) = start(near_client, memory(near_server), IdleTimeouts::default(), [b"", b""], &stop);
        client.set_zero_linger().unwrap();
        drop(client);
        Story::check(tunnel.await.unwrap(), "CD", 0, 0);
        drop(server);
    });
}

async fn connected() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (near, _) = listener.accept().await.unwrap();
    (far, Stream::Plain(Plain::Tcp(near)))
}

/// Large messages between sockets are spliced, small ones before and behind them are not, and all keep their order.
#[test]
fn bulk_between_sockets_is_spliced_and_keeps_its_order() {
    const LEN: usize = 5 * 1024 * 1024 + 7;
    tell(async {
        let ((mut client, near_client), (mut server, near_server)) = (connected().await, connected().await);
        let (_, tunnel) = start(near_client, near_server, IdleTimeouts::default(), [b"early ", b""], &Rc::default());
        let sent: Vec<u8> = (0..LEN).map(|at| (at * 31 % 251) as u8).collect();
        let expected = sent.clone();
        let serving = tokio::task::spawn_local(async move {
            let mut hello = [0; 11];
            server.read_exact(&mut hello).await.unwrap();
            assert_eq!(&hello, b"early hello");
            server.write_all(b"small ").await.unwrap();
            server.write_all(&sent).await.unwrap();
            server.write_all(b" small").await.unwrap();
            server.shutdown().await.unwrap();
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"bye");
        });
        client.write_all(b"hello").await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert!(got == [b"small ", &expected[..], b" small"].concat(), "bytes were lost or mixed up");
        client.write_all(b"bye").await.unwrap();
        client.shutdown().await.unwrap();
        serving.await.unwrap();
        let ended = tunnel.await.unwrap();
        Story::check(ended, "--", 14, LEN as u64 + 12);
        assert!(ended.spliced > LEN as u64 / 2, "only {} bytes were spliced", ended.spliced);
    });
}

/// Bytes one far end says and the other one hears, in any pieces. `slowly`: only once all has been said that finds room.
async fn pass(from: &mut OwnedWriteHalf, to: &mut OwnedReadHalf, count: usize, slowly: bool) {
    let said = vec![7; count];
    let mut heard = vec![0; count];
    let hear = async {
        for _ in 0..if slowly { 100 } else { 0 } {
            tokio::task::yield_now().await;
        }
        for piece in heard.chunks_mut(50_000) {
            to.read_exact(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (written, ()) = tokio::join!(from.write_all(&said), hear);
    written.unwrap();
    assert_eq!(heard, said);
}

#[test]
fn whoever_speaks_is_heard_however_long_the_other_was_quiet() {
    tell(async {
        let (client, near_client) = connected().await;
        let Stream::Plain(Plain::Tcp(near_client)) = near_client else { unreachable!() };
        let accepted = Accepted::new(near_client.into_std().unwrap().into(), false);
        let (server, near_server) = connected().await;
        let stop = Rc::new(Cell::new(None));
        let near_client = Stream::Plain(Plain::Accepted(Box::new(accepted)));
        let (_timers, tunnel) = start(near_client, near_server, IdleTimeouts::default(), [b"", b""], &stop);
        let ((mut client_hears, mut client), (mut server_hears, mut server)) =
            (client.into_split(), server.into_split());
        // Small, large enough to be spliced, and more than sockets hold, so that writing has to wait as well.
        let sizes = [1, 64, 5_000, 100_000, 1_100_000, 12_000_000];
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize
        };
        let (mut up, mut down) = (0, 0);
        for _ in 0..200 {
            // Mostly small: large ones take their time.
            let size = sizes[random() % 6 * (random() % 4) / 3] + random() % 50;
            let slowly = random() % 2 == 0;
            // One at a time: nobody else wakes the tunnel.
            if random() % 2 == 0 {
                pass(&mut client, &mut server_hears, size, slowly).await;
                up += size as u64;
            } else {
                pass(&mut server, &mut client_hears, size, slowly).await;
                down += size as u64;
            }
        }
        client.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
        Story::check(tunnel.await.unwrap(), "--", up, down);
    });
}

fn idle(client: u32, server: u32) -> IdleTimeouts {
    let after = |ms: u32| (ms > 0).then(|| MS * ms);
    IdleTimeouts { client: after(client), server: after(server), client_fin: after(client), server_fin: after(server) }
}

#[test]
fn silence_ends_it() {
    tell(async {
        let silent = |idle| async move {
            let story = Story::begin(idle, [b"", b""]);
            let (tunnel, _ends) = (story.tunnel, (story.client, story.server));
            tunnel.await.unwrap()
        };
        Story::check(silent(idle(30, 60)).await, "cD", 0, 0);
        Story::check(silent(idle(60, 30)).await, "sD", 0, 0);
        Story::check(silent(idle(30, 30)).await, "cD", 0, 0);
        let far = Some(60_000 * MS);
        Story::check(silent(IdleTimeouts { client_fin: far, server_fin: far, ..idle(30, 30) }).await, "cD", 0, 0);
    });
}

#[test]
fn a_side_that_is_silent_for_too_long_still_hears_the_other() {
    tell(async {
        let mut story = Story::begin(idle(30, 5000), [b"", b""]);
        assert_eq!(read_all(&mut story.server).await, b"", "the client is taken to have ended");
        story.server.write_all(b"late").await.unwrap();
        story.server.shutdown().await.unwrap();
        assert_eq!(read_all(&mut story.client).await, b"late");
        Story::check(story.tunnel.await.unwrap(), "cD", 0, 4);
    });
}

#[test]
fn a_side_that_does_not_take_its_bytes_times_out() {
    tell(async {
        let mut story = Story::begin(idle(30, 60_000), [b"", b""]);
        // More than the client's window: it reads nothing.
        story.server.write_all(&[7; 2 * WINDOW]).await.unwrap();
        Story::check(story.tunnel.await.unwrap(), "cD", 0, WINDOW as u64);
    });
}

#[test]
fn traffic_in_either_direction_keeps_a_side_alive() {
    tell(async {
        let mut story = Story::begin(idle(200, 200), [b"", b""]);
        let tick = story.timers.timer();
        for _ in 0..30 {
            story.server.write_all(b".").await.unwrap();
            let mut byte = [0];
            story.client.read_exact(&mut byte).await.unwrap();
            tick.sleep(10 * MS).await;
        }
        story.server.shutdown().await.unwrap();
        story.client.shutdown().await.unwrap();
        Story::check(story.tunnel.await.unwrap(), "--", 0, 30);
    });
}

#[test]
fn after_half_a_close_the_fin_timeouts_hold() {
    tell(async {
        let far = MS * 60_000;
        let fin = IdleTimeouts { client: Some(far), server: Some(far), client_fin: None, server_fin: Some(30 * MS) };
        let mut story = Story::begin(fin, [b"", b""]);
        story.client.shutdown().await.unwrap();
        Story::check(story.tunnel.await.unwrap(), "sD", 0, 0);
    });
}

#[test]
fn it_ends_when_told_to() {
    tell(async {
        let story = Story::begin(idle(60_000, 0), [b"", b""]);
        tokio::task::yield_now().await;
        story.stop.set(Some(Cause::Down));
        story.timers.wake_all();
        Story::check(story.tunnel.await.unwrap(), "DD", 0, 0);
    });
}

#[test]
fn the_tunnel_timeout_stands_in_until_one_side_closes() {
    let seconds = |s| Some(Duration::from_secs(s));
    let client = FrontendTimeouts { client: seconds(1), client_fin: seconds(2), ..FrontendTimeouts::default() };
    let server = BackendTimeouts { server: seconds(3), ..BackendTimeouts::default() };
    let plain = IdleTimeouts { client: seconds(1), server: seconds(3), client_fin: seconds(2), server_fin: seconds(3) };
    assert_eq!(IdleTimeouts::new(&client, &server), plain);
    let server = BackendTimeouts { tunnel: seconds(9), ..server };
    let tunnel =
        IdleTimeouts { client: seconds(9), server: seconds(9), client_fin: seconds(2), server_fin: seconds(9) };
    assert_eq!(IdleTimeouts::new(&client, &server), tunnel);
}
