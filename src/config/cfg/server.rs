//! `server` and `default-server` lines (HAProxy manual 5.2).

use super::args::Args;
use super::dial;
use super::draft::ProxyDraft;
use super::sections;
use super::table::{How, OptionRow, option, read_options};
use super::tls::{self, NEVER_OLD, Versions};
use crate::config::raw::{OneOrMany, Proto, Server, Verify, WebSockets};
use crate::diag::{Diagnostic, FieldPath};

/// A line while it is read.
pub(super) struct ServerDraft {
    raw: Server,
    path: FieldPath,
}

impl ServerDraft {
    fn mark(&self, args: &mut Args, field: &str) {
        args.mark_last(self.path.key(field));
    }
}

/// `server <name> <address> [options]`
pub(super) fn server(args: &mut Args, proxy: &mut ProxyDraft) {
    let Some(name) = args.text("a name and an address: `server app1 10.0.0.1:80`") else {
        return;
    };
    if let Some(wrong) = sections::bad_character(&name) {
        let message = format!("`{wrong}` cannot stand in the name of a server");
        args.tell_last(Diagnostic::error(message).hint("names have letters, digits, `-`, `_`, `.` and `:`"));
    }
    let name_at = args.index() - 1;
    let path = FieldPath::root().key("servers").key(name.clone());
    let Some(address) = args.text("an address behind the name: `10.0.0.1:80`") else {
        return;
    };
    let mut server = ServerDraft { raw: Server { address: Some(address), ..Server::default() }, path: path.clone() };
    if proxy.raw.servers.contains_key(&name) {
        let before = args.places.get(&path).map(|place| format!(", in line {}", place.line)).unwrap_or_default();
        args.tell_word(name_at, Diagnostic::error(format!("server `{name}` is defined already{before}")));
        return;
    }
    args.mark_line(path);
    server.mark(args, "address");
    read_options(OPTIONS, args, &mut server);
    let late = proxy.late_default_server.as_ref();
    let raw = late.map_or(server.raw.clone(), |late| over(late, &server.raw));
    proxy.raw.servers.insert(name, raw);
}

/// `default-server [options]`: for the servers below it.
pub(super) fn default_server(args: &mut Args, proxy: &mut ProxyDraft) {
    if !args.more() {
        args.missing("at least one option");
        return;
    }
    let path = FieldPath::root().key("default_server");
    let mut server = ServerDraft { raw: Server::default(), path };
    read_options(OPTIONS, args, &mut server);
    let slot =
        if proxy.raw.servers.is_empty() { &mut proxy.raw.default_server } else { &mut proxy.late_default_server };
    *slot = Some(slot.as_ref().map_or_else(|| server.raw.clone(), |before| over(before, &server.raw)));
}

/// The options of `base`, with those `line` says written over them.
fn over(base: &Server, line: &Server) -> Server {
    macro_rules! fields {
        ($($field:ident)*) => {
            Server { $($field: line.$field.clone().or_else(|| base.$field.clone()),)* }
        };
    }
    fields!(address weight backup disabled maxconn minconn maxqueue pool_max_conn pool_purge_delay max_reuse check inter fastinter downinter rise fall port addr check_ssl
        check_sni check_alpn check_proto check_send_proxy ssl verify verifyhost ca_file crl_file crt sni alpn proto ws ssl_min_ver ssl_max_ver ciphers ciphersuites curves ssl_reuse
        send_proxy send_proxy_v2 send_proxy_v2_ssl send_proxy_v2_ssl_cn proxy_v2_options set_proxy_v2_tlv_fmt source tcp_ut)
}

macro_rules! text {
    ($field:ident, $what:literal) => {
        How::Read(|args, server: &mut ServerDraft| {
            if let Some(text) = args.text($what) {
                server.mark(args, stringify!($field));
                server.raw.$field = Some(text.into());
            }
        })
    };
}

/// Sets a field that is a list, here as one text with commas.
macro_rules! list {
    ($field:ident, $what:literal) => {
        How::Read(|args, server: &mut ServerDraft| {
            if let Some(text) = args.text($what) {
                server.mark(args, stringify!($field));
                server.raw.$field = Some(OneOrMany(vec![text]));
            }
        })
    };
}

macro_rules! flag {
    ($field:ident, $value:expr) => {
        How::Read(|args, server: &mut ServerDraft| {
            server.mark(args, stringify!($field));
            server.raw.$field = Some($value);
        })
    };
}

macro_rules! number {
    ($field:ident, $smallest:expr, $largest:expr) => {
        How::Read(|args, server: &mut ServerDraft| {
            if let Some(number) = args.number("a whole number", $smallest, $largest) {
                server.mark(args, stringify!($field));
                server.raw.$field = Some(number);
            }
        })
    };
}

