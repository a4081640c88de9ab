//! What stands in a `crt-list`? One certificate a line, with options in brackets and the names it is for (HAProxy
//! manual 5.1 `crt-list`).

use std::path::{Path, PathBuf};

use crate::config::pem::{self, PemError};
use crate::config::words;
use crate::model::tls::SniFilter;

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From 1.
    pub line: usize,
    pub path: PathBuf,
    /// The words in brackets.
    pub options: Vec<String>,
    /// A sole `*` stands in `is_default` instead.
    pub filters: Vec<SniFilter>,
    /// The filter `*`: for whatever fits no other.
    pub is_default: bool,
}

/// A line that cannot be read, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub line: usize,
    pub why: String,
}

/// The lines of a file, right ones and wrong ones, without empty ones and comments.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read_list(path: &Path) -> Result<Vec<Result<Entry, BadLine>>, PemError> {
    let bytes = pem::read_file(path)?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

pub(super) fn parse(text: &str) -> Vec<Result<Entry, BadLine>> {
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        entries.push(entry(line, index + 1).map_err(|why| BadLine { line: index + 1, why }));
    }
    entries
}

fn entry(line: &str, number: usize) -> Result<Entry, String> {
    let (path, rest) = match line.find([' ', '\t', '[']) {
        Some(end) => line.split_at(end),
        None => (line, ""),
    };
    let mut entry = Entry { line: number, path: path.into(), ..Entry::default() };
    let mut rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('[') {
        let Some((options, behind)) = inside.split_once(']') else {
            return Err("the `[` is never closed".to_owned());
        };
        entry.options = words::split(options).map_err(|error| error.to_string())?;
        rest = behind;
    }
    for word in rest.split_ascii_whitespace() {
        if word.starts_with('#') {
            break;
        }
        let (negative, name) = match word.strip_prefix('!') {
            Some(name) => (true, name),
            None => (false, word),
        };
        if (negative, name) == (false, "*") {
            entry.is_default = true;
            continue;
        }
        if !is_pattern(name) {
            return Err(format!("`{word}` is no host name; `www.example`, `*.example` or `!www.example` are"));
        }
        entry.filters.push(SniFilter { negative, name: name.to_ascii_lowercase() });
    }
    Ok(entry)
}

/// A host name whose first label may be `*`, or `*` alone.
fn is_pattern(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let label = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    name == "*" || (!host.is_empty() && host.chars().all(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shown as `path [options] filters`, `default` for `*`.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let shown: Vec<String> = parse(text)
            .into_iter()
            .map(|entry| match entry {
                Ok(entry) => {
                    let filters = entry
                        .filters
                        .iter()
                        .map(|filter| format!("{}{}", if filter.negative { "!" } else { "" }, filter.name));
                    let mut words = vec![entry.path.display().to_string()];
                    words.extend((!entry.options.is_empty()).then(|| format!("[{}]", entry.options.join("|"))));
                    words.extend(filters);
                    words.extend(entry.is_default.then(|| "default".to_owned()));
                    words.join(" ")
                }
                Err(bad) => format!("{}: {}", bad.line, bad.why),
            })
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn reads_the_manuals_example() {
        check(
            "cert1.pem !*\n# comment\n\ncert2.pem [alpn h2,http/1.1]\n\
             certW.pem                   *.domain.tld !secure.domain.tld\n\
             certS.pem [curves X25519:P-256 ciphers ECDHE-ECDSA-AES256-GCM-SHA384] Secure.domain.tld\n",
            &[
                "cert1.pem !*",
                "cert2.pem [alpn|h2,http/1.1]",
                "certW.pem *.domain.tld !secure.domain.tld",
                "certS.pem [curves|X25519:P-256|ciphers|ECDHE-ECDSA-AES256-GCM-SHA384] secure.domain.tld",
            ],
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,80}", line in "[!*.a\\[\\] #-]{0,20}") {
            let _ = parse(&text);
            let _ = parse(&line);
        }
    }

    #[test]
    fn takes_a_default_and_tells_what_is_wrong() {
        check("a.pem *\n  b.pem[verify none]x.test # for x", &["a.pem default", "b.pem [verify|none] x.test"]);
        check("a.pem [alpn h2", &["1: the `[` is never closed"]);
        check("\na.pem x.*.test", &["2: `x.*.test` is no host name; `www.example`, `*.example` or `!www.example` are"]);
    }
}
