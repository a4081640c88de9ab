//! What has a client sent so far, for rules that look at a TCP session before anybody answers it? (HAProxy manual 7.3.5)

use std::cell::OnceCell;

use super::Value;
use crate::http::{Progress, RequestHead};
use crate::model::global::HttpLimits;
use crate::model::rule::Fetch;
use crate::wire::client_hello::{self, ClientHello, Parsed, Ticket};

/// Nothing is taken out: whoever is connected in the end gets every byte.
#[derive(Debug)]
pub(crate) struct FirstBytes<'a> {
    bytes: &'a [u8],
    /// No more will come, or none is waited for: what is not known now never will be.
    is_all: bool,
    hello: OnceCell<Option<Parsed>>,
}

impl<'a> FirstBytes<'a> {
    pub fn new(bytes: &'a [u8], is_all: bool) -> Self {
        FirstBytes { bytes, is_all, hello: OnceCell::new() }
    }

    /// Whether more bytes could give this fetch another value. What they cannot change is decided at once, so that a
    /// client is not kept waiting.
    pub(super) fn may_change(&self, fetch: &Fetch) -> bool {
        !self.is_all
            && match fetch {
                Fetch::HelloType
                | Fetch::HelloServerName
                | Fetch::HelloVersion
                | Fetch::HelloAlpn
                | Fetch::HelloGroups
                | Fetch::HelloTicket => matches!(self.parsed(), Some(Parsed::NeedMore)),
                Fetch::FirstLength | Fetch::WaitEnd => true,
                Fetch::FirstPayload { offset, length } => {
                    *length == 0 || self.bytes.len() < offset.saturating_add(*length)
                }
                Fetch::SpeaksHttp => http_progress(self.bytes) == Some(Progress::Partial),
                _ => false,
            }
    }

    /// `None` when these bytes are no ClientHello.
    fn parsed(&self) -> Option<&Parsed> {
        self.hello.get_or_init(|| client_hello::parse(self.bytes).ok()).as_ref()
    }

    fn hello(&self) -> Option<&ClientHello> {
        match self.parsed()? {
            Parsed::Complete(hello) => Some(hello),
            Parsed::NeedMore => None,
        }
    }

    /// The value of a fetch that is about these bytes.
    pub(super) fn value(&self, fetch: &Fetch) -> Option<Value<'_>> {
        Some(match fetch {
            Fetch::HelloType => self.hello().map(|_| Value::Integer(1))?,
            Fetch::HelloServerName => Value::text(self.hello()?.server_name.as_deref()?),
            Fetch::HelloVersion => {
                let version = i64::from(self.hello()?.legacy_version);
                Value::Integer((version >> 8) << 16 | version & 0xff)
            }
            // Of several the first, which the client likes best (run against HAProxy 2.6).
            Fetch::HelloAlpn => Value::text(self.hello()?.alpn.first()?),
            Fetch::HelloGroups => Value::Boolean(self.hello()?.has_groups()),
            Fetch::HelloTicket => Value::Integer(match self.hello()?.ticket {
                Ticket::Absent => 0,
                Ticket::Empty => 1,
                Ticket::Present => 2,
            }),
            Fetch::FirstLength => Value::Integer(i64::try_from(self.bytes.len()).unwrap_or(i64::MAX)),
            Fetch::FirstPayload { offset, length: 0 } => Value::text(self.bytes.get(*offset..)?),
            Fetch::FirstPayload { offset, length } => Value::text(self.bytes.get(*offset..)?.get(..*length)?),
            Fetch::WaitEnd => Value::Boolean(self.is_all),
            Fetch::SpeaksHttp => Value::Boolean(http_progress(self.bytes) == Some(Progress::Complete)),
            _ => return None,
        })
    }
}

/// How far these bytes are the head of an HTTP/1 request; `None` when they are none.
fn http_progress(bytes: &[u8]) -> Option<Progress> {
    let mut head = RequestHead::new();
    head.input().extend_from_slice(bytes);
    head.parse(&HttpLimits::default()).ok()
}
