//! From the sections as read to one configuration: who starts from which defaults, what HAProxy means without a word.

use super::args::Report;
use super::check;
use super::draft::{GlobalDraft, ProxyDraft};
use super::places::CfgPlaces;
use crate::config::raw::{self, Check, CheckType, Expect, ProxyKind};
use crate::diag::{Diagnostic, FieldPath, Position};

pub(super) fn assemble(
    global: GlobalDraft,
    mut proxies: Vec<ProxyDraft>,
    report: &mut Report,
) -> (raw::Config, CfgPlaces) {
    for index in 0..proxies.len() {
        finish_check(&mut proxies, index, report);
    }
    proxies.iter_mut().for_each(finish_servers);
    let names = defaults_names(&proxies, report);
    let mut config = raw::Config { global: global.raw, ..raw::Config::default() };
    let mut places = CfgPlaces::default();
    places.add(&FieldPath::root().key("global"), global.places);
    for (index, mut draft) in proxies.into_iter().enumerate() {
        draft.raw.from = draft.base.and_then(|base| names.get(base).cloned().flatten());
        let (group, sections) = match draft.kind {
            ProxyKind::Defaults => ("named_defaults", &mut config.named_defaults),
            ProxyKind::Frontend => ("frontends", &mut config.frontends),
            ProxyKind::Backend => ("backends", &mut config.backends),
            ProxyKind::Listen => ("listens", &mut config.listens),
        };
        let name = match draft.kind {
            ProxyKind::Defaults => names.get(index).cloned().flatten(),
            _ => draft.name.clone(),
        };
        let Some(name) = name else {
            places.add(&FieldPath::root().key("defaults"), draft.places);
            config.defaults = draft.raw;
            continue;
        };
        let path = FieldPath::root().key(group).key(name.clone());
        if sections.contains_key(&name) {
            tell_twice(&draft, &name, &places, &path, report);
            continue;
        }
        places.add(&path, draft.places);
        sections.insert(name, draft.raw);
    }
    (config, places)
}

fn tell_twice(draft: &ProxyDraft, name: &str, places: &CfgPlaces, path: &FieldPath, report: &mut Report) {
    use crate::config::locate::Locate;
    let keyword = match draft.kind {
        ProxyKind::Defaults => "defaults",
        ProxyKind::Frontend => "frontend",
        ProxyKind::Backend => "backend",
        ProxyKind::Listen => "listen",
    };
    let before = places.locate(path).map(|place| format!(" in {}:{}", place.file, place.line)).unwrap_or_default();
    let told = Diagnostic::error(format!("{keyword} `{name}` is defined already{before}"));
    report.diagnostics.push(told.at(Some(draft.place.clone())));
}

/// The name of each `defaults` section in the result: `None` for the one that becomes `defaults` itself, which all
/// proxies without `from` start from. That is the first one without a name, unless a proxy above every `defaults`
/// would get it too; further ones without a name are called `defaults-2` and so on.
fn defaults_names(proxies: &[ProxyDraft], report: &mut Report) -> Vec<Option<String>> {
    let is_defaults = |draft: &&ProxyDraft| draft.kind == ProxyKind::Defaults;
    let baseless = proxies.iter().any(|draft| draft.kind != ProxyKind::Defaults && draft.base.is_none());
    let taken = |name: &str| proxies.iter().filter(is_defaults).any(|draft| draft.name.as_deref() == Some(name));
    let mut main_is_free = !baseless;
    let mut count = 0;
    let mut names = Vec::with_capacity(proxies.len());
    for draft in proxies {
        names.push(match (&draft.name, draft.kind) {
            (Some(name), ProxyKind::Defaults) => {
                count += 1;
                Some(name.clone())
            }
            (None, ProxyKind::Defaults) => {
                count += 1;
                if std::mem::take(&mut main_is_free) { None } else { Some(free_name(count, taken)) }
            }
            _ => None,
        });
    }
    tell_empty_base(proxies, report);
    names
}

fn free_name(count: usize, taken: impl Fn(&str) -> bool) -> String {
    let mut name = format!("defaults-{count}");
    while taken(&name) {
        name.push('x');
    }
    name
}

