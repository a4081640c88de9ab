//! What the rules engine is told about an exchange, and what its verdicts mean for it.

use std::sync::Arc;

use super::answer::LocalAnswer;
use super::clock;
use super::exchange::{Scratch, Setting};
use super::record::Account;
use crate::http::{RequestHead, ResponseHead};
use crate::logline::{Cause, Phase};
use crate::model::rule::{Answer, AnswerBody, Condition, Redirect};
use crate::model::stats::{StatsAdmin, StatsPage};
use crate::model::tcp::TcpRule;
use crate::model::{BackendId, Server};
use crate::rules::{
    Changes, Context, Facts, FirstBytes, TcpVerdict, TlsFacts, Verdict, format, format_bytes, holds, redirect_location,
    run_request_rules, run_response_rules, run_tcp_rules,
};
use crate::state::snapshot::BackendInForce;

/// Runs the frontend's `http-request` rules. `Some` when one of them answers.
pub(crate) fn frontend_rules(setting: &Setting<'_>, scratch: &mut Scratch) -> Option<LocalAnswer> {
    let content = &setting.frontend.config.tcp_request.content;
    if !content.is_empty() && refused(setting, content, None, scratch) {
        return Some(LocalAnswer::Nothing);
    }
    let rules = &setting.frontend.config.http_request;
    if rules.is_empty() {
        return None;
    }
    with_facts(setting, None, None, |facts| {
        let verdict = run_request_rules(rules, &mut scratch.request, facts, &mut scratch.handling);
        answer_of(&verdict, &scratch.request, None, facts, &mut scratch.account)
    })
}

/// Runs the backend's `http-request` rules.
pub(crate) fn backend_rules(
    setting: &Setting<'_>,
    backend: &BackendInForce,
    scratch: &mut Scratch,
) -> Option<LocalAnswer> {
    let content = &backend.config.tcp_request.content;
    if !content.is_empty() && refused(setting, content, Some(&backend.config.name), scratch) {
        return Some(LocalAnswer::Nothing);
    }
    let rules = &backend.config.http_request;
    if rules.is_empty() {
        return None;
    }
    with_facts(setting, Some(&backend.config.name), None, |facts| {
        let verdict = run_request_rules(rules, &mut scratch.request, facts, &mut scratch.handling);
        answer_of(&verdict, &scratch.request, None, facts, &mut scratch.account)
    })
}

/// Whether `tcp-request content` rules refuse a request. In HTTP mode they are asked when it is there (manual 4.2).
fn refused(setting: &Setting<'_>, rules: &[TcpRule], backend: Option<&str>, scratch: &mut Scratch) -> bool {
    let mut changes = Changes { handling: scratch.handling, ..Changes::default() };
    let verdict = with_facts(setting, backend, None, |facts| {
        run_tcp_rules(rules, &Context { request: Some(&scratch.request), response: None, facts }, &mut changes)
    });
    scratch.handling = changes.handling;
    scratch.account.log_at(changes.log_level);
    let refused = verdict == TcpVerdict::Reject;
    if refused {
        scratch.account.deny(false);
    }
    refused
}

/// Asks `tcp-request` rules about a connection, given what its client has sent as far as they may look at it, and what rules
/// have changed before.
pub(crate) fn tcp_rules(
    setting: &Setting<'_>,
    rules: &[TcpRule],
    backend: Option<&str>,
    first_bytes: Option<&FirstBytes<'_>>,
    mut changes: Changes,
) -> (TcpVerdict, Changes) {
    if rules.is_empty() {
        return (TcpVerdict::Accept, changes);
    }
    let verdict = with_facts(setting, backend, None, |facts| {
        let facts = Facts { first_bytes, ..*facts };
        run_tcp_rules(rules, &Context { request: None, response: None, facts: &facts }, &mut changes)
    });
    (verdict, changes)
}

/// What the configuration wants a server's PROXY header to tell of this client and its request.
pub(crate) fn proxy_values(
    setting: &Setting<'_>,
    backend: &str,
    server: &Server,
    request: Option<&RequestHead>,
    first_bytes: Option<&FirstBytes<'_>>,
) -> Vec<(u8, Vec<u8>)> {
    if server.proxy_values.is_empty() {
        return Vec::new();
    }
    with_facts(setting, Some(backend), Some(&server.name), |facts| {
        let facts = &Facts { first_bytes, ..*facts };
        let context = Context { request, response: None, facts };
        let value = |text| {
            let mut value = Vec::new();
            format_bytes(text, &context, &mut value);
            value
        };
        server.proxy_values.iter().map(|(kind, text)| (*kind, value(text))).collect()
    })
}

/// The first `use_backend` whose condition holds, else the default.
pub(crate) fn choose_backend(setting: &Setting<'_>, request: &RequestHead) -> Option<BackendId> {
    choose(setting, Some(request), None)
}

/// The same for a TCP session.
pub(crate) fn choose_tcp_backend(setting: &Setting<'_>, first_bytes: &FirstBytes<'_>) -> Option<BackendId> {
    choose(setting, None, Some(first_bytes))
}

