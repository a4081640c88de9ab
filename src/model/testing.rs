//! Small configurations built in place, for tests of what runs by them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::backend::{
    Backend, BackendTimeouts, Balance, ErrorPages, HttpConnectionMode, HttpReuse, PoolSettings, RetryOn, Role, Server,
    ServerAddress,
};
use super::check::{Check, CheckHttpVersion, CheckKind, HttpCheck};
use super::forwarded::Forwarded;
use super::frontend::{AcceptProxy, Frontend, FrontendTimeouts, ListenAddress, Listener};
use super::global::{Global, HttpLimits};
use super::http::{ClientProtocol, Http2Limits, ServerProtocol};
use super::log::LogSettings;
use super::{BackendId, Config, FrontendId, Mode, ServerId};

pub(crate) fn global() -> Global {
    Global {
        threads: NonZeroUsize::MIN,
        maxconn: 2000,
        logs: Vec::new(),
        log_hostname: None,
        log_tag: None,
        stats_sockets: Vec::new(),
        stats_timeout: Duration::from_secs(10),
        stats_maxconn: 10,
        daemon: false,
        user: None,
        group: None,
        chroot: None,
        pidfile: None,
        node: None,
        description: None,
        hard_stop_after: None,
        spread_checks: 0,
        limits: HttpLimits::default(),
        sessions: crate::model::tls::SessionSettings::default(),
        certificate_watch: None,
        http2_clients: Http2Limits::default(),
        http2_servers: Http2Limits::default(),
        http2_websocket: true,
        header_case: None,
    }
}

/// Ids are set from the order given.
pub(crate) fn config(frontends: Vec<Frontend>, backends: Vec<Backend>) -> Config {
    let number = |(index, mut backend): (usize, Backend)| {
        backend.id = BackendId(index as u32);
        Arc::new(backend)
    };
    let frontends = frontends.into_iter().enumerate().map(|(index, mut frontend)| {
        frontend.id = FrontendId(index as u32);
        Arc::new(frontend)
    });
    Config {
        global: global(),
        frontends: frontends.collect(),
        backends: backends.into_iter().enumerate().map(number).collect(),
    }
}

/// An HTTP frontend on these addresses, with backend 0 as its default.
pub(crate) fn frontend(name: &str, addresses: &[&str]) -> Frontend {
    Frontend {
        id: FrontendId(0),
        name: name.into(),
        mode: Mode::Http,
        disabled: false,
        description: None,
        listeners: addresses.iter().map(|address| listener(address)).collect(),
        maxconn: None,
        use_backend: Vec::new(),
        default_backend: Some(BackendId(0)),
        routes_by_first_bytes: false,
        tcp_request: Default::default(),
        http_request: Vec::new(),
        http_response: Vec::new(),
        timeouts: FrontendTimeouts::default(),
        log: LogSettings::default(),
        stats: None,
        connection: HttpConnectionMode::KeepAlive,
        forwarded: Forwarded::default(),
        error_pages: Arc::new(ErrorPages::default()),
        no_store: false,
        session_rate: None,
        keep_alive: None,
        nolinger: false,
        socket_stats: false,
        backlog: None,
        header_case: None,
    }
}

pub(crate) fn listener(address: &str) -> Listener {
    Listener {
        name: address.into(),
        address: ListenAddress::Tcp { address: socket_address(address), v6only: false, interface: None, mss: None },
        tls: None,
        accept_proxy: AcceptProxy::No,
        maxconn: None,
        user_timeout: None,
        protocol: ClientProtocol::Detected,
    }
}

/// Server ids are set from the order given.
pub(crate) fn backend(name: &str, servers: Vec<Server>) -> Backend {
    let number = |(index, mut server): (usize, Server)| {
        server.id = ServerId(index as u32);
        Arc::new(server)
    };
    Backend {
        id: BackendId(0),
        name: name.into(),
        mode: Mode::Http,
        disabled: false,
        description: None,
        balance: Balance::RoundRobin,
        servers: servers.into_iter().enumerate().map(number).collect(),
        all_backups: false,
        tcp_request: Default::default(),
        http_request: Vec::new(),
        http_response: Vec::new(),
        timeouts: BackendTimeouts::default(),
        retries: 3,
        redispatch: 1,
        retry_on: RetryOn::default(),
        http_reuse: HttpReuse::Always,
        prefer_last_server: false,
        max_keep_alive_queue: None,
        abort_on_close: false,
        connection: HttpConnectionMode::KeepAlive,
        forwarded: Forwarded::default(),
        error_pages: Arc::new(ErrorPages::default()),
        no_store: false,
        stats: None,
        log: LogSettings::default(),
        fullconn: 200,
        header_case: None,
    }
}

/// An active server of weight 1 without checks.
pub(crate) fn server(name: &str, address: &str) -> Server {
    Server {
        id: ServerId(0),
        name: name.into(),
        address: ServerAddress::Tcp(socket_address(address)),
        hostname: None,
        weight: 1,
        role: Role::Active,
        maxconn: None,
        minconn: None,
        maxqueue: None,
        pool: PoolSettings::default(),
        tls: None,
        send_proxy: None,
        proxy_options: Default::default(),
        proxy_values: Vec::new(),
        dial: None,
        protocol: ServerProtocol::Http1,
        websockets: None,
        check: None,
        disabled: false,
    }
}

/// The same with a TCP check: rise 2, fall 3, every 2 s.
pub(crate) fn checked(name: &str, address: &str) -> Server {
    let target = ServerAddress::Tcp(socket_address(address));
    Server { check: Some(Arc::new(check(target, CheckKind::Connect))), ..server(name, address) }
}

pub(crate) fn check(target: ServerAddress, kind: CheckKind) -> Check {
    Check {
        kind,
        target,
        interval: Duration::from_secs(2),
        fast_interval: None,
        down_interval: None,
        rise: 2,
        fall: 3,
        connect_timeout: Duration::from_secs(2),
        timeout: None,
        tls: None,
        protocol: ServerProtocol::Http1,
        send_proxy: None,
        proxy_options: Default::default(),
        dial: None,
    }
}

/// `GET /health` that takes any 2xx or 3xx.
pub(crate) fn http_check() -> HttpCheck {
    HttpCheck {
        method: "GET".to_owned(),
        uri: "/health".to_owned(),
        version: CheckHttpVersion::Http11,
        headers: vec![("Host".to_owned(), "app.test".to_owned())],
        body: Vec::new(),
        expect: Vec::new(),
    }
}

fn socket_address(text: &str) -> SocketAddr {
    text.parse().expect("a test names a socket address")
}
