//! Access tokens: making, listing, ending them.

use hakata_names::{TokenId, UserId};
use hakata_runtime::secret::Secret;
use hakata_store::tokens::{self as rows, Token};
use serde_json::json;
use std::time::Duration;

use crate::auth::token;
use crate::mail::AccountChange;
use crate::{Actor, Error, Forge, Kind, Scopes};

/// Most tokens of one user, ended ones not counted.
const MAX_TOKENS: usize = 200;

/// Longest name of a token in characters.
const MAX_NAME_CHARS: usize = 120;

/// What a new token shall be.
#[derive(Clone, Debug)]
pub(crate) struct TokenWish {
    pub(crate) scopes: Scopes,
    pub(crate) name: Option<String>,
    pub(crate) ends_after: Option<Duration>,
}

/// A token just made; its text is shown now and never again.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) row: Token,
    pub(crate) text: Secret<String>,
}

impl Forge {
    /// Makes a token for a user.
    pub(crate) async fn new_token(
        &self,
        actor: &Actor,
        user: UserId,
        wish: TokenWish,
    ) -> Result<Made, Error> {
        if !actor.scopes().cover(wish.scopes) {
            return Err(Error::new(Kind::Forbidden, "a token cannot make one that may do more than itself"));
        }
        let now = self.clock().now_ms();
        let alive =
            |token: &Token| token.revoked_at.is_none() && token.expires_at.is_none_or(|ends| now < ends);
        if self.list_tokens(user).await?.iter().filter(|token| alive(token)).count() >= MAX_TOKENS {
            return Err(Error::new(Kind::Invalid, format!("there are {MAX_TOKENS} tokens already")));
        }
        let made = token::make();
        let row = Token {
            id: self.ids().next().await?,
            user_id: user,
            name: wish.name.as_deref().unwrap_or("token").chars().take(MAX_NAME_CHARS).collect(),
            digest: made.digest,
            hint: made.hint,
            scopes: wish.scopes.to_string(),
            created_at: now,
            expires_at: wish.ends_after.map(|after| now.saturating_add(millis(after))),
            last_used_at: None,
            revoked_at: None,
        };
        let detail =
            json!({ "token": row.id.to_string(), "scopes": row.scopes, "expires_at": row.expires_at });
        let audit = self.audit(actor, "token.new", format!("user:{user}"), detail).await?;
        let change = AccountChange::Token { name: row.name.clone(), scopes: row.scopes.clone() };
        let notices = self.account_notices(actor, user, change).await?;
        let insert = self.db().transaction(|tx| {
            let (row, audit, notices) = (row.clone(), audit.clone(), &notices);
            Box::pin(async move {
                rows::insert(tx, &row).await?.map_err(Error::internal)?;
                notices.write(tx).await?;
                audit.write(tx).await.map_err(Error::from)
            })
        });
        insert.await?;
        notices.count();
        Ok(Made { row, text: made.text })
    }

    /// Lists a user's tokens, ended ones too.
    pub(crate) async fn list_tokens(&self, user: UserId) -> Result<Vec<Token>, Error> {
        let mut conn = self.db().read().await?;
        Ok(rows::list_of(&mut conn, user).await?)
    }

    /// Ends a token now.
    pub(crate) async fn revoke_token(&self, actor: &Actor, user: UserId, id: TokenId) -> Result<(), Error> {
        let detail = json!({ "token": id.to_string() });
        let audit = self.audit(actor, "token.revoke", format!("user:{user}"), detail).await?;
        let now = self.clock().now_ms();
        let _changing = self.changing_policy();
        let revoke = self.db().transaction(|tx| {
            let audit = audit.clone();
            Box::pin(async move {
                if !rows::revoke(tx, user, id, now).await? {
                    return Err(Error::new(
                        Kind::NotFound,
                        format!("there is no token {id} that could be revoked"),
                    ));
                }
                audit.write(tx).await.map_err(Error::from)
            })
        });
        revoke.await?;
        Ok(())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
