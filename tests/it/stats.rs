//! What an operator sees in the browser, and what programs read beside it.

use crate::harness::{Origin, Proxy, Site, eventually, get, get_with, run_tool};

fn with_stats(lines: &[&str]) -> Site {
    let site = Site::http().backend("option httpchk GET /health");
    let section =
        lines.iter().fold("frontend stats\n    bind 127.0.0.1:<stats>\n    stats enable\n".to_owned(), |text, line| {
            text + "    " + line + "\n"
        });
    site.section(&section)
}

/// The page's text after scripts ran, as Chromium has it.
fn in_browser(url: &str) -> String {
    let profile = crate::harness::TempDir::new();
    let directory = format!("--user-data-dir={}", profile.path().display());
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--timeout=3000", &directory, "--dump-dom", url];
    let output = run_tool("chromium", &arguments, b"");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_page_shows_every_server_with_its_status_and_reason() {
    let [a, b] = ["alpha", "beta"].map(Origin::named);
    let proxy = with_stats(&["stats uri /haproxy?stats"])
        .server(&a, "check inter 100ms rise 1 fall 1")
        .server(&b, "check inter 100ms rise 1 fall 1 backup")
        .start();
    a.answer_checks(503);
    proxy.wait_for("Server app/alpha is DOWN");
    let page = in_browser(&proxy.url("http", "stats", "/haproxy?stats"));
    for part in ["alpha", "beta", "DOWN", "UP", "L7STS", "503", "web", "app"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // Nothing is fetched from elsewhere.
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "{page}");
}

#[test]
fn a_listener_counts_beside_its_frontend() {
    let a = Origin::named("a");
    let site = Site::http().frontend("option socket-stats").frontend("http-request deny if { path /no }");
    let proxy = site.server(&a, "").start();
    proxy.get("/");
    proxy.get("/no");
    let counted = |name: &str| {
        let stat = proxy.admin("show stat");
        let row = stat.lines().find(|line| line.starts_with(&format!("web,{name},")));
        let cells: Vec<String> = row.unwrap_or_default().split(',').map(str::to_owned).collect();
        // bin, bout, dreq, dresp, ereq
        cells.get(8..13).map(<[String]>::to_vec).unwrap_or_default()
    };
    let frontend = eventually("both requests are counted", || Some(counted("FRONTEND")).filter(|row| row[2] == "1"));
    assert_ne!(frontend[0], "0");
    assert_eq!(counted(&proxy.address("web").to_string()), frontend);
}

/// Scripts take every row that is neither FRONTEND nor BACKEND for a server.
#[test]
fn listeners_are_reported_where_they_are_asked_for() {
    let a = Origin::named("a");
    let site = with_stats(&[
        "option socket-stats",
        "http-request use-service prometheus-exporter if { path /metrics }",
        "stats uri /",
    ]);
    let proxy = site.server(&a, "").start();
    let rows = |command: &str| {
        let stat = proxy.admin(command);
        let rows = stat.lines().filter(|line| line.contains(',') && !line.starts_with('#'));
        let name = |row: &str| row.split(',').take(2).collect::<Vec<_>>().join(",");
        rows.map(name).collect::<Vec<_>>()
    };
    let listener = format!("stats,{}", proxy.address("stats"));
    let mut all = rows("show stat");
    assert!(all.contains(&listener), "{all:?}");
    all.retain(|row| *row != listener);
    let expected = ["web,FRONTEND", "stats,FRONTEND", "app,a", "app,BACKEND"];
    assert_eq!(all.iter().filter(|row| expected.contains(&row.as_str())).count(), all.len(), "{all:?}");
    assert_eq!(rows("show stat -1 8 -1"), std::slice::from_ref(&listener));
    assert!(!rows("show stat -1 7 -1").contains(&listener));
    let metrics = get(proxy.address("stats"), "/metrics").text();
    let of_listeners = metrics.lines().filter(|line| line.starts_with("haproxy_listener_"));
    let (shown, others): (Vec<&str>, Vec<&str>) = of_listeners.partition(|line| line.contains("proxy=\"stats\""));
    assert!(!shown.is_empty() && others.is_empty(), "{others:?}");
    let json = proxy.admin("show stat json");
    assert!(json.contains("\"objType\":\"Listener\",\"proxyId\":"));
    let page = get(proxy.address("stats"), "/").text();
    assert!(page.contains(&proxy.address("stats").to_string()));
    assert!(!page.contains(&proxy.address("web").to_string()));
}

#[test]
fn the_page_is_also_served_in_a_frontend_with_traffic() {
    let a = Origin::named("a");
    let proxy = Site::http().frontend("stats uri /haproxy?stats").server(&a, "").start();
    assert_eq!(proxy.get("/").text(), "a");
    let page = proxy.get("/haproxy?stats");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{}", page.head);
    assert_eq!(a.received().len(), 1);
}

#[test]
fn csv_is_in_haproxys_columns() {
    let a = Origin::named("a");
    let proxy = with_stats(&["stats uri /"]).server(&a, "").start();
    let response = get(proxy.address("stats"), "/;csv");
    assert_eq!(response.status, 200);
    let text = response.text();
    assert!(text.starts_with("# pxname,svname,"), "{text}");
    assert_eq!(text.lines().next(), proxy.admin("show stat").lines().next());
    assert!(text.contains("\napp,a,"));
    let json = get(proxy.address("stats"), "/;json");
    let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert!(value.is_array() || value.is_object());
}

#[test]
fn metrics_are_in_prometheus_format() {
    let a = Origin::named("a");
    let proxy =
        with_stats(&["http-request use-service prometheus-exporter if { path /metrics }"]).server(&a, "").start();
    proxy.get("/");
    let response = get(proxy.address("stats"), "/metrics");
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{}", response.head);
    let text = response.text();
    for sample in [
        "haproxy_server_status{proxy=\"app\",server=\"a\",state=\"UP\"} 1",
        "haproxy_server_http_responses_total{proxy=\"app\",server=\"a\",code=\"2xx\"}",
        "haproxy_process_start_time_seconds",
        "haproxy_frontend_status{proxy=\"web\",state=\"UP\"} 1",
    ] {
        assert!(text.contains(sample), "{sample} in {text}");
    }
    // Every line is a comment or a name, labels and a number.
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn a_password_is_asked_for() {
    let proxy = with_stats(&["stats uri /", "stats auth admin:secret", "stats realm Proxy\\ state"]).start();
    let refused = get(proxy.address("stats"), "/");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Basic realm=\"Proxy state\"")));
    assert!(!refused.text().contains("web"));
    // admin:wrong, admin:secret
    assert_eq!(get_with(proxy.address("stats"), "/", "Authorization: Basic YWRtaW46d3Jvbmc=\r\n").status, 401);
    assert_eq!(get_with(proxy.address("stats"), "/;csv", "Authorization: Basic YWRtaW46c2VjcmV0\r\n").status, 200);
}

