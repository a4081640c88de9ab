//! Which name does a TLS client ask for, before anybody answers? Reads a ClientHello without being its addressee (RFC 8446
//! §4.1.2 and §5.1, RFC 6066 §3, RFC 7301 §3.1).
//!
//! Pure: the bytes a client has sent so far come in, nothing is consumed. Each byte is judged as soon as it is there, so a
//! client that speaks something else is not waited for. Read strictly (no extension twice, no length that points
//! elsewhere): who routes by a name must not read another one than the server behind does.

use std::borrow::Cow;

/// The longest hello looked at, in bytes, and the longest record (RFC 8446 §5.1). Real ones have 200 to 2000.
pub(crate) const MESSAGE_LIMIT: usize = 16 * 1024;

const RECORD_HEADER: usize = 5;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Kind and length in front of a handshake message.
const MESSAGE_HEADER: usize = 4;

const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_SUPPORTED_GROUPS: u16 = 10;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_SESSION_TICKET: u16 = 35;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const HOST_NAME: u8 = 0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Right so far.
    NeedMore,
    Complete(ClientHello),
}

/// What a client offers and asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// The version the client names in the field all TLS versions share; 0x0303 for TLS 1.2 and 1.3.
    pub legacy_version: u16,
    /// `supported_versions`, in the client's order; empty before TLS 1.3.
    pub versions: Vec<u16>,
    /// The host asked for (SNI), as sent.
    pub server_name: Option<Box<[u8]>>,
    /// Protocols offered, in the client's order.
    pub alpn: Vec<Box<[u8]>>,
    pub ciphers: Vec<u16>,
    /// The types of all extensions, in the client's order.
    pub extensions: Vec<u16>,
    pub ticket: Ticket,
}

/// The session ticket extension of TLS 1.2 (RFC 5077 §3.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ticket {
    #[default]
    Absent,
    /// The client would like one.
    Empty,
    /// The client has one.
    Present,
}

impl ClientHello {
    /// Whether the client names elliptic curves or other groups (RFC 8422 §5.1.1).
    pub fn has_groups(&self) -> bool {
        self.extensions.contains(&EXTENSION_SUPPORTED_GROUPS)
    }
}

/// Why what came is no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAHello {
    /// Not a record of TLS that holds a handshake message.
    NotTls,
    /// Another handshake message.
    AnotherMessage,
    /// Longer than [`MESSAGE_LIMIT`].
    TooLong,
    /// A field that does not fit, or an extension twice.
    Malformed,
}

/// Reads the hello at the start of `input`. Call again with more bytes (from the start) on [`Parsed::NeedMore`].
///
/// # Errors
/// [`NotAHello`] as soon as no continuation could make it right.
pub(crate) fn parse(input: &[u8]) -> Result<Parsed, NotAHello> {
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = input;
    loop {
        let length = match record_length(rest)? {
            Some(length) => length,
            None => return Ok(Parsed::NeedMore),
        };
        let behind = rest.get(RECORD_HEADER..).unwrap_or_default();
        let part = behind.get(..length).unwrap_or(behind);
        if message.is_empty() {
            message = Cow::Borrowed(part);
        } else {
            message.to_mut().extend_from_slice(part);
        }
        if let Some(body) = whole_body(&message)? {
            return read_body(body).map(Parsed::Complete).ok_or(NotAHello::Malformed);
        }
        if part.len() < length {
            return Ok(Parsed::NeedMore);
        }
        rest = behind.get(length..).unwrap_or_default();
    }
}

/// The length of the record that starts here; `None` while its header is incomplete.
fn record_length(input: &[u8]) -> Result<Option<usize>, NotAHello> {
    if input.first().is_some_and(|kind| *kind != HANDSHAKE) || input.get(1).is_some_and(|major| *major != 3) {
        return Err(NotAHello::NotTls);
    }
    let Some(&[_, _, _, high, low]) = input.first_chunk::<RECORD_HEADER>() else { return Ok(None) };
    match usize::from(u16::from_be_bytes([high, low])) {
        // An empty handshake record is forbidden (RFC 8446 §5.1); a row of them would never end.
        0 => Err(NotAHello::NotTls),
        length if length > MESSAGE_LIMIT => Err(NotAHello::NotTls),
        length => Ok(Some(length)),
    }
}

/// What the hello holds behind its header; `None` while it is incomplete.
fn whole_body(message: &[u8]) -> Result<Option<&[u8]>, NotAHello> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(NotAHello::AnotherMessage);
    }
    let Some(&[_, high, middle, low]) = message.first_chunk::<MESSAGE_HEADER>() else { return Ok(None) };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    if length > MESSAGE_LIMIT {
        return Err(NotAHello::TooLong);
    }
    Ok(message.get(MESSAGE_HEADER..MESSAGE_HEADER + length))
}

