//! Conditions, ACLs and rules of one section, from words to trees (HAProxy manual 4.2 `http-request`, 7).
//!
//! `expr` reads the words; here they are found, given the names they may use, and their errors a place.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::context::{Context, Section};
use super::layers::Layer;
use crate::config::expr::{
    ExprError, Scope, Side, parse_acl, parse_condition, parse_redirect, parse_request_action, parse_response_action,
};
use crate::config::pem::{PemError, read_file};
use crate::config::raw::{HttpRule, ProxyKind, Words};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::rule::{Acl, Condition, HttpRequestAction, HttpRequestRule, HttpResponseRule};
use crate::model::{BackendId, Mode};

/// What words in one section, or in the defaults it starts from, may name.
pub(super) struct Conditions<'c, 'a> {
    context: &'c Context<'a>,
    mode: Mode,
    acls: Vec<Arc<Acl>>,
    acl_names: Vec<String>,
    backend_names: Vec<String>,
    own_backend: Option<BackendId>,
}

/// The error was told.
pub(super) struct Told;

impl<'c, 'a> Conditions<'c, 'a> {
    /// For the section's own words. Errors in its ACLs are told each time this is called; diagnostics are told once.
    pub fn of(context: &'c Context<'a>, section: &Section<'a>) -> Self {
        let own = Layer { path: section.path.clone(), proxy: section.own() };
        Conditions::of_layer(context, section, &own)
    }

    /// ACLs of defaults are seen in those defaults only (manual 4, `defaults`).
    pub(super) fn of_layer(context: &'c Context<'a>, section: &Section<'a>, layer: &Layer<'a>) -> Self {
        let own_backend = match section.kind {
            ProxyKind::Backend | ProxyKind::Listen => context.backend(section.name),
            ProxyKind::Frontend | ProxyKind::Defaults => None,
        };
        let mut conditions = Conditions {
            context,
            mode: section.mode,
            acls: Vec::new(),
            acl_names: layer.proxy.acls.keys().cloned().collect(),
            backend_names: context.backend_names().map(str::to_owned).collect(),
            own_backend,
        };
        conditions.acls = conditions.read_acls(layer);
        conditions
    }

    fn read_acls(&self, layer: &Layer<'_>) -> Vec<Arc<Acl>> {
        let mut acls = Vec::new();
        for (name, lines) in &layer.proxy.acls {
            let path = layer.path.key("acls").key(name);
            let lines = lines.as_slice();
            let mut tests = Vec::new();
            for (index, words) in lines.iter().enumerate() {
                let path = if lines.len() == 1 { path.clone() } else { path.index(index) };
                let read = self.with_scope(Side::Request, |scope| parse_acl(name, words.as_slice(), scope));
                tests.extend(self.told(&path, read).ok());
            }
            acls.push(Arc::new(Acl { name: name.clone(), tests }));
        }
        acls
    }

    /// The condition of one thing, at `path`; `None` when it always holds.
    pub fn read(
        &self,
        path: &FieldPath,
        if_: Option<&Words>,
        unless: Option<&Words>,
    ) -> Result<Option<Condition>, Told> {
        self.read_on(Side::Request, path, if_, unless)
    }

    fn read_on(
        &self,
        side: Side,
        path: &FieldPath,
        if_: Option<&Words>,
        unless: Option<&Words>,
    ) -> Result<Option<Condition>, Told> {
        let (words, field) = match (if_, unless) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                self.context.error(&path.key("unless"), "`if` and `unless` exclude each other");
                return Err(Told);
            }
            (Some(words), None) => (words, "if"),
            (None, Some(words)) => (words, "unless"),
        };
        let read = self.with_scope(side, |scope| parse_condition(words.as_slice(), unless.is_some(), scope));
        self.told(&path.key(field), read).map(Some)
    }

    pub(super) fn told<T>(&self, path: &FieldPath, read: Result<T, ExprError>) -> Result<T, Told> {
        read.map_err(|error| {
            let mut told = Diagnostic::error(error.message);
            told.hint = error.hint;
            self.context.tell_word(path, error.word, told);
            Told
        })
    }

    /// Hands out everything that words may refer to.
    pub(super) fn with_scope<T>(&self, side: Side, read: impl FnOnce(&Scope<'_>) -> T) -> T {
        read(&Scope {
            mode: self.mode,
            side,
            acls: &|name| self.acls.iter().find(|acl| acl.name == name).cloned(),
            acl_names: &self.acl_names,
            backends: &|name| self.context.backend(name),
            backend_names: &self.backend_names,
            own_backend: self.own_backend,
            read: &read_words_file,
        })
    }
}

