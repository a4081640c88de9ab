//! What does the service manager hear? systemd's readiness protocol (sd_notify(3)): datagrams to `$NOTIFY_SOCKET`.
//!
//! Without that variable nothing is sent and nothing fails: the same program runs in a terminal and as a service.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;
use std::{io, process};

use rustix::time::{ClockId, clock_gettime};

/// How often the control loop says that it turns.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// The line to the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`; `variable` looks one up. Connected at once, so that
    /// it also works behind a chroot.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` is set and cannot be reached: the manager would wait for nothing.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let Some(path) = variable("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Ok(Notifier::default());
        };
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(Path::new(&path))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        let number = |name| variable(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
        let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| for_us && *usec > 0).map(Duration::from_micros);
        Ok(Notifier { socket: Some(socket), watchdog })
    }

    /// What the operator must know of the watchdog: signs of life come every second, which must be often enough.
    pub fn warning(&self) -> Option<String> {
        let limit = self.watchdog.filter(|limit| *limit < SIGN_OF_LIFE * 2)?;
        Some(format!("the watchdog waits {} ms, which is too short; set WatchdogSec=2 or more", limit.as_millis()))
    }

    /// Serving, at start or after a reload.
    pub fn ready(&self) {
        self.send(&format!("READY=1\nMAINPID={}", process::id()));
    }

    /// A reload begins. The time lets the manager tell this reload's [`Self::ready`] from an earlier one (`Type=notify-reload`).
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// One line that `systemctl status` shows.
    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// The control loop turns; to be called every second.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, message: &str) {
        // A manager that does not read cannot be told; the next message says all that still matters.
        let _ = self.socket.as_ref().map(|socket| socket.send(message.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(address: &SocketAddr) -> UnixDatagram {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn next(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn speaks_to_an_abstract_socket() {
        let name = format!("lockgate-notify-{}", process::id());
        let manager = receiver(&SocketAddr::from_abstract_name(&name).unwrap());
        let notifier = Notifier::from_environment(|variable| match variable {
            "NOTIFY_SOCKET" => Some(format!("@{name}").into()),
            "WATCHDOG_USEC" => Some("3000000".into()),
            _ => None,
        });
        let notifier = notifier.unwrap();
        notifier.ready();
        assert_eq!(next(&manager), format!("READY=1\nMAINPID={}", process::id()));
        notifier.reloading();
        let reloading = next(&manager);
        let usec = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(usec.parse::<u64>().is_ok(), "{reloading}");
        notifier.status("2 backends\nup");
        assert_eq!(next(&manager), "STATUS=2 backends up");
        notifier.alive();
        assert_eq!(next(&manager), "WATCHDOG=1");
        assert_eq!(notifier.warning(), None);
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let name = format!("lockgate-watchdog-{}", process::id());
        let manager = receiver(&SocketAddr::from_abstract_name(&name).unwrap());
        let notifier = Notifier::from_environment(|variable| match variable {
            "NOTIFY_SOCKET" => Some(format!("@{name}").into()),
            "WATCHDOG_USEC" => Some("3000000".into()),
            "WATCHDOG_PID" => Some("1".into()),
            _ => None,
        });
        let notifier = notifier.unwrap();
        notifier.alive();
        notifier.stopping();
        assert_eq!(next(&manager), "STOPPING=1");
    }

    #[test]
    fn is_silent_without_a_manager_and_fails_on_a_dead_one() {
        assert!(Notifier::from_environment(|_| None).is_ok_and(|notifier| notifier.socket.is_none()));
        assert!(Notifier::from_environment(|_| Some("/nonexistent/notify".into())).is_err());
    }
}