/// A number where -1 is no limit.
macro_rules! limit {
    ($field:ident) => {
        How::Read(|args, server: &mut ServerDraft| {
            let number = if args.take_if("-1") {
                Some(-1)
            } else {
                args.number("a whole number, or -1", 0, i32::MAX as u32).map(|number| number as i32)
            };
            if let Some(number) = number {
                server.mark(args, stringify!($field));
                server.raw.$field = Some(number);
            }
        })
    };
}

macro_rules! time {
    ($field:ident) => {
        How::Read(|args, server: &mut ServerDraft| {
            if let Some(time) = args.time() {
                server.mark(args, stringify!($field));
                server.raw.$field = Some(time);
            }
        })
    };
}

/// `set-proxy-v2-tlv-fmt(<type>) <format>`
fn proxy_value(args: &mut Args, server: &mut ServerDraft) {
    let option = args.keyword().to_owned();
    let kind = option.split_once('(').and_then(|(_, kind)| kind.strip_suffix(')'));
    let Some(kind) = kind.filter(|kind| !kind.is_empty()) else {
        let told = Diagnostic::error(format!("`{option}` names no type"));
        args.tell_last(told.hint("write `set-proxy-v2-tlv-fmt(0xE1) %[src]`"));
        args.take();
        return;
    };
    let Some(format) = args.text("a format (`%[src]`)") else { return };
    let path = server.path.key("set_proxy_v2_tlv_fmt");
    args.mark_last(path.clone());
    args.mark_last(path.key(kind));
    server.raw.set_proxy_v2_tlv_fmt.get_or_insert_default().insert(kind.to_owned(), format);
}

const VERSION: How<ServerDraft> = How::Read(|args, server: &mut ServerDraft| {
    tls::version_flag(args, &mut Versions { min: &mut server.raw.ssl_min_ver, max: &mut server.raw.ssl_max_ver });
});

const AGENT: &str = "agent checks";
const DNS: &str = "names are looked up when the configuration is read";
const POOL: &str = "each worker keeps idle connections for its own use";
const STICK: &str = "stick tables";

