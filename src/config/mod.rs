//! From files to a model: both languages are read into [`raw`], [`resolve`] makes the model, every error is told at once.

pub(crate) mod address;
mod certificates;
pub(crate) mod cfg;
pub(crate) mod expr;
mod load;
pub(crate) mod locate;
mod merge;
mod pem;
pub(crate) mod raw;
pub(crate) mod resolve;
pub(crate) mod words;
pub(crate) mod yaml;

#[cfg(test)]
mod golden;

pub(crate) use certificates::{ReadAgain, load_again, look_at, ocsp_identifier};
pub(crate) use load::{Loaded, load, load_text, read_files};
pub(crate) use resolve::detection_time;
pub(crate) use yaml::json_schema;

/// For `fuzz/`: what a file named by `crt`, `crt-list` or `ca-file` may hold, and an OCSP answer.
pub(crate) fn fuzz_pem(data: &[u8]) {
    let _ = pem::parse(data);
    certificates::fuzz(data);
}
