//! Other protocols on the wire: PROXY headers, TLS hellos, check dialogs. Pure: bytes in, bytes out.

pub(crate) mod check_dialog;
pub(crate) mod client_hello;
pub(crate) mod http2_frames;
pub(crate) mod proxy_protocol;
pub(crate) mod websocket;
