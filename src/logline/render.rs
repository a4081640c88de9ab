//! HAProxy's three traffic lines, byte for byte (manual 8.2.1 to 8.2.3; compared with HAProxy 2.6).
//!
//! This runs once a request: numbers go through itoa, the date's text is kept for its second, nothing is allocated.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::date::{DateCache, DateStyle};
use super::{Record, ServerLabel, json};
use crate::model::Mode;
use crate::model::log::LogFormat;
use crate::sys;

/// Appends one line, without its end.
pub(crate) fn render(format: LogFormat, record: &Record<'_>, out: &mut Vec<u8>) {
    match format {
        LogFormat::Connect => connect_line(record, out),
        LogFormat::Tcp => tcp_line(record, out),
        LogFormat::Http => http_line(record, out),
        LogFormat::Json => json::json_line(record, out),
    }
}

/// `Connect from 10.0.1.2:33312 to 10.0.3.31:8012 (www/HTTP)`; unix socket clients have no address to come from.
fn connect_line(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Connect ");
    if record.client.is_some() {
        out.extend_from_slice(b"from ");
        address(record.client, record.listener, out);
        out.push(b' ');
    }
    out.extend_from_slice(b"to ");
    address(record.local, record.listener, out);
    out.extend_from_slice(b" (");
    out.extend_from_slice(record.frontend.as_bytes());
    out.extend_from_slice(match record.mode {
        Mode::Tcp => b"/TCP)",
        Mode::Http => b"/HTTP)",
    });
}

/// `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`
fn tcp_line(record: &Record<'_>, out: &mut Vec<u8>) {
    start(record, out);
    let timers = &record.timers;
    slashed([timers.queue, timers.connect, timers.total], out);
    out.push(b' ');
    number(record.bytes_read, out);
    out.extend_from_slice(&[b' ', record.termination.cause as u8, record.termination.phase as u8, b' ']);
    counts(record, out);
}

/// `%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r`
fn http_line(record: &Record<'_>, out: &mut Vec<u8>) {
    start(record, out);
    let timers = &record.timers;
    slashed([timers.request, timers.queue, timers.connect, timers.response, timers.total], out);
    out.push(b' ');
    match record.status {
        Some(status) => number(status, out),
        None => out.extend_from_slice(b"-1"),
    }
    out.push(b' ');
    number(record.bytes_read, out);
    out.extend_from_slice(b" - - ");
    out.extend_from_slice(&[record.termination.cause as u8, record.termination.phase as u8]);
    out.extend_from_slice(b"-- ");
    counts(record, out);
    let Some(request) = &record.request else {
        // Nothing was captured of what could not be read, so there are no braces either.
        return out.extend_from_slice(b" \"<BADREQ>\"");
    };
    captures(record.request_captures, out);
    captures(record.response_captures, out);
    out.extend_from_slice(b" \"");
    escaped(request.method, is_plain, out);
    out.push(b' ');
    escaped(request.uri, is_plain, out);
    out.push(b' ');
    out.extend_from_slice(request.version.as_bytes());
    out.push(b'"');
}

/// What both lines begin with, up to the server's name and a space.
fn start(record: &Record<'_>, out: &mut Vec<u8>) {
    address(record.client, record.listener, out);
    out.extend_from_slice(b" [");
    local_date(record.accepted_at, out);
    out.extend_from_slice(b"] ");
    out.extend_from_slice(record.frontend.as_bytes());
    out.extend_from_slice(if record.tls { b"~ " } else { b" " });
    out.extend_from_slice(record.backend.as_bytes());
    out.push(b'/');
    out.extend_from_slice(server_name(record.server).as_bytes());
    out.push(b' ');
}

pub(super) fn server_name<'a>(label: ServerLabel<'a>) -> &'a str {
    match label {
        ServerLabel::Server(name) => name,
        ServerLabel::None => "<NOSRV>",
        ServerLabel::Stats => "<STATS>",
    }
}

