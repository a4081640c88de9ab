//! When does a rule apply? `A !B or { test }` (HAProxy manual 7.2, 7.4).

use std::sync::Arc;

use super::acl::{needs_response, parse_test};
use super::{ExprError, Scope, Side};
use crate::model::Mode;
use crate::model::rule::{Condition, Term, TermTest};

/// ACLs that need no declaration (manual 7.4), in the words one would declare them with.
#[rustfmt::skip] // a table of words
const PREDEFINED: &[(&str, &[&str])] = &[
    ("FALSE", &["always_false"]),
    ("HTTP", &["req.proto_http"]),
    ("HTTP_1.0", &["req.ver", "1.0"]),
    ("HTTP_1.1", &["req.ver", "1.1"]),
    ("HTTP_2.0", &["req.ver", "2.0"]),
    ("HTTP_CONTENT", &["req.hdr_val(content-length)", "gt", "0"]),
    ("HTTP_URL_ABS", &["url_reg", "^[^/:]*://"]),
    ("HTTP_URL_SLASH", &["url_beg", "/"]),
    ("HTTP_URL_STAR", &["url", "*"]),
    ("LOCALHOST", &["src", "127.0.0.1/8", "::1"]),
    ("METH_CONNECT", &["method", "CONNECT"]),
    ("METH_DELETE", &["method", "DELETE"]),
    ("METH_GET", &["method", "GET", "HEAD"]),
    ("METH_HEAD", &["method", "HEAD"]),
    ("METH_OPTIONS", &["method", "OPTIONS"]),
    ("METH_POST", &["method", "POST"]),
    ("METH_PUT", &["method", "PUT"]),
    ("METH_TRACE", &["method", "TRACE"]),
    ("REQ_CONTENT", &["req.len", "gt", "0"]),
    ("RDP_COOKIE", &["req.rdp_cookie_cnt", "gt", "0"]),
    ("TRUE", &["always_true"]),
    ("WAIT_END", &["wait_end"]),
];

/// Reads the words behind `if`, or behind `unless`, which negates the whole.
///
/// # Errors
/// Unknown ACLs, open braces, anything a test in braces can be refused for; empty alternatives, which HAProxy takes.
pub(crate) fn parse_condition(words: &[String], unless: bool, scope: &Scope<'_>) -> Result<Condition, ExprError> {
    if words.is_empty() {
        return Err(ExprError::new(0, "a condition is missing"));
    }
    let mut any = Vec::new();
    let mut all = Vec::new();
    let mut negated = false;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "or" || word == "||" {
            if all.is_empty() || negated || at + 1 == words.len() {
                return Err(ExprError::new(at, format!("`{word}` needs a term on both sides")));
            }
            any.push(std::mem::take(&mut all));
            at += 1;
            continue;
        }
        let name = word.trim_start_matches('!');
        negated ^= (word.len() - name.len()) % 2 == 1;
        if name.is_empty() {
            if at + 1 == words.len() {
                return Err(ExprError::new(at, "`!` needs a term behind it"));
            }
            at += 1;
            continue;
        }
        let test = if name == "{" {
            let inner = words.get(at + 1..).unwrap_or_default();
            let Some(length) = inner.iter().position(|word| word == "}") else {
                return Err(ExprError::new(at, "`{` is never closed by `}`")
                    .hint("braces are words of their own: a blank stands before and behind each"));
            };
            let test = parse_test(&inner[..length], scope).map_err(|error| error.after(at + 1))?;
            at += length + 2;
            TermTest::Anonymous(Arc::new(test))
        } else {
            let test = named(name, scope).map_err(|error| error.after(at))?;
            at += 1;
            test
        };
        all.push(Term { negated: std::mem::take(&mut negated), test });
    }
    any.push(all);
    Ok(Condition { negated: unless, any })
}

