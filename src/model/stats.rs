//! The stats page as configured (HAProxy manual 4.2, `stats …`).

use std::time::Duration;

use super::rule::Condition;

#[derive(Debug)]
pub(crate) struct StatsPage {
    /// A request whose URI starts with this is answered with the page; `/haproxy?stats` by default.
    pub uri: String,
    pub realm: String,
    /// User and password; empty lets everyone in.
    pub auth: Vec<(String, String)>,
    pub refresh: Option<Duration>,
    pub hide_version: bool,
    pub admin: StatsAdmin,
    /// Names of proxies shown; empty shows all (`stats scope`).
    pub scope: Vec<String>,
    pub show_legends: bool,
    pub show_node: Option<String>,
    pub show_description: Option<String>,
    /// Path that answers in Prometheus format on the same listener, such as `/metrics`.
    pub metrics: Option<String>,
}

/// Who may change states from the page.
#[derive(Debug)]
pub(crate) enum StatsAdmin {
    Never,
    /// `stats admin if …`
    When(Condition),
}

impl StatsPage {
    /// What stands behind `http-request use-service prometheus-exporter`: no page, open metrics.
    pub fn metrics_only() -> Self {
        StatsPage {
            uri: String::new(),
            realm: String::new(),
            auth: Vec::new(),
            refresh: None,
            hide_version: false,
            admin: StatsAdmin::Never,
            scope: Vec::new(),
            show_legends: false,
            show_node: None,
            show_description: None,
            metrics: None,
        }
    }
}
