//! What servers are told about the client, and whom the proxy believes.

use crate::harness::{Client, Haproxy, Origin, Proxy, Received, Site, get_with};

const SPOOFED: &str = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n\
                       X-Forwarded-Server: evil\r\nX-Proxied-Https: true\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n";

fn yaml(origin: &Origin, forwarded: &str) -> String {
    format!(
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
    forwarded:
{forwarded}
    default_backend: app
backends:
  app:
    servers:
      a:
        address: {}
",
        origin.address()
    )
}

/// One spoofed request; what the server saw.
#[track_caller]
fn seen(forwarded: &str) -> Received {
    let a = Origin::named("a");
    let proxy = Proxy::start(&yaml(&a, forwarded));
    get_with(proxy.address("web"), "/", SPOOFED);
    a.only_request()
}

#[test]
fn the_ops_manager_preset_sends_its_five_fields_and_believes_nobody() {
    let request = seen("      preset: ops-manager\n      server_name: proxy.example");
    assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.all("x-forwarded-host"), ["test.example"]);
    assert_eq!(request.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.all("x-forwarded-server"), ["proxy.example"]);
    // The client spoke clear HTTP, whatever it says.
    assert_eq!(request.all("x-proxied-https"), [""; 0]);
    for gone in ["x-real-ip", "forwarded", "x-forwarded-port"] {
        assert_eq!(request.header(gone), None, "{gone}");
    }
}

#[test]
fn a_trusted_proxys_fields_are_appended_to_on_one_line() {
    let request = seen("      for: true\n      proto: true\n      trusted_proxies: [127.0.0.0/8]");
    assert_eq!(request.all("x-forwarded-for"), ["1.2.3.4, 127.0.0.1"]);
}

#[test]
fn the_standard_field_is_written_by_the_standard() {
    let request = seen("      rfc7239: true\n      host: true");
    let value = request.header("forwarded").unwrap().to_ascii_lowercase();
    assert!(value.contains("for=") && value.contains("127.0.0.1") && value.contains("proto=http"), "{value}");
    assert!(!value.contains("1.2.3.4"), "{value}");
}

#[test]
fn option_forwardfor_does_as_haproxy_does() {
    for option in [
        "option forwardfor",
        "option forwardfor if-none",
        "option forwardfor except 127.0.0.0/8",
        "option forwardfor header X-Client",
    ] {
        let a = Origin::named("a");
        let site = Site::http().frontend(option).server(&a, "");
        let haproxy = Haproxy::start(&site.text());
        let proxy = site.start();
        for address in [haproxy.address("web"), proxy.address("web")] {
            for fields in ["", "X-Forwarded-For: 1.2.3.4\r\n"] {
                let mut client = Client::connect(address);
                client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n"));
                assert_eq!(client.response().status, 200);
            }
        }
        let seen: Vec<Vec<String>> = a
            .received()
            .iter()
            .map(|request| {
                ["x-forwarded-for", "x-client"].iter().flat_map(|name| request.all(name)).map(str::to_owned).collect()
            })
            .collect();
        assert_eq!(seen[..2], seen[2..], "{option}");
    }
}

#[test]
fn servers_learn_that_the_client_used_tls() {
    let a = Origin::named("a");
    let dir = crate::harness::TempDir::new();
    dir.write("site.pem", crate::harness::certificate(&["localhost"]).combined());
    let text =
        yaml(&a, "      preset: ops-manager").replace("<web>", "<web>\n        ssl: true\n        crt: <dir>/site.pem");
    let proxy = Proxy::start_in(&text, dir);
    crate::harness::curl(&["-k", &proxy.url("https", "web", "/")]);
    let request = a.only_request();
    assert_eq!((request.header("x-forwarded-proto"), request.header("x-proxied-https")), (Some("https"), Some("true")));
}
