//! Where does a proxy log to, and what? (HAProxy manual 4.2 `log`, `option httplog`, `capture`)

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::context::{Context, Section};
use crate::config::raw;
use crate::diag::{Diagnostic, FieldPath};
use crate::model::Mode;
use crate::model::log::{Capture, Facility, Level, LogAddress, LogFormat, LogFraming, LogSettings, LogTarget};

/// Syslog's own port (RFC 5426).
const SYSLOG_PORT: u16 = 514;
/// Bytes of one line unless said; HAProxy's default and limits.
const USUAL_LEN: u32 = 1_024;
const SHORTEST_LEN: u32 = 80;
const LONGEST_LEN: u32 = 65_535;
/// Bytes of one captured value that may be asked for.
const LONGEST_CAPTURE: u32 = 65_535;

/// RFC 5424 §6.2.1 with HAProxy's names; the place is the number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp", "audit",
    "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const FRAMINGS: [(&str, LogFraming); 8] = [
    ("local", LogFraming::Local),
    ("rfc3164", LogFraming::Rfc3164),
    ("rfc5424", LogFraming::Rfc5424),
    ("raw", LogFraming::Raw),
    ("short", LogFraming::Short),
    ("priority", LogFraming::Priority),
    ("timed", LogFraming::Timed),
    ("iso", LogFraming::Iso),
];
/// `local0`
const USUAL_FACILITY: u8 = 16;

/// One list of targets; those with an error are left out after it was told.
pub(super) fn targets(context: &Context<'_>, path: &FieldPath, targets: &[raw::LogTarget]) -> Vec<LogTarget> {
    let path = path.key("log");
    let each = targets.iter().enumerate().map(|(index, raw)| target(context, &path.index(index), raw));
    each.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn target(context: &Context<'_>, path: &FieldPath, raw: &raw::LogTarget) -> Option<LogTarget> {
    let address = address(context, &path.key("to"), &raw.to);
    let usual = match address {
        Some(LogAddress::Stdout | LogAddress::Stderr | LogAddress::File(_)) => LogFraming::Timed,
        // Manual 3.1 `log`: naming a host name in lines switches to the form that has one.
        _ if context.raw.global.log_send_hostname.is_some() => LogFraming::Rfc3164,
        _ => LogFraming::Local,
    };
    let word = |field: &str, word: &Option<String>, known: &[(&'static str, Level)]| {
        word.as_deref().map(|word| choose(context, &path.key(field), word, known))
    };
    let level = word("level", &raw.level, &Level::NAMES).unwrap_or(Some(Level::Debug));
    let min_level = word("min_level", &raw.min_level, &Level::NAMES).unwrap_or(Some(Level::Emerg));
    let framing = raw.format.as_deref().map(|word| choose(context, &path.key("format"), word, &FRAMINGS));
    let facility = raw.facility.as_deref().map(|word| {
        let known: Vec<(&str, u8)> = FACILITIES.iter().copied().zip(0..).collect();
        choose(context, &path.key("facility"), word, &known)
    });
    let len = raw.len.unwrap_or(USUAL_LEN);
    if !(SHORTEST_LEN..=LONGEST_LEN).contains(&len) {
        context.error(&path.key("len"), format!("a line's length is {SHORTEST_LEN} to {LONGEST_LEN} bytes, not {len}"));
    }
    Some(LogTarget {
        address: address?,
        framing: framing.unwrap_or(Some(usual))?,
        facility: Facility(facility.unwrap_or(Some(USUAL_FACILITY))?),
        level: level?,
        min_level: min_level?,
        max_len: len as usize,
    })
}

fn choose<T: Copy>(context: &Context<'_>, path: &FieldPath, word: &str, known: &[(&'static str, T)]) -> Option<T> {
    let found = known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let told = Diagnostic::error(format!("`{word}` is none of {}", names.join(", ")));
        context.tell(path, told.suggest(word, names.iter().copied()));
    }
    found
}

fn address(context: &Context<'_>, path: &FieldPath, text: &str) -> Option<LogAddress> {
    let plain = text.strip_prefix("udp@").or_else(|| text.strip_prefix("unix@")).unwrap_or(text);
    match plain {
        "stdout" | "fd@1" => return Some(LogAddress::Stdout),
        "stderr" | "fd@2" => return Some(LogAddress::Stderr),
        "" => {
            context.error(path, "a log target is missing: stdout, stderr, file:/path, a syslog address or socket");
            return None;
        }
        _ => {}
    }
    if let Some(file) = plain.strip_prefix("file:") {
        return Some(LogAddress::File(PathBuf::from(file)));
    }
    if plain.starts_with('/') || text.starts_with("unix@") {
        warn_of_no_socket(context, path, Path::new(plain));
        return Some(LogAddress::SyslogUnix(PathBuf::from(plain)));
    }
    if let Some((family, _)) = plain.split_once('@')
        && !matches!(family, "ipv4" | "ipv6" | "udp4" | "udp6")
    {
        context.error(path, format!("logging to `{family}@` is known but not built yet"));
        return None;
    }
    let plain = plain.rsplit('@').next().unwrap_or(plain);
    syslog_address(plain).map_or_else(
        || {
            context.error(path, format!("`{text}` is no log target: it cannot be resolved to an address"));
            None
        },
        |address| Some(LogAddress::SyslogUdp(address)),
    )
}

