//! What configurations become, and what is told about them: the operator's view of `resolve`.

use std::time::{Duration, SystemTime};

use super::{Surroundings, resolve_in};
use crate::config::locate::Locate;
use crate::config::raw;
use crate::diag::{Diagnostics, FieldPath, Position};
use crate::model::check::{CheckHttpVersion, CheckKind, ExpectWhat};
use crate::model::frontend::ListenAddress;
use crate::model::rule::TermTest;
use crate::model::{BackendId, Config, Mode};

/// Answers with the path itself, so that tests see what a diagnostic points at.
struct Paths;

impl Locate for Paths {
    fn locate(&self, path: &FieldPath) -> Option<Position> {
        Some(Position::new(&path.to_string().into(), 1, 1, 1))
    }
}

fn surroundings() -> Surroundings {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Surroundings { now, hostname: "proxy1".to_owned(), processors: 4, open_files: 10_000 }
}

/// The model, and each diagnostic as `path: severity: message [code]`.
fn load(yaml: &str) -> (Option<Config>, Vec<String>) {
    let raw: raw::Config = serde_yaml::from_str(yaml).unwrap();
    let mut found = Diagnostics::new();
    let config = resolve_in(&raw, &Paths, &mut found, &surroundings());
    let mut told: Vec<String> = found.iter().map(|told| told.to_string().replacen(":1:1: ", ": ", 1)).collect();
    told.dedup(); // as Diagnostics::sort does
    (config, told)
}

#[track_caller]
fn good(yaml: &str) -> Config {
    let (config, told) = load(yaml);
    config.unwrap_or_else(|| panic!("{told:?}"))
}

/// Exactly these errors, and no configuration.
#[track_caller]
fn check_errors(yaml: &str, expected: &[&str]) {
    let (config, told) = load(yaml);
    let errors: Vec<&String> = told.iter().filter(|told| told.contains(": error: ")).collect();
    assert_eq!(errors, expected);
    assert!(config.is_none());
}

/// Valid, with exactly these warnings and notes.
#[track_caller]
fn check_warnings(yaml: &str, expected: &[&str]) {
    let (config, told) = load(yaml);
    assert_eq!(told, expected);
    assert!(config.is_some());
}

const TIMEOUTS: &str = "defaults: { timeout: { connect: 5s, client: 50s, server: 50s, http_request: 10s } }\n";

#[test]
fn says_nothing_about_a_sound_configuration() {
    let yaml = format!(
        "{TIMEOUTS}
frontends: {{ web: {{ mode: http, bind: [{{ address: '127.0.0.1:8080' }}], default_backend: app }} }}
backends:
  app:
    mode: http
    servers:
      a: {{ address: '127.0.0.1:9001' }}
      b: {{ address: '127.0.0.1:9002', backup: true }}
"
    );
    check_warnings(&yaml, &[]);
    let config = good(&yaml);
    assert_eq!(config.frontends[0].default_backend, Some(BackendId(0)));
    assert_eq!(config.backends[0].retries, 3);
    assert_eq!(config.backends[0].timeouts.queue, Some(Duration::from_secs(5)));
    assert_eq!(config.global.threads.get(), 4);
    assert_eq!(config.global.maxconn, (10_000 - 128) / 2);
    assert_eq!(config.backends[0].fullconn, config.global.maxconn / 10);
}

#[test]
fn an_http_backend_is_asked_for_health_and_a_tcp_backend_connected_to() {
    let config = good(
        "backends:
  web: { mode: http, servers: { a: { address: '127.0.0.1:9001' } } }
  db: { servers: { a: { address: '127.0.0.1:9002', inter: 500ms, fall: 5 }, b: { address: '127.0.0.1:9003', check: false } } }",
    );
    let check = config.backends[0].servers[0].check.as_ref().unwrap();
    let CheckKind::Http(http) = &check.kind else { panic!("{check:?}") };
    assert_eq!((http.method.as_str(), http.uri.as_str(), http.version), ("GET", "/health", CheckHttpVersion::Http11));
    assert_eq!(http.headers, [("Host".to_owned(), "127.0.0.1:9001".to_owned())]);
    assert!(matches!(&http.expect[0].what, ExpectWhat::Status(codes) if codes == &[(200, 200)]));
    assert_eq!((check.interval, check.rise, check.fall), (Duration::from_secs(2), 2, 3));
    assert_eq!((check.connect_timeout, check.timeout), (Duration::from_secs(2), None));
    let tcp = config.backends[1].servers[0].check.as_ref().unwrap();
    assert!(matches!(tcp.kind, CheckKind::Connect));
    assert_eq!((tcp.interval, tcp.fall), (Duration::from_millis(500), 5));
    assert!(config.backends[1].servers[1].check.is_none());
}

