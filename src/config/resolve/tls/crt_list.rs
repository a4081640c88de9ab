//! Which certificates does a `crt-list` name, for whom and under which terms? (manual 5.1 `crt-list`)

use std::path::Path;
use std::sync::Arc;

use super::super::context::{Context, Section};
use super::terms;
use crate::config::certificates::{BadLine, Entry, read_list};
use crate::config::raw::{self, ClientVerify, OneOrMany};
use crate::diag::{Diagnostic, FieldPath, did_you_mean};
use crate::model::tls::Served;

/// The certificates of a list; wrong lines are left out after they were told.
pub(super) fn resolve(
    context: &Context<'_>,
    section: &Section<'_>,
    path: &FieldPath,
    file: &Path,
    bind: &raw::Bind,
) -> Vec<Served> {
    let entries = match read_list(file) {
        Ok(entries) => entries,
        Err(error) => {
            context.error(path, format!("`{}`: {error}", file.display()));
            return Vec::new();
        }
    };
    if entries.is_empty() {
        context.error(path, format!("`{}`: the list names no certificate", file.display()));
    }
    let mut served = Vec::new();
    for entry in entries {
        match entry.and_then(|entry| of_entry(context, section, path, bind, entry)) {
            Ok(found) => served.extend(found),
            Err(BadLine { line, why }) => context.error(path, format!("`{}`, line {line}: {why}", file.display())),
        }
    }
    served
}

fn of_entry(
    context: &Context<'_>,
    section: &Section<'_>,
    path: &FieldPath,
    bind: &raw::Bind,
    entry: Entry,
) -> Result<Vec<Served>, BadLine> {
    let mut own = bind.clone();
    let wrong = |why| BadLine { line: entry.line, why };
    for warning in apply(&entry.options, &mut own).map_err(wrong)? {
        context.tell(path, Diagnostic::warning(format!("line {}: {warning}", entry.line)).code("no-effect"));
    }
    let terms = if entry.options.is_empty() {
        None
    } else {
        match terms::resolve(context, section, path, &own) {
            Some(terms) => Some(Arc::new(terms)),
            None => return Ok(Vec::new()), // the error was told
        }
    };
    let found = context.certificates(path, &entry.path);
    Ok(found
        .into_iter()
        .map(|certificate| Served {
            certificate,
            filters: entry.filters.clone(),
            is_default: entry.is_default,
            terms: terms.clone(),
        })
        .collect())
}

const KNOWN: [&str; 15] = [
    "allow-0rtt",
    "alpn",
    "ca-file",
    "ca-ignore-err",
    "ca-verify-file",
    "ciphers",
    "ciphersuites",
    "crl-file",
    "crt-ignore-err",
    "curves",
    "ecdhe",
    "no-ca-names",
    "ssl-max-ver",
    "ssl-min-ver",
    "verify",
];

/// Writes the options over those of the `bind` line. Gives what has no effect.
fn apply(options: &[String], bind: &mut raw::Bind) -> Result<Vec<String>, String> {
    let mut words = options.iter();
    let mut warnings = Vec::new();
    while let Some(option) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("`{option}` needs a value"));
        match option.as_str() {
            "alpn" => bind.alpn = Some(OneOrMany(vec![value()?])),
            "no-alpn" => bind.alpn = Some(OneOrMany::default()),
            "ca-file" => bind.ca_file = Some(value()?.into()),
            "ca-verify-file" => bind.ca_verify_file = Some(value()?.into()),
            "crl-file" => bind.crl_file = Some(value()?.into()),
            "ca-ignore-err" => bind.ca_ignore_err = Some(value()?),
            "crt-ignore-err" => bind.crt_ignore_err = Some(value()?),
            "ciphers" => bind.ciphers = Some(value()?),
            "ciphersuites" => bind.ciphersuites = Some(value()?),
            "curves" | "ecdhe" => bind.curves = Some(value()?),
            "no-ca-names" => bind.no_ca_names = Some(true),
            "ssl-min-ver" => bind.ssl_min_ver = Some(value()?),
            "ssl-max-ver" => bind.ssl_max_ver = Some(value()?),
            "verify" => bind.verify = Some(verify(&value()?)?),
            "allow-0rtt" => warnings.push("`allow-0rtt` has no effect: early data can be replayed".to_owned()),
            "npn" => {
                value()?;
                warnings.push("`npn` has no effect: it is gone from TLS libraries; write `alpn`".to_owned());
            }
            other => {
                let near = did_you_mean(other, KNOWN).map(|near| format!("; did you mean `{near}`?"));
                return Err(format!("unknown option `{other}`{}", near.unwrap_or_default()));
            }
        }
    }
    Ok(warnings)
}

fn verify(word: &str) -> Result<ClientVerify, String> {
    match word {
        "none" => Ok(ClientVerify::None),
        "optional" => Ok(ClientVerify::Optional),
        "required" => Ok(ClientVerify::Required),
        _ => Err(format!("`{word}` is not a way to verify clients; known are none, optional, required")),
    }
}
