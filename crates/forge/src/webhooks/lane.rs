//! The jobs of deliveries: one each, in the lane of what they are about, counted by the host that they ask.

use hakata_egress::Target;
use hakata_names::{DeliveryId, JobId, RefName, RepositoryId, WebhookId};
use hakata_store::jobs::{self, Lane, NewJob};
use hakata_store::webhooks::Webhook;
use hakata_store::webhooks::deliveries::Delivery;
use hakata_store::{Conn, StoreError};
use sha2::{Digest as _, Sha256};

use super::EventKind;

/// The kind of jobs that send one delivery.
const KIND: &str = "webhook";

/// Names the lane of deliveries that one webhook gets about one ref; a digest, since refs may be longer than names of
/// lanes.
pub(super) fn name(
    webhook: WebhookId,
    repository: Option<RepositoryId>,
    ref_name: Option<&RefName>,
) -> String {
    let digest = Sha256::digest(ref_name.map_or(&b""[..], RefName::as_bytes));
    let short: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{webhook}:{}:{short}", repository.map_or(0, RepositoryId::get))
}

/// Gives the place of a delivery in its lane: rises with the version of the repository, and a ref is created before
/// it is pushed to.
pub(super) fn sequence(version: i64, kind: EventKind) -> i64 {
    version.saturating_mul(4).saturating_add(match kind {
        EventKind::Create => 0,
        EventKind::Push => 1,
        EventKind::Delete => 2,
        EventKind::Ping => 3,
    })
}

/// Enqueues the job of a delivery.
pub(super) async fn enqueue(
    conn: &mut Conn,
    id: JobId,
    webhook: &Webhook,
    delivery: &Delivery,
    now: i64,
) -> Result<(), StoreError> {
    let payload = format!("{{\"delivery\":{}}}", delivery.id);
    // A URL was parsed when it was taken; one that is none any more fails at its attempt.
    let target = Target::parse(&webhook.url).map(|target| target.authority()).unwrap_or_default();
    let job = NewJob {
        repository: delivery.repository,
        event: delivery.event,
        lane: Some(Lane { name: &delivery.lane, sequence: delivery.sequence }),
        target: Some(&target),
        payload: &payload,
        ..NewJob::new(id, KIND, now)
    };
    jobs::enqueue(conn, &job).await.map(drop)
}

/// Reads the delivery that a job is about.
pub(super) fn delivery_of(payload: &str) -> Option<DeliveryId> {
    let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
    payload["delivery"].as_i64().map(DeliveryId::new)
}
