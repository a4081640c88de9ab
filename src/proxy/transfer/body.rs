//! A response's body on its way from the server to the client: spliced where that is possible and pays, else through one
//! lent buffer.

use std::task::{Context, Poll, ready};

use super::super::buffers::{BODY_BUFFER, BULK_BUFFER, BYTES_IN_A_ROW, PIECE_IN_A_ROW, let_others_run};
use super::super::downstream::Downstream;
use super::{Down, Failure, Transfer};
use crate::logline::Phase;

/// From so many bytes on, moving a head costs less than moving them.
const HEAD_GOES_IN_FRONT: usize = 1024;

impl<D: Downstream> Transfer<'_, '_, D> {
    /// Moves the body on until one side is waited for. Leaves [`Down::Body`] when it is over.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while let Down::Body { reader, unread, data } = &mut self.state {
            if self.response_splicer.held() > 0 {
                ready!(self.push_spliced(cx))?;
            } else if data.start < data.end {
                ready!(self.push_data(cx))?;
            } else if unread.start < unread.end && !reader.is_done() {
                if self.read_in_turn >= BYTES_IN_A_ROW {
                    let_others_run(cx);
                    return Poll::Pending;
                }
                match reader.feed(&self.body[unread.clone()]) {
                    Ok(fed) => {
                        self.read_in_turn += PIECE_IN_A_ROW.saturating_sub(fed.consumed);
                        *data = unread.start + fed.data.start..unread.start + fed.data.end;
                        unread.start += fed.consumed;
                    }
                    Err(_) => self.state = Down::Cut { malformed: true },
                }
            } else if reader.is_done() {
                // What stands behind a finished response was not asked for.
                self.keep_server &= unread.start == unread.end;
                if self.upstream.stream.is_http2() && reader.remaining().is_some() && self.down.takes_trailers() {
                    ready!(self.finish_with_trailers(cx))?;
                    continue;
                }
                self.down.finish(reader.trailers());
                self.state = Down::Flush { switched: false };
            } else if self.read_in_turn >= BYTES_IN_A_ROW {
                let_others_run(cx);
                return Poll::Pending;
            } else {
                ready!(self.refill(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more of the body, by splicing where that is possible and pays.
    fn refill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Down::Body { reader, .. } = &self.state
            && let Some(left) = reader.remaining()
            && self.response_splicer.pays_for(left)
            && self.down.takes_spliced()
            && self.upstream.stream.as_socket().is_some()
            && let Some(filled) = ready!(self.fill_pipe(cx, left))
        {
            return Poll::Ready(filled);
        }
        self.fill_buffer(cx)
    }

    /// `None` when splicing is not possible after all.
    fn fill_pipe(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<Option<Result<(), Failure>>> {
        let buffers = &self.setting.connection.worker.buffers;
        if !self.response_splicer.is_lent() {
            // The head goes out first; what is spliced would overtake it.
            match self.down.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    return Poll::Ready(Some(Err(Failure::ClientGone { phase: Phase::Data })));
                }
                Poll::Pending => {
                    self.wait_for_taker();
                    return Poll::Pending;
                }
            }
            buffers.give(std::mem::take(&mut self.body));
        }
        let (Down::Body { reader, .. }, Some(server)) = (&mut self.state, self.upstream.stream.as_socket()) else {
            return Poll::Ready(None);
        };
        match self.response_splicer.poll_fill(buffers, |pipe| pipe.poll_fill(cx, server, left)) {
            None => return Poll::Ready(None),
            Some(Poll::Ready(Ok(count))) if count > 0 => {
                self.read_in_turn += count;
                reader.skip(count);
                self.server_active();
            }
            Some(Poll::Ready(_)) => self.state = Down::Cut { malformed: false },
            Some(Poll::Pending) => {
                self.wait_for_body();
                return Poll::Pending;
            }
        }
        Poll::Ready(Some(Ok(())))
    }

    /// Gives the client some of what was spliced.
    fn push_spliced(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(pipe) = self.response_splicer.filled() else { return Poll::Ready(Ok(())) };
        match self.down.poll_spliced(cx, pipe) {
            Poll::Ready(Ok(count)) => {
                self.client_deadline = None;
                self.count_spliced(count);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::ClientGone { phase: Phase::Data })),
            Poll::Pending => {
                self.wait_for_taker();
                Poll::Pending
            }
        }
    }

    /// Counts bytes that were delivered without having been copied here.
    pub(super) fn count_spliced(&self, count: usize) {
        self.setting.connection.worker.counts().spliced_bytes.add(count as u64);
    }

    /// The client does not take what there is: this is not the server's time.
    pub(super) fn wait_for_taker(&mut self) {
        self.server_deadline = None;
        self.wait_for_client_to_take();
    }

    fn wait_for_client_to_take(&mut self) {
        if self.client_deadline.is_none() || self.down.took_some() {
            self.client_active();
        }
    }

    /// The client has all there is: until more comes, this is the server's time.
    fn wait_for_body(&mut self) {
        self.client_deadline = None;
        self.server_deadline.is_none().then(|| self.server_active());
    }

    /// Gives the client some of what was read.
    fn push_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Down::Body { data, .. } = &mut self.state else { return Poll::Ready(Ok(())) };
        if data.len() >= HEAD_GOES_IN_FRONT {
            // What was in front of these bytes is done with: the head as the server sent it, or bytes that have gone.
            data.start -= self.down.give_queued(&mut self.body[..data.start]);
        }
        match self.down.poll_data(cx, &self.body[data.clone()]) {
            Poll::Ready(Ok(n)) => {
                data.start += n;
                self.client_deadline = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::ClientGone { phase: Phase::Data })),
            Poll::Pending => {
                self.wait_for_taker();
                Poll::Pending
            }
        }
    }

    /// Ends a body of known length with what stands behind it.
    fn finish_with_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Poll::Ready(trailers) = self.upstream.stream.poll_trailers(cx) else { return self.flush_down(cx) };
        self.down.finish(trailers);
        self.state = Down::Flush { switched: false };
        Poll::Ready(Ok(()))
    }

    /// Reads more of the body; while there is none, what is queued goes out and the buffer back.
    fn fill_buffer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Down::Body { reader, unread, .. } = &mut self.state else { return Poll::Ready(Ok(())) };
        let buffers = &self.setting.connection.worker.buffers;
        self.body.clear();
        if self.is_bulk && self.body.capacity() < BULK_BUFFER {
            buffers.give(std::mem::replace(&mut self.body, buffers.bulk()));
        } else if self.body.capacity() == 0 {
            self.body = buffers.body();
        }
        match self.upstream.stream.poll_read_into(cx, &mut self.body) {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.is_bulk = n >= BODY_BUFFER && self.down.takes_bulk();
                self.read_in_turn += n;
                *unread = 0..n;
                self.server_active();
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(_)) if reader.at_eof().is_ok() => {
                self.keep_server = false;
                self.down.finish(b"");
                self.state = Down::Flush { switched: false };
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(_) => {
                self.state = Down::Cut { malformed: false };
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => buffers.give(std::mem::take(&mut self.body)),
        }
        self.flush_down(cx)
    }

    /// While the server has nothing more, what is queued goes out.
    fn flush_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self.down.poll_flush(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone { phase: Phase::Data })),
            Poll::Ready(Ok(())) => self.wait_for_body(),
            Poll::Pending => self.wait_for_client_to_take(),
        }
        Poll::Pending
    }
}
