//! What an operator may set about the broker.

use std::path::PathBuf;
use std::time::Duration;

use hakata_runtime::secret::Secret;

/// Where the broker is, and how it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS.
    pub url: Secret<String>,
    /// Authorities in PEM that are trusted beside those of the system.
    pub authority: Option<PathBuf>,
    /// What names of exchanges and queues begin with.
    pub prefix: String,
    /// How long connecting and declaring may take.
    pub connect: Duration,
    /// How often the two ends tell each other that they are there; whole seconds.
    pub heartbeat: Duration,
    /// How long a confirmation is waited for.
    pub confirm: Duration,
    /// Messages that may wait for their confirmation.
    pub unconfirmed: usize,
    /// After how long a job is named again that nobody has claimed.
    pub rename: Duration,
    /// Events that the broker did not take for so long are not told any more.
    pub events_for: Duration,
    /// The longest pause between two tries to connect.
    pub pause: Duration,
    /// Messages that one queue holds before the broker refuses more.
    pub queue_length: u32,
    /// Deliveries of one message after which it goes to the dead letters.
    pub deliveries: u32,
}

impl Settings {
    /// Makes the usual settings for a broker.
    pub fn new(url: Secret<String>) -> Self {
        Self {
            url,
            authority: None,
            prefix: "hakata".to_owned(),
            connect: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
            confirm: Duration::from_secs(10),
            unconfirmed: 256,
            rename: Duration::from_secs(10 * 60),
            events_for: Duration::from_secs(24 * 3_600),
            pause: Duration::from_secs(15),
            queue_length: 100_000,
            deliveries: 20,
        }
    }
}
