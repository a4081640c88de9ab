//! How is a server asked whether it is well? (HAProxy manual 5.2 `check`, 4.2 `option httpchk`, `http-check`)
//!
//! Native rules where nothing is said: servers are checked; an HTTP backend's with `GET /health`, expecting 200 and
//! sending Host. haproxy.cfg's reader says everything that is different there.

use std::time::Duration;

use regex::bytes::Regex;

use super::bind::{look_up, tell_address};
use super::context::{Context, Section};
use super::layers::Said;
use super::server::{ServerLayers, sends_v2};
use super::tls;
use crate::config::address::parse_host_only;
use crate::config::raw::{self, CheckType, Span};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::Mode;
use crate::model::backend::{BackendTimeouts, ProxyOptions, ProxyVersion, ServerAddress};
use crate::model::check::{Check, CheckHttpVersion, CheckKind, Expect, ExpectWhat, HttpCheck};

/// HAProxy's defaults (manual 5.2).
const USUAL_INTERVAL: Duration = Duration::from_secs(2);
const USUAL_RISE: u32 = 2;
const USUAL_FALL: u32 = 3;
/// More checks in a row than this are a slip of the finger.
const MOST_IN_A_ROW: u32 = 10_000;

/// The native question.
const USUAL_METHOD: &str = "GET";
const USUAL_URI: &str = "/health";
const USUAL_STATUS: u16 = 200;

/// The longest a dead server can go on getting traffic. It dies right after it passed a check and says nothing any
/// more, so that each of `fall` checks is waited for to its end; the next starts an interval after the one before
/// began, the fast interval after a first failure.
pub(crate) fn detection_time(check: &Check) -> Duration {
    let between = check.fast_interval.unwrap_or(check.interval);
    let waiting = match check.timeout {
        Some(timeout) => check.connect_timeout + timeout,
        None => check.interval,
    };
    check.interval + between.max(waiting) * check.fall.saturating_sub(1) + waiting
}

/// The check of one server, `None` when it has none or after an error was told.
pub(super) fn resolve(
    context: &Context<'_>,
    section: &Section<'_>,
    server: &ServerLayers<'_>,
    address: &ServerAddress,
    hostname: Option<&str>,
    timeouts: &BackendTimeouts,
) -> Option<Check> {
    if server.value(|server| server.check.as_ref()) == Some(false) {
        return None;
    }
    let time = |field: &str, pick: fn(&raw::Server) -> Option<&Span>| interval(context, server, field, pick);
    let interval = time("inter", |server| server.inter.as_ref()).unwrap_or(USUAL_INTERVAL);
    let target = target(context, server, address)?;
    let elsewhere = server.said("port", |server| server.port.as_ref()).is_some()
        || server.said("addr", |server| server.addr.as_ref()).is_some();
    let timeout = timeouts.check;
    let connect = timeouts.connect.filter(|_| timeout.is_some());
    let tls = encryption(context, server, elsewhere).then(|| tls::check(context, server)).flatten();
    let kind = kind(context, section, &target, hostname)?;
    if let (CheckKind::Connect, Some((_, path))) =
        (&kind, server.said("check_proto", |server| server.check_proto.as_ref()))
    {
        let told = Diagnostic::warning("only the connection is checked; `check-proto` does nothing");
        context.tell(&path, told.code("request-in-tcp-check").hint("write `option httpchk`"));
    }
    Some(Check {
        kind,
        protocol: tls::check_protocol(server, tls.as_deref()),
        interval,
        fast_interval: time("fastinter", |server| server.fastinter.as_ref()),
        down_interval: time("downinter", |server| server.downinter.as_ref()),
        rise: in_a_row(context, server, "rise", |server| server.rise.as_ref()).unwrap_or(USUAL_RISE),
        fall: in_a_row(context, server, "fall", |server| server.fall.as_ref()).unwrap_or(USUAL_FALL),
        connect_timeout: connect.map_or(interval, |connect| connect.min(interval)),
        timeout,
        tls,
        send_proxy: proxy_header(server, elsewhere),
        proxy_options: ProxyOptions::default(),
        dial: None,
        target,
    })
}

