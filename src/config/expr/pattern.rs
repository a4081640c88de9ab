//! What must a value match? Patterns of each kind: numbers and ranges, networks, texts (HAProxy manual 7.1.1 to 7.1.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ExprError;
use crate::model::forwarded::{Network, Networks};
use crate::model::rule::IntegerMatch;

/// Reads `80`, `1024:`, `:1023`, `gt 3`, `eq 1 2`: an operator holds for the words behind it, up to the next one.
pub(super) fn parse_integers(words: &[String], first: usize) -> Result<Vec<IntegerMatch>, ExprError> {
    let mut matches = Vec::new();
    let mut operator = "eq";
    let mut pending = None;
    for (at, word) in words.iter().enumerate() {
        if matches!(word.as_str(), "eq" | "ge" | "gt" | "le" | "lt") {
            operator = word;
            pending = Some(at);
            continue;
        }
        pending = None;
        matches.push(integer_match(operator, word).map_err(|error| error.at(first + at))?);
    }
    match pending {
        Some(at) => Err(ExprError::new(first + at, format!("a number is missing behind `{operator}`"))),
        None => Ok(matches),
    }
}

fn integer_match(operator: &str, word: &str) -> Result<IntegerMatch, ExprError> {
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| ExprError::new(0, format!("`{word}` is not a number or a range of numbers")))
    };
    if let Some((from, to)) = word.split_once(':') {
        if operator != "eq" {
            return Err(ExprError::new(0, format!("a range such as `{word}` cannot stand behind `{operator}`")));
        }
        if from.is_empty() && to.is_empty() {
            return Err(ExprError::new(0, "`:` is a range without an end"));
        }
        let from = if from.is_empty() { i64::MIN } else { number(from)? };
        let to = if to.is_empty() { i64::MAX } else { number(to)? };
        if from > to {
            return Err(ExprError::new(0, format!("`{word}` is a range that ends before it starts")));
        }
        return Ok(IntegerMatch { from, to });
    }
    let value = number(word)?;
    let nothing = || ExprError::new(0, format!("no number can be `{operator} {word}`"));
    Ok(match operator {
        "ge" => IntegerMatch { from: value, to: i64::MAX },
        "gt" => IntegerMatch { from: value.checked_add(1).ok_or_else(nothing)?, to: i64::MAX },
        "le" => IntegerMatch { from: i64::MIN, to: value },
        "lt" => IntegerMatch { from: i64::MIN, to: value.checked_sub(1).ok_or_else(nothing)? },
        _ => IntegerMatch { from: value, to: value },
    })
}

/// Reads `3.1`, `3:3.1`, `ge 3.3`: versions of a protocol as [`parse_integers`] reads numbers (manual 7.1.2).
pub(super) fn parse_versions(words: &[String], first: usize) -> Result<Vec<IntegerMatch>, ExprError> {
    let mut numbers = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let number = |text: &str| match text.split_once('.') {
            _ if text.is_empty() => Some(String::new()),
            Some((major, minor)) => Some((major.parse::<u16>().ok()?, minor.parse::<u16>().ok()?))
                .map(|(major, minor)| as_number(major, minor)),
            None => text.parse().ok().map(|major: u16| as_number(major, 0)),
        };
        let read = match word.split_once(':') {
            _ if matches!(word.as_str(), "eq" | "ge" | "gt" | "le" | "lt") => Some(word.clone()),
            Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| format!("{from}:{to}")),
            None => number(word).filter(|number| !number.is_empty()),
        };
        let wrong =
            || ExprError::new(first + at, format!("`{word}` is not a version, or a range of them, such as `3.1`"));
        numbers.push(read.ok_or_else(wrong)?);
    }
    parse_integers(&numbers, first)
}

fn as_number(major: u16, minor: u16) -> String {
    (u32::from(major) << 16 | u32::from(minor)).to_string()
}

