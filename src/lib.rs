//! Lockgate, a health-checking TCP and HTTP reverse proxy. ARCHITECTURE.md is the plan of this house.

#[doc(hidden)]
pub mod bench_api;
pub mod cli;
#[doc(hidden)]
pub use cli::in_process;

pub(crate) mod diag;
pub(crate) mod moment;
pub(crate) mod sys;
pub(crate) mod units;

pub(crate) mod model;

pub(crate) mod balance;
pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod http;
pub(crate) mod logline;
pub(crate) mod rules;
pub(crate) mod wire;

pub(crate) mod state;

pub(crate) mod control;
pub(crate) mod proxy;

#[cfg(test)]
mod haproxy_oracle;
