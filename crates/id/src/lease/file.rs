//! A worker id given by configuration, and its fence in a file of the data directory.
//!
//! The file's lock is the lease: `flock(2)`, so it ends with its holder however that dies, and a second process on the
//! host is refused. Nothing here keeps two hosts from using one worker id; the operator who gives it does.
//!
//! ```text
//! DIR/id/known                  standard-7                      a line for each fence there ever was
//! DIR/id/standard-7.fence       hakata-fence 1 standard-7 …     the fence, see `record`
//! ```
//!
//! **First start or lost file?** A worker id is written to `known` before its fence file gets its first record. So an id
//! that `known` does not name has never issued here and need not wait, and one that it names must have a fence: if that
//! is missing or damaged, issuing waits until any fence that may have been lost has passed. If `known` itself is missing
//! beside fence files, nothing can be told from it and every missing fence counts as lost. An empty directory is a first
//! start; whoever deletes the whole of it, or starts a container without its volume, must do so with a clock that has not
//! fallen since.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hakata_runtime::blocking::Blocking;

use super::{Lease, LeaseError, Renewed, Term, Wish};
use crate::layout::{Layout, WorkerId};

mod fence_file;
mod known;
mod record;

use fence_file::{FenceFile, Found};

/// A fixed worker id with its fence in a file.
#[derive(Debug)]
pub struct FileLease {
    place: Place,
    file: Option<Arc<FenceFile>>,
    found: Found,
    /// One call at a time; a disk that hangs holds up nothing but this lease.
    blocking: Blocking,
}

/// Where the fence of a worker id is.
#[derive(Clone, Debug)]
struct Place {
    dir: PathBuf,
    layout: Layout,
    worker_id: WorkerId,
}

/// Why a fence file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFenceError {
    /// Another process has it open.
    #[error(
        "worker id {worker_id} is in use by another process{} (hint: give each process an id.worker_id and data directory \
         of its own)",
        .pid.map(|pid| format!(", {pid}")).unwrap_or_default()
    )]
    InUse {
        /// The worker id.
        worker_id: WorkerId,
        /// The other process, if the file tells.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("opening {}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl FileLease {
    /// Locks the fence file of a worker id below a data directory; makes it if it is not there.
    ///
    /// Blocks for a few disk accesses; call it before serving, so that a second process ends with a clear message.
    ///
    /// # Errors
    /// [`OpenFenceError::InUse`] while another process has it.
    pub fn open(data: &Path, layout: Layout, worker_id: WorkerId) -> Result<Self, OpenFenceError> {
        let place = Place { dir: data.join("id"), layout, worker_id };
        let (file, found) = FenceFile::open(&place)?;
        Ok(Self { place, file: Some(Arc::new(file)), found, blocking: Blocking::new(1) })
    }

    /// Runs blocking work on the file; it is not stopped if the caller goes away.
    async fn on_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&FenceFile) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, LeaseError> {
        let file = self.file.clone().ok_or(LeaseError::Lost(self.place.worker_id))?;
        let ran = self.blocking.run(move || work(&file)).await;
        ran.map_err(|error| unreachable(Box::new(error)))?.map_err(|error| unreachable(Box::new(error)))
    }

    /// Opens the file anew after it was lost.
    async fn reopen(&mut self) -> Result<(), LeaseError> {
        let place = self.place.clone();
        let opened = self.blocking.run(move || FenceFile::open(&place)).await;
        let (file, found) = match opened.map_err(|error| unreachable(Box::new(error)))? {
            Ok(opened) => opened,
            Err(OpenFenceError::InUse { worker_id, .. }) => {
                return Err(LeaseError::Taken { least: worker_id, most: worker_id });
            }
            Err(error) => return Err(unreachable(Box::new(error))),
        };
        (self.file, self.found) = (Some(Arc::new(file)), found);
        Ok(())
    }
}

impl Lease for FileLease {
    async fn acquire(&mut self, wish: impl Fn() -> Wish + Send + Sync) -> Result<Term, LeaseError> {
        if self.file.is_none() {
            self.reopen().await?;
        }
        let wish = wish();
        let worker_id = self.place.worker_id;
        let (from_ms, lost) = match &self.found {
            Found::First => (wish.now_ms, None),
            Found::Fence(fence_ms) => (wish.now_ms.max(*fence_ms), None),
            // The fence was ours and by this clock, unlike in a place that many hosts share.
            Found::Suspect(why) => (wish.fence_ms(), Some(*why)),
        };
        let fence_ms = from_ms.max(wish.fence_ms());
        self.on_file(move |file| file.write(fence_ms)).await?;
        self.found = Found::Fence(fence_ms);
        Ok(Term { worker_id, from_ms, fence_ms, place_ms: None, lost })
    }

    async fn renew(&mut self, wish: Wish) -> Result<Renewed, LeaseError> {
        let Found::Fence(known_ms) = self.found else { return Err(LeaseError::Lost(self.place.worker_id)) };
        let fence_ms = known_ms.max(wish.fence_ms());
        let renew = move |file: &FenceFile| {
            let is_there = file.is_there()?;
            if is_there { file.write(fence_ms).map(|()| true) } else { Ok(false) }
        };
        if !self.on_file(renew).await? {
            // Whoever finds the name free may make another file and lock that.
            self.file = None;
            return Err(LeaseError::Lost(self.place.worker_id));
        }
        self.found = Found::Fence(fence_ms);
        Ok(Renewed { fence_ms, place_ms: None })
    }

    async fn release(&mut self, next_ms: i64) -> Result<(), LeaseError> {
        if let Found::Fence(_) = self.found {
            self.on_file(move |file| file.write(next_ms)).await?;
            self.found = Found::Fence(next_ms);
        }
        Ok(())
    }
}

fn unreachable(source: Box<dyn std::error::Error + Send + Sync>) -> LeaseError {
    LeaseError::Unreachable { place: "the fence file", source }
}

#[cfg(test)]
mod tests;
