//! Bringing in a repository from another host, by way of a quarantine.

use hakata_git::quarantine::Quarantine;
use hakata_git::remote::Remote;

use super::{Import, ImportError, Imported, Progress};
use crate::commit::Rows;
use crate::receive::ReceiveError;
use crate::repository::Repository;

impl Repository {
    /// Imports what another host serves, as [`import`](Self::import) does from a directory; `import.source` does not
    /// count. Dropping the future ends the fetch and removes what came.
    ///
    /// # Errors
    /// [`ImportError`]; nothing has changed then.
    pub async fn import_from(
        &self,
        remote: &Remote,
        import: &Import,
        also: impl Rows + Clone,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Imported, ImportError> {
        let permit = self.engine.quarantines.acquire().await;
        let permit = permit.map_err(|error| ImportError::Receive(ReceiveError::Limited(error)))?;
        let (parent, format) = (self.engine.settings.data.join("quarantine"), self.format());
        let create = move || Quarantine::create(&parent, None, format);
        let created = self.engine.blocking.run(create).await.map_err(ImportError::Busy)?;
        let fetched = created.map_err(|error| ImportError::Receive(ReceiveError::Quarantine(error)))?;
        let told = |size_bytes| progress(Progress::Fetching { size_bytes });
        remote.fetch(&self.engine.git, &fetched, told).await.map_err(ImportError::Fetch)?;
        // Whoever packs it waits for a place again.
        drop(permit);
        let import = Import { source: fetched.dir().path().to_owned(), ..import.clone() };
        self.import(&import, also, progress).await
    }
}
