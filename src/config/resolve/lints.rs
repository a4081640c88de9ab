//! What does this configuration really do, where that is probably not what was meant?
//!
//! Everything here is valid and runs. Each warning has a short, stable code and says what happens, not only what is
//! unusual. Most come from configurations people run: a standby that gets half of the traffic, a page nobody can open.

use std::path::Path;
use std::sync::Arc;

use super::context::{Context, SYSTEM_AUTHORITIES, Section};
use crate::config::raw::{Proxy, ProxyKind};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::backend::Role;
use crate::model::check::CheckKind;
use crate::model::rule::{Condition, Fetch, HttpRequestAction};
use crate::model::tls::ServerVerify;
use crate::model::{Backend, Config, Frontend, Mode, Server};
use crate::units::show_duration;

/// Names people give to servers that should serve only when another cannot.
const STANDBY_NAMES: [&str; 10] =
    ["slave", "standby", "secondary", "backup", "passive", "replica", "spare", "failover", "dr", "fallback"];
/// Names of the other one.
const PRIMARY_NAMES: [&str; 5] = ["master", "primary", "main", "active", "leader"];

pub(super) fn run<'a>(context: &Context<'a>, sections: &[Section<'a>], config: &Config) {
    for section in sections {
        let lint = Lint { context, section };
        if let Some(frontend) = config.frontends.iter().find(|frontend| *frontend.name == *section.name)
            && section.kind != ProxyKind::Backend
        {
            lint.frontend(frontend);
        }
        if let Some(backend) = config.backends.iter().find(|backend| *backend.name == *section.name)
            && section.kind != ProxyKind::Frontend
        {
            lint.backend(backend, leads_here(config, backend));
        }
    }
    if config.frontends.iter().all(|frontend| frontend.listeners.is_empty()) {
        let told = "nothing listens: no frontend has a `bind`, so there is nothing to run";
        context.tell(&FieldPath::root(), Diagnostic::warning(told).code("no-frontend"));
    }
}

/// Whether any frontend sends traffic to this backend.
fn leads_here(config: &Config, backend: &Backend) -> bool {
    config.frontends.iter().any(|frontend| {
        let mut rules = frontend.use_backend.iter().map(|(_, target)| *target);
        rules.any(|target| target == backend.id) || frontend.default_backend == Some(backend.id)
    })
}

