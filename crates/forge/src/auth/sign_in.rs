//! Signing in, on every face but the web.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hakata_names::{OwnerName, UserId};
use hakata_runtime::limit::{Bounds, Keyed};
use hakata_runtime::secret::Secret;
use hakata_store::OwnerState;
use hakata_store::users::{self, User};

use super::cache::{Logins, Rows};
use super::key_rows::KeyRows;
use super::password::Passwords;
use super::refusals::{Proof, Refusals};
use super::throttle::Throttle;
use super::token;
use super::tokens::TokenRows;
use super::used::Used;
use crate::forge::Parts;
use crate::{Actor, Error, Forge, Kind, Settings, Via};

/// Most accounts that are kept in memory.
const MAX_ACCOUNTS: usize = 10_000;

/// Logins under way, each with the waiting ones of the same name and password.
const SAME_PASSWORD: Bounds = Bounds { permits: 256, queue: 1_024, wait: Duration::from_secs(10) };

/// Names that say nothing when a token stands in the password's place.
const NO_NAMES: [&str; 5] = ["", "x-token", "token", "oauth2", "git"];

/// What signing in needs to remember.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) passwords: Passwords,
    throttle: Throttle,
    logins: Logins,
    /// One at a time for the same name and password: a build that starts twenty clones signs in once.
    verifying: Keyed<[u8; 32]>,
    accounts: Rows<UserId, User>,
    pub(super) tokens: TokenRows,
    pub(super) keys: KeyRows,
    pub(super) used: Used,
    pub(super) refusals: Refusals,
}

impl Authenticator {
    pub(crate) fn new(parts: &Parts, settings: &Settings) -> Self {
        Self {
            passwords: Passwords::new(parts.blocking.clone(), settings.passwords_at_once),
            throttle: Throttle::new(parts.clock.clone(), settings.password_tries_per_minute),
            logins: Logins::new(settings.login_cache_for),
            verifying: Keyed::new("same_password", SAME_PASSWORD, 1),
            accounts: Rows::new(MAX_ACCOUNTS),
            tokens: Rows::new(MAX_ACCOUNTS),
            keys: KeyRows::new(),
            used: Used::new(),
            refusals: Refusals::default(),
        }
    }

    /// Forgets accounts, tokens and keys kept in memory: their rows have changed.
    pub(crate) fn forget_accounts(&self) {
        self.accounts.forget();
        self.tokens.forget();
        self.keys.forget();
    }
}

impl Forge {
    /// Signs in by a name and a password or token, as HTTP's Basic scheme carries them.
    ///
    /// Cost: one HMAC and a look-up in memory for a login of the last minute; else a password costs some 20 ms
    /// of a core, a token one SQL round trip.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] for every mismatch, always in the same words, with the hint that some accounts
    /// need a token; [`Kind::Limited`] after too many wrong passwords.
    pub async fn sign_in_basic(
        &self,
        name: &str,
        secret: Secret<String>,
        address: Option<IpAddr>,
    ) -> Result<Actor, Error> {
        if token::looks_like(secret.expose()) {
            let actor = self.sign_in_token(secret, address).await?;
            let fits = NO_NAMES.contains(&name) || actor.name().eq_ignore_ascii_case(name);
            return if fits { Ok(actor) } else { Err(wrong()) };
        }
        self.sign_in_password(name, secret, address).await
    }

    async fn sign_in_password(
        &self,
        name: &str,
        password: Secret<String>,
        address: Option<IpAddr>,
    ) -> Result<Actor, Error> {
        let authenticator = &self.inner.authenticator;
        let folded =
            name.get(..name.len().min(hakata_names::MAX_NAME_BYTES + 1)).unwrap_or("").to_ascii_lowercase();
        let key = authenticator.logins.key(&folded, password.expose());
        if let Some(actor) = self.remembered(&key).await? {
            return Ok(actor);
        }
        let _alone = authenticator.verifying.acquire(key).await?;
        if let Some(actor) = self.remembered(&key).await? {
            return Ok(actor);
        }
        let now = self.clock().monotonic();
        let taken = authenticator.throttle.take(&folded, address)?;
        let user = self.find_account(name).await?;
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let right = authenticator.passwords.verify(password, hash).await?;
        match user.filter(|user| right && may_use_password(user)) {
            Some(user) => {
                authenticator.throttle.give_back(&taken);
                authenticator.logins.remember(key, user.id, user.credentials_version, now);
                Ok(actor(&user, Via::Password))
            }
            None => {
                self.refused_login(&folded, Proof::Password, address);
                Err(wrong())
            }
        }
    }

    /// Finds a login of the last while that still counts.
    async fn remembered(&self, key: &[u8; 32]) -> Result<Option<Actor>, Error> {
        let logins = &self.inner.authenticator.logins;
        let Some(verified) = logins.find(key, self.clock().monotonic()) else { return Ok(None) };
        match self.account(verified.user).await?.filter(|user| may_use_password(user)) {
            Some(user) if user.credentials_version == verified.credentials_version => {
                Ok(Some(actor(&user, Via::Password)))
            }
            _ => {
                logins.drop_one(key);
                Ok(None)
            }
        }
    }

    async fn find_account(&self, name: &str) -> Result<Option<User>, Error> {
        let Ok(name) = OwnerName::parse(name) else { return Ok(None) };
        let mut conn = self.db().read().await?;
        Ok(users::find_by_name(&mut conn, &name).await?)
    }

    /// Reads an account: from memory if this process writes all rows.
    pub(crate) async fn account(&self, id: UserId) -> Result<Option<Arc<User>>, Error> {
        let accounts = &self.inner.authenticator.accounts;
        let in_memory = self.db().is_sole_owner();
        if in_memory && let Some(user) = accounts.find(&id) {
            return Ok(user);
        }
        let generation = accounts.generation();
        let mut conn = self.db().read().await?;
        let user = users::find(&mut conn, id).await?.map(Arc::new);
        if in_memory {
            accounts.keep(id, generation, user.clone());
        }
        Ok(user)
    }
}

/// Whether the account may sign in by password where nobody can be asked for a second factor.
fn may_use_password(user: &User) -> bool {
    user.owner.state == OwnerState::Active && user.second_factor == 0 && !user.is_external
}

/// Makes the actor of a user who has shown proof.
pub(super) fn actor(user: &User, via: Via) -> Actor {
    Actor::User { id: user.id, name: user.owner.name.clone(), is_admin: user.is_admin, via }
}

/// The one answer for every login that does not work.
pub(super) fn wrong() -> Error {
    Error::new(Kind::Unauthenticated, "user name, password or token is wrong").with_hint(
        "accounts with a second factor or external sign-in need a token here, not the password: hakata token new",
    )
}
