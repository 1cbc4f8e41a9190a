//! Empty jobs through RabbitMQ, beside messages that nobody does anything with.
//!
//! Bare, as many publishers as we enqueue with at once each publish a persistent message to a durable quorum queue, wait
//! until the broker confirms it, and publish the next; a consumer to which as many are delivered at once acknowledges
//! them. Ours enqueues rows, which a relay names to such a queue, and a worker claims and finishes the rows that messages
//! name. The same broker serves both, with nothing else to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use hakata_testkit::RabbitServer;
use hakata_worker::rabbit::{Broker, Link, Settings, State};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};

use super::figures::{Bar, Figures};
use super::stage::{KIND, Stage, enqueue, settings, timed};
use super::{AT_ONCE, Amount, ENGINES};

/// The least share of the bare rate.
const LEAST: f64 = 0.5;

/// The bare queue.
const QUEUE: &str = "bench.bare";

/// AMQP's number for a message that is kept on disk.
const PERSISTENT: u8 = 2;

/// How long connections may take to stand.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn measure(folder: &Path, amount: Amount, figures: &mut Figures) -> Result<()> {
    eprintln!("starting RabbitMQ");
    let server = RabbitServer::start(&folder.join("rabbitmq"))?;
    for engine in ENGINES {
        let case = format!("jobs through RabbitMQ on {}", engine.name());
        eprintln!("measuring {case}");
        let stage = Stage::open(engine, folder, "broker").await?;
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for round in 0..=amount.rounds {
            let of_bare = bare_round(&server.url(), amount.n_jobs).await.context("the bare loop")?;
            let of_ours = our_round(&stage, &server.url(), amount.n_jobs).await.context("the worker")?;
            // The first is to warm up.
            if round > 0 {
                bare.push(of_bare);
                ours.push(of_ours);
            }
        }
        let bare = figures.rates(&case, "messages in a loop", amount.n_jobs, &bare);
        let ours = figures.rates(&case, "hakata", amount.n_jobs, &ours);
        figures.goal(format!("{case}, against messages alone"), ours / bare, Bar::AtLeast(LEAST));
    }
    Ok(())
}

/// Publishes, and consumes what is published.
async fn bare_round(url: &str, n: i64) -> Result<Duration> {
    let connect = async || Connection::connect(url, ConnectionProperties::default()).await;
    let (publishing, consuming) = (connect().await?, connect().await?);
    let channel = publishing.create_channel().await?;
    let mut arguments = FieldTable::default();
    for (name, word) in [("x-queue-type", "quorum"), ("x-overflow", "reject-publish")] {
        arguments.insert(name.into(), AMQPValue::LongString(word.into()));
    }
    channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let taking = consuming.create_channel().await?;
    taking.basic_qos(u16::try_from(AT_ONCE)?, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = taking.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await?;
    let next = Arc::new(AtomicI64::new(0));
    let publishers = (0..AT_ONCE).map(|_| {
        let (channel, next) = (channel.clone(), next.clone());
        let publishing = tokio::spawn(async move {
            loop {
                let id = next.fetch_add(1, Ordering::SeqCst);
                if id >= n {
                    return anyhow::Ok(());
                }
                let (options, properties) = (
                    BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
                    BasicProperties::default().with_delivery_mode(PERSISTENT),
                );
                let body = id.to_string();
                let sent =
                    channel.basic_publish("".into(), QUEUE.into(), options, body.as_bytes(), properties);
                let confirmed = sent.await?.await?;
                ensure!(matches!(confirmed, Confirmation::Ack(None)), "a message is confirmed");
            }
        });
        async { publishing.await? }
    });
    let consume = async {
        for _ in 0..n {
            let delivery = consumer.next().await.context("the queue goes on")??;
            delivery.acker.ack(BasicAckOptions::default()).await?;
        }
        anyhow::Ok(())
    };
    let took = timed(async { tokio::try_join!(try_join_all(publishers), consume).map(drop) }).await?;
    for connection in [publishing, consuming] {
        connection.close(200, "".into()).await?;
    }
    Ok(took)
}

/// Enqueues while a relay names jobs and a worker runs them.
async fn our_round(stage: &Stage, url: &str, n: i64) -> Result<Duration> {
    let node = stage.node("worker").await?;
    let begun = Arc::new(AtomicI64::new(0));
    let counted = begun.clone();
    let broker = Broker::new(Settings::new(url.to_owned().into()));
    broker.relay(&node.forge, &node.running);
    let count = move |_: &_| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let worker = node.work(settings(), Some(broker.clone()), count);
    let asked = Instant::now();
    let stands = |link| broker.links().get(&link) == Some(&State::Up);
    while !(stands(Link::Relay) && stands(Link::Consumer)) {
        ensure!(asked.elapsed() < CONNECT_LIMIT, "the broker is up: {:?}", broker.links());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = timed(async {
        enqueue(&node.db, KIND.as_str(), stage.ids(n)).await?;
        stage.until_done(&begun, n).await
    });
    let took = took.await?;
    node.stop().await;
    worker.stop().await;
    stage.forget(n).await?;
    Ok(took)
}
