//! Keywords of `global` (HAProxy manual chapter 3, and later versions' additions).

use super::args::Args;
use super::draft::GlobalDraft;
use super::log;
use super::table::{How, Kinds, Row, negatable, row};
use super::tls::{self, NEVER_OLD, Versions};
use crate::config::raw::{AccessLevel, SslDefaults, StatsSocket, Verify};
use crate::diag::{Diagnostic, FieldPath};
use crate::units::Bare;

const G: Kinds = Kinds::GLOBAL;

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

const OWN_FLOODS: &str = "floods of resets and of empty frames are cut off by limits of their own";
const DEVICES: &str = "device detection";
const LUA: &str = "Lua";
const OWN_LOOP: &str = "it tunes HAProxy's own event loop";
const OWN_MEMORY: &str = "it tunes HAProxy's own memory pools";
const PINNING: &str = "workers are not bound to processors; the kernel places them";
const QUIC: &str = "QUIC";
const RATES: &str = "limits on rates";
const STATES: &str = "states survive reloads without a file";
const OWN_BUFFERS: &str = "the kernel sizes socket buffers by itself";
const NO_DH: &str = "key exchange is over elliptic curves";

pub(super) const TABLE: &[Row<GlobalDraft>] = &[
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
    row("ssl-default-bind-sigalgs", G, How::Told("the TLS library's own signature algorithms are used")),
    row("ssl-default-bind-client-sigalgs", G, How::Told("the TLS library's own signature algorithms are used")),
    row("ssl-default-server-ciphers", G, ssl_default!(ssl_default_server, ciphers, "suites (`ECDHE+AESGCM`)")),
    row("ssl-default-server-ciphersuites", G, ssl_default!(ssl_default_server, ciphersuites, "suites")),
    row("ssl-default-server-curves", G, ssl_default!(ssl_default_server, curves, "groups (`X25519:P-256`)")),
    row("ssl-default-server-sigalgs", G, How::Told("the TLS library's own signature algorithms are used")),
    row("ssl-default-server-client-sigalgs", G, How::Told("the TLS library's own signature algorithms are used")),
    row("ssl-server-verify", G, How::Read(ssl_server_verify)),
    row("ssl-dh-param-file", G, How::NoEffect(NO_DH)),
    row("ssl-engine", G, How::NoEffect("TLS is done by the built-in library")),
    row("ssl-mode-async", G, How::NoEffect("TLS is done by the built-in library")),
    row("ssl-propquery", G, How::NoEffect("TLS is done by the built-in library")),
    row("ssl-provider", G, How::NoEffect("TLS is done by the built-in library")),
    row("ssl-provider-path", G, How::NoEffect("TLS is done by the built-in library")),
    row("ssl-security-level", G, How::NoEffect("only strong suites are offered")),
    row("ssl-load-extra-files", G, How::Told("certificate, chain and key are read from the `crt` file or beside it")),
    row("ssl-load-extra-del-ext", G, How::NotBuilt("")),
    row("ssl-skip-self-issued-ca", G, How::NoEffect("chains are sent without their root")),
    row("ssl-passphrase-cmd", G, How::NotBuilt("keys with a passphrase")),
    row("ssl-f-use", G, How::NotBuilt("")),
    row("issuers-chain-path", G, How::NotBuilt("")),
    row("crt-store", G, How::NotBuilt("")),
    negatable("busy-polling", G, How::NoEffect(OWN_LOOP)),
    negatable("insecure-fork-wanted", G, How::NoEffect("nothing is started from here")),
    row("insecure-setuid-wanted", G, How::NoEffect("nothing is started from here")),
    negatable("numa-cpu-mapping", G, How::NoEffect(PINNING)),
    negatable("set-dumpable", G, How::NoEffect("core dumps are left to the system's settings")),
    negatable("strict-limits", G, How::NoEffect("limits are always strict")),
    negatable("quic", G, How::NotBuilt(QUIC)),
    row("cpu-map", G, How::Told(PINNING)),
    row("cpu-policy", G, How::Told(PINNING)),
    row("cpu-set", G, How::Told(PINNING)),
    row("cpu-affinity", G, How::Told(PINNING)),
    row("thread-group", G, How::NoEffect("all workers are one group")),
    row("thread-groups", G, How::NoEffect("all workers are one group")),
    row("thread-hard-limit", G, How::NotBuilt("write `nbthread`")),
    row("max-threads-per-group", G, How::NoEffect("all workers are one group")),
    row("force-cfg-parser-pause", G, How::NoEffect("it is a debugging aid of HAProxy")),
    row("nbproc", G, How::Refused("HAProxy removed it in 2.5; write `nbthread`")),
    row("quiet", G, How::NoEffect("`-q` on the command line is quiet")),
    row("zero-warning", G, How::NotBuilt("")),
    row("grace", G, How::NotBuilt("")),
    row("close-spread-time", G, How::NotBuilt("")),
    row("default-path", G, How::NotBuilt("relative names start at the working directory")),
    row("expose-experimental-directives", G, How::NoEffect("there are none")),
    row("expose-deprecated-directives", G, How::NoEffect("there are none")),
    row("warn-blocked-traffic-after", G, How::NoEffect(OWN_LOOP)),
    row("external-check", G, How::NotBuilt("scripted checks")),
    row("cluster-secret", G, How::NotBuilt(QUIC)),
    row("localpeer", G, How::NotBuilt("peers")),
    row("lua-load", G, How::NotBuilt(LUA)),
    row("lua-load-per-thread", G, How::NotBuilt(LUA)),
    row("lua-prepend-path", G, How::NotBuilt(LUA)),
    row("fd-hard-limit", G, How::NotBuilt("write `maxconn` or `ulimit-n`")),
    row("unix-bind", G, How::NotBuilt("write `user`, `group` and `mode` on each `bind unix@…`")),
    row("set-var", G, How::NotBuilt("variables")),
    row("set-var-fmt", G, How::NotBuilt("variables")),
    row("server-state-base", G, How::Told(STATES)),
    row("server-state-file", G, How::Told(STATES)),
    row("shm-stats-file", G, How::NoEffect("counters survive reloads without a file")),
    row("shm-stats-file-max-objects", G, How::NoEffect("counters survive reloads without a file")),
    row("stats-file", G, How::NoEffect("counters survive reloads without a file")),
    row("stats bind-process", G, How::Refused("HAProxy removed it in 2.7; there is one process, remove it")),
    row("stats calculate-max-counters", G, How::NoEffect("greatest values are always kept")),
    row("mworker-max-reloads", G, How::NoEffect("a reload stays in the same process")),
    row("mworker-prog", G, How::NotBuilt("")),
    row("pp2-never-send-local", G, How::NotBuilt("")),
    row("h1-accept-payload-with-any-method", G, How::NoEffect("a body is taken with every method")),
    row("h1-do-not-close-on-insecure-transfer-encoding", G, How::Refused("such messages are refused; remove it")),
    negatable("h2-workaround-bogus-websocket-clients", G, How::Read(no_websocket)),
    row("dns-accept-family", G, How::NotBuilt("")),
    row("harden.reject-privileged-ports.tcp", G, How::NotBuilt("")),
    row("harden.reject-privileged-ports.quic", G, How::NotBuilt(QUIC)),
    row("httpclient.resolvers.disabled", G, How::NoEffect("there is no HTTP client for scripts")),
    row("httpclient.resolvers.id", G, How::NoEffect("there is no HTTP client for scripts")),
    row("httpclient.resolvers.prefer", G, How::NoEffect("there is no HTTP client for scripts")),
    row("httpclient.retries", G, How::NoEffect("there is no HTTP client for scripts")),
    row("httpclient.ssl.ca-file", G, How::NoEffect("there is no HTTP client for scripts")),
    row("httpclient.ssl.verify", G, How::NoEffect("there is no HTTP client for scripts")),
    row("httpclient.timeout.connect", G, How::NoEffect("there is no HTTP client for scripts")),
    row("ocsp-update.disable", G, How::NoEffect("OCSP answers are not fetched")),
    row("ocsp-update.httpproxy", G, How::NotBuilt("OCSP stapling")),
    row("ocsp-update.maxdelay", G, How::NotBuilt("OCSP stapling")),
    row("ocsp-update.mindelay", G, How::NotBuilt("OCSP stapling")),
    row("ocsp-update.mode", G, How::NotBuilt("OCSP stapling")),
    row("anonkey", G, How::NotBuilt("")),
    row("key-base", G, How::NotBuilt("")),
    row("limited-quic", G, How::NotBuilt(QUIC)),
    row("no-quic", G, How::NoEffect("QUIC is not spoken")),
    row("acme.scheduler", G, How::NotBuilt("")),
    row("51degrees-cache-size", G, How::NotBuilt(DEVICES)),
    row("51degrees-data-file", G, How::NotBuilt(DEVICES)),
    row("51degrees-property-name-list", G, How::NotBuilt(DEVICES)),
    row("51degrees-property-separator", G, How::NotBuilt(DEVICES)),
    row("51degrees-difference", G, How::NotBuilt(DEVICES)),
    row("51degrees-drift", G, How::NotBuilt(DEVICES)),
    row("51degrees-use-performance-graph", G, How::NotBuilt(DEVICES)),
    row("51degrees-use-predictive-graph", G, How::NotBuilt(DEVICES)),
    row("51degrees-allow-unmatched", G, How::NotBuilt(DEVICES)),
    row("deviceatlas-json-file", G, How::NotBuilt(DEVICES)),
    row("deviceatlas-log-level", G, How::NotBuilt(DEVICES)),
    row("deviceatlas-properties-cookie", G, How::NotBuilt(DEVICES)),
    row("deviceatlas-separator", G, How::NotBuilt(DEVICES)),
    row("wurfl-cache-size", G, How::NotBuilt(DEVICES)),
    row("wurfl-data-file", G, How::NotBuilt(DEVICES)),
    row("wurfl-information-list", G, How::NotBuilt(DEVICES)),
    row("wurfl-information-list-separator", G, How::NotBuilt(DEVICES)),
    row("wurfl-patch-file", G, How::NotBuilt(DEVICES)),
    row("wurfl-engine-mode", G, How::NotBuilt(DEVICES)),
    row("wurfl-useragent-priority", G, How::NotBuilt(DEVICES)),
    row("max-spread-checks", G, How::NoEffect("checks are spread over their whole interval")),
    row("maxcompcpuusage", G, How::NotBuilt("compression")),
    row("maxcomprate", G, How::NotBuilt("compression")),
    row("maxzlibmem", G, How::NotBuilt("compression")),
    row("maxconnrate", G, How::NotBuilt(RATES)),
    row("maxsessrate", G, How::NotBuilt(RATES)),
    row("maxsslrate", G, How::NotBuilt(RATES)),
    row("maxsslconn", G, How::NotBuilt("a limit on TLS connections; `maxconn` limits all")),
    row("maxpipes", G, How::NoEffect("a worker keeps 64 pipes; without one it copies")),
    row("no-memory-trimming", G, How::NoEffect(OWN_MEMORY)),
    row("noepoll", G, How::NoEffect(OWN_LOOP)),
    row("noevports", G, How::NoEffect(OWN_LOOP)),
    row("nokqueue", G, How::NoEffect(OWN_LOOP)),
    row("nopoll", G, How::NoEffect(OWN_LOOP)),
    row("nosplice", G, How::NoEffect("where the kernel refuses to splice, bytes are copied")),
    row("noktls", G, How::NoEffect("TLS is done in user space")),
    row("ktls", G, How::NoEffect("TLS is done in user space")),
    row("nogetaddrinfo", G, How::NoEffect("names are looked up by the system")),
    row("noreuseport", G, How::NotBuilt("each worker has its own socket")),
    row("profiling.tasks", G, How::NoEffect(OWN_LOOP)),
    row("profiling.memory", G, How::NoEffect(OWN_MEMORY)),
    row("prealloc-fd", G, How::NoEffect(OWN_MEMORY)),
    row("debug.counters", G, How::NoEffect("it is a debugging aid of HAProxy")),
    row("trace", G, How::NotBuilt("")),
    row("tune.applet.zero-copy-forwarding", G, How::NoEffect(OWN_MEMORY)),
    row("tune.buffers.limit", G, How::NoEffect(OWN_MEMORY)),
    row("tune.buffers.reserve", G, How::NoEffect(OWN_MEMORY)),
    row("tune.bufsize.large", G, How::NoEffect(OWN_MEMORY)),
    row("tune.bufsize.small", G, How::NoEffect(OWN_MEMORY)),
    row("tune.cli.max-payload-size", G, How::NotBuilt("")),
    row("tune.comp.maxlevel", G, How::NotBuilt("compression")),
    row("tune.defaults.purge", G, How::NoEffect(OWN_MEMORY)),
    row("tune.disable-fast-forward", G, How::NoEffect(OWN_MEMORY)),
    row("tune.disable-zero-copy-forwarding", G, How::NoEffect(OWN_MEMORY)),
    row("tune.events.max-events-at-once", G, How::NoEffect(OWN_LOOP)),
    row("tune.epoll.mask-events", G, How::NoEffect(OWN_LOOP)),
    row("tune.fail-alloc", G, How::NoEffect("it is a debugging aid of HAProxy")),
    row("tune.fd.edge-triggered", G, How::NoEffect(OWN_LOOP)),
    row("tune.glitches.kill.cpu-usage", G, How::NotBuilt("")),
    row("tune.h1.be.glitches-threshold", G, How::NotBuilt("")),
    row("tune.h1.fe.glitches-threshold", G, How::NotBuilt("")),
    row("tune.h1.zero-copy-fwd-recv", G, How::NoEffect(OWN_MEMORY)),
    row("tune.h1.zero-copy-fwd-send", G, How::NoEffect(OWN_MEMORY)),
    row("tune.h2.fe.max-frames-at-once", G, How::NoEffect(OWN_FLOODS)),
    row("tune.h2.fe.max-rst-at-once", G, How::NoEffect(OWN_FLOODS)),
    row("tune.h2.log-errors", G, How::NotBuilt("")),
    row("tune.h2.zero-copy-fwd-send", G, How::NoEffect(OWN_MEMORY)),
    row("tune.http.cookielen", G, How::NotBuilt("captured cookies")),
    row("tune.http.logurilen", G, How::NotBuilt("a log line is cut at `len` of its `log`")),
    row("tune.idle-pool.shared", G, How::NoEffect("idle connections are kept by each worker for its own use")),
    row("tune.idletimer", G, How::NoEffect(OWN_LOOP)),
    row("tune.listener.default-shards", G, How::NoEffect("every worker listens")),
    row("tune.listener.multi-queue", G, How::NoEffect("every worker listens")),
    row("tune.lua.bool-sample-conversion", G, How::NotBuilt(LUA)),
    row("tune.lua.burst-timeout", G, How::NotBuilt(LUA)),
    row("tune.lua.forced-yield", G, How::NotBuilt(LUA)),
    row("tune.lua.log.loggers", G, How::NotBuilt(LUA)),
    row("tune.lua.log.stderr", G, How::NotBuilt(LUA)),
    row("tune.lua.maxmem", G, How::NotBuilt(LUA)),
    row("tune.lua.openlibs", G, How::NotBuilt(LUA)),
    row("tune.lua.service-timeout", G, How::NotBuilt(LUA)),
    row("tune.lua.session-timeout", G, How::NotBuilt(LUA)),
    row("tune.lua.task-timeout", G, How::NotBuilt(LUA)),
    row("tune.max-checks-per-thread", G, How::NoEffect("checks run outside the workers")),
    row("tune.max-rules-at-once", G, How::NoEffect(OWN_LOOP)),
    row("tune.maxaccept", G, How::NoEffect(OWN_LOOP)),
    row("tune.maxpollevents", G, How::NoEffect(OWN_LOOP)),
    row("tune.memory.hot-size", G, How::NoEffect(OWN_MEMORY)),
    row("tune.notsent-lowat.client", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.notsent-lowat.server", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.pattern.cache-size", G, How::NoEffect("patterns are compiled once")),
    row("tune.peers.max-updates-at-once", G, How::NotBuilt("peers")),
    row("tune.pipesize", G, How::NoEffect("pipes grow with what goes through them")),
    row("tune.pool-high-fd-ratio", G, How::NoEffect(OWN_MEMORY)),
    row("tune.pool-low-fd-ratio", G, How::NoEffect(OWN_MEMORY)),
    row("tune.pt.zero-copy-forwarding", G, How::NoEffect(OWN_MEMORY)),
    row("tune.quic.frontend.conn-tx-buffers.limit", G, How::NotBuilt(QUIC)),
    row("tune.quic.frontend.max-idle-timeout", G, How::NotBuilt(QUIC)),
    row("tune.quic.frontend.max-streams-bidi", G, How::NotBuilt(QUIC)),
    row("tune.quic.retry-threshold", G, How::NotBuilt(QUIC)),
    row("tune.quic.max-frame-loss", G, How::NotBuilt(QUIC)),
    row("tune.quic.socket-owner", G, How::NotBuilt(QUIC)),
    row("tune.rcvbuf.backend", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.rcvbuf.client", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.rcvbuf.frontend", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.rcvbuf.server", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.recv_enough", G, How::NoEffect(OWN_LOOP)),
    row("tune.renice.runtime", G, How::NotBuilt("")),
    row("tune.renice.startup", G, How::NotBuilt("")),
    row("tune.ring.queues", G, How::NoEffect(OWN_MEMORY)),
    row("tune.runqueue-depth", G, How::NoEffect(OWN_LOOP)),
    row("tune.sched.low-latency", G, How::NoEffect(OWN_LOOP)),
    row("tune.sndbuf.backend", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.sndbuf.client", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.sndbuf.frontend", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.sndbuf.server", G, How::NoEffect(OWN_BUFFERS)),
    row("tune.ssl.cachesize", G, How::Read(ssl_cachesize)),
    row("tune.ssl.capture-buffer-size", G, How::NotBuilt("")),
    row("tune.ssl.capture-cipherlist-size", G, How::NotBuilt("")),
    row("tune.ssl.certificate-compression", G, How::NoEffect("certificates are sent as they are")),
    row("tune.ssl.default-dh-param", G, How::NoEffect(NO_DH)),
    row("tune.ssl.force-private-cache", G, How::NoEffect("all workers share one memory of sessions")),
    row("tune.ssl.hard-maxrecord", G, How::NoEffect("the TLS library sizes its records")),
    row("tune.ssl.keylog", G, How::NotBuilt("")),
    row("tune.ssl.lifetime", G, How::Read(ssl_lifetime)),
    row("tune.ssl.maxrecord", G, How::NoEffect("the TLS library sizes its records")),
    row("tune.ssl.ocsp-update.maxdelay", G, How::NotBuilt("OCSP stapling")),
    row("tune.ssl.ocsp-update.mindelay", G, How::NotBuilt("OCSP stapling")),
    row("tune.ssl.ssl-ctx-cache-size", G, How::NoEffect("certificates are not made on the fly")),
    row("tune.stick-counters", G, How::NotBuilt("stick tables")),
    row("tune.streams-elasticity", G, How::NoEffect(OWN_LOOP)),
    row("tune.takeover-other-tg-connections", G, How::NoEffect("all workers are one group")),
    row("tune.vars.global-max-size", G, How::NotBuilt("variables")),
    row("tune.vars.proc-max-size", G, How::NotBuilt("variables")),
    row("tune.vars.reqres-max-size", G, How::NotBuilt("variables")),
    row("tune.vars.sess-max-size", G, How::NotBuilt("variables")),
    row("tune.vars.txn-max-size", G, How::NotBuilt("variables")),
    row("tune.zlib.memlevel", G, How::NotBuilt("compression")),
    row("tune.zlib.windowsize", G, How::NotBuilt("compression")),
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