fn named(name: &str, scope: &Scope<'_>) -> Result<TermTest, ExprError> {
    if let Some(acl) = (scope.acls)(name) {
        if scope.side == Side::Request && acl.tests.iter().any(needs_response) {
            let message = format!("ACL `{name}` asks something of the response, which there is none of yet here");
            return Err(ExprError::new(0, message).hint("use it in `http-response` rules"));
        }
        return Ok(TermTest::Acl(acl));
    }
    match name {
        "TRUE" => return Ok(TermTest::Always),
        // A request is there when it is looked at.
        "WAIT_END" | "REQ_CONTENT" if scope.mode == Mode::Http => return Ok(TermTest::Always),
        "FALSE" => return Ok(TermTest::Never),
        _ => {}
    }
    if let Some((_, words)) = PREDEFINED.iter().find(|(known, _)| *known == name) {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let test = parse_test(&words, scope).map_err(|error| {
            let told = format!("`{name}` cannot be used here: {}", error.message);
            ExprError { message: told, ..error }.at(0)
        })?;
        return Ok(TermTest::Anonymous(Arc::new(test)));
    }
    let known = scope.acl_names.iter().map(String::as_str).chain(PREDEFINED.iter().map(|(known, _)| *known));
    let error = ExprError::new(0, format!("there is no ACL `{name}`")).suggest(name, known);
    Err(match name {
        "and" | "AND" | "&&" => error.hint("terms that follow each other must all hold: leave the word out"),
        "OR" => error.hint("write `or` or `||`"),
        "if" | "unless" => error.hint("one `if` or `unless` starts a condition; join terms by `or`, or by nothing"),
        "}" => error.hint("a `{` is missing before the test"),
        _ if name.starts_with('{') || name.ends_with('}') => {
            error.hint("braces are words of their own: a blank stands before and behind each")
        }
        _ => error.hint("tests without a name stand in braces, as in `{ path_beg /img }`"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{with_scope, words};
    use super::*;
    use crate::model::rule::Acl;

    /// Terms as `a`cl, `t`est, `1` or `0`, `!` before; `|` between alternatives.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = with_scope(Mode::Http, Side::Request, |scope| match parse_condition(&words(text), false, scope) {
            Ok(condition) => shown(&condition),
            Err(error) => format!("{}: {error}", error.word),
        });
        assert_eq!(shown, expected, "{text}");
    }

    fn shown(condition: &Condition) -> String {
        let term = |term: &Term| {
            let sign = match term.test {
                TermTest::Acl(_) => 'a',
                TermTest::Anonymous(_) => 't',
                TermTest::Always => '1',
                TermTest::Never => '0',
            };
            format!("{}{sign}", if term.negated { "!" } else { "" })
        };
        let all = |all: &Vec<Term>| all.iter().map(term).collect::<Vec<_>>().join(" ");
        condition.any.iter().map(all).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn terms_and_operators() {
        check("known", "a");
        check("known !known", "a !a");
        check("known or ! known || TRUE", "a | !a | 1");
        check("!!TRUE ! !FALSE", "1 0");
        check("{ path_beg /a } !{ src 10.0.0.1 }", "t !t");
        check("! { path /a }", "!t");
        check("METH_GET LOCALHOST HTTP_1.1 HTTP WAIT_END", "t t t t 1");
    }

    #[test]
    fn every_predefined_acl_but_one_is_built() {
        with_scope(Mode::Http, Side::Request, |scope| {
            for (name, _) in PREDEFINED {
                assert_eq!(named(name, scope).is_ok(), *name != "RDP_COOKIE", "{name}");
            }
        });
    }

    #[test]
    fn errors_name_their_word() {
        check("", "0: a condition is missing");
        check("known knwon", "1: there is no ACL `knwon`; did you mean `known`?");
        check("known and known", "1: there is no ACL `and`");
        check("known or", "1: `or` needs a term on both sides");
        check("or known", "0: `or` needs a term on both sides");
        check("known ! or known", "2: `or` needs a term on both sides");
        check("known !", "1: `!` needs a term behind it");
        check("known { path /a", "1: `{` is never closed by `}`");
        check("path /a }", "0: there is no ACL `path`");
        check("known { }", "2: a test is missing: say what is compared, such as `path_beg /img`");
        check("known { dst_port x }", "3: `x` is not a number or a range of numbers");
        check(
            "RDP_COOKIE",
            "0: `RDP_COOKIE` cannot be used here: the fetch `req.rdp_cookie_cnt` is known but not built yet",
        );
    }

    #[test]
    fn an_acl_of_the_response_is_refused_where_there_is_none() {
        with_scope(Mode::Http, Side::Request, |scope| {
            let test = super::super::parse_acl("ok", &words("status 200"), scope).unwrap();
            let acl = Arc::new(Acl { name: "ok".to_string(), tests: vec![test] });
            let acls = |name: &str| (name == "ok").then(|| Arc::clone(&acl));
            let request = Scope { acls: &acls, ..*scope };
            let error = parse_condition(&words("TRUE ok"), false, &request).map(|_| ()).unwrap_err();
            assert_eq!((error.word, error.message.contains("asks something of the response")), (1, true));
            let response = Scope { side: Side::Response, ..request };
            assert!(parse_condition(&words("TRUE ok"), false, &response).is_ok());
        });
    }

    #[test]
    fn unless_negates_the_whole() {
        let condition = with_scope(Mode::Http, Side::Request, |scope| {
            parse_condition(&words("known  or TRUE"), true, scope).unwrap()
        });
        assert!(condition.negated);
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "or",
                "||",
                "!",
                "{",
                "}",
                "known",
                "TRUE",
                "path",
                "path_beg",
                "hdr(host)",
                "src",
                "-i",
                "-m",
                "-f",
                "--",
                "beg",
                "gt",
                "1:",
                "10.0.0.0/8",
                "%[path]",
                "nbsrv(two)",
                "str('a",
                "path,field(1,/)",
            ])
            .prop_map(str::to_string),
            ".{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn no_words_make_the_parsers_panic(words in prop::collection::vec(word(), 0..9)) {
            for (mode, side) in [(Mode::Http, Side::Request), (Mode::Http, Side::Response), (Mode::Tcp, Side::Request)] {
                with_scope(mode, side, |scope| {
                    if let Err(error) = parse_condition(&words, false, scope) {
                        assert!(error.word <= words.len(), "{error:?}");
                        assert!(!error.message.is_empty() && !error.message.ends_with('.'), "{error:?}");
                    }
                    let _ = super::super::parse_acl("a", &words, scope);
                    let _ = super::super::parse_redirect(&words, scope);
                    for action in ["allow", "set-header", "add_header", "del-header", "deny", "redirect", "return", "x"] {
                        let _ = super::super::parse_request_action(action, &words, scope);
                        let _ = super::super::parse_response_action(action, &words, scope);
                    }
                    for word in &words {
                        let _ = super::super::fetch::parse_expr(word, scope);
                        let _ = super::super::parse_format(word, scope);
                    }
                });
            }
        }
    }
}
