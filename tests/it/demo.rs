//! `lockgate demo`: the first thing a stranger runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{curl, eventually, lockgate};

/// The running demo and the addresses it printed.
struct Demo {
    child: Child,
    web: String,
    secure: String,
    tcp: String,
    stats: String,
    master: String,
}

impl Demo {
    fn start() -> Self {
        let mut child = lockgate().arg("demo").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut text = String::new();
        while !text.contains("Ctrl-C") {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {text}")).unwrap();
            text.push_str(&line);
            text.push('\n');
        }
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let word_after = |start: &str| {
            let line = text
                .lines()
                .map(str::trim)
                .find(|line| line.starts_with(start))
                .unwrap_or_else(|| panic!("{start} in {text}"));
            line[start.len()..].split_whitespace().next().unwrap().to_owned()
        };
        let fail = text.split_whitespace().find(|word| word.ends_with("/fail")).unwrap();
        Demo {
            child,
            web: word_after("HTTP "),
            secure: word_after("HTTPS "),
            tcp: word_after("TCP "),
            stats: word_after("Stats page "),
            master: fail.trim_end_matches("/fail").to_owned(),
        }
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn everything_it_promises_works() {
    let demo = Demo::start();
    assert_eq!(curl(&[&demo.web]), "answered by master\n");
    assert_eq!(curl(&["-k", "--http2", &demo.secure]), "answered by master\n");
    assert_eq!(curl(&[&format!("http://{}/", demo.tcp)]), "answered by master\n");
    assert!(curl(&[&demo.stats]).contains("slave"));
    assert!(curl(&[&format!("{};csv", demo.stats)]).contains("app,slave,"));
    assert!(curl(&[&format!("{}metrics", demo.stats)]).contains("haproxy_server_status"));
    curl(&[&format!("{}/fail", demo.master)]);
    eventually("the slave takes over", || (curl(&[&demo.web]) == "answered by slave\n").then_some(()));
    curl(&[&format!("{}/recover", demo.master)]);
    eventually("the master takes over again", || (curl(&[&demo.web]) == "answered by master\n").then_some(()));
    demo.stop();
}

#[test]
fn two_demos_run_at_the_same_time() {
    let [first, second] = [(); 2].map(|()| Demo::start());
    assert_ne!(first.web, second.web);
    assert_eq!(curl(&[&first.web]), curl(&[&second.web]));
    first.stop();
    second.stop();
}

#[test]
fn its_configuration_can_be_printed_and_checked() {
    let output = lockgate().args(["demo", "--print-config"]).output().unwrap();
    assert!(output.status.success());
    let dir = crate::harness::TempDir::new();
    dir.write("demo.pem", crate::harness::certificate(&["localhost"]).combined());
    let path = dir.write("demo.yaml", output.stdout);
    let check = lockgate().current_dir(dir.path()).arg("check").arg("--strict").arg("-f").arg(path).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
