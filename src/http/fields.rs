//! Which fields does a message have, and which did we change? A flat, ordered list over the read buffer.
//!
//! Received fields are never copied: an entry points into the buffer the head was read into. Fields added later
//! live as finished lines in a side arena, always behind the received ones, as HAProxy's `set-header` and
//! `add-header` put them. Removing marks an entry. So an untouched head is sent on in a few long copies.

use memchr::memchr3_iter;

/// Fields this proxy must understand itself. Everything else is only carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Other,
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Upgrade,
    KeepAlive,
    ProxyConnection,
    Te,
    Expect,
    Http2Settings,
}

impl Known {
    /// Decided by length first, so that most names cost one jump.
    #[inline]
    pub fn of(name: &[u8]) -> Known {
        let (is_it, known) = match name.len() {
            2 => (spells(name, b"te"), Known::Te),
            4 => (spells(name, b"host"), Known::Host),
            6 => (spells(name, b"expect"), Known::Expect),
            7 => (spells(name, b"upgrade"), Known::Upgrade),
            10 if matches!(name.first(), Some(b'k' | b'K')) => (spells(name, b"keep-alive"), Known::KeepAlive),
            10 => (spells(name, b"connection"), Known::Connection),
            14 if matches!(name.first(), Some(b'h' | b'H')) => (spells(name, b"http2-settings"), Known::Http2Settings),
            14 => (spells(name, b"content-length"), Known::ContentLength),
            16 => (spells(name, b"proxy-connection"), Known::ProxyConnection),
            17 => (spells(name, b"transfer-encoding"), Known::TransferEncoding),
            _ => return Known::Other,
        };
        if is_it { known } else { Known::Other }
    }
}

/// Whether this is that name in lower case but for its letters' case. Of a length the compiler knows, so that it compares many
/// bytes at once.
#[inline]
fn spells<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Some(name) = name.first_chunk::<N>().filter(|_| name.len() == N) else { return false };
    let differences = name.iter().zip(lower).map(|(byte, lower)| {
        let case = if lower.is_ascii_lowercase() { 0x20 } else { 0 };
        (byte | case) ^ lower
    });
    differences.fold(0, |all, difference| all | difference) == 0
}

/// One field line. Offsets are bytes into the read buffer for received fields, into the arena for added ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// Where the line, and so the name, starts.
    pub start: u32,
    pub name_len: u32,
    pub value_start: u32,
    pub value_len: u32,
    pub known: Known,
    pub removed: bool,
}

impl Field {
    #[inline]
    pub fn name<'a>(&self, base: &'a [u8]) -> &'a [u8] {
        slice(base, self.start, self.name_len)
    }

    #[inline]
    pub fn value<'a>(&self, base: &'a [u8]) -> &'a [u8] {
        slice(base, self.value_start, self.value_len)
    }
}

/// `base[start..start + len]`, empty when the buffer was lent away and is not back.
#[inline]
pub(super) fn slice(base: &[u8], start: u32, len: u32) -> &[u8] {
    base.get(start as usize..start as usize + len as usize).unwrap_or_default()
}

/// The list and the arena of one head. Cleared, never freed, between messages.
#[derive(Debug, Default)]
pub(super) struct Fields {
    list: Vec<Field>,
    /// This many entries at the front point into the read buffer.
    received: usize,
    arena: Vec<u8>,
}

impl Fields {
    pub fn clear(&mut self) {
        self.list.clear();
        self.received = 0;
        self.arena.clear();
    }

    /// Appends a field found in the read buffer. Only while parsing, before anything is added.
    #[inline]
    pub fn push_received(&mut self, field: Field) {
        self.list.push(field);
        self.received = self.list.len();
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn received(&self) -> &[Field] {
        self.list.get(..self.received).unwrap_or_default()
    }

    pub fn added(&self) -> &[Field] {
        self.list.get(self.received..).unwrap_or_default()
    }

    pub fn arena(&self) -> &[u8] {
        &self.arena
    }

    pub fn view<'a>(&'a self, input: &'a [u8]) -> FieldsView<'a> {
        FieldsView { list: &self.list, received: self.received, input, arena: &self.arena }
    }

    /// Appends a field whose value `write` puts at the end of the buffer it gets. Line breaks and NUL in name or
    /// value become spaces (RFC 9110 §5.5), so that no rule can be tricked into writing a second field.
    pub fn add_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let line = self.write_line(name, write);
        self.list.push(line);
    }

