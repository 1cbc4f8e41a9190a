//! What people want of mail, as they or an administrator set it.

use hakata_mail::Address;
use hakata_names::{OwnerName, RepositoryPath};
use hakata_store::notices::{self, Notice};
use hakata_store::page::PageSize;
use hakata_store::readers::{self, Preference};
use hakata_store::{
    Digest, NoticeState, RepositoryState, StoreError, WatchLevel, repositories, users, watches,
};
use serde_json::json;

use super::{AccountChange, Addressees, Language, Matter, Notices, Reason};
use crate::accounts::no_user;
use crate::{Actor, Error, Forge, Kind};

/// What shall be other than it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) address: Option<String>,
    pub(crate) is_on: Option<bool>,
    pub(crate) digest: Option<Digest>,
    /// The inner one is absent for the installation's own.
    pub(crate) language: Option<Option<Language>>,
}

impl Wishes {
    /// Whether nothing shall be other than it is.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { address, is_on, digest, language } = self;
        address.is_none() && is_on.is_none() && digest.is_none() && language.is_none()
    }
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wished {
    pub(crate) address: String,
    pub(crate) preference: Preference,
}

impl Forge {
    /// Reads what a user wants.
    pub(crate) async fn mail_wishes(&self, name: &OwnerName) -> Result<Wished, Error> {
        let user = self.get_user(name).await?;
        let reader = readers::find(&mut self.db().read().await?, user.id, None).await?;
        let reader = reader.ok_or_else(|| no_user(name))?;
        Ok(Wished { address: reader.email, preference: reader.preference })
    }

    /// Changes what a user wants. Who got mail at another address before is told there.
    pub(crate) async fn wish_mail(
        &self,
        actor: &Actor,
        name: &OwnerName,
        wishes: Wishes,
    ) -> Result<Wished, Error> {
        let user = self.get_user(name).await?;
        if let Some(address) = wishes.address.as_deref().filter(|address| !address.is_empty()) {
            crate::accounts::check_email(address)?;
        }
        let now = self.mail_wishes(name).await?;
        let wished = Wished {
            address: wishes.address.unwrap_or_else(|| now.address.clone()),
            preference: Preference {
                is_on: wishes.is_on.unwrap_or(now.preference.is_on),
                digest: wishes.digest.unwrap_or(now.preference.digest),
                language: match wishes.language {
                    Some(language) => language.map_or("", Language::as_str).to_owned(),
                    None => now.preference.language,
                },
            },
        };
        let is_elsewhere = wished.address != now.address;
        let detail = json!({
            "address": is_elsewhere,
            "notices": wished.preference.is_on,
            "digest": wished.preference.digest,
            "language": wished.preference.language,
        });
        let audit = self.audit(actor, "user.mail", name, detail).await?;
        let matter = Matter::Account { change: AccountChange::Address { was: now.address.clone() } };
        let notices = match is_elsewhere && now.address.parse::<Address>().is_ok() {
            true => {
                let to = Addressees::about(None, actor).and([user.id], Reason::Security);
                self.notices(&matter, None, to).await?
            }
            false => Notices::default(),
        };
        let written = self.db().transaction(|tx| {
            let (wished, audit, notices) = (&wished, &audit, &notices);
            Box::pin(async move {
                if is_elsewhere {
                    users::set_email(tx, user.id, &wished.address).await?;
                }
                readers::prefer(tx, user.id, &wished.preference).await?;
                notices.write(tx).await?;
                audit.write(tx).await
            })
        });
        written.await.map_err(|error: StoreError| Error::from(error))?;
        notices.count();
        Ok(wished)
    }

    /// Sets how much a user wants to hear of a repository that the user may read.
    pub(crate) async fn watch(
        &self,
        actor: &Actor,
        name: &OwnerName,
        path: &RepositoryPath,
        level: WatchLevel,
    ) -> Result<(), Error> {
        let user = self.get_user(name).await?;
        let row = repositories::find_by_path(&mut self.db().read().await?, path).await?;
        let row = row.ok_or_else(Error::repository_not_found)?;
        if !self.may_read(user.id, user.is_admin, row.id).await? {
            return Err(Error::new(Kind::Forbidden, format!("{name} may not read {path}")));
        }
        let audit = self
            .audit(actor, "user.watch", name, json!({ "repository": path.to_string(), "level": level }))
            .await?;
        let written = self.db().transaction(|tx| {
            let audit = &audit;
            Box::pin(async move {
                watches::set(tx, user.id, row.id, level).await?;
                audit.write(tx).await
            })
        });
        written.await.map_err(|error: StoreError| Error::from(error))
    }

    /// Lists the repositories that a user chose something for, those that are gone left out.
    pub(crate) async fn list_watches(
        &self,
        name: &OwnerName,
    ) -> Result<Vec<(RepositoryPath, WatchLevel)>, Error> {
        let user = self.get_user(name).await?;
        let mut conn = self.db().read().await?;
        let mut listed = Vec::new();
        for (id, level) in watches::list_of_user(&mut conn, user.id).await? {
            if let Some(row) = repositories::find(&mut conn, id).await?
                && row.state != RepositoryState::Deleted
            {
                listed.push((row.path(), level));
            }
        }
        Ok(listed)
    }

    /// Lists notices, newest first, with their readers' names.
    pub(crate) async fn list_notices(
        &self,
        state: Option<NoticeState>,
        most: usize,
    ) -> Result<Vec<(Notice, String)>, Error> {
        let mut conn = self.db().read().await?;
        let mut listed = Vec::new();
        for notice in notices::list(&mut conn, state, None, PageSize::new(most)).await?.rows {
            let reader = readers::find(&mut conn, notice.user, None).await?;
            let name = reader.map_or_else(|| format!("#{}", notice.user), |reader| reader.name.to_string());
            listed.push((notice, name));
        }
        Ok(listed)
    }

    /// Forgets what was told long ago.
    pub(crate) async fn prune_notices(&self) -> Result<u64, Error> {
        let before = self.clock().now_ms().saturating_sub(super::postman::millis(self.settings().mail.keep));
        let mut n_pruned = 0;
        loop {
            match notices::prune(&mut self.db().write().await?, before).await? {
                0 => return Ok(n_pruned),
                n => n_pruned += n,
            }
        }
    }

    /// Tells in which language a reader is written to.
    pub(super) fn language_of(&self, preference: &Preference) -> Language {
        Language::parse(&preference.language).unwrap_or(self.settings().mail.language)
    }
}
