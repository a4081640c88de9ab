//! What can an operator order? One type for the runtime socket, the stats page and the command line; the controller
//! executes it, whoever asked.
//!
//! Texts of refusals are HAProxy's to the letter (management guide 9.3, and asking haproxy 2.6), because tools match them.

use std::fmt;
use std::net::IpAddr;

use crate::health::{AdminState, ForcedHealth};

/// The largest weight a server can have (HAProxy manual 5.2, `weight`).
pub(crate) const MAX_WEIGHT: u16 = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `set server b/s state …`, `enable|disable server`, and the page's ready, drain, maint.
    SetState {
        server: ServerName,
        state: AdminState,
    },
    /// `set server b/s health up|stopping|down`; the page's hrunn, hnolb, hdown.
    SetHealth {
        server: ServerName,
        health: ForcedHealth,
    },
    /// `set weight b/s`, `set server b/s weight`.
    SetWeight {
        server: ServerName,
        weight: NewWeight,
    },
    /// `set server b/s addr <address> [port <port>]`. Kept until a reload.
    SetAddress {
        server: ServerName,
        address: IpAddr,
        port: Option<u16>,
    },
    /// `enable|disable health`.
    EnableChecks {
        server: ServerName,
    },
    DisableChecks {
        server: ServerName,
    },
    /// `enable|disable agent`: there are no agents, which `enable` says.
    EnableAgent {
        server: ServerName,
    },
    DisableAgent {
        server: ServerName,
    },
    /// `set server b/s agent up|down`, the page's arunn, adown.
    SetAgent {
        server: ServerName,
    },
    /// `shutdown sessions server b/s`
    ShutdownSessions {
        server: ServerName,
    },
    /// `clear counters`: the maxima; `all` counts everything from zero again.
    ClearCounters {
        all: bool,
    },
    /// `enable|disable frontend`: not listening for a while.
    EnableFrontend {
        frontend: String,
    },
    DisableFrontend {
        frontend: String,
    },
    /// `shutdown frontend`: not listening any more, until a reload.
    ShutdownFrontend {
        frontend: String,
    },
    /// `set maxconn frontend|server|global`
    SetFrontendMaxconn {
        frontend: String,
        maxconn: u32,
    },
    SetServerMaxconn {
        server: ServerName,
        maxconn: u32,
    },
    SetGlobalMaxconn {
        maxconn: u32,
    },
    /// Read the configuration again.
    Reload,
}

/// A server as an operator names it. Names are looked up when the command is executed; `#7` names by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerName {
    pub backend: String,
    pub server: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewWeight {
    /// 0 to [`MAX_WEIGHT`].
    Absolute(u32),
    /// Of the configured weight; more than 100 raises it, up to [`MAX_WEIGHT`].
    Percent(u32),
}

/// What came of a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing to say: HAProxy answers an empty line.
    Done,
    /// Carried out, with something to tell.
    Told(String),
}

/// Why a command was refused; the text is HAProxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandError {
    NoSuchServer,
    NoSuchBackend,
    NoSuchFrontend,
    NotAServerName,
    BadWeight,
    NegativePercent,
    WeightNotANumber,
    WeightWithGarbage,
    NoHealthCheck,
    NoAgent,
    AgentNotEnabled,
    FrontendAlreadyDisabled,
    FrontendAlreadyEnabled,
    FrontendShutDown {
        order: &'static str,
    },
    FrontendAlreadyShutDown,
    ValueOutOfRange,
    /// The server is reached over a unix socket.
    NoAddressToChange,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::NoSuchServer => "No such server.",
            CommandError::NoSuchBackend => "No such backend.",
            CommandError::NoSuchFrontend => "No such frontend.",
            CommandError::NotAServerName => "Require 'backend/server'.",
            CommandError::BadWeight => "Absolute weight can only be between 0 and 256 inclusive.",
            CommandError::NegativePercent => "Relative weight must be positive.",
            CommandError::WeightNotANumber => "Empty weight string empty or preceded by garbage",
            CommandError::WeightWithGarbage => "Trailing garbage in weight string",
            CommandError::NoHealthCheck => "Health check was not configured on this server, cannot enable.",
            CommandError::NoAgent => "Agent was not configured on this server, cannot enable.",
            CommandError::AgentNotEnabled => "agent checks are not enabled on this server.",
            CommandError::FrontendAlreadyDisabled => "All sockets are already disabled.",
            CommandError::FrontendAlreadyEnabled => "All sockets are already enabled.",
            CommandError::FrontendShutDown { order } => {
                return write!(f, "Frontend was previously shut down, cannot {order}.");
            }
            CommandError::FrontendAlreadyShutDown => "Frontend was already shut down.",
            CommandError::ValueOutOfRange => "Value out of range.",
            CommandError::NoAddressToChange => "can't change the address of a server reached over a unix socket.",
        })
    }
}

impl std::error::Error for CommandError {}

impl ServerName {
    /// `backend/server`.
    ///
    /// # Errors
    /// [`CommandError::NotAServerName`] without a slash or with an empty side.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        match text.split_once('/') {
            Some((backend, server)) if !backend.is_empty() && !server.is_empty() => {
                Ok(ServerName { backend: backend.to_owned(), server: server.to_owned() })
            }
            _ => Err(CommandError::NotAServerName),
        }
    }
}

impl NewWeight {
    /// `3` or `50%`.
    ///
    /// # Errors
    /// One of the weight's own [`CommandError`]s.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let number: i64 = digits.parse().map_err(|_| match digits.starts_with(|c: char| c.is_ascii_digit()) {
            true => CommandError::WeightWithGarbage,
            false => CommandError::WeightNotANumber,
        })?;
        match (percent, u32::try_from(number)) {
            (true, Ok(percent)) => Ok(NewWeight::Percent(percent)),
            (true, Err(_)) if number < 0 => Err(CommandError::NegativePercent),
            (true, Err(_)) => Ok(NewWeight::Percent(u32::MAX)),
            (false, Ok(weight)) if weight <= u32::from(MAX_WEIGHT) => Ok(NewWeight::Absolute(weight)),
            (false, _) => Err(CommandError::BadWeight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<NewWeight, &str>) {
        assert_eq!(
            NewWeight::parse(text).map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }

    /// Answers of haproxy 2.6 to `set weight be/s1 …`.
    #[test]
    fn weights_are_read_as_haproxy_reads_them() {
        check("0", Ok(NewWeight::Absolute(0)));
        check("256", Ok(NewWeight::Absolute(256)));
        check("257", Err("Absolute weight can only be between 0 and 256 inclusive."));
        check("-1", Err("Absolute weight can only be between 0 and 256 inclusive."));
        check("150%", Ok(NewWeight::Percent(150)));
        check("-1%", Err("Relative weight must be positive."));
        check("abc", Err("Empty weight string empty or preceded by garbage"));
        check("5x", Err("Trailing garbage in weight string"));
        check("5%x", Err("Trailing garbage in weight string"));
    }
}
