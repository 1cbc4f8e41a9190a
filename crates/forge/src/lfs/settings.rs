//! What an operator may set about LFS.

use std::time::Duration;

use hakata_runtime::units::ByteSize;

/// Limits of LFS; every field has a key in the configuration.
#[derive(Clone, Debug)]
pub struct LfsSettings {
    /// Largest object.
    pub max_object: ByteSize,
    /// How long an action may be begun after its batch.
    pub action_time: Duration,
    /// Objects sent or fetched at once, in all.
    pub transfers: usize,
    /// Objects sent or fetched at once by one user, or one address without an account.
    pub transfers_per_client: usize,
    /// Resumable uploads written at once, in all: a part of each is in memory.
    pub resumable: usize,
    /// How long a transfer waits for its turn before its client is told to come again.
    pub transfer_wait: Duration,
    /// Most locks of one repository.
    pub max_locks: usize,
    /// Age from which uploads that never ended are swept.
    pub staged_age: Duration,
    /// How long objects that no repository has any more keep their bytes.
    pub dead_age: Duration,
    /// Time between two sweeps.
    pub sweep_every: Duration,
    /// Whether objects that no commit points to are collected by themselves.
    pub gc: bool,
    /// Time between two searches of a repository for such objects.
    pub gc_every: Duration,
    /// How long an object is left alone after it came, or a client was told that it is there; more than an hour, to which
    /// such promises are rounded.
    pub gc_grace: Duration,
    /// How long an object is in quarantine before it is taken away.
    pub gc_quarantine: Duration,
    /// How long one search may take.
    pub gc_time: Duration,
    /// Whether bytes are read again by themselves.
    pub scrub: bool,
    /// Time in which each object's bytes are read again once.
    pub scrub_every: Duration,
    /// Bytes that are read for that in a second.
    pub scrub_rate: ByteSize,
}

impl Default for LfsSettings {
    fn default() -> Self {
        Self {
            max_object: ByteSize::mib(10_240),
            action_time: Duration::from_secs(60 * 60),
            transfers: 256,
            transfers_per_client: 16,
            resumable: 16,
            transfer_wait: Duration::from_secs(10),
            max_locks: 10_000,
            staged_age: Duration::from_secs(24 * 60 * 60),
            dead_age: Duration::from_secs(24 * 60 * 60),
            sweep_every: Duration::from_secs(60 * 60),
            gc: true,
            gc_every: Duration::from_secs(7 * 24 * 60 * 60),
            gc_grace: Duration::from_secs(14 * 24 * 60 * 60),
            gc_quarantine: Duration::from_secs(14 * 24 * 60 * 60),
            gc_time: Duration::from_secs(60 * 60),
            scrub: true,
            scrub_every: Duration::from_secs(30 * 24 * 60 * 60),
            scrub_rate: ByteSize::mib(16),
        }
    }
}
