//! Does the whole proxy do what an operator expects of it? The built program, real sockets, real peers.
#![allow(clippy::unwrap_used)] // a test that cannot go on shall panic

mod architecture;
mod harness;
