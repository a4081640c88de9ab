//! What the proxy answers by itself: error pages, redirects, fixed answers, the stats page.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::clock;
use super::downstream::{BodyFraming, Downstream, HeadOptions, Left};
use super::exchange::{Next, Scratch, Setting};
use super::rules_context;
use crate::http::{BodyLength, RequestHead, ResponseHead, ResponseTo, error_page};
use crate::logline::{Cause, Phase};
use crate::model::Name;
use crate::model::backend::{ErrorPages, HttpConnectionMode};
use crate::model::stats::StatsPage;
use crate::state::Event;
use crate::state::events::{PAGE_BODY_LIMIT, PageBody, PageKind, PageReply, PageRequest};
use crate::state::snapshot::BackendInForce;

/// An answer that needs no server.
#[derive(Debug)]
pub(crate) enum LocalAnswer {
    /// The operator's page of this status, or the built-in one.
    Error(u16),
    /// A whole raw response, head included, as an `errorfile` holds it.
    Raw {
        status: u16,
        raw: Arc<[u8]>,
    },
    Whole {
        status: u16,
        headers: Vec<(Vec<u8>, Vec<u8>)>,
        body: Vec<u8>,
    },
    Prometheus,
    /// The connection is closed without a word.
    Nothing,
    /// After `timeout tarpit`.
    Late(Box<LocalAnswer>),
}

/// For a request that may go no further (RFC 9110 §9.3.7 and §9.3.8): OPTIONS asks what may be asked; TRACE would have
/// its own fields told back, which may hold secrets.
pub(crate) fn at_the_last_hop(request: &RequestHead) -> LocalAnswer {
    let status = if request.is_options() { 200 } else { 405 };
    let allow = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_vec();
    LocalAnswer::Whole { status, headers: vec![(b"Allow".to_vec(), allow)], body: Vec::new() }
}

/// Answers and leaves what is left of the request alone: a client that is still sending gets its answer and is closed.
pub(crate) async fn send<D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    answer: LocalAnswer,
    backend: Option<&BackendInForce>,
) -> Next<'static> {
    let to = to_whom(&scratch.request);
    let mut response = ResponseHead::new();
    let body = match answer {
        LocalAnswer::Late(answer) => {
            if !tarpit(setting, scratch, down, backend).await {
                return Next::Close;
            }
            return Box::pin(send(setting, scratch, down, *answer, backend)).await;
        }
        LocalAnswer::Prometheus => {
            let page = Arc::new(StatsPage::metrics_only());
            let name = Arc::clone(&setting.frontend.config.name);
            return serve_page(setting, scratch, down, (&page, PageKind::Prometheus), &name).await;
        }
        LocalAnswer::Nothing => return Next::Close,
        LocalAnswer::Error(status) => {
            let pages = backend.map_or(&setting.frontend.config.error_pages, |backend| &backend.config.error_pages);
            let page = page(pages, status);
            if page.is_some_and(<[u8]>::is_empty) {
                return say_nothing(scratch, status);
            }
            error_page::prepare(status, page, to, &mut response)
        }
        LocalAnswer::Raw { status, raw } if raw.is_empty() => return say_nothing(scratch, status),
        LocalAnswer::Raw { status, raw } => error_page::prepare(status, Some(&raw), to, &mut response),
        LocalAnswer::Whole { status, headers, body } => {
            response.start(status, BodyLength::Length(body.len() as u64), to);
            for (name, value) in headers {
                response.add_field(&name, &value);
            }
            body
        }
    };
    // An error page in the middle of trouble ends the connection; a chosen answer need not.
    let trouble = response.status() >= 400 && !scratch.account.is_denied();
    let keep = !trouble && may_keep(setting, scratch, down);
    scratch.account.end(Cause::Local, Phase::Request);
    scratch.account.answered_locally(response.status());
    write(setting, scratch, down, &response, &body, keep).await
}

