//! HTTP/2 connections to servers between their requests: how many wait, who counts them, and whose they are.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Semaphore;

use crate::admin::stat;
use crate::harness::{
    Client, Haproxy, Http2Origin, Instance, Manners, Origin, Proxy, Site, certificate, eventually, http2_connect, tell,
};

/// Answers what asks for `/held` when it is let go, everything else at once.
fn holding(manners: Manners) -> (Http2Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let pass = Arc::clone(&gate);
    let origin = Http2Origin::start(manners, move |request: Request<h2::RecvStream>, mut respond| {
        let pass = Arc::clone(&pass);
        async move {
            if request.uri().path() == "/held" {
                pass.acquire().await.unwrap().forget();
            }
            let head = Response::builder().header("content-length", "2").body(()).unwrap();
            if let Ok(mut body) = respond.send_response(head, false) {
                let _ = body.send_data(Bytes::from_static(b"ok"), true);
            }
        }
    });
    (origin, gate)
}

/// One request at a time on a connection.
const ONE: Manners = Manners { streams: Some(1), goodbye_after: None, silent_from: None, mute_from: None };

fn idle(proxy: &Instance) -> [String; 3] {
    ["srv_icur", "safe_conn_cur", "idle_conn_cur"].map(|column| stat(proxy, "app", "a", column))
}

#[track_caller]
fn until_idle(proxy: &Instance, count: usize) {
    eventually(&format!("{count} idle"), || (idle(proxy)[0] == count.to_string()).then_some(()));
}

