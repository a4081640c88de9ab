//! The runtime socket: HAProxy's line protocol and commands (management guide 9.3), so that its tools work unchanged.
//!
//! `socket` accepts, `session` speaks the protocol with one client, `commands` is the table of what can be said,
//! `orders` turns words into the controller's commands, `render` prints what it knows.

mod commands;
mod line;
mod orders;
mod render;
mod servers;
mod session;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
