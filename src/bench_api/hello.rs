//! Does rustls, which would terminate it, read the same name out of a ClientHello as we do? A route chosen by another name
//! than the server behind serves is a way around rules.

use crate::wire::client_hello::ClientHello;

pub(super) fn against_rustls(bytes: &[u8], ours: &ClientHello) {
    // rustls leaves out what is no name of the DNS, an address for one; what it takes we must have read as well.
    let Some(theirs) = by_rustls(bytes) else { return };
    let ours = ours.server_name.as_deref().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
    let without_dot = |name: &str| name.trim_end_matches('.').to_owned();
    assert_eq!(ours.as_deref().map(without_dot), Some(without_dot(&theirs)));
}

/// The name asked for, where rustls takes the hello and finds one.
fn by_rustls(mut bytes: &[u8]) -> Option<String> {
    let mut acceptor = rustls::server::Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            return accepted.client_hello().server_name().map(str::to_ascii_lowercase);
        }
    }
    None
}
