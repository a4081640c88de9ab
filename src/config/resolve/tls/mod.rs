//! With which certificates, versions and names is TLS spoken, to clients and to servers? (manual 5.1, 5.2, `ssl …`)

mod ciphers;
mod client;
mod crt_list;
mod server;
mod terms;
mod tickets;
mod versions;

use std::path::PathBuf;
use std::sync::Arc;

use super::context::{Context, Section};
use crate::config::raw::{self, OneOrMany, Proto};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::tls::{ListenerTls, Served};

pub(super) use self::server::{check, check_protocol, server, server_protocol};
use self::versions::versions;

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// TLS of one `bind` line; `None` when it has none, or after an error was told.
pub(super) fn listener(
    context: &Context<'_>,
    section: &Section<'_>,
    path: &FieldPath,
    bind: &raw::Bind,
) -> Option<Arc<ListenerTls>> {
    let said = [("crt", &bind.crt), ("crt_list", &bind.crt_list), ("default_crt", &bind.default_crt)];
    let said_first = said.iter().find(|(_, files)| !files.is_empty()).map(|(field, _)| *field);
    if bind.ssl != Some(true) {
        if let Some(field) = said_first {
            let told = format!("`{field}` does nothing without `ssl`: this address speaks plain text");
            let told = Diagnostic::warning(told).code("crt-without-ssl");
            context.tell(&path.key(field), told.hint(format!("add `ssl`, or remove `{field}`")));
        }
        return None;
    }
    if said_first.is_none() {
        let told = Diagnostic::error("TLS needs a certificate");
        context.tell(&path.key("ssl"), told.hint("add `crt` with a PEM file that holds certificate and key"));
        return None;
    }
    let mut certificates = Vec::new();
    for (file, path) in files(path, "default_crt", &bind.default_crt) {
        let marked = |certificate| Served { is_default: true, ..Served::from(certificate) };
        certificates.extend(context.certificates(&path, file).into_iter().map(marked));
    }
    for (file, path) in files(path, "crt", &bind.crt) {
        certificates.extend(context.certificates(&path, file).into_iter().map(Served::from));
    }
    for (file, path) in files(path, "crt_list", &bind.crt_list) {
        certificates.extend(crt_list::resolve(context, section, &path, file, bind));
    }
    let terms = terms::resolve(context, section, path, bind);
    let tickets = tickets::resolve(context, path, bind);
    let (terms, tickets) = (Arc::new(terms?), tickets?);
    if certificates.is_empty() {
        return None; // the errors were told
    }
    let strict_sni = bind.strict_sni.unwrap_or(false);
    Some(Arc::new(ListenerTls { certificates, strict_sni, terms, tickets }))
}

/// Each file with the place where it was named.
fn files<'a>(
    path: &FieldPath,
    field: &'static str,
    list: &'a OneOrMany<PathBuf>,
) -> impl Iterator<Item = (&'a PathBuf, FieldPath)> {
    let path = path.key(field);
    let alone = list.as_slice().len() == 1;
    let place = move |index| if alone { path.clone() } else { path.index(index) };
    list.as_slice().iter().enumerate().map(move |(index, file)| (file, place(index)))
}

fn global_path(field: &str) -> FieldPath {
    FieldPath::root().key("global").key(field)
}

/// What is offered and spoken: `proto` decides, so nothing else may be agreed on (RFC 7301 §3.2).
fn spoken(context: &Context<'_>, path: &FieldPath, list: &OneOrMany<String>, proto: Option<Proto>) -> Vec<Vec<u8>> {
    let mut offered = protocols(context, path, list);
    let (other, told) = match proto {
        Some(Proto::H1) => (HTTP2, "`proto h1` speaks HTTP/1 only; `h2` is not offered"),
        Some(Proto::H2) => (HTTP1, "`proto h2` speaks HTTP/2 only; `http/1.1` is not offered"),
        None => return offered,
    };
    let before = offered.len();
    offered.retain(|name| name != other);
    if offered.len() < before {
        context.warn(path, "alpn-against-proto", told);
    }
    offered
}

/// ALPN names, each text a list with commas (RFC 7301 §3.1: 1 to 255 bytes each).
fn protocols(context: &Context<'_>, path: &FieldPath, list: &OneOrMany<String>) -> Vec<Vec<u8>> {
    let names = list.as_slice().iter().flat_map(|text| text.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let (right, long): (Vec<&str>, Vec<&str>) = names.partition(|name| name.len() <= 255);
    for name in long {
        context.error(path, format!("an ALPN name has at most 255 bytes, this one {}", name.len()));
    }
    right.into_iter().map(|name| name.as_bytes().to_vec()).collect()
}
