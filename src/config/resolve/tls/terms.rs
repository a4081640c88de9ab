//! Under which terms does a listener, or one certificate of it, accept TLS?

use super::super::context::{Context, Section};
use super::ciphers::{self, Wanted};
use super::{HTTP1, HTTP2, client, global_path, spoken, versions};
use crate::config::raw::{self, Proto, SslDefaults};
use crate::diag::FieldPath;
use crate::model::Mode;
use crate::model::tls::Terms;

/// What an HTTP listener offers unless said, as HAProxy does since 2.8.
const USUAL_ALPN: [&[u8]; 2] = [HTTP2, HTTP1];

/// `None` after an error was told.
pub(super) fn resolve(
    context: &Context<'_>,
    section: &Section<'_>,
    path: &FieldPath,
    bind: &raw::Bind,
) -> Option<Terms> {
    let defaults = context.raw.global.ssl_default_bind.as_ref();
    let (min_version, max_version) =
        versions(context, path, [&bind.ssl_min_ver, &bind.ssl_max_ver], "ssl_default_bind", defaults)?;
    let alpn = match (&bind.alpn, section.mode) {
        (Some(list), _) => spoken(context, &path.key("alpn"), list, bind.proto),
        (None, Mode::Http) if bind.proto == Some(Proto::H1) => vec![HTTP1.to_vec()],
        (None, Mode::Http) if bind.proto == Some(Proto::H2) => vec![HTTP2.to_vec()],
        (None, Mode::Http) => USUAL_ALPN.iter().map(|protocol| protocol.to_vec()).collect(),
        (None, Mode::Tcp) => Vec::new(),
    };
    let said = |field: &str, own: &'_ Option<String>, pick: fn(&SslDefaults) -> Option<&String>| {
        let own = own.clone().map(|text| (text, path.key(field)));
        own.or_else(|| defaults.and_then(pick).map(|text| (text.clone(), global_path("ssl_default_bind").key(field))))
    };
    let ciphers = said("ciphers", &bind.ciphers, |it| it.ciphers.as_ref());
    let ciphersuites = said("ciphersuites", &bind.ciphersuites, |it| it.ciphersuites.as_ref());
    let curves = said("curves", &bind.curves, |it| it.curves.as_ref());
    let wanted = Wanted {
        ciphers: ciphers.as_ref().map(|(text, path)| (text.as_str(), path.clone())),
        ciphersuites: ciphersuites.as_ref().map(|(text, path)| (text.as_str(), path.clone())),
        curves: curves.as_ref().map(|(text, path)| (text.as_str(), path.clone())),
    };
    let mut algorithms = ciphers::resolve(context, &wanted, (min_version, max_version))?;
    let client_order = bind.prefer_client_ciphers.or(defaults.and_then(|it| it.prefer_client_ciphers));
    algorithms.client_order = client_order.unwrap_or(false);
    let client = client::resolve(context, path, bind)?;
    Some(Terms { alpn, min_version, max_version, algorithms, client })
}
