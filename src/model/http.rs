//! How HTTP is spoken: which version where, the limits of HTTP/2, spellings for old applications.

use std::collections::BTreeMap;

/// What the clients of a listener speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientProtocol {
    /// What TLS agreed on; where it agreed on nothing, HTTP/2 for those whose first bytes are its preface
    /// (RFC 9113 §3.4) and HTTP/1 for all others. HAProxy's default.
    Detected,
    /// What TLS agreed on, else HTTP/1: `option disable-h2-upgrade`.
    Negotiated,
    Http1,
    Http2,
}

/// What is spoken to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ServerProtocol {
    Http1,
    Http2,
    /// What TLS agrees on (`alpn h2,http/1.1`), HTTP/1 if nothing.
    Negotiated,
}

/// HTTP/2 on one side, the clients' or the servers' (`tune.h2.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Http2Limits {
    /// Requests at once on one connection.
    pub streams: u32,
    /// Bytes of one body that may be under way to us.
    pub stream_window: u32,
    /// The same for all bodies of one connection together.
    pub connection_window: u32,
    /// Bytes of the largest frame taken.
    pub frame: u32,
    /// Bytes of the table that header fields are compressed with.
    pub header_table: u32,
    /// Requests after which a connection takes no more.
    pub total_streams: Option<u32>,
    /// Frames that carry nothing a peer may be ahead of those that do; see [`crate::wire::http2_frames`].
    pub glitches: u32,
}

impl Http2Limits {
    /// HAProxy's default (`tune.h2.max-concurrent-streams`).
    pub const USUAL_STREAMS: u32 = 100;
    /// Four times HAProxy's default: uploads over long distances need it, and buffers are lent, not kept.
    pub const USUAL_STREAM_WINDOW: u32 = 256 * 1024;
    /// Of clients. A server's connection serves many clients, so there it is as large as the windows of all its streams: a
    /// client that does not read must not stop the others.
    pub const USUAL_CONNECTION_WINDOW: u32 = 1024 * 1024;
    /// The least the protocol allows (RFC 9113 §6.5.2), and HAProxy's default.
    pub const USUAL_FRAME: u32 = 16 * 1024;
    pub const USUAL_HEADER_TABLE: u32 = 4096;
    pub const USUAL_GLITCHES: u32 = 1000;
    /// The largest window there is (RFC 9113 §6.9.1).
    pub const LARGEST_WINDOW: u32 = (1 << 31) - 1;

    /// A connection window in which streams cannot be in each other's way.
    pub fn window_of_all(streams: u32, stream_window: u32) -> u32 {
        streams.saturating_mul(stream_window).clamp(Self::USUAL_CONNECTION_WINDOW, Self::LARGEST_WINDOW)
    }
}

impl Http2Limits {
    pub fn of_servers() -> Self {
        let window = Self::window_of_all(Self::USUAL_STREAMS, Self::USUAL_STREAM_WINDOW);
        Http2Limits { connection_window: window, ..Http2Limits::default() }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Http2Limits {
            streams: Http2Limits::USUAL_STREAMS,
            stream_window: Http2Limits::USUAL_STREAM_WINDOW,
            connection_window: Http2Limits::USUAL_CONNECTION_WINDOW,
            frame: Http2Limits::USUAL_FRAME,
            header_table: Http2Limits::USUAL_HEADER_TABLE,
            total_streams: None,
            glitches: Http2Limits::USUAL_GLITCHES,
        }
    }
}

/// Spellings of field names that old applications insist on (`h1-case-adjust`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderCase {
    /// By the name in lower case. Both differ in case only, so a name can be overwritten where it stands.
    names: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl HeaderCase {
    /// Adds a spelling. `false`, and nothing is added, when the two differ in more than case.
    pub fn add(&mut self, from: &str, to: &str) -> bool {
        let fits = from.eq_ignore_ascii_case(to);
        if fits {
            self.names.insert(from.to_ascii_lowercase().into_bytes().into(), to.as_bytes().into());
        }
        fits
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name.to_ascii_lowercase().as_bytes())
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The spelling wanted, if one is. The name's own case does not matter.
    pub fn spelling(&self, name: &[u8]) -> Option<&[u8]> {
        self.names.get(name.to_ascii_lowercase().as_slice()).map(|spelling| &**spelling)
    }
}