/// `None` when a field does not fit.
fn read_body(body: &[u8]) -> Option<ClientHello> {
    let mut fields = Fields(body);
    let legacy_version = fields.number()?;
    fields.take(32)?; // random
    fields.short_list()?; // session id
    let ciphers = numbers(fields.long_list()?)?;
    fields.short_list()?; // compression methods
    let mut hello = ClientHello { legacy_version, ciphers, ..ClientHello::default() };
    if fields.0.is_empty() {
        return Some(hello); // extensions came with TLS 1.0 (RFC 3546 §2.1)
    }
    let mut extensions = Fields(fields.long_list()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let data = extensions.long_list()?;
        // Two of a kind are forbidden (RFC 8446 §4.2): we might follow one and the server the other.
        if hello.extensions.contains(&kind) {
            return None;
        }
        hello.extensions.push(kind);
        read_extension(&mut hello, kind, Fields(data))?;
    }
    fields.0.is_empty().then_some(hello)
}

fn read_extension(hello: &mut ClientHello, kind: u16, mut data: Fields<'_>) -> Option<()> {
    match kind {
        EXTENSION_SERVER_NAME => hello.server_name = Some(server_name(Fields(data.long_list()?))?.into()),
        EXTENSION_ALPN => {
            let mut names = Fields(data.long_list()?);
            while !names.0.is_empty() {
                hello.alpn.push(names.short_list().filter(|name| !name.is_empty())?.into());
            }
        }
        EXTENSION_SUPPORTED_VERSIONS => hello.versions = numbers(data.short_list()?)?,
        EXTENSION_SESSION_TICKET => {
            hello.ticket = if data.0.is_empty() { Ticket::Empty } else { Ticket::Present };
            return Some(());
        }
        _ => return Some(()),
    }
    data.0.is_empty().then_some(())
}

/// The one host name of the list (RFC 6066 §3: at most one name of a type, not empty).
fn server_name(mut list: Fields<'_>) -> Option<&[u8]> {
    let mut found = None;
    while !list.0.is_empty() {
        let kind = *list.take(1)?.first()?;
        let name = list.long_list()?;
        if kind == HOST_NAME && (name.is_empty() || found.replace(name).is_some()) {
            return None;
        }
    }
    found
}

/// A list of 16-bit numbers, such as cipher suites.
fn numbers(list: &[u8]) -> Option<Vec<u16>> {
    let pairs = list.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
}

/// What is left to be read, in network order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let &[high, low] = self.take(2)?.first_chunk()?;
        Some(u16::from_be_bytes([high, low]))
    }

    /// Bytes behind their number in one byte.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(usize::from(length))
    }

    /// Bytes behind their number in two bytes.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

