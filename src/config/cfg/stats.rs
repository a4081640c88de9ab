//! `stats …` of a proxy (HAProxy manual 4.2).

use super::args::Args;
use super::draft::ProxyDraft;
use crate::config::raw::{Stats, When};
use crate::diag::FieldPath;
use crate::units::Bare;

fn path(field: &str) -> FieldPath {
    FieldPath::root().key("stats").key(field)
}

/// Any `stats` line serves the page.
fn page<'d>(args: &mut Args, proxy: &'d mut ProxyDraft) -> &'d mut Stats {
    let whole = FieldPath::root().key("stats");
    if args.places.get(&whole).is_none() {
        args.mark_line(whole);
    }
    proxy.raw.stats.get_or_insert_default()
}

pub(super) fn enable(args: &mut Args, proxy: &mut ProxyDraft) {
    page(args, proxy).enable = Some(true);
    args.mark_line(path("enable"));
    args.end();
}

pub(super) fn uri(args: &mut Args, proxy: &mut ProxyDraft) {
    let page = page(args, proxy);
    if let Some(uri) = args.text("the beginning of a URI (`/haproxy?stats`)") {
        args.mark_last(path("uri"));
        page.uri = Some(uri);
        args.end();
    }
}

pub(super) fn realm(args: &mut Args, proxy: &mut ProxyDraft) {
    let page = page(args, proxy);
    if let Some(realm) = args.text("a text; put it in quotes when it has blanks") {
        args.mark_last(path("realm"));
        page.realm = Some(realm);
        args.end();
    }
}

pub(super) fn auth(args: &mut Args, proxy: &mut ProxyDraft) {
    let page = page(args, proxy);
    if let Some(pair) = args.text("`user:password`") {
        args.mark_last(path("auth").index(page.auth.0.len()));
        args.mark_last(path("auth"));
        page.auth.0.push(pair);
        args.end();
    }
}

/// A bare number is seconds here.
pub(super) fn refresh(args: &mut Args, proxy: &mut ProxyDraft) {
    let page = page(args, proxy);
    if let Some(time) = args.time_in(Bare::Seconds) {
        args.mark_last(path("refresh"));
        page.refresh = Some(time);
        args.end();
    }
}

pub(super) fn hide_version(args: &mut Args, proxy: &mut ProxyDraft) {
    page(args, proxy).hide_version = Some(true);
    args.mark_line(path("hide_version"));
    args.end();
}

pub(super) fn show_legends(args: &mut Args, proxy: &mut ProxyDraft) {
    page(args, proxy).show_legends = Some(true);
    args.mark_line(path("show_legends"));
    args.end();
}

/// Without a name, that of `global`'s `node`.
pub(super) fn show_node(args: &mut Args, proxy: &mut ProxyDraft) {
    page(args, proxy).show_node = Some(args.take().unwrap_or_default().to_owned());
    args.mark_last(path("show_node"));
    args.end();
}

/// The rest of the line; without a text, `global`'s `description`.
pub(super) fn show_desc(args: &mut Args, proxy: &mut ProxyDraft) {
    let words: Vec<&str> = std::iter::from_fn(|| args.take()).collect();
    page(args, proxy).show_desc = Some(words.join(" "));
    args.mark_line(path("show_desc"));
}

pub(super) fn scope(args: &mut Args, proxy: &mut ProxyDraft) {
    let page = page(args, proxy);
    if let Some(name) = args.text("the name of a proxy, or `.` for this one") {
        args.mark_last(path("scope").index(page.scope.len()));
        page.scope.push(name);
        args.end();
    }
}

pub(super) fn admin(args: &mut Args, proxy: &mut ProxyDraft) {
    let page = page(args, proxy);
    args.mark_line(path("admin"));
    match args.condition() {
        Some(None) => args.missing("`if` or `unless` and a condition (`if TRUE` for always)"),
        Some(Some((first, words, is_if))) => {
            let field = if is_if { "if" } else { "unless" };
            args.mark_words(path("admin").key(field), first, args.line.words.len());
            page.admin = Some(match is_if {
                true => When { if_: Some(words), unless: None },
                false => When { if_: None, unless: Some(words) },
            });
        }
        None => {}
    }
}
