//! Keywords of `global` (HAProxy manual chapter 3, and later versions' additions).

use super::args::Args;
use super::draft::GlobalDraft;
use super::table::{How, Kinds, Row, negatable, row};
use super::tls::{self, NEVER_OLD, Versions};
use super::{global_others, log};
use crate::config::raw::{AccessLevel, SslDefaults, StatsSocket, Verify};
use crate::diag::{Diagnostic, FieldPath};
use crate::units::Bare;

const G: Kinds = Kinds::GLOBAL;

/// All keywords of `global`.
pub(super) fn rows() -> impl Iterator<Item = &'static Row<GlobalDraft>> + Clone {
    TABLE.iter().chain(global_others::TABLE)
}

fn field(name: &str) -> FieldPath {
    FieldPath::root().key(name)
}

macro_rules! number {
    ($field:ident, $smallest:expr, $largest:expr) => {
        How::Read(|args, global: &mut GlobalDraft| {
            if let Some(number) = args.number("a whole number", $smallest, $largest) {
                args.mark_last(field(stringify!($field)));
                args.end();
                global.raw.$field = Some(number.into());
            }
        })
    };
}

macro_rules! text {
    ($field:ident, $what:literal) => {
        How::Read(|args, global: &mut GlobalDraft| {
            if let Some(text) = args.text($what) {
                args.mark_last(field(stringify!($field)));
                args.end();
                global.raw.$field = Some(text.into());
            }
        })
    };
}

macro_rules! flag {
    ($field:ident) => {
        How::Read(|args, global: &mut GlobalDraft| {
            args.mark_line(field(stringify!($field)));
            args.end();
            global.raw.$field = Some(true);
        })
    };
}

macro_rules! time {
    ($field:ident) => {
        How::Read(|args, global: &mut GlobalDraft| {
            if let Some(time) = args.time() {
                args.mark_last(field(stringify!($field)));
                args.end();
                global.raw.$field = Some(time);
            }
        })
    };
}

macro_rules! ssl_default {
    ($section:ident, $field:ident, $what:literal) => {
        How::Read(|args, global: &mut GlobalDraft| {
            if let Some(text) = args.text($what) {
                args.mark_last(field(stringify!($section)).key(stringify!($field)));
                args.end();
                global.raw.$section.get_or_insert_default().$field = Some(text);
            }
        })
    };
}

macro_rules! tune_size {
    ($field:ident) => {
        How::Read(|args, global: &mut GlobalDraft| {
            if let Some(size) = args.size() {
                args.mark_last(field("tune").key(stringify!($field)));
                args.end();
                global.raw.tune.get_or_insert_default().$field = Some(size);
            }
        })
    };
}

macro_rules! tune_number {
    ($field:ident, $smallest:expr, $largest:expr) => {
        How::Read(|args, global: &mut GlobalDraft| {
            if let Some(number) = args.number("a whole number", $smallest, $largest) {
                args.mark_last(field("tune").key(stringify!($field)));
                args.end();
                global.raw.tune.get_or_insert_default().$field = Some(number);
            }
        })
    };
}

