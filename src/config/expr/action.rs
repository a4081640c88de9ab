//! What does a rule do? The words of `http-request` and `http-response` (HAProxy manual 4.2).

use super::answer::{Defaults, answer};
use super::fetch::parse_expr;
use super::redirect::{Text, redirect};
use super::{ExprError, Scope, is_field_name, known, parse_format, parse_regex};
use crate::model::rule::{Expr, Format, HeaderPattern, HttpRequestAction, HttpResponseAction, TextMatch};

const REQUEST_ACTIONS: &[&str] = &[
    "allow",
    "set-header",
    "add-header",
    "del-header",
    "deny",
    "tarpit",
    "redirect",
    "return",
    "use-service",
    "disable-l7-retry",
    "set-priority-class",
    "set-priority-offset",
];

const RESPONSE_ACTIONS: &[&str] = &["allow", "set-header", "add-header", "del-header", "deny"];

/// Reads the words behind the action's name. The name may be spelt `set-header` or `set_header`.
///
/// # Errors
/// Unknown actions and arguments, values out of range, and what could break the framing of messages.
pub(crate) fn parse_request_action(
    name: &str,
    words: &[String],
    scope: &Scope<'_>,
) -> Result<HttpRequestAction, ExprError> {
    Ok(match name.replace('_', "-").as_str() {
        "allow" => nothing_more(words, 0).map(|()| HttpRequestAction::Allow)?,
        "set-header" => {
            let (name, value) = header_and_value(words, scope)?;
            HttpRequestAction::SetHeader { name, value }
        }
        "add-header" => {
            let (name, value) = header_and_value(words, scope)?;
            HttpRequestAction::AddHeader { name, value }
        }
        "del-header" => HttpRequestAction::DelHeader(header_pattern(words)?),
        "deny" => HttpRequestAction::Deny(answer(Defaults { status: 403, page: true }, words, scope)?),
        "tarpit" => HttpRequestAction::Tarpit(answer(Defaults { status: 500, page: true }, words, scope)?),
        "disable-l7-retry" => nothing_more(words, 0).map(|()| HttpRequestAction::DisableRetry)?,
        "set-priority-class" => HttpRequestAction::SetPriorityClass(only_expression(words, scope)?),
        "set-priority-offset" => HttpRequestAction::SetPriorityOffset(only_expression(words, scope)?),
        "return" => HttpRequestAction::Return(answer(Defaults { status: 200, page: false }, words, scope)?),
        "redirect" => HttpRequestAction::Redirect(redirect(words, scope, Text::Format)?),
        "use-service" => match words {
            [] => return Err(ExprError::new(0, "`use-service` needs the name of a service")),
            [service, rest @ ..] if service == "prometheus-exporter" => {
                nothing_more(rest, 1).map(|()| HttpRequestAction::ServePrometheus)?
            }
            [service, ..] => {
                return Err(ExprError::new(0, format!("there is no service `{service}`"))
                    .suggest(service, ["prometheus-exporter"])
                    .hint("`prometheus-exporter` is the one service there is"));
            }
        },
        name => return Err(unknown_action("http-request", name, REQUEST_ACTIONS)),
    })
}

/// Like [`parse_request_action`], for `http-response`.
///
/// # Errors
/// The same.
pub(crate) fn parse_response_action(
    name: &str,
    words: &[String],
    scope: &Scope<'_>,
) -> Result<HttpResponseAction, ExprError> {
    Ok(match name.replace('_', "-").as_str() {
        "allow" => nothing_more(words, 0).map(|()| HttpResponseAction::Allow)?,
        "set-header" => {
            let (name, value) = header_and_value(words, scope)?;
            HttpResponseAction::SetHeader { name, value }
        }
        "add-header" => {
            let (name, value) = header_and_value(words, scope)?;
            HttpResponseAction::AddHeader { name, value }
        }
        "del-header" => HttpResponseAction::DelHeader(header_pattern(words)?),
        "deny" => HttpResponseAction::Deny(answer(Defaults { status: 502, page: true }, words, scope)?),
        name @ ("return" | "redirect") => {
            return Err(ExprError::new(0, format!("`http-response {name}` is known but not built yet")));
        }
        name => return Err(unknown_action("http-response", name, RESPONSE_ACTIONS)),
    })
}

