//! Nothing is cached: every request reaches a server, and caching fields pass untouched.

use crate::harness::{Origin, Reply, Site, TempDir, check_config, get_with};

const FIELDS: &str = "Cache-Control: public, max-age=3600\r\nETag: \"v1\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                      Expires: Fri, 01 Jan 2027 00:00:00 GMT\r\nVary: Accept\r\nAge: 7\r\n";

#[test]
fn two_identical_cacheable_gets_both_reach_the_server() {
    let a = Origin::scripted("a", |request| match request.header("if-none-match") {
        Some("\"v1\"") => Reply::raw(format!("HTTP/1.1 304 Not Modified\r\n{FIELDS}\r\n")),
        _ => Reply::with_headers(200, FIELDS, "page"),
    });
    let proxy = Site::http().server(&a, "").start();
    for _ in 0..2 {
        let response = proxy.get("/page");
        assert_eq!(response.text(), "page");
        for (name, value) in
            [("cache-control", "public, max-age=3600"), ("etag", "\"v1\""), ("vary", "Accept"), ("age", "7")]
        {
            assert_eq!(response.header(name), Some(value), "{name}");
        }
    }
    assert_eq!(a.received().len(), 2);
    let unchanged = get_with(proxy.address("web"), "/page", "If-None-Match: \"v1\"\r\nCache-Control: no-cache\r\n");
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some("\"v1\"")));
    let request = a.received().pop().unwrap();
    assert_eq!((request.header("if-none-match"), request.header("cache-control")), (Some("\"v1\""), Some("no-cache")));
}

#[test]
fn a_cache_section_is_refused_with_the_reason() {
    let dir = TempDir::new();
    let output = check_config(&Site::http().section("cache pages\n    total-max-size 4").text(), &dir, &[""; 0]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("cach") && said.contains("checked.cfg:"), "{said}");
}

#[test]
fn no_store_is_added_when_asked() {
    let a = Origin::scripted("a", |_| Reply::with_headers(200, "Cache-Control: public\r\n", "x"));
    let proxy = crate::harness::Proxy::start(&format!(
        "defaults:
  mode: http
  timeout:
    connect: 1s
    client: 5s
    server: 5s
    http_request: 5s
frontends:
  web:
    bind:
      - address: 127.0.0.1:<web>
    no_store: true
    default_backend: app
backends:
  app:
    servers:
      a:
        address: {}
",
        a.address()
    ));
    let response = proxy.get("/");
    let values: Vec<&str> = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("cache-control"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert!(values.join(",").contains("no-store"), "{values:?}");
}
