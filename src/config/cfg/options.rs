//! `option …` of a proxy (HAProxy manual 4.2).

use super::args::{Args, Negation};
use super::draft::ProxyDraft;
use super::proxy::{ALL, BACK, FRONT};
use super::table::{How, Row, negatable, row};
use super::{check, dial, log};
use crate::config::raw::{ForwardFor, HttpConnection};
use crate::diag::{Diagnostic, FieldPath};

/// A field that is on after the plain option, off after `no` or `default`.
macro_rules! switch {
    ($field:ident) => {
        How::Read(|args, proxy: &mut ProxyDraft| {
            args.mark_line(FieldPath::root().key(stringify!($field)));
            args.end();
            proxy.raw.$field = Some(args.is_plain());
        })
    };
}

const CHECKS: &str = "only connections and HTTP are checked so far";
const SPLICE: &str = "bulk is spliced where it pays, and nothing else is";

pub(super) const TABLE: &[Row<ProxyDraft>] = &[
    row("option httplog", FRONT, How::Read(log::httplog)),
    row("option tcplog", ALL, How::Read(log::tcplog)),
    negatable("option dontlognull", FRONT, switch!(dontlognull)),
    negatable("option dontlog-normal", FRONT, switch!(dontlog_normal)),
    row("option forwardfor", ALL, How::Read(forwardfor)),
    row("option httpchk", BACK, How::Read(check::httpchk)),
    row("option tcp-check", BACK, How::Read(check::tcp_check)),
    negatable("option redispatch", BACK, How::Read(redispatch)),
    negatable("option allbackups", BACK, switch!(allbackups)),
    negatable("option http-keep-alive", ALL, How::Read(keep_alive)),
    negatable("option http-server-close", ALL, How::Read(server_close)),
    negatable("option httpclose", ALL, How::Read(close)),
    negatable("option forceclose", ALL, How::Refused("HAProxy removed it in 2.0; write `option httpclose`")),
    negatable("option http-tunnel", ALL, How::Refused("HAProxy removed it in 2.1; remove it")),
    negatable("option http-use-htx", ALL, How::Refused("HAProxy removed it in 2.5; remove it")),
    negatable("option log-health-checks", BACK, How::NoEffect("every change of a server's state is logged")),
    negatable("option splice-auto", ALL, How::NoEffect(SPLICE)),
    negatable("option splice-request", ALL, How::NoEffect(SPLICE)),
    negatable("option splice-response", ALL, How::NoEffect(SPLICE)),
    negatable("option tcp-smart-accept", FRONT, How::NoEffect("the kernel decides when to acknowledge")),
    negatable("option tcp-smart-connect", BACK, How::NoEffect("the kernel decides when to acknowledge")),
    negatable("option http-no-delay", ALL, How::NoEffect("bytes are sent as soon as they are there")),
    negatable("option contstats", FRONT, How::NoEffect("the bytes of what lasts are counted every second anyway")),
    negatable("option socket-stats", FRONT, switch!(socket_stats)),
    negatable("option checkcache", ALL, How::NotBuilt("")),
    negatable("option prefer-last-server", BACK, switch!(prefer_last_server)),
    negatable("option clitcpka", FRONT, switch!(clitcpka)),
    negatable("option srvtcpka", BACK, switch!(srvtcpka)),
    negatable("option tcpka", ALL, How::Read(dial::both_sides)),
    negatable("option nolinger", ALL, switch!(nolinger)),
    negatable("option independent-streams", ALL, How::NotBuilt("")),
    negatable("option abortonclose", BACK, switch!(abortonclose)),
    negatable("option accept-invalid-http-request", FRONT, How::Refused(INVALID)),
    negatable("option accept-unsafe-violations-in-http-request", FRONT, How::Refused(INVALID)),
    negatable("option accept-invalid-http-response", BACK, How::Refused(INVALID)),
    negatable("option accept-unsafe-violations-in-http-response", BACK, How::Refused(INVALID)),
    negatable("option disable-h2-upgrade", FRONT, switch!(disable_h2_upgrade)),
    negatable("option h1-case-adjust-bogus-client", FRONT, switch!(h1_case_adjust_bogus_client)),
    negatable("option h1-case-adjust-bogus-server", BACK, switch!(h1_case_adjust_bogus_server)),
    negatable("option http-buffer-request", ALL, How::NotBuilt("bodies are streamed")),
    negatable("option http-drop-request-trailers", BACK, How::NotBuilt("")),
    negatable("option http-drop-response-trailers", FRONT, How::NotBuilt("")),
    negatable("option http-ignore-probes", FRONT, How::NotBuilt("")),
    negatable("option http-pretend-keepalive", BACK, How::NotBuilt("")),
    row("option http-restrict-req-hdr-names", ALL, How::NotBuilt("")),
    negatable("option http-use-proxy-header", FRONT, How::NotBuilt("")),
    negatable("option idle-close-on-response", FRONT, How::NotBuilt("")),
    row("option httpslog", FRONT, How::NotBuilt("the TLS log line; `option httplog` is there")),
    negatable("option log-separate-errors", FRONT, How::NotBuilt("")),
    negatable("option logasap", FRONT, How::NotBuilt("")),
    row("option forwarded", ALL, How::NotBuilt("RFC 7239 here; it is `forwarded: {rfc7239: true}` in YAML")),
    row("option originalto", ALL, How::NotBuilt("")),
    negatable("option persist", BACK, How::NotBuilt("session cookies")),
    negatable("option transparent", BACK, How::NotBuilt("")),
    negatable("option use-small-buffers", ALL, How::NoEffect("buffers are lent only while bytes are in flight")),
    row("option external-check", BACK, How::NotBuilt(CHECKS)),
    row("option ldap-check", BACK, How::NotBuilt(CHECKS)),
    row("option mysql-check", BACK, How::NotBuilt(CHECKS)),
    row("option pgsql-check", BACK, How::NotBuilt(CHECKS)),
    row("option redis-check", BACK, How::NotBuilt(CHECKS)),
    row("option smtpchk", BACK, How::NotBuilt(CHECKS)),
    row("option spop-check", BACK, How::NotBuilt(CHECKS)),
    row("option ssl-hello-chk", BACK, How::NotBuilt("write `option tcp-check` and `check-ssl` on the server")),
];