fn interval(
    context: &Context<'_>,
    server: &ServerLayers<'_>,
    field: &str,
    pick: fn(&raw::Server) -> Option<&Span>,
) -> Option<Duration> {
    let (value, path) = server.said(field, pick)?;
    let time = context.time(&Said { value, path: path.clone(), own: true })?;
    if time < Duration::from_millis(1) {
        context.error(&path, format!("`{field}` is at least 1ms"));
        return None;
    }
    Some(time)
}

fn in_a_row(
    context: &Context<'_>,
    server: &ServerLayers<'_>,
    field: &str,
    pick: fn(&raw::Server) -> Option<&u32>,
) -> Option<u32> {
    let (value, path) = server.said(field, pick)?;
    if !(1..=MOST_IN_A_ROW).contains(value) {
        context.error(&path, format!("`{field}` is 1 to {MOST_IN_A_ROW}, not {value}"));
        return None;
    }
    Some(*value)
}

/// The server's own address, unless `addr` or `port` say else.
fn target(context: &Context<'_>, server: &ServerLayers<'_>, address: &ServerAddress) -> Option<ServerAddress> {
    let addr = server.said("addr", |server| server.addr.as_ref());
    let port = server.said("port", |server| server.port.as_ref());
    let ServerAddress::Tcp(own) = address else {
        for (_, path) in [addr.map(|(_, path)| ((), path)), port.map(|(_, path)| ((), path))].into_iter().flatten() {
            context.error(&path, "a server behind a unix socket is checked there; it has no other address or port");
        }
        return Some(address.clone());
    };
    let mut target = *own;
    if let Some((text, path)) = addr {
        match parse_host_only(text) {
            Ok(host) => target.set_ip(look_up(context, &path, &host)?),
            Err(error) => {
                tell_address(context, &path, &error);
                return None;
            }
        }
    }
    if let Some((port, path)) = port {
        if *port == 0 {
            context.error(&path, "port 0 cannot be connected to");
            return None;
        }
        target.set_port(*port);
    }
    Some(ServerAddress::Tcp(target))
}

/// HAProxy's rule: a check with its own port or address takes neither TLS nor PROXY header over from the server.
fn encryption(context: &Context<'_>, server: &ServerLayers<'_>, elsewhere: bool) -> bool {
    let ssl = server.is_on(|server| server.ssl.as_ref());
    match server.value(|server| server.check_ssl.as_ref()) {
        Some(said) => said,
        None if ssl && elsewhere => {
            let told = "the check has its own port or address and so is made without the server's TLS";
            let told = Diagnostic::warning(told).code("check-without-tls");
            let field = if server.own().addr.is_some() { "addr" } else { "port" };
            context.tell(
                &server.path().key(field),
                told.hint("write `check-ssl` for TLS, `no-check-ssl` to say that this is meant"),
            );
            false
        }
        None => ssl,
    }
}

fn proxy_header(server: &ServerLayers<'_>, elsewhere: bool) -> Option<ProxyVersion> {
    let v2 = sends_v2(server);
    let v1 = server.is_on(|server| server.send_proxy.as_ref());
    // `check-send-proxy` alone is version 1 (run against HAProxy 2.6).
    let version = if v2 { ProxyVersion::V2 } else { ProxyVersion::V1 };
    let wanted = server.value(|server| server.check_send_proxy.as_ref()).unwrap_or((v1 || v2) && !elsewhere);
    wanted.then_some(version)
}