/// What is read. Everything else that HAProxy has is in [`super::global_others`].
const TABLE: &[Row<GlobalDraft>] = &[
    row("maxconn", G, number!(maxconn, 0, u32::MAX)),
    row("nbthread", G, number!(nbthread, 1, 1_024)),
    row("log", G, How::Read(log::global_log)),
    row("log-send-hostname", G, How::Read(log_send_hostname)),
    row("log-tag", G, text!(log_tag, "a name")),
    row("stats socket", G, How::Read(stats_socket)),
    row("stats timeout", G, time!(stats_timeout)),
    row("stats maxconn", G, number!(stats_maxconn, 1, u32::MAX)),
    row("daemon", G, flag!(daemon)),
    row("master-worker", G, How::Read(master_worker)),
    row("user", G, text!(user, "a user's name")),
    row("group", G, text!(group, "a group's name")),
    row("uid", G, number!(uid, 0, u32::MAX)),
    row("gid", G, number!(gid, 0, u32::MAX)),
    row("chroot", G, text!(chroot, "a directory")),
    row("pidfile", G, text!(pidfile, "a file")),
    row("node", G, text!(node, "a name")),
    row("description", G, How::Read(description)),
    row("hard-stop-after", G, time!(hard_stop_after)),
    row("spread-checks", G, number!(spread_checks, 0, 50)),
    row("ulimit-n", G, number!(ulimit_n, 1, u32::MAX)),
    row("ca-base", G, text!(ca_base, "a directory")),
    row("crt-base", G, text!(crt_base, "a directory")),
    row("crt-watch", G, time!(crt_watch)),
    row("ssl-default-bind-options", G, How::Read(bind_options)),
    row("ssl-default-server-options", G, How::Read(server_options)),
    row("tune.bufsize", G, tune_size!(bufsize)),
    row("tune.maxrewrite", G, tune_size!(maxrewrite)),
    row("tune.http.maxhdr", G, tune_number!(http_maxhdr, 1, 32_767)),
    row("tune.h2.max-concurrent-streams", G, tune_number!(h2_max_concurrent_streams, 0, i32::MAX as u32)),
    row("tune.h2.initial-window-size", G, tune_size!(h2_initial_window_size)),
    row("tune.h2.max-frame-size", G, tune_size!(h2_max_frame_size)),
    row("tune.h2.header-table-size", G, tune_size!(h2_header_table_size)),
    row("tune.h2.fe.max-concurrent-streams", G, tune_number!(h2_fe_max_concurrent_streams, 0, i32::MAX as u32)),
    row("tune.h2.fe.initial-window-size", G, tune_size!(h2_fe_initial_window_size)),
    row("tune.h2.fe.rxbuf", G, tune_size!(h2_fe_rxbuf)),
    row("tune.h2.fe.max-total-streams", G, tune_number!(h2_fe_max_total_streams, 0, u32::MAX)),
    row("tune.h2.fe.glitches-threshold", G, tune_number!(h2_fe_glitches_threshold, 0, u32::MAX)),
    row("tune.h2.be.max-concurrent-streams", G, tune_number!(h2_be_max_concurrent_streams, 0, i32::MAX as u32)),
    row("tune.h2.be.initial-window-size", G, tune_size!(h2_be_initial_window_size)),
    row("tune.h2.be.rxbuf", G, tune_size!(h2_be_rxbuf)),
    row("tune.h2.be.glitches-threshold", G, tune_number!(h2_be_glitches_threshold, 0, u32::MAX)),
    row("h1-case-adjust", G, How::Read(h1_case_adjust)),
    row("h1-case-adjust-file", G, text!(h1_case_adjust_file, "a file")),
    row("setenv", G, How::Read(setenv)),
    row("presetenv", G, How::Read(setenv)),
    row("unsetenv", G, How::Read(unsetenv)),
    row("resetenv", G, How::Read(resetenv)),
    row("ssl-default-bind-ciphers", G, ssl_default!(ssl_default_bind, ciphers, "suites (`ECDHE+AESGCM`)")),
    row("ssl-default-bind-ciphersuites", G, ssl_default!(ssl_default_bind, ciphersuites, "suites")),
    row("ssl-default-bind-curves", G, ssl_default!(ssl_default_bind, curves, "groups (`X25519:P-256`)")),
    row("ssl-default-server-ciphers", G, ssl_default!(ssl_default_server, ciphers, "suites (`ECDHE+AESGCM`)")),
    row("ssl-default-server-ciphersuites", G, ssl_default!(ssl_default_server, ciphersuites, "suites")),
    row("ssl-default-server-curves", G, ssl_default!(ssl_default_server, curves, "groups (`X25519:P-256`)")),
    row("ssl-server-verify", G, How::Read(ssl_server_verify)),
    negatable("h2-workaround-bogus-websocket-clients", G, How::Read(no_websocket)),
    row("tune.ssl.cachesize", G, How::Read(ssl_cachesize)),
    row("tune.ssl.lifetime", G, How::Read(ssl_lifetime)),
];

/// `ssl-server-verify none|required`
fn ssl_server_verify(args: &mut Args, global: &mut GlobalDraft) {
    if let Some(verify) =
        args.choice("a way to verify servers", &[("none", Verify::None), ("required", Verify::Required)])
    {
        args.mark_last(field("ssl_server_verify"));
        args.end();
        global.raw.ssl_server_verify = Some(verify);
    }
}

