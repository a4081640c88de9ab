//! The runtime socket: HAProxy's line protocol and commands (management guide 9.3), so that its tools work unchanged.
//!
//! `socket` accepts, `session` speaks the protocol with one client, `commands` is the table of what can be said,
//! `orders` turns words into the controller's commands, `render` and `certificate` print what it knows.

mod certificate;
mod commands;
mod line;
mod orders;
mod render;
mod servers;
mod session;
pub(crate) mod socket;
#[cfg(test)]
mod tests;

/// One conversation over any stream.
#[cfg(any(test, fuzzing))]
pub(super) async fn converse<S>(stream: S, level: crate::model::global::AccessLevel, handle: super::Handle)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    const IDLE: std::time::Duration = std::time::Duration::from_secs(10);
    // Its client may go at any time.
    let _ = session::Session::new(stream, session::Client { level, idle: IDLE, handle }).run().await;
}
