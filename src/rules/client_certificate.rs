//! What of a client's certificate does a rule see? (HAProxy manual 7.3.4, `ssl_c_*`)

use std::borrow::Cow;

use super::{TlsFacts, Value};
use crate::model::rule::{ClientField, NamePart};
use crate::model::tls::{ClientCertificate, NameEntry};

/// `None` where the client showed none, except for the questions whether it did.
pub(super) fn value<'a>(field: &'a ClientField, tls: TlsFacts<'a>) -> Option<Value<'a>> {
    let shown = tls.client;
    match field {
        ClientField::Used => return Some(Value::Boolean(shown.is_some())),
        ClientField::Shown => return Some(Value::Boolean(shown.is_some() && !tls.resumed)),
        ClientField::Verify => return Some(number(shown.map_or(0, |it| it.last_error))),
        ClientField::OwnError => return Some(number(error(shown, false))),
        ClientField::ErrorAbove => return Some(number(error(shown, true))),
        ClientField::ErrorDepth => return Some(number(u32::from(error(shown, true) != 0))),
        _ => {}
    }
    let it = shown?;
    Some(match field {
        ClientField::Subject(part) => return name(&it.subject, part),
        ClientField::Issuer(part) => return name(&it.issuer, part),
        ClientField::Serial => Value::text(&it.serial),
        ClientField::Sha1 => Value::text(&it.sha1),
        ClientField::Der => Value::text(&it.der),
        ClientField::NotBefore => Value::text(it.not_before.as_bytes()),
        ClientField::NotAfter => Value::text(it.not_after.as_bytes()),
        ClientField::KeyAlgorithm => Value::text(it.key_algorithm.as_bytes()),
        ClientField::SignatureAlgorithm => Value::text(it.signature_algorithm.as_bytes()),
        ClientField::Version => number(it.version),
        _ => return None, // answered above
    })
}

fn number(number: u32) -> Value<'static> {
    Value::Integer(i64::from(number))
}

fn error(shown: Option<&ClientCertificate>, above: bool) -> u32 {
    shown.filter(|it| it.error_is_above == above).map_or(0, |it| it.verify_error)
}

fn name<'a>(entries: &'a [NameEntry], part: &NamePart) -> Option<Value<'a>> {
    match part {
        NamePart::Whole => {
            let mut whole = Vec::new();
            for entry in entries {
                whole.push(b'/');
                push_entry(entry, &mut whole);
            }
            Some(Value::Bytes(Cow::Owned(whole)))
        }
        NamePart::Ldap => {
            let mut whole = Vec::new();
            for entry in entries.iter().rev() {
                if !whole.is_empty() {
                    whole.push(b',');
                }
                whole.extend_from_slice(entry.kind.as_bytes());
                whole.push(b'=');
                push_escaped(&entry.value, &mut whole);
            }
            Some(Value::Bytes(Cow::Owned(whole)))
        }
        NamePart::Entry { kind, occurrence } => {
            let mut of_kind = entries.iter().filter(|entry| *entry.kind == **kind);
            let index = usize::try_from(occurrence.unsigned_abs()).ok()?.checked_sub(1)?;
            let found = if *occurrence > 0 { of_kind.nth(index) } else { of_kind.rev().nth(index) };
            found.map(|entry| Value::text(&entry.value))
        }
    }
}

fn push_entry(entry: &NameEntry, out: &mut Vec<u8>) {
    out.extend_from_slice(entry.kind.as_bytes());
    out.push(b'=');
    out.extend_from_slice(&entry.value);
}

/// RFC 2253 §2.4.
fn push_escaped(value: &[u8], out: &mut Vec<u8>) {
    for (index, byte) in value.iter().enumerate() {
        let at_an_end = (index == 0 && matches!(byte, b' ' | b'#')) || (index + 1 == value.len() && *byte == b' ');
        if at_an_end || b",+\"\\<>;".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> ClientCertificate {
        let entry = |(kind, value): &(&str, &str)| NameEntry { kind: (*kind).into(), value: value.as_bytes().into() };
        let entries = |parts: &[(&str, &str)]| parts.iter().map(entry).collect();
        ClientCertificate {
            verify_error: 10,
            last_error: 10,
            error_is_above: false,
            der: [1, 2].into(),
            subject: entries(&[("C", "DE"), ("OU", "one"), ("OU", "two"), ("CN", "Jane, Doe")]),
            issuer: entries(&[("CN", "Authority")]),
            serial: [0xab, 1].into(),
            sha1: [7; 20],
            not_before: "260101000000Z".into(),
            not_after: "270101000000Z".into(),
            key_algorithm: "id-ecPublicKey".into(),
            signature_algorithm: "ecdsa-with-SHA256".into(),
            version: 3,
        }
    }

    #[track_caller]
    fn check(field: ClientField, resumed: bool, with: Option<&str>, without: Option<&str>) {
        let certificate = certificate();
        let asked = |client| {
            let value = value(&field, TlsFacts { client, resumed, ..TlsFacts::default() });
            value.map(|value| String::from_utf8_lossy(&value.into_bytes()).into_owned())
        };
        assert_eq!(asked(Some(&certificate)).as_deref(), with, "{field:?}");
        assert_eq!(asked(None).as_deref(), without, "{field:?}");
    }

    #[test]
    fn names_are_written_as_openssl_does() {
        let entry =
            |kind: &str, occurrence| ClientField::Subject(NamePart::Entry { kind: kind.to_owned(), occurrence });
        check(ClientField::Subject(NamePart::Whole), false, Some("/C=DE/OU=one/OU=two/CN=Jane, Doe"), None);
        check(ClientField::Subject(NamePart::Ldap), false, Some("CN=Jane\\, Doe,OU=two,OU=one,C=DE"), None);
        check(ClientField::Issuer(NamePart::Whole), false, Some("/CN=Authority"), None);
        check(entry("CN", 1), false, Some("Jane, Doe"), None);
        check(entry("OU", 2), false, Some("two"), None);
        check(entry("OU", -2), false, Some("one"), None);
        check(entry("OU", 3), false, None, None);
        check(entry("L", 1), false, None, None);
    }

    #[test]
    fn without_a_certificate_only_the_questions_are_answered() {
        check(ClientField::Used, true, Some("1"), Some("0"));
        check(ClientField::Shown, false, Some("1"), Some("0"));
        check(ClientField::Shown, true, Some("0"), Some("0"));
        check(ClientField::Verify, false, Some("10"), Some("0"));
        check(ClientField::OwnError, false, Some("10"), Some("0"));
        check(ClientField::ErrorAbove, false, Some("0"), Some("0"));
        check(ClientField::Version, false, Some("3"), None);
        check(ClientField::NotAfter, false, Some("270101000000Z"), None);
    }
}