    fn write_line(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Field {
        let start = self.arena.len();
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(b": ");
        let value_start = self.arena.len();
        write(&mut self.arena);
        let value_len = self.arena.len() - value_start;
        if let Some(line) = self.arena.get_mut(start..) {
            blank_line_breaks(line);
        }
        self.arena.extend_from_slice(b"\r\n");
        Field {
            start: start as u32,
            name_len: name.len() as u32,
            value_start: value_start as u32,
            value_len: value_len as u32,
            known: Known::of(name),
            removed: false,
        }
    }

    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.add_with(name, |out| out.extend_from_slice(value));
    }

    /// Replaces the received lines of this name by one added line: their values and what `write` adds, joined by `, `.
    pub fn join(&mut self, input: &[u8], name: &[u8], write: Option<impl FnOnce(&mut Vec<u8>)>) {
        // The list is lent out while the arena grows; nothing is added to it meanwhile.
        let list = std::mem::take(&mut self.list);
        let received = list.get(..self.received).unwrap_or_default();
        let mut values = received
            .iter()
            .filter(|field| !field.removed && field.name(input).eq_ignore_ascii_case(name))
            .map(|field| field.value(input));
        let line = self.write_line(name, |out| {
            if let Some(first) = values.next() {
                out.extend_from_slice(first);
                values.for_each(|value| {
                    out.extend_from_slice(b", ");
                    out.extend_from_slice(value);
                });
                if write.is_some() {
                    out.extend_from_slice(b", ");
                }
            }
            if let Some(write) = write {
                write(out);
            }
        });
        self.list = list;
        self.remove_where(input, |candidate, _, received| received && candidate.eq_ignore_ascii_case(name));
        self.list.push(line);
    }

    /// Marks every field for which `gone` holds; returns how many. `gone` gets name, value and whether it was
    /// received (not added by us).
    pub fn remove_where(&mut self, input: &[u8], mut gone: impl FnMut(&[u8], &[u8], bool) -> bool) -> usize {
        let mut removed = 0;
        for (index, field) in self.list.iter_mut().enumerate() {
            let received = index < self.received;
            let base = if received { input } else { &self.arena };
            if !field.removed && gone(field.name(base), field.value(base), received) {
                field.removed = true;
                removed += 1;
            }
        }
        removed
    }

    /// Puts text that is no field, such as a rewritten target, into the arena; returns where it starts.
    pub fn stash(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> (u32, u32) {
        let start = self.arena.len();
        write(&mut self.arena);
        (start as u32, (self.arena.len() - start) as u32)
    }
}

/// CR, LF and NUL become spaces.
fn blank_line_breaks(text: &mut [u8]) {
    if memchr3_iter(b'\r', b'\n', 0, text).next().is_none() {
        return;
    }
    for byte in text {
        if matches!(*byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
}

/// The fields as they stand now: received ones in order, then added ones, without removed ones.
/// Names compare without case; nothing here allocates.
#[derive(Clone, Copy)]
pub(crate) struct FieldsView<'a> {
    list: &'a [Field],
    received: usize,
    input: &'a [u8],
    arena: &'a [u8],
}

impl<'a> FieldsView<'a> {
    /// Name and value of every field line, in order.
    #[cfg(any(test, fuzzing))]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + 'a {
        self.entries().map(|(field, base)| (field.name(base), field.value(base)))
    }

    /// Entries still standing, each with the buffer it points into.
    pub(super) fn entries(self) -> impl DoubleEndedIterator<Item = (&'a Field, &'a [u8])> + 'a {
        let base = move |index| if index < self.received { self.input } else { self.arena };
        self.list.iter().enumerate().filter(|(_, field)| !field.removed).map(move |(i, field)| (field, base(i)))
    }

    /// The values of all lines of this name, in order.
    pub fn all<'n>(self, name: &'n [u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        self.entries()
            .filter(move |(field, base)| {
                field.name_len as usize == name.len() && field.name(base).eq_ignore_ascii_case(name)
            })
            .map(|(field, base)| field.value(base))
    }

