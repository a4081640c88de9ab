//! The built `lockgate`, started as an operator starts it: for stories of signals, exit codes and command lines.

use std::ffi::OsStr;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::instance::{Instance, filled, is_yaml};
use super::{Ports, TempDir, eventually};

/// Said on stderr when every address is bound and served.
const READY: &str = "serving";

/// How a run ended.
#[derive(Debug)]
pub struct Exit {
    pub code: Option<i32>,
    pub lines: String,
}

pub struct Process {
    child: Child,
    instance: Instance,
}

impl Process {
    /// Runs a configuration until it serves; placeholders as in [`Instance::prepare`].
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Process::start_with(config, TempDir::new(), &[])
    }

    /// As [`Self::start`], with files already in the directory and more words on the command line.
    #[track_caller]
    pub fn start_with(config: &str, dir: TempDir, arguments: &[&str]) -> Self {
        let process = Process::spawn(config, dir, arguments);
        process.wait_for(READY);
        process
    }

    /// Starts it and does not wait, for starts that shall fail.
    #[track_caller]
    pub fn spawn(config: &str, dir: TempDir, arguments: &[&str]) -> Self {
        let instance = Instance::prepare(config, dir);
        let mut command = lockgate();
        command.arg("-f").arg(instance.config()).args(arguments).current_dir(instance.file(""));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the built binary");
        instance.listen_to(child.stdout.take().expect("a pipe"));
        instance.listen_to(child.stderr.take().expect("a pipe"));
        Process { child, instance }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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
        eventually("its output ends", || self.has_fallen_silent().then_some(()));
        Exit { code: status.code(), lines: self.said() }
    }
}

impl Deref for Process {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Instance {
        &mut self.instance
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The built program, with nothing of the caller's environment that could change what it does.
pub fn lockgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG").env("NO_COLOR", "1").env("RUST_BACKTRACE", "1");
    command
}

/// `lockgate check` on this text; placeholders as in [`Instance::prepare`].
#[track_caller]
pub fn check_config(config: &str, dir: &TempDir, arguments: &[impl AsRef<OsStr>]) -> Output {
    let text = filled(config, &mut Ports::default(), dir.path());
    let file = dir.write(if is_yaml(&text) { "checked.yaml" } else { "checked.cfg" }, text);
    lockgate().arg("check").arg("-f").arg(file).args(arguments).output().expect("the built binary")
}
