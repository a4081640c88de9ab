//! How is a thread of the proxy started? Named, and speaking to whom its starter speaks: two proxies in one process keep
//! their messages apart.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use tracing::dispatcher;

/// # Errors
/// The kernel gives no thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let listener = dispatcher::get_default(Clone::clone);
    Builder::new().name(name).spawn(move || {
        let _listening = dispatcher::set_default(&listener);
        body()
    })
}

/// Who panicked while holding it lost its own work; what it guards is whole between any two steps of ours.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
