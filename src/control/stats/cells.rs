//! What stands in each cell of the page? A row of the report becomes named pieces of HTML, each with an id of its own,
//! so that the page can be drawn whole and later be sent only the pieces that changed.

use super::details;
use super::format::{age, bytes, count};
use super::markup::Html;
use super::report::{Level, PastCheck, Row, RowKind, Tone};
use crate::model::Mode;

/// Check results shown as squares in a row.
const SHOWN_CHECKS: usize = 30;

/// Seconds shown in a sparkline.
const SHOWN_SECONDS: usize = 60;

/// Columns of a table besides the checkbox, in order: key, heading, what it means.
pub(super) const HEADINGS: [Heading; 11] = [
    Heading { key: "name", title: "", about: "" },
    Heading { key: "status", title: "Status", about: "and since when" },
    Heading {
        key: "check",
        title: "Last check",
        about: "result of the last health check; squares are the last 30, a tall one failed",
    },
    Heading { key: "weight", title: "Weight", about: "share of the traffic" },
    Heading { key: "queue", title: "Queue", about: "waiting now and at most" },
    Heading { key: "sessions", title: "Sessions", about: "now, at most and allowed" },
    Heading {
        key: "rate",
        title: "Per second",
        about: "during the last second and at most; the line is the last minute",
    },
    Heading { key: "total", title: "Total", about: "since the start" },
    Heading { key: "bytes", title: "Bytes", about: "in from clients, out to clients" },
    Heading { key: "errors", title: "Errors", about: "broken requests, failed connections, broken responses, denied" },
    Heading { key: "retries", title: "Retries", about: "connections tried again, requests given to another server" },
];

pub(super) struct Heading {
    pub key: &'static str,
    pub title: &'static str,
    pub about: &'static str,
}

/// A row ready to be printed.
pub(super) struct RowView {
    /// Unique on the page, stable while the configuration is.
    pub id: String,
    pub class: String,
    pub cells: Vec<CellView>,
    pub more: Html,
    /// Value of the checkbox; only servers have one.
    pub server: Option<String>,
}

pub(super) struct CellView {
    pub key: &'static str,
    pub title: &'static str,
    pub html: Html,
}

/// What is shown of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// History and details are drawn too.
    pub details: bool,
    pub now: std::time::SystemTime,
}

pub(super) fn row_id(row: &Row) -> String {
    let letter = match row.kind {
        RowKind::Frontend => 'f',
        RowKind::Backend => 'b',
        RowKind::Server => 's',
        RowKind::Listener => 'l',
    };
    format!("r{}{letter}{}", row.iid, row.sid)
}

pub(super) fn view(row: &Row, shown: Shown) -> RowView {
    let cells = HEADINGS.iter().map(|heading| CellView {
        key: heading.key,
        title: heading.title,
        html: match heading.key {
            "name" => name(row),
            "status" => status(row),
            "check" => last_check(row),
            "weight" => weight(row),
            "queue" => queue(row),
            "sessions" => sessions(row),
            "rate" => rate(row),
            "total" => total(row),
            "bytes" => traffic(row),
            "errors" => errors(row),
            _ => retries(row),
        },
    });
    RowView {
        id: row_id(row),
        class: class(row),
        cells: cells.collect(),
        more: if shown.details { details::render(row, shown.now) } else { Html::new() },
        server: (row.kind == RowKind::Server).then(|| row.name.to_string()),
    }
}

fn class(row: &Row) -> String {
    let kind = match row.kind {
        RowKind::Frontend => "frontend",
        RowKind::Backend => "backend",
        RowKind::Server => "server",
        RowKind::Listener => "listener",
    };
    let backup = if row.is_backup() { " spare" } else { "" };
    let problem = if row.tone.is_problem() { " problem" } else { "" };
    format!("row {kind} {}{backup}{problem}", tone_class(row.tone))
}

pub(super) fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Open => "open",
        Tone::Full => "full",
        Tone::Stopped => "stopped",
        Tone::Up => "up",
        Tone::GoingDown => "going-down",
        Tone::Down => "down",
        Tone::GoingUp => "going-up",
        Tone::NoLb => "nolb",
        Tone::Drain => "drain",
        Tone::Maint => "maint",
        Tone::NoCheck => "no-check",
    }
}

