//! Where do scripts find our process id? In a file that is there while we run.

use std::path::{Path, PathBuf};
use std::{fs, io, process};

/// Removed again when dropped, unless another process has written its own id meanwhile.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// # Errors
    /// The file cannot be written: whoever relies on it would signal the wrong process.
    pub fn write(path: &Path) -> io::Result<Self> {
        // A later `-C` or chroot must not change what is removed.
        let path = std::path::absolute(path)?;
        fs::write(&path, content())?;
        Ok(PidFile { path })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|found| found == content()) {
            // Without the right to do so (after a change of user) it stays, as HAProxy's does.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn content() -> String {
    format!("{}\n", process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_the_file_of_a_successor_alone() {
        let path = std::env::temp_dir().join(format!("lockgate-pid-{}", process::id()));
        drop(PidFile::write(&path).unwrap());
        assert!(!path.exists());
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
    }
}