    /// The last line's value.
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.all(name).next_back()
    }

    /// The first line's value.
    pub fn first(self, name: &[u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    pub fn contains(self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }

    /// How many lines there are, removed ones included.
    pub fn len(self) -> usize {
        self.list.len()
    }

    /// How many lines have this name.
    pub fn count(self, name: &[u8]) -> usize {
        self.all(name).count()
    }

    /// Received and added entries, removed ones included, each list with its buffer behind.
    pub(super) fn parts(self) -> (&'a [Field], &'a [Field], &'a [u8], &'a [u8]) {
        let (received, added) = self.list.split_at(self.received.min(self.list.len()));
        (received, added, self.input, self.arena)
    }

    /// The last standing field of a known name.
    pub(super) fn known(self, known: Known) -> Option<&'a [u8]> {
        self.entries().rev().find(|(field, _)| field.known == known).map(|(field, base)| field.value(base))
    }

    /// The last one of this name that we added ourselves.
    pub(super) fn known_added(self, known: Known) -> Option<&'a [u8]> {
        self.known_added_field(known).map(|field| field.value(self.arena))
    }

    pub(super) fn known_added_field(self, known: Known) -> Option<&'a Field> {
        let added = self.list.get(self.received..).unwrap_or_default();
        added.iter().rev().find(|field| field.known == known && !field.removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(text: &[u8]) -> Fields {
        let mut fields = Fields::default();
        let mut at = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let name_len = colon as u32;
            let value_len = (line.len() - colon - 4) as u32;
            let known = Known::of(&line[..colon]);
            let value_start = at + name_len + 2;
            fields.push_received(Field { start: at, name_len, value_start, value_len, known, removed: false });
            at += line.len() as u32;
        }
        fields
    }

    const INPUT: &[u8] = b"Host: h\r\nCookie: a\r\ncookie: b\r\n";

    #[track_caller]
    fn check(edit: impl FnOnce(&mut Fields), expected: &str) {
        let mut fields = received(INPUT);
        edit(&mut fields);
        let text: Vec<String> = fields
            .view(INPUT)
            .iter()
            .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(text.join("|"), expected);
    }

    #[test]
    fn edits_show_in_the_view_in_order() {
        check(|_| {}, "Host=h|Cookie=a|cookie=b");
        check(|f| f.add(b"X", b"1"), "Host=h|Cookie=a|cookie=b|X=1");
        check(|f| assert_eq!(f.remove_where(INPUT, |name, _, _| name.eq_ignore_ascii_case(b"COOKIE")), 2), "Host=h");
        check(|f| f.add(b"X", b"a\r\nEvil: 1\0"), "Host=h|Cookie=a|cookie=b|X=a  Evil: 1 ");
        check(
            |f| {
                f.add(b"X", b"1");
                f.add(b"Y", b"2");
                f.remove_where(INPUT, |name, _, received| !received && name == b"X");
            },
            "Host=h|Cookie=a|cookie=b|Y=2",
        );
    }

    #[test]
    fn lookups_ignore_case_and_keep_order() {
        let fields = received(INPUT);
        let view = fields.view(INPUT);
        assert_eq!(view.get(b"COOKIE"), Some(&b"b"[..]));
        assert_eq!(view.first(b"COOKIE"), Some(&b"a"[..]));
        assert_eq!(view.count(b"cookie"), 2);
        assert_eq!(view.get(b"nope"), None);
        assert!(view.contains(b"host"));
        assert_eq!(view.known(Known::Host), Some(&b"h"[..]));
    }

    #[test]
    fn known_names_are_found_in_any_case_and_near_misses_are_not() {
        for (name, known) in [
            ("Host", Known::Host),
            ("TE", Known::Te),
            ("CONTENT-LENGTH", Known::ContentLength),
            ("transfer-Encoding", Known::TransferEncoding),
            ("Keep-Alive", Known::KeepAlive),
            ("Connection", Known::Connection),
            ("Proxy-Connection", Known::ProxyConnection),
            ("Expect", Known::Expect),
            ("Cookie", Known::Other),
            ("Upgrade", Known::Upgrade),
            ("HTTP2-Settings", Known::Http2Settings),
            ("Content_Length", Known::Other),
            ("Hosts", Known::Other),
            ("", Known::Other),
        ] {
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn any_byte_anywhere_spells_a_name_or_not() {
        for at in 0..14 {
            for byte in 0..=255u8 {
                let (mut dash, mut digit) = (*b"content-length", *b"http2-settings");
                (dash[at], digit[at]) = (byte, byte);
                assert_eq!(spells(&dash, b"content-length"), dash.eq_ignore_ascii_case(b"content-length"), "{dash:?}");
                assert_eq!(
                    spells(&digit, b"http2-settings"),
                    digit.eq_ignore_ascii_case(b"http2-settings"),
                    "{digit:?}"
                );
            }
        }
        assert!(!spells(b"hosts", b"host") && !spells(b"hos", b"host"));
    }
}
