//! How are times and sizes written in a configuration, and what do they mean?
//!
//! HAProxy's suffixes (manual 2.5): `us ms s m h d` for times, `k m g` for sizes, to which the native language adds
//! `KiB MiB GiB`. Whether a bare number is allowed is the caller's choice: haproxy.cfg takes it, the native language
//! refuses it, since `timeout connect 5` has cost people five milliseconds where they meant seconds.

use std::fmt;
use std::time::Duration;

/// HAProxy's timers end at 2^31 - 1 milliseconds, about 24 days.
pub(crate) const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// The largest size written in a configuration: 2^63 - 1 bytes, what file and socket calls can take.
pub(crate) const LARGEST: u64 = i64::MAX as u64;

/// What a number without a unit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    /// The native language: a unit is required.
    Refused,
    /// HAProxy's timeouts and intervals.
    Milliseconds,
    /// HAProxy's `stats refresh` and a few more.
    Seconds,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ByteSize(pub u64);

/// Why a time or a size could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitError {
    Empty,
    /// It does not start with a digit: `soon`, `-5s`, `.5s`.
    NotANumber,
    /// `5s` with a fraction: `1.5s`.
    Fraction,
    TimeWithoutUnit,
    SizeWithoutUnit,
    UnknownTimeUnit,
    UnknownSizeUnit,
    /// `64kB` is 64,000 bytes to some and 65,536 to others.
    AmbiguousSizeUnit,
    TimeTooLong,
    SizeTooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnitError::Empty => "a number is missing",
            UnitError::NotANumber => "not a number",
            UnitError::Fraction => {
                "fractions are not allowed; write the next smaller unit (`1500ms` for one and a half seconds)"
            }
            UnitError::TimeWithoutUnit => "a time needs a unit: us, ms, s, m, h or d (`5s`)",
            UnitError::SizeWithoutUnit => "a size needs a unit: B, KiB, MiB or GiB (`64KiB`)",
            UnitError::UnknownTimeUnit => "not a unit of time; units are us, ms, s, m, h and d",
            UnitError::UnknownSizeUnit => "not a unit of size; units are B, KiB (k), MiB (m) and GiB (g)",
            UnitError::AmbiguousSizeUnit => "ambiguous unit; write KiB, MiB or GiB, which count in steps of 1024",
            UnitError::TimeTooLong => "too long; the longest time is 2147483647 ms, about 24 days",
            UnitError::SizeTooLarge => "too large",
        })
    }
}

impl std::error::Error for UnitError {}

/// Reads `500us`, `5s`, `2m`, and a bare number as `bare` says.
///
/// # Errors
/// What is wrong with the text, as a sentence without its subject; [`LONGEST`] is the limit.
pub(crate) fn parse_duration(text: &str, bare: Bare) -> Result<Duration, UnitError> {
    let (number, unit) = split_number(text)?;
    let number = number.ok_or(UnitError::TimeTooLong)?;
    let micros_per_unit: u64 = match (unit, bare) {
        ("", Bare::Refused) if number == 0 => 1,
        ("", Bare::Refused) => return Err(UnitError::TimeWithoutUnit),
        ("", Bare::Milliseconds) | ("ms", _) => 1_000,
        ("", Bare::Seconds) | ("s", _) => 1_000_000,
        ("us", _) => 1,
        ("m", _) => 60_000_000,
        ("h", _) => 3_600_000_000,
        ("d", _) => 86_400_000_000,
        _ => return Err(UnitError::UnknownTimeUnit),
    };
    let time = number.checked_mul(micros_per_unit).map(Duration::from_micros).ok_or(UnitError::TimeTooLong)?;
    if time > LONGEST { Err(UnitError::TimeTooLong) } else { Ok(time) }
}

/// Reads `64KiB`, `64k`, `1g`, `100B`; a bare number is a number of bytes where `bare_is_bytes`.
///
/// # Errors
/// What is wrong with the text, as a sentence without its subject; [`LARGEST`] is the limit.
pub(crate) fn parse_size(text: &str, bare_is_bytes: bool) -> Result<ByteSize, UnitError> {
    let (number, unit) = split_number(text)?;
    let number = number.ok_or(UnitError::SizeTooLarge)?;
    let shift = match unit {
        "" if bare_is_bytes || number == 0 => 0,
        "" => return Err(UnitError::SizeWithoutUnit),
        "B" => 0,
        "k" | "K" | "KiB" | "kiB" => 10,
        "m" | "M" | "MiB" => 20,
        "g" | "G" | "GiB" => 30,
        "kB" | "KB" | "kb" | "MB" | "mb" | "GB" | "gb" => return Err(UnitError::AmbiguousSizeUnit),
        _ => return Err(UnitError::UnknownSizeUnit),
    };
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes <= LARGEST => Ok(ByteSize(bytes)),
        _ => Err(UnitError::SizeTooLarge),
    }
}

