//! Does what was written make one whole configuration? From [`raw`] to [`model`], with all errors collected.
//!
//! Follows references, inherits defaults, reads certificates and error pages, looks names up, and fills in what
//! HAProxy's manual says is meant when nothing is said. What comes out needs no further checking; what is only odd
//! comes out with a warning (see `lints`). One unit per kind of thing; `Context` is what they share.
//!
//! [`raw`]: super::raw
//! [`model`]: crate::model

mod accounts;
mod backend;
mod bind;
mod check;
mod context;
mod dial;
mod error_pages;
mod forwarded;
mod frontend;
mod global;
mod http;
mod layers;
mod lints;
mod logs;
mod rules;
mod server;
mod stats;
mod tcp;
mod tls;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::locate::Locate;
use super::raw;
use crate::diag::Diagnostics;
use crate::model::{Backend, BackendId, Config, FrontendId};

pub(crate) use check::detection_time;
pub(crate) use context::Surroundings;
use context::{Context, Section};

/// Makes the configuration that was written into the one that is run. `None` when there was an error; everything
/// found, warnings too, is added to `diagnostics`.
pub(crate) fn resolve(raw: &raw::Config, locate: &dyn Locate, diagnostics: &mut Diagnostics) -> Option<Config> {
    resolve_in(raw, locate, diagnostics, &Surroundings::of_this_machine())
}

/// The same, on a machine described by `surroundings`.
pub(crate) fn resolve_in(
    raw: &raw::Config,
    locate: &dyn Locate,
    diagnostics: &mut Diagnostics,
    surroundings: &Surroundings,
) -> Option<Config> {
    let errors_before = diagnostics.errors();
    let context = Context::new(raw, locate, diagnostics, surroundings);
    let mut sections = context.sections();
    for section in sections.iter_mut().filter(|section| section.has_frontend()) {
        section.mode = frontend::mode(&context, section);
    }
    let global = global::resolve(&context);
    let mut frontends = Vec::new();
    for section in sections.iter().filter(|section| section.has_frontend()) {
        let id = FrontendId(u32::try_from(frontends.len()).unwrap_or(u32::MAX));
        frontends.push(frontend::resolve(&context, section, id, &global));
    }
    bind::refuse_duplicates(&context, &frontends);
    let mut backends: Vec<Backend> = Vec::new();
    for section in sections.iter().filter(|section| section.has_backend()) {
        let id = BackendId(u32::try_from(backends.len()).unwrap_or(u32::MAX));
        backends.push(backend::resolve(&context, section, id, &global));
    }
    backend::share_out_fullconn(&mut backends, &frontends, global.maxconn);
    let config = Config {
        global,
        frontends: frontends.into_iter().map(Arc::new).collect(),
        backends: backends.into_iter().map(Arc::new).collect(),
    };
    // What is odd about a configuration with errors may be the errors.
    if context.errors() > errors_before {
        return None;
    }
    lints::run(&context, &sections, &config);
    Some(config)
}

impl Section<'_> {
    fn has_frontend(&self) -> bool {
        self.kind != raw::ProxyKind::Backend
    }

    fn has_backend(&self) -> bool {
        self.kind != raw::ProxyKind::Frontend
    }
}
