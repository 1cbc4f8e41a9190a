//! SSH public keys: parsing them, and whom they belong to.
//!
//! A key belongs to one user or is a deploy key of one repository, never both, and never twice: the key says
//! who is there.

mod public_key;
mod wire;

use hakata_names::{KeyId, UserId};
use hakata_store::Conn;
use hakata_store::keys::{self as rows, Key, KeyHolder};
use serde_json::json;

pub use public_key::{KeyAlgorithm, ParseKeyError, PublicKey, fingerprint};

use crate::access::{Grant, Maintain};
use crate::mail::{AccountChange, Notices};
use crate::{Actor, Error, Forge, Kind};

/// Most keys of one user or repository.
const MAX_KEYS: usize = 100;

/// Longest title of a key in characters.
const MAX_TITLE_CHARS: usize = 120;

impl From<ParseKeyError> for Error {
    fn from(error: ParseKeyError) -> Self {
        Self::new(Kind::Invalid, error.to_string())
    }
}

/// Inserts a key, inside the transaction that it belongs to.
pub(crate) async fn insert(conn: &mut Conn, key: &Key) -> Result<(), Error> {
    rows::insert(conn, key).await?.map_err(|conflict| {
        // Whose it is stays secret: a stranger's public key can be had from anywhere.
        Error::new(Kind::Conflict, "this key is in use already")
            .with_hint("a key belongs to one user or one repository; make another one")
            .with_source(conflict)
    })
}

impl Forge {
    /// Makes rows of the keys of a user.
    pub(crate) async fn prepare_keys(&self, user: UserId, keys: &[PublicKey]) -> Result<Vec<Key>, Error> {
        let mut prepared = Vec::with_capacity(keys.len());
        for key in keys {
            prepared.push(self.prepare_key(KeyHolder::User(user), key, None, true).await?);
        }
        Ok(prepared)
    }

    async fn prepare_key(
        &self,
        holder: KeyHolder,
        key: &PublicKey,
        title: Option<&str>,
        can_write: bool,
    ) -> Result<Key, Error> {
        Ok(Key {
            id: self.ids().next().await?,
            holder,
            can_write,
            algorithm: key.algorithm.to_string(),
            fingerprint: key.fingerprint(),
            public_key: key.blob.clone(),
            title: title.unwrap_or(&key.comment).chars().take(MAX_TITLE_CHARS).collect(),
            created_at: self.clock().now_ms(),
            last_used_at: None,
            expires_at: None,
        })
    }

    /// Adds a key to a user.
    pub(crate) async fn add_user_key(
        &self,
        actor: &Actor,
        user: UserId,
        key: &PublicKey,
        title: Option<&str>,
    ) -> Result<Key, Error> {
        let key = self.prepare_key(KeyHolder::User(user), key, title, true).await?;
        self.add_key(actor, key).await
    }

    /// Adds a deploy key.
    pub(crate) async fn add_deploy_key(
        &self,
        grant: &Grant<Maintain>,
        key: &PublicKey,
        title: Option<&str>,
        can_write: bool,
    ) -> Result<Key, Error> {
        let holder = KeyHolder::Repository(grant.repository());
        let key = self.prepare_key(holder, key, title, can_write).await?;
        self.add_key(grant.actor(), key).await
    }

    async fn add_key(&self, actor: &Actor, key: Key) -> Result<Key, Error> {
        if self.list_keys(key.holder).await?.len() >= MAX_KEYS {
            return Err(Error::new(Kind::Invalid, format!("there are {MAX_KEYS} keys already")));
        }
        let detail =
            json!({ "key": key.id.to_string(), "fingerprint": key.fingerprint, "can_write": key.can_write });
        let audit = self.audit(actor, "key.add", subject(key.holder), detail).await?;
        let notices = match key.holder {
            KeyHolder::User(user) => {
                let (title, fingerprint) = (key.title.clone(), key.fingerprint.clone());
                self.account_notices(actor, user, AccountChange::Key { title, fingerprint }).await?
            }
            KeyHolder::Repository(_) => Notices::default(),
        };
        let _changing = self.changing_keys();
        let add = self.db().transaction(|tx| {
            let (key, audit, notices) = (key.clone(), audit.clone(), &notices);
            Box::pin(async move {
                insert(tx, &key).await?;
                notices.write(tx).await?;
                audit.write(tx).await.map_err(Error::from)
            })
        });
        add.await?;
        notices.count();
        Ok(key)
    }

    /// Lists the keys of a user.
    pub(crate) async fn list_user_keys(&self, user: UserId) -> Result<Vec<Key>, Error> {
        self.list_keys(KeyHolder::User(user)).await
    }

    /// Lists the deploy keys of a repository.
    pub(crate) async fn list_deploy_keys(&self, grant: &Grant<Maintain>) -> Result<Vec<Key>, Error> {
        self.list_keys(KeyHolder::Repository(grant.repository())).await
    }

    async fn list_keys(&self, holder: KeyHolder) -> Result<Vec<Key>, Error> {
        let mut conn = self.db().read().await?;
        Ok(rows::list_of(&mut conn, holder).await?)
    }

    /// Removes a key of a user: whoever holds it is out from now on.
    pub(crate) async fn remove_user_key(&self, actor: &Actor, user: UserId, id: KeyId) -> Result<(), Error> {
        self.remove_key(actor, KeyHolder::User(user), id).await
    }

    /// Removes a deploy key.
    pub(crate) async fn remove_deploy_key(&self, grant: &Grant<Maintain>, id: KeyId) -> Result<(), Error> {
        self.remove_key(grant.actor(), KeyHolder::Repository(grant.repository()), id).await
    }

    async fn remove_key(&self, actor: &Actor, holder: KeyHolder, id: KeyId) -> Result<(), Error> {
        let audit =
            self.audit(actor, "key.remove", subject(holder), json!({ "key": id.to_string() })).await?;
        let _changing = self.changing_keys();
        let remove = self.db().transaction(|tx| {
            let audit = audit.clone();
            Box::pin(async move {
                if !rows::delete(tx, holder, id).await? {
                    return Err(Error::new(Kind::NotFound, format!("there is no key {id} here")));
                }
                audit.write(tx).await.map_err(Error::from)
            })
        });
        remove.await
    }
}

fn subject(holder: KeyHolder) -> String {
    match holder {
        KeyHolder::User(user) => format!("user:{user}"),
        KeyHolder::Repository(id) => format!("repository:{id}"),
    }
}
