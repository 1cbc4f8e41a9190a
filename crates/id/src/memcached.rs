//! The memcached protocols, text and binary, without IO.

use std::time::Duration;

use crate::issue::Refusal;

/// Where a session takes ids from and leaves its counts.
pub trait Source {
    /// Gives up to `n` ids to `each`, in rising order, and returns how many.
    ///
    /// # Errors
    /// If there is none now.
    fn ids(&mut self, n: u32, each: &mut dyn FnMut(u64)) -> Result<u32, Refusal>;

    /// Lists what `stats` answers, in order.
    fn stats(&mut self) -> Vec<(String, String)>;
}

/// How far a session came with its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Requests that were completed; these extend the idle timeout.
    pub requests: u32,
    /// What the connection does next.
    pub then: Next,
}

/// What a connection does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Writes what there is and reads more.
    Continue,
    /// Calls again with the unconsumed input after this time: the ids of this tick are used up.
    Wait(Duration),
    /// Writes before it calls again: the replies have reached their bound.
    Flush,
    /// Writes what there is and closes.
    Close,
}
