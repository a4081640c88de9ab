//! What does a format string say about this request? (HAProxy manual 8.2.6)

use std::net::SocketAddr;

use super::value::{push_ip, push_number};
use super::{Context, eval};
use crate::model::rule::{Format, FormatPart, FormatVariable};

/// Appends the text. What is not there is left out. Control bytes of values become `%XX`, so that nobody can end a line
/// by what he sends (run against HAProxy 2.6).
pub(crate) fn format(format: &Format, context: &Context<'_>, out: &mut Vec<u8>) {
    format_with(push_encoded, format, context, out);
}

/// The same for who takes any bytes as they are.
pub(crate) fn format_bytes(format: &Format, context: &Context<'_>, out: &mut Vec<u8>) {
    format_with(|value, out| out.extend_from_slice(value), format, context, out);
}

fn format_with(push: fn(&[u8], &mut Vec<u8>), format: &Format, context: &Context<'_>, out: &mut Vec<u8>) {
    for part in &format.parts {
        match part {
            FormatPart::Text(text) => out.extend_from_slice(text.as_bytes()),
            FormatPart::Expr(expr) => {
                if let Some(value) = eval(expr, context) {
                    push(&value.into_bytes(), out);
                }
            }
            FormatPart::Variable(variable) => push_variable(*variable, context, out),
        }
    }
}

fn push_variable(variable: FormatVariable, context: &Context<'_>, out: &mut Vec<u8>) {
    let facts = context.facts;
    let target = || context.request.map(|head| head.target()).unwrap_or_default();
    let query_at = |target: &[u8]| memchr::memchr(b'?', target).unwrap_or(target.len());
    match variable {
        FormatVariable::ClientIp => push_host(facts.src, out),
        FormatVariable::ClientPort => push_number(facts.src.map_or(0, |address| address.port()), out),
        FormatVariable::FrontendIp => push_host(facts.dst, out),
        FormatVariable::FrontendPort => push_number(facts.dst.map_or(0, |address| address.port()), out),
        FormatVariable::FrontendName => out.extend_from_slice(facts.frontend.as_bytes()),
        FormatVariable::BackendName => out.extend_from_slice(facts.backend.unwrap_or(facts.frontend).as_bytes()),
        FormatVariable::ServerName => out.extend_from_slice(facts.server.unwrap_or("<NOSRV>").as_bytes()),
        FormatVariable::Method => push_encoded(context.request.map(|head| head.method()).unwrap_or_default(), out),
        FormatVariable::Path => push_encoded(&target()[..query_at(target())], out),
        FormatVariable::Uri => push_encoded(target(), out),
        FormatVariable::Query => push_encoded(&target()[query_at(target())..], out),
        FormatVariable::Version => {
            out.extend_from_slice(context.request.map_or("", |head| head.version().as_str()).as_bytes());
        }
        FormatVariable::UniqueId => push_encoded(facts.unique_id.unwrap_or_default().as_bytes(), out),
        FormatVariable::Hostname => out.extend_from_slice(facts.hostname.as_bytes()),
        FormatVariable::Pid => push_number(facts.pid, out),
    }
}

fn push_host(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address {
        Some(address) => push_ip(address.ip(), out),
        None => out.extend_from_slice(b"unix"),
    }
}

fn push_encoded(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte.is_ascii_control()) {
        let byte = rest[at];
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