#[test]
fn a_described_request_makes_an_http_check() {
    let yaml = |check: &str| {
        format!(
            "{TIMEOUTS}
frontends: {{ f: {{ bind: [{{ address: ':0' }}], default_backend: b }} }}
backends: {{ b: {{ check: {check}, servers: {{ a: {{ address: '127.0.0.1:1' }} }} }} }}"
        )
    };
    let kind = |check: &str| {
        let config = good(&yaml(check));
        matches!(config.backends[0].servers[0].check.as_ref().unwrap().kind, CheckKind::Http(_))
    };
    assert!(kind("{ uri: /up }") && kind("{ type: http }") && !kind("{}") && !kind("{ type: tcp, uri: /up }"));
    check_warnings(
        &yaml("{ type: tcp, uri: /up }"),
        &[
            "backends.b.check: warning: only the connection is checked; what is said about a request does nothing [request-in-tcp-check]",
        ],
    );
}

#[test]
fn a_check_timeout_bounds_what_follows_the_connection() {
    let config = good(
        "backends: { db: { timeout: { connect: 1s, check: 3s }, servers: { a: { address: '127.0.0.1:9002', inter: 2s } } } }",
    );
    let check = config.backends[0].servers[0].check.as_ref().unwrap();
    assert_eq!((check.connect_timeout, check.timeout), (Duration::from_secs(1), Some(Duration::from_secs(3))));
}

#[test]
fn a_check_with_its_own_port_goes_without_tls_and_says_so() {
    let yaml = |more: &str| {
        format!(
            "{TIMEOUTS}
frontends: {{ f: {{ bind: [{{ address: ':0' }}], default_backend: b }} }}
backends: {{ b: {{ servers: {{ a: {{ address: '127.0.0.1:443', ssl: true, verify: none, port: 8080, send_proxy: true{more} }} }} }} }}"
        )
    };
    let warning = "backends.b.servers.a.port: warning: the check has its own port or address and so is made without the server's TLS [check-without-tls]";
    let unverified =
        "backends.b.servers.a: warning: `a` may be anyone: its certificate is not verified [server-not-verified]";
    check_warnings(&yaml(""), &[warning, unverified]);
    let check = good(&yaml("")).backends[0].servers[0].check.clone().unwrap();
    assert_eq!(check.target.to_string(), "127.0.0.1:8080");
    assert!(check.tls.is_none() && check.send_proxy.is_none());
    check_warnings(&yaml(", check_ssl: true"), &[unverified]);
    assert!(good(&yaml(", check_ssl: true")).backends[0].servers[0].check.as_ref().unwrap().tls.is_some());
}