/// A path alone is syslog's socket, as in haproxy.cfg; who writes one may mean a file. One that is missing may come with
/// syslog's start, unless its name says otherwise.
fn warn_of_no_socket(context: &Context<'_>, path: &FieldPath, target: &Path) {
    let (means_file, what) = match std::fs::metadata(target) {
        Ok(metadata) => (!metadata.file_type().is_socket(), "is no socket"),
        Err(_) => (target.extension().is_some_and(|ending| ending == "log"), "is not there"),
    };
    if means_file {
        let target = target.display();
        let told = format!("a path alone is a syslog socket, and `{target}` {what}: nothing will be logged there");
        let told = Diagnostic::warning(told).code("log-to-no-socket");
        context.tell(path, told.hint(format!("a file is written `file:{target}`")));
    }
}

/// An address or name, with or without a port.
fn syslog_address(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some(SocketAddr::new(ip, SYSLOG_PORT));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, SYSLOG_PORT),
    };
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some(SocketAddr::new(ip, port));
    }
    (host, port).to_socket_addrs().ok()?.next()
}

/// What one proxy logs. `global` are the targets of the global section.
pub(super) fn settings(context: &Context<'_>, section: &Section<'_>, global: &[LogTarget]) -> LogSettings {
    let layers = &section.layers;
    let mut collected: Vec<LogTarget> = Vec::new();
    let mut with_global = false;
    for layer in layers.iter().rev() {
        if layer.proxy.no_log == Some(true) {
            collected.clear();
            with_global = false;
        }
        with_global = layer.proxy.log_global.unwrap_or(with_global);
        collected.extend(targets(context, &layer.path, &layer.proxy.log));
    }
    if with_global {
        collected.splice(0..0, global.iter().cloned());
    }
    let own = section.own();
    LogSettings {
        targets: collected.into(),
        tag: layers.said("log_tag", |proxy| proxy.log_tag.as_ref()).map(|said| said.value.clone()),
        format: format(context, section),
        dont_log_null: layers.value(|proxy| proxy.dontlognull.as_ref()).unwrap_or(false),
        dont_log_normal: layers.value(|proxy| proxy.dontlog_normal.as_ref()).unwrap_or(false),
        request_captures: captures(context, &section.path, "capture_request_header", &own.capture_request_header),
        response_captures: captures(context, &section.path, "capture_response_header", &own.capture_response_header),
    }
}

/// A TCP proxy knows no requests: `option httplog` writes TCP lines there, in HAProxy as here.
fn format(context: &Context<'_>, section: &Section<'_>) -> LogFormat {
    let Some(said) = section.layers.said("log_format", |proxy| proxy.log_format.as_ref()) else {
        return LogFormat::default();
    };
    match (said.value, section.mode) {
        (raw::LogFormat::Http, Mode::Tcp) if section.kind != raw::ProxyKind::Backend => {
            let told = format!("{} is in mode tcp and has no requests to log; it writes TCP lines", section.title());
            let told = Diagnostic::warning(told).code("httplog-in-tcp");
            context.tell(&said.path, told.hint("write `option tcplog` there, or `mode http`"));
            LogFormat::Tcp
        }
        (raw::LogFormat::Http, Mode::Tcp) | (raw::LogFormat::Tcp, _) => LogFormat::Tcp,
        (raw::LogFormat::Http, Mode::Http) => LogFormat::Http,
        (raw::LogFormat::Connect, _) => LogFormat::Connect,
        (raw::LogFormat::Json, _) => LogFormat::Json,
    }
}

fn captures(context: &Context<'_>, path: &FieldPath, field: &str, raw: &[raw::Capture]) -> std::sync::Arc<[Capture]> {
    let path = path.key(field);
    for (index, capture) in raw.iter().enumerate() {
        if capture.name.is_empty() {
            context.error(&path.index(index).key("name"), "the name of a header field is missing");
        }
        if !(1..=LONGEST_CAPTURE).contains(&capture.len) {
            let told = format!("the length of a captured value is 1 to {LONGEST_CAPTURE} bytes, not {}", capture.len);
            context.error(&path.index(index).key("len"), told);
        }
    }
    raw.iter().map(|raw| Capture { header: raw.name.clone(), max_len: raw.len as usize }).collect()
}
