//! How is HTTP spoken? Limits of HTTP/2 (`tune.h2.*`) and spellings for old applications (`h1-case-adjust`).

use std::sync::Arc;

use super::context::{Context, Section};
use crate::config::raw::{self, Proto};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::http::{ClientProtocol, HeaderCase, Http2Limits};
use crate::model::{Global, Mode};

/// RFC 9113 §6.5.2 and §6.9.1.
const LARGEST_WINDOW: u64 = (1 << 31) - 1;
const LEAST_FRAME: u64 = 16_384;
const LARGEST_FRAME: u64 = (1 << 24) - 1;
/// HAProxy's limit on `tune.h2.header-table-size`.
const LARGEST_HEADER_TABLE: u64 = 65_536;

/// Which side a connection is on: its own words count before those for both.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Clients,
    Servers,
}

pub(super) fn http2(context: &Context<'_>, side: Side) -> Http2Limits {
    let usual = match side {
        Side::Clients => Http2Limits::default(),
        Side::Servers => Http2Limits::of_servers(),
    };
    let Some(tune) = &context.raw.global.tune else { return usual };
    let size = |field: &str, size: &Option<raw::Size>, least: u64, most: u64| {
        let path = FieldPath::root().key("global").key("tune").key(field);
        let size = context.size(&path, size.as_ref()?)?.0;
        if !(least..=most).contains(&size) {
            context.error(&path, format!("`{field}` is {least} to {most} bytes, not {size}"));
            return None;
        }
        u32::try_from(size).ok()
    };
    // HAProxy: no limit.
    let count = |count: Option<u32>| count.map(|count| if count == 0 { i32::MAX as u32 } else { count });
    let own = match side {
        Side::Clients => Own {
            streams: count(tune.h2_fe_max_concurrent_streams),
            window: size("h2_fe_initial_window_size", &tune.h2_fe_initial_window_size, 0, LARGEST_WINDOW),
            rxbuf: size("h2_fe_rxbuf", &tune.h2_fe_rxbuf, LEAST_FRAME, LARGEST_WINDOW),
            total: tune.h2_fe_max_total_streams.filter(|most| *most > 0),
            glitches: tune.h2_fe_glitches_threshold,
        },
        Side::Servers => Own {
            streams: count(tune.h2_be_max_concurrent_streams),
            window: size("h2_be_initial_window_size", &tune.h2_be_initial_window_size, 0, LARGEST_WINDOW),
            rxbuf: size("h2_be_rxbuf", &tune.h2_be_rxbuf, LEAST_FRAME, LARGEST_WINDOW),
            total: None,
            glitches: tune.h2_be_glitches_threshold,
        },
    };
    let window = || size("h2_initial_window_size", &tune.h2_initial_window_size, 0, LARGEST_WINDOW);
    let streams = own.streams.or_else(|| count(tune.h2_max_concurrent_streams)).unwrap_or(usual.streams);
    let stream_window = own.window.or_else(window).unwrap_or(usual.stream_window);
    let connection_window = match side {
        Side::Clients => usual.connection_window,
        Side::Servers => Http2Limits::window_of_all(streams, stream_window),
    };
    Http2Limits {
        streams,
        stream_window,
        connection_window: own.rxbuf.unwrap_or(connection_window),
        frame: size("h2_max_frame_size", &tune.h2_max_frame_size, LEAST_FRAME, LARGEST_FRAME).unwrap_or(usual.frame),
        header_table: size("h2_header_table_size", &tune.h2_header_table_size, 0, LARGEST_HEADER_TABLE)
            .unwrap_or(usual.header_table),
        total_streams: own.total,
        // HAProxy: never. A peer that only keeps us busy has no claim to that; a large number is as good as none.
        glitches: own.glitches.map(|most| if most == 0 { u32::MAX } else { most }).unwrap_or(usual.glitches),
    }
}

/// What one side says for itself.
struct Own {
    streams: Option<u32>,
    window: Option<u32>,
    rxbuf: Option<u32>,
    total: Option<u32>,
    glitches: Option<u32>,
}

