//! With which certificates, versions and names is TLS spoken, to clients and to servers? (manual 5.1, 5.2, `ssl …`)

use std::path::Path;
use std::sync::Arc;

use super::context::{Context, SYSTEM_AUTHORITIES, Section};
use super::server::ServerLayers;
use crate::config::raw::{self, SslDefaults, Verify};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::Mode;
use crate::model::tls::{ListenerTls, ServerSni, ServerTls, ServerVerify, TlsVersion};

/// What an HTTP listener offers unless said, as HAProxy does since 2.8.
const USUAL_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of one `bind` line; `None` when it has none, or after an error was told.
pub(super) fn listener(
    context: &Context<'_>,
    section: &Section<'_>,
    path: &FieldPath,
    bind: &raw::Bind,
) -> Option<Arc<ListenerTls>> {
    let files = bind.crt.as_slice();
    if bind.ssl != Some(true) {
        if !files.is_empty() {
            let told = Diagnostic::warning("`crt` does nothing without `ssl`: this address speaks plain text");
            context.tell(&path.key("crt"), told.code("crt-without-ssl").hint("add `ssl`, or remove `crt`"));
        }
        return None;
    }
    if files.is_empty() {
        let told = Diagnostic::error("TLS needs a certificate");
        context.tell(&path.key("ssl"), told.hint("add `crt` with a PEM file that holds certificate and key"));
        return None;
    }
    let crt = path.key("crt");
    let mut certificates = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let path = if files.len() == 1 { crt.clone() } else { crt.index(index) };
        certificates.extend(context.certificates(&path, file));
    }
    let defaults = context.raw.global.ssl_default_bind.as_ref();
    let (min_version, max_version) =
        versions(context, path, [&bind.ssl_min_ver, &bind.ssl_max_ver], "ssl_default_bind", defaults)?;
    let alpn = match (&bind.alpn, section.mode) {
        (Some(list), _) => protocols(context, &path.key("alpn"), list),
        (None, Mode::Http) => USUAL_ALPN.iter().map(|protocol| protocol.to_vec()).collect(),
        (None, Mode::Tcp) => Vec::new(),
    };
    if certificates.is_empty() {
        return None; // the errors were told
    }
    let strict_sni = bind.strict_sni.unwrap_or(false);
    Some(Arc::new(ListenerTls { certificates, strict_sni, alpn, min_version, max_version }))
}

/// TLS towards a server. `None` when it speaks plain text, or after an error was told.
pub(super) fn server(context: &Context<'_>, server: &ServerLayers<'_>) -> Option<Arc<ServerTls>> {
    if server.value(|server| server.ssl.as_ref()) != Some(true) {
        return None;
    }
    let alpn = server.said("alpn", |server| server.alpn.as_ref());
    let alpn = alpn.map(|(list, path)| server_protocols(context, &path, list)).unwrap_or_default();
    let sni = server.said("sni", |server| server.sni.as_ref());
    let sni = match sni {
        Some((text, path)) => Some(sni_of(context, &path, text)?),
        None => None,
    };
    settings(context, server, sni, alpn)
}

/// TLS of a server's checks: its own names and protocols, the rest as the server's (manual 5.2 `check-ssl`).
/// A fixed SNI of the server is used unless `check_sni` says else, where HAProxy would send none: a server that needs
/// a name needs it from checks too.
pub(super) fn check(context: &Context<'_>, server: &ServerLayers<'_>) -> Option<Arc<ServerTls>> {
    let sni = match server.said("check_sni", |server| server.check_sni.as_ref()) {
        Some((name, _)) => Some(ServerSni::Fixed(name.clone())),
        None => match server.said("sni", |server| server.sni.as_ref()).map(|(text, _)| read_sni(text)) {
            Some(Some(ServerSni::Fixed(name))) => Some(ServerSni::Fixed(name)),
            _ => None,
        },
    };
    let alpn = server.said("check_alpn", |server| server.check_alpn.as_ref());
    let alpn = alpn.map(|(list, path)| server_protocols(context, &path, list)).unwrap_or_default();
    settings(context, server, sni, alpn)
}

fn settings(
    context: &Context<'_>,
    server: &ServerLayers<'_>,
    sni: Option<ServerSni>,
    alpn: Vec<Vec<u8>>,
) -> Option<Arc<ServerTls>> {
    let verify = match server.value(|server| server.verify.as_ref()) {
        Some(Verify::None) => ServerVerify::None,
        Some(Verify::Required) | None => {
            let (file, path) = match server.said("ca_file", |server| server.ca_file.as_ref()) {
                Some((file, path)) => (file.as_path(), path),
                None => (Path::new(SYSTEM_AUTHORITIES), server.path().key("ssl")),
            };
            ServerVerify::Required(context.authorities(&path, file)?)
        }
    };
    let defaults = context.raw.global.ssl_default_server.as_ref();
    let min = server.said("ssl_min_ver", |server| server.ssl_min_ver.as_ref()).map(|(text, _)| text.clone());
    let max = server.said("ssl_max_ver", |server| server.ssl_max_ver.as_ref()).map(|(text, _)| text.clone());
    let (min_version, max_version) = versions(context, server.path(), [&min, &max], "ssl_default_server", defaults)?;
    let certificate = match server.said("crt", |server| server.crt.as_ref()) {
        Some((file, path)) => Some(context.certificates(&path, file).into_iter().next()?),
        None => None,
    };
    let verify_host = server.said("verifyhost", |server| server.verifyhost.as_ref()).map(|(name, _)| name.clone());
    Some(Arc::new(ServerTls { verify, sni, verify_host, alpn, min_version, max_version, certificate }))
}