fn ssl_cachesize(args: &mut Args, global: &mut GlobalDraft) {
    if let Some(number) = args.number("a number of sessions", 0, 10_000_000) {
        args.mark_last(field("tune").key("ssl_cachesize"));
        args.end();
        global.raw.tune.get_or_insert_default().ssl_cachesize = Some(number);
    }
}

/// A bare number is seconds.
fn ssl_lifetime(args: &mut Args, global: &mut GlobalDraft) {
    if let Some(time) = args.time_in(Bare::Seconds) {
        args.mark_last(field("tune").key("ssl_lifetime"));
        args.end();
        global.raw.tune.get_or_insert_default().ssl_lifetime = Some(time);
    }
}

/// Without a name, the machine's.
fn log_send_hostname(args: &mut Args, global: &mut GlobalDraft) {
    args.mark_line(field("log_send_hostname"));
    global.raw.log_send_hostname = Some(args.take().unwrap_or_default().to_owned());
    args.end();
}

/// `master-worker [no-exit-on-failure]`
fn master_worker(args: &mut Args, global: &mut GlobalDraft) {
    args.mark_line(field("master_worker"));
    args.take_if("no-exit-on-failure");
    args.end();
    global.raw.master_worker = Some(true);
}

fn description(args: &mut Args, global: &mut GlobalDraft) {
    let words: Vec<&str> = std::iter::from_fn(|| args.take()).collect();
    if words.is_empty() {
        args.missing("a text");
        return;
    }
    args.mark_line(field("description"));
    global.raw.description = Some(words.join(" "));
}

/// `[no] h2-workaround-bogus-websocket-clients`
fn no_websocket(args: &mut Args, global: &mut GlobalDraft) {
    args.mark_line(field("h2_workaround_bogus_websocket_clients"));
    args.end();
    global.raw.h2_workaround_bogus_websocket_clients = Some(args.is_plain());
}

/// `h1-case-adjust <from> <to>`
fn h1_case_adjust(args: &mut Args, global: &mut GlobalDraft) {
    let Some(from) = args.text("a field name in lower case, and its spelling") else { return };
    let at = args.index() - 1;
    let Some(to) = args.text("the spelling wanted") else { return };
    if global.raw.h1_case_adjust.contains_key(&from) {
        args.end();
        args.tell_word(at, Diagnostic::error(format!("`{from}` has a spelling already")));
        return;
    }
    args.mark_last(field("h1_case_adjust").key(from.clone()));
    args.end();
    global.raw.h1_case_adjust.insert(from, to);
}

/// `stats socket <address> [mode|user|group|uid|gid|level …] [expose-fd listeners]`
fn stats_socket(args: &mut Args, global: &mut GlobalDraft) {
    let path = field("stats_socket").index(global.raw.stats_socket.len());
    args.mark_line(path.clone());
    let Some(address) = args.text("a path or an address: `/run/lockgate.sock`, `127.0.0.1:9999`") else {
        return;
    };
    args.mark_last(path.key("address"));
    let mut socket = StatsSocket { address, ..StatsSocket::default() };
    while let Some(word) = args.take() {
        args.set_keyword(&format!("stats socket … {word}"));
        let read = match word {
            "mode" => args.text("an octal file mode (`660`)").map(|mode| socket.mode = Some(mode)),
            "user" => args.text("a user's name").map(|user| socket.user = Some(user)),
            "group" => args.text("a group's name").map(|group| socket.group = Some(group)),
            "uid" => args.number("a whole number", 0, u32::MAX).map(|uid| socket.uid = Some(uid)),
            "gid" => args.number("a whole number", 0, u32::MAX).map(|gid| socket.gid = Some(gid)),
            "level" => {
                let levels =
                    [("user", AccessLevel::User), ("operator", AccessLevel::Operator), ("admin", AccessLevel::Admin)];
                args.choice("a level", &levels).map(|level| socket.level = Some(level))
            }
            "expose-fd" => {
                let note = "`expose-fd` has no effect: a reload keeps its sockets in the same process";
                args.tell_last(Diagnostic::note(note).code("no-effect"));
                args.take().map(drop)
            }
            "process" | "thread" | "name" | "id" | "backlog" | "maxconn" => {
                let note = format!("`{word}` has no effect on a runtime socket: one thread serves them all");
                args.tell_last(Diagnostic::note(note).code("no-effect"));
                args.take().map(drop)
            }
            "ssl" | "crt" | "verify" | "ca-file" | "severity-output" | "interface" | "namespace" | "accept-proxy" => {
                args.tell_last(Diagnostic::error(format!("`{word}` on `stats socket` is known but not built yet")));
                return;
            }
            other => {
                let known = ["mode", "user", "group", "uid", "gid", "level", "expose-fd"];
                let message = format!("unknown option `{other}` of `stats socket`");
                args.tell_last(Diagnostic::error(message).suggest(other, known));
                None
            }
        };
        if read.is_none() {
            break;
        }
        args.mark_last(path.key(word));
    }
    global.raw.stats_socket.push(socket);
}

