//! Signing in by token.

use std::net::IpAddr;
use std::sync::Arc;

use hakata_names::{TokenId, UserId};
use hakata_runtime::secret::Secret;
use hakata_store::OwnerState;
use hakata_store::tokens::{self, KnownToken, Token};

use super::cache::Rows;
use super::refusals::Proof;
use super::sign_in::wrong;
use super::token;
use crate::{Actor, Error, Forge, Scopes, Via};

/// Tokens kept in memory, by digest.
pub(super) type TokenRows = Rows<[u8; 32], KnownToken>;

impl Forge {
    /// Signs in by a token, as HTTP's `Bearer` and `token` schemes carry it.
    ///
    /// Cost: a look-up in memory when this process owns the database, else one SQL round trip.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`](crate::Kind).
    pub async fn sign_in_token(
        &self,
        token: Secret<String>,
        address: Option<IpAddr>,
    ) -> Result<Actor, Error> {
        let Some(digest) = token::digest(token.expose()) else { return Err(wrong()) };
        let now = self.clock().now_ms();
        let good =
            |known: &Arc<KnownToken>| known.user_state == OwnerState::Active && is_good(&known.token, now);
        let Some(known) = self.token(&digest).await?.filter(good) else {
            self.refused_login("", Proof::Token, address);
            return Err(wrong());
        };
        let token = &known.token;
        let scopes: Scopes = token.scopes.parse().map_err(|_| wrong())?;
        self.token_used(token.id, now);
        let via = Via::Token { id: token.id, scopes };
        Ok(Actor::User { id: token.user_id, name: known.user_name.clone(), is_admin: known.is_admin, via })
    }

    /// Refuses a token that was revoked or ran out.
    pub(super) async fn check_token(&self, user: UserId, token: TokenId) -> Result<(), Error> {
        let mut conn = self.db().read().await?;
        let (held, now) = (tokens::list_of(&mut conn, user).await?, self.clock().now_ms());
        if held.iter().any(|held| held.id == token && is_good(held, now)) { Ok(()) } else { Err(wrong()) }
    }

    async fn token(&self, digest: &[u8; 32]) -> Result<Option<Arc<KnownToken>>, Error> {
        let rows = &self.inner.authenticator.tokens;
        let in_memory = self.db().is_sole_owner();
        if in_memory && let Some(token) = rows.find(digest) {
            return Ok(token);
        }
        let generation = rows.generation();
        let mut conn = self.db().read().await?;
        let token = tokens::find_by_digest(&mut conn, digest).await?.map(Arc::new);
        // An unknown one is not kept: strangers must not push real ones out.
        if in_memory && token.is_some() {
            rows.keep(*digest, generation, token.clone());
        }
        Ok(token)
    }
}

fn is_good(token: &Token, now: i64) -> bool {
    token.revoked_at.is_none() && token.expires_at.is_none_or(|ends| now < ends)
}
