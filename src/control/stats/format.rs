//! Numbers and times as a person reads them on the page.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// Digits in groups of three, parted by a narrow space that does not break.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1.4 MB`, in powers of 1000.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if value < 9.95 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// The two largest units that matter: `42s`, `7m`, `3h12m`, `4d2h`. Coarse on purpose: a live page is sent only what
/// changed.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// `2026-11-20T11:02:10Z`
pub(crate) fn iso(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    format!("{}-{:02}-{:02}T{}Z", at.year(), u8::from(at.month()), at.day(), time_of_day(at))
}

/// `11:02:10`, in UTC.
pub(super) fn clock(at: SystemTime) -> String {
    time_of_day(OffsetDateTime::from(at))
}

fn time_of_day(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let check = |number: u64, expected_count: &str, expected_bytes: &str| {
            assert_eq!(
                (count(number).replace('\u{202f}', "_").as_str(), bytes(number).as_str()),
                (expected_count, expected_bytes)
            );
        };
        check(0, "0", "0 B");
        check(999, "999", "999 B");
        check(1000, "1_000", "1.0 kB");
        check(999_999, "999_999", "1.0 MB");
        check(12_345_678, "12_345_678", "12 MB");
        check(u64::MAX, "18_446_744_073_709_551_615", "18 EB");
    }

    #[test]
    fn ages_are_coarse() {
        let check = |seconds: u64, expected: &str| assert_eq!(age(Duration::from_secs(seconds)), expected);
        check(0, "0s");
        check(59, "59s");
        check(60, "1m");
        check(3599, "59m");
        check(3600, "1h00m");
        check(90_000, "1d1h");
    }

    #[test]
    fn times_are_in_utc() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_172_431);
        assert_eq!((iso(at).as_str(), clock(at).as_str()), ("2026-11-20T11:00:31Z", "11:00:31"));
    }
}
