//! Rules with conditions: `acl`, `http-request`, `http-response`, `redirect`, `use_backend` (HAProxy manual 4.2, 7).
//!
//! Only cut apart here; what the words of a condition or an action mean is read by `config/expr`.

use super::args::Args;
use super::draft::ProxyDraft;
use super::table::Status;
use crate::config::raw::{HttpRule, RedirectRule, TcpRule, UseBackend, Words};
use crate::diag::{Diagnostic, FieldPath};

/// An action: its name, and the fewest words before a condition. `None` is not built yet.
pub(super) type Action = (&'static str, Option<usize>);

pub(super) const REQUEST_ACTIONS: &[Action] = &[
    ("allow", Some(0)),
    ("set-header", Some(2)),
    ("add-header", Some(2)),
    ("del-header", Some(1)),
    ("deny", Some(0)),
    ("tarpit", Some(0)),
    ("disable-l7-retry", Some(0)),
    ("set-priority-class", Some(1)),
    ("set-priority-offset", Some(1)),
    ("redirect", Some(2)),
    ("return", Some(0)),
    ("use-service", Some(1)),
    ("add-acl", None),
    ("add-headers-bin", None),
    ("auth", None),
    ("cache-use", None),
    ("capture", None),
    ("del-acl", None),
    ("del-headers-bin", None),
    ("del-map", None),
    ("do-log", None),
    ("do-resolve", None),
    ("early-hint", None),
    ("lua", None),
    ("normalize-uri", None),
    ("pause", None),
    ("reject", None),
    ("replace-header", None),
    ("replace-path", None),
    ("replace-pathq", None),
    ("replace-uri", None),
    ("replace-value", None),
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
    ("set-dst", None),
    ("set-dst-port", None),
    ("set-fc-mark", None),
    ("set-fc-tos", None),
    ("set-headers-bin", None),
    ("set-log-level", None),
    ("set-map", None),
    ("set-mark", None),
    ("set-method", None),
    ("set-nice", None),
    ("set-path", None),
    ("set-pathq", None),
    ("set-query", None),
    ("set-retries", None),
    ("set-src", None),
    ("set-src-port", None),
    ("set-timeout", None),
    ("set-tos", None),
    ("set-uri", None),
    ("set-var", None),
    ("set-var-fmt", None),
    ("silent-drop", None),
    ("strict-mode", None),
    ("track-sc", None),
    ("track-sc0", None),
    ("track-sc1", None),
    ("track-sc2", None),
    ("unset-var", None),
    ("wait-for-body", None),
    ("wait-for-handshake", None),
];

pub(super) const RESPONSE_ACTIONS: &[Action] = &[
    ("allow", Some(0)),
    ("set-header", Some(2)),
    ("add-header", Some(2)),
    ("del-header", Some(1)),
    ("deny", Some(0)),
    ("add-acl", None),
    ("cache-store", None),
    ("capture", None),
    ("del-acl", None),
    ("del-map", None),
    ("do-log", None),
    ("lua", None),
    ("pause", None),
    ("redirect", None),
    ("replace-header", None),
    ("replace-value", None),
    ("return", None),
    ("sc-add-gpc", None),
    ("sc-inc-gpc", None),
    ("sc-inc-gpc0", None),
    ("sc-inc-gpc1", None),
    ("sc-set-gpt", None),
    ("sc-set-gpt0", None),
    ("send-spoe-group", None),
    ("set-bandwidth-limit", None),
    ("set-fc-mark", None),
    ("set-fc-tos", None),
    ("set-log-level", None),
    ("set-map", None),
    ("set-mark", None),
    ("set-nice", None),
    ("set-status", None),
    ("set-timeout", None),
    ("set-tos", None),
    ("set-var", None),
    ("set-var-fmt", None),
    ("silent-drop", None),
    ("strict-mode", None),
    ("track-sc0", None),
    ("track-sc1", None),
    ("track-sc2", None),
    ("unset-var", None),
    ("wait-for-body", None),
];

/// Caching is no gap to be filled: Lockgate has no cache, by design.
pub(super) const NO_CACHE: &str = "responses are never cached here, by design; remove it";

fn status(action: &Action) -> Status {
    match action {
        (_, Some(_)) => Status::Built,
        ("cache-use" | "cache-store", None) => Status::Refused(NO_CACHE),
        ("set-nice", None) => Status::NoEffect("requests are served in turn"),
        _ => Status::NotBuilt(""),
    }
}

pub(super) fn statuses(actions: &'static [Action]) -> impl Iterator<Item = (&'static str, Status)> {
    actions.iter().map(|action| (action.0, status(action)))
}

pub(super) fn http_request(args: &mut Args, proxy: &mut ProxyDraft) {
    let path = FieldPath::root().key("http_request").index(proxy.raw.http_request.len());
    proxy.raw.http_request.extend(rule(args, &path, REQUEST_ACTIONS));
}

pub(super) fn http_response(args: &mut Args, proxy: &mut ProxyDraft) {
    let path = FieldPath::root().key("http_response").index(proxy.raw.http_response.len());
    proxy.raw.http_response.extend(rule(args, &path, RESPONSE_ACTIONS));
}

/// What a line `KEYWORD ACTION ... [if|unless ...]` is read into.
pub(super) trait Ruled: Default {
    fn action_mut(&mut self, field: &str) -> Option<&mut Option<Words>>;
    fn on(&mut self, condition: (Option<Words>, Option<Words>));
}

impl Ruled for HttpRule {
    fn action_mut(&mut self, field: &str) -> Option<&mut Option<Words>> {
        HttpRule::action_mut(self, field)
    }

    fn on(&mut self, condition: (Option<Words>, Option<Words>)) {
        (self.if_, self.unless) = condition;
    }
}

impl Ruled for TcpRule {
    fn action_mut(&mut self, field: &str) -> Option<&mut Option<Words>> {
        TcpRule::action_mut(self, field)
    }

    fn on(&mut self, condition: (Option<Words>, Option<Words>)) {
        (self.if_, self.unless) = condition;
    }
}

/// Reads the rest of such a line.
pub(super) fn rule<R: Ruled>(args: &mut Args, path: &FieldPath, actions: &'static [Action]) -> Option<R> {
    args.mark_line(path.clone());
    let keyword = args.keyword().to_owned();
    let written = args.text("an action")?;
    // `set-var(txn.x)`, `lua.hello`: such arguments belong to the action's name.
    let name = written.split(['(', '.']).next().unwrap_or_default();
    let Some(action) = actions.iter().find(|action| action.0 == name) else {
        let message = format!("unknown action `{written}` of `{keyword}`");
        args.tell_last(Diagnostic::error(message).suggest(name, actions.iter().map(|action| action.0)));
        return None;
    };
    let Some(fewest) = action.1 else {
        if let Some(diagnostic) = status(action).diagnostic(&format!("{keyword} {name}")) {
            args.tell_last(diagnostic);
        }
        return None;
    };
    args.set_keyword(&format!("{keyword} {name}"));
    let mut rule = R::default();
    let field = name.replace('-', "_");
    args.mark_last(path.key(field.clone()));
    let words = arguments(args, &path.key(field.clone()), fewest)?;
    if let Some(slot) = rule.action_mut(&field) {
        *slot = Some(words);
    }
    rule.on(condition(args, path)?);
    Some(rule)
}

/// The words of an action, marked; told when there are fewer than it needs.
pub(super) fn arguments(args: &mut Args, path: &FieldPath, fewest: usize) -> Option<Words> {
    let (first, words) = args.until_condition(fewest);
    if words.0.len() < fewest {
        let what = if fewest == 1 { "one word behind it".to_owned() } else { format!("{fewest} words behind it") };
        args.missing(&what);
        return None;
    }
    if !words.is_empty() {
        args.mark_words(path.clone(), first, args.index());
    }
    Some(words)
}

/// The condition to the line's end, marked under `if` or `unless`.
pub(super) fn condition(args: &mut Args, path: &FieldPath) -> Option<(Option<Words>, Option<Words>)> {
    let Some((first, words, is_if)) = args.condition()? else {
        return Some((None, None));
    };
    let field = if is_if { "if" } else { "unless" };
    args.mark_words(path.key(field), first, args.line.words.len());
    Some(if is_if { (Some(words), None) } else { (None, Some(words)) })
}

pub(super) fn redirect(args: &mut Args, proxy: &mut ProxyDraft) {
    let path = FieldPath::root().key("redirect").index(proxy.raw.redirect.len());
    args.mark_line(path.clone());
    let Some(words) = arguments(args, &path.key("redirect"), 2) else {
        return;
    };
    if let Some((if_, unless)) = condition(args, &path) {
        proxy.raw.redirect.push(RedirectRule { redirect: words, if_, unless });
    }
}

pub(super) fn use_backend(args: &mut Args, proxy: &mut ProxyDraft) {
    let path = FieldPath::root().key("use_backend").index(proxy.raw.use_backend.len());
    args.mark_line(path.clone());
    let Some(backend) = args.text("the name of a backend") else {
        return;
    };
    args.mark_last(path.key("backend"));
    if backend.contains('%') {
        let message = "the name of a backend computed from the request is known but not built yet";
        args.tell_last(Diagnostic::error(message).hint("write one `use_backend NAME if …` for each"));
        return;
    }
    if let Some((if_, unless)) = condition(args, &path) {
        proxy.raw.use_backend.push(UseBackend { backend, if_, unless });
    }
}

pub(super) fn default_backend(args: &mut Args, proxy: &mut ProxyDraft) {
    if let Some(name) = args.text("the name of a backend") {
        args.mark_last(FieldPath::root().key("default_backend"));
        args.end();
        proxy.raw.default_backend = Some(name);
    }
}

/// `acl <name> <criterion> [flags] [patterns]`
pub(super) fn acl(args: &mut Args, proxy: &mut ProxyDraft) {
    let Some(name) = args.text("a name and a test: `acl api path_beg /api`") else {
        return;
    };
    if let Some(wrong) = super::sections::bad_character(&name) {
        let message = format!("`{wrong}` cannot stand in the name of an ACL");
        args.tell_last(Diagnostic::error(message).hint("names have letters, digits, `-`, `_`, `.` and `:`"));
        return;
    }
    if matches!(name.as_str(), "or" | "if" | "unless") {
        args.tell_last(Diagnostic::error(format!("an ACL cannot be called `{name}`: conditions use that word")));
        return;
    }
    if !args.more() {
        args.missing("a test behind the name: `path_beg /api`, `src 10.0.0.0/8`");
        return;
    }
    let first = args.index();
    let words: Vec<String> = std::iter::from_fn(|| args.take()).map(str::to_owned).collect();
    let path = FieldPath::root().key("acls").key(name.clone());
    let tests = proxy.raw.acls.entry(name).or_default();
    let after = args.line.words.len();
    if tests.0.is_empty() {
        args.mark_words(path.clone(), first, after);
    }
    args.mark_words(path.index(tests.0.len()), first, after);
    tests.0.push(Words(words));
}