#[test]
fn names_are_escaped() {
    let a = Origin::named("a");
    let proxy = with_stats(&[
        "stats uri /",
        "description \"<b>bold</b> & co\"",
        "stats show-desc \"<script>alert(1)</script>\"",
    ])
    .server(&a, "")
    .start();
    let page = get(proxy.address("stats"), "/").text();
    assert!(!page.contains("<script>alert(1)"), "{page}");
}

#[test]
fn events_stream_changes() {
    let a = Origin::named("a");
    let proxy = with_stats(&["stats uri /"]).server(&a, "").start();
    let mut client = crate::harness::Client::connect(proxy.address("stats"));
    client.send("GET /;events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n");
    let mut lines = Vec::new();
    // Chunks end with CRLF, the events in them with LF.
    while !lines.iter().any(|line: &String| line.contains("\ndata: {")) {
        lines.push(client.line().unwrap());
    }
    assert!(lines[0].contains(" 200 "), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.to_ascii_lowercase().starts_with("content-type: text/event-stream")),
        "{lines:?}"
    );
}

/// Posts the page's form; `headers` are further lines.
fn post(proxy: &Proxy, form: &str, headers: &str) -> crate::harness::Response {
    let mut client = crate::harness::Client::connect(proxy.address("stats"));
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: test.example\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\nConnection: close\r\n{headers}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    client.response()
}

#[test]
fn the_form_changes_states_only_where_admin_is_allowed() {
    let a = Origin::named("a");
    let form = "s=a&action=maint&b=app";
    let open = with_stats(&["stats uri /", "stats auth admin:secret", "stats admin if TRUE"]).server(&a, "").start();
    let closed = with_stats(&["stats uri /", "stats auth admin:secret"]).server(&a, "").start();
    // A page elsewhere that has the operator's browser post is not the operator.
    for (proxy, headers) in
        [(&closed, ""), (&open, "Origin: http://evil.example\r\n"), (&open, "Origin: http://test.example\r\n")]
    {
        let answer = post(proxy, form, headers);
        assert!(answer.header("location").is_some_and(|to| to.ends_with("st=DENY")), "{}", answer.head);
        assert_ne!(crate::admin::stat(proxy, "app", "a", "status"), "MAINT");
    }
    // A script, as HAProxy's users have them.
    let answer = post(&open, form, "");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/;st=DONE")), "{}", answer.head);
    assert_eq!(crate::admin::stat(&open, "app", "a", "status"), "MAINT");
    // The page itself brings its token.
    let page = get_with(open.address("stats"), "/", "Authorization: Basic YWRtaW46c2VjcmV0\r\n").text();
    let token = page
        .split("name=\"token\" value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_else(|| panic!("{page}"));
    let answer = post(&open, &format!("s=a&action=ready&b=app&token={token}"), "Origin: http://test.example\r\n");
    assert_eq!(answer.header("location"), Some("/;st=DONE"));
    assert_ne!(crate::admin::stat(&open, "app", "a", "status"), "MAINT");
}
