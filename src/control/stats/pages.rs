//! What is answered to a request for the stats page or the metrics? The address says which rendering; a posted form is
//! orders to the controller.

use std::time::Instant;

use bytes::Bytes;

use super::auth::{Sender, challenge, is_let_in, may_change};
use super::html::{self, PageOptions};
use super::live::View;
use super::prometheus;
use super::query::{self, Format, PageQuery, StatusCode};
use super::report::Report;
use super::selection::Selection;
use super::{backend_name, csv, json};
use crate::control::command::{Command, CommandError, ServerName};
use crate::control::{Controller, Watch};
use crate::health::{AdminState, ForcedHealth};
use crate::model::stats::StatsPage;
use crate::state::events::{PageBody, PageKind, PageReply, PageRequest};

type Headers = Vec<(&'static str, String)>;

const PLAIN: &str = "text/plain";
const HTML: &str = "text/html; charset=utf-8";

impl Controller {
    /// Answers one request; a requester that has gone is no concern of ours.
    pub(in crate::control) fn answer_page(&mut self, request: PageRequest, now: Instant) {
        let reply = self.page_reply(&request, now);
        let _ = request.reply.send(reply);
    }

    fn page_reply(&mut self, request: &PageRequest, now: Instant) -> PageReply {
        let page = &request.page;
        if !is_let_in(&page.auth, request.authorization.as_deref()) {
            let headers = vec![("WWW-Authenticate", challenge(&page.realm)), ("Cache-Control", "no-cache".to_owned())];
            return whole(401, HTML, headers, "<!DOCTYPE html><title>401</title><h1>Who are you?</h1>\n".to_owned());
        }
        match (request.kind, request.method.as_str()) {
            (PageKind::Prometheus, "GET" | "HEAD") => self.metrics_reply(request, now),
            (PageKind::Stats, "GET" | "HEAD") => self.stats_reply(request, now),
            (PageKind::Stats, "POST") => self.form_reply(request, now),
            (kind, _) => {
                let allowed = if kind == PageKind::Stats { "GET, HEAD, POST" } else { "GET, HEAD" };
                whole(405, PLAIN, vec![("Allow", allowed.to_owned())], "This method is not for this page.\n".to_owned())
            }
        }
    }

    fn metrics_reply(&self, request: &PageRequest, now: Instant) -> PageReply {
        let headers = vec![("Cache-Control", "no-cache".to_owned())];
        match query::scrape(&request.uri) {
            Ok(wanted) => {
                let text = prometheus::render(&self.report(now), &wanted);
                whole(200, prometheus::CONTENT_TYPE, headers, text)
            }
            Err(scope) => whole(400, PLAIN, headers, format!("there is no scope {scope:?}\n")),
        }
    }

    fn stats_reply(&mut self, request: &PageRequest, now: Instant) -> PageReply {
        let page = &*request.page;
        let query = PageQuery::parse(rest_of(&request.uri, &page.uri));
        let selection = selection(page, request, &query);
        let mut report = self.report(now);
        if !page.show_legends {
            report.hide_legends();
        }
        let refresh = page.refresh.filter(|_| !query.no_refresh).map(|refresh| refresh.as_secs().max(1));
        let mut headers = vec![("Cache-Control", "no-cache".to_owned())];
        if query.format != Format::Html {
            headers.extend(refresh.map(|seconds| ("Refresh", seconds.to_string())));
        }
        match query.format {
            Format::Csv => whole(200, PLAIN, headers, csv::render(&report, &selection)),
            Format::Json => whole(200, "application/json", headers, json::stat_json(&report, &selection)),
            Format::JsonSchema => whole(200, "application/json", headers, json::SCHEMA.to_owned()),
            Format::Events => self.events_reply(page, selection, &report),
            Format::Html => {
                let options = PageOptions {
                    selection: &selection,
                    uri: &page.uri,
                    hide_version: page.hide_version,
                    token: request.admin.then_some(self.desk.token()),
                    outcome: query.outcome,
                    refresh,
                    node: page.show_node.as_deref(),
                    description: page.show_description.as_deref(),
                };
                self.page_drawn(&report, &options)
            }
        }
    }

    fn page_drawn(&self, report: &Report, options: &PageOptions<'_>) -> PageReply {
        let nonce = self.desk.nonce();
        match html::page(report, options, &nonce) {
            Ok(text) => whole(200, HTML, page_headers(&nonce), text),
            Err(error) => {
                tracing::error!(%error, "cannot draw the stats page");
                whole(500, PLAIN, Vec::new(), "The page cannot be drawn; the log says why.\n".to_owned())
            }
        }
    }

    fn events_reply(&mut self, page: &StatsPage, selection: Selection, report: &Report) -> PageReply {
        let view = View { selection, legends: page.show_legends, node: page.show_node.clone() };
        match self.desk.live.join(view, report) {
            Some(updates) => PageReply {
                status: 200,
                headers: vec![
                    ("Content-Type", "text/event-stream".to_owned()),
                    ("Cache-Control", "no-store".to_owned()),
                ],
                body: PageBody::Stream(updates),
            },
            None => {
                let headers = vec![("Retry-After", "10".to_owned())];
                whole(503, PLAIN, headers, "Too many pages are watched already.\n".to_owned())
            }
        }
    }

    /// Carries out a posted form and sends the browser back to the page, as HAProxy does.
    fn form_reply(&mut self, request: &PageRequest, now: Instant) -> PageReply {
        let page = &*request.page;
        let form = Form::parse(&request.body);
        let sender = Sender {
            token: form.token.as_deref(),
            host: request.host.as_deref(),
            origin: request.origin.as_deref(),
            signed_in: !page.auth.is_empty(),
        };
        let allowed = request.admin
            && may_change(self.desk.token(), &sender)
            && (page.scope.is_empty() || in_scope(page, request, self.watch(), &form));
        let outcome = if allowed { carry_out(self, &form, now) } else { StatusCode::Denied };
        let scope = PageQuery::parse(rest_of(&request.uri, &page.uri)).scope;
        let scope =
            scope.filter(|scope| scope.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        let scope = scope.map(|scope| format!(";scope={scope}")).unwrap_or_default();
        let location = format!("{}{scope};st={}", page.uri, outcome.code());
        let headers = vec![("Location", location), ("Cache-Control", "no-cache".to_owned())];
        whole(303, PLAIN, headers, String::new())
    }
}

fn whole(status: u16, content_type: &str, mut headers: Headers, body: String) -> PageReply {
    headers.push(("Content-Type", content_type.to_owned()));
    headers.push(("X-Content-Type-Options", "nosniff".to_owned()));
    PageReply { status, headers, body: PageBody::Whole(Bytes::from(body)) }
}

/// Nothing is loaded from anywhere, and no script runs but the page's own.
fn page_headers(nonce: &str) -> Headers {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    );
    vec![
        ("Cache-Control", "no-store".to_owned()),
        ("Content-Security-Policy", policy),
        ("Referrer-Policy", "same-origin".to_owned()),
    ]
}

/// What stands behind the page's own address.
fn rest_of<'a>(uri: &'a str, page: &str) -> &'a str {
    uri.strip_prefix(page).unwrap_or_else(|| uri.find([';', '?']).map_or("", |at| &uri[at..]))
}

