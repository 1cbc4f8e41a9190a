//! When tokens and keys were last used: written behind the request, at most once a minute each.

use hakata_names::{KeyId, TokenId};
use hakata_store::{Db, StoreError, keys, tokens};
use quick_cache::sync::Cache;

use crate::Forge;

/// The least time between two writes for one token or key, in milliseconds.
const EVERY_MS: i64 = 60_000;

/// Credentials whose last write is remembered.
const MAX_REMEMBERED: usize = 10_000;

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Credential {
    Token(TokenId),
    Key(KeyId),
}

/// When each was last written.
#[derive(Debug)]
pub(super) struct Used(Cache<Credential, i64>);

impl Used {
    pub(super) fn new() -> Self {
        Self(Cache::new(MAX_REMEMBERED))
    }

    /// Whether it is time to write this one again; says yes once.
    fn is_due(&self, credential: Credential, now: i64) -> bool {
        let due = self.0.get(&credential).is_none_or(|at| now - at >= EVERY_MS || now < at);
        if due {
            self.0.insert(credential, now);
        }
        due
    }
}

impl Forge {
    pub(super) fn token_used(&self, id: TokenId, now: i64) {
        self.credential_used(Credential::Token(id), now);
    }

    pub(super) fn key_used(&self, id: KeyId, now: i64) {
        self.credential_used(Credential::Key(id), now);
    }

    fn credential_used(&self, credential: Credential, now: i64) {
        if !self.inner.authenticator.used.is_due(credential, now) {
            return;
        }
        let db = self.db().clone();
        drop(self.tasks().spawn("last_used", async move {
            if let Err(error) = write(&db, credential, now).await {
                tracing::debug!(error = %error, "writing when a credential was last used");
            }
        }));
    }
}

async fn write(db: &Db, credential: Credential, now: i64) -> Result<(), StoreError> {
    let mut conn = db.write().await?;
    match credential {
        Credential::Token(id) => tokens::touch(&mut conn, id, now).await?,
        Credential::Key(id) => keys::touch(&mut conn, id, now).await?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use hakata_names::TokenId;

    use super::{Credential, Used};

    #[test]
    fn a_credential_is_written_once_a_minute() {
        let used = Used::new();
        let token = Credential::Token(TokenId::new(1));
        assert!(used.is_due(token, 1_000) && !used.is_due(token, 60_000) && used.is_due(token, 61_000));
        assert!(used.is_due(Credential::Token(TokenId::new(2)), 61_000));
    }
}
