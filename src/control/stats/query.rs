//! What does the address ask for? The options HAProxy's page takes behind its own address (`;csv;norefresh`), its
//! exporter's query (`?scope=…`), and a posted form.

use super::prometheus::{Scope, Wanted};

/// What is to be shown, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PageQuery {
    pub format: Format,
    /// `;norefresh`
    pub no_refresh: bool,
    /// `;up`
    pub hide_down: bool,
    /// `;no-maint`
    pub no_maintenance: bool,
    /// `;scope=`, part of a name.
    pub scope: Option<String>,
    /// `;st=`
    pub outcome: Option<StatusCode>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Html,
    Csv,
    Json,
    JsonSchema,
    /// Server-sent events: what changes, each second.
    Events,
}

/// What came of a posted form: HAProxy's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusCode {
    Done,
    Nothing,
    Partly,
    Errors,
    Exceeded,
    Denied,
    Invalid,
    Unknown,
}

impl StatusCode {
    fn parse(word: &str) -> Self {
        match word {
            "DONE" => StatusCode::Done,
            "NONE" => StatusCode::Nothing,
            "PART" => StatusCode::Partly,
            "ERRP" => StatusCode::Errors,
            "EXCD" => StatusCode::Exceeded,
            "DENY" => StatusCode::Denied,
            "IVAL" => StatusCode::Invalid,
            _ => StatusCode::Unknown,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            StatusCode::Done => "DONE",
            StatusCode::Nothing => "NONE",
            StatusCode::Partly => "PART",
            StatusCode::Errors => "ERRP",
            StatusCode::Exceeded => "EXCD",
            StatusCode::Denied => "DENY",
            StatusCode::Invalid => "IVAL",
            StatusCode::Unknown => "UNKN",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            StatusCode::Done => "Done.",
            StatusCode::Nothing => "Nothing was changed.",
            StatusCode::Partly => "Done for some of the servers only: the other names are unknown or twice there.",
            StatusCode::Errors => "Nothing was done: a server, the backend or the action is unknown.",
            StatusCode::Exceeded => "Nothing was done: too many servers at once. Choose fewer.",
            StatusCode::Denied => {
                "Denied: this page may not change anything, or the form was too old. Try again from here."
            }
            StatusCode::Invalid => "Nothing was done: the request was not a form.",
            StatusCode::Unknown => "The result is not known.",
        }
    }

    pub fn class(self) -> &'static str {
        match self {
            StatusCode::Done => "good",
            StatusCode::Nothing | StatusCode::Partly => "warn",
            _ => "bad",
        }
    }
}

impl PageQuery {
    /// Reads what stands behind the page's own address; words it does not know are ignored, as HAProxy does.
    pub fn parse(rest: &str) -> Self {
        let mut query = PageQuery::default();
        for word in rest.split([';', '?', '&']).filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "csv" => query.format = Format::Csv,
                "json" => query.format = Format::Json,
                "json-schema" => query.format = Format::JsonSchema,
                "events" => query.format = Format::Events,
                "norefresh" => query.no_refresh = true,
                "up" => query.hide_down = true,
                "no-maint" => query.no_maintenance = true,
                "scope" => query.scope = Some(decoded(value)).filter(|scope| !scope.is_empty()),
                "st" => query.outcome = Some(StatusCode::parse(value)),
                _ => {}
            }
        }
        query
    }
}

/// Reads a scrape's query.
///
/// # Errors
/// The scope that is none; HAProxy answers 400 then.
pub(super) fn scrape(uri: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    for word in query.split('&').filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "scope" if value.is_empty() => {}
            "scope" => {
                let value = decoded(value);
                match (value.as_str(), Scope::parse(&value)) {
                    ("*", _) => wanted.scopes.clear(),
                    (_, Some(scope)) => wanted.scopes.push(scope),
                    (_, None) => return Err(value),
                }
            }
            "metrics" => {
                for metric in decoded(value).split(',').filter(|metric| !metric.is_empty()) {
                    match metric.strip_prefix('-') {
                        Some(metric) => wanted.without.push(metric.to_owned()),
                        None => wanted.only.push(metric.to_owned()),
                    }
                }
            }
            "no-maint" => wanted.no_maintenance = true,
            _ => {}
        }
    }
    Ok(wanted)
}

/// Names and values of a form, in order (`application/x-www-form-urlencoded`).
pub(super) fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    text.trim_end_matches(['\r', '\n'])
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// `+` and `%41` decoded; what is no such thing stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high * 16 + low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::report::RowKind;

    #[test]
    fn options_stand_behind_the_address() {
        let check = |rest: &str, expected: PageQuery| assert_eq!(PageQuery::parse(rest), expected, "{rest}");
        check("", PageQuery::default());
        check(";csv;norefresh", PageQuery { format: Format::Csv, no_refresh: true, ..PageQuery::default() });
        check("?scope=a%2Fb&up", PageQuery { scope: Some("a/b".into()), hide_down: true, ..PageQuery::default() });
        check(";st=DONE", PageQuery { outcome: Some(StatusCode::Done), ..PageQuery::default() });
        check(";st=<b>", PageQuery { outcome: Some(StatusCode::Unknown), ..PageQuery::default() });
        check("&scope=", PageQuery::default());
    }

    #[test]
    fn a_scrape_can_be_narrowed() {
        let wanted = scrape("/metrics?scope=server&scope=global&metrics=a,-b&no-maint").unwrap();
        assert_eq!(wanted.scopes, [Scope::Rows(RowKind::Server), Scope::Global]);
        assert_eq!((wanted.only, wanted.without), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert!(wanted.no_maintenance);
        assert_eq!(scrape("/metrics?scope=nonsense"), Err("nonsense".to_owned()));
        assert_eq!(scrape("/metrics"), Ok(Wanted::default()));
    }

    #[test]
    fn forms_are_decoded() {
        let check = |body: &str, expected: &[(&str, &str)]| {
            let form = form(body.as_bytes());
            let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(form, expected);
        };
        check("s=a&s=b+c&b=%235&action=ready\r\n", &[("s", "a"), ("s", "b c"), ("b", "#5"), ("action", "ready")]);
        check("nothing", &[]);
        check("a=%", &[("a", "%")]);
        check("a=%zz%4", &[("a", "%zz%4")]);
    }
}
