//! Has a certificate changed on disk, and is it time to read it? Pure: what was seen and the time are parameters.
//!
//! A renewal writes several files, one after the other. So a change is only read once nothing has changed for
//! [`SETTLE`]; and what was read and found wrong is not read again until it changes once more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::model::tls::SeenFile;

/// How long all files of a certificate must stay as they are before they are read.
pub(super) const SETTLE: Duration = Duration::from_millis(1500);

#[derive(Debug, Default)]
pub(super) struct Changes {
    pending: HashMap<PathBuf, Pending>,
}

#[derive(Debug)]
struct Pending {
    seen: Vec<SeenFile>,
    since: Instant,
    /// Read and found wrong.
    refused: bool,
}

/// What is to be done about one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is as it was read, or known to be wrong.
    Nothing,
    /// It is changing; look again soon.
    Wait,
    Read,
}

impl Changes {
    /// Takes one look in: the files as they were when the certificate in force was read, and as they are now.
    pub fn look(&mut self, path: &Path, in_force: &[SeenFile], seen: &[SeenFile], now: Instant) -> Next {
        if in_force == seen {
            self.pending.remove(path);
            return Next::Nothing;
        }
        match self.pending.get(path) {
            Some(pending) if pending.seen == seen => match pending.refused {
                true => Next::Nothing,
                false if now.saturating_duration_since(pending.since) >= SETTLE => Next::Read,
                false => Next::Wait,
            },
            _ => {
                let pending = Pending { seen: seen.to_vec(), since: now, refused: false };
                self.pending.insert(path.to_owned(), pending);
                Next::Wait
            }
        }
    }

    /// What was seen last cannot be used.
    pub fn refuse(&mut self, path: &Path) {
        if let Some(pending) = self.pending.get_mut(path) {
            pending.refused = true;
        }
    }

    /// Forgets what is not served any more.
    pub fn keep_only(&mut self, served: impl Fn(&Path) -> bool) {
        self.pending.retain(|path, _| served(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tls::Stamp;

    fn file(version: char) -> SeenFile {
        let stamp = Stamp { device: 1, inode: version as u64, size: 1, modified: (0, 0), changed: (0, 0) };
        if version == '-' { SeenFile::Gone } else { SeenFile::There(stamp) }
    }

    /// Looks once a second at a certificate and its key: each pair of letters is what stands there, a third `!` means that
    /// reading it failed. Expected: `.` nothing, `w`ait, `R`ead after each look.
    #[track_caller]
    fn check(looks: &str, expected: &str) {
        let mut changes = Changes::default();
        let start = Instant::now();
        let mut in_force = vec![file('a'), file('a')];
        let mut got = String::new();
        for (second, look) in looks.split(' ').enumerate() {
            let letters: Vec<char> = look.chars().collect();
            let seen = [file(letters[0]), file(letters[1])];
            let next = changes.look(Path::new("x"), &in_force, &seen, start + Duration::from_secs(second as u64));
            got.push(match next {
                Next::Nothing => '.',
                Next::Wait => 'w',
                Next::Read => 'R',
            });
            if next == Next::Read {
                if letters.get(2) == Some(&'!') { changes.refuse(Path::new("x")) } else { in_force = seen.to_vec() }
            }
        }
        assert_eq!(got, expected, "{looks}");
    }

    #[test]
    fn a_change_is_read_once_it_has_settled() {
        check("aa aa aa", "...");
        check("bb bb bb bb", "wwR.");
        check("ba bb bb bb bb", "wwwR."); // the key came a second later
        check("-a ba bb bb bb", "wwwwR"); // gone for a moment
        check("ba aa aa", "w.."); // turned back
    }

    #[test]
    fn what_is_wrong_is_read_once_and_again_when_it_changes() {
        check("ba ba ba! ba ba ba", "wwR...");
        check("ba ba ba! ba bb bb bb bb", "wwR.wwR.");
        check("ba ba ba! aa ba ba ba", "wwR.wwR");
    }
}
