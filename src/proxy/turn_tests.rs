//! Does anybody keep others of their worker waiting? What is all there at once makes nobody wait, and is stopped all the same.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::task::LocalSet;

use super::clock;
use super::memory::{self, Speaks};
use super::stream::{Plain, Stream};
use super::testing::{back, front, nobody};
use super::worker::Worker;
use crate::balance::idle::Kept;
use crate::model::testing::config;
use crate::model::{BackendId, ServerId};

/// Answered by the proxy itself.
const OWN: &str = "OPTIONS * HTTP/1.1\r\nHost: app\r\nMax-Forwards: 0\r\n\r\n";
/// Bytes under way in each direction.
const ROOM: usize = 64 * 1024;

async fn client(worker: &Rc<Worker>, requests: &str) -> DuplexStream {
    let (mut client, near) = duplex(ROOM);
    client.write_all(requests.as_bytes()).await.unwrap();
    memory::accept(worker, Speaks::Http1, near);
    client
}

/// What has come, without a wait for more.
async fn received(from: &mut DuplexStream) -> String {
    let mut bytes = vec![0; ROOM];
    let mut buffer = ReadBuf::new(&mut bytes);
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *from).poll_read(cx, &mut buffer).is_ready())).await;
    String::from_utf8_lossy(buffer.filled()).into_owned()
}

/// Two clients come to a worker. What the first one gets ends with `last`, and the second is to be answered before that.
#[track_caller]
fn check(requests: &str, from_server: Option<&str>, last: &str) {
    let snapshot = memory::all_in_rotation(config(vec![front()], vec![back(&[nobody()])]));
    let (shared, _events) = memory::shared(snapshot, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (early, late) = LocalSet::new().block_on(&runtime, async {
        let worker = Worker::new(0, Arc::clone(&shared));
        let (near, mut server) = duplex(ROOM);
        let connection = Stream::Plain(Plain::Memory(near));
        let ready = Kept { connection, since: clock::now(), uses: 2, wish: None };
        worker.view().pool(BackendId(0), ServerId(0)).checkin(ready);
        let mut first = client(&worker, requests).await;
        if let Some(answer) = from_server {
            server.read_u8().await.unwrap();
            server.write_all(answer.as_bytes()).await.unwrap();
        }
        let mut second = client(&worker, OWN).await;
        second.read_u8().await.unwrap();
        let early = received(&mut first).await;
        let mut late = early.clone();
        while !late.contains(last) {
            tokio::task::yield_now().await;
            late += &received(&mut first).await;
        }
        (early, late)
    });
    assert!(early.len() < late.len(), "the second client has waited until all {} bytes were sent", late.len());
}

#[test]
fn requests_sent_in_one_go() {
    let last = OWN.replace("OPTIONS *", "TRACE /");
    check(&(OWN.repeat(100) + &last), None, "HTTP/1.1 405 ");
}

#[test]
fn chunks_of_a_byte() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + &"1\r\nx\r\n".repeat(10_000);
    check("GET / HTTP/1.1\r\nHost: app\r\n\r\n", Some(&(answer + "0\r\n\r\n")), "0\r\n\r\n");
}

#[test]
fn interim_answers() {
    let answer = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000) + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend";
    check("GET / HTTP/1.0\r\n\r\n", Some(&answer), "end");
}
