//! What does an address in a configuration mean? (HAProxy manual 4.2 `bind`, 5.2 `server`, 11 "address formats")
//!
//! Text to parts, no names looked up: a host may still be a name. Both readers keep addresses as text; `resolve`
//! asks here, so that the two languages mean the same.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// More listeners than this in one range is a slip of the finger.
const WIDEST_RANGE: u32 = 1_024;

/// One place to listen at, ports expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BindAddress {
    Tcp { host: Host, port: u16 },
    Unix { path: PathBuf, is_abstract: bool },
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerEndpoint {
    /// Without a port the client's own is meant.
    Tcp {
        host: Host,
        port: ServerPort,
    },
    Unix {
        path: PathBuf,
        is_abstract: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    /// To be looked up, in one family when that was said.
    Name {
        name: String,
        family: Option<Family>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerPort {
    Fixed(u16),
    /// `server a 10.0.0.1`: the port the client connected to.
    AsClient,
    /// `server a 10.0.0.1:+1000`: the same, moved.
    Moved(i32),
}

/// Why an address cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressError {
    Empty,
    MissingPort {
        address: String,
    },
    BadPort {
        port: String,
    },
    /// `90-80`.
    BackwardRange {
        range: String,
    },
    WideRange {
        range: String,
    },
    RangeNotAllowed {
        range: String,
    },
    /// `ipv4@` before something else, or `10.0.0.256`.
    BadIp {
        address: String,
    },
    /// `quic4@`, `fd@` and the like.
    FamilyNotBuilt {
        family: String,
    },
    UnknownFamily {
        family: String,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Empty => f.write_str("an address is missing"),
            AddressError::MissingPort { address } => write!(f, "`{address}` names no port"),
            AddressError::BadPort { port } => write!(f, "`{port}` is not a port, 0 to 65535"),
            AddressError::BackwardRange { range } => write!(f, "the range `{range}` ends before it begins"),
            AddressError::WideRange { range } => {
                write!(f, "the range `{range}` is too wide; at most {WIDEST_RANGE} ports")
            }
            AddressError::RangeNotAllowed { range } => write!(f, "a range of ports (`{range}`) cannot stand here"),
            AddressError::BadIp { address } => write!(f, "`{address}` is not an IP address"),
            AddressError::FamilyNotBuilt { family } => write!(f, "`{family}@` addresses are known but not built yet"),
            AddressError::UnknownFamily { family } => write!(f, "`{family}@` is not an address family"),
        }
    }
}

impl std::error::Error for AddressError {}

impl AddressError {
    /// What may be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            AddressError::MissingPort { address } => Some(format!("write `{address}:80`, or `:80` for every address")),
            AddressError::UnknownFamily { .. } => Some("known are ipv4@, ipv6@, unix@ and abns@".to_owned()),
            _ => None,
        }
    }
}

/// Reads a `bind` address: one or several separated by commas, each with a port or a range of ports.
///
/// # Errors
/// The first thing wrong.
pub(crate) fn parse_bind(text: &str) -> Result<Vec<BindAddress>, AddressError> {
    let mut addresses = Vec::new();
    for one in text.split(',') {
        match split_family(one)? {
            Place::Unix { path, is_abstract } => addresses.push(BindAddress::Unix { path, is_abstract }),
            Place::Tcp { family, address } => {
                let (host, ports) = split_port(address);
                let ports = ports.ok_or_else(|| AddressError::MissingPort { address: one.to_owned() })?;
                let host = parse_host(host, family)?;
                let (first, last) = parse_range(ports)?;
                addresses.extend((first..=last).map(|port| BindAddress::Tcp { host: host.clone(), port }));
            }
        }
    }
    Ok(addresses)
}

/// Reads a `server` address.
///
/// # Errors
/// The first thing wrong.
pub(crate) fn parse_server(text: &str) -> Result<ServerEndpoint, AddressError> {
    let (family, address) = match split_family(text)? {
        Place::Unix { path, is_abstract } => return Ok(ServerEndpoint::Unix { path, is_abstract }),
        Place::Tcp { family, address } => (family, address),
    };
    let (host, port) = split_port(address);
    let host = parse_host(host, family)?;
    let port = match port {
        None => ServerPort::AsClient,
        Some(moved) if moved.starts_with(['+', '-']) => {
            let by = moved.parse().map_err(|_| AddressError::BadPort { port: moved.to_owned() })?;
            ServerPort::Moved(by)
        }
        Some(range) if range.contains('-') => return Err(AddressError::RangeNotAllowed { range: range.to_owned() }),
        Some(port) => ServerPort::Fixed(parse_port(port)?),
    };
    Ok(ServerEndpoint::Tcp { host, port })
}

