//! Who is the client behind the proxy in front of us, and how do we tell the server behind? (PROXY protocol v1 and v2,
//! HAProxy's doc/proxy-protocol.txt.)
//!
//! Pure: bytes in, bytes out. A header is never guessed at: the listener says that one must come, and whoever sends
//! something else is refused. Text is read strictly (four decimal octets below 256, ports below 65536, no leading zeros),
//! because two readers of one address must not come to different clients.

mod tlv;
mod v1;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) use tlv::{ClientTold, Tlvs};

use crate::model::backend::{ProxyOptions, ProxyVersion};

/// The longest v1 line, line end included (spec §2.1).
pub(crate) const V1_LIMIT: usize = 107;
/// The longest v2 header we take, in bytes: 216 of addresses and room for TLVs, a client certificate among them.
pub(crate) const V2_LIMIT: usize = 8 * 1024;

/// What every v2 header starts with (spec §2.2).
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;
const V1_START: &[u8] = b"PROXY ";

/// Bytes of addresses in front of the TLVs.
const V2_INET: usize = 12;
const V2_INET6: usize = 36;
const V2_UNIX: usize = 216;

/// What a header says about the connection it stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// A TCP client, and the address it reached.
    Proxied { source: SocketAddr, destination: SocketAddr },
    /// The proxy speaks for itself (v2 LOCAL), or for a client it cannot name (UNKNOWN, UNSPEC, a unix socket): the
    /// addresses of the connection itself hold.
    Unnamed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The first `consumed` bytes were the header.
    Complete { header: Header, consumed: usize },
    /// Right so far. Bounded: never asked for again once [`V1_LIMIT`] or [`V2_LIMIT`] bytes are there.
    NeedMore,
}

/// Why what came is no PROXY header. Close the connection: nothing can be said about its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadProxyHeader {
    /// Neither version's first bytes.
    NotAHeader,
    /// v1 without a line end in [`V1_LIMIT`] bytes.
    LineTooLong,
    /// v1: not `TCP4`, `TCP6` or `UNKNOWN`.
    Protocol,
    /// v1: not exactly two addresses and two ports with one space between.
    Layout,
    Address,
    Port,
    /// v2: the high bits of byte 13 are not 2.
    Version,
    /// v2: neither LOCAL nor PROXY.
    Command,
    /// v2: a family or transport outside the specification.
    Family,
    /// v2: the length is too small for the family's addresses.
    TooShort,
    /// v2: longer than [`V2_LIMIT`].
    TooLong,
    /// v2: a TLV reaches over the header's end.
    Tlv,
    /// v2: the checksum it carries is not the one of its bytes.
    Checksum,
}

/// Reads the header at the start of `input`. Call again with more bytes (from the start) on [`Parsed::NeedMore`].
///
/// # Errors
/// [`BadProxyHeader`] as soon as no continuation could make it right.
pub(crate) fn parse(input: &[u8]) -> Result<Parsed, BadProxyHeader> {
    if starts_alike(input, &V2_SIGNATURE) {
        parse_v2(input)
    } else if starts_alike(input, V1_START) {
        v1::parse(input)
    } else {
        Err(BadProxyHeader::NotAHeader)
    }
}

/// How many more bytes may be read without reading beyond the header, given the part of one that [`parse`] wants more of.
/// At least 1. For readers that must leave what follows in the socket.
pub(crate) fn bytes_to_read(input: &[u8]) -> usize {
    /// `PROXY UNKNOWN\r\n`
    const V1_SHORTEST: usize = 15;
    /// `PROXY TCP6 :: :: 1 1\r\n`
    const V1_SHORTEST_TCP: usize = 22;
    let whole = if input.len() >= V2_FIXED && input.starts_with(&V2_SIGNATURE) {
        V2_FIXED + usize::from(u16::from_be_bytes([input[14], input[15]]))
    } else if input.len() >= V1_SHORTEST && input.starts_with(&V2_SIGNATURE) {
        V2_FIXED
    } else if input.starts_with(b"PROXY TCP") {
        V1_SHORTEST_TCP
    } else {
        V1_SHORTEST
    };
    whole.saturating_sub(input.len()).max(1)
}

/// Whether the shorter of both is the start of the other; true for empty input.
fn starts_alike(input: &[u8], start: &[u8]) -> bool {
    input.iter().zip(start).all(|(a, b)| a == b)
}

