//! Does the whole proxy do what an operator expects of it? The built program, real sockets, real peers.
#![allow(clippy::unwrap_used)] // a test that cannot go on shall panic

mod admin;
mod architecture;
mod cache;
mod commands;
mod demo;
mod forwarded;
mod haproxy_cfg;
mod harness;
mod health;
mod http2;
mod http2_clear;
mod http2_floods;
mod http2_servers;
mod http2_streams;
mod http_basic;
mod http_connections;
mod http_framing;
mod http_messages;
mod http_misbehaviour;
mod life_cycle;
mod logs;
mod reload;
mod samples;
mod sockets;
mod stats;
mod tcp;
mod tcp_changes;
mod tcp_rules;
mod terminations;
mod tls;
mod tls_certificates;
mod tls_renewal;
mod uploads;
mod upstreams;
mod websocket_protocols;
