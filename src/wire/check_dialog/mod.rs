//! What does one health check say, and how is its answer judged? Pure: bytes in, bytes out; `control/probe` does the IO.

mod http;

use std::fmt;
use std::time::Duration;

pub(crate) use http::{HttpDialog, request};

/// How a check ended, in HAProxy's codes (management guide 9.1, `check_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// While connecting: the check could not be made, out of sockets or ports. Later: the connection broke.
    SocketError,
    /// The connection was made, and that is all the check wants.
    L4Ok,
    L4Timeout,
    /// Refused, reset, unreachable.
    L4Connection,
    /// The TLS handshake passed, and that is all the check wants.
    L6Ok,
    L6Timeout,
    /// The TLS handshake failed.
    L6Response,
    L7Ok,
    L7Timeout,
    /// The answer is not what the protocol allows.
    L7Response,
    /// The answer is readable but not the one wanted: 5xx, another body.
    L7Status,
}

impl Outcome {
    /// `L7STS`, as `show stat` has it in `check_status`.
    pub fn code(self) -> &'static str {
        match self {
            Outcome::SocketError => "SOCKERR",
            Outcome::L4Ok => "L4OK",
            Outcome::L4Timeout => "L4TOUT",
            Outcome::L4Connection => "L4CON",
            Outcome::L6Ok => "L6OK",
            Outcome::L6Timeout => "L6TOUT",
            Outcome::L6Response => "L6RSP",
            Outcome::L7Ok => "L7OK",
            Outcome::L7Timeout => "L7TOUT",
            Outcome::L7Response => "L7RSP",
            Outcome::L7Status => "L7STS",
        }
    }

    /// In words, as `check_desc` and the log's `reason:` have it.
    pub fn description(self) -> &'static str {
        match self {
            Outcome::SocketError => "Socket error",
            Outcome::L4Ok => "Layer4 check passed",
            Outcome::L4Timeout => "Layer4 timeout",
            Outcome::L4Connection => "Layer4 connection problem",
            Outcome::L6Ok => "Layer6 check passed",
            Outcome::L6Timeout => "Layer6 timeout",
            Outcome::L6Response => "Layer6 invalid response",
            Outcome::L7Ok => "Layer7 check passed",
            Outcome::L7Timeout => "Layer7 timeout",
            Outcome::L7Response => "Layer7 invalid response",
            Outcome::L7Status => "Layer7 wrong status",
        }
    }

    pub fn passed(self) -> bool {
        matches!(self, Outcome::L4Ok | Outcome::L6Ok | Outcome::L7Ok)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Where in a check it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckPhase {
    Connect,
    Tls,
    Send,
    Response,
}

impl CheckPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            CheckPhase::Connect => "connect",
            CheckPhase::Tls => "tls",
            CheckPhase::Send => "send",
            CheckPhase::Response => "response",
        }
    }
}

/// All that is known of one finished check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckResult {
    pub outcome: Outcome,
    pub phase: CheckPhase,
    /// The HTTP status, when one was read.
    pub code: Option<u16>,
    /// The operating system's error number, when it was the cause.
    pub errno: Option<i32>,
    /// The log's `info:`: the error's or the status line's text. Empty when there is nothing to add.
    pub info: String,
    /// What was wanted and what came, when an expectation failed.
    pub expected: Option<String>,
    pub got: Option<String>,
    pub duration: Duration,
}

/// What a dialog makes of what the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub outcome: Outcome,
    pub code: Option<u16>,
    /// See [`CheckResult::info`].
    pub info: String,
    pub expected: Option<String>,
    pub got: Option<String>,
}

impl CheckResult {
    /// The check broke on a defect of ours; as a shortage, it says nothing about the server.
    pub fn defect() -> Self {
        CheckResult {
            outcome: Outcome::SocketError,
            phase: CheckPhase::Connect,
            code: None,
            errno: None,
            info: "a defect in the check itself".to_owned(),
            expected: None,
            got: None,
            duration: Duration::ZERO,
        }
    }

    /// The check could not be made for want of something of our own (sockets, ports, memory): it says nothing about
    /// the server.
    pub fn is_own_shortage(&self) -> bool {
        self.outcome == Outcome::SocketError && self.phase == CheckPhase::Connect
    }
}

impl fmt::Display for CheckResult {
    /// As HAProxy's log has it behind `reason:`.
    /// `Layer7 wrong status, code: 503, info: "Service Unavailable", check duration: 1ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome.description())?;
        if let Some(code) = self.code {
            write!(f, ", code: {code}")?;
        }
        if !self.info.is_empty() {
            write!(f, ", info: \"{}\"", self.info)?;
        }
        write!(f, ", check duration: {}ms", self.duration.as_millis())
    }
}
