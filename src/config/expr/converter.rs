//! What is done to a value on its way? Converters by name (HAProxy manual 7.3.1).

use super::arguments::{Arguments, Call};
use super::fetch::Kind;
use super::known;
use super::{ExprError, parse_regex};
use crate::model::rule::Converter;

/// Every converter that is built.
pub(super) const CONVERTERS: &[&str] = &[
    "base64",
    "concat",
    "field",
    "hex",
    "host_only",
    "length",
    "lower",
    "not",
    "port_only",
    "regsub",
    "upper",
    "url_dec",
    "word",
];

/// The converter, and the type it gives when it changes it.
pub(super) fn build_converter(call: &Call, input: Kind) -> Result<(Converter, Option<Kind>), ExprError> {
    let arguments = Arguments { call };
    let name = call.name.as_str();
    let plain = |converter, kind| arguments.none().map(|()| (converter, Some(kind)));
    match name {
        "base64" => plain(Converter::Base64, Kind::Text),
        "hex" => plain(Converter::Hex, Kind::Text),
        "lower" => plain(Converter::Lower, Kind::Text),
        "upper" => plain(Converter::Upper, Kind::Text),
        "length" => plain(Converter::Length, Kind::Integer),
        "host_only" => plain(Converter::HostOnly, Kind::Text),
        "port_only" => plain(Converter::PortOnly, Kind::Integer),
        "not" if input == Kind::Address => Err(arguments.wrong("`not` takes no address".to_string())),
        "not" => plain(Converter::Not, Kind::Boolean),
        "field" => Ok((Converter::Field(arguments.part()?), Some(Kind::Text))),
        "word" => Ok((Converter::Word(arguments.part()?), Some(Kind::Text))),
        "url_dec" => {
            arguments.at_most(1)?;
            let form = arguments.get(0).map_or(Ok(0), |text| arguments.integer(text))? != 0;
            Ok((Converter::UrlDecode { form }, Some(Kind::Text)))
        }
        "concat" => {
            let given = call.given();
            if given.len() > 3 {
                return Err(arguments.wrong("`concat` takes at most 3 arguments".to_string()));
            }
            if given.get(1).is_some_and(|variable| !variable.is_empty()) {
                return Err(arguments.wrong("variables in `concat` are known but not built yet".to_string()));
            }
            let text = |at: usize| given.get(at).cloned().unwrap_or_default();
            Ok((Converter::Concat { before: text(0), after: text(2) }, Some(Kind::Text)))
        }
        "regsub" => {
            let given = call.given();
            let (Some(pattern), Some(replacement)) = (given.first(), given.get(1)) else {
                return Err(arguments.wrong("`regsub` needs a pattern and a replacement".to_string()));
            };
            let flags = given.get(2).map_or("", String::as_str);
            if given.len() > 3 || pattern.is_empty() || flags.chars().any(|flag| flag != 'g' && flag != 'i') {
                return Err(
                    arguments.wrong("`regsub` takes a pattern, a replacement and the flags `g` and `i`".to_string())
                );
            }
            let regex = parse_regex(pattern, flags.contains('i'))?;
            let all = flags.contains('g');
            Ok((Converter::RegSub { regex, replacement: replacement.clone(), all }, Some(Kind::Text)))
        }
        _ if known::is_known_converter(name) => {
            Err(ExprError::new(0, format!("the converter `{name}` is known but not built yet")))
        }
        _ => {
            let candidates = CONVERTERS.iter().chain(known::CONVERTERS).copied();
            Err(ExprError::new(0, format!("there is no converter `{name}`")).suggest(name, candidates))
        }
    }
}
