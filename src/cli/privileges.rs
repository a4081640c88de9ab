//! What may the serving process do? As many files as `maxconn` needs, and of what root may only what a reload needs.
//!
//! `user`, `group` and `chroot` take effect once everything is bound, for good: every thread has the user's ids and sees the
//! jail. But a reload must read what it read at the start (keys that only root may read, files outside the jail) and bind
//! what it bound. So the control thread keeps three capabilities at hand, not in effect: reading any file, leaving the jail,
//! and (in effect) binding low ports. Only a thread that lives as long as one reading uses the first two; workers, which speak
//! to the world, have none.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io, thread};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, chdir, chroot, fchdir, getegid, geteuid, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities};

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
    Capabilities(io::Error),
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrivilegeError::Chroot { path, source } => write!(f, "cannot chroot to `{}`: {source}", path.display()),
            PrivilegeError::Group { id, source } => write!(f, "cannot become group {id}: {source}"),
            PrivilegeError::User { id, source } => write!(f, "cannot become user {id}: {source}"),
            PrivilegeError::Capabilities(source) => write!(f, "cannot give up capabilities: {source}"),
        }
    }
}

/// What is kept of the start, to read the configuration again as it was read then.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Empty when the user does not change: then nothing is lost that could be kept.
    capabilities: CapabilitySet,
    /// The root and the working directory outside the jail.
    outside: Option<Arc<(OwnedFd, OwnedFd)>>,
}

impl Kept {
    /// # Errors
    /// The directories cannot be held, or the kernel has no capabilities.
    pub fn of_now(global: &Global) -> io::Result<Self> {
        let jailed = global.chroot.is_some();
        let hold = |path| rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let outside = if jailed { Some(Arc::new((hold("/")?, hold(".")?))) } else { None };
        let mut wanted = CapabilitySet::empty();
        if global.user.is_some_and(|id| id != geteuid().as_raw()) {
            wanted = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::NET_BIND_SERVICE;
            wanted.set(CapabilitySet::SYS_CHROOT, jailed);
        }
        Ok(Kept { capabilities: wanted & capabilities(None)?.permitted, outside })
    }

    /// Runs `read` where and as the process was started.
    ///
    /// # Errors
    /// The way back is closed.
    pub fn reading<T: Send>(&self, read: impl FnOnce() -> T + Send) -> io::Result<T> {
        if self.capabilities.is_empty() && self.outside.is_none() {
            return Ok(read());
        }
        // What this thread sees and may ends with it.
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                self.put_in_effect()?;
                Ok(read())
            });
            reader.join().unwrap_or_else(|_| Err(io::Error::other("reading the configuration panicked")))
        })
    }

    fn put_in_effect(&self) -> io::Result<()> {
        if !self.capabilities.is_empty() {
            set(self.capabilities, self.capabilities)?;
        }
        if let Some(outside) = &self.outside {
            sys::unshare_file_system_view()?;
            fchdir(&outside.0)?;
            chroot(".")?;
            fchdir(&outside.1)?;
        }
        Ok(())
    }

    /// Runs `start` on a thread that has none of the capabilities kept, so that what it starts has none either.
    pub fn without<T: Send>(&self, start: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        if self.capabilities.is_empty() {
            return start();
        }
        thread::scope(|scope| {
            let starter = scope.spawn(|| {
                set(CapabilitySet::empty(), CapabilitySet::empty())?;
                start()
            });
            starter.join().unwrap_or_else(|_| Err(io::Error::other("starting workers panicked")))
        })
    }
}

/// Goes where `chroot` says and becomes `group` and `user`, in this order, once everything that needs root is open.
///
/// # Errors
/// [`PrivilegeError`]; the process must not serve then.
pub(crate) fn give_up(global: &Global, kept: &Kept) -> Result<(), PrivilegeError> {
    if let Some(path) = &global.chroot {
        enter(path).map_err(|source| PrivilegeError::Chroot { path: path.clone(), source })?;
    }
    if let Some(id) = global.group.filter(|id| *id != getegid().as_raw()) {
        sys::set_group(id).map_err(|source| PrivilegeError::Group { id, source })?;
    }
    if let Some(id) = global.user.filter(|id| *id != geteuid().as_raw()) {
        become_user(id, kept).map_err(|source| PrivilegeError::User { id, source })?;
    }
    if !kept.capabilities.is_empty() {
        let in_effect = kept.capabilities & CapabilitySet::NET_BIND_SERVICE;
        set(in_effect, kept.capabilities).map_err(PrivilegeError::Capabilities)?;
    }
    Ok(())
}

fn become_user(id: u32, kept: &Kept) -> io::Result<()> {
    if geteuid().is_root() {
        sys::drop_supplementary_groups()?;
    }
    set_keep_capabilities(!kept.capabilities.is_empty())?;
    sys::set_user(id)?;
    set_keep_capabilities(false)?;
    Ok(())
}

/// Of this thread.
fn set(effective: CapabilitySet, permitted: CapabilitySet) -> io::Result<()> {
    Ok(set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() })?)
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
