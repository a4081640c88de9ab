//! x
use super::args::RunArgs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
pub(crate) enum Source {
    Files(Vec<PathBuf>),
    Text { name: Arc<str>, text: String },
}
pub(crate) fn run(_: &super::args::RunArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
pub(crate) fn serve(_: Source, _: &RunArgs, _ready: impl FnOnce()) -> ExitCode {
    ExitCode::from(super::FAILED)
}
