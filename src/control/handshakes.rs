//! Which failed TLS handshakes with servers are worth a line in the log? Pure: the time is a parameter.
//!
//! Checks say why they failed. A request says no more than `SC`, and where nobody checks a server its log is all there is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::Name;

/// The same of the same server is told again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Servers and reasons remembered; further ones are not told until one of these is old.
const MOST: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Handshakes {
    told: HashMap<(Name, Name, Box<str>), Instant>,
}

impl Handshakes {
    /// The line to tell of a handshake that failed for this reason, unless it was told a short while ago.
    pub fn failed(&mut self, backend: &Name, server: &Name, why: Box<str>, now: Instant) -> Option<String> {
        let is_fresh = |told: &Instant| now.saturating_duration_since(*told) < AGAIN_AFTER;
        let key = (Name::clone(backend), Name::clone(server), why);
        if self.told.get(&key).is_some_and(is_fresh) {
            return None;
        }
        if self.told.len() >= MOST {
            self.told.retain(|_, told| is_fresh(told));
        }
        if self.told.len() >= MOST {
            return None;
        }
        let text = format!("server {backend}/{server}: SSL handshake failure ({})", key.2);
        self.told.insert(key, now);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failures as `second server reason`, and in which of these seconds a line was told.
    #[track_caller]
    fn check(failures: &str, expected: &[u64]) {
        let mut handshakes = Handshakes::default();
        let start = Instant::now();
        let mut told = Vec::new();
        for failure in failures.split(", ") {
            let [second, server, why] = failure.split(' ').collect::<Vec<_>>()[..] else { panic!("{failure}") };
            let second = second.parse().unwrap();
            let line = handshakes.failed(&"b".into(), &server.into(), why.into(), start + Duration::from_secs(second));
            if let Some(line) = line {
                assert_eq!(line, format!("server b/{server}: SSL handshake failure ({why})"));
                told.push(second);
            }
        }
        assert_eq!(told, expected, "{failures}");
    }

    #[test]
    fn each_reason_is_told_once_a_minute() {
        check("1 s expired, 2 s expired, 60 s expired, 61 s expired, 62 s expired", &[1, 61]);
        check("1 s expired, 2 t expired, 3 s revoked, 4 t expired", &[1, 2, 3]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut handshakes = Handshakes::default();
        let start = Instant::now();
        let mut told = |number: usize, now| {
            handshakes.failed(&"b".into(), &format!("s{number}").as_str().into(), "expired".into(), now).is_some()
        };
        assert_eq!((0..2 * MOST).filter(|number| told(*number, start)).count(), MOST);
        assert!(told(2 * MOST, start + AGAIN_AFTER));
        assert_eq!(handshakes.told.len(), 1);
    }
}
