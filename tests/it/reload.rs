//! A reload loses nothing: no request, no connection, no health, no counter. A bad file changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rustix::process::Signal;

use crate::harness::{Client, Origin, Reply, Site, TempDir, certificate, eventually, get};

/// Said when a reload is through.
const RELOADED: &str = "generation 2";

#[test]
fn a_good_file_is_swapped_in() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let site = Site::http().global("hard-stop-after 5s");
    let mut proxy = site.clone().server(&a, "").start_process();
    assert_eq!(proxy.get("/").text(), "a");
    proxy.rewrite(&site.server(&b, "").text());
    proxy.signal(Signal::HUP);
    proxy.wait_for(RELOADED);
    assert_eq!(proxy.get_times(2, "/"), ["b", "b"]);
}

#[test]
fn a_bad_file_is_reported_and_the_old_configuration_keeps_running() {
    let a = Origin::named("a");
    let mut proxy = Site::http().server(&a, "").start_process();
    proxy.rewrite("frontend web\n    bnid :80\n");
    proxy.signal(Signal::USR2);
    let line = proxy.wait_for("bnid");
    assert!(line.contains("lockgate.cfg:2:5"), "{line}");
    proxy.wait_for("the old configuration keeps running");
    assert_eq!(proxy.get("/").text(), "a");
    // And a good one is taken after that.
    let b = Origin::named("b");
    proxy.rewrite(&Site::http().server(&b, "").text());
    proxy.signal(Signal::USR2);
    proxy.wait_for(RELOADED);
    assert_eq!(proxy.get("/").text(), "b");
}

#[test]
fn warnings_are_told_again_and_once() {
    let dir = TempDir::new();
    let site = |options: &str| {
        Site::http()
            .bind(&format!("bind 127.0.0.1:<web> ssl crt <dir>/site.pem {options}"))
            .frontend("http-request return status 200")
    };
    dir.write("site.pem", certificate(&["site.test"]).combined());
    let mut proxy = crate::harness::Process::start_with(&site("").text(), dir, &[]);
    std::fs::write(proxy.file("site.pem.ocsp"), "not an answer").unwrap();
    proxy.rewrite(&site("allow-0rtt").text());
    proxy.signal(Signal::HUP);
    proxy.wait_for(RELOADED);
    let place = format!("WARN {}:", proxy.file("lockgate.cfg").display());
    for warning in ["[ocsp-not-stapled]", "`allow-0rtt` has no effect"] {
        // One goes to the log, the other to whoever watches.
        proxy.wait_for_nth(warning, 2);
        let said = proxy.said();
        let told: Vec<_> = said.lines().filter(|line| line.contains(warning) && line.contains("WARN")).collect();
        assert!(told.len() == 1 && told[0].contains(&place), "{said}");
    }
}

#[test]
fn an_emptied_file_changes_nothing() {
    let a = Origin::named("a");
    let mut proxy = Site::http().server(&a, "").start_process();
    proxy.rewrite("# somebody saved half a file\n");
    proxy.signal(Signal::HUP);
    proxy.wait_for("the old configuration keeps running");
    assert_eq!(proxy.get("/").text(), "a");
}

#[test]
fn an_address_that_cannot_be_bound_changes_nothing() {
    let a = Origin::named("a");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::http().server(&a, "");
    let mut proxy = site.start_process();
    let address = taken.local_addr().unwrap();
    proxy.rewrite(&site.section(&format!("frontend more\n    bind {address}\n    default_backend app")).text());
    proxy.signal(Signal::HUP);
    let line = proxy.wait_for(&address.to_string());
    assert!(line.to_ascii_lowercase().contains("in use"), "{line}");
    assert_eq!(proxy.get("/").text(), "a");
}

#[test]
fn reloads_under_load_lose_no_request_and_no_connection() {
    let a = Origin::named("a");
    let site = Site::http().server(&a, "check inter 100ms");
    let mut proxy = site.start_process();
    let address = proxy.address("web");
    let stop = Arc::new(AtomicBool::new(false));
    let kept = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut client = Client::connect(address);
            let mut requests = 0;
            while !stop.load(SeqCst) {
                client.send("GET /kept HTTP/1.1\r\nHost: x\r\n\r\n");
                assert_eq!(client.response().status, 200);
                requests += 1;
            }
            requests
        })
    };
    let fresh = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut requests = 0;
            while !stop.load(SeqCst) {
                assert_eq!(get(address, "/fresh").status, 200);
                requests += 1;
            }
            requests
        })
    };
    for generation in 2..=6 {
        let before = a.received().len();
        a.wait_for_requests(before + 20);
        proxy.rewrite(&site.clone().frontend(&format!("http-request set-header X-Generation {generation}")).text());
        proxy.signal(Signal::HUP);
        proxy.wait_for(&format!("generation {generation}"));
    }
    let before = a.received().len();
    a.wait_for_requests(before + 20);
    stop.store(true, SeqCst);
    assert!(kept.join().unwrap() > 0 && fresh.join().unwrap() > 0);
    assert_eq!(a.received().last().unwrap().header("x-generation"), Some("6"));
}

