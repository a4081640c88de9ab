//! What a version 2 header tells besides addresses: type, length, value (spec §2.2).

use std::fmt;

use super::BadProxyHeader;
use crate::model::backend::ProxyOptions;
use crate::model::tcp::told::{
    ALPN, AUTHORITY, CRC32C, SSL, SSL_CIPHER, SSL_CN, SSL_KEY_ALG, SSL_SIG_ALG, SSL_VERSION, UNIQUE_ID,
};
use crate::model::tls::TlsFacts;

/// The longest UNIQUE_ID (spec §2.2.5).
const UNIQUE_ID_LIMIT: usize = 128;
/// In front of the values within an SSL one: what the client used, and how its certificate was judged.
const SSL_FIXED: usize = 5;
/// In front of each value: its type and length.
const TLV_FIXED: usize = 3;
/// The client used TLS.
const SSL_USED: u8 = 0x01;
/// It showed a certificate on this connection, or when its session began.
const SSL_CERT_CONNECTION: u8 = 0x02;
const SSL_CERT_SESSION: u8 = 0x04;

/// The values of one header, checked to be whole.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tlvs(Box<[u8]>);

impl Tlvs {
    /// The first value of a type; those of 0x21 to 0x25 stand within the SSL one.
    pub fn get(&self, kind: u8) -> Option<&[u8]> {
        if matches!(kind, SSL_VERSION..=SSL_KEY_ALG) {
            let inner = self.get(SSL)?.get(SSL_FIXED..)?;
            return each(inner).flatten().find(|(found, _)| *found == kind).map(|(_, value)| value);
        }
        each(&self.0).flatten().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }
}

impl fmt::Debug for Tlvs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tlvs({})", self.0.escape_ascii())
    }
}

/// Type and value in order; an error ends the list.
fn each(mut tlvs: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), BadProxyHeader>> {
    std::iter::from_fn(move || {
        let [kind, rest @ ..] = tlvs else { return None };
        let one = match rest {
            [high, low, rest @ ..] => rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))),
            _ => None,
        };
        let Some((value, behind)) = one else {
            tlvs = &[];
            return Some(Err(BadProxyHeader::Tlv));
        };
        tlvs = behind;
        Some(Ok((*kind, value)))
    })
}

/// Checks the values behind a header's addresses, which must be whole; a checksum, when there is one, must be right
/// (spec §2.2.3). `None` without any.
pub(super) fn read(whole: &[u8], tlvs: &[u8]) -> Result<Option<Tlvs>, BadProxyHeader> {
    let mut checked = false;
    for one in each(tlvs) {
        let (kind, value) = one?;
        match kind {
            // Each costs a pass over all bytes; a thousand would fit.
            CRC32C if std::mem::replace(&mut checked, true) => return Err(BadProxyHeader::Tlv),
            CRC32C => {
                let told: [u8; 4] = value.try_into().map_err(|_| BadProxyHeader::Tlv)?;
                // Where the value lies is known from both being parts of one slice.
                let at = value.as_ptr().addr() - whole.as_ptr().addr();
                if u32::from_be_bytes(told) != crc32c_without(whole, at) {
                    return Err(BadProxyHeader::Checksum);
                }
            }
            UNIQUE_ID if value.len() > UNIQUE_ID_LIMIT => return Err(BadProxyHeader::Tlv),
            SSL => {
                let inner = value.get(SSL_FIXED..).ok_or(BadProxyHeader::Tlv)?;
                each(inner).try_for_each(|one| one.map(|_| ()))?;
            }
            _ => {}
        }
    }
    Ok((!tlvs.is_empty()).then(|| Tlvs(tlvs.into())))
}

