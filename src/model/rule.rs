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
}

impl Condition {
    /// Whether it holds whatever comes, as `if TRUE` does.
    pub fn is_always(&self) -> bool {
        let holds = |term: &Term| !term.negated && matches!(term.test, TermTest::Always);
        !self.negated && self.any.iter().any(|terms| terms.iter().all(holds))
    }

    /// Whether any of its tests asks for a value that `is_meant`.
    pub fn asks(&self, is_meant: impl Fn(&Fetch) -> bool) -> bool {
        self.any.iter().flatten().any(|term| match &term.test {
            TermTest::Acl(acl) => acl.tests.iter().any(|test| is_meant(&test.value.fetch)),
            TermTest::Anonymous(test) => is_meant(&test.value.fetch),
            TermTest::Always | TermTest::Never => false,
        })
    }
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
    /// `base`, `baseq`: Host and path, with the query or without.
    Base {
        query: bool,
    },
    /// `url_param(name,delimiter)`; any parameter when there is no name.
    UrlParam {
        name: Option<String>,
        delimiter: u8,
    },
    /// `1.0`, `1.1`, `2.0`.
    Version,
    RequestHeader(HeaderRef),
    /// How many values, or lines when `whole_line`.
    RequestHeaderCount(HeaderRef),
    ResponseHeader(HeaderRef),
    ResponseHeaderCount(HeaderRef),
    /// Any cookie when there is no name.
    Cookie(Option<String>),
    CookieCount(Option<String>),
    /// The response's status.
    Status,
    Src,
    SrcPort,
    Dst,
    DstPort,
    SslFc,
    SslFcSni,
    SslFcHasSni,
    SslFcAlpn,
    SslFcProtocol,
    SslFcCipher,
    SslFcIsResumed,
    /// Bits of the cipher's key.
    SslFcUseKeysize,
    ClientCertificate(ClientField),
    FrontendName,
    BackendName,
    ServerName,
    /// `nbsrv(backend)`: servers usable now, as an index into [`Config::backends`](super::Config).
    UsableServers(super::BackendId),
    /// A constant: `str(x)`, `int(1)`, `bool(true)`.
    Constant(Constant),
    Hostname,
    /// Seconds since the epoch, plus this many.
    Date {
        offset: i64,
    },
    UniqueId,
    Always(bool),
    /// `fc_pp_tlv(type)`: what a PROXY header told besides addresses.
    ProxyTold(u8),
    /// Of the TLS hello among a session's first bytes: its type, always 1.
    HelloType,
    /// The host it asks for.
    HelloServerName,
    /// Major version * 65536 + minor version.
    HelloVersion,
    /// The first protocol it offers.
    HelloAlpn,
    /// Whether it names elliptic curves.
    HelloGroups,
    /// 0 without the session ticket extension, 1 with an empty one, 2 with a ticket.
    HelloTicket,
    /// How many bytes a session's client has sent so far.
    FirstLength,
    /// Some of them; all from the offset on when the length is 0.
    FirstPayload {
        offset: usize,
        length: usize,
    },
    /// Whether they are the head of an HTTP/1 request.
    SpeaksHttp,
    /// Whether no more of them are waited for.
    WaitEnd,
}

impl Fetch {
    /// Whether this asks for a request or a response.
    pub fn is_of_message(&self) -> bool {
        matches!(
            self,
            Fetch::Method
                | Fetch::Path
                | Fetch::PathQuery
                | Fetch::Url
                | Fetch::Query
                | Fetch::Base { .. }
                | Fetch::UrlParam { .. }
                | Fetch::Version
                | Fetch::RequestHeader(_)
                | Fetch::RequestHeaderCount(_)
                | Fetch::ResponseHeader(_)
                | Fetch::ResponseHeaderCount(_)
                | Fetch::Cookie(_)
                | Fetch::CookieCount(_)
                | Fetch::Status
        )
    }

    /// Whether this asks for a client's TLS hello.
    pub fn is_of_hello(&self) -> bool {
        matches!(
            self,
            Fetch::HelloType
                | Fetch::HelloServerName
                | Fetch::HelloVersion
                | Fetch::HelloAlpn
                | Fetch::HelloGroups
                | Fetch::HelloTicket
        )
    }

