//! Which certificate a client gets, which it must show, and what the answering server learns of it: with openssl and curl.

use crate::harness::{Authority, Haproxy, Key, Origin, Proxy, Site, TempDir, check_config, run_tool, tool_output};

/// What `openssl s_client` says about a handshake.
fn handshake(proxy: &Proxy, arguments: &str) -> String {
    let address = proxy.address("web").to_string();
    let words: Vec<&str> = ["s_client", "-connect", &address].into_iter().chain(arguments.split(' ')).collect();
    tool_output("openssl", &words, b"")
}

/// The common name of the certificate a client gets, and what kind of key it has.
#[track_caller]
fn check_served(proxy: &Proxy, arguments: &str, name: &str, kind: &str) {
    let said = handshake(proxy, arguments);
    let subject = said.lines().find(|line| line.starts_with("subject=")).unwrap_or_default().replace(' ', "");
    assert!(subject.ends_with(&format!("CN={name}")), "{arguments}: {said}");
    assert!(said.contains(&format!("Peer signature type: {kind}")), "{arguments}: {said}");
}

#[test]
fn rsa_and_elliptic_curves_stand_side_by_side() {
    let authority = Authority::new("Authority");
    for bundle in [true, false] {
        let dir = TempDir::new();
        for (file, kind) in [("rsa", Key::Rsa), ("ecdsa", Key::Ec)] {
            let pem = authority.sign(file, "site.test", kind);
            dir.write(&format!("site.pem.{file}"), std::fs::read(pem).unwrap());
        }
        let crt = if bundle { "crt <dir>/site.pem" } else { "crt <dir>/site.pem.rsa crt <dir>/site.pem.ecdsa" };
        let proxy = Proxy::start_in(&Site::http().bind(&format!("bind 127.0.0.1:<web> ssl {crt}")).text(), dir);
        check_served(&proxy, "-servername site.test", "site.test", "ECDSA");
        check_served(&proxy, "-servername Site.Test -sigalgs RSA-PSS+SHA256", "site.test", "RSA-PSS");
        check_served(&proxy, "-servername site.test -tls1_2 -cipher aRSA", "site.test", "RSA-PSS");
        check_served(&proxy, "-noservername -sigalgs RSA-PSS+SHA256", "site.test", "RSA-PSS");
    }
}

#[test]
fn a_list_chooses_by_name_and_gives_terms() {
    let authority = Authority::new("Authority");
    let dir = TempDir::new();
    for name in ["first.test", "wild.test", "strict.test"] {
        dir.write(&format!("{name}.pem"), std::fs::read(authority.sign(name, name, Key::Ec)).unwrap());
    }
    dir.write("ca.pem", authority.pem());
    let list = "\
# the default
{dir}/first.test.pem !*
{dir}/wild.test.pem  *.a.test !no.a.test
{dir}/strict.test.pem [verify required ca-file {dir}/ca.pem ssl-min-ver TLSv1.3 alpn imap] strict.test
";
    dir.write("list.txt", list.replace("{dir}", &dir.path().display().to_string()));
    let client = authority.sign("client", "client", Key::Ec);
    let client = client.to_str().unwrap();
    let site = Site::http().bind("bind 127.0.0.1:<web> ssl crt-list <dir>/list.txt alpn http/1.1");
    let proxy = Proxy::start_in(&site.text(), dir);
    check_served(&proxy, "-servername x.a.test", "wild.test", "ECDSA");
    check_served(&proxy, "-servername no.a.test", "first.test", "ECDSA");
    check_served(&proxy, "-servername wild.test", "first.test", "ECDSA"); // with filters only they count
    check_served(&proxy, "-servername strict.test", "strict.test", "ECDSA");
    assert!(handshake(&proxy, "-servername x.a.test -alpn imap,http/1.1").contains("ALPN protocol: http/1.1"));
    assert!(handshake(&proxy, "-servername x.a.test -tls1_2").contains("Protocol  : TLSv1.2"));
    assert!(handshake(&proxy, "-servername strict.test -tls1_2").contains("alert protocol version"));
    // The alert comes after the handshake, when the client first reads.
    let with = handshake(&proxy, &format!("-servername strict.test -alpn imap -cert {client} -key {client}"));
    assert!(with.contains("ALPN protocol: imap") && !with.contains("alert"), "{with}");
    assert!(handshake(&proxy, "-servername strict.test -ign_eof").contains("alert certificate required"));
}

