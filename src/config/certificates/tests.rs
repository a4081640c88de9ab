//! Certificates on disk, right and wrong.

use std::time::Duration;

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A directory that is removed when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lockgate-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server certificate, its issuer and the key.
struct Made {
    leaf: String,
    issuer: String,
    key: String,
}

fn make(names: &[&str], key: KeyPair) -> Made {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Test Authority");
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Site");
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Made { leaf: leaf.pem(), issuer: issuer.pem(), key: key.serialize_pem() }
}

fn ec(names: &[&str]) -> Made {
    make(names, KeyPair::generate().unwrap())
}

fn at_year(year: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952)
}

fn load_told(path: &Path) -> (Vec<Arc<Certificate>>, Vec<String>) {
    let mut problems = Vec::new();
    let found = load(path, at_year(2026), &mut problems);
    let told = problems.iter().map(|problem| problem.to_string().replace(&path.display().to_string(), "P")).collect();
    (found, told)
}

/// Loads one combined file; expected are the problems told and whether there is a certificate.
#[track_caller]
fn check(text: &str, served: bool, expected: &[&str]) {
    let dir = Dir::new(&format!("pem-{:?}", std::thread::current().id()).replace(['(', ')'], ""));
    let path = dir.put("site.pem", text);
    let (found, told) = load_told(&path);
    assert_eq!(told, expected);
    assert_eq!(found.len(), usize::from(served));
}

#[test]
fn puts_the_chain_in_order_wherever_the_parts_stand() {
    let Made { leaf, issuer, key } = ec(&["a.test", "*.B.test"]);
    let reordered = "`P`: the certificates are not in order; they are sent server first";
    check(&format!("{leaf}{issuer}{key}"), true, &[]);
    check(&format!("{key}{leaf}"), true, &[]);
    check(&format!("{issuer}{key}{leaf}"), true, &[reordered]);
    let stranger = ec(&["c.test"]).leaf;
    let left_out = "`P`: the certificate of Site is no part of the server's chain and is not sent";
    check(&format!("{leaf}{stranger}{key}"), true, &[left_out]);
}

#[test]
fn tells_what_is_missing_and_what_is_there() {
    let Made { leaf, issuer, key } = ec(&["a.test"]);
    check("", false, &["`P`: no certificate inside, nor any PEM section"]);
    check(&key, false, &["`P`: no certificate inside, only PRIVATE KEY"]);
    let other = ec(&["b.test"]).key;
    check(&format!("{leaf}{issuer}{other}"), false, &["`P`: the private key does not fit the certificate of Site"]);
    check(&format!("{leaf}{other}{key}"), true, &[]);
}

#[test]
fn reads_names_and_dates() {
    let Made { leaf, key, .. } = ec(&["a.test", "*.B.test"]);
    let dir = Dir::new("names");
    let path = dir.put("site.pem", &format!("{leaf}{key}"));
    let mut problems = Vec::new();
    let found = load(&path, at_year(2026), &mut problems);
    assert_eq!(found[0].names, ["a.test", "*.b.test", "site"]);
    assert!(found[0].not_before < found[0].not_after);
    // rcgen's certificates are valid from 1975 to 4096.
    for (year, expected) in [(1972, "is not valid for another 1"), (4097, "expired")] {
        let mut problems = Vec::new();
        assert_eq!(load(&path, at_year(year), &mut problems).len(), 1);
        assert!(problems[0].to_string().contains(expected), "{}", problems[0]);
        assert!(!problems[0].is_error());
    }
    let mut problems = Vec::new();
    load(&path, found[0].not_after - Duration::from_secs(5 * 86_400), &mut problems);
    assert!(problems[0].to_string().ends_with("the certificate of Site expires in 5 days"), "{}", problems[0]);
    assert_eq!(problems[0].severity(), Severity::Note);
}

#[test]
fn finds_the_key_beside_and_warns_of_a_wide_mode() {
    let Made { leaf, key, .. } = ec(&["a.test"]);
    let dir = Dir::new("beside");
    let path = dir.put("site.crt", &leaf);
    assert_eq!(load_told(&path).1.len(), 1);
    let beside = dir.put("site.key", &key);
    assert_eq!(load_told(&path).1, [""; 0]);
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (found, told) = load_told(&path);
    assert_eq!(found.len(), 1);
    assert!(told[0].ends_with("site.key`: the private key may be read by others (mode 0640)"), "{told:?}");
}

#[test]
fn loads_a_directory_in_alphabetic_order_without_reserved_names() {
    let (a, b) = (ec(&["a.test"]), ec(&["b.test"]));
    let dir = Dir::new("directory");
    assert_eq!(load_told(&dir.0).1, ["`P`: the directory holds no certificate"]);
    dir.put("2.pem", &format!("{}{}", b.leaf, b.key));
    dir.put("1.pem", &a.leaf);
    dir.put("1.pem.key", &a.key);
    dir.put(".hidden", "junk");
    dir.put("2.pem.ocsp", "");
    let (found, told) = load_told(&dir.0);
    assert_eq!(told, [""; 0]);
    assert_eq!(found.iter().map(|found| found.names[0].as_str()).collect::<Vec<_>>(), ["a.test", "b.test"]);
}

#[test]
fn a_missing_file_is_told_and_a_bundle_of_key_types_is_found() {
    let dir = Dir::new("bundle");
    let path = dir.0.join("site.pem");
    assert_eq!(load_told(&path).1, ["`P`: no such file or directory"]);
    let made = ec(&["a.test"]);
    dir.put("site.pem.ecdsa", &format!("{}{}", made.leaf, made.key));
    assert_eq!(load_told(&path).0.len(), 1);
}

#[test]
fn authorities_come_from_a_file_or_a_directory() {
    let made = ec(&["a.test"]);
    let dir = Dir::new("authorities");
    let file = dir.put("ca.pem", &made.issuer);
    assert_eq!(load_authorities(&file).unwrap().len(), 1);
    assert_eq!(load_authorities(&dir.0).unwrap().len(), 1);
    let key = dir.put("key.pem", &made.key);
    assert!(
        load_authorities(&key).unwrap_err().to_string().ends_with("no usable certificate inside, only PRIVATE KEY")
    );
    assert!(load_authorities(&dir.0.join("none")).unwrap_err().to_string().ends_with("no such file or directory"));
}
