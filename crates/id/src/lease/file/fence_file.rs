//! A fence file, open and locked.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::known::{self, Word};
use super::record::{MAX_LINE, Record};
use super::{OpenFenceError, Place};

/// The file of one worker id; its lock is held until it is dropped.
#[derive(Debug)]
pub(super) struct FenceFile {
    file: File,
    path: PathBuf,
    name: String,
}

/// What was found in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The worker id has never issued here.
    First,
    /// Its fence.
    Fence(i64),
    /// It has issued here, and its fence is lost.
    Suspect(&'static str),
}

impl FenceFile {
    /// Opens and locks the file, and reads what it says.
    pub(super) fn open(place: &Place) -> Result<(Self, Found), OpenFenceError> {
        let name = format!("{}-{}", place.layout.as_str(), place.worker_id);
        let path = place.dir.join(format!("{name}.fence"));
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |source| OpenFenceError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&place.dir).map_err(io(&place.dir))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(io(&path))?;
        let fence_file = Self { file, path: path.clone(), name };
        match fence_file.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fence_file.read().ok().and_then(|read| read.ok()).map(|record| record.pid);
                return Err(OpenFenceError::InUse { worker_id: place.worker_id, pid });
            }
            Err(TryLockError::Error(source)) => return Err(OpenFenceError::Io { path, source }),
        }
        let found = fence_file.found(place).map_err(io(&path))?;
        Ok((fence_file, found))
    }

    /// Makes a fence durable.
    pub(super) fn write(&self, fence_ms: i64) -> io::Result<()> {
        let line = Record { fence_ms, pid: std::process::id() }.encode(&self.name);
        self.file.write_all_at(line.as_bytes(), 0)?;
        // The length changes with the first record only, which this syncs as well.
        self.file.sync_data()
    }

    /// Tells whether the name still leads to the file that is locked.
    pub(super) fn is_there(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn found(&self, place: &Place) -> io::Result<Found> {
        let read = self.read()?;
        let word = known::note(&place.dir, &self.name)?;
        known::sync_dir(&place.dir)?;
        let found = match (read, word) {
            (Ok(record), _) => return Ok(Found::Fence(record.fence_ms)),
            (Err(Unread::Empty), Word::Never) => return Ok(Found::First),
            (Err(Unread::Empty), Word::Had) => {
                Found::Suspect("the fence file of this worker id is missing or empty")
            }
            (Err(Unread::Empty), Word::Unknown) => {
                Found::Suspect("the list of known worker ids beside the fence files is missing")
            }
            (Err(Unread::Damaged), _) => Found::Suspect("the fence file of this worker id is damaged"),
        };
        // The remains may be longer than a record.
        self.file.set_len(0)?;
        Ok(found)
    }

    fn read(&self) -> io::Result<Result<Record, Unread>> {
        let mut line = [0; MAX_LINE];
        let mut length = 0;
        while length < line.len() {
            match self.file.read_at(&mut line[length..], length as u64)? {
                0 => break,
                n => length += n,
            }
        }
        let unread = if length == 0 { Unread::Empty } else { Unread::Damaged };
        Ok(Record::parse(&line[..length], &self.name).ok_or(unread))
    }
}

/// Why a file has no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unread {
    Empty,
    Damaged,
}
