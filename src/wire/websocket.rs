//! The two fields by which HTTP/1 switches to WebSocket (RFC 6455 §4), for clients whose HTTP/2 has none (RFC 8441).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a key before encoding (§4.1).
pub(crate) const KEY_LEN: usize = 16;

/// `Sec-WebSocket-Key`, from random bytes.
pub(crate) fn key(random: [u8; KEY_LEN]) -> String {
    STANDARD.encode(random)
}

/// The `Sec-WebSocket-Accept` that answers this key (§4.2.2).
pub(crate) fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.trim_ascii());
    context.update(GUID);
    STANDARD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(key([0; KEY_LEN]).len(), 24);
    }
}