/// One expression and nothing behind it.
pub(super) fn only_expression(words: &[String], scope: &Scope<'_>) -> Result<Expr, ExprError> {
    let Some(text) = words.first() else {
        return Err(ExprError::new(0, "an expression is missing").hint("for example `int(10)`"));
    };
    nothing_more(words.get(1..).unwrap_or_default(), 1)?;
    parse_expr(text, scope)
}

fn unknown_action(keyword: &str, name: &str, built: &[&str]) -> ExprError {
    if known::ACTIONS.contains(&name) {
        return ExprError::new(0, format!("`{keyword} {name}` is known but not built yet"));
    }
    ExprError::new(0, format!("there is no action `{keyword} {name}`"))
        .suggest(name, built.iter().chain(known::ACTIONS).copied())
}

pub(super) fn nothing_more(words: &[String], first: usize) -> Result<(), ExprError> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(ExprError::new(first, format!("`{word}` was not expected here"))
            .hint("a condition starts with `if` or `unless`; quote a value that holds blanks")),
    }
}

/// A name a rule may write. What tells where a message ends belongs to the proxy: a rule that changed it would let two
/// readers see different messages (RFC 9112 §11.2).
pub(super) fn header_name(words: &[String], at: usize) -> Result<String, ExprError> {
    let Some(name) = words.get(at) else {
        return Err(ExprError::new(at, "the name of a header is missing"));
    };
    if !is_field_name(name) {
        return Err(ExprError::new(at, format!("`{name}` cannot be the name of a header"))
            .hint("names are made of letters, digits and `-`; without a colon"));
    }
    if ["content-length", "transfer-encoding"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(ExprError::new(at, format!("`{name}` tells where a message ends: rules cannot change it")));
    }
    Ok(name.clone())
}

fn header_and_value(words: &[String], scope: &Scope<'_>) -> Result<(String, Format), ExprError> {
    let name = header_name(words, 0)?;
    let Some(value) = words.get(1) else {
        return Err(ExprError::new(1, format!("the value of `{name}` is missing"))
            .hint("write `\"\"` for an empty one, or use `del-header`"));
    };
    let value = parse_format(value, scope).map_err(|error| error.at(1))?;
    nothing_more(words.get(2..).unwrap_or_default(), 2)?;
    Ok((name, value))
}

