//! The HTTP check: what is asked, and is the answer the one wanted? (HAProxy manual 4.2, `option httpchk`, `http-check`)
//!
//! Answers are read with the codec the traffic goes through, so a server that passes its check can be understood when
//! it serves. Texts of what went wrong are HAProxy's where it has one.

use super::{Judgement, Outcome};
use crate::http::{BodyReader, Progress, ResponseHead, ResponseTo};
use crate::model::check::{CheckHttpVersion, Expect, ExpectWhat, HttpCheck};
use crate::model::global::HttpLimits;

/// Bytes of a body that expectations look at; what comes behind is not read.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;

/// Bytes of a reason phrase or body kept for the log and the history.
const SHOWN: usize = 100;

/// Appends the request. The connection is for this one exchange.
pub(crate) fn request(check: &HttpCheck, out: &mut Vec<u8>) {
    let version = match check.version {
        CheckHttpVersion::Http10 => "HTTP/1.0",
        CheckHttpVersion::Http11 => "HTTP/1.1",
    };
    out.extend_from_slice(format!("{} {} {version}\r\n", check.method, check.uri).as_bytes());
    for (name, value) in &check.headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let has = |wanted: &str| check.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !check.body.is_empty() && !has("content-length") {
        out.extend_from_slice(format!("Content-Length: {}\r\n", check.body.len()).as_bytes());
    }
    if check.version == CheckHttpVersion::Http11 && !has("connection") {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&check.body);
}

/// One exchange from the side that waits for the answer.
#[derive(Debug)]
pub(crate) struct HttpDialog<'a> {
    check: &'a HttpCheck,
    limits: HttpLimits,
    head: ResponseHead,
    /// Once the head is complete.
    reader: Option<BodyReader>,
    body: Vec<u8>,
    /// Of the body, bytes read but not understood yet.
    pending: Vec<u8>,
}

impl<'a> HttpDialog<'a> {
    pub fn new(check: &'a HttpCheck, limits: HttpLimits) -> Self {
        HttpDialog { check, limits, head: ResponseHead::new(), reader: None, body: Vec::new(), pending: Vec::new() }
    }

    /// Takes in what was read. `None`: more is needed.
    pub fn feed(&mut self, input: &[u8]) -> Option<Judgement> {
        if self.reader.is_some() {
            self.pending.extend_from_slice(input);
            return self.read_body();
        }
        self.head.input().extend_from_slice(input);
        let to = if self.check.method == "HEAD" { ResponseTo::Head } else { ResponseTo::Other };
        loop {
            match self.head.parse(&self.limits, to) {
                Ok(Progress::Partial) => return None,
                Ok(Progress::Complete) if self.head.is_interim() => self.head.next(0), // the answer follows
                Ok(Progress::Complete) => break,
                Err(bad) => return Some(self.invalid(bad.to_string())),
            }
        }
        self.reader = Some(BodyReader::new(self.head.body()));
        self.pending = self.head.rest().to_vec();
        if self.looks_at_body() { self.read_body() } else { Some(self.judge()) }
    }

    /// The server closed its side.
    pub fn closed(&mut self) -> Judgement {
        match &self.reader {
            Some(_) => self.judge(), // by what came of the body, as HAProxy does
            None if self.head.input().is_empty() => self.invalid("the server closed without an answer".to_owned()),
            None => self.invalid("the server closed in the middle of its answer's head".to_owned()),
        }
    }

    fn looks_at_body(&self) -> bool {
        let of_body = |expect: &Expect| matches!(expect.what, ExpectWhat::BodyContains(_) | ExpectWhat::BodyMatches(_));
        self.check.expect.iter().any(of_body)
    }

    fn read_body(&mut self) -> Option<Judgement> {
        let reader = self.reader.as_mut()?;
        let mut done = reader.is_done();
        let mut used = 0;
        while !done && used < self.pending.len() {
            let rest = self.pending.get(used..).unwrap_or_default();
            let fed = match reader.feed(rest) {
                Ok(fed) => fed,
                Err(bad) => return Some(self.invalid(bad.to_string())),
            };
            self.body.extend_from_slice(rest.get(fed.data.clone()).unwrap_or_default());
            done = fed.done || self.body.len() >= BODY_LIMIT;
            used += fed.consumed;
            if fed.consumed == 0 {
                break;
            }
        }
        self.pending.drain(..used);
        self.body.truncate(BODY_LIMIT);
        done.then(|| self.judge())
    }

    fn judge(&self) -> Judgement {
        let status = self.head.status();
        if self.check.expect.is_empty() {
            return match status {
                200..=399 => self.passed(),
                _ => self.wrong_status("2xx or 3xx".to_owned(), status.to_string()),
            };
        }
        self.check.expect.iter().find_map(|expect| self.failure(expect)).unwrap_or_else(|| self.passed())
    }

