//! Which server is next? Pure: healthy servers and their weights in, a table of turns out; a pick is a lookup.

pub(crate) mod rotation;
pub(crate) mod round_robin;

pub(crate) use rotation::{Candidate, choose};
pub(crate) use round_robin::turns;
