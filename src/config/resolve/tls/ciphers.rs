//! Which of the suites and groups we have does an OpenSSL cipher string ask for? (`openssl ciphers`)
//!
//! There are nine suites, all of them strong. A string may name them, choose them by class, leave some out, and put them in
//! order. What it names that we do not have is told; a string that leaves nothing is an error.

use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;

use super::super::context::Context;
use crate::diag::{Diagnostic, FieldPath};
use crate::model::tls::{Algorithms, TlsVersion};
use crate::model::tls_suites::{self, SUITES_12, SUITES_13, Suite};

type Said<'a> = Option<(&'a str, FieldPath)>;

/// What was written, and where.
pub(super) struct Wanted<'a> {
    pub ciphers: Said<'a>,
    pub ciphersuites: Said<'a>,
    pub curves: Said<'a>,
}

/// `None` after an error was told.
pub(super) fn resolve(
    context: &Context<'_>,
    wanted: &Wanted<'_>,
    (least, most): (TlsVersion, TlsVersion),
) -> Option<Algorithms> {
    let mut algorithms = Algorithms::default();
    if let Some((text, path)) = wanted.ciphers.as_ref().filter(|_| least == TlsVersion::Tls12) {
        let read = read_ciphers(text);
        tell_left_out(context, path, "ciphers", &read.unknown);
        if read.chosen.is_empty() {
            context.tell(path, Diagnostic::error("no suite of TLS 1.2 is left").hint(names(&SUITES_12)));
            return None;
        }
        algorithms.suites_12 = read.chosen;
    }
    if let Some((text, path)) = wanted.ciphersuites.as_ref().filter(|_| most == TlsVersion::Tls13) {
        let (chosen, unknown) = read_ciphersuites(text);
        tell_left_out(context, path, "ciphersuites", &unknown);
        if chosen.is_empty() {
            context.tell(path, Diagnostic::error("no suite of TLS 1.3 is left").hint(names(&SUITES_13)));
            return None;
        }
        algorithms.suites_13 = chosen;
    }
    if let Some((text, path)) = &wanted.curves {
        let (chosen, unknown) = read_curves(text);
        tell_left_out(context, path, "curves", &unknown);
        if chosen.is_empty() {
            let hint = "there are X25519, P-256, P-384, X25519MLKEM768 and SecP256r1MLKEM768";
            context.tell(path, Diagnostic::error("no group for the key exchange is left").hint(hint));
            return None;
        }
        algorithms.groups = chosen;
    }
    Some(algorithms)
}

fn names(suites: &[Suite]) -> String {
    let names: Vec<&str> = suites.iter().map(|suite| suite.name).collect();
    format!("there are {}", names.join(", "))
}

fn tell_left_out(context: &Context<'_>, path: &FieldPath, field: &str, unknown: &[String]) {
    if !unknown.is_empty() {
        let told = format!("not among the `{field}` of the TLS library, so not offered: {}", unknown.join(", "));
        context.warn(path, "cipher-not-offered", told);
    }
}

/// What a cipher string comes to.
#[derive(Default)]
struct Read {
    chosen: Vec<SupportedCipherSuite>,
    unknown: Vec<String>,
}