fn parse_v2(input: &[u8]) -> Result<Parsed, BadProxyHeader> {
    // Each byte is judged as soon as it is there, so that a wrong peer is not waited for.
    if input.get(12).is_some_and(|byte| byte >> 4 != 2) {
        return Err(BadProxyHeader::Version);
    }
    if input.get(12).is_some_and(|byte| byte & 0x0f > 1) {
        return Err(BadProxyHeader::Command);
    }
    let Some(&[version_command, family, high, low]) = input.get(12..V2_FIXED) else { return Ok(Parsed::NeedMore) };
    let consumed = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if consumed > V2_LIMIT {
        return Err(BadProxyHeader::TooLong);
    }
    let Some(whole) = input.get(..consumed) else { return Ok(Parsed::NeedMore) };
    // LOCAL: family, addresses and TLVs are all to be discarded (spec §2.2).
    let header = if version_command & 0x0f == 0 { Header::Unnamed } else { v2_header(whole, family)? };
    Ok(Parsed::Complete { header, consumed })
}

fn v2_header(whole: &[u8], family: u8) -> Result<Header, BadProxyHeader> {
    let block = whole.get(V2_FIXED..).unwrap_or_default();
    let address_length = match family {
        0x00 => 0,
        0x11 | 0x12 => V2_INET,
        0x21 | 0x22 => V2_INET6,
        0x31 | 0x32 => V2_UNIX,
        _ => return Err(BadProxyHeader::Family),
    };
    let (addresses, tlvs) = block.split_at_checked(address_length).ok_or(BadProxyHeader::TooShort)?;
    tlv::read(whole, tlvs)?;
    Ok(match address_length {
        V2_INET => v2_addresses::<4>(addresses),
        V2_INET6 => v2_addresses::<16>(addresses),
        _ => Header::Unnamed,
    })
}

/// What a whole header, as [`parse`] has accepted it, tells besides addresses. `None`: nothing, or nothing to be used.
pub(crate) fn tlvs(header: &[u8]) -> Option<Tlvs> {
    let (fixed, block) = header.split_first_chunk::<V2_FIXED>()?;
    let &[.., version_command, family, _, _] = fixed;
    if !fixed.starts_with(&V2_SIGNATURE) || version_command & 0x0f == 0 {
        return None;
    }
    let addresses = match family >> 4 {
        1 => V2_INET,
        2 => V2_INET6,
        3 => V2_UNIX,
        _ => 0,
    };
    tlv::read(header, block.get(addresses..)?).ok()?
}

/// Source, destination, source port, destination port, in network order.
fn v2_addresses<const N: usize>(block: &[u8]) -> Header
where
    [u8; N]: Into<IpAddr>,
{
    let address = |at: usize| -> IpAddr {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&block[at..at + N]);
        bytes.into()
    };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    Header::Proxied {
        source: SocketAddr::new(address(0), port(2 * N)),
        destination: SocketAddr::new(address(N), port(2 * N + 2)),
    }
}

/// Appends the header that tells a server about `header`. Addresses of two families cannot stand in one header: they
/// become UNKNOWN (v1) or UNSPEC (v2), as an unnamed client does in v1; in v2 that one is sent as LOCAL.
pub(crate) fn encode(version: ProxyVersion, header: Header, out: &mut Vec<u8>) {
    match (version, addresses(header)) {
        (ProxyVersion::V1, Ends::V4(..) | Ends::V6(..)) => v1::encode(header, out),
        (ProxyVersion::V1, Ends::Mixed | Ends::Unnamed) => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        (ProxyVersion::V2, ends) => encode_v2(&ends, out),
    }
}

/// The same in version 2, with what a server wants to know besides (`proxy-v2-options`). Checks have no client.
pub(crate) fn encode_v2_telling(
    header: Header,
    options: ProxyOptions,
    client: Option<&ClientTold<'_>>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    encode_v2(&addresses(header), out);
    tlv::write(start, options, client, out);
}

/// Both ends in one family, IPv4-mapped IPv6 taken as IPv4.
enum Ends {
    V4((Ipv4Addr, u16), (Ipv4Addr, u16)),
    V6((Ipv6Addr, u16), (Ipv6Addr, u16)),
    Mixed,
    Unnamed,
}

fn addresses(header: Header) -> Ends {
    let Header::Proxied { source, destination } = header else { return Ends::Unnamed };
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ends::V4((from, source.port()), (to, destination.port())),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ends::V6((from, source.port()), (to, destination.port())),
        _ => Ends::Mixed,
    }
}

