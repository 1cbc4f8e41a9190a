//! Uploads in parts, in a directory.
//!
//! ```text
//! <dir>/uploads/<id>/content     each part at its place
//! <dir>/uploads/<id>/<number>    names the length of a part that is there and synced
//! ```
//! An upload stays until it is completed or taken back: whoever began it knows it from a row.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hakata_runtime::secret::random_bytes;

use super::{Fs, name_synced, sync_directory};
use crate::blobs::{BlobError, BlobStat};
use crate::key::BlobKey;
use crate::s3::MAX_PARTS;
use crate::upload::{UploadId, UploadedPart};

/// The length of each part but the last.
pub(crate) const PART_BYTES: u64 = 8 << 20;

/// The file of an upload's bytes.
const CONTENT: &str = "content";

impl Fs {
    pub(crate) async fn begin_upload(&self, key: BlobKey) -> Result<UploadId, BlobError> {
        let id: String = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let (all, id) = (self.0.dir.join("uploads"), UploadId::new(id));
        let folder = all.join(id.as_str());
        self.work("beginning", key, move || {
            fs::create_dir_all(&folder)?;
            File::create_new(folder.join(CONTENT))?;
            sync_directory(&folder)?;
            sync_directory(&all)
        })
        .await?;
        Ok(id)
    }

    pub(crate) async fn put_part(
        &self,
        key: BlobKey,
        id: &UploadId,
        number: u16,
        bytes: Bytes,
    ) -> Result<UploadedPart, BlobError> {
        let folder = self.upload(id);
        let size_bytes = bytes.len() as u64;
        self.work("writing a part of", key, move || {
            let folder = folder?;
            let is_right = (1..=MAX_PARTS).contains(&number) && size_bytes <= PART_BYTES;
            if !is_right {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a part of another number or length",
                ));
            }
            let mark = folder.join(number.to_string());
            absent_is_fine(fs::remove_file(&mark))?;
            let content = File::options().write(true).open(folder.join(CONTENT))?;
            content.write_all_at(&bytes, u64::from(number - 1) * PART_BYTES)?;
            content.sync_data()?;
            fs::write(&mark, size_bytes.to_string())?;
            File::open(&mark)?.sync_all()?;
            sync_directory(&folder)
        })
        .await?;
        Ok(UploadedPart { number, size_bytes, tag: String::new(), sha256: None })
    }

    pub(crate) async fn list_parts(
        &self,
        key: BlobKey,
        id: &UploadId,
    ) -> Result<Option<Vec<UploadedPart>>, BlobError> {
        let folder = self.upload(id);
        self.work("listing the parts of", key, move || match folder.and_then(|folder| list(&folder)) {
            Ok(parts) => Ok(Some(parts)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    pub(crate) async fn complete_upload(
        &self,
        key: BlobKey,
        id: &UploadId,
        parts: &[UploadedPart],
    ) -> Result<BlobStat, BlobError> {
        let (folder, path, named) = (self.upload(id), self.path_of(key), parts.to_vec());
        let done = self.work("completing", key, move || {
            let folder = folder?;
            let size_bytes = whole(&list(&folder)?, &named)?;
            let content = folder.join(CONTENT);
            File::options().write(true).open(&content)?.set_len(size_bytes)?;
            let mut named_in = std::collections::BTreeSet::new();
            name_synced(&content, &path, &mut named_in)?;
            named_in.iter().try_for_each(|directory| sync_directory(directory))?;
            // What is left names no bytes any more.
            let _ = fs::remove_dir_all(&folder);
            Ok(BlobStat { size_bytes })
        });
        match done.await {
            // Perhaps it was completed before, and the answer was lost.
            Err(BlobError::Io { source, act, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let wanted = parts.iter().map(|part| part.size_bytes).sum::<u64>();
                let there = self.stat(key).await?.filter(|at| at.size_bytes == wanted);
                there.ok_or(BlobError::Io { act, key, source })
            }
            done => done,
        }
    }

    pub(crate) async fn abort_upload(&self, key: BlobKey, id: &UploadId) -> Result<(), BlobError> {
        let folder = self.upload(id);
        self.work("taking back", key, move || match folder {
            Ok(folder) => absent_is_fine(fs::remove_dir_all(folder)),
            Err(_) => Ok(()),
        })
        .await
    }

    /// Finds the folder of an upload. What came out of a row is not believed to be a name of ours.
    fn upload(&self, id: &UploadId) -> io::Result<PathBuf> {
        let is_ours = id.as_str().len() == 32 && id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_ours {
            true => Ok(self.0.dir.join("uploads").join(id.as_str())),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    async fn work<T: Send + 'static>(
        &self,
        act: &'static str,
        key: BlobKey,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let worked = self.0.blocking.run(work).await;
        let worked = worked.map_err(|source| BlobError::Stopped { key, source })?;
        worked.map_err(|source| BlobError::Io { act, key, source })
    }
}

/// Reads the marks of parts; one that a crash left half-written is none.
fn list(folder: &Path) -> io::Result<Vec<UploadedPart>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Ok(size_bytes) = fs::read_to_string(entry.path())?.parse() {
            parts.push(UploadedPart { number, size_bytes, tag: String::new(), sha256: None });
        }
    }
    parts.sort_by_key(|part| part.number);
    Ok(parts)
}

/// Tells how long the blob is that parts make, if there is one of each number and none but the last is short.
fn whole(kept: &[UploadedPart], named: &[UploadedPart]) -> io::Result<u64> {
    let odd = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let is_kept = |part: &UploadedPart| {
        kept.iter().any(|at| (at.number, at.size_bytes) == (part.number, part.size_bytes))
    };
    let Some((last, others)) = named.split_last() else { return odd("an upload without parts") };
    if !named.iter().zip(1_u16..).all(|(part, number)| part.number == number && is_kept(part)) {
        return odd("a part is missing");
    }
    if others.iter().any(|part| part.size_bytes != PART_BYTES) {
        return odd("a part before the last is short");
    }
    Ok(others.len() as u64 * PART_BYTES + last.size_bytes)
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
