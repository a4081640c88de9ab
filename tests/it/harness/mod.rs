//! What the stories are told with: origins that can be scripted, proxies within the test and processes of the
//! built program, raw clients, and waiting with a deadline.
//!
//! Nothing here sleeps for luck: whoever waits names what for, and fails with what was seen instead.

mod client;
mod http2;
mod instance;
mod origin;
mod peers;
mod pki;
mod ports;
mod process;
mod proxy;
mod site;
mod temp;

pub use client::{Client, Response, get, get_with};
pub use http2::{Http2Origin, Manners, connect as http2_connect, tell, whole};
pub use instance::Instance;
pub use origin::{Origin, Received, Reply};
pub use peers::{Haproxy, curl, run_tool, tool_output};
pub use pki::{Authority, Key};
pub use ports::Ports;
pub use process::{Process, check_config, lockgate};
pub use proxy::Proxy;
pub use site::Site;
pub use temp::{TempDir, certificate, certificate_valid};

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before the story has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Pause between two looks at something that cannot wake us.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `look` gives something.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(POLL);
    }
}