fn choose(
    setting: &Setting<'_>,
    request: Option<&RequestHead>,
    first_bytes: Option<&FirstBytes<'_>>,
) -> Option<BackendId> {
    let frontend = &setting.frontend.config;
    if !frontend.use_backend.is_empty() {
        let chosen = with_facts(setting, None, None, |facts| {
            let facts = &Facts { first_bytes, ..*facts };
            let context = Context { request, response: None, facts };
            let meets = |condition: &Option<Condition>| condition.as_ref().is_none_or(|given| holds(given, &context));
            frontend.use_backend.iter().find(|(condition, _)| meets(condition)).map(|(_, id)| *id)
        });
        if chosen.is_some() {
            return chosen;
        }
    }
    frontend.default_backend
}

/// Runs `http-response` rules, the backend's first (HAProxy manual 4.2). `Some`: the answer that is given instead.
pub(crate) fn response_rules(
    setting: &Setting<'_>,
    backend: &BackendInForce,
    scratch: &mut Scratch,
) -> Option<LocalAnswer> {
    let Scratch { request, response, account, .. } = scratch;
    for rules in [&backend.config.http_response, &setting.frontend.config.http_response] {
        if rules.is_empty() {
            continue;
        }
        let server = account.server_name();
        let refused = with_facts(setting, Some(&backend.config.name), server.as_deref(), |facts| {
            let verdict = run_response_rules(rules, response, request, facts);
            answer_of(&verdict, request, Some(response), facts, account)
        });
        if refused.is_some() {
            return refused;
        }
    }
    None
}

/// Whether `stats admin if …` holds.
pub(crate) fn page_admin(setting: &Setting<'_>, request: &RequestHead, page: &Arc<StatsPage>) -> bool {
    match &page.admin {
        StatsAdmin::Never => false,
        StatsAdmin::When(condition) => with_facts(setting, None, None, |facts| {
            holds(condition, &Context { request: Some(request), response: None, facts })
        }),
    }
}

fn with_facts<T>(
    setting: &Setting<'_>,
    backend: Option<&str>,
    server: Option<&str>,
    run: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let connection = setting.connection;
    let usable = |id: BackendId| {
        setting.view.backends.get(id.index()).map_or(0, |backend| backend.rotation.load().members.len() as u32)
    };
    run(&Facts {
        src: connection.ends.get().peer,
        dst: connection.ends.get().local,
        tls: connection.tls.as_ref().map(|tls| TlsFacts {
            sni: tls.sni.as_deref(),
            alpn: tls.alpn.as_deref(),
            protocol: tls.protocol,
            cipher: tls.cipher,
            resumed: tls.resumed,
            client: tls.client.as_deref(),
        }),
        frontend: &setting.frontend.config.name,
        backend,
        server,
        hostname: &connection.worker.hostname,
        pid: std::process::id(),
        now: connection.wall_time(clock::now()),
        unique_id: None,
        told: connection.told.as_deref(),
        first_bytes: None,
        usable_servers: &usable,
    })
}

fn answer_of(
    verdict: &Verdict<'_>,
    request: &RequestHead,
    response: Option<&ResponseHead>,
    facts: &Facts<'_>,
    account: &mut Account,
) -> Option<LocalAnswer> {
    let context = Context { request: Some(request), response, facts };
    match verdict {
        Verdict::Continue | Verdict::Allow => None,
        Verdict::Deny(answer) => {
            account.deny(response.is_some());
            Some(local_answer(answer, &context))
        }
        Verdict::Tarpit(answer) => {
            account.tarpit();
            Some(LocalAnswer::Late(Box::new(local_answer(answer, &context))))
        }
        Verdict::Return(answer) => {
            account.end(Cause::Local, Phase::Request);
            Some(local_answer(answer, &context))
        }
        Verdict::Redirect(redirect) => {
            account.end(Cause::Local, Phase::Request);
            Some(redirection(redirect, &context))
        }
        Verdict::Prometheus => Some(LocalAnswer::Prometheus),
    }
}

fn local_answer(answer: &Answer, context: &Context<'_>) -> LocalAnswer {
    let body = match &answer.body {
        None if answer.headers.is_empty() => return LocalAnswer::Error(answer.status),
        Some(AnswerBody::Raw(raw)) => return LocalAnswer::Raw { status: answer.status, raw: Arc::clone(raw) },
        None => Vec::new(),
        Some(AnswerBody::Fixed(body)) => body.to_vec(),
        Some(AnswerBody::Format(text)) => {
            let mut body = Vec::new();
            format(text, context, &mut body);
            body
        }
    };
    let mut headers = Vec::new();
    if let Some(content_type) = &answer.content_type
        && !body.is_empty()
    {
        headers.push((b"Content-Type".to_vec(), content_type.clone().into_bytes()));
    }
    for (name, text) in &answer.headers {
        let mut value = Vec::new();
        format(text, context, &mut value);
        headers.push((name.clone().into_bytes(), value));
    }
    LocalAnswer::Whole { status: answer.status, headers, body }
}

fn redirection(redirect: &Redirect, context: &Context<'_>) -> LocalAnswer {
    let mut headers = vec![(b"Location".to_vec(), redirect_location(redirect, context))];
    if !redirect.is_permanent() {
        headers.push((b"Cache-Control".to_vec(), b"no-cache".to_vec()));
    }
    if let Some(cookie) = &redirect.set_cookie {
        headers.push((b"Set-Cookie".to_vec(), cookie.clone().into_bytes()));
    }
    LocalAnswer::Whole { status: redirect.code, headers, body: Vec::new() }
}
