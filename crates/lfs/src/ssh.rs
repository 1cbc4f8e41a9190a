//! The SSH face of Git LFS: `git-lfs-transfer`, objects and locks over the connection that git itself came by.
//!
//! It speaks over any duplex and knows nothing of SSH; whoever does hands it who came, for which repository and
//! operation, and the streams. One session is one conversation, a request at a time; clients open several side by side.
//!
//! ```text
//! server: version=1, locking, flush
//! client: version 1, flush                                       server: status 200, flush
//! client: batch, arguments, delim, `OID SIZE` lines, flush       server: status, arguments, delim, lines, flush
//! client: put-object OID, arguments, delim, bytes, flush         server: status, flush
//! client: get-object OID, arguments, flush                       server: status, size=N, delim, bytes, flush
//! client: quit, flush                                            server: status 200, flush
//! ```
//!
//! What is asked is decided by the forge as it is for HTTP, anew with each request. Source: git-lfs,
//! docs/proposals/ssh_adapter.md, and what its client does beside it.

mod batch;
mod locks;
mod object;
mod reply;
mod request;
mod session;
mod wire;

use std::net::IpAddr;

use hakata_forge::lfs::Operation;
use hakata_forge::{Actor, Forge};
use hakata_names::RepositoryPath;
use hakata_service::http::RequestId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::metrics::SESSIONS;
use crate::settings::Settings;
use session::Session;
use wire::{Wire, WireError};

/// The exit status of a session that was refused or broke.
const FAILED: u32 = 1;

/// Git LFS over SSH. Cheap to share behind one reference; keeps no state between sessions.
pub struct LfsSsh {
    forge: Forge,
    settings: Settings,
}

/// Who opened a session, and what for.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Who showed a key.
    pub actor: Actor,
    /// From where.
    pub address: Option<IpAddr>,
    /// Which repository.
    pub path: RepositoryPath,
    /// What for: nothing else is done in the session.
    pub operation: Operation,
}

/// The streams of a session.
pub struct Duplex {
    /// What the client sends.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// What it reads.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
    /// What a person reads.
    pub errors: Box<dyn AsyncWrite + Send + Unpin>,
}

impl std::fmt::Debug for Duplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Duplex")
    }
}

impl LfsSsh {
    /// Puts the face in front of a forge.
    pub fn new(forge: Forge, settings: Settings) -> Self {
        Self { forge, settings }
    }

    /// Holds one session and returns its exit status. Who may not have one hears a sentence before anything of the
    /// protocol, so that a client goes another way at once.
    ///
    /// Dropping the future, as when the client leaves, ends the transfer that is under way.
    pub async fn serve(&self, opened: &Opened, duplex: Duplex) -> u32 {
        let _counted = SESSIONS.track();
        let id = RequestId::fresh();
        let Duplex { input, output, mut errors } = duplex;
        let session = match Session::open(&self.forge, &self.settings, opened, id).await {
            Ok(session) => session,
            Err(error) => {
                error.log(id.as_str());
                // The client may be gone; the exit status says the same.
                let _ = errors.write_all(format!("hakata: {}\n", error.err_line()).as_bytes()).await;
                return FAILED;
            }
        };
        match session.converse(&mut Wire::new(input, output)).await {
            Ok(()) => 0,
            Err(WireError::Left) => FAILED,
            Err(error) => {
                tracing::debug!(request.id = id.as_str(), %error, "an LFS session broke off");
                let _ = errors.write_all(format!("hakata: {error}\n").as_bytes()).await;
                FAILED
            }
        }
    }
}
