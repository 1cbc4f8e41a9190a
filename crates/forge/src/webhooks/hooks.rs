//! Webhooks as people make and see them.

use hakata_egress::Target;
use hakata_names::{DeliveryId, OwnerId, OwnerName, RefPattern, RepositoryId, RepositoryPath, WebhookId};
use hakata_runtime::secret::Secret;
use hakata_store::page::PageSize;
use hakata_store::webhooks::deliveries::{self, Attempt, Delivery};
use hakata_store::webhooks::{self as rows, Webhook};
use hakata_store::{owners, repositories};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ContentType, EventKind, Format};
use crate::access::Maintain;
use crate::{Actor, Error, Forge, Kind};

/// The longest secret, in bytes.
const MAX_SECRET: usize = 1_024;

/// What a webhook is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// One repository.
    Repository(RepositoryPath),
    /// All repositories of a user or group.
    Owner(OwnerName),
    /// All repositories.
    Everywhere,
}

/// A webhook to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) place: Place,
    pub(crate) url: String,
    pub(crate) secret: Option<Secret<String>>,
    pub(crate) format: Format,
    pub(crate) content_type: ContentType,
    pub(crate) events: Vec<EventKind>,
    pub(crate) branches: Option<String>,
}

/// A webhook as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) row: Webhook,
    /// `alice/tools`, `alice`, or `everywhere`.
    pub(crate) place: String,
}

/// The rows that a place stands for.
type Ids = (Option<RepositoryId>, Option<OwnerId>);

impl Forge {
    /// Makes a webhook. One of a repository is its maintainers' to make; others are an administrator's.
    pub(crate) async fn add_webhook(&self, actor: &Actor, wish: Wish) -> Result<WebhookId, Error> {
        let (repository, owner) = self.ids_of_place(actor, &wish.place).await?;
        let target = Target::parse(&wish.url)
            .map_err(|error| Error::new(Kind::Invalid, format!("the URL cannot be used: {error}")))?;
        let branches = wish.branches.unwrap_or_default();
        if !branches.is_empty() {
            RefPattern::parse(&branches).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        }
        if wish.secret.as_ref().is_some_and(|secret| secret.expose().len() > MAX_SECRET) {
            return Err(Error::new(Kind::Invalid, format!("a secret has at most {MAX_SECRET} bytes")));
        }
        let most = self.settings().webhooks.per_place;
        if self.webhooks_of((repository, owner)).await?.len() >= most {
            return Err(Error::new(Kind::Invalid, format!("there are {most} webhooks already")));
        }
        let mut events = wish.events;
        events.sort_unstable();
        events.dedup();
        let events: Vec<&str> = events.iter().map(|kind| kind.as_str()).collect();
        let id: WebhookId = self.ids().next().await?;
        let secret = match &wish.secret {
            Some(secret) => Some(self.seal(id, secret).await?),
            None => None,
        };
        let row = Webhook {
            id,
            repository,
            owner,
            url: target.as_str().to_owned(),
            secret,
            format: wish.format.as_str().to_owned(),
            content_type: wish.content_type.as_str().to_owned(),
            events: events.join(" "),
            branches,
            is_active: true,
            paused: None,
            failing_since: None,
            created_at: self.clock().now_ms(),
        };
        let detail = json!({ "host": target.authority(), "format": row.format, "events": row.events });
        let audit = self.audit(actor, "webhook.add", format!("webhook {id}"), detail).await?;
        let written = self.db().transaction(|tx| {
            let (row, audit) = (row.clone(), audit.clone());
            Box::pin(async move {
                rows::insert(tx, &row).await?;
                audit.write(tx).await
            })
        });
        written.await.map_err(|error: hakata_store::StoreError| Error::from(error))?;
        Ok(id)
    }

    /// Lists the webhooks of a place, or all.
    pub(crate) async fn list_webhooks(
        &self,
        actor: &Actor,
        place: Option<&Place>,
    ) -> Result<Vec<Shown>, Error> {
        let found = match place {
            Some(place) => {
                let ids = self.ids_of_place(actor, place).await?;
                self.webhooks_of(ids).await?
            }
            None => self.all_webhooks(actor).await?,
        };
        let mut shown = Vec::with_capacity(found.len());
        for row in found {
            let place = self.name_of_place(&row).await?;
            shown.push(Shown { row, place });
        }
        Ok(shown)
    }

    /// Removes a webhook; what it was not told yet it never will be.
    pub(crate) async fn remove_webhook(&self, actor: &Actor, id: WebhookId) -> Result<(), Error> {
        self.get_webhook(id).await?;
        let audit = self.audit(actor, "webhook.remove", format!("webhook {id}"), json!({})).await?;
        let removed = self.db().transaction(|tx| {
            let audit = audit.clone();
            Box::pin(async move {
                if !rows::delete(tx, id).await? {
                    return Err(no_webhook(id));
                }
                audit.write(tx).await.map_err(Error::from)
            })
        });
        removed.await
    }

