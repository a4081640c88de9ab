//! How is TLS spoken to a server, and whom do we take it for? (manual 5.2)

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::super::context::{Context, SYSTEM_AUTHORITIES};
use super::super::server::ServerLayers;
use super::ciphers::{self, Wanted};
use super::{HTTP2, global_path, spoken, versions};
use crate::config::raw::{self, OneOrMany, Proto, SslDefaults, Verify};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::http::ServerProtocol;
use crate::model::tls::{OwnCertificate, ServerSni, ServerTls, ServerVerify};

/// TLS towards a server. `None` when it speaks plain text, or after an error was told.
pub(in crate::config::resolve) fn server(context: &Context<'_>, server: &ServerLayers<'_>) -> Option<Arc<ServerTls>> {
    if server.value(|server| server.ssl.as_ref()) != Some(true) {
        return None;
    }
    let alpn = server.said("alpn", |server| server.alpn.as_ref());
    let alpn = offered(context, alpn, server.value(|server| server.proto.as_ref()));
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
pub(in crate::config::resolve) fn check(context: &Context<'_>, server: &ServerLayers<'_>) -> Option<Arc<ServerTls>> {
    let sni = match server.said("check_sni", |server| server.check_sni.as_ref()) {
        Some((name, _)) => Some(ServerSni::Fixed(name.clone())),
        None => match server.said("sni", |server| server.sni.as_ref()).map(|(text, _)| read_sni(text)) {
            Some(Some(ServerSni::Fixed(name))) => Some(ServerSni::Fixed(name)),
            _ => None,
        },
    };
    let alpn = server.said("check_alpn", |server| server.check_alpn.as_ref());
    let alpn = offered(context, alpn, check_proto(server));
    settings(context, server, sni, alpn)
}

fn settings(
    context: &Context<'_>,
    server: &ServerLayers<'_>,
    sni: Option<ServerSni>,
    alpn: Vec<Vec<u8>>,
) -> Option<Arc<ServerTls>> {
    let usual = context.raw.global.ssl_server_verify.unwrap_or(Verify::Required);
    let verify = match server.value(|server| server.verify.as_ref()).unwrap_or(usual) {
        Verify::None => ServerVerify::None,
        Verify::Required => {
            let (file, path) = match server.said("ca_file", |server| server.ca_file.as_ref()) {
                Some((file, path)) => (file.as_path(), path),
                None => (Path::new(SYSTEM_AUTHORITIES), server.path().key("ssl")),
            };
            let roots = context.authorities(&path, file)?;
            let revoked = match server.said("crl_file", |server| server.crl_file.as_ref()) {
                Some((file, path)) => context.revoked(&path, file, &roots)?,
                None => Arc::default(),
            };
            ServerVerify::Required { roots, revoked }
        }
    };
    let defaults = context.raw.global.ssl_default_server.as_ref();
    let min = server.said("ssl_min_ver", |server| server.ssl_min_ver.as_ref()).map(|(text, _)| text.clone());
    let max = server.said("ssl_max_ver", |server| server.ssl_max_ver.as_ref()).map(|(text, _)| text.clone());
    let (min_version, max_version) = versions(context, server.path(), [&min, &max], "ssl_default_server", defaults)?;
    let certificate = match server.said("crt", |server| server.crt.as_ref()) {
        Some((file, path)) => {
            let certificate = context.certificates(&path, file).into_iter().next()?;
            Some(Arc::new(OwnCertificate(ArcSwap::from(certificate))))
        }
        None => None,
    };
    let own = |field: &str, pick: fn(&raw::Server) -> Option<&String>| {
        server.said(field, pick).map(|(text, path)| (text.as_str(), path))
    };
    let default = |field: &str, pick: fn(&SslDefaults) -> Option<&String>| {
        defaults.and_then(pick).map(|text| (text.as_str(), global_path("ssl_default_server").key(field)))
    };
    let wanted = Wanted {
        ciphers: own("ciphers", |server| server.ciphers.as_ref()).or(default("ciphers", |it| it.ciphers.as_ref())),
        ciphersuites: own("ciphersuites", |server| server.ciphersuites.as_ref())
            .or(default("ciphersuites", |it| it.ciphersuites.as_ref())),
        curves: own("curves", |server| server.curves.as_ref()).or(default("curves", |it| it.curves.as_ref())),
    };
    let algorithms = ciphers::resolve(context, &wanted, (min_version, max_version))?;
    let resume = server.value(|server| server.ssl_reuse.as_ref()).unwrap_or(true);
    let verify_host = server.said("verifyhost", |server| server.verifyhost.as_ref()).map(|(name, _)| name.clone());
    Some(Arc::new(ServerTls {
        verify,
        sni,
        verify_host,
        alpn,
        min_version,
        max_version,
        algorithms,
        certificate,
        resume,
    }))
}

fn sni_of(context: &Context<'_>, path: &FieldPath, text: &str) -> Option<ServerSni> {
    let sni = read_sni(text);
    if sni.is_none() {
        let told = Diagnostic::error(format!("`{text}` as server name is not built yet"));
        context.tell(path, told.hint("built are `str(name)`, `req.hdr(host)` and `ssl_fc_sni`"));
    }
    sni
}

/// A plain name, `str(name)`, the request's Host, or the name the client asked for.
fn read_sni(text: &str) -> Option<ServerSni> {
    let inside = |fetch: &str| text.strip_prefix(fetch)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(name) = inside("str") {
        return Some(ServerSni::Fixed(name.to_owned()));
    }
    if let Some(field) = inside("req.hdr").or_else(|| inside("hdr")) {
        return field.eq_ignore_ascii_case("host").then_some(ServerSni::RequestHost);
    }
    if text == "ssl_fc_sni" {
        return Some(ServerSni::ClientSni);
    }
    let name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    (!text.is_empty() && text.chars().all(name) && text.contains('.')).then(|| ServerSni::Fixed(text.to_owned()))
}

/// What HTTP is spoken to a server: `proto`, else what its `alpn` agrees on (manual 5.2).
pub(in crate::config::resolve) fn server_protocol(
    server: &ServerLayers<'_>,
    tls: Option<&ServerTls>,
) -> ServerProtocol {
    protocol(server.value(|server| server.proto.as_ref()), tls)
}

/// What HTTP checks speak.
pub(in crate::config::resolve) fn check_protocol(server: &ServerLayers<'_>, tls: Option<&ServerTls>) -> ServerProtocol {
    protocol(check_proto(server), tls)
}

/// `check-proto`, else the server's `proto` (manual 5.2).
fn check_proto(server: &ServerLayers<'_>) -> Option<Proto> {
    server.value(|server| server.check_proto.as_ref()).or_else(|| server.value(|server| server.proto.as_ref()))
}

fn protocol(proto: Option<Proto>, tls: Option<&ServerTls>) -> ServerProtocol {
    match proto {
        Some(Proto::H1) => ServerProtocol::Http1,
        Some(Proto::H2) => ServerProtocol::Http2,
        None if tls.is_some_and(|tls| tls.alpn.iter().any(|name| name == HTTP2)) => ServerProtocol::Negotiated,
        None => ServerProtocol::Http1,
    }
}

/// What TLS offers a server, which `proto` narrows.
fn offered(context: &Context<'_>, alpn: Option<(&OneOrMany<String>, FieldPath)>, proto: Option<Proto>) -> Vec<Vec<u8>> {
    match alpn {
        Some((list, path)) => spoken(context, &path, list, proto),
        None if proto == Some(Proto::H2) => vec![HTTP2.to_vec()],
        None => Vec::new(),
    }
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
        check_sni("ssl_fc_sni", Some(ServerSni::ClientSni));
        check_sni("ssl_fc_alpn", None);
        check_sni("", None);
    }
}
