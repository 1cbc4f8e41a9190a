//! Signing in by SSH key.

use std::net::IpAddr;

use hakata_names::KeyId;
use hakata_store::OwnerState;
use hakata_store::keys::{self, KeyHolder, KnownKey};
use hakata_store::users::User;

use super::refusals::Proof;
use super::sign_in::wrong;
use crate::keys::{PublicKey, fingerprint};
use crate::{Actor, Error, Forge, Via};

impl Forge {
    /// Tells whether an SSH key (its blob) that a client offers may sign in. Offered is not proven: this makes
    /// no actor.
    ///
    /// # Errors
    /// Only when the database cannot be asked.
    pub async fn is_key_known(&self, blob: &[u8]) -> Result<bool, Error> {
        Ok(self.key_actor(blob).await?.is_some())
    }

    /// Signs in by an SSH key whose signature the caller has verified in this very login.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`](crate::Kind) when the key is unknown, expired, or its user is disabled.
    pub async fn sign_in_key(&self, blob: &[u8], address: Option<IpAddr>) -> Result<Actor, Error> {
        let Some((actor, key)) = self.key_actor(blob).await? else {
            self.refused_login("", Proof::Key, address);
            return Err(wrong());
        };
        self.key_used(key, self.clock().now_ms());
        Ok(actor)
    }

    /// Asks again whether an actor that signed in by a key still may: an SSH connection outlives its login, and
    /// the key, its user or the user's rank may be gone since. Other actors prove themselves with every request.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`](crate::Kind).
    pub(crate) async fn check_signed_in(&self, actor: &Actor) -> Result<(), Error> {
        let (holder, key) = match actor {
            Actor::User { id, via: Via::Key { id: key }, .. } => (KeyHolder::User(*id), *key),
            Actor::DeployKey { key, repository, .. } => (KeyHolder::Repository(*repository), *key),
            _ => return Ok(()),
        };
        self.check_account(actor).await?;
        let mut conn = self.db().read().await?;
        let keys = keys::list_of(&mut conn, holder).await?;
        let now = self.clock().now_ms();
        let counts = |held: &keys::Key| held.id == key && held.expires_at.is_none_or(|ends| now < ends);
        if keys.iter().any(counts) { Ok(()) } else { Err(wrong()) }
    }

    /// Asks again whether any actor still may: a push lasts, and account, key, token or rank may be gone since
    /// its request was let in.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`](crate::Kind).
    pub(crate) async fn check_not_revoked(&self, actor: &Actor) -> Result<(), Error> {
        match actor {
            Actor::User { id, via: Via::Token { id: token, .. }, .. } => {
                self.check_account(actor).await?;
                self.check_token(*id, *token).await
            }
            Actor::User { via: Via::Password, .. } => self.check_account(actor).await,
            _ => self.check_signed_in(actor).await,
        }
    }

    /// Refuses an actor whose account is disabled, or no longer the administrator's that signed in.
    async fn check_account(&self, actor: &Actor) -> Result<(), Error> {
        let Actor::User { id, is_admin, .. } = actor else { return Ok(()) };
        let user = self.account(*id).await?;
        let still = |user: &User| user.owner.state == OwnerState::Active && (user.is_admin || !is_admin);
        if user.is_some_and(|user| still(&user)) { Ok(()) } else { Err(wrong()) }
    }

    async fn key_actor(&self, blob: &[u8]) -> Result<Option<(Actor, KeyId)>, Error> {
        if PublicKey::parse_blob(blob).is_err() {
            return Ok(None);
        }
        let mut conn = self.db().read().await?;
        let known = keys::find_by_fingerprint(&mut conn, &fingerprint(blob)).await?;
        let now = self.clock().now_ms();
        Ok(known.and_then(|known| actor_of(known, blob, now)))
    }
}

/// Says who a key is, if it counts now.
fn actor_of(known: KnownKey, blob: &[u8], now: i64) -> Option<(Actor, KeyId)> {
    let KnownKey { key, user } = known;
    if key.public_key != blob || key.expires_at.is_some_and(|ends| now >= ends) {
        return None;
    }
    let actor = match (key.holder, user) {
        (KeyHolder::Repository(repository), _) => {
            Actor::DeployKey { key: key.id, repository, can_write: key.can_write }
        }
        (KeyHolder::User(id), Some(user)) if user.state == OwnerState::Active => {
            Actor::User { id, name: user.name, is_admin: user.is_admin, via: Via::Key { id: key.id } }
        }
        (KeyHolder::User(_), _) => return None,
    };
    Some((actor, key.id))
}
