//! What does each command change?

use std::time::Instant;

use super::command::{Answer, Command, CommandError};
use super::controller::Controller;

pub(super) fn execute(controller: &mut Controller, command: Command, now: Instant) -> Result<Answer, CommandError> {
    let _ = (controller, command, now);
    Err(CommandError::NoSuchServer)
}