fn encode_v2(ends: &Ends, out: &mut Vec<u8>) {
    out.extend_from_slice(&V2_SIGNATURE);
    match ends {
        Ends::V4((from, from_port), (to, to_port)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, V2_INET as u8]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            out.extend_from_slice(&from_port.to_be_bytes());
            out.extend_from_slice(&to_port.to_be_bytes());
        }
        Ends::V6((from, from_port), (to, to_port)) => {
            out.extend_from_slice(&[0x21, 0x21, 0, V2_INET6 as u8]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            out.extend_from_slice(&from_port.to_be_bytes());
            out.extend_from_slice(&to_port.to_be_bytes());
        }
        Ends::Mixed => out.extend_from_slice(&[0x21, 0x00, 0, 0]),
        Ends::Unnamed => out.extend_from_slice(&[0x20, 0x00, 0, 0]),
    }
}

impl fmt::Display for BadProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadProxyHeader::NotAHeader => "client did not start with a PROXY header",
            BadProxyHeader::LineTooLong => "PROXY line longer than 107 bytes",
            BadProxyHeader::Protocol => "PROXY line names no known protocol",
            BadProxyHeader::Layout => "PROXY line does not hold two addresses and two ports",
            BadProxyHeader::Address => "PROXY line holds a bad address",
            BadProxyHeader::Port => "PROXY line holds a bad port",
            BadProxyHeader::Version => "PROXY header of an unknown version",
            BadProxyHeader::Command => "PROXY header with an unknown command",
            BadProxyHeader::Family => "PROXY header with an unknown address family",
            BadProxyHeader::TooShort => "PROXY header too short for its addresses",
            BadProxyHeader::TooLong => "PROXY header longer than 8192 bytes",
            BadProxyHeader::Tlv => "PROXY header with a broken extension",
            BadProxyHeader::Checksum => "PROXY header with a wrong checksum",
        })
    }
}

impl std::error::Error for BadProxyHeader {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxied(source: &str, destination: &str) -> Header {
        Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    /// Parses `input`, then every prefix of it (which must ask for more or already give the same answer), then with
    /// bytes behind.
    #[track_caller]
    fn check(input: &[u8], expected: Result<Header, BadProxyHeader>) {
        let whole = expected.map(|header| Parsed::Complete { header, consumed: input.len() });
        assert_eq!(parse(input), whole, "{}", input.escape_ascii());
        for end in 0..input.len() {
            let part = parse(&input[..end]);
            assert!(part == Ok(Parsed::NeedMore) || part == whole && part.is_err(), "cut at {end}: {part:?}");
        }
        let mut more = input.to_vec();
        more.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(parse(&more), whole, "with bytes behind: {}", input.escape_ascii());
    }

    #[track_caller]
    fn check_v1(line: &str, expected: Result<Header, BadProxyHeader>) {
        check(format!("{line}\r\n").as_bytes(), expected);
    }

