//! The `[lfs]` table: Git LFS.

use crate::config::raw::{Origin, Values};
use hakata_forge::lfs::LfsSettings;
use hakata_runtime::units::ByteSize;
use std::time::Duration;

/// The least age of what is swept, and time between sweeps.
const LEAST: Duration = Duration::from_secs(1);

/// Shortest life of an action: clients take one for ended five seconds before it is.
const LEAST_ACTION: Duration = Duration::from_secs(10);

/// Least time for which an object is left alone that a client was told of.
const LEAST_GRACE: Duration = Duration::from_secs(2 * 60 * 60);

/// Least bytes a second that are read again.
const LEAST_RATE: ByteSize = ByteSize::new(1 << 10);

/// Takes over what is policy.
pub(super) fn policy(values: &Values) -> LfsSettings {
    LfsSettings {
        // A larger body never arrives.
        max_object: ByteSize::new(values.bytes("lfs.object_size").min(values.bytes("http.body"))),
        action_time: values.duration("lfs.action_time"),
        transfers: values.count("lfs.transfers"),
        transfers_per_client: values.count("lfs.client_transfers"),
        resumable: values.count("lfs.resumable"),
        transfer_wait: values.duration("lfs.transfer_wait"),
        max_locks: values.count("lfs.locks"),
        staged_age: values.duration("lfs.staged_age"),
        dead_age: values.duration("lfs.dead_age"),
        sweep_every: values.duration("lfs.sweep_every"),
        gc: values.flag("lfs.gc"),
        gc_every: values.duration("lfs.gc_every"),
        gc_grace: values.duration("lfs.gc_grace"),
        gc_quarantine: values.duration("lfs.gc_quarantine"),
        gc_time: values.duration("lfs.gc_time"),
        scrub: values.flag("lfs.scrub"),
        scrub_every: values.duration("lfs.scrub_every"),
        scrub_rate: values.size("lfs.scrub_rate"),
    }
}

/// Takes over what is of the face; where people come to is known when the listeners are bound.
pub(super) fn face(values: &Values) -> hakata_lfs::Settings {
    hakata_lfs::Settings {
        public_url: values.some_text("http.public_url").map(|url| url.trim_end_matches('/').to_owned()),
        max_objects: values.count("lfs.batch_objects"),
        max_request: values.size("lfs.request"),
        idle: values.duration("lfs.idle_timeout"),
        max_discard: values.size("lfs.discard"),
        discard_time: values.duration("lfs.discard_time"),
    }
}

/// Checks what values mean together.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    let is_chosen = *values.origin("lfs.object_size") != Origin::Default;
    if is_chosen && values.bytes("lfs.object_size") > values.bytes("http.body") {
        refuse("lfs.object_size", "must be at most http.body, or larger objects never arrive");
    }
    for name in ["lfs.staged_age", "lfs.dead_age", "lfs.sweep_every", "lfs.gc_every", "lfs.scrub_every"] {
        if values.duration(name) < LEAST {
            refuse(name, "must be at least 1s");
        }
    }
    if values.duration("lfs.gc_grace") < LEAST_GRACE {
        refuse("lfs.gc_grace", "must be at least 2h: what clients are told is remembered by the hour");
    }
    if values.size("lfs.scrub_rate") < LEAST_RATE {
        refuse("lfs.scrub_rate", "must be at least 1KiB");
    }
    if values.duration("lfs.action_time") < LEAST_ACTION {
        refuse("lfs.action_time", "must be at least 10s: clients end an action five seconds early");
    }
}
