//! The page itself: what is on it and in which order. The template knows how it looks, `cells` what stands in a row.

use std::collections::HashMap;

use askama::Template;

use super::cells::{self, HEADINGS, Heading, RowView, Shown};
use super::details::moment;
use super::info::uptime_text;
use super::markup::Html;
use super::overview::{Tile, counted, notices, tiles, title};
use super::query::StatusCode;
use super::report::{ProxyReport, Report, Row, RowKind, Section};
use super::selection::Selection;
use crate::model::Mode;

/// Servers whose history is drawn into the page; with more, narrow the page by `;scope=` to see them.
pub(super) const HISTORY_SERVERS: usize = 300;

/// Actions of admin mode, in HAProxy's words and order, and what they say.
const ACTIONS: [(&str, &str); 9] = [
    ("ready", "Ready: take traffic"),
    ("drain", "Drain: no new traffic"),
    ("maint", "Maintenance: no traffic, no checks"),
    ("dhlth", "Checks: switch off"),
    ("ehlth", "Checks: switch on"),
    ("hrunn", "Health: force up"),
    ("hnolb", "Health: force up without new traffic"),
    ("hdown", "Health: force down"),
    ("shutdown", "End all sessions"),
];

/// What the page depends on besides the report.
pub(super) struct PageOptions<'a> {
    pub selection: &'a Selection,
    /// Address of the page without options.
    pub uri: &'a str,
    pub hide_version: bool,
    /// Set when the reader may change states: what a form has to bring back.
    pub token: Option<&'a str>,
    /// Result of the action before (`;st=`).
    pub outcome: Option<StatusCode>,
    /// Seconds after which a reader without script gets it again.
    pub refresh: Option<u64>,
    pub node: Option<&'a str>,
    pub description: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "stats.html")]
struct Page<'a> {
    nonce: &'a str,
    title: String,
    node: &'a str,
    description: &'a str,
    scraped: Option<String>,
    version: Option<&'a str>,
    pid: u32,
    uptime: String,
    uri: &'a str,
    uri_query: Option<(String, String)>,
    scope: &'a str,
    refresh: Option<u64>,
    token: Option<&'a str>,
    problems: bool,
    outcome: Option<StatusCode>,
    notices: Html,
    tiles: Vec<Tile>,
    headings: &'static [Heading],
    actions: &'static [(&'static str, &'static str)],
    proxies: Vec<ProxyView>,
    history_left_out: bool,
    now: Html,
}

struct ProxyView {
    name: String,
    /// What the filter looks through.
    words: String,
    section: &'static str,
    mode: &'static str,
    description: Option<String>,
    rows: Vec<RowView>,
    /// It has servers that may be acted on.
    admin: bool,
}

/// Draws the whole page.
///
/// # Errors
/// Only if the template cannot be printed, which would be a defect of this program.
pub(super) fn page(report: &Report, options: &PageOptions<'_>, nonce: &str) -> askama::Result<String> {
    let shown = shown(report, options.selection);
    let proxies: Vec<ProxyView> = options
        .selection
        .proxies(report)
        .map(|(proxy, rows)| proxy_view(proxy, &rows, shown, options.token.is_some()))
        .collect();
    let process = &report.process;
    let node = options.node.unwrap_or(&process.node);
    Page {
        nonce,
        title: title(report, options.selection, node),
        node,
        description: options.description.or(process.description.as_deref()).unwrap_or_default(),
        scraped: (!options.hide_version).then(|| scraped(report)),
        version: (!options.hide_version).then_some(process.version),
        pid: process.pid,
        uptime: uptime_text(process.uptime),
        uri: options.uri,
        uri_query: options.uri.split_once('?').map(|(_, query)| {
            let (name, value) = query.split_once('=').unwrap_or((query, ""));
            (name.to_owned(), value.to_owned())
        }),
        scope: options.selection.scope.as_deref().unwrap_or_default(),
        refresh: options.refresh,
        token: options.token,
        problems: counted(report, options.selection).problems > 0,
        outcome: options.outcome,
        notices: notices(report, options.selection),
        tiles: tiles(report, options.selection),
        headings: &HEADINGS,
        actions: &ACTIONS,
        proxies,
        history_left_out: !shown.details,
        now: moment(process.now),
    }
    .render()
}

/// Each piece of the page that can change, by its id: what a live page is kept up to date with.
pub(super) fn pieces(report: &Report, selection: &Selection) -> HashMap<String, String> {
    let shown = shown(report, selection);
    let mut pieces = HashMap::new();
    for row in selection.rows(report) {
        let view = cells::view(row, shown);
        for cell in view.cells {
            // The name holds what the reader opened; it does not change.
            if cell.key != "name" {
                pieces.insert(format!("{}-{}", view.id, cell.key), cell.html.into_string());
            }
        }
        pieces.insert(format!("{}-more", view.id), view.more.into_string());
        pieces.insert(format!("{}-class", view.id), view.class);
    }
    for tile in tiles(report, selection) {
        pieces.insert(tile.id.to_owned(), tile.html.into_string());
    }
    pieces.insert("notices".to_owned(), notices(report, selection).into_string());
    pieces
}

