//! Which signal asks for what? SIGHUP and SIGUSR2 reload, SIGUSR1 ends softly, SIGTERM ends with a deadline, SIGINT ends.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::controller::Event;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Reload,
    /// Take nothing new, let everything finish, however long it takes (`hard-stop-after` aside).
    SoftStop,
    /// The same with a deadline; asked again, stop.
    Terminate,
    /// Stop now.
    Stop,
}

/// Where orders for the whole process come from, runtime sockets and pages aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orders {
    /// Signals: the process is ours.
    BySignal,
    /// A [`Handle`](super::Handle) only: other proxies live in this process, and signals are not ours to take.
    ByHandle,
}

/// Starts listening to signals; each becomes an event.
///
/// # Errors
/// The kernel refused a signal handler.
pub(super) fn listen(events: &mpsc::Sender<Event>) -> io::Result<()> {
    let wanted = [
        (SignalKind::hangup(), Asked::Reload),
        (SignalKind::user_defined2(), Asked::Reload),
        (SignalKind::user_defined1(), Asked::SoftStop),
        (SignalKind::terminate(), Asked::Terminate),
        (SignalKind::interrupt(), Asked::Stop),
    ];
    for (kind, asked) in wanted {
        let mut signal = signal(kind)?;
        let events = events.clone();
        tokio::task::spawn_local(async move {
            while signal.recv().await.is_some() {
                if events.send(Event::Asked(asked)).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}
