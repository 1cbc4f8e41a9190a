//! One attempt at one delivery.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hakata_egress::{Guard, Request, Sent, Target};
use hakata_names::{DeliveryId, WebhookId};
use hakata_rpc::Operations;
use hakata_runtime::metrics::{CounterFamily, Histogram, Label, Metric, SECONDS};
use hakata_store::repositories::{self, Repository};
use hakata_store::webhooks::deliveries::{self, Attempt, Delivery};
use hakata_store::webhooks::{self, Webhook};
use hakata_store::{DeliveryState, RepositoryState, StoreError};
use http::Method;

use super::headers::{Try, headers};
use super::outcome::{Meaning, complaint, meaning};
use super::{lane, record};
use crate::jobs::Outcome;
use crate::mail::{Addressees, Matter, Notices, Reason};
use crate::{Error, Forge};

static ATTEMPTS: CounterFamily<End> =
    CounterFamily::new("hakata_webhook_attempts_total", "Requests to webhooks, by how they ended");
static TOOK: Histogram =
    Histogram::new("hakata_webhook_seconds", "Time of one request to a webhook", SECONDS);
static PAUSED: CounterFamily<Why> =
    CounterFamily::new("hakata_webhooks_paused_total", "Webhooks that were paused by themselves");

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Delivered,
    Retry,
    Failed,
}

impl Label for End {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Failed => "failed",
        }
    }
}

/// Why a webhook was paused without anybody asking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Gone,
    Failing,
}

