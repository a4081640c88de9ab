//! Which connection and which server does a request get, and when? Reuse, stickiness, queues and their order, rates.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Client, Origin, Proxy, Received, Reply, Site, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn ask(client: &mut Client, request: &str) -> String {
    client.send(request);
    client.response().text()
}

/// The server's connections that requests came on, in order.
fn connections(origin: &Origin) -> Vec<usize> {
    origin.received().iter().map(|request| request.connection).collect()
}

/// Two clients send requests in this order, by their names; the server's connections they came on.
#[track_caller]
fn check_reuse(settings: &str, order: &str, expected: &[usize]) {
    let a = Origin::named("a");
    let proxy = Site::http().global("nbthread 1").backend(settings).server(&a, "").start();
    let mut clients: Vec<(char, Client)> = Vec::new();
    for name in order.chars() {
        if !clients.iter().any(|(known, _)| *known == name) {
            clients.push((name, Client::connect(proxy.address("web"))));
        }
        let client = clients.iter_mut().find(|(known, _)| *known == name).map(|(_, client)| client);
        assert_eq!(ask(client.expect("a client"), GET), "a");
    }
    assert_eq!(connections(&a), expected, "{settings}, {order}");
}

#[test]
fn http_reuse_says_who_may_use_an_idle_connection() {
    check_reuse("http-reuse never", "aabba", &[0, 0, 1, 1, 0]);
    check_reuse("http-reuse safe", "aab", &[0, 0, 1]);
    check_reuse("http-reuse safe", "abab", &[0, 1, 1, 1]); // the youngest
    check_reuse("http-reuse aggressive", "abbc", &[0, 1, 1, 1]); // used twice: proven
    check_reuse("http-reuse aggressive", "abcd", &[0, 1, 2, 3]);
    check_reuse("http-reuse always", "abcab", &[0, 0, 0, 0, 0]);
    check_reuse("", "aab", &[0, 0, 1]); // HAProxy's default is `safe`
}

#[test]
fn a_server_says_how_many_connections_are_kept_and_for_how_long() {
    check_reuse("http-reuse always\n    default-server max-reuse 1", "aaaa", &[0, 0, 1, 1]);
    check_reuse("http-reuse always\n    default-server max-reuse 0", "aaa", &[0, 1, 2]);
    check_reuse("http-reuse always\n    default-server pool-max-conn 0", "aaa", &[0, 1, 2]);
    check_reuse("http-reuse always\n    default-server pool-purge-delay 0", "aaa", &[0, 1, 2]);
    check_reuse("http-reuse never\n    default-server max-reuse 1", "aaaa", &[0, 0, 1, 1]);
}