/// Hellos for tests.
#[cfg(test)]
pub(crate) mod testing {
    fn list(width: usize, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[4 - width..], bytes].concat()
    }

    pub(crate) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &list(2, data)].concat()
    }

    pub(crate) fn server_name(name: &[u8]) -> Vec<u8> {
        extension(0, &list(2, &[&[0][..], &list(2, name)].concat()))
    }

    pub(crate) fn alpn(names: &[&[u8]]) -> Vec<u8> {
        let names: Vec<u8> = names.iter().flat_map(|name| list(1, name)).collect();
        extension(16, &list(2, &names))
    }

    /// The handshake message around these extensions.
    pub(crate) fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(list(1, &[9; 32]));
        body.extend(list(2, &[0x13, 0x01, 0xc0, 0x2f]));
        body.extend(list(1, &[0]));
        body.extend(list(2, &extensions.concat()));
        [&[1][..], &list(3, &body)].concat()
    }

    /// A message in records of at most `size` bytes each.
    pub(crate) fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &list(2, part)].concat()).collect()
    }

    /// A whole hello that asks for `name`.
    pub(crate) fn hello(name: &str) -> Vec<u8> {
        records(&message(&[server_name(name.as_bytes()), alpn(&[b"h2", b"http/1.1"])]), 16_384)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{alpn, extension, hello, message, records, server_name};
    use super::*;

    /// Parses the input, every prefix of it (which must ask for more or already give the same error), and the input with
    /// bytes behind.
    #[track_caller]
    fn check(input: &[u8], expected: Result<Parsed, NotAHello>) {
        assert_eq!(parse(input), expected, "{}", input.escape_ascii());
        for end in 0..input.len() {
            let part = parse(&input[..end]);
            assert!(part == Ok(Parsed::NeedMore) || part == expected && part.is_err(), "cut at {end}: {part:?}");
        }
        if expected != Ok(Parsed::NeedMore) {
            assert_eq!(parse(&[input, b"\x14\x03\x03\x00\x01\x01"].concat()), expected, "with bytes behind");
        }
    }

    fn complete(input: &[u8]) -> ClientHello {
        match parse(input) {
            Ok(Parsed::Complete(hello)) => hello,
            other => panic!("{other:?} of {}", input.escape_ascii()),
        }
    }

    #[test]
    fn tells_what_a_client_asks_for() {
        let extensions = [
            extension(0x0a0a, b""), // GREASE, RFC 8701
            server_name(b"www.Example.org"),
            extension(10, &[0, 2, 0, 29]),
            alpn(&[b"h2", b"acme-tls/1"]),
            extension(35, b"a ticket"),
            extension(43, &[4, 3, 4, 3, 3]),
        ];
        let input = records(&message(&extensions), 16_384);
        let expected = ClientHello {
            legacy_version: 0x303,
            versions: vec![0x304, 0x303],
            server_name: Some(b"www.Example.org"[..].into()),
            alpn: vec![b"h2"[..].into(), b"acme-tls/1"[..].into()],
            ciphers: vec![0x1301, 0xc02f],
            extensions: vec![0x0a0a, 0, 10, 16, 35, 43],
            ticket: Ticket::Present,
        };
        assert!(expected.has_groups());
        check(&input, Ok(Parsed::Complete(expected)));
    }

    #[test]
    fn a_hello_may_have_no_extension_or_no_list_of_them() {
        let bare = complete(&records(&message(&[]), 100));
        assert_eq!((bare.server_name, bare.ticket, bare.extensions.len()), (None, Ticket::Absent, 0));
        let mut old = message(&[]);
        old.truncate(old.len() - 2);
        old[3] -= 2;
        assert_eq!(complete(&records(&old, 100)).ciphers, [0x1301, 0xc02f]);
        assert_eq!(complete(&records(&message(&[extension(35, b"")]), 100)).ticket, Ticket::Empty);
    }

    #[test]
    fn who_speaks_something_else_is_known_at_the_first_byte() {
        check(b"", Ok(Parsed::NeedMore));
        check(b"GET / HTTP/1.1\r\n", Err(NotAHello::NotTls));
        check(b"SSH-2.0-x\r\n", Err(NotAHello::NotTls));
        check(b"\x16\x02\x00", Err(NotAHello::NotTls));
        check(b"\x16\x03\x01\x00\x00", Err(NotAHello::NotTls));
        check(b"\x16\x03\x01\x40\x01", Err(NotAHello::NotTls));
        check(b"\x16\x03\x01\x00\x04\x02", Err(NotAHello::AnotherMessage));
        check(b"\x16\x03\x01\x00\x04\x01\x00\x40\x01", Err(NotAHello::TooLong));
        // The second record is none.
        let mut broken = records(&message(&[]), 20);
        broken[25] = 23;
        check(&broken[..26], Err(NotAHello::NotTls));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let long = |bytes: &[u8]| [&[0, bytes.len() as u8][..], bytes].concat();
        let name = |name: &[u8]| [&[0][..], &long(name)].concat();
        for (extensions, why) in [
            (vec![server_name(b"a"), server_name(b"b")], "two server names"),
            (vec![extension(0, &long(&[name(b"a"), name(b"b")].concat()))], "two names in one"),
            (vec![extension(0, &long(&name(b"")))], "an empty name"),
            (vec![extension(0, &[&long(&name(b"a"))[..], b"x"].concat())], "bytes behind the name"),
            (vec![extension(0, b"\x00\x09\x00")], "a length beyond the end"),
            (vec![extension(0, &long(b""))], "no name at all"),
            (vec![alpn(&[b""])], "an empty protocol"),
            (vec![extension(43, &[3, 3, 4, 3])], "half a version"),
            (vec![vec![0, 35, 0, 9, 0]], "an extension beyond the end"),
        ] {
            let input = records(&message(&extensions), 1000);
            assert_eq!(parse(&input), Err(NotAHello::Malformed), "{why}");
        }
        let mut longer = message(&[]);
        longer.push(0);
        longer[3] += 1;
        check(&records(&longer, 1000), Err(NotAHello::Malformed));
    }

    proptest! {
        #[test]
        fn records_and_reads_may_cut_anywhere(name in "[a-z0-9.-]{1,60}", padding in 0..1500usize, size in 1..800usize) {
            let extensions = [extension(21, &vec![0; padding]), server_name(name.as_bytes())];
            let message = message(&extensions);
            let whole = complete(&records(&message, 16_384));
            prop_assert_eq!(whole.server_name.as_deref(), Some(name.as_bytes()));
            let pieces = records(&message, size);
            for end in (0..pieces.len()).step_by(7) {
                prop_assert_eq!(parse(&pieces[..end]), Ok(Parsed::NeedMore));
            }
            prop_assert_eq!(complete(&pieces), whole);
        }

        #[test]
        fn any_bytes_are_taken(at in 0..300usize, with in prop::collection::vec(any::<u8>(), 0..9), front: u8) {
            let mut input = hello("example.org");
            let start = at.min(input.len());
            let end = (start + with.len()).min(input.len());
            input.splice(start..end, with);
            input.insert(0, front);
            crate::bench_api::fuzz_client_hello(&input);
        }
    }
}