impl Label for Why {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// Whether a delivery may be tried.
enum Standing {
    May(Box<(Webhook, Option<Repository>)>),
    /// Its webhook is paused.
    Held,
    /// It ends here.
    Over(&'static str),
}

/// Carries deliveries to their receivers; cheap to clone.
#[derive(Clone)]
pub struct Courier {
    pub(super) forge: Forge,
    pub(super) operations: Arc<dyn Operations>,
    guard: Guard,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Courier {
    /// Makes a courier that reads commits through `operations` and reaches what `guard` lets it.
    pub fn new(forge: Forge, operations: Arc<dyn Operations>, guard: Guard) -> Self {
        Self { forge, operations, guard }
    }

    /// Tries the delivery that a job is about.
    pub async fn deliver(&self, payload: &str) -> Outcome {
        let Some(id) = lane::delivery_of(payload) else {
            return Outcome::Bury { why: "the job names no delivery".to_owned() };
        };
        self.attempt(id).await.unwrap_or_else(Outcome::from)
    }

    async fn attempt(&self, id: DeliveryId) -> Result<Outcome, Error> {
        let Some(delivery) = deliveries::find(&mut self.forge.db().read().await?, id).await? else {
            return Ok(Outcome::Finish);
        };
        if delivery.state != DeliveryState::Waiting {
            return Ok(Outcome::Finish);
        }
        match self.standing(&delivery).await? {
            Standing::Over(why) => self.give_up(&delivery, why).await,
            Standing::Held => self.hold(delivery.webhook, id).await,
            Standing::May(told) => self.try_once(&told.0, &delivery, told.1.as_ref()).await,
        }
    }

    /// Looks again whether the webhook may be told: things may have changed since the event.
    async fn standing(&self, delivery: &Delivery) -> Result<Standing, Error> {
        let mut conn = self.forge.db().read().await?;
        let Some(webhook) = webhooks::find(&mut conn, delivery.webhook).await? else {
            return Ok(Standing::Over("the webhook was removed"));
        };
        if !webhook.is_active {
            return Ok(Standing::Over("the webhook is not active"));
        }
        let Some(id) = delivery.repository else {
            return Ok(if webhook.paused.is_some() {
                Standing::Held
            } else {
                Standing::May(Box::new((webhook, None)))
            });
        };
        let repository = repositories::find(&mut conn, id).await?;
        let Some(repository) = repository.filter(|row| row.state != RepositoryState::Deleted) else {
            return Ok(Standing::Over("the repository was deleted"));
        };
        if repository.state == RepositoryState::Archived {
            return Ok(Standing::Over("the repository was archived"));
        }
        if webhook.owner.is_some_and(|owner| owner != repository.owner_id) {
            return Ok(Standing::Over("the repository belongs to somebody else"));
        }
        match webhook.paused {
            Some(_) => Ok(Standing::Held),
            None => Ok(Standing::May(Box::new((webhook, Some(repository))))),
        }
    }

    /// Ends a delivery without a request.
    async fn give_up(&self, delivery: &Delivery, why: &str) -> Result<Outcome, Error> {
        let now = self.forge.clock().now_ms();
        let id = delivery.id;
        let tried = Try { number: delivery.attempts + 1, at: now };
        let attempt = record::refused(id, tried, "", why);
        let ended = self.forge.db().transaction(|tx| {
            let attempt = &attempt;
            Box::pin(async move {
                deliveries::record(tx, attempt).await?;
                deliveries::set_state(tx, id, DeliveryState::Waiting, DeliveryState::Failed, now).await
            })
        });
        let _: bool = ended.await.map_err(|error: StoreError| Error::from(error))?;
        Ok(Outcome::Finish)
    }

    /// Puts a delivery aside until its webhook is resumed.
    async fn hold(&self, webhook: WebhookId, id: DeliveryId) -> Result<Outcome, Error> {
        let now = self.forge.clock().now_ms();
        let held = self.forge.db().transaction(|tx| {
            Box::pin(async move {
                if !webhooks::lock_paused(tx, webhook).await? {
                    return Ok::<_, StoreError>(false);
                }
                deliveries::set_state(tx, id, DeliveryState::Waiting, DeliveryState::Held, now).await
            })
        });
        match held.await? {
            true => Ok(Outcome::Finish),
            // It was resumed just now.
            false => {
                Ok(Outcome::Retry { why: "the webhook was resumed".to_owned(), after: Some(Duration::ZERO) })
            }
        }
    }

    async fn try_once(
        &self,
        webhook: &Webhook,
        delivery: &Delivery,
        repository: Option<&Repository>,
    ) -> Result<Outcome, Error> {
        let id = delivery.id;
        // The connection is given back before others are asked for: as many deliveries at once as there are connections
        // would wait for each other.
        let kept = deliveries::body(&mut self.forge.db().read().await?, id).await?;
        let body = match kept {
            Some(body) => body,
            None => {
                let body = self.make_body(webhook, delivery, repository.cloned()).await?;
                deliveries::keep_body(&mut self.forge.db().write().await?, id, &body).await?;
                body
            }
        };
        let now = self.forge.clock().now_ms();
        let give_up_at = now.saturating_add(millis(self.forge.settings().webhooks.retry_for));
        let begun = self.forge.db().transaction(|tx| Box::pin(deliveries::begin_attempt(tx, id, give_up_at)));
        let Some((number, give_up_at)) = begun.await.map_err(|error: StoreError| Error::from(error))? else {
            return Ok(Outcome::Finish);
        };
        let tried = Try { number, at: now };
        let secret = match &webhook.secret {
            Some(sealed) => Some(self.forge.open_secret(webhook.id, sealed).await?),
            None => None,
        };
        let secret = secret.as_ref().map(|secret| secret.expose().as_slice());
        let headers = headers(webhook, delivery, tried, &body, secret);
        let Ok(target) = Target::parse(&webhook.url) else {
            return self.give_up(delivery, "the URL of the webhook is none").await;
        };
        let max_answer = usize::try_from(self.forge.settings().webhooks.answer.bytes()).unwrap_or(usize::MAX);
        let request = Request {
            target: &target,
            method: Method::POST,
            headers: headers.clone(),
            body: Bytes::from(body),
            max_answer,
        };
        let sent = self.guard.send(request).await;
        TOOK.observe(sent.timings.total.as_secs_f64());
        let attempt = record::attempt(id, tried, &webhook.url, &headers, &sent);
        self.settle(webhook, delivery, attempt, sent, give_up_at).await
    }

    /// Writes down what came of an attempt, and says what becomes of its job.
    async fn settle(
        &self,
        webhook: &Webhook,
        delivery: &Delivery,
        attempt: Attempt,
        sent: Sent,
        give_up_at: i64,
    ) -> Result<Outcome, Error> {
        let now = self.forge.clock().now_ms();
        let mut meant = meaning(&sent, now);
        if matches!(meant, Meaning::Later(_)) && now >= give_up_at {
            meant = Meaning::Never;
        }
        let next = match meant {
            Meaning::Taken => DeliveryState::Delivered,
            Meaning::Later(_) => DeliveryState::Waiting,
            Meaning::Never | Meaning::Gone => DeliveryState::Failed,
        };
        let (id, hook) = (delivery.id, webhook.id);
        let written = self.forge.db().transaction(|tx| {
            let attempt = &attempt;
            Box::pin(async move {
                deliveries::record(tx, attempt).await?;
                if next != DeliveryState::Waiting {
                    deliveries::set_state(tx, id, DeliveryState::Waiting, next, now).await?;
                }
                match next {
                    DeliveryState::Delivered => webhooks::note_success(tx, hook).await,
                    _ => webhooks::note_failure(tx, hook, now).await,
                }
            })
        });
        written.await.map_err(|error: StoreError| Error::from(error))?;
        self.pause_if_hopeless(webhook, &meant, now).await?;
        Ok(match meant {
            Meaning::Taken => {
                ATTEMPTS.get(End::Delivered).inc();
                Outcome::Finish
            }
            Meaning::Later(after) => {
                ATTEMPTS.get(End::Retry).inc();
                Outcome::Retry { why: why(&sent), after }
            }
            Meaning::Never | Meaning::Gone => {
                ATTEMPTS.get(End::Failed).inc();
                Outcome::Finish
            }
        })
    }

    /// Pauses a webhook whose receiver is gone, or that has failed for days, and tells the log and the audit.
    async fn pause_if_hopeless(&self, webhook: &Webhook, meant: &Meaning, now: i64) -> Result<(), Error> {
        let since = webhook.failing_since.unwrap_or(now);
        let is_old = now - since >= millis(self.forge.settings().webhooks.pause_after);
        let why = match meant {
            Meaning::Gone => Why::Gone,
            Meaning::Later(_) | Meaning::Never if is_old => Why::Failing,
            _ => return Ok(()),
        };
        let reason = why.value();
        let notices = self.notices_of_pause(webhook, reason).await?;
        let paused = self.forge.db().transaction(|tx| {
            let notices = &notices;
            Box::pin(async move {
                if !webhooks::pause(tx, webhook.id, now, reason).await? {
                    return Ok(false);
                }
                notices.write(tx).await?;
                Ok::<_, StoreError>(true)
            })
        });
        if !paused.await? {
            return Ok(());
        }
        notices.count();
        PAUSED.get(why).inc();
        tracing::warn!(webhook.id = webhook.id.get(), reason, "paused a webhook");
        let detail = serde_json::json!({ "reason": reason });
        let subject = format!("webhook {}", webhook.id);
        self.forge.audit_alone(&crate::Actor::System, None, "webhook.pause", &subject, detail).await;
        Ok(())
    }
}

impl Courier {
    /// Prepares what those who answer for a webhook are told of its pause.
    async fn notices_of_pause(&self, webhook: &Webhook, why: &str) -> Result<Notices, Error> {
        let keepers = match (webhook.repository, webhook.owner) {
            (Some(repository), _) => self.forge.keepers_of_repository(repository).await?,
            (None, Some(owner)) => self.forge.keepers_of(owner).await?,
            (None, None) => self.forge.keepers_of_all().await?,
        };
        let host = Target::parse(&webhook.url).map(|target| target.authority()).unwrap_or_default();
        let matter = Matter::Webhook { id: webhook.id.get(), host, why: why.to_owned() };
        let to = Addressees::by(webhook.repository, None).and(keepers, Reason::Owner);
        self.forge.notices(&matter, None, to).await
    }
}

/// Says what the queue shows of a failed attempt; nothing of what a stranger answered but the number.
fn why(sent: &Sent) -> String {
    match &sent.outcome {
        Ok(answer) => format!("the answer was {}", answer.status.as_u16()),
        Err(_) => complaint(sent).unwrap_or_default(),
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&ATTEMPTS, &TOOK, &PAUSED]
}
