//! Rules as written: an action, its words, and when it applies (HAProxy manual 4.2 `http-request`, `use_backend`, 7.2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Words;

/// When something applies. With both absent: always.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct When {
    /// Holds: names of ACLs and `{ tests in place }`, `!` before a term, `or` between groups.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub if_: Option<Words>,
    /// Does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless: Option<Words>,
}

/// One `http-request` or `http-response` rule: exactly one action, with its words as in haproxy.cfg.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpRule {
    /// Ends the rules of this section: `allow: true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Words>,
    /// `<name> <log-format>`: replaces every field of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_header: Option<Words>,
    /// `<name> <log-format>`: adds one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_header: Option<Words>,
    /// `<name> [-m str|beg|end|sub|reg]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub del_header: Option<Words>,
    /// `[deny_status <code>] [content-type …] [string|lf-string|file|lf-file|errorfile …] [hdr <name> <value>]…`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<Words>,
    /// As `deny`, but 500 unless said, and only after `timeout tarpit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tarpit: Option<Words>,
    /// Once it was sent, the request is not sent again: `disable_l7_retry: true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_l7_retry: Option<Words>,
    /// `<expression>`: -2047 to 2047; lower classes leave a queue first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_priority_class: Option<Words>,
    /// `<expression>`: milliseconds by which a request counts as having come later, or earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_priority_offset: Option<Words>,
    /// `location|prefix|scheme <to> [code <code>] [drop-query] [append-slash] [set-cookie|clear-cookie <name>]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Words>,
    /// `[status <code>] [content-type <type>] [string|lf-string|file|lf-file …] [hdr <name> <value>]…`
    #[serde(rename = "return", skip_serializing_if = "Option::is_none")]
    pub return_: Option<Words>,
    /// `prometheus-exporter`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_service: Option<Words>,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub if_: Option<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless: Option<Words>,
}

impl HttpRule {
    /// The actions written, each under its field's name (`set_header`, `return`). A right rule has exactly one.
    pub fn actions(&self) -> impl Iterator<Item = (&'static str, &Words)> {
        [
            ("allow", &self.allow),
            ("set_header", &self.set_header),
            ("add_header", &self.add_header),
            ("del_header", &self.del_header),
            ("deny", &self.deny),
            ("tarpit", &self.tarpit),
            ("disable_l7_retry", &self.disable_l7_retry),
            ("set_priority_class", &self.set_priority_class),
            ("set_priority_offset", &self.set_priority_offset),
            ("redirect", &self.redirect),
            ("return", &self.return_),
            ("use_service", &self.use_service),
        ]
        .into_iter()
        .filter_map(|(name, words)| words.as_ref().map(|words| (name, words)))
    }

    /// Where the words of the action called `name` (in field spelling) are kept; `None` when there is no such action.
    pub fn action_mut(&mut self, name: &str) -> Option<&mut Option<Words>> {
        match name {
            "allow" => Some(&mut self.allow),
            "set_header" => Some(&mut self.set_header),
            "add_header" => Some(&mut self.add_header),
            "del_header" => Some(&mut self.del_header),
            "deny" => Some(&mut self.deny),
            "tarpit" => Some(&mut self.tarpit),
            "disable_l7_retry" => Some(&mut self.disable_l7_retry),
            "set_priority_class" => Some(&mut self.set_priority_class),
            "set_priority_offset" => Some(&mut self.set_priority_offset),
            "redirect" => Some(&mut self.redirect),
            "return" => Some(&mut self.return_),
            "use_service" => Some(&mut self.use_service),
            _ => None,
        }
    }
}

/// One `redirect` line; these run after every `http-request` rule (manual 4.2 `redirect`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedirectRule {
    /// As for the `redirect` action.
    pub redirect: Words,
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub if_: Option<Words>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Words>,
}

/// One `use_backend` line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseBackend {
    pub backend: String,
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub if_: Option<Words>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Words>,
}
