//! A dead server is noticed, a backup takes over, and everyone is told why.

use crate::harness::{Origin, Site, eventually};

const FAST: &str = "check inter 100ms rise 1 fall 2";

fn checked() -> Site {
    Site::http().backend("option httpchk GET /health").backend("http-check expect status 200")
}

#[test]
fn a_failing_server_leaves_the_rotation_and_comes_back() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = checked().server(&a, FAST).server(&b, FAST).start();
    a.answer_checks(503);
    let line = proxy.wait_for("Server app/a is DOWN");
    for part in ["reason: Layer7 wrong status", "code: 503", "check duration: ", "1 active and 0 backup servers left"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(proxy.get_times(3, "/"), ["b", "b", "b"]);
    a.answer_checks(200);
    let line = proxy.wait_for("Server app/a is UP");
    assert!(
        line.contains("reason: Layer7 check passed") && line.contains("2 active and 0 backup servers online"),
        "{line}"
    );
    let answers = proxy.get_times(4, "/").concat();
    assert_eq!((answers.matches('a').count(), answers.matches('b').count()), (2, 2));
}

#[test]
fn the_backup_takes_over_when_the_primary_dies_and_gives_back() {
    let [master, slave] = ["master", "slave"].map(Origin::named);
    let proxy = checked().server(&master, FAST).server(&slave, &format!("{FAST} backup")).start();
    assert_eq!(proxy.get_times(3, "/"), ["master", "master", "master"]);
    master.stop();
    let line = proxy.wait_for("Server app/master is DOWN");
    // A check may have been under way when it died.
    assert!(line.contains("Connection refused") || line.contains("Connection reset by peer"), "{line}");
    assert!(line.contains("0 active and 1 backup servers left. Running on backup."), "{line}");
    assert_eq!(proxy.get_times(3, "/"), ["slave", "slave", "slave"]);
    master.start_again();
    proxy.wait_for("Server app/master is UP");
    assert_eq!(proxy.get_times(3, "/"), ["master", "master", "master"]);
}

#[test]
fn only_the_first_backup_serves_unless_all_are_asked_for() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let dead = Origin::named("dead");
    dead.stop();
    let site = || checked().server(&dead, FAST).server(&a, "backup").server(&b, "backup");
    let one = site().start();
    one.wait_for("Server app/dead is DOWN");
    assert_eq!(one.get_times(2, "/"), ["a", "a"]);
    let all = site().backend("option allbackups").start();
    all.wait_for("Server app/dead is DOWN");
    assert_eq!(all.get_times(4, "/"), ["a", "b", "a", "b"]);
}

#[test]
fn with_nobody_left_the_backend_says_so_and_answers_503() {
    let a = Origin::named("a");
    let proxy = checked().server(&a, FAST).start();
    a.answer_checks(500);
    proxy.wait_for("backend app has no server available!");
    assert_eq!(proxy.get("/").status, 503);
    proxy.wait_for("app/<NOSRV>");
}

#[test]
fn a_first_failed_check_takes_a_new_server_down() {
    let a = Origin::named("a");
    a.answer_checks(500);
    let proxy = checked().server(&a, "check inter 100ms rise 2 fall 5").start();
    proxy.wait_for("Server app/a is DOWN");
    assert!(a.checks() <= 2, "{} checks", a.checks());
}

#[test]
fn a_bare_check_only_connects() {
    let a = Origin::named("a");
    a.answer_checks(500);
    let proxy = Site::http().server(&a, FAST).start();
    let status = eventually("a first check passed", || {
        let stat = proxy.admin("show stat");
        stat.lines().find(|line| line.starts_with("app,a,")).filter(|line| line.contains("L4OK")).map(str::to_owned)
    });
    assert!(status.contains(",UP,"), "{status}");
    assert_eq!(a.checks(), 0);
    a.stop();
    proxy.wait_for("Server app/a is DOWN");
}

