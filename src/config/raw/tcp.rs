//! Rules on connections as written (HAProxy manual 4.2 `tcp-request`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, Words};

/// Who is let in, before anybody speaks the connection's protocol.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TcpRequest {
    /// How long the client's first bytes are waited for where `content` asks for them; not at all unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspect_delay: Option<Span>,
    /// In order, when a connection is accepted: only its addresses are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection: Vec<TcpRule>,
    /// In order, behind PROXY header and TLS handshake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub session: Vec<TcpRule>,
    /// In order; what the client sends first may be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<TcpRule>,
}

/// One rule: exactly one action.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TcpRule {
    /// Lets the connection pass the rules of this kind: `accept: true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept: Option<Words>,
    /// Closes the connection: `reject: true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject: Option<Words>,
    /// `layer4`: a PROXY header comes first. In `connection` rules only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_proxy: Option<Words>,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub if_: Option<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless: Option<Words>,
}

impl TcpRule {
    /// The actions written, each under its field's name. A right rule has exactly one.
    pub fn actions(&self) -> impl Iterator<Item = (&'static str, &Words)> {
        [("accept", &self.accept), ("reject", &self.reject), ("expect_proxy", &self.expect_proxy)]
            .into_iter()
            .filter_map(|(name, words)| words.as_ref().map(|words| (name, words)))
    }

    /// Where the words of the action called `name` (in field spelling) are kept; `None` when there is no such action.
    pub fn action_mut(&mut self, name: &str) -> Option<&mut Option<Words>> {
        match name {
            "accept" => Some(&mut self.accept),
            "reject" => Some(&mut self.reject),
            "expect_proxy" => Some(&mut self.expect_proxy),
            _ => None,
        }
    }
}
