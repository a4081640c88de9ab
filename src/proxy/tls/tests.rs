//! TLS over pipes in memory: our two ends, and tokio-rustls as a peer that is not ours.

use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::model::backend::ServerAddress;
use crate::model::tls::{ServerSni, ServerTls, ServerVerify, TlsVersion};
use crate::state::tls::testing::{certificate, listener, shared, to_server};
use crate::state::tls::{Acceptance, client_config, server_name};

pub(super) fn acceptance() -> Acceptance {
    Acceptance::new(&listener(vec![certificate(&["a.example"])]), &shared())
}

pub(super) fn to(version: TlsVersion) -> ServerTls {
    ServerTls { max_version: version, sni: Some(ServerSni::Fixed("a.example".into())), ..to_server(ServerVerify::None) }
}

pub(super) fn name(to: &ServerTls) -> ServerName<'static> {
    server_name(to, &ServerAddress::Tcp("192.0.2.1:443".parse().unwrap()), None)
}

/// Runs what needs an event loop; nothing takes longer than a minute.
pub(super) fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), story).await }).unwrap()
}

type Server = Tls<UnbufferedServerConnection>;

/// A client of another make, and our end of its connection.
async fn accepted(version: TlsVersion, pipe: usize) -> (tokio_rustls::client::TlsStream<DuplexStream>, AcceptedTls) {
    let (near, far) = duplex(pipe);
    let to = to(version);
    let connector = tokio_rustls::TlsConnector::from(client_config(&to));
    let acceptance = acceptance();
    let (client, server) = tokio::join!(connector.connect(name(&to), far), accept(Plain::Memory(near), &acceptance));
    (client.unwrap(), server.unwrap())
}

/// What remains lent to a connection.
fn lent<S: Session>(tls: &Tls<S>) -> usize {
    [&tls.incoming, &tls.plaintext, &tls.outgoing].iter().filter(|window| !window.has_no_buffer()).count()
}

/// An alert of TLS 1.3 as it is sent: its two bytes, their content type and a tag.
const ALERT: usize = 2 + 1 + 16;

/// The lengths of the records in there.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = bytes {
        lengths.push(usize::from(u16::from_be_bytes([*high, *low])));
        bytes = rest.get(lengths[lengths.len() - 1]..).unwrap();
    }
    lengths
}

async fn echo(mut server: Server, mut piece: usize) -> Server {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        buffer.reserve_exact(piece);
        if std::future::poll_fn(|cx| server.poll_read_into(cx, &mut buffer)).await.unwrap() == 0 {
            break;
        }
        server.write_all(&buffer).await.unwrap();
        server.flush().await.unwrap();
        piece = (piece * 7 + 1) % 100_000 + 1;
    }
    server.shutdown().await.unwrap();
    server
}

/// Sends pieces of these lengths to our end through a pipe this wide and reads them back.
fn check_echo(version: TlsVersion, pipe: usize, pieces: &[usize], read: usize) {
    run(async {
        let (client, AcceptedTls { tls, .. }) = accepted(version, pipe).await;
        let (mut reader, mut writer) = tokio::io::split(client);
        let sent: Vec<u8> = pieces.iter().enumerate().flat_map(|(at, &len)| vec![at as u8; len]).collect();
        let write = async {
            let mut rest = &sent[..];
            for &len in pieces {
                let (piece, behind) = rest.split_at(len);
                writer.write_all(piece).await.unwrap();
                writer.flush().await.unwrap();
                rest = behind;
            }
            writer.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (server, (), read) = tokio::join!(echo(tls, read), write, reader.read_to_end(&mut got));
        assert_eq!(read.unwrap(), sent.len());
        assert!(got == sent, "other bytes came back");
        assert_eq!(lent(&server), 0);
    });
}

#[test]
fn bytes_pass_unharmed_both_ways() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        check_echo(version, 64, &[1, 2, 3], 1);
        check_echo(version, 1000, &[5000, 1, 16_384, 16_385], 3000);
        check_echo(version, 1 << 20, &[300_000, 1, 100_000], 65_536);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn bytes_pass_unharmed_in_any_pieces(
        pipe in 1usize..100_000,
        pieces in prop::collection::vec(1usize..50_000, 1..6),
        read in 1usize..100_000,
    ) {
        // A pipe of a few bytes takes very many turns.
        check_echo(TlsVersion::Tls13, pipe.max(pieces.iter().sum::<usize>() / 200), &pieces, read);
    }
}

