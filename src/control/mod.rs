//! The one control thread: health, orders, stats, reload. It alone decides; workers read what it publishes in `state`.

pub(crate) mod command;
pub(crate) mod controller;
mod execute;
pub(crate) mod history;
pub(crate) mod sampler;
pub(crate) mod stats;
pub(crate) mod watch;

pub(crate) use command::{Answer, Command, CommandError, NewWeight, ServerName};
pub(crate) use controller::{Controller, Event, Handle, LineRequest};
pub(crate) use watch::{ReloadReport, Watch};
