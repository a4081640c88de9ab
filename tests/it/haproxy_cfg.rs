//! The configuration an installation guide tells its readers to write: it loads, works, and is told what it really does.

use crate::harness::{Origin, Proxy, TempDir, certificate, check_config, curl, get};

/// The guide's first form, plain TCP; only addresses and ports are others.
fn tcp_form(master: &Origin, slave: &Origin) -> String {
    let (master, slave) = (master.address(), slave.address());
    let (master_port, slave_port) = (master.port(), slave.port());
    format!(
        "defaults
log global
mode tcp
option httplog
option dontlognull
timeout connect 5000
timeout client 50000
timeout server 50000
errorfile 400 /etc/haproxy/errors/400.http
errorfile 403 /etc/haproxy/errors/403.http
errorfile 408 /etc/haproxy/errors/408.http
errorfile 500 /etc/haproxy/errors/500.http
errorfile 502 /etc/haproxy/errors/502.http
errorfile 503 /etc/haproxy/errors/503.http
errorfile 504 /etc/haproxy/errors/504.http
frontend http_front
# Replace with your HA-Proxy IP address
bind 127.0.0.1:<web>
stats uri /haproxy?stats
default_backend http_back
backend http_back
balance roundrobin
mode tcp
option tcp-check
# Replace with your Master Server IP
server master {master} check port {master_port}
# Replace with your Slave Server IP
server slave {slave} check port {slave_port}
"
    )
}

/// The second form: TLS in front and behind.
fn ssl_form(master: &str, slave: &str) -> String {
    format!(
        "defaults
timeout connect 5000
timeout client 50000
timeout server 50000
frontend https_front
bind 127.0.0.1:<web> ssl crt <dir>/example.pem
mode http
option forwardfor
default_backend http_back
backend http_back
mode http
balance roundrobin
server master {master} check ssl verify none
server slave {slave} check ssl verify none
"
    )
}

#[test]
fn the_tcp_form_serves_both_servers_and_its_stats_page() {
    let [master, slave] = ["master", "slave"].map(Origin::named);
    let proxy = Proxy::start(&tcp_form(&master, &slave));
    let mut answers = proxy.get_times(2, "/");
    answers.sort();
    assert_eq!(answers, ["master", "slave"]);
    let page = proxy.get("/haproxy?stats");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("master") && page.text().contains("slave"));
    let csv = proxy.get("/haproxy?stats;csv").text();
    assert!(csv.contains("http_back,master,"), "{csv}");
}

#[test]
fn check_says_what_the_tcp_form_really_does() {
    let [master, slave] = ["master", "slave"].map(Origin::named);
    let output = check_config(&tcp_form(&master, &slave), &TempDir::new(), &[""; 0]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for words in ["stats", "backup", "httplog", "warning"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(summary.contains("configuration is valid"), "{summary}");
}

#[test]
fn the_tls_form_terminates_and_speaks_tls_to_servers() {
    let app = Origin::named("app");
    let dir = TempDir::new();
    dir.write("server.pem", certificate(&["app"]).combined());
    let inner = Proxy::start_in(
        &crate::harness::Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/server.pem").server(&app, "").text(),
        dir,
    );
    let address = inner.address("web").to_string();
    let dir = TempDir::new();
    dir.write("example.pem", certificate(&["your-domain.com"]).combined());
    let proxy = Proxy::start_in(&ssl_form(&address, &address), dir);
    assert_eq!(curl(&["-k", &proxy.url("https", "web", "/")]), "app");
    assert_eq!(app.only_request().header("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn a_dead_master_is_left_out_of_the_tcp_form() {
    let [master, slave] = ["master", "slave"].map(Origin::named);
    let proxy = Proxy::start(&tcp_form(&master, &slave));
    master.stop();
    crate::harness::eventually("the page shows the master down", || {
        let csv = get(proxy.address("web"), "/haproxy?stats;csv").text();
        csv.lines().find(|line| line.starts_with("http_back,master,") && line.contains(",DOWN,")).map(str::to_owned)
    });
    assert_eq!(proxy.get_times(3, "/"), ["slave", "slave", "slave"]);
}
