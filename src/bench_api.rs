//! What may benches and fuzz targets touch? They live outside this crate, whose insides are private; these few wrappers
//! are all they get. Not an API for anybody else, and free to change.

#[cfg(any(test, fuzzing))]
mod control;
#[cfg(any(test, fuzzing))]
mod differential;
#[cfg(any(test, fuzzing))]
mod hello;
#[cfg(any(test, fuzzing))]
mod worker;

#[cfg(any(test, fuzzing))]
pub use control::{fuzz_admin, fuzz_stats};
#[cfg(any(test, fuzzing))]
pub use differential::fuzz_differential;
#[cfg(any(test, fuzzing))]
pub use worker::{fuzz_http1, fuzz_http2};

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;

use crate::balance;
use crate::config::{cfg, yaml};
use crate::diag::Diagnostics;
use crate::http::forwarded::{self, ClientFacts};
use crate::http::{
    BodyLength, ChunkedDecoder, EncodeRequest, EncodeResponse, Piece, Progress, RequestHead, ResponseHead, ResponseTo,
    Version, encode_request, encode_response,
};
use crate::model::ServerId;
use crate::model::backend::{ProxyOptions, ProxyVersion};
use crate::model::forwarded::{ForwardFor, Forwarded, Networks};
use crate::model::global::HttpLimits;
use crate::state::{Cursor, Rotation};
use crate::wire::{client_hello, proxy_protocol};

/// A backend's servers in turn, picked from as a worker does.
pub struct Turns {
    rotation: ArcSwap<Rotation>,
    cursor: Cursor,
}

impl Turns {
    /// `servers` of growing weight, from 1.
    pub fn new(servers: u32) -> Self {
        Turns { rotation: ArcSwap::from_pointee(rotation(servers)), cursor: Cursor::default() }
    }

    /// The number of the server whose turn it is.
    pub fn pick(&self) -> Option<u32> {
        let position = self.cursor.0.fetch_add(1, Relaxed);
        self.rotation.load().turn(position).map(|id| id.0)
    }

    /// What control does when a server comes or goes.
    pub fn rebuild(&self, servers: u32) {
        self.rotation.store(rotation(servers).into());
    }
}

fn rotation(servers: u32) -> Rotation {
    let weighted: Vec<_> = (0..servers).map(|id| (ServerId(id), id + 1)).collect();
    Rotation { turns: balance::turns(&weighted), ..Rotation::default() }
}

/// What one worker does with one keep-alive exchange inside the codec. Buffers are kept from call to call.
pub struct Exchange {
    request: RequestHead,
    response: ResponseHead,
    out: Vec<u8>,
    forwarded: Forwarded,
    client: ClientFacts,
}

impl Default for Exchange {
    fn default() -> Self {
        let option = ForwardFor { except: Networks::default(), header: "X-Forwarded-For".to_owned(), if_none: false };
        let address = |port| Some(SocketAddr::from((Ipv4Addr::new(192, 168, 100, 200), port)));
        Exchange {
            request: RequestHead::new(),
            response: ResponseHead::new(),
            out: Vec::new(),
            forwarded: Forwarded { forwardfor: Some(option), fields: None },
            client: ClientFacts { client: address(54_321), local: address(80), tls: false },
        }
    }
}

impl Exchange {
    /// Parses a request; whether it is a whole, acceptable one.
    pub fn parse_request(&mut self, bytes: &[u8]) -> bool {
        self.request.clear();
        self.request.input().extend_from_slice(bytes);
        self.request.parse(&HttpLimits::default()) == Ok(Progress::Complete)
    }

    /// Adds X-Forwarded-For to the parsed request.
    pub fn forward(&mut self) {
        forwarded::apply(&mut self.request, &self.forwarded, &Forwarded::default(), &self.client);
    }

    /// Looks up Host and a field that is not there, as a routing rule does.
    pub fn look_up(&self) -> bool {
        self.request.host().is_some() && !self.request.fields().contains(b"x-not-there")
    }

    /// Encodes the parsed request; returns its length.
    pub fn encode_request(&mut self) -> usize {
        self.out.clear();
        let options = EncodeRequest { keep_alive: true, ..EncodeRequest::default() };
        encode_request(&self.request, options, &mut self.out);
        self.out.len()
    }

    /// Parses a response; whether it is a whole, acceptable one.
    pub fn parse_response(&mut self, bytes: &[u8]) -> bool {
        self.response.clear();
        self.response.input().extend_from_slice(bytes);
        self.response.parse(&HttpLimits::default(), ResponseTo::Other) == Ok(Progress::Complete)
    }

    /// Encodes the parsed response for a keep-alive HTTP/1.1 client; returns its length.
    pub fn encode_response(&mut self) -> usize {
        self.out.clear();
        encode_response(&self.response, response_options(Version::Http11), &mut self.out);
        self.out.len()
    }
}

