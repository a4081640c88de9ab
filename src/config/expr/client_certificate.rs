//! Which value of a client's certificate is meant? (HAProxy manual 7.3.4, `ssl_c_*`)

use super::ExprError;
use super::arguments::Arguments;
use super::fetch::Kind;
use crate::model::rule::{ClientField, NamePart};

pub(super) const NAMES: [&str; 16] = [
    "ssl_c_ca_err",
    "ssl_c_ca_err_depth",
    "ssl_c_der",
    "ssl_c_err",
    "ssl_c_i_dn",
    "ssl_c_key_alg",
    "ssl_c_notafter",
    "ssl_c_notbefore",
    "ssl_c_s_dn",
    "ssl_c_serial",
    "ssl_c_sha1",
    "ssl_c_sig_alg",
    "ssl_c_used",
    "ssl_c_verify",
    "ssl_c_version",
    "ssl_fc_has_crt",
];

/// One of [`NAMES`].
pub(super) fn build(arguments: &Arguments<'_>) -> Result<(ClientField, Kind), ExprError> {
    let name = arguments.call.name.as_str();
    match name {
        "ssl_c_s_dn" => return Ok((ClientField::Subject(name_part(arguments)?), Kind::Text)),
        "ssl_c_i_dn" => return Ok((ClientField::Issuer(name_part(arguments)?), Kind::Text)),
        _ => arguments.none()?,
    }
    Ok(match name {
        "ssl_c_used" => (ClientField::Used, Kind::Boolean),
        "ssl_fc_has_crt" => (ClientField::Shown, Kind::Boolean),
        "ssl_c_verify" => (ClientField::Verify, Kind::Integer),
        "ssl_c_err" => (ClientField::OwnError, Kind::Integer),
        "ssl_c_ca_err" => (ClientField::ErrorAbove, Kind::Integer),
        "ssl_c_ca_err_depth" => (ClientField::ErrorDepth, Kind::Integer),
        "ssl_c_version" => (ClientField::Version, Kind::Integer),
        "ssl_c_serial" => (ClientField::Serial, Kind::Text),
        "ssl_c_sha1" => (ClientField::Sha1, Kind::Text),
        "ssl_c_der" => (ClientField::Der, Kind::Text),
        "ssl_c_notbefore" => (ClientField::NotBefore, Kind::Text),
        "ssl_c_notafter" => (ClientField::NotAfter, Kind::Text),
        "ssl_c_key_alg" => (ClientField::KeyAlgorithm, Kind::Text),
        _ => (ClientField::SignatureAlgorithm, Kind::Text),
    })
}

/// `([entry[,occurrence[,format]]])`
fn name_part(arguments: &Arguments<'_>) -> Result<NamePart, ExprError> {
    arguments.at_most(3)?;
    match arguments.get(2) {
        None => {}
        Some("rfc2253") => return Ok(NamePart::Ldap),
        Some(other) => return Err(arguments.wrong(format!("`{other}` is no format of names; `rfc2253` is"))),
    }
    let Some(kind) = arguments.get(0) else { return Ok(NamePart::Whole) };
    let occurrence = arguments.get(1).map_or(Ok(1), |text| arguments.integer(text))?;
    let occurrence = i32::try_from(occurrence).map_err(|_| arguments.wrong(format!("{occurrence} is too large")))?;
    let occurrence = if occurrence == 0 { 1 } else { occurrence };
    Ok(NamePart::Entry { kind: kind.to_owned(), occurrence })
}
