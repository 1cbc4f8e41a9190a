//! What tests of jobs through RabbitMQ need: names of their own on the broker of the machine, gone at the end.
//!
//! The broker is found by `HAKATA_TEST_AMQP_URL`, else at its standard port with the login of a fresh install. One that
//! is not there fails the test. Make the names before the world: what runs in it must be gone when they are deleted.

use std::time::Duration;

use hakata_forge::jobs::Kind;
use hakata_runtime::secret::random_bytes;
use hakata_worker::rabbit::{Broker, Settings};
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};

/// Names on the broker that no other test has.
pub(crate) struct Names {
    pub(crate) settings: Settings,
}

impl Names {
    pub(crate) fn new() -> Self {
        let prefix = format!("hakata_test_{:016x}", u64::from_le_bytes(random_bytes()));
        let settings = Settings {
            prefix,
            // What a test breaks is to be mended soon.
            pause: Duration::from_millis(250),
            rename: Duration::from_secs(60),
            ..Settings::new(url().into())
        };
        Self { settings }
    }

    /// The broker as one more process sees it.
    pub(crate) fn broker(&self) -> Broker {
        Broker::new(self.settings.clone())
    }

    pub(crate) fn queue(&self, kind: Kind) -> String {
        format!("{}.jobs.{kind}", self.settings.prefix)
    }

    /// Opens a connection of the test's own.
    pub(crate) async fn connect(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// Counts the messages of a queue that are ready.
    pub(crate) async fn ready(&self, channel: &Channel, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
    }

    async fn delete(prefix: &str) {
        let connection = Connection::connect(&url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for kind in Kind::ALL {
            let queue = format!("{prefix}.jobs.{kind}");
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        let dead = format!("{prefix}.dead");
        channel.queue_delete(dead.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        for exchange in [format!("{prefix}.jobs"), format!("{prefix}.events"), dead] {
            channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
        }
        connection.close(200, "".into()).await.unwrap();
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let prefix = self.settings.prefix.clone();
        // The test's own runtime is busy with the test.
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.unwrap().block_on(Self::delete(&prefix));
        });
        let _ = deleting.join();
    }
}

fn url() -> String {
    std::env::var("HAKATA_TEST_AMQP_URL")
        .unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}
