//! Which forwarding fields are servers told? (HAProxy manual 4.2 `option forwardfor`, and the native, spoof-proof set)

use std::net::IpAddr;

use super::context::{Context, Section};
use crate::config::raw::{self, ForwardedPreset};
use crate::diag::FieldPath;
use crate::model::Mode;
use crate::model::forwarded::{ForwardFor, Forwarded, ForwardedFields, Network, Networks};

/// The field's usual name.
const FORWARDED_FOR: &str = "X-Forwarded-For";
/// What MongoDB Ops Manager's documentation leaves open and its servers take.
const PROXIED_HTTPS: &str = "true";

pub(super) fn resolve(context: &Context<'_>, section: &Section<'_>) -> Forwarded {
    let layers = &section.layers;
    let forwardfor = layers.said("forwardfor", |proxy| proxy.forwardfor.as_ref());
    let fields = layers.said("forwarded", |proxy| proxy.forwarded.as_ref());
    if section.mode == Mode::Tcp {
        for (said, name) in [
            (forwardfor.map(|said| (said.own, said.path)), "forwardfor"),
            (fields.map(|said| (said.own, said.path)), "forwarded"),
        ] {
            if let Some((true, path)) = said {
                let told = format!("{} is in mode tcp, where there are no requests to add fields to", section.title());
                let told = format!("`{name}` does nothing: {told}");
                context.warn(&path, "http-in-tcp", told);
            }
        }
        return Forwarded::default();
    }
    Forwarded {
        forwardfor: forwardfor.map(|said| forward_for(context, &said.path, said.value)),
        fields: fields.and_then(|said| forwarded_fields(context, &said.path, said.value)),
    }
}

fn forward_for(context: &Context<'_>, path: &FieldPath, raw: &raw::ForwardFor) -> ForwardFor {
    ForwardFor {
        except: networks(context, &path.key("except"), raw.except.as_slice()),
        header: field_name(context, &path.key("header"), raw.header.as_deref()),
        if_none: raw.if_none.unwrap_or(false),
    }
}

fn forwarded_fields(context: &Context<'_>, path: &FieldPath, raw: &raw::Forwarded) -> Option<ForwardedFields> {
    let preset = raw.preset == Some(ForwardedPreset::OpsManager);
    let wanted = |said: Option<bool>| said.unwrap_or(preset);
    let for_header = raw.for_.unwrap_or(preset || raw.header.is_some());
    let server = wanted(raw.server) || raw.server_name.is_some() && raw.server != Some(false);
    let https = wanted(raw.proxied_https) || raw.proxied_https_value.is_some() && raw.proxied_https != Some(false);
    let hostname = || context.surroundings.hostname.clone();
    let value = |field: &str, value: Option<String>| {
        if value.as_deref().is_some_and(|value| value.chars().any(char::is_control)) {
            context.error(&path.key(field), "control characters may not stand in a header field");
        }
        value
    };
    let fields = ForwardedFields {
        for_header: for_header.then(|| field_name(context, &path.key("header"), raw.header.as_deref())),
        host: wanted(raw.host),
        proto: wanted(raw.proto),
        port: raw.port.unwrap_or(false),
        server: server.then(|| value("server_name", raw.server_name.clone()).unwrap_or_else(hostname)),
        proxied_https: https.then(|| {
            let said = value("proxied_https_value", raw.proxied_https_value.clone());
            said.unwrap_or_else(|| PROXIED_HTTPS.to_owned())
        }),
        rfc7239: raw.rfc7239.unwrap_or(false),
        trusted: networks(context, &path.key("trusted_proxies"), &raw.trusted_proxies),
    };
    let none = ForwardedFields { trusted: fields.trusted.clone(), ..none() };
    if fields == none {
        context.error(path, "`forwarded` chooses no field; write `preset: ops-manager`, or `for: true` and the like");
        return None;
    }
    Some(fields)
}

fn none() -> ForwardedFields {
    ForwardedFields {
        for_header: None,
        host: false,
        proto: false,
        port: false,
        server: None,
        proxied_https: None,
        rfc7239: false,
        trusted: Networks::default(),
    }
}

/// A header field's name; HTTP's `token` (RFC 9110 §5.6.2).
fn field_name(context: &Context<'_>, path: &FieldPath, name: Option<&str>) -> String {
    let name = name.unwrap_or(FORWARDED_FOR);
    let token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    if name.is_empty() || !name.chars().all(token) {
        context.error(path, format!("`{name}` cannot be the name of a header field"));
    }
    name.to_owned()
}

/// A list of networks, each error told.
pub(super) fn networks(context: &Context<'_>, path: &FieldPath, list: &[String]) -> Networks {
    let mut networks = Vec::new();
    for (index, text) in list.iter().enumerate() {
        match network(text) {
            Some(network) => networks.push(network),
            None => {
                context.error(&path.index(index), format!("`{text}` is not a network; write `10.0.0.0/8` or `::1`"))
            }
        }
    }
    Networks::new(networks)
}

/// `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `2001:db8::/32`, or one address.
fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(prefix) => match (prefix.parse::<u8>(), prefix.parse::<std::net::Ipv4Addr>()) {
            (Ok(prefix), _) if prefix <= longest => prefix,
            (_, Ok(mask)) if longest == 32 => mask_length(mask.to_bits())?,
            _ => return None,
        },
    };
    Some(Network { address, prefix })
}

/// The ones of a mask, when they all stand in front.
fn mask_length(mask: u32) -> Option<u8> {
    let ones = mask.leading_ones();
    (ones + mask.trailing_zeros().min(32 - ones) == 32).then_some(u8::try_from(ones).unwrap_or(32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, u8)>) {
        let expected = expected.map(|(address, prefix)| Network { address: address.parse().unwrap(), prefix });
        assert_eq!(network(text), expected, "{text}");
    }

    #[test]
    fn reads_networks() {
        check("10.0.0.0/8", Some(("10.0.0.0", 8)));
        check("10.1.2.3", Some(("10.1.2.3", 32)));
        check("10.0.0.0/255.255.0.0", Some(("10.0.0.0", 16)));
        check("0.0.0.0/0.0.0.0", Some(("0.0.0.0", 0)));
        check("2001:db8::/32", Some(("2001:db8::", 32)));
        check("::1", Some(("::1", 128)));
        check("10.0.0.0/33", None);
        check("10.0.0.0/255.0.255.0", None);
        check("::1/255.0.0.0", None);
        check("example.org", None);
        check("10.0.0.0/", None);
    }
}
