//! What do all parts of `resolve` share? The configuration as written, where errors go, and what was read already.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;

use super::layers::{Layers, Said};
use crate::config::certificates::{self, AuthoritiesError, Problem};
use crate::config::locate::Locate;
use crate::config::raw::{self, Proxy, ProxyKind, Size, Span};
use crate::diag::{Diagnostic, Diagnostics, FieldPath};
use crate::model::tls::Certificate;
use crate::model::{BackendId, Mode};
use crate::units::{Bare, ByteSize, UnitError, parse_duration, parse_size};

/// Without a readable limit: what a login shell gets.
const USUAL_OPEN_FILES: u64 = 1_024;
/// A limit beyond this is treated as this; HAProxy's `fd-hard-limit` stands there too.
const MOST_OPEN_FILES: u64 = 1 << 20;

/// The machine a configuration is resolved on.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Certificates are held against this.
    pub now: SystemTime,
    pub hostname: String,
    pub processors: usize,
    /// Files this process may have open when it raises its limit as far as it may.
    pub open_files: u64,
}

impl Surroundings {
    pub fn of_this_machine() -> Self {
        let uname = rustix::system::uname();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Surroundings {
            now: SystemTime::now(),
            hostname: uname.nodename().to_string_lossy().into_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            open_files: limit.maximum.unwrap_or(MOST_OPEN_FILES).clamp(USUAL_OPEN_FILES, MOST_OPEN_FILES),
        }
    }
}

/// A `frontend`, `backend` or `listen`, with what it inherits.
pub(super) struct Section<'a> {
    pub kind: ProxyKind,
    pub name: &'a str,
    pub path: FieldPath,
    pub mode: Mode,
    pub layers: Layers<'a>,
}

impl<'a> Section<'a> {
    /// What stands in the section itself.
    pub fn own(&self) -> &'a Proxy {
        self.layers.own()
    }

    /// `frontend `web``
    pub fn title(&self) -> String {
        let kind = match self.kind {
            ProxyKind::Frontend => "frontend",
            ProxyKind::Backend => "backend",
            ProxyKind::Listen => "listen",
            ProxyKind::Defaults => "defaults",
        };
        format!("{kind} `{}`", self.name)
    }
}

pub(super) struct Context<'a> {
    pub raw: &'a raw::Config,
    pub surroundings: &'a Surroundings,
    locate: &'a dyn Locate,
    diagnostics: RefCell<&'a mut Diagnostics>,
    /// A file named by ten `bind` lines is read once, and its problems are told once.
    certificates: RefCell<HashMap<PathBuf, Vec<Arc<Certificate>>>>,
    authorities: RefCell<HashMap<PathBuf, Option<Arc<RootCertStore>>>>,
}

impl<'a> Context<'a> {
    pub fn new(
        raw: &'a raw::Config,
        locate: &'a dyn Locate,
        diagnostics: &'a mut Diagnostics,
        surroundings: &'a Surroundings,
    ) -> Self {
        Context {
            raw,
            surroundings,
            locate,
            diagnostics: RefCell::new(diagnostics),
            certificates: RefCell::default(),
            authorities: RefCell::default(),
        }
    }

    pub fn errors(&self) -> usize {
        self.diagnostics.borrow().errors()
    }

    pub fn error(&self, path: &FieldPath, message: impl Into<String>) {
        self.tell(path, Diagnostic::error(message));
    }

    pub fn warn(&self, path: &FieldPath, code: &'static str, message: impl Into<String>) {
        self.tell(path, Diagnostic::warning(message).code(code));
    }

    /// Adds the place and keeps it.
    pub fn tell(&self, path: &FieldPath, diagnostic: Diagnostic) {
        let position = self.locate.locate(path);
        self.diagnostics.borrow_mut().push(diagnostic.at(position));
    }

    /// The same, about one word of a value made of words.
    pub fn tell_word(&self, path: &FieldPath, word: usize, diagnostic: Diagnostic) {
        let position = self.locate.locate_word(path, word);
        self.diagnostics.borrow_mut().push(diagnostic.at(position));
    }

