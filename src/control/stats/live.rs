//! Who watches the page right now, and what do they not know yet? Server-sent events (WHATWG HTML §9.2): once a second
//! each watcher gets the pieces of the page that changed.
//!
//! Watchers of the same view share its last state. One that does not read what it is sent is dropped; its browser
//! comes back by itself.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::html;
use super::json;
use super::overview;
use super::report::Report;
use super::selection::Selection;

/// Pages watched at once; the next one is told to come back later.
pub(super) const WATCHERS: usize = 64;

/// Updates that may wait for a slow reader before it is dropped.
const WAITING_UPDATES: usize = 8;

/// How long a browser waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 3000;

/// What decides what a watcher sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub selection: Selection,
    /// Addresses may be shown (`stats show-legends`).
    pub legends: bool,
    /// Shown instead of the process's own name.
    pub node: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Live {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    view: View,
    generation: u64,
    /// As last sent, by id.
    pieces: HashMap<String, String>,
    watchers: Vec<mpsc::Sender<Bytes>>,
}

impl Live {
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Adds a watcher, whose first update is the whole view. `None` when there are [`WATCHERS`] already.
    pub fn join(&mut self, view: View, report: &Report) -> Option<mpsc::Receiver<Bytes>> {
        self.forget_the_gone();
        if self.groups.iter().map(|group| group.watchers.len()).sum::<usize>() >= WATCHERS {
            return None;
        }
        let pieces = html::pieces(report, &view.selection);
        let all: Vec<(&str, &str)> = pieces.iter().map(|(id, html)| (id.as_str(), html.as_str())).collect();
        let first = format!("retry: {RETRY_MS}\n{}", update(report, &view, &all));
        let (sender, receiver) = mpsc::channel(WAITING_UPDATES);
        sender.try_send(Bytes::from(first)).ok()?;
        match self.groups.iter_mut().find(|group| group.view == view) {
            // What it lacks of the group's state it has just been sent.
            Some(group) => group.watchers.push(sender),
            None => {
                let generation = report.process.generation;
                self.groups.push(Group { view, generation, pieces, watchers: vec![sender] });
            }
        }
        Some(receiver)
    }

    /// Sends everyone what changed since the last time.
    pub fn tell(&mut self, report: &Report) {
        let mut without_legends = None;
        for group in &mut self.groups {
            let report = if group.view.legends {
                report
            } else {
                without_legends.get_or_insert_with(|| {
                    let mut report = report.clone();
                    report.hide_legends();
                    report
                })
            };
            let message = Bytes::from(group.advance(report));
            group.watchers.retain(|watcher| watcher.try_send(message.clone()).is_ok());
        }
        self.groups.retain(|group| !group.watchers.is_empty());
    }

    /// Ends all streams: the process is ending.
    pub fn close(&mut self) {
        self.groups.clear();
    }

    fn forget_the_gone(&mut self) {
        for group in &mut self.groups {
            group.watchers.retain(|watcher| !watcher.is_closed());
        }
        self.groups.retain(|group| !group.watchers.is_empty());
    }
}

impl Group {
    /// The event that brings a watcher from the state last sent to this report's.
    fn advance(&mut self, report: &Report) -> String {
        let pieces = html::pieces(report, &self.view.selection);
        let redraw = report.process.generation != self.generation;
        if redraw {
            // Other rows: the watcher fetches them; what stands around them it is sent whole.
            self.generation = report.process.generation;
            self.pieces.clear();
        }
        let changed: Vec<(&str, &str)> = pieces
            .iter()
            .filter(|(id, html)| self.pieces.get(*id) != Some(*html))
            .map(|(id, html)| (id.as_str(), html.as_str()))
            .collect();
        let message = update(report, &self.view, &changed);
        self.pieces = pieces;
        if redraw { format!("event: redraw\ndata: {{}}\n\n{message}") } else { message }
    }
}

fn update(report: &Report, view: &View, pieces: &[(&str, &str)]) -> String {
    let title = overview::title(report, &view.selection, view.node.as_deref().unwrap_or(&report.process.node));
    let mut data = format!(
        "event: pieces\ndata: {{\"now\":{},\"title\":{},\"pieces\":{{",
        json::text(&super::format::iso(report.process.now)),
        json::text(&title)
    );
    for (index, (id, html)) in pieces.iter().enumerate() {
        if index > 0 {
            data.push(',');
        }
        // JSON text holds no line end, so the event stays one line.
        data.push_str(&json::text(id));
        data.push(':');
        data.push_str(&json::text(html));
    }
    data.push_str("}}\n\n");
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::sample;

    fn view() -> View {
        View { selection: Selection::default(), legends: true, node: None }
    }

    /// The `data:` of the next event, and its name.
    #[track_caller]
    fn next(receiver: &mut mpsc::Receiver<Bytes>) -> (String, serde_json::Value) {
        let bytes = receiver.try_recv().expect("an event");
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.ends_with("\n\n"));
        let find = |field: &str| text.lines().find_map(|line| line.strip_prefix(field)).unwrap().to_owned();
        (find("event: "), serde_json::from_str(&find("data: ")).unwrap())
    }

    #[test]
    fn only_what_changed_is_sent() {
        let mut report = sample::report();
        let mut live = Live::default();
        let mut watcher = live.join(view(), &report).unwrap();
        let (event, first) = next(&mut watcher);
        assert_eq!(event, "pieces");
        assert!(first["pieces"]["r3s1-status"].as_str().unwrap().contains("DOWN"));

        report.proxies[1].rows[0].status = "UP".into();
        live.tell(&report);
        let (_, second) = next(&mut watcher);
        let changed: Vec<&String> = second["pieces"].as_object().unwrap().keys().collect();
        assert_eq!(changed, ["r3s1-status"]);

        report.process.generation += 1;
        live.tell(&report);
        let told = String::from_utf8(watcher.try_recv().unwrap().to_vec()).unwrap();
        assert!(told.starts_with("event: redraw\n") && told.contains("t-config"), "{told}");
    }

    #[test]
    fn addresses_stay_hidden_from_those_who_may_not_see_them() {
        let mut live = Live::default();
        let mut report = sample::report();
        let hidden = View { legends: false, ..view() };
        let mut shown_without = report.clone();
        shown_without.hide_legends();
        let mut watcher = live.join(hidden, &shown_without).unwrap();
        report.process.request_rate.now += 1;
        live.tell(&report);
        for _ in 0..2 {
            assert!(!next(&mut watcher).1.to_string().contains("10.0.0.11"));
        }
    }

    #[test]
    fn who_does_not_read_is_dropped_and_nobody_comes_in_when_it_is_full() {
        let report = sample::report();
        let mut live = Live::default();
        let slow = live.join(view(), &report).unwrap();
        (0..WAITING_UPDATES).for_each(|_| live.tell(&report));
        assert!(live.is_empty(), "the slow one is still there");
        drop(slow);

        let watchers: Vec<_> = (0..WATCHERS).map(|_| live.join(view(), &report).unwrap()).collect();
        assert!(live.join(view(), &report).is_none());
        drop(watchers);
        assert!(live.join(view(), &report).is_some(), "those who left keep their place");
    }
}