/// An empty page closes without a word (HAProxy manual 4.2, `errorfile`); the log tells which it would have been.
fn say_nothing(scratch: &mut Scratch, status: u16) -> Next<'static> {
    scratch.account.end(Cause::Local, Phase::Request);
    scratch.account.answered_locally(status);
    Next::Close
}

/// Holds a refused request, for no time where no timeout says how long (as HAProxy 2.6 does). `false` when its client left.
async fn tarpit<D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    backend: Option<&BackendInForce>,
) -> bool {
    let timeouts = &setting.frontend.config.timeouts;
    let started = clock::now();
    let held = backend.map_or(timeouts.tarpit, |backend| backend.config.timeouts.tarpit);
    if held.is_none() {
        scratch.account.tarpitted(Duration::ZERO, false);
        return true;
    }
    setting.timer.set_after(held);
    let request = &mut scratch.request;
    let abort_on_close = backend.is_some_and(|backend| backend.config.abort_on_close);
    let left = setting.timer.bound(poll_fn(|cx| down.poll_left(cx, request, abort_on_close))).await;
    setting.timer.set(None);
    let gone = left == Some(Left::Broken);
    scratch.account.tarpitted(clock::now().saturating_duration_since(started), gone);
    !gone
}

fn page(pages: &ErrorPages, status: u16) -> Option<&[u8]> {
    pages.get(status).map(|page| &page[..])
}

fn to_whom(request: &RequestHead) -> ResponseTo {
    if request.is_head() { ResponseTo::Head } else { ResponseTo::Other }
}

fn may_keep<D: Downstream>(setting: &Setting<'_>, scratch: &Scratch, down: &D) -> bool {
    scratch.request.keep_alive()
        && down.body_is_done()
        && setting.frontend.config.connection != HttpConnectionMode::Close
        && !setting.connection.is_leaving()
}

/// Sends a head and a whole body within the client's timeout.
async fn write<D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    response: &ResponseHead,
    body: &[u8],
    keep: bool,
) -> Next<'static> {
    let options = HeadOptions { keep_alive: keep, keep_upgrade: false, no_store: false };
    down.head(&scratch.request, response, options);
    let body = if response.body().is_empty() { &[][..] } else { body };
    let sent = send_body(setting, down, body).await && finish(setting, down).await;
    if !sent {
        scratch.account.end(Cause::Client, Phase::Data);
    }
    if sent && keep { Next::KeepAlive } else { Next::Close }
}

async fn send_body<D: Downstream>(setting: &Setting<'_>, down: &mut D, mut body: &[u8]) -> bool {
    while !body.is_empty() {
        setting.timer.set_after(setting.frontend.config.timeouts.client);
        match setting.timer.bound(poll_fn(|cx| down.poll_data(cx, body))).await {
            Some(Ok(n)) => body = &body[n..],
            Some(Err(_)) | None => return false,
        }
    }
    true
}

async fn finish<D: Downstream>(setting: &Setting<'_>, down: &mut D) -> bool {
    down.finish(b"");
    flush(setting, down).await
}

async fn flush<D: Downstream>(setting: &Setting<'_>, down: &mut D) -> bool {
    let limit = setting.frontend.config.timeouts.client;
    setting.timer.set_after(limit);
    let flushed = poll_fn(|cx| {
        let flushed = down.poll_flush(cx);
        if down.took_some() {
            setting.timer.set_after(limit);
        }
        flushed
    });
    let flushed = setting.timer.bound(flushed).await;
    setting.timer.set(None);
    matches!(flushed, Some(Ok(())))
}

/// Whether this request is for the proxy's own pages.
pub(crate) fn page_for<'a>(
    page: &'a Option<Arc<StatsPage>>,
    request: &RequestHead,
) -> Option<(&'a Arc<StatsPage>, PageKind)> {
    let page = page.as_ref()?;
    // First, because a page at `/` starts every path.
    if page.metrics.as_ref().is_some_and(|metrics| request.path() == metrics.as_bytes()) {
        return Some((page, PageKind::Prometheus));
    }
    request.path_and_query().starts_with(page.uri.as_bytes()).then_some((page, PageKind::Stats))
}