fn kind(
    context: &Context<'_>,
    section: &Section<'_>,
    target: &ServerAddress,
    hostname: Option<&str>,
) -> Option<CheckKind> {
    let layers = &section.layers;
    let said = layers.said("check.type", |proxy| proxy.check.as_ref()?.kind.as_ref());
    let own_question = section.own().check.as_ref().is_some_and(describes_a_request);
    let usual = if section.mode == Mode::Http || own_question { CheckType::Http } else { CheckType::Tcp };
    if said.map_or(usual, |said| *said.value) == CheckType::Tcp {
        if own_question {
            let told = Diagnostic::warning("only the connection is checked; what is said about a request does nothing");
            context.tell(&section.path.key("check"), told.code("request-in-tcp-check").hint("write `type: http`"));
        }
        return Some(CheckKind::Connect);
    }
    let text = |field: &str, pick: fn(&raw::Check) -> Option<&String>, usual: &str| {
        let said = layers.said(field, |proxy| pick(proxy.check.as_ref()?));
        said.map_or_else(|| usual.to_owned(), |said| said.value.clone())
    };
    let method = text("check.method", |check| check.method.as_ref(), USUAL_METHOD);
    let uri = text("check.uri", |check| check.uri.as_ref(), USUAL_URI);
    for (field, word) in [("method", &method), ("uri", &uri)] {
        if word.is_empty() || word.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            let path = section.path.key("check").key(field);
            context.error(&path, format!("`{word}` cannot stand in a request line"));
        }
    }
    let version = version(context, section)?;
    let mut headers = headers(context, section);
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    if version == CheckHttpVersion::Http11 && !has_host {
        headers.insert(0, ("Host".to_owned(), host(target, hostname)));
    }
    let body = layers.said("check.body", |proxy| proxy.check.as_ref()?.body.as_ref());
    let body = body.map(|said| said.value.clone().into_bytes()).unwrap_or_default();
    let expect = expectations(context, section);
    Some(CheckKind::Http(HttpCheck { method, uri, version, headers, body, expect }))
}

/// Whether anything is said that only a request can have.
fn describes_a_request(check: &raw::Check) -> bool {
    let raw::Check { kind: _, method, uri, version, headers, body, expect } = check;
    [method, uri, version, body].into_iter().any(Option::is_some) || headers.is_some() || expect.is_some()
}

/// HTTP/1.1 unless said; it needs a Host (RFC 9112 §3.2), which is sent even where HAProxy would send none.
fn version(context: &Context<'_>, section: &Section<'_>) -> Option<CheckHttpVersion> {
    let Some(said) = section.layers.said("check.version", |proxy| proxy.check.as_ref()?.version.as_ref()) else {
        return Some(CheckHttpVersion::Http11);
    };
    match said.value.as_str() {
        "HTTP/1.0" => Some(CheckHttpVersion::Http10),
        "HTTP/1.1" => Some(CheckHttpVersion::Http11),
        other => {
            let told = Diagnostic::error(format!("`{other}` cannot be spoken by a check"));
            context.tell(&said.path, told.hint("HTTP/1.0 and HTTP/1.1 can"));
            None
        }
    }
}

fn host(target: &ServerAddress, hostname: Option<&str>) -> String {
    match (hostname, target) {
        (Some(name), _) => name.to_owned(),
        (None, ServerAddress::Tcp(address)) => address.to_string(),
        (None, ServerAddress::Unix(_)) => "localhost".to_owned(),
    }
}

fn headers(context: &Context<'_>, section: &Section<'_>) -> Vec<(String, String)> {
    let said = section.layers.said("check.headers", |proxy| proxy.check.as_ref()?.headers.as_ref());
    let Some(said) = said else { return Vec::new() };
    for (index, field) in said.value.iter().enumerate() {
        let token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
        if field.name.is_empty() || !field.name.chars().all(token) {
            let told = format!("`{}` cannot be the name of a header field", field.name);
            context.error(&said.path.index(index).key("name"), told);
        }
        if field.value.chars().any(char::is_control) {
            let path = said.path.index(index).key("value");
            context.error(&path, "control characters may not stand in a header field");
        }
    }
    said.value.iter().map(|field| (field.name.clone(), field.value.clone())).collect()
}

fn expectations(context: &Context<'_>, section: &Section<'_>) -> Vec<Expect> {
    let Some(said) = section.layers.said("check.expect", |proxy| proxy.check.as_ref()?.expect.as_ref()) else {
        return vec![Expect { negated: false, what: ExpectWhat::Status(vec![(USUAL_STATUS, USUAL_STATUS)]) }];
    };
    let each = said.value.iter().enumerate();
    each.filter_map(|(index, raw)| {
        let what = expectation(context, &said.path.index(index), raw)?;
        Some(Expect { negated: raw.not.unwrap_or(false), what })
    })
    .collect()
}

