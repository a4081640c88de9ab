//! Which certificate does a client get?
//!
//! By the exact name, else by a wildcard for its first label, else the default ones. Several for one name differ in the
//! kind of key or in validity: one in force goes before one that is not, and elliptic curves before RSA where the client
//! can take both, because they cost it and us less (HAProxy does so too). The table is replaced as a whole when a
//! certificate has been renewed on disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::made_with;
use crate::model::tls::{Certificate, ListenerTls, MadeWith, Served, SniFilter};

/// A listener's certificates, those in force.
#[derive(Debug)]
pub(crate) struct Resolver {
    table: ArcSwap<Table>,
    strict_sni: bool,
}

#[derive(Debug)]
struct Table {
    /// As the configuration has them, with what was renewed since.
    served: Vec<Served>,
    /// What each of them is made with.
    made_with: Vec<Arc<MadeWith>>,
    exact: HashMap<Box<str>, Candidates>,
    /// By what stands behind the `*`, dot included. One label takes its place (RFC 6125 §6.4.3).
    wildcard: HashMap<Box<str>, Candidates>,
    /// For clients that name no host, or an unknown one. Empty with `strict-sni`.
    default: Candidates,
}

/// Indexes in [`Table::served`], in order of preference.
type Candidates = Vec<usize>;

impl Resolver {
    pub fn new(tls: &ListenerTls) -> Self {
        let table = Table::new(tls.certificates.clone(), tls.strict_sni);
        Resolver { table: ArcSwap::from_pointee(table), strict_sni: tls.strict_sni }
    }

    /// The certificates in force.
    pub fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.table.load().served.iter().map(|served| Arc::clone(&served.certificate)).collect()
    }

    /// Serves a certificate instead of the one read from the same path before. Whether there was one.
    pub fn renew(&self, renewed: &Arc<Certificate>) -> bool {
        let mut served = self.table.load().served.clone();
        let mut found = false;
        for old in served.iter_mut().filter(|old| old.certificate.path == renewed.path) {
            old.certificate = Arc::clone(renewed);
            found = true;
        }
        if found {
            self.table.store(Arc::new(Table::new(served, self.strict_sni)));
        }
        found
    }

    /// What the certificate this client gets is made with.
    pub(super) fn made_with(&self, hello: &ClientHello<'_>) -> Option<Arc<MadeWith>> {
        let table = self.table.load();
        table.made_with.get(table.choose(hello)?).cloned()
    }

    /// The place of the certificate this client gets.
    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Option<usize> {
        self.table.load().choose(hello)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let chosen = &table.served.get(table.choose(&hello)?)?.certificate;
        let stale = chosen.staple_until.is_some_and(|until| until <= SystemTime::now());
        if stale {
            // Clients would take an answer that has run out for an attack.
            let mut key = (*chosen.key).clone();
            key.ocsp = None;
            return Some(Arc::new(key));
        }
        Some(Arc::clone(&chosen.key))
    }
}

impl Table {
    fn new(served: Vec<Served>, strict_sni: bool) -> Self {
        let mut exact: HashMap<Box<str>, Candidates> = HashMap::new();
        let mut wildcard: HashMap<Box<str>, Candidates> = HashMap::new();
        for (index, one) in served.iter().enumerate() {
            for name in names_of(one) {
                let (map, name) = match name.strip_prefix('*') {
                    Some(suffix) => (&mut wildcard, suffix),
                    None => (&mut exact, name),
                };
                let known = map.entry(name.into()).or_default();
                if !known.contains(&index) {
                    known.push(index);
                }
            }
        }
        let mut default = if strict_sni { Vec::new() } else { defaults(&served) };
        for candidates in exact.values_mut().chain(wildcard.values_mut()).chain([&mut default]) {
            // Stable: what is written first goes first among equals.
            candidates.sort_by_key(|index| served.get(*index).is_some_and(is_rsa));
        }
        let made_with = served.iter().map(|one| Arc::new(made_with::of(&one.certificate.key.cert))).collect();
        Table { served, made_with, exact, wildcard, default }
    }

    fn choose(&self, hello: &ClientHello<'_>) -> Option<usize> {
        let fits = |index: &usize| {
            let key = &self.served.get(*index)?.certificate.key.key;
            key.choose_scheme(hello.signature_schemes()).map(drop)
        };
        let Some(name) = hello.server_name() else { return self.best(&self.default, fits) };
        let by_wildcard = || {
            let dot = name.find('.')?;
            let candidates = self.wildcard.get(name.get(dot..)?)?;
            let excluded = |index: &&usize| self.served.get(**index).is_some_and(|served| excludes(served, name));
            if !candidates.iter().any(|index| excluded(&index)) {
                return Some(self.best(candidates, fits));
            }
            let left: Candidates = candidates.iter().filter(|index| !excluded(index)).copied().collect();
            (!left.is_empty()).then(|| self.best(&left, fits))
        };
        let by_name = self.exact.get(name).map(|candidates| self.best(candidates, fits));
        by_name.or_else(by_wildcard).unwrap_or_else(|| self.best(&self.default, fits))
    }

    /// The first the client can verify, one in force before one that is not; the first of all when there is none.
    fn best(&self, candidates: &[usize], fits: impl Fn(&usize) -> Option<()>) -> Option<usize> {
        let (first, rest) = candidates.split_first()?;
        if rest.is_empty() {
            return Some(*first);
        }
        let now = SystemTime::now();
        let in_force = |index: &&usize| {
            let certificate = self.served.get(**index).map(|served| &served.certificate);
            certificate.is_some_and(|it| it.not_before <= now && now <= it.not_after)
        };
        let usable = || candidates.iter().filter(|index| fits(index).is_some());
        usable().find(in_force).or_else(|| usable().next()).or(Some(first)).copied()
    }
}

/// The names of its filters, less what they exclude; its own only without any filter (run against HAProxy 2.6).
fn names_of(served: &Served) -> impl Iterator<Item = &str> {
    let positive = served.filters.iter().filter(|filter| !filter.negative);
    let own = if served.filters.is_empty() { &served.certificate.names[..] } else { &[] };
    let names = positive.map(|filter| filter.name.as_str()).chain(own.iter().map(String::as_str));
    names.filter(|name| !served.filters.iter().any(|filter| takes_out(filter, name)))
}

fn takes_out(filter: &SniFilter, name: &str) -> bool {
    filter.negative && (filter.name == "*" || filter.name == name || covers(&filter.name, name))
}

/// Whether a filter of this certificate excludes a name that a wildcard would give it.
fn excludes(served: &Served, name: &str) -> bool {
    served.filters.iter().any(|filter| takes_out(filter, name))
}

/// `*.a.test` covers `b.a.test`.
fn covers(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), name.find('.')) {
        (Some(suffix), Some(dot)) => name.get(dot..) == Some(suffix) && !name.starts_with('*'),
        _ => false,
    }
}

/// Those marked, else the first. The same host with another kind of key stands in for a client that cannot take it.
fn defaults(served: &[Served]) -> Candidates {
    let marked: Candidates =
        (0..served.len()).filter(|index| served.get(*index).is_some_and(|it| it.is_default)).collect();
    if !marked.is_empty() {
        return marked;
    }
    let Some(first) = served.first() else { return Vec::new() };
    let is_twin = |other: &Served| other.certificate.names == first.certificate.names;
    let twins = served.iter().enumerate().skip(1).filter(|(_, other)| is_twin(other)).map(|(index, _)| index);
    std::iter::once(0).chain(twins).collect()
}

fn is_rsa(served: &Served) -> bool {
    served.certificate.key.key.algorithm() == SignatureAlgorithm::RSA
}
