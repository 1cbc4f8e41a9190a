//! The operations over MessagePack-RPC.
//!
//! A connection shows its token with the method `auth`, unless the service wants none; then it sends as many requests as
//! it likes and gets answers in the order in which they are ready. What an answer in parts leaves over waits on this
//! connection, for a while and in bounded number. See [`hakata_rpc::msgpack`] for the messages.

use std::fmt;
use std::sync::Arc;

use hakata_rpc::Operations;
use hakata_service::listener::Connection;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::tokens::Tokens;

mod answer;
mod conversation;
mod kept;
mod standing;

use conversation::Conversation;

/// Serves connections; cheap to clone.
#[derive(Clone)]
pub struct Msgpack {
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    settings: Arc<Settings>,
    drain: CancellationToken,
}

impl Msgpack {
    /// Serves operations until `drain` fires; then what was asked is answered, and connections end.
    pub fn new(
        operations: Arc<dyn Operations>,
        tokens: Tokens,
        settings: Settings,
        drain: CancellationToken,
    ) -> Self {
        Self { operations, tokens, settings: Arc::new(settings), drain }
    }

    /// Serves one connection to its end.
    pub async fn serve(self, connection: Connection) {
        let peer = connection.peer;
        let end = Conversation::new(self, connection).run().await;
        tracing::debug!(%peer, %end, "rpc connection ended");
    }
}

impl fmt::Debug for Msgpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Msgpack").field("settings", &self.settings).finish_non_exhaustive()
    }
}
