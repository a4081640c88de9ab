//! Fuzz targets that run a whole worker over connections in memory: rules, servers, records and all.
//!
//! The first byte chooses how the rest is read, the next two are the number of bytes at its end that are a server's.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::config;
use crate::proxy::memory::{Speaks, all_in_rotation, shared, talk};
use crate::state::Shared;

/// What an HTTP/2 client says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const CONFIG: &str = "
global
    log /dev/null local0
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 200ms
    timeout client 500ms
    timeout server 500ms
    timeout http-request 500ms
    timeout http-keep-alive 200ms
frontend web
    bind 127.0.0.1:0
    option forwardfor
    capture request header Host len 20
    http-request deny if { path_beg /denied }
    http-request redirect location /elsewhere code 301 if { path_end /moved }
    http-request set-header X-Path %[path]
    http-response set-header X-Seen yes
    default_backend app
backend app
    http-reuse always
    server one 127.0.0.1:1
";

thread_local! {
    static SHARED: OnceCell<Arc<Shared>> = const { OnceCell::new() };
}

/// A request or several over HTTP/1, however malformed.
pub fn fuzz_http1(data: &[u8]) {
    let Some((_, client, server)) = sides(data) else { return };
    converse(Speaks::Http1, client, server);
}

/// HTTP/2 frames: as they are when the first byte is even, else packed (type, flags, stream, length of one byte each, then
/// the payload), so that a mutation rarely breaks the framing itself.
pub fn fuzz_http2(data: &[u8]) {
    let Some((mode, client, server)) = sides(data) else { return };
    let mut bytes = PREFACE.to_vec();
    if mode % 2 == 0 {
        bytes.extend_from_slice(client);
    } else {
        // Without it, every other frame is an error.
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        unpack(client, &mut bytes);
    }
    converse(Speaks::Http2, &bytes, server);
}

fn sides(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([mode, high, low], rest) = data.split_first_chunk()?;
    let server = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (client, server) = rest.split_at(rest.len() - server);
    Some((*mode, client, server))
}

fn unpack(mut packed: &[u8], bytes: &mut Vec<u8>) {
    while let Some(([kind, flags, stream, length], rest)) = packed.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes.extend_from_slice(&[0, 0, payload.len() as u8, *kind, *flags, 0, 0, 0, *stream]);
        bytes.extend_from_slice(payload);
        packed = rest;
    }
}

fn converse(speaks: Speaks, client: &[u8], server: &[u8]) {
    let in_use = SHARED.with(|known| Arc::clone(known.get_or_init(begin)));
    talk(&in_use, speaks, client, server);
    assert_eq!(in_use.process.panics.total(), 0);
}

fn begin() -> Arc<Shared> {
    let loaded = config::load_text("fuzz.cfg", CONFIG);
    let told = loaded.diagnostics.render(&loaded.sources, crate::diag::Colour::Never);
    let config = loaded.config.unwrap_or_else(|| panic!("{told}"));
    shared(all_in_rotation(config), 1).0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rig is worth nothing when the server's bytes are never asked for.
    #[test]
    fn servers_are_reached_over_both_protocols() {
        let in_use = begin();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld";
        let got = talk(&in_use, Speaks::Http1, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer);
        assert!(got.ends_with(b"\r\n\r\nworld"), "{}", String::from_utf8_lossy(&got));
        let mut asked = PREFACE.to_vec();
        asked.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        unpack(&[1, 5, 1, 6, 0x82, 0x87, 0x84, 0x41, 1, b'a'], &mut asked);
        let got = talk(&in_use, Speaks::Http2, &asked, answer);
        assert!(memchr::memmem::find(&got, b"world").is_some(), "{got:?}");
    }
}
