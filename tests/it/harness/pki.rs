//! An authority as openssl runs one: it signs certificates, takes them back, and answers about them.

use std::path::{Path, PathBuf};

use super::{TempDir, run_tool};

pub struct Authority {
    dir: TempDir,
}

/// The kind of a key.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    Rsa,
    Ec,
}

impl Authority {
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let authority = Authority { dir: TempDir::new() };
        authority.dir.write("index.txt", "");
        authority.dir.write("crlnumber", "01\n");
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {0}/index.txt\ncrlnumber = {0}/crlnumber\nserial = {0}/serial\n\
             new_certs_dir = {0}\ndefault_md = sha256\npolicy = any\ndefault_crl_days = 30\ndefault_days = 30\n\
             unique_subject = no\ncopy_extensions = copy\n[any]\ncommonName = supplied\n\
             organizationName = optional\norganizationalUnitName = optional\n",
            authority.dir.path().display()
        );
        authority.dir.write("ca.cnf", config);
        let subject = format!("/O=Lockgate/CN={name}");
        authority.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 60 -subj {subject}"
        ));
        authority
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> String {
        self.read("ca.pem")
    }

    /// Makes certificate and key; gives the path of a file with certificate, authority and key.
    #[track_caller]
    pub fn sign(&self, file: &str, name: &str, kind: Key) -> PathBuf {
        let kind = match kind {
            Key::Rsa => "rsa:2048",
            Key::Ec => "ec -pkeyopt ec_paramgen_curve:P-256",
        };
        let subject = format!("/O=Lockgate/OU=one/CN={name}");
        self.openssl(&format!(
            "req -newkey {kind} -nodes -keyout {file}.key -out {file}.csr -subj {subject} -addext subjectAltName=DNS:{name}"
        ));
        self.openssl(&format!(
            "ca -batch -preserveDN -notext -config ca.cnf -rand_serial -cert ca.pem -keyfile ca.key -in {file}.csr -out {file}.crt"
        ));
        let all = ["crt", "key"].map(|ending| self.read(&format!("{file}.{ending}")));
        self.dir.write(&format!("{file}.pem"), format!("{}{}{}", all[0], self.pem(), all[1]))
    }

    /// Makes a certificate of X.509 version 1, as `openssl x509 -req` does unless it is given extensions, for the common
    /// name `file`. `signer` are openssl's words for who signs; gives the path of a file with certificate and key.
    #[track_caller]
    pub fn sign_old(&self, file: &str, kind: &str, signer: &str) -> PathBuf {
        self.openssl(&format!("req -newkey {kind} -nodes -keyout {file}.key -out {file}.csr -subj /CN={file}"));
        self.openssl(&format!("x509 -req -days 30 -in {file}.csr {signer} -out {file}.crt"));
        let both = self.read(&format!("{file}.crt")) + &self.read(&format!("{file}.key"));
        self.dir.write(&format!("{file}.pem"), both)
    }

    /// Takes a certificate back; see [`Self::list`].
    #[track_caller]
    pub fn revoke(&self, file: &str) {
        self.openssl(&format!("ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke {file}.crt"));
    }

    /// The list of those taken back, as PEM.
    #[track_caller]
    pub fn list(&self) -> String {
        self.openssl("ca -gencrl -config ca.cnf -cert ca.pem -keyfile ca.key -out crl.pem");
        self.read("crl.pem")
    }

    /// A list whose successor was due in 2002.
    #[track_caller]
    pub fn old_list(&self) -> String {
        let dates = "-crl_lastupdate 20010101000000Z -crl_nextupdate 20020101000000Z";
        self.openssl(&format!("ca -gencrl -config ca.cnf -cert ca.pem -keyfile ca.key -out old.pem {dates}"));
        self.read("old.pem")
    }

    /// An OCSP answer about a certificate in DER, good for so many minutes.
    #[track_caller]
    pub fn answer_about(&self, file: &str, minutes: u32) -> Vec<u8> {
        self.openssl(&format!("ocsp -issuer ca.pem -cert {file}.crt -reqout {file}.req"));
        self.openssl(&format!(
            "ocsp -index index.txt -CA ca.pem -rsigner ca.pem -rkey ca.key -reqin {file}.req -respout {file}.res -nmin {minutes}"
        ));
        std::fs::read(self.path(&format!("{file}.res"))).expect("an answer")
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).expect("a file")
    }

    /// Runs openssl here; words with a file's ending are files of this directory.
    #[track_caller]
    fn openssl(&self, line: &str) {
        const FILES: [&str; 8] = [".pem", ".key", ".crt", ".csr", ".cnf", ".txt", ".req", ".res"];
        let is_file = |word: &str| FILES.iter().any(|ending| word.ends_with(ending)) && !word.contains('=');
        let word = |word: &str| if is_file(word) { self.place(Path::new(word)) } else { word.to_owned() };
        let words: Vec<String> = line.split(' ').map(word).collect();
        let output = run_tool("openssl", &words, b"");
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn place(&self, file: &Path) -> String {
        self.dir.path().join(file).to_string_lossy().into_owned()
    }
}
