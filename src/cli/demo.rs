//! x
use std::process::ExitCode;
pub(crate) fn demo(_: &super::args::DemoArgs) -> ExitCode {
    ExitCode::from(super::FAILED)
}
