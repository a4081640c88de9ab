//! `bind` lines (HAProxy manual 4.2 `bind`, 5.1).

use super::args::Args;
use super::draft::ProxyDraft;
use super::table::{How, OptionRow, option, read_options};
use super::tls::{self, NEVER_OLD, Versions};
use crate::config::raw::{Bind, ClientVerify, OneOrMany, Proto};
use crate::diag::{Diagnostic, FieldPath};

/// A `bind` line while it is read.
pub(super) struct BindDraft {
    raw: Bind,
    /// A `crt-list` came before any `crt`.
    list_first: bool,
    path: FieldPath,
}

impl BindDraft {
    fn mark(&self, args: &mut Args, field: &str) {
        args.mark_last(self.path.key(field));
    }
}

pub(super) fn bind(args: &mut Args, proxy: &mut ProxyDraft) {
    let mut bind = BindDraft {
        raw: Bind::default(),
        list_first: false,
        path: FieldPath::root().key("bind").index(proxy.raw.bind.len()),
    };
    args.mark_line(bind.path.clone());
    let Some(address) = args.text("an address: `:80`, `10.0.0.1:443`, `unix@/run/x.sock`") else {
        return;
    };
    bind.mark(args, "address");
    bind.raw.address = address;
    read_options(OPTIONS, args, &mut bind);
    if bind.list_first && !bind.raw.crt.is_empty() && bind.raw.default_crt.is_empty() {
        let message = "`crt-list` in front of `crt`: the default certificate is that of the first `crt` here, and HAProxy's \
                       is the list's first";
        args.tell_word(0, Diagnostic::warning(message).code("default-certificate").hint("name it with `default-crt`"));
    }
    proxy.raw.bind.push(bind.raw);
}

/// Sets a field that is the word behind the option.
macro_rules! text {
    ($field:ident, $what:literal) => {
        How::Read(|args, bind: &mut BindDraft| {
            if let Some(text) = args.text($what) {
                bind.mark(args, stringify!($field));
                bind.raw.$field = Some(text.into());
            }
        })
    };
}

macro_rules! flag {
    ($field:ident) => {
        How::Read(|args, bind: &mut BindDraft| {
            bind.mark(args, stringify!($field));
            bind.raw.$field = Some(true);
        })
    };
}

macro_rules! off {
    ($field:ident) => {
        How::Read(|args, bind: &mut BindDraft| {
            bind.mark(args, stringify!($field));
            bind.raw.$field = Some(false);
        })
    };
}

macro_rules! number {
    ($field:ident, $largest:expr) => {
        How::Read(|args, bind: &mut BindDraft| {
            if let Some(number) = args.number("a whole number", 0, $largest) {
                bind.mark(args, stringify!($field));
                bind.raw.$field = Some(number);
            }
        })
    };
}

const VERSION: How<BindDraft> = How::Read(|args, bind: &mut BindDraft| {
    tls::version_flag(args, &mut Versions { min: &mut bind.raw.ssl_min_ver, max: &mut bind.raw.ssl_max_ver });
});

const ONE_PROCESS: &str = "there is one process, and every worker thread listens";