/// What is spoken on one `bind` line.
pub(super) fn client_protocol(
    context: &Context<'_>,
    section: &Section<'_>,
    path: &FieldPath,
    bind: &raw::Bind,
) -> ClientProtocol {
    if section.mode == Mode::Tcp && bind.proto.is_some() {
        let told = Diagnostic::error("`proto` says how HTTP is spoken; this is mode tcp");
        context.tell(&path.key("proto"), told.hint("remove it, or write `mode http`"));
    }
    match bind.proto {
        Some(Proto::H1) => ClientProtocol::Http1,
        Some(Proto::H2) => ClientProtocol::Http2,
        None if section.layers.value(|proxy| proxy.disable_h2_upgrade.as_ref()) == Some(true) => {
            ClientProtocol::Negotiated
        }
        None => ClientProtocol::Detected,
    }
}

/// The spellings of `global`, those of its file included. `None` without any.
pub(super) fn header_case(context: &Context<'_>) -> Option<Arc<HeaderCase>> {
    let raw = &context.raw.global;
    let mut spellings = HeaderCase::default();
    let path = FieldPath::root().key("global").key("h1_case_adjust");
    for (from, to) in &raw.h1_case_adjust {
        if let Err(told) = add(&mut spellings, from, to) {
            context.error(&path.key(from.clone()), told);
        }
    }
    if let Some(file) = &raw.h1_case_adjust_file {
        let path = FieldPath::root().key("global").key("h1_case_adjust_file");
        match std::fs::read_to_string(file) {
            Ok(text) => {
                for (index, told) in read_spellings(&text, &mut spellings) {
                    context.error(&path, format!("{}:{index}: {told}", file.display()));
                }
            }
            Err(error) => context.error(&path, format!("cannot read `{}`: {error}", file.display())),
        }
    }
    (!spellings.is_empty()).then(|| Arc::new(spellings))
}

/// Lines of two words; empty ones and those behind `#` are skipped. Returns what is wrong, by line from 1.
fn read_spellings(text: &str, spellings: &mut HeaderCase) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let added = match (words.next(), words.next(), words.next()) {
            (None, ..) => Ok(()),
            (Some(from), Some(to), None) => add(spellings, from, to),
            _ => Err("a line is a field name in lower case and its spelling".to_owned()),
        };
        wrong.extend(added.err().map(|told| (index + 1, told)));
    }
    wrong
}

fn add(spellings: &mut HeaderCase, from: &str, to: &str) -> Result<(), String> {
    let token = |name: &str| !name.is_empty() && name.bytes().all(is_token_byte);
    if from.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("`{from}` must be in lower case"));
    }
    if !token(from) || !token(to) {
        return Err(format!("`{}` is no field name", if token(from) { to } else { from }));
    }
    if spellings.contains(from) {
        return Err(format!("`{from}` has a spelling already"));
    }
    if !spellings.add(from, to) {
        return Err(format!("`{from}` and `{to}` differ in more than case"));
    }
    Ok(())
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The spellings, for a proxy that asks for them.
pub(super) fn wanted_case(
    section: &Section<'_>,
    global: &Global,
    asked: impl Fn(&raw::Proxy) -> Option<&bool>,
) -> Option<Arc<HeaderCase>> {
    let wanted = section.layers.value(asked) == Some(true);
    global.header_case.clone().filter(|_| wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) -> HeaderCase {
        let mut spellings = HeaderCase::default();
        let wrong: Vec<String> =
            read_spellings(text, &mut spellings).into_iter().map(|(line, told)| format!("{line}: {told}")).collect();
        assert_eq!(wrong, expected);
        spellings
    }

    #[test]
    fn a_file_of_spellings_has_two_words_a_line() {
        let read = check("# old\n\ncontent-length Content-Length\nx-id\tX-ID # for the mainframe\n", &[]);
        assert_eq!(read.spelling(b"CONTENT-length"), Some(&b"Content-Length"[..]));
        assert_eq!(read.spelling(b"x-id"), Some(&b"X-ID"[..]));
        assert_eq!(read.spelling(b"x-other"), None);
        check("x-a", &["1: a line is a field name in lower case and its spelling"]);
        check("x-a X-B", &["1: `x-a` and `X-B` differ in more than case"]);
        check("X-a X-A", &["1: `X-a` must be in lower case"]);
        check("x-a X-A\nx-a x-A", &["2: `x-a` has a spelling already"]);
        check("x:a X:a", &["1: `x:a` is no field name"]);
    }
}