fn shown(report: &Report, selection: &Selection) -> Shown {
    let servers = selection.rows(report).filter(|row| row.kind == RowKind::Server).count();
    Shown { details: servers <= HISTORY_SERVERS, now: report.process.now }
}

fn proxy_view(proxy: &ProxyReport, rows: &[&Row], shown: Shown, may_act: bool) -> ProxyView {
    let section = match proxy.section {
        Section::Frontend => "frontend",
        Section::Backend => "backend",
        Section::Listen => "listen",
    };
    ProxyView {
        name: proxy.name.to_string(),
        words: words(proxy, rows),
        section,
        mode: match proxy.mode {
            Mode::Tcp => "TCP",
            Mode::Http => "HTTP",
        },
        description: proxy.description.clone(),
        rows: rows.iter().map(|row| cells::view(row, shown)).collect(),
        admin: may_act && rows.iter().any(|row| row.kind == RowKind::Server),
    }
}

fn words(proxy: &ProxyReport, rows: &[&Row]) -> String {
    let mut words = proxy.name.to_lowercase();
    for row in rows {
        for word in [Some(&*row.name), Some(row.status.as_str()), row.address.as_deref()].into_iter().flatten() {
            words.push(' ');
            words.push_str(&word.to_lowercase());
        }
    }
    words
}

/// What programs that read HAProxy's page look for in it.
fn scraped(report: &Report) -> String {
    format!("HAProxy version {}, released {}", super::tool_version(report.process.version), super::RELEASE_DATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::sample;

    fn draw(report: &Report, token: Option<&str>) -> String {
        let options = PageOptions {
            selection: &Selection::default(),
            uri: "/haproxy?stats",
            hide_version: false,
            token,
            outcome: Some(StatusCode::Done),
            refresh: Some(5),
            node: None,
            description: None,
        };
        page(report, &options, "n0nce").unwrap()
    }

    #[test]
    fn no_value_can_become_markup() {
        let mut report = sample::report();
        let evil = "\"><script>alert('x')</script>&";
        report.process.node = evil.into();
        report.process.description = Some(evil.into());
        report.process.last_reload.as_mut().unwrap().message = evil.into();
        for proxy in &mut report.proxies {
            proxy.name = evil.into();
            proxy.description = Some(evil.into());
            for row in &mut proxy.rows {
                row.proxy = evil.into();
                row.name = evil.into();
                row.status = evil.into();
                row.address = Some(evil.into());
                let Some(server) = &mut row.server else { continue };
                server.hostname = Some(evil.into());
                server.checks.iter_mut().for_each(|check| check.info = evil.into());
                server.transitions.iter_mut().for_each(|change| change.cause = evil.into());
                if let Some(check) = &mut server.check {
                    check.last.iter_mut().for_each(|last| last.info = evil.into());
                }
            }
        }
        let html = draw(&report, Some(evil));
        assert!(!html.contains("<script>alert"), "a value became markup");
        assert!(!html.contains(evil), "a value ended an attribute");
        for piece in pieces(&report, &Selection::default()).values() {
            assert!(!piece.contains("<script>alert"), "a value became markup in {piece}");
        }
    }

    #[test]
    fn what_an_operator_looks_for_is_there() {
        let html = draw(&sample::report(), None);
        for wanted in [
            "id=\"r3s1-status\"",
            "L7STS/503 in 2ms",
            "Service Unavailable",
            "has no usable server",
            "1 down",
            "DOWN",
            "MAINT",
            "backup",
            "nonce=\"n0nce\"",
            "HAProxy version ",
            "uptime = </b> 1d 2h03m04s",
        ] {
            assert!(html.contains(wanted), "{wanted} is not on the page");
        }
        assert!(!html.contains("<form method=\"post\""), "actions are offered without admin mode");
        assert!(draw(&sample::report(), Some("t0ken")).contains("value=\"t0ken\""));
    }

    #[test]
    fn every_piece_has_its_place_on_the_page() {
        let report = sample::report();
        let html = draw(&report, None);
        for id in pieces(&report, &Selection::default()).keys().filter(|id| !id.ends_with("-class")) {
            assert!(html.contains(&format!("id=\"{id}\"")), "no place for {id}");
        }
    }

    /// `LOCKGATE_DRAW=page.html cargo test --lib draws_a_page` leaves the page there, to be looked at.
    #[test]
    fn draws_a_page_to_look_at() {
        let html = draw(&sample::report(), Some("t0ken"));
        assert!(html.ends_with("</html>") || html.ends_with("</html>\n"));
        if let Some(path) = std::env::var_os("LOCKGATE_DRAW") {
            std::fs::write(path, html).unwrap();
        }
    }
}
