//! Start, stop and everything a service manager or an init script expects of a process.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Client, DEADLINE, Origin, Process, Reply, Site, TempDir, eventually, lockgate, tool_output};

#[test]
fn every_stop_signal_ends_it_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::USR1, Signal::INT] {
        let mut proxy = Site::http().start_process();
        proxy.signal(signal);
        let exit = proxy.exit();
        assert_eq!(exit.code, Some(0), "{signal:?}: {}", exit.lines);
    }
}

/// An origin that answers `/slow` only when told to.
fn slow_origin() -> (Origin, mpsc::Sender<()>) {
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    let origin = Origin::scripted("a", move |request| {
        if request.target == "/slow" {
            let _ = receiver.lock().unwrap().recv_timeout(DEADLINE);
        }
        Reply::text(200, "done")
    });
    (origin, sender)
}

#[test]
fn a_soft_stop_lets_running_requests_end_and_takes_no_new_connections() {
    for signal in [Signal::USR1, Signal::TERM] {
        let (a, finish) = slow_origin();
        let mut proxy = Site::http().server(&a, "").start_process();
        let address = proxy.address("web");
        let mut client = Client::connect(address);
        client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        a.wait_for_requests(1);
        proxy.signal(signal);
        eventually("the port is closed", || std::net::TcpStream::connect(address).err());
        finish.send(()).unwrap();
        let response = client.response();
        assert_eq!(response.text(), "done");
        assert!(client.is_closed());
        assert_eq!(proxy.exit().code, Some(0));
    }
}

#[test]
fn an_interrupt_does_not_wait() {
    let (a, _finish) = slow_origin();
    let mut proxy = Site::http().server(&a, "").start_process();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    a.wait_for_requests(1);
    proxy.signal(Signal::INT);
    assert_eq!(proxy.exit().code, Some(0));
    // Cut, or told so.
    assert!(client.try_response("GET").map_or(true, |response| response.status == 503));
}

#[test]
fn a_soft_stop_has_a_deadline() {
    let (a, _finish) = slow_origin();
    let mut proxy = Site::http().global("hard-stop-after 300ms").server(&a, "").start_process();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    a.wait_for_requests(1);
    proxy.signal(Signal::USR1);
    assert_eq!(proxy.exit().code, Some(0));
}

#[test]
fn a_wrong_configuration_ends_with_1_and_every_error() {
    let mut proxy = Process::spawn(
        "frontend web\n    bnid :80\n    timeout cleint 5s\n    default_backend nope\n",
        TempDir::new(),
        &[],
    );
    let exit = proxy.exit();
    assert_eq!(exit.code, Some(1), "{}", exit.lines);
    for place in ["lockgate.cfg:2:5", "lockgate.cfg:3:", "bind", "client", "nope"] {
        assert!(exit.lines.contains(place), "{place} in {}", exit.lines);
    }
}

#[test]
fn an_address_in_use_ends_with_1_and_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let exit = Process::spawn(&Site::http().bind(&format!("bind {address}")).text(), TempDir::new(), &[]).exit();
    assert_eq!(exit.code, Some(1), "{}", exit.lines);
    assert!(
        exit.lines.contains(&address.to_string()) && exit.lines.to_ascii_lowercase().contains("in use"),
        "{}",
        exit.lines
    );
}

#[test]
fn a_pid_file_is_there_while_it_runs() {
    let mut proxy = Process::start_with(&Site::http().text(), TempDir::new(), &["-p", "run.pid"]);
    let path = proxy.file("run.pid");
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), proxy.pid().to_string());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit().code, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_daemon_returns_when_it_serves_and_leaves_its_pid() {
    let a = Origin::named("a");
    let dir = TempDir::new();
    let mut ports = crate::harness::Ports::default();
    let text = Site::http().server(&a, "").text();
    let text = text.replace("<web>", &ports.get("web").to_string()).replace("<dir>", &dir.path().display().to_string());
    // Log lines would keep our pipe open.
    let file = dir.write("site.cfg", text.replace("log stdout format raw local0", ""));
    let pid_file = dir.path().join("daemon.pid");
    let output =
        lockgate().args(["-D", "-f"]).arg(&file).arg("-p").arg(&pid_file).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // It serves at once: the command only returned when it did.
    let address = (std::net::Ipv4Addr::LOCALHOST, ports.get("web")).into();
    assert_eq!(crate::harness::get(address, "/").text(), "a");
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    eventually("the daemon ends", || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

#[test]
fn a_daemon_that_cannot_start_says_so_to_the_shell() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let exit = Process::spawn(
        &Site::http().bind(&format!("bind {}", taken.local_addr().unwrap())).text(),
        TempDir::new(),
        &["-D"],
    )
    .exit();
    assert_eq!(exit.code, Some(1));
    assert!(exit.lines.to_ascii_lowercase().contains("in use"), "{}", exit.lines);
}

#[test]
fn a_new_process_can_take_over_from_an_old_one() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let shared = TempDir::new();
    let socket = shared.path().join("runtime.sock");
    let site = Site::http().global(&format!("stats socket {} level user", socket.display()));
    let mut old = site.clone().server(&a, "").start_process();
    let port = old.address("web").port();
    let old_pid = old.pid().to_string();
    let new = Process::start_with(
        &site.bind(&format!("bind 127.0.0.1:{port}")).server(&b, "").text(),
        TempDir::new(),
        &["-sf", &old_pid],
    );
    assert_eq!(old.exit().code, Some(0));
    assert_eq!(crate::harness::get((std::net::Ipv4Addr::LOCALHOST, port).into(), "/").text(), "b");
    // The unix socket is the new one's, and the old one did not take it away with itself.
    let mut asking = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    std::io::Write::write_all(&mut asking, b"show info\n").unwrap();
    let answer = std::io::read_to_string(asking).unwrap();
    assert!(answer.contains(&format!("\nPid: {}\n", new.pid())), "{answer}");
}

