//! What holds for the whole process? (HAProxy manual chapter 3)

use std::num::NonZeroUsize;
use std::time::Duration;

use super::accounts::Account;
use super::bind::{Rights, look_up, tell_address, unix_socket};
use super::context::Context;
use super::layers::{Said, check_defaults};
use super::{http, logs};
use crate::config::address::{BindAddress, parse_bind};
use crate::config::raw::{self, Span};
use crate::diag::FieldPath;
use crate::model::Global;
use crate::model::global::{AccessLevel, HttpLimits, StatsSocket, StatsSocketAddress};
use crate::model::tls::SessionSettings;

/// HAProxy's limits on `nbthread` and `spread-checks`.
const MOST_THREADS: u32 = 256;
const WIDEST_SPREAD: u32 = 50;
/// Files the process needs beside connections: listeners, checks, logs, sockets of its own.
const FILES_OF_ITS_OWN: u64 = 128;
/// Never fewer connections than this, however few files may be open.
const LEAST_MAXCONN: u32 = 100;

/// `tune.bufsize` and `tune.maxrewrite` unless said, and what is sensible.
const USUAL_BUFSIZE: u64 = 16_384;
const USUAL_MAXREWRITE: u64 = 1_024;
const LEAST_HEAD: u64 = 1_024;
const LARGEST_BUFSIZE: u64 = 1 << 20;
const USUAL_FIELDS: u32 = 101;
const MOST_FIELDS: u32 = 32_767;
/// Fields that HTTP/2 takes in one message with some room for what rules add: the library's own limit is 24,576.
const FIELDS_AT_MOST: u32 = 24_000;

/// Of `tune.ssl.lifetime`; a ticket may live for seven days (RFC 8446 §4.6.1).
const LEAST_LIFETIME: Duration = Duration::from_secs(1);
const LONGEST_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// How often certificates on disk are looked at.
const USUAL_CERTIFICATE_WATCH: Duration = Duration::from_secs(10);
const QUICKEST_CERTIFICATE_WATCH: Duration = Duration::from_secs(1);

/// Of a runtime socket.
const USUAL_SOCKET_TIMEOUT: Duration = Duration::from_secs(10);
const USUAL_SOCKET_CONNECTIONS: u32 = 10;

pub(super) fn resolve(context: &Context<'_>) -> Global {
    check_defaults(context);
    let raw = &context.raw.global;
    let path = FieldPath::root().key("global");
    let time = |field: &str, span: &Option<Span>| {
        span.as_ref().and_then(|value| context.time(&Said { value, path: path.key(field), own: true }))
    };
    let spread = raw.spread_checks.unwrap_or(0);
    if spread > WIDEST_SPREAD {
        context.error(&path.key("spread_checks"), format!("`spread_checks` is 0 to {WIDEST_SPREAD} percent"));
    }
    let hostname = |name: &String| if name.is_empty() { context.surroundings.hostname.clone() } else { name.clone() };
    Global {
        threads: threads(context, &path),
        maxconn: maxconn(context, &path),
        logs: logs::targets(context, &path, &raw.log),
        log_hostname: raw.log_send_hostname.as_ref().map(hostname),
        log_tag: raw.log_tag.clone(),
        stats_sockets: stats_sockets(context, &path),
        stats_timeout: time("stats_timeout", &raw.stats_timeout).unwrap_or(USUAL_SOCKET_TIMEOUT),
        stats_maxconn: raw.stats_maxconn.unwrap_or(USUAL_SOCKET_CONNECTIONS),
        daemon: raw.daemon.unwrap_or(false),
        user: Account::User.resolve(context, &path, raw.user.as_deref(), raw.uid),
        group: Account::Group.resolve(context, &path, raw.group.as_deref(), raw.gid),
        chroot: directory(context, &path, raw),
        pidfile: raw.pidfile.clone(),
        node: raw.node.as_deref().map(Into::into),
        description: raw.description.clone(),
        hard_stop_after: time("hard_stop_after", &raw.hard_stop_after),
        spread_checks: u8::try_from(spread.min(WIDEST_SPREAD)).unwrap_or(0),
        limits: limits(context, &path),
        sessions: sessions(context, &path),
        certificate_watch: time("crt_watch", &raw.crt_watch).map_or(Some(USUAL_CERTIFICATE_WATCH), |every| {
            (!every.is_zero()).then_some(every.max(QUICKEST_CERTIFICATE_WATCH))
        }),
        http2_clients: http::http2(context, http::Side::Clients),
        http2_servers: http::http2(context, http::Side::Servers),
        http2_websocket: !raw.h2_workaround_bogus_websocket_clients.unwrap_or(false),
        header_case: http::header_case(context),
    }
}

fn sessions(context: &Context<'_>, path: &FieldPath) -> SessionSettings {
    let usual = SessionSettings::default();
    let Some(tune) = &context.raw.global.tune else { return usual };
    let lifetime = tune.ssl_lifetime.as_ref().and_then(|value| {
        let path = path.key("tune").key("ssl_lifetime");
        let time = context.time(&Said { value, path: path.clone(), own: true })?;
        if !(LEAST_LIFETIME..=LONGEST_LIFETIME).contains(&time) {
            context.error(&path, format!("a key makes tickets for 1s to 7d, not {}", value.0));
        }
        Some(time)
    });
    let remembered = tune.ssl_cachesize.map(|size| size as usize);
    SessionSettings { lifetime: lifetime.unwrap_or(usual.lifetime), remembered: remembered.unwrap_or(usual.remembered) }
}

