//! The rows of repositories, for callers above who know only names.

use hakata_git::objects::{Objects, ReadError};
use hakata_names::{RepositoryId, RepositoryPath};
use hakata_store::page::PageSize;
use hakata_store::{StoreError, packs, repositories};

use crate::cache::{CacheError, CacheHandle};
use crate::engine::Repositories;
use crate::repository::Repository;

pub use hakata_store::repositories::Repository as RepositoryRow;
pub use hakata_store::{RepositoryState, Visibility};

/// Rows of one page of a listing.
const PAGE: usize = 200;

impl Repositories {
    /// Finds a repository that is in use by its path. One question to the database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn find(&self, path: &RepositoryPath) -> Result<Option<RepositoryRow>, StoreError> {
        let row = repositories::find_by_path(&mut self.engine.db.read().await?, path).await?;
        Ok(row.filter(in_use))
    }

    /// Finds a repository that is in use by its id. One question to the database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn find_by_id(&self, id: RepositoryId) -> Result<Option<RepositoryRow>, StoreError> {
        let row = repositories::find(&mut self.engine.db.read().await?, id).await?;
        Ok(row.filter(in_use))
    }

    /// Lists some repositories that are in use, by id; the second value says where to go on.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list(
        &self,
        after: Option<RepositoryId>,
    ) -> Result<(Vec<RepositoryRow>, Option<RepositoryId>), StoreError> {
        let mut conn = self.engine.db.read().await?;
        let page = repositories::list_all(&mut conn, after, PageSize::new(PAGE)).await?;
        Ok((page.rows.into_iter().filter(in_use).collect(), page.next))
    }
}

fn in_use(row: &RepositoryRow) -> bool {
    matches!(row.state, RepositoryState::Active | RepositoryState::Archived)
}

/// The objects of a repository, and the hold on their directory.
#[derive(Debug)]
pub struct Readable {
    objects: Objects,
    _cache: CacheHandle,
}

/// Why objects cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenObjectsError {
    /// There is no directory to read.
    #[error("preparing the repository")]
    Cache(#[source] CacheError),
    /// The directory is there and cannot be opened.
    #[error("opening the objects of the repository")]
    Open(#[source] ReadError),
}

impl Readable {
    /// Returns the objects. They are to be used only while this value lives.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }
}

/// What a repository takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of its packs, shared ones included.
    pub size_bytes: u64,
    /// The packs.
    pub n_packs: u64,
    /// The objects in them; one in two packs counts twice.
    pub n_objects: u64,
}

impl Repository {
    /// Opens the objects of this version.
    ///
    /// # Errors
    /// [`OpenObjectsError`].
    pub async fn readable(&self) -> Result<Readable, OpenObjectsError> {
        let cache = self.cache().await.map_err(OpenObjectsError::Cache)?;
        let git = &self.engine.git;
        let objects = git.objects(cache.dir(), cache.generation()).await.map_err(OpenObjectsError::Open)?;
        Ok(Readable { objects, _cache: cache })
    }

    /// Adds its packs up. One question to the database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn size(&self) -> Result<Size, StoreError> {
        Ok(sum(&packs::list_of(&mut self.engine.db.read().await?, self.id).await?))
    }

    /// Adds up the packs that came with a version; nothing if they have become part of others since. One question to the
    /// database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn size_of_version(&self, version: i64) -> Result<Size, StoreError> {
        Ok(sum(&packs::list_of_version(&mut self.engine.db.read().await?, self.id, version).await?))
    }
}

fn sum(packs: &[packs::Pack]) -> Size {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    packs.iter().fold(Size::default(), |size, pack| Size {
        size_bytes: size.size_bytes + unsigned(pack.size_bytes),
        n_packs: size.n_packs + 1,
        n_objects: size.n_objects + unsigned(pack.n_objects),
    })
}
