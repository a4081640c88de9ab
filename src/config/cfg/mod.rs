//! How does a haproxy.cfg become what the native schema says? (HAProxy manual chapters 2 to 5)
//!
//! An adapter: lines are cut into words, every keyword is looked up in a table ([`table`]), and its row either fills
//! the native schema, or says why the keyword has no effect here, is not built yet, or was removed. A keyword without
//! a row is an error with the nearest known one. Nothing is ignored silently, and one error does not hide the next.
//!
//! What HAProxy means without a word and the native language does not is written out (`check: {type: tcp}`, units of
//! times), so that the result can be written as YAML and still means the same.

mod args;
mod assemble;
mod bind;
mod check;
mod conditional;
mod dial;
mod draft;
mod global;
mod global_others;
mod http_rules;
mod lines;
mod log;
mod options;
mod places;
mod proxy;
mod reader;
mod sections;
mod server;
mod stats;
mod table;
mod tcp_rules;
mod tls;
mod traffic;

pub(crate) use reader::{Environment, read};
pub(crate) use sections::is_section;
pub(crate) use table::{Status, keywords};
