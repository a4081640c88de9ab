//! From files to a model: `load` reads both languages and reports every error at once.

pub(crate) mod locate;
pub(crate) mod raw;
pub(crate) mod words;
mod certificates;
mod pem;
