//! What do the frames both ways say about a client's streams? Which it has still to end, and which requests the library
//! refused without handing them out: it has no other way to tell.

use super::{DATA, END_STREAM, Frame, HEADERS, REFUSED_STREAM, RST_STREAM};

/// Streams a client may have open here; of what is more nothing is known.
const STREAMS: usize = 1024;

/// What the frames both ways say about a client's streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// The last one it opened.
    last: u32,
    /// Opened, and not ended by the client.
    sending: Vec<u32>,
    /// Opened by what was read last, and not yet seen as a request.
    opened: Vec<u32>,
    /// Opened, and answered by the library without anybody having seen a request.
    refused: Vec<(u32, Refusal)>,
}

/// How the library got rid of a request that it did not hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was malformed (§8.1.1): the stream was reset.
    Malformed,
    /// Its head was larger than a head may be: 431.
    TooLarge,
}

impl Streams {
    /// The client has not ended all it has opened.
    pub fn is_sending(&self) -> bool {
        !self.sending.is_empty()
    }

    pub fn received(&mut self, frame: &Frame) {
        let opens = frame.kind == HEADERS && frame.stream > self.last;
        let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        if opens {
            self.last = frame.stream;
            note(&mut self.opened, frame.stream);
        }
        match (opens, ends) {
            (true, false) => note(&mut self.sending, frame.stream),
            (false, true) => _ = forget(&mut self.sending, frame.stream),
            _ if frame.kind == RST_STREAM => {
                forget(&mut self.sending, frame.stream);
                forget(&mut self.opened, frame.stream);
            }
            _ => {}
        }
    }

    pub fn sent(&mut self, frame: &Frame) {
        let refusal = match frame.kind {
            RST_STREAM => {
                forget(&mut self.sending, frame.stream);
                Some(Refusal::Malformed).filter(|_| frame.reason != REFUSED_STREAM)
            }
            HEADERS => Some(Refusal::TooLarge),
            _ => return,
        };
        // Whoever has seen the request tells of it.
        if forget(&mut self.opened, frame.stream)
            && let Some(refusal) = refusal
        {
            self.refused.push((frame.stream, refusal));
        }
    }

    /// A request is handed out, on the stream that is asked for if that matters.
    pub fn hand_out(&mut self, stream: impl FnOnce() -> u32) {
        if !self.refused.is_empty() {
            let stream = stream(); // reset before it could be handed out
            self.refused.retain(|(refused, _)| *refused != stream);
        }
    }

    pub fn next_refusal(&mut self) -> Option<Refusal> {
        self.refused.pop().map(|(_, refusal)| refusal)
    }

    /// All that is to be refused of what came has been. `is_amid`: but for the last one, whose head is not complete.
    pub fn settle(&mut self, is_amid: bool) {
        let last = self.last;
        self.opened.retain(|stream| is_amid && *stream == last);
    }
}

fn note(streams: &mut Vec<u32>, stream: u32) {
    if streams.len() < STREAMS {
        streams.push(stream);
    }
}

/// Whether it was there.
fn forget(streams: &mut Vec<u32>, stream: u32) -> bool {
    let at = streams.iter().rposition(|known| *known == stream);
    at.map(|at| streams.swap_remove(at)).is_some()
}