/// Two sections of one name that are both named by `from` cannot be told apart (manual 4).
fn tell_empty_base(proxies: &[ProxyDraft], report: &mut Report) {
    for draft in proxies.iter().filter(|draft| draft.explicit_base) {
        let Some(base) = draft.base.and_then(|base| proxies.get(base)) else {
            continue;
        };
        let same = |other: &&ProxyDraft| other.kind == ProxyKind::Defaults && other.name == base.name;
        if proxies.iter().filter(same).count() > 1 {
            let name = base.name.as_deref().unwrap_or_default();
            let told = Diagnostic::error(format!("several `defaults` sections are called `{name}`"));
            report.diagnostics.push(told.at(draft.places.get(&FieldPath::root().key("from")).cloned()));
        }
    }
}

/// Writes out what HAProxy means without a word: a check without `option httpchk` is a connection, one with it sends
/// `OPTIONS / HTTP/1.0` and takes any 2xx or 3xx (manual 4.2 `option httpchk`, `http-check expect`).
///
/// Nothing of an inherited request is kept by a section that describes its own (run against HAProxy 2.6).
fn finish_check(proxies: &mut [ProxyDraft], index: usize, report: &mut Report) {
    let base = proxies.get(index).and_then(|draft| draft.base);
    let inherited = base.and_then(|base| proxies.get(base)).map(ProxyDraft::hands_on);
    let Some(draft) = proxies.get_mut(index) else {
        return;
    };
    draft.inherited = inherited.unwrap_or_default();
    let own_kind = draft.raw.check.as_ref().and_then(|check| check.kind);
    match (draft.check_type(), own_kind) {
        (Some(CheckType::Http), Some(_)) => own_request(draft),
        (Some(CheckType::Http), None) if draft.check.sends > 0 => {
            let told = Diagnostic::warning(
                "`http-check send` replaces all of the inherited request: what it does not say is `OPTIONS / HTTP/1.0`",
            );
            let told = told.hint("say `option httpchk` here too");
            report.diagnostics.push(told.code("http-check-replaces").at(Some(check_place(draft))));
            own_request(draft);
        }
        (Some(_), _) => {}
        (None, _) if draft.kind == ProxyKind::Defaults || draft.kind == ProxyKind::Frontend => {}
        (None, _) => {
            if draft.check.sends + draft.check.expects > 0 {
                let told = "`http-check` has no effect without `option httpchk`: only the connection is checked";
                let told = Diagnostic::warning(told).code("http-check-without-httpchk");
                report.diagnostics.push(told.at(Some(check_place(draft))));
                draft.raw.check = None;
            }
            if has_checks(draft) {
                draft.raw.check = Some(Check { kind: Some(CheckType::Tcp), ..Check::default() });
            }
        }
    }
}

/// Fills the request of a section that has its own, so that nothing is inherited.
fn own_request(draft: &mut ProxyDraft) {
    let inherited = draft.inherited.check.clone().unwrap_or_default();
    let check = draft.raw.check.get_or_insert_default();
    check.method.get_or_insert_with(|| check::DEFAULT_METHOD.to_owned());
    check.uri.get_or_insert_with(|| check::DEFAULT_URI.to_owned());
    check.version.get_or_insert_with(|| check::DEFAULT_VERSION.to_owned());
    if inherited.headers.is_some() {
        check.headers.get_or_insert_default();
    }
    if inherited.body.is_some() {
        check.body.get_or_insert_default();
    }
    if check.expect.is_none() {
        check.expect = Some(vec![Expect { status: Some("200-399".to_owned()), ..Expect::default() }]);
    }
}

/// Where a section first says something about its check.
fn check_place(draft: &ProxyDraft) -> Position {
    let path = FieldPath::root().key("check");
    let fields = ["method", "uri", "version", "body"].map(|field| path.key(field));
    let lists = ["headers", "expect"].map(|field| path.key(field).index(0));
    let places = fields.into_iter().chain(lists).chain([path.key("headers").index(0).key("name")]);
    let places = places.filter_map(|path| draft.places.get(&path)).min();
    places.unwrap_or(&draft.place).clone()
}

/// A server is checked only where `check` says so (manual 5.2); natively it is unless told otherwise.
fn finish_servers(draft: &mut ProxyDraft) {
    let default = draft.hands_on().default_server_checks;
    draft.raw.servers.values_mut().for_each(|server| {
        server.check.get_or_insert(default);
    });
}

fn has_checks(draft: &ProxyDraft) -> bool {
    let default = draft.hands_on().default_server_checks;
    draft.raw.servers.values().any(|server| server.check.unwrap_or(default))
}
