//! Fuzz target: does our HTTP/1 codec see what other parsers see? Whatever we accept as a request, httparse must split the
//! same way, and hyper, where it accepts it too, must take for the same request with the same body. Two readers that
//! disagree about where a request ends are how requests get smuggled.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::http::{BodyLength, ChunkedDecoder, Piece, Progress, RequestHead};
use crate::model::global::HttpLimits;

/// A request as one reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: Vec<u8>,
    /// Path and query: hyper writes an absolute form anew.
    target: Vec<u8>,
    /// `None` when it is not whole.
    body: Option<Vec<u8>>,
}

pub fn fuzz_differential(data: &[u8]) {
    let mut head = RequestHead::new();
    head.input().extend_from_slice(data);
    if head.parse(&HttpLimits::default()) != Ok(Progress::Complete) {
        return;
    }
    // As it is taken: versions beyond 1.1 as that, which the others refuse.
    let data = &head.input().clone()[..];
    against_httparse(data, &mut head);
    let ours = Seen {
        method: head.method().to_vec(),
        target: head.path_and_query().to_vec(),
        body: body(&head, data.get(head.head_len()..).unwrap_or_default()),
    };
    // What hyper refuses, it does not read otherwise.
    if let Some(theirs) = by_hyper(data) {
        assert_eq!((&ours.method, &ours.target), (&theirs.method, &theirs.target));
        if let (Some(ours), Some(theirs)) = (&ours.body, &theirs.body) {
            assert_eq!(ours, theirs, "another body");
        }
        assert!(ours.body.is_none() || theirs.body.is_some(), "hyper misses a body that we take for whole");
    }
}

fn against_httparse(data: &[u8], head: &mut RequestHead) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = request.parse(data) else { panic!("httparse refuses it") };
    assert_eq!(length, head.head_len());
    assert_eq!(request.method.map(str::as_bytes), Some(head.method()));
    assert_eq!(request.path.map(str::as_bytes), Some(head.target()));
    let ours: Vec<(&[u8], &[u8])> = head.fields().iter().collect();
    let mut theirs: Vec<(&[u8], &[u8])> =
        request.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    drop_repeated_length(&mut theirs);
    assert_eq!(ours, theirs);
}

/// We keep one of several lengths that are the same (RFC 9110 §8.6).
fn drop_repeated_length(fields: &mut Vec<(&[u8], &[u8])>) {
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok();
    let mut first = None;
    fields.retain(|(name, value)| {
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        let is_repeated = is_length && first.is_some_and(|first| first == number(value));
        first = first.or(is_length.then(|| number(value)));
        !is_repeated
    });
}

/// `None` when it is cut short or malformed.
fn body(head: &RequestHead, mut rest: &[u8]) -> Option<Vec<u8>> {
    match head.body() {
        BodyLength::None => Some(Vec::new()),
        BodyLength::Length(length) => rest.get(..usize::try_from(length).ok()?).map(<[u8]>::to_vec),
        BodyLength::UntilClose => Some(rest.to_vec()),
        BodyLength::Chunked => {
            let (mut decoder, mut data) = (ChunkedDecoder::new(), Vec::new());
            loop {
                let consumed = match decoder.next(rest).ok()? {
                    Piece::Data { from, len } => {
                        data.extend_from_slice(rest.get(from..from + len)?);
                        from + len
                    }
                    Piece::NeedMore { consumed } if consumed == 0 || consumed == rest.len() => return None,
                    Piece::NeedMore { consumed } => consumed,
                    Piece::End { .. } => return Some(data),
                };
                rest = rest.get(consumed..)?;
            }
        }
    }
}

/// The first request hyper's server hands to its service.
fn by_hyper(data: &[u8]) -> Option<Seen> {
    let first: Rc<RefCell<Option<Seen>>> = Rc::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    let tasks = tokio::task::LocalSet::new();
    let seen = Rc::clone(&first);
    tasks.block_on(&runtime, async move {
        let (mut near, far) = duplex(data.len().max(1024));
        let service = service_fn(move |request: Request<Incoming>| {
            let seen = Rc::clone(&seen);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
                seen.borrow_mut().get_or_insert(Seen {
                    method: parts.method.as_str().as_bytes().to_vec(),
                    target: target_of(&parts.uri),
                    body,
                });
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let _ = near.write_all(data).await;
        let _ = near.shutdown().await;
        let mut server = hyper::server::conn::http1::Builder::new();
        let serving = server.half_close(true).max_headers(128).serve_connection(TokioIo::new(far), service);
        let mut unread = Vec::new();
        let reading = near.read_to_end(&mut unread);
        // Nothing waits for the clock here; a hang would be a finding of its own.
        let both = tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(serving, reading) });
        let _ = both.await;
    });
    first.take()
}

/// An absolute form may lack its path, which is then `/` (RFC 9110 §4.2.3).
fn target_of(uri: &hyper::Uri) -> Vec<u8> {
    match uri.query() {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    }
    .into_bytes()
}