    /// `None` when the expectation holds.
    fn failure(&self, expect: &Expect) -> Option<Judgement> {
        let status = self.head.status();
        let holds = match &expect.what {
            ExpectWhat::Status(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&status)),
            ExpectWhat::StatusMatches(regex) => regex.is_match(status.to_string().as_bytes()),
            ExpectWhat::BodyContains(text) => memchr::memmem::find(&self.body, text).is_some(),
            ExpectWhat::BodyMatches(regex) => regex.is_match(&self.body),
            ExpectWhat::Header { name, value } => match value {
                None => self.head.fields().contains(name.as_bytes()),
                Some(value) => self.head.fields().all(name.as_bytes()).any(|found| found == value.as_bytes()),
            },
        };
        if holds != expect.negated {
            return None;
        }
        let wanted = describe(expect);
        Some(match &expect.what {
            ExpectWhat::Status(_) | ExpectWhat::StatusMatches(_) => self.wrong_status(wanted, status.to_string()),
            ExpectWhat::Header { name, .. } => {
                let found: Vec<_> = self.head.fields().all(name.as_bytes()).map(shown).collect();
                let got = if found.is_empty() { "no such field".to_owned() } else { found.join(", ") };
                self.wrong_status(wanted, got)
            }
            ExpectWhat::BodyContains(_) | ExpectWhat::BodyMatches(_) => {
                let info = if expect.negated {
                    "HTTP check matched unwanted content"
                } else {
                    "HTTP content check did not match"
                };
                Judgement { expected: Some(wanted), got: Some(shown(&self.body)), ..self.invalid(info.to_owned()) }
            }
        })
    }

    fn passed(&self) -> Judgement {
        let code = Some(self.head.status());
        Judgement { outcome: Outcome::L7Ok, code, info: String::new(), expected: None, got: None }
    }

    fn wrong_status(&self, expected: String, got: String) -> Judgement {
        Judgement {
            outcome: Outcome::L7Status,
            code: Some(self.head.status()),
            info: shown(self.head.reason()),
            expected: Some(expected),
            got: Some(got),
        }
    }

    fn invalid(&self, info: String) -> Judgement {
        Judgement { outcome: Outcome::L7Response, code: None, info, expected: None, got: None }
    }
}

/// As `http-check expect` would say it.
fn describe(expect: &Expect) -> String {
    let text = match &expect.what {
        ExpectWhat::Status(ranges) => {
            let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
            format!("status {}", ranges.iter().map(range).collect::<Vec<_>>().join(","))
        }
        ExpectWhat::StatusMatches(regex) => format!("rstatus {regex}"),
        ExpectWhat::BodyContains(text) => format!("string {}", shown(text)),
        ExpectWhat::BodyMatches(regex) => format!("rstring {regex}"),
        ExpectWhat::Header { name, value: None } => format!("hdr name {name}"),
        ExpectWhat::Header { name, value: Some(value) } => format!("hdr name {name} value {value}"),
    };
    if expect.negated { format!("! {text}") } else { text }
}

