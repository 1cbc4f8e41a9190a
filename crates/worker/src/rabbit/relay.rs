//! Names jobs to the broker and tells it of events, and keeps at it until it has confirmed that it has the message.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hakata_forge::Forge;
use hakata_forge::jobs::{Queue, Unconfirmed, UntoldEvents};
use hakata_names::{EventId, JobId};
use hakata_runtime::tasks::Tasks;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::link::{Keeper, LinkError};
use super::{Broker, Link, Settings};
use crate::metrics::{PUBLISHED, Published, RELAY_LAG, UNCONFIRMED};

/// Jobs that are taken at once.
const BATCH: usize = 128;

/// Time between two looks at jobs that nobody told of: of other processes, for another attempt, or lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause after the broker refused messages, or the database did not answer.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// Time between two measurements of the lag.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// What the type of a message says.
const JOB: &str = "hakata.job";
const EVENT: &str = "hakata.event";

/// AMQP's number for a message that is kept on disk.
const PERSISTENT: u8 = 2;

struct Relay {
    broker: Broker,
    queue: Queue,
    /// Jobs were committed in this process.
    news: Arc<Notify>,
}

pub(super) fn start(broker: &Broker, forge: &Forge, tasks: &Tasks) {
    let queue = forge.job_queue("relay", Duration::ZERO);
    let news = Arc::new(Notify::new());
    let (drain, mut listener, heard) = (tasks.cancel_token(), queue.listen_here(), news.clone());
    drop(tasks.spawn("jobs.relay_news", async move {
        let listening = async {
            while listener.heard().await.is_ok() {
                heard.notify_one();
            }
        };
        drain.run_until_cancelled(listening).await;
    }));
    let (drain, measured) = (tasks.cancel_token(), queue.clone());
    drop(tasks.spawn("jobs.relay_lag", async move {
        drain.run_until_cancelled(measure(&measured)).await;
    }));
    let (drain, relay) = (tasks.cancel_token(), Relay { broker: broker.clone(), queue, news });
    drop(tasks.spawn("jobs.relay", async move {
        let mut keeper = Keeper::new(&relay.broker, Link::Relay);
        while let Some((connection, channel)) = drain.run_until_cancelled(keeper.connect()).await {
            match relay.run(&keeper, &connection, &channel, &drain).await {
                Ok(()) => {
                    let _ = connection.close(200, "drained".into()).await;
                    return;
                }
                Err(error) => keeper.lost(&error),
            }
        }
    }));
}