/// The status has a sign of its own shape, so that it can be read without seeing its colour.
pub(super) fn sign(tone: Tone) -> Html {
    Html::new()
        .raw("<svg class=\"sign\" aria-hidden=\"true\"><use href=\"#")
        .raw(match tone {
            Tone::Open | Tone::Up => "sign-up",
            Tone::Full => "sign-full",
            Tone::GoingDown => "sign-going-down",
            Tone::GoingUp => "sign-going-up",
            Tone::Down | Tone::Stopped => "sign-down",
            Tone::NoLb | Tone::Drain => "sign-drain",
            Tone::Maint => "sign-maint",
            Tone::NoCheck => "sign-no-check",
        })
        .raw("\"/></svg>")
}

fn name(row: &Row) -> Html {
    let shown = match row.kind {
        RowKind::Frontend => "Frontend",
        RowKind::Backend => "Backend",
        RowKind::Server | RowKind::Listener => &row.name,
    };
    let mut html = Html::new().raw("<details><summary>").text(shown).raw("</summary></details>");
    if row.is_backup() {
        html = html.raw("<em class=\"tag\">backup</em>");
    }
    if row.server.as_ref().is_some_and(|server| server.unverified) {
        html = html
            .raw("<em class=\"tag warn\" title=\"TLS without verification: anyone could be this server\">")
            .raw("unverified</em>");
    }
    match &row.address {
        Some(address) if *address != *row.name => html.small(address),
        _ => html,
    }
}

fn status(row: &Row) -> Html {
    let html = Html::new().raw("<span class=\"pill\">").html(&sign(row.tone)).text(words(row)).raw("</span>");
    match row.since {
        Some(since) => html.small(format_args!("for {}", age(since))),
        None => html,
    }
}

/// HAProxy's words, and what `1/3` means said aloud.
fn words(row: &Row) -> String {
    match row.tone {
        Tone::NoCheck => "not checked".to_owned(),
        _ => row.status.clone(),
    }
}

fn last_check(row: &Row) -> Html {
    let Some(check) = row.server.as_ref().and_then(|server| server.check.as_ref()) else {
        return Html::new();
    };
    let past = row.server.as_ref().map_or(&[][..], |server| &server.checks);
    let Some(last) = &check.last else {
        return Html::new().raw("<span class=\"quiet\">no result yet</span>");
    };
    let html = Html::new()
        .raw(if last.passed { "<span title=\"" } else { "<span class=\"bad\" title=\"" })
        .text(last.reason())
        .raw("\">")
        .text(last.summary())
        .raw("</span>");
    let html = html.html(&squares(past));
    if last.passed { html } else { html.raw("<small class=\"bad\">").text(reason(last)).raw("</small>") }
}

/// The reason without what stands in the row already.
fn reason(last: &PastCheck) -> String {
    if last.info.is_empty() { last.description.to_owned() } else { last.info.clone() }
}

/// The last results, oldest first: a low square passed, a tall one failed.
fn squares(past: &[PastCheck]) -> Html {
    let shown = &past[past.len().saturating_sub(SHOWN_CHECKS)..];
    let failed = shown.iter().filter(|check| !check.passed).count();
    let mut html = Html::new()
        .raw("<span class=\"ticks\" role=\"img\" aria-label=\"last ")
        .text(shown.len())
        .raw(" checks, ")
        .text(failed)
        .raw(" failed\">");
    for check in shown {
        html = html.raw(if check.passed { "<i></i>" } else { "<i class=\"f\"></i>" });
    }
    html.raw("</span>")
}

fn weight(row: &Row) -> Html {
    let Some(balance) = row.balance else { return Html::new() };
    match (row.kind, &row.server) {
        (RowKind::Backend, _) => {
            let spares = if balance.backup > 0 { format!(" + {}", balance.backup) } else { String::new() };
            Html::new().text(balance.weight).small(format_args!("{}{spares} usable", balance.active))
        }
        (_, Some(server)) if server.initial_weight != balance.user_weight => {
            Html::new().text(balance.user_weight).small(format_args!("set from {}", server.initial_weight))
        }
        _ => Html::new().text(balance.user_weight),
    }
}

fn queue(row: &Row) -> Html {
    match row.queue {
        Some(Level { now: 0, max: 0 }) => quiet_zero(),
        Some(queue) => {
            let number = if queue.now > 0 {
                Html::new().raw("<b class=\"warn\">").text(count(queue.now.into())).raw("</b>")
            } else {
                quiet_zero()
            };
            number.small(format_args!("max {}", count(queue.max.into())))
        }
        None => Html::new(),
    }
}

