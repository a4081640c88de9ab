//! What is a server's status, and what follows when something changes it?
//!
//! Three things decide: what checks found (the score), what an operator ordered (ready, drain, maint, a forced
//! health) and whether it is checked at all. Inputs go in one at a time; each returns the effects `control` performs.

use super::score::{Score, Verdict};
use super::status::Status;

/// What an operator ordered (HAProxy management guide, `set server … state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminState {
    Ready,
    /// No new traffic; what runs goes on.
    Drain,
    /// No traffic, no checks.
    Maint,
}

/// Who ordered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `disabled` in the configuration, or nothing said at all.
    Config,
    /// The runtime socket or the stats page.
    Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admin {
    pub state: AdminState,
    pub origin: Origin,
}

/// `set server … health up|stopping|down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForcedHealth {
    Up,
    /// Alive, but takes no new traffic (NOLB).
    Stopping,
    Down,
}

/// Everything that decides a server's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Health {
    score: Score,
    /// Wants no new traffic.
    stopping: bool,
    /// It has a check.
    checkable: bool,
    /// Its checks run (`enable health`); maintenance pauses them besides.
    checks_enabled: bool,
    admin: Admin,
}

/// One cause of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Checked(Verdict),
    Admin(AdminState, Origin),
    Force(ForcedHealth),
    EnableChecks,
    DisableChecks,
}

/// A change worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    WentUp,
    WentDown,
    /// Alive, but takes no new traffic from now on.
    Stopping,
    /// Takes new traffic again after [`Change::Stopping`].
    Resumed,
    EnteredDrain {
        up: bool,
    },
    /// `up`: by its checks.
    LeftDrain {
        up: bool,
    },
    EnteredMaint {
        was_up: bool,
        was_drained: bool,
    },
    /// It starts anew, as at boot.
    LeftMaint {
        into_drain: bool,
    },
}

/// What the controller has to do after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Effects {
    pub change: Option<Change>,
    /// The rotation has to be built again.
    pub rotation: bool,
    /// Start checks again at once: maintenance or a pause ended.
    pub checks: Option<ChecksTurn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChecksTurn {
    Resumed,
    Paused,
}

impl Health {
    /// As HAProxy starts one: up, one failure above down; unchecked servers are up for good.
    pub fn new(thresholds: Option<(u32, u32)>, disabled: bool) -> Self {
        let (rise, fall) = thresholds.unwrap_or((1, 1));
        let mut score = Score::starting_up(rise, fall);
        if thresholds.is_none() {
            score.force_up();
        }
        let state = if disabled { AdminState::Maint } else { AdminState::Ready };
        Health {
            score,
            stopping: false,
            checkable: thresholds.is_some(),
            checks_enabled: thresholds.is_some(),
            admin: Admin { state, origin: Origin::Config },
        }
    }

    pub fn apply(&mut self, input: Input) -> Effects {
        let before = *self;
        match input {
            Input::Checked(_) if !self.checks_run() => return Effects::default(), // it came too late to count
            Input::Checked(verdict) => {
                self.score.observe(verdict);
                self.stopping = match verdict {
                    Verdict::Passed => false,
                    Verdict::Failed => self.stopping && self.score.is_up(),
                };
            }
            Input::Admin(state, origin) => {
                self.admin = Admin { state, origin };
                if before.admin.state == AdminState::Maint && state != AdminState::Maint {
                    // Back from maintenance it starts as at boot: up, one failure above down.
                    self.stopping = false;
                    self.score = Score::starting_up(self.score.rise(), self.score.fall());
                    if !self.checks_run() {
                        self.score.force_up();
                    }
                }
            }
            Input::Force(ForcedHealth::Up) => {
                self.score.force_up();
                self.stopping = false;
            }
            Input::Force(ForcedHealth::Stopping) => {
                self.score.force_up();
                self.stopping = true;
            }
            Input::Force(ForcedHealth::Down) => {
                self.score.force_down();
                self.stopping = false;
            }
            Input::EnableChecks => self.checks_enabled = self.checkable,
            Input::DisableChecks => self.checks_enabled = false, // the last result stands, as with HAProxy
        }
        self.effects_since(&before)
    }

