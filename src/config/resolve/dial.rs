//! How are connections opened, besides to where? `source`, keep-alive probes, `tcp-ut` (HAProxy manual 4.2, 5.2).

use std::net::SocketAddr;
use std::sync::Arc;

use super::bind::{look_up, tell_address};
use super::context::{Context, Section};
use super::layers::Said;
use super::server::ServerLayers;
use crate::config::address::{Host, Source as Address, parse_source};
use crate::config::expr::parse_address_field;
use crate::config::raw::{self, Proxy, Span};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::Mode;
use crate::model::dial::{Dial, KeepAlive, PROBE_SILENCE, Presented, Source};

/// The kernel's limit for probes (tcp(7)).
const MOST_PROBES: u32 = 127;

/// What is set for connections to one server; `None` when nothing is.
pub(super) fn server(context: &Context<'_>, section: &Section<'_>, layers: &ServerLayers<'_>) -> Option<Arc<Dial>> {
    let own = layers.said("source", |server| server.source.as_ref());
    let source = match own {
        Some((written, path)) => source(context, &path, section.mode, written, Ports::Allowed),
        None => {
            let said = section.layers.said("source", |proxy| proxy.source.as_ref());
            said.and_then(|said| source(context, &said.path, section.mode, said.value, Ports::Refused))
        }
    };
    let user_timeout = layers.said("tcp_ut", |server| server.tcp_ut.as_ref());
    let user_timeout = user_timeout
        .and_then(|(value, path)| context.time(&Said { value, path, own: false }))
        .filter(|time| !time.is_zero());
    let names = Names { on: "srvtcpka", count: "srvtcpka_cnt", idle: "srvtcpka_idle", interval: "srvtcpka_intvl" };
    let keep_alive = keep_alive(context, section, &names, |proxy| Written {
        on: proxy.srvtcpka,
        count: proxy.srvtcpka_cnt.as_ref(),
        idle: proxy.srvtcpka_idle.as_ref(),
        interval: proxy.srvtcpka_intvl.as_ref(),
    });
    let nolinger = section.layers.value(|proxy| proxy.nolinger.as_ref()).unwrap_or(false);
    let dial = Dial { source: source.filter(|source| !is_nothing(source)), keep_alive, user_timeout, nolinger };
    (dial != Dial::default()).then(|| Arc::new(dial))
}

/// The same for checks, which speak for no client.
pub(super) fn check(dial: &Option<Arc<Dial>>) -> Option<Arc<Dial>> {
    let mut own = Dial::clone(dial.as_deref()?);
    if let Some(source) = &mut own.source {
        source.presented = Presented::Own;
    }
    own.source = own.source.filter(|source| !is_nothing(source));
    (own != Dial::default()).then(|| Arc::new(own))
}

/// `source 0.0.0.0` asks for what is so anyway.
fn is_nothing(source: &Source) -> bool {
    source.address.is_unspecified()
        && source.ports.is_none()
        && source.presented == Presented::Own
        && source.interface.is_none()
}

/// `option clitcpka` of a frontend.
pub(super) fn client_keep_alive(context: &Context<'_>, section: &Section<'_>) -> Option<KeepAlive> {
    let names = Names { on: "clitcpka", count: "clitcpka_cnt", idle: "clitcpka_idle", interval: "clitcpka_intvl" };
    keep_alive(context, section, &names, |proxy| Written {
        on: proxy.clitcpka,
        count: proxy.clitcpka_cnt.as_ref(),
        idle: proxy.clitcpka_idle.as_ref(),
        interval: proxy.clitcpka_intvl.as_ref(),
    })
}

/// One side's fields of a section.
struct Written<'a> {
    on: Option<bool>,
    count: Option<&'a u32>,
    idle: Option<&'a Span>,
    interval: Option<&'a Span>,
}

struct Names {
    on: &'static str,
    count: &'static str,
    idle: &'static str,
    interval: &'static str,
}

