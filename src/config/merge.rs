//! How do several files make one configuration? Sections side by side; the same one twice is an error.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::locate::Locate;
use super::raw::{Config, Proxy};
use crate::diag::{Diagnostic, Diagnostics, FieldPath, Position, Step};

/// The files read so far.
#[derive(Default)]
pub(super) struct Merge {
    raw: Config,
    places: Parts,
}

/// The places of several files: each section knows which file it came from.
#[derive(Default)]
struct Parts {
    parts: Vec<Box<dyn Locate>>,
    owners: HashMap<FieldPath, usize>,
}

impl Merge {
    /// Adds what one reader read.
    pub fn add(&mut self, raw: Config, places: Box<dyn Locate>, diagnostics: &mut Diagnostics) {
        let part = self.places.parts.len();
        let Config { global, defaults, named_defaults, frontends, backends, listens } = raw;
        self.places.parts.push(places);
        self.one("global", part, &global, |config| &mut config.global, diagnostics);
        self.one("defaults", part, &defaults, |config| &mut config.defaults, diagnostics);
        self.sections("named_defaults", part, named_defaults, |config| &mut config.named_defaults, diagnostics);
        self.sections("frontends", part, frontends, |config| &mut config.frontends, diagnostics);
        self.sections("backends", part, backends, |config| &mut config.backends, diagnostics);
        self.sections("listens", part, listens, |config| &mut config.listens, diagnostics);
    }

    pub fn finish(self) -> (Config, Box<dyn Locate>) {
        (self.raw, Box::new(self.places))
    }

    /// A section there can be only one of.
    fn one<T: Default + PartialEq + Clone>(
        &mut self,
        name: &str,
        part: usize,
        value: &T,
        slot: impl Fn(&mut Config) -> &mut T,
        diagnostics: &mut Diagnostics,
    ) {
        if *value == T::default() {
            return;
        }
        let path = FieldPath::root().key(name);
        if self.places.owners.contains_key(&path) {
            self.twice(&path, part, diagnostics);
            return;
        }
        *slot(&mut self.raw) = value.clone();
        self.places.owners.insert(path, part);
    }

    fn sections(
        &mut self,
        group: &str,
        part: usize,
        sections: IndexMap<String, Proxy>,
        slot: impl Fn(&mut Config) -> &mut IndexMap<String, Proxy>,
        diagnostics: &mut Diagnostics,
    ) {
        for (name, proxy) in sections {
            let path = FieldPath::root().key(group).key(name.clone());
            if self.places.owners.contains_key(&path) {
                self.twice(&path, part, diagnostics);
                continue;
            }
            slot(&mut self.raw).insert(name, proxy);
            self.places.owners.insert(path, part);
        }
    }

    fn twice(&self, path: &FieldPath, part: usize, diagnostics: &mut Diagnostics) {
        let before = self.places.locate(path).map(|place| format!(", in {}:{}", place.file, place.line));
        let told = Diagnostic::error(format!("`{path}` is defined already{}", before.unwrap_or_default()));
        diagnostics.push(told.at(self.places.parts.get(part).and_then(|part| part.locate(path))));
    }
}

impl Parts {
    /// The file that a path's section came from.
    fn owner(&self, path: &FieldPath) -> Option<&dyn Locate> {
        let depth = match path.steps().first() {
            Some(Step::Key(group)) if matches!(group.as_str(), "global" | "defaults") => 1,
            _ => 2,
        };
        let section = path.steps().iter().take(depth).fold(FieldPath::root(), |section, step| match step {
            Step::Key(key) => section.key(key.clone()),
            Step::Index(index) => section.index(*index),
        });
        let part = self.owners.get(&section).and_then(|part| self.parts.get(*part));
        part.or(self.parts.first()).map(|part| &**part)
    }
}

impl Locate for Parts {
    fn locate(&self, path: &FieldPath) -> Option<Position> {
        self.owner(path)?.locate(path)
    }

    fn locate_word(&self, path: &FieldPath, word: usize) -> Option<Position> {
        self.owner(path)?.locate_word(path, word)
    }
}

#[cfg(test)]
mod tests {
    use super::super::locate::Nowhere;
    use super::super::raw::Global;
    use super::*;

    /// What is told when these are added in turn.
    fn check(configs: Vec<Config>, expected: &[&str]) -> Config {
        let mut merge = Merge::default();
        let mut diagnostics = Diagnostics::new();
        for config in configs {
            merge.add(config, Box::new(Nowhere), &mut diagnostics);
        }
        let told: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.message.clone()).collect();
        assert_eq!(told, expected);
        merge.finish().0
    }

    fn backend(name: &str) -> Config {
        let mut config = Config::default();
        config.backends.insert(name.to_owned(), Proxy::default());
        config
    }

    fn maxconn(number: u32) -> Config {
        Config { global: Global { maxconn: Some(number), ..Global::default() }, ..Config::default() }
    }

    #[test]
    fn puts_sections_side_by_side_and_refuses_doubles() {
        let whole = check(vec![backend("a"), maxconn(5), backend("b")], &[]);
        assert_eq!(whole.backends.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(whole.global.maxconn, Some(5));
        check(vec![backend("a"), backend("a")], &["`backends.a` is defined already"]);
        check(vec![maxconn(5), maxconn(6)], &["`global` is defined already"]);
    }
}
