//! What another face answers over SSH; the binary brings the two together.

use futures_util::future::BoxFuture;
use hakata_forge::Actor;
use hakata_forge::lfs::Operation;
use hakata_names::RepositoryPath;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Speaks LFS on a channel to its exit status. Its future is dropped when the client leaves or a limit ends the channel.
pub type LfsTransfer = Arc<dyn Fn(LfsSession) -> BoxFuture<'static, u32> + Send + Sync>;

/// A channel that asked for `git-lfs-transfer`.
pub struct LfsSession {
    /// Who has shown a key.
    pub actor: Actor,
    /// From where.
    pub address: Option<IpAddr>,
    /// Which repository.
    pub path: RepositoryPath,
    /// What for.
    pub operation: Operation,
    /// What the client sends.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// Standard output.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
    /// Standard error.
    pub errors: Box<dyn AsyncWrite + Send + Unpin>,
}

impl std::fmt::Debug for LfsSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { actor, path, operation, .. } = self;
        f.debug_struct("LfsSession")
            .field("actor", actor)
            .field("path", path)
            .field("operation", operation)
            .finish_non_exhaustive()
    }
}
