//! From files to a model: `load` reads both languages and reports every error at once.

pub(crate) mod address;
mod certificates;
pub(crate) mod cfg;
pub(crate) mod locate;
mod pem;
pub(crate) mod raw;
pub(crate) mod resolve;
pub(crate) mod words;
