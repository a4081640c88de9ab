//! What the rules engine is told about an exchange, and what its verdicts mean for it.

use std::sync::Arc;

use super::answer::LocalAnswer;
use super::exchange::{Scratch, Setting};
use crate::http::RequestHead;
use crate::model::BackendId;
use crate::model::stats::{StatsAdmin, StatsPage};
use crate::state::snapshot::BackendInForce;

/// Runs the frontend's `http-request` rules. `Some` when one of them answers.
pub(crate) fn frontend_rules(setting: &Setting<'_>, scratch: &mut Scratch) -> Option<LocalAnswer> {
    None
}

/// Runs the backend's `http-request` rules.
pub(crate) fn backend_rules(
    setting: &Setting<'_>,
    backend: &BackendInForce,
    scratch: &mut Scratch,
) -> Option<LocalAnswer> {
    None
}

/// The first `use_backend` whose condition holds, else the default.
pub(crate) fn choose_backend(setting: &Setting<'_>, request: &RequestHead) -> Option<BackendId> {
    setting.frontend.config.default_backend
}

/// Runs `http-response` rules, the backend's first. `Some`: the status to refuse the response with.
pub(crate) fn response_rules(setting: &Setting<'_>, backend: &BackendInForce, scratch: &mut Scratch) -> Option<u16> {
    None
}

/// Whether `stats admin if …` holds.
pub(crate) fn page_admin(setting: &Setting<'_>, request: &RequestHead, page: &Arc<StatsPage>) -> bool {
    match &page.admin {
        StatsAdmin::Never => false,
        StatsAdmin::When(condition) => false,
    }
}
