//! In which order do rules act, and what comes of it? (HAProxy manual 4.2, `http-request`)

use super::matching::{holds, name_matches};
use super::{Context, Facts, eval, format, redirect_location};
use crate::http::{RequestHead, ResponseHead};
use crate::model::rule::{
    Answer, HeaderPattern, HttpRequestAction, HttpRequestRule, HttpResponseAction, HttpResponseRule, Redirect,
    TextMatch,
};

/// How the rules of one section ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict<'a> {
    /// No rule decided.
    Continue,
    /// `allow`: the rest of this section was skipped; the next section's rules still run.
    Allow,
    Deny(&'a Answer),
    /// The same, but the client waits for it.
    Tarpit(&'a Answer),
    Return(&'a Answer),
    /// To [`redirect_location`].
    Redirect(&'a Redirect),
    /// Answer with the metrics.
    Prometheus,
}

/// What rules decided about how a request is handled, besides what they changed in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Handling {
    /// -2047 to 2047; lower ones leave a queue first.
    pub priority_class: i16,
    /// By how much it counts as having come later, in milliseconds; -524287 to 524287.
    pub priority_offset_ms: i32,
    /// Once it was sent it is not sent again.
    pub send_once: bool,
}

/// The bounds of `set-priority-class` and `set-priority-offset` (HAProxy manual 4.2); what is beyond is cut to them.
const PRIORITY_CLASSES: i64 = 2047;
const PRIORITY_OFFSETS_MS: i64 = 524_287;

impl Handling {
    pub(super) fn set_class(&mut self, class: i64) {
        self.priority_class = class.clamp(-PRIORITY_CLASSES, PRIORITY_CLASSES) as i16;
    }

    pub(super) fn set_offset(&mut self, offset_ms: i64) {
        self.priority_offset_ms = offset_ms.clamp(-PRIORITY_OFFSETS_MS, PRIORITY_OFFSETS_MS) as i32;
    }
}

/// Runs a section's rules in order. Edits are made at once, so later rules see them.
pub(crate) fn run_request_rules<'a>(
    rules: &'a [HttpRequestRule],
    head: &mut RequestHead,
    facts: &Facts<'_>,
    handling: &mut Handling,
) -> Verdict<'a> {
    let mut value = Vec::new();
    for rule in rules {
        let context = Context { request: Some(&*head), response: None, facts };
        if !rule.condition.as_ref().is_none_or(|condition| holds(condition, &context)) {
            continue;
        }
        match &rule.action {
            HttpRequestAction::Allow => return Verdict::Allow,
            HttpRequestAction::Deny(answer) => return Verdict::Deny(answer),
            HttpRequestAction::Tarpit(answer) => return Verdict::Tarpit(answer),
            HttpRequestAction::DisableRetry => handling.send_once = true,
            HttpRequestAction::SetPriorityClass(expr) => {
                if let Some(class) = eval(expr, &context).and_then(|value| value.to_integer()) {
                    handling.set_class(class);
                }
            }
            HttpRequestAction::SetPriorityOffset(expr) => {
                if let Some(offset) = eval(expr, &context).and_then(|value| value.to_integer()) {
                    handling.set_offset(offset);
                }
            }
            HttpRequestAction::Return(answer) => return Verdict::Return(answer),
            HttpRequestAction::ServePrometheus => return Verdict::Prometheus,
            HttpRequestAction::Redirect(redirect) => {
                if !redirect.ignore_empty || !redirect_location(redirect, &context).is_empty() {
                    return Verdict::Redirect(redirect);
                }
            }
            HttpRequestAction::SetHeader { name, value: text } => {
                // Computed before the field goes, so that it may be part of its own new value.
                value.clear();
                format(text, &context, &mut value);
                head.set_field(name.as_bytes(), &value);
            }
            HttpRequestAction::AddHeader { name, value: text } => {
                value.clear();
                format(text, &context, &mut value);
                head.add_field(name.as_bytes(), &value);
            }
            HttpRequestAction::DelHeader(pattern) => {
                head.remove_fields_where(|name| is_removed(pattern, name));
            }
        }
    }
    Verdict::Continue
}

