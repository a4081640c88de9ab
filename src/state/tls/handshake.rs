//! What did a handshake agree on, or why did it fail, in an operator's words?

use std::{fmt, io};

use rustls::{
    AlertDescription, CertificateError, CommonState, Error, InvalidMessage, PeerIncompatible, ProtocolVersion,
};

use super::client_verifier;
use crate::model::tls::TlsFacts;
use crate::model::tls_suites::suite_name;

/// What a finished handshake agreed on with a client that asked for this name.
pub(super) fn facts(connection: &CommonState, sni: Option<Box<str>>) -> TlsFacts {
    TlsFacts {
        protocol: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: connection.negotiated_cipher_suite().map_or("", |suite| suite_name(suite.suite())),
        sni,
        alpn: connection.alpn_protocol().map(Into::into),
        made_with: None,
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        client: None,
    }
}

/// Why there is no TLS connection. Used for both sides; "peer" is the client or the server.
#[derive(Debug)]
pub(crate) enum BadHandshake {
    /// The first bytes were no TLS record.
    NotTls,
    /// Closed before the client's hello was there.
    NoHello,
    /// Closed before the handshake was over.
    Closed,
    /// Versions below what is allowed.
    Version,
    NoSharedCipher,
    /// No certificate for the name the client asked for (`strict-sni`), or none it could verify.
    NoCertificate,
    /// The same for a client that asked for no name.
    NoName,
    /// A client showed none although it must (`verify required`).
    NoClientCertificate,
    /// The peer gave up and told us why.
    Alert(AlertDescription),
    /// The server's certificate was not accepted.
    Certificate(CertificateError),
    /// A client's was not, or one of the authorities' above it.
    ClientCertificate {
        error: CertificateError,
        above: bool,
    },
    /// What the peer sent breaks the protocol.
    Protocol(Error),
    Io(io::Error),
}

impl From<io::Error> for BadHandshake {
    /// Those of rustls come wrapped into I/O errors.
    fn from(error: io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return tls.clone().into();
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => BadHandshake::Closed,
            _ => BadHandshake::Io(error),
        }
    }
}

impl From<Error> for BadHandshake {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                BadHandshake::NotTls
            }
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => BadHandshake::Version,
            Error::PeerIncompatible(
                PeerIncompatible::NoCipherSuitesInCommon
                | PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NoSignatureSchemesInCommon,
            ) => BadHandshake::NoSharedCipher,
            // The only general error of a handshake: the resolver found nothing.
            Error::General(_) => BadHandshake::NoCertificate,
            Error::NoCertificatesPresented => BadHandshake::NoClientCertificate,
            Error::AlertReceived(alert) => BadHandshake::Alert(alert),
            Error::InvalidCertificate(error) => BadHandshake::Certificate(error),
            other => BadHandshake::Protocol(other),
        }
    }
}

impl BadHandshake {
    /// What ended a handshake with a client that asked for this name. To be asked on the thread it was on, before that has
    /// another one.
    pub fn with_client(error: io::Error, name: Option<&str>) -> Self {
        match (error.into(), client_verifier::refused()) {
            (BadHandshake::NoCertificate, _) if name.is_none() => BadHandshake::NoName,
            (BadHandshake::Certificate(error), Some(fault)) => {
                BadHandshake::ClientCertificate { error, above: fault.above }
            }
            (other, _) => other,
        }
    }

    /// What the client is told, where rustls would tell it something else.
    pub fn alert(&self, version: Option<ProtocolVersion>) -> Option<AlertDescription> {
        match self {
            BadHandshake::Version => Some(AlertDescription::ProtocolVersion), // RFC 5246 appendix E.1
            BadHandshake::NoCertificate | BadHandshake::NoName => Some(AlertDescription::UnrecognisedName), // RFC 6066 §3
            // RFC 5246 §7.4.6; the alert of its own came with TLS 1.3.
            BadHandshake::NoClientCertificate if version == Some(ProtocolVersion::TLSv1_2) => {
                Some(AlertDescription::HandshakeFailure)
            }
            _ => None,
        }
    }
}