    fn v2(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend_from_slice(&[version_command, family]);
        bytes.extend_from_slice(&u16::try_from(block.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(block);
        bytes
    }

    const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

    #[test]
    fn reads_v1_lines() {
        check_v1("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443", Ok(proxied("192.0.2.1:56324", "198.51.100.2:443")));
        check_v1("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535", Ok(proxied("0.0.0.0:0", "255.255.255.255:65535")));
        check_v1("PROXY TCP6 2001:db8::1 ::1 1 2", Ok(proxied("[2001:db8::1]:1", "[::1]:2")));
        check_v1("PROXY UNKNOWN", Ok(Header::Unnamed));
        check_v1("PROXY UNKNOWN anything\rat all 70000", Ok(Header::Unnamed));
        let longest = format!("PROXY UNKNOWN {}", "f".repeat(91));
        check_v1(&longest, Ok(Header::Unnamed));
    }

    #[test]
    fn refuses_v1_lines_others_might_read_differently() {
        check_v1("PROXY TCP4 9.8.7.256 1.1.1.1 1 2", Err(BadProxyHeader::Address));
        check_v1("PROXY TCP4 9.8.7.06 1.1.1.1 1 2", Err(BadProxyHeader::Address));
        check_v1("PROXY TCP4 9.8.7 1.1.1.1 1 2", Err(BadProxyHeader::Address));
        check_v1("PROXY TCP4 ::1 ::1 1 2", Err(BadProxyHeader::Address));
        check_v1("PROXY TCP6 1.1.1.1 1.1.1.1 1 2", Err(BadProxyHeader::Address));
        check_v1("PROXY TCP6 fe80::1%eth0 ::1 1 2", Err(BadProxyHeader::Address));
        check_v1("PROXY TCP4 1.1.1.1 1.1.1.1 70000 2", Err(BadProxyHeader::Port));
        check_v1("PROXY TCP4 1.1.1.1 1.1.1.1 1 +2", Err(BadProxyHeader::Port));
        check_v1("PROXY TCP4 1.1.1.1 1.1.1.1 01 2", Err(BadProxyHeader::Port));
        check_v1("PROXY TCP4 1.1.1.1 1.1.1.1 1 ", Err(BadProxyHeader::Port));
        check_v1("PROXY TCP4 1.1.1.1 1.1.1.1 1", Err(BadProxyHeader::Layout));
        check_v1("PROXY TCP4 1.1.1.1 1.1.1.1 1 2 3", Err(BadProxyHeader::Layout));
        check_v1("PROXY TCP4  1.1.1.1 1.1.1.1 1 2", Err(BadProxyHeader::Layout));
        check_v1("PROXY UDP4 1.1.1.1 1.1.1.1 1 2", Err(BadProxyHeader::Protocol));
        check_v1("PROXY ", Err(BadProxyHeader::Protocol));
        check_v1("PROXY UNKNOWNx", Err(BadProxyHeader::Protocol));
        check_v1("proxy TCP4 1.1.1.1 1.1.1.1 1 2", Err(BadProxyHeader::NotAHeader));
        check_v1("GET / HTTP/1.1", Err(BadProxyHeader::NotAHeader));
        check(b"\x16\x03\x01\x02\x00", Err(BadProxyHeader::NotAHeader));
        let long = format!("PROXY UNKNOWN {}", "f".repeat(92));
        check_v1(&long, Err(BadProxyHeader::LineTooLong));
    }

    #[test]
    fn reads_v2_headers() {
        let inet = proxied("192.0.2.1:56324", "198.51.100.2:443");
        check(&v2(0x21, 0x11, &INET), Ok(inet));
        check(&v2(0x21, 0x12, &INET), Ok(inet));
        let mut inet6 = [0; 36];
        inet6[15] = 1;
        inet6[31] = 2;
        inet6[33] = 7;
        inet6[35] = 8;
        check(&v2(0x21, 0x21, &inet6), Ok(proxied("[::1]:7", "[::2]:8")));
        check(&v2(0x21, 0x31, &[b'x'; 216]), Ok(Header::Unnamed));
        check(&v2(0x21, 0x00, b""), Ok(Header::Unnamed));
        check(&v2(0x20, 0x00, b""), Ok(Header::Unnamed));
        check(&v2(0x20, 0xff, b"whatever"), Ok(Header::Unnamed));
        let with_tlvs = [&INET[..], &[0x04, 0, 2, 9, 9], &[0x02, 0, 1, b'x'], &[0xea, 0, 0]].concat();
        let bytes = v2(0x21, 0x11, &with_tlvs);
        check(&bytes, Ok(inet));
        assert_eq!(tlvs(&bytes).and_then(|tlvs| tlvs.get(2).map(<[u8]>::to_vec)), Some(b"x".to_vec()));
        // LOCAL: everything is to be discarded (spec §2.2).
        assert_eq!(tlvs(&v2(0x20, 0x11, &with_tlvs)), None);
        assert_eq!(tlvs(&v2(0x21, 0x11, &INET)), None);
        assert_eq!(tlvs(b"PROXY UNKNOWN\r\n"), None);
    }

    #[test]
    fn refuses_v2_headers_out_of_the_specification() {
        check(&v2(0x11, 0x11, &INET), Err(BadProxyHeader::Version));
        check(&v2(0x22, 0x11, &INET), Err(BadProxyHeader::Command));
        check(&v2(0x21, 0x41, &INET), Err(BadProxyHeader::Family));
        check(&v2(0x21, 0x13, &INET), Err(BadProxyHeader::Family));
        check(&v2(0x21, 0x11, &INET[..11]), Err(BadProxyHeader::TooShort));
        check(&v2(0x21, 0x21, &INET), Err(BadProxyHeader::TooShort));
        check(&v2(0x21, 0x11, &[&INET[..], &[0x04, 0, 2, 9]].concat()), Err(BadProxyHeader::Tlv));
        check(&v2(0x21, 0x11, &[&INET[..], &[0x04, 0]].concat()), Err(BadProxyHeader::Tlv));
        check(&v2(0x21, 0x11, &[&INET[..], &[0x03, 0, 3, 1, 2, 3]].concat()), Err(BadProxyHeader::Tlv));
        check(&v2(0x21, 0x11, &[0; V2_LIMIT]), Err(BadProxyHeader::TooLong));
    }

    #[test]
    fn verifies_a_checksum_when_there_is_one() {
        use tlv::crc32c_without;
        assert_eq!(crc32c_without(b"123456789", 9), 0xe306_9283); // the check value of CRC-32C
        let block = [&INET[..], &[0x04, 0, 1, 0], &[0x03, 0, 4, 0, 0, 0, 0], &[0x04, 0, 0]].concat();
        let mut bytes = v2(0x21, 0x11, &block);
        check(&bytes, Err(BadProxyHeader::Checksum));
        let hole = bytes.len() - 7;
        let crc = crc32c_without(&bytes, hole).to_be_bytes();
        bytes[hole..hole + 4].copy_from_slice(&crc);
        check(&bytes, Ok(proxied("192.0.2.1:56324", "198.51.100.2:443")));
        // Behind a right one, a second one.
        let again = [&block[..], &[0x03, 0, 4, 0, 0, 0, 0]].concat();
        let mut twice = v2(0x21, 0x11, &again);
        let crc = crc32c_without(&twice, hole).to_be_bytes();
        twice[hole..hole + 4].copy_from_slice(&crc);
        check(&twice, Err(BadProxyHeader::Tlv));
        bytes[16] ^= 1;
        check(&bytes, Err(BadProxyHeader::Checksum));
    }

    #[track_caller]
    fn check_encode(header: Header, v1: &str, v2_start: [u8; 4]) {
        let mut out = Vec::new();
        encode(ProxyVersion::V1, header, &mut out);
        assert_eq!(out, v1.as_bytes(), "{}", out.escape_ascii());
        out.clear();
        encode(ProxyVersion::V2, header, &mut out);
        assert_eq!(out[12..16], v2_start);
        assert_eq!(out.len(), 16 + usize::from(v2_start[3]));
    }

    #[test]
    fn writes_headers() {
        check_encode(proxied("1.2.3.4:5", "6.7.8.9:10"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n", [0x21, 0x11, 0, 12]);
        check_encode(
            proxied("[::ffff:1.2.3.4]:5", "6.7.8.9:10"),
            "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n",
            [0x21, 0x11, 0, 12],
        );
        check_encode(
            proxied("[2001:db8::1]:5", "[::1]:10"),
            "PROXY TCP6 2001:db8::1 ::1 5 10\r\n",
            [0x21, 0x21, 0, 36],
        );
        check_encode(proxied("[::1]:5", "6.7.8.9:10"), "PROXY UNKNOWN\r\n", [0x21, 0x00, 0, 0]);
        check_encode(Header::Unnamed, "PROXY UNKNOWN\r\n", [0x20, 0x00, 0, 0]);
    }

    proptest! {
        #[test]
        fn reads_back_what_it_writes(v4: [[u8; 4]; 2], v6: [[u8; 16]; 2], ports: [u16; 2], six: bool) {
            let end = |i: usize| {
                let ip: IpAddr = if six { v6[i].into() } else { v4[i].into() };
                SocketAddr::new(ip, ports[i])
            };
            let header = Header::Proxied { source: end(0), destination: end(1) };
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let mut out = Vec::new();
                encode(version, header, &mut out);
                prop_assert_eq!(parse(&out), Ok(Parsed::Complete { header, consumed: out.len() }));
            }
        }

        #[test]
        fn takes_any_bytes(start in 0..3usize, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut input = [&b""[..], V1_START, &V2_SIGNATURE][start].to_vec();
            input.extend_from_slice(&bytes);
            match parse(&input) {
                Ok(Parsed::Complete { consumed, .. }) => prop_assert!(consumed <= input.len()),
                Ok(Parsed::NeedMore) => prop_assert!(input.len() < V2_LIMIT),
                Err(_) => {}
            }
        }

        #[test]
        fn any_values_mean_the_same_in_pieces_and_told_on(
            values in prop::collection::vec((0..=0x31u8, prop::collection::vec(any::<u8>(), 0..140)), 0..6),
            cut in 0..4usize,
        ) {
            let mut block = INET.to_vec();
            for (kind, value) in &values {
                block.push(*kind);
                block.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
                block.extend_from_slice(value);
            }
            block.truncate(block.len() - cut.min(block.len() - INET.len()));
            crate::bench_api::fuzz_proxy_header(&v2(0x21, 0x11, &block));
        }
    }

    #[test]
    fn a_reader_that_asks_how_much_to_read_never_reads_beyond_the_header() {
        for header in [
            &b"PROXY UNKNOWN\r\n"[..],
            b"PROXY UNKNOWN and more\r\n",
            b"PROXY TCP6 :: :: 1 1\r\n",
            b"PROXY TCP4 192.168.100.100 192.168.100.101 65535 65534\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02",
        ] {
            let mut have = 0;
            while let Parsed::NeedMore = parse(&header[..have]).unwrap() {
                have += bytes_to_read(&header[..have]);
                assert!(have <= header.len(), "reads {have} of {header:?}");
            }
        }
    }
}