fn sessions(row: &Row) -> Html {
    let limit = match row.session_limit {
        Some(limit) if limit > 0 => format!(" of {}", count(limit.into())),
        _ => String::new(),
    };
    let now = count(row.sessions.now.into());
    let max = count(row.sessions.max.into());
    let html = if row.sessions.now > 0 { Html::new().text(now) } else { quiet_zero() };
    if row.sessions.max == 0 && limit.is_empty() { html } else { html.small(format_args!("max {max}{limit}")) }
}

fn rate(row: &Row) -> Html {
    let rate = match (row.request_rate, row.rate) {
        (Some(requests), Some(sessions)) if requests.max >= sessions.max => requests,
        (_, Some(sessions)) => sessions,
        (Some(requests), None) => requests,
        (None, None) => return Html::new(),
    };
    let html = if rate.now > 0 { Html::new().text(count(rate.now.into())) } else { quiet_zero() };
    match rate.max {
        0 => html,
        max => html.html(&sparkline(&row.trend)).small(format_args!("max {}", count(max.into()))),
    }
}

/// A line over the last minute; nothing when there was nothing.
pub(super) fn sparkline(trend: &[u32]) -> Html {
    let shown = &trend[trend.len().saturating_sub(SHOWN_SECONDS)..];
    let Some(top) = shown.iter().max().copied().filter(|&top| top > 0) else {
        return Html::new();
    };
    let start = SHOWN_SECONDS - shown.len();
    let mut html = Html::new()
        .raw("<svg class=\"spark\" viewBox=\"0 0 60 16\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><polyline points=\"");
    for (index, value) in shown.iter().enumerate() {
        let height = 15.0 - f64::from(*value) / f64::from(top) * 14.0;
        html = html.text(format_args!("{},{height:.1} ", start + index));
    }
    html.raw("\"/></svg>")
}

fn total(row: &Row) -> Html {
    let (number, unit) = match (row.mode, row.requests) {
        (Mode::Http, Some(requests)) => (requests, "requests"),
        _ => (row.sessions_total, "sessions"),
    };
    let html = if number > 0 { Html::new().text(count(number)) } else { quiet_zero() };
    html.small(unit)
}

fn traffic(row: &Row) -> Html {
    if row.bytes_in == 0 && row.bytes_out == 0 {
        return quiet_zero();
    }
    let exact = format!("{} in, {} out", row.bytes_in, row.bytes_out);
    Html::new()
        .raw("<span title=\"")
        .text(exact)
        .raw("\">")
        .text(bytes(row.bytes_in))
        .raw(" in</span><small>")
        .text(bytes(row.bytes_out))
        .raw(" out</small>")
}

/// Only what happened, the worst first; a dash when nothing did.
fn errors(row: &Row) -> Html {
    let server_errors = row.responses.map(|responses| responses[4]);
    let counts = [
        (row.connection_errors, "conn"),
        (row.response_errors, "resp"),
        (server_errors, "5xx"),
        (row.request_errors, "req"),
        (row.denied_requests, "denied"),
    ];
    let happened: Vec<(u64, &str)> = counts
        .into_iter()
        .filter_map(|(count, word)| count.filter(|&count| count > 0).map(|count| (count, word)))
        .collect();
    if happened.is_empty() {
        return quiet_zero();
    }
    let mut html = Html::new();
    for (index, (number, word)) in happened.into_iter().enumerate() {
        html = match index {
            0 => html.raw("<b class=\"bad\">").text(count(number)).raw("</b> ").text(word),
            1 => html.raw("<small>").text(count(number)).raw(" ").text(word),
            _ => html.raw(", ").text(count(number)).raw(" ").text(word),
        };
    }
    html
}

fn retries(row: &Row) -> Html {
    match (row.retries, row.redispatches) {
        (None, _) => Html::new(),
        (Some(0), Some(0) | None) => quiet_zero(),
        (Some(retries), redispatches) => {
            Html::new().text(count(retries)).small(format_args!("{} moved", count(redispatches.unwrap_or(0))))
        }
    }
}

fn quiet_zero() -> Html {
    Html::new().raw("<span class=\"quiet\">0</span>")
}
