//! The atomics and locks of this crate; `tests/loom.rs` builds the same sources with those of a model checker.

pub(crate) use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, PoisonError};
