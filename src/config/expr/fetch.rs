//! Which value is meant? Sample fetches by name (HAProxy manual 7.3).

use super::arguments::{Arguments, Call, split_calls};
use super::converter::{CONVERTERS, build_converter};
use super::{ExprError, Scope, Side};
use super::{client_certificate, known};
use crate::model::Mode;
use crate::model::rule::{Constant, Converter, Expr, Fetch};
use crate::model::tcp::told;

/// What type of value comes out; decides the default match (manual 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Address,
    Text,
    /// Bytes, which patterns give in hexadecimal digits.
    Binary,
    /// A number that patterns write as `3.1`: 3 * 65536 + 1.
    Version,
}

/// Every fetch that is built, for suggestions. `build` has an arm for each.
#[rustfmt::skip] // a table of words
pub(super) const FETCHES: &[&str] = &[
    "always_false", "always_true", "base", "baseq", "be_name", "bool", "capture.req.method", "capture.req.uri", "cook",
    "cook_cnt", "cook_val", "date", "dst", "dst_port", "fc_pp_authority", "fc_pp_tlv", "fc_pp_unique_id", "fe_name", "hdr", "hdr_cnt", "hdr_ip", "hdr_val", "hostname",
    "int", "meth", "method", "nbsrv", "path", "pathq", "payload", "query", "req.cook", "req.cook_cnt", "req.cook_val",
    "req.fhdr", "req.fhdr_cnt", "req.hdr", "req.hdr_cnt", "req.hdr_ip", "req.hdr_val", "req.len", "req.payload",
    "req.proto_http", "req.ssl_alpn", "req.ssl_ec_ext", "req.ssl_hello_type", "req.ssl_sni", "req.ssl_st_ext",
    "req.ssl_ver", "req.ver", "req_len", "req_proto_http", "req_ssl_hello_type", "req_ssl_sni", "req_ssl_ver",
    "req_ver", "res.fhdr", "res.fhdr_cnt", "res.hdr", "res.hdr_cnt", "res.hdr_ip", "res.hdr_val",
    "shdr", "shdr_cnt", "shdr_ip", "shdr_val", "src", "src_port", "srv_name", "ssl_fc", "ssl_fc_alpn", "ssl_fc_cipher",
    "ssl_fc_has_sni", "ssl_fc_is_resumed", "ssl_fc_protocol", "ssl_fc_sni", "ssl_fc_use_keysize", "ssl_fc_alg_keysize", "status", "str", "unique-id", "url", "url_param", "urlp",
    "urlp_val", "wait_end",
];

/// Reads `hdr(host),lower`.
///
/// # Errors
/// Unknown names, wrong arguments, quotes or parentheses left open.
pub(crate) fn parse_expr(text: &str, scope: &Scope<'_>) -> Result<Expr, ExprError> {
    parse_typed(text, scope).map(|(expr, _)| expr)
}

pub(super) fn parse_typed(text: &str, scope: &Scope<'_>) -> Result<(Expr, Kind), ExprError> {
    let calls = split_calls(text)?;
    let Some((first, rest)) = calls.split_first() else {
        return Err(ExprError::new(0, "an expression is missing"));
    };
    build(first, rest, scope)
}

/// Joins a fetch and its converters, as [`split_calls`] cut them.
pub(super) fn build(first: &Call, rest: &[Call], scope: &Scope<'_>) -> Result<(Expr, Kind), ExprError> {
    let mut converters = Vec::new();
    let (fetch, mut kind) = build_fetch(first, scope, &mut converters)?;
    for call in rest {
        let (converter, after) = build_converter(call, kind)?;
        converters.push(converter);
        kind = after.unwrap_or(kind);
    }
    Ok((Expr { fetch, converters }, kind))
}

