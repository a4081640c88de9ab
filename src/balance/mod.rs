//! Which server is next, and which request? Pure: healthy servers and their weights in, a table of turns out, so that a
//! pick is a lookup; and the queue of those that wait for a server with room.

pub(crate) mod idle;
pub(crate) mod limit;
pub(crate) mod queue;
pub(crate) mod rate;
pub(crate) mod rotation;
pub(crate) mod round_robin;

pub(crate) use rotation::{Candidate, choose};
pub(crate) use round_robin::turns;