pub(super) const OPTIONS: &[OptionRow<ServerDraft>] = &[
    option("check", 0, flag!(check, true)),
    option("no-check", 0, flag!(check, false)),
    option("inter", 1, time!(inter)),
    option("fastinter", 1, time!(fastinter)),
    option("downinter", 1, time!(downinter)),
    option("rise", 1, number!(rise, 1, 1_000_000)),
    option("fall", 1, number!(fall, 1, 1_000_000)),
    option(
        "port",
        1,
        How::Read(|args, server| {
            if let Some(port) = args.number("a port", 1, 65_535) {
                server.mark(args, "port");
                server.raw.port = u16::try_from(port).ok();
            }
        }),
    ),
    option("addr", 1, text!(addr, "an address")),
    option("check-ssl", 0, flag!(check_ssl, true)),
    option("no-check-ssl", 0, flag!(check_ssl, false)),
    option("check-sni", 1, text!(check_sni, "a host name")),
    option("check-alpn", 1, list!(check_alpn, "protocols (`http/1.1`)")),
    option("check-send-proxy", 0, flag!(check_send_proxy, true)),
    option("no-check-send-proxy", 0, flag!(check_send_proxy, false)),
    option("weight", 1, number!(weight, 0, 256)),
    option("backup", 0, flag!(backup, true)),
    option("no-backup", 0, flag!(backup, false)),
    option("disabled", 0, flag!(disabled, true)),
    option("enabled", 0, flag!(disabled, false)),
    option("maxconn", 1, number!(maxconn, 0, u32::MAX)),
    option("ssl", 0, flag!(ssl, true)),
    option("no-ssl", 0, flag!(ssl, false)),
    option(
        "verify",
        1,
        How::Read(|args, server| {
            let known = [("none", Verify::None), ("required", Verify::Required)];
            if let Some(verify) = args.choice("a way to verify servers", &known) {
                server.mark(args, "verify");
                server.raw.verify = Some(verify);
            }
        }),
    ),
    option("verifyhost", 1, text!(verifyhost, "a host name")),
    option(
        "no-verifyhost",
        0,
        How::NoEffect("the SNI is the name that is verified unless `verifyhost` says otherwise"),
    ),
    option("ca-file", 1, text!(ca_file, "a PEM file")),
    option("crt", 1, text!(crt, "a PEM file with certificate and key")),
    option("sni", 1, text!(sni, "an expression (`str(name)`, `req.hdr(host)`)")),
    option("no-sni", 0, How::NoEffect("no name is sent unless `sni` says otherwise")),
    option("sni-auto", 0, How::NotBuilt("write `sni req.hdr(host)`")),
    option("no-sni-auto", 0, How::NoEffect("no name is sent unless `sni` says otherwise")),
    option("check-sni-auto", 0, How::NotBuilt("write `check-sni NAME`")),
    option("no-check-sni-auto", 0, How::NoEffect("no name is sent unless `check-sni` says otherwise")),
    option("alpn", 1, list!(alpn, "protocols (`http/1.1`)")),
    option("npn", 1, How::Told("NPN is gone from TLS libraries; write `alpn`")),
    option(
        "ssl-min-ver",
        1,
        How::Read(|args, server| {
            if let Some(version) = tls::min_version(args) {
                server.mark(args, "ssl_min_ver");
                server.raw.ssl_min_ver = Some(version);
            }
        }),
    ),
    option(
        "ssl-max-ver",
        1,
        How::Read(|args, server| {
            if let Some(version) = tls::max_version(args) {
                server.mark(args, "ssl_max_ver");
                server.raw.ssl_max_ver = Some(version);
            }
        }),
    ),
    option("no-tlsv12", 0, VERSION),
    option("no-tlsv13", 0, VERSION),
    option("force-tlsv12", 0, VERSION),
    option("force-tlsv13", 0, VERSION),
    option("force-sslv3", 0, VERSION),
    option("force-tlsv10", 0, VERSION),
    option("force-tlsv11", 0, VERSION),
    option("no-sslv3", 0, How::NoEffect(NEVER_OLD)),
    option("no-tlsv10", 0, How::NoEffect(NEVER_OLD)),
    option("no-tlsv11", 0, How::NoEffect(NEVER_OLD)),
    option("send-proxy", 0, flag!(send_proxy, true)),
    option("no-send-proxy", 0, flag!(send_proxy, false)),
    option("send-proxy-v2", 0, flag!(send_proxy_v2, true)),
    option("no-send-proxy-v2", 0, flag!(send_proxy_v2, false)),
    option("send-proxy-v2-ssl", 0, flag!(send_proxy_v2_ssl, true)),
    option("send-proxy-v2-ssl-cn", 0, flag!(send_proxy_v2_ssl_cn, true)),
    option("no-send-proxy-v2-ssl", 0, flag!(send_proxy_v2_ssl, false)),
    option("no-send-proxy-v2-ssl-cn", 0, flag!(send_proxy_v2_ssl_cn, false)),
    option("proxy-v2-options", 1, text!(proxy_v2_options, "a list (`ssl,authority,crc32c`)")),
    option("set-proxy-v2-tlv-fmt", 1, How::Read(proxy_value)),
    option("ciphers", 1, text!(ciphers, "suites (`ECDHE+AESGCM`)")),
    option("ciphersuites", 1, text!(ciphersuites, "suites (`TLS_AES_128_GCM_SHA256`)")),
    option("curves", 1, text!(curves, "groups (`X25519:P-256`)")),
    option("sigalgs", 1, How::Told("the TLS library's own signature algorithms are used")),
    option("client-sigalgs", 1, How::Told("the TLS library's own signature algorithms are used")),
    option("ssl-reuse", 0, flag!(ssl_reuse, true)),
    option("no-ssl-reuse", 0, flag!(ssl_reuse, false)),
    option("tls-tickets", 0, How::NoEffect("session tickets are on")),
    option("no-tls-tickets", 0, How::Told("sessions are taken up again as the server offers it; see `no-ssl-reuse`")),
    option("renegotiate", 0, How::NoEffect("TLS connections are never renegotiated")),
    option("no-renegotiate", 0, How::NoEffect("TLS connections are never renegotiated")),
    option("allow-0rtt", 0, How::Told(tls::NO_EARLY_DATA)),
    option("crl-file", 1, text!(crl_file, "a PEM file")),
    option("agent-check", 0, How::NotBuilt(AGENT)),
    option("no-agent-check", 0, How::NoEffect("agent checks are off")),
    option("agent-send", 1, How::NotBuilt(AGENT)),
    option("agent-inter", 1, How::NotBuilt(AGENT)),
    option("agent-addr", 1, How::NotBuilt(AGENT)),
    option("agent-port", 1, How::NotBuilt(AGENT)),
    option("check-proto", 1, How::Read(check_proto)),
    option("check-via-socks4", 0, How::NotBuilt("SOCKS4")),
    option("check-reuse-pool", 0, How::NoEffect("a check opens its own connection")),
    option("no-check-reuse-pool", 0, How::NoEffect("a check opens its own connection")),
    option("check-pool-conn-name", 1, How::NoEffect("a check opens its own connection")),
    option("cookie", 1, How::NotBuilt("session cookies")),
    option("track", 1, How::NotBuilt("following another server's checks")),
    option("slowstart", 1, How::NotBuilt("")),
    option("observe", 1, How::NotBuilt("judging servers by their traffic")),
    option("on-error", 1, How::NotBuilt("judging servers by their traffic")),
    option("error-limit", 1, How::NotBuilt("judging servers by their traffic")),
    option("on-marked-down", 1, How::NotBuilt("")),
    option("on-marked-up", 1, How::NotBuilt("")),
    option("init-state", 1, How::NotBuilt("")),
    option("init-addr", 1, How::NotBuilt(DNS)),
    option("resolvers", 1, How::NotBuilt(DNS)),
    option("resolve-opts", 1, How::NotBuilt(DNS)),
    option("resolve-prefer", 1, How::NotBuilt(DNS)),
    option("resolve-net", 1, How::NotBuilt(DNS)),
    option("minconn", 1, number!(minconn, 0, u32::MAX)),
    option("maxqueue", 1, number!(maxqueue, 0, u32::MAX)),
    option("strict-maxconn", 0, How::NoEffect("`maxconn` is strict")),
    option("max-reuse", 1, limit!(max_reuse)),
    option("pool-max-conn", 1, limit!(pool_max_conn)),
    option("pool-low-conn", 1, How::NoEffect(POOL)),
    option("pool-purge-delay", 1, time!(pool_purge_delay)),
    option("pool-conn-name", 1, How::NoEffect(POOL)),
    option("idle-ping", 1, How::NotBuilt("")),
    option("non-stick", 0, How::NotBuilt(STICK)),
    option("stick", 0, How::NotBuilt(STICK)),
    option("shard", 1, How::NotBuilt("peers")),
    option("redir", 1, How::NotBuilt("")),
    option(
        "source",
        1,
        How::Read(|args, server| server.raw.source = dial::read_source(args, &server.path.key("source"))),
    ),
    option("interface", 1, How::Read(|args, _| dial::misplaced_word(args))),
    option("usesrc", 1, How::Read(|args, _| dial::misplaced_word(args))),
    option("socks4", 1, How::NotBuilt("SOCKS4")),
    option("namespace", 1, How::NotBuilt("network namespaces")),
    option("mark", 1, How::NotBuilt("")),
    option("cc", 1, How::NotBuilt("")),
    option("mptcp", 0, How::NotBuilt("")),
    option("tcp-md5sig", 1, How::NotBuilt("")),
    option("tcp-ut", 1, time!(tcp_ut)),
    option("tfo", 0, How::NoEffect("connections open without TCP fast open")),
    option("no-tfo", 0, How::NoEffect("connections open without TCP fast open")),
    option("proto", 1, How::Read(proto)),
    option(
        "ws",
        1,
        How::Read(|args, server| {
            let known = [("auto", WebSockets::Auto), ("h1", WebSockets::H1), ("h2", WebSockets::H2)];
            if let Some(ws) = args.choice("a protocol", &known) {
                server.mark(args, "ws");
                server.raw.ws = Some(ws);
            }
        }),
    ),
    option("log-proto", 1, How::NotBuilt("log balancing")),
    option("log-bufsize", 1, How::NotBuilt("log balancing")),
    option("hash-key", 1, How::NotBuilt("consistent hashing")),
    option("id", 1, How::NoEffect("servers are numbered in the order written")),
    option("guid", 1, How::NoEffect("servers keep their state by name")),
    option("ktls", 1, How::NoEffect("TLS is done in user space")),
];

const PROTOCOLS: [(&str, Option<Proto>); 4] =
    [("h1", Some(Proto::H1)), ("h2", Some(Proto::H2)), ("none", None), ("fcgi", None)];

fn proto(args: &mut Args, server: &mut ServerDraft) {
    if let Some(proto) = protocol(args) {
        server.mark(args, "proto");
        server.raw.proto = proto;
    }
}

fn check_proto(args: &mut Args, server: &mut ServerDraft) {
    if let Some(proto) = protocol(args) {
        server.mark(args, "check_proto");
        server.raw.check_proto = proto;
    }
}

fn protocol(args: &mut Args) -> Option<Option<Proto>> {
    let is_fcgi = args.peek() == Some("fcgi");
    let proto = args.choice("a protocol", &PROTOCOLS)?;
    if is_fcgi {
        args.tell_last(Diagnostic::error("FastCGI is known but not built yet; `h1` and `h2` are"));
        return None;
    }
    Some(proto)
}
