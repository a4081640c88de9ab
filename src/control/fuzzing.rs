//! How do fuzz targets talk to a controller? In memory, to the end, within one call.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::admin;
use super::controller::{Controller, EVENTS, Event, Handle};
use crate::model::global::AccessLevel;
use crate::state::events::PageRequest;

/// Answers as on the control thread, among its tasks.
pub(crate) fn answer_page(controller: &mut Controller, request: PageRequest) {
    let tasks = LocalSet::new();
    let _entered = tasks.enter();
    controller.answer_page(request, Instant::now());
}

/// What a form of the page brings back, as it stands in the form.
pub(crate) fn token(controller: &Controller) -> String {
    format!("token={}", controller.desk.token())
}

/// A whole conversation on the runtime socket: these bytes, then the end.
pub(crate) fn converse(mut controller: Controller, level: AccessLevel, said: &[u8]) -> Vec<u8> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let (events, mut incoming) = mpsc::channel(EVENTS);
        let (mut near, far) = duplex(said.len().max(1));
        // A short pipe takes all of it at once: nobody reads yet.
        let _ = near.write_all(said).await;
        let _ = near.shutdown().await;
        let session = admin::converse(far, level, Handle::to(events));
        let answering = async {
            while let Some(event) = incoming.recv().await {
                if let Event::Line(request) = event {
                    controller.answer_line(request, Instant::now());
                }
            }
        };
        let mut answers = Vec::new();
        let reading = near.read_to_end(&mut answers);
        let _ = tokio::join!(session, answering, reading);
        answers
    })
}
