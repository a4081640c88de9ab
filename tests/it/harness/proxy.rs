//! The built `lockgate`, started as an operator starts it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{DEADLINE, Ports, Response, TempDir, eventually, get};

/// Said on stderr when every address is bound and served.
const READY: &str = "serving";

/// How a run ended.
#[derive(Debug)]
pub struct Exit {
    pub code: Option<i32>,
    pub lines: String,
}

pub struct Proxy {
    child: Child,
    ports: Ports,
    dir: TempDir,
    config: PathBuf,
    lines: Arc<Lines>,
}

/// What the process has said so far, on stdout and stderr together.
#[derive(Default)]
struct Lines {
    text: Mutex<String>,
    grown: Condvar,
}

impl Proxy {
    /// Runs a configuration until it serves. In the text `<name>` is a port reserved under that name, `<dir>` a
    /// directory for files.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Proxy::start_with(config, TempDir::new(), &[])
    }

    /// As [`Self::start`], with files already in the directory and more words on the command line.
    #[track_caller]
    pub fn start_with(config: &str, dir: TempDir, arguments: &[&str]) -> Self {
        let mut proxy = Proxy::spawn(config, dir, arguments);
        proxy.wait_for(READY);
        proxy
    }

    /// Starts it and does not wait, for starts that shall fail.
    #[track_caller]
    pub fn spawn(config: &str, dir: TempDir, arguments: &[&str]) -> Self {
        let mut ports = Ports::default();
        let text = filled(config, &mut ports, dir.path());
        let file = dir.write(if is_yaml(&text) { "lockgate.yaml" } else { "lockgate.cfg" }, &text);
        let mut command = lockgate();
        command.arg("-f").arg(&file).args(arguments).current_dir(dir.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the built binary");
        let lines = Arc::new(Lines::default());
        lines.follow(child.stdout.take().expect("a pipe"));
        lines.follow(child.stderr.take().expect("a pipe"));
        Proxy { child, ports, dir, config: file, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// Waits until this was said, and gives the line it is in.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits until `count` lines contain this, and gives the last of them.
    #[track_caller]
    pub fn wait_for_nth(&mut self, text: &str, count: usize) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            let ended = self.child.try_wait().ok().flatten();
            let all_said = Arc::strong_count(&self.lines) == 1;
            let said = self.said();
            if let Some(line) = said.lines().filter(|line| line.contains(text)).nth(count - 1) {
                return line.to_owned();
            }
            let left = until.saturating_duration_since(Instant::now());
            let over = left.is_zero() || (ended.is_some() && all_said);
            assert!(!over, "never said {text:?} ({ended:?}); said:\n{said}");
            self.lines.wait_for_more(said.len(), left.min(super::POLL * 10));
        }
    }

    /// Writes another configuration into the same file; takes effect at the next reload.
    pub fn rewrite(&mut self, config: &str) {
        let text = filled(config, &mut self.ports, self.dir.path());
        std::fs::write(&self.config, text).expect("the configuration file");
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a pid");
        kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn exit(&mut self) -> Exit {
        let status = eventually(&format!("the process ends; it said:\n{}", self.said()), || {
            self.child.try_wait().ok().flatten()
        });
        eventually("its output ends", || (Arc::strong_count(&self.lines) == 1).then_some(()));
        Exit { code: status.code(), lines: self.said() }
    }

    /// Sends one line to the runtime socket `<dir>/admin.sock` and gives the whole answer.
    #[track_caller]
    pub fn admin(&self, command: &str) -> String {
        use std::io::Write;
        let mut socket = std::os::unix::net::UnixStream::connect(self.file("admin.sock")).expect("the runtime socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        socket.write_all(format!("{command}\n").as_bytes()).expect("the socket reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- lockgate said:\n{}---", self.said());
        }
    }
}

impl Lines {
    /// Returns when more than `seen` bytes were said, or after `limit`.
    fn wait_for_more(&self, seen: usize, limit: std::time::Duration) {
        let text = self.text.lock().unwrap();
        let _ = self.grown.wait_timeout_while(text, limit, |text| text.len() <= seen).unwrap();
    }

    fn follow(self: &Arc<Self>, pipe: impl Read + Send + 'static) {
        let lines = Arc::clone(self);
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

/// The built program, with nothing of the caller's environment that could change what it does.
pub fn lockgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG").env("NO_COLOR", "1").env("RUST_BACKTRACE", "1");
    command
}

/// `lockgate check` on this text; placeholders as in [`Proxy::start`].
#[track_caller]
pub fn check_config(config: &str, dir: &TempDir, arguments: &[impl AsRef<OsStr>]) -> Output {
    let text = filled(config, &mut Ports::default(), dir.path());
    let file = dir.write(if is_yaml(&text) { "checked.yaml" } else { "checked.cfg" }, text);
    lockgate().arg("check").arg("-f").arg(file).args(arguments).output().expect("the built binary")
}

fn is_yaml(text: &str) -> bool {
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