fn keep_alive(
    context: &Context<'_>,
    section: &Section<'_>,
    names: &Names,
    pick: for<'p> fn(&'p Proxy) -> Written<'p>,
) -> Option<KeepAlive> {
    let on = section.layers.iter().find_map(|layer| pick(layer.proxy).on).unwrap_or(false);
    let count = section.layers.said(names.count, |proxy| pick(proxy).count);
    let time = |field: &str, pick: &dyn for<'p> Fn(&'p Proxy) -> Option<&'p Span>| {
        let said = section.layers.said(field, pick)?;
        let time = context.time(&said)?;
        if !PROBE_SILENCE.contains(&time) {
            let told = format!("`{field}` is 1s to {}s", PROBE_SILENCE.end().as_secs());
            context.error(&said.path, told);
        }
        Some(time)
    };
    let idle = time(names.idle, &|proxy| pick(proxy).idle);
    let interval = time(names.interval, &|proxy| pick(proxy).interval);
    if let Some(said) = &count
        && !(1..=MOST_PROBES).contains(said.value)
    {
        context.error(&said.path, format!("`{}` is 1 to {MOST_PROBES}, not {}", names.count, said.value));
    }
    if !on && (count.is_some() || idle.is_some() || interval.is_some()) {
        let said = format!("`{}` is off: what is said about probes has no effect", names.on);
        context.warn(&section.path, "keep-alive-off", said);
    }
    on.then(|| KeepAlive { count: count.map(|said| *said.value), idle, interval })
}

/// Whether a port may stand behind the address: only on servers (manual 4.2 `source`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    Allowed,
    Refused,
}

fn source(context: &Context<'_>, path: &FieldPath, mode: Mode, written: &raw::Source, ports: Ports) -> Option<Source> {
    let at = path.key("address");
    let Address { host, ports: range } = match parse_source(&written.address) {
        Ok(address) => address,
        Err(error) => {
            tell_address(context, &at, &error);
            return None;
        }
    };
    if ports == Ports::Refused && range.is_some_and(|(first, last)| first != last) {
        let told = Diagnostic::error("a range of ports cannot be shared by all servers of a section");
        context.tell(&at, told.hint("write `source` with its ports on each server"));
    }
    Some(Source {
        address: look_up(context, &at, &host)?,
        ports: range,
        presented: presented(context, &path.key("usesrc"), mode, written.usesrc.as_deref())?,
        interface: written.interface.clone(),
    })
}

/// `usesrc hdr_ip(…)`
fn address_field(context: &Context<'_>, path: &FieldPath, mode: Mode, text: &str) -> Option<Presented> {
    if mode == Mode::Tcp {
        let told = Diagnostic::error("`hdr_ip` is about requests; this is mode tcp");
        context.tell(path, told.hint("write `usesrc clientip`, or `mode http`"));
        return None;
    }
    match parse_address_field(text) {
        Ok(field) => Some(field.map_or(Presented::Own, Presented::Field)),
        Err(error) => {
            context.error(path, error.to_string());
            None
        }
    }
}

fn presented(context: &Context<'_>, path: &FieldPath, mode: Mode, usesrc: Option<&str>) -> Option<Presented> {
    let Some(text) = usesrc else { return Some(Presented::Own) };
    let given_up = |name: &Option<String>| name.as_deref().is_some_and(|name| name != "root");
    let global = &context.raw.global;
    if given_up(&global.user) || global.uid.is_some_and(|uid| uid != 0) {
        let told = Diagnostic::error("`usesrc` needs rights that are given up when `user` is changed to");
        context.tell(path, told.hint("remove `user` and `uid` from `global`"));
        return None;
    }
    match text {
        "clientip" => return Some(Presented::ClientIp),
        "client" => return Some(Presented::Client),
        _ if text.starts_with("hdr_ip(") => return address_field(context, path, mode, text),
        _ => {}
    }
    match parse_source(text) {
        Ok(Address { host: Host::Ip(ip), ports }) => {
            Some(Presented::Fixed(SocketAddr::new(ip, ports.map_or(0, |(first, _)| first))))
        }
        _ => {
            let told =
                Diagnostic::error(format!("`{text}` is neither `clientip`, `client`, `hdr_ip(…)` nor an address"));
            context.tell(path, told.suggest(text, ["clientip", "client"]));
            None
        }
    }
}