/// What is about requests and answers, with the name of its field.
fn about_http(proxy: &Proxy) -> [(&'static str, bool); 4] {
    [
        ("retry_on", !proxy.retry_on.is_empty()),
        ("http_reuse", proxy.http_reuse.is_some()),
        ("http_connection", proxy.http_connection.is_some()),
        ("h1_case_adjust_bogus_server", proxy.h1_case_adjust_bogus_server.is_some()),
    ]
}

struct Lint<'l, 'a> {
    context: &'l Context<'a>,
    section: &'l Section<'a>,
}

impl Lint<'_, '_> {
    fn warn(&self, field: &str, code: &'static str, message: String, hint: &str) {
        let path = if field.is_empty() { self.section.path.clone() } else { self.section.path.key(field) };
        self.context.tell(&path, Diagnostic::warning(message).code(code).hint(hint));
    }

    fn frontend(&self, frontend: &Frontend) {
        let title = self.section.title();
        if frontend.listeners.is_empty() && self.section.own().bind.is_empty() {
            self.warn(
                "",
                "no-bind",
                format!("{title} has no `bind`: nobody can reach it"),
                "add `bind`, or make it a backend",
            );
        }
        if frontend.mode == Mode::Tcp
            && let Some(stats) = &frontend.stats
        {
            let told = format!(
                "{title} is in mode tcp: HAProxy ignores its stats page; here `{}` is answered by looking at each \
                 connection's first bytes",
                stats.uri
            );
            self.warn("stats", "stats-in-tcp", told, "write `mode http` where web traffic is served");
        }
        if let Some(stats) = &frontend.stats
            && stats.auth.is_empty()
            && matches!(&stats.admin, crate::model::stats::StatsAdmin::When(condition) if condition.is_always())
        {
            let told = format!("everybody who reaches {title} may stop servers from the stats page");
            self.warn("stats", "stats-admin-without-auth", told, "add `auth`, or restrict `admin` by a condition");
        }
        self.first_bytes(frontend);
        self.hello_behind_tls(frontend);
        self.destination(frontend);
        self.frontend_timeouts(frontend);
        self.logging();
    }

    /// Routing by a name the client has not sent yet.
    fn first_bytes(&self, frontend: &Frontend) {
        let rules = &frontend.tcp_request;
        let asks = |condition: &Option<Condition>| {
            condition.as_ref().is_some_and(|given| given.asks(Fetch::is_of_first_bytes))
        };
        let waits = rules.inspect_delay.is_some() && rules.content.iter().any(|rule| asks(&rule.condition));
        let content = rules.content.iter().any(|rule| asks(&rule.condition));
        let routes = frontend.use_backend.iter().any(|(condition, _)| asks(condition));
        if frontend.mode == Mode::Tcp && (content || routes) && !waits {
            let told = format!(
                "{} looks at what a client sends first but does not wait for it: often nothing has come yet",
                self.section.title()
            );
            let hint =
                "add `tcp-request inspect-delay 5s` and `tcp-request content accept if { req.ssl_hello_type 1 }`";
            self.warn("", "no-inspect-delay", told, hint);
        }
    }

    /// A hello that is read by the listener itself.
    fn hello_behind_tls(&self, frontend: &Frontend) {
        let rules = frontend.tcp_request.content.iter().filter_map(|rule| rule.condition.as_ref());
        let routes = frontend.use_backend.iter().filter_map(|(condition, _)| condition.as_ref());
        let asks = rules.chain(routes).any(|condition| condition.asks(Fetch::is_of_hello));
        let ends_tls =
            !frontend.listeners.is_empty() && frontend.listeners.iter().all(|listener| listener.tls.is_some());
        if asks && ends_tls {
            let told = format!(
                "{} looks for a TLS hello behind the one it answers itself: `req.ssl_…` finds none",
                self.section.title()
            );
            let hint = "write `ssl_fc_sni` or `ssl_fc_alpn`, or remove `ssl` from `bind` to pass TLS on";
            self.warn("", "hello-behind-tls", told, hint);
        }
    }

    /// `log global` with nothing to log to in `global`, as in files whose `global` section was lost in copying.
    fn logging(&self) {
        let said = self.section.layers.said("log_global", |proxy| proxy.log_global.as_ref());
        let Some(said) = said.filter(|said| *said.value && self.context.raw.global.log.is_empty()) else { return };
        let note = Diagnostic::note("`log global` logs nowhere: `global` has no `log`").code("log-nowhere");
        self.context
            .tell(&said.path, note.hint("add `log stdout format timed local0` to `global`, or remove `log global`"));
    }

    fn destination(&self, frontend: &Frontend) {
        let answers = frontend.http_request.iter().any(|rule| {
            matches!(
                rule.action,
                HttpRequestAction::Return(_) | HttpRequestAction::Redirect(_) | HttpRequestAction::Deny(_)
            )
        });
        let leads = frontend.default_backend.is_some() || !frontend.use_backend.is_empty();
        if !leads && !answers && frontend.stats.is_none() {
            let told = format!("{} leads to no backend: every request is answered 503", self.section.title());
            self.warn("", "no-backend", told, "add `default_backend`");
        }
    }

    fn frontend_timeouts(&self, frontend: &Frontend) {
        if frontend.listeners.is_empty() {
            return;
        }
        let title = self.section.title();
        if frontend.timeouts.client.is_none() {
            let told = format!("{title} has no `timeout client`: a client that falls silent is kept for ever");
            self.warn("", "no-timeout", told, "add `timeout client`, for example 50s");
        } else if frontend.mode == Mode::Http && frontend.timeouts.http_request.is_none() {
            let told = format!("{title} has no `timeout http-request`: a client may send its head a byte at a time");
            self.warn("", "no-http-request-timeout", told, "add `timeout http-request`, for example 10s");
        }
    }

    /// What is about requests and is said of a section in mode tcp. Where the section names its mode, what it inherits was
    /// written for others.
    fn http_in_tcp(&self) {
        if self.section.mode == Mode::Http {
            return;
        }
        let own_mode = self.section.own().mode.is_some();
        for layer in self.section.layers.iter().take(if own_mode { 1 } else { usize::MAX }) {
            for (field, _) in about_http(layer.proxy).into_iter().filter(|(_, is_said)| *is_said) {
                let title = self.section.title();
                let told = format!("this does nothing: {title} is in mode tcp, where there are no requests");
                self.context.warn(&layer.path.key(field), "http-in-tcp", told);
            }
        }
    }

    fn backend(&self, backend: &Backend, is_used: bool) {
        self.http_in_tcp();
        if backend.servers.is_empty() {
            let page_only = self.section.kind == ProxyKind::Listen;
            if is_used && !page_only && backend.stats.is_none() && self.section.own().servers.is_empty() {
                let told = format!("{} has no servers: every request is answered 503", self.section.title());
                self.warn("", "no-servers", told, "add a server");
            }
            return;
        }
        self.idle_standby(backend);
        self.checks(backend);
        self.backend_timeouts(backend);
        self.verification(&backend.servers);
        self.names(&backend.servers);
        if self.section.kind == ProxyKind::Backend && !is_used {
            let told = format!("{} is used by no frontend", self.section.title());
            self.warn("", "unused-backend", told, "name it in `default_backend` or `use_backend`");
        }
    }

    /// A pair called master and slave, sharing the load although one of them is idle by design.
    fn idle_standby(&self, backend: &Backend) {
        let active = || backend.servers.iter().filter(|server| server.role == Role::Active && server.weight > 0);
        let standby = active().find(|server| named_like(&server.name, &STANDBY_NAMES));
        let primary = active().find(|server| named_like(&server.name, &PRIMARY_NAMES));
        let (Some(standby), true) = (standby, active().count() > 1) else { return };
        let share = 100 * u64::from(standby.weight) / active().map(|server| u64::from(server.weight)).sum::<u64>();
        let mut told = format!("{share} % of the traffic goes to `{}`, always, not only when ", standby.name);
        told.push_str(&primary.map_or_else(|| "others fail".to_owned(), |primary| format!("`{}` fails", primary.name)));
        if checks_bare_connect(standby) {
            told.push_str("; as its check only connects, an idle standby counts as up");
        }
        let path = self.server_path(standby);
        let diagnostic = Diagnostic::warning(told).code("round-robin-to-standby");
        let hint = format!(
            "mark `{}` as `backup` and check what it serves (`option httpchk`, `check: {{ type: http }}`)",
            standby.name
        );
        self.context.tell(&path, diagnostic.hint(hint));
    }

    fn checks(&self, backend: &Backend) {
        let servers = &backend.servers;
        let (checked, unchecked): (Vec<_>, Vec<_>) = servers.iter().partition(|server| server.check.is_some());
        let written = self.section.own().servers.len() == servers.len();
        if checked.is_empty() && servers.len() > 1 && written {
            let told = format!("no server of {} is checked: a dead one keeps getting traffic", self.section.title());
            self.warn("", "no-checks", told, "add `check` to its servers");
        } else if !checked.is_empty() && written {
            for server in unchecked {
                let told = format!("`{}` is not checked, others are: it counts as up whatever happens", server.name);
                let path = self.server_path(server);
                self.context.tell(&path, Diagnostic::warning(told).code("unchecked-server").hint("add `check`"));
            }
        }
        if backend.mode == Mode::Http && checked.iter().any(|server| checks_bare_connect(server)) {
            let told = format!(
                "the check of {} only connects: an application that answers every request with an error counts as up",
                self.section.title()
            );
            self.warn(
                "",
                "connect-check-of-http",
                told,
                "add `option httpchk GET /health`, or `check: { type: http }`",
            );
        }
    }

    fn backend_timeouts(&self, backend: &Backend) {
        let missing: Vec<&str> = [
            ("timeout connect", backend.timeouts.connect.is_none()),
            ("timeout server", backend.timeouts.server.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
        if !missing.is_empty() {
            let told = format!(
                "{} has no `{}`: a silent server is waited for for ever",
                self.section.title(),
                missing.join("` and no `")
            );
            self.warn("", "no-timeout", told, "add them, for example `timeout connect` 5s and `timeout server` 50s");
        }
        let slow = backend.servers.iter().filter_map(|server| server.check.as_deref()).map(super::detection_time).max();
        if let Some(slow) = slow
            && slow > LONGEST_DETECTION
        {
            let told = format!("a dead server of {} may get traffic for {}", self.section.title(), show_duration(slow));
            self.warn("", "slow-detection", told, "shorten `inter`, lower `fall`, or set `fastinter`");
        }
    }

    fn verification(&self, servers: &[Arc<Server>]) {
        let unverified =
            |server: &&Arc<Server>| server.tls.as_ref().is_some_and(|tls| matches!(tls.verify, ServerVerify::None));
        let names: Vec<&str> = servers.iter().filter(unverified).map(|server| &*server.name).collect();
        let Some(first) = servers.iter().find(unverified) else { return };
        let told = match names.as_slice() {
            [one] => format!("`{one}` may be anyone: its certificate is not verified"),
            many => format!("`{}` may be anyone: their certificates are not verified", many.join("`, `")),
        };
        let diagnostic = Diagnostic::warning(told).code("server-not-verified");
        self.context.tell(&self.server_path(first), diagnostic.hint("write `verify required` with `ca-file`"));
    }

    /// Verified, but against no name: with HAProxy as well.
    fn names(&self, servers: &[Arc<Server>]) {
        let unnamed = |server: &&Arc<Server>| {
            server.tls.as_ref().is_some_and(|tls| {
                matches!(tls.verify, ServerVerify::Required { .. }) && tls.sni.is_none() && tls.verify_host.is_none()
            })
        };
        let (public, own): (Vec<_>, Vec<_>) =
            servers.iter().filter(unnamed).partition(|server| self.trusts_the_system_s(server));
        for (found, with, diagnostic) in [
            (public, "who has a certificate", Diagnostic::warning as fn(String) -> Diagnostic),
            (own, "with a certificate of its `ca-file`'s authorities", Diagnostic::note),
        ] {
            let Some(first) = found.first() else { continue };
            let names: Vec<&str> = found.iter().map(|server| &*server.name).collect();
            let names = names.join("`, `");
            let told = format!("`{names}` may be anyone {with}: whatever name that is for, it is accepted");
            let told = diagnostic(told).code("server-name-not-verified");
            let hint =
                "write the name its certificate must carry: `verifyhost app.internal`, or `sni` to ask for it, too";
            self.context.tell(&self.server_path(first), told.hint(hint));
        }
    }

    fn trusts_the_system_s(&self, server: &Server) -> bool {
        let own = self.section.own().servers.get(&*server.name).and_then(|raw| raw.ca_file.as_deref());
        let usual = || self.section.layers.iter().find_map(|it| it.proxy.default_server.as_ref()?.ca_file.as_deref());
        own.or_else(usual).is_none_or(|file| file == Path::new(SYSTEM_AUTHORITIES))
    }

    fn server_path(&self, server: &Server) -> FieldPath {
        self.section.path.key("servers").key(&*server.name)
    }
}

/// Founding documents ask for a dead primary to be noticed within a minute.
const LONGEST_DETECTION: std::time::Duration = std::time::Duration::from_secs(60);

fn checks_bare_connect(server: &Server) -> bool {
    server.check.as_ref().is_some_and(|check| matches!(check.kind, CheckKind::Connect))
}

/// `slave`, `app-slave`, `slave2`, but not `slavery`: one of the words with anything but letters around it.
fn named_like(name: &str, words: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    name.split(|letter: char| !letter.is_ascii_alphabetic()).any(|part| words.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_standby_by_its_name() {
        for name in ["slave", "app-slave", "SLAVE2", "db_standby.1", "node-backup"] {
            assert!(named_like(name, &STANDBY_NAMES), "{name}");
        }
        for name in ["slavery", "web1", "drone", "master"] {
            assert!(!named_like(name, &STANDBY_NAMES), "{name}");
        }
    }
}
