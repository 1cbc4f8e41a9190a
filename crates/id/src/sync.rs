//! The atomics and locks of this crate; the model checker's tests build the same sources with its own instead.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, PoisonError};
