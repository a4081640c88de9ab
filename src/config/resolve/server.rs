//! One server of a backend: where it is and how it is reached (HAProxy manual 5.2).

use std::net::SocketAddr;
use std::sync::Arc;

use super::bind::{fits, look_up, tell_address};
use super::context::{Context, Section};
use super::layers::Said;
use super::rules::Conditions;
use super::{check, dial, tls};
use crate::config::address::{Host, ServerEndpoint, ServerPort, parse_server};
use crate::config::expr::{Side, parse_format};
use crate::config::raw;
use crate::diag::{Diagnostic, FieldPath};
use crate::model::backend::{BackendTimeouts, PoolSettings, ProxyOptions, ProxyVersion, Role, ServerAddress};
use crate::model::check::Check;
use crate::model::http::ServerProtocol;
use crate::model::rule::Format;
use crate::model::tcp::told;
use crate::model::{Mode, Server, ServerId};
use crate::sys;

/// HAProxy's limit on a server's weight.
const HEAVIEST: u32 = 256;

/// A server's own words, then the `default-server` lines of its section and of what that inherits.
pub(super) struct ServerLayers<'a> {
    own: &'a raw::Server,
    path: FieldPath,
    inherited: Vec<(&'a raw::Server, FieldPath)>,
}

impl<'a> ServerLayers<'a> {
    fn new(section: &Section<'a>, name: &str, own: &'a raw::Server) -> Self {
        let layers = section.layers.iter();
        let inherited =
            layers.filter_map(|layer| Some((layer.proxy.default_server.as_ref()?, layer.path.key("default_server"))));
        ServerLayers { own, path: section.path.key("servers").key(name), inherited: inherited.collect() }
    }

    pub fn path(&self) -> &FieldPath {
        &self.path
    }

    pub fn own(&self) -> &'a raw::Server {
        self.own
    }

    /// The nearest value of a field and where it was written.
    pub fn said<T>(&self, field: &str, pick: impl Fn(&'a raw::Server) -> Option<&'a T>) -> Option<(&'a T, FieldPath)> {
        if let Some(value) = pick(self.own) {
            return Some((value, self.path.key(field)));
        }
        self.inherited.iter().find_map(|(server, path)| Some((pick(server)?, path.key(field))))
    }

    /// Every value of a field, the section's own last.
    pub fn all<T>(&self, field: &str, pick: impl Fn(&'a raw::Server) -> Option<&'a T>) -> Vec<(&'a T, FieldPath)> {
        let inherited = self.inherited.iter().rev().map(|(server, path)| (*server, path));
        let layers = inherited.chain([(self.own, &self.path)]);
        layers.filter_map(|(server, path)| Some((pick(server)?, path.key(field)))).collect()
    }

    pub fn value<T: Copy + 'a>(&self, pick: impl Fn(&'a raw::Server) -> Option<&'a T>) -> Option<T> {
        self.said("", pick).map(|(value, _)| *value)
    }

    pub fn is_on(&self, pick: impl Fn(&'a raw::Server) -> Option<&'a bool>) -> bool {
        self.value(pick).unwrap_or(false)
    }
}

/// All servers of a section, those with errors left out after they were told.
pub(super) fn resolve_all<'a>(
    context: &Context<'a>,
    section: &Section<'a>,
    timeouts: &BackendTimeouts,
) -> Vec<Arc<Server>> {
    let mut servers = Vec::new();
    for (name, raw) in &section.own().servers {
        let layers = ServerLayers::new(section, name, raw);
        context.check_name(&layers.path, name);
        let id = ServerId(u32::try_from(servers.len()).unwrap_or(u32::MAX));
        servers.extend(resolve(context, section, &layers, id, name, timeouts).map(Arc::new));
    }
    servers
}