fn response_options(client: Version) -> EncodeResponse<'static> {
    EncodeResponse { client, keep_alive: true, keep_upgrade: true, no_store: false, extra: &[] }
}

/// Fuzz target: a request means the same however it is cut, and what is sent on means the same as what came.
/// The first byte chooses the cut.
pub fn fuzz_request(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let limits = HttpLimits { head: 4096, fields: 32, target: 4096 };
    let mut head = RequestHead::new();
    head.input().extend_from_slice(bytes);
    if head.parse(&limits) != Ok(Progress::Complete) {
        return;
    }
    let mut pieces = RequestHead::new();
    let (front, back) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    pieces.input().extend_from_slice(front);
    assert!(pieces.parse(&limits).is_ok(), "the front alone is refused");
    pieces.input().extend_from_slice(back);
    assert_eq!(pieces.parse(&limits), Ok(Progress::Complete));
    assert_eq!((pieces.head_len(), pieces.body()), (head.head_len(), head.body()));

    let options = EncodeRequest { keep_alive: true, keep_upgrade: true, extra: &[] };
    let mut out = Vec::new();
    encode_request(&head, options, &mut out);
    let mut again = RequestHead::new();
    again.input().extend_from_slice(&out);
    let wide = HttpLimits { head: 16_384, fields: 64, target: 16_384 };
    assert_eq!(again.parse(&wide), Ok(Progress::Complete));
    assert_eq!(again.head_len(), out.len(), "the head ends early");
    assert_eq!(again.body(), head.body());
    assert_eq!(
        (again.method(), again.path_and_query(), again.host()),
        (head.method(), head.path_and_query(), head.host())
    );
}

/// Fuzz target: a response sent on to any client has the framing that client was promised.
pub fn fuzz_response(data: &[u8]) {
    let limits = HttpLimits { head: 4096, fields: 32, target: 4096 };
    let wide = HttpLimits { head: 16_384, fields: 64, target: 16_384 };
    for to in [ResponseTo::Other, ResponseTo::Head] {
        let mut head = ResponseHead::new();
        head.input().extend_from_slice(data);
        if head.parse(&limits, to) != Ok(Progress::Complete) {
            return;
        }
        for client in [Version::Http10, Version::Http11] {
            let mut out = Vec::new();
            encode_response(&head, response_options(client), &mut out);
            let mut again = ResponseHead::new();
            again.input().extend_from_slice(&out);
            assert_eq!(again.parse(&wide, to), Ok(Progress::Complete));
            assert_eq!((again.head_len(), again.status()), (out.len(), head.status()));
            let expected = match (head.body(), client) {
                (BodyLength::UntilClose, Version::Http11) => BodyLength::Chunked,
                (BodyLength::Chunked, Version::Http10) => BodyLength::UntilClose,
                (body, _) => body,
            };
            assert_eq!(again.body(), expected);
        }
    }
}

/// Fuzz target: a chunked body means the same in any pieces. The first byte is the piece length.
pub fn fuzz_chunked(data: &[u8]) {
    let Some((len, body)) = data.split_first() else { return };
    assert_eq!(dechunk(body, usize::from(*len).max(1)), dechunk(body, body.len().max(1)));
}

/// Data, bytes consumed, trailers; `None` when the body is malformed or not over.
fn dechunk(body: &[u8], piece_len: usize) -> Option<(Vec<u8>, usize, Vec<u8>)> {
    let mut decoder = ChunkedDecoder::new();
    let (mut data, mut total) = (Vec::new(), 0);
    for mut piece in body.chunks(piece_len) {
        while !piece.is_empty() {
            let (consumed, ended) = match decoder.next(piece).ok()? {
                Piece::Data { from, len } => {
                    data.extend_from_slice(piece.get(from..from + len)?);
                    (from + len, false)
                }
                Piece::NeedMore { consumed } => (consumed, false),
                Piece::End { consumed } => (consumed, true),
            };
            total += consumed;
            if ended {
                return Some((data, total, decoder.trailers().to_vec()));
            }
            piece = piece.get(consumed..)?;
        }
    }
    None
}

/// Fuzz target: reading a PROXY header bit by bit comes to the same as at once and never takes a byte behind it; what we
/// would say on about it is a header too.
pub fn fuzz_proxy_header(data: &[u8]) {
    use proxy_protocol::Parsed;
    let Ok(Parsed::Complete { header, consumed }) = proxy_protocol::parse(data) else { return };
    let mut seen = 0;
    while let Ok(Parsed::NeedMore) = proxy_protocol::parse(data.get(..seen).unwrap_or(data)) {
        seen += proxy_protocol::bytes_to_read(data.get(..seen).unwrap_or(data));
        assert!(seen <= consumed, "reads beyond the header");
    }
    assert_eq!(seen, consumed);
    let told = proxy_protocol::tlvs(data.get(..consumed).unwrap_or(data));
    let client = proxy_protocol::ClientTold { tls: None, received: told.as_ref(), values: &[] };
    let options = ProxyOptions {
        ssl: true,
        cert_cn: true,
        ssl_cipher: true,
        cert_key: true,
        cert_sig: true,
        crc32c: true,
        unique_id: true,
        authority: true,
    };
    let mut out = Vec::new();
    proxy_protocol::encode_v2_telling(header, options, Some(&client), &mut out);
    let again = proxy_protocol::parse(&out);
    // What was just short enough may be too long with our own values.
    let long = out.len() > proxy_protocol::V2_LIMIT;
    assert!(long || matches!(again, Ok(Parsed::Complete { consumed, .. }) if consumed == out.len()), "{again:?}");
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut out = Vec::new();
        proxy_protocol::encode(version, header, &mut out);
        let again = proxy_protocol::parse(&out);
        assert!(matches!(again, Ok(Parsed::Complete { consumed, .. }) if consumed == out.len()), "{again:?}");
    }
}

