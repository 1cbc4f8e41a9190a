//! Knowing that files have not changed, without reading them.
//!
//! A stamp is what the file system says of a file; equal stamps mean an equal file once the file is older than the
//! clock of its file system is coarse. git replaces its files by renames, which also stamps their directory, but
//! an editor may write in place: so files are stamped as well as directories.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most files and directories that are looked at for one answer; a repository with more loose refs is git's to read.
const MAX_STAMPS: usize = 4_096;

/// Deepest directory below `refs`.
const MAX_DEPTH: usize = 64;

/// How long ago a file must have changed for a later change to be sure to show. Source: a second is the coarsest clock
/// of the file systems that git runs on, but for FAT.
const SETTLED: Duration = Duration::from_secs(1);

/// The files that an answer depends on, and how they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The files cannot be stamped: too many, a link, or not to be read. git answers then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unstampable;

impl Stamps {
    /// Stamps the files of configuration: those outside and those of the repository. Blocks.
    pub(super) fn of_configuration(outside: &[PathBuf], dir: &Path) -> Result<Self, Unstampable> {
        let mut stamps = Self::default();
        for file in outside {
            stamps.add_followed(file);
        }
        for name in ["config", "config.worktree"] {
            stamps.add(dir.join(name))?;
        }
        Ok(stamps)
    }

    /// Stamps everything that tells of a repository's refs, and where its objects are. Blocks.
    pub(super) fn of_refs(dir: &Path) -> Result<Self, Unstampable> {
        let mut stamps = Self::default();
        for name in [
            "HEAD",
            "packed-refs",
            "shallow",
            "reftable/tables.list",
            "objects/info/alternates",
            "objects/pack",
        ] {
            stamps.add(dir.join(name))?;
        }
        stamps.add_tree(dir.join("refs"), 0)?;
        Ok(stamps)
    }

    /// Adds those of another list.
    pub(super) fn with(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// Tells about how much memory they take, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|(path, _)| size_of::<(PathBuf, Option<Stamp>)>() + path.as_os_str().len()).sum()
    }

    /// Tells whether every file is as it was. Blocks.
    pub(super) fn hold(&self) -> bool {
        self.0.iter().all(|(path, stamp)| {
            let now = fs::symlink_metadata(path).ok();
            // Outside of repositories links are followed; what they name is what counts.
            let now = match now {
                Some(link) if link.is_symlink() => fs::metadata(path).ok(),
                now => now,
            };
            now.as_ref().map(Stamp::of) == *stamp
        })
    }

    /// Tells whether all were old enough when they were stamped, at or after `at`.
    pub(super) fn were_settled(&self, at: SystemTime) -> bool {
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let newest = self.0.iter().filter_map(|(_, stamp)| stamp.map(|it| it.modified.max(it.changed))).max();
        newest.is_none_or(|(seconds, nanos)| {
            let (seconds, nanos) = (u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
            Duration::new(seconds, nanos) + SETTLED < at
        })
    }

    fn add(&mut self, path: PathBuf) -> Result<Option<Metadata>, Unstampable> {
        let there = fs::symlink_metadata(&path).ok();
        if self.0.len() >= MAX_STAMPS || there.as_ref().is_some_and(Metadata::is_symlink) {
            return Err(Unstampable);
        }
        self.0.push((path, there.as_ref().map(Stamp::of)));
        Ok(there)
    }

    fn add_followed(&mut self, path: &Path) {
        let there = fs::metadata(path).ok();
        self.0.push((path.to_owned(), there.as_ref().map(Stamp::of)));
    }

    fn add_tree(&mut self, path: PathBuf, depth: usize) -> Result<(), Unstampable> {
        let there = self.add(path.clone())?;
        if !there.is_some_and(|there| there.is_dir()) {
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            return Err(Unstampable);
        }
        for entry in fs::read_dir(&path).map_err(|_| Unstampable)? {
            self.add_tree(entry.map_err(|_| Unstampable)?.path(), depth + 1)?;
        }
        Ok(())
    }
}

impl Stamp {
    fn of(there: &Metadata) -> Self {
        Self {
            device: there.dev(),
            inode: there.ino(),
            size: there.size(),
            modified: (there.mtime(), there.mtime_nsec()),
            changed: (there.ctime(), there.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::{MAX_STAMPS, Stamps, Unstampable};

    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("refs/heads/topic")).unwrap();
        fs::create_dir_all(dir.path().join("objects/pack")).unwrap();
        fs::create_dir_all(dir.path().join("reftable")).unwrap();
        for name in ["HEAD", "packed-refs", "refs/heads/main", "refs/heads/topic/a", "reftable/tables.list"] {
            fs::write(dir.path().join(name), "one").unwrap();
        }
        dir
    }

    #[test]
    fn every_way_to_change_a_ref_shows() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 9] = [
            ("in place", |dir| fs::write(dir.join("refs/heads/main"), "two!").unwrap()),
            ("by rename", |dir| {
                fs::write(dir.join("new"), "two").unwrap();
                fs::rename(dir.join("new"), dir.join("refs/heads/topic/a")).unwrap();
            }),
            ("a new one", |dir| fs::write(dir.join("refs/heads/topic/b"), "two").unwrap()),
            ("a new directory", |dir| fs::create_dir(dir.join("refs/tags")).unwrap()),
            ("gone", |dir| fs::remove_file(dir.join("refs/heads/main")).unwrap()),
            ("packed", |dir| fs::write(dir.join("packed-refs"), "two!").unwrap()),
            ("HEAD", |dir| fs::remove_file(dir.join("HEAD")).unwrap()),
            ("reftable", |dir| fs::write(dir.join("reftable/tables.list"), "two!").unwrap()),
            ("shallow", |dir| fs::write(dir.join("shallow"), "x").unwrap()),
        ];
        for (what, change) in changes {
            let dir = repository();
            let stamps = Stamps::of_refs(dir.path()).unwrap();
            assert!(stamps.hold(), "nothing has changed yet");
            change(dir.path());
            assert!(!stamps.hold(), "{what}");
        }
    }

    #[test]
    fn what_is_young_is_not_settled() {
        let dir = repository();
        let stamps = Stamps::of_refs(dir.path()).unwrap();
        let now = SystemTime::now();
        assert!(!stamps.were_settled(now), "a change in the same tick of the clock would not show");
        assert!(stamps.were_settled(now + Duration::from_secs(3)));
    }

    #[test]
    fn links_and_crowds_are_left_to_git() {
        let dir = repository();
        std::os::unix::fs::symlink("main", dir.path().join("refs/heads/link")).unwrap();
        assert_eq!(Stamps::of_refs(dir.path()), Err(Unstampable));
        let dir = repository();
        for n in 0..MAX_STAMPS {
            fs::write(dir.path().join(format!("refs/heads/{n}")), "x").unwrap();
        }
        assert_eq!(Stamps::of_refs(dir.path()), Err(Unstampable));
    }
}
