//! Deliveries that begin anew: a test, one that ended, all that failed, and what a pause held back.

use hakata_names::{DeliveryId, JobId, WebhookId};
use hakata_store::page::PageSize;
use hakata_store::webhooks::deliveries::{self, Delivery};
use hakata_store::webhooks::{self, Webhook};
use hakata_store::{DeliveryState, StoreError};

use super::{EventKind, fan_out, lane};
use crate::{Error, Forge, Kind};

/// Deliveries that begin anew in one transaction.
const PART: usize = 100;

impl Forge {
    /// Sends a webhook a test, and tells which delivery it is.
    pub(crate) async fn test_webhook(&self, id: WebhookId) -> Result<DeliveryId, Error> {
        let webhook = self.get_webhook(id).await?;
        let (delivery, job): (DeliveryId, JobId) = (self.ids().next().await?, self.ids().next().await?);
        let now = self.clock().now_ms();
        let test = Delivery {
            id: delivery,
            guid: fan_out::guid(),
            webhook: id,
            event: None,
            kind: EventKind::Ping.as_str().to_owned(),
            repository: webhook.repository,
            ref_name: None,
            old: None,
            new: None,
            actor: None,
            at: now,
            lane: lane::name(id, webhook.repository, None),
            sequence: delivery.get(),
            state: DeliveryState::Waiting,
            attempts: 0,
            give_up_at: None,
            created_at: now,
            finished_at: None,
        };
        let (test, webhook) = (&test, &webhook);
        let written = self.db().transaction(|tx| {
            Box::pin(async move {
                deliveries::insert(tx, std::slice::from_ref(test)).await?;
                lane::enqueue(tx, job, webhook, test, now).await
            })
        });
        written.await.map_err(|error: StoreError| Error::from(error))?;
        Ok(delivery)
    }

    /// Sends one delivery again, as often as a new one.
    pub(crate) async fn redeliver(&self, webhook: WebhookId, id: DeliveryId) -> Result<(), Error> {
        let webhook = self.get_webhook(webhook).await?;
        let found = deliveries::find(&mut self.db().read().await?, id).await?;
        let delivery = found.filter(|found| found.webhook == webhook.id);
        let delivery =
            delivery.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no delivery {id}")))?;
        if webhook.paused.is_some() {
            return Err(is_paused(webhook.id));
        }
        match self.renew(&webhook, &[delivery]).await? {
            0 => Err(Error::new(Kind::Conflict, "the delivery is still waiting")),
            _ => Ok(()),
        }
    }

    /// Sends everything again that failed and was recorded in the last so many seconds; tells how much.
    pub(crate) async fn redeliver_failed(&self, id: WebhookId, since_s: u64) -> Result<usize, Error> {
        let webhook = self.get_webhook(id).await?;
        if webhook.paused.is_some() {
            return Err(is_paused(id));
        }
        let ms = i64::try_from(since_s).unwrap_or(i64::MAX).saturating_mul(1000);
        let since = self.clock().now_ms().saturating_sub(ms);
        self.renew_all(&webhook, DeliveryState::Failed, since).await
    }

    /// Ends a pause and sends what it held back, in its order; tells how much.
    pub(crate) async fn resume_webhook(&self, id: WebhookId) -> Result<usize, Error> {
        self.get_webhook(id).await?;
        let was_paused = webhooks::resume(&mut self.db().write().await?, id).await?;
        let webhook = self.get_webhook(id).await?;
        // Also when it is not paused: another try may have been cut short.
        let n_held = self.renew_all(&webhook, DeliveryState::Held, 0).await?;
        if !was_paused && n_held == 0 {
            return Err(Error::new(Kind::Conflict, format!("webhook {id} is not paused")));
        }
        Ok(n_held)
    }

    async fn renew_all(&self, webhook: &Webhook, state: DeliveryState, since: i64) -> Result<usize, Error> {
        let mut n_renewed = 0;
        loop {
            let size = PageSize::new(PART);
            let mut conn = self.db().read().await?;
            let mut part = deliveries::list_in(&mut conn, webhook.id, state, since, size).await?;
            drop(conn);
            part.truncate(PART);
            if part.is_empty() {
                return Ok(n_renewed);
            }
            n_renewed += self.renew(webhook, &part).await?;
        }
    }

    /// Lets deliveries wait again, each with a job; those that wait already are left alone.
    async fn renew(&self, webhook: &Webhook, part: &[Delivery]) -> Result<usize, Error> {
        let jobs: Vec<JobId> = self.ids().next_many(part.len()).await?;
        let (jobs, now) = (&jobs, self.clock().now_ms());
        let renewed = self.db().transaction(|tx| {
            Box::pin(async move {
                let mut n_renewed = 0;
                for (delivery, job) in part.iter().zip(jobs) {
                    if deliveries::renew(tx, delivery.id).await? {
                        lane::enqueue(tx, *job, webhook, delivery, now).await?;
                        n_renewed += 1;
                    }
                }
                Ok::<_, StoreError>(n_renewed)
            })
        });
        Ok(renewed.await?)
    }
}

fn is_paused(id: WebhookId) -> Error {
    Error::new(Kind::Conflict, "the webhook is paused").with_hint(format!("hakata hook resume {id}"))
}
