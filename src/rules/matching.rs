//! Does a test hold, does a condition? (HAProxy manual 7.1, 7.2)

use super::{Context, Value, convert, fetch};
use crate::model::rule::{Acl, Condition, IntegerMatch, Matcher, Term, TermTest, Test, TextMatch};

/// Whether a rule applies. Terms are asked from left to right, and no more than needed.
pub(crate) fn holds(condition: &Condition, context: &Context<'_>) -> bool {
    let any = condition.any.iter().any(|all| all.iter().all(|term| term_holds(term, context)));
    any != condition.negated
}

fn term_holds(term: &Term, context: &Context<'_>) -> bool {
    let holds = match &term.test {
        TermTest::Acl(acl) => acl_holds(acl, context),
        TermTest::Anonymous(anonymous) => test(anonymous, context),
        TermTest::Always => true,
        TermTest::Never => false,
    };
    holds != term.negated
}

fn acl_holds(acl: &Acl, context: &Context<'_>) -> bool {
    acl.tests.iter().any(|one| test(one, context))
}

/// Whether a rule applies, as far as the client's first bytes tell. `None`: more of them could change the answer.
pub(super) fn decide(condition: &Condition, context: &Context<'_>) -> Option<bool> {
    let all = |terms: &Vec<Term>| every(terms.iter().map(|term| decide_term(term, context)));
    let any = some(condition.any.iter().map(all))?;
    Some(any != condition.negated)
}

fn decide_term(term: &Term, context: &Context<'_>) -> Option<bool> {
    let holds = match &term.test {
        TermTest::Acl(acl) => some(acl.tests.iter().map(|one| decide_test(one, context)))?,
        TermTest::Anonymous(anonymous) => decide_test(anonymous, context)?,
        TermTest::Always => true,
        TermTest::Never => false,
    };
    Some(holds != term.negated)
}

/// What matches now matches; what does not, may do so later.
fn decide_test(one: &Test, context: &Context<'_>) -> Option<bool> {
    if test(one, context) {
        return Some(true);
    }
    let open = context.facts.first_bytes.is_some_and(|first| first.may_change(&one.value.fetch));
    (!open).then_some(false)
}

/// An AND that knows what it does not know: one `false` decides.
fn every(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    some(answers.map(|answer| answer.map(|yes| !yes))).map(|any_not| !any_not)
}

/// An OR that knows what it does not know: one `true` decides.
fn some(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut found = Some(false);
    for answer in answers {
        match answer {
            Some(true) => return Some(true),
            Some(false) => {}
            None => found = None,
        }
    }
    found
}

/// Whether any value of the test's expression matches any of its patterns.
pub(crate) fn test(test: &Test, context: &Context<'_>) -> bool {
    fetch::any(&test.value.fetch, context, &mut |value| {
        let value = convert::apply_all(&test.value.converters, value);
        value.is_some_and(|value| matches(&test.matcher, &value))
    })
}

fn matches(matcher: &Matcher, value: &Value<'_>) -> bool {
    match matcher {
        Matcher::Found => true,
        Matcher::True => value.to_boolean().unwrap_or(false),
        Matcher::Integers(list) => value.to_integer().is_some_and(|number| in_ranges(list, number)),
        Matcher::Length(list) => i64::try_from(value.length()).is_ok_and(|length| in_ranges(list, length)),
        Matcher::Networks(networks) => value.to_address().is_some_and(|address| networks.contains(address)),
        Matcher::Regex(list) => with_bytes(value, |text| list.iter().any(|regex| regex.is_match(text))),
        Matcher::Text { how, ignore_case, patterns } => {
            with_bytes(value, |text| patterns.iter().any(|pattern| text_matches(*how, *ignore_case, text, pattern)))
        }
    }
}

fn in_ranges(list: &[IntegerMatch], number: i64) -> bool {
    list.iter().any(|range| (range.from..=range.to).contains(&number))
}

