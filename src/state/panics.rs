//! How many defects has this process met? A task that panics ends alone: tokio catches it, guards give back what it held.
//! What is left to do is to count it; the panic hook tells it, with its place.
//!
//! This is why panics unwind and do not abort: one connection's defect must not cost the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Panics so far. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panics(Arc<AtomicU64>);

/// Counts a panic of the task or the scope it lives in.
#[derive(Debug)]
pub(crate) struct Witness(Panics);

impl Panics {
    pub fn total(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub fn witness(&self) -> Witness {
        Witness(self.clone())
    }

    /// For those that have a guard already: to be called from its `drop`.
    pub fn count_if_panicking(&self) {
        if std::thread::panicking() {
            self.0.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.count_if_panicking();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_panics_count() {
        let panics = Panics::default();
        drop(panics.witness());
        assert_eq!(panics.total(), 0);
        let witness = panics.witness();
        let caught = std::panic::catch_unwind(move || {
            let _witness = witness;
            panic!("injected");
        });
        assert!(caught.is_err());
        assert_eq!(panics.total(), 1);
    }
}
