//! Handshakes in memory, with certificates made on the spot.

use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, RootCertStore};

use super::handshake::facts;
use super::testing::{
    authority, certificate, certificate_in_force, handshake, listener, server_config, shared, terms, to_server,
};
use super::*;
use crate::model::backend::ServerAddress;
use crate::model::tls::{
    Certificate, ClientTrust, Ignored, ListenerTls, OwnCertificate, ServerSni, ServerTls, ServerVerify, SniFilter,
    Terms,
};

fn connect(to: &ServerTls, listener: &ListenerTls) -> Result<(ClientConnection, rustls::ServerConnection), String> {
    let shared = shared();
    let client = ClientConnection::new(client_config(to), name_for(to)).unwrap();
    handshake(client, server_config(listener, &shared)).map_err(|error| BadHandshake::from(error).to_string())
}

fn name_for(to: &ServerTls) -> rustls::pki_types::ServerName<'static> {
    server_name(to, &ServerAddress::Tcp("192.0.2.1:443".parse().unwrap()), None)
}

fn shown(client: &ClientConnection) -> &CertificateDer<'static> {
    &client.peer_certificates().unwrap()[0]
}

fn asking_for(sni: &str) -> ServerTls {
    ServerTls { sni: Some(ServerSni::Fixed(sni.into())), ..to_server(ServerVerify::None) }
}

/// Which of the listener's certificates a client asking for `sni` gets; `""` asks for none.
#[track_caller]
fn check_choice(listener: &ListenerTls, sni: &str, expected: Result<usize, &str>) {
    let to = if sni.is_empty() { to_server(ServerVerify::None) } else { asking_for(sni) };
    let chosen = connect(&to, listener).map(|(client, _)| {
        let der = shown(&client);
        listener.certificates.iter().position(|served| &served.certificate.key.cert[0] == der).unwrap()
    });
    assert_eq!(chosen, expected.map_err(str::to_owned), "{sni}");
}

#[test]
fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let names: [&[&str]; 3] = [&["default.example"], &["a.example", "b.example"], &["*.example", "*.c.example"]];
    let mut listener = listener(names.into_iter().map(certificate).collect());
    check_choice(&listener, "", Ok(0));
    check_choice(&listener, "a.example", Ok(1));
    check_choice(&listener, "B.Example", Ok(1));
    check_choice(&listener, "d.example", Ok(2)); // by the wildcard
    check_choice(&listener, "d.c.example", Ok(2));
    check_choice(&listener, "e.d.example", Ok(0)); // a wildcard stands for one label
    check_choice(&listener, "example", Ok(0));
    listener.strict_sni = true;
    let refused = "no certificate for the name the client asked for";
    check_choice(&listener, "a.example", Ok(1));
    check_choice(&listener, "", Err(refused));
    check_choice(&listener, "other.test", Err(refused));
}

#[test]
fn an_expired_twin_is_passed_over() {
    let expired = certificate_in_force(&["a.example"], SystemTime::now() - Duration::from_secs(60));
    check_choice(&listener(vec![expired, certificate(&["a.example"])]), "a.example", Ok(1));
}

fn trusting(certificate: &Certificate) -> ServerVerify {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.key.cert[0].clone()).unwrap();
    ServerVerify::Required { roots: Arc::new(roots), revoked: Arc::default() }
}

#[track_caller]
fn check_verify(to: &ServerTls, listener: &ListenerTls, expected: Result<(), &str>) {
    assert_eq!(connect(to, listener).map(|_| ()), expected.map_err(str::to_owned));
}

