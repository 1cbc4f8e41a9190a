//! Where blobs lie while they are written, in a directory that several processes may share.
//!
//! ```text
//! <dir>/tmp/<owner>.lock       held by flock(2) for as long as its owner lives; not empty if that was not possible
//! <dir>/tmp/<owner>/<serial>   being written
//! ```
//! Whoever opens the directory deletes the folders of owners that are dead: those whose lock can be taken. Of an owner
//! that could not lock (`ENOLCK`, `ENOTSUP`: some network file systems, or some mounts of them) nobody can tell whether
//! it lives, even who can lock; there a file goes when nobody has written to it for a day.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hakata_runtime::metrics::{Counter, Metric};
use hakata_runtime::secret::random_bytes;

static SWEPT: Counter = Counter::new(
    "hakata_blob_temporaries_swept_total",
    "Unfinished blobs of writers that died, deleted when their directory was opened",
);

static UNLOCKED_OPENED: Counter = Counter::new(
    "hakata_blob_directory_unlocked_total",
    "Times that the file system had no lock for the blob directory, so that a dead writer's files stay for a day",
);

/// Time without a write after which a file that no lock guards is taken for a dead writer's.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// What the lock says of an owner that could not take it.
const UNLOCKED: &[u8] = b"not locked\n";

/// Folders that are tried until one is ours: another process may sweep one between its making and its locking.
const MAX_TRIES: u32 = 16;

/// The folder of one process; it goes with its owner.
#[derive(Debug)]
pub(super) struct Temporaries {
    folder: PathBuf,
    lock: PathBuf,
    _held: File,
    serial: AtomicU64,
}

/// A temporary file that goes away unless it was renamed.
pub(super) struct Temporary(PathBuf);

impl Temporaries {
    /// Deletes what dead processes left below `tmp`, and makes a folder for this one. Blocks.
    pub(super) fn open(tmp: &Path) -> io::Result<Self> {
        fs::create_dir_all(tmp)?;
        sweep(tmp)?;
        for _ in 0..MAX_TRIES {
            let owner: String = random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
            let (folder, lock) = (tmp.join(&owner), tmp.join(format!("{owner}.lock")));
            if let Some(held) = hold(&lock, File::try_lock)? {
                fs::create_dir(&folder)?;
                return Ok(Self { folder, lock, _held: held, serial: AtomicU64::new(0) });
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "others take every lock that is made"))
    }

    /// Names a file that does not exist yet.
    pub(super) fn next(&self) -> Temporary {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Temporary(self.folder.join(serial.to_string()))
    }
}

impl Drop for Temporaries {
    fn drop(&mut self) {
        // What cannot be deleted now is a dead writer's for the next to come.
        let _ = delete(&self.folder, &self.lock);
    }
}

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Also after a rename: one between two names of one file leaves both. Usually there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a lock and takes it; `None` if somebody swept it before it was ours. One that cannot be taken says so to others,
/// who may be able to.
fn hold(lock: &Path, try_lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> io::Result<Option<File>> {
    let mut file = File::options().write(true).create_new(true).open(lock)?;
    match try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(_)) => {
            file.write_all(UNLOCKED)?;
            UNLOCKED_OPENED.inc();
        }
    }
    let ours = file.metadata()?;
    let is_named = match fs::metadata(lock) {
        Ok(named) => (named.dev(), named.ino()) == (ours.dev(), ours.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    Ok(is_named.then_some(file))
}

/// Deletes what dead processes left. Others may do the same at the same time.
fn sweep(tmp: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tmp)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            sweep_owner(&path)?;
        } else if path.is_file() {
            // Nothing of ours has lain here since folders have owners.
            remove_abandoned(&path)?;
        }
    }
    Ok(())
}

