//! From events to deliveries.

use hakata_names::{DeliveryId, EventId, JobId, RefPattern, RepositoryId, WebhookId};
use hakata_repository::Reason;
use hakata_runtime::metrics::{Counter, CounterFamily, Metric};
use hakata_runtime::secret::random_bytes;
use hakata_store::page::PageSize;
use hakata_store::ref_log::{self, LoggedMove};
use hakata_store::webhooks::deliveries::{self, Delivery};
use hakata_store::webhooks::{self, Webhook, cursor};
use hakata_store::{DeliveryState, StoreError, events, repositories};

use super::{EventKind, Format, lane};
use crate::mail::Notices;
use crate::{Error, Forge};

static RECORDED: CounterFamily<EventKind> =
    CounterFamily::new("hakata_webhook_deliveries_total", "Deliveries that were recorded, by event");
static CUT_SHORT: Counter = Counter::new(
    "hakata_webhook_pushes_cut_total",
    "Pushes that webhooks were told of in part, as they moved too many refs",
);

impl hakata_runtime::metrics::Label for EventKind {
    const KEY: &'static str = "event";

    fn value(self) -> &'static str {
        self.as_str()
    }
}

/// One change of a repository, as the log tells it.
struct Change {
    version: i64,
    event: Option<EventId>,
    moves: Vec<LoggedMove>,
}

/// Who is told of a change, and what.
struct Told<'a> {
    hooks: &'a [Webhook],
    planned: Vec<Delivery>,
    /// For those who watch the repository.
    notices: Notices,
}

impl Forge {
    /// Turns the events of a repository behind its cursor into deliveries, notices and their jobs. May run any number of times,
    /// also at once: each event is turned by whoever moves the cursor over it.
    ///
    /// # Errors
    /// When the database does not answer; what was turned stays so.
    pub async fn fan_out_webhooks(&self, repository: RepositoryId) -> Result<(), Error> {
        let mut is_first = true;
        loop {
            // The cursor and the version first: a webhook that was there before an event is seen with it.
            let from = cursor::read(&mut self.db().read().await?, repository).await?;
            let Some(head) = repositories::version_of(&mut self.db().read().await?, repository).await? else {
                return Ok(());
            };
            if head <= from {
                return Ok(());
            }
            if std::mem::take(&mut is_first) {
                // Before the cursor moves: one that is enqueued twice does no harm, one that is forgotten would.
                self.sync_after_push(repository).await?;
            }
            let hooks = webhooks::list_about(&mut self.db().read().await?, repository).await?;
            let watchers = self.watchers(repository).await?;
            if hooks.is_empty() && watchers.is_empty() {
                cursor::advance(&mut self.db().write().await?, repository, from, head).await?;
                continue;
            }
            let change = self.next_change(repository, from).await?;
            let Some(change) = change.filter(|change| change.version <= head) else {
                // Versions without moves, up to the one that was seen.
                cursor::advance(&mut self.db().write().await?, repository, from, head).await?;
                continue;
            };
            let planned = plan(repository, &hooks, &change, self.clock().now_ms());
            let notices = self.push_notices(repository, &change.moves, &watchers).await?;
            // Lost to somebody who does the same: the next round sees how far they are.
            let told = Told { hooks: &hooks, planned, notices };
            self.record(repository, from, change.version, told).await?;
        }
    }

    /// Reads the first change behind a version.
    async fn next_change(&self, repository: RepositoryId, from: i64) -> Result<Option<Change>, Error> {
        let most = self.settings().webhooks.refs_per_push;
        let mut conn = self.db().read().await?;
        let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let mut moves = ref_log::since(&mut conn, repository, from, limit).await?;
        let Some(version) = moves.first().map(|first| first.version) else { return Ok(None) };
        moves.retain(|moved| moved.version == version);
        if moves.len() > most {
            moves.truncate(most);
            CUT_SHORT.inc();
            tracing::warn!(
                repository.id = repository.get(),
                repository.version = version,
                push.refs = most,
                "a push moved more refs than webhooks are told of"
            );
        }
        let after = Some((version + 1, EventId::new(0)));
        let found = events::list(&mut conn, repository, after, PageSize::new(1)).await?.rows;
        let event = found.first().filter(|event| event.version == version).map(|event| event.id);
        Ok(Some(Change { version, event, moves }))
    }

