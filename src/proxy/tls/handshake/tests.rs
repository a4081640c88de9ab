//! How handshakes with clients end, good ones and others.

use std::sync::Arc;

use rustls::unbuffered::ConnectionState;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::super::tests::{acceptance, name, run, to};
use super::*;
use crate::model::tls::{ListenerTls, ServerSni, ServerTls, Terms, TlsVersion};
use crate::state::tls::client_config;
use crate::state::tls::testing::{certificate, listener, shared, terms};

/// What a client and we agree on: the protocol, and the host it asks for.
type Agreed = (Option<Vec<u8>>, Option<Box<str>>);

/// What comes of a client, on its side and on ours.
fn meet(acceptance: &Acceptance, to: &ServerTls) -> (Option<io::Error>, Result<Agreed, String>) {
    run(async {
        let (near, far) = duplex(1 << 16);
        let connector = tokio_rustls::TlsConnector::from(client_config(to));
        let (client, server) = tokio::join!(connector.connect(name(to), far), accept(Plain::Memory(near), acceptance));
        let agreed = server.map(|it| (it.tls.session().alpn_protocol().map(<[u8]>::to_vec), it.sni));
        (client.err(), agreed.map_err(|bad| bad.to_string()))
    })
}

#[test]
fn without_a_protocol_in_common_none_is_agreed_on() {
    let mut offering = listener(vec![certificate(&["a.example"])]);
    offering.terms = Arc::new(Terms { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..terms() });
    let acceptance = Acceptance::new(&offering, &shared());
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        for (offered, agreed) in [(&["http/1.0"][..], None), (&["x", "http/1.1"], Some("http/1.1")), (&[], None)] {
            let alpn = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let (refused, met) = meet(&acceptance, &ServerTls { alpn, ..to(version) });
            assert!(refused.is_none(), "{offered:?}: {refused:?}");
            assert_eq!(met.unwrap().0.as_deref(), agreed.map(str::as_bytes), "{offered:?}");
        }
    }
}

#[test]
fn a_client_is_told_why_there_is_no_certificate_for_it() {
    let strict = ListenerTls { strict_sni: true, ..listener(vec![certificate(&["b.example"])]) };
    let (told, logged) = meet(&Acceptance::new(&strict, &shared()), &to(TlsVersion::Tls13));
    assert!(told.unwrap().to_string().contains("UnrecognisedName"));
    assert_eq!(logged.unwrap_err(), "no certificate for the name the client asked for");
}

/// Sends bytes and goes.
#[track_caller]
fn check_cut(sent: &[u8], expected: &str) {
    run(async {
        let (near, mut far) = duplex(1 << 16);
        far.write_all(sent).await.unwrap();
        far.shutdown().await.unwrap();
        let acceptance = acceptance();
        let bad = accept(Plain::Memory(near), &acceptance).await.err().unwrap();
        assert_eq!(format!("{bad:?}"), expected);
    });
}

#[test]
fn a_client_that_goes_is_told_apart_by_its_hello() {
    let to = to(TlsVersion::Tls13);
    let mut client = UnbufferedClientConnection::new(client_config(&to), name(&to)).unwrap();
    let mut hello = vec![0; 4096];
    let length = match client.process_tls_records(&mut []).state.unwrap() {
        ConnectionState::EncodeTlsData(mut data) => data.encode(&mut hello).unwrap(),
        other => panic!("{other:?}"),
    };
    hello.truncate(length);
    check_cut(b"", "NoHello");
    check_cut(&hello[..20], "NoHello");
    check_cut(&hello, "Closed");
}

#[test]
fn clients_of_before_tls_1_2_are_told_about_the_version() {
    for (version, outcome, alert) in [(1, "Version", 70), (2, "Version", 70), (3, "Protocol", 40)] {
        // A suite, no compression, no extensions.
        let body = [&[3, version][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0]].concat();
        let hello = [&[22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8][..], &body].concat();
        run(async {
            let (near, mut far) = duplex(1 << 16);
            far.write_all(&hello).await.unwrap();
            let acceptance = acceptance();
            let bad = accept(Plain::Memory(near), &acceptance).await.err().unwrap();
            assert!(format!("{bad:?}").starts_with(outcome), "{bad:?}");
            let mut told = Vec::new();
            far.read_to_end(&mut told).await.unwrap();
            assert_eq!(told, [21, 3, 3, 0, 2, 2, alert]);
        });
    }
}

#[test]
fn the_name_asked_for_is_told_as_it_was_sent() {
    let asking = |host: &str| ServerTls { sni: Some(ServerSni::Fixed(host.into())), ..to(TlsVersion::Tls13) };
    for host in ["a.example", "A.Example"] {
        let (_, met) = meet(&acceptance(), &asking(host));
        assert_eq!(met.unwrap().1.as_deref(), Some(host));
    }
}

#[test]
fn what_is_no_tls_is_named_as_such() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1], &[0; 100]] {
        run(async {
            let (near, mut far) = duplex(1 << 16);
            far.write_all(bytes).await.unwrap();
            let acceptance = acceptance();
            let bad = accept(Plain::Memory(near), &acceptance).await.err().unwrap();
            assert!(matches!(bad, BadHandshake::NotTls | BadHandshake::Protocol(_)), "{bad:?}");
            let mut told = Vec::new();
            far.read_to_end(&mut told).await.unwrap();
            assert_eq!(told.first(), Some(&21), "an alert"); // RFC 8446 §5.1
        });
    }
}

#[test]
fn a_hello_in_very_many_records_is_refused() {
    run(async {
        let (near, mut far) = duplex(1000);
        let drip = async {
            let mut sent = 0;
            let hello = [&[1, 0, 0xff, 0xf0][..], &[0; 0xfff0]].concat();
            for byte in hello {
                let record = [0x16, 3, 1, 0, 1, byte];
                if far.write_all(&record).await.is_err() {
                    break;
                }
                sent += record.len();
            }
            sent
        };
        let acceptance = acceptance();
        let (sent, refused) =
            tokio::join!(drip, async { accept(Plain::Memory(near), &acceptance).await.err().unwrap() });
        assert!(matches!(refused, BadHandshake::Protocol(_)), "{refused:?}");
        assert!(sent < 100_000, "{sent} bytes were taken in");
    });
}
