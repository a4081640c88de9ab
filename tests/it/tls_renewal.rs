//! Certificates renewed on disk while the proxy runs, and those about to expire.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::{Authority, Key, Proxy, Site, TempDir, certificate_valid, eventually, tool_output};

/// The serial number of the certificate a new client gets.
fn served(proxy: &Proxy) -> String {
    let address = proxy.address("web").to_string();
    let shown = tool_output("openssl", &["s_client", "-connect", &address, "-servername", "site.test"], b"");
    let begin = shown.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("no certificate: {shown}"));
    serial(&shown[begin..])
}

fn serial(pem: &str) -> String {
    tool_output("openssl", &["x509", "-noout", "-serial"], pem.as_bytes())
}

/// Replaces a file as careful programs do.
fn replace(dir: &TempDirPath, name: &str, content: &str) {
    let new = dir.write(&format!("{name}.new"), content);
    fs::rename(new, dir.path().join(name)).unwrap();
}

/// Writes below a directory that the proxy owns.
struct TempDirPath(std::path::PathBuf);

impl TempDirPath {
    fn of(proxy: &Proxy) -> Self {
        TempDirPath(proxy.file("x").parent().unwrap().to_owned())
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, content: &str) -> std::path::PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

fn watching(crt: &str) -> String {
    Site::http().global("crt-watch 1s").bind(&format!("bind 127.0.0.1:<web> ssl crt {crt}")).text()
}

#[test]
fn a_renewed_certificate_is_served_once_it_is_whole() {
    let authority = Authority::new("Authority");
    for file in ["one", "two"] {
        authority.sign(file, "site.test", Key::Ec);
    }
    let part = |file: &str, ending: &str| authority.read(&format!("{file}.{ending}"));
    let dir = TempDir::new();
    dir.write("site.crt", part("one", "crt"));
    dir.write("site.key", part("one", "key"));
    let proxy = Proxy::start_in(&watching("<dir>/site.crt"), dir);
    assert_eq!(served(&proxy), serial(&part("one", "crt")));

    // Only half of it comes: told once, and the one before is served on.
    let dir = TempDirPath::of(&proxy);
    replace(&dir, "site.crt", &part("two", "crt"));
    let line = proxy.wait_for("changed certificate not taken");
    assert!(line.contains("the private key does not fit the certificate of site.test"), "{line}");
    assert_eq!(served(&proxy), serial(&part("one", "crt")));

    replace(&dir, "site.key", &part("two", "key"));
    let line = proxy.wait_for("new certificate in");
    assert!(line.contains("site.crt` for site.test is served, good until "), "{line}");
    assert_eq!(served(&proxy), serial(&part("two", "crt")));
    assert_eq!(proxy.said().matches("ERROR changed certificate not taken").count(), 1);
    let metrics = proxy.admin("show info");
    assert!(metrics.contains("CertificateDaysLeft: 2"), "{metrics}"); // of 30 days that have begun
}

#[test]
fn links_that_are_turned_round_are_followed() {
    let authority = Authority::new("Authority");
    let dir = TempDir::new();
    for (file, place) in [("one", "..2026_01"), ("two", "..2026_02")] {
        authority.sign(file, "site.test", Key::Ec);
        dir.write(&format!("{place}/tls.crt"), authority.read(&format!("{file}.crt")));
        dir.write(&format!("{place}/tls.key"), authority.read(&format!("{file}.key")));
    }
    // As Kubernetes mounts a secret: `tls.crt` leads through `..data` to the version in force.
    symlink("..2026_01", dir.path().join("..data")).unwrap();
    symlink("..data/tls.crt", dir.path().join("tls.crt")).unwrap();
    symlink("..data/tls.key", dir.path().join("tls.key")).unwrap();
    let proxy = Proxy::start_in(&watching("<dir>/tls.crt"), dir);
    let place = TempDirPath::of(&proxy);
    symlink("..2026_02", place.path().join("..data_tmp")).unwrap();
    fs::rename(place.path().join("..data_tmp"), place.path().join("..data")).unwrap();
    proxy.wait_for("new certificate in");
    assert_eq!(served(&proxy), serial(&authority.read("two.crt")));
}

#[test]
fn an_ocsp_answer_that_comes_later_is_stapled() {
    let authority = Authority::new("Authority");
    let pem = fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap();
    let dir = TempDir::new();
    dir.write("site.pem", pem);
    let proxy = Proxy::start_in(&watching("<dir>/site.pem"), dir);
    let status = || {
        let address = proxy.address("web").to_string();
        tool_output("openssl", &["s_client", "-connect", &address, "-servername", "site.test", "-status"], b"")
    };
    assert!(status().contains("OCSP response: no response sent"));
    let answer = TempDirPath::of(&proxy).path().join("site.pem.ocsp");
    fs::write(&answer, authority.answer_about("site", 60)).unwrap();
    let line = proxy.wait_for("new OCSP answer in");
    assert!(line.contains("site.pem.ocsp` for site.test is stapled, good until ") && line.ends_with(" UTC"), "{line}");
    eventually("the answer is stapled", || status().contains("Cert Status: good").then_some(()));

    // A broken one does not take the place of a good one, none at all does.
    fs::write(&answer, "not an answer").unwrap();
    let line = proxy.wait_for("changed OCSP answer not taken, the one before stays stapled: ");
    assert!(line.contains("site.pem.ocsp`: not an OCSP answer in DER"), "{line}");
    assert!(status().contains("Cert Status: good"));
    fs::remove_file(&answer).unwrap();
    proxy.wait_for("site.pem.ocsp` for site.test is gone: none is stapled");
    assert!(status().contains("OCSP response: no response sent"));
}

#[test]
fn a_renewed_certificate_of_ours_is_shown_to_servers_at_once() {
    let authority = Authority::new("Authority");
    let dir = TempDir::new();
    dir.write("site.pem", fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap());
    dir.write("ca.pem", authority.pem());
    let bind = "bind 127.0.0.1:<web> ssl crt <dir>/site.pem verify required ca-file <dir>/ca.pem";
    let tell =
        "http-request return status 200 content-type text/plain lf-string \"%[ssl_c_s_dn(CN)] %[ssl_fc_is_resumed]\"";
    let inner = Proxy::start_in(&Site::http().bind(bind).frontend(tell).text(), dir);
    let dir = TempDir::new();
    let [old, new] = ["old", "new"].map(|name| fs::read_to_string(authority.sign(name, name, Key::Ec)).unwrap());
    dir.write("client.pem", &old);
    // Each request has a connection of its own.
    let line = format!("server tls {} ssl verify none crt <dir>/client.pem pool-max-conn 0", inner.address("web"));
    let outer = Proxy::start_in(&Site::http().global("crt-watch 1s").backend(&line).text(), dir);
    assert_eq!(outer.get_times(2, "/"), ["old 0", "old 1"]);
    replace(&TempDirPath::of(&outer), "client.pem", &new);
    let line = outer.wait_for("new certificate in");
    assert!(line.contains(" is shown to servers, good until "), "{line}");
    assert_eq!(outer.get_times(2, "/"), ["new 0", "new 1"]);
}

#[test]
fn a_certificate_about_to_expire_is_pointed_out_once() {
    let dir = TempDir::new();
    dir.write("old.pem", certificate_valid(&["old.test"], 2001, 2002).combined());
    let proxy = Proxy::start_in(&watching("<dir>/old.pem"), dir);
    let line = proxy.wait_for("has expired on 2002-01-01");
    assert!(line.contains("old.pem` for old.test"), "{line}");
    let authority = Authority::new("Authority");
    let dir = TempDir::new();
    dir.write("site.pem", fs::read(authority.sign("site", "site.test", Key::Ec)).unwrap());
    let proxy = Proxy::start_in(&watching("<dir>/site.pem"), dir);
    proxy.wait_for("for site.test expires in 29 days, on ");
    proxy.reload();
    proxy.wait_for("configuration reloaded");
    assert_eq!(proxy.said().matches("WARN certificate ").count(), 1);
    let dir = TempDir::new();
    dir.write("early.pem", certificate_valid(&["early.test"], 2101, 2102).combined());
    let proxy = Proxy::start_in(&watching("<dir>/early.pem"), dir);
    proxy.wait_for("early.pem` for early.test is not valid before 2101-01-01: clients refuse it");
}