#[test]
fn all_errors_are_told_at_once_where_they_were_written() {
    check_errors(
        "
global: { nbthread: 0, spread_checks: 99 }
defaults: { timeout: { connect: 5 s } }
frontends:
  web: { bind: [{ address: 127.0.0.1 }], default_backend: nope, servers: { a: { address: '127.0.0.1:1' } } }
backends:
  node: { retries: 2, servers: { a: { address: '127.0.0.1:0' }, b: { weight: 257 }, 'c d': { address: '127.0.0.1:1', rise: 0 } } }
",
        &[
            "frontends.web.servers: error: `servers` means nothing in frontend `web`",
            "global.spread_checks: error: `spread_checks` is 0 to 50 percent",
            "global.nbthread: error: `nbthread` is 1 to 256, not 0",
            "frontends.web.bind[0].address: error: `127.0.0.1` names no port",
            "frontends.web.default_backend: error: backend `nope` is not defined; did you mean `node`?",
            "defaults.timeout.connect: error: `5 s`: not a unit of time; units are us, ms, s, m, h and d",
            "backends.node.servers.a.address: error: port 0 cannot be connected to",
            "backends.node.servers.b: error: the server's `address` is missing",
            "backends.node.servers.b.weight: error: a weight is 0 to 256, not 257",
            "backends.node.servers.\"c d\": error: ` ` may not stand in a name; letters, digits and `-_.:` may",
            "backends.node.servers.\"c d\".rise: error: `rise` is 1 to 10000, not 0",
        ],
    );
}

#[test]
fn names_must_differ_and_addresses_too() {
    check_errors(
        "
frontends: { web: { bind: [{ address: '127.0.0.1:80' }] }, two: { bind: [{ address: '127.0.0.1:80,127.0.0.1:81' }] } }
backends: { web: {} }
listens: { web: {} }
",
        &[
            "listens.web: error: listen `web` has the name of a frontend; names must differ",
            "frontends.two.bind: error: `127.0.0.1:80` is bound twice, first by `web`",
        ],
    );
}

#[test]
fn defaults_are_inherited_by_name_and_nearest_first() {
    let config = good(
        "
defaults: { mode: http, retries: 1, timeout: { connect: 1s } }
named_defaults:
  base: { retries: 7, timeout: { connect: 2s, server: 9s } }
  slow: { from: base, timeout: { connect: 3s } }
backends:
  a: { retries: 2 }
  b: {}
  c: { from: slow, timeout: { queue: 4s } }
",
    );
    let [a, b, c] = [0, 1, 2].map(|index| &config.backends[index]);
    assert_eq!((a.mode, a.retries), (Mode::Http, 2));
    assert_eq!((b.retries, b.timeouts.connect), (1, Some(Duration::from_secs(1))));
    assert_eq!((c.mode, c.retries, c.timeouts.connect), (Mode::Tcp, 7, Some(Duration::from_secs(3))));
    assert_eq!((c.timeouts.server, c.timeouts.queue), (Some(Duration::from_secs(9)), Some(Duration::from_secs(4))));
    check_errors(
        "
named_defaults: { a: { from: b }, b: { from: a } }
backends: { x: { from: c } }
",
        &[
            "backends.x.from: error: defaults `c` are not defined",
            "named_defaults.b.from: error: defaults `a` start from themselves",
            "named_defaults.a.from: error: defaults `b` start from themselves",
        ],
    );
}

#[test]
fn default_server_lines_add_up() {
    let config = good(
        "
defaults: { default_server: { inter: 9s, fall: 9 } }
backends: { a: { default_server: { fall: 4 }, servers: { x: { address: '127.0.0.1:1', rise: 8 } } } }
",
    );
    let check = config.backends[0].servers[0].check.as_ref().unwrap();
    assert_eq!((check.interval, check.fall, check.rise), (Duration::from_secs(9), 4, 8));
}

#[test]
fn a_listen_is_a_frontend_and_a_backend() {
    let config =
        good("listens: { app: { bind: [{ address: '*:8080' }], servers: { a: { address: '127.0.0.1:1' } } } }");
    assert_eq!(config.frontends[0].default_backend, Some(BackendId(0)));
    assert_eq!(config.frontends[0].name, config.backends[0].name);
    let ListenAddress::Tcp { address, .. } = &config.frontends[0].listeners[0].address else { panic!() };
    assert_eq!(address.to_string(), "0.0.0.0:8080");
}

/// The haproxy.cfg of a ServiceOps master and slave, in the native language.
const SERVICEOPS: &str = "
defaults: { mode: tcp, log_format: http, timeout: { connect: 5000ms, client: 50000ms, server: 50000ms } }
frontends: { http_front: { bind: [{ address: '127.0.0.1:8080' }], stats: { uri: '/haproxy?stats' }, default_backend: http_back } }
backends:
  http_back:
    check: { type: tcp }
    servers: { master: { address: '127.0.0.1:9001' }, slave: { address: '127.0.0.1:9002' } }