    /// Holds what a webhook is told back until it is resumed.
    pub(crate) async fn pause_webhook(&self, id: WebhookId) -> Result<(), Error> {
        self.get_webhook(id).await?;
        let now = self.clock().now_ms();
        match rows::pause(&mut self.db().write().await?, id, now, "operator").await? {
            true => Ok(()),
            false => Err(Error::new(Kind::Conflict, format!("webhook {id} is paused already"))),
        }
    }

    /// Lists what a webhook was told, newest first.
    pub(crate) async fn list_deliveries(&self, id: WebhookId, most: usize) -> Result<Vec<Delivery>, Error> {
        self.get_webhook(id).await?;
        let mut conn = self.db().read().await?;
        Ok(deliveries::list(&mut conn, id, None, PageSize::new(most)).await?.rows)
    }

    /// Reads one delivery with its body and attempts.
    pub(crate) async fn get_delivery(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<(Delivery, Option<Vec<u8>>, Vec<Attempt>), Error> {
        let mut conn = self.db().read().await?;
        let found = deliveries::find(&mut conn, id).await?.filter(|found| found.webhook == webhook);
        let delivery =
            found.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no delivery {id}")))?;
        let body = deliveries::body(&mut conn, id).await?;
        Ok((delivery, body, deliveries::attempts(&mut conn, id).await?))
    }

    /// Forgets what webhooks were told long ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prune_webhook_deliveries(&self) -> Result<u64, Error> {
        let keep = super::deliver::millis(self.settings().webhooks.keep);
        let before = self.clock().now_ms().saturating_sub(keep);
        let mut n_pruned = 0;
        loop {
            let part = self.db().transaction(|tx| Box::pin(deliveries::prune(tx, before)));
            match part.await.map_err(|error: hakata_store::StoreError| Error::from(error))? {
                0 => return Ok(n_pruned),
                n => n_pruned += n,
            }
        }
    }

    pub(super) async fn get_webhook(&self, id: WebhookId) -> Result<Webhook, Error> {
        rows::find(&mut self.db().read().await?, id).await?.ok_or_else(|| no_webhook(id))
    }

    async fn ids_of_place(&self, actor: &Actor, place: &Place) -> Result<Ids, Error> {
        match place {
            Place::Repository(path) => {
                Ok((Some(self.grant::<Maintain>(actor, path).await?.repository()), None))
            }
            _ if !actor.is_admin() => Err(Error::new(
                Kind::Forbidden,
                "only an administrator makes webhooks of several repositories",
            )),
            Place::Owner(name) => {
                let owner = owners::find_by_name(&mut self.db().read().await?, name).await?;
                let absent = || Error::new(Kind::NotFound, format!("there is no user or group '{name}'"));
                Ok((None, Some(owner.ok_or_else(absent)?.id)))
            }
            Place::Everywhere => Ok((None, None)),
        }
    }

    async fn webhooks_of(&self, ids: Ids) -> Result<Vec<Webhook>, Error> {
        let mut conn = self.db().read().await?;
        match ids {
            (Some(repository), _) => Ok(rows::list_of_repository(&mut conn, repository).await?),
            (None, Some(owner)) => Ok(rows::list_of_owner(&mut conn, owner).await?),
            (None, None) => {
                drop(conn);
                let mut all = self.all_webhooks(&Actor::System).await?;
                all.retain(|row| row.repository.is_none() && row.owner.is_none());
                Ok(all)
            }
        }
    }

    async fn all_webhooks(&self, actor: &Actor) -> Result<Vec<Webhook>, Error> {
        if !actor.is_admin() {
            return Err(Error::new(Kind::Forbidden, "only an administrator lists all webhooks"));
        }
        let (mut all, mut after) = (Vec::new(), None);
        let mut conn = self.db().read().await?;
        loop {
            let page = rows::list(&mut conn, after, PageSize::MAX).await?;
            all.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn name_of_place(&self, row: &Webhook) -> Result<String, Error> {
        let mut conn = self.db().read().await?;
        Ok(match (row.repository, row.owner) {
            (Some(id), _) => {
                let found = repositories::find(&mut conn, id).await?;
                found.map_or_else(|| format!("#{id}"), |row| row.path().to_string())
            }
            (None, Some(id)) => owners::find(&mut conn, id)
                .await?
                .map_or_else(|| format!("#{id}"), |owner| owner.name.to_string()),
            (None, None) => "everywhere".to_owned(),
        })
    }
}

fn no_webhook(id: WebhookId) -> Error {
    Error::new(Kind::NotFound, format!("there is no webhook {id}"))
}
