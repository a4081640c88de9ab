//! How does the process go to the background, and how does the shell learn whether it worked?
//!
//! The command that was typed waits until its child serves or has failed, and ends with that exit code; only then does
//! the child let go of the terminal, so that what goes wrong at start is still seen.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::process::{Pid, WaitOptions, setsid, waitpid};

use crate::sys::{self, Forked};

pub(crate) enum Side {
    /// The command that was typed: its work is done.
    Terminal(ExitCode),
    /// The process that serves.
    Background(Starting),
}

/// A background process that still holds the terminal.
#[derive(Debug)]
pub(crate) struct Starting {
    report: io::PipeWriter,
    /// Opened early: a jail may have none.
    null: File,
}

/// Forks. Must come before any thread is started.
///
/// # Errors
/// The kernel's: no process, no pipe.
pub(crate) fn go_to_background() -> io::Result<Side> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let (mut reports, report) = io::pipe()?;
    match sys::fork()? {
        Forked::Child => {
            drop(reports);
            setsid()?;
            Ok(Side::Background(Starting { report, null }))
        }
        Forked::Parent { child } => {
            drop(report);
            let mut byte = [0];
            let code = match reports.read(&mut byte) {
                Ok(1) => ExitCode::SUCCESS,
                // The pipe was closed without a word: the child ended.
                _ => exit_code_of(child),
            };
            Ok(Side::Terminal(code))
        }
    }
}

impl Starting {
    /// Lets go of the terminal and tells the waiting command that we serve.
    ///
    /// # Errors
    /// The kernel's: out of descriptors.
    pub fn ready(mut self) -> io::Result<()> {
        sys::replace_stdio(self.null.as_fd())?;
        // A command that was killed meanwhile needs no answer.
        let _ = self.report.write_all(b"r");
        Ok(())
    }
}

fn exit_code_of(child: u32) -> ExitCode {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    let status = waitpid(pid, WaitOptions::empty()).ok().flatten();
    let code = status.and_then(|(_, status)| status.exit_status()).and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.filter(|code| *code != 0).unwrap_or(super::FAILED))
}
