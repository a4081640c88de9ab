//! Version 1: one line of text (spec §2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{BadProxyHeader, Ends, Header, Parsed, V1_LIMIT, V1_START, addresses};

pub(super) fn parse(input: &[u8]) -> Result<Parsed, BadProxyHeader> {
    let window = &input[..input.len().min(V1_LIMIT)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() < V1_LIMIT { Ok(Parsed::NeedMore) } else { Err(BadProxyHeader::LineTooLong) };
    };
    let header = v1_header(window.get(V1_START.len()..end).unwrap_or_default())?;
    Ok(Parsed::Complete { header, consumed: end + 2 })
}

/// `line` is what stands between `PROXY ` and the line end.
fn v1_header(line: &[u8]) -> Result<Header, BadProxyHeader> {
    let mut words = line.split(|&byte| byte == b' ');
    let protocol = words.next().unwrap_or_default();
    match protocol {
        // Whatever follows is to be ignored (spec §2.1).
        b"UNKNOWN" => return Ok(Header::Unnamed),
        b"TCP4" | b"TCP6" => {}
        _ => return Err(BadProxyHeader::Protocol),
    }
    let (Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BadProxyHeader::Layout);
    };
    let address = |text: &[u8]| v1_address(text, protocol == b"TCP4");
    Ok(Header::Proxied {
        source: SocketAddr::new(address(source)?, v1_port(source_port)?),
        destination: SocketAddr::new(address(destination)?, v1_port(destination_port)?),
    })
}

/// The standard library reads both families strictly: no leading zeros, no short forms, no zone.
fn v1_address(text: &[u8], v4: bool) -> Result<IpAddr, BadProxyHeader> {
    let text = std::str::from_utf8(text).map_err(|_| BadProxyHeader::Address)?;
    let address = if v4 { text.parse::<Ipv4Addr>().map(IpAddr::V4) } else { text.parse::<Ipv6Addr>().map(IpAddr::V6) };
    address.map_err(|_| BadProxyHeader::Address)
}

fn v1_port(text: &[u8]) -> Result<u16, BadProxyHeader> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text[0] != b'0');
    let digits = std::str::from_utf8(text).ok().filter(|_| plain).ok_or(BadProxyHeader::Port)?;
    digits.parse().map_err(|_| BadProxyHeader::Port)
}

/// Nothing where the two ends cannot stand in one line.
pub(super) fn encode(header: Header, out: &mut Vec<u8>) {
    let line = match addresses(header) {
        Ends::V4((from, from_port), (to, to_port)) => format!("PROXY TCP4 {from} {to} {from_port} {to_port}\r\n"),
        Ends::V6((from, from_port), (to, to_port)) => format!("PROXY TCP6 {from} {to} {from_port} {to_port}\r\n"),
        Ends::Mixed | Ends::Unnamed => return,
    };
    out.extend_from_slice(line.as_bytes());
}
