//! TLS words that `bind`, `server` and the global defaults share.

use super::args::Args;
use crate::diag::Diagnostic;

pub(super) const NEVER_OLD: &str = "versions before TLS 1.2 are never spoken";
/// Of `allow-0rtt`: an attacker can send early data a second time, and the library wants sessions kept here for it.
pub(super) const NO_EARLY_DATA: &str = "early data can be replayed; clients make their handshake first";

/// The two fields a version option may set.
pub(super) struct Versions<'a> {
    pub min: &'a mut Option<String>,
    pub max: &'a mut Option<String>,
}

const TLS12: &str = "TLSv1.2";
const TLS13: &str = "TLSv1.3";

/// The newest first: it is the one that is proposed for what is none.
const ALL: [(&str, &str); 5] =
    [(TLS13, TLS13), (TLS12, TLS12), ("TLSv1.1", "TLSv1.1"), ("TLSv1.0", "TLSv1.0"), ("SSLv3", "SSLv3")];

/// `ssl-min-ver <version>`. Versions older than any we speak become the oldest we do, with a warning.
pub(super) fn min_version(args: &mut Args) -> Option<String> {
    let version = args.choice("a TLS version", &ALL)?;
    if matches!(version, TLS12 | TLS13) {
        return Some(version.to_owned());
    }
    let message = format!("`ssl-min-ver {version}`: {NEVER_OLD}; clients that know no newer one are refused");
    args.tell_last(Diagnostic::warning(message).code("tls-too-old"));
    Some(TLS12.to_owned())
}

/// `ssl-max-ver <version>`.
pub(super) fn max_version(args: &mut Args) -> Option<String> {
    let version = args.choice("a TLS version", &ALL)?;
    if matches!(version, TLS12 | TLS13) {
        return Some(version.to_owned());
    }
    let message = format!("`ssl-max-ver {version}` leaves nothing: {NEVER_OLD}");
    args.tell_last(Diagnostic::error(message));
    None
}

/// `no-tlsv12` and its kin, which say a least or a greatest version.
pub(super) fn version_flag(args: &mut Args, versions: &mut Versions) {
    match args.keyword() {
        "no-tlsv12" | "force-tlsv13" => *versions.min = Some(TLS13.to_owned()),
        "no-tlsv13" => *versions.max = Some(TLS12.to_owned()),
        "force-tlsv12" => {
            *versions.min = Some(TLS12.to_owned());
            *versions.max = Some(TLS12.to_owned());
        }
        other => {
            let message = format!("`{other}` leaves nothing: {NEVER_OLD}");
            args.tell_last(Diagnostic::error(message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::did_you_mean;

    #[test]
    fn the_newest_version_is_proposed_for_what_is_none() {
        assert_eq!(did_you_mean("TLSv1.4", ALL.map(|(name, _)| name)), Some(TLS13));
    }
}
