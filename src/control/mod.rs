//! The one control thread: health, orders, stats, reload. It alone decides; workers read what it publishes in `state`.

pub(crate) mod admin;
mod carry;
pub(crate) mod certificates;
mod checks;
pub(crate) mod command;
pub(crate) mod controller;
pub(crate) mod desk;
mod execute;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshakes;
pub(crate) mod history;
mod probe;
mod probe_http2;
mod reload;
pub(crate) mod sampler;
mod signals;
pub(crate) mod stats;
#[cfg(test)]
mod tests;
mod transitions;
pub(crate) mod watch;
mod wording;

pub(crate) use certificates::AsAtStart;
pub(crate) use controller::{Controller, Exit, Handle, LineRequest, ServiceState};
pub(crate) use reload::{OnState, ReadConfig, boot};
pub(crate) use signals::{Asked, Orders};
pub(crate) use watch::Watch;