/// `ac/fc/bc/sc/rc sq/bq`
fn counts(record: &Record<'_>, out: &mut Vec<u8>) {
    let connections = &record.connections;
    slashed([connections.process, connections.frontend, connections.backend, connections.server], out);
    out.extend_from_slice(if record.redispatched { b"/+" } else { b"/" });
    number(record.retries, out);
    out.push(b' ');
    slashed([record.server_queue, record.backend_queue], out);
}

/// ` {a|b}`, or nothing when nothing is to be captured (manual 8.8).
fn captures(values: &[Option<Vec<u8>>], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    out.extend_from_slice(b" {");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b'|');
        }
        escaped(value.as_deref().unwrap_or_default(), |byte| is_plain(byte) && !b"{|}".contains(&byte), out);
    }
    out.push(b'}');
}

/// What a log line may hold as it is (manual 8.6).
fn is_plain(byte: u8) -> bool {
    matches!(byte, 32..=126) && byte != b'#' && byte != b'"'
}

/// Copies, with `#XX` for each byte that is not plain.
fn escaped(text: &[u8], plain: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| !plain(*byte)) {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        out.extend_from_slice(&[b'#', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// `127.0.0.1:80`, `::1:80`, or `unix:` and the listener's number.
pub(super) fn address(address: Option<SocketAddr>, listener: u32, out: &mut Vec<u8>) {
    match address {
        Some(address) => {
            ip(address.ip(), out);
            out.push(b':');
            number(address.port(), out);
        }
        None => {
            out.extend_from_slice(b"unix:");
            number(listener, out);
        }
    }
}

/// IPv6 without brackets; IPv4 octet by octet, which is several times faster than `Display`.
pub(crate) fn ip(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(octet, out);
            }
        }
        IpAddr::V6(address) => {
            use std::io::Write;
            // A Vec takes all that is written.
            let _ = write!(out, "{address}");
        }
    }
}

pub(super) fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn slashed<const N: usize>(numbers: [impl itoa::Integer; N], out: &mut Vec<u8>) {
    for (index, value) in numbers.into_iter().enumerate() {
        if index > 0 {
            out.push(b'/');
        }
        number(value, out);
    }
}