fn sweep_owner(lock: &Path) -> io::Result<()> {
    let folder = lock.with_extension("");
    let file = match File::options().write(true).open(lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    match file.try_lock() {
        // Read under the lock: its owner says so before anything is in its folder.
        Ok(()) if file.metadata()?.len() == 0 => delete(&folder, lock),
        Err(TryLockError::WouldBlock) => Ok(()),
        Ok(()) | Err(TryLockError::Error(_)) => sweep_unlocked(&folder, lock),
    }
}

/// Deletes what an owner without a lock has not written to for long, at last its folder.
fn sweep_unlocked(folder: &Path, lock: &Path) -> io::Result<()> {
    remove_all_abandoned(folder)?;
    let is_old = |path| Ok::<_, io::Error>(absent_as_none(is_abandoned(path))?.unwrap_or(true));
    // A folder that is not empty stays, and its lock with it.
    let is_over = is_old(lock)? && is_old(folder)?;
    match is_over.then(|| fs::remove_dir(folder)) {
        Some(Err(error)) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Some(removed) => {
            absent_as_none(removed).and_then(|_| absent_as_none(fs::remove_file(lock))).map(drop)
        }
        None => Ok(()),
    }
}

/// Deletes a folder and then its lock, which whoever calls this holds.
fn delete(folder: &Path, lock: &Path) -> io::Result<()> {
    if let Some(entries) = absent_as_none(fs::read_dir(folder))? {
        SWEPT.add(entries.count() as u64);
        absent_as_none(fs::remove_dir_all(folder))?;
    }
    absent_as_none(fs::remove_file(lock)).map(drop)
}

fn remove_all_abandoned(folder: &Path) -> io::Result<()> {
    let Some(entries) = absent_as_none(fs::read_dir(folder))? else { return Ok(()) };
    entries.into_iter().try_for_each(|entry| remove_abandoned(&entry?.path()))
}

fn remove_abandoned(path: &Path) -> io::Result<()> {
    let is_abandoned = absent_as_none(is_abandoned(path))?.unwrap_or(false);
    if is_abandoned && absent_as_none(fs::remove_file(path))?.is_some() {
        SWEPT.inc();
    }
    Ok(())
}

/// Tells whether nobody has written to a file, or to the names in a folder, for long.
fn is_abandoned(path: &Path) -> io::Result<bool> {
    let age = SystemTime::now().duration_since(fs::metadata(path)?.modified()?).unwrap_or_default();
    Ok(age > ABANDONED_AFTER)
}

/// Takes for done what another process did first.
fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&SWEPT, &UNLOCKED_OPENED]
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::time::SystemTime;

    use super::{ABANDONED_AFTER, Temporaries, hold, remove_all_abandoned, sweep};

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Leaves what a process leaves that was killed while it wrote.
    fn kill(owner: Temporaries) {
        fs::write(owner.next().path(), "half").unwrap();
        let (folder, lock) = (owner.folder.clone(), owner.lock.clone());
        drop(owner);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("0"), "half").unwrap();
        fs::write(lock, "").unwrap();
    }

    #[test]
    fn a_dead_owner_is_swept_and_a_living_one_is_not() {
        let tmp = tempfile::tempdir().unwrap();
        let living = Temporaries::open(tmp.path()).unwrap();
        let upload = living.next();
        fs::write(upload.path(), "half").unwrap();
        kill(Temporaries::open(tmp.path()).unwrap());
        assert_eq!(names(tmp.path()).len(), 4);
        let next = Temporaries::open(tmp.path()).unwrap();
        assert!(upload.path().exists(), "an upload of a living process stays");
        assert_eq!(names(tmp.path()).len(), 4, "two folders and two locks: {:?}", names(tmp.path()));
        drop(upload);
        drop((living, next));
        assert!(names(tmp.path()).is_empty(), "an owner that ends in order leaves nothing");
    }

    #[test]
    fn without_locks_a_day_decides() {
        let tmp = tempfile::tempdir().unwrap();
        let (old, new) = (tmp.path().join("0"), tmp.path().join("1"));
        for path in [&old, &new] {
            fs::write(path, "half").unwrap();
        }
        let long_ago = SystemTime::now() - ABANDONED_AFTER * 2;
        File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
        remove_all_abandoned(tmp.path()).unwrap();
        assert_eq!(names(tmp.path()), ["1"]);
        sweep(tmp.path()).unwrap();
        assert_eq!(names(tmp.path()), ["1"], "what lies beside the folders follows the same rule");
    }

    /// One node may be able to lock where another is not.
    #[test]
    fn an_owner_that_could_not_lock_is_not_swept_by_one_that_can() {
        let tmp = tempfile::tempdir().unwrap();
        let (folder, lock) = (tmp.path().join("a"), tmp.path().join("a.lock"));
        let no_locks = |_: &File| Err(std::fs::TryLockError::Error(std::io::Error::from_raw_os_error(37)));
        assert!(hold(&lock, no_locks).unwrap().is_some(), "it goes on without");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("0"), "half").unwrap();
        sweep(tmp.path()).unwrap();
        assert_eq!(names(&folder), ["0"], "nobody knows whether its owner lives");

        let long_ago = SystemTime::now() - ABANDONED_AFTER * 2;
        let age = |path: &Path| File::open(path).unwrap().set_modified(long_ago).unwrap();
        age(&folder.join("0"));
        sweep(tmp.path()).unwrap();
        assert_eq!((names(&folder).len(), names(tmp.path()).len()), (0, 2), "it may go on to write");
        age(&folder);
        age(&lock);
        sweep(tmp.path()).unwrap();
        assert!(names(tmp.path()).is_empty());
    }

    #[test]
    fn many_that_open_and_sweep_at_once_each_get_a_folder() {
        let tmp = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let owner = Temporaries::open(tmp.path()).unwrap();
                        let file = owner.next();
                        fs::write(file.path(), "x").expect("a folder stays while its owner lives");
                    }
                });
            }
        });
        assert!(names(tmp.path()).is_empty());
    }

    #[test]
    fn a_lock_that_was_swept_before_it_was_taken_is_not_used() {
        let tmp = tempfile::tempdir().unwrap();
        let lock = tmp.path().join("a.lock");
        let held = hold(&lock, File::try_lock).unwrap();
        assert!(held.is_some());
        assert!(hold(&lock, File::try_lock).is_err(), "a name is given once");
        fs::remove_file(&lock).unwrap();
        assert!(
            hold(&lock, File::try_lock).unwrap().is_some(),
            "another file of the same name has another lock"
        );
    }
}
