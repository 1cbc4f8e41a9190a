//! People as payloads name them.

use hakata_names::UserId;
use hakata_store::owners::Owner;
use hakata_store::{OwnerKind, users};

use super::WebhookSettings;
use crate::{Error, Forge};

/// Who did something, or owns something. Nobody's address for mail is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// 0 for nobody in particular.
    pub(crate) id: i64,
    pub(crate) login: String,
    pub(crate) full_name: String,
    pub(crate) is_group: bool,
}

impl Person {
    /// Whoever has no account: a deploy key, the system, a user who was deleted.
    pub(super) fn nobody() -> Self {
        Self { id: 0, login: "system".to_owned(), full_name: String::new(), is_group: false }
    }

    /// Takes an owner's row.
    pub(super) fn of(owner: &Owner) -> Self {
        Self {
            id: owner.id.get(),
            login: owner.name.to_string(),
            full_name: owner.display_name.clone(),
            is_group: owner.kind == OwnerKind::Group,
        }
    }

    /// Returns an address that leads nowhere, for formats that want one.
    pub(super) fn email(&self, settings: &WebhookSettings) -> String {
        let host = settings.base_url.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        format!("{}@noreply.{host}", self.login)
    }
}

impl Forge {
    /// Finds who moved a ref.
    pub(crate) async fn person(&self, id: Option<UserId>) -> Result<Person, Error> {
        let Some(id) = id else { return Ok(Person::nobody()) };
        let user = users::find(&mut self.db().read().await?, id).await?;
        Ok(user.map_or_else(Person::nobody, |user| Person::of(&user.owner)))
    }
}
