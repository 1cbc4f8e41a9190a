//! The exchanges and queues that we need, declared whenever a connection stands.

use hakata_forge::jobs::Kind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::Settings;
use super::link::LinkError;

/// How long dead letters are kept to be looked at, in ms; the rows that they name are never forgotten.
const DEAD_LETTERS_KEPT_MS: i32 = 7 * 24 * 3_600 * 1_000;

impl Settings {
    /// The exchange that jobs are published to, by kind.
    pub(super) fn exchange(&self) -> ShortString {
        format!("{}.jobs", self.prefix).into()
    }

    /// The queue of a kind.
    pub(super) fn queue(&self, kind: Kind) -> ShortString {
        format!("{}.jobs.{kind}", self.prefix).into()
    }

    /// The exchange of events, to which other programs bind queues of their own.
    pub(super) fn events(&self) -> ShortString {
        format!("{}.events", self.prefix).into()
    }

    /// The exchange of messages that were delivered too often or make no sense, and its queue.
    pub(super) fn dead_letters(&self) -> ShortString {
        format!("{}.dead", self.prefix).into()
    }
}

/// Declares everything; what is there already stays, if it is what we need.
pub(super) async fn declare(channel: &Channel, settings: &Settings) -> Result<(), LinkError> {
    for exchange in [settings.dead_letters(), settings.exchange(), settings.events()] {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared =
            channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, options, FieldTable::default());
        declared.await.map_err(|error| LinkError::declaring(&format!("exchange {exchange}"), error))?;
    }
    let length = i64::from(settings.queue_length);
    // The oldest dead letters go first: a full queue of them must not hold up those that still die.
    let dead = [
        ("x-queue-type", text("quorum")),
        ("x-max-length", AMQPValue::LongLongInt(length)),
        ("x-overflow", text("drop-head")),
        ("x-message-ttl", AMQPValue::LongInt(DEAD_LETTERS_KEPT_MS)),
    ];
    declare_queue(channel, settings.dead_letters(), &dead, settings.dead_letters(), "#").await?;
    let dead_letters = AMQPValue::LongString(settings.dead_letters().as_str().into());
    for &kind in Kind::ALL {
        let arguments = [
            ("x-queue-type", text("quorum")),
            ("x-max-length", AMQPValue::LongLongInt(length)),
            ("x-overflow", text("reject-publish")),
            ("x-delivery-limit", AMQPValue::LongLongInt(i64::from(settings.deliveries))),
            ("x-dead-letter-exchange", dead_letters.clone()),
            ("x-dead-letter-strategy", text("at-least-once")),
        ];
        declare_queue(channel, settings.queue(kind), &arguments, settings.exchange(), kind.as_str()).await?;
    }
    Ok(())
}

async fn declare_queue(
    channel: &Channel,
    queue: ShortString,
    arguments: &[(&str, AMQPValue)],
    exchange: ShortString,
    key: &str,
) -> Result<(), LinkError> {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    let failed = |error| LinkError::declaring(&format!("queue {queue}"), error);
    channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), table).await.map_err(failed)?;
    let bound = channel.queue_bind(
        queue.clone(),
        exchange,
        key.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.map_err(failed)
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
