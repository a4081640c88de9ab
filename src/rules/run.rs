//! In which order do rules act, and what comes of it? (HAProxy manual 4.2, `http-request`)

use super::matching::{holds, name_matches};
use super::{Context, Facts, format, redirect_location};
use crate::http::{RequestHead, ResponseHead};
use crate::model::rule::{
    Answer, HeaderPattern, HttpRequestAction, HttpRequestRule, HttpResponseAction, HttpResponseRule, Redirect,
    TextMatch,
};

/// How the rules of one section ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict<'a> {
    /// No rule decided.
    Continue,
    /// `allow`: the rest of this section was skipped; the next section's rules still run.
    Allow,
    Deny(&'a Answer),
    Return(&'a Answer),
    /// To [`redirect_location`].
    Redirect(&'a Redirect),
    /// Answer with the metrics.
    Prometheus,
}

/// Runs a section's rules in order. Edits are made at once, so later rules see them.
pub(crate) fn run_request_rules<'a>(
    rules: &'a [HttpRequestRule],
    head: &mut RequestHead,
    facts: &Facts<'_>,
) -> Verdict<'a> {
    let mut value = Vec::new();
    for rule in rules {
        let context = Context { request: Some(&*head), response: None, facts };
        if !rule.condition.as_ref().is_none_or(|condition| holds(condition, &context)) {
            continue;
        }
        match &rule.action {
            HttpRequestAction::Allow => return Verdict::Allow,
            HttpRequestAction::Deny(answer) => return Verdict::Deny(answer),
            HttpRequestAction::Return(answer) => return Verdict::Return(answer),
            HttpRequestAction::ServePrometheus => return Verdict::Prometheus,
            HttpRequestAction::Redirect(redirect) => {
                if !redirect.ignore_empty || !redirect_location(redirect, &context).is_empty() {
                    return Verdict::Redirect(redirect);
                }
            }
            HttpRequestAction::SetHeader { name, value: text } => {
                // Computed before the field goes, so that it may be part of its own new value.
                value.clear();
                format(text, &context, &mut value);
                head.set_field(name.as_bytes(), &value);
            }
            HttpRequestAction::AddHeader { name, value: text } => {
                value.clear();
                format(text, &context, &mut value);
                head.add_field(name.as_bytes(), &value);
            }
            HttpRequestAction::DelHeader(pattern) => {
                head.remove_fields_where(|name| is_removed(pattern, name));
            }
        }
    }
    Verdict::Continue
}

/// The same for a response; `request` is what it answers.
pub(crate) fn run_response_rules<'a>(
    rules: &'a [HttpResponseRule],
    head: &mut ResponseHead,
    request: &RequestHead,
    facts: &Facts<'_>,
) -> Verdict<'a> {
    let mut value = Vec::new();
    for rule in rules {
        let context = Context { request: Some(request), response: Some(&*head), facts };
        if !rule.condition.as_ref().is_none_or(|condition| holds(condition, &context)) {
            continue;
        }
        match &rule.action {
            HttpResponseAction::Allow => return Verdict::Allow,
            HttpResponseAction::Deny(answer) => return Verdict::Deny(answer),
            HttpResponseAction::SetHeader { name, value: text } => {
                value.clear();
                format(text, &context, &mut value);
                head.set_field(name.as_bytes(), &value);
            }
            HttpResponseAction::AddHeader { name, value: text } => {
                value.clear();
                format(text, &context, &mut value);
                head.add_field(name.as_bytes(), &value);
            }
            HttpResponseAction::DelHeader(pattern) => {
                head.remove_fields_where(|name| is_removed(pattern, name));
            }
        }
    }
    Verdict::Continue
}

/// What tells where a message ends stays, whatever a wide pattern says.
fn is_removed(pattern: &HeaderPattern, name: &[u8]) -> bool {
    let meant = match pattern {
        HeaderPattern::Text { how: TextMatch::Exact, name: pattern } => name.eq_ignore_ascii_case(pattern.as_bytes()),
        HeaderPattern::Text { how, name: pattern } => name_matches(*how, name, pattern.as_bytes()),
        HeaderPattern::Regex(regex) => regex.is_match(name),
    };
    meant && !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"transfer-encoding")
}