fn read_ciphers(text: &str) -> Read {
    let mut chosen: Vec<&'static Suite> = Vec::new();
    let mut banned: Vec<&'static Suite> = Vec::new();
    let mut unknown = Vec::new();
    for word in text.split([':', ',', ' ']).filter(|word| !word.is_empty() && !word.starts_with('@')) {
        let (sign, name) = match word.split_at_checked(1) {
            Some((sign @ ("!" | "-" | "+"), name)) => (sign, name),
            _ => ("", word),
        };
        let meant: Vec<&'static Suite> = SUITES_12.iter().filter(|suite| is_meant(suite, name)).collect();
        let is_among = |suite: &&'static Suite| meant.iter().any(|other| other.name == suite.name);
        match sign {
            "!" => {
                chosen.retain(|suite| !is_among(suite));
                banned.extend(meant);
            }
            "-" => chosen.retain(|suite| !is_among(suite)),
            "+" => {
                let (moved, kept): (Vec<_>, Vec<_>) = chosen.into_iter().partition(is_among);
                chosen = [kept, moved].concat();
            }
            _ => {
                if meant.is_empty() {
                    unknown.push(name.to_owned());
                }
                let has = |list: &[&'static Suite], suite: &&'static Suite| list.iter().any(|it| it.name == suite.name);
                let new: Vec<_> = meant.into_iter().filter(|it| !has(&chosen, it) && !has(&banned, it)).collect();
                chosen.extend(new);
            }
        }
    }
    Read { chosen: chosen.into_iter().map(|suite| suite.suite).collect(), unknown }
}

/// A suite's own name, or classes joined by `+` that it is all of.
fn is_meant(suite: &Suite, word: &str) -> bool {
    suite.name == word || word.split('+').all(|class| is_of(suite, class))
}

fn is_of(suite: &Suite, class: &str) -> bool {
    match class {
        "ALL" | "DEFAULT" | "HIGH" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "ECDH" | "FIPS" | "TLSv1.2" => true,
        "aRSA" => suite.name.contains("-RSA-"),
        "aECDSA" | "ECDSA" => suite.name.contains("-ECDSA-"),
        class => suite.classes.contains(&class),
    }
}

fn read_ciphersuites(text: &str) -> (Vec<SupportedCipherSuite>, Vec<String>) {
    read_names(text, |name| SUITES_13.iter().find(|suite| suite.name == name).map(|suite| suite.suite))
}

fn read_curves(text: &str) -> (Vec<&'static dyn SupportedKxGroup>, Vec<String>) {
    read_names(text, tls_suites::group)
}

/// A list with colons: what is known of it, in order, and the rest.
fn read_names<T>(text: &str, find: impl Fn(&str) -> Option<T>) -> (Vec<T>, Vec<String>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for name in text.split([':', ',', ' ']).filter(|name| !name.is_empty()) {
        match find(name) {
            Some(found) => known.push(found),
            None => unknown.push(name.to_owned()),
        }
    }
    (known, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Suites as `EA2` for ECDSA-AES256, `RC` for RSA-CHACHA20 and so on; then what is unknown.
    #[track_caller]
    fn check(text: &str, expected: &str, unknown: &[&str]) {
        let read = read_ciphers(text);
        let short = |suite: &SupportedCipherSuite| {
            let name = tls_suites::suite_name(suite.suite());
            let key = if name.contains("ECDSA") { "E" } else { "R" };
            let cipher = if name.contains("CHACHA") {
                "C"
            } else if name.contains("128") {
                "A1"
            } else {
                "A2"
            };
            format!("{key}{cipher}")
        };
        assert_eq!(read.chosen.iter().map(short).collect::<Vec<_>>().join(" "), expected, "{text}");
        assert_eq!(read.unknown, unknown, "{text}");
    }

    #[test]
    fn cipher_strings_choose_among_the_suites_there_are() {
        check("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", "RA1 EA1", &[]);
        check("ECDHE+CHACHA20:ECDHE+AESGCM", "EC RC EA2 EA1 RA2 RA1", &[]);
        check("HIGH:!aNULL:!MD5", "EA2 EA1 EC RA2 RA1 RC", &[]);
        check("EECDH+AESGCM:!AES128", "EA2 RA2", &[]);
        check("ALL:+AES256:-aRSA", "EA1 EC EA2", &[]);
        check("!CHACHA20:ALL", "EA2 EA1 RA2 RA1", &[]);
        check("@SECLEVEL=2:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384", "RA2", &[]);
        check("AES128-SHA:DHE-RSA-AES128-GCM-SHA256:RC4", "", &["AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "RC4"]);
    }

    #[test]
    fn lists_of_names_keep_their_order() {
        let (suites, unknown) =
            read_ciphersuites("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256");
        let names: Vec<_> = suites.iter().map(|suite| tls_suites::suite_name(suite.suite())).collect();
        assert_eq!(names, ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]);
        assert_eq!(unknown, ["TLS_AES_128_CCM_SHA256"]);
        let (groups, unknown) = read_curves("P-384:prime256v1:X25519:P-521");
        assert_eq!(groups.len(), 3);
        assert_eq!(unknown, ["P-521"]);
    }
}
