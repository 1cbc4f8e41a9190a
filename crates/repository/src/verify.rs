//! Whether rows, bytes and directories of a repository agree.

use std::collections::BTreeMap;

use hakata_blob::{BlobError, BlobKey, PackPart};
use hakata_git::foreign::{Alternates, Foreign};
use hakata_git::fsck::{self, Depth};
use hakata_git::quarantine::{IndexPackError, Quarantine};
use hakata_git::refs::{Ref, RefSnapshot};
use hakata_git::{ChildError, maintain};
use hakata_names::{ObjectFormat, Oid, PackId, RefName};
use hakata_store::packs::Pack;
use hakata_store::{StoreError, packs};

use crate::cache::{StepError, index_again};
use crate::engine::Engine;
use crate::repository::Repository;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A row promises bytes that are not there, or others are.
    Pack {
        /// Which pack.
        pack: PackId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A ref in the directory is not the one that the rows know; the next change overwrites it.
    Ref {
        /// The ref.
        name: RefName,
        /// Where the rows say it points; `None`: there is none.
        row: Option<Oid>,
        /// Where the directory says it points; `None`: it has none.
        directory: Option<Oid>,
    },
    /// The directory cannot be read.
    Directory(String),
    /// git says so.
    Object(String),
}

/// Why a check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Rows cannot be read.
    #[error("reading the catalogue of packs")]
    Store(#[from] StoreError),
    /// Bytes cannot be looked up.
    #[error("looking up the bytes of packs")]
    Blob(#[from] BlobError),
    /// git cannot be asked.
    #[error("reading a pack")]
    Child(#[from] ChildError),
    /// Bytes that are kept elsewhere cannot be fetched.
    #[error("fetching a pack")]
    Fetch(#[from] StepError),
}

impl Repository {
    /// Checks rows against bytes, the directory against rows, and every object by `git fsck`.
    ///
    /// # Errors
    /// [`VerifyError`], if rows or bytes cannot be read at all.
    pub async fn verify(&self) -> Result<Vec<Finding>, VerifyError> {
        let rows = packs::list_of(&mut self.engine.db.read().await?, self.id).await?;
        let mut findings = Vec::new();
        for row in &rows {
            let what = wrong_with(&self.engine, row, self.format()).await?;
            findings.extend(what.map(|what| Finding::Pack { pack: row.id, what }));
        }
        // The directory last: it may have to be made, which needs the bytes.
        findings.extend(self.fsck().await.into_iter().map(Finding::Object));
        findings.extend(self.foreign_refs().await);
        Ok(findings)
    }

    /// Lists the refs in which the directory differs from the rows: somebody wrote to it by hand.
    pub async fn foreign_refs(&self) -> Vec<Finding> {
        let cache = match self.cache().await {
            Ok(cache) => cache,
            Err(error) => return vec![Finding::Directory(chain(&error))],
        };
        let path = cache.dir().path().to_owned();
        let read = self.engine.blocking.run(move || Foreign::open(&path, Alternates::Inside)).await;
        match read {
            Ok(Ok(directory)) => differences(self.snapshot(), directory.refs()),
            Ok(Err(error)) => vec![Finding::Directory(chain(&error))],
            Err(error) => vec![Finding::Directory(chain(&error))],
        }
    }

    /// Lists what git says about the objects of the directory.
    pub(crate) async fn fsck(&self) -> Vec<String> {
        let cache = match self.cache().await {
            Ok(cache) => cache,
            Err(error) => return vec![chain(&error)],
        };
        match fsck::fsck(&self.engine.git, cache.dir(), Depth::Objects).await {
            Ok(findings) => findings.problems,
            Err(error) => vec![chain(&error)],
        }
    }
}

async fn wrong_with(
    engine: &Engine,
    row: &Pack,
    format: ObjectFormat,
) -> Result<Option<&'static str>, VerifyError> {
    let is_size = |n: u64| i64::try_from(n).is_ok_and(|n| n == row.size_bytes);
    if row.is_inline {
        let bytes = packs::get_inline(&mut engine.db.read().await?, row.id).await?.unwrap_or_default();
        let is_right =
            is_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) && bytes.ends_with(&row.checksum);
        return Ok((!is_right).then_some("its row holds other bytes"));
    }
    match engine.blobs.stat(BlobKey::pack(row.id, PackPart::Pack)).await? {
        None => Ok(Some("its bytes are missing")),
        Some(at) if !is_size(at.size_bytes) => Ok(Some("its bytes have another length")),
        Some(_) => wrong_inside(engine, row, format).await,
    }
}

/// Reads a pack where it is kept: the directory, which fsck reads, may have a copy of its own.
async fn wrong_inside(
    engine: &Engine,
    row: &Pack,
    format: ObjectFormat,
) -> Result<Option<&'static str>, VerifyError> {
    let Some(idx) = engine.blobs.local_path(BlobKey::pack(row.id, PackPart::Idx)) else {
        return wrong_elsewhere(engine, row, format).await;
    };
    match maintain::verify_pack(&engine.git, &idx, format).await {
        Ok(()) => Ok(None),
        Err(ChildError::Failed { .. }) => Ok(Some("its bytes or their index are damaged")),
        Err(error) => Err(error.into()),
    }
}

/// Fetches a pack that is kept elsewhere, and has git index it.
async fn wrong_elsewhere(
    engine: &Engine,
    row: &Pack,
    format: ObjectFormat,
) -> Result<Option<&'static str>, VerifyError> {
    let parent = engine.settings.data.join("quarantine");
    let path = parent.clone();
    let made = engine.blocking.run(move || Quarantine::create(&parent, None, format)).await;
    let made = made.map_err(StepError::Busy)?;
    let quarantine = made.map_err(|source| StepError::Io { path, source })?;
    match index_again(engine, &quarantine, row).await {
        Ok(_) => Ok(None),
        Err(StepError::Index {
            source: IndexPackError::Refused { .. } | IndexPackError::Truncated, ..
        }) => Ok(Some("its bytes are damaged")),
        Err(StepError::Corrupt { .. }) => Ok(Some("its bytes are those of another pack")),
        Err(error) => Err(error.into()),
    }
}

fn differences(rows: &RefSnapshot, directory: &[Ref]) -> Vec<Finding> {
    let mut both: BTreeMap<&RefName, (Option<Oid>, Option<Oid>)> = BTreeMap::new();
    for at in rows.iter() {
        both.entry(&at.name).or_default().0 = Some(at.oid);
    }
    for at in directory {
        both.entry(&at.name).or_default().1 = Some(at.oid);
    }
    let differ = both.into_iter().filter(|(_, (row, directory))| row != directory);
    differ.map(|(name, (row, directory))| Finding::Ref { name: name.clone(), row, directory }).collect()
}

/// Writes an error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
