//! Blobs in a local directory.
//!
//! ```text
//! <dir>/tmp/<owner>/<serial>               being written by one process (temporary.rs)
//! <dir>/uploads/<id>/                      an upload in parts (uploads.rs)
//! <dir>/packs/<2 hex>/<14 hex>.<part>      complete and synced
//! <dir>/lfs/<2 hex>/<14 hex>               the same
//! ```
//! Several processes may share the directory, as long as keys come from one database.
//!
//! The order that makes a blob durable before its name is promised to anybody: write the temporary file, sync it,
//! rename it, sync the directory that got the name (and, when that was just made, the one above).

mod temporary;
mod uploads;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hakata_runtime::blocking::Blocking;
use hakata_runtime::fault;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, Take};

use crate::blobs::{BlobError, BlobStat, Deleted, OpenBlobsError};
use crate::key::{BlobKey, Family};
use crate::link::link_or_copy;
pub(crate) use temporary::metrics;
use temporary::{Temporaries, Temporary};
pub(crate) use uploads::PART_BYTES;

/// Bytes that are collected before they are written at once.
const PIECE: usize = 1 << 20;

/// Bytes after which what was written is synced, so that little is left when the last have come: whoever sent them waits
/// in silence then.
const SYNC_EVERY: usize = 64 << 20;

/// A directory of blobs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Fs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    blocking: Blocking,
    temporaries: Temporaries,
}

/// The bytes of one file, or a range of them.
pub(crate) type FsReader = Take<tokio::fs::File>;

impl Fs {
    pub(crate) async fn open(dir: PathBuf, blocking: Blocking) -> Result<Self, OpenBlobsError> {
        let at = dir.clone();
        let prepared = blocking.run(move || prepare(&at)).await.map_err(OpenBlobsError::Stopped)?;
        let temporaries =
            prepared.map_err(|source| OpenBlobsError::Directory { path: dir.clone(), source })?;
        Ok(Self(Arc::new(Inner { dir, blocking, temporaries })))
    }

    pub(crate) async fn put(
        &self,
        key: BlobKey,
        source: impl AsyncRead + Unpin,
    ) -> Result<BlobStat, BlobError> {
        let failed = |source| BlobError::Io { act: "writing", key, source };
        let temporary = self.0.temporaries.next();
        write(temporary.path(), source).await.map_err(failed)?;
        let stats = self.publish(vec![(key, temporary)]).await?;
        Ok(stats[0])
    }

    pub(crate) async fn put_files(&self, files: Vec<(BlobKey, PathBuf)>) -> Result<Vec<BlobStat>, BlobError> {
        let Some(first) = files.first().map(|(key, _)| *key) else { return Ok(Vec::new()) };
        let next = |(key, from)| (key, from, self.0.temporaries.next());
        let linked: Vec<_> = files.into_iter().map(next).collect();
        let run = self.0.blocking.run(move || {
            for (key, from, temporary) in &linked {
                link_or_copy(from, temporary.path()).map_err(|source| BlobError::Io {
                    act: "linking",
                    key: *key,
                    source,
                })?;
            }
            Ok(linked.into_iter().map(|(key, _, temporary)| (key, temporary)).collect())
        });
        let temporaries = run.await.map_err(|source| BlobError::Stopped { key: first, source })??;
        self.publish(temporaries).await
    }