/// The body an origin that shows its headers answers with, or what curl says.
fn ask(proxy: &Proxy, client: Option<&str>) -> String {
    ask_at(&proxy.url("https", "web", "/"), client)
}

fn ask_at(url: &str, client: Option<&str>) -> String {
    let mut arguments = vec!["-sSk", "--max-time", "20", "--noproxy", "*", url];
    if let Some(client) = client {
        arguments.extend(["--cert", client, "--key", client]);
    }
    let output = run_tool("curl", &arguments, b"");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const TOLD: &str = "http-request return status 200 content-type text/plain lf-string \"used=%[ssl_c_used] \
                    verify=%[ssl_c_verify] err=%[ssl_c_err] ca=%[ssl_c_ca_err] s=%[ssl_c_s_dn] cn=%[ssl_c_s_dn(CN)] \
                    i=%[ssl_c_i_dn(CN)] key=%[ssl_c_key_alg]\"";

#[test]
fn clients_are_verified_and_told_of() {
    let authority = Authority::new("Authority");
    let stranger = Authority::new("Stranger");
    let known = authority.sign("known", "jane", Key::Ec);
    let revoked = authority.sign("revoked", "joe", Key::Rsa);
    let unknown = stranger.sign("unknown", "jim", Key::Ec);
    authority.revoke("revoked");
    let start = |options: &str| {
        let dir = TempDir::new();
        dir.write("site.pem", std::fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap());
        dir.write("ca.pem", authority.pem());
        dir.write("crl.pem", authority.list());
        let bind = format!("bind 127.0.0.1:<web> ssl crt <dir>/site.pem ca-file <dir>/ca.pem {options}");
        Proxy::start_in(&Site::http().bind(&bind).frontend(TOLD).text(), dir)
    };
    let (known, revoked, unknown) = (known.to_str(), revoked.to_str(), unknown.to_str());
    let jane = "used=1 verify=0 err=0 ca=0 s=/O=Lockgate/OU=one/CN=jane cn=jane i=Authority key=id-ecPublicKey";
    let nobody = "used=0 verify=0 err=0 ca=0 s= cn= i= key=";

    let optional = start("verify optional crl-file <dir>/crl.pem");
    assert_eq!(ask(&optional, None), nobody);
    assert_eq!(ask(&optional, known), jane);
    for (client, why) in [
        (revoked, "SSL client certificate not trusted: revoked"),
        (unknown, "SSL client CA chain cannot be verified: issued by none of the trusted authorities"),
    ] {
        assert!(ask(&optional, client).starts_with("curl: "));
        optional.wait_for(why);
    }

    let required = start("verify required");
    assert!(ask(&required, None).starts_with("curl: "));
    required.wait_for("SSL handshake failure: the client showed no certificate");
    assert_eq!(ask(&required, known), jane);
    assert!(ask(&required, revoked).starts_with("used=1 verify=0")); // nobody asked for a list

    let lenient = start("verify optional crl-file <dir>/crl.pem crt-ignore-err 23 ca-ignore-err all");
    assert!(ask(&lenient, revoked).starts_with("used=1 verify=23 err=23 ca=0 s=/O=Lockgate/OU=one/CN=joe"));
    let told = ask(&lenient, unknown); // the chain's own authority is shown, and not known
    assert!(told.starts_with("used=1 verify=19 err=0 ca=19"), "{told}");
}

/// Everything a rule may ask of a client's certificate.
const EVERYTHING: &str = "used=%[ssl_c_used] has=%[ssl_fc_has_crt] verify=%[ssl_c_verify] err=%[ssl_c_err] ca=%[ssl_c_ca_err] \
     depth=%[ssl_c_ca_err_depth] s=%[ssl_c_s_dn] o=%[ssl_c_s_dn(O)] ou=%[ssl_c_s_dn(OU,-1)] none=%[ssl_c_s_dn(L)] \
     ldap=%[ssl_c_s_dn(,0,rfc2253)] i=%[ssl_c_i_dn] serial=%[ssl_c_serial,hex] sha1=%[ssl_c_sha1,hex] \
     der=%[ssl_c_der,base64] from=%[ssl_c_notbefore] to=%[ssl_c_notafter] key=%[ssl_c_key_alg] sig=%[ssl_c_sig_alg] \
     version=%[ssl_c_version] bits=%[ssl_fc_use_keysize] resumed=%[ssl_fc_is_resumed] protocol=%[ssl_fc_protocol]";

#[test]
fn haproxy_says_the_same_of_clients() {
    let authority = Authority::new("Authority");
    let stranger = Authority::new("Stranger");
    let pinned = Authority::new("Pinned");
    let site = authority.sign("site", "site.test", Key::Ec);
    let trusted = authority.path("trusted.pem");
    std::fs::write(&trusted, authority.pem() + &pinned.pem()).unwrap();
    let bind = format!(
        "bind 127.0.0.1:<web> ssl crt {} ca-file {} verify optional crt-ignore-err all ca-ignore-err all alpn http/1.1",
        site.display(),
        trusted.display()
    );
    let tell = format!("http-request return status 200 content-type text/plain lf-string \"{EVERYTHING}\"");
    let site = Site::http().bind(&bind).frontend(&tell);
    let haproxy = Haproxy::start(&site.text());
    let proxy = Proxy::start(&site.text());
    let chain = stranger.sign("client", "joe", Key::Ec);
    let alone = stranger.path("alone.pem");
    std::fs::write(&alone, stranger.read("client.crt") + &stranger.read("client.key")).unwrap();
    let [itself, known] = [&stranger, &pinned].map(|authority| {
        let path = authority.path("itself.pem");
        std::fs::write(&path, authority.read("ca.pem") + &authority.read("ca.key")).unwrap();
        path
    });
    let (jane, jim) = (authority.sign("ec", "jane", Key::Ec), authority.sign("rsa", "jim", Key::Rsa));
    let clients = [jane, jim, chain, alone, itself, known];
    for client in [None].into_iter().chain(clients.iter().map(|path| path.to_str())) {
        let told = ask_at(&format!("https://{}/", haproxy.address("web")), client);
        assert!(told.starts_with("used="), "{told}");
        assert_eq!(ask(&proxy, client), told, "{client:?}");
    }
}

#[test]
fn the_runtime_socket_tells_what_is_in_a_certificate_as_haproxy_does() {
    let authority = Authority::new("Authority,\"this\"");
    let [ec, rsa] =
        [("ec", Key::Ec), ("rsa", Key::Rsa)].map(|(name, key)| authority.sign(name, &format!("{name}.test"), key));
    std::fs::write(ec.with_extension("pem.ocsp"), authority.answer_about("ec", 60)).unwrap();
    let site = Site::http().bind(&format!("bind 127.0.0.1:<web> ssl crt {} crt {}", ec.display(), rsa.display()));
    let (haproxy, proxy) = (Haproxy::start(&site.text()), Proxy::start(&site.text()));
    for file in [ec.display().to_string(), rsa.display().to_string(), "/nowhere".to_owned(), String::new()] {
        let asked = format!("show ssl cert {file}");
        assert_eq!(proxy.admin(&asked), haproxy.admin(&asked));
    }
    assert!(proxy.admin(&format!("show ssl cert {}", ec.display())).contains("\nAlgorithm: EC256\n"));
}

#[test]
fn servers_may_ask_for_our_certificate_and_have_theirs_taken_back() {
    let authority = Authority::new("Authority");
    let other = Authority::new("Other");
    let server = authority.sign("server", "app.test", Key::Ec);
    let dir = TempDir::new();
    dir.write("site.pem", std::fs::read(&server).unwrap());
    dir.write("ca.pem", authority.pem());
    let bind = "bind 127.0.0.1:<web> ssl crt <dir>/site.pem verify required ca-file <dir>/ca.pem";
    let tell = "http-request return status 200 content-type text/plain lf-string \"%[ssl_c_s_dn(CN)]\"";
    let inner = Proxy::start_in(&Site::http().bind(bind).frontend(tell).text(), dir);
    let client = authority.sign("client", "proxy", Key::Ec);
    let wrong = other.sign("client", "proxy", Key::Ec);
    let outer = |options: &str, list: &str| {
        let dir = TempDir::new();
        dir.write("ca.pem", authority.pem());
        dir.write("crl.pem", list);
        dir.write("client.pem", std::fs::read(&client).unwrap());
        dir.write("wrong.pem", std::fs::read(&wrong).unwrap());
        let line = format!("server tls {} ssl ca-file <dir>/ca.pem {options}", inner.address("web"));
        let proxy = Proxy::start_in(&Site::http().backend("retries 0").backend(&line).text(), dir);
        let reply = proxy.get("/");
        if reply.status != 200 {
            proxy.wait_for("WARN server app/tls: SSL handshake failure (");
        }
        (reply.status, reply.text())
    };
    let list = authority.list();
    assert_eq!(outer("crt <dir>/client.pem", &list), (200, "proxy".to_owned()));
    assert_eq!(outer("crt <dir>/client.pem crl-file <dir>/crl.pem verifyhost app.test", &list).0, 200);
    assert_ne!(outer("crt <dir>/wrong.pem", &list).0, 200);
    assert_ne!(outer("", &list).0, 200);
    assert_ne!(outer("ssl-max-ver TLSv1.2", &list).0, 200);
    authority.revoke("server");
    assert_eq!(outer("crt <dir>/client.pem crl-file <dir>/crl.pem", &authority.list()).0, 503);
}

#[test]
fn check_points_out_lists_of_revoked_certificates_that_let_nobody_in() {
    let (authority, other) = (Authority::new("Authority"), Authority::new("Other"));
    let dir = TempDir::new();
    dir.write("site.pem", std::fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap());
    dir.write("ca.pem", authority.pem());
    dir.write("good.pem", authority.list() + &other.list());
    dir.write("old.pem", authority.old_list());
    dir.write("foreign.pem", other.list());
    let told = |list: &str| {
        let tls = format!("ssl crt <dir>/site.pem verify required ca-file <dir>/ca.pem crl-file <dir>/{list}");
        let server = format!("server s 127.0.0.1:443 {tls} verifyhost a.test");
        let site = Site::http().bind(&format!("bind 127.0.0.1:<web> {tls}")).backend(&server).text();
        let told = String::from_utf8_lossy(&check_config(&site, &dir, &[""; 0]).stderr).into_owned();
        told.lines().filter(|line| line.contains("[revocations-")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told("good.pem"), [""; 0]);
    for (list, why) in [
        ("old.pem", "old.pem`: the list of revoked certificates of O=Lockgate, CN=Authority expired "),
        ("foreign.pem", "foreign.pem`: no list of revoked certificates inside is of an authority trusted here"),
    ] {
        let told = told(list);
        // For clients, and for the server.
        assert!(told.len() == 2 && told.iter().all(|line| line.contains(why)), "{told:?}");
    }
}

/// Kinds of keys, as words of `openssl req -newkey`.
const KINDS: [&str; 2] = ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256"];

#[test]
fn clients_with_certificates_of_x509_version_1_are_trusted_only_by_themselves() {
    let authority = Authority::new("Authority");
    for kind in KINDS {
        let signed = authority.sign_old("signed", kind, "-CA ca.pem -CAkey ca.key -set_serial 7");
        let own = authority.sign_old("own", kind, "-signkey own.key");
        let stranger = authority.sign_old("stranger", kind, "-signkey stranger.key");
        let dir = TempDir::new();
        dir.write("site.pem", std::fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap());
        dir.write("ca.pem", authority.pem() + &authority.read("own.crt"));
        let site =
            Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem verify required ca-file <dir>/ca.pem");
        let proxy = Proxy::start_in(&site.frontend(TOLD).text(), dir);
        for refused in [signed, stranger] {
            assert!(ask(&proxy, refused.to_str()).starts_with("curl: "));
            proxy.wait_for(
                "SSL client certificate not trusted: it is of X.509 version 1, only version 3 can be verified",
            );
        }
        assert!(ask(&proxy, own.to_str()).starts_with("used=1 verify=0 err=0 ca=0 s=/CN=own cn=own "));
    }
}

#[test]
fn servers_with_certificates_of_x509_version_1_are_spoken_to() {
    let authority = Authority::new("Authority");
    for kind in KINDS {
        let pem = authority.sign_old("old", kind, "-signkey old.key");
        authority.sign_old("other", kind, "-signkey other.key");
        for version in ["TLSv1.2", "TLSv1.3"] {
            let dir = TempDir::new();
            dir.write("old.pem", std::fs::read(&pem).unwrap());
            let server =
                Site::http().bind(&format!("bind 127.0.0.1:<web> ssl crt <dir>/old.pem ssl-min-ver {version}"));
            let server = Proxy::start_in(&server.frontend("http-request return status 200").text(), dir);
            let ca = |file: &str| format!("verify required ca-file {}", authority.path(file).display());
            for (verify, status) in [
                ("verify none".to_owned(), 200),
                (ca("old.crt"), 200),
                (ca("other.crt"), 503),
                (ca("ca.pem"), 503),
                (ca("old.crt") + " verifyhost old", 503), // it has no alternative names
            ] {
                let line = format!("server s {} ssl ssl-max-ver {version} {verify}", server.address("web"));
                let proxy = Site::http().backend(&line).backend("retries 0").start();
                assert_eq!(proxy.get("/").status, status, "{kind} {version} {verify}");
            }
        }
    }
}

#[test]
fn an_ocsp_answer_is_stapled_when_it_fits() {
    let authority = Authority::new("Authority");
    let pem = std::fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap();
    authority.sign("other", "other.test", Key::Ec);
    let start = |answer: &[u8]| {
        let dir = TempDir::new();
        dir.write("site.pem", &pem);
        dir.write("site.pem.ocsp", answer);
        let site = Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem").text();
        let told = String::from_utf8_lossy(&check_config(&site, &dir, &[""; 0]).stderr).into_owned();
        let proxy = Proxy::start_in(&site, dir);
        (handshake(&proxy, "-status -servername site.test"), told)
    };
    let (said, told) = start(&authority.answer_about("site", 60));
    assert!(said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"), "{said}");
    assert!(!told.contains("OCSP"), "{told}");
    let foreign = authority.answer_about("other", 60);
    authority.revoke("site");
    let revoked = authority.answer_about("site", 60);
    for (answer, why) in [
        (&foreign[..], "it is about another certificate"),
        (&revoked[..], "it says that the certificate is revoked"),
        (&foreign[..foreign.len() / 2], "not an OCSP answer in DER"),
    ] {
        let (said, told) = start(answer);
        assert!(said.contains("OCSP response: no response sent"), "{why}: {said}");
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn suites_and_groups_can_be_chosen() {
    let authority = Authority::new("Authority");
    let dir = TempDir::new();
    dir.write("site.pem", std::fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap());
    let site = Site::http()
        .global("ssl-default-bind-ciphersuites TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem ciphers ECDHE+AESGCM:!AES256 curves P-384");
    let proxy = Proxy::start_in(&site.text(), dir);
    assert!(handshake(&proxy, "-tls1_3").contains("Cipher is TLS_CHACHA20_POLY1305_SHA256"));
    assert!(handshake(&proxy, "-tls1_2").contains("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert!(handshake(&proxy, "-tls1_2 -cipher CHACHA20").contains("alert handshake failure"));
    assert!(handshake(&proxy, "-tls1_3").contains("Server Temp Key: ECDH, secp384r1"));
    assert!(handshake(&proxy, "-tls1_3 -groups X25519").contains("alert handshake failure"));
}

/// Takes a session up again on `second`, so many times; how often it was taken.
fn resumed(first: &Proxy, second: &Proxy, version: &str, times: u32) -> u32 {
    let session = first.file("session");
    let session = session.to_str().unwrap();
    let ask = |proxy: &Proxy, more: [&str; 2]| {
        let address = proxy.address("web").to_string();
        let words =
            ["s_client", "-connect", &address, version, "-servername", "site.test", "-ign_eof", more[0], more[1]];
        // A 1.3 ticket comes after the handshake: stay until the server has answered.
        tool_output("openssl", &words, b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
    };
    assert!(ask(first, ["-sess_out", session]).contains("New, TLS"));
    (0..times).filter(|_| ask(second, ["-sess_in", session]).contains("Reused, TLS")).count() as u32
}

#[test]
fn sessions_go_on_with_every_worker_and_over_a_reload() {
    let authority = Authority::new("Authority");
    let pem = std::fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap();
    let start = |options: &str| {
        let dir = TempDir::new();
        dir.write("site.pem", &pem);
        let keys = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\n";
        dir.write("keys", keys.repeat(3));
        let bind = format!("bind 127.0.0.1:<web> ssl crt <dir>/site.pem {options}");
        Proxy::start_in(&Site::http().global("nbthread 2").bind(&bind).text(), dir)
    };
    let own = start("");
    // Eight connections land on both workers, but for one time in 128.
    assert_eq!(resumed(&own, &own, "-tls1_3", 8), 8);
    assert_eq!(resumed(&own, &own, "-tls1_2", 8), 8);
    let session = own.file("session");
    let before = std::fs::read(&session).unwrap();
    own.reload();
    own.wait_for("configuration reloaded");
    std::fs::write(&session, before).unwrap();
    let address = own.address("web").to_string();
    let words = [
        "s_client",
        "-connect",
        &address,
        "-tls1_2",
        "-servername",
        "site.test",
        "-sess_in",
        session.to_str().unwrap(),
    ];
    assert!(tool_output("openssl", &words, b"").contains("Reused, TLS"));

    assert_eq!(resumed(&own, &start(""), "-tls1_3", 1), 0); // another process has other keys
    let (one, other) = (start("tls-ticket-keys <dir>/keys"), start("tls-ticket-keys <dir>/keys"));
    assert_eq!(resumed(&one, &other, "-tls1_3", 1), 1);
    // Without tickets the session is remembered here.
    let without = start("no-tls-tickets");
    assert!(!handshake(&without, "-tls1_2 -servername site.test").contains("TLS session ticket:"));
    assert_eq!(resumed(&without, &without, "-tls1_2", 4), 4);
}

#[test]
fn a_session_of_an_unverified_client_opens_no_other_door() {
    let authority = Authority::new("Authority");
    let dir = TempDir::new();
    dir.write("site.pem", std::fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap());
    dir.write("ca.pem", authority.pem());
    let a = Origin::named("a");
    let site = Site::http()
        .bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem")
        .frontend("bind 127.0.0.1:<staff> ssl crt <dir>/site.pem verify required ca-file <dir>/ca.pem")
        .server(&a, "");
    let proxy = Proxy::start_in(&site.text(), dir);
    let session = proxy.file("session");
    let session = session.to_str().unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";
    for version in ["-tls1_3", "-tls1_2"] {
        let ask = |port: &str, more: [&str; 2]| {
            let address = proxy.address(port).to_string();
            let words =
                ["s_client", "-connect", &address, version, "-servername", "site.test", "-ign_eof", more[0], more[1]];
            tool_output("openssl", &words, request)
        };
        assert!(ask("web", ["-sess_out", session]).contains("200"));
        let said = ask("staff", ["-sess_in", session]);
        assert!(!said.contains("Reused, TLS") && !said.contains("HTTP/1.1 200"), "{version}: {said}");
    }
}
