//! A second name for a file, or a second file where the file system cannot do that.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes `to` name the same bytes as `from`: by a hard link, else by a copy that appears under its name when it is
/// complete. Bytes that are already there under `to` stay. Nothing is synced.
///
/// Blocks. The two must not be changed afterwards, as they may be one file.
///
/// # Errors
/// Any error of the file system.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        // Another file system, too many links, or links not allowed here.
        Err(_) => copy(from, to),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}-{serial}", std::process::id()));
    let temporary = to.with_file_name(name);
    let copied = fs::copy(from, &temporary).and_then(|_| fs::rename(&temporary, to));
    if copied.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    copied
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::{copy, link_or_copy};

    #[test]
    fn one_file_has_two_names() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&from, "x").unwrap();
        link_or_copy(&from, &to).unwrap();
        assert_eq!(fs::metadata(&from).unwrap().ino(), fs::metadata(&to).unwrap().ino());
        link_or_copy(&from, &to).unwrap();
    }

    #[test]
    fn a_copy_leaves_nothing_else_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        assert!(link_or_copy(&from, &to).is_err(), "nothing to link");
        fs::write(&from, "x").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"x");
        assert!(copy(&from, &dir.path().join("no/b")).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
