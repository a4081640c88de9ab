//! Conditions, values and actions as typed trees (HAProxy manual chapters 4.3 and 7). `config/expr` builds them
//! from text, `rules` evaluates them; nothing is parsed while a request waits.

use std::sync::Arc;

use regex::bytes::Regex;

use super::forwarded::Networks;

/// `if A B or !C`: an OR of ANDs. `unless X` is built as its negation.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// `unless`.
    pub negated: bool,
    pub any: Vec<Vec<Term>>,
    /// As the operator wrote it, for messages.
    pub text: Arc<str>,
}

#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub negated: bool,
    pub test: TermTest,
}

#[derive(Debug, Clone)]
pub(crate) enum TermTest {
    Acl(Arc<Acl>),
    /// `{ path_beg /x }` in place.
    Anonymous(Arc<Test>),
    Always,
    Never,
}

/// A named ACL; several lines of one name hold when any of them does.
#[derive(Debug)]
pub(crate) struct Acl {
    pub name: String,
    pub tests: Vec<Test>,
}

/// A value and what it must match.
#[derive(Debug)]
pub(crate) struct Test {
    pub value: Expr,
    pub matcher: Matcher,
}

/// A sample fetch with the converters behind it: `req.hdr(host),lower`.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub fetch: Fetch,
    pub converters: Vec<Converter>,
}

/// Where a value comes from (manual 7.3). Grows by a row here, one in `config/expr` and one in `rules/fetch`.
#[derive(Debug, Clone)]
pub(crate) enum Fetch {
    Method,
    /// The path without the query.
    Path,
    /// Path and query.
    PathQuery,
    /// The target as received.
    Url,
    Query,
    /// `url_param(name)`.
    UrlParam(String),
    /// `1.0`, `1.1`, `2.0`.
    Version,
    RequestHeader(HeaderRef),
    RequestHeaderCount(String),
    ResponseHeader(HeaderRef),
    Cookie(String),
    /// The response's status.
    Status,
    Src,
    SrcPort,
    Dst,
    DstPort,
    SslFc,
    SslFcSni,
    SslFcAlpn,
    SslFcProtocol,
    SslFcCipher,
    FrontendName,
    BackendName,
    /// `nbsrv(backend)`: servers usable now, as an index into [`Config::backends`](super::Config).
    UsableServers(super::BackendId),
    /// A constant: `str(x)`, `int(1)`, `bool(true)`.
    Constant(Constant),
    Hostname,
    /// Seconds since the epoch.
    Date,
    UniqueId,
    Always(bool),
}

/// Which of several field lines of one name is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderRef {
    /// Lower-case.
    pub name: String,
    /// `None`: any for a match, the last for a value. `Some(n)`: the nth from 1, negative from the end.
    pub occurrence: Option<i32>,
    /// `req.fhdr`: the whole line, not its comma-separated parts.
    pub whole_line: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

/// What is done to a value on its way (manual 7.3.1).
#[derive(Debug, Clone)]
pub(crate) enum Converter {
    Lower,
    Upper,
    Length,
    /// `field(index,delimiters[,count])`.
    Field {
        index: i32,
        delimiters: String,
    },
    /// `word(index,delimiters)`.
    Word {
        index: i32,
        delimiters: String,
    },
    RegSub {
        regex: Regex,
        replacement: String,
        all: bool,
    },
    UrlDecode,
    Concat {
        before: String,
        after: String,
    },
    Not,
    HostOnly,
    PortOnly,
}

/// What a value is held against (manual 7.1).
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    /// `-m str` and its kin; any pattern may hit.
    Text {
        how: TextMatch,
        ignore_case: bool,
        patterns: Vec<Vec<u8>>,
    },
    Regex(Vec<Regex>),
    /// `-m ip`, and `src` by default.
    Networks(Networks),
    /// `gt 3`, `80:90`, `eq 1`.
    Integers(Vec<IntegerMatch>),
    /// `-m found`: the value exists.
    Found,
    /// `-m bool`, and boolean fetches by default.
    True,
    /// `-m len`.
    Length(Vec<IntegerMatch>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextMatch {
    Exact,
    Prefix,
    Suffix,
    Substring,
    /// A whole part between slashes.
    Directory,
    /// A whole part between dots.
    Domain,
}

/// Inclusive; `gt 3` is 4 up to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntegerMatch {
    pub from: i64,
    pub to: i64,
}

/// A log-format string (manual 8.2.6): literals, `%[expr]` and `%ci` variables.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    pub parts: Vec<FormatPart>,
}

#[derive(Debug, Clone)]
pub(crate) enum FormatPart {
    Text(String),
    Expr(Expr),
    Variable(FormatVariable),
}

/// The variables that make sense while a request is being handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatVariable {
    ClientIp,
    ClientPort,
    FrontendIp,
    FrontendPort,
    FrontendName,
    BackendName,
    ServerName,
    Method,
    /// `%HP`
    Path,
    /// `%HU`
    Uri,
    /// `%HQ`
    Query,
    /// `%HV`
    Version,
    UniqueId,
    Hostname,
    Pid,
}

/// One `http-request` line.
#[derive(Debug, Clone)]
pub(crate) struct HttpRequestRule {
    pub action: HttpRequestAction,
    pub condition: Option<Condition>,
}

#[derive(Debug, Clone)]
pub(crate) enum HttpRequestAction {
    Allow,
    SetHeader {
        name: String,
        value: Format,
    },
    AddHeader {
        name: String,
        value: Format,
    },
    DelHeader(HeaderPattern),
    Deny(Answer),
    Redirect(Redirect),
    Return(Answer),
    /// `http-request use-service prometheus-exporter`.
    ServePrometheus,
}

/// One `http-response` line.
#[derive(Debug, Clone)]
pub(crate) struct HttpResponseRule {
    pub action: HttpResponseAction,
    pub condition: Option<Condition>,
}

#[derive(Debug, Clone)]
pub(crate) enum HttpResponseAction {
    Allow,
    SetHeader {
        name: String,
        value: Format,
    },
    AddHeader {
        name: String,
        value: Format,
    },
    DelHeader(HeaderPattern),
    /// 502 by default.
    Deny(Answer),
}

/// `del-header name [-m str|beg|end|sub|reg]`.
#[derive(Debug, Clone)]
pub(crate) enum HeaderPattern {
    Text { how: TextMatch, name: String },
    Regex(Regex),
}

/// What the proxy answers by itself.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    /// Absent: the error page of that status, if there is one, else an empty body.
    pub body: Option<AnswerBody>,
    pub headers: Vec<(String, Format)>,
}

#[derive(Debug, Clone)]
pub(crate) enum AnswerBody {
    /// `string`, or `file` read when the configuration was.
    Fixed(Arc<[u8]>),
    /// `lf-string`, `lf-file`.
    Format(Format),
}

/// `redirect location|prefix|scheme` (manual 4.4).
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    pub to: RedirectTo,
    /// 301, 302, 303, 307 or 308; 302 by default.
    pub code: u16,
    pub drop_query: bool,
    pub append_slash: bool,
    pub set_cookie: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum RedirectTo {
    Location(Format),
    Prefix(Format),
    Scheme(Format),
}