fn selection(page: &StatsPage, request: &PageRequest, query: &PageQuery) -> Selection {
    Selection {
        scope: query.scope.clone(),
        proxies: scoped(page, request),
        hide_down: query.hide_down,
        hide_maintenance: query.no_maintenance,
        ..Selection::default()
    }
}

/// Names of `stats scope`; `.` is the section that has the page.
fn scoped(page: &StatsPage, request: &PageRequest) -> Vec<String> {
    let name = |name: &String| if name == "." { request.proxy.to_string() } else { name.clone() };
    page.scope.iter().map(name).collect()
}

/// A page that shows some proxies only changes those only.
fn in_scope(page: &StatsPage, request: &PageRequest, watch: &Watch, form: &Form) -> bool {
    let backend = form.backend.as_deref().and_then(|backend| backend_name(watch, backend));
    backend.is_none_or(|backend| scoped(page, request).contains(&backend))
}

/// A form in HAProxy's fields: `s=` for each server, `b=`, `action=`.
#[derive(Debug, Default)]
struct Form {
    servers: Vec<String>,
    backend: Option<String>,
    action: Option<String>,
    token: Option<String>,
}

impl Form {
    fn parse(body: &[u8]) -> Self {
        let mut form = Form::default();
        for (name, value) in query::form(body) {
            match name.as_str() {
                "s" => form.servers.push(value),
                "b" => form.backend = Some(value),
                "action" => form.action = Some(value),
                "token" => form.token = Some(value),
                _ => {}
            }
        }
        form
    }
}