";

#[test]
fn tells_what_the_seed_really_does() {
    check_warnings(
        SERVICEOPS,
        &[
            "defaults.log_format: warning: frontend `http_front` is in mode tcp and has no requests to log; it writes TCP lines [httplog-in-tcp]",
            "frontends.http_front.stats: warning: frontend `http_front` is in mode tcp: HAProxy ignores its stats page; here `/haproxy?stats` is answered by looking at each connection's first bytes [stats-in-tcp]",
            "backends.http_back.servers.slave: warning: 50 % of the traffic goes to `slave`, always, not only when `master` fails; as its check only connects, an idle standby counts as up [round-robin-to-standby]",
        ],
    );
    let page = good(SERVICEOPS).frontends[0].stats.clone().unwrap();
    assert_eq!((page.uri.as_str(), page.metrics.as_deref()), ("/haproxy?stats", None));
}

#[test]
fn warns_of_what_is_missing() {
    check_warnings(
        "
frontends: { web: { mode: http, bind: [{ address: '127.0.0.1:8080' }] } }
backends: { app: { mode: http, default_server: { check: false }, servers: { a: { address: '127.0.0.1:1' }, b: { address: '127.0.0.1:2' } } } }
",
        &[
            "frontends.web: warning: frontend `web` leads to no backend: every request is answered 503 [no-backend]",
            "frontends.web: warning: frontend `web` has no `timeout client`: a client that falls silent is kept for ever [no-timeout]",
            "backends.app: warning: no server of backend `app` is checked: a dead one keeps getting traffic [no-checks]",
            "backends.app: warning: backend `app` has no `timeout connect` and no `timeout server`: a silent server is waited for for ever [no-timeout]",
            "backends.app: warning: backend `app` is used by no frontend [unused-backend]",
        ],
    );
}

#[test]
fn more_fields_than_http2_takes_are_pointed_out_and_not_allowed() {
    let text = "global: { tune: { http_maxhdr: 32767 } }";
    check_warnings(
        text,
        &[
            "global.tune.http_maxhdr: warning: heads of more than 24000 fields are refused, whatever `http_maxhdr` says: HTTP/2 takes no more [maxhdr-too-high]",
            ": warning: nothing listens: no frontend has a `bind`, so there is nothing to run [no-frontend]",
        ],
    );
    assert_eq!(good(text).global.limits.fields, 24_000);
}

#[test]
fn a_page_with_no_servers_behind_serves_metrics_too() {
    let config = good(
        "listens: { stats: { mode: http, bind: [{ address: ':8404' }], stats: { uri: /, auth: 'admin:secret:x' } } }",
    );
    let page = config.frontends[0].stats.as_ref().unwrap();
    assert_eq!((page.uri.as_str(), page.metrics.as_deref()), ("/", Some("/metrics")));
    assert_eq!(page.auth, [("admin".to_owned(), "secret:x".to_owned())]);
    assert!(config.backends[0].stats.is_none());
}

#[test]
fn the_ops_manager_preset_is_five_fields() {
    let config = good(
        "backends: { om: { mode: http, forwarded: { preset: ops-manager, header: X-Client, trusted_proxies: [10.0.0.0/8] } } }",
    );
    let fields = config.backends[0].forwarded.fields.as_ref().unwrap();
    assert_eq!(fields.for_header.as_deref(), Some("X-Client"));
    assert_eq!(fields.server.as_deref(), Some("proxy1"));
    assert_eq!(fields.proxied_https.as_deref(), Some("true"));
    assert!(fields.host && fields.proto && !fields.port && !fields.rfc7239);
    assert!(fields.trusted.contains("10.9.9.9".parse().unwrap()));
    check_errors(
        "backends: { om: { mode: http, forwarded: { trusted_proxies: [10.0.0.0/99] } } }",
        &[
            "backends.om.forwarded.trusted_proxies[0]: error: `10.0.0.0/99` is not a network; write `10.0.0.0/8` or `::1`",
            "backends.om.forwarded: error: `forwarded` chooses no field; write `preset: ops-manager`, or `for: true` and the like",
        ],
    );
}

