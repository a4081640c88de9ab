//! The same facts as a JSON object a line, for collectors that would rather not parse positions.
//!
//! Fields, always all of them and in this order; times in milliseconds, -1 where a phase was never reached:
//!
//! | field | meaning |
//! |---|---|
//! | `time` | when the connection was accepted (tcp) or the request began (http), RFC 3339 with microseconds |
//! | `mode` | `http` or `tcp` |
//! | `client`, `client_port` | the client; `null` for unix socket clients |
//! | `local`, `local_port` | the address it reached; `null` likewise |
//! | `frontend`, `tls` | where it came in |
//! | `backend`, `server` | who served it; `server` is `null` when nobody did, `<STATS>` for the stats page |
//! | `time_handshake`, `time_idle`, `time_request`, `time_queue`, `time_connect`, `time_response`, `time_total` | Th, Ti, TR, Tw, Tc, Tr and Ta (http) or Tt (tcp) of the manual's chapter 8.4 |
//! | `status` | the response's; `null` in tcp, or when none was sent |
//! | `bytes_read`, `bytes_uploaded` | to the client, head included; from the client |
//! | `termination` | cause and phase, two characters (manual 8.5) |
//! | `connections_process`, `connections_frontend`, `connections_backend`, `connections_server` | concurrent ones, this one included |
//! | `retries`, `redispatched` | of connecting to a server |
//! | `server_queue`, `backend_queue` | requests that were ahead |
//! | `request_captures`, `response_captures` | lists in configured order, `null` where the field was absent |
//! | `method`, `uri`, `version` | the request; `null` when there was none that could be read |
//!
//! A byte that is not part of valid UTF-8 is written as `\u00XX`, the code point of the same number: the line is always
//! valid JSON and no byte is lost.

use std::cell::RefCell;
use std::net::SocketAddr;

use super::Record;
use super::date::{DateCache, DateStyle};
use super::render::{ip, number, server_name};
use crate::logline::ServerLabel;
use crate::model::Mode;
use crate::sys;

pub(super) fn json_line(record: &Record<'_>, out: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<DateCache> = const { RefCell::new(DateCache::new(DateStyle::Iso)) };
    }
    out.extend_from_slice(b"{\"time\":\"");
    DATE.with_borrow_mut(|date| date.append(record.accepted_at, sys::local_offset, out));
    out.extend_from_slice(match record.mode {
        Mode::Http => b"\",\"mode\":\"http\",",
        Mode::Tcp => b"\",\"mode\":\"tcp\",",
    });
    address("client", record.client, out);
    address("local", record.local, out);
    text("frontend", Some(record.frontend.as_bytes()), out);
    boolean("tls", record.tls, out);
    text("backend", Some(record.backend.as_bytes()), out);
    let server = (record.server != ServerLabel::None).then(|| server_name(record.server).as_bytes());
    text("server", server, out);
    let timers = &record.timers;
    for (name, value) in [
        ("time_handshake", timers.handshake),
        ("time_idle", timers.idle),
        ("time_request", timers.request),
        ("time_queue", timers.queue),
        ("time_connect", timers.connect),
        ("time_response", timers.response),
        ("time_total", timers.total),
    ] {
        integer(name, value, out);
    }
    key("status", out);
    match record.status {
        Some(status) => number(status, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b',');
    integer("bytes_read", record.bytes_read, out);
    integer("bytes_uploaded", record.bytes_uploaded, out);
    text("termination", Some(&[record.termination.cause as u8, record.termination.phase as u8]), out);
    integer("connections_process", record.connections.process, out);
    integer("connections_frontend", record.connections.frontend, out);
    integer("connections_backend", record.connections.backend, out);
    integer("connections_server", record.connections.server, out);
    integer("retries", record.retries, out);
    boolean("redispatched", record.redispatched, out);
    integer("server_queue", record.server_queue, out);
    integer("backend_queue", record.backend_queue, out);
    list("request_captures", record.request_captures, out);
    list("response_captures", record.response_captures, out);
    text("method", record.request.map(|request| request.method), out);
    text("uri", record.request.map(|request| request.uri), out);
    text("version", record.request.map(|request| request.version.as_bytes()), out);
    // Each field ends with a comma; the last one's closes the object.
    out.pop();
    out.push(b'}');
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn integer(name: &str, value: impl itoa::Integer, out: &mut Vec<u8>) {
    key(name, out);
    number(value, out);
    out.push(b',');
}

fn boolean(name: &str, value: bool, out: &mut Vec<u8>) {
    key(name, out);
    out.extend_from_slice(if value { b"true," } else { b"false," });
}

fn text(name: &str, value: Option<&[u8]>, out: &mut Vec<u8>) {
    key(name, out);
    string_or_null(value, out);
    out.push(b',');
}

fn list(name: &str, values: &[Option<Vec<u8>>], out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string_or_null(value.as_deref(), out);
    }
    out.extend_from_slice(b"],");
}

