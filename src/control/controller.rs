//! Who decides while the proxy runs? One loop over one `enum Event`: every cause of change in one list, handled one
//! after the other on one thread.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::command::{Answer, Command, CommandError};
use super::watch::Watch;
use crate::model::global::AccessLevel;
use crate::state::Shared;
use crate::state::events::PageRequest;

/// Everything that can change something, or ask.
pub(crate) enum Event {
    /// A line of the runtime socket.
    Line(LineRequest),
    /// A stats page or the metrics, asked for through a worker.
    Page(PageRequest),
    /// An order from inside the process.
    Order(Command, oneshot::Sender<Result<Answer, CommandError>>),
}

/// One line of a runtime socket, to be answered with text.
pub(crate) struct LineRequest {
    pub line: String,
    pub level: AccessLevel,
    pub reply: oneshot::Sender<String>,
}

/// How tasks of the control thread reach the controller.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    events: mpsc::Sender<Event>,
}

impl Handle {
    /// Answers a line of the runtime socket. `None` when the process is ending.
    pub async fn ask(&self, line: String, level: AccessLevel) -> Option<String> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Line(LineRequest { line, level, reply })).await.ok()?;
        answer.await.ok()
    }

    /// Has a command executed. `None` when the process is ending.
    pub async fn order(&self, command: Command) -> Option<Result<Answer, CommandError>> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Order(command, reply)).await.ok()?;
        answer.await.ok()
    }
}

pub(crate) struct Controller {
    pub(super) shared: Arc<Shared>,
    pub(super) watch: Watch,
}

impl Controller {
    /// What reports read.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// [`CommandError`] with HAProxy's text; nothing was changed then.
    pub fn execute(&mut self, command: Command, now: Instant) -> Result<Answer, CommandError> {
        super::execute::execute(self, command, now)
    }
}