fn carry_out(controller: &mut Controller, form: &Form, now: Instant) -> StatusCode {
    let (Some(backend), Some(action)) = (&form.backend, &form.action) else { return StatusCode::Nothing };
    if action.is_empty() {
        return StatusCode::Nothing;
    }
    let Some(backend) = backend_name(controller.watch(), backend) else { return StatusCode::Errors };
    let Some(order) = Order::parse(action) else { return StatusCode::Errors };
    let (mut done, mut refused) = (0, 0);
    for server in &form.servers {
        let name = ServerName { backend: backend.clone(), server: server.clone() };
        let result = controller.execute(order.command(name), now);
        let server = server.escape_debug();
        match &result {
            Ok(_) => tracing::info!("stats page: {action} {backend}/{server}"),
            Err(refused) => tracing::info!("stats page: {action} {backend}/{server}: refused: {refused}"),
        }
        match result {
            Ok(_) => done += 1,
            Err(error) => refused += usize::from(!is_nothing(&error)),
        }
    }
    match (done, refused) {
        (0, 0) => StatusCode::Nothing,
        (_, 0) => StatusCode::Done,
        (0, _) => StatusCode::Errors,
        (_, _) => StatusCode::Partly,
    }
}

/// Refusals that mean: there was nothing to do for this server.
fn is_nothing(error: &CommandError) -> bool {
    matches!(error, CommandError::NoHealthCheck | CommandError::NoAgent | CommandError::AgentNotEnabled)
}

/// `action=` of the form (HAProxy manual 4.2, `stats admin`).
#[derive(Debug, Clone, Copy)]
enum Order {
    State(AdminState),
    Health(ForcedHealth),
    EnableChecks,
    DisableChecks,
    EnableAgent,
    DisableAgent,
    SetAgent,
    Shutdown,
}

impl Order {
    fn parse(action: &str) -> Option<Self> {
        Some(match action {
            "ready" | "enable" | "start" => Order::State(AdminState::Ready),
            "drain" | "stop" => Order::State(AdminState::Drain),
            "maint" | "disable" => Order::State(AdminState::Maint),
            "shutdown" => Order::Shutdown,
            "hrunn" => Order::Health(ForcedHealth::Up),
            "hnolb" => Order::Health(ForcedHealth::Stopping),
            "hdown" => Order::Health(ForcedHealth::Down),
            "ehlth" => Order::EnableChecks,
            "dhlth" => Order::DisableChecks,
            "eagent" => Order::EnableAgent,
            "dagent" => Order::DisableAgent,
            "arunn" | "adown" => Order::SetAgent,
            _ => return None,
        })
    }

    fn command(self, server: ServerName) -> Command {
        match self {
            Order::State(state) => Command::SetState { server, state },
            Order::Health(health) => Command::SetHealth { server, health },
            Order::EnableChecks => Command::EnableChecks { server },
            Order::DisableChecks => Command::DisableChecks { server },
            Order::EnableAgent => Command::EnableAgent { server },
            Order::DisableAgent => Command::DisableAgent { server },
            Order::SetAgent => Command::SetAgent { server },
            Order::Shutdown => Command::ShutdownSessions { server },
        }
    }
}
