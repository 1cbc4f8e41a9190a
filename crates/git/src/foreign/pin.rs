//! Foreign objects under names of our own.
//!
//! Whoever may write to a source could lead git elsewhere after we looked: by an `alternates` file that was not there,
//! or by a link in the place of a pack. So git is shown neither the source nor its alternates, but files that were
//! opened here, name by name, without following links.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, linkat, openat};

use super::ForeignError;

/// The ends of names in `pack/` that git needs to read objects.
const PARTS: [&[u8]; 2] = [b".pack", b".idx"];

/// Makes the objects of a directory readable in another: by hard links, else by copies. Blocks.
pub(super) fn pin(objects: &Path, into: &Path) -> Result<(), ForeignError> {
    let failed = |source| ForeignError::Io { path: objects.to_owned(), source };
    let from = open_absolute(objects)?;
    for name in names(&from).map_err(failed)? {
        let is_loose = name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit);
        let is_wanted: fn(&[u8]) -> bool = match &name[..] {
            b"pack" => |name| PARTS.iter().any(|part| name.ends_with(part)),
            _ if is_loose => |name| name.iter().all(u8::is_ascii_hexdigit),
            _ => continue,
        };
        let name = OsStr::from_bytes(&name);
        let folder = objects.join(name);
        let failed = |source| ForeignError::Io { path: folder.clone(), source };
        let inner = open_inside(&from, name, &folder, OFlags::DIRECTORY)?;
        let into = into.join(name);
        std::fs::create_dir_all(&into).map_err(failed)?;
        for name in names(&inner).map_err(failed)?.into_iter().filter(|name| is_wanted(name)) {
            let name = OsStr::from_bytes(&name);
            let file = open_inside(&inner, name, &folder.join(name), OFlags::NONBLOCK)?;
            link_or_copy(file, &into.join(name)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Opens a directory by its resolved path, of which no part may have become a link meanwhile.
fn open_absolute(path: &Path) -> Result<OwnedFd, ForeignError> {
    let failed = |errno: rustix::io::Errno| ForeignError::Io { path: path.to_owned(), source: errno.into() };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, "/", flags, Mode::empty()).map_err(failed)?;
    for component in path.components() {
        if let Component::Normal(name) = component {
            at = open_inside(&at, name, path, OFlags::PATH | OFlags::DIRECTORY)?;
        }
    }
    openat(&at, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)
}

/// Opens what lies in a directory, unless it is a link.
fn open_inside(from: &OwnedFd, name: &OsStr, path: &Path, kind: OFlags) -> Result<OwnedFd, ForeignError> {
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
    openat(from, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP | Errno::NOTDIR => ForeignError::Link { path: path.to_owned() },
        errno => ForeignError::Io { path: path.to_owned(), source: errno.into() },
    })
}

fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let entries = Dir::read_from(directory)?;
    entries.map(|entry| Ok(entry?.file_name().to_bytes().to_vec())).collect()
}

/// Gives an open file one more name. Bytes that are already there stay: two directories may hold one object.
fn link_or_copy(file: OwnedFd, to: &Path) -> io::Result<()> {
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file"));
    }
    let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, by_number, CWD, to, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => return Ok(()),
        // Another file system, or somebody else's file, which the kernel may protect from links.
        Err(_) => {}
    }
    io::copy(&mut File::from(file), &mut File::create(to)?).map(drop)
}
