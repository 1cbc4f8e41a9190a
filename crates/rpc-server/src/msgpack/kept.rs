//! Answers that wait for their next page.

use std::collections::HashMap;
use std::time::Duration;

use hakata_rpc::{Code, Operation, Status};
use hakata_runtime::secret::random_bytes;
use tokio::time::Instant;

use crate::spool::EncodedParts;

/// The rest of an answer, and the part that was read but did not fit.
pub(super) struct Rest {
    pub(super) operation: Operation,
    pub(super) first: Vec<u8>,
    pub(super) parts: EncodedParts,
}

/// What waits on one connection. Nobody else can name it.
pub(super) struct Kept {
    rests: HashMap<String, (Instant, Rest)>,
    max: usize,
    life: Duration,
}

impl Kept {
    pub(super) fn new(max: usize, life: Duration) -> Self {
        Self { rests: HashMap::new(), max, life }
    }

    /// Keeps the rest of an answer and names it.
    pub(super) fn keep(&mut self, rest: Rest) -> Result<String, Status> {
        if self.rests.len() >= self.max {
            let message = "too many answers of this connection wait for their next page";
            return Err(Status::new(Code::ResourceExhausted, message).retry_after(self.life));
        }
        let name: String = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        self.rests.insert(name.clone(), (Instant::now() + self.life, rest));
        Ok(name)
    }

    /// Gives a rest back to who names it.
    pub(super) fn take(&mut self, name: &str, operation: Operation) -> Result<Rest, Status> {
        match self.rests.remove(name) {
            Some((_, rest)) if rest.operation == operation => Ok(rest),
            _ => Err(Status::not_found("no answer waits under this handle; it may have waited too long")),
        }
    }

    /// Drops what waited too long.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        self.rests.retain(|_, (until, _)| *until > now);
    }

    /// Returns when the next one will have waited too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.rests.values().map(|(until, _)| *until).min()
    }
}
