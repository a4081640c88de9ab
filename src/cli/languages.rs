//! From HAProxy's language to the native one: what a haproxy.cfg says as YAML, and which of its words are known.

use std::fmt::Write;
use std::process::ExitCode;

use super::args::ConfigArgs;
use super::{FAILED, generate, output, source};
use crate::config::cfg::{self, Status};
use crate::config::read_files;

/// Prints the native form of a configuration. Nothing is looked up or followed, so it can be done on any machine.
pub(crate) fn convert(args: &ConfigArgs) -> ExitCode {
    if let Err(error) = source::enter_directory(args) {
        output::talk(&error);
        return ExitCode::from(FAILED);
    }
    let written = read_files(&args.files);
    source::tell_found(&written.diagnostics, &written.sources);
    if written.diagnostics.has_errors() {
        output::talk("nothing was converted");
        return ExitCode::from(FAILED);
    }
    match written.raw.to_yaml() {
        Ok(yaml) => generate::printed(output::print(&yaml)),
        Err(error) => {
            output::talk(&format!("lockgate: cannot write it as YAML: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints every keyword of haproxy.cfg and what becomes of it: group, keyword, status, remark, split by tabs.
pub(crate) fn keywords() -> ExitCode {
    let mut text = String::new();
    for keyword in cfg::keywords() {
        let (status, remark) = match keyword.status {
            Status::Built => ("built", ""),
            Status::NoEffect(why) => ("no effect", why),
            Status::Told(why) => ("no effect, warned", why),
            Status::NotBuilt(why) => ("not built yet", why),
            Status::Refused(why) => ("refused", why),
        };
        let _ = writeln!(text, "{}\t{}\t{status}\t{remark}", keyword.group, keyword.name);
    }
    generate::printed(output::print(&text))
}
