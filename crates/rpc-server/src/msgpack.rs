//! The operations over MessagePack-RPC.
//!
//! A connection shows its token with the method `auth`, unless its certificate says enough or the service wants none; then it sends as many requests as
//! it likes and gets answers in the order in which they are ready. What an answer in parts leaves over waits on this
//! connection, for a while and in bounded number; what may be long is written to a file ([`Spool`]) and waits for whoever
//! shows the same token. See [`hakata_rpc::msgpack`] for the messages.

use std::fmt;
use std::sync::Arc;

use hakata_rpc::Operations;
use hakata_service::listener::Connection;
use hakata_service::stream::Stream;
use hakata_service::tls::{ClientCertificate, Tls, TlsStream};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::spool::Spool;
use crate::tokens::Tokens;

mod answer;
mod conversation;
mod kept;
mod standing;
mod upload;

use conversation::{Conversation, End};

/// What the listener is called in metrics.
const LISTENER: &str = "rpc_msgpack";

/// Serves connections; cheap to clone.
#[derive(Clone)]
pub struct Msgpack {
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    settings: Arc<Settings>,
    spool: Spool,
    drain: CancellationToken,
    tls: Option<Tls>,
}

impl Msgpack {
    /// Serves operations until `drain` fires; then what was asked is answered, and connections end.
    pub fn new(
        operations: Arc<dyn Operations>,
        tokens: Tokens,
        settings: Settings,
        spool: Spool,
        drain: CancellationToken,
    ) -> Self {
        Self { operations, tokens, settings: Arc::new(settings), spool, drain, tls: None }
    }

    /// Makes every connection begin with TLS.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Serves one connection to its end.
    pub async fn serve(self, connection: Connection) {
        // Boxed: a connection is of one of the two kinds and does not keep room for both.
        let (peer, slot, stream) = (connection.peer, connection.slot, connection.stream);
        let end = match self.tls.clone() {
            None => {
                let known = self.tokens.owner_by(None);
                Box::pin(Conversation::new(self, (stream, slot), known).run()).await
            }
            Some(tls) => match self.shake_hands(&tls, stream).await {
                Ok(stream) => {
                    let certificate = ClientCertificate::of(&stream);
                    let known = self.tokens.owner_by(certificate.as_ref());
                    Box::pin(Conversation::new(self, (stream, slot), known).run()).await
                }
                Err(end) => end,
            },
        };
        tracing::debug!(%peer, %end, "rpc connection ended");
    }

    async fn shake_hands(&self, tls: &Tls, stream: Stream) -> Result<TlsStream<Stream>, End> {
        tokio::select! {
            accepted = tls.accept(stream, self.settings.login, LISTENER) => accepted.map_err(End::Io),
            () = self.drain.cancelled() => Err(End::Drained),
        }
    }
}

impl fmt::Debug for Msgpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Msgpack").field("settings", &self.settings).finish_non_exhaustive()
    }
}