fn threads(context: &Context<'_>, path: &FieldPath) -> NonZeroUsize {
    let said = context.raw.global.nbthread;
    if let Some(said) = said
        && !(1..=MOST_THREADS).contains(&said)
    {
        context.error(&path.key("nbthread"), format!("`nbthread` is 1 to {MOST_THREADS}, not {said}"));
    }
    let number = said.map_or(context.surroundings.processors, |said| said.min(MOST_THREADS) as usize);
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// As many as there may be files open: two for each connection, one to the client and one to the server.
fn maxconn(context: &Context<'_>, path: &FieldPath) -> u32 {
    match context.raw.global.maxconn {
        Some(0) => {
            context
                .error(&path.key("maxconn"), "`maxconn` 0 would let nobody in; leave it out for the machine's limit");
            LEAST_MAXCONN
        }
        Some(said) => said,
        None => {
            let files = context.raw.global.ulimit_n.unwrap_or(context.surroundings.open_files);
            let pairs = files.saturating_sub(FILES_OF_ITS_OWN) / 2;
            u32::try_from(pairs).unwrap_or(u32::MAX).max(LEAST_MAXCONN)
        }
    }
}

fn directory(context: &Context<'_>, path: &FieldPath, raw: &raw::Global) -> Option<std::path::PathBuf> {
    let chroot = raw.chroot.clone()?;
    if !chroot.is_dir() {
        context.error(&path.key("chroot"), format!("`{}` is not a directory", chroot.display()));
    }
    Some(chroot)
}

fn stats_sockets(context: &Context<'_>, path: &FieldPath) -> Vec<StatsSocket> {
    let mut sockets = Vec::new();
    for (index, raw) in context.raw.global.stats_socket.iter().enumerate() {
        let path = path.key("stats_socket").index(index);
        let level = match raw.level {
            Some(raw::AccessLevel::User) => AccessLevel::User,
            Some(raw::AccessLevel::Operator) | None => AccessLevel::Operator,
            Some(raw::AccessLevel::Admin) => AccessLevel::Admin,
        };
        match parse_bind(&raw.address) {
            Ok(addresses) => {
                let addresses = addresses.into_iter().filter_map(|address| socket(context, &path, raw, address));
                sockets.extend(addresses.map(|address| StatsSocket { address, level }));
            }
            Err(error) => tell_address(context, &path.key("address"), &error),
        }
    }
    sockets
}

fn socket(
    context: &Context<'_>,
    path: &FieldPath,
    raw: &raw::StatsSocket,
    address: BindAddress,
) -> Option<StatsSocketAddress> {
    match address {
        BindAddress::Tcp { host, port } => {
            let ip = look_up(context, &path.key("address"), &host)?;
            Some(StatsSocketAddress::Tcp(std::net::SocketAddr::new(ip, port)))
        }
        BindAddress::Unix { path: socket, is_abstract } => {
            let rights = Rights { mode: &raw.mode, user: &raw.user, group: &raw.group, uid: raw.uid, gid: raw.gid };
            unix_socket(context, path, &socket, is_abstract, &rights).map(StatsSocketAddress::Unix)
        }
    }
}

fn limits(context: &Context<'_>, path: &FieldPath) -> HttpLimits {
    let Some(tune) = &context.raw.global.tune else { return HttpLimits::default() };
    let path = path.key("tune");
    let size = |field: &str, size: &Option<raw::Size>, usual| {
        size.as_ref().and_then(|size| context.size(&path.key(field), size)).map_or(usual, |size| size.0)
    };
    let bufsize = size("bufsize", &tune.bufsize, USUAL_BUFSIZE);
    let maxrewrite = size("maxrewrite", &tune.maxrewrite, USUAL_MAXREWRITE.min(bufsize / 2));
    let head = bufsize.saturating_sub(maxrewrite);
    if bufsize > LARGEST_BUFSIZE {
        context
            .error(&path.key("bufsize"), format!("`bufsize` is at most {}", crate::units::ByteSize(LARGEST_BUFSIZE)));
    } else if head < LEAST_HEAD {
        let told =
            format!("{head} bytes are left for a request's head; it needs {LEAST_HEAD} (bufsize less maxrewrite)");
        context.error(&path.key(if tune.bufsize.is_some() { "bufsize" } else { "maxrewrite" }), told);
    }
    let fields = tune.http_maxhdr.unwrap_or(USUAL_FIELDS);
    if !(1..=MOST_FIELDS).contains(&fields) {
        context.error(&path.key("http_maxhdr"), format!("`http_maxhdr` is 1 to {MOST_FIELDS}, not {fields}"));
    } else if fields > FIELDS_AT_MOST {
        let told = format!(
            "heads of more than {FIELDS_AT_MOST} fields are refused, whatever `http_maxhdr` says: HTTP/2 takes no more"
        );
        context.warn(&path.key("http_maxhdr"), "maxhdr-too-high", told);
    }
    let fields = fields.min(FIELDS_AT_MOST);
    let target = size("http_max_uri", &tune.http_max_uri, head).min(head);
    if target == 0 {
        context.error(&path.key("http_max_uri"), "`http_max_uri` 0 would refuse every request");
    }
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    HttpLimits { head: bytes(head), fields: fields as usize, target: bytes(target) }
}
