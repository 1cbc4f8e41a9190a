//! Users: making, finding, ranking, disabling them.

use hakata_mail::Address;
use hakata_names::{OwnerName, UserId};
use hakata_runtime::secret::Secret;
use hakata_store::OwnerState;
use hakata_store::page::PageSize;
use hakata_store::users::{self, NewUser, User};
use serde_json::json;

use crate::keys::PublicKey;
use crate::mail::{AccountChange, Addressees, Matter, Notices, Reason};
use crate::{Actor, Error, Forge, Kind, keys, reserved};

/// A user to be made, whole or not at all.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    pub(crate) is_admin: bool,
    pub(crate) email: Option<String>,
    pub(crate) password: Option<Secret<String>>,
    pub(crate) keys: Vec<PublicKey>,
}

/// Checks that a name may be given to a user or a group.
pub(crate) fn check_owner_name(name: &OwnerName) -> Result<(), Error> {
    if reserved::is_reserved(&name.folded()) {
        return Err(
            Error::new(Kind::Invalid, format!("the name '{name}' is reserved")).with_hint("choose another")
        );
    }
    Ok(())
}

/// Checks an address as far as can be seen from here: a letter could be sent there.
pub(crate) fn check_email(email: &str) -> Result<(), Error> {
    if email.parse::<Address>().is_err() {
        return Err(Error::new(Kind::Invalid, "this is not an e-mail address"));
    }
    Ok(())
}

/// The answer for a user that does not exist; only administrators and members of the same group ask.
pub(crate) fn no_user(name: &OwnerName) -> Error {
    Error::new(Kind::NotFound, format!("there is no user '{name}'"))
}

impl Forge {
    /// Makes a user with keys and password in one transaction.
    pub(crate) async fn add_user(
        &self,
        actor: &Actor,
        name: &OwnerName,
        registration: Registration,
    ) -> Result<UserId, Error> {
        check_owner_name(name)?;
        let email = registration.email.unwrap_or_default();
        if !email.is_empty() {
            check_email(&email)?;
        }
        let hash = match registration.password {
            Some(password) => Some(self.inner.authenticator.passwords.hash(password).await?),
            None => None,
        };
        let id: UserId = self.ids().next().await?;
        let detail = json!({ "admin": registration.is_admin, "keys": registration.keys.len() });
        let audit = self.audit(actor, "user.add", name, detail).await?;
        let new_keys = self.prepare_keys(id, &registration.keys).await?;
        let (name, is_admin, created_at) = (name.clone(), registration.is_admin, self.clock().now_ms());
        let _changing = self.changing_policy();
        let insert = self.db().transaction(|tx| {
            let (name, email, hash) = (name.clone(), email.clone(), hash.clone());
            let (new_keys, audit) = (new_keys.clone(), audit.clone());
            Box::pin(async move {
                let new = NewUser {
                    id,
                    name: &name,
                    display_name: "",
                    email: &email,
                    password_hash: hash.as_deref(),
                    is_admin,
                    is_external: false,
                    created_at,
                };
                if users::insert(tx, &new).await?.is_err() {
                    return Err(Error::new(Kind::Conflict, format!("the name '{name}' is taken")));
                }
                for key in &new_keys {
                    keys::insert(tx, key).await?;
                }
                audit.write(tx).await.map_err(Error::from)
            })
        });
        insert.await?;
        Ok(id)
    }

    /// Reads a user by name.
    pub(crate) async fn get_user(&self, name: &OwnerName) -> Result<User, Error> {
        let mut conn = self.db().read().await?;
        users::find_by_name(&mut conn, name).await?.ok_or_else(|| no_user(name))
    }

