//! Which certificate is to be renewed, and who has not been told? Pure: the time is a parameter.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);
/// Days before its end at which a certificate is pointed out, each once; 0 is the end itself.
const STEPS: [u32; 5] = [30, 14, 7, 1, 0];

/// What was told of each certificate.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    told: HashMap<PathBuf, Told>,
    /// When the OCSP answers ran out of which that was told.
    answers: HashMap<PathBuf, SystemTime>,
    /// From when on the certificates are valid of which that was told.
    future: HashMap<PathBuf, SystemTime>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    not_after: SystemTime,
    step: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Whole days.
    Days(u64),
    Expired,
}

impl Expiry {
    /// What is to be told of a certificate now; `None` when all was said.
    pub fn due(&mut self, path: &Path, not_after: SystemTime, now: SystemTime) -> Option<Left> {
        let left = not_after.duration_since(now).unwrap_or_default();
        let Some(step) = STEPS.into_iter().rev().find(|step| left <= DAY * *step) else {
            self.told.remove(path);
            return None;
        };
        // A renewed certificate starts anew.
        let before = self.told.get(path).filter(|told| told.not_after == not_after);
        if before.is_some_and(|told| told.step <= step) {
            return None;
        }
        self.told.insert(path.to_owned(), Told { not_after, step });
        Some(if step == 0 { Left::Expired } else { Left::Days(left.as_secs() / DAY.as_secs()) })
    }

    /// Whether it is to be told now that a certificate's OCSP answer has run out.
    pub fn answer_ran_out(&mut self, path: &Path, until: SystemTime, now: SystemTime) -> bool {
        until <= now && self.answers.insert(path.to_owned(), until) != Some(until)
    }

    /// Whether it is to be told now that a certificate is not valid yet.
    pub fn not_valid_yet(&mut self, path: &Path, from: SystemTime, now: SystemTime) -> bool {
        from > now && self.future.insert(path.to_owned(), from) != Some(from)
    }

    /// Forgets what is not served any more.
    pub fn keep_only(&mut self, served: impl Fn(&Path) -> bool) {
        self.told.retain(|path, _| served(path));
        self.answers.retain(|path, _| served(path));
        self.future.retain(|path, _| served(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks with so many hours left, one after the other; expected is what is told: days, `x` for expired, `-` nothing.
    #[track_caller]
    fn check(hours: &[i64], expected: &str) {
        let not_after = SystemTime::UNIX_EPOCH + DAY * 1000;
        let mut expiry = Expiry::default();
        let told: Vec<String> = hours
            .iter()
            .map(|hours| {
                let distance = Duration::from_secs(hours.unsigned_abs() * 3600);
                let now = if *hours >= 0 { not_after - distance } else { not_after + distance };
                match expiry.due(Path::new("x"), not_after, now) {
                    None => "-".to_owned(),
                    Some(Left::Expired) => "x".to_owned(),
                    Some(Left::Days(days)) => days.to_string(),
                }
            })
            .collect();
        assert_eq!(told.join(" "), expected, "{hours:?}");
    }

    #[test]
    fn each_step_is_told_once() {
        let days = |days: i64| days * 24;
        check(&[days(31), days(30), days(29), days(15)], "- 30 - -");
        check(&[days(14), days(14), days(7), days(2), days(1), 5, -1, -500], "14 - 7 - 1 - x -");
        check(&[days(10), days(7)], "10 7"); // started in between: the nearest step, not all of them
        check(&[-1, -2], "x -");
        check(&[0, 0], "x -");
    }

    #[test]
    fn a_renewed_certificate_starts_anew() {
        let mut expiry = Expiry::default();
        let now = SystemTime::UNIX_EPOCH;
        let mut due = |days: u32| expiry.due(Path::new("x"), now + DAY * days, now);
        assert_eq!(due(5), Some(Left::Days(5)));
        assert_eq!(due(5), None);
        assert_eq!(due(90), None);
        assert_eq!(due(5), Some(Left::Days(5)));
        assert_eq!(due(6), Some(Left::Days(6)));
    }

    #[test]
    fn one_that_is_not_valid_yet_is_told_once() {
        let mut expiry = Expiry::default();
        let start = SystemTime::UNIX_EPOCH;
        let mut told =
            |from: u32, now: u32| expiry.not_valid_yet(Path::new("x"), start + DAY * from, start + DAY * now);
        assert_eq!([told(5, 3), told(5, 4), told(5, 5), told(8, 6)], [true, false, false, true]);
    }

    #[test]
    fn each_answer_that_runs_out_is_told_once() {
        let mut expiry = Expiry::default();
        let start = SystemTime::UNIX_EPOCH;
        let mut told =
            |until: u32, now: u32| expiry.answer_ran_out(Path::new("x"), start + DAY * until, start + DAY * now);
        assert_eq!([told(5, 4), told(5, 5), told(5, 6)], [false, true, false]);
        assert_eq!([told(8, 7), told(8, 9), told(8, 10)], [false, true, false]); // the next one
    }
}
