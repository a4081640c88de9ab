//! What did the operator write? The native schema: both readers fill these types, `resolve` reads them.
//!
//! Exactly what was said, nothing more: no defaults, no references followed, no positions. A field that was not
//! written is `None` (or empty), so `resolve` can tell "not said" from "said to be the default", and `convert` can
//! write a file back. The words are HAProxy's with `_` for `-`; the structure is YAML's.
//!
//! Places are named by field path (`frontends.web.bind[0].address`, `backends.app.servers.a.inter`,
//! `global.log[1].facility`); each reader knows where in the text a path stands, see [`Locate`].
//!
//! [`Locate`]: crate::config::locate::Locate

mod check;
mod global;
mod proxy;
mod rules;
mod server;
mod tcp;
mod text;

pub(crate) use check::{Check, CheckHeader, CheckType, Expect, ExpectHeader};
pub(crate) use global::{AccessLevel, Global, LogTarget, SslDefaults, StatsSocket};
pub(crate) use proxy::{
    Balance, Bind, Capture, ClientVerify, ForwardFor, Forwarded, ForwardedPreset, HttpConnection, HttpReuse, LogFormat,
    Mode, Proto, Proxy, ProxyKind, Stats, Timeouts,
};
pub(crate) use rules::{HttpRule, RedirectRule, UseBackend, When};
pub(crate) use server::{Server, Source, Verify, WebSockets};
pub(crate) use tcp::{TcpRequest, TcpRule};
pub(crate) use text::{A_SIZE, A_TIME, OneOrMany, Size, Span, Words};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Settings of the whole process.
    #[serde(skip_serializing_if = "is_default")]
    pub global: Global,
    /// What every proxy without `from` starts with.
    #[serde(skip_serializing_if = "is_default")]
    pub defaults: Proxy,
    /// Further sets of defaults, chosen by a proxy's `from`.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub named_defaults: IndexMap<String, Proxy>,
    /// Where clients come in.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub frontends: IndexMap<String, Proxy>,
    /// Servers that serve the same thing.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub backends: IndexMap<String, Proxy>,
    /// A frontend and a backend in one section.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub listens: IndexMap<String, Proxy>,
}

impl Config {
    /// Writes the configuration as YAML, only what was said. Read back, it is the same.
    ///
    /// # Errors
    /// None that a value of this type can cause.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        // What was a plain `${` stays one; names, the only keys with free text, cannot hold it.
        Ok(serde_yaml::to_string(self)?.replace("${", "$${"))
    }
}

/// Lets unwritten parts stay unwritten when a configuration is written back.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
