//! The one trouble of our own that everybody is told: there is no room left.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::metrics::{Counter, Metric};
use hakata_store::StoreError;

use super::{Error, Kind};

static DISK_FULL: Counter =
    Counter::new("hakata_disk_full_total", "Requests refused because a disk of the server was full");

/// Nobody makes room within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(60);

impl Error {
    /// Makes the answer to a request for which there is no room; the cause is in the log.
    pub(super) fn disk_full(source: Box<dyn StdError + Send + Sync>) -> Self {
        DISK_FULL.inc();
        Self::new(Kind::Unavailable, "the server's disk is full")
            .with_hint("nothing is lost: try again when its administrator has made room")
            .with_retry_after(RETRY_AFTER)
            .with_source(source)
    }

    /// Tells whether the server has no room left.
    pub fn is_disk_full(&self) -> bool {
        self.source.as_deref().is_some_and(|source| is_disk_full(source))
    }
}

/// Tells whether a full disk is behind an error: that of a file, or that of the database.
pub(super) fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(of_system)
        || error.downcast_ref::<StoreError>().is_some_and(StoreError::is_disk_full)
        || error.downcast_ref::<Arc<StoreError>>().is_some_and(|error| error.is_disk_full())
        || error.source().is_some_and(is_disk_full)
}

fn of_system(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(crate) fn metrics() -> [&'static dyn Metric; 1] {
    [&DISK_FULL]
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use hakata_git::quarantine::IndexPackError;
    use hakata_names::RepositoryId;
    use hakata_repository::{CacheError, CommitError, ImportError, ReceiveError, StepError};
    use hakata_store::StoreError;

    use crate::{Error, Kind};

    fn full() -> io::Error {
        io::Error::from_raw_os_error(28)
    }

    #[test]
    fn a_full_disk_is_told_from_however_deep() {
        let errors: [Error; 4] = [
            Error::internal(full()),
            ReceiveError::Quarantine(full()).into(),
            ReceiveError::Index(IndexPackError::Storage(full())).into(),
            CommitError::Read(full()).into(),
        ];
        for error in errors {
            assert!(error.is_disk_full());
            assert_eq!((error.kind(), error.public()), (Kind::Unavailable, "the server's disk is full"));
            assert!(error.chain().contains("No space left on device"), "{}", error.chain());
        }
        let unknown: Error = CommitError::Unknown(StoreError::Broken).into();
        assert_eq!(unknown.kind(), Kind::Unavailable);
        let buried = Error::internal(ImportError::Commit(CommitError::Unknown(StoreError::Broken)));
        for error in [unknown, buried] {
            assert!(error.is_for_a_person() && error.public().contains("not known whether"), "{error}");
            assert!(!error.err_line().contains("nothing is lost"), "that is not known");
        }
        let rolled_back: Error = CommitError::RolledBack(StoreError::Broken).into();
        assert!(!rolled_back.is_for_a_person() && rolled_back.public().contains("push again"));
        let step = StepError::Io { path: "repositories".into(), source: full() };
        let step = CacheError::Step { id: RepositoryId::new(1), source: Arc::new(step) };
        assert!(Error::internal(step).is_disk_full(), "also behind what many wait for");
        assert!(!Error::internal(io::Error::other("disk is odd")).is_disk_full());
    }
}
