//! Heads and facts for this directory's tests.

use std::time::{Duration, SystemTime};

use super::Facts;
use crate::http::{Progress, RequestHead, ResponseHead, ResponseTo};
use crate::model::BackendId;
use crate::model::global::HttpLimits;

pub(crate) fn request(text: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    head.input().extend_from_slice(text);
    let limits = HttpLimits::default();
    assert_eq!(head.parse(&limits).ok(), Some(Progress::Complete), "{}", String::from_utf8_lossy(text));
    head
}

pub(crate) fn response(text: &[u8]) -> ResponseHead {
    let mut head = ResponseHead::new();
    head.input().extend_from_slice(text);
    let limits = HttpLimits::default();
    assert_eq!(
        head.parse(&limits, ResponseTo::Other).ok(),
        Some(Progress::Complete),
        "{}",
        String::from_utf8_lossy(text)
    );
    head
}

/// A client on 127.0.0.1 of frontend `web` on port 9590; backend 0 has two usable servers.
pub(crate) fn facts() -> Facts<'static> {
    Facts {
        src: "127.0.0.1:45672".parse().ok(),
        dst: "127.0.0.1:9590".parse().ok(),
        tls: None,
        frontend: "web",
        backend: None,
        server: None,
        hostname: "proxy1",
        pid: 77,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_174_334),
        unique_id: None,
        told: None,
        first_bytes: None,
        usable_servers: &|backend| if backend == BackendId(0) { 2 } else { 0 },
    }
}
