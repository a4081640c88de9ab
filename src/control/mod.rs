//! The one control thread: health, admin, stats, reload.
