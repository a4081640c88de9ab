//! How many heads in a row has a server sent on a stream, without a body or an end behind them?

use super::{DATA, END_STREAM, Flood, Frame, HEADERS, RST_STREAM};

/// Heads of a server's that one stream may be ahead of its body or end, at once and per second: interim responses, and the
/// final one. HAProxy, which reads no further, has no such number.
pub(super) const HEADS_IN_A_ROW: u32 = 64;
pub(super) const HEADS_PER_SECOND: u32 = 16;
/// Streams whose heads are counted. Of more, those with the fewest are forgotten.
const STREAMS_COUNTED: usize = 1024;

/// Streams that got heads, and how many.
#[derive(Debug, Default)]
pub(super) struct Heads(Vec<(u32, u32)>);

impl Heads {
    /// Takes a frame in. Returns how manieth head in a row it is; 0 when it is none, or the last.
    ///
    /// # Errors
    /// Too many of them.
    pub fn received(&mut self, frame: &Frame) -> Result<u32, Flood> {
        let counted = self.0.iter().position(|(counted, _)| *counted == frame.stream);
        match (frame.kind, counted) {
            (HEADERS, _) if frame.flags & END_STREAM != 0 => {}
            (HEADERS, Some(at)) => {
                let Some((_, count)) = self.0.get_mut(at) else { return Ok(0) };
                *count += 1;
                return if *count > HEADS_IN_A_ROW { Err(Flood) } else { Ok(*count) };
            }
            (HEADERS, None) => {
                self.make_room();
                self.0.push((frame.stream, 1));
                return Ok(1);
            }
            (DATA | RST_STREAM, _) => {}
            _ => return Ok(0),
        }
        if let Some(at) = counted {
            self.0.swap_remove(at);
        }
        Ok(0)
    }

    fn make_room(&mut self) {
        if self.0.len() >= STREAMS_COUNTED
            && let Some(fewest) = (0..self.0.len()).min_by_key(|at| self.0[*at].1)
        {
            self.0.swap_remove(fewest);
        }
    }

    pub fn seconds_passed(&mut self, seconds: u32) {
        let count = seconds.saturating_mul(HEADS_PER_SECOND);
        self.0.iter_mut().for_each(|(_, counted)| *counted = counted.saturating_sub(count));
        self.0.retain(|(_, counted)| *counted > 0);
    }
}
