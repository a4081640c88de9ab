//! Requests for the page and the metrics, against a controller as it boots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use tokio::sync::oneshot;

use super::prometheus::{self, Wanted};
use super::query;
use super::sample;
use crate::control::{Controller, boot};
use crate::model::stats::{StatsAdmin, StatsPage};
use crate::model::testing;
use crate::state::events::{PageBody, PageKind, PageReply, PageRequest};

fn page() -> StatsPage {
    StatsPage {
        uri: "/haproxy?stats".into(),
        realm: "the \"door\"".into(),
        auth: Vec::new(),
        refresh: Some(Duration::from_secs(5)),
        hide_version: false,
        admin: StatsAdmin::Never,
        scope: Vec::new(),
        show_legends: false,
        show_node: None,
        show_description: None,
        metrics: None,
    }
}

fn controller() -> Controller {
    let servers = vec![testing::server("s1", "127.0.0.1:1"), testing::checked("s2", "127.0.0.1:1")];
    let mut backends = vec![testing::backend("app", servers)];
    backends.push(testing::backend("hidden", vec![testing::server("s1", "127.0.0.1:1")]));
    let config = testing::config(vec![testing::frontend("web", &["127.0.0.1:0"])], backends);
    let never = Arc::new(|| Err("no file".to_owned()));
    boot(config, never, Box::new(|_| {})).unwrap().1
}

/// A request, to be changed before it is sent.
struct Asked {
    page: StatsPage,
    kind: PageKind,
    method: &'static str,
    uri: String,
    authorization: Option<String>,
    origin: Option<&'static str>,
    body: String,
    admin: bool,
}

fn get(uri: &str) -> Asked {
    Asked {
        page: page(),
        kind: PageKind::Stats,
        method: "GET",
        uri: uri.into(),
        authorization: None,
        origin: None,
        body: String::new(),
        admin: false,
    }
}

fn post(body: &str) -> Asked {
    Asked { method: "POST", body: body.into(), admin: true, ..get("/haproxy?stats") }
}

fn ask(controller: &mut Controller, asked: Asked) -> PageReply {
    let (reply, mut answer) = oneshot::channel();
    let request = PageRequest {
        page: Arc::new(asked.page),
        proxy: "web".into(),
        kind: asked.kind,
        method: asked.method.into(),
        uri: asked.uri,
        authorization: asked.authorization,
        host: Some("proxy:8404".into()),
        origin: asked.origin.map(str::to_owned),
        body: asked.body.into_bytes(),
        admin: asked.admin,
        reply,
    };
    // Orders start and stop checks, which are tasks of the control thread.
    let tasks = tokio::task::LocalSet::new();
    let _entered = tasks.enter();
    controller.answer_page(request, Instant::now());
    answer.try_recv().expect("an answer")
}

fn text(reply: &PageReply) -> String {
    match &reply.body {
        PageBody::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        PageBody::Stream(_) => panic!("a stream"),
    }
}

fn header<'a>(reply: &'a PageReply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[test]
fn strangers_are_asked_who_they_are() {
    let controller = &mut controller();
    let mut secured = |credentials: Option<&str>| {
        let page = StatsPage { auth: vec![("admin".into(), "pw".into())], ..page() };
        let encoded = credentials.map(|text| base64::engine::general_purpose::STANDARD.encode(text));
        let authorization = encoded.map(|encoded| format!("Basic {encoded}"));
        ask(controller, Asked { page, authorization, ..get("/haproxy?stats") })
    };
    let refused = secured(None);
    assert_eq!(refused.status, 401);
    assert_eq!(header(&refused, "WWW-Authenticate"), Some("Basic realm=\"the \\\"door\\\"\""));
    assert_eq!(secured(Some("admin:wrong")).status, 401);
    assert_eq!(secured(Some("admin:pw")).status, 200);
}

#[test]
fn each_rendering_has_its_address_and_type() {
    let controller = &mut controller();
    let mut check = |uri: &str, content_type: &str, start: &str, refresh: Option<&str>| {
        let reply = ask(controller, get(uri));
        assert_eq!((reply.status, header(&reply, "Content-Type")), (200, Some(content_type)), "{uri}");
        assert!(text(&reply).starts_with(start), "{uri}: {}", text(&reply));
        assert_eq!(header(&reply, "Refresh"), refresh, "{uri}");
    };
    check("/haproxy?stats;csv", "text/plain", "# pxname,svname,", Some("5"));
    check("/haproxy?stats;csv;norefresh", "text/plain", "# pxname,svname,", None);
    check("/haproxy?stats;json", "application/json", "[[{\"objType\":\"Frontend\"", Some("5"));
    check("/haproxy?stats;json-schema;norefresh", "application/json", "{\"$schema\"", None);
    // A page with a script stays up to date by itself; a header would throw its reader's state away.
    check("/haproxy?stats", "text/html; charset=utf-8", "<!DOCTYPE html>", None);
    let drawn = text(&ask(controller, get("/haproxy?stats")));
    assert!(drawn.contains("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"));
    assert!(!text(&ask(controller, get("/haproxy?stats;norefresh"))).contains("http-equiv=\"refresh\""));
    assert_eq!(ask(controller, Asked { method: "DELETE", ..get("/haproxy?stats") }).status, 405);
}

