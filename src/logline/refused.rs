//! The line about a connection that came to nothing before its protocol began (HAProxy manual 8.2.6, error log format).

use std::net::SocketAddr;
use std::time::SystemTime;

use super::render::{address, local_date};

/// `127.0.0.1:40218 [08/Oct/2026:10:11:12.345] web/1: SSL handshake failure: …`
pub(crate) fn render_refused(
    client: Option<SocketAddr>,
    at: SystemTime,
    frontend: &str,
    listener: &str,
    what: &str,
    out: &mut Vec<u8>,
) {
    address(client, 0, out);
    out.extend_from_slice(b" [");
    local_date(at, out);
    out.extend_from_slice(b"] ");
    for part in [frontend, "/", listener, ": ", what] {
        out.extend_from_slice(part.as_bytes());
    }
}
