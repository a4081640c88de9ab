//! Which element stands at the front of some DER? Just enough of X.690 for an OCSP answer: lengths are checked, nothing
//! is copied.

use std::time::{Duration, SystemTime};

use time::{Date, Month, PrimitiveDateTime, Time};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// `[number]`, holding other elements.
pub(super) const fn tagged(number: u8) -> u8 {
    0xa0 | number
}

/// What is left of some elements in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(pub &'a [u8]);

impl<'a> Der<'a> {
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next element.
    pub fn next_tag(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Takes the next element: its tag and what is in it. `None` when it is cut off, or longer than any file here.
    pub fn take(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&length, mut rest) = rest.split_first()?;
        let length = match length {
            0..=0x7f => usize::from(length),
            0x81..=0x83 => {
                let (bytes, behind) = rest.split_at_checked(usize::from(length & 0x7f))?;
                rest = behind;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, content))
    }

    /// Takes the next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.take().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// The same, for one that holds others.
    pub fn enter(&mut self, tag: u8) -> Option<Der<'a>> {
        self.expect(tag).map(Der)
    }

    /// Takes the next element if it has this tag.
    pub fn skip_if(&mut self, tag: u8) -> Option<()> {
        if self.next_tag() == Some(tag) { self.take().map(drop) } else { Some(()) }
    }
}

/// `20261120135900Z` (RFC 5280 §4.1.2.5.2).
pub(super) fn generalized_time(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u8>().ok();
    let year = text.get(..4)?.parse().ok()?;
    let date = Date::from_calendar_date(year, Month::try_from(number(4, 6)?).ok()?, number(6, 8)?).ok()?;
    let time = Time::from_hms(number(8, 10)?, number(10, 12)?, number(12, 14)?).ok()?;
    let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<(u8, usize, usize)>) {
        let mut der = Der(bytes);
        let taken = der.take().map(|(tag, content)| (tag, content.len(), der.0.len()));
        assert_eq!(taken, expected, "{bytes:x?}");
    }

    #[test]
    fn takes_elements_that_are_whole() {
        check(&[0x30, 0x02, 1, 2, 9], Some((0x30, 2, 1)));
        check(&[0x05, 0x00], Some((0x05, 0, 0)));
        check(&[[0x04, 0x81, 0x80].as_slice(), &[7; 128]].concat(), Some((0x04, 128, 0)));
        check(&[0x30, 0x03, 1, 2], None);
        check(&[0x30], None);
        check(&[], None);
        check(&[0x30, 0x80, 1, 2], None); // no length is not DER
        check(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], None);
        check(&[0x30, 0x82, 0x01], None);
    }

    #[test]
    fn reads_times() {
        let at = |text: &str| {
            generalized_time(text.as_bytes()).map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(at("19700101000001Z"), Some(1));
        assert_eq!(at("20260101000000Z"), Some(1_767_225_600));
        for wrong in ["20261301000000Z", "20260101000000", "2026Z", "", "19690101000000Z", "2026010100000éZ"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
