//! How is a change of state told? HAProxy's sentences and levels to the letter, since scripts and people read them.

use super::history::Cause;
use crate::health::Change;
use crate::model::log::Level;

/// What a sentence about a server needs to know besides the change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub backend: &'a str,
    pub server: &'a str,
    /// The server is a backup.
    pub backup: bool,
    /// Usable servers after the change.
    pub active_left: usize,
    pub backup_left: usize,
    /// Sessions of the server, and requests waiting for it.
    pub sessions: u32,
    pub queued: u32,
}

/// How long is left: `within a day`, `in 1 day`, `in 12 days`.
pub(super) fn in_days(days: u64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

/// The log's sentences about one change, each with its level.
pub(super) fn tell(change: Change, cause: &Cause, scene: &Scene<'_>) -> Vec<(Level, String)> {
    let who = format!("{}Server {}/{}", if scene.backup { "Backup " } else { "" }, scene.backend, scene.server);
    let why = match cause {
        Cause::Check(result) => format!(", reason: {result}"),
        Cause::Operator => ", changed from CLI".to_owned(),
        Cause::Config => ", changed by a reload".to_owned(),
    };
    let on_backup = if scene.active_left == 0 && scene.backup_left > 0 { " Running on backup." } else { "" };
    let left = format!(
        "{} active and {} backup servers left.{on_backup} {} sessions active, 0 requeued, {} remaining in queue.",
        scene.active_left, scene.backup_left, scene.sessions, scene.queued
    );
    let online = format!(
        "{} active and {} backup servers online.{on_backup} 0 sessions requeued, {} total in queue.",
        scene.active_left, scene.backup_left, scene.queued
    );
    let one = |level: Level, text: String| vec![(level, text)];
    match change {
        Change::WentDown => one(Level::Alert, format!("{who} is DOWN{why}. {left}")),
        Change::WentUp | Change::Resumed => one(Level::Notice, format!("{who} is UP{why}. {online}")),
        Change::Stopping => one(Level::Notice, format!("{who} is stopping{why}. {online}")),
        Change::EnteredDrain { up: true } => one(Level::Notice, format!("{who} enters drain state. {online}")),
        Change::EnteredDrain { up: false } => one(Level::Notice, format!("{who} enters drain state. {left}")),
        Change::LeftDrain { up } => {
            one(Level::Notice, format!("{who} is {} (leaving forced drain).", if up { "UP" } else { "DOWN" }))
        }
        Change::EnteredMaint { was_up: false, .. } => {
            one(Level::Notice, format!("{who} was DOWN and now enters maintenance."))
        }
        Change::EnteredMaint { was_drained, .. } => {
            let level = if was_drained { Level::Notice } else { Level::Alert };
            one(level, format!("{who} is going DOWN for maintenance. {left}"))
        }
        Change::LeftMaint { into_drain: false } => {
            one(Level::Notice, format!("{who} is UP/READY (leaving forced maintenance)."))
        }
        Change::LeftMaint { into_drain: true } => vec![
            (Level::Notice, format!("{who} is UP/DRAIN (leaving forced maintenance).")),
            (Level::Notice, format!("{who} remains in forced drain mode.")),
        ],
    }
}

/// A backend lost its last usable server. `listen` sections are called proxies.
pub(super) fn no_server_left(backend: &str, is_listen: bool) -> (Level, String) {
    let kind = if is_listen { "proxy" } else { "backend" };
    (Level::Emerg, format!("{kind} {backend} has no server available!"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::check_dialog::{CheckPhase, CheckResult, Outcome};

    fn scene() -> Scene<'static> {
        Scene { backend: "be", server: "s1", backup: false, active_left: 1, backup_left: 0, sessions: 3, queued: 2 }
    }

    fn by_check(outcome: Outcome, code: Option<u16>, info: &str) -> Cause {
        Cause::Check(CheckResult {
            outcome,
            phase: CheckPhase::Response,
            code,
            errno: None,
            info: info.to_owned(),
            expected: None,
            got: None,
            duration: Duration::from_millis(7),
        })
    }

    #[track_caller]
    fn check(change: Change, cause: &Cause, scene: &Scene<'_>, level: Level, expected: &str) {
        assert_eq!(tell(change, cause, scene), [(level, expected.to_owned())]);
    }

    #[test]
    fn sentences_are_haproxys() {
        check(
            Change::WentDown,
            &by_check(Outcome::L7Status, Some(503), "Service Unavailable"),
            &scene(),
            Level::Alert,
            "Server be/s1 is DOWN, reason: Layer7 wrong status, code: 503, info: \"Service Unavailable\", check duration: 7ms. \
             1 active and 0 backup servers left. 3 sessions active, 0 requeued, 2 remaining in queue.",
        );
        check(
            Change::WentDown,
            &by_check(Outcome::L4Connection, None, "Connection refused"),
            &Scene { backup: true, ..scene() },
            Level::Alert,
            "Backup Server be/s1 is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 7ms. \
             1 active and 0 backup servers left. 3 sessions active, 0 requeued, 2 remaining in queue.",
        );
        check(
            Change::WentDown,
            &by_check(Outcome::L4Connection, None, "Connection refused"),
            &Scene { active_left: 0, backup_left: 1, ..scene() },
            Level::Alert,
            "Server be/s1 is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 7ms. \
             0 active and 1 backup servers left. Running on backup. 3 sessions active, 0 requeued, 2 remaining in queue.",
        );
        check(
            Change::WentUp,
            &by_check(Outcome::L7Ok, Some(200), ""),
            &scene(),
            Level::Notice,
            "Server be/s1 is UP, reason: Layer7 check passed, code: 200, check duration: 7ms. \
             1 active and 0 backup servers online. 0 sessions requeued, 2 total in queue.",
        );
        check(
            Change::WentDown,
            &Cause::Operator,
            &scene(),
            Level::Alert,
            "Server be/s1 is DOWN, changed from CLI. \
             1 active and 0 backup servers left. 3 sessions active, 0 requeued, 2 remaining in queue.",
        );
        check(
            Change::EnteredMaint { was_up: false, was_drained: false },
            &Cause::Operator,
            &scene(),
            Level::Notice,
            "Server be/s1 was DOWN and now enters maintenance.",
        );
        check(
            Change::LeftDrain { up: true },
            &Cause::Operator,
            &scene(),
            Level::Notice,
            "Server be/s1 is UP (leaving forced drain).",
        );
        assert_eq!(no_server_left("be", false).1, "backend be has no server available!");
        assert_eq!(no_server_left("li", true).1, "proxy li has no server available!");
    }
}