/// Reads `16 03`-like patterns without blanks: `1603`.
pub(super) fn parse_hex(text: &str) -> Result<Vec<u8>, ExprError> {
    let wrong = || ExprError::new(0, format!("`{text}` is not made of pairs of hexadecimal digits"));
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect::<Option<_>>().ok_or_else(wrong)
}

/// Reads `10.0.0.0/8`, `192.168/255.255.0.0`, `127.1`, `::1`, `2001:db8::/32`.
pub(super) fn parse_networks(words: &[String], first: usize) -> Result<Networks, ExprError> {
    let mut list = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let network = parse_network(word).map_err(|error| error.at(first + at))?;
        list.push(network);
        // IPv4 clients are looked for in IPv6 networks as ::ffff:a.b.c.d (manual 7.1.6), so ::/0 holds them all.
        if holds_mapped(network) {
            list.push(Network { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 });
        }
    }
    Ok(Networks::new(list))
}

/// Whether a network of IPv6 holds every IPv4-mapped address.
fn holds_mapped(network: Network) -> bool {
    let IpAddr::V6(address) = network.address else {
        return false;
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(network.prefix)).unwrap_or(0);
    let mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().to_bits();
    network.prefix <= 96 && address.to_bits() & mask == mapped & mask
}

fn parse_network(word: &str) -> Result<Network, ExprError> {
    let wrong = |reason: &str| ExprError::new(0, format!("`{word}` is not an address or a network{reason}"));
    let (address, mask) = match word.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (word, None),
    };
    if address.contains(':') {
        let address: Ipv6Addr = address.parse().map_err(|_| wrong(""))?;
        let prefix = match mask {
            None => 128,
            Some(mask) => mask
                .parse()
                .ok()
                .filter(|bits| *bits <= 128)
                .ok_or_else(|| wrong(": behind `/` of an IPv6 network stands a number of bits up to 128"))?,
        };
        return Ok(match address.to_ipv4_mapped() {
            Some(mapped) if prefix >= 96 => Network { address: IpAddr::V4(mapped), prefix: prefix - 96 },
            _ => Network { address: IpAddr::V6(address), prefix },
        });
    }
    let Some(address) = parse_short_ipv4(address) else {
        let error = wrong("");
        return Err(if word.chars().any(|c| c.is_ascii_alphabetic()) {
            error.hint("names are not resolved here: write the address")
        } else {
            error
        });
    };
    let prefix = match mask {
        None => 32,
        Some(mask) if mask.contains('.') => mask
            .parse::<Ipv4Addr>()
            .ok()
            .filter(|mask| mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() == 32)
            .map(|mask| mask.to_bits().leading_ones() as u8)
            .ok_or_else(|| wrong(": its mask must be ones, then zeros"))?,
        Some(mask) => mask
            .parse()
            .ok()
            .filter(|bits| *bits <= 32)
            .ok_or_else(|| wrong(": behind `/` of an IPv4 network stands a mask or a number of bits up to 32"))?,
    };
    Ok(Network { address: IpAddr::V4(address), prefix })
}

/// `127.1` is 127.0.0.1 and `192.168.1` is 192.168.0.1: the last number is the last octet (manual 7.1.6).
fn parse_short_ipv4(text: &str) -> Option<Ipv4Addr> {
    let octets: Vec<u8> = text
        .split('.')
        .map(|octet| octet.parse().ok().filter(|_| octet.bytes().all(|byte| byte.is_ascii_digit())))
        .collect::<Option<_>>()?;
    let (last, front) = octets.split_last()?;
    if front.is_empty() || front.len() > 3 {
        return None;
    }
    let mut address = [0; 4];
    address[..front.len()].copy_from_slice(front);
    address[3] = *last;
    Some(address.into())
}

