//! When does a server count as up, and what follows from it? Pure: results and orders in, status and effects out.
//!
//! Knows no socket and no clock. `control` feeds it check results and operators' commands and performs what it says.

pub(crate) mod machine;
pub(crate) mod schedule;
pub(crate) mod score;
pub(crate) mod status;

pub(crate) use machine::{AdminState, Change, Effects, ForcedHealth, Health, Input, Origin};
pub(crate) use score::Verdict;
pub(crate) use status::Status;
