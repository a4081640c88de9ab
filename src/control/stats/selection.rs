//! Which rows were asked for? The words of `show stat` and of the page's address come down to one filter.

use super::report::{ProxyReport, Report, Row, RowKind, Tone};

/// Keeps a row when everything set here holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Part of a proxy's name (`;scope=` of the page).
    pub scope: Option<String>,
    /// Whole names of proxies (`stats scope`); empty keeps all.
    pub proxies: Vec<String>,
    /// Number of a proxy (`show stat <iid>`).
    pub iid: Option<u32>,
    /// 1 frontends, 2 backends, 4 servers, 8 listeners, added up (`show stat <iid> <type>`).
    pub kinds: Option<u32>,
    /// Number of a server (`show stat <iid> <type> <sid>`).
    pub sid: Option<u32>,
    /// `up`: no servers that are down.
    pub hide_down: bool,
    pub hide_maintenance: bool,
}

impl Selection {
    pub fn keeps(&self, row: &Row) -> bool {
        self.keeps_proxy(&row.proxy)
            && self.iid.is_none_or(|iid| row.iid == iid)
            && self.kinds.is_none_or(|kinds| kinds & bit(row.kind) != 0)
            && self.sid.is_none_or(|sid| row.sid == sid)
            && !(self.hide_down && row.kind == RowKind::Server && is_down(row.tone))
            && !(self.hide_maintenance && row.kind == RowKind::Server && row.tone == Tone::Maint)
    }

    pub fn keeps_proxy(&self, name: &str) -> bool {
        self.scope.as_deref().is_none_or(|scope| name.contains(scope))
            && (self.proxies.is_empty() || self.proxies.iter().any(|proxy| proxy == name))
    }

    pub fn rows<'a>(&'a self, report: &'a Report) -> impl Iterator<Item = &'a Row> {
        report.rows().filter(|row| self.keeps(row))
    }

    /// Proxies that have a row to show, each with those rows.
    pub fn proxies<'a>(&'a self, report: &'a Report) -> impl Iterator<Item = (&'a ProxyReport, Vec<&'a Row>)> {
        report.proxies.iter().filter_map(|proxy| {
            let rows: Vec<&Row> = proxy.rows.iter().filter(|row| self.keeps(row)).collect();
            (!rows.is_empty()).then_some((proxy, rows))
        })
    }
}

fn bit(kind: RowKind) -> u32 {
    match kind {
        RowKind::Frontend => 1,
        RowKind::Backend => 2,
        RowKind::Server => 4,
        RowKind::Listener => 8,
    }
}

fn is_down(tone: Tone) -> bool {
    matches!(tone, Tone::Down | Tone::GoingUp | Tone::Maint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::sample;

    #[track_caller]
    fn check(selection: Selection, expected: &str) {
        let report = sample::report();
        let kept: Vec<String> = selection.rows(&report).map(|row| format!("{}/{}", row.proxy, row.name)).collect();
        assert_eq!(kept.join(" "), expected);
    }

    #[test]
    fn each_word_narrows_the_rows() {
        check(Selection { scope: Some("we".into()), ..Selection::default() }, "web/FRONTEND web/public web/tls");
        check(Selection { iid: Some(4), kinds: Some(2), ..Selection::default() }, "tcp/BACKEND");
        check(Selection { iid: Some(3), kinds: Some(4), sid: Some(2), ..Selection::default() }, "app/slave");
        check(
            Selection { proxies: vec!["app".into()], hide_down: true, ..Selection::default() },
            "app/slave app/plain app/wobbly app/BACKEND",
        );
        check(Selection { kinds: Some(1), ..Selection::default() }, "web/FRONTEND");
    }
}
