//! How servers are asked whether they are well (HAProxy manual 4.2 `option httpchk`, `http-check`, `option tcp-check`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a check says and what it wants to hear.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Check {
    /// Not said: `http` in an HTTP backend or where a request is described, else `tcp`. haproxy.cfg's reader always says it, because there
    /// `tcp` is what is meant without a word.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<CheckType>,
    /// Default: `GET`; `OPTIONS` is what HAProxy sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Default: `/health`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// `HTTP/1.0` or `HTTP/1.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// In the order sent; `Host` belongs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<CheckHeader>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// All must hold. Not said: status 200 natively; haproxy.cfg's reader writes `200-399` for HAProxy's own rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Vec<Expect>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckType {
    /// The connection itself, and the TLS handshake where there is one.
    Tcp,
    /// One request, one response.
    Http,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckHeader {
    pub name: String,
    pub value: String,
}

/// One thing a response must show: exactly one of the fields besides `not`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    /// Turns it round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<bool>,
    /// Codes and ranges: `200,204,300-399`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// A regular expression over the status code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rstatus: Option<String>,
    /// A text in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string: Option<String>,
    /// A regular expression over the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rstring: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<ExpectHeader>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectHeader {
    pub name: String,
    /// Any value when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