pub(super) fn local_date(at: SystemTime, out: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<DateCache> = const { RefCell::new(DateCache::new(DateStyle::Log)) };
    }
    DATE.with_borrow_mut(|date| date.append(at, sys::local_offset, out));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::samples;
    use super::*;
    use crate::logline::{Cause, ConnectionCounts, Phase, RequestLine, Termination, Timers};

    #[track_caller]
    fn check(format: LogFormat, record: &Record<'_>, expected: &str) {
        let mut out = Vec::new();
        render(format, record, &mut out);
        let line = String::from_utf8_lossy(&out);
        // The date depends on the machine's zone: its text is tested where it is made.
        let mut date = vec![b'['];
        local_date(record.accepted_at, &mut date);
        assert_eq!(line.replace(&*String::from_utf8_lossy(&date), "[DATE"), expected);
    }

    fn termination(cause: Cause, phase: Phase) -> Termination {
        Termination { cause, phase }
    }

    #[test]
    fn http_lines_as_haproxy_prints_them() {
        let mut record = samples::http();
        check(
            LogFormat::Http,
            &record,
            "10.0.1.2:33317 [DATE] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} \
             \"GET /index.html HTTP/1.1\"",
        );
        record.tls = true;
        record.request_captures = &[];
        record.response_captures = &[];
        record.redispatched = true;
        record.retries = 3;
        record.server_queue = 4;
        record.backend_queue = 9;
        check(
            LogFormat::Http,
            &record,
            "10.0.1.2:33317 [DATE] http-in~ static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/+3 4/9 \
             \"GET /index.html HTTP/1.1\"",
        );
    }

    #[test]
    fn requests_that_never_reached_a_server() {
        let mut record = samples::http();
        record.request = None;
        record.status = Some(400);
        record.bytes_read = 0;
        record.server = ServerLabel::None;
        record.backend = "http-in";
        record.timers = Timers::default();
        record.termination = termination(Cause::Proxy, Phase::Request);
        record.connections = ConnectionCounts { process: 1, frontend: 1, ..ConnectionCounts::default() };
        check(
            LogFormat::Http,
            &record,
            "10.0.1.2:33317 [DATE] http-in http-in/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
        );
        record.status = None;
        record.termination = termination(Cause::ClientTimeout, Phase::Request);
        record.client = "[2001:db8::1]:443".parse().ok();
        check(
            LogFormat::Http,
            &record,
            "2001:db8::1:443 [DATE] http-in http-in/<NOSRV> -1/-1/-1/-1/0 -1 0 - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
        );
        record.client = None;
        record.status = Some(200);
        record.server = ServerLabel::Stats;
        record.termination = termination(Cause::Local, Phase::Request);
        record.request = Some(RequestLine { method: b"GET", uri: b"/st", version: "HTTP/1.1" });
        record.request_captures = &[None, None];
        check(
            LogFormat::Http,
            &record,
            "unix:2 [DATE] http-in http-in/<STATS> -1/-1/-1/-1/0 200 0 - - LR-- 1/1/0/0/0 0/0 {|} {} \
             \"GET /st HTTP/1.1\"",
        );
    }

    #[test]
    fn tcp_lines_as_haproxy_prints_them() {
        let mut record = samples::tcp();
        check(LogFormat::Tcp, &record, "10.0.1.2:33313 [DATE] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0");
        record.timers = Timers { queue: 1, connect: -1, total: 3004, ..Timers::default() };
        record.termination = termination(Cause::Server, Phase::Connect);
        check(LogFormat::Tcp, &record, "10.0.1.2:33313 [DATE] fnt bck/srv1 1/-1/3004 212 SC 0/0/0/0/3 0/0");
    }

    #[test]
    fn the_default_line_tells_both_addresses() {
        check(LogFormat::Connect, &samples::http(), "Connect from 10.0.1.2:33317 to 10.0.3.31:8012 (http-in/HTTP)");
        check(LogFormat::Connect, &samples::tcp(), "Connect from 10.0.1.2:33313 to 10.0.3.31:8012 (fnt/TCP)");
        let mut record = samples::tcp();
        record.client = None;
        record.local = None;
        check(LogFormat::Connect, &record, "Connect to unix:2 (fnt/TCP)");
    }

    #[track_caller]
    fn check_escapes(uri: &[u8], capture: &[u8], expected_uri: &str, expected_capture: &str) {
        let mut record = samples::http();
        let captures = [Some(capture.to_vec())];
        record.request_captures = &captures;
        record.request = Some(RequestLine { method: b"GET", uri, version: "HTTP/1.1" });
        let mut out = Vec::new();
        render(LogFormat::Http, &record, &mut out);
        let line = String::from_utf8(out).unwrap();
        assert!(line.ends_with(&format!(" {{{expected_capture}}} {{}} \"GET {expected_uri} HTTP/1.1\"")), "{line}");
    }

    #[test]
    fn what_could_confuse_a_reader_is_written_in_hexadecimal() {
        check_escapes(b"/\"", b"a\"b#c", "/#22", "a#22b#23c");
        check_escapes(b"/#", b"{|}", "/#23", "#7B#7C#7D");
        check_escapes(b"/{|}", b"[]~`^\\", "/{|}", "[]~`^\\");
        check_escapes(b"/\\[]~`^<>'", b"<> x", "/\\[]~`^<>'", "<> x");
        check_escapes(b"/\xc3\xa9", b"\xc3\xa9", "/#C3#A9", "#C3#A9");
        check_escapes(b"/\x00\n", b"\x7f\x01\t", "/#00#0A", "#7F#01#09");
    }

    #[test]
    fn dates_stand_in_brackets() {
        let mut record = samples::tcp();
        record.accepted_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_172_508_074);
        let mut out = Vec::new();
        render(LogFormat::Tcp, &record, &mut out);
        let line = String::from_utf8(out).unwrap();
        let date = &line[line.find('[').unwrap()..=line.find(']').unwrap()];
        assert_eq!(date.len(), "[20/Nov/2026:11:01:48.074]".len());
        assert!(date.ends_with(":48.074]") && date.contains("/Nov/2026:"), "{date}");
    }
}
