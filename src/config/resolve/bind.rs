//! Where does a frontend listen? (HAProxy manual 4.2 and 5.1 `bind`)

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::accounts::Account;
use super::context::{Context, Section};
use super::layers::Said;
use super::{forwarded, http, tls};
use crate::config::address::{AddressError, BindAddress, Host, parse_bind};
use crate::config::raw;
use crate::diag::{Diagnostic, FieldPath};
use crate::model::frontend::{AcceptProxy, ListenAddress, UnixSocketOptions};
use crate::model::{Frontend, Listener};

/// `sun_path` without its final zero (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// All listeners of a section; wrong ones are left out after they were told.
pub(super) fn resolve(context: &Context<'_>, section: &Section<'_>) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for (index, bind) in section.own().bind.iter().enumerate() {
        let path = section.path.key("bind").index(index);
        let tls = tls::listener(context, section, &path, bind);
        let accept_proxy = accept_proxy(context, &path, bind);
        let user_timeout = bind.tcp_ut.as_ref().and_then(|value| {
            context.time(&Said { value, path: path.key("tcp_ut"), own: true }).filter(|time| !time.is_zero())
        });
        let protocol = http::client_protocol(context, section, &path, bind);
        let addresses = match parse_bind(&bind.address) {
            Ok(addresses) => addresses,
            Err(error) => {
                tell_address(context, &path.key("address"), &error);
                continue;
            }
        };
        let single = addresses.len() == 1;
        for address in addresses {
            let Some(address) = listen_address(context, &path, bind, address) else { continue };
            // Reports tell listeners apart by name, also those that HAProxy lets share one.
            let taken = |name: &String| listeners.iter().any(|known| *known.name == **name);
            let name = match (&bind.name, single) {
                (Some(name), true) if !taken(name) => name.clone(),
                (Some(name), _) => format!("{name} {}", show(&address)),
                (None, true) => bind.address.clone(),
                (None, false) => show(&address),
            };
            listeners.push(Listener {
                name: name.into(),
                address,
                tls: tls.clone(),
                accept_proxy: accept_proxy.clone(),
                user_timeout,
                maxconn: bind.maxconn.filter(|most| *most > 0),
                protocol,
            });
        }
    }
    listeners
}

pub(super) fn tell_address(context: &Context<'_>, path: &FieldPath, error: &AddressError) {
    let mut told = Diagnostic::error(error.to_string());
    told.hint = error.hint();
    context.tell(path, told);
}

fn listen_address(
    context: &Context<'_>,
    path: &FieldPath,
    bind: &raw::Bind,
    address: BindAddress,
) -> Option<ListenAddress> {
    match address {
        BindAddress::Tcp { host, port } => {
            let ip = look_up(context, &path.key("address"), &host)?;
            Some(ListenAddress::Tcp {
                address: SocketAddr::new(ip, port),
                v6only: bind.v6only.unwrap_or(bind.v4v6 == Some(false)),
                interface: bind.interface.clone(),
                mss: mss(context, path, bind),
            })
        }
        BindAddress::Unix { path: socket, is_abstract } => {
            if bind.mss.is_some() {
                context.error(&path.key("mss"), "`mss` is about TCP, this is a unix socket");
            }
            let rights =
                Rights { mode: &bind.mode, user: &bind.user, group: &bind.group, uid: bind.uid, gid: bind.gid };
            unix_socket(context, path, &socket, is_abstract, &rights).map(ListenAddress::Unix)
        }
    }
}

/// Within what the kernel takes (tcp(7), TCP_MAXSEG).
fn mss(context: &Context<'_>, path: &FieldPath, bind: &raw::Bind) -> Option<u16> {
    let wanted = bind.mss?;
    let size = u16::try_from(wanted).ok().filter(|size| (88..=32_767).contains(size));
    if size.is_none() {
        let told = Diagnostic::error(format!("`mss` is 88 to 32767 bytes, not {wanted}"));
        let hint = "a negative size changes a connection that stands already, which Linux does not do";
        context.tell(&path.key("mss"), if wanted < 0 { told.hint(hint) } else { told });
    }
    size
}