#[test]
fn health_weights_and_counters_survive() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let site = Site::http()
        .backend("option httpchk GET /health")
        .server(&a, "check inter 100ms fall 1")
        .server(&b, "check inter 100ms");
    let mut proxy = site.start_process();
    b.answer_checks(200);
    a.answer_checks(500);
    proxy.wait_for("Server app/a is DOWN");
    proxy.get_times(5, "/");
    proxy.rewrite(&site.frontend("http-request set-header X-New 1").text());
    proxy.signal(Signal::HUP);
    proxy.wait_for(RELOADED);
    // Not one request finds out about the dead server again.
    assert!(proxy.get_times(5, "/").iter().all(|body| body == "b"));
    // Counted when all is written, a moment after the client has it.
    eventually("ten requests counted", || (crate::admin::stat(&proxy, "app", "b", "stot") == "10").then_some(()));
    assert_eq!(crate::admin::stat(&proxy, "app", "a", "status"), "DOWN");
}

#[test]
fn a_running_request_ends_under_the_configuration_it_began_with() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    let a = Origin::scripted("a", move |request| {
        if request.target == "/slow" {
            let _ = receiver.lock().unwrap().recv_timeout(crate::harness::DEADLINE);
        }
        Reply::text(200, "a")
    });
    let b = Origin::named("b");
    let mut proxy = Site::http().server(&a, "").start_process();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    a.wait_for_requests(1);
    proxy.rewrite(&Site::http().server(&b, "").text());
    proxy.signal(Signal::HUP);
    proxy.wait_for(RELOADED);
    assert_eq!(proxy.get("/").text(), "b");
    sender.send(()).unwrap();
    assert_eq!(client.response().text(), "a");
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().text(), "b"); // the next request on the same connection
}

#[test]
fn listeners_come_and_go() {
    let a = Origin::named("a");
    let site = Site::http().server(&a, "");
    let mut proxy = site.start_process();
    proxy.rewrite(&site.clone().section("frontend more\n    bind 127.0.0.1:<more>\n    default_backend app").text());
    proxy.signal(Signal::HUP);
    proxy.wait_for(RELOADED);
    let more = proxy.address("more");
    assert_eq!(get(more, "/").text(), "a");
    proxy.rewrite(&site.text());
    proxy.signal(Signal::HUP);
    proxy.wait_for("generation 3");
    eventually("the port is closed", || std::net::TcpStream::connect(more).err());
    assert_eq!(proxy.get("/").text(), "a");
}

#[test]
fn a_new_certificate_is_served_after_a_reload() {
    let dir = TempDir::new();
    dir.write("site.pem", certificate(&["old.example"]).combined());
    let site = Site::http().bind("bind 127.0.0.1:<web> ssl crt <dir>/site.pem");
    let proxy = crate::harness::Process::start_with(&site.text(), dir, &[]);
    let shown = |proxy: &crate::harness::Process| {
        crate::harness::tool_output("openssl", &["s_client", "-connect", &proxy.address("web").to_string()], b"")
    };
    assert!(shown(&proxy).contains("old.example"));
    std::fs::write(proxy.file("site.pem"), certificate(&["new.example"]).combined()).unwrap();
    proxy.signal(Signal::HUP);
    proxy.wait_for(RELOADED);
    assert!(shown(&proxy).contains("new.example"));
}

#[test]
fn a_tcp_session_outlives_the_frontend_it_came_in_by() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let old = Site::tcp().backend(&format!("server s {address}"));
    let mut proxy = old.start_process();
    let mut client = Client::connect(proxy.address("web"));
    client.send("before");
    let mut server = Client::over(listener.accept().unwrap().0);
    assert_eq!(server.exactly(6).unwrap(), b"before");
    proxy.rewrite(&Site::http().bind("bind 127.0.0.1:<other>").text());
    proxy.signal(Signal::HUP);
    proxy.wait_for(RELOADED);
    let web = proxy.address("web");
    eventually("the old port is closed", || std::net::TcpStream::connect(web).err());
    client.send("after");
    assert_eq!(server.exactly(5).unwrap(), b"after");
    server.send("answer");
    assert_eq!(client.exactly(6).unwrap(), b"answer");
}