const INVALID: &str =
    "a malformed message is refused whatever is asked, because two readers could take it for two; remove it";

/// `option forwardfor [except <network>] [header <name>] [if-none]`
fn forwardfor(args: &mut Args, proxy: &mut ProxyDraft) {
    let path = FieldPath::root().key("forwardfor");
    args.mark_line(path.clone());
    let mut option = ForwardFor::default();
    while let Some(word) = args.take() {
        match word {
            "except" => {
                let Some(network) = args.text("a network behind `except`") else { return };
                args.mark_last(path.key("except"));
                args.mark_last(path.key("except").index(option.except.0.len()));
                option.except.0.push(network);
            }
            "header" => {
                let Some(name) = args.text("a name behind `header`") else { return };
                args.mark_last(path.key("header"));
                option.header = Some(name);
            }
            "if-none" => {
                args.mark_last(path.key("if_none"));
                option.if_none = Some(true);
            }
            other => {
                let message = format!("unknown `{other}` in `option forwardfor`");
                args.tell_last(Diagnostic::error(message).suggest(other, ["except", "header", "if-none"]));
                return;
            }
        }
    }
    proxy.raw.forwardfor = Some(option);
}

/// `option redispatch [<interval>]`
fn redispatch(args: &mut Args, proxy: &mut ProxyDraft) {
    args.mark_line(FieldPath::root().key("redispatch"));
    let Some(word) = args.take() else {
        proxy.raw.redispatch = Some(args.is_plain());
        proxy.raw.redispatch_interval = None;
        return;
    };
    match word.parse::<i32>() {
        Ok(interval) => {
            args.mark_last(FieldPath::root().key("redispatch_interval"));
            proxy.raw.redispatch = Some(args.is_plain() && interval != 0);
            proxy.raw.redispatch_interval = (interval != 0).then_some(interval);
        }
        Err(_) => {
            let message = format!("`option redispatch` needs a whole number; `{word}` is not one");
            args.tell_last(Diagnostic::error(message).hint("3 is every third retry, -1 the last one, 0 none"));
        }
    }
    args.end();
}

fn keep_alive(args: &mut Args, proxy: &mut ProxyDraft) {
    connection(args, proxy, HttpConnection::KeepAlive);
}

fn server_close(args: &mut Args, proxy: &mut ProxyDraft) {
    connection(args, proxy, HttpConnection::ServerClose);
}

fn close(args: &mut Args, proxy: &mut ProxyDraft) {
    connection(args, proxy, HttpConnection::Close);
}

/// The last of the three wins; `no` and `default` only undo the one they name (manual 4).
fn connection(args: &mut Args, proxy: &mut ProxyDraft, mode: HttpConnection) {
    args.mark_line(FieldPath::root().key("http_connection"));
    args.end();
    let in_force = proxy.raw.http_connection.or(proxy.inherited.http_connection);
    match args.negation {
        Negation::Plain => proxy.raw.http_connection = Some(mode),
        Negation::No | Negation::Default if in_force == Some(mode) => {
            proxy.raw.http_connection = Some(HttpConnection::KeepAlive);
        }
        Negation::No | Negation::Default => {}
    }
}
