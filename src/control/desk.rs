//! Where questions from outside are answered: stats pages and metrics that workers hand up, and lines of the runtime
//! socket. The controller decides; the desk keeps what only its visitors need.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rustls::crypto::SecureRandom;

use super::Controller;
use super::stats::Report;
use super::stats::live::Live;

/// Bytes of a token or a nonce: more than anyone can guess.
const SECRET_BYTES: usize = 16;

pub(crate) struct Desk {
    pub(super) live: Live,
    random: &'static dyn SecureRandom,
    token: String,
    idle: IdleMeter,
}

impl Desk {
    /// `workers` is how many threads could be busy at once.
    pub fn new(random: &'static dyn SecureRandom, workers: usize, now: Instant) -> Self {
        Desk {
            live: Live::default(),
            random,
            token: secret(random),
            idle: IdleMeter::new(workers, processor_time(), now),
        }
    }

    /// What a form from this process's own page brings back. It outlives reloads.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// A new one for each page.
    pub(super) fn nonce(&self) -> String {
        secret(self.random)
    }
}

impl Controller {
    /// Everything as it is now.
    pub(in crate::control) fn report(&self, now: Instant) -> Report {
        Report::gather(self, self.desk.idle.percent(), now)
    }

    /// Once a second: measures, and tells those who watch the page what changed.
    pub(super) fn tick_desk(&mut self, now: Instant) {
        self.desk.idle.sample(processor_time(), now);
        if self.desk.live.is_empty() {
            return;
        }
        let report = self.report(now);
        if report.process.stopping {
            self.desk.live.close();
        } else {
            self.desk.live.tell(&report);
        }
    }
}

/// Hexadecimal digits nobody can guess.
fn secret(random: &dyn SecureRandom) -> String {
    let mut bytes = [0; SECRET_BYTES];
    if random.fill(&mut bytes).is_err() {
        // An empty token matches nothing.
        tracing::error!("the system gives no random numbers; forms of the stats page are refused");
        return String::new();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How much of the processors' time was left unused during the last second?
struct IdleMeter {
    workers: u32,
    last: (Duration, Instant),
    percent: u32,
}

impl IdleMeter {
    fn new(workers: usize, used: Duration, now: Instant) -> Self {
        IdleMeter { workers: u32::try_from(workers.max(1)).unwrap_or(u32::MAX), last: (used, now), percent: 100 }
    }

    /// `used` is the processor time of the whole process so far.
    fn sample(&mut self, used: Duration, now: Instant) {
        let (used_before, before) = self.last;
        let elapsed = now.saturating_duration_since(before);
        if elapsed.is_zero() {
            return;
        }
        let busy = used.saturating_sub(used_before).as_secs_f64() / (elapsed.as_secs_f64() * f64::from(self.workers));
        self.percent = 100 - (busy.clamp(0.0, 1.0) * 100.0).round() as u32;
        self.last = (used, now);
    }

    fn percent(&self) -> u32 {
        self.percent
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_what_the_workers_did_not_use() {
        let start = Instant::now();
        let mut meter = IdleMeter::new(2, Duration::ZERO, start);
        meter.sample(Duration::from_millis(500), start + Duration::from_secs(1));
        assert_eq!(meter.percent(), 75);
        meter.sample(Duration::from_millis(500), start + Duration::from_secs(2));
        assert_eq!(meter.percent(), 100);
        meter.sample(Duration::from_secs(90), start + Duration::from_secs(3));
        assert_eq!(meter.percent(), 0);
    }

    #[test]
    fn secrets_differ() {
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        let (one, other) = (secret(random), secret(random));
        assert_eq!(one.len(), 2 * SECRET_BYTES);
        assert_ne!(one, other);
    }
}
