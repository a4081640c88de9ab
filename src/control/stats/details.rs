//! What opens below a row? Why its last checks ended as they did, when it went up and down, and the numbers that are
//! seldom asked for.

use std::time::SystemTime;

use super::cells::{sign, tone_class};
use super::format::{age, clock, count, iso};
use super::markup::Html;
use super::report::{LastSession, Maintenance, PastCheck, PastTransition, Row, ServerFacts, Tone};

/// Runs of like results shown.
const SHOWN_RUNS: usize = 12;

/// Changes of status shown.
const SHOWN_TRANSITIONS: usize = 8;

pub(super) fn render(row: &Row, now: SystemTime) -> Html {
    let mut html = Html::new().raw("<div class=\"more-in\">");
    if let Some(server) = &row.server {
        html = html.html(&checks(server)).html(&transitions(&server.transitions, now));
    }
    html.html(&facts(row)).raw("</div>")
}

/// Results of one kind in a row, told as one.
struct Run<'a> {
    first: &'a PastCheck,
    last: &'a PastCheck,
    count: u64,
    fastest_ms: u128,
    slowest_ms: u128,
}

/// Newest first.
fn runs(checks: &[PastCheck]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for check in checks.iter().rev() {
        let ms = check.duration.as_millis();
        match runs.last_mut() {
            Some(run) if alike(run.first, check) => {
                run.first = check;
                run.count += 1;
                run.fastest_ms = run.fastest_ms.min(ms);
                run.slowest_ms = run.slowest_ms.max(ms);
            }
            _ => runs.push(Run { first: check, last: check, count: 1, fastest_ms: ms, slowest_ms: ms }),
        }
    }
    runs
}

fn alike(a: &PastCheck, b: &PastCheck) -> bool {
    a.code == b.code && a.status == b.status && a.info == b.info && a.expectation == b.expectation
}

fn checks(server: &ServerFacts) -> Html {
    let Some(check) = &server.check else {
        return Html::new().raw("<p class=\"quiet\">This server is not checked: it counts as up whatever it does.</p>");
    };
    let mut html = Html::new().raw("<section><h4>Checks <small>");
    html = if check.enabled {
        html.text(format_args!("up after {} passed, down after {} failed", check.rise, check.fall))
    } else {
        html.raw("switched off by an operator")
    };
    html = html.raw("</small></h4>");
    let runs = runs(&server.checks);
    if runs.is_empty() {
        return html.raw("<p class=\"quiet\">No check has ended yet.</p></section>");
    }
    html = html.raw("<ol class=\"runs\">");
    for run in runs.iter().take(SHOWN_RUNS) {
        html = html.raw("<li>").html(&run_line(run)).raw("</li>");
    }
    html.raw("</ol></section>")
}

fn run_line(run: &Run<'_>) -> Html {
    let tone = if run.last.passed { Tone::Up } else { Tone::Down };
    let status = run.last.status.map(|status| format!("/{status}")).unwrap_or_default();
    let mut html = Html::new()
        .raw("<span class=\"pill ")
        .raw(tone_class(tone))
        .raw("\">")
        .html(&sign(tone))
        .text(run.last.code)
        .text(status)
        .raw("</span> ");
    if run.count > 1 {
        html = html.raw("<b>×").text(run.count).raw("</b> ");
    }
    html = html.html(&moment(run.first.at));
    if run.count > 1 {
        html = html.raw("–").html(&moment(run.last.at));
    }
    html = match run.slowest_ms == run.fastest_ms {
        true => html.text(format_args!(", {} ms", run.slowest_ms)),
        false => html.text(format_args!(", {} to {} ms", run.fastest_ms, run.slowest_ms)),
    };
    html.raw("<span class=\"why\">").text(run.last.reason()).raw("</span>")
}

fn transitions(transitions: &[PastTransition], now: SystemTime) -> Html {
    if transitions.is_empty() {
        return Html::new();
    }
    let mut html = Html::new().raw("<section><h4>Changes</h4><ol class=\"runs\">");
    for change in transitions.iter().rev().take(SHOWN_TRANSITIONS) {
        let ago = now.duration_since(change.at).unwrap_or_default();
        html = html
            .raw("<li><span class=\"pill ")
            .raw(tone_class(change.tone))
            .raw("\">")
            .html(&sign(change.tone))
            .text(&change.status)
            .raw("</span> ")
            .html(&moment(change.at))
            .text(format_args!(", {} ago", age(ago)))
            .raw("<span class=\"why\">")
            .text(&change.cause)
            .raw("</span></li>");
    }
    html.raw("</ol></section>")
}

