//! One TCP session.

use super::connection::Connection;
use super::stream::Stream;

pub(crate) async fn serve(_connection: Connection, _stream: Stream) {}