/// `"name":"127.0.0.1","name_port":80,`
fn address(name: &str, address: Option<SocketAddr>, out: &mut Vec<u8>) {
    key(name, out);
    match address {
        Some(address) => {
            out.push(b'"');
            ip(address.ip(), out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"_port\":");
    match address {
        Some(address) => number(address.port(), out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b',');
}

fn string_or_null(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(value) => string(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// RFC 8259 §7.
fn string(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        let mut rest = chunk.valid().as_bytes();
        while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)) {
            out.extend_from_slice(&rest[..at]);
            match rest[at] {
                byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
                byte => code_point(byte, out),
            }
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        for byte in chunk.invalid() {
            code_point(*byte, out);
        }
    }
    out.push(b'"');
}

fn code_point(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{RequestLine, samples};
    use super::*;

    fn parsed(record: &Record<'_>) -> Value {
        let mut out = Vec::new();
        json_line(record, &mut out);
        serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    }

    #[test]
    fn every_fact_has_its_name() {
        let mut value = parsed(&samples::http());
        let time = value["time"].take();
        assert!(time.as_str().unwrap().starts_with("2009-02-0"), "{time}");
        let expected = json!({
            "time": null, "mode": "http", "client": "10.0.1.2", "client_port": 33317, "local": "10.0.3.31",
            "local_port": 8012, "frontend": "http-in", "tls": false, "backend": "static", "server": "srv1",
            "time_handshake": 0, "time_idle": 0, "time_request": 10, "time_queue": 0, "time_connect": 30,
            "time_response": 69, "time_total": 109, "status": 200, "bytes_read": 2750, "bytes_uploaded": 77,
            "termination": "--", "connections_process": 1, "connections_frontend": 1, "connections_backend": 1,
            "connections_server": 1, "retries": 0, "redispatched": false, "server_queue": 0, "backend_queue": 0,
            "request_captures": ["1wt.eu"], "response_captures": [null], "method": "GET", "uri": "/index.html",
            "version": "HTTP/1.1",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn what_is_not_there_is_null() {
        let mut record = samples::tcp();
        record.client = None;
        record.server = ServerLabel::None;
        let value = parsed(&record);
        for name in ["client", "client_port", "server", "status", "method", "uri", "version"] {
            assert_eq!(value[name], Value::Null, "{name}");
        }
        assert_eq!((&value["mode"], &value["local"]), (&json!("tcp"), &json!("10.0.3.31")));
    }

    proptest! {
        #[test]
        fn any_bytes_give_valid_json_that_tells_them_apart(uri: Vec<u8>) {
            let mut record = samples::http();
            record.request = Some(RequestLine { method: b"GET", uri: &uri, version: "HTTP/1.1" });
            let value = parsed(&record);
            let expected: String = uri
                .utf8_chunks()
                .flat_map(|chunk| chunk.valid().chars().chain(chunk.invalid().iter().map(|byte| char::from(*byte))))
                .collect();
            prop_assert_eq!(value["uri"].as_str(), Some(expected.as_str()));
        }
    }
}
