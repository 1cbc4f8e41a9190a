//! What waits for the next question of its caller: answers for their next page, requests for their next part.

use std::collections::HashMap;
use std::time::Duration;

use hakata_rpc::{Code, Operation, Status};
use hakata_runtime::metrics::GaugeGuard;
use hakata_runtime::secret::random_bytes;
use tokio::time::Instant;

use super::upload::Upload;
use crate::metrics::{WAITING, Waiting};
use crate::spool::EncodedParts;

/// The rest of an answer, and the part that was read but did not fit.
pub(super) struct Rest {
    pub(super) operation: Operation,
    pub(super) first: Vec<u8>,
    pub(super) parts: EncodedParts,
}

/// Something that waits under a handle.
pub(super) trait Waits {
    const WHAT: Waiting;
    const TOO_MANY: &'static str;
    const ABSENT: &'static str;

    fn operation(&self) -> Operation;
}

impl Waits for Rest {
    const WHAT: Waiting = Waiting::Answer;
    const TOO_MANY: &'static str = "too many answers of this connection wait for their next page";
    const ABSENT: &'static str = "no answer waits under this handle; it may have waited too long";

    fn operation(&self) -> Operation {
        self.operation
    }
}

impl Waits for Upload {
    const WHAT: Waiting = Waiting::Request;
    const TOO_MANY: &'static str = "too many requests of this connection wait for their next part";
    const ABSENT: &'static str =
        "no request waits under this handle for its next part; it may have waited too long";

    fn operation(&self) -> Operation {
        self.operation
    }
}

/// What waits on one connection. Nobody else can name it.
pub(super) struct Kept<T> {
    all: HashMap<String, One<T>>,
    max: usize,
    life: Duration,
}

struct One<T> {
    until: Instant,
    /// The caller's number for the request that left it.
    msgid: u32,
    waits: T,
    _counted: GaugeGuard,
}

impl<T: Waits> Kept<T> {
    pub(super) fn new(max: usize, life: Duration) -> Self {
        Self { all: HashMap::new(), max, life }
    }

    /// Keeps what a request left, and names it.
    pub(super) fn keep(&mut self, msgid: u32, waits: T) -> Result<String, Status> {
        if self.all.len() >= self.max {
            return Err(Status::new(Code::ResourceExhausted, T::TOO_MANY).retry_after(self.life));
        }
        let name: String = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let until = Instant::now() + self.life;
        let counted = WAITING.get(T::WHAT).track();
        self.all.insert(name.clone(), One { until, msgid, waits, _counted: counted });
        Ok(name)
    }

    /// Gives it back to who names it.
    pub(super) fn take(&mut self, name: &str, operation: Operation) -> Result<T, Status> {
        match self.all.remove(name) {
            Some(One { waits, .. }) if waits.operation() == operation => Ok(waits),
            _ => Err(Status::not_found(T::ABSENT)),
        }
    }

    /// Drops what nobody asks for any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.all.remove(name);
    }

    /// Drops what a request left whose caller took it back while the answer was on its way.
    pub(super) fn forget_left_by(&mut self, msgid: u32) {
        self.all.retain(|_, one| one.msgid != msgid);
    }

    /// Drops what waited too long.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        self.all.retain(|_, one| one.until > now);
    }

    /// Returns when the next one will have waited too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.all.values().map(|one| one.until).min()
    }
}
