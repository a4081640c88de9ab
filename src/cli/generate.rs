//! What is printed from the command line's own definition: version, completions, manual pages, the schema.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::{FAILED, output};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn version() -> ExitCode {
    printed(output::print(&format!("Lockgate version {VERSION}\n")))
}

/// `-vv`: what one wants to know of somebody else's installation.
pub(crate) fn version_and_build() -> ExitCode {
    printed(output::print(&format!(
        "Lockgate version {VERSION}\n\
         Built for {} {}, {}\n\
         Configuration languages: haproxy.cfg, YAML\n\
         TLS: rustls with aws-lc-rs (TLS 1.2, TLS 1.3)\n\
         Protocols: TCP, HTTP/1.0, HTTP/1.1, HTTP/2 (over TLS), PROXY v1 and v2\n\
         Event loop: epoll, one per worker thread\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        if cfg!(debug_assertions) { "debug build" } else { "release build" },
    )))
}

pub(crate) fn schema() -> ExitCode {
    printed(output::print(&format!("{:#}\n", crate::config::json_schema())))
}

pub(crate) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lockgate", &mut text);
    printed(output::print(&String::from_utf8_lossy(&text)))
}

/// The main page to stdout, or all pages as files of a directory, which is made.
pub(crate) fn man(dir: Option<&Path>) -> ExitCode {
    let result = match dir {
        Some(dir) => std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir)),
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut text)
                .and_then(|()| output::print(&String::from_utf8_lossy(&text)))
        }
    };
    printed(result)
}

/// The exit code of having printed.
pub(crate) fn printed(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `lockgate man | head`: the reader has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output::talk(&format!("lockgate: cannot write: {error}"));
            ExitCode::from(FAILED)
        }
    }
}