#[test]
fn a_connection_at_rest_has_no_buffer() {
    run(async {
        let (mut client, AcceptedTls { mut tls, sni, .. }) = accepted(TlsVersion::Tls13, 1 << 16).await;
        assert_eq!(sni.as_deref(), Some("a.example"));
        client.write_all(b"ping").await.unwrap();
        client.flush().await.unwrap();
        let mut four = [0; 4];
        tls.read_exact(&mut four).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            biased;
            read = tls.read(&mut byte) => panic!("{read:?} although nothing was sent"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!((&four, lent(&tls)), (b"ping", 0));
    });
}

#[test]
fn tickets_leave_with_the_first_answer_or_when_there_is_nothing_to_read() {
    run(async {
        let (_client, AcceptedTls { mut tls, .. }) = accepted(TlsVersion::Tls13, 1 << 16).await;
        assert!(!tls.outgoing.is_empty(), "tickets wait for the answer");
        tls.write_all(b"answer").await.unwrap();
        assert!(tls.outgoing.is_empty());

        let (_client, AcceptedTls { mut tls, .. }) = accepted(TlsVersion::Tls13, 1 << 16).await;
        let mut byte = [0];
        tokio::select! {
            biased;
            read = tls.read(&mut byte) => panic!("{read:?} although nothing was sent"),
            () = tokio::task::yield_now() => {}
        }
        assert!(tls.outgoing.is_empty());
    });
}

#[test]
fn an_end_that_is_not_announced_is_an_error() {
    run(async {
        let (client, AcceptedTls { mut tls, .. }) = accepted(TlsVersion::Tls13, 1 << 16).await;
        drop(client);
        let error = tls.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
    run(async {
        let (mut client, AcceptedTls { mut tls, .. }) = accepted(TlsVersion::Tls13, 1 << 16).await;
        client.shutdown().await.unwrap();
        assert_eq!(tls.read(&mut [0; 10]).await.unwrap(), 0);
        tls.write_all(b"still there").await.unwrap();
        let mut got = [0; 11];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"still there");
    });
}

#[test]
fn a_record_that_was_changed_on_the_way_is_refused_and_told() {
    run(async {
        let (near, mut far) = duplex(1 << 16);
        let (client_end, mut middle) = duplex(1 << 16);
        let writes = Cell::new(false);
        let to = to(TlsVersion::Tls13);
        let connector = tokio_rustls::TlsConnector::from(client_config(&to));
        let acceptance = acceptance();
        let client = async {
            let mut client = connector.connect(name(&to), client_end).await.unwrap();
            while !writes.get() {
                tokio::task::yield_now().await;
            }
            client.write_all(b"secret").await.unwrap();
            client.flush().await.unwrap();
            client.read(&mut [0; 10]).await
        };
        let server = async {
            let AcceptedTls { mut tls, .. } = accept(Plain::Memory(near), &acceptance).await.unwrap();
            writes.set(true);
            let error = tls.read(&mut [0; 10]).await.unwrap_err();
            error.into_inner().unwrap().to_string()
        };
        let between = async {
            let (mut up, mut down) = ([0; 4096], [0; 4096]);
            loop {
                tokio::select! {
                    count = middle.read(&mut up) => {
                        let Ok(count @ 1..) = count else { break std::future::pending::<()>().await };
                        if writes.get() {
                            up[count - 1] ^= 1;
                        }
                        far.write_all(&up[..count]).await.unwrap();
                    }
                    count = far.read(&mut down) => {
                        let Ok(count @ 1..) = count else { break std::future::pending::<()>().await };
                        middle.write_all(&down[..count]).await.unwrap();
                    }
                }
            }
        };
        tokio::pin!(between);
        let story = async { tokio::join!(client, server) };
        let (seen, refused) = tokio::select! {
            both = story => both,
            () = &mut between => panic!("the connection ended"),
        };
        assert_eq!(refused, "cannot decrypt peer's message");
        assert!(seen.unwrap_err().to_string().contains("BadRecordMac"));
    });
}

#[test]
fn our_client_speaks_with_another_server() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let acceptance = acceptance();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&acceptance.usual().config));
        let to = to(TlsVersion::Tls13);
        let config = client_config(&to);
        let client = async {
            let mut client = connect(Plain::Memory(near), config, name(&to)).await.unwrap();
            client.write_all(&[7; 200_000]).await.unwrap();
            client.flush().await.unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(lent(&client), 0);
            got
        };
        let server = async {
            let mut server = acceptor.accept(far).await.unwrap();
            let mut got = vec![0; 200_000];
            server.read_exact(&mut got).await.unwrap();
            server.write_all(&got).await.unwrap();
            server.shutdown().await.unwrap();
            server
        };
        let (got, _server) = tokio::join!(client, server);
        assert!(got == [7; 200_000]);
    });
}

#[test]
fn after_a_broken_record_nothing_more_is_looked_at_or_said() {
    run(async {
        const PIPE: usize = 200_000;
        let (client, AcceptedTls { mut tls, .. }) = accepted(TlsVersion::Tls13, PIPE).await;
        let (mut far, _) = client.into_inner();
        far.write_all(&[&[0x17, 3, 3, 0, 40][..], &[9; PIPE - 5]].concat()).await.unwrap();
        let error = tls.read(&mut [0; 10]).await.unwrap_err();
        far.write_all(&[9; PIPE]).await.unwrap(); // all that came before has been read
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(tls.read(&mut [0; 10]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(tls.write(b"an error page").await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        tls.shutdown().await.unwrap();
        let mut told = Vec::new();
        far.read_to_end(&mut told).await.unwrap();
        let records = records(&told);
        // The tickets, and the alert.
        assert_eq!(records.iter().filter(|len| **len == ALERT).count(), 1, "{records:?}");
        assert_eq!(records.last(), Some(&ALERT));
        assert_eq!(lent(&tls), 0);
    });
}
