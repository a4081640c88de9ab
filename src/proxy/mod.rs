//! The workers: IO around the engines.

mod accepted;
mod answer;
pub(crate) mod buffers;
pub(crate) mod clock;
mod connection;
mod downstream;
mod exchange;
mod http1_downstream;
mod http1_server;
mod http2_connection;
mod http2_io;
mod http2_server;
mod http2_stream;
mod http2_tunnel;
mod inspect;
mod listener;
#[cfg(any(test, fuzzing))]
pub(crate) mod memory;
mod record;
mod rules_context;
mod splice;
pub(crate) mod stream;
pub(crate) mod tcp_session;
pub(crate) mod timer;
mod tls;

mod transfer;
pub(crate) mod tunnel;
pub(crate) mod upstream;
mod view;
mod worker;

#[cfg(test)]
mod panic_tests;
#[cfg(test)]
mod steady_tests;
#[cfg(test)]
mod tcp_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod turn_tests;

#[cfg(any(test, fuzzing))]
pub(crate) use tls::hostile::fuzz as fuzz_tls;
pub(crate) use worker::spawn_workers;
