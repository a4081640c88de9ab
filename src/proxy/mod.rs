//! The workers: IO around the engines.

pub(crate) mod buffers;
pub(crate) mod clock;
pub(crate) mod http2_server;
pub(crate) mod http2_stream;
pub(crate) mod stream;
pub(crate) mod timer;
pub(crate) mod upstream;
pub(crate) mod view;