fn resolve<'a>(
    context: &Context<'a>,
    section: &Section<'a>,
    layers: &ServerLayers<'_>,
    id: ServerId,
    name: &str,
    timeouts: &BackendTimeouts,
) -> Option<Server> {
    let place = address(context, layers);
    let weight = layers.said("weight", |server| server.weight.as_ref());
    if let Some((weight, path)) = &weight
        && **weight > HEAVIEST
    {
        context.error(path, format!("a weight is 0 to {HEAVIEST}, not {weight}"));
    }
    let maxconn = layers.value(|server| server.maxconn.as_ref()).filter(|most| *most > 0);
    let minconn = layers.value(|server| server.minconn.as_ref());
    let tls = tls::server(context, layers);
    let protocol = match section.mode {
        Mode::Http => tls::server_protocol(layers, tls.as_deref()),
        Mode::Tcp => {
            if let Some((_, path)) = layers.said("proto", |server| server.proto.as_ref()) {
                let told = Diagnostic::error("`proto` says how HTTP is spoken; this is mode tcp");
                context.tell(&path, told.hint("remove it, or write `mode http`"));
            }
            ServerProtocol::Http1 // bytes are passed as they are
        }
    };
    let send_proxy = send_proxy(context, layers);
    let proxy_options = proxy_options(context, layers);
    let proxy_values = proxy_values(context, section, layers);
    if !proxy_values.is_empty() && send_proxy != Some(ProxyVersion::V2) {
        let told = "values of a PROXY header of version 2 without `send-proxy-v2`: nobody gets them";
        context.warn(layers.path(), "values-without-header", told);
    }
    let (address, hostname) = place?;
    let check = check::resolve(context, section, layers, &address, hostname.as_deref(), timeouts);
    let dial = dial::server(context, section, layers);
    let check = check.map(|check| Check { proxy_options, dial: dial::check(&dial), ..check });
    Some(Server {
        id,
        name: name.into(),
        address,
        hostname,
        weight: weight.and_then(|(weight, _)| u16::try_from(*weight).ok()).unwrap_or(1),
        role: if layers.is_on(|server| server.backup.as_ref()) { Role::Backup } else { Role::Active },
        maxconn,
        minconn: minconn.filter(|least| *least > 0),
        maxqueue: layers.value(|server| server.maxqueue.as_ref()).filter(|most| *most > 0),
        pool: pool(context, layers),
        tls,
        send_proxy,
        proxy_options,
        proxy_values,
        dial,
        protocol,
        websockets: websockets(context, section, layers, protocol),
        check: check.map(Arc::new),
        disabled: layers.is_on(|server| server.disabled.as_ref()),
    })
}

/// What WebSockets are passed on in, where that differs (manual 5.2 `ws`).
fn websockets(
    context: &Context<'_>,
    section: &Section<'_>,
    layers: &ServerLayers<'_>,
    protocol: ServerProtocol,
) -> Option<ServerProtocol> {
    let (wanted, path) = layers.said("ws", |server| server.ws.as_ref())?;
    if section.mode == Mode::Tcp {
        let told = Diagnostic::error("`ws` is about HTTP; this is mode tcp");
        context.tell(&path, told.hint("remove it, or write `mode http`"));
    }
    let wanted = match wanted {
        raw::WebSockets::Auto => return None,
        raw::WebSockets::H1 => ServerProtocol::Http1,
        raw::WebSockets::H2 => ServerProtocol::Http2,
    };
    (wanted != protocol).then_some(wanted)
}

/// The address, and the host name it came from.
fn address(context: &Context<'_>, layers: &ServerLayers<'_>) -> Option<(ServerAddress, Option<String>)> {
    let Some(text) = layers.own.address.as_deref() else {
        context.error(&layers.path, "the server's `address` is missing");
        return None;
    };
    let path = layers.path.key("address");
    let endpoint = match parse_server(text) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            tell_address(context, &path, &error);
            return None;
        }
    };
    let (host, port) = match endpoint {
        ServerEndpoint::Unix { path: name, is_abstract: true } => {
            if !fits(context, &path, &name) {
                return None;
            }
            return Some((ServerAddress::Unix(sys::abstract_path(&name)), None));
        }
        ServerEndpoint::Unix { path, .. } => return Some((ServerAddress::Unix(path), None)),
        ServerEndpoint::Tcp { host, port } => (host, port),
    };
    let ServerPort::Fixed(port @ 1..) = port else {
        let told = match port {
            ServerPort::Fixed(_) => Diagnostic::error("port 0 cannot be connected to"),
            _ => Diagnostic::error(format!("`{text}` names no fixed port; the client's own is not built yet"))
                .hint("write the port: `10.0.0.1:80`"),
        };
        context.tell(&path, told);
        return None;
    };
    let ip = look_up(context, &path, &host)?;
    if ip.is_unspecified() {
        context.error(&path, format!("`{ip}` would mean the address the client asked for, which is not built yet"));
        return None;
    }
    let hostname = match host {
        Host::Name { name, .. } => Some(name),
        Host::Ip(_) => None,
    };
    Some((ServerAddress::Tcp(SocketAddr::new(ip, port)), hostname))
}