#[test]
fn a_server_is_verified_as_configured() {
    let ours = certificate(&["a.example"]);
    let other = certificate(&["a.example"]);
    let listener = listener(vec![Arc::clone(&ours)]);
    let named = |verify, sni: Option<&str>, verify_host: Option<&str>| ServerTls {
        sni: sni.map(|name| ServerSni::Fixed(name.into())),
        verify_host: verify_host.map(str::to_owned),
        ..to_server(verify)
    };
    let another_name = "certificate not accepted: for another name";
    check_verify(&named(ServerVerify::None, Some("b.example"), None), &listener, Ok(()));
    check_verify(&named(trusting(&ours), None, None), &listener, Ok(()));
    check_verify(&named(trusting(&ours), Some("a.example"), None), &listener, Ok(()));
    check_verify(&named(trusting(&ours), Some("b.example"), None), &listener, Err(another_name));
    check_verify(&named(trusting(&ours), Some("b.example"), Some("a.example")), &listener, Err(another_name));
    check_verify(&named(trusting(&ours), Some("a.example"), Some("b.example")), &listener, Ok(()));
    check_verify(&named(trusting(&ours), None, Some("b.example")), &listener, Err(another_name));
    check_verify(&named(trusting(&ours), None, Some("no name")), &listener, Err(another_name));
    let unknown = connect(&named(trusting(&other), None, None), &listener).unwrap_err();
    assert!(unknown.starts_with("certificate not accepted: "), "{unknown}");
}

#[test]
fn a_root_may_be_the_servers_own_certificate() {
    let hour = Duration::from_secs(3600);
    let ours = authority(&["a.example"], SystemTime::now() + hour);
    let other = authority(&["a.example"], SystemTime::now() + hour);
    let expired = authority(&["a.example"], SystemTime::now() - hour);
    let named = |root: &Certificate, name: &str| ServerTls {
        sni: Some(ServerSni::Fixed(name.into())),
        ..to_server(trusting(root))
    };
    let serving = |certificate: &Arc<Certificate>| listener(vec![Arc::clone(certificate)]);
    check_verify(&named(&ours, "a.example"), &serving(&ours), Ok(()));
    let another_name = "certificate not accepted: for another name";
    check_verify(&named(&ours, "b.example"), &serving(&ours), Err(another_name));
    for (root, shown) in [(&other, &ours), (&expired, &expired)] {
        let refused = connect(&named(root, "a.example"), &serving(shown)).unwrap_err();
        assert!(refused.starts_with("certificate not accepted: "), "{refused}");
    }
}

#[test]
fn versions_and_protocols_are_agreed_on() {
    let mut listener = listener(vec![certificate(&["a.example"])]);
    let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    listener.terms = Arc::new(Terms { alpn: alpn.clone(), ..terms() });
    let mut to = asking_for("a.example");
    to.alpn = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let server = connect(&to, &listener).unwrap().1;
    let agreed = facts(&server, None);
    assert_eq!((agreed.protocol, agreed.alpn.as_deref()), ("TLSv1.3", Some(&b"h2"[..]))); // the listener's order
    assert_eq!((agreed.cipher, server.server_name()), ("TLS_AES_256_GCM_SHA384", Some("a.example")));

    to.max_version = TlsVersion::Tls12;
    let agreed = facts(&connect(&to, &listener).unwrap().1, None);
    assert_eq!((agreed.protocol, agreed.cipher), ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"));

    listener.terms = Arc::new(Terms { alpn, min_version: TlsVersion::Tls13, ..terms() });
    assert_eq!(connect(&to, &listener).unwrap_err(), "no TLS version in common");
}

#[test]
fn plain_http_is_named_as_such() {
    let listener = listener(vec![certificate(&["a.example"])]);
    let mut server = rustls::ServerConnection::new(server_config(&listener, &shared())).unwrap();
    server.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"[..]).unwrap();
    let error = server.process_new_packets().unwrap_err();
    assert_eq!(BadHandshake::from(error).to_string(), "peer does not speak TLS (plain HTTP on a TLS port?)");
}

/// Two connections with the same client; the listener is rebuilt in between, as a reload does.
#[track_caller]
fn check_resumption(version: TlsVersion, second: &TlsShared, first: &TlsShared, expected: bool) {
    let mut listener = listener(vec![certificate(&["a.example"])]);
    listener.terms = Arc::new(Terms { max_version: version, ..terms() });
    let to = asking_for("a.example");
    let client = client_config(&to);
    let resumed = [first, second].map(|shared| {
        let connection = ClientConnection::new(Arc::clone(&client), name_for(&to)).unwrap();
        facts(&handshake(connection, server_config(&listener, shared)).unwrap().1, None).resumed
    });
    assert_eq!(resumed, [false, expected], "{version:?}");
}

#[test]
fn sessions_resume_over_a_reload() {
    let one = &shared();
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        check_resumption(version, one, one, true);
        check_resumption(version, &shared(), one, false);
    }
}