/// In UTC; the page's script shows it in the reader's own time.
pub(super) fn moment(at: SystemTime) -> Html {
    Html::new()
        .raw("<time datetime=\"")
        .text(iso(at))
        .raw("\" title=\"")
        .text(iso(at))
        .raw("\">")
        .text(clock(at))
        .raw("</time>")
}

/// Name and value, in the order they are asked for.
fn facts(row: &Row) -> Html {
    let mut html = Html::new().raw("<section><h4>Numbers</h4><dl>");
    let mut fact = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            let entry = Html::new().raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>");
            html = std::mem::take(&mut html).html(&entry);
        }
    };
    let number = |value: Option<u64>| value.map(count);
    server_facts(row, &mut fact);
    if let Some([r1, r2, r3, r4, r5, other]) = row.responses {
        fact("Responses 1xx / 2xx / 3xx", Some(format!("{} / {} / {}", count(r1), count(r2), count(r3))));
        fact("Responses 4xx / 5xx / other", Some(format!("{} / {} / {}", count(r4), count(r5), count(other))));
    }
    if let Some(times) = row.times {
        let text = format!("{} / {} / {} / {}", times.queue, times.connect, times.response, times.total);
        fact("Average queue / connect / response / total ms", Some(text));
        let text =
            format!("{} / {} / {} / {}", times.max_queue, times.max_connect, times.max_response, times.max_total);
        fact("Longest queue / connect / response / total ms", Some(text));
    }
    fact("Sessions", Some(count(row.sessions_total)));
    fact("Connections", number(row.connections));
    fact(
        "Connections made / reused",
        row.connects.map(|n| format!("{} / {}", count(n), count(row.reuses.unwrap_or(0)))),
    );
    fact("Picked", row.balance.map(|balance| count(balance.picked)));
    fact("Broken requests", number(row.request_errors));
    fact("Failed connections", number(row.connection_errors));
    fact("Broken responses", number(row.response_errors));
    fact(
        "Given up by client / server",
        row.client_aborts.map(|n| format!("{} / {}", count(n), count(row.server_aborts.unwrap_or(0)))),
    );
    fact("Denied requests", number(row.denied_requests));
    fact("Denied responses", number(row.denied_responses));
    fact("Denied connections", number(row.denied_connections));
    fact("Answered by the proxy", number(row.intercepted));
    if let Some(tls) = row.tls.filter(|tls| tls.handshakes + tls.failures > 0) {
        let text = format!("{} / {} / {}", count(tls.handshakes), count(tls.resumed), count(tls.failures));
        fact("TLS handshakes / resumed / failed", Some(text));
    }
    if let Some(protocols) = row.protocols {
        let text = format!("{} / {}", count(protocols.h1_requests), count(protocols.h2_requests));
        fact("Requests over HTTP/1 / HTTP/2", Some(text));
    }
    fact("Internal errors", Some(row.internal_errors).filter(|&errors| errors > 0).map(count));
    html.raw("</dl></section>")
}

fn server_facts(row: &Row, fact: &mut impl FnMut(&'static str, Option<String>)) {
    fact("Address", row.address.clone());
    if let Some(server) = &row.server {
        fact("Name as configured", server.hostname.clone());
        fact(
            "Maintenance",
            server.maintenance.map(|by| match by {
                Maintenance::ByConfig => "by the configuration (disabled)".to_owned(),
                Maintenance::ByOperator => "ordered by an operator".to_owned(),
            }),
        );
        fact("TLS", server.tls.then(|| if server.unverified { "yes, unverified" } else { "yes, verified" }.to_owned()));
        if let Some(check) = &server.check {
            fact("Failed checks", Some(count(check.failures)));
            fact(
                "Health",
                Some(format!("{} of {}, up from {}", check.health, check.rise + check.fall - 1, check.rise)),
            );
        }
        fact(
            "Idle connections",
            Some(format!("{} (max {})", server.idle_connections.now, server.idle_connections.max)),
        );
    }
    fact("Went down", row.went_down.map(count));
    fact("Time down", row.downtime.map(age));
    fact(
        "Last session",
        row.last_session.map(|last| match last {
            LastSession::Never => "never".to_owned(),
            LastSession::Ago(ago) => format!("{} ago", age(ago)),
        }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::sample;

    #[test]
    fn like_results_are_told_as_one() {
        let report = sample::report();
        let master = report.rows().find(|row| &*row.name == "master").unwrap();
        let runs = runs(&master.server.as_ref().unwrap().checks);
        let told: Vec<_> = runs.iter().map(|run| format!("{} ×{}", run.last.code, run.count)).collect();
        assert_eq!(told, ["L7STS ×6", "L7TOUT ×2", "L7OK ×22"]);
    }
}
