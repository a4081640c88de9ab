//! Is a file still the one that was read? Told by what the file system says of it, not by its content.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::tls::{SeenFile, Stamp, WatchedFile};

/// What stands at a path now; links are followed, so that turning one round is seen.
pub(crate) fn look_at(path: &Path) -> SeenFile {
    match std::fs::metadata(path) {
        Ok(metadata) => SeenFile::There(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => SeenFile::Gone,
        Err(_) => SeenFile::Hidden,
    }
}

pub(super) fn watched(path: PathBuf) -> WatchedFile {
    WatchedFile { seen: look_at(&path), path }
}
