//! What does a rule on connections do? The words of `tcp-request` (HAProxy manual 4.2).

use super::ExprError;
use super::action::nothing_more;
use crate::model::tcp::TcpAction;

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

/// Reads the words behind the action's name, which may be spelt `expect-proxy` or `expect_proxy`.
///
/// # Errors
/// Unknown actions, those that cannot stand at this stage, words too many.
pub(crate) fn parse_tcp_action(stage: Stage, name: &str, words: &[String]) -> Result<TcpAction, ExprError> {
    match name.replace('_', "-").as_str() {
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
        name => Err(ExprError::new(0, format!("there is no action `tcp-request {} {name}`", stage.name()))
            .suggest(name, ["accept", "reject", "expect-proxy"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stage: Stage, line: &str, expected: Result<TcpAction, &str>) {
        let words = super::super::words(line);
        let (name, rest) = words.split_first().unwrap();
        let read = parse_tcp_action(stage, name, rest);
        assert_eq!(read.as_ref().map_err(|error| error.message.as_str()).copied(), expected, "{line}");
    }

    #[test]
    fn actions_and_where_they_may_stand() {
        check(Stage::Content, "accept", Ok(TcpAction::Accept));
        check(Stage::Session, "reject", Ok(TcpAction::Reject));
        check(Stage::Connection, "expect-proxy layer4", Ok(TcpAction::ExpectProxy));
        check(Stage::Connection, "expect_proxy layer7", Err("`expect-proxy` is followed by `layer4`"));
        check(Stage::Content, "expect-proxy layer4", Err("`expect-proxy` comes too late in `tcp-request content`"));
        check(Stage::Content, "accept now", Err("`now` was not expected here"));
        check(Stage::Session, "rejct", Err("there is no action `tcp-request session rejct`; did you mean `reject`?"));
    }
}