#[test]
fn a_connection_a_server_authenticated_is_its_clients_alone() {
    let challenge = |request: &Received| match request.target.as_str() {
        "/ntlm" => Reply::with_headers(401, "WWW-Authenticate: NTLM\r\n", ""),
        _ => Reply::text(200, "in"),
    };
    let [a, b] = ["a", "b"].map(|name| Origin::scripted(name, challenge));
    let site = Site::http().global("nbthread 1").backend("http-reuse always").server(&a, "").server(&b, "");
    let proxy = site.start();
    let mut known = Client::connect(proxy.address("web"));
    ask(&mut known, "GET /ntlm HTTP/1.1\r\nHost: x\r\n\r\n");
    // What it answers goes to the server that asked, over the connection it asked on.
    assert_eq!(ask(&mut known, GET), "in");
    let mut other = Client::connect(proxy.address("web"));
    for _ in 0..2 {
        assert_eq!(ask(&mut other, GET), "in");
    }
    assert_eq!(ask(&mut known, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"), "in");
    let (asked, free) = if a.received()[0].target == "/ntlm" { (&a, &b) } else { (&b, &a) };
    let received = asked.received();
    assert_eq!(received.iter().take(2).map(|request| request.connection).collect::<Vec<_>>(), [0, 0]);
    assert!(received.iter().skip(2).all(|request| request.connection != 0 || request.method == "POST"));
    assert!(!free.received().is_empty());
}

#[test]
fn a_client_may_be_kept_at_its_server() {
    let servers_of = |option: &str| {
        let [a, b] = ["a", "b"].map(Origin::named);
        let proxy = Site::http().global("nbthread 1").backend(option).server(&a, "").server(&b, "").start();
        let mut client = Client::connect(proxy.address("web"));
        (0..4).map(|_| ask(&mut client, GET)).collect::<String>()
    };
    assert!(["abab", "baba"].contains(&servers_of("").as_str()));
    assert!(["aaaa", "bbbb"].contains(&servers_of("option prefer-last-server").as_str()));
}

/// A server that answers each request only when it is told to go on.
struct Gate {
    origin: Origin,
    open: Arc<(Mutex<usize>, Condvar)>,
}

impl Gate {
    fn new() -> Gate {
        let open: Arc<(Mutex<usize>, Condvar)> = Arc::default();
        let gate = Arc::clone(&open);
        let origin = Origin::scripted("a", move |_| {
            let (left, changed) = &*gate;
            let mut left = changed.wait_while(left.lock().unwrap(), |left| *left == 0).unwrap();
            *left -= 1;
            Reply::text(200, "a")
        });
        Gate { origin, open }
    }

    fn let_pass(&self, count: usize) {
        *self.open.0.lock().unwrap() += count;
        self.open.1.notify_all();
    }
}

fn waiting(proxy: &Proxy) -> Option<String> {
    let stat = proxy.admin("show stat");
    let line = stat.lines().find(|line| line.starts_with("app,BACKEND,"))?;
    line.split(',').nth(2).map(str::to_owned)
}

/// Requests for these paths come one after the other while the only slot is taken; the order in which they are served.
#[track_caller]
fn check_order(rules: &[&str], paths: &[&str], expected: &[&str]) {
    let gate = Gate::new();
    let mut site = Site::http().global("nbthread 2").server(&gate.origin, "maxconn 1").defaults("timeout queue 20s");
    for rule in rules {
        site = site.frontend(rule);
    }
    let proxy = site.start();
    let mut clients = Vec::new();
    for (before, path) in ["/first"].iter().chain(paths).enumerate() {
        let mut client = Client::connect(proxy.address("web"));
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        clients.push(client);
        match before {
            0 => drop(gate.origin.wait_for_requests(1)),
            _ => eventually("it waits", || waiting(&proxy).filter(|count| *count == before.to_string()).map(drop)),
        }
    }
    gate.let_pass(clients.len());
    for client in &mut clients {
        assert_eq!(client.response().text(), "a");
    }
    let served: Vec<String> = gate.origin.received().into_iter().skip(1).map(|request| request.target).collect();
    assert_eq!(served, expected);
}

#[test]
fn a_queue_is_left_by_class_then_by_time_and_offset_over_all_workers() {
    check_order(&[], &["/1", "/2", "/3", "/4"], &["/1", "/2", "/3", "/4"]);
    check_order(
        &[
            "http-request set-priority-class int(-5) if { path /vip }",
            "http-request set-priority-class int(9) if { path /bulk }",
        ],
        &["/bulk", "/1", "/vip", "/2"],
        &["/vip", "/1", "/2", "/bulk"],
    );
    check_order(
        &["http-request set-priority-offset int(-60000) if { path /early }"],
        &["/1", "/early", "/2"],
        &["/early", "/1", "/2"],
    );
}

#[test]
fn who_must_go_to_one_server_waits_for_it_and_not_too_long_a_line() {
    let gate = Gate::new();
    let b = Origin::named("b");
    let proxy = Site::http()
        .global("nbthread 1")
        .defaults("timeout queue 20s")
        .backend("option prefer-last-server")
        .server(&gate.origin, "maxconn 1 maxqueue 1")
        .server(&b, "")
        .start();
    gate.let_pass(3);
    let mut clients: Vec<Client> = Vec::new();
    while clients.len() < 3 {
        let mut client = Client::connect(proxy.address("web"));
        if ask(&mut client, GET) == "a" {
            clients.push(client);
        }
    }
    // All three are bound to `a`: one is served there, one waits, the third is too many.
    let served = gate.origin.received().len();
    clients[0].send(GET);
    gate.origin.wait_for_requests(served + 1);
    clients[1].send(GET);
    eventually("it waits for `a`", || {
        let stat = proxy.admin("show stat");
        stat.lines().find(|line| line.starts_with("app,a,1,")).map(drop)
    });
    assert_eq!(ask(&mut clients[2], GET), "b");
    gate.let_pass(2);
    assert_eq!(clients[0].response().text(), "a");
    assert_eq!(clients[1].response().text(), "a");
}

#[test]
fn a_client_is_not_kept_at_a_server_that_would_make_it_wait() {
    let gate = Gate::new();
    let b = Origin::named("b");
    let proxy = Site::http()
        .global("nbthread 1")
        .backend("option prefer-last-server")
        .backend("max-keep-alive-queue 0")
        .server(&gate.origin, "maxconn 1")
        .server(&b, "")
        .start();
    gate.let_pass(2);
    let mut clients: Vec<Client> = Vec::new();
    while clients.len() < 2 {
        let mut client = Client::connect(proxy.address("web"));
        if ask(&mut client, GET) == "a" {
            clients.push(client);
        }
    }
    clients[0].send(GET);
    gate.origin.wait_for_requests(3);
    assert_eq!(ask(&mut clients[1], GET), "b");
    gate.let_pass(1);
    assert_eq!(clients[0].response().text(), "a");
}

#[test]
fn a_server_lets_in_more_as_its_backend_fills() {
    let gate = Gate::new();
    let proxy = Site::http()
        .defaults("timeout queue 20s")
        .backend("fullconn 8")
        .server(&gate.origin, "minconn 1 maxconn 4")
        .start();
    let mut clients = Vec::new();
    // At one session the limit is 1, at four it is 2, at eight it is 4.
    for (count, inside) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (8, 4), (9, 4)] {
        let mut client = Client::connect(proxy.address("web"));
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        clients.push(client);
        gate.origin.wait_for_requests(inside);
        eventually("the others wait", || {
            waiting(&proxy).filter(|waiting| *waiting == (count - inside).to_string()).map(drop)
        });
        assert_eq!(gate.origin.received().len(), inside, "of {count}");
    }
    gate.let_pass(clients.len());
    for client in &mut clients {
        assert_eq!(client.response().text(), "a");
    }
}

#[test]
fn a_limit_raised_by_an_operator_lets_in_who_waits() {
    let gate = Gate::new();
    let proxy = Site::http().defaults("timeout queue 20s").server(&gate.origin, "maxconn 1").start();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(proxy.address("web"))).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    eventually("two wait", || waiting(&proxy).filter(|count| count == "2").map(drop));
    proxy.admin("set maxconn server app/a 2");
    gate.origin.wait_for_requests(2);
    eventually("one waits", || waiting(&proxy).filter(|count| count == "1").map(drop));
    proxy.admin("disable server app/a");
    gate.let_pass(3);
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.response().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 1, "{statuses:?}: nobody serves who waited");
}

