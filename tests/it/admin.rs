//! The runtime socket as HAProxy's tools use it.

use crate::harness::{Client, Instance, Origin, Proxy, Reply, Site, eventually, get, tool_output};

const CHECKED: &str = "check inter 100ms rise 1 fall 1";

fn two_servers(a: &Origin, b: &Origin) -> Proxy {
    Site::http().backend("option httpchk GET /health").server(a, CHECKED).server(b, CHECKED).start()
}

/// One value of `show stat`, by column name.
#[track_caller]
pub fn stat(proxy: &Instance, proxy_name: &str, server: &str, column: &str) -> String {
    let text = proxy.admin("show stat");
    let names = text.lines().next().unwrap().trim_start_matches("# ");
    let index = names.split(',').position(|name| name == column).unwrap_or_else(|| panic!("no column {column}"));
    let start = format!("{proxy_name},{server},");
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {start} in {text}"));
    line.split(',').nth(index).unwrap().to_owned()
}

#[track_caller]
fn wait_for_status(proxy: &Proxy, server: &str, status: &str) {
    eventually(&format!("{server} is {status}"), || (stat(proxy, "app", server, "status") == status).then_some(()));
}

#[test]
fn drain_takes_no_new_requests_and_lets_running_ones_end() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    let a = Origin::scripted("a", move |request| {
        if request.target == "/slow" {
            let _ = receiver.lock().unwrap().recv_timeout(crate::harness::DEADLINE);
        }
        Reply::text(200, "a")
    });
    let b = Origin::named("b");
    let proxy = two_servers(&a, &b);
    let mut client = Client::connect(proxy.address("web"));
    while a.received().is_empty() {
        // Until it is a's turn.
        client = Client::connect(proxy.address("web"));
        client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        eventually("somebody was asked", || (a.received().len() + b.received().len() > 0).then_some(()));
    }
    assert_eq!(proxy.admin("set server app/a state drain"), "\n");
    assert_eq!(stat(&proxy, "app", "a", "status"), "DRAIN");
    assert!(proxy.get_times(4, "/").iter().all(|body| body == "b"));
    sender.send(()).unwrap();
    assert_eq!(client.response().text(), "a");
    assert_eq!(proxy.admin("set server app/a state ready"), "\n");
    let answers = proxy.get_times(4, "/").concat();
    assert!(answers.contains('a'), "{answers}");
}

#[test]
fn maintenance_takes_no_traffic_and_no_checks() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = two_servers(&a, &b);
    assert_eq!(proxy.admin("disable server app/a"), "\n");
    assert_eq!(stat(&proxy, "app", "a", "status"), "MAINT");
    assert!(proxy.get_times(4, "/").iter().all(|body| body == "b"));
    assert_eq!(proxy.admin("enable server app/a"), "\n");
    wait_for_status(&proxy, "a", "UP");
    assert!(proxy.get_times(4, "/").contains(&"a".to_owned()));
}

#[test]
fn weights_change_at_once() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = two_servers(&a, &b);
    assert_eq!(proxy.admin("get weight app/a"), "1 (initial 1)\n\n");
    assert_eq!(proxy.admin("set server app/a weight 3"), "\n");
    assert_eq!(proxy.admin("get weight app/a"), "3 (initial 1)\n\n");
    let answers = proxy.get_times(8, "/").concat();
    assert_eq!(answers.matches('a').count(), 6, "{answers}");
    assert_eq!(proxy.admin("set weight app/b 0"), "\n");
    assert!(proxy.get_times(3, "/").iter().all(|body| body == "a"));
}

#[test]
fn an_address_can_be_changed_while_running() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let proxy = two_servers(&a, &b);
    let port = c.address().port();
    let answer = proxy.admin(&format!("set server app/a addr 127.0.0.1 port {port}"));
    assert!(answer.contains("changed") || answer == "\n", "{answer}");
    let answers = proxy.get_times(4, "/").concat();
    assert!(answers.contains('c') && !answers.contains('a'), "{answers}");
}

#[test]
fn several_commands_share_a_line_and_errors_are_haproxys() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let proxy = two_servers(&a, &b);
    let answer = proxy.admin("get weight app/a; get weight app/b");
    assert_eq!(answer, "1 (initial 1)\n\n1 (initial 1)\n\n");
    for (command, text) in [
        ("get weight app/none", "No such server."),
        ("set server app/a state resting", "'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
        ("set server app/a weight 300", "Absolute weight can only be between 0 and 256 inclusive."),
        ("no such thing", "Unknown command"),
    ] {
        let answer = proxy.admin(command);
        assert!(answer.contains(text), "{command}: {answer}");
    }
}