    /// All frontends, backends and listens, in that order; their number is their id.
    pub fn sections(&self) -> Vec<Section<'a>> {
        let kinds = [
            (ProxyKind::Frontend, "frontends", &self.raw.frontends),
            (ProxyKind::Backend, "backends", &self.raw.backends),
            (ProxyKind::Listen, "listens", &self.raw.listens),
        ];
        let mut sections = Vec::new();
        for (kind, field, proxies) in kinds {
            for (name, proxy) in proxies {
                let path = FieldPath::root().key(field).key(name);
                let layers = Layers::of(self, path.clone(), proxy);
                let section = Section { kind, name, path, mode: mode_of(&layers), layers };
                self.check_section(&section);
                sections.push(section);
            }
        }
        sections
    }

    fn check_section(&self, section: &Section<'_>) {
        self.check_name(&section.path, section.name);
        // A frontend and a backend may share a name, as many files have it (HAProxy manual 4); a listen is both.
        let taken = match section.kind {
            ProxyKind::Listen if self.raw.frontends.contains_key(section.name) => Some("frontend"),
            ProxyKind::Listen if self.raw.backends.contains_key(section.name) => Some("backend"),
            _ => None,
        };
        if let Some(kind) = taken {
            self.error(&section.path, format!("{} has the name of a {kind}; names must differ", section.title()));
        }
        self.refuse_misplaced(&section.path, section.own(), section.kind, &section.title());
    }

    pub fn refuse_misplaced(&self, path: &FieldPath, proxy: &Proxy, kind: ProxyKind, title: &str) {
        for field in proxy.misplaced(kind) {
            let path = field.split('.').fold(path.clone(), |path, step| path.key(step));
            self.error(&path, format!("`{field}` means nothing in {title}"));
        }
    }

    /// HAProxy's rule for names of proxies and servers (manual 2.2): letters, digits and `-_.:`.
    pub fn check_name(&self, path: &FieldPath, name: &str) {
        let wrong = name.chars().find(|letter| !letter.is_ascii_alphanumeric() && !"-_.:".contains(*letter));
        if let Some(letter) = wrong {
            let told = format!("`{letter}` may not stand in a name; letters, digits and `-_.:` may");
            self.error(path, told);
        } else if name.is_empty() {
            self.error(path, "a name is empty");
        }
    }

    /// The backend or listen of this name. Its id is its number among both.
    pub fn backend(&self, name: &str) -> Option<BackendId> {
        let index = self.backend_names().position(|known| known == name)?;
        Some(BackendId(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    /// The mode of a backend or listen; `None` when there is none of this name.
    pub fn backend_mode(&self, name: &str) -> Option<Mode> {
        let proxy = self.raw.backends.get(name).or_else(|| self.raw.listens.get(name))?;
        Some(mode_of(&Layers::silently(self.raw, proxy)))
    }

    pub fn backend_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.raw.backends.keys().chain(self.raw.listens.keys()).map(String::as_str)
    }

    /// A time; `None` after telling what is wrong with it.
    pub fn time(&self, said: &Said<'_, Span>) -> Option<Duration> {
        let read = parse_duration(&said.value.0, Bare::Refused);
        self.unit(&said.path, &said.value.0, read)
    }

    pub fn size(&self, path: &FieldPath, size: &Size) -> Option<ByteSize> {
        self.unit(path, &size.0, parse_size(&size.0, false))
    }

    fn unit<T>(&self, path: &FieldPath, text: &str, read: Result<T, UnitError>) -> Option<T> {
        read.map_err(|error| self.error(path, format!("`{text}`: {error}"))).ok()
    }

    /// The certificates at a path, below `crt_base` when it is relative. Empty after an error was told.
    pub fn certificates(&self, path: &FieldPath, file: &Path) -> Vec<Arc<Certificate>> {
        let file = based(self.raw.global.crt_base.as_deref(), file);
        if let Some(known) = self.certificates.borrow().get(&file) {
            return known.clone();
        }
        let mut problems = Vec::new();
        let found = certificates::load(&file, self.surroundings.now, &mut problems);
        self.tell_problems(path, &problems);
        self.certificates.borrow_mut().insert(file, found.clone());
        found
    }

    fn tell_problems(&self, path: &FieldPath, problems: &[Problem]) {
        for problem in problems {
            let mut told = Diagnostic { severity: problem.severity(), ..Diagnostic::error(problem.to_string()) };
            told.code = problem.code();
            told.hint = problem.hint();
            self.tell(path, told);
        }
    }

    /// The authorities of a `ca-file`, below `ca_base` when it is relative; `None` after an error was told.
    pub fn authorities(&self, path: &FieldPath, file: &Path) -> Option<Arc<RootCertStore>> {
        let system = file == Path::new(SYSTEM_AUTHORITIES);
        let file = if system { file.to_owned() } else { based(self.raw.global.ca_base.as_deref(), file) };
        if let Some(known) = self.authorities.borrow().get(&file) {
            return known.clone();
        }
        let read: Result<RootCertStore, AuthoritiesError> =
            if system { certificates::system_authorities() } else { certificates::load_authorities(&file) };
        let read = read.map(Arc::new).map_err(|error| self.error(path, error.to_string())).ok();
        self.authorities.borrow_mut().insert(file, read.clone());
        read
    }

    /// The lists of a `crl-file`, below `ca_base` when it is relative; `None` after an error was told.
    pub fn revoked(&self, path: &FieldPath, file: &Path, roots: &Arc<RootCertStore>) -> Option<Revoked> {
        let file = based(self.raw.global.ca_base.as_deref(), file);
        let read = certificates::load_revoked(&file).map_err(|error| self.error(path, error.to_string())).ok()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tried = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider).with_crls(read.clone());
        if let Err(error) = tried.build() {
            self.error(path, format!("`{}`: a list of revoked certificates cannot be used: {error}", file.display()));
            return None;
        }
        self.tell_problems(path, &certificates::odd_about_lists(&file, &read, roots, self.surroundings.now));
        Some(Arc::new(read))
    }
}

/// Lists of revoked certificates, as read.
pub(super) type Revoked = Arc<Vec<CertificateRevocationListDer<'static>>>;

/// `ca-file @system-ca`: the authorities the operating system trusts.
pub(super) const SYSTEM_AUTHORITIES: &str = "@system-ca";

fn based(base: Option<&Path>, file: &Path) -> PathBuf {
    base.map_or_else(|| file.to_owned(), |base| base.join(file))
}

/// HAProxy's default is TCP.
fn mode_of(layers: &Layers<'_>) -> Mode {
    match layers.value(|proxy| proxy.mode.as_ref()) {
        Some(raw::Mode::Http) => Mode::Http,
        Some(raw::Mode::Tcp) | None => Mode::Tcp,
    }
}