    /// Lists all users by name.
    pub(crate) async fn list_users(&self) -> Result<Vec<User>, Error> {
        let mut conn = self.db().read().await?;
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = users::list(&mut conn, after.as_ref(), PageSize::MAX).await?;
            all.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Sets or takes away a password; every remembered login ends.
    pub(crate) async fn set_password(
        &self,
        actor: &Actor,
        name: &OwnerName,
        password: Option<Secret<String>>,
    ) -> Result<(), Error> {
        let user = self.get_user(name).await?;
        let hash = match password {
            Some(password) => Some(self.inner.authenticator.passwords.hash(password).await?),
            None => None,
        };
        let change = Change::Password(hash);
        self.change_user(actor, &user, "user.password", change).await
    }

    /// Gives or takes the rank of administrator.
    pub(crate) async fn set_admin(
        &self,
        actor: &Actor,
        name: &OwnerName,
        is_admin: bool,
    ) -> Result<(), Error> {
        let user = self.get_user(name).await?;
        self.change_user(actor, &user, "user.admin", Change::Admin(is_admin)).await
    }

    /// Lets a user sign in, or not.
    pub(crate) async fn set_user_state(
        &self,
        actor: &Actor,
        name: &OwnerName,
        state: OwnerState,
    ) -> Result<(), Error> {
        let user = self.get_user(name).await?;
        let action = if state == OwnerState::Active { "user.enable" } else { "user.disable" };
        self.change_user(actor, &user, action, Change::State(state)).await
    }

    async fn change_user(
        &self,
        actor: &Actor,
        user: &User,
        action: &'static str,
        change: Change,
    ) -> Result<(), Error> {
        let audit = self.audit(actor, action, &user.owner.name, change.detail()).await?;
        let id = user.id;
        let notices = match change.news() {
            Some(news) => self.account_notices(actor, id, news).await?,
            None => Notices::default(),
        };
        let _changing = self.changing_policy();
        let write = self.db().transaction(|tx| {
            let (change, audit, notices) = (change.clone(), audit.clone(), &notices);
            Box::pin(async move {
                let had_admins = if change.may_cost_an_admin() {
                    users::lock_admins(tx).await?;
                    users::count_admins(tx).await? > 0
                } else {
                    false
                };
                match change {
                    Change::Password(hash) => users::set_password(tx, id, hash.as_deref()).await?,
                    Change::Admin(is_admin) => users::set_admin(tx, id, is_admin).await?,
                    Change::State(state) => users::set_state(tx, id, state).await?,
                };
                if had_admins && users::count_admins(tx).await? == 0 {
                    return Err(Error::new(Kind::Conflict, "this is the last administrator who can sign in")
                        .with_hint("make another one first: hakata user admin NAME"));
                }
                notices.write(tx).await?;
                audit.write(tx).await.map_err(Error::from)
            })
        });
        write.await?;
        notices.count();
        Ok(())
    }

    /// Prepares what a user is told of a change of their own account.
    pub(crate) async fn account_notices(
        &self,
        actor: &Actor,
        user: UserId,
        change: AccountChange,
    ) -> Result<Notices, Error> {
        let to = Addressees::about(None, actor).and([user], Reason::Security);
        self.notices(&Matter::Account { change }, None, to).await
    }
}

/// One change of an account.
#[derive(Clone, Debug)]
enum Change {
    Password(Option<String>),
    Admin(bool),
    State(OwnerState),
}

impl Change {
    /// Whether there may be an administrator less afterwards.
    fn may_cost_an_admin(&self) -> bool {
        match self {
            Self::Password(_) => false,
            Self::Admin(is_admin) => !is_admin,
            Self::State(state) => *state != OwnerState::Active,
        }
    }

    /// What the user is told of it; whoever is disabled or enabled hears it from whoever does so.
    fn news(&self) -> Option<AccountChange> {
        match self {
            Self::Password(hash) => Some(AccountChange::Password { is_set: hash.is_some() }),
            Self::Admin(is_admin) => Some(AccountChange::Admin { is_admin: *is_admin }),
            Self::State(_) => None,
        }
    }

    fn detail(&self) -> serde_json::Value {
        match self {
            Self::Password(hash) => json!({ "set": hash.is_some() }),
            Self::Admin(is_admin) => json!({ "admin": is_admin }),
            Self::State(state) => json!({ "state": state.as_str() }),
        }
    }
}