/// `<name> [-m str|beg|end|sub|reg]`
fn header_pattern(words: &[String]) -> Result<HeaderPattern, ExprError> {
    let Some(name) = words.first() else {
        return Err(ExprError::new(0, "the name of a header is missing"));
    };
    let how = match words.get(1).map(String::as_str) {
        None => "str",
        Some("-m") => {
            nothing_more(words.get(3..).unwrap_or_default(), 3)?;
            words.get(2).ok_or_else(|| ExprError::new(2, "`-m` needs a method"))?
        }
        Some(_) => return Err(nothing_more(&words[1..], 1).err().unwrap_or_else(|| ExprError::new(1, "unexpected"))),
    };
    let how = match how {
        "str" => return header_name(words, 0).map(|name| HeaderPattern::Text { how: TextMatch::Exact, name }),
        "beg" => TextMatch::Prefix,
        "end" => TextMatch::Suffix,
        "sub" => TextMatch::Substring,
        // Names of fields are the same in any case (RFC 9110 §5.1).
        "reg" => return parse_regex(name, true).map(HeaderPattern::Regex),
        _ => {
            return Err(ExprError::new(2, format!("there is no match `{how}` for names of headers"))
                .suggest(how, ["str", "beg", "end", "sub", "reg"]));
        }
    };
    if !is_field_name(name) {
        return Err(ExprError::new(0, format!("`{name}` cannot be part of the name of a header")));
    }
    Ok(HeaderPattern::Text { how, name: name.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::{Side, parse_redirect, with_scope, words};
    use super::*;
    use crate::model::Mode;
    use crate::model::rule::{Answer, AnswerBody, FormatPart, RedirectTo};

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words = words(line);
        let (name, rest) = words.split_first().unwrap();
        let shown = with_scope(Mode::Http, Side::Request, |scope| match parse_request_action(name, rest, scope) {
            Ok(action) => shown(&action),
            Err(error) => format!("{}: {error}", error.word),
        });
        assert_eq!(shown, expected, "{line}");
    }

    fn shown(action: &HttpRequestAction) -> String {
        match action {
            HttpRequestAction::Allow => "allow".to_string(),
            HttpRequestAction::SetHeader { name, value } => format!("set {name} {}", value.parts.len()),
            HttpRequestAction::AddHeader { name, value } => format!("add {name} {}", value.parts.len()),
            HttpRequestAction::DelHeader(HeaderPattern::Text { how, name }) => format!("del {how:?} {name}"),
            HttpRequestAction::DelHeader(HeaderPattern::Regex(regex)) => format!("del {regex}"),
            HttpRequestAction::Tarpit(answer) => format!("tarpit {}", shown_answer(answer)),
            HttpRequestAction::DisableRetry => "disable retry".to_string(),
            HttpRequestAction::SetPriorityClass(expr) => format!("class {}", expr.converters.len()),
            HttpRequestAction::SetPriorityOffset(expr) => format!("offset {}", expr.converters.len()),
            HttpRequestAction::Deny(answer) => format!("deny {}", shown_answer(answer)),
            HttpRequestAction::Return(answer) => format!("return {}", shown_answer(answer)),
            HttpRequestAction::ServePrometheus => "prometheus".to_string(),
            HttpRequestAction::Redirect(redirect) => {
                let mut shown = match &redirect.to {
                    RedirectTo::Location(format) => format!("location/{}", format.parts.len()),
                    RedirectTo::Prefix(format) => format!("prefix/{}", format.parts.len()),
                    RedirectTo::Scheme(format) => format!("scheme/{}", format.parts.len()),
                };
                shown.push_str(&format!(" {}", redirect.code));
                for (set, word) in [
                    (redirect.drop_query, " drop-query"),
                    (redirect.append_slash, " append-slash"),
                    (redirect.ignore_empty, " ignore-empty"),
                ] {
                    shown.push_str(if set { word } else { "" });
                }
                if let Some(cookie) = &redirect.set_cookie {
                    shown.push_str(&format!(" [{cookie}]"));
                }
                shown
            }
        }
    }

    fn shown_answer(answer: &Answer) -> String {
        let body = match &answer.body {
            None => "page".to_string(),
            Some(AnswerBody::Fixed(bytes)) => format!("`{}`", String::from_utf8_lossy(bytes)),
            Some(AnswerBody::Format(format)) => format!("format/{}", format.parts.len()),
            Some(AnswerBody::Raw(bytes)) => format!("raw/{}", bytes.len()),
        };
        let kind = answer.content_type.as_deref().unwrap_or("-");
        format!("{} {kind} {body} +{}", answer.status, answer.headers.len())
    }

    #[test]
    fn headers() {
        check("set-header X-A %[src]-b", "set X-A 2");
        check("set_header X-A ''", "set X-A 0");
        check("add-header X-A b", "add X-A 1");
        check("del-header X-A", "del Exact X-A");
        check("del-header X- -m beg", "del Prefix X-");
        check("del-header ^x-.*$ -m reg", "del ^x-.*$");
        check("set-header", "0: the name of a header is missing");
        check("set-header X:", "0: `X:` cannot be the name of a header");
        check("set-header X-A", "1: the value of `X-A` is missing");
        check("set-header X-A a b", "2: `b` was not expected here");
        check("set-header X-A %[pth]", "1: there is no fetch `pth`; did you mean `path`?");
        check("set-header Content-Length 3", "0: `Content-Length` tells where a message ends: rules cannot change it");
        check(
            "del-header transfer-encoding",
            "0: `transfer-encoding` tells where a message ends: rules cannot change it",
        );
        check("del-header X -m", "2: `-m` needs a method");
        check("del-header X -m dom", "2: there is no match `dom` for names of headers");
        check("del-header X Y", "1: `Y` was not expected here");
    }

    #[test]
    fn answers() {
        check("deny", "deny 403 - page +0");
        check("deny deny_status 429", "deny 429 - page +0");
        check("deny status 418", "deny 418 - page +0");
        check("deny hdr A b", "deny 403 - `` +1");
        check("return", "return 200 - `` +0");
        check("return status 404", "return 404 - `` +0");
        check("return status 503 default-errorfiles", "return 503 - page +0");
        check("return content-type text/plain string 'a b' hdr A %[path] hdr B x", "return 200 text/plain `a b` +2");
        check("return content-type text/plain lf-string ip=%[src]", "return 200 text/plain format/2 +0");
        check("return status 500 errorfile 500.http", "return 500 - raw/22 +0");
        check(
            "return content-type text/plain file patterns",
            "return 200 text/plain `# a comment\n/a\n\n  /b/c \r\n` +0",
        );
        check("deny deny_status 200 content-type text/plain string no", "deny 200 text/plain `no` +0");
    }

    #[test]
    fn answers_that_do_not_fit_together() {
        check("return status 99", "1: `99` is not a status between 200 and 599");
        check("return string hello", "0: a body needs a `content-type`");
        check("return content-type text/plain", "0: `content-type` means nothing without a body");
        check("return content-type plain string x", "1: `plain` is not a content type");
        check("deny content-type text/plain", "0: `content-type` means nothing for an error page, which has its own");
        check("return status 418 default-errorfiles", "2: there is no error page for status 418");
        check("return content-type a/b string x file patterns", "4: `file` says again what to answer: `string` did");
        check(
            "return errorfile patterns",
            "1: the file `patterns` is not a whole response: it must start with `HTTP/1.`",
        );
        check("return errorfile nofile", "1: cannot read the file `nofile`: entity not found");
        check(
            "return errorfile 500.http hdr A b",
            "0: `hdr` means nothing for an error page, which is a whole response",
        );
        check("return errorfiles x", "0: `errorfiles` with `http-errors` sections is known but not built yet");
        check("return statsu 200", "0: `statsu` was not expected here; did you mean `status`?");
        check("return hdr A", "2: the value of `A` is missing");
        check("return status", "1: `status` needs a value behind it");
    }

    #[test]
    fn redirections() {
        check("redirect scheme https", "scheme/1 302");
        check("redirect location http://www.%[hdr(host)]%[capture.req.uri] code 301", "location/3 301");
        check("redirect code 308 prefix /x drop-query append-slash", "prefix/1 308 drop-query append-slash");
        check("redirect location / set-cookie A=1", "location/1 302 [A=1; path=/;]");
        check("redirect location / clear-cookie A=", "location/1 302 [A=; path=/; Max-Age=0;]");
        check("redirect location %[path] ignore-empty", "location/1 302 ignore-empty");
        check("redirect", "0: a redirection needs `location`, `prefix` or `scheme`, and a value");
        check("redirect location", "1: `location` needs a value behind it");
        check("redirect location / code 200", "3: `200` is not a redirection: 301, 302, 303, 307 and 308 are");
        check("redirect location / scheme https", "2: `scheme` says again where to: one target is enough");
        check(
            "redirect location / drop-qurey",
            "2: `drop-qurey` is no part of a redirection; did you mean `drop-query`?",
        );
        check("redirect location / set-cookie 'a b'", "3: `a b` is not a cookie");
    }

    #[test]
    fn the_keyword_redirect_takes_its_text_as_it_is() {
        let redirect =
            with_scope(Mode::Http, Side::Request, |scope| parse_redirect(&words("location /100%"), scope).unwrap());
        let RedirectTo::Location(format) = redirect.to else { panic!("a location") };
        assert!(matches!(&format.parts[..], [FormatPart::Text(text)] if text == "/100%"));
    }

    #[test]
    fn other_actions() {
        check("allow", "allow");
        check("allow x", "0: `x` was not expected here");
        check("use-service prometheus-exporter", "prometheus");
        check("use-service stats", "0: there is no service `stats`");
        check("set-path /x", "0: `http-request set-path` is known but not built yet");
        check("set-heder X y", "0: there is no action `http-request set-heder`; did you mean `set-header`?");
    }

    #[test]
    fn responses_have_their_own_actions() {
        with_scope(Mode::Http, Side::Response, |scope| {
            let words = words("X %[res.hdr(a)]-%[status]");
            let action = parse_response_action("set-header", &words, scope).unwrap();
            assert!(matches!(action, HttpResponseAction::SetHeader { .. }));
            let deny = parse_response_action("deny", &[], scope).unwrap();
            assert!(matches!(deny, HttpResponseAction::Deny(Answer { status: 502, body: None, .. })));
            let error = parse_response_action("return", &[], scope).map(|_| ()).unwrap_err();
            assert_eq!(error.message, "`http-response return` is known but not built yet");
        });
    }
}