fn bind_options(args: &mut Args, global: &mut GlobalDraft) {
    let defaults = global.raw.ssl_default_bind.get_or_insert_default();
    ssl_options(args, "ssl_default_bind", defaults);
}

fn server_options(args: &mut Args, global: &mut GlobalDraft) {
    let defaults = global.raw.ssl_default_server.get_or_insert_default();
    ssl_options(args, "ssl_default_server", defaults);
}

fn ssl_options(args: &mut Args, name: &str, defaults: &mut SslDefaults) {
    let line_keyword = args.keyword().to_owned();
    args.mark_line(field(name));
    while let Some(word) = args.take() {
        args.set_keyword(word);
        match word {
            "ssl-min-ver" => {
                if let Some(version) = tls::min_version(args) {
                    args.mark_last(field(name).key("ssl_min_ver"));
                    defaults.ssl_min_ver = Some(version);
                }
            }
            "ssl-max-ver" => {
                if let Some(version) = tls::max_version(args) {
                    args.mark_last(field(name).key("ssl_max_ver"));
                    defaults.ssl_max_ver = Some(version);
                }
            }
            "no-tlsv12" | "no-tlsv13" | "force-tlsv12" | "force-tlsv13" | "force-sslv3" | "force-tlsv10"
            | "force-tlsv11" => {
                tls::version_flag(
                    args,
                    &mut Versions { min: &mut defaults.ssl_min_ver, max: &mut defaults.ssl_max_ver },
                );
            }
            "no-sslv3" | "no-tlsv10" | "no-tlsv11" => note(args, word, NEVER_OLD),
            "no-tls-tickets" if name == "ssl_default_bind" => {
                args.mark_last(field(name).key("tls_tickets"));
                defaults.tls_tickets = Some(false);
            }
            "no-tls-tickets" => {
                note(args, word, "sessions with servers are taken up again as the server offers it");
            }
            "prefer-client-ciphers" if name == "ssl_default_bind" => {
                args.mark_last(field(name).key("prefer_client_ciphers"));
                defaults.prefer_client_ciphers = Some(true);
            }
            other => {
                let known = [
                    "ssl-min-ver",
                    "ssl-max-ver",
                    "no-sslv3",
                    "no-tlsv10",
                    "no-tlsv11",
                    "no-tlsv12",
                    "no-tlsv13",
                    "force-tlsv12",
                    "force-tlsv13",
                    "no-tls-tickets",
                    "prefer-client-ciphers",
                ];
                let message = format!("unknown option `{other}` of `{line_keyword}`");
                args.tell_last(Diagnostic::error(message).suggest(other, known));
            }
        }
    }
}

fn note(args: &mut Args, word: &str, why: &str) {
    args.tell_last(Diagnostic::note(format!("`{word}` has no effect: {why}")).code("no-effect"));
}

/// `setenv`, and `presetenv` which leaves what is set alone. For the lines below.
fn setenv(args: &mut Args, global: &mut GlobalDraft) {
    let only_unset = args.keyword() == "presetenv";
    let (Some(name), Some(value)) = (args.text("a name and a value"), args.take()) else {
        return;
    };
    args.end();
    if !(only_unset && global.variable(&name).is_some()) {
        global.environment.insert(name, Some(value.to_owned()));
    }
}

fn unsetenv(args: &mut Args, global: &mut GlobalDraft) {
    while let Some(name) = args.take() {
        global.environment.insert(name.to_owned(), None);
    }
}

/// Forgets every variable but those named.
fn resetenv(args: &mut Args, global: &mut GlobalDraft) {
    let kept: Vec<String> = std::iter::from_fn(|| args.take()).map(str::to_owned).collect();
    global.environment.retain(|name, _| kept.contains(name));
    global.kept_environment = Some(kept);
}
