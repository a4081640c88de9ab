//! What does a rule see, and what does it do? Evaluates the trees of `model::rule` against one request or response.
//!
//! Pure: the clock, names and server counts are in [`Facts`]. Fetches that only point into a head allocate nothing.
//! Nothing is parsed here but the messages' own values; `config/expr` did the rest.

mod client_certificate;
mod convert;
mod fetch;
mod first_bytes;
mod format;
mod matching;
mod redirect;
mod run;
mod tcp;
mod value;

pub(crate) use fetch::address_in;
pub(crate) use first_bytes::FirstBytes;
pub(crate) use format::{format, format_bytes};
pub(crate) use matching::holds;
pub(crate) use redirect::redirect_location;
pub(crate) use run::{Handling, Verdict, run_request_rules, run_response_rules};
pub(crate) use tcp::{Changes, TcpVerdict, run_tcp_rules};
pub(crate) use value::Value;

use std::net::SocketAddr;
use std::time::SystemTime;

use crate::http::{RequestHead, ResponseHead};
use crate::model::BackendId;
use crate::model::rule::Expr;
use crate::model::tls::ClientCertificate;
use crate::wire::proxy_protocol::Tlvs;

/// Everything a value can be taken from.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// `None` in a TCP session.
    pub request: Option<&'a RequestHead>,
    /// `None` until there is one.
    pub response: Option<&'a ResponseHead>,
    pub facts: &'a Facts<'a>,
}

/// What is known besides the messages. Built once per connection, updated per exchange.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The client as the PROXY header told it, else the connection's peer; `None` on unix sockets.
    pub src: Option<SocketAddr>,
    /// The address the client reached, likewise.
    pub dst: Option<SocketAddr>,
    /// `None`: the client speaks in clear.
    pub tls: Option<TlsFacts<'a>>,
    pub frontend: &'a str,
    /// `None` until one is chosen; prints the frontend's name then, as HAProxy does.
    pub backend: Option<&'a str>,
    /// `None` until one is chosen; prints `<NOSRV>`.
    pub server: Option<&'a str>,
    /// This machine's name.
    pub hostname: &'a str,
    pub pid: u32,
    pub now: SystemTime,
    pub unique_id: Option<&'a str>,
    /// What a PROXY header told of the client besides addresses.
    pub told: Option<&'a Tlvs>,
    /// What a TCP client has sent so far, where rules may look at it.
    pub first_bytes: Option<&'a FirstBytes<'a>>,
    /// Servers of a backend that could take a request now (`nbsrv`).
    pub usable_servers: &'a dyn Fn(BackendId) -> u32,
}

/// What was agreed with a TLS client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TlsFacts<'a> {
    pub sni: Option<&'a str>,
    pub alpn: Option<&'a [u8]>,
    /// `TLSv1.3`
    pub protocol: &'a str,
    /// `TLS_AES_256_GCM_SHA384`
    pub cipher: &'a str,
    pub resumed: bool,
    /// The certificate the client showed, now or when the session began.
    pub client: Option<&'a ClientCertificate>,
}

/// One value of an expression, the last where there are several. `None`: there is none, which is not the same as empty.
pub(crate) fn eval<'a>(expr: &'a Expr, context: &Context<'a>) -> Option<Value<'a>> {
    let value = fetch::one(&expr.fetch, context)?;
    convert::apply_all(&expr.converters, value)
}

#[cfg(test)]
mod testing;