    /// Whether this asks for what a client sends first in a TCP session.
    pub fn is_of_first_bytes(&self) -> bool {
        let other =
            matches!(self, Fetch::FirstLength | Fetch::FirstPayload { .. } | Fetch::SpeaksHttp | Fetch::WaitEnd);
        other || self.is_of_hello()
    }
}

/// What of a client's certificate is meant (manual 7.3.4, `ssl_c_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientField {
    /// `ssl_c_used`
    Used,
    /// `ssl_fc_has_crt`: shown in this connection, not in an earlier one.
    Shown,
    /// `ssl_c_verify`, `ssl_c_err`, `ssl_c_ca_err`, `ssl_c_ca_err_depth`
    Verify,
    OwnError,
    ErrorAbove,
    ErrorDepth,
    Subject(NamePart),
    Issuer(NamePart),
    Serial,
    Sha1,
    Der,
    NotBefore,
    NotAfter,
    KeyAlgorithm,
    SignatureAlgorithm,
    Version,
}

/// Which part of a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamePart {
    /// `/C=DE/CN=x`
    Whole,
    /// `CN=x,C=DE` (RFC 2253).
    Ldap,
    /// The nth of this kind from 1, negative from the end.
    Entry { kind: String, occurrence: i32 },
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
    Base64,
    /// Two upper-case digits a byte.
    Hex,
    Lower,
    Upper,
    Length,
    /// `field(index,delimiters[,count])`.
    Field(Part),
    /// `word(index,delimiters[,count])`.
    Word(Part),
    RegSub {
        regex: Regex,
        replacement: String,
        all: bool,
    },
    /// `url_dec`: `+` is a blank behind a `?` only, or everywhere in a form.
    UrlDecode {
        form: bool,
    },
    Concat {
        before: String,
        after: String,
    },
    Not,
    HostOnly,
    PortOnly,
    /// What `hdr_val` does to the header's text.
    ToInteger,
    /// What `hdr_ip` does; what is no address is gone.
    ToAddress,
}

/// Which parts of a text are meant. Indexes count from 1, or from -1 at the end; never 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub index: i32,
    /// Never empty; each byte delimits.
    pub delimiters: String,
    /// How many parts, with what stands between them; 0 takes all that remain.
    pub count: usize,
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
    /// 500 by default, after `timeout tarpit`.
    Tarpit(Answer),
    Redirect(Redirect),
    Return(Answer),
    /// `disable-l7-retry`: once it was sent, the request is not sent again.
    DisableRetry,
    /// `set-priority-class`: -2047 to 2047, lower ones leave a queue first.
    SetPriorityClass(Expr),
    /// `set-priority-offset`: milliseconds, -524287 to 524287, added to the time a request began to wait.
    SetPriorityOffset(Expr),
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
    /// Field lines besides those of the body; not sent with an error page or [`AnswerBody::Raw`].
    pub headers: Vec<(String, Format)>,
}

#[derive(Debug, Clone)]
pub(crate) enum AnswerBody {
    /// `string`, or `file` read when the configuration was.
    Fixed(Arc<[u8]>),
    /// `lf-string`, `lf-file`.
    Format(Format),
    /// `errorfile`: a whole raw response, head included.
    Raw(Arc<[u8]>),
}

/// `redirect location|prefix|scheme` (manual 4.4).
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    pub to: RedirectTo,
    /// 301, 302, 303, 307 or 308; 302 by default.
    pub code: u16,
    pub drop_query: bool,
    pub append_slash: bool,
    /// The whole value of the Set-Cookie field.
    pub set_cookie: Option<String>,
    /// An empty location means: no redirect (`ignore-empty`).
    pub ignore_empty: bool,
}

impl Redirect {
    /// Others are sent with `cache-control: no-cache`, as HAProxy does.
    pub fn is_permanent(&self) -> bool {
        matches!(self.code, 301 | 308)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum RedirectTo {
    Location(Format),
    Prefix(Format),
    Scheme(Format),
}
