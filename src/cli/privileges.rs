//! What may the serving process do? As many files as `maxconn` needs, and nothing else of what root may.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::process::{Resource, Rlimit, chdir, chroot, getegid, geteuid, getrlimit, setrlimit};

use crate::model::Config;
use crate::model::global::Global;
use crate::sys;

/// Descriptors beside connections, listeners and checks: logs, runtime sockets, timers, files read at a reload.
const SPARE_FILES: u64 = 100;

/// Why the confinement the configuration asks for could not be had. Serving without it would be worse.
#[derive(Debug)]
pub(crate) enum PrivilegeError {
    Chroot { path: PathBuf, source: io::Error },
    Group { id: u32, source: io::Error },
    User { id: u32, source: io::Error },
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrivilegeError::Chroot { path, source } => write!(f, "cannot chroot to `{}`: {source}", path.display()),
            PrivilegeError::Group { id, source } => write!(f, "cannot become group {id}: {source}"),
            PrivilegeError::User { id, source } => write!(f, "cannot become user {id}: {source}"),
        }
    }
}

/// Goes where `chroot` says and becomes `group` and `user`, in this order, once everything that needs root is open.
///
/// # Errors
/// [`PrivilegeError`]; the process must not serve then.
pub(crate) fn give_up(global: &Global) -> Result<(), PrivilegeError> {
    if let Some(path) = &global.chroot {
        enter(path).map_err(|source| PrivilegeError::Chroot { path: path.clone(), source })?;
    }
    if let Some(id) = global.group.filter(|id| *id != getegid().as_raw()) {
        sys::set_group(id).map_err(|source| PrivilegeError::Group { id, source })?;
    }
    if let Some(id) = global.user.filter(|id| *id != geteuid().as_raw()) {
        let groups = if geteuid().is_root() { sys::drop_supplementary_groups() } else { Ok(()) };
        groups.and_then(|()| sys::set_user(id)).map_err(|source| PrivilegeError::User { id, source })?;
    }
    Ok(())
}

fn enter(path: &Path) -> io::Result<()> {
    chroot(path)?;
    chdir("/")?;
    Ok(())
}

/// Raises the limit on open files to what the configuration may need. A warning when that is not allowed.
pub(crate) fn allow_files(config: &Config) -> Option<String> {
    let needed = files_needed(config);
    let limit = getrlimit(Resource::Nofile);
    let enough = |value: Option<u64>| value.is_none_or(|value| value >= needed);
    if enough(limit.current) {
        return None;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(needed));
    let wanted = [
        Rlimit { current: Some(needed), maximum },
        // Not allowed to raise the hard limit: take all there is.
        Rlimit { current: limit.maximum, maximum: limit.maximum },
    ];
    wanted.into_iter().any(|wanted| setrlimit(Resource::Nofile, wanted).is_ok());
    let allowed = getrlimit(Resource::Nofile).current;
    let connections = config.global.maxconn;
    (!enough(allowed)).then(|| {
        format!(
            "maxconn {connections} may need {needed} open files and only {} are allowed; raise the limit (ulimit -n, \
             LimitNOFILE=) or lower maxconn",
            allowed.unwrap_or(u64::MAX)
        )
    })
}

/// Two for each connection, one for each listener and worker, one for each checked server.
fn files_needed(config: &Config) -> u64 {
    let listeners: usize = config.frontends.iter().map(|frontend| frontend.listeners.len()).sum();
    let checks =
        config.backends.iter().flat_map(|backend| &backend.servers).filter(|server| server.check.is_some()).count();
    let rest = listeners * config.global.threads.get() + checks;
    u64::from(config.global.maxconn) * 2 + rest as u64 + SPARE_FILES
}