/// `count` requests at once, each of another client, each with a connection to the server.
fn ask_at_once(proxy: &Instance, (origin, gate): &(Http2Origin, Arc<Semaphore>), count: usize) {
    let before = origin.connections();
    let mut clients: Vec<_> = (0..count).map(|_| Client::connect(proxy.address("web"))).collect();
    for client in &mut clients {
        client.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    eventually("all have one", || (origin.connections() == before + count).then_some(()));
    assert_eq!(idle(proxy), ["0", "0", "0"], "all are in use");
    gate.add_permits(count);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
}

#[test]
fn as_many_wait_as_haproxy_lets_wait() {
    for (options, expected) in [("", 4), ("pool-max-conn 2", 2), ("pool-max-conn 0", 0)] {
        let told = |proxy: &Instance, server: &(Http2Origin, Arc<Semaphore>)| {
            ask_at_once(proxy, server, 4);
            until_idle(proxy, expected);
            eventually("others are closed", || (server.0.open() == expected).then_some(()));
            idle(proxy)
        };
        let server = holding(ONE);
        let line = format!("server a {} proto h2 {options}", server.0.address());
        let site = Site::http().global("nbthread 1").backend(&line);
        let theirs = told(&Haproxy::start(&site.text()), &server);
        eventually("HAProxy is gone", || (server.0.open() == 0).then_some(()));
        assert_eq!(told(&site.start(), &server), theirs, "{options}");
    }
}

#[test]
fn a_limit_counts_idle_connections_of_all_workers() {
    let server = holding(ONE);
    let line = format!("server a {} proto h2 pool-max-conn 3", server.0.address());
    let proxy = Site::http().global("nbthread 4").backend(&line).start();
    ask_at_once(&proxy, &server, 12);
    eventually("others are closed", || (server.0.open() == 3).then_some(()));
    assert_eq!(idle(&proxy), ["3", "3", "0"]);
    assert_eq!(stat(&proxy, "app", "a", "src_ilim"), "3");
}

#[test]
fn what_is_used_again_is_not_idle() {
    let server = holding(Manners::default());
    let line = format!("server a {} proto h2", server.0.address());
    let proxy = Site::http().global("nbthread 1").backend(&line).start();
    for _ in 0..3 {
        ask_at_once_over_one(&proxy, &server);
        until_idle(&proxy, 1);
    }
    assert_eq!(server.0.connections(), 1);
}

fn ask_at_once_over_one(proxy: &Instance, (_, gate): &(Http2Origin, Arc<Semaphore>)) {
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(proxy.address("web"))).collect();
    for client in &mut clients {
        client.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    eventually("both are under way", || (stat(proxy, "app", "a", "scur") == "2").then_some(()));
    until_idle(proxy, 0);
    gate.add_permits(1);
    // Either is answered; the other one's still holds the connection.
    eventually("one is answered", || (stat(proxy, "app", "a", "scur") == "1").then_some(()));
    assert_eq!(idle(proxy)[0], "0");
    gate.add_permits(1);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
}

/// A server with three idle connections.
fn three_idle() -> ((Http2Origin, Arc<Semaphore>), Proxy) {
    let server = holding(ONE);
    let line = format!("server a {} proto h2", server.0.address());
    let proxy = Site::http().global("nbthread 1").backend(&line).start();
    ask_at_once(&proxy, &server, 3);
    until_idle(&proxy, 3);
    (server, proxy)
}

#[test]
fn whatever_ends_an_idle_connection_ends_its_count() {
    // Its server says goodbye, which leaves it to us to close.
    let server = holding(Manners { goodbye_after: Some(1), ..ONE });
    let line = format!("server a {} proto h2", server.0.address());
    let proxy = Site::http().global("nbthread 1").backend(&line).start();
    assert_eq!(proxy.get("/").status, 200);
    eventually("it is closed", || (server.0.open() == 0).then_some(()));
    until_idle(&proxy, 0);
    // Its server ends.
    let (server, proxy) = three_idle();
    drop(server);
    until_idle(&proxy, 0);
    // Maintenance.
    let (server, proxy) = three_idle();
    proxy.admin("set server app/a state maint");
    until_idle(&proxy, 0);
    eventually("they are closed", || (server.0.open() == 0).then_some(()));
}

#[test]
fn half_of_what_nobody_needs_goes_at_a_time() {
    let server = holding(ONE);
    let line = format!("server a {} proto h2 pool-purge-delay 1s", server.0.address());
    let proxy = Site::http().global("nbthread 1").backend(&line).start();
    ask_at_once(&proxy, &server, 4);
    for left in [4, 2, 1, 0] {
        until_idle(&proxy, left);
        eventually("as many are open", || (server.0.open() == left).then_some(()));
    }
}

#[test]
fn a_reload_takes_idle_connections_over_under_its_own_limit() {
    let server = holding(ONE);
    let site = |options: &str| {
        let line = format!("server a {} proto h2 {options}", server.0.address());
        Site::http().global("nbthread 1").backend(&line)
    };
    let mut proxy = site("").start();
    ask_at_once(&proxy, &server, 3);
    until_idle(&proxy, 3);
    proxy.rewrite(&site("").text());
    proxy.reload();
    proxy.wait_for("generation 2");
    assert_eq!((idle(&proxy)[0].as_str(), server.0.open()), ("3", 3));
    proxy.rewrite(&site("pool-max-conn 1").text());
    proxy.reload();
    until_idle(&proxy, 1);
    eventually("others are closed", || (server.0.open() == 1).then_some(()));
    assert_eq!(proxy.get("/").status, 200);
    until_idle(&proxy, 1);
    assert_eq!(server.0.connections(), 3);
}

/// What a client of HTTP/1 and one of HTTP/2 find: connections opened so far and idle ones counted, after each.
fn told_of_private(proxy: &Instance, origin: &Http2Origin) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut client = Client::connect(proxy.address("web"));
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    found.push((origin.connections(), idle(proxy)[0].clone()));
    let address: SocketAddr = proxy.address("web");
    let (asked, may_go) = std::sync::mpsc::channel();
    let (go, end) = tokio::sync::oneshot::channel::<()>();
    let teller = std::thread::spawn(move || {
        tell(async move {
            let mut sender = http2_connect(address).await;
            let request = || Request::get("http://h/").body(()).unwrap();
            assert_eq!(sender.send_request(request(), true).unwrap().0.await.unwrap().status(), 200);
            let together: Vec<_> = (0..5).map(|_| sender.send_request(request(), true).unwrap().0).collect();
            for response in together {
                assert_eq!(response.await.unwrap().status(), 200);
            }
            asked.send(()).unwrap();
            let _ = end.await;
        });
    });
    may_go.recv().unwrap();
    found.push((origin.connections(), idle(proxy)[0].clone()));
    assert_eq!(origin.open(), 2);
    // They go with their clients.
    drop(client);
    eventually("the first one's is closed", || (origin.open() == 1).then_some(()));
    go.send(()).unwrap();
    teller.join().unwrap();
    eventually("the other one's, too", || (origin.open() == 0).then_some(()));
    found
}

