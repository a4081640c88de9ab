//! What is known of the certificate a client showed, and what verifying it came to (manual 7.3.4, `ssl_c_*`).

/// Read once at the handshake; rules only look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// OpenSSL's number of the error that was ignored, 0 when it is all right (`ssl_c_err`, `ssl_c_ca_err`).
    pub verify_error: u32,
    /// The same as verification ended (`ssl_c_verify`).
    pub last_error: u32,
    /// The error is of an authority above, not of the certificate itself.
    pub error_is_above: bool,
    pub der: Box<[u8]>,
    pub subject: Box<[NameEntry]>,
    pub issuer: Box<[NameEntry]>,
    /// Big-endian, without leading zeroes.
    pub serial: Box<[u8]>,
    pub sha1: [u8; 20],
    /// `YYMMDDhhmmssZ`
    pub not_before: Box<str>,
    pub not_after: Box<str>,
    /// OpenSSL's short names.
    pub key_algorithm: Box<str>,
    pub signature_algorithm: Box<str>,
    /// 1 to 3.
    pub version: u32,
}

/// One part of a distinguished name, from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameEntry {
    /// OpenSSL's short name, `CN`, or the numbers of the object identifier.
    pub kind: Box<str>,
    pub value: Box<[u8]>,
}
