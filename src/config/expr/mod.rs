//! What do the words of a condition, a value or an action mean? Words in, typed trees of `model::rule` out
//! (HAProxy manual 4.2 `http-request`, 7 and 8.2.6).
//!
//! Shared by both readers through `config/resolve`. Knows nothing of files and positions: an error names a word, the
//! caller knows where that word stands; pattern files are read by a function of the caller.

mod acl;
mod action;
mod answer;
mod arguments;
mod client_certificate;
mod condition;
mod converter;
pub(crate) mod fetch;
mod format;
mod known;
mod pattern;
mod redirect;
mod tcp_action;

pub(crate) use acl::parse_acl;
pub(crate) use action::{parse_request_action, parse_response_action};
pub(crate) use arguments::parse_address_field;
pub(crate) use condition::parse_condition;
pub(crate) use format::parse_format;
pub(crate) use redirect::parse_redirect;
pub(crate) use tcp_action::{Stage, parse_tcp_action};

#[cfg(test)]
pub(crate) use testing::{with_scope, words};

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::diag::did_you_mean;
use crate::model::rule::Acl;
use crate::model::{BackendId, Mode};

/// Where words stand, and so what they can refer to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub mode: Mode,
    pub side: Side,
    /// ACLs that may be used here, by name.
    pub acls: &'a dyn Fn(&str) -> Option<Arc<Acl>>,
    /// Their names, for suggestions.
    pub acl_names: &'a [String],
    pub backends: &'a dyn Fn(&str) -> Option<BackendId>,
    /// Their names, for suggestions.
    pub backend_names: &'a [String],
    /// The backend these words stand in, if it is one: what `nbsrv` means without a name.
    pub own_backend: Option<BackendId>,
    /// Reads pattern, answer and error files.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// Which message a rule handles. `hdr()` in its values means that message's header; in tests it always means the
/// request's, as in HAProxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// What is wrong with the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExprError {
    /// Index of the word it is about; the number of words when something is missing at the end.
    pub word: usize,
    /// Lower case, no final dot.
    pub message: String,
    /// What may be done.
    pub hint: Option<String>,
}

impl ExprError {
    fn new(word: usize, message: impl Into<String>) -> Self {
        ExprError { word, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the message with "did you mean …?" when a candidate is close to what was written.
    fn suggest<'a>(mut self, written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(word) = did_you_mean(written, candidates) {
            self.message.push_str(&format!("; did you mean `{word}`?"));
        }
        self
    }

    /// The same error, told of another word.
    fn at(mut self, word: usize) -> Self {
        self.word = word;
        self
    }

    /// The same error of words that start at `first` in the caller's.
    fn after(mut self, first: usize) -> Self {
        self.word += first;
        self
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExprError {}

/// A field name of RFC 9110 §5.1.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A regular expression over bytes, as PCRE matches without UTF mode.
fn parse_regex(text: &str, ignore_case: bool) -> Result<regex::bytes::Regex, ExprError> {
    let built = regex::bytes::RegexBuilder::new(text).case_insensitive(ignore_case).unicode(false).build();
    built.map_err(|error| {
        // The crate's message draws the pattern over several lines; its last line says what is wrong.
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error:").trim().to_string();
        let error = ExprError::new(0, format!("`{text}` is not a regular expression that can be used here: {reason}"));
        let foreign = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "\\1", "\\2", "++", "*+", "?+"];
        if foreign.iter().any(|sign| text.contains(sign)) {
            error.hint("look-around, back-references and possessive repetition of PCRE are not available: matching here takes linear time, always")
        } else {
            error
        }
    })
}

/// A scope for tests: one backend, one ACL, no files.
#[cfg(test)]
mod testing {
    use super::*;
    use crate::model::rule::Test;

    /// Runs `check` with a scope that knows the backends `two` (0) and `none` (1), the ACL `known` (true for HTTP),
    /// and a file `patterns`.
    pub(crate) fn with_scope<T>(mode: Mode, side: Side, check: impl FnOnce(&Scope<'_>) -> T) -> T {
        let acl = Arc::new(Acl { name: "known".to_string(), tests: Vec::<Test>::new() });
        let names = ["known".to_string()];
        let backends = ["two".to_string(), "none".to_string()];
        check(&Scope {
            mode,
            side,
            acls: &|name| (name == "known").then(|| Arc::clone(&acl)),
            acl_names: &names,
            backends: &|name| backends.iter().position(|known| known == name).map(|at| BackendId(at as u32)),
            backend_names: &backends,
            own_backend: None,
            read: &|path| match path.to_str() {
                Some("patterns") => Ok(b"# a comment\n/a\n\n  /b/c \r\n".to_vec()),
                Some("500.http") => Ok(b"HTTP/1.0 500 Oops\r\n\r\nx".to_vec()),
                Some("bytes") => Ok(vec![0xff, 0]),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
        })
    }

    pub(crate) fn words(text: &str) -> Vec<String> {
        crate::config::words::split(text).unwrap()
    }
}