    pub(crate) async fn get(&self, key: BlobKey, range: Option<Range<u64>>) -> Result<FsReader, BlobError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => BlobError::Absent(key),
            _ => BlobError::Io { act: "reading", key, source },
        };
        let mut file = tokio::fs::File::open(self.path_of(key)).await.map_err(failed)?;
        let Some(range) = range else { return Ok(file.take(u64::MAX)) };
        file.seek(SeekFrom::Start(range.start)).await.map_err(failed)?;
        Ok(file.take(range.end.saturating_sub(range.start)))
    }

    pub(crate) async fn stat(&self, key: BlobKey) -> Result<Option<BlobStat>, BlobError> {
        match tokio::fs::metadata(self.path_of(key)).await {
            Ok(at) => Ok(Some(BlobStat { size_bytes: at.len() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BlobError::Io { act: "looking up", key, source }),
        }
    }

    pub(crate) async fn delete(&self, key: BlobKey) -> Result<Deleted, BlobError> {
        let path = self.path_of(key);
        let run = self.0.blocking.run(move || match fs::remove_file(&path) {
            Ok(()) => sync_directory(parent(&path)).map(|()| Deleted::Yes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Deleted::Absent),
            Err(error) => Err(error),
        });
        let deleted = run.await.map_err(|source| BlobError::Stopped { key, source })?;
        deleted.map_err(|source| BlobError::Io { act: "deleting", key, source })
    }

    pub(crate) fn path_of(&self, key: BlobKey) -> PathBuf {
        self.0.dir.join(key.path())
    }

    /// Turns complete temporary files into blobs.
    async fn publish(&self, files: Vec<(BlobKey, Temporary)>) -> Result<Vec<BlobStat>, BlobError> {
        let Some(first) = files.first().map(|(key, _)| *key) else { return Ok(Vec::new()) };
        let dir = self.0.dir.clone();
        let run = self.0.blocking.run(move || {
            fault::point("push.blob_put");
            let stats = publish(&dir, files);
            fault::point("push.blob_synced");
            stats
        });
        run.await.map_err(|source| BlobError::Stopped { key: first, source })?
    }
}

/// Makes the directory, and the place for unfinished writes.
fn prepare(dir: &Path) -> io::Result<Temporaries> {
    for family in [Family::Packs, Family::Lfs] {
        fs::create_dir_all(dir.join(family.name()))?;
    }
    let temporaries = Temporaries::open(&dir.join("tmp"))?;
    sync_directory(dir)?;
    sync_directory(parent(dir))?;
    Ok(temporaries)
}

/// Writes a file as its bytes come.
async fn write(path: &Path, mut source: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut file = tokio::fs::File::create_new(path).await?;
    let mut piece = Vec::with_capacity(PIECE);
    let mut n_unsynced = 0;
    loop {
        piece.clear();
        while piece.len() < PIECE && source.read_buf(&mut piece).await? > 0 {}
        if piece.is_empty() {
            // Waits for tokio's own write-behind; errors of the last write surface here.
            return file.flush().await;
        }
        file.write_all(&piece).await?;
        n_unsynced += piece.len();
        if n_unsynced >= SYNC_EVERY {
            file.sync_data().await?;
            n_unsynced = 0;
        }
    }
}

fn publish(dir: &Path, files: Vec<(BlobKey, Temporary)>) -> Result<Vec<BlobStat>, BlobError> {
    let mut named_in = BTreeSet::new();
    let mut stats = Vec::with_capacity(files.len());
    let mut last = None;
    for (key, temporary) in files {
        let path = dir.join(key.path());
        let size_bytes = name_synced(temporary.path(), &path, &mut named_in)
            .map_err(|source| BlobError::Io { act: "syncing", key, source })?;
        stats.push(BlobStat { size_bytes });
        last = Some(key);
    }
    if let Some(key) = last {
        for directory in named_in {
            sync_directory(&directory).map_err(|source| BlobError::Io { act: "syncing", key, source })?;
        }
    }
    Ok(stats)
}

/// Syncs a file and gives it its final name; adds the directories that must be synced for the name to last.
fn name_synced(temporary: &Path, path: &Path, named_in: &mut BTreeSet<PathBuf>) -> io::Result<u64> {
    let file = File::open(temporary)?;
    file.sync_all()?;
    let shard = parent(path);
    match fs::create_dir(shard) {
        Ok(()) => {
            named_in.insert(parent(shard).to_owned());
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    fs::rename(temporary, path)?;
    named_in.insert(shard.to_owned());
    Ok(file.metadata()?.len())
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Returns the directory of a path; `.` for a bare name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
