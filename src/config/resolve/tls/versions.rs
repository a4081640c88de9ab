//! Which versions of TLS are spoken?

use super::super::context::Context;
use super::global_path;
use crate::config::raw::SslDefaults;
use crate::diag::{Diagnostic, FieldPath};
use crate::model::tls::TlsVersion;

/// From the line itself, else from `global`, else everything this proxy can: TLS 1.2 and 1.3.
pub(super) fn versions(
    context: &Context<'_>,
    path: &FieldPath,
    [min, max]: [&Option<String>; 2],
    global: &str,
    defaults: Option<&SslDefaults>,
) -> Option<(TlsVersion, TlsVersion)> {
    let global = global_path(global);
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
    context.tell(path, told.suggest(text, ["TLSv1.3", "TLSv1.2"]));
}
