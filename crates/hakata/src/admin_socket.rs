//! Administration of a running server: one JSON request over a Unix socket, then JSON lines until the outcome.
//!
//! ```text
//! > {"request":"run","command":{…}}
//! < {"step":{"what":"copying packs","done":1048576,"total":2097152,"unit":"bytes"}}
//! < {"answer":{…}}      or      {"failure":{"exit":"not_found","kind":"not_found","message":"…"}}
//! ```
//!
//! Only the server's own user, and root, are answered.

pub(crate) mod client;
pub(crate) mod server;

use crate::output::{Answer, Failure, Step};
use hakata_forge::admin;
use serde::{Deserialize, Serialize};

/// The longest request, in bytes: a few hundred public keys.
const MAX_REQUEST: u64 = 4 << 20;
/// The longest line of a reply, in bytes: a list of all accounts of a large installation.
const MAX_REPLY: u64 = 1 << 30;

/// What is asked of a server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Runs an administrative command.
    Run {
        /// The command.
        command: admin::Command,
    },
    /// Tells how the server does.
    Status,
}

/// A line of the answer; the last one is never a step.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Long work goes on.
    Step(Step),
    /// It is done.
    Answer(Answer),
    /// It was not done.
    Failure(Failure),
}