/// Some fetches are another one with a converter behind it.
fn build_fetch(call: &Call, scope: &Scope<'_>, converters: &mut Vec<Converter>) -> Result<(Fetch, Kind), ExprError> {
    let arguments = Arguments { call };
    let name = call.name.as_str();
    let plain = |fetch, kind| arguments.none().map(|()| (fetch, kind));
    if needs_http(name) && scope.mode == Mode::Tcp {
        return Err(ExprError::new(0, format!("`{name}` needs HTTP, but this proxy is in mode tcp"))
            .hint("set `mode http`, or decide by `src`, `dst_port` or the `ssl_fc…` values"));
    }
    let response = name.starts_with("res.")
        || name.starts_with("shdr")
        || (name.starts_with("hdr") && scope.side == Side::Response);
    if (response || name == "status") && scope.side == Side::Request {
        return Err(ExprError::new(0, format!("`{name}` is of the response, which there is none of yet here"))
            .hint("use it in `http-response` rules"));
    }
    let header = |reference| if response { Fetch::ResponseHeader(reference) } else { Fetch::RequestHeader(reference) };
    let count = |reference| {
        if response { Fetch::ResponseHeaderCount(reference) } else { Fetch::RequestHeaderCount(reference) }
    };
    match name {
        "always_true" => plain(Fetch::Always(true), Kind::Boolean),
        "req.proto_http" | "req_proto_http" if scope.mode == Mode::Http => plain(Fetch::Always(true), Kind::Boolean),
        "req.proto_http" | "req_proto_http" => plain(Fetch::SpeaksHttp, Kind::Boolean),
        "wait_end" => plain(Fetch::WaitEnd, Kind::Boolean),
        _ if scope.mode == Mode::Http && of_first_bytes(name) => Err(ExprError::new(
            0,
            format!("`{name}` looks at the first bytes of a TCP session, but this proxy is in mode http"),
        )
        .hint("`ssl_fc_sni` and `ssl_fc_alpn` tell the same of TLS that is terminated here")),
        "req.ssl_hello_type" | "req_ssl_hello_type" => plain(Fetch::HelloType, Kind::Integer),
        "req.ssl_sni" | "req_ssl_sni" => plain(Fetch::HelloServerName, Kind::Text),
        "req.ssl_ver" | "req_ssl_ver" => plain(Fetch::HelloVersion, Kind::Version),
        "req.ssl_alpn" => plain(Fetch::HelloAlpn, Kind::Text),
        "req.ssl_ec_ext" => plain(Fetch::HelloGroups, Kind::Boolean),
        "req.ssl_st_ext" => plain(Fetch::HelloTicket, Kind::Integer),
        "req.len" | "req_len" => plain(Fetch::FirstLength, Kind::Integer),
        "req.payload" | "payload" => {
            let (offset, length) = arguments.offset_and_length()?;
            Ok((Fetch::FirstPayload { offset, length }, Kind::Binary))
        }
        "always_false" => plain(Fetch::Always(false), Kind::Boolean),
        "method" | "meth" | "capture.req.method" => plain(Fetch::Method, Kind::Text),
        "path" => plain(Fetch::Path, Kind::Text),
        "pathq" | "capture.req.uri" => plain(Fetch::PathQuery, Kind::Text),
        "url" => plain(Fetch::Url, Kind::Text),
        "query" => plain(Fetch::Query, Kind::Text),
        "base" => plain(Fetch::Base { query: false }, Kind::Text),
        "baseq" => plain(Fetch::Base { query: true }, Kind::Text),
        "req.ver" | "req_ver" => plain(Fetch::Version, Kind::Text),
        "url_param" | "urlp" | "urlp_val" => {
            arguments.at_most(2)?;
            let delimiter = match arguments.get(1) {
                None => b'?',
                Some(text) => match text.as_bytes() {
                    [byte] => *byte,
                    _ => return Err(arguments.wrong(format!("`{text}` is not one character that starts parameters"))),
                },
            };
            let kind = convert_if(name == "urlp_val", Converter::ToInteger, Kind::Integer, converters);
            Ok((Fetch::UrlParam { name: arguments.get(0).map(str::to_string), delimiter }, kind))
        }
        "hdr" | "req.hdr" | "res.hdr" | "shdr" => Ok((header(arguments.header(false)?), Kind::Text)),
        "req.fhdr" | "res.fhdr" => Ok((header(arguments.header(true)?), Kind::Text)),
        "hdr_val" | "req.hdr_val" | "res.hdr_val" | "shdr_val" => {
            let kind = convert_if(true, Converter::ToInteger, Kind::Integer, converters);
            Ok((header(arguments.header(false)?), kind))
        }
        "hdr_ip" | "req.hdr_ip" | "res.hdr_ip" | "shdr_ip" => {
            let kind = convert_if(true, Converter::ToAddress, Kind::Address, converters);
            Ok((header(arguments.header(false)?), kind))
        }
        "hdr_cnt" | "req.hdr_cnt" | "res.hdr_cnt" | "shdr_cnt" => Ok((count(arguments.header(false)?), Kind::Integer)),
        "req.fhdr_cnt" | "res.fhdr_cnt" => Ok((count(arguments.header(true)?), Kind::Integer)),
        "cook" | "req.cook" | "cook_val" | "req.cook_val" => {
            arguments.at_most(1)?;
            let kind = convert_if(name.ends_with("_val"), Converter::ToInteger, Kind::Integer, converters);
            Ok((Fetch::Cookie(arguments.get(0).map(str::to_string)), kind))
        }
        "cook_cnt" | "req.cook_cnt" => {
            arguments.at_most(1)?;
            Ok((Fetch::CookieCount(arguments.get(0).map(str::to_string)), Kind::Integer))
        }
        "status" => plain(Fetch::Status, Kind::Integer),
        "src" => plain(Fetch::Src, Kind::Address),
        "src_port" => plain(Fetch::SrcPort, Kind::Integer),
        "dst" => plain(Fetch::Dst, Kind::Address),
        "dst_port" => plain(Fetch::DstPort, Kind::Integer),
        "ssl_fc" => plain(Fetch::SslFc, Kind::Boolean),
        "ssl_fc_sni" => plain(Fetch::SslFcSni, Kind::Text),
        "ssl_fc_has_sni" => plain(Fetch::SslFcHasSni, Kind::Boolean),
        "ssl_fc_alpn" => plain(Fetch::SslFcAlpn, Kind::Text),
        "ssl_fc_protocol" => plain(Fetch::SslFcProtocol, Kind::Text),
        "ssl_fc_cipher" => plain(Fetch::SslFcCipher, Kind::Text),
        "ssl_fc_is_resumed" => plain(Fetch::SslFcIsResumed, Kind::Boolean),
        "ssl_fc_use_keysize" | "ssl_fc_alg_keysize" => plain(Fetch::SslFcUseKeysize, Kind::Integer),
        _ if client_certificate::NAMES.contains(&name) => {
            let (field, kind) = client_certificate::build(&arguments)?;
            Ok((Fetch::ClientCertificate(field), kind))
        }
        "fe_name" => plain(Fetch::FrontendName, Kind::Text),
        "be_name" => plain(Fetch::BackendName, Kind::Text),
        "srv_name" => plain(Fetch::ServerName, Kind::Text),
        "hostname" => plain(Fetch::Hostname, Kind::Text),
        "fc_pp_authority" => plain(Fetch::ProxyTold(told::AUTHORITY), Kind::Text),
        "fc_pp_unique_id" => plain(Fetch::ProxyTold(told::UNIQUE_ID), Kind::Text),
        "fc_pp_tlv" => {
            let text = arguments.one()?;
            let named = told::NAMES.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
            let number = || match text.strip_prefix("0x") {
                Some(digits) => u8::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            };
            let kind = named.or_else(number).ok_or_else(|| {
                arguments
                    .wrong(format!("`{text}` is neither a number up to 255 nor the name of a value"))
                    .suggest(text, told::NAMES.iter().map(|(name, _)| *name))
            })?;
            Ok((Fetch::ProxyTold(kind), Kind::Text))
        }
        "unique-id" => plain(Fetch::UniqueId, Kind::Text),
        "nbsrv" => Ok((Fetch::UsableServers(arguments.backend(scope)?), Kind::Integer)),
        "date" => {
            arguments.at_most(2)?;
            let offset = arguments.get(0).map_or(Ok(0), |text| arguments.integer(text))?;
            if let Some(unit) = arguments.get(1).filter(|unit| *unit != "s") {
                return Err(arguments.wrong(format!("`date` in `{unit}` is known but not built yet; seconds are")));
            }
            Ok((Fetch::Date { offset }, Kind::Integer))
        }
        "str" => Ok((Fetch::Constant(Constant::Text(arguments.raw_one()?.to_string())), Kind::Text)),
        "int" => {
            let value = arguments.integer(arguments.one()?)?;
            Ok((Fetch::Constant(Constant::Integer(value)), Kind::Integer))
        }
        "bool" => {
            let text = arguments.one()?;
            let value = match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => true,
                "false" | "no" | "off" | "0" => false,
                _ => return Err(arguments.wrong(format!("`{text}` is neither true nor false"))),
            };
            Ok((Fetch::Constant(Constant::Boolean(value)), Kind::Boolean))
        }
        _ if known::is_known_fetch(name) => {
            Err(ExprError::new(0, format!("the fetch `{name}` is known but not built yet")))
        }
        _ => Err(unknown_fetch(name)),
    }
}