/// The same for a response; `request` is what it answers.
pub(crate) fn run_response_rules<'a>(
    rules: &'a [HttpResponseRule],
    head: &mut ResponseHead,
    request: &RequestHead,
    facts: &Facts<'_>,
) -> Verdict<'a> {
    let mut value = Vec::new();
    for rule in rules {
        let context = Context { request: Some(request), response: Some(&*head), facts };
        if !rule.condition.as_ref().is_none_or(|condition| holds(condition, &context)) {
            continue;
        }
        match &rule.action {
            HttpResponseAction::Allow => return Verdict::Allow,
            HttpResponseAction::Deny(answer) => return Verdict::Deny(answer),
            HttpResponseAction::SetHeader { name, value: text } => {
                value.clear();
                format(text, &context, &mut value);
                head.set_field(name.as_bytes(), &value);
            }
            HttpResponseAction::AddHeader { name, value: text } => {
                value.clear();
                format(text, &context, &mut value);
                head.add_field(name.as_bytes(), &value);
            }
            HttpResponseAction::DelHeader(pattern) => {
                head.remove_fields_where(|name| is_removed(pattern, name));
            }
        }
    }
    Verdict::Continue
}

/// What tells where a message ends stays, whatever a wide pattern says.
fn is_removed(pattern: &HeaderPattern, name: &[u8]) -> bool {
    let meant = match pattern {
        HeaderPattern::Text { how: TextMatch::Exact, name: pattern } => name.eq_ignore_ascii_case(pattern.as_bytes()),
        HeaderPattern::Text { how, name: pattern } => name_matches(*how, name, pattern.as_bytes()),
        HeaderPattern::Regex(regex) => regex.is_match(name),
    };
    meant && !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"transfer-encoding")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::rule::{
        Condition, Expr, Fetch, Format, FormatPart, HeaderRef, Matcher, RedirectTo, Term, TermTest, Test,
    };
    use crate::rules::testing::{facts, request, response};

    fn header(name: &str) -> Expr {
        let reference = HeaderRef { name: name.to_string(), occurrence: None, whole_line: false };
        Expr { fetch: Fetch::RequestHeader(reference), converters: Vec::new() }
    }

    /// The header's value so far, and `text` behind it.
    fn appended(name: &str, text: &str) -> Format {
        Format { parts: vec![FormatPart::Expr(header(name)), FormatPart::Text(text.to_string())] }
    }

    fn when(name: &str, value: &str) -> Option<Condition> {
        let patterns = vec![value.as_bytes().to_vec()];
        let matcher = Matcher::Text { how: TextMatch::Exact, ignore_case: false, patterns };
        let test = TermTest::Anonymous(Arc::new(Test { value: header(name), matcher }));
        let any = vec![vec![Term { negated: false, test }]];
        Some(Condition { negated: false, any })
    }

    fn rule(action: HttpRequestAction, condition: Option<Condition>) -> HttpRequestRule {
        HttpRequestRule { action, condition }
    }

    fn set(name: &str, value: Format) -> HttpRequestAction {
        HttpRequestAction::SetHeader { name: name.to_string(), value }
    }

    fn add(name: &str, value: Format) -> HttpRequestAction {
        HttpRequestAction::AddHeader { name: name.to_string(), value }
    }

    fn deny(status: u16) -> HttpRequestAction {
        HttpRequestAction::Deny(Answer { status, content_type: None, body: None, headers: Vec::new() })
    }

    fn shown(verdict: Verdict<'_>) -> String {
        match verdict {
            Verdict::Continue => "continue".to_string(),
            Verdict::Allow => "allow".to_string(),
            Verdict::Deny(answer) => format!("deny {}", answer.status),
            Verdict::Tarpit(answer) => format!("tarpit {}", answer.status),
            Verdict::Return(answer) => format!("return {}", answer.status),
            Verdict::Redirect(redirect) => format!("redirect {}", redirect.code),
            Verdict::Prometheus => "prometheus".to_string(),
        }
    }

    /// What came of it, and the `x` fields left.
    #[track_caller]
    fn check(rules: &[HttpRequestRule], fields: &str, expected: &str, left: &[&str]) {
        let mut head = request(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{fields}\r\n").as_bytes());
        let verdict = run_request_rules(rules, &mut head, &facts(), &mut Handling::default());
        assert_eq!(shown(verdict), expected);
        let found: Vec<_> = head.fields().all(b"x").map(|value| String::from_utf8_lossy(value)).collect();
        assert_eq!(found, left);
        assert!(head.fields().contains(b"content-length"));
    }

    #[test]
    fn edits_are_made_at_once() {
        let rules = [rule(add("X", appended("x", "-2")), None), rule(set("x", appended("x", "-3")), None)];
        check(&rules, "X: a\r\nX: b\r\n", "continue", &["b-2-3"]);
        check(&rules, "", "continue", &["-2-3"]);
        let rules = [rule(set("X", appended("y", "")), None), rule(deny(403), when("x", "1"))];
        check(&rules, "Y: 1\r\n", "deny 403", &["1"]);
        check(&rules, "Y: 2\r\n", "continue", &["2"]);
    }

    #[test]
    fn the_first_decision_counts() {
        let rules = [
            rule(deny(429), when("x", "1")),
            rule(HttpRequestAction::Allow, when("x", "2")),
            rule(HttpRequestAction::ServePrometheus, when("x", "3")),
            rule(set("x", appended("x", "!")), None),
        ];
        check(&rules, "X: 1\r\n", "deny 429", &["1"]);
        check(&rules, "X: 2\r\n", "allow", &["2"]);
        check(&rules, "X: 3\r\n", "prometheus", &["3"]);
        check(&rules, "X: 4\r\n", "continue", &["4!"]);
    }

    #[test]
    fn an_empty_redirection_may_be_left_out() {
        let to = RedirectTo::Location(Format { parts: vec![FormatPart::Expr(header("x"))] });
        let redirect =
            Redirect { to, code: 301, drop_query: false, append_slash: false, set_cookie: None, ignore_empty: true };
        let rules = [rule(HttpRequestAction::Redirect(redirect), None)];
        check(&rules, "", "continue", &[]);
        check(&rules, "X: /there\r\n", "redirect 301", &["/there"]);
    }

    #[test]
    fn headers_go_by_pattern_but_framing_stays() {
        let del =
            |how, name: &str| rule(HttpRequestAction::DelHeader(HeaderPattern::Text { how, name: name.into() }), None);
        check(&[del(TextMatch::Exact, "x")], "X: 1\r\nXx: 2\r\n", "continue", &[]);
        check(&[del(TextMatch::Prefix, "xx")], "X: 1\r\nXx: 2\r\n", "continue", &["1"]);
        check(&[del(TextMatch::Substring, "CONTENT")], "X: 1\r\n", "continue", &["1"]);
        let regex = regex::bytes::Regex::new("(?i)^(x|content-length)$").unwrap();
        let rules = [rule(HttpRequestAction::DelHeader(HeaderPattern::Regex(regex)), None)];
        check(&rules, "X: 1\r\n", "continue", &[]);
    }

    #[test]
    fn nobody_can_write_a_second_line() {
        let rules = [rule(set("X", appended("y", "\r\nz: 1")), None)];
        check(&rules, "Y: 1\r\n", "continue", &["1  z: 1"]);
    }

    #[test]
    fn responses_see_their_request() {
        let mut head = response(b"HTTP/1.1 404 Not Found\r\nServer: s\r\nContent-Length: 0\r\n\r\n");
        let asked = request(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        let status = FormatPart::Expr(Expr { fetch: Fetch::Status, converters: Vec::new() });
        let path = FormatPart::Expr(Expr { fetch: Fetch::Path, converters: Vec::new() });
        let value = Format { parts: vec![status, path] };
        let server = HeaderPattern::Text { how: TextMatch::Exact, name: "server".to_string() };
        let rules = [
            HttpResponseRule { action: HttpResponseAction::SetHeader { name: "x".into(), value }, condition: None },
            HttpResponseRule { action: HttpResponseAction::DelHeader(server), condition: None },
        ];
        let verdict = run_response_rules(&rules, &mut head, &asked, &facts());
        assert_eq!(shown(verdict), "continue");
        assert_eq!(head.fields().get(b"x"), Some(&b"404/a"[..]));
        assert!(!head.fields().contains(b"server"));
    }
}