/// Has control render the page and sends it.
pub(crate) async fn serve_page<D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    (page, kind): (&Arc<StatsPage>, PageKind),
    proxy: &Name,
) -> Next<'static> {
    scratch.account.answered_by_stats();
    scratch.account.end(Cause::Local, Phase::Request);
    let Some(body) = read_body(setting, scratch, down).await else {
        return Box::pin(send(setting, scratch, down, LocalAnswer::Error(413), None)).await;
    };
    let (reply, answer) = oneshot::channel();
    let request = &scratch.request;
    let text = |name: &[u8]| request.fields().get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let asked = PageRequest {
        page: Arc::clone(page),
        proxy: Arc::clone(proxy),
        kind,
        method: String::from_utf8_lossy(request.method()).into_owned(),
        uri: String::from_utf8_lossy(request.path_and_query()).into_owned(),
        authorization: text(b"authorization"),
        host: request.host().map(|host| String::from_utf8_lossy(host).into_owned()),
        origin: text(b"origin").or_else(|| text(b"referer")),
        body,
        admin: rules_context::page_admin(setting, request, page),
        reply,
    };
    let told = setting.connection.worker.shared.tell(Event::Page(asked));
    match (told, answer.await) {
        (Ok(()), Ok(reply)) => send_reply(setting, scratch, down, reply).await,
        _ => Box::pin(send(setting, scratch, down, LocalAnswer::Error(503), None)).await,
    }
}

/// A form's body. `None` when it is too large or does not come.
async fn read_body<D: Downstream>(setting: &Setting<'_>, scratch: &mut Scratch, down: &mut D) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let request = &mut scratch.request;
    setting.timer.set_after(setting.frontend.config.timeouts.http_request.or(setting.frontend.config.timeouts.client));
    while !down.body_is_done() {
        let more = poll_fn(|cx| down.poll_body(cx, request, BodyFraming::Plain, &mut body));
        match setting.timer.bound(more).await {
            Some(Ok(_)) if body.len() <= PAGE_BODY_LIMIT => {}
            _ => return None,
        }
    }
    setting.timer.set(None);
    Some(body)
}

async fn send_reply<D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    reply: PageReply,
) -> Next<'static> {
    let mut response = ResponseHead::new();
    let length = match &reply.body {
        PageBody::Whole(body) => BodyLength::Length(body.len() as u64),
        PageBody::Stream(_) => BodyLength::Chunked,
    };
    response.start(reply.status, length, to_whom(&scratch.request));
    for (name, value) in &reply.headers {
        response.add_field(name.as_bytes(), value.as_bytes());
    }
    scratch.account.answered_locally(reply.status);
    match reply.body {
        PageBody::Whole(body) => {
            let keep = may_keep(setting, scratch, down);
            write(setting, scratch, down, &response, &body, keep).await
        }
        PageBody::Stream(pieces) => stream(setting, scratch, down, &response, pieces).await,
    }
}

/// Server-sent events: until the sender ends, the client leaves or the process drains.
async fn stream<D: Downstream>(
    setting: &Setting<'_>,
    scratch: &mut Scratch,
    down: &mut D,
    response: &ResponseHead,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Next<'static> {
    let options = HeadOptions { keep_alive: false, keep_upgrade: false, no_store: false };
    down.head(&scratch.request, response, options);
    if response.body().is_empty() || !flush(setting, down).await {
        return Next::Close;
    }
    loop {
        let request = &mut scratch.request;
        let piece = poll_fn(|cx| {
            if setting.connection.is_leaving() || down.poll_gone(cx, request).is_ready() {
                return Poll::Ready(None);
            }
            setting.timer.poll_expired(cx); // so that draining wakes us
            pieces.poll_recv(cx)
        })
        .await;
        let Some(piece) = piece else { break };
        if !send_body(setting, down, &piece).await || !flush(setting, down).await {
            return Next::Close;
        }
    }
    finish(setting, down).await;
    Next::Close
}
