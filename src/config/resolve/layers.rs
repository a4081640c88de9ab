//! What does a section inherit? Its own words first, then those of its defaults, and of theirs (manual 4, `defaults`).
//!
//! Nothing is copied together: each field is looked for in one layer after the other, so that an error in an inherited
//! value is told at the place where it was written.

use super::context::Context;
use crate::config::raw::{self, Proxy, ProxyKind};
use crate::diag::{Diagnostic, FieldPath};

pub(super) struct Layer<'a> {
    pub path: FieldPath,
    pub proxy: &'a Proxy,
}

/// A section itself, then each defaults it starts from.
pub(super) struct Layers<'a> {
    own: Layer<'a>,
    inherited: Vec<Layer<'a>>,
}

/// A value and where it was written.
pub(super) struct Said<'a, T> {
    pub value: &'a T,
    pub path: FieldPath,
    /// In the section itself, not inherited.
    pub own: bool,
}

/// A `from` that leads nowhere.
enum Problem<'a> {
    Unknown { from: FieldPath, name: &'a str },
    Circular { from: FieldPath, name: &'a str },
}

impl<'a> Layers<'a> {
    /// Tells of unknown and circular `from`.
    pub fn of(context: &Context<'a>, path: FieldPath, proxy: &'a Proxy) -> Layers<'a> {
        let (layers, problem) = Layers::follow(context.raw, path, proxy);
        match problem {
            Some(Problem::Unknown { from, name }) => {
                let known = context.raw.named_defaults.keys().map(String::as_str);
                let told = Diagnostic::error(format!("defaults `{name}` are not defined")).suggest(name, known);
                context.tell(&from, told);
            }
            Some(Problem::Circular { from, name }) => {
                context.error(&from, format!("defaults `{name}` start from themselves"));
            }
            None => {}
        }
        layers
    }

    /// For a second look, when problems were told already.
    pub fn silently(raw: &'a raw::Config, proxy: &'a Proxy) -> Layers<'a> {
        Layers::follow(raw, FieldPath::root(), proxy).0
    }

    fn follow(raw: &'a raw::Config, path: FieldPath, proxy: &'a Proxy) -> (Layers<'a>, Option<Problem<'a>>) {
        let mut layers = Layers { own: Layer { path: path.clone(), proxy }, inherited: Vec::new() };
        let (mut below, mut from) = (proxy, path.key("from"));
        if proxy.from.is_none() {
            let path = FieldPath::root().key("defaults");
            from = path.key("from");
            below = &raw.defaults;
            layers.inherited.push(Layer { path, proxy: below });
        }
        while let Some(name) = below.from.as_deref() {
            let Some((name, defaults)) = raw.named_defaults.get_key_value(name) else {
                return (layers, Some(Problem::Unknown { from, name }));
            };
            if layers.iter().any(|layer| std::ptr::eq(layer.proxy, defaults)) {
                return (layers, Some(Problem::Circular { from, name }));
            }
            let path = FieldPath::root().key("named_defaults").key(name);
            from = path.key("from");
            below = defaults;
            layers.inherited.push(Layer { path, proxy: defaults });
        }
        (layers, None)
    }

    pub fn own(&self) -> &'a Proxy {
        self.own.proxy
    }

    /// From the section outwards.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Layer<'a>> {
        std::iter::once(&self.own).chain(&self.inherited)
    }

    /// The nearest value of a field; dots in its name lead into it.
    pub fn said<T>(&self, field: &str, pick: impl Fn(&'a Proxy) -> Option<&'a T>) -> Option<Said<'a, T>> {
        let (place, layer) = self.iter().enumerate().find(|(_, layer)| pick(layer.proxy).is_some())?;
        let path = field.split('.').fold(layer.path.clone(), |path, step| path.key(step));
        Some(Said { value: pick(layer.proxy)?, path, own: place == 0 })
    }

    /// For switches and numbers, where only the value matters.
    pub fn value<T: Copy + 'a>(&self, pick: impl Fn(&'a Proxy) -> Option<&'a T>) -> Option<T> {
        self.said("", pick).map(|said| *said.value)
    }
}

/// What is wrong with the defaults themselves, used or not.
pub(super) fn check_defaults(context: &Context<'_>) {
    let unnamed = FieldPath::root().key("defaults");
    let defaults = &context.raw.defaults;
    context.refuse_misplaced(&unnamed, defaults, ProxyKind::Defaults, "defaults");
    // HAProxy manual 4: rules may stand in named defaults only, because only those are chosen knowingly.
    let rules = [
        ("acls", !defaults.acls.is_empty()),
        ("tcp_request", defaults.tcp_request != raw::TcpRequest::default()),
        ("http_request", !defaults.http_request.is_empty()),
        ("http_response", !defaults.http_response.is_empty()),
        ("redirect", !defaults.redirect.is_empty()),
    ];
    for (field, _) in rules.into_iter().filter(|(_, said)| *said) {
        let told = Diagnostic::error(format!("`{field}` may not stand in defaults without a name"));
        context.tell(&unnamed.key(field), told.hint("put it into `named_defaults` and name those by `from`"));
    }
    for (name, proxy) in &context.raw.named_defaults {
        let path = FieldPath::root().key("named_defaults").key(name);
        context.check_name(&path, name);
        context.refuse_misplaced(&path, proxy, ProxyKind::Defaults, &format!("defaults `{name}`"));
        Layers::of(context, path, proxy);
    }
}
