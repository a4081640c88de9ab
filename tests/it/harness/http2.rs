//! Peers that speak HTTP/2 and nothing else, in clear text, on both sides of the proxy.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, client};
use http::{HeaderMap, Request};
use tokio::net::{TcpListener, TcpStream};

use super::DEADLINE;

/// A server that is told how to answer each request.
pub struct Http2Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    /// Its thread ends when this is dropped.
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// How an [`Http2Origin`] treats its connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    /// Streams at once on a connection.
    pub streams: Option<u32>,
    /// Says goodbye after so many requests on a connection.
    pub goodbye_after: Option<usize>,
    /// Says nothing more on its first connection from this request on, and keeps it open.
    pub silent_from: Option<usize>,
    /// From this connection on, the first being 1, says nothing at all.
    pub mute_from: Option<usize>,
}

impl Http2Origin {
    pub fn start<F, R>(manners: Manners, answer: F) -> Self
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let open = Arc::new(AtomicUsize::new(0));
        let now_open = Arc::clone(&open);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let accepting = async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let number = count.fetch_add(1, SeqCst) + 1;
                    if manners.mute_from.is_some_and(|from| number >= from) {
                        tokio::spawn(async move {
                            let _stream = stream;
                            std::future::pending::<()>().await;
                        });
                        continue;
                    }
                    let manners = Manners { silent_from: manners.silent_from.filter(|_| number == 1), ..manners };
                    let (now_open, answer) = (Arc::clone(&now_open), answer.clone());
                    now_open.fetch_add(1, SeqCst);
                    tokio::spawn(async move {
                        serve(stream, manners, answer).await;
                        now_open.fetch_sub(1, SeqCst);
                    });
                }
            };
            runtime.block_on(async {
                tokio::select! { () = accepting => {}, _ = stopped => {} }
            });
        });
        Http2Origin { address, connections, open, _stop: stop }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Of them, those that nobody has closed, silent ones aside.
    pub fn open(&self) -> usize {
        self.open.load(SeqCst)
    }
}

async fn serve<F, R>(stream: TcpStream, manners: Manners, answer: F)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    if let Some(streams) = manners.streams {
        builder.max_concurrent_streams(streams);
    }
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    let mut taken = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        taken += 1;
        if manners.silent_from == Some(taken) {
            std::future::pending::<()>().await;
        }
        if manners.goodbye_after == Some(taken) {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(request, respond));
    }
}

/// Runs a client's side of a story; it must end in time.
pub fn tell<F: Future<Output = ()>>(story: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, story).await.expect("the story ends in time") });
}

/// A client's connection whose peer has told its settings.
pub async fn connect(address: SocketAddr) -> client::SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, mut connection) = client::handshake(stream).await.unwrap();
    let mut ping = connection.ping_pong().unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    ping.ping(h2::Ping::opaque()).await.unwrap();
    sender.ready().await.unwrap()
}

/// All of a body, and its trailers.
pub async fn whole(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
    }
    Ok((all, body.trailers().await?))
}