/// One column of one row of `show stat`.
fn stat(proxy: &Proxy, row: &str, column: &str) -> String {
    let stat = proxy.admin("show stat");
    let place = stat.lines().next().and_then(|names| names.split(',').position(|name| name == column)).unwrap();
    stat.lines().find(|line| line.starts_with(row)).and_then(|line| line.split(',').nth(place)).unwrap().to_owned()
}

#[test]
fn reports_tell_limits_and_what_a_server_answered_although_it_was_refused() {
    let a = Origin::named("a");
    let proxy = Site::http()
        .frontend("rate-limit sessions 100")
        .backend("http-response deny if { status 200 }")
        .server(&a, "maxqueue 7 pool-max-conn 3")
        .start();
    assert_eq!(proxy.get("/").status, 502);
    eventually("it is counted", || (stat(&proxy, "app,a,", "hrsp_2xx") == "1").then_some(()));
    assert_eq!(stat(&proxy, "app,BACKEND,", "hrsp_5xx"), "1");
    assert_eq!(stat(&proxy, "web,FRONTEND,", "rate_lim"), "100");
    assert_eq!([stat(&proxy, "app,a,", "qlimit"), stat(&proxy, "app,a,", "src_ilim")], ["7", "3"]);
}

#[test]
fn no_more_connections_are_taken_in_a_second_than_said() {
    let a = Origin::named("a");
    let proxy = Site::http().frontend("rate-limit sessions 5").server(&a, "").start();
    let started = Instant::now();
    for _ in 0..13 {
        assert_eq!(proxy.get("/").text(), "a");
    }
    // Five at once, and five in each second after it; counted in halves of a second, because seconds begin when they like.
    assert!(started.elapsed() > Duration::from_millis(1000), "{:?}", started.elapsed());
}
