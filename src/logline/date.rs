//! How does a moment read in a log line? HAProxy's three spellings, in local time, cached per second.
//!
//! Does not know the time zone: who asks gives its offset. Breaking a moment down costs more than the rest of a line,
//! so [`DateCache`] keeps the text of the last second seen.

use std::time::{Duration, SystemTime};

/// How a date is spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateStyle {
    /// `20/Nov/2026:11:01:48`, followed by `.` and milliseconds (manual 8.2.2).
    Log,
    /// `Nov 20 11:01:48` (RFC 3164 §4.1.2).
    Syslog,
    /// `2026-11-20T11:01:48`, followed by `.`, a fraction and the offset (RFC 3339).
    Iso,
}

/// The text of one second, kept until another second is asked for.
#[derive(Debug)]
pub(crate) struct DateCache {
    style: DateStyle,
    second: Option<i64>,
    text: Vec<u8>,
    /// `+01:00`
    zone: Vec<u8>,
}

impl DateCache {
    pub const fn new(style: DateStyle) -> Self {
        DateCache { style, second: None, text: Vec::new(), zone: Vec::new() }
    }

    /// Appends the date. `offset` tells how far the local zone is ahead of UTC at a moment, both in seconds; it is
    /// asked only when the second changed.
    pub fn append(&mut self, at: SystemTime, offset: impl FnOnce(i64) -> i32, out: &mut Vec<u8>) {
        let (second, nanoseconds) = since_epoch(at);
        if self.second != Some(second) {
            self.refresh(second, offset(second));
        }
        out.extend_from_slice(&self.text);
        match self.style {
            DateStyle::Syslog => {}
            DateStyle::Log => {
                out.push(b'.');
                push_padded(nanoseconds / 1_000_000, 3, out);
            }
            DateStyle::Iso => {
                out.push(b'.');
                push_padded(nanoseconds / 1_000, 6, out);
                out.extend_from_slice(&self.zone);
            }
        }
    }

    fn refresh(&mut self, second: i64, offset: i32) {
        self.second = Some(second);
        self.text.clear();
        self.zone.clear();
        let civil = Civil::at(second + i64::from(offset));
        let text = &mut self.text;
        match self.style {
            DateStyle::Log => {
                push_padded(civil.day, 2, text);
                text.push(b'/');
                text.extend_from_slice(civil.month_name());
                text.push(b'/');
                push_padded(civil.year, 4, text);
                text.push(b':');
            }
            DateStyle::Syslog => {
                text.extend_from_slice(civil.month_name());
                text.extend_from_slice(if civil.day < 10 { b"  " } else { b" " });
                push_padded(civil.day, 1, text);
                text.push(b' ');
            }
            DateStyle::Iso => {
                push_padded(civil.year, 4, text);
                text.push(b'-');
                push_padded(civil.month, 2, text);
                text.push(b'-');
                push_padded(civil.day, 2, text);
                text.push(b'T');
            }
        }
        push_padded(civil.second_of_day / 3600, 2, text);
        text.push(b':');
        push_padded(civil.second_of_day / 60 % 60, 2, text);
        text.push(b':');
        push_padded(civil.second_of_day % 60, 2, text);
        let minutes = offset.unsigned_abs() / 60;
        self.zone.push(if offset < 0 { b'-' } else { b'+' });
        push_padded(minutes / 60, 2, &mut self.zone);
        self.zone.push(b':');
        push_padded(minutes % 60, 2, &mut self.zone);
    }
}

/// Whole seconds since 1970 and the nanoseconds beyond them; moments before 1970 read as 1970.
fn since_epoch(at: SystemTime) -> (i64, u32) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 2), since.subsec_nanos())
}

/// A day of the Gregorian calendar and the second within it.
struct Civil {
    year: u32,
    /// 1 to 12.
    month: u32,
    day: u32,
    second_of_day: u32,
}

impl Civil {
    /// Days are counted from 1 March of year 0, so that the leap day ends a year and months follow one line.
    fn at(second: i64) -> Civil {
        let days = second.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let small = |number: i64| u32::try_from(number).unwrap_or(0);
        Civil {
            year: small(year),
            month: small(month),
            day: small(day_of_year - (153 * shifted_month + 2) / 5 + 1),
            second_of_day: small(second.rem_euclid(86_400)),
        }
    }

    fn month_name(&self) -> &'static [u8] {
        const NAMES: [&[u8]; 12] =
            [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
        NAMES.get(self.month as usize - 1).copied().unwrap_or(b"???")
    }
}

fn push_padded(number: u32, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(style: DateStyle, milliseconds: u64, offset: i32, expected: &str) {
        let mut out = Vec::new();
        DateCache::new(style).append(
            SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds),
            |_| offset,
            &mut out,
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn dates_as_haproxy_prints_them() {
        check(DateStyle::Log, 1_795_172_508_074, 0, "20/Nov/2026:11:01:48.074");
        check(DateStyle::Log, 1_795_172_508_074, 3600, "20/Nov/2026:12:01:48.074");
        check(DateStyle::Syslog, 1_795_172_508_074, 0, "Nov 20 11:01:48");
        check(DateStyle::Syslog, 1_234_567_890_000 - 12 * 86_400_000, 0, "Feb  1 23:31:30");
        check(DateStyle::Iso, 1_795_172_508_067, 0, "2026-11-20T11:01:48.067000+00:00");
        check(DateStyle::Iso, 1_795_172_508_067, -12_600, "2026-11-20T07:31:48.067000-03:30");
        check(DateStyle::Log, 951_782_400_000, 0, "29/Feb/2000:00:00:00.000");
        check(DateStyle::Log, 0, -1, "31/Dec/1969:23:59:59.000");
        check(DateStyle::Log, 4_102_444_799_999, 0, "31/Dec/2099:23:59:59.999");
    }

    #[test]
    fn a_cached_second_keeps_its_text_and_another_one_does_not() {
        let mut cache = DateCache::new(DateStyle::Log);
        let mut out = Vec::new();
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(999);
        cache.append(start, |_| 0, &mut out);
        out.clear();
        cache.append(start, |_| unreachable!("the second is known"), &mut out);
        assert_eq!(out, b"01/Jan/1970:00:00:00.999");
        out.clear();
        cache.append(start + Duration::from_millis(1), |_| 0, &mut out);
        assert_eq!(out, b"01/Jan/1970:00:00:01.000");
    }
}
