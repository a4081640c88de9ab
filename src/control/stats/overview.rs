//! What is above the tables? What an operator should know before anything else, and the process in a few numbers.

use std::time::SystemTime;

use super::super::wording::in_days;
use super::cells::{self, sparkline};
use super::details::moment;
use super::format::{age, bytes, count, iso};
use super::info::uptime_text;
use super::markup::Html;
use super::report::{CertificateFacts, Report, RowKind, Tone};
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
        if let Some((class, text)) = odd(certificate, process.now) {
            html = html.html(&notice(class, &text, None));
        }
    }
    html
}

/// What is odd about a certificate's dates.
fn odd(certificate: &CertificateFacts, now: SystemTime) -> Option<(&'static str, String)> {
    let path = &certificate.path;
    if certificate.not_before > now {
        return Some(("bad", format!("Certificate {path} is not valid before {}.", iso(certificate.not_before))));
    }
    match certificate.not_after.duration_since(now).map(|left| left.as_secs() / 86_400) {
        Err(_) => Some(("bad", format!("Certificate {path} has expired."))),
        Ok(days) if days < EXPIRES_SOON_DAYS => {
            Some(("warn", format!("Certificate {path} expires {}.", in_days(days))))
        }
        Ok(_) => None,
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A certificate valid from so many hours from now to so many.
    #[track_caller]
    fn check(hours: (i64, i64), expected: Option<&str>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_029_500);
        let at = |hours: i64| {
            let distance = Duration::from_secs(hours.unsigned_abs() * 3600);
            if hours < 0 { now - distance } else { now + distance }
        };
        let (not_before, not_after) = (at(hours.0), at(hours.1));
        let certificate = CertificateFacts { path: "a.pem".into(), names: Vec::new(), not_before, not_after };
        let told = odd(&certificate, now).map(|(_, text)| text);
        assert_eq!(told.as_deref(), expected, "{hours:?}");
    }

    #[test]
    fn odd_dates_of_certificates_are_told_in_words() {
        check((-1, 24 * 31), None);
        check((-1, 24 * 12 + 1), Some("Certificate a.pem expires in 12 days."));
        check((-1, 25), Some("Certificate a.pem expires in 1 day."));
        check((-1, 5), Some("Certificate a.pem expires within a day."));
        check((-2, -1), Some("Certificate a.pem has expired."));
        check((1, 24 * 90), Some("Certificate a.pem is not valid before 2026-11-30T10:05:00Z."));
    }
}
