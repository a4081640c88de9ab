//! What does a rule on connections do? The words of `tcp-request` (HAProxy manual 4.2).

use super::action::{nothing_more, only_expression};
use super::{ExprError, Scope};
use crate::model::Mode;
use crate::model::log::Level;
use crate::model::tcp::{End, TcpAction};

/// When a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connection,
    Session,
    Content,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Connection => "connection",
            Stage::Session => "session",
            Stage::Content => "content",
        }
    }
}

const NAMES: &[&str] = &[
    "accept",
    "reject",
    "expect-proxy",
    "silent-drop",
    "set-src",
    "set-src-port",
    "set-dst",
    "set-dst-port",
    "set-tos",
    "set-fc-tos",
    "set-mark",
    "set-fc-mark",
    "set-log-level",
    "set-priority-class",
    "set-priority-offset",
];

/// Reads the words behind the action's name, which may be spelt `expect-proxy` or `expect_proxy`.
///
/// # Errors
/// Unknown actions, those that cannot stand at this stage, words too many, values out of range.
pub(crate) fn parse_tcp_action(
    stage: Stage,
    name: &str,
    words: &[String],
    scope: &Scope<'_>,
) -> Result<TcpAction, ExprError> {
    let name = name.replace('_', "-");
    let of_request = stage == Stage::Content && scope.mode == Mode::Http;
    match name.as_str() {
        "accept" => nothing_more(words, 0).map(|()| TcpAction::Accept),
        "reject" => nothing_more(words, 0).map(|()| TcpAction::Reject),
        "expect-proxy" if stage == Stage::Connection => match words {
            [layer, rest @ ..] if layer == "layer4" => nothing_more(rest, 1).map(|()| TcpAction::ExpectProxy),
            _ => Err(ExprError::new(0, "`expect-proxy` is followed by `layer4`")),
        },
        "expect-proxy" => {
            let told = format!("`expect-proxy` comes too late in `tcp-request {}`", stage.name());
            Err(ExprError::new(0, told).hint("write `tcp-request connection expect-proxy layer4`"))
        }
        "set-log-level" | "set-priority-class" | "set-priority-offset" if stage != Stage::Content => {
            let told = format!("`{name}` comes too early in `tcp-request {}`", stage.name());
            Err(ExprError::new(0, told).hint(format!("write `tcp-request content {name} …`")))
        }
        "set-log-level" => only_word(words, "a level, or `silent`").and_then(log_level).map(TcpAction::SetLogLevel),
        "set-priority-class" => only_expression(words, scope).map(TcpAction::SetPriorityClass),
        "set-priority-offset" => only_expression(words, scope).map(TcpAction::SetPriorityOffset),
        known if of_request && NAMES.contains(&known) => {
            let told = format!("`{name}` for single requests is known but not built yet");
            Err(ExprError::new(0, told).hint(format!("write `tcp-request session {name} …` for all of a connection's")))
        }
        "silent-drop" => nothing_more(words, 0).map(|()| TcpAction::SilentDrop),
        "set-src" => only_expression(words, scope).map(|expr| TcpAction::SetAddress(End::Source, expr)),
        "set-dst" => only_expression(words, scope).map(|expr| TcpAction::SetAddress(End::Destination, expr)),
        "set-src-port" => only_expression(words, scope).map(|expr| TcpAction::SetPort(End::Source, expr)),
        "set-dst-port" => only_expression(words, scope).map(|expr| TcpAction::SetPort(End::Destination, expr)),
        "set-tos" | "set-fc-tos" => {
            let number = only_word(words, "a number").and_then(|word| number(word, u8::MAX.into()))?;
            Ok(TcpAction::SetTos(number as u8)) // as checked
        }
        "set-mark" | "set-fc-mark" => {
            only_word(words, "a number").and_then(|word| number(word, u32::MAX)).map(TcpAction::SetMark)
        }
        name => {
            let told = format!("there is no action `tcp-request {} {name}`", stage.name());
            Err(ExprError::new(0, told).suggest(name, NAMES.iter().copied()))
        }
    }
}

fn only_word<'a>(words: &'a [String], what: &str) -> Result<&'a str, ExprError> {
    match words {
        [] => Err(ExprError::new(0, format!("{what} is missing"))),
        [word, rest @ ..] => nothing_more(rest, 1).map(|()| word.as_str()),
    }
}

/// Decimal, or hexadecimal behind `0x`.
fn number(text: &str, largest: u32) -> Result<u32, ExprError> {
    let read = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    read.ok()
        .filter(|number| *number <= largest)
        .ok_or_else(|| ExprError::new(0, format!("`{text}` is not a number up to {largest}")))
}

/// `None`: no line at all.
fn log_level(text: &str) -> Result<Option<Level>, ExprError> {
    if text == "silent" {
        return Ok(None);
    }
    let known = Level::NAMES.iter().find(|(name, _)| *name == text);
    known.map(|(_, level)| Some(*level)).ok_or_else(|| {
        let names = Level::NAMES.iter().map(|(name, _)| *name).chain(["silent"]);
        ExprError::new(0, format!("`{text}` is no level of log lines")).suggest(text, names)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The action as debugging shows it, or what is wrong.
    #[track_caller]
    fn check_in(mode: Mode, stage: Stage, line: &str, expected: Result<&str, &str>) {
        let words = super::super::words(line);
        let (name, rest) = words.split_first().unwrap();
        let read = super::super::with_scope(mode, super::super::Side::Request, |scope| {
            parse_tcp_action(stage, name, rest, scope).map(|action| format!("{action:?}"))
        });
        let read = read.as_ref().map(String::as_str).map_err(|error| error.message.as_str());
        assert_eq!(read, expected, "{line}");
    }

    #[track_caller]
    fn check(stage: Stage, line: &str, expected: Result<&str, &str>) {
        check_in(Mode::Tcp, stage, line, expected);
    }

    #[test]
    fn actions_and_where_they_may_stand() {
        check(Stage::Content, "accept", Ok("Accept"));
        check(Stage::Session, "reject", Ok("Reject"));
        check(Stage::Connection, "expect-proxy layer4", Ok("ExpectProxy"));
        check(Stage::Connection, "expect_proxy layer7", Err("`expect-proxy` is followed by `layer4`"));
        check(Stage::Content, "expect-proxy layer4", Err("`expect-proxy` comes too late in `tcp-request content`"));
        check(Stage::Content, "accept now", Err("`now` was not expected here"));
        check(Stage::Session, "rejct", Err("there is no action `tcp-request session rejct`; did you mean `reject`?"));
        check(Stage::Session, "silent-drop", Ok("SilentDrop"));
        check_in(
            Mode::Http,
            Stage::Content,
            "silent-drop",
            Err("`silent-drop` for single requests is known but not built yet"),
        );
    }

    #[test]
    fn what_rules_change() {
        check(Stage::Connection, "set-tos 0x20", Ok("SetTos(32)"));
        check(Stage::Connection, "set-tos 256", Err("`256` is not a number up to 255"));
        check(Stage::Content, "set-fc-mark 0xffffffff", Ok("SetMark(4294967295)"));
        check(Stage::Content, "set-log-level silent", Ok("SetLogLevel(None)"));
        check(Stage::Content, "set-log-level warning", Ok("SetLogLevel(Some(Warning))"));
        check(
            Stage::Content,
            "set-log-level warnin",
            Err("`warnin` is no level of log lines; did you mean `warning`?"),
        );
        check(Stage::Session, "set-log-level info", Err("`set-log-level` comes too early in `tcp-request session`"));
        check(Stage::Session, "set-src", Err("an expression is missing"));
    }
}
