//! Where finished log lines leave the process, without ever making a worker wait.

/// The open targets of one proxy.
#[derive(Debug, Default)]
pub(crate) struct LogSinks {}
