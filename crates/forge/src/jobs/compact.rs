//! Many small packs of a repository become one.

use hakata_names::RepositoryId;

use crate::{Error, Forge};

impl Forge {
    /// Makes one pack of the small ones of a repository, if they are many. Nothing that can be read changes.
    ///
    /// # Errors
    /// Not found if the repository is gone, and when database, disk or git fail.
    pub async fn compact(&self, id: RepositoryId) -> Result<(), Error> {
        let repository = self.repositories().open(id).await?;
        repository.compact().await.map(drop).map_err(Error::internal)
    }
}
