//! What an operator may set about this face.

use std::time::Duration;

use hakata_runtime::units::ByteSize;

/// Limits of requests, and where actions point to. The size of an object is the forge's business.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the URLs of actions begin with, without a slash at the end; `None`: what the client itself asked.
    pub public_url: Option<String>,
    /// Most objects of one batch.
    pub max_objects: usize,
    /// Largest request in JSON.
    pub max_request: ByteSize,
    /// How long a connection may be silent between requests. Clients keep connections for long and do not repeat an
    /// upload when one was closed meanwhile.
    pub idle: Duration,
    /// How much of a refused upload is read to its end, so that its client gets to the answer.
    pub max_discard: ByteSize,
    /// How long that reading may take.
    pub discard_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            max_objects: 1_000,
            max_request: ByteSize::mib(1),
            idle: Duration::from_secs(5 * 60),
            max_discard: ByteSize::mib(64),
            discard_time: Duration::from_secs(4),
        }
    }
}
