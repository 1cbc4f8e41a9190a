//! One writer at a time: within this process by this list, between processes by the row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hakata_runtime::secret::random_bytes;
use hakata_store::lfs_uploads::UploadKey;
use tokio_util::sync::CancellationToken;

/// How long a writer that was told to stop may take: for one part on its way to the store.
const PATIENCE: Duration = Duration::from_secs(20);

/// The uploads that this process writes.
#[derive(Clone, Debug, Default)]
pub(in crate::lfs) struct Writers(Arc<Mutex<HashMap<UploadKey, Tokens>>>);

/// How a writer is told to stop, and how it tells that it has.
#[derive(Clone, Debug, Default)]
struct Tokens {
    stop: CancellationToken,
    gone: CancellationToken,
}

/// The right to write one upload, for as long as anything of it lives: a part on its way keeps it too.
#[derive(Debug)]
pub(super) struct Held {
    writers: Writers,
    key: UploadKey,
    tokens: Tokens,
    name: String,
}

impl Writers {
    /// Waits until nobody in this process writes an upload, after telling whoever does to stop: a client that comes again
    /// has given up the request before. `None` if that takes too long.
    pub(super) async fn enter(&self, key: &UploadKey) -> Option<Held> {
        let entered = async {
            loop {
                let before = match self.try_enter(key) {
                    Ok(held) => return held,
                    Err(before) => before,
                };
                before.stop.cancel();
                before.gone.cancelled().await;
            }
        };
        tokio::time::timeout(PATIENCE, entered).await.ok()
    }

    fn try_enter(&self, key: &UploadKey) -> Result<Held, Tokens> {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = writers.get(key) {
            return Err(before.clone());
        }
        let tokens = Tokens::default();
        writers.insert(key.clone(), tokens.clone());
        let name = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Held { writers: self.clone(), key: key.clone(), tokens, name })
    }
}

impl Held {
    /// The name of this writer in the row.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until another request of the same client wants to write.
    pub(super) async fn unwanted(&self) {
        self.tokens.stop.cancelled().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.writers.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.tokens.gone.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hakata_names::{LfsOid, RepositoryId};
    use hakata_store::lfs_uploads::UploadKey;

    use super::Writers;

    fn key(uploader: &str) -> UploadKey {
        UploadKey {
            repository: RepositoryId::new(1),
            oid: LfsOid::new([1; 32]),
            uploader: uploader.to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_writer_waits_until_the_last_part_of_the_one_before_is_kept() {
        let writers = Writers::default();
        let first = Arc::new(writers.enter(&key("user:1")).await.unwrap());
        let part_on_its_way = Arc::clone(&first);
        assert!(writers.enter(&key("user:2")).await.is_some(), "another's upload is another");
        let next = tokio::spawn({
            let writers = writers.clone();
            async move { writers.enter(&key("user:1")).await.is_some() }
        });
        first.unwanted().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!next.is_finished(), "a part is still being written");
        drop(part_on_its_way);
        assert!(next.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_does_not_stop_is_not_waited_for_for_ever() {
        let writers = Writers::default();
        let _first = writers.enter(&key("user:1")).await.unwrap();
        assert!(writers.enter(&key("user:1")).await.is_none());
    }
}
