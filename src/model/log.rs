//! Where log lines go and what they look like (HAProxy manual 4.2 `log`, chapter 8).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// One `log` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogTarget {
    pub address: LogAddress,
    pub framing: LogFraming,
    pub facility: Facility,
    /// Messages less important than this are not sent.
    pub level: Level,
    /// Messages more important than this are sent as this.
    pub min_level: Level,
    /// Bytes of one line; longer ones are cut (`len`, default 1024).
    pub max_len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LogAddress {
    Stdout,
    Stderr,
    /// Appended to; reopened when moved away.
    File(PathBuf),
    SyslogUdp(SocketAddr),
    /// A datagram socket such as `/dev/log`.
    SyslogUnix(PathBuf),
}

impl std::fmt::Display for LogAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogAddress::Stdout => f.write_str("stdout"),
            LogAddress::Stderr => f.write_str("stderr"),
            LogAddress::File(path) | LogAddress::SyslogUnix(path) => path.display().fmt(f),
            LogAddress::SyslogUdp(address) => address.fmt(f),
        }
    }
}

/// `format` of a log line (HAProxy manual 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LogFraming {
    /// RFC 3164 without the host name: HAProxy's default, unless `log-send-hostname` is set.
    Local,
    Rfc3164,
    Rfc5424,
    /// The message alone.
    Raw,
    /// `<level>` and the message, as systemd reads it from stderr.
    Short,
    /// `<facility*8+level>` and the message.
    Priority,
    /// Level, time and message for a person: the native default on a terminal.
    Timed,
    /// Time and message.
    Iso,
}

/// RFC 5424 §6.2.1; `local0` is 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facility(pub u8);

/// RFC 5424 §6.2.1; a lower number is more important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Emerg = 0,
    Alert = 1,
    Crit = 2,
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Level {
    /// As configurations name them.
    pub const NAMES: [(&str, Level); 8] = [
        ("emerg", Level::Emerg),
        ("alert", Level::Alert),
        ("crit", Level::Crit),
        ("err", Level::Err),
        ("warning", Level::Warning),
        ("notice", Level::Notice),
        ("info", Level::Info),
        ("debug", Level::Debug),
    ];
}

/// What one proxy logs.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogSettings {
    /// Empty: this proxy logs nothing.
    pub targets: Arc<[LogTarget]>,
    /// `log-tag`: the program's name in its lines, if not that of `global`.
    pub tag: Option<String>,
    pub format: LogFormat,
    /// `option dontlognull`: a connection that sent nothing is not logged.
    pub dont_log_null: bool,
    /// `option dontlog-normal`: only what went wrong.
    pub dont_log_normal: bool,
    /// Request header fields captured into `{}` (`capture request header NAME len N`).
    pub request_captures: Arc<[Capture]>,
    pub response_captures: Arc<[Capture]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capture {
    pub header: String,
    /// In bytes; longer values are cut.
    pub max_len: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// HAProxy's line without any `option …log`: `Connect from …`.
    #[default]
    Connect,
    /// `option tcplog` (manual 8.2.2).
    Tcp,
    /// `option httplog` (manual 8.2.3).
    Http,
    /// One JSON object a line, the same facts named.
    Json,
}
