//! Objects that are made here: a merge, an edited file, an annotated tag.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use hakata_git::quarantine::Quarantine;
use hakata_git::write::{LongBlobs, NewObjects, WriteError};
use hakata_names::{Oid, RefUpdate};
use hakata_runtime::secret::random_bytes;

use crate::cache::CacheHandle;
use crate::engine::Engine;
use crate::receive::{Push, ReceiveError, ReceiveLimits, Received};
use crate::repository::Repository;

/// A directory in front of a repository that git may write objects to, gone when dropped. What is of use in the end is
/// [collected](Self::collect).
#[derive(Debug)]
pub struct Scratch {
    engine: Arc<Engine>,
    quarantine: Quarantine,
    /// Last: the directory behind the scratch stays as long as it does.
    base: CacheHandle,
}

impl Scratch {
    /// Returns the directory as a repository without refs that also has the objects of the one behind it.
    pub fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// Adds a tree that git left here to `objects`, with all below it that the repository lacks.
    ///
    /// # Errors
    /// As [`NewObjects::collected`].
    pub async fn collect(&self, objects: NewObjects, tree: Oid) -> Result<NewObjects, WriteError> {
        let git = &self.engine.git;
        let base = git.objects(self.base.dir(), self.base.generation()).await?;
        let scratch = self.quarantine.objects(git).await?;
        objects.collected(&scratch, &base, tree).await
    }
}

/// Contents that come in pieces and are too long for memory: they wait in a file without a name, which goes with this
/// value.
#[derive(Debug)]
pub struct LongContents {
    engine: Arc<Engine>,
    /// Away while a thread works on it; whoever leaves meanwhile has no use for the rest.
    blobs: Option<LongBlobs>,
}

impl LongContents {
    /// Begins a content of so many bytes.
    ///
    /// # Errors
    /// [`ReceiveError::Make`], [`ReceiveError::Busy`].
    pub async fn begin(&mut self, size_bytes: u64) -> Result<(), ReceiveError> {
        self.work(move |blobs| blobs.begin(size_bytes).map_err(WriteError::Store)).await
    }

    /// Takes the next bytes of the content, as many as it lacks, and leaves the rest. Returns how many it lacks then.
    ///
    /// # Errors
    /// [`ReceiveError::Make`], [`ReceiveError::Busy`].
    pub async fn write(&mut self, bytes: &mut Bytes) -> Result<u64, ReceiveError> {
        let given = bytes.clone();
        let written = self.work(move |blobs| {
            let n_rest = blobs.write(&given).map_err(WriteError::Store)?.len();
            Ok((n_rest, blobs.left_bytes()))
        });
        let (n_rest, left) = written.await?;
        bytes.advance(bytes.len() - n_rest);
        Ok(left)
    }

    /// Ends the content and names it.
    ///
    /// # Errors
    /// [`ReceiveError::Make`] if bytes are missing; [`ReceiveError::Busy`].
    pub async fn end(&mut self) -> Result<Oid, ReceiveError> {
        self.work(LongBlobs::end).await
    }

    /// Gives them all to the objects of a change.
    pub fn into_blobs(self) -> Option<LongBlobs> {
        self.blobs
    }

    async fn work<T, F>(&mut self, work: F) -> Result<T, ReceiveError>
    where
        T: Send + 'static,
        F: FnOnce(&mut LongBlobs) -> Result<T, WriteError> + Send + 'static,
    {
        let gone = || ReceiveError::Make(WriteError::Store(io::ErrorKind::BrokenPipe.into()));
        let mut blobs = self.blobs.take().ok_or_else(gone)?;
        let worked = self.engine.blocking.run(move || {
            let done = work(&mut blobs);
            (blobs, done)
        });
        let (blobs, done) = worked.await.map_err(ReceiveError::Busy)?;
        self.blobs = Some(blobs);
        done.map_err(ReceiveError::Make)
    }
}

/// Makes a file that nobody else finds, and that goes with its last user, however that ends.
fn nameless(dir: &Path) -> io::Result<File> {
    let name: String = random_bytes::<12>().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = dir.join(format!("contents-{name}"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

impl Repository {
    /// Begins to take contents that are too long for memory.
    ///
    /// # Errors
    /// [`ReceiveError::Quarantine`], [`ReceiveError::Busy`].
    pub async fn long_contents(&self) -> Result<LongContents, ReceiveError> {
        let dir = self.engine.settings.data.join("quarantine");
        let made = self.engine.blocking.run(move || nameless(&dir)).await.map_err(ReceiveError::Busy)?;
        let file = made.map_err(ReceiveError::Quarantine)?;
        Ok(LongContents { engine: self.engine.clone(), blobs: Some(LongBlobs::new(self.format(), file)) })
    }

    /// Makes a scratch. It takes no place of a push: drop it before [`make`](Self::make), which does.
    ///
    /// # Errors
    /// [`ReceiveError::Cache`], [`ReceiveError::Quarantine`] or [`ReceiveError::Busy`].
    pub async fn scratch(&self) -> Result<Scratch, ReceiveError> {
        let base = self.cache().await.map_err(ReceiveError::Cache)?;
        let quarantine = self.quarantine(Some(&base)).await?;
        Ok(Scratch { engine: self.engine.clone(), quarantine, base })
    }

    /// Takes in objects that were made here. They are judged exactly as pushed ones: indexed in a quarantine by git, and
    /// proved complete. Without objects the updates may lead to what is there already.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ReceiveError::Pack`].
    pub async fn make(
        &self,
        updates: Vec<RefUpdate>,
        objects: NewObjects,
        limits: &ReceiveLimits,
    ) -> Result<Received, ReceiveError> {
        let push = Push { updates, shallow: Vec::new() };
        if objects.is_empty() {
            return self.receive(push, None::<&mut tokio::io::Empty>, limits).await;
        }
        let packed = self.engine.blocking.run(move || objects.into_pack()).await;
        let mut pack = packed.map_err(ReceiveError::Busy)?.map_err(ReceiveError::Pack)?;
        self.receive(push, Some(&mut pack), limits).await
    }
}