async fn measure(queue: &Queue) {
    loop {
        match queue.relay_lag().await {
            Ok(lag) => RELAY_LAG.set(i64::try_from(lag.as_secs()).unwrap_or(i64::MAX)),
            Err(error) => tracing::debug!(error = error.chain(), "measuring the lag of the relay"),
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

impl Relay {
    /// Publishes until a drain, and waits for what is not confirmed yet.
    async fn run(
        &self,
        keeper: &Keeper,
        connection: &Connection,
        channel: &Channel,
        drain: &CancellationToken,
    ) -> Result<(), LinkError> {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let unconfirmed = self.broker.settings().unconfirmed;
        let most_flying = unconfirmed.div_ceil(unconfirmed.min(BATCH));
        let mut events = std::pin::pin!(connection.events_listener());
        let mut flying = FuturesUnordered::new();
        let (mut pause, mut turn) = (Duration::ZERO, Turn::Jobs);
        while !drain.is_cancelled() {
            if pause.is_zero() && flying.len() < most_flying {
                match self.take(turn).await {
                    Ok(None) => pause = LOOK_EVERY,
                    Ok(Some(batch)) => {
                        // Neither waits for the end of the other.
                        turn = batch.next_turn();
                        flying.push(self.publish(channel, batch));
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(error = error.chain(), "taking what is to be told to the broker");
                        pause = AFTER_REFUSAL;
                    }
                }
            }
            let ended = tokio::select! {
                Some(sent) = flying.next(), if !flying.is_empty() => {
                    self.settle(sent).await.map(|refused| pause = pause.max(refused))
                }
                () = self.news.notified() => {
                    pause = Duration::ZERO;
                    Ok(())
                }
                () = tokio::time::sleep(pause), if !pause.is_zero() => {
                    pause = Duration::ZERO;
                    Ok(())
                }
                Some(event) = events.next() => keeper.heard(event),
                () = drain.cancelled() => break,
            };
            if ended.is_err() {
                // The others fail as well, and say so in their rows; nobody has to wait for that.
                while let Some(sent) = flying.next().await {
                    let _ = self.settle(sent).await;
                }
                return ended;
            }
        }
        while let Some(sent) = flying.next().await {
            self.settle(sent).await?;
        }
        Ok(())
    }

    /// Takes what is to be published next, of that whose turn it is or else of the other.
    async fn take(&self, turn: Turn) -> Result<Option<Batch>, hakata_forge::Error> {
        let settings = self.broker.settings();
        let most = settings.unconfirmed.min(BATCH);
        // Twice as long as a confirmation is waited for: it is over before anybody else takes them.
        let lasting = settings.confirm * 2;
        for turn in [turn, turn.other()] {
            let batch = match turn {
                Turn::Jobs => Batch::Jobs(self.queue.take_unrelayed(most, lasting).await?),
                Turn::Events => {
                    let events = self.queue.take_untold_events(most, settings.events_for, lasting);
                    Batch::Events(events.await?)
                }
            };
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Publishes what was taken. It asks the broker only: a question to the database would hold a connection while
    /// nobody polls this, and SQLite has one that writes.
    async fn publish(&self, channel: &Channel, batch: Batch) -> Sent {
        let settings = self.broker.settings();
        let letters = batch.letters(settings);
        let _counted: Vec<_> = letters.iter().map(|_| UNCONFIRMED.track()).collect();
        let sending = join_all(letters.iter().map(|letter| send(channel, letter)));
        let sent = tokio::time::timeout(settings.confirm, sending).await;
        let (mut confirmed, mut refused, mut lost, mut error) = (Vec::new(), Vec::new(), Vec::new(), None);
        match sent {
            Ok(sent) => {
                for (letter, outcome) in letters.iter().zip(sent) {
                    match outcome {
                        Ok(Published::Confirmed) => confirmed.push(letter.id),
                        Ok(Published::Returned) => {
                            lost.push(letter.id);
                            error = Some(LinkError::Gone(letter.key.to_string()));
                        }
                        Ok(_) => refused.push(letter.id),
                        Err(why) => {
                            lost.push(letter.id);
                            error = Some(why.into());
                        }
                    }
                }
            }
            Err(_) => {
                PUBLISHED.get(Published::Lost).add(letters.len() as u64);
                lost = letters.iter().map(|letter| letter.id).collect();
                error = Some(LinkError::Slow(settings.confirm));
            }
        }
        Sent { batch, confirmed, refused, lost, error }
    }

    /// Writes down what became of messages. Answers how long to wait before the next.
    async fn settle(&self, sent: Sent) -> Result<Duration, LinkError> {
        let Sent { batch, confirmed, refused, lost, error } = sent;
        let mut pause = Duration::ZERO;
        if !refused.is_empty() {
            tracing::warn!(n_messages = refused.len(), "the broker refuses messages: a queue is full");
            pause = AFTER_REFUSAL;
        }
        self.write_down(&batch, &confirmed, None).await;
        self.write_down(&batch, &refused, Some(AFTER_REFUSAL)).await;
        self.write_down(&batch, &lost, Some(Duration::ZERO)).await;
        error.map_or(Ok(pause), Err)
    }

    /// Writes down that messages are confirmed, or to be published again after so long.
    async fn write_down(&self, batch: &Batch, ids: &[i64], again: Option<Duration>) {
        if ids.is_empty() {
            return;
        }
        let written = match batch {
            Batch::Jobs(taken) => {
                let ids: Vec<JobId> = ids.iter().copied().map(JobId::new).collect();
                self.queue.name_again(taken, &ids, again.unwrap_or(self.broker.settings().rename)).await
            }
            Batch::Events(taken) => {
                let ids: Vec<EventId> = ids.iter().copied().map(EventId::new).collect();
                self.queue.told_events(taken, &ids, again).await
            }
        };
        if let Err(error) = written {
            tracing::warn!(
                n_messages = ids.len(),
                error = error.chain(),
                "messages will be published once more"
            );
        }
    }
}

/// What became of what was published together.
struct Sent {
    batch: Batch,
    confirmed: Vec<i64>,
    refused: Vec<i64>,
    lost: Vec<i64>,
    error: Option<LinkError>,
}

/// What is looked for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Jobs,
    Events,
}

impl Turn {
    fn other(self) -> Self {
        match self {
            Self::Jobs => Self::Events,
            Self::Events => Self::Jobs,
        }
    }
}

/// What was taken at once.
enum Batch {
    Jobs(Unconfirmed),
    Events(UntoldEvents),
}

/// One message.
struct Letter {
    id: i64,
    exchange: ShortString,
    key: ShortString,
    body: Vec<u8>,
    properties: BasicProperties,
    options: BasicPublishOptions,
}

impl Batch {
    fn is_empty(&self) -> bool {
        match self {
            Self::Jobs(taken) => taken.jobs.is_empty(),
            Self::Events(taken) => taken.events.is_empty(),
        }
    }

    fn next_turn(&self) -> Turn {
        match self {
            Self::Jobs(_) => Turn::Events,
            Self::Events(_) => Turn::Jobs,
        }
    }

    /// Writes the messages. A job that no queue takes is a failure; an event that nobody wants to hear of is not.
    fn letters(&self, settings: &Settings) -> Vec<Letter> {
        let letter =
            |id: i64, exchange: &ShortString, key: &str, body: Vec<u8>, kind: &str, content: &str| Letter {
                id,
                exchange: exchange.clone(),
                key: key.into(),
                body,
                properties: BasicProperties::default()
                    .with_delivery_mode(PERSISTENT)
                    .with_content_type(content.into())
                    .with_type(kind.into())
                    .with_message_id(id.to_string().into()),
                options: BasicPublishOptions { mandatory: kind == JOB, ..BasicPublishOptions::default() },
            };
        match self {
            Self::Jobs(taken) => {
                let exchange = settings.exchange();
                let jobs = taken.jobs.iter().map(|job| {
                    let id = job.id.get();
                    letter(id, &exchange, job.kind.as_str(), id.to_string().into_bytes(), JOB, "text/plain")
                });
                jobs.collect()
            }
            Self::Events(taken) => {
                let exchange = settings.events();
                let events = taken.events.iter().map(|event| {
                    let body = event.body.clone().into_bytes();
                    letter(event.id.get(), &exchange, &event.kind, body, EVENT, "application/json")
                });
                events.collect()
            }
        }
    }
}

async fn send(channel: &Channel, letter: &Letter) -> lapin::Result<Published> {
    let Letter { exchange, key, body, properties, options, .. } = letter;
    let confirmation = async {
        let (exchange, key) = (exchange.clone(), key.clone());
        channel.basic_publish(exchange, key, *options, body, properties.clone()).await?.await
    };
    let published = match confirmation.await {
        Ok(Confirmation::Ack(None)) => Ok(Published::Confirmed),
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => Ok(Published::Returned),
        Ok(Confirmation::Nack(None) | Confirmation::NotRequested) => Ok(Published::Refused),
        Err(error) => Err(error),
    };
    PUBLISHED.get(*published.as_ref().unwrap_or(&Published::Lost)).inc();
    published
}
