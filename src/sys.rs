//! The kernel interfaces no library wraps: the only file with `unsafe`.