#[test]
fn a_private_connection_serves_all_requests_of_its_client_as_in_haproxy() {
    for (options, reuse) in [("", "never"), ("pool-max-conn 0", "never"), ("pool-purge-delay 0", "never")] {
        let told = |start: &dyn Fn(&Site) -> Vec<(usize, String)>, origin: &Http2Origin| {
            let line = format!("server a {} proto h2 {options}", origin.address());
            start(&Site::http().global("nbthread 1").backend(&format!("http-reuse {reuse}")).backend(&line))
        };
        let (origin, _gate) = holding(Manners::default());
        let theirs = told(&|site| told_of_private(&Haproxy::start(&site.text()), &origin), &origin);
        let (origin, _gate) = holding(Manners::default());
        let ours = told(&|site| told_of_private(&site.start(), &origin), &origin);
        assert_eq!(ours, theirs, "`{options}` {reuse}");
        assert_eq!(ours, [(1, "0".to_owned()), (2, "0".to_owned())]);
    }
}

#[test]
fn those_of_one_client_are_not_counted_in_http1_either() {
    let told = |proxy: &Instance| {
        let mut client = Client::connect(proxy.address("web"));
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().text(), "a");
        eventually("it is over", || (stat(proxy, "app", "a", "scur") == "0").then_some(()));
        idle(proxy)[0].clone()
    };
    let origin = Origin::named("a");
    for (reuse, expected) in [("never", "0"), ("always", "1")] {
        let site = Site::http().global("nbthread 1").backend(&format!("http-reuse {reuse}")).server(&origin, "");
        let ours = told(&site.start());
        assert_eq!((ours.as_str(), &ours), (expected, &told(&Haproxy::start(&site.text()))), "{reuse}");
    }
}

/// What a server answers to requests for these hosts, one client's after the other.
fn asked_for(client: &mut Client, hosts: &[&str]) -> Vec<String> {
    let ask = |host: &&str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response().text()
    };
    hosts.iter().map(ask).collect()
}

#[test]
fn a_connection_that_tells_of_its_client_carries_no_other_ones_requests() {
    let server = "bind 127.0.0.1:<web> accept-proxy proto h2\n  http-request return status 200 content-type a/b lf-string \
                  %[src]:%[src_port]";
    let server = Haproxy::start(&Site::http().bind(server).text());
    let line = format!("server a {} proto h2 send-proxy", server.address("web"));
    let proxy = Site::http().global("nbthread 1").backend(&line).start();
    let mut clients = [(); 2].map(|()| Client::connect(proxy.address("web")));
    for _ in 0..3 {
        for client in &mut clients {
            let own = client.local().to_string();
            assert_eq!(asked_for(client, &["h", "h"]), [own.clone(), own]);
        }
    }
    assert_eq!((stat(&proxy, "app", "a", "connect"), stat(&proxy, "app", "a", "reuse")), ("2".into(), "10".into()));
}

