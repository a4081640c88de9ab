//! A new connection to one server: socket, PROXY header, TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, UnixStream};

use super::super::stream::{Plain, Stream};
use super::super::timer::Timer;
use super::super::tls;
use super::OnBehalfOf;
use crate::model::Server;
use crate::model::backend::{ProxyVersion, ServerAddress};
use crate::model::tls::ServerSni;
use crate::state::dial;
use crate::state::snapshot::ServerInForce;
use crate::state::tls::{BadHandshake, server_name};
use crate::wire::proxy_protocol::{self, Header};

/// Why a server gave us no connection. The caller adds which server it was.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The kernel said no: refused, unreachable, out of ports.
    Io(io::Error),
    /// No answer within `timeout connect`.
    TimedOut,
    Tls(BadHandshake),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Io(error) => error.fmt(f),
            ConnectError::TimedOut => f.write_str("no answer within the connect timeout"),
            ConnectError::Tls(error) => error.fmt(f),
        }
    }
}

/// Connects within `timeout` (all of it: TLS and PROXY header included). `host` is the request's, for servers whose SNI is
/// the client's wish.
pub(crate) async fn connect(
    server: &ServerInForce,
    timeout: Option<Duration>,
    client: OnBehalfOf<'_>,
    host: Option<&[u8]>,
    timer: &Timer,
) -> Result<Stream, ConnectError> {
    timer.set_after(timeout);
    let connected = timer.bound(open(server, client, host)).await;
    timer.set(None);
    connected.unwrap_or(Err(ConnectError::TimedOut))
}

async fn open(server: &ServerInForce, client: OnBehalfOf<'_>, host: Option<&[u8]>) -> Result<Stream, ConnectError> {
    let mut plain = open_socket(&server.config, client.source(&server.config)).await.map_err(ConnectError::Io)?;
    if let Some(version) = server.config.send_proxy {
        let header = match (client.client, client.local) {
            (Some(source), Some(destination)) => Header::Proxied { source, destination },
            _ => Header::Unnamed,
        };
        let mut bytes = Vec::with_capacity(proxy_protocol::V1_LIMIT);
        match version {
            ProxyVersion::V1 => proxy_protocol::encode(version, header, &mut bytes),
            ProxyVersion::V2 => {
                let options = server.config.proxy_options;
                proxy_protocol::encode_v2_telling(header, options, Some(&client.told), &mut bytes);
            }
        }
        plain.write_all(&bytes).await.map_err(ConnectError::Io)?;
    }
    let (Some(settings), Some(tls_to)) = (&server.config.tls, &server.tls) else {
        return Ok(Stream::Plain(plain));
    };
    // In a TCP session both wishes are the client's name; in HTTP they differ.
    let host = match settings.sni {
        Some(ServerSni::ClientSni) => client.told.tls.and_then(|tls| tls.sni.as_deref()).map(str::as_bytes),
        _ => host,
    };
    let name = server_name(settings, &server.config.address, host);
    // Boxed, and so it is with what HTTP/2 needs: all others need not carry room for a handshake through every future around.
    match Box::pin(tls::connect(plain, tls_to.config(), name)).await {
        Ok(tls) => Ok(Stream::Server(Box::new(tls))),
        Err(error) => Err(ConnectError::Tls(BadHandshake::from(error))),
    }
}

async fn open_socket(server: &Server, client: Option<SocketAddr>) -> io::Result<Plain> {
    match (&server.address, &server.dial) {
        (ServerAddress::Tcp(address), None) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_nodelay(true)?;
            Ok(Plain::Tcp(socket.connect(*address).await?))
        }
        (ServerAddress::Tcp(address), Some(dial)) => {
            Ok(Plain::Tcp(dial::connect(*address, dial, client, |_| ()).await?))
        }
        (ServerAddress::Unix(path), _) => Ok(Plain::Unix(UnixStream::connect(path).await?)),
    }
}
