//! What a server is told about the client (X-Forwarded-*, RFC 7239).

use std::net::IpAddr;

/// Which forwarding fields one proxy adds. Frontend's and backend's are merged when the exchange picks its backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// HAProxy's `option forwardfor`: adds one header line, keeps what came.
    pub forwardfor: Option<ForwardFor>,
    /// The native, spoof-proof set. Fields of an untrusted client are replaced, of a trusted proxy appended to.
    pub fields: Option<ForwardedFields>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForwardFor {
    /// Clients inside are not added (`except`).
    pub except: Networks,
    /// `X-Forwarded-For` unless `header` names another.
    pub header: String,
    /// `if-none`: only when the request has no such field yet.
    pub if_none: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForwardedFields {
    /// X-Forwarded-For, under this name (Ops Manager lets its operator choose).
    pub for_header: Option<String>,
    pub host: bool,
    pub proto: bool,
    pub port: bool,
    /// X-Forwarded-Server with this value, the proxy's host name.
    pub server: Option<String>,
    /// X-Proxied-Https with this value when the client used TLS; absent otherwise.
    pub proxied_https: Option<String>,
    /// RFC 7239 `Forwarded`.
    pub rfc7239: bool,
    /// Proxies whose own fields are believed.
    pub trusted: Networks,
}

/// A set of networks, by address and prefix length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    list: Vec<Network>,
}

/// One network in CIDR form; a lone address has the full prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub address: IpAddr,
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub prefix: u8,
}

impl Networks {
    pub fn new(list: Vec<Network>) -> Self {
        Networks { list }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.list.iter().any(|network| network.contains(address))
    }
}

impl Network {
    /// IPv4-mapped IPv6 addresses match as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, prefix: u8, inside: &str, outside: &str) {
        let network = Network { address: network.parse().unwrap(), prefix };
        assert!(network.contains(inside.parse().unwrap()), "{inside} in {network:?}");
        assert!(!network.contains(outside.parse().unwrap()), "{outside} not in {network:?}");
    }

    #[test]
    fn contains_by_prefix() {
        check("10.0.0.0", 8, "10.255.0.1", "11.0.0.1");
        check("10.1.2.3", 32, "10.1.2.3", "10.1.2.4");
        check("0.0.0.0", 0, "1.2.3.4", "::1");
        check("2001:db8::", 32, "2001:db8:1::1", "2001:db9::1");
        check("::", 0, "::1", "1.2.3.4");
        check("10.0.0.0", 8, "::ffff:10.0.0.1", "::ffff:11.0.0.1");
    }
}