#[test]
fn a_connection_opened_for_one_name_carries_no_requests_for_another() {
    let dir = crate::harness::TempDir::new();
    let pem = dir.write("site.pem", certificate(&["localhost"]).combined());
    let server = format!(
        "bind 127.0.0.1:<web> ssl crt {} alpn h2\n  http-request return status 200 content-type a/b lf-string %[ssl_fc_sni]",
        pem.display()
    );
    let server = Haproxy::start(&Site::http().bind(&server).text());
    let options = "ssl verify none sni req.hdr(host) alpn h2";
    let line = format!("server a {} {options}", server.address("web"));
    let proxy = Site::http().global("nbthread 1").backend(&line).start();
    let hosts = ["a.test", "b.test", "a.test", "b.test", "a.test"];
    assert_eq!(asked_for(&mut Client::connect(proxy.address("web")), &hosts), hosts);
    assert_eq!((stat(&proxy, "app", "a", "connect"), stat(&proxy, "app", "a", "reuse")), ("2".into(), "3".into()));
    // Others share them.
    assert_eq!(asked_for(&mut Client::connect(proxy.address("web")), &hosts), hosts);
    until_idle(&proxy, 2);
    assert_eq!(stat(&proxy, "app", "a", "connect"), "2");
    // A reload makes new connections of TLS.
    proxy.reload();
    until_idle(&proxy, 0);
    assert_eq!(asked_for(&mut Client::connect(proxy.address("web")), &hosts), hosts);
    until_idle(&proxy, 2);
    assert_eq!(stat(&proxy, "app", "a", "connect"), "4");
    let hosts: Vec<String> = (0..14).map(|number| format!("{}.test", number % 7)).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    assert_eq!(asked_for(&mut Client::connect(proxy.address("web")), &hosts), hosts);
}

#[test]
fn a_client_keeps_as_many_of_its_own_as_in_haproxy() {
    let told = |proxy: &Instance, (origin, gate): &(Http2Origin, Arc<Semaphore>)| {
        let before = origin.connections();
        let address = proxy.address("web");
        let (go, end) = tokio::sync::oneshot::channel::<()>();
        let client = async move {
            let mut sender = http2_connect(address).await;
            let held = || Request::get("http://h/held").body(()).unwrap();
            let together: Vec<_> = (0..7).map(|_| sender.send_request(held(), true).unwrap().0).collect();
            for response in together {
                assert_eq!(response.await.unwrap().status(), 200);
            }
            let _ = end.await;
        };
        std::thread::scope(|scope| {
            scope.spawn(|| tell(client));
            eventually("each has one", || (origin.connections() == before + 7).then_some(()));
            gate.add_permits(7);
            eventually("some are closed", || (origin.open() == 5).then_some(()));
            go.send(()).unwrap();
        });
        eventually("all are closed", || (origin.open() == 0).then_some(()));
    };
    let server = holding(ONE);
    let line = format!("server a {} proto h2", server.0.address());
    let site = Site::http().global("nbthread 1").backend("http-reuse never").backend(&line);
    told(&Haproxy::start(&site.text()), &server);
    told(&site.start(), &server);
}

#[test]
fn a_client_has_connections_of_its_own_to_each_server() {
    let named = |name: &'static str| {
        Http2Origin::start(Manners::default(), move |_, mut respond| async move {
            if let Ok(mut body) = respond.send_response(Response::new(()), false) {
                let _ = body.send_data(Bytes::from_static(name.as_bytes()), true);
            }
        })
    };
    let servers = [named("a"), named("b")];
    let site = Site::http().global("nbthread 1").backend("http-reuse never").backend("balance roundrobin");
    let site = site.backend(&format!("server a {} proto h2", servers[0].address()));
    let proxy = site.backend(&format!("server b {} proto h2", servers[1].address())).start();
    let mut client = Client::connect(proxy.address("web"));
    assert_eq!(asked_for(&mut client, &["h"; 6]), ["a", "b", "a", "b", "a", "b"]);
    assert_eq!(servers.map(|server| server.connections()), [1, 1]);
}
