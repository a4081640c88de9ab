//! What is above the tables? What an operator should know before anything else, and the process in a few numbers.

use super::cells::{self, sparkline};
use super::details::moment;
use super::format::{age, bytes, count};
use super::info::uptime_text;
use super::markup::Html;
use super::report::{Report, RowKind, Tone};
use super::selection::Selection;

/// Days before its end from which a certificate is pointed out.
const EXPIRES_SOON_DAYS: u64 = 30;

/// One fact of the process at the top.
pub(super) struct Tile {
    pub id: &'static str,
    pub title: &'static str,
    pub html: Html,
}

#[derive(Default)]
pub(super) struct Counts {
    up: usize,
    down: usize,
    resting: usize,
    unchecked: usize,
    pub problems: usize,
}

pub(super) fn counted(report: &Report, selection: &Selection) -> Counts {
    let mut counts = Counts::default();
    for row in selection.rows(report) {
        counts.problems += usize::from(row.tone.is_problem());
        if row.kind != RowKind::Server {
            continue;
        }
        match row.tone {
            Tone::Down | Tone::GoingUp => counts.down += 1,
            Tone::Maint | Tone::Drain | Tone::NoLb => counts.resting += 1,
            Tone::NoCheck => counts.unchecked += 1,
            _ => counts.up += 1,
        }
    }
    counts
}

pub(super) fn title(report: &Report, selection: &Selection, node: &str) -> String {
    let counts = counted(report, selection);
    let state = if counts.down > 0 { format!("{} down", counts.down) } else { "all up".to_owned() };
    format!("{state} · {node} · Lockgate")
}

/// What an operator should know before anything else.
pub(super) fn notices(report: &Report, selection: &Selection) -> Html {
    let process = &report.process;
    let mut html = Html::new();
    if process.stopping {
        html = html.html(&notice("warn", "The process is ending: it takes no new connections.", None));
    }
    if let Some(reload) = process.last_reload.as_ref().filter(|reload| !reload.succeeded) {
        let ago = age(process.now.duration_since(reload.at).unwrap_or_default());
        let text = format!("The last reload, {ago} ago, failed. Configuration {} keeps running.", process.generation);
        html = html.html(&notice("bad", &text, Some(&reload.message)));
    }
    for row in selection.rows(report) {
        if row.kind == RowKind::Backend && row.tone == Tone::Down {
            let text = format!("Backend {} has no usable server: its clients are refused.", row.proxy);
            html = html.html(&notice("bad", &text, None));
        }
    }
    for certificate in &process.certificates {
        html = match certificate.not_after.duration_since(process.now).map(|left| left.as_secs() / 86_400) {
            Err(_) => html.html(&notice("bad", &format!("Certificate {} has expired.", certificate.path), None)),
            Ok(days) if days < EXPIRES_SOON_DAYS => {
                html.html(&notice("warn", &format!("Certificate {} expires in {days} days.", certificate.path), None))
            }
            Ok(_) => html,
        };
    }
    html
}

fn notice(class: &'static str, text: &str, more: Option<&str>) -> Html {
    let html = Html::new().raw("<div class=\"notice ").raw(class).raw("\">").text(text);
    match more {
        Some(more) => html.raw("<pre>").text(more).raw("</pre></div>"),
        None => html.raw("</div>"),
    }
}

pub(super) fn tiles(report: &Report, selection: &Selection) -> Vec<Tile> {
    let process = &report.process;
    vec![
        Tile { id: "t-servers", title: "Servers", html: servers_tile(&counted(report, selection)) },
        Tile {
            id: "t-connections",
            title: "Connections",
            html: Html::new().raw("<b>").text(count(process.connections.now.into())).raw("</b>").small(format_args!(
                "max {} of {}",
                count(process.connections.max.into()),
                count(process.maxconn.into())
            )),
        },
        Tile {
            id: "t-requests",
            title: "Requests per second",
            html: Html::new()
                .raw("<b>")
                .text(count(process.request_rate.now.into()))
                .raw("</b>")
                .html(&sparkline(&process.request_trend))
                .small(format_args!(
                    "max {}, {} in all",
                    count(process.request_rate.max.into()),
                    count(process.total_requests)
                )),
        },
        Tile {
            id: "t-sessions",
            title: "Sessions per second",
            html: Html::new().raw("<b>").text(count(process.session_rate.now.into())).raw("</b>").small(format_args!(
                "max {}, {} connections in all",
                count(process.session_rate.max.into()),
                count(process.total_connections)
            )),
        },
        Tile {
            id: "t-bytes",
            title: "Sent per second",
            html: Html::new()
                .raw("<b>")
                .text(bytes(process.bytes_out_rate.into()))
                .raw("</b>")
                .small(format_args!("{} in all", bytes(process.total_bytes_out))),
        },
        Tile { id: "t-config", title: "Configuration", html: config_tile(report) },
        Tile {
            id: "t-uptime",
            title: "Up for",
            html: Html::new()
                .raw("<b title=\"")
                .text(uptime_text(process.uptime))
                .raw("\">")
                .text(age(process.uptime))
                .raw("</b>")
                .small(format_args!("process {}, {} workers", process.pid, process.workers)),
        },
    ]
}

fn servers_tile(counts: &Counts) -> Html {
    let mut html = Html::new();
    html = if counts.down > 0 {
        html.raw("<b class=\"bad\">").html(&cells::sign(Tone::Down)).text(counts.down).raw(" down</b>")
    } else {
        html.raw("<b class=\"good\">").html(&cells::sign(Tone::Up)).raw("all up</b>")
    };
    let mut parts = vec![format!("{} up", counts.up)];
    for (number, word) in [(counts.resting, "resting"), (counts.unchecked, "not checked")] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    html.small(parts.join(", "))
}

fn config_tile(report: &Report) -> Html {
    let process = &report.process;
    let html = Html::new().raw("<b>no. ").text(process.generation).raw("</b>");
    match &process.last_reload {
        None => html.small("never reloaded"),
        Some(reload) => {
            let word = if reload.succeeded { "reloaded" } else { "reload failed" };
            let class = if reload.succeeded { "<small>" } else { "<small class=\"bad\">" };
            html.raw(class).text(word).raw(" ").html(&moment(reload.at)).raw("</small>")
        }
    }
}
