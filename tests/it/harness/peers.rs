//! Real programs at the other end: curl, openssl and Debian's haproxy. They are not optional: what is missing fails.

use std::ffi::OsStr;
use std::io::Write;
use std::ops::Deref;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use super::{Client, Instance, TempDir, eventually};

/// Runs a program to its end, `input` on its stdin.
#[track_caller]
pub fn run_tool(program: &str, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; install it, see README.md"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("its output");
    // A program that does not read to the end is free not to.
    let _ = writer.join();
    output
}

/// Stdout and stderr of a program together, as text.
#[track_caller]
pub fn tool_output(program: &str, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> String {
    let output = run_tool(program, arguments, input);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `curl` prints; it must succeed.
#[track_caller]
pub fn curl(arguments: &[&str]) -> String {
    let output = run_tool("curl", &[&["-sS", "--max-time", "20", "--noproxy", "*"], arguments].concat(), b"");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Debian's haproxy on the same kind of configuration: what it does is what its users expect.
pub struct Haproxy {
    child: Child,
    instance: Instance,
}

/// The addresses of a configuration's `bind` lines.
fn binds(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("bind ")?.split_whitespace().next())
}

/// As the kernel says (proc(5), `/proc/net`), so that nobody has to connect: that would be counted.
fn is_listened_at(bind: &str) -> bool {
    let lines = |file: &str| std::fs::read_to_string(file).expect("Linux");
    match bind.strip_prefix("abns@") {
        // The names of abstract sockets begin with a zero and are filled up with them; each is shown as `@`.
        Some(name) => lines("/proc/net/unix").lines().any(|line| {
            let (front, shown) = line.rsplit_once(" @").unwrap_or_default();
            shown.trim_end_matches('@') == name && front.contains(" 00010000 ")
        }),
        None => {
            let port: u16 = bind.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
            let listens = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
                    && words.get(3) == Some(&"0A")
            };
            ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|file| lines(file).lines().any(listens))
        }
    }
}

impl Haproxy {
    #[track_caller]
    pub fn start(config: &str) -> Self {
        let instance = Instance::prepare(config, TempDir::new());
        let mut child = Command::new("haproxy")
            .args([OsStr::new("-db"), OsStr::new("-f"), instance.config().as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("haproxy: {error}; install it, see README.md"));
        instance.listen_to(child.stdout.take().expect("a pipe"));
        let text = std::fs::read_to_string(instance.config()).expect("its configuration");
        let haproxy = Haproxy { child, instance };
        // One after the other: that the first takes connections says nothing about the last.
        eventually("haproxy listens", || binds(&text).all(is_listened_at).then_some(()));
        haproxy
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address("web"))
    }
}

impl Deref for Haproxy {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
