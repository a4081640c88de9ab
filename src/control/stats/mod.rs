//! What do operators and their tools see? One [`report::Report`], and a rendering of it for each reader: the page, CSV,
//! JSON, the metrics, and the runtime socket's answers.

pub(crate) mod auth;
mod cells;
mod columns;
pub(crate) mod csv;
mod details;
mod families;
mod format;
pub(crate) mod gather;
mod html;
pub(crate) mod info;
pub(crate) mod json;
pub(crate) mod live;
mod markup;
mod overview;
mod pages;
pub(crate) mod prometheus;
mod query;
pub(crate) mod report;
#[cfg(test)]
mod sample;
pub(crate) mod selection;
mod server_rows;
#[cfg(test)]
mod tests;

pub(crate) use format::iso;
pub(crate) use gather::{backend_name, frontend_name, numbered_backends};
pub(crate) use report::Report;
pub(crate) use selection::Selection;

use std::time::SystemTime;

/// The HAProxy whose management interface we speak. Tools look at it: Ansible drains a server only from 1.5 on.
const SPOKEN_VERSION: &str = "3.0.0";

/// When this version was released, as HAProxy writes dates.
const RELEASE_DATE: &str = "2026/11/20";

/// The version as tools read it: HAProxy's level first, our own behind it.
pub(crate) fn tool_version(version: &str) -> String {
    format!("{SPOKEN_VERSION}-lockgate-{version}")
}

/// Seconds since 1970; 0 before.
pub(crate) fn epoch_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
