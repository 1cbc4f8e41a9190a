//! Requests in parts, which are said only once.
//!
//! As long as nobody took a part behind the first, an attempt that breaks is made again as a whole. After that the first
//! part is said alone, under the same idempotency key: whoever did it all before answers as then, and to others it says
//! too little to come to anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};

use futures_util::stream::{self, Fuse, StreamExt};

use crate::call::Requests;
use crate::status::{Origin, Status};

/// The parts of a request, lent to one attempt after another.
pub(super) struct Lent<T> {
    first: T,
    rest: Arc<Mutex<Rest<T>>>,
}

struct Rest<T> {
    parts: Fuse<Requests<T>>,
    is_begun: bool,
    /// The attempt that may take them: one that broke may still reach for more.
    attempt: u32,
}

/// What one attempt says.
pub(super) struct Loan<T> {
    pub(super) requests: Requests<T>,
    pub(super) extent: Extent,
}

/// How much of a request an attempt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// The rest went with an attempt before.
    FirstPart,
}

impl<T: Clone + Send + 'static> Lent<T> {
    /// Waits for the first part.
    pub(super) async fn new(mut parts: Requests<T>) -> Result<Self, Status> {
        let first = parts.next().await.transpose()?;
        let first = first.ok_or_else(|| Status::invalid("the request has no parts"))?;
        let rest = Rest { parts: parts.fuse(), is_begun: false, attempt: 0 };
        Ok(Self { first, rest: Arc::new(Mutex::new(rest)) })
    }

    /// Lends them to the next attempt.
    pub(super) fn lend(&self) -> Loan<T> {
        let mut rest = lock(&self.rest);
        rest.attempt += 1;
        let (attempt, shared) = (rest.attempt, self.rest.clone());
        let first = stream::iter([Ok(self.first.clone())]);
        if rest.is_begun {
            return Loan { requests: Requests::new(first), extent: Extent::FirstPart };
        }
        let following = stream::poll_fn(move |context| {
            let mut rest = lock(&shared);
            if rest.attempt != attempt {
                return Poll::Pending;
            }
            let part = ready!(rest.parts.poll_next_unpin(context));
            rest.is_begun |= part.is_some();
            Poll::Ready(part)
        });
        Loan { requests: Requests::new(first.chain(following)), extent: Extent::Whole }
    }
}

impl Extent {
    /// Says what an answer means: that a first part alone was refused tells nothing of the whole.
    pub(super) fn explain(self, status: Status) -> Status {
        match (self, status.origin) {
            (Self::FirstPart, Origin::Operation) => Status::unreached(
                "the connection broke while the request was sent, and what followed its first part cannot be sent again",
            ),
            _ => status,
        }
    }
}

fn lock<T>(rest: &Mutex<Rest<T>>) -> MutexGuard<'_, Rest<T>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}