#[test]
fn nothing_but_the_pages_own_script_runs() {
    let reply = ask(&mut controller(), get("/haproxy?stats"));
    let policy = header(&reply, "Content-Security-Policy").unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(policy.starts_with("default-src 'none';") && nonce.len() >= 32, "{policy}");
    let page = text(&reply);
    assert_eq!(page.matches("<script ").count(), page.matches(&format!("<script nonce=\"{nonce}\">")).count());
    assert_eq!(page.matches("<style ").count(), page.matches(&format!("<style nonce=\"{nonce}\">")).count());
    assert!(!page.contains("<script>") && !page.contains("<style>"));
    assert!(!page.contains(" style=\""), "the policy forbids style attributes");
}

#[test]
fn addresses_version_and_other_proxies_can_be_hidden() {
    let controller = &mut controller();
    assert!(!text(&ask(controller, get("/haproxy?stats"))).contains("127.0.0.1:1"));
    let legends = Asked { page: StatsPage { show_legends: true, ..page() }, ..get("/haproxy?stats") };
    assert!(text(&ask(controller, legends)).contains("127.0.0.1:1"));
    let silent = Asked { page: StatsPage { hide_version: true, ..page() }, ..get("/haproxy?stats") };
    assert!(!text(&ask(controller, silent)).contains(env!("CARGO_PKG_VERSION")));
    let scoped =
        Asked { page: StatsPage { scope: vec![".".into(), "app".into()], ..page() }, ..get("/haproxy?stats;csv") };
    let csv = text(&ask(controller, scoped));
    assert!(csv.contains("\nweb,FRONTEND,") && csv.contains("\napp,BACKEND,") && !csv.contains("hidden"), "{csv}");
}

#[test]
fn a_form_changes_a_server_only_when_it_may() {
    let controller = &mut controller();
    let drawn = text(&ask(controller, Asked { admin: true, ..get("/haproxy?stats") }));
    let token =
        drawn.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let status = |controller: &mut Controller| {
        let csv = text(&ask(controller, get("/haproxy?stats;csv")));
        csv.lines().find(|line| line.starts_with("app,s2,")).unwrap().split(',').nth(17).unwrap().to_owned()
    };
    let mut check = |asked: Asked, outcome: &str, expected: &str| {
        let body = asked.body.clone();
        let reply = ask(controller, asked);
        let location = format!("/haproxy?stats;st={outcome}");
        assert_eq!((reply.status, header(&reply, "Location")), (303, Some(location.as_str())), "{body}");
        assert!(status(controller).starts_with(expected), "{body}: {}", status(controller));
    };
    let form = |rest: &str| format!("{rest}&token={token}");
    check(post("s=s2&b=app&action=maint"), "DENY", "UP");
    check(post("s=s2&b=app&action=maint&token=guess"), "DENY", "UP");
    check(Asked { admin: false, ..post(&form("s=s2&b=app&action=maint")) }, "DENY", "UP");
    check(Asked { origin: Some("http://evil"), ..post(&form("s=s2&b=app&action=maint")) }, "DENY", "UP");
    check(Asked { origin: Some("http://proxy:8404"), ..post(&form("s=s2&b=app&action=maint")) }, "DONE", "MAINT");
    check(post(&form("s=s2&b=%233&action=ready")), "DONE", "UP");
    check(post(&form("s=s2&s=nope&b=app&action=drain")), "PART", "DRAIN");
    check(post(&form("s=nope&b=app&action=ready")), "ERRP", "DRAIN");
    check(post(&form("s=s2&b=app&action=dance")), "ERRP", "DRAIN");
    check(post(&form("s=s2&b=nope&action=ready")), "ERRP", "DRAIN");
    check(post(&form("b=app&action=ready")), "NONE", "DRAIN");
    // Scripts for HAProxy bring no token: they are let in when they sign in.
    let page = StatsPage { auth: vec![("admin".into(), "pw".into())], ..page() };
    let signed_in = Asked { page, authorization: Some("Basic YWRtaW46cHc=".into()), ..post("s=s2&b=app&action=ready") };
    check(signed_in, "DONE", "UP");
}

#[test]
fn watchers_get_a_stream_until_the_process_ends() {
    let controller = &mut controller();
    let reply = ask(controller, get("/haproxy?stats;events"));
    assert_eq!(header(&reply, "Content-Type"), Some("text/event-stream"));
    let PageBody::Stream(mut updates) = reply.body else { panic!("no stream") };
    assert!(updates.try_recv().unwrap().starts_with(b"retry: "));
    controller.tick_desk(Instant::now());
    assert!(updates.try_recv().unwrap().starts_with(b"event: pieces\n"));
    controller.shared().phase.send_replace(crate::state::events::Phase::Stopping);
    controller.tick_desk(Instant::now());
    assert!(matches!(updates.try_recv(), Err(tokio::sync::mpsc::error::TryRecvError::Disconnected)));
}