fn with_bytes(value: &Value<'_>, ask: impl FnOnce(&[u8]) -> bool) -> bool {
    match value {
        Value::Bytes(bytes) => ask(bytes),
        other => ask(&other.clone().into_bytes()),
    }
}

fn text_matches(how: TextMatch, ignore_case: bool, text: &[u8], pattern: &[u8]) -> bool {
    let same = |part: &[u8]| if ignore_case { part.eq_ignore_ascii_case(pattern) } else { part == pattern };
    match how {
        TextMatch::Exact => same(text),
        TextMatch::Prefix => text.get(..pattern.len()).is_some_and(same),
        TextMatch::Suffix => text.len().checked_sub(pattern.len()).is_some_and(|start| same(&text[start..])),
        TextMatch::Substring if !ignore_case => memchr::memmem::find(text, pattern).is_some(),
        TextMatch::Substring => pattern.is_empty() || text.windows(pattern.len()).any(same),
        TextMatch::Directory => whole_part(text, pattern.len(), b"/?", same),
        TextMatch::Domain => whole_part(text, pattern.len(), b"/?.:", same),
    }
}

/// Whether a stretch between delimiters, or the ends, is the pattern (manual 7.1.3, `dir` and `dom`).
fn whole_part(text: &[u8], length: usize, delimiters: &[u8], same: impl Fn(&[u8]) -> bool) -> bool {
    if length == 0 {
        return false;
    }
    let is_edge = |at: Option<usize>| at.and_then(|at| text.get(at)).is_none_or(|byte| delimiters.contains(byte));
    text.windows(length)
        .enumerate()
        .any(|(start, window)| is_edge(start.checked_sub(1)) && is_edge(Some(start + length)) && same(window))
}

/// Whether a header's name is meant; for `del-header`.
pub(super) fn name_matches(how: TextMatch, name: &[u8], pattern: &[u8]) -> bool {
    text_matches(how, true, name, pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(how: TextMatch, text: &str, yes: &[&str], no: &[&str]) {
        for (patterns, expected) in [(yes, true), (no, false)] {
            for pattern in patterns {
                let found = text_matches(how, false, text.as_bytes(), pattern.as_bytes());
                assert_eq!(found, expected, "{how:?} {text} {pattern}");
                let upper = pattern.to_uppercase();
                let found = text_matches(how, true, text.as_bytes(), upper.as_bytes());
                assert_eq!(found, expected, "{how:?} -i {text} {upper}");
            }
        }
    }

    #[test]
    fn texts() {
        check(TextMatch::Exact, "/a/b", &["/a/b"], &["", "/a", "/a/b/"]);
        check(TextMatch::Prefix, "/a/b", &["", "/a", "/a/b"], &["a", "/a/b/"]);
        check(TextMatch::Suffix, "/a/b", &["", "b", "/a/b"], &["a", "x/a/b"]);
        check(TextMatch::Substring, "/a/b", &["", "a/", "/a/b"], &["ab", "/a/b/"]);
        check(TextMatch::Substring, "", &[""], &["a"]);
    }

    #[test]
    fn parts_of_paths_and_domains() {
        let path = "/images/png/logo/32x32.png";
        let yes = ["images", "images/png", "png/logo", "logo/32x32.png", "32x32.png"];
        check(TextMatch::Directory, path, &yes, &["png/", "32x32", "image", ""]);
        let url = "http://www1.dc-eu.example.com:80/blah";
        let yes = ["http", "www1", "dc-eu", "example", "com", "80", "dc-eu.example", "blah", "dc-eu.example.com:80"];
        check(TextMatch::Domain, url, &yes, &["eu", "dc", "exampl", ""]);
        check(TextMatch::Domain, "xaxa.a", &["xaxa", "a"], &["xa"]);
        check(TextMatch::Directory, "a?b", &["a", "b"], &["a?"]);
    }
}