#[test]
fn a_check_can_go_to_another_port() {
    let [app, health] = ["app", "health"].map(Origin::named);
    let port = health.address().port();
    let proxy = checked().server(&app, &format!("check port {port} inter 100ms rise 1 fall 1")).start();
    eventually("the other port is checked", || (health.checks() > 0).then_some(()));
    health.answer_checks(503);
    proxy.wait_for("Server app/app is DOWN");
    assert_eq!(app.checks(), 0);
}

#[test]
fn a_silent_server_fails_its_check_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Site::http()
        .defaults("timeout check 200ms")
        .backend("option httpchk GET /health")
        .backend(&format!("server mute {address} check inter 100ms fall 1"))
        .start();
    let line = proxy.wait_for("Server app/mute is DOWN");
    assert!(line.contains("Layer7 timeout"), "{line}");
}

#[test]
fn expectations_look_at_status_and_body() {
    let a = Origin::named("a");
    for (rule, up) in [
        ("http-check expect status 200-299", true),
        ("http-check expect string health", true),
        ("http-check expect ! string sick", true),
        ("http-check expect rstring ^hea", true),
        ("http-check expect string sick", false),
        ("http-check expect status 404", false),
        ("http-check expect hdr name content-length", true),
    ] {
        let proxy = Site::http()
            .backend("option httpchk GET /health")
            .backend(rule)
            .server(&a, "check inter 50ms rise 1 fall 1")
            .start();
        eventually(rule, || {
            let stat = proxy.admin("show stat");
            let line = stat.lines().find(|line| line.starts_with("app,a,"))?.to_owned();
            let checked = line.contains("L7");
            (checked && line.contains(if up { ",UP," } else { ",DOWN," })).then_some(())
        });
    }
}

#[test]
fn a_dead_master_under_load_costs_only_what_was_in_flight() {
    let [master, slave] = ["master", "slave"].map(Origin::named);
    let proxy = checked()
        .backend("option redispatch")
        .backend("retries 3")
        .server(&master, "check inter 100ms rise 1 fall 1")
        .server(&slave, "check inter 100ms rise 1 fall 1 backup")
        .start();
    let address = proxy.address("web");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = std::sync::Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut good, mut bad) = (0, Vec::new());
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    match crate::harness::get(address, "/") {
                        response if response.status == 200 => good += 1,
                        response => bad.push(response.head),
                    }
                }
                (good, bad)
            })
        })
        .collect();
    master.wait_for_requests(50);
    master.stop();
    proxy.wait_for("Server app/master is DOWN");
    let before = slave.received().len();
    slave.wait_for_requests(before + 50);
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let results: Vec<(usize, Vec<String>)> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let bad: Vec<&String> = results.iter().flat_map(|(_, bad)| bad).collect();
    // At most one request of each client was with the server when it died.
    assert!(bad.len() <= clients_in_flight(&results), "{bad:?}");
}

fn clients_in_flight(results: &[(usize, Vec<String>)]) -> usize {
    assert!(results.iter().all(|(good, _)| *good > 0));
    results.len()
}

#[test]
fn checks_of_servers_that_expect_a_proxy_header_bring_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _proxy = Site::http()
        .backend("option httpchk GET /health")
        .backend(&format!("server a {address} check inter 100ms send-proxy-v2"))
        .start();
    let mut server = crate::harness::Client::over(listener.accept().unwrap().0);
    // LOCAL: the proxy speaks for itself, not for a client.
    assert_eq!(server.exactly(13).unwrap(), b"\r\n\r\n\0\r\nQUIT\n\x20");
}

#[test]
fn a_disabled_server_starts_in_maintenance() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = Site::http().server(&a, "disabled").server(&b, "").start();
    assert_eq!(crate::admin::stat(&proxy, "app", "a", "status"), "MAINT");
    assert_eq!(proxy.get_times(2, "/"), ["b", "b"]);
    assert_eq!(proxy.admin("enable server app/a"), "\n");
    assert!(proxy.get_times(2, "/").contains(&"a".to_owned()));
}