    async fn record(
        &self,
        repository: RepositoryId,
        from: i64,
        to: i64,
        told: Told<'_>,
    ) -> Result<(), Error> {
        let Told { hooks, mut planned, notices } = told;
        let ids: Vec<DeliveryId> = self.ids().next_many(planned.len()).await?;
        let jobs: Vec<JobId> = self.ids().next_many(planned.len()).await?;
        for (delivery, id) in planned.iter_mut().zip(ids) {
            delivery.id = id;
        }
        let (planned, jobs, notices_of) = (&planned, &jobs, &notices);
        let recorded = self.db().transaction(|tx| {
            Box::pin(async move {
                if !cursor::advance(tx, repository, from, to).await? {
                    return Ok::<_, StoreError>(false);
                }
                let mut held: Vec<WebhookId> = Vec::new();
                for hook in hooks.iter().filter(|hook| hook.paused.is_some()) {
                    if webhooks::lock_paused(tx, hook.id).await? {
                        held.push(hook.id);
                    }
                }
                let state = |hook: WebhookId| match held.contains(&hook) {
                    true => DeliveryState::Held,
                    false => DeliveryState::Waiting,
                };
                let rows: Vec<Delivery> = planned
                    .iter()
                    .map(|delivery| Delivery { state: state(delivery.webhook), ..delivery.clone() })
                    .collect();
                deliveries::insert(tx, &rows).await?;
                for (delivery, job) in rows.iter().zip(jobs) {
                    let hook = hooks.iter().find(|hook| hook.id == delivery.webhook);
                    if let (Some(hook), DeliveryState::Waiting) = (hook, delivery.state) {
                        lane::enqueue(tx, *job, hook, delivery, delivery.created_at).await?;
                    }
                }
                notices_of.write(tx).await?;
                Ok(true)
            })
        });
        if recorded.await? {
            notices.count();
            for kind in planned.iter().filter_map(|delivery| EventKind::parse(&delivery.kind)) {
                RECORDED.get(kind).inc();
            }
        }
        Ok(())
    }
}

/// Lists what the webhooks are to be told of a change, in the order in which it is sent.
fn plan(repository: RepositoryId, hooks: &[Webhook], change: &Change, now: i64) -> Vec<Delivery> {
    let mut planned = Vec::new();
    for moved in &change.moves {
        if !is_news(&moved.reason) {
            continue;
        }
        for hook in hooks.iter().filter(|hook| hook.created_at <= moved.at && wants_ref(hook, moved)) {
            for kind in kinds(hook, moved) {
                planned.push(Delivery {
                    id: DeliveryId::new(0),
                    guid: guid(),
                    webhook: hook.id,
                    event: change.event,
                    kind: kind.as_str().to_owned(),
                    repository: Some(repository),
                    ref_name: Some(moved.name.clone()),
                    old: moved.old,
                    new: moved.new,
                    actor: moved.actor,
                    at: moved.at,
                    lane: lane::name(hook.id, Some(repository), Some(&moved.name)),
                    sequence: lane::sequence(change.version, kind),
                    state: DeliveryState::Waiting,
                    attempts: 0,
                    give_up_at: None,
                    created_at: now,
                    finished_at: None,
                });
            }
        }
    }
    planned
}

/// Tells whether moves for a reason are news: what an import brings happened long ago.
pub(crate) fn is_news(reason: &str) -> bool {
    ![Reason::Import, Reason::Recover].iter().any(|old| old.name() == reason)
}

/// Tells whether a webhook wants to hear of a ref: branches by its pattern, tags always, nothing else.
fn wants_ref(hook: &Webhook, moved: &LoggedMove) -> bool {
    match (moved.name.branch(), moved.name.tag()) {
        (Some(branch), _) => {
            hook.branches.is_empty()
                || RefPattern::parse(&hook.branches).is_ok_and(|pattern| pattern.matches_path(branch))
        }
        (None, tag) => tag.is_some(),
    }
}

/// Lists what a move is to a webhook. Gitea tells of a deletion by `delete` alone, GitHub by `push` too; Backlog and
/// chats hear of one thing once.
fn kinds(hook: &Webhook, moved: &LoggedMove) -> Vec<EventKind> {
    let (is_new, is_gone) = (moved.old.is_none(), moved.new.is_none());
    let wanted = |kind: EventKind| hook.events.split(' ').any(|word| word == kind.as_str());
    let candidates: &[EventKind] = match (Format::parse(&hook.format), is_new, is_gone) {
        (Some(Format::Backlog | Format::Slack), true, _) if wanted(EventKind::Push) => &[EventKind::Push],
        (Some(Format::Backlog | Format::Slack), _, true) if wanted(EventKind::Push) => &[EventKind::Push],
        (_, true, _) => &[EventKind::Create, EventKind::Push],
        (Some(Format::Github), _, true) => &[EventKind::Push, EventKind::Delete],
        (_, _, true) => &[EventKind::Delete],
        _ => &[EventKind::Push],
    };
    candidates.iter().copied().filter(|kind| wanted(*kind)).collect()
}

/// Draws a random UUID. Source: RFC 9562, section 5.4.
pub(super) fn guid() -> String {
    let mut bytes = random_bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&RECORDED, &CUT_SHORT]
}
