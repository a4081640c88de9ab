//! Sections while they are being read.

use std::collections::BTreeMap;

use super::places::SectionPlaces;
use super::reader::Environment;
use crate::config::raw;
use crate::diag::Position;

/// A `defaults`, `frontend`, `backend` or `listen` section.
pub(super) struct ProxyDraft {
    pub kind: raw::ProxyKind,
    pub name: Option<String>,
    /// The place of its name, or of its keyword.
    pub place: Position,
    /// Which section of the list its settings start from.
    pub base: Option<usize>,
    /// Whether `from` was written.
    pub explicit_base: bool,
    pub raw: raw::Proxy,
    pub places: SectionPlaces,
    /// What its base says, as far as reading this section needs it.
    pub inherited: Inherited,
    /// `default-server` lines behind the first `server` line; only servers below them start from it.
    pub late_default_server: Option<raw::Server>,
    pub check: CheckDraft,
}

/// How far the check of a section has been described.
#[derive(Default)]
pub(super) struct CheckDraft {
    pub sends: u32,
    pub expects: u32,
}

#[derive(Clone, Default)]
pub(super) struct Inherited {
    pub check: Option<raw::Check>,
    pub http_connection: Option<raw::HttpConnection>,
    pub default_server_checks: bool,
}

impl ProxyDraft {
    /// What sections based on this one start from.
    pub fn hands_on(&self) -> Inherited {
        let own = self.raw.default_server.as_ref().and_then(|server| server.check);
        Inherited {
            check: merged(self.inherited.check.as_ref(), self.raw.check.as_ref()),
            http_connection: self.raw.http_connection.or(self.inherited.http_connection),
            default_server_checks: own.unwrap_or(self.inherited.default_server_checks),
        }
    }

    /// The kind of check in force at this line.
    pub fn check_type(&self) -> Option<raw::CheckType> {
        let own = self.raw.check.as_ref().and_then(|check| check.kind);
        own.or(self.inherited.check.as_ref().and_then(|check| check.kind))
    }
}

/// A check as inherited, with the fields of another written over it.
pub(super) fn merged(base: Option<&raw::Check>, over: Option<&raw::Check>) -> Option<raw::Check> {
    let (Some(base), Some(over)) = (base, over) else {
        return over.or(base).cloned();
    };
    Some(raw::Check {
        kind: over.kind.or(base.kind),
        method: over.method.clone().or_else(|| base.method.clone()),
        uri: over.uri.clone().or_else(|| base.uri.clone()),
        version: over.version.clone().or_else(|| base.version.clone()),
        headers: over.headers.clone().or_else(|| base.headers.clone()),
        body: over.body.clone().or_else(|| base.body.clone()),
        expect: over.expect.clone().or_else(|| base.expect.clone()),
    })
}

/// All `global` sections together, and the environment their lines may change.
pub(super) struct GlobalDraft {
    pub raw: raw::Global,
    pub places: SectionPlaces,
    /// `setenv`, `presetenv` and `unsetenv`, over the process's environment; `None` is unset.
    pub environment: BTreeMap<String, Option<String>>,
    /// `resetenv`: only these names of the process's environment are kept.
    pub kept_environment: Option<Vec<String>>,
    /// The process's own.
    pub process: Environment,
}

impl GlobalDraft {
    pub fn new(process: Environment) -> Self {
        GlobalDraft {
            raw: raw::Global::default(),
            places: SectionPlaces::default(),
            environment: BTreeMap::new(),
            kept_environment: None,
            process,
        }
    }

    /// A variable as the next line sees it.
    pub fn variable(&self, name: &str) -> Option<String> {
        if let Some(value) = self.environment.get(name) {
            return value.clone();
        }
        let kept = self.kept_environment.as_ref().is_none_or(|kept| kept.iter().any(|kept| kept == name));
        if kept { self.process.get(name).cloned() } else { None }
    }
}
