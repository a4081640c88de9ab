//! Where does a redirection send the client? (HAProxy manual 4.2, `redirect`)

use super::{ExprError, Scope, is_field_name, parse_format};
use crate::model::rule::{Format, FormatPart, Redirect, RedirectTo};

/// Reads what stands behind the keyword `redirect`. Its text is taken as it is; in `http-request redirect` it is a
/// format (manual 4.2, `redirect`).
///
/// # Errors
/// No or two targets, a status that is no redirection, unknown options.
pub(crate) fn parse_redirect(words: &[String], scope: &Scope<'_>) -> Result<Redirect, ExprError> {
    redirect(words, scope, Text::Literal)
}

/// How the text of a redirection is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Literal,
    Format,
}

pub(super) fn redirect(words: &[String], scope: &Scope<'_>, text: Text) -> Result<Redirect, ExprError> {
    let mut to = None;
    let mut redirect = Redirect {
        to: RedirectTo::Location(Format { parts: Vec::new() }),
        code: 302,
        drop_query: false,
        append_slash: false,
        set_cookie: None,
        ignore_empty: false,
    };
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let value =
            || words.get(at + 1).ok_or_else(|| ExprError::new(at + 1, format!("`{word}` needs a value behind it")));
        at += match word.as_str() {
            "location" | "prefix" | "scheme" => {
                if to.is_some() {
                    return Err(ExprError::new(at, format!("`{word}` says again where to: one target is enough")));
                }
                let format = target(value()?, at + 1, scope, text)?;
                to = Some(match word.as_str() {
                    "location" => RedirectTo::Location(format),
                    "prefix" => RedirectTo::Prefix(format),
                    _ => RedirectTo::Scheme(format),
                });
                2
            }
            "code" => {
                let value = value()?;
                redirect.code = match value.as_str() {
                    "301" => 301,
                    "302" => 302,
                    "303" => 303,
                    "307" => 307,
                    "308" => 308,
                    _ => {
                        let message = format!("`{value}` is not a redirection: 301, 302, 303, 307 and 308 are");
                        return Err(ExprError::new(at + 1, message));
                    }
                };
                2
            }
            "set-cookie" => {
                redirect.set_cookie = Some(format!("{}; path=/;", cookie(value()?, at + 1)?));
                2
            }
            "clear-cookie" => {
                redirect.set_cookie = Some(format!("{}; path=/; Max-Age=0;", cookie(value()?, at + 1)?));
                2
            }
            "drop-query" => {
                redirect.drop_query = true;
                1
            }
            "append-slash" => {
                redirect.append_slash = true;
                1
            }
            "ignore-empty" => {
                redirect.ignore_empty = true;
                1
            }
            _ => {
                let known = [
                    "location",
                    "prefix",
                    "scheme",
                    "code",
                    "set-cookie",
                    "clear-cookie",
                    "drop-query",
                    "append-slash",
                    "ignore-empty",
                ];
                return Err(ExprError::new(at, format!("`{word}` is no part of a redirection")).suggest(word, known));
            }
        };
    }
    redirect.to = to.ok_or_else(|| {
        ExprError::new(words.len(), "a redirection needs `location`, `prefix` or `scheme`, and a value")
    })?;
    Ok(redirect)
}

fn target(value: &str, word: usize, scope: &Scope<'_>, text: Text) -> Result<Format, ExprError> {
    if value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err(ExprError::new(word, "a location cannot hold control characters"));
    }
    match text {
        Text::Format => parse_format(value, scope).map_err(|error| error.at(word)),
        Text::Literal if value.is_empty() => Ok(Format { parts: Vec::new() }),
        Text::Literal => Ok(Format { parts: vec![FormatPart::Text(value.to_string())] }),
    }
}

fn cookie(text: &str, word: usize) -> Result<&str, ExprError> {
    let name = text.split('=').next().unwrap_or_default();
    let printable = text.bytes().all(|byte| matches!(byte, 33..=126) && byte != b';');
    if is_field_name(name) && printable {
        return Ok(text);
    }
    Err(ExprError::new(word, format!("`{text}` is not a cookie")).hint("write NAME or NAME=value"))
}