#[test]
fn modes_must_fit() {
    check_errors(
        "
frontends: { web: { mode: http, bind: [{ address: ':0' }], default_backend: db } }
backends: { db: { mode: tcp } }
",
        &["frontends.web.default_backend: error: frontend `web` is in mode http and backend `db` in mode tcp"],
    );
    let yaml = format!(
        "{TIMEOUTS}
frontends: {{ web: {{ mode: tcp, bind: [{{ address: ':0' }}], default_backend: app }} }}
backends: {{ app: {{ mode: http, servers: {{ a: {{ address: '127.0.0.1:1' }} }} }} }}
"
    );
    check_warnings(
        &yaml,
        &[
            "frontends.web: warning: frontend `web` is in mode tcp, its backends in mode http; it speaks HTTP [tcp-frontend-http-backend]",
        ],
    );
    assert_eq!(good(&yaml).frontends[0].mode, Mode::Http);
}

#[test]
fn tls_needs_a_certificate_and_a_version_that_is_spoken() {
    check_errors(
        "
global: { ssl_default_server: { ssl_max_ver: TLSv1.1 } }
frontends: { web: { bind: [{ address: ':0', ssl: true }, { address: ':0', ssl: true, crt: /nowhere/site.pem, ssl_min_ver: TLS1.3, tls_tickets: false, tls_ticket_keys: /nowhere/keys }] } }
backends: { app: { servers: { a: { address: '127.0.0.1:1', ssl: true, verify: none }, b: { address: '127.0.0.1:1', ssl: true, ca_file: /nowhere/ca.pem } } } }
",
        &[
            "frontends.web.bind[0].ssl: error: TLS needs a certificate",
            "frontends.web.bind[1].crt: error: `/nowhere/site.pem`: no such file or directory",
            "frontends.web.bind[1].ssl_min_ver: error: `TLS1.3` is no TLS version; TLSv1.2 and TLSv1.3 are spoken; did you mean `TLSv1.3`?",
            "frontends.web.bind[1].tls_ticket_keys: error: `/nowhere/keys`: no such file or directory",
            "global.ssl_default_server.ssl_max_ver: error: at most TLSv1.1 leaves nothing: TLSv1.2 and TLSv1.3 are spoken",
            "backends.app.servers.b.ca_file: error: `/nowhere/ca.pem`: no such file or directory",
        ],
    );
}