/// The digits in front (`None` when they do not fit) and what follows them.
fn split_number(text: &str) -> Result<(Option<u64>, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    match (digits, unit.as_bytes().first()) {
        (0, None) => Err(UnitError::Empty),
        (0, Some(_)) => Err(UnitError::NotANumber),
        (_, Some(b'.' | b',')) => Err(UnitError::Fraction),
        _ => Ok((number.parse().ok(), unit)),
    }
}

/// Writes a time with the largest unit that keeps it a whole number: `5s`, `1500ms`, `2h`. `parse_duration` reads it back.
pub(crate) fn show_duration(time: Duration) -> String {
    let micros = time.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let units = [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
    let fitting = units.iter().find(|(size, _)| micros.is_multiple_of(*size));
    let (size, unit) = fitting.copied().unwrap_or((1, "us"));
    format!("{}{unit}", micros / size)
}

/// With the largest unit that keeps it a whole number; [`parse_size`] reads it back.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let fitting = units.iter().find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        let (shift, unit) = fitting.copied().unwrap_or((0, "B"));
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_time(text: &str, bare: Bare, expected: Result<u64, UnitError>) {
        assert_eq!(parse_duration(text, bare), expected.map(Duration::from_micros), "{text}");
    }

    #[track_caller]
    fn check_size(text: &str, bare_is_bytes: bool, expected: Result<u64, UnitError>) {
        assert_eq!(parse_size(text, bare_is_bytes), expected.map(ByteSize), "{text}");
    }

    #[test]
    fn reads_times_as_haproxy_writes_them() {
        check_time("250us", Bare::Refused, Ok(250));
        check_time("10ms", Bare::Refused, Ok(10_000));
        check_time("5s", Bare::Refused, Ok(5_000_000));
        check_time("2m", Bare::Refused, Ok(120_000_000));
        check_time("1h", Bare::Refused, Ok(3_600_000_000));
        check_time("24d", Bare::Refused, Ok(24 * 86_400_000_000));
        check_time("5000", Bare::Milliseconds, Ok(5_000_000));
        check_time("30", Bare::Seconds, Ok(30_000_000));
        check_time("0", Bare::Refused, Ok(0));
        check_time("2147483647", Bare::Milliseconds, Ok(2_147_483_647_000));
    }

    #[test]
    fn refuses_times_that_could_be_misread() {
        check_time("", Bare::Milliseconds, Err(UnitError::Empty));
        check_time("5", Bare::Refused, Err(UnitError::TimeWithoutUnit));
        check_time("soon", Bare::Milliseconds, Err(UnitError::NotANumber));
        check_time("-5s", Bare::Milliseconds, Err(UnitError::NotANumber));
        check_time("1.5s", Bare::Milliseconds, Err(UnitError::Fraction));
        check_time("5 s", Bare::Milliseconds, Err(UnitError::UnknownTimeUnit));
        check_time("5S", Bare::Milliseconds, Err(UnitError::UnknownTimeUnit));
        check_time("25d", Bare::Milliseconds, Err(UnitError::TimeTooLong));
        check_time("99999999999999999999s", Bare::Milliseconds, Err(UnitError::TimeTooLong));
        check_time("18446744073709551615d", Bare::Milliseconds, Err(UnitError::TimeTooLong));
    }

    #[test]
    fn reads_sizes_in_steps_of_1024() {
        check_size("100B", false, Ok(100));
        check_size("64k", false, Ok(65_536));
        check_size("64KiB", false, Ok(65_536));
        check_size("2m", false, Ok(2 << 20));
        check_size("1GiB", false, Ok(1 << 30));
        check_size("16384", true, Ok(16_384));
        check_size("16384", false, Err(UnitError::SizeWithoutUnit));
        check_size("64kB", true, Err(UnitError::AmbiguousSizeUnit));
        check_size("64 k", true, Err(UnitError::UnknownSizeUnit));
        check_size("9223372036854775808", true, Err(UnitError::SizeTooLarge));
        check_size("99999999999g", true, Err(UnitError::SizeTooLarge));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(micros in 0..=LONGEST.as_micros() as u64, bytes in 0..=LARGEST) {
            let time = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&show_duration(time), Bare::Refused), Ok(time));
            prop_assert_eq!(parse_size(&ByteSize(bytes).to_string(), false), Ok(ByteSize(bytes)));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_duration(&text, Bare::Milliseconds);
            let _ = parse_size(&text, true);
        }
    }
}