impl fmt::Display for BadHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadHandshake::NotTls => f.write_str("peer does not speak TLS (plain HTTP on a TLS port?)"),
            BadHandshake::NoHello | BadHandshake::Closed => f.write_str("connection closed during the TLS handshake"),
            BadHandshake::Version => f.write_str("no TLS version in common"),
            BadHandshake::NoSharedCipher => f.write_str("no cipher, key exchange or signature in common"),
            BadHandshake::NoCertificate => f.write_str("no certificate for the name the client asked for"),
            BadHandshake::NoName => f.write_str("the client asked for no name, and there is no certificate for that"),
            BadHandshake::NoClientCertificate => f.write_str("the client showed no certificate"),
            BadHandshake::Alert(alert) => write!(f, "peer refused the TLS handshake: {}", alert_text(*alert)),
            BadHandshake::Certificate(error) => write!(f, "certificate not accepted: {}", certificate_text(error)),
            BadHandshake::ClientCertificate { error, .. } => f.write_str(&certificate_text(error)),
            BadHandshake::Protocol(error) => write!(f, "broken TLS handshake: {error}"),
            BadHandshake::Io(error) => write!(f, "TLS handshake: {error}"),
        }
    }
}

impl std::error::Error for BadHandshake {}

fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "it does not know the certificate's issuer".into(),
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it does not accept the certificate".into()
        }
        AlertDescription::CertificateExpired => "the certificate has expired".into(),
        AlertDescription::HandshakeFailure => "nothing in common".into(),
        AlertDescription::ProtocolVersion => "no version in common".into(),
        AlertDescription::UnrecognisedName => "it does not know the name asked for".into(),
        AlertDescription::CertificateRequired => "it wants a client certificate".into(),
        AlertDescription::NoApplicationProtocol => "no application protocol in common".into(),
        AlertDescription::IllegalParameter => "it found something out of range".into(),
        AlertDescription::DecodeError | AlertDescription::UnexpectedMessage => {
            "it did not understand what it got".into()
        }
        AlertDescription::CertificateRevoked => "the certificate is revoked".into(),
        AlertDescription::UnsupportedCertificate => "it cannot use a certificate of this kind".into(),
        AlertDescription::AccessDenied => "it does not let this certificate in".into(),
        AlertDescription::InsufficientSecurity => "it wants stronger ciphers".into(),
        AlertDescription::InternalError => "an error of its own".into(),
        other => format!("alert {}", apart(&format!("{other:?}"))),
    }
}

/// `DecryptError` as `decrypt error`.
fn apart(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// webpki's verdicts that rustls has no word for, by webpki's name.
fn other_text(verdict: &str) -> String {
    match verdict {
        "UnsupportedCertVersion" => "it is of X.509 version 1, only version 3 can be verified",
        "CaUsedAsEndEntity" => "it is an authority's own, for signing others",
        "UnsupportedCriticalExtension" => "it has a critical extension that is not understood",
        "NameConstraintViolation" => "its authority may not sign for this name",
        other => other,
    }
    .to_owned()
}

fn certificate_text(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not valid yet".into(),
        CertificateError::UnknownIssuer => "issued by none of the trusted authorities".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "for another name".into()
        }
        CertificateError::Revoked => "revoked".into(),
        CertificateError::UnknownRevocationStatus => "no list of revoked certificates is about its issuer".into(),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of revoked certificates has expired".into()
        }
        CertificateError::BadEncoding => "unreadable".into(),
        CertificateError::Other(inner) => other_text(&inner.to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_in_words() {
        let told = |alert| BadHandshake::from(Error::AlertReceived(alert)).to_string();
        let refused = "peer refused the TLS handshake";
        assert_eq!(told(AlertDescription::CertificateRequired), format!("{refused}: it wants a client certificate"));
        assert_eq!(told(AlertDescription::IllegalParameter), format!("{refused}: it found something out of range"));
        assert_eq!(told(AlertDescription::DecryptError), format!("{refused}: alert decrypt error"));
    }
}
