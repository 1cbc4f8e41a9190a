//! Receives messages for a worker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
use hakata_forge::jobs::Kind;
use hakata_names::JobId;
use hakata_runtime::tasks::Tasks;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio_util::sync::CancellationToken;

use super::link::{Keeper, LinkError};
use super::{Broker, Link};
use crate::metrics::{BAD_MESSAGES, RECEIVED};
use crate::worker::{Shared, Source};

/// Time between two looks at jobs that were named in vain, for room that another node made.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What comes from the queue of a kind; `None` is the end of the queue.
type Incoming = BoxStream<'static, (Kind, Option<lapin::Result<Delivery>>)>;

/// The consumers of one connection.
struct Consumers {
    incoming: SelectAll<Incoming>,
    channels: Vec<(Channel, ShortString)>,
}

pub(crate) fn start(shared: &Arc<Shared>, broker: &Broker, tasks: &Tasks) {
    let (drain, looking) = (tasks.cancel_token(), shared.clone());
    drop(tasks.spawn("worker.look", async move {
        drain.run_until_cancelled(look(&looking)).await;
    }));
    let (drain, shared, broker) = (tasks.cancel_token(), shared.clone(), broker.clone());
    drop(tasks.spawn("worker.consume", async move {
        let mut keeper = Keeper::new(&broker, Link::Consumer);
        while let Some((connection, _declared)) = drain.run_until_cancelled(keeper.connect()).await {
            let ended = receive(&shared, &broker, &keeper, &connection, &drain).await;
            shared.source.forget();
            match ended {
                Ok(()) => {
                    let _ = connection.close(200, "drained".into()).await;
                    return;
                }
                Err(error) => keeper.lost(&error),
            }
        }
    }));
}

/// Looks now and then at jobs that were named when they could not be claimed.
async fn look(shared: &Shared) {
    loop {
        match shared.queue.passed_kinds().await {
            Ok(kinds) => shared.inbox.tell(kinds),
            Err(error) => tracing::debug!(error = error.chain(), "asking for jobs that were named in vain"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Receives until a drain, then gives back what no job has been claimed for, and waits for the rest: it is acknowledged
/// over this connection.
async fn receive(
    shared: &Shared,
    broker: &Broker,
    keeper: &Keeper,
    connection: &Connection,
    drain: &CancellationToken,
) -> Result<(), LinkError> {
    let mut consumers = consume(shared, broker, connection).await?;
    let mut events = std::pin::pin!(connection.events_listener());
    loop {
        tokio::select! {
            Some((kind, delivered)) = consumers.incoming.next() => {
                let delivery = delivered.ok_or_else(|| LinkError::Gone(kind.to_string()))??;
                take_in(shared, kind, delivery).await;
            }
            Some(event) = events.next() => keeper.heard(event)?,
            () = drain.cancelled() => break,
        }
    }
    for (channel, tag) in consumers.channels {
        channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
    }
    shared.source.forget();
    if let Source::Broker { mail, .. } = &shared.source {
        mail.settled().await;
    }
    Ok(())
}

/// Opens a channel for each kind, on which as many messages may be unacknowledged as jobs may run.
async fn consume(shared: &Shared, broker: &Broker, connection: &Connection) -> Result<Consumers, LinkError> {
    let mut consumers = Consumers { incoming: SelectAll::new(), channels: Vec::new() };
    for kind in shared.handlers.kinds() {
        let channel = connection.create_channel().await?;
        let prefetch = u16::try_from(shared.settings.limit(kind)).unwrap_or(u16::MAX).max(1);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (queue, options) = (broker.settings().queue(kind), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
        consumers.channels.push((channel, consumer.tag()));
        let end = stream::once(async move { (kind, None) });
        consumers.incoming.push(consumer.map(move |delivered| (kind, Some(delivered))).chain(end).boxed());
    }
    Ok(consumers)
}

/// Keeps a message for the dispatcher. One that names no job goes to the dead letters.
async fn take_in(shared: &Shared, kind: Kind, delivery: Delivery) {
    let named = std::str::from_utf8(&delivery.data).ok().and_then(|text| text.parse().ok());
    let (Source::Broker { mail, .. }, Some(job)) = (&shared.source, named) else {
        BAD_MESSAGES.inc();
        tracing::warn!(job.kind = %kind, size_bytes = delivery.data.len(), "a message names no job");
        let _ = delivery.acker.reject(BasicRejectOptions { requeue: false }).await;
        return;
    };
    RECEIVED.get(kind).inc();
    mail.put(kind, JobId::new(job), delivery.acker);
    shared.inbox.tell([kind]);
}
