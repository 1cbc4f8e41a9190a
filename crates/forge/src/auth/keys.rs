//! Signing in by SSH key.

use std::net::IpAddr;

use hakata_names::KeyId;
use hakata_store::OwnerState;
use hakata_store::keys::{KeyHolder, KnownKey};
use hakata_store::users::User;

use super::key_rows::Freshness;
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
        self.check_key(actor, Freshness::Seconds).await
    }

    async fn check_key(&self, actor: &Actor, freshness: Freshness) -> Result<(), Error> {
        let key = match actor {
            Actor::User { via: Via::Key { id }, .. } => *id,
            Actor::DeployKey { key, .. } => *key,
            _ => return Ok(()),
        };
        let known = self.key_by_id(key, freshness).await?;
        let now_is = known.and_then(|known| actor_of(&known, self.clock().now_ms()));
        if now_is.is_some_and(|now_is| still(actor, &now_is)) { Ok(()) } else { Err(wrong()) }
    }

    /// Asks again whether any actor still may: a push lasts, and account, key, token or rank may be gone since
    /// its request was let in.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`](crate::Kind).
    pub async fn check_not_revoked(&self, actor: &Actor) -> Result<(), Error> {
        match actor {
            Actor::User { id, via: Via::Token { id: token, .. }, .. } => {
                self.check_account(actor).await?;
                self.check_token(*id, *token).await
            }
            Actor::User { via: Via::Password, .. } => self.check_account(actor).await,
            _ => self.check_key(actor, Freshness::Now).await,
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
        let known = self.key_by_fingerprint(fingerprint(blob)).await?;
        let known = known.filter(|known| known.key.public_key == blob);
        let now = self.clock().now_ms();
        Ok(known.and_then(|known| Some((actor_of(&known, now)?, known.key.id))))
    }
}

/// Says who a key is, if it counts now.
fn actor_of(known: &KnownKey, now: i64) -> Option<Actor> {
    let KnownKey { key, user } = known;
    if key.expires_at.is_some_and(|ends| now >= ends) {
        return None;
    }
    match (key.holder, user) {
        (KeyHolder::Repository(repository), _) => {
            Some(Actor::DeployKey { key: key.id, repository, can_write: key.can_write })
        }
        (KeyHolder::User(id), Some(user)) if user.state == OwnerState::Active => Some(Actor::User {
            id,
            name: user.name.clone(),
            is_admin: user.is_admin,
            via: Via::Key { id: key.id },
        }),
        (KeyHolder::User(_), _) => None,
    }
}

/// Whether who signed in by a key is who the key stands for now, and has lost no rank.
fn still(actor: &Actor, now_is: &Actor) -> bool {
    match (actor, now_is) {
        (Actor::User { id, is_admin, .. }, Actor::User { id: same, is_admin: still_admin, .. }) => {
            id == same && (*still_admin || !is_admin)
        }
        (
            Actor::DeployKey { repository, can_write, .. },
            Actor::DeployKey { repository: same, can_write: still_write, .. },
        ) => repository == same && (*still_write || !can_write),
        _ => false,
    }
}