/// Where connections come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub host: Host,
    /// First and last; `None` without a port, and for port 0.
    pub ports: Option<(u16, u16)>,
}

/// Reads `10.0.0.5`, `10.0.0.5:1000`, `10.0.0.5:1000-2000`.
///
/// # Errors
/// The first thing wrong.
pub(crate) fn parse_source(text: &str) -> Result<Source, AddressError> {
    let (family, address) = match split_family(text)? {
        Place::Tcp { family, address } => (family, address),
        Place::Unix { .. } => return Err(AddressError::BadIp { address: text.to_owned() }),
    };
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Ok(Source { host: Host::Ip(ip), ports: None }); // `::1` has no port
    }
    let (host, ports) = split_port(address);
    let ports = match ports {
        None => None,
        Some(range) => {
            let (first, last) = match range.split_once('-') {
                Some((first, last)) => (parse_port(first)?, parse_port(last)?),
                None => parse_port(range).map(|port| (port, port))?,
            };
            if first > last {
                return Err(AddressError::BackwardRange { range: range.to_owned() });
            }
            Some((first, last)).filter(|(first, _)| *first > 0)
        }
    };
    Ok(Source { host: parse_host(host, family)?, ports })
}

/// Reads an address without a port: `addr 10.0.0.9`.
///
/// # Errors
/// The first thing wrong.
pub(crate) fn parse_host_only(text: &str) -> Result<Host, AddressError> {
    match split_family(text)? {
        Place::Tcp { family, address } => {
            parse_host(address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address), family)
        }
        Place::Unix { .. } => Err(AddressError::BadIp { address: text.to_owned() }),
    }
}

enum Place<'a> {
    Tcp { family: Option<Family>, address: &'a str },
    Unix { path: PathBuf, is_abstract: bool },
}

fn split_family(text: &str) -> Result<Place<'_>, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.starts_with('/') {
        return Ok(Place::Unix { path: text.into(), is_abstract: false });
    }
    let Some((family, rest)) = text.split_once('@') else {
        return Ok(Place::Tcp { family: None, address: text });
    };
    if rest.is_empty() {
        return Err(AddressError::Empty);
    }
    match family {
        "ipv4" | "tcp4" => Ok(Place::Tcp { family: Some(Family::V4), address: rest }),
        "ipv6" | "tcp6" => Ok(Place::Tcp { family: Some(Family::V6), address: rest }),
        "ip" | "tcp" => Ok(Place::Tcp { family: None, address: rest }),
        "unix" => Ok(Place::Unix { path: rest.into(), is_abstract: false }),
        "abns" => Ok(Place::Unix { path: rest.into(), is_abstract: true }),
        "fd" | "sockpair" | "udp" | "udp4" | "udp6" | "uxdg" | "uxst" | "quic4" | "quic6" | "rhttp" | "rev"
        | "mptcp" | "mptcp4" | "mptcp6" | "abnsz" | "ring" => {
            Err(AddressError::FamilyNotBuilt { family: family.to_owned() })
        }
        _ => Err(AddressError::UnknownFamily { family: family.to_owned() }),
    }
}