fn expectation(context: &Context<'_>, path: &FieldPath, raw: &raw::Expect) -> Option<ExpectWhat> {
    let mut found = Vec::new();
    if let Some(text) = &raw.status {
        found.push(statuses(context, &path.key("status"), text).map(ExpectWhat::Status));
    }
    if let Some(text) = &raw.rstatus {
        found.push(regex(context, &path.key("rstatus"), text).map(ExpectWhat::StatusMatches));
    }
    if let Some(text) = &raw.string {
        found.push(Some(ExpectWhat::BodyContains(text.clone().into_bytes())));
    }
    if let Some(text) = &raw.rstring {
        found.push(regex(context, &path.key("rstring"), text).map(ExpectWhat::BodyMatches));
    }
    if let Some(header) = &raw.header {
        found.push(Some(ExpectWhat::Header { name: header.name.clone(), value: header.value.clone() }));
    }
    if found.len() != 1 {
        let told = "an expectation is exactly one of `status`, `rstatus`, `string`, `rstring` and `header`";
        context.error(path, told);
        return None;
    }
    found.pop().flatten()
}

pub(super) fn regex(context: &Context<'_>, path: &FieldPath, text: &str) -> Option<Regex> {
    Regex::new(text)
        .map_err(|error| {
            // regex's own message draws the pattern over several lines; its last line says what is wrong.
            let told = error.to_string();
            let reason = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            context.error(path, format!("`{text}` is not a regular expression: {reason}"));
        })
        .ok()
}

/// `200,204,300-399`
fn statuses(context: &Context<'_>, path: &FieldPath, text: &str) -> Option<Vec<(u16, u16)>> {
    let ranges: Option<Vec<(u16, u16)>> = text.split(',').map(|part| range(part.trim())).collect();
    if ranges.is_none() {
        let told = Diagnostic::error(format!("`{text}` is not a list of status codes"));
        context.tell(path, told.hint("codes are 100 to 999: `200`, `200,204`, `200-399`"));
    }
    ranges
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let right = (100..=999).contains(&first) && (first..=999).contains(&last);
    right.then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::http::ServerProtocol;

    #[track_caller]
    fn check_range(text: &str, expected: Option<(u16, u16)>) {
        assert_eq!(range(text), expected, "{text}");
    }

    #[test]
    fn reads_ranges_of_statuses() {
        check_range("200", Some((200, 200)));
        check_range("200-399", Some((200, 399)));
        check_range("399-200", None);
        check_range("99", None);
        check_range("1000", None);
        check_range("2xx", None);
        check_range("", None);
    }

    fn plain(interval: u64) -> Check {
        Check {
            kind: CheckKind::Connect,
            target: ServerAddress::Unix("/x".into()),
            interval: Duration::from_secs(interval),
            fast_interval: None,
            down_interval: None,
            rise: 2,
            fall: 3,
            connect_timeout: Duration::from_secs(interval),
            timeout: None,
            tls: None,
            protocol: ServerProtocol::Http1,
            send_proxy: None,
            proxy_options: ProxyOptions::default(),
            dial: None,
        }
    }

    #[test]
    fn the_longest_way_to_noticing_a_dead_server() {
        // A pass, then 2 s to the first failure, 2 s each to the second and third, and 2 s until that one has failed.
        assert_eq!(detection_time(&plain(2)), Duration::from_secs(8));
        let fast = Check { fast_interval: Some(Duration::from_secs(1)), ..plain(10) };
        assert_eq!(detection_time(&fast), Duration::from_secs(40));
        let bounded =
            Check { timeout: Some(Duration::from_secs(5)), connect_timeout: Duration::from_secs(1), ..plain(2) };
        assert_eq!(detection_time(&bounded), Duration::from_secs(20));
        let once = Check { fall: 1, ..plain(2) };
        assert_eq!(detection_time(&once), Duration::from_secs(4));
    }
}