/// CRC32C (RFC 3720 §B.4) of `bytes` with the four from `hole` on read as zero.
pub(super) fn crc32c_without(bytes: &[u8], hole: usize) -> u32 {
    let mut crc = u32::MAX;
    for (at, &byte) in bytes.iter().enumerate() {
        crc ^= u32::from(if (hole..hole + 4).contains(&at) { 0 } else { byte });
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// What is known of a client besides its addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientTold<'a> {
    pub tls: Option<&'a TlsFacts>,
    /// What a header in front of the client's connection told.
    pub received: Option<&'a Tlvs>,
    /// What the configuration tells of it, by type.
    pub values: &'a [(u8, Vec<u8>)],
}

/// Appends the values a server wants to those addresses of the header that starts at `start`, and corrects its length and
/// checksum. In HAProxy's order (run against 2.6). Checks have no client.
pub(super) fn write(start: usize, options: ProxyOptions, client: Option<&ClientTold<'_>>, out: &mut Vec<u8>) {
    let hole = options.crc32c.then(|| {
        push(CRC32C, &[0; 4], out);
        out.len() - start - 4
    });
    if let Some(client) = client {
        if let Some(alpn) = client.tls.and_then(|tls| tls.alpn.as_deref()) {
            push(ALPN, alpn, out);
        }
        let received = |kind| client.received.and_then(|tlvs| tlvs.get(kind));
        let asked = || client.tls.and_then(|tls| tls.sni.as_deref()).map(str::as_bytes);
        if let Some(name) = received(AUTHORITY).or_else(asked).filter(|_| options.authority) {
            push(AUTHORITY, name, out);
        }
        if options.unique_id {
            push(UNIQUE_ID, received(UNIQUE_ID).unwrap_or_default(), out);
        }
    }
    if options.ssl {
        push(SSL, &ssl(options, client.and_then(|client| client.tls)), out);
    }
    for (kind, value) in client.map(|client| client.values).unwrap_or_default() {
        // What does not fit into the header any more is left out.
        if out.len() - start - super::V2_FIXED + TLV_FIXED + value.len() <= usize::from(u16::MAX) {
            push(*kind, value, out);
        }
    }
    let block = out.len() - start - super::V2_FIXED;
    // Fits: names are shorter than 256 bytes, what was received than [`super::V2_LIMIT`].
    let length = u16::try_from(block).unwrap_or(u16::MAX).to_be_bytes();
    out[start + super::V2_FIXED - 2..start + super::V2_FIXED].copy_from_slice(&length);
    if let Some(hole) = hole {
        let crc = crc32c_without(&out[start..], hole).to_be_bytes();
        out[start + hole..start + hole + 4].copy_from_slice(&crc);
    }
}

fn push(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&value[..usize::from(length)]);
}