#[test]
fn a_new_process_takes_over_unix_sockets_or_leaves_them_alone() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let shared = TempDir::new();
    let path = shared.path().join("front.sock");
    let name = format!("lockgate-takeover-{}", std::process::id());
    let site = Site::http()
        .global(&format!("stats socket abns@{name}-runtime level user"))
        .bind(&format!("bind 127.0.0.1:<web>\n    bind unix@{}\n    bind abns@{name}", path.display()));
    let mut old = site.clone().server(&a, "").start_process();
    let old_pid = old.pid().to_string();
    let over = |address: &str| {
        let said = tool_output("socat", &["-t5", "-", address], b"GET / HTTP/1.0\r\n\r\n");
        said.rsplit("\r\n\r\n").next().unwrap().to_owned()
    };
    let over_path = || over(&format!("UNIX-CONNECT:{}", path.display()));
    let over_name = || over(&format!("ABSTRACT-CONNECT:{name},unix-tightsocklen=0"));
    // One that cannot start, for a port that somebody else has, takes nothing away.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let failing = site.clone().bind(&format!(
        "bind unix@{}\n    bind abns@{name}\n    bind {}",
        path.display(),
        taken.local_addr().unwrap()
    ));
    let failing = failing.server(&b, "").text().replace("<dir>", &shared.path().display().to_string());
    let file = shared.write("failing.cfg", failing);
    let failed = lockgate().arg("-f").arg(file).args(["-sf", &old_pid]).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(failed.status.code() == Some(1) && said.contains("Address already in use"), "{said}");
    assert_eq!((over_path(), over_name()), ("a".to_owned(), "a".to_owned()));
    // The old one still has a connection when its abstract name goes to the new one.
    let mut client = Client::connect(old.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n");
    let new = Process::start_with(&site.server(&b, "").text(), TempDir::new(), &["-sf", &old_pid]);
    new.address("web");
    client.send("\r\n");
    assert_eq!(client.response().text(), "a");
    assert_eq!(old.exit().code, Some(0));
    assert_eq!((over_path(), over_name()), ("b".to_owned(), "b".to_owned()));
}

#[test]
fn systemd_hears_ready_reloading_and_stopping() {
    let dir = TempDir::new();
    let path = dir.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut ports = crate::harness::Ports::default();
    let text = Site::http()
        .text()
        .replace("<web>", &ports.get("web").to_string())
        .replace("<dir>", &dir.path().display().to_string());
    let file = dir.write("site.cfg", text);
    let mut child = lockgate()
        .args(["-Ws", "-f"])
        .arg(file)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "4000000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = |what: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.contains(what) {
                return message;
            }
        }
    };
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::HUP).unwrap();
    assert!(wait_for("RELOADING=1").contains("MONOTONIC_USEC="));
    wait_for("READY=1");
    kill_process(pid, Signal::TERM).unwrap();
    wait_for("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn root_is_given_up_for_good_and_reloads_work_all_the_same() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let dir = TempDir::new();
    std::fs::create_dir(dir.path().join("jail")).unwrap();
    let site = Site::http().global("user nobody").global("group nogroup").global("chroot <dir>/jail");
    if !rustix::process::geteuid().is_root() {
        // Who is not root has nothing to give up, and must not serve as if it had.
        let exit = Process::spawn(&site.server(&a, "").text(), dir, &[]).exit();
        assert_eq!(exit.code, Some(1));
        assert!(exit.lines.contains("cannot give up privileges"), "{}", exit.lines);
        return;
    }
    let mut proxy = Process::start_with(&site.clone().server(&a, "").text(), dir, &[]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap();
    for task in tasks.map(|task| task.unwrap().path()) {
        let status = std::fs::read_to_string(task.join("status")).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert_eq!(field("Uid:"), "65534\t65534\t65534\t65534");
        assert_eq!(field("Groups:"), "");
        assert!(std::fs::read_link(task.join("root")).unwrap().ends_with("jail"));
        if field("Name:").starts_with("worker") {
            assert_eq!(field("CapPrm:"), "0000000000000000");
        }
    }
    // The file is root's and outside the jail.
    proxy.rewrite(&site.server(&b, "").text());
    proxy.signal(Signal::HUP);
    proxy.wait_for("generation 2");
    assert_eq!(proxy.get("/").text(), "b");
}

#[test]
fn a_second_termination_does_not_wait() {
    let (a, _finish) = slow_origin();
    let mut proxy = Site::http().server(&a, "").start_process();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    a.wait_for_requests(1);
    proxy.signal(Signal::TERM);
    proxy.wait_for("finishing 1 connection");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit().code, Some(0));
}
