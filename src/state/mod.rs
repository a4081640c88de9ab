//! What lives while running and survives reloads. `proxy` and `control` meet only here: events and page requests go
//! up through bounded channels, snapshots come down through an `ArcSwap`.

pub(crate) mod counters;
pub(crate) mod dial;
pub(crate) mod events;
pub(crate) mod listeners;
pub(crate) mod logs;
pub(crate) mod panics;
pub(crate) mod servers;
pub(crate) mod snapshot;
pub(crate) mod threads;
pub(crate) mod tls;
pub(crate) mod unix_places;
pub(crate) mod waiting;

pub(crate) use events::{Event, Shared};
pub(crate) use servers::{BackendState, Cursor, FrontendState, ListenerState, Rotation, ServerState};
pub(crate) use snapshot::Snapshot;
