//! Conditions, ACLs and rules of one section, from words to trees (HAProxy manual 4.2 `http-request`, 7).

use std::sync::Arc;

use super::context::{Context, Section};
use crate::config::raw::Words;
use crate::diag::FieldPath;
use crate::model::Mode;
use crate::model::rule::{Acl, Condition, HttpRequestRule, HttpResponseRule};

/// The ACLs that conditions of one section may name.
pub(super) struct Conditions<'c, 'a> {
    context: &'c Context<'a>,
    acls: Vec<Arc<Acl>>,
}

/// The error was told.
pub(super) struct Told;

impl<'c, 'a> Conditions<'c, 'a> {
    pub fn of(context: &'c Context<'a>, _section: &Section<'_>) -> Self {
        Conditions { context, acls: Vec::new() }
    }

    pub fn acls(&self) -> &[Arc<Acl>] {
        &self.acls
    }

    pub fn read(
        &self,
        path: &FieldPath,
        if_: Option<&Words>,
        unless: Option<&Words>,
    ) -> Result<Option<Condition>, Told> {
        if if_.is_none() && unless.is_none() {
            return Ok(None);
        }
        self.context.error(path, "conditions are known but not built yet");
        Err(Told)
    }
}

pub(super) fn request(context: &Context<'_>, section: &Section<'_>, _mode: Mode) -> Vec<HttpRequestRule> {
    if !section.own().http_request.is_empty() {
        context.error(&section.path.key("http_request"), "rules are known but not built yet");
    }
    Vec::new()
}

pub(super) fn response(context: &Context<'_>, section: &Section<'_>, _mode: Mode) -> Vec<HttpResponseRule> {
    if !section.own().http_response.is_empty() {
        context.error(&section.path.key("http_response"), "rules are known but not built yet");
    }
    Vec::new()
}
