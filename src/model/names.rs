//! How things are called: by name for people, by index on the hot path.

use std::sync::Arc;

/// A proxy's or server's name, shared between the configuration, its state and its log lines.
pub(crate) type Name = Arc<str>;

/// Index into [`Config::frontends`](super::Config), valid within one snapshot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FrontendId(pub u32);

/// Index into [`Config::backends`](super::Config), valid within one snapshot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BackendId(pub u32);

/// Index into [`Backend::servers`](super::Backend), valid within one snapshot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServerId(pub u32);

impl FrontendId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl BackendId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ServerId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