fn sni_of(context: &Context<'_>, path: &FieldPath, text: &str) -> Option<ServerSni> {
    let sni = read_sni(text);
    if sni.is_none() {
        let told = Diagnostic::error(format!("`{text}` as server name is not built yet"));
        context.tell(path, told.hint("built are `str(name)` and `req.hdr(host)`"));
    }
    sni
}

/// A plain name, `str(name)`, or the request's Host.
fn read_sni(text: &str) -> Option<ServerSni> {
    let inside = |fetch: &str| text.strip_prefix(fetch)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(name) = inside("str") {
        return Some(ServerSni::Fixed(name.to_owned()));
    }
    if let Some(field) = inside("req.hdr").or_else(|| inside("hdr")) {
        return field.eq_ignore_ascii_case("host").then_some(ServerSni::RequestHost);
    }
    let name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    (!text.is_empty() && text.chars().all(name) && text.contains('.')).then(|| ServerSni::Fixed(text.to_owned()))
}

/// A comma-separated list of ALPN names (RFC 7301 §3.1: 1 to 255 bytes each).
fn protocols(context: &Context<'_>, path: &FieldPath, list: &str) -> Vec<Vec<u8>> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let (right, long): (Vec<&str>, Vec<&str>) = names.partition(|name| name.len() <= 255);
    for name in long {
        context.error(path, format!("an ALPN name has at most 255 bytes, this one {}", name.len()));
    }
    right.into_iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// HTTP/2 is not spoken to servers; offering it would let the server choose it.
fn server_protocols(context: &Context<'_>, path: &FieldPath, list: &str) -> Vec<Vec<u8>> {
    let mut offered = protocols(context, path, list);
    let before = offered.len();
    offered.retain(|name| name != b"h2");
    if offered.len() < before {
        context.warn(path, "h2-to-server", "HTTP/2 to servers is not built yet; `h2` is not offered to this one");
    }
    offered
}

/// From the line itself, else from `global`, else everything this proxy can: TLS 1.2 and 1.3.
fn versions(
    context: &Context<'_>,
    path: &FieldPath,
    [min, max]: [&Option<String>; 2],
    global: &str,
    defaults: Option<&SslDefaults>,
) -> Option<(TlsVersion, TlsVersion)> {
    let global = FieldPath::root().key("global").key(global);
    let find = |field: &str, own: &Option<String>, default: Option<&String>| match (own, default) {
        (Some(text), _) => Some((text.clone(), path.key(field))),
        (None, Some(text)) => Some((text.clone(), global.key(field))),
        (None, None) => None,
    };
    let (mut least, mut most) = (TlsVersion::Tls12, TlsVersion::Tls13);
    if let Some((text, path)) = find("ssl_min_ver", min, defaults.and_then(|it| it.ssl_min_ver.as_ref())) {
        match version(&text) {
            Some(Version::Spoken(version)) => least = version,
            Some(Version::Older) => context.warn(
                &path,
                "old-tls-version",
                format!("{text} is not spoken any more; clients need at least TLSv1.2"),
            ),
            None => unknown_version(context, &path, &text),
        }
    }
    if let Some((text, path)) = find("ssl_max_ver", max, defaults.and_then(|it| it.ssl_max_ver.as_ref())) {
        match version(&text) {
            Some(Version::Spoken(version)) => most = version,
            Some(Version::Older) => {
                context.error(&path, format!("at most {text} leaves nothing: TLSv1.2 and TLSv1.3 are spoken"));
            }
            None => unknown_version(context, &path, &text),
        }
    }
    if least > most {
        context.error(path, "the lowest TLS version is above the highest");
        return None;
    }
    Some((least, most))
}

enum Version {
    Spoken(TlsVersion),
    /// SSLv3 to TLSv1.1: known, refused by rustls for good reason.
    Older,
}

fn version(text: &str) -> Option<Version> {
    match text {
        "TLSv1.3" => Some(Version::Spoken(TlsVersion::Tls13)),
        "TLSv1.2" => Some(Version::Spoken(TlsVersion::Tls12)),
        "SSLv3" | "TLSv1.0" | "TLSv1.1" => Some(Version::Older),
        _ => None,
    }
}

fn unknown_version(context: &Context<'_>, path: &FieldPath, text: &str) {
    let told = Diagnostic::error(format!("`{text}` is no TLS version; TLSv1.2 and TLSv1.3 are spoken"));
    context.tell(path, told.suggest(text, ["TLSv1.2", "TLSv1.3"]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_sni(text: &str, expected: Option<ServerSni>) {
        assert_eq!(read_sni(text), expected, "{text}");
    }

    #[test]
    fn reads_server_names() {
        check_sni("str(app.test)", Some(ServerSni::Fixed("app.test".to_owned())));
        check_sni("app.test", Some(ServerSni::Fixed("app.test".to_owned())));
        check_sni("req.hdr(host)", Some(ServerSni::RequestHost));
        check_sni("hdr(Host)", Some(ServerSni::RequestHost));
        check_sni("req.hdr(x-name)", None);
        check_sni("ssl_fc_sni", None);
        check_sni("", None);
    }
}
