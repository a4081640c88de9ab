//! What does the proxy answer by itself? The words behind `deny` and `return` (HAProxy manual 4.2, `http-request return`).

use std::path::Path;
use std::sync::Arc;

use super::action::{header_name, nothing_more};
use super::{ExprError, Scope, parse_format};
use crate::model::rule::{Answer, AnswerBody};

/// Statuses that have an error page (manual 4.2, `http-request return`).
const PAGES: [u16; 15] = [200, 400, 403, 404, 405, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504];

/// What `deny` or `return` answers when nothing is said.
pub(super) struct Defaults {
    pub status: u16,
    /// With the error page of the status; else with an empty body.
    pub page: bool,
}

/// `[status <code>] [content-type <type>] [<body>] [hdr <name> <fmt>]*` (manual 4.2, `http-request return`)
pub(super) fn answer(defaults: Defaults, words: &[String], scope: &Scope<'_>) -> Result<Answer, ExprError> {
    let mut answer = Answer { status: defaults.status, content_type: None, body: None, headers: Vec::new() };
    let mut page = defaults.page;
    let mut body_at: Option<usize> = None;
    let mut type_at = None;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let value =
            || words.get(at + 1).ok_or_else(|| ExprError::new(at + 1, format!("`{word}` needs a value behind it")));
        let is_body =
            ["default-errorfiles", "errorfile", "file", "lf-file", "string", "lf-string"].contains(&word.as_str());
        if is_body && let Some(first) = body_at {
            let message = format!("`{word}` says again what to answer: `{}` did", words[first]);
            return Err(ExprError::new(at, message));
        }
        let length = match word.as_str() {
            "status" | "deny_status" => {
                answer.status = status(value()?, at + 1)?;
                2
            }
            "content-type" => {
                answer.content_type = Some(content_type(value()?, at + 1)?);
                type_at = Some(at);
                2
            }
            "default-errorfiles" => {
                page = true;
                1
            }
            "hdr" => {
                let name = header_name(words, at + 1)?;
                let Some(value) = words.get(at + 2) else {
                    return Err(ExprError::new(at + 2, format!("the value of `{name}` is missing")));
                };
                let value = parse_format(value, scope).map_err(|error| error.at(at + 2))?;
                answer.headers.push((name, value));
                3
            }
            "errorfiles" => {
                return Err(ExprError::new(at, "`errorfiles` with `http-errors` sections is known but not built yet"));
            }
            _ if is_body => {
                answer.body = Some(body(word, value()?, at + 1, scope)?);
                2
            }
            _ => {
                let known = [
                    "status",
                    "deny_status",
                    "content-type",
                    "default-errorfiles",
                    "errorfile",
                    "file",
                    "lf-file",
                    "string",
                    "lf-string",
                    "hdr",
                ];
                return Err(nothing_more(&words[at..], at)
                    .err()
                    .map_or_else(|| ExprError::new(at, "unexpected"), |error| error.suggest(word, known)));
            }
        };
        if is_body {
            body_at = Some(at);
        }
        at += length;
    }
    if body_at.is_none() && !answer.headers.is_empty() && defaults.page {
        // A page that was not asked for by name gives way to the fields (run against HAProxy 2.6).
        page = false;
    }
    finish_answer(answer, page, body_at, type_at)
}

/// Checks what must fit together.
fn finish_answer(
    mut answer: Answer,
    page: bool,
    body_at: Option<usize>,
    type_at: Option<usize>,
) -> Result<Answer, ExprError> {
    match &answer.body {
        None if page => {
            if body_at.is_some() && !PAGES.contains(&answer.status) {
                let message = format!("there is no error page for status {}", answer.status);
                return Err(ExprError::new(body_at.unwrap_or_default(), message));
            }
            if let Some(at) = type_at {
                return Err(ExprError::new(at, "`content-type` means nothing for an error page, which has its own"));
            }
        }
        None => {
            if let Some(at) = type_at {
                return Err(ExprError::new(at, "`content-type` means nothing without a body")
                    .hint("add `string`, `lf-string`, `file` or `lf-file`"));
            }
            answer.body = Some(AnswerBody::Fixed(Arc::from([])));
        }
        Some(AnswerBody::Raw(_)) => {
            if let Some(at) = type_at {
                return Err(ExprError::new(at, "`content-type` means nothing for an `errorfile`, which has its own"));
            }
        }
        Some(AnswerBody::Fixed(bytes)) if bytes.is_empty() => {}
        Some(_) if type_at.is_none() => {
            return Err(ExprError::new(body_at.unwrap_or_default(), "a body needs a `content-type`")
                .hint("such as `content-type text/plain`"));
        }
        Some(_) => {}
    }
    let is_raw = matches!(answer.body, None | Some(AnswerBody::Raw(_)));
    if is_raw && !answer.headers.is_empty() {
        let message = "`hdr` means nothing for an error page, which is a whole response";
        return Err(ExprError::new(body_at.unwrap_or_default(), message));
    }
    Ok(answer)
}

fn status(text: &str, word: usize) -> Result<u16, ExprError> {
    let status = text.parse().ok().filter(|status| (200..=599).contains(status));
    status.ok_or_else(|| ExprError::new(word, format!("`{text}` is not a status between 200 and 599")))
}

fn content_type(text: &str, word: usize) -> Result<String, ExprError> {
    let printable = text.bytes().all(|byte| matches!(byte, 32..=126));
    if text.contains('/') && printable {
        return Ok(text.to_string());
    }
    Err(ExprError::new(word, format!("`{text}` is not a content type")).hint("such as `text/plain`"))
}

fn body(keyword: &str, value: &str, word: usize, scope: &Scope<'_>) -> Result<AnswerBody, ExprError> {
    let read = || {
        (scope.read)(Path::new(value))
            .map_err(|error| ExprError::new(word, format!("cannot read the file `{value}`: {error}")))
    };
    Ok(match keyword {
        "string" => AnswerBody::Fixed(value.as_bytes().into()),
        "lf-string" => AnswerBody::Format(parse_format(value, scope).map_err(|error| error.at(word))?),
        "file" => AnswerBody::Fixed(read()?.into()),
        "lf-file" => {
            let text = String::from_utf8(read()?)
                .map_err(|_| ExprError::new(word, format!("the file `{value}` is not UTF-8 text")))?;
            let format = parse_format(&text, scope).map_err(|error| {
                let told = format!("in the file `{value}`: {}", error.message);
                ExprError { message: told, ..error }.at(word)
            })?;
            AnswerBody::Format(format)
        }
        _ => {
            let raw = read()?;
            if !raw.starts_with(b"HTTP/1.") {
                let message = format!("the file `{value}` is not a whole response: it must start with `HTTP/1.`");
                return Err(ExprError::new(word, message));
            }
            AnswerBody::Raw(raw.into())
        }
    })
}
