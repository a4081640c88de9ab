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
    /// Forgets the connection without telling the client: `silent_drop: true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_drop: Option<Words>,
    /// `<expression>`: the client's address from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_src: Option<Words>,
    /// `<expression>`: its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_src_port: Option<Words>,
    /// `<expression>`: the address the client reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_dst: Option<Words>,
    /// `<expression>`: its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_dst_port: Option<Words>,
    /// `<number>`: the type of service of packets to the client, 0 to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_tos: Option<Words>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_fc_tos: Option<Words>,
    /// `<number>`: the mark of packets to the client, decimal or `0x…`. Needs CAP_NET_ADMIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_mark: Option<Words>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_fc_mark: Option<Words>,
    /// `<level>` of its log line, or `silent`. In `content` rules only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_log_level: Option<Words>,
    /// `<expression>`: -2047 to 2047; lower classes leave a queue first. In `content` rules only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_priority_class: Option<Words>,
    /// `<expression>`: milliseconds by which it counts as having come later, or earlier. In `content` rules only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_priority_offset: Option<Words>,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub if_: Option<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless: Option<Words>,
}

/// Gives each action under its field's name; a list of them all in one place.
macro_rules! actions {
    ($($field:ident)*) => {
        impl TcpRule {
            /// The actions written, each under its field's name. A right rule has exactly one.
            pub fn actions(&self) -> impl Iterator<Item = (&'static str, &Words)> {
                [$((stringify!($field), &self.$field)),*]
                    .into_iter()
                    .filter_map(|(name, words)| words.as_ref().map(|words| (name, words)))
            }

            /// Where the words of the action called `name` (in field spelling) are kept; `None` when there is none.
            pub fn action_mut(&mut self, name: &str) -> Option<&mut Option<Words>> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

actions!(accept reject expect_proxy silent_drop set_src set_src_port set_dst set_dst_port
    set_tos set_fc_tos set_mark set_fc_mark set_log_level set_priority_class set_priority_offset);
