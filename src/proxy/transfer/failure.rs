//! How can a transfer fail, what is answered then, and how is it logged?

use crate::logline::{Cause, Phase};

/// How it did not. Before the response's head reached the client an error page can be sent instead.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection ended before a byte of answer, and the whole request is still there to be sent again.
    Stale,
    /// It failed in a way the backend says to retry, and the whole request is still there (`retry-on`).
    Again,
    /// The server closed or broke the connection before its head was complete.
    NoAnswer {
        /// Not even a byte of it had come.
        empty: bool,
        /// What it was at: [`Phase::Data`] when the request's body was lost on its way.
        phase: Phase,
    },
    ServerTimedOut {
        /// [`Phase::Data`] when it did not take the request's body.
        phase: Phase,
    },
    /// The server has not looked at the request, and its client was told so ([`Downstream::hand_back`]).
    ///
    /// [`Downstream::hand_back`]: super::super::downstream::Downstream::hand_back
    HandedBack,
    BadAnswer,
    /// A response rule refused it: its answer is in [`Scratch::refusal`].
    Refused,
    /// The client sent a malformed body.
    BadBody,
    ClientGone {
        phase: Phase,
    },
    /// It has closed its sending side, and waits in vain (`option abortonclose`).
    ClientLeft,
    ClientTimedOut {
        phase: Phase,
    },
    /// The response was cut after its head had gone out.
    Cut,
    /// The same, because its body was malformed.
    BadCut,
    CutByTimeout,
    /// Ended by control: the server was taken away or the process stops.
    Killed {
        cause: Cause,
        started: bool,
    },
}

impl Failure {
    /// Nothing of an answer has come.
    pub fn is_without_answer(&self) -> bool {
        matches!(self, Failure::Stale | Failure::NoAnswer { empty: true, .. })
    }

    /// Status to answer if one can still be, and how it is logged (HAProxy manual 8.5).
    pub fn meaning(&self) -> (Option<u16>, Cause, Phase) {
        match *self {
            Failure::Stale | Failure::Again => (Some(502), Cause::Server, Phase::Headers),
            Failure::NoAnswer { phase, .. } => (Some(502), Cause::Server, phase),
            Failure::HandedBack => (None, Cause::Server, Phase::Headers),
            Failure::ServerTimedOut { phase } => (Some(504), Cause::ServerTimeout, phase),
            Failure::BadAnswer => (Some(502), Cause::Proxy, Phase::Headers),
            Failure::Refused => (Some(502), Cause::Proxy, Phase::Headers),
            Failure::BadBody => (Some(400), Cause::Proxy, Phase::Headers),
            Failure::ClientLeft => (Some(400), Cause::Client, Phase::Headers),
            Failure::ClientGone { phase } => (None, Cause::Client, phase),
            Failure::ClientTimedOut { phase: Phase::Headers } => (Some(408), Cause::ClientTimeout, Phase::Headers),
            Failure::ClientTimedOut { phase } => (None, Cause::ClientTimeout, phase),
            Failure::Cut => (None, Cause::Server, Phase::Data),
            Failure::BadCut => (None, Cause::Proxy, Phase::Data),
            Failure::CutByTimeout => (None, Cause::ServerTimeout, Phase::Data),
            // As HAProxy 2.6 does.
            Failure::Killed { cause: Cause::Killed, started: false } => (Some(502), Cause::Killed, Phase::Headers),
            Failure::Killed { cause, started: false } => (Some(503), cause, Phase::Headers),
            Failure::Killed { cause, started: true } => (None, cause, Phase::Data),
        }
    }
}