#[test]
fn a_scrape_of_no_scope_is_refused() {
    let controller = &mut controller();
    let mut scrape = |uri: &str| ask(controller, Asked { kind: PageKind::Prometheus, ..get(uri) });
    assert_eq!(scrape("/metrics").status, 200);
    assert_eq!(scrape("/metrics?scope=nonsense").status, 400);
    let narrow = text(&scrape("/metrics?scope=server&metrics=haproxy_server_status"));
    assert!(narrow.lines().all(|line| line.contains("haproxy_server_status")), "{narrow}");
}

/// Families by name, each with its type and its samples: what a Prometheus server would read.
fn parsed(exposition: &str) -> BTreeMap<String, (String, Vec<(String, f64)>)> {
    let mut families = BTreeMap::new();
    let mut current = String::new();
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            current = name.to_owned();
            let before = families.insert(current.clone(), (kind.to_owned(), Vec::new()));
            assert!(before.is_none(), "{name} comes twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(series.split('{').next(), Some(current.as_str()), "{line} is out of its family");
            families.get_mut(&current).unwrap().1.push((series.to_owned(), value.parse().unwrap()));
        }
    }
    families
}

#[test]
fn metrics_parse_back_with_haproxys_names() {
    let families = parsed(&prometheus::render(&sample::report(), &Wanted::default()));
    let check = |series: &str, kind: &str, expected: f64| {
        let name = series.split('{').next().unwrap();
        let (found_kind, samples) = families.get(name).unwrap_or_else(|| panic!("no {name}"));
        let value = samples.iter().find(|(found, _)| found == series).unwrap_or_else(|| panic!("no {series}")).1;
        assert_eq!((found_kind.as_str(), value), (kind, expected), "{series}");
    };
    check("haproxy_process_uptime_seconds", "gauge", 93_784.0);
    check("haproxy_frontend_http_requests_total{proxy=\"web\"}", "counter", 1_882_313.0);
    check("haproxy_frontend_http_responses_total{proxy=\"web\",code=\"5xx\"}", "counter", 73.0);
    check("haproxy_frontend_status{proxy=\"web\",state=\"UP\"}", "gauge", 1.0);
    check("haproxy_listener_status{proxy=\"web\",listener=\"tls\",state=\"OPEN\"}", "gauge", 1.0);
    check("haproxy_backend_status{proxy=\"tcp\",state=\"DOWN\"}", "gauge", 1.0);
    check("haproxy_backend_agg_server_status{proxy=\"tcp\",state=\"DOWN\"}", "gauge", 2.0);
    check("haproxy_backend_agg_check_status{proxy=\"tcp\",state=\"L4OK\"}", "gauge", 2.0);
    check("haproxy_server_status{proxy=\"app\",server=\"master\",state=\"DOWN\"}", "gauge", 1.0);
    check("haproxy_server_status{proxy=\"app\",server=\"master\",state=\"UP\"}", "gauge", 0.0);
    check("haproxy_server_check_status{proxy=\"app\",server=\"master\",state=\"L7STS\"}", "gauge", 1.0);
    check("haproxy_server_check_duration_seconds{proxy=\"app\",server=\"master\"}", "gauge", 0.002);
    check("haproxy_server_response_time_average_seconds{proxy=\"app\",server=\"master\"}", "gauge", 0.012);
    check("lockgate_config_last_reload_successful", "gauge", 0.0);
    let limits = &families["haproxy_server_limit_sessions"].1;
    assert!(limits.iter().any(|(series, value)| series.contains("slave") && value.is_nan()), "no limit is NaN");
    assert!(!families["haproxy_frontend_http_requests_total"].1.is_empty());
    assert!(families["haproxy_backend_http_requests_total"].1.iter().all(|(series, _)| !series.contains("tcp")));
}

#[test]
fn no_family_of_haproxys_exporter_is_missing() {
    // `grep '^# TYPE' | awk` over what haproxy 2.6 exports for the same kinds of proxies.
    const HAPROXY: &str = include_str!("haproxy-2.6-families.txt");
    let families = parsed(&prometheus::render(&sample::report(), &Wanted::default()));
    let ours: BTreeSet<String> = families.iter().map(|(name, (kind, _))| format!("{name} {kind}")).collect();
    let missing: Vec<&str> = HAPROXY.lines().filter(|family| !ours.contains(*family)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn servers_in_maintenance_can_be_left_out() {
    let wanted = query::scrape("/metrics?no-maint").unwrap();
    let text = prometheus::render(&sample::report(), &wanted);
    assert!(!text.contains("server=\"resting\"") && text.contains("server=\"rising\""));
}