/// Patterns of a file: one a line, blanks around it taken off, `#` starts a comment line (manual 7.1, `-f`).
pub(super) fn lines(content: &str) -> impl Iterator<Item = &str> {
    content.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    #[track_caller]
    fn check_integers(text: &str, expected: &str) {
        let shown = match parse_integers(&words(text), 1) {
            Ok(matches) => {
                let bound = |bound: i64| match bound {
                    i64::MIN => "min".to_string(),
                    i64::MAX => "max".to_string(),
                    bound => bound.to_string(),
                };
                let range = |found: &IntegerMatch| format!("{}..{}", bound(found.from), bound(found.to));
                matches.iter().map(range).collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("{}: {error}", error.word),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn integers() {
        check_integers("80 443", "80..80 443..443");
        check_integers("1024:65535 1024: :1023", "1024..65535 1024..max min..1023");
        check_integers("gt 3", "4..max");
        check_integers("ge 3 4", "3..max 4..max");
        check_integers("lt 0", "min..-1");
        check_integers("le -1", "min..-1");
        check_integers("eq 80 gt 10000", "80..80 10001..max");
        check_integers("abc", "1: `abc` is not a number or a range of numbers");
        check_integers("1 1.5", "2: `1.5` is not a number or a range of numbers");
        check_integers("6:4", "1: `6:4` is a range that ends before it starts");
        check_integers(":", "1: `:` is a range without an end");
        check_integers("gt 1:2", "2: a range such as `1:2` cannot stand behind `gt`");
        check_integers("3 gt", "2: a number is missing behind `gt`");
        check_integers("gt 9223372036854775807", "2: no number can be `gt 9223372036854775807`");
        check_integers("99999999999999999999", "1: `99999999999999999999` is not a number or a range of numbers");
    }

    #[track_caller]
    fn check_network(text: &str, inside: &[&str], outside: &[&str]) {
        let networks = parse_networks(&words(text), 0).unwrap_or_else(|error| panic!("{text}: {error}"));
        for address in inside {
            assert!(networks.contains(address.parse().unwrap()), "{address} in {text}");
        }
        for address in outside {
            assert!(!networks.contains(address.parse().unwrap()), "{address} not in {text}");
        }
    }

    #[test]
    fn networks() {
        check_network("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2"]);
        check_network("127.1", &["127.0.0.1"], &["127.1.0.0"]);
        check_network("192.168.1/22", &["192.168.3.255"], &["192.168.4.0"]);
        check_network("10.0.0.12/8", &["10.255.0.0"], &["11.0.0.0"]);
        check_network("10.0.0.0/255.0.0.0 ::1", &["10.1.1.1", "::1"], &["::2", "11.0.0.0"]);
        check_network("::ffff:127.0.0.1", &["127.0.0.1"], &["::1"]);
        check_network("::ffff:0:0/96", &["1.2.3.4"], &["::1"]);
        check_network("::/0", &["1.2.3.4", "::1"], &[]);
        check_network("2001:db8::/32", &["2001:db8::9"], &["1.2.3.4", "2001:db9::"]);
        check_network("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
    }

    #[track_caller]
    fn check_wrong_network(text: &str, expected: &str) {
        let error = parse_networks(&words(text), 0).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn wrong_networks() {
        check_wrong_network("300.1.1.1", "`300.1.1.1` is not an address or a network");
        check_wrong_network("host.example", "`host.example` is not an address or a network");
        check_wrong_network("10", "`10` is not an address or a network");
        check_wrong_network("1.2.3.4.5", "`1.2.3.4.5` is not an address or a network");
        check_wrong_network(
            "10.0.0.0/33",
            "`10.0.0.0/33` is not an address or a network: behind `/` of an IPv4 network stands a mask or a number of \
             bits up to 32",
        );
        check_wrong_network(
            "10.0.0.0/255.0.255.0",
            "`10.0.0.0/255.0.255.0` is not an address or a network: its mask must be ones, then zeros",
        );
        check_wrong_network(
            "::1/129",
            "`::1/129` is not an address or a network: behind `/` of an IPv6 network stands a number of bits up to 128",
        );
        check_wrong_network("+1.2.3.4", "`+1.2.3.4` is not an address or a network");
    }

    #[test]
    fn pattern_files() {
        let found: Vec<_> = lines("# no\na\r\n\n  #yes \n b c\t").collect();
        assert_eq!(found, ["a", "#yes", "b c"]);
    }
}