#[test]
fn a_log_file_written_like_a_socket_is_pointed_out() {
    let directory = std::env::temp_dir().join(format!("lockgate-log-targets-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name);
    let _ = std::fs::remove_file(path("socket"));
    std::fs::write(path("file"), "").unwrap();
    let _socket = std::os::unix::net::UnixDatagram::bind(path("socket")).unwrap();
    for (name, told) in [
        ("socket", None),
        ("later", None), // syslog may not have been started
        ("file", Some("is no socket")),
        ("web.log", Some("is not there")),
    ] {
        let at = path(name).display().to_string();
        let expected = told.map(|what| {
            format!(
                "global.log[0].to: warning: a path alone is a syslog socket, and `{at}` {what}: nothing will be logged there [log-to-no-socket]"
            )
        });
        let (_, found) = load(&format!("global: {{ log: [{{ to: '{at}' }}] }}"));
        let found: Vec<String> = found.into_iter().filter(|told| told.contains("global.log")).collect();
        assert_eq!(found, Vec::from_iter(expected), "{name}");
    }
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn logs_go_where_the_layers_say() {
    let config = good(
        "
global: { log: [{ to: 127.0.0.1:5514, facility: daemon, level: notice, format: rfc5424, len: 2048 }] }
defaults: { log_global: true, log: [{ to: stdout }] }
frontends:
  both: { bind: [{ address: ':0' }], log: [{ to: 'file:/tmp/x.log', format: raw }] }
  own: { bind: [{ address: ':0' }], no_log: true, log: [{ to: /dev/log }] }
",
    );
    let targets = |index: usize| {
        let targets = config.frontends[index].log.targets.iter();
        targets.map(|target| format!("{:?}", target.address)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(targets(0), "SyslogUdp(127.0.0.1:5514) Stdout File(\"/tmp/x.log\")");
    assert_eq!(targets(1), "SyslogUnix(\"/dev/log\")");
    assert_eq!(config.global.logs[0].facility.0, 3);
    check_errors(
        "global: { log: [{ to: stdout, format: rfc3614, facility: local8, level: warn, len: 2 }] }",
        &[
            "global.log[0].level: error: `warn` is none of emerg, alert, crit, err, warning, notice, info, debug",
            "global.log[0].format: error: `rfc3614` is none of local, rfc3164, rfc5424, raw, short, priority, timed, iso; did you mean `rfc3164`?",
            "global.log[0].facility: error: `local8` is none of kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, auth2, ftp, ntp, audit, alert, cron2, local0, local1, local2, local3, local4, local5, local6, local7; did you mean `local0`?",
            "global.log[0].len: error: a line's length is 80 to 65535 bytes, not 2",
        ],
    );
}

#[test]
fn rules_name_acls_backends_and_the_word_that_is_wrong() {
    let config = good(
        "
named_defaults:
  base: { mode: http, acls: { api: path_beg /base }, http_request: [{ set_header: X-From base, if: api }] }
frontends:
  web:
    from: base
    bind: [{ address: ':0' }]
    acls: { api: path_beg /api, static: [path_end .css, path_end .js] }
    http_request: [{ deny: deny_status 429, unless: api or static }]
    redirect: [{ redirect: scheme https, if: '!{ ssl_fc }' }]
    use_backend: [{ backend: app, if: api }]
    default_backend: app
backends: { app: { mode: http } }
",
    );
    let web = &config.frontends[0];
    assert_eq!(web.http_request.len(), 3);
    let unless = web.http_request[1].condition.as_ref().unwrap();
    assert!(unless.negated);
    let tests = unless.any.iter().flatten().map(|term| match &term.test {
        TermTest::Acl(acl) => acl.tests.len(),
        other => panic!("{other:?} is no named ACL"),
    });
    assert_eq!(tests.collect::<Vec<_>>(), [1, 2]);
    assert_eq!(web.use_backend.len(), 1);
    let errors = "
frontends:
  web:
    mode: http
    bind: [{ address: ':0' }]
    acls: { api: path_bge /api }
    http_request: [{ deny: true, if: aip }, { if: api }, { deny: true, allow: true }, { set_header: X }]
    use_backend: [{ backend: app, if: api, unless: api }]
backends: { app: { mode: http } }
";
    let (config, told) = load(errors);
    assert!(config.is_none());
    let places: Vec<&str> = told.iter().filter_map(|told| told.split_once(": error")).map(|(place, _)| place).collect();
    let expected = [
        "frontends.web.acls.api",
        "frontends.web.use_backend[0].unless",
        "frontends.web.acls.api",
        "frontends.web.http_request[0].if",
        "frontends.web.http_request[1]",
        "frontends.web.http_request[2].deny",
        "frontends.web.http_request[3].set_header",
        "frontends.web.acls.api",
    ];
    assert_eq!(places, expected, "{told:?}");
}

#[test]
fn http_things_in_tcp_mode_are_told_to_do_nothing() {
    let yaml = format!(
        "{TIMEOUTS}
listens:
  db:
    bind: [{{ address: ':0' }}]
    http_request: [{{ deny: true }}]
    forwardfor: {{}}
    servers: {{ a: {{ address: '127.0.0.1:1' }} }}
"
    );
    check_warnings(
        &yaml,
        &[
            "listens.db.http_request: warning: `http_request` does nothing: listen `db` is in mode tcp, where there are no requests [http-in-tcp]",
            "listens.db.forwardfor: warning: `forwardfor` does nothing: listen `db` is in mode tcp, where there are no requests to add fields to [http-in-tcp]",
        ],
    );
}
