//! `tcp-request` lines (HAProxy manual 4.2).

use super::args::Args;
use super::draft::ProxyDraft;
use super::http_rules::{self, Action};
use crate::config::raw::{TcpRequest, TcpRule};
use crate::diag::FieldPath;

/// All actions of `tcp-request connection|session|content`; which may stand where is told when they are resolved.
pub(super) const ACTIONS: &[Action] = &[
    ("accept", Some(0)),
    ("reject", Some(0)),
    ("expect-proxy", Some(1)),
    ("silent-drop", Some(0)),
    ("set-src", Some(1)),
    ("set-src-port", Some(1)),
    ("set-dst", Some(1)),
    ("set-dst-port", Some(1)),
    ("set-tos", Some(1)),
    ("set-fc-tos", Some(1)),
    ("set-mark", Some(1)),
    ("set-fc-mark", Some(1)),
    ("set-log-level", Some(1)),
    ("set-priority-class", Some(1)),
    ("set-priority-offset", Some(1)),
    ("attach-srv", None),
    ("capture", None),
    ("do-log", None),
    ("do-resolve", None),
    ("expect-netscaler-cip", None),
    ("lua", None),
    ("sc-add-gpc", None),
    ("sc-inc-gpc", None),
    ("sc-inc-gpc0", None),
    ("sc-inc-gpc1", None),
    ("sc-set-gpt", None),
    ("sc-set-gpt0", None),
    ("send-spoe-group", None),
    ("set-bandwidth-limit", None),
    ("set-bc-mark", None),
    ("set-bc-tos", None),
    ("set-nice", None),
    ("set-var", None),
    ("set-var-fmt", None),
    ("switch-mode", None),
    ("track-sc", None),
    ("track-sc0", None),
    ("track-sc1", None),
    ("track-sc2", None),
    ("unset-var", None),
    ("use-service", None),
];

fn path(field: &str) -> FieldPath {
    FieldPath::root().key("tcp_request").key(field)
}

pub(super) fn inspect_delay(args: &mut Args, proxy: &mut ProxyDraft) {
    if let Some(time) = args.time() {
        args.mark_last(path("inspect_delay"));
        args.end();
        proxy.raw.tcp_request.inspect_delay = Some(time);
    }
}

pub(super) fn connection(args: &mut Args, proxy: &mut ProxyDraft) {
    add(args, "connection", proxy, |rules| &mut rules.connection);
}

pub(super) fn session(args: &mut Args, proxy: &mut ProxyDraft) {
    add(args, "session", proxy, |rules| &mut rules.session);
}

pub(super) fn content(args: &mut Args, proxy: &mut ProxyDraft) {
    add(args, "content", proxy, |rules| &mut rules.content);
}

fn add(args: &mut Args, stage: &str, proxy: &mut ProxyDraft, list: fn(&mut TcpRequest) -> &mut Vec<TcpRule>) {
    let list = list(&mut proxy.raw.tcp_request);
    let path = path(stage).index(list.len());
    list.extend(http_rules::rule::<TcpRule>(args, &path, ACTIONS));
}
