//! When does a server count as up, and what follows from it? Pure: results and orders in, status and effects out.
//!
//! Knows no socket and no clock. `control` feeds it check results and operators' commands and performs what it says.

pub(crate) mod machine;
pub(crate) mod schedule;
pub(crate) mod score;

pub(crate) use machine::{Admin, AdminState, Change, Effects, ForcedHealth, Health, Input, Origin, Status};
pub(crate) use score::{Score, Transition, Verdict};
