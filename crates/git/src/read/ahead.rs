//! A large file, inflated on the blocking pool while what came before is on its way.

use std::io;

use bytes::Bytes;
use hakata_runtime::blocking::{Blocking, Started};

use super::whole::Whole;
use crate::objects::ReadError;

/// A range of a file that is stored whole. One stretch is read ahead if the pool has room; nothing is read while nobody
/// takes it.
pub(super) struct Ahead {
    blocking: Blocking,
    end: u64,
    /// Bytes in front of the range that are still to be passed over.
    skip: u64,
    state: State,
    ready: Bytes,
}

enum State {
    Resting(Box<Whole>),
    Inflating(Started<Inflated>),
    /// It failed, or was left in the middle.
    Broken,
}

type Inflated = (Box<Whole>, io::Result<Bytes>);

impl Ahead {
    /// Takes a file from its beginning.
    pub(super) fn new(blocking: Blocking, whole: Whole, (begin, end): (u64, u64)) -> Self {
        Self { blocking, end, skip: begin, state: State::Resting(Box::new(whole)), ready: Bytes::new() }
    }

    /// Returns the next piece of at most so many bytes; there must be one.
    pub(super) async fn next(&mut self, most: usize) -> Result<Bytes, ReadError> {
        while self.ready.is_empty() {
            let mut stretch = self.stretch().await?;
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(stretch.len());
            self.skip -= skipped as u64;
            self.ready = stretch.split_off(skipped);
        }
        Ok(self.ready.split_to(most.min(self.ready.len())))
    }

    /// Waits for the next stretch and starts the one behind it.
    async fn stretch(&mut self) -> Result<Bytes, ReadError> {
        let inflated = match &mut self.state {
            State::Inflating(started) => started.await,
            State::Resting(_) | State::Broken => {
                let State::Resting(whole) = std::mem::replace(&mut self.state, State::Broken) else {
                    return Err(ReadError::Walk("the file was left in the middle".into()));
                };
                self.blocking.run(inflate(whole, self.end)).await
            }
        };
        self.state = State::Broken;
        let (whole, stretch) = inflated.map_err(ReadError::Busy)?;
        let stretch = stretch.map_err(|error| ReadError::Walk(error.into()))?;
        self.state = match self.blocking.place() {
            Some(place) if whole.at() < self.end => State::Inflating(place.start(inflate(whole, self.end))),
            _ => State::Resting(whole),
        };
        Ok(stretch)
    }
}

fn inflate(mut whole: Box<Whole>, end: u64) -> impl FnOnce() -> Inflated {
    move || {
        let stretch = whole.stretch(end);
        (whole, stretch)
    }
}