pub(super) const OPTIONS: &[OptionRow<BindDraft>] = &[
    option("ssl", 0, flag!(ssl)),
    option(
        "crt",
        1,
        How::Read(|args, bind| {
            if let Some(file) = args.text("a PEM file or a directory") {
                args.mark_last(bind.path.key("crt").index(bind.raw.crt.0.len()));
                bind.mark(args, "crt");
                bind.raw.crt.0.push(file.into());
            }
        }),
    ),
    option(
        "crt-list",
        1,
        How::Read(|args, bind| {
            if let Some(file) = args.text("a file with a certificate in each line") {
                args.mark_last(bind.path.key("crt_list").index(bind.raw.crt_list.0.len()));
                bind.mark(args, "crt_list");
                bind.list_first |= bind.raw.crt.is_empty();
                bind.raw.crt_list.0.push(file.into());
            }
        }),
    ),
    option(
        "default-crt",
        1,
        How::Read(|args, bind| {
            if let Some(file) = args.text("a PEM file") {
                args.mark_last(bind.path.key("default_crt").index(bind.raw.default_crt.0.len()));
                bind.mark(args, "default_crt");
                bind.raw.default_crt.0.push(file.into());
            }
        }),
    ),
    option(
        "alpn",
        1,
        How::Read(|args, bind| {
            if let Some(protocols) = args.text("protocols (`h2,http/1.1`)") {
                bind.mark(args, "alpn");
                bind.raw.alpn = Some(OneOrMany(vec![protocols]));
            }
        }),
    ),
    option(
        "no-alpn",
        0,
        How::Read(|args, bind| {
            bind.mark(args, "alpn");
            bind.raw.alpn = Some(OneOrMany::default());
        }),
    ),
    option("strict-sni", 0, flag!(strict_sni)),
    option("accept-proxy", 0, flag!(accept_proxy)),
    option("name", 1, text!(name, "a name")),
    option("maxconn", 1, number!(maxconn, u32::MAX)),
    option("backlog", 1, number!(backlog, i32::MAX as u32)),
    option("interface", 1, text!(interface, "the name of a network interface")),
    option("v4v6", 0, flag!(v4v6)),
    option("v6only", 0, flag!(v6only)),
    option("mode", 1, text!(mode, "an octal file mode (`660`)")),
    option("user", 1, text!(user, "a user's name")),
    option("group", 1, text!(group, "a group's name")),
    option("uid", 1, number!(uid, u32::MAX)),
    option("gid", 1, number!(gid, u32::MAX)),
    option(
        "ssl-min-ver",
        1,
        How::Read(|args, bind| {
            if let Some(version) = tls::min_version(args) {
                bind.mark(args, "ssl_min_ver");
                bind.raw.ssl_min_ver = Some(version);
            }
        }),
    ),
    option(
        "ssl-max-ver",
        1,
        How::Read(|args, bind| {
            if let Some(version) = tls::max_version(args) {
                bind.mark(args, "ssl_max_ver");
                bind.raw.ssl_max_ver = Some(version);
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
    option(
        "verify",
        1,
        How::Read(|args, bind| {
            let known = [
                ("none", ClientVerify::None),
                ("optional", ClientVerify::Optional),
                ("required", ClientVerify::Required),
            ];
            if let Some(verify) = args.choice("a way to verify clients", &known) {
                bind.mark(args, "verify");
                bind.raw.verify = Some(verify);
            }
        }),
    ),
    option(
        "proto",
        1,
        How::Read(|args, bind| {
            let known = [("h1", Some(Proto::H1)), ("h2", Some(Proto::H2)), ("none", None)];
            if let Some(proto) = args.choice("a protocol", &known) {
                bind.mark(args, "proto");
                bind.raw.proto = proto;
            }
        }),
    ),
    option("ciphers", 1, text!(ciphers, "suites (`ECDHE+AESGCM`)")),
    option("ciphersuites", 1, text!(ciphersuites, "suites (`TLS_AES_128_GCM_SHA256`)")),
    option("curves", 1, text!(curves, "groups (`X25519:P-256`)")),
    option(
        "ecdhe",
        1,
        How::Read(|args, bind| {
            // `curves` goes before it, wherever it stands.
            if let Some(curve) = args.text("a curve")
                && bind.raw.curves.is_none()
            {
                bind.mark(args, "curves");
                bind.raw.curves = Some(curve);
            }
        }),
    ),
    option("sigalgs", 1, How::Told("the TLS library's own signature algorithms are used")),
    option("client-sigalgs", 1, How::Told("the TLS library's own signature algorithms are used")),
    option("no-tls-tickets", 0, off!(tls_tickets)),
    option("tls-tickets", 0, flag!(tls_tickets)),
    option("prefer-client-ciphers", 0, flag!(prefer_client_ciphers)),
    option("no-prefer-client-ciphers", 0, off!(prefer_client_ciphers)),
    option("npn", 1, How::Told("NPN is gone from TLS libraries; write `alpn`")),
    option("no-strict-sni", 0, off!(strict_sni)),
    option("tls-ticket-keys", 1, text!(tls_ticket_keys, "a file of keys")),
    option("allow-0rtt", 0, How::Told(tls::NO_EARLY_DATA)),
    option("ca-file", 1, text!(ca_file, "a PEM file")),
    option("ca-verify-file", 1, text!(ca_verify_file, "a PEM file")),
    option("ca-ignore-err", 1, text!(ca_ignore_err, "`all`, or numbers of errors")),
    option("crt-ignore-err", 1, text!(crt_ignore_err, "`all`, or numbers of errors")),
    option("crl-file", 1, text!(crl_file, "a PEM file")),
    option("no-ca-names", 0, flag!(no_ca_names)),
    option("ca-sign-file", 1, How::NotBuilt("certificates made on the fly")),
    option("ca-sign-pass", 1, How::NotBuilt("certificates made on the fly")),
    option("generate-certificates", 0, How::NotBuilt("certificates made on the fly")),
    option("accept-netscaler-cip", 1, How::NotBuilt("")),
    option("defer-accept", 0, How::NoEffect("a connection without bytes costs next to nothing here")),
    option("tfo", 0, How::NoEffect("connections open without TCP fast open")),
    option("nice", 1, How::NoEffect("workers take connections in turn")),
    option("id", 1, How::NoEffect("listeners are numbered in the order written")),
    option("guid-prefix", 1, How::NoEffect("listeners keep their counters by name")),
    option("process", 1, How::NoEffect(ONE_PROCESS)),
    option("thread", 1, How::NoEffect(ONE_PROCESS)),
    option("shards", 1, How::NoEffect(ONE_PROCESS)),
    option("level", 1, How::NotBuilt("runtime sockets are set with `stats socket` in global")),
    option("severity-output", 1, How::NotBuilt("runtime sockets are set with `stats socket` in global")),
    option("expose-fd", 1, How::NoEffect("a reload keeps its sockets in the same process")),
    option(
        "mss",
        1,
        How::Read(|args, bind| {
            let Some(text) = args.text("a size in bytes") else { return };
            match text.parse() {
                Ok(size) => {
                    bind.mark(args, "mss");
                    bind.raw.mss = Some(size);
                }
                Err(_) => {
                    args.tell_last(Diagnostic::error(format!("`mss` needs a size in bytes; `{text}` is not one")))
                }
            }
        }),
    ),
    option("cc", 1, How::NotBuilt("")),
    option("tcp-md5sig", 1, How::NotBuilt("")),
    option("tcp-ss", 1, How::NotBuilt("")),
    option(
        "tcp-ut",
        1,
        How::Read(|args, bind| {
            if let Some(time) = args.time() {
                bind.mark(args, "tcp_ut");
                bind.raw.tcp_ut = Some(time);
            }
        }),
    ),
    option("label", 1, How::NotBuilt("")),
    option("ktls", 1, How::NoEffect("TLS is done in user space")),
    option("namespace", 1, How::NotBuilt("network namespaces")),
    option("transparent", 0, How::NotBuilt("binding to foreign addresses")),
    option("nbconn", 1, How::NotBuilt("reverse HTTP")),
    option("idle-ping", 1, How::NotBuilt("")),
    option("ech", 1, How::NotBuilt("")),
    option("ocsp-update", 1, How::NotBuilt("OCSP stapling")),
    option("quic-cc-algo", 1, How::NotBuilt("QUIC")),
    option("quic-force-retry", 0, How::NotBuilt("QUIC")),
    option("quic-socket", 1, How::NotBuilt("QUIC")),
];