    fn effects_since(&self, before: &Self) -> Effects {
        Effects {
            change: self.change_since(before),
            rotation: self.takes_traffic() != before.takes_traffic() || self.admin.state != before.admin.state,
            checks: match (before.checks_run(), self.checks_run()) {
                (false, true) => Some(ChecksTurn::Resumed),
                (true, false) => Some(ChecksTurn::Paused),
                _ => None,
            },
        }
    }

    /// What is worth telling of the way from `before` to now.
    pub fn change_since(&self, before: &Self) -> Option<Change> {
        match (before.admin.state, self.admin.state) {
            (AdminState::Maint, AdminState::Maint) => None,
            (_, AdminState::Maint) => Some(Change::EnteredMaint {
                was_up: before.score.is_up(),
                was_drained: before.admin.state == AdminState::Drain,
            }),
            (AdminState::Maint, now) => Some(Change::LeftMaint { into_drain: now == AdminState::Drain }),
            (AdminState::Ready, AdminState::Drain) => Some(Change::EnteredDrain { up: self.score.is_up() }),
            (AdminState::Drain, AdminState::Ready) => Some(Change::LeftDrain { up: self.score.is_up() }),
            _ => match (before.score.is_up(), self.score.is_up()) {
                (true, false) => Some(Change::WentDown),
                (false, true) if self.stopping => Some(Change::Stopping),
                (false, true) => Some(Change::WentUp),
                (true, true) if self.stopping && !before.stopping => Some(Change::Stopping),
                (true, true) if !self.stopping && before.stopping => Some(Change::Resumed),
                _ => None,
            },
        }
    }

    /// May it get new traffic, as far as health and orders go? (A weight of 0 still keeps it out.)
    pub fn takes_traffic(&self) -> bool {
        self.admin.state == AdminState::Ready && self.is_up() && !self.stopping
    }

