//! What a running proxy looks like from outside, whether it has a process of its own, lives in the test's or is HAProxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{DEADLINE, POLL, Ports, Response, TempDir, get};

/// Its ports, its files and what it has said.
pub struct Instance {
    ports: Ports,
    dir: TempDir,
    config: PathBuf,
    lines: Arc<Lines>,
}

/// What was said so far, log lines and messages together.
#[derive(Default)]
struct Lines {
    text: Mutex<String>,
    grown: Condvar,
}

impl Instance {
    /// Writes the configuration. In the text `<name>` is a port reserved under that name, `<dir>` a directory for files.
    pub(super) fn prepare(config: &str, dir: TempDir) -> Self {
        let mut ports = Ports::default();
        let text = filled(config, &mut ports, dir.path());
        let config = dir.write(if is_yaml(&text) { "lockgate.yaml" } else { "lockgate.cfg" }, &text);
        Instance { ports, dir, config, lines: Arc::default() }
    }

    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[track_caller]
    pub fn address(&self, port: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.known(port)).into()
    }

    #[track_caller]
    pub fn url(&self, scheme: &str, port: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address(port))
    }

    /// One GET to the port called `web`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        get(self.address("web"), path)
    }

    /// The bodies of several GETs, one connection each.
    #[track_caller]
    pub fn get_times(&self, times: usize, path: &str) -> Vec<String> {
        (0..times).map(|_| self.get(path).text()).collect()
    }

    /// Everything said so far.
    pub fn said(&self) -> String {
        self.lines.text.lock().unwrap().clone()
    }

    /// Nobody is left who could say more.
    pub(super) fn has_fallen_silent(&self) -> bool {
        Arc::strong_count(&self.lines) == 1
    }

    /// Waits until this was said, and gives the line it is in.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits until `count` lines contain this, and gives the last of them.
    #[track_caller]
    pub fn wait_for_nth(&self, text: &str, count: usize) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            let silent = self.has_fallen_silent();
            let said = self.said();
            if let Some(line) = said.lines().filter(|line| line.contains(text)).nth(count - 1) {
                return line.to_owned();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !silent, "never said {text:?} (ended: {silent}); said:\n{said}");
            self.lines.wait_for_more(said.len(), left.min(POLL * 10));
        }
    }

    /// Writes another configuration into the same file; takes effect at the next reload.
    pub fn rewrite(&mut self, config: &str) {
        let text = filled(config, &mut self.ports, self.dir.path());
        std::fs::write(&self.config, text).expect("the configuration file");
    }

    /// Sends one line to the runtime socket `<dir>/admin.sock` and gives the whole answer.
    #[track_caller]
    pub fn admin(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.file("admin.sock")).expect("the runtime socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        socket.write_all(format!("{command}\n").as_bytes()).expect("the socket reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Takes in what comes out of a pipe, until all who could write there have gone.
    pub(super) fn listen_to(&self, pipe: impl Read + Send + 'static) {
        let lines = Arc::clone(&self.lines);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                lines.text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                lines.grown.notify_all();
                line.clear();
            }
        });
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {} said:\n{}---", self.config.display(), self.said());
        }
    }
}

impl Lines {
    /// Returns when more than `seen` bytes were said, or after `limit`.
    fn wait_for_more(&self, seen: usize, limit: Duration) {
        let text = self.text.lock().unwrap();
        let _ = self.grown.wait_timeout_while(text, limit, |text| text.len() <= seen).unwrap();
    }
}

pub(super) fn is_yaml(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .is_some_and(|line| line.ends_with(':'))
}

/// Replaces `<dir>` and `<port name>`.
pub(super) fn filled(config: &str, ports: &mut Ports, dir: &Path) -> String {
    let mut text = String::new();
    let mut rest = config;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let name = after.split('>').next().unwrap_or_default();
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match (is_name && after.len() > name.len(), name) {
            (true, "dir") => text.push_str(&dir.display().to_string()),
            (true, _) => text.push_str(&ports.get(name).to_string()),
            (false, _) => {
                text.push('<');
                rest = after;
                continue;
            }
        }
        rest = &after[name.len() + 1..];
    }
    text + rest
}