#[test]
fn a_session_ends_with_the_certificate_of_ours_it_began_with() {
    let own = |certificate: &Arc<Certificate>| OwnCertificate(ArcSwap::new(Arc::clone(certificate)));
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let (first, second) = (certificate(&["one.test"]), certificate(&["two.test"]));
        let mut roots = RootCertStore::empty();
        for trusted in [&first, &second] {
            roots.add(trusted.key.cert[0].clone()).unwrap();
        }
        let mut listener = listener(vec![certificate(&["a.example"])]);
        let trust = ClientTrust {
            required: true,
            roots: Arc::new(roots),
            hints: Vec::new(),
            revoked: Arc::default(),
            ignored: Ignored::default(),
        };
        listener.terms = Arc::new(Terms { max_version: version, client: Some(Arc::new(trust)), ..terms() });
        let ours = Arc::new(own(&first));
        let to = ServerTls { certificate: Some(Arc::clone(&ours)), ..asking_for("a.example") };
        let dialer = TlsToServer::new(&to);
        let server = server_config(&listener, &shared());
        let ask = || {
            let client = ClientConnection::new(dialer.config(), name_for(&to)).unwrap();
            let (_, server) = handshake(client, Arc::clone(&server)).unwrap();
            let who = server.peer_certificates().unwrap()[0].clone();
            (facts(&server, None).resumed, who == first.key.cert[0])
        };
        assert_eq!([ask(), ask()], [(false, true), (true, true)], "{version:?}");
        // Touched on disk.
        let again = Certificate { path: "read again".into(), ..copy_of(&first) };
        ours.0.store(Arc::new(again));
        assert_eq!(ask(), (true, true), "{version:?}");
        ours.0.store(Arc::clone(&second));
        assert_eq!([ask(), ask()], [(false, false), (true, false)], "{version:?}");
    }
}

fn copy_of(it: &Certificate) -> Certificate {
    Certificate {
        path: it.path.clone(),
        files: Vec::new(),
        key: Arc::clone(&it.key),
        names: it.names.clone(),
        not_before: it.not_before,
        not_after: it.not_after,
        staple_until: it.staple_until,
    }
}

#[test]
fn filters_choose_and_exclude_and_a_mark_makes_the_default() {
    let filter = |text: &str| match text.strip_prefix('!') {
        Some(name) => SniFilter { negative: true, name: name.to_owned() },
        None => SniFilter { negative: false, name: text.to_owned() },
    };
    let mut listener = listener(["a.test", "b.test", "c.test"].map(|name| certificate(&[name])).into());
    listener.certificates[1].filters = ["*.wild.test", "!no.wild.test", "own.test"].map(filter).into();
    listener.certificates[2].filters = ["!*"].map(filter).into();
    listener.certificates[2].is_default = true;
    check_choice(&listener, "a.test", Ok(0));
    check_choice(&listener, "x.wild.test", Ok(1));
    check_choice(&listener, "own.test", Ok(1));
    check_choice(&listener, "no.wild.test", Ok(2));
    check_choice(&listener, "b.test", Ok(2)); // with filters only they count
    check_choice(&listener, "c.test", Ok(2));
    check_choice(&listener, "", Ok(2));
    listener.strict_sni = true;
    check_choice(&listener, "x.wild.test", Ok(1));
    check_choice(&listener, "c.test", Err("no certificate for the name the client asked for"));
}

#[test]
fn a_renewed_certificate_takes_the_place_of_its_predecessor() {
    let (old, other) = (certificate(&["a.test"]), certificate(&["other.test"]));
    let renewed = certificate(&["a.test", "new.test"]);
    let acceptance = Acceptance::new(&listener(vec![other, Arc::clone(&old)]), &shared());
    // All of these were read from the same path.
    assert!(acceptance.renew(&renewed));
    let serving: Vec<_> = acceptance.certificates().iter().map(|it| it.names.clone()).collect();
    assert_eq!(serving, [renewed.names.clone(), renewed.names.clone()]);
}