    /// Up by its checks, whatever was ordered.
    pub fn is_up(&self) -> bool {
        self.score.is_up()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Are checks sent now?
    pub fn checks_run(&self) -> bool {
        self.checks_enabled && self.admin.state != AdminState::Maint
    }

    pub fn is_checkable(&self) -> bool {
        self.checkable
    }

    pub fn checks_enabled(&self) -> bool {
        self.checks_enabled
    }

    pub fn admin(&self) -> Admin {
        self.admin
    }

    pub fn score(&self) -> Score {
        self.score
    }

    pub fn status(&self) -> Status {
        let (count, of) = self.score.progress();
        match self.admin.state {
            AdminState::Maint => Status::Maint,
            _ if !self.score.is_up() => Status::Down { passed: count, rise: of },
            AdminState::Drain => Status::Drain { left: count, fall: of },
            AdminState::Ready if self.stopping => Status::NoLb { left: count, fall: of },
            AdminState::Ready if !self.checks_run() => Status::NoCheck,
            AdminState::Ready => Status::Up { left: count, fall: of },
        }
    }

    /// The same server under a configuration read anew. Thresholds follow the file; health and an operator's orders
    /// stay. `disabled` is what the file says now, `was_disabled` what it said before: a changed word is an order too.
    pub fn under(self, thresholds: Option<(u32, u32)>, was_disabled: bool, disabled: bool) -> Self {
        let mut next = Health::new(thresholds, disabled);
        match (thresholds, self.checkable) {
            (Some((rise, fall)), true) => {
                next.score = self.score.with_thresholds(rise, fall);
                next.stopping = self.stopping;
                next.checks_enabled = self.checks_enabled;
            }
            // Without a check only an operator's word can have taken it down; that word stays.
            (None, false) => {
                next.score = self.score;
                next.stopping = self.stopping;
            }
            // A check that came or went: start as HAProxy starts one.
            _ => {}
        }
        let enabled_by_file = was_disabled && !disabled && self.admin.origin == Origin::Config;
        if was_disabled == disabled || (!disabled && !enabled_by_file) {
            next.admin = self.admin;
        }
        next
    }
}

impl Health {
    /// What checks said so far concerned another address: it starts anew, an operator's order stands.
    pub fn restarted(mut self) -> Self {
        if self.checkable {
            self.score = Score::starting_up(self.score.rise(), self.score.fall());
            self.stopping = false;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A story of one server, rise 2 and fall 3, fully up at first. `.` passed, `x` failed;
    /// `R`eady, `D`rain, `M`aint; `u`p, `s`topping, `d`own forced; `-` checks off, `+` on.
    fn story(mut health: Health, inputs: &str) -> (Health, Effects) {
        let mut last = Effects::default();
        for input in inputs.chars() {
            last = health.apply(match input {
                '.' => Input::Checked(Verdict::Passed),
                'x' => Input::Checked(Verdict::Failed),
                'R' => Input::Admin(AdminState::Ready, Origin::Operator),
                'D' => Input::Admin(AdminState::Drain, Origin::Operator),
                'M' => Input::Admin(AdminState::Maint, Origin::Operator),
                'u' => Input::Force(ForcedHealth::Up),
                's' => Input::Force(ForcedHealth::Stopping),
                'd' => Input::Force(ForcedHealth::Down),
                '-' => Input::DisableChecks,
                '+' => Input::EnableChecks,
                other => panic!("no input is called {other}"),
            });
        }
        (health, last)
    }

    /// The status at the end, whether it takes traffic, and the last input's change.
    #[track_caller]
    fn check(inputs: &str, status: &str, traffic: bool, change: Option<Change>) {
        let (health, effects) = story(Health::new(Some((2, 3)), false), inputs);
        assert_eq!(health.status().to_string(), status, "after {inputs}");
        assert_eq!(health.takes_traffic(), traffic, "traffic after {inputs}");
        assert_eq!(effects.change, change, "change of the last of {inputs}");
    }

    #[test]
    fn checks_move_a_server_up_and_down() {
        check("", "UP 1/3", true, None);
        check("x", "DOWN", false, Some(Change::WentDown));
        check(".", "UP", true, None);
        check(".xx", "UP 1/3", true, None);
        check(".xxx", "DOWN", false, Some(Change::WentDown));
        check(".xxx.", "DOWN 1/2", false, None);
        check(".xxx..", "UP", true, Some(Change::WentUp));
    }

    #[test]
    fn drain_keeps_checking_and_takes_nothing() {
        check(".D", "DRAIN", false, Some(Change::EnteredDrain { up: true }));
        check(".Dx", "DRAIN 2/3", false, None);
        check(".Dxxx", "DOWN", false, Some(Change::WentDown));
        check(".DD", "DRAIN", false, None);
        check(".DR", "UP", true, Some(Change::LeftDrain { up: true }));
        check(".DxxxR", "DOWN", false, Some(Change::LeftDrain { up: false }));
    }

    #[test]
    fn maintenance_stops_checks_and_ends_in_a_fresh_start() {
        check(".M", "MAINT", false, Some(Change::EnteredMaint { was_up: true, was_drained: false }));
        check(".xxxM", "MAINT", false, Some(Change::EnteredMaint { was_up: false, was_drained: false }));
        check(".DM", "MAINT", false, Some(Change::EnteredMaint { was_up: true, was_drained: true }));
        check(".Mxxx", "MAINT", false, None);
        check(".MR", "UP 1/3", true, Some(Change::LeftMaint { into_drain: false }));
        check(".xxxMR", "UP 1/3", true, Some(Change::LeftMaint { into_drain: false }));
        check(".MD", "DRAIN 1/3", false, Some(Change::LeftMaint { into_drain: true }));
    }

    #[test]
    fn an_operator_can_force_health() {
        check(".d", "DOWN", false, Some(Change::WentDown));
        check("xu", "UP", true, Some(Change::WentUp));
        check(".s", "NOLB", false, Some(Change::Stopping));
        check(".ss", "NOLB", false, None);
        check(".s.", "UP", true, Some(Change::Resumed));
        check(".sx", "NOLB 2/3", false, None);
        check("xs", "NOLB", false, Some(Change::Stopping));
    }

    #[test]
    fn without_checks_the_last_result_stands() {
        check(".-", "no check", true, None);
        check(".-xxx", "no check", true, None);
        check("x-", "DOWN", false, None);
        check("x-+..", "UP", true, Some(Change::WentUp));
        check(".-d", "DOWN", false, Some(Change::WentDown));
        check(".-s", "NOLB", false, Some(Change::Stopping));
    }

    #[test]
    fn an_unchecked_server_is_up_and_can_be_ordered_about() {
        let unchecked = || Health::new(None, false);
        let status = |inputs: &str| story(unchecked(), inputs).0.status().to_string();
        assert_eq!(status(""), "no check");
        assert_eq!(status("x"), "no check");
        assert_eq!(status("+x"), "no check");
        assert_eq!(status("D"), "DRAIN");
        assert_eq!(status("M"), "MAINT");
        assert_eq!(status("MR"), "no check");
        assert_eq!(status("d"), "DOWN");
        assert!(unchecked().takes_traffic());
    }

    #[test]
    fn checks_turn_with_maintenance_and_pauses() {
        let turn = |inputs: &str| story(Health::new(Some((2, 3)), false), inputs).1.checks;
        assert_eq!(turn("M"), Some(ChecksTurn::Paused));
        assert_eq!(turn("MR"), Some(ChecksTurn::Resumed));
        assert_eq!(turn("MD"), Some(ChecksTurn::Resumed));
        assert_eq!(turn("-"), Some(ChecksTurn::Paused));
        assert_eq!(turn("-M"), None);
        assert_eq!(turn("-MR"), None);
        assert_eq!(turn("-MR+"), Some(ChecksTurn::Resumed));
        assert_eq!(turn("D"), None);
    }

    #[test]
    fn the_rotation_is_rebuilt_exactly_when_traffic_changes() {
        let rebuilt = |inputs: &str| story(Health::new(Some((2, 3)), false), inputs).1.rotation;
        assert!(rebuilt("x") && rebuilt("x..") && rebuilt(".D") && rebuilt(".M") && rebuilt(".s"));
        assert!(!rebuilt(".x") && !rebuilt("x.") && !rebuilt("xx"));
    }

    #[test]
    fn a_reload_keeps_health_and_orders() {
        let down = story(Health::new(Some((2, 3)), false), "x").0;
        assert_eq!(down.under(Some((3, 4)), false, false).status().to_string(), "DOWN");
        let drained = story(Health::new(Some((2, 3)), false), ".D").0;
        assert_eq!(drained.under(Some((2, 5)), false, false).status().to_string(), "DRAIN");
        assert_eq!(drained.under(Some((2, 5)), false, true).status(), Status::Maint);
        assert_eq!(drained.under(Some((2, 5)), true, false).status().to_string(), "DRAIN");
        let disabled = Health::new(Some((2, 3)), true);
        assert_eq!(disabled.under(Some((2, 3)), true, true).status(), Status::Maint);
        assert_eq!(disabled.under(Some((2, 3)), true, false).status().to_string(), "UP 1/3");
        // A check that came: as at boot. One that went: up.
        assert_eq!(Health::new(None, false).under(Some((2, 3)), false, false).status().to_string(), "UP 1/3");
        assert_eq!(down.under(None, false, false).status(), Status::NoCheck);
    }
}