#[test]
fn show_info_and_show_stat_read_as_tools_expect() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let info = proxy.admin("show info");
    for key in ["Name: ", "Version: ", "Pid: ", "Uptime_sec: ", "Maxconn: ", "CurrConns: "] {
        assert!(info.lines().any(|line| line.starts_with(key)), "{key} in {info}");
    }
    assert!(info.contains(&format!("Pid: {}\n", std::process::id())));
    // Datadog cuts each line at its only colon.
    assert!(info.lines().filter(|line| !line.is_empty()).all(|line| line.matches(':').count() == 1), "{info}");
    let stat = proxy.admin("show stat");
    assert!(stat.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,"), "{stat}");
    let rows: Vec<&str> = stat.lines().skip(1).filter(|line| !line.is_empty()).collect();
    let heads: Vec<String> = rows.iter().map(|row| row.split(',').take(2).collect::<Vec<_>>().join("/")).collect();
    assert_eq!(heads, ["web/FRONTEND", "app/a", "app/BACKEND"]);
    assert!(stat.ends_with("\n\n"));
    assert!(proxy.admin("help").contains("show stat"));
    assert!(
        proxy.admin("show servers state").starts_with("1\n# be_id be_name srv_id srv_name"),
        "{}",
        proxy.admin("show servers state")
    );
}

#[test]
fn counters_count_and_can_be_cleared() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    proxy.get_times(3, "/");
    // A session counts when it begins, an answer when it is through, which its client may know before.
    eventually("three answers counted", || (stat(&proxy, "app", "a", "hrsp_2xx") == "3").then_some(()));
    assert_eq!(stat(&proxy, "web", "FRONTEND", "req_tot"), "3");
    assert_eq!(stat(&proxy, "app", "BACKEND", "hrsp_2xx"), "3");
    assert_eq!(stat(&proxy, "app", "a", "stot"), "3");
    assert_eq!(proxy.admin("clear counters all"), "\n");
    assert_eq!(stat(&proxy, "app", "a", "stot"), "0");
}

#[test]
fn levels_are_held() {
    let a = Origin::named("a");
    let site = Site::http().global("stats socket <dir>/user.sock level user").server(&a, "");
    let proxy = site.start();
    let socket = format!("UNIX-CONNECT:{}", proxy.file("user.sock").display());
    assert!(tool_output("socat", &["-", &socket], b"show stat\n").contains("pxname"));
    assert!(tool_output("socat", &["-", &socket], b"disable server app/a\n").contains("Permission denied"));
    assert_eq!(get(proxy.address("web"), "/").text(), "a");
}

#[test]
fn the_prompt_keeps_the_connection_open() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let socket = format!("UNIX-CONNECT:{}", proxy.file("admin.sock").display());
    let said = tool_output("socat", &["-t5", "-", &socket], b"prompt\nget weight app/a\nget weight app/a\nquit\n");
    assert_eq!(said.matches("1 (initial 1)").count(), 2, "{said}");
    assert!(said.contains("> "), "{said}");
}

#[test]
fn counters_tell_whose_answer_and_whose_fault_it_was_as_haproxys_do() {
    let a = Origin::scripted("a", |request| match request.target.as_str() {
        "/cut" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").then_close(),
        _ => Reply::raw("").then_close(),
    });
    let proxy = Site::http().server(&a, "").start();
    assert_eq!(get(proxy.address("web"), "/no-answer").status, 502);
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /cut HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.rest_as_text().ends_with("abc"));
    let mut client = Client::connect(proxy.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n");
    assert_eq!(client.response().status, 400);
    eventually("the last request is counted", || (stat(&proxy, "web", "FRONTEND", "ereq") == "1").then_some(()));
    eventually("the cut one is counted", || (stat(&proxy, "app", "a", "srv_abrt") == "1").then_some(()));
    for (proxy_name, row, column, expected) in [
        ("app", "a", "hrsp_5xx", "0"), // the 502 is the proxy's own
        ("app", "BACKEND", "hrsp_5xx", "1"),
        ("app", "a", "hrsp_2xx", "1"),
        ("app", "a", "eresp", "2"),
        ("app", "a", "srv_abrt", "1"),
        ("app", "a", "cli_abrt", "0"),
        ("web", "FRONTEND", "ereq", "1"),
        ("web", "FRONTEND", "intercepted", "0"),
    ] {
        assert_eq!(stat(&proxy, proxy_name, row, column), expected, "{row} {column}");
    }
}

#[test]
fn every_attempt_is_a_session_of_the_server_and_one_of_the_backend() {
    let dead = Origin::named("dead");
    dead.stop();
    let proxy = Site::http().backend("retries 1").server(&dead, "").start();
    assert_eq!(get(proxy.address("web"), "/").status, 503);
    let of = |row, columns: [&str; 4]| columns.map(|column| stat(&proxy, "app", row, column));
    let columns = ["stot", "connect", "lbtot", "econ"];
    assert_eq!(of("dead", columns), ["2", "2", "1", "1"]);
    assert_eq!(of("BACKEND", columns), ["1", "2", "1", "1"]);
    assert_eq!(of("dead", ["wretr", "wredis", "stot", "scur"]), ["1", "0", "2", "0"]);
}

#[test]
fn a_request_given_to_another_server_is_no_retry_but_the_failed_servers_redispatch() {
    let [dead, a] = ["dead", "a"].map(Origin::named);
    dead.stop();
    let proxy = Site::http().backend("option redispatch").server(&dead, "").server(&a, "").start();
    assert_eq!(proxy.get("/").text(), "a");
    for (row, expected) in [("dead", ["0", "1"]), ("a", ["0", "0"]), ("BACKEND", ["0", "1"])] {
        assert_eq!(["wretr", "wredis"].map(|column| stat(&proxy, "app", row, column)), expected, "{row}");
    }
}