/// The address of a host; the first IPv4 one when a name has several, else the first of all.
pub(super) fn look_up(context: &Context<'_>, path: &FieldPath, host: &Host) -> Option<IpAddr> {
    use crate::config::address::Family;
    use std::net::ToSocketAddrs;
    let (name, family) = match host {
        Host::Ip(ip) => return Some(*ip),
        Host::Name { name, family } => (name, *family),
    };
    let found: Vec<IpAddr> = match (name.as_str(), 0).to_socket_addrs() {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(_) => Vec::new(),
    };
    let wanted = |ip: &IpAddr| match family {
        Some(Family::V4) => ip.is_ipv4(),
        Some(Family::V6) => ip.is_ipv6(),
        None => true,
    };
    let mut fitting: Vec<IpAddr> = found.into_iter().filter(wanted).collect();
    fitting.sort_by_key(|ip| !ip.is_ipv4()); // stable: the resolver's order is kept within a family
    if fitting.is_empty() {
        let told = Diagnostic::error(format!("the name `{name}` cannot be resolved to an address"));
        context.tell(path, told.hint("check the spelling and this machine's resolver, or write an IP address"));
    }
    fitting.into_iter().next()
}

/// Whether a unix socket's path, or an abstract one's name, is short enough.
pub(super) fn fits(context: &Context<'_>, path: &FieldPath, socket: &Path) -> bool {
    let length = socket.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        let told = format!("a socket's path has at most {LONGEST_SOCKET_PATH} bytes, this one {length}");
        context.error(path, told);
    }
    length <= LONGEST_SOCKET_PATH
}

/// Who may open a unix socket, as written.
pub(super) struct Rights<'a> {
    pub mode: &'a Option<String>,
    pub user: &'a Option<String>,
    pub group: &'a Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

pub(super) fn unix_socket(
    context: &Context<'_>,
    path: &FieldPath,
    socket: &Path,
    is_abstract: bool,
    rights: &Rights<'_>,
) -> Option<UnixSocketOptions> {
    if !fits(context, &path.key("address"), socket) {
        return None;
    }
    let mode = rights.mode.as_deref().and_then(|text| {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            context.error(&path.key("mode"), format!("`{text}` is not a file mode; write it in octal, as `660`"));
        }
        mode
    });
    Some(UnixSocketOptions {
        path: socket.to_owned(),
        is_abstract,
        mode,
        user: Account::User.resolve(context, path, rights.user.as_deref(), rights.uid),
        group: Account::Group.resolve(context, path, rights.group.as_deref(), rights.gid),
    })
}

fn accept_proxy(context: &Context<'_>, path: &FieldPath, bind: &raw::Bind) -> AcceptProxy {
    match (bind.accept_proxy, bind.accept_proxy_from.as_slice()) {
        (Some(true), []) => AcceptProxy::Always,
        (Some(true), _) => {
            let told = "`accept_proxy` means from everyone, `accept_proxy_from` from some; write one";
            context.error(&path.key("accept_proxy"), told);
            AcceptProxy::No
        }
        (_, []) => AcceptProxy::No,
        (_, from) => AcceptProxy::From(forwarded::networks(context, &path.key("accept_proxy_from"), from)),
    }
}

fn show(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp { address, .. } => address.to_string(),
        ListenAddress::Unix(unix) if unix.is_abstract => format!("abns@{}", unix.path.display()),
        ListenAddress::Unix(unix) => unix.path.display().to_string(),
    }
}

/// One address in two places: HAProxy lets the kernel share the connections out between them at random.
pub(super) fn refuse_duplicates(context: &Context<'_>, frontends: &[Frontend]) {
    let mut seen: HashMap<String, &Frontend> = HashMap::new();
    for frontend in frontends.iter().filter(|frontend| !frontend.disabled) {
        for listener in &frontend.listeners {
            if matches!(&listener.address, ListenAddress::Tcp { address, .. } if address.port() == 0) {
                continue; // the kernel chooses, each time another
            }
            let key = match &listener.address {
                ListenAddress::Tcp { address, interface, .. } => format!("{address} {interface:?}"),
                unix @ ListenAddress::Unix(_) => show(unix),
            };
            if let Some(first) = seen.get(&key) {
                let told = format!("`{}` is bound twice, first by `{}`", show(&listener.address), first.name);
                context.error(&place(context, frontend, &listener.name), told);
            } else {
                seen.insert(key, frontend);
            }
        }
    }
}

/// The `bind` line a listener came from, as near as its name tells.
fn place(context: &Context<'_>, frontend: &Frontend, listener: &str) -> FieldPath {
    let (field, proxies) = if context.raw.frontends.contains_key(&*frontend.name) {
        ("frontends", &context.raw.frontends)
    } else {
        ("listens", &context.raw.listens)
    };
    let path = FieldPath::root().key(field).key(&*frontend.name).key("bind");
    let binds = proxies.get(&*frontend.name).map(|proxy| proxy.bind.as_slice()).unwrap_or_default();
    let index = binds.iter().rposition(|bind| bind.address == listener || bind.name.as_deref() == Some(listener));
    index.map_or(path.clone(), |index| path.index(index).key("address"))
}
