//! What stands in front of a log message on its way out: priority, date, host and process (HAProxy manual 4.2,
//! `log … format`; spelling checked against HAProxy 2.6).

use std::time::SystemTime;

use super::date::{DateCache, DateStyle};
use crate::model::log::{Facility, Level, LogFraming};

/// Who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogIdentity {
    /// `log-send-hostname`. `None` prints `localhost` in RFC 3164 and `-` in RFC 5424 lines, as HAProxy does.
    pub hostname: Option<String>,
    /// `log-tag`.
    pub tag: String,
    pub pid: u32,
}

/// How one target wants its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameStyle {
    pub framing: LogFraming,
    pub facility: Facility,
    /// In bytes, header included, the line end not.
    pub max_len: usize,
}

/// Frames messages; holds the dates of the last second.
#[derive(Debug)]
pub(crate) struct Framer {
    syslog: DateCache,
    iso: DateCache,
}

impl Framer {
    pub const fn new() -> Self {
        Framer { syslog: DateCache::new(DateStyle::Syslog), iso: DateCache::new(DateStyle::Iso) }
    }

    /// Appends one line, `\n` included. A longer message is cut; line breaks within become spaces, so that nobody can
    /// write a line of his own.
    #[allow(clippy::too_many_arguments)] // one flat call on the hot path
    pub fn frame(
        &mut self,
        style: FrameStyle,
        identity: &LogIdentity,
        level: Level,
        at: SystemTime,
        offset: impl FnOnce(i64) -> i32,
        message: &[u8],
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let level = level as u8;
        let priority = u16::from(style.facility.0) * 8 + u16::from(level);
        match style.framing {
            LogFraming::Raw => {}
            LogFraming::Short => push_priority(level.into(), out),
            LogFraming::Priority => push_priority(priority, out),
            LogFraming::Iso => {
                self.iso.append(at, offset, out);
                out.push(b' ');
            }
            LogFraming::Timed => {
                push_priority(level.into(), out);
                self.iso.append(at, offset, out);
                out.push(b' ');
            }
            LogFraming::Local | LogFraming::Rfc3164 => {
                push_priority(priority, out);
                self.syslog.append(at, offset, out);
                out.push(b' ');
                if style.framing == LogFraming::Rfc3164 {
                    out.extend_from_slice(identity.hostname.as_deref().unwrap_or("localhost").as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(identity.tag.as_bytes());
                out.push(b'[');
                out.extend_from_slice(itoa::Buffer::new().format(identity.pid).as_bytes());
                out.extend_from_slice(b"]: ");
            }
            LogFraming::Rfc5424 => {
                push_priority(priority, out);
                out.extend_from_slice(b"1 ");
                self.iso.append(at, offset, out);
                out.push(b' ');
                out.extend_from_slice(identity.hostname.as_deref().unwrap_or("-").as_bytes());
                out.push(b' ');
                out.extend_from_slice(identity.tag.as_bytes());
                out.push(b' ');
                out.extend_from_slice(itoa::Buffer::new().format(identity.pid).as_bytes());
                out.extend_from_slice(b" - - ");
            }
        }
        let header = out.len() - start;
        let room = style.max_len.saturating_sub(header).min(message.len());
        let message_start = out.len();
        out.extend_from_slice(&message[..room]);
        if memchr::memchr2(b'\n', b'\r', &out[message_start..]).is_some() {
            for byte in &mut out[message_start..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        out.push(b'\n');
    }
}

fn push_priority(priority: u16, out: &mut Vec<u8>) {
    out.push(b'<');
    out.extend_from_slice(itoa::Buffer::new().format(priority).as_bytes());
    out.push(b'>');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(framing: LogFraming, hostname: Option<&str>, max_len: usize, message: &str, expected: &str) {
        let identity = LogIdentity { hostname: hostname.map(str::to_string), tag: "haproxy".to_string(), pid: 16865 };
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_172_508_067_625);
        let mut out = Vec::new();
        let style = FrameStyle { framing, facility: Facility(16), max_len };
        Framer::new().frame(style, &identity, Level::Info, at, |_| 0, message.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn frames_as_haproxy_does() {
        use LogFraming::*;
        check(Local, None, 1024, "Hi", "<134>Nov 20 11:01:48 haproxy[16865]: Hi\n");
        check(Rfc3164, None, 1024, "Hi", "<134>Nov 20 11:01:48 localhost haproxy[16865]: Hi\n");
        check(Rfc3164, Some("me"), 1024, "Hi", "<134>Nov 20 11:01:48 me haproxy[16865]: Hi\n");
        check(Rfc5424, None, 1024, "Hi", "<134>1 2026-11-20T11:01:48.067625+00:00 - haproxy 16865 - - Hi\n");
        check(Rfc5424, Some("me"), 1024, "Hi", "<134>1 2026-11-20T11:01:48.067625+00:00 me haproxy 16865 - - Hi\n");
        check(Raw, None, 1024, "Hi", "Hi\n");
        check(Short, None, 1024, "Hi", "<6>Hi\n");
        check(Priority, None, 1024, "Hi", "<134>Hi\n");
        check(Timed, None, 1024, "Hi", "<6>2026-11-20T11:01:48.067625+00:00 Hi\n");
        check(Iso, None, 1024, "Hi", "2026-11-20T11:01:48.067625+00:00 Hi\n");
    }

    #[test]
    fn cuts_long_lines_header_included() {
        check(LogFraming::Priority, None, 8, "abcdef", "<134>abc\n");
        check(LogFraming::Rfc5424, None, 3, "abc", "<134>1 2026-11-20T11:01:48.067625+00:00 - haproxy 16865 - - \n");
    }

    #[test]
    fn a_message_cannot_start_a_line_of_its_own() {
        check(LogFraming::Short, None, 100, "a\r\n<0>b", "<6>a  <0>b\n");
    }
}