/// A client in clear text has flags of 0; the result of verification is 0 where no certificate was asked for.
fn ssl(options: ProxyOptions, tls: Option<&TlsFacts>) -> Vec<u8> {
    let Some(tls) = tls else { return vec![0; SSL_FIXED] };
    let shown = tls.client.as_deref();
    let mut flags = SSL_USED;
    if shown.is_some() {
        flags |= SSL_CERT_SESSION | if tls.resumed { 0 } else { SSL_CERT_CONNECTION };
    }
    let mut out = vec![flags];
    out.extend_from_slice(&shown.map_or(0, |shown| shown.last_error).to_be_bytes());
    push(SSL_VERSION, tls.protocol.as_bytes(), &mut out);
    let name = shown.and_then(|shown| shown.subject.iter().find(|entry| &*entry.kind == "CN"));
    if let Some(name) = name.filter(|_| options.cert_cn) {
        push(SSL_CN, &name.value, &mut out);
    }
    let made_with = tls.made_with.as_deref();
    let key = made_with.map(|made| &*made.key).filter(|key| options.cert_key && !key.is_empty());
    let signature = made_with.map(|made| &*made.signature).filter(|known| options.cert_sig && !known.is_empty());
    for (kind, value) in [(SSL_KEY_ALG, key), (SSL_SIG_ALG, signature)] {
        if let Some(value) = value {
            push(kind, value.as_bytes(), &mut out);
        }
    }
    if options.ssl_cipher {
        push(SSL_CIPHER, tls.cipher.as_bytes(), &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Header, Parsed, encode_v2_telling, parse};
    use super::*;

    fn tls() -> TlsFacts {
        TlsFacts {
            protocol: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            sni: Some("A.example".into()),
            alpn: Some(b"http/1.1"[..].into()),
            resumed: false,
            client: None,
            made_with: None,
        }
    }

    /// The values a header carries, from behind its addresses.
    fn written(options: ProxyOptions, client: Option<&ClientTold<'_>>) -> Vec<u8> {
        let (source, destination) = ("127.0.0.1:20003".parse().unwrap(), "127.0.0.1:17011".parse().unwrap());
        let mut out = b"before".to_vec();
        encode_v2_telling(Header::Proxied { source, destination }, options, client, &mut out);
        let header = &out[b"before".len()..];
        // What we write we read, checksum included.
        assert!(matches!(parse(header), Ok(Parsed::Complete { consumed, .. }) if consumed == header.len()));
        header[28..].to_vec()
    }

    const NONE: ProxyOptions = ProxyOptions {
        ssl: false,
        cert_cn: false,
        ssl_cipher: false,
        cert_key: false,
        cert_sig: false,
        crc32c: false,
        unique_id: false,
        authority: false,
    };

    #[test]
    fn values_stand_as_haproxy_writes_them() {
        let facts = tls();
        let client = ClientTold { tls: Some(&facts), received: None, values: &[] };
        assert_eq!(written(NONE, Some(&client)), b"\x01\x00\x08http/1.1");
        assert_eq!(written(NONE, Some(&ClientTold::default())), b"");
        let ssl = ProxyOptions { ssl: true, ..NONE };
        let version = b"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3";
        assert_eq!(written(ssl, Some(&client)), [&b"\x01\x00\x08http/1.1"[..], version].concat());
        assert_eq!(written(ssl, Some(&ClientTold::default())), b"\x20\x00\x05\x00\x00\x00\x00\x00");
        assert_eq!(written(ssl, None), b"\x20\x00\x05\x00\x00\x00\x00\x00");
        let authority = ProxyOptions { authority: true, crc32c: true, ..NONE };
        // HAProxy's bytes but for the client's port, which the checksum covers too.
        let found = written(authority, Some(&client));
        assert_eq!(
            (&found[..3], &found[7..]),
            (&b"\x03\x00\x04"[..], &b"\x01\x00\x08http/1.1\x02\x00\x09A.example"[..])
        );
        let all = ProxyOptions { ssl: true, ssl_cipher: true, unique_id: true, ..NONE };
        let expected = b"\x01\x00\x08http/1.1\x05\x00\x00\
            \x20\x00\x28\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_256_GCM_SHA384";
        assert_eq!(written(all, Some(&client)), expected);
    }

    #[test]
    fn a_client_s_certificate_is_told_with_how_it_was_judged() {
        use crate::model::tls::{ClientCertificate, NameEntry};
        let entry = |kind: &str, value: &str| NameEntry { kind: kind.into(), value: value.as_bytes().into() };
        let certificate = ClientCertificate {
            verify_error: 0,
            last_error: 10,
            error_is_above: false,
            der: Box::default(),
            subject: [entry("C", "DE"), entry("CN", "a.example")].into(),
            issuer: Box::default(),
            serial: Box::default(),
            sha1: [0; 20],
            not_before: "".into(),
            not_after: "".into(),
            key_algorithm: "".into(),
            signature_algorithm: "".into(),
            version: 3,
        };
        let mut facts = TlsFacts { alpn: None, client: Some(Box::new(certificate)), ..tls() };
        let options = ProxyOptions { ssl: true, cert_cn: true, ..NONE };
        let told =
            |facts: &TlsFacts| written(options, Some(&ClientTold { tls: Some(facts), received: None, values: &[] }));
        let expected = b"\x20\x00\x1b\x07\x00\x00\x00\x0a\x21\x00\x07TLSv1.3\x22\x00\x09a.example";
        assert_eq!(told(&facts).escape_ascii().to_string(), expected.escape_ascii().to_string());
        facts.resumed = true;
        assert_eq!(told(&facts)[3], 0x05, "shown when the session began, not on this connection");
    }

    #[test]
    fn a_checksum_is_haproxys() {
        // Written by HAProxy 2.6 for a client on 127.0.0.1:20004, `proxy-v2-options authority,crc32c`.
        let theirs = b"\r\n\r\n\0\r\nQUIT\n!\x11\x00*\x7f\x00\x00\x01\x7f\x00\x00\x01N$Bs\x03\x00\x04\xf5u\xf5\x15\
            \x01\x00\x08http/1.1\x02\x00\tA.example";
        let (source, destination) = ("127.0.0.1:20004".parse().unwrap(), "127.0.0.1:17011".parse().unwrap());
        let facts = tls();
        let client = ClientTold { tls: Some(&facts), received: None, values: &[] };
        let mut ours = Vec::new();
        let options = ProxyOptions { authority: true, crc32c: true, ..NONE };
        encode_v2_telling(Header::Proxied { source, destination }, options, Some(&client), &mut ours);
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string());
    }

    #[test]
    fn what_a_proxy_in_front_told_is_told_on() {
        let block = b"\x04\x00\x01x\x02\x00\x05first\x02\x00\x06second\x05\x00\x02id\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.2";
        let received = read(block, block).unwrap().unwrap();
        assert_eq!(received.get(AUTHORITY), Some(&b"first"[..]));
        assert_eq!(received.get(SSL_VERSION), Some(&b"TLSv1.2"[..]));
        assert_eq!((received.get(SSL_CIPHER), received.get(0x30)), (None, None));
        let facts = tls();
        let client = ClientTold { tls: Some(&facts), received: Some(&received), values: &[] };
        let options = ProxyOptions { authority: true, unique_id: true, ..NONE };
        assert_eq!(written(options, Some(&client)), b"\x01\x00\x08http/1.1\x02\x00\x05first\x05\x00\x02id");
    }

    #[test]
    fn broken_values_are_refused() {
        for block in [
            &b"\x04\x00"[..],
            b"\x04\x00\x02x",
            b"\x03\x00\x02xx",
            b"\x20\x00\x04\x01\x00\x00\x00",
            b"\x20\x00\x08\x01\x00\x00\x00\x00\x21\x00\x01",
            &[&b"\x05\x00\x81"[..], &[b'x'; 129]].concat(),
        ] {
            assert_eq!(read(block, block), Err(BadProxyHeader::Tlv), "{}", block.escape_ascii());
        }
        assert_eq!(read(b"", b""), Ok(None));
    }
}