fn pool(context: &Context<'_>, layers: &ServerLayers<'_>) -> PoolSettings {
    let limit = |field: &str, pick: fn(&raw::Server) -> Option<&i32>| {
        let (number, path) = layers.said(field, pick)?;
        if *number < -1 {
            context.error(&path, format!("`{field}` is -1, which is no limit, or at least 0; not {number}"));
        }
        u32::try_from(*number).ok()
    };
    let delay = layers.said("pool_purge_delay", |server| server.pool_purge_delay.as_ref());
    let delay = delay.and_then(|(value, path)| context.time(&Said { value, path, own: false }));
    PoolSettings {
        max_conn: limit("pool_max_conn", |server| server.pool_max_conn.as_ref()),
        purge_delay: delay.unwrap_or(PoolSettings::USUAL_PURGE_DELAY),
        max_reuse: limit("max_reuse", |server| server.max_reuse.as_ref()),
    }
}

fn send_proxy(context: &Context<'_>, layers: &ServerLayers<'_>) -> Option<ProxyVersion> {
    let own = layers.own;
    if own.send_proxy == Some(true)
        && [own.send_proxy_v2, own.send_proxy_v2_ssl, own.send_proxy_v2_ssl_cn].contains(&Some(true))
    {
        context.error(&layers.path.key("send_proxy"), "`send_proxy` and `send_proxy_v2` exclude each other");
    }
    if sends_v2(layers) {
        return Some(ProxyVersion::V2);
    }
    layers.is_on(|server| server.send_proxy.as_ref()).then_some(ProxyVersion::V1)
}

/// Whether a header of version 2 goes first.
pub(super) fn sends_v2(layers: &ServerLayers<'_>) -> bool {
    layers.is_on(|server| server.send_proxy_v2.as_ref())
        || layers.is_on(|server| server.send_proxy_v2_ssl.as_ref())
        || layers.is_on(|server| server.send_proxy_v2_ssl_cn.as_ref())
}

/// Values that a version 2 header carries besides, `default-server`'s where the line does not say others.
fn proxy_values<'a>(context: &Context<'a>, section: &Section<'a>, layers: &ServerLayers<'_>) -> Vec<(u8, Format)> {
    let mut values: Vec<(u8, Format)> = Vec::new();
    for (written, path) in layers.all("set_proxy_v2_tlv_fmt", |server| server.set_proxy_v2_tlv_fmt.as_ref()) {
        let conditions = Conditions::of(context, section);
        for (kind, format) in written {
            let path = path.key(kind);
            let Some(number) = value_type(kind) else {
                let told = format!("`{kind}` is no type of value: 0 to 255 but 3, which is the checksum's");
                context.tell(&path, Diagnostic::error(told).hint("0xE0 to 0xEF are free for one's own"));
                continue;
            };
            let read = conditions.with_scope(Side::Request, |scope| parse_format(format, scope));
            if let Ok(format) = conditions.told(&path, read) {
                values.retain(|(known, _)| *known != number);
                values.push((number, format));
            }
        }
    }
    values
}

fn value_type(text: &str) -> Option<u8> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().filter(|number| *number != told::CRC32C)
}

/// What a version 2 header tells besides addresses (manual 5.2 `proxy-v2-options`).
fn proxy_options(context: &Context<'_>, layers: &ServerLayers<'_>) -> ProxyOptions {
    let cert_cn = layers.is_on(|server| server.send_proxy_v2_ssl_cn.as_ref());
    let ssl = cert_cn || layers.is_on(|server| server.send_proxy_v2_ssl.as_ref());
    let mut options = ProxyOptions { ssl, cert_cn, ..ProxyOptions::default() };
    let Some((written, path)) = layers.said("proxy_v2_options", |server| server.proxy_v2_options.as_ref()) else {
        return options;
    };
    for word in written.split(',').map(str::trim) {
        match word {
            "ssl" => options.ssl = true,
            "ssl-cipher" => (options.ssl, options.ssl_cipher) = (true, true),
            "crc32c" => options.crc32c = true,
            "unique-id" => options.unique_id = true,
            "authority" => options.authority = true,
            "cert-cn" => (options.ssl, options.cert_cn) = (true, true),
            "cert-sig" => (options.ssl, options.cert_sig) = (true, true),
            "cert-key" => (options.ssl, options.cert_key) = (true, true),
            _ => {
                let known =
                    ["ssl", "ssl-cipher", "crc32c", "unique-id", "authority", "cert-cn", "cert-sig", "cert-key"];
                let told = Diagnostic::error(format!("`{word}` is nothing a PROXY header can tell"));
                context.tell(&path, told.suggest(word, known));
            }
        }
    }
    options
}