fn convert_if(wanted: bool, converter: Converter, kind: Kind, converters: &mut Vec<Converter>) -> Kind {
    if !wanted {
        return Kind::Text;
    }
    converters.push(converter);
    kind
}

fn unknown_fetch(name: &str) -> ExprError {
    if CONVERTERS.contains(&name) || known::is_known_converter(name) {
        return ExprError::new(0, format!("`{name}` is a converter: it stands behind a fetch, as in `path,{name}`"));
    }
    let candidates = FETCHES.iter().chain(&client_certificate::NAMES).chain(known::FETCHES).copied();
    ExprError::new(0, format!("there is no fetch `{name}`")).suggest(name, candidates)
}

/// Values of a client's first bytes, which are a request in HTTP.
fn of_first_bytes(name: &str) -> bool {
    let others = ["req.len", "req_len", "req.payload", "payload"];
    name.starts_with("req.ssl_") || name.starts_with("req_ssl_") || others.contains(&name)
}

/// Values of the request or response, which a TCP session has none of.
fn needs_http(name: &str) -> bool {
    const HTTP: [&str; 15] = [
        "method",
        "meth",
        "path",
        "pathq",
        "url",
        "query",
        "base",
        "baseq",
        "req.ver",
        "req_ver",
        "url_param",
        "urlp",
        "urlp_val",
        "status",
        "unique-id",
    ];
    const FAMILIES: [&str; 8] = ["hdr", "req.hdr", "req.fhdr", "res.", "shdr", "cook", "req.cook", "capture."];
    HTTP.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::super::with_scope;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = with_scope(Mode::Http, Side::Request, |scope| match parse_expr(text, scope) {
            Ok(expr) => format!("{:?} {:?}", expr.fetch, expr.converters),
            Err(error) => format!("error: {error}"),
        });
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn every_listed_name_is_built_and_no_built_one_is_called_unbuilt() {
        let arguments = |name: &str| match name {
            "nbsrv" => "(two)",
            "int" | "bool" => "(1)",
            "str" => "(x)",
            "req.payload" | "payload" => "(0,4)",
            "fc_pp_tlv" => "(SSL_CN)",
            _ if name.contains("hdr") => "(x)",
            _ => "",
        };
        with_scope(Mode::Http, Side::Response, |http| {
            for name in FETCHES {
                let text = format!("{name}{}", arguments(name));
                let mode = if of_first_bytes(name) { Mode::Tcp } else { Mode::Http };
                let scope = &Scope { mode, ..*http };
                assert!(parse_expr(&text, scope).is_ok(), "{text}: {:?}", parse_expr(&text, scope));
                assert!(!known::is_known_fetch(name), "{name}");
            }
            for name in CONVERTERS {
                assert!(!known::is_known_converter(name), "{name}");
            }
        });
    }

    #[test]
    fn reads_fetches_and_converters() {
        check("path", "Path []");
        check("int(-5),not", "Constant(Integer(-5)) [Not]");
        check("str()", "Constant(Text(\"\")) []");
        check("path,field(-2,/,0)", "Path [Field(Part { index: -2, delimiters: \"/\", count: 0 })]");
        check("path,concat(a,,b)", "Path [Concat { before: \"a\", after: \"b\" }]");
        check(
            "hdr_val(Content-Length)",
            "RequestHeader(HeaderRef { name: \"content-length\", occurrence: None, whole_line: false }) [ToInteger]",
        );
        check("nbsrv(none)", "UsableServers(BackendId(1)) []");
    }

    #[test]
    fn tells_unknown_from_not_yet_built() {
        check("pth", "error: there is no fetch `pth`; did you mean `path`?");
        check("sc0_conn_rate", "error: the fetch `sc0_conn_rate` is known but not built yet");
        check("src_http_req_rate(t)", "error: the fetch `src_http_req_rate` is known but not built yet");
        check("var(txn.x)", "error: the fetch `var` is known but not built yet");
        check("path,lowr", "error: there is no converter `lowr`; did you mean `lower`?");
        check("src,ipmask(8)", "error: the converter `ipmask` is known but not built yet");
        check("src,table_conn_cnt(t)", "error: the converter `table_conn_cnt` is known but not built yet");
        check("lower", "error: `lower` is a converter: it stands behind a fetch, as in `path,lower`");
    }

    #[test]
    fn refuses_wrong_arguments() {
        check("path(x)", "error: `path` takes no argument");
        check("path,lower(x)", "error: `lower` takes no argument");
        check("hdr", "error: `hdr` needs the name of a header, as in `hdr(host)`");
        check("hdr(a b)", "error: `a b` cannot be the name of a header");
        check("hdr(a,1,2)", "error: `hdr` takes at most 2 arguments");
        check("hdr(a,x)", "error: `x` is not an integer");
        check("int(abc)", "error: `abc` is not an integer");
        check("int", "error: `int` needs an argument");
        check("str(a,b)", "error: `str` takes at most 1 argument");
        check("path,field(0,/)", "error: `field` counts from 1, or from -1 at the end");
        check("path,word(1)", "error: `word` needs an index and delimiters, as in `word(1,/)`");
        check("nbsrv", "error: `nbsrv` in a frontend needs the name of a backend");
        check("nbsrv(tow)", "error: backend `tow` is not defined; did you mean `two`?");
        check("status", "error: `status` is of the response, which there is none of yet here");
        check("src,not", "error: `not` takes no address");
        check("path,concat(a,txn.v)", "error: variables in `concat` are known but not built yet");
    }

    #[test]
    fn a_tcp_proxy_has_no_requests() {
        with_scope(Mode::Tcp, Side::Request, |scope| {
            for text in ["path", "hdr(host)", "method", "url_param(x)", "req.cook(a)"] {
                let error = parse_expr(text, scope).map(|_| ()).unwrap_err();
                assert!(error.message.contains("needs HTTP"), "{text}: {error}");
            }
            for text in
                ["src", "dst_port", "ssl_fc_sni", "nbsrv(two)", "always_true", "req.ssl_sni", "req.payload(0,0)"]
            {
                assert!(parse_expr(text, scope).is_ok(), "{text}");
            }
        });
        check(
            "req.ssl_sni",
            "error: `req.ssl_sni` looks at the first bytes of a TCP session, but this proxy is in mode http",
        );
    }
}
