//! Does this proxy serve the stats page, and how? (HAProxy manual 4.2 `stats …`)

use std::sync::Arc;

use super::context::{Context, Section};
use super::layers::Said;
use super::rules::Conditions;
use crate::config::raw;
use crate::diag::Diagnostic;
use crate::model::Mode;
use crate::model::rule::{Condition, Term, TermTest};
use crate::model::stats::{StatsAdmin, StatsPage};

/// HAProxy's defaults.
const USUAL_URI: &str = "/haproxy?stats";
const USUAL_REALM: &str = "HAProxy Statistics";
/// Where a proxy that only serves the page answers Prometheus.
const USUAL_METRICS: &str = "/metrics";

/// The page of one section. In mode tcp only what the section itself says counts: a stats page inherited by every
/// TCP proxy would make each of them look into its clients' first bytes.
pub(super) fn resolve<'a>(context: &Context<'a>, section: &Section<'a>) -> Option<Arc<StatsPage>> {
    let said = section.layers.said("stats", |proxy| proxy.stats.as_ref())?;
    let stats = said.value;
    if stats.enable == Some(false) || (section.mode == Mode::Tcp && !said.own) {
        return None;
    }
    let refresh = stats
        .refresh
        .as_ref()
        .and_then(|span| context.time(&Said { value: span, path: said.path.key("refresh"), own: said.own }));
    Some(Arc::new(StatsPage {
        uri: path_of(context, &said, "uri", stats.uri.as_deref()).unwrap_or_else(|| USUAL_URI.to_owned()),
        realm: stats.realm.clone().unwrap_or_else(|| USUAL_REALM.to_owned()),
        auth: users(context, &said),
        refresh: refresh.filter(|time| !time.is_zero()),
        hide_version: stats.hide_version.unwrap_or(false),
        admin: admin(context, section, &said),
        scope: scope(context, section, &said),
        show_legends: stats.show_legends.unwrap_or(false),
        show_node: shown(stats.show_node.as_ref(), context.raw.global.node.as_ref(), &context.surroundings.hostname),
        show_description: shown(stats.show_desc.as_ref(), context.raw.global.description.as_ref(), ""),
        metrics: path_of(context, &said, "metrics", stats.metrics.as_deref())
            .or_else(|| serves_nothing_else(section).then(|| USUAL_METRICS.to_owned())),
    }))
}

/// Nowhere to send requests to: the section is there for its page.
fn serves_nothing_else(section: &Section<'_>) -> bool {
    let own = section.own();
    let default = section.layers.said("default_backend", |proxy| proxy.default_backend.as_ref());
    own.servers.is_empty() && own.use_backend.is_empty() && default.is_none()
}

fn path_of(context: &Context<'_>, said: &Said<'_, raw::Stats>, field: &str, text: Option<&str>) -> Option<String> {
    let text = text?;
    if !text.starts_with('/') || text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        context.error(&said.path.key(field), format!("`{text}` is not a path; it starts with `/` and has no blanks"));
    }
    Some(text.to_owned())
}

fn users(context: &Context<'_>, said: &Said<'_, raw::Stats>) -> Vec<(String, String)> {
    let path = said.path.key("auth");
    let lines = said.value.auth.as_slice();
    let users = lines.iter().enumerate().filter_map(|(index, text)| match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => Some((user.to_owned(), password.to_owned())),
        _ => {
            let path = if lines.len() == 1 { path.clone() } else { path.index(index) };
            context.error(&path, "a user of the stats page is written `name:password`");
            None
        }
    });
    users.collect()
}

fn admin<'a>(context: &Context<'a>, section: &Section<'a>, said: &Said<'_, raw::Stats>) -> StatsAdmin {
    let Some(when) = &said.value.admin else { return StatsAdmin::Never };
    let conditions = Conditions::of(context, section);
    match conditions.read(&said.path.key("admin"), when.if_.as_ref(), when.unless.as_ref()) {
        Ok(Some(condition)) => StatsAdmin::When(condition),
        Ok(None) => StatsAdmin::When(always()),
        Err(_) => StatsAdmin::Never,
    }
}

fn always() -> Condition {
    let term = Term { negated: false, test: TermTest::Always };
    Condition { negated: false, any: vec![vec![term]] }
}

fn scope(context: &Context<'_>, section: &Section<'_>, said: &Said<'_, raw::Stats>) -> Vec<String> {
    let known = || context.backend_names().chain(context.raw.frontends.keys().map(String::as_str));
    let names = said.value.scope.iter().enumerate().map(|(index, name)| {
        if name == "." {
            return section.name.to_owned();
        }
        if !known().any(|proxy| proxy == name) {
            let told = Diagnostic::error(format!("there is no proxy `{name}` to show")).suggest(name, known());
            context.tell(&said.path.key("scope").index(index), told);
        }
        name.clone()
    });
    names.collect()
}

/// What was said, or `global`'s word where it was said empty, or what is known without any word.
fn shown(said: Option<&String>, global: Option<&String>, known: &str) -> Option<String> {
    let said = said?;
    if !said.is_empty() {
        return Some(said.clone());
    }
    let text = global.map_or(known, String::as_str);
    (!text.is_empty()).then(|| text.to_owned())
}