/// Splits off what stands behind the last colon outside brackets. `::1` has no port for us only when it is all the
/// text there is and reads as an address.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some(inside) = text.strip_prefix('[')
        && let Some((host, rest)) = inside.split_once(']')
    {
        return (host, rest.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        Some((host, "")) if !host.contains(':') => (host, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

fn parse_host(host: &str, family: Option<Family>) -> Result<Host, AddressError> {
    let bad = || AddressError::BadIp { address: host.to_owned() };
    if host.is_empty() || host == "*" {
        let any = if family == Some(Family::V6) { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        return Ok(Host::Ip(any));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        let fits = match family {
            Some(Family::V4) => ip.is_ipv4(),
            Some(Family::V6) => ip.is_ipv6(),
            None => true,
        };
        return if fits { Ok(Host::Ip(ip)) } else { Err(bad()) };
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // What has only digits and dots was meant as an address.
    if !host.chars().all(is_name) || host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(bad());
    }
    Ok(Host::Name { name: host.to_owned(), family })
}

fn parse_range(text: &str) -> Result<(u16, u16), AddressError> {
    let Some((first, last)) = text.split_once('-') else {
        let port = parse_port(text)?;
        return Ok((port, port));
    };
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    let range = || text.to_owned();
    match u32::from(last).checked_sub(u32::from(first)) {
        None => Err(AddressError::BackwardRange { range: range() }),
        Some(more) if more >= WIDEST_RANGE => Err(AddressError::WideRange { range: range() }),
        Some(_) => Ok((first, last)),
    }
}

/// Port 0 lets the kernel choose, which tests use.
fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits => Ok(port),
        _ => Err(AddressError::BadPort { port: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Addresses as `ip:port` or `unix:path`, blanks between; errors as their text.
    #[track_caller]
    fn check_bind(text: &str, expected: &str) {
        let shown = match parse_bind(text) {
            Ok(list) => list.iter().map(show_bind).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    fn show_bind(address: &BindAddress) -> String {
        match address {
            BindAddress::Tcp { host, port } => format!("{}:{port}", show_host(host)),
            BindAddress::Unix { path, is_abstract: false } => format!("unix:{}", path.display()),
            BindAddress::Unix { path, is_abstract: true } => format!("abns:{}", path.display()),
        }
    }

    fn show_host(host: &Host) -> String {
        match host {
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
            Host::Ip(ip) => ip.to_string(),
            Host::Name { name, family: None } => name.clone(),
            Host::Name { name, family: Some(family) } => format!("{name}/{family:?}"),
        }
    }

    #[track_caller]
    fn check_server(text: &str, expected: &str) {
        let shown = match parse_server(text) {
            Ok(ServerEndpoint::Tcp { host, port }) => format!("{} {port:?}", show_host(&host)),
            Ok(ServerEndpoint::Unix { path, is_abstract }) => format!("{} {is_abstract}", path.display()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn reads_every_form_of_bind() {
        check_bind("*:80", "0.0.0.0:80");
        check_bind(":80", "0.0.0.0:80");
        check_bind("127.0.0.1:0", "127.0.0.1:0");
        check_bind("10.0.0.1:80,10.0.0.1:443", "10.0.0.1:80 10.0.0.1:443");
        check_bind(":80,:8080-8082", "0.0.0.0:80 0.0.0.0:8080 0.0.0.0:8081 0.0.0.0:8082");
        check_bind("[::]:80", "[::]:80");
        check_bind(":::80", "[::]:80");
        check_bind("::1:80", "[::1]:80");
        check_bind("ipv6@*:80", "[::]:80");
        check_bind("ipv6@:80", "[::]:80");
        check_bind("ipv4@example.test:80", "example.test/V4:80");
        check_bind("localhost:80", "localhost:80");
        check_bind("unix@/run/x.sock", "unix:/run/x.sock");
        check_bind("/run/x.sock,:80", "unix:/run/x.sock 0.0.0.0:80");
        check_bind("abns@name", "abns:name");
    }

    #[test]
    fn refuses_binds_that_mean_nothing() {
        check_bind("", "an address is missing");
        check_bind(":80,", "an address is missing");
        check_bind("unix@", "an address is missing");
        check_bind("10.0.0.1", "`10.0.0.1` names no port");
        check_bind("10.0.0.1:", "`10.0.0.1:` names no port");
        check_bind("[::1]", "`[::1]` names no port");
        check_bind(":70000", "`70000` is not a port, 0 to 65535");
        check_bind(":+80", "`+80` is not a port, 0 to 65535");
        check_bind(":http", "`http` is not a port, 0 to 65535");
        check_bind(":90-80", "the range `90-80` ends before it begins");
        check_bind(":1-65535", "the range `1-65535` is too wide; at most 1024 ports");
        check_bind("10.0.0.256:80", "`10.0.0.256` is not an IP address");
        check_bind("ipv4@[::1]:80", "`::1` is not an IP address");
        check_bind("a b:80", "`a b` is not an IP address");
        check_bind("fd@3", "`fd@` addresses are known but not built yet");
        check_bind("upv4@:80", "`upv4@` is not an address family");
    }

    #[test]
    fn reads_every_form_of_server() {
        check_server("10.0.0.1:80", "10.0.0.1 Fixed(80)");
        check_server("[2001:db8::1]:80", "[2001:db8::1] Fixed(80)");
        check_server("app.internal:8080", "app.internal Fixed(8080)");
        check_server("10.0.0.1", "10.0.0.1 AsClient");
        check_server("10.0.0.1:", "10.0.0.1 AsClient");
        check_server("10.0.0.1:+1000", "10.0.0.1 Moved(1000)");
        check_server("10.0.0.1:-10", "10.0.0.1 Moved(-10)");
        check_server("unix@/run/app.sock", "/run/app.sock false");
        check_server("10.0.0.1:80-90", "a range of ports (`80-90`) cannot stand here");
        check_server("10.0.0.1:70000", "`70000` is not a port, 0 to 65535");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-z:.,@/\\[\\]*+ -]{0,24}") {
            let _ = parse_bind(&text);
            let _ = parse_server(&text);
            let _ = parse_host_only(&text);
        }
    }
}
