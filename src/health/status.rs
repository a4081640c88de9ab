//! How is a server, in the words of HAProxy's stats page?

use std::fmt;

/// What a server is, as HAProxy prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not checked, taken as up.
    NoCheck,
    /// `UP`, or `UP 1/3` with failures left to go when going down.
    Up {
        left: u32,
        fall: u32,
    },
    /// `DOWN`, or `DOWN 1/2` with passes so far when going up.
    Down {
        passed: u32,
        rise: u32,
    },
    /// Alive, no new traffic by its own or an operator's word.
    NoLb {
        left: u32,
        fall: u32,
    },
    Drain {
        left: u32,
        fall: u32,
    },
    Maint,
}

impl fmt::Display for Status {
    /// As `show stat` prints it: `UP`, `UP 1/3`, `DOWN 1/2`, `no check`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |f: &mut fmt::Formatter<'_>, word: &str, left: u32, fall: u32| {
            if left == fall { f.write_str(word) } else { write!(f, "{word} {left}/{fall}") }
        };
        match *self {
            Status::NoCheck => f.write_str("no check"),
            Status::Up { left, fall } => counted(f, "UP", left, fall),
            Status::Down { passed: 0, .. } => f.write_str("DOWN"),
            Status::Down { passed, rise } => write!(f, "DOWN {passed}/{rise}"),
            Status::NoLb { left, fall } => counted(f, "NOLB", left, fall),
            Status::Drain { left, fall } => counted(f, "DRAIN", left, fall),
            Status::Maint => f.write_str("MAINT"),
        }
    }
}