/// A pattern, answer or error file.
fn read_words_file(path: &Path) -> io::Result<Vec<u8>> {
    read_file(path).map_err(|error| match error {
        PemError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    })
}

/// The `http-request` rules that run for a section, those of its defaults first, and behind them its `redirect` lines.
pub(super) fn request<'a>(context: &Context<'a>, section: &Section<'a>) -> Vec<HttpRequestRule> {
    let mut rules = Vec::new();
    let mut redirects = Vec::new();
    for_each_layer(context, section, "http_request", |conditions, layer| {
        for (index, rule) in layer.proxy.http_request.iter().enumerate() {
            let path = layer.path.key("http_request").index(index);
            let action = action(conditions, Side::Request, &path, rule, parse_request_action);
            let condition = conditions.read(&path, rule.if_.as_ref(), rule.unless.as_ref());
            if let (Ok(action), Ok(condition)) = (action, condition) {
                rules.push(HttpRequestRule { action, condition });
            }
        }
        for (index, rule) in layer.proxy.redirect.iter().enumerate() {
            let path = layer.path.key("redirect").index(index);
            let read = conditions.with_scope(Side::Request, |scope| parse_redirect(rule.redirect.as_slice(), scope));
            let action = conditions.told(&path.key("redirect"), read).map(HttpRequestAction::Redirect);
            let condition = conditions.read(&path, rule.if_.as_ref(), rule.unless.as_ref());
            if let (Ok(action), Ok(condition)) = (action, condition) {
                redirects.push(HttpRequestRule { action, condition });
            }
        }
    });
    rules.append(&mut redirects);
    rules
}

/// The `http-response` rules that run for a section.
pub(super) fn response<'a>(context: &Context<'a>, section: &Section<'a>) -> Vec<HttpResponseRule> {
    let mut rules = Vec::new();
    for_each_layer(context, section, "http_response", |conditions, layer| {
        for (index, rule) in layer.proxy.http_response.iter().enumerate() {
            let path = layer.path.key("http_response").index(index);
            let action = action(conditions, Side::Response, &path, rule, parse_response_action);
            let condition = conditions.read_on(Side::Response, &path, rule.if_.as_ref(), rule.unless.as_ref());
            if let (Ok(action), Ok(condition)) = (action, condition) {
                rules.push(HttpResponseRule { action, condition });
            }
        }
    });
    rules
}

/// From the outermost defaults to the section; nothing in mode tcp, where own rules are told to do nothing.
fn for_each_layer<'a>(
    context: &Context<'a>,
    section: &Section<'a>,
    field: &str,
    mut each: impl FnMut(&Conditions<'_, 'a>, &Layer<'a>),
) {
    if section.mode == Mode::Tcp {
        let own = section.own();
        let written = match field {
            "http_response" => !own.http_response.is_empty(),
            _ => !own.http_request.is_empty() || !own.redirect.is_empty(),
        };
        if written {
            let told =
                format!("`{field}` does nothing: {} is in mode tcp, where there are no requests", section.title());
            context.warn(&section.path.key(field), "http-in-tcp", told);
        }
        return;
    }
    for layer in section.layers.iter().rev() {
        each(&Conditions::of_layer(context, section, layer), layer);
    }
}

/// The one action of a rule.
fn action<T>(
    conditions: &Conditions<'_, '_>,
    side: Side,
    path: &FieldPath,
    rule: &HttpRule,
    parse: impl Fn(&str, &[String], &Scope<'_>) -> Result<T, ExprError>,
) -> Result<T, Told> {
    let mut actions = rule.actions();
    match (actions.next(), actions.next()) {
        (Some((name, words)), None) => {
            let read = conditions.with_scope(side, |scope| parse(name, words.as_slice(), scope));
            conditions.told(&path.key(name), read)
        }
        (None, _) => {
            let told = Diagnostic::error("the rule has no action");
            conditions.context.tell(path, told.hint("for example `set_header: X-Name value`, or `deny: true`"));
            Err(Told)
        }
        (Some((first, _)), Some((second, _))) => {
            let told = format!("one rule has one action, not both `{first}` and `{second}`");
            conditions.context.error(&path.key(second), told);
            Err(Told)
        }
    }
}