/// Fuzz target: a ClientHello means the same however reads and records cut it. The first byte chooses the cut.
pub fn fuzz_client_hello(data: &[u8]) {
    use client_hello::Parsed;
    let Some((cut, bytes)) = data.split_first() else { return };
    let whole = client_hello::parse(bytes);
    let front = client_hello::parse(bytes.get(..usize::from(*cut)).unwrap_or(bytes));
    assert!(front == Ok(Parsed::NeedMore) || front == whole, "{front:?} became {whole:?}");
    let Ok(Parsed::Complete(hello)) = whole else { return };
    #[cfg(any(test, fuzzing))]
    hello::against_rustls(bytes, &hello);
    // The message on its own, then in records of another size.
    let (mut message, mut rest) = (Vec::new(), bytes);
    while let [_, _, _, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (part, after) = behind.split_at(length);
        message.extend_from_slice(part);
        rest = after;
    }
    let mut again = Vec::new();
    for part in message.chunks(usize::from(*cut).max(1)) {
        again.extend_from_slice(&[22, 3, 1, 0, part.len() as u8]);
        again.extend_from_slice(part);
    }
    assert_eq!(client_hello::parse(&again), Ok(Parsed::Complete(hello)));
}

/// Fuzz target: no text read as haproxy.cfg panics, and what it says reads back the same from YAML when nothing is wrong.
pub fn fuzz_cfg(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut told = Diagnostics::new();
    let (raw, _) = cfg::read(&[("fuzz.cfg".into(), text.into())], cfg::Environment::new(), &mut told);
    if told.has_errors() {
        return;
    }
    let Ok(yaml_text) = raw.to_yaml() else { return };
    let again = yaml::read(&"fuzz.yaml".into(), &yaml_text.as_str().into(), &|_| None, &mut told);
    assert_eq!(again.map(|(raw, _)| raw), Some(raw), "{yaml_text}");
}

/// Fuzz target: no text read as YAML panics, neither when its mistakes are placed and drawn nor when it is resolved.
/// Names are not looked up: texts with letters in addresses stay unresolved.
pub fn fuzz_yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut told = Diagnostics::new();
    let read = yaml::read(&"fuzz.yaml".into(), &text.into(), &|_| None, &mut told);
    if let Some((config, places)) = read
        && !text.contains("address")
    {
        let _ = crate::config::resolve::resolve(&config, &places, &mut told);
    }
    let mut sources = crate::diag::Sources::new();
    sources.insert("fuzz.yaml".into(), text);
    let _ = told.render(&sources, crate::diag::Colour::Always);
}

/// Fuzz target: no bytes read as a PEM file panic.
pub fn fuzz_pem(data: &[u8]) {
    crate::config::fuzz_pem(data);
}

/// Fuzz target: a hostile peer's bytes never make TLS panic, go round in circles, keep buffers or hand on what was not said.
#[cfg(any(test, fuzzing))]
pub fn fuzz_tls(data: &[u8]) {
    crate::proxy::fuzz_tls(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a fuzz target begins with, and whatever it once found, must pass in every build.
    #[track_caller]
    fn check(name: &str, target: fn(&[u8])) {
        let directory = format!("{}/fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for seed in std::fs::read_dir(&directory).unwrap() {
            target(&std::fs::read(seed.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{directory} is empty");
    }

    #[test]
    fn seeds_of_parsers_pass() {
        check("request", fuzz_request);
        check("response", fuzz_response);
        check("chunked", fuzz_chunked);
        check("proxy_header", fuzz_proxy_header);
        check("cfg", fuzz_cfg);
        check("yaml", fuzz_yaml);
        check("pem", fuzz_pem);
        check("differential", fuzz_differential);
        check("client_hello", fuzz_client_hello);
    }

    #[test]
    fn seeds_of_the_controller_pass() {
        check("admin", fuzz_admin);
        check("stats", fuzz_stats);
    }

    #[test]
    fn seeds_of_the_worker_pass() {
        check("http1", fuzz_http1);
        check("http2", fuzz_http2);
        check("tls", fuzz_tls);
    }
}