/// The server's bytes in a form that is safe in a log line and on a page.
fn shown(bytes: &[u8]) -> String {
    let cut = bytes.get(..SHOWN).unwrap_or(bytes);
    let mut text: String =
        String::from_utf8_lossy(cut).chars().map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect();
    if cut.len() < bytes.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;
    use crate::model::testing::http_check;

    fn expecting(what: ExpectWhat) -> HttpCheck {
        HttpCheck { expect: vec![Expect { negated: false, what }], ..http_check() }
    }

    fn refusing(what: ExpectWhat) -> HttpCheck {
        HttpCheck { expect: vec![Expect { negated: true, what }], ..http_check() }
    }

    /// Feeds the answer whole and byte by byte, then closes; both must end alike.
    #[track_caller]
    fn check(dialog: &HttpCheck, answer: &str, outcome: Outcome, code: Option<u16>, info: &str) {
        let judge = |step: usize| {
            let mut dialog = HttpDialog::new(dialog, HttpLimits::default());
            answer.as_bytes().chunks(step).find_map(|part| dialog.feed(part)).unwrap_or_else(|| dialog.closed())
        };
        let at_once = judge(answer.len().max(1));
        assert_eq!((at_once.outcome, at_once.code, at_once.info.as_str()), (outcome, code, info), "{answer:?}");
        assert_eq!(judge(1), at_once, "byte by byte: {answer:?}");
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn any_2xx_or_3xx_will_do_without_expectations() {
        let plain = http_check();
        check(&plain, OK, Outcome::L7Ok, Some(200), "");
        check(&plain, "HTTP/1.0 302 Found\r\n\r\n", Outcome::L7Ok, Some(302), "");
        check(&plain, "HTTP/1.1 503 Service Unavailable\r\n\r\n", Outcome::L7Status, Some(503), "Service Unavailable");
        check(&plain, "HTTP/1.1 404 Not\"Found\r\n\r\n", Outcome::L7Status, Some(404), "Not Found");
        check(&plain, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Outcome::L7Ok, Some(204), "");
    }

    #[test]
    fn what_is_no_http_answer_is_told() {
        let plain = http_check();
        check(&plain, "", Outcome::L7Response, None, "the server closed without an answer");
        check(&plain, "HTTP/1.1 20", Outcome::L7Response, None, "the server closed in the middle of its answer's head");
        let mut garbage = HttpDialog::new(&plain, HttpLimits::default());
        let judged = garbage.feed(b"SSH-2.0-OpenSSH_9.2\r\n").map(|judgement| judgement.outcome);
        assert_eq!(judged, Some(Outcome::L7Response));
        let mut endless = HttpDialog::new(&plain, HttpLimits { head: 1000, fields: 10, target: 1000 });
        let line = "X: y\r\n".repeat(300);
        let judged = endless.feed(format!("HTTP/1.1 200 OK\r\n{line}").as_bytes()).map(|judgement| judgement.outcome);
        assert_eq!(judged, Some(Outcome::L7Response));
    }

    #[test]
    fn status_expectations() {
        let wanted = || ExpectWhat::Status(vec![(200, 200), (300, 399)]);
        check(&expecting(wanted()), OK, Outcome::L7Ok, Some(200), "");
        check(&expecting(wanted()), "HTTP/1.1 201 Created\r\n\r\n", Outcome::L7Status, Some(201), "Created");
        check(&refusing(wanted()), OK, Outcome::L7Status, Some(200), "OK");
        let regex = ExpectWhat::StatusMatches(Regex::new("^3").unwrap());
        check(&expecting(regex), OK, Outcome::L7Status, Some(200), "OK");
    }

    #[test]
    fn body_expectations_read_every_framing() {
        let contains = |text: &str| ExpectWhat::BodyContains(text.as_bytes().to_vec());
        let unmatched = "HTTP content check did not match";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        let until_close = "HTTP/1.0 200 OK\r\n\r\nhello";
        let cut_short = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
        for answer in [OK, chunked, until_close, cut_short] {
            check(&expecting(contains("hello")), answer, Outcome::L7Ok, Some(200), "");
            check(&expecting(contains("world")), answer, Outcome::L7Response, None, unmatched);
            let unwanted = "HTTP check matched unwanted content";
            check(&refusing(contains("hello")), answer, Outcome::L7Response, None, unwanted);
        }
        let regex = ExpectWhat::BodyMatches(Regex::new("^h.*o$").unwrap());
        check(&expecting(regex), chunked, Outcome::L7Ok, Some(200), "");
        check(&expecting(contains("x")), "HTTP/1.1 204 No Content\r\n\r\n", Outcome::L7Response, None, unmatched);
    }

    #[test]
    fn header_expectations() {
        let header =
            |value: Option<&str>| ExpectWhat::Header { name: "X-Up".to_owned(), value: value.map(str::to_owned) };
        let up = "HTTP/1.1 200 OK\r\nx-up: yes\r\nContent-Length: 0\r\n\r\n";
        check(&expecting(header(None)), up, Outcome::L7Ok, Some(200), "");
        check(&expecting(header(Some("yes"))), up, Outcome::L7Ok, Some(200), "");
        check(&expecting(header(Some("no"))), up, Outcome::L7Status, Some(200), "OK");
        check(&expecting(header(None)), OK, Outcome::L7Status, Some(200), "OK");
    }

    #[test]
    fn a_failed_expectation_names_what_was_wanted_and_what_came() {
        let check = expecting(ExpectWhat::Status(vec![(200, 200), (301, 302)]));
        let judged = HttpDialog::new(&check, HttpLimits::default()).feed(b"HTTP/1.1 500 Oops\r\n\r\n").unwrap();
        assert_eq!(judged.expected.as_deref(), Some("status 200,301-302"));
        assert_eq!(judged.got.as_deref(), Some("500"));
    }

    #[test]
    fn an_endless_body_is_judged_at_the_limit() {
        let check = expecting(ExpectWhat::BodyContains(b"needle".to_vec()));
        let mut dialog = HttpDialog::new(&check, HttpLimits::default());
        assert_eq!(dialog.feed(b"HTTP/1.0 200 OK\r\n\r\n"), None);
        let part = [b'x'; 10_000];
        let judged = (0..10).find_map(|_| dialog.feed(&part)).map(|judgement| judgement.outcome);
        assert_eq!(judged, Some(Outcome::L7Response));
    }

    #[track_caller]
    fn check_request(check: &HttpCheck, expected: &str) {
        let mut out = Vec::new();
        request(check, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn requests_are_written_as_asked() {
        check_request(&http_check(), "GET /health HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
        let plain = HttpCheck {
            method: "OPTIONS".to_owned(),
            uri: "/".to_owned(),
            version: CheckHttpVersion::Http10,
            headers: Vec::new(),
            ..http_check()
        };
        check_request(&plain, "OPTIONS / HTTP/1.0\r\n\r\n");
        let with_body = HttpCheck { method: "POST".to_owned(), body: b"ping".to_vec(), ..http_check() };
        let expected = "POST /health HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nping";
        check_request(&with_body, expected);
    }
}
