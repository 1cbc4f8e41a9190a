//! What an operator may set about jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use hakata_forge::jobs::Kind;

use crate::Redis;

/// How jobs are taken and run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this node in claims.
    pub node: String,
    /// Jobs of each kind that may run at once, over all nodes; a kind that is absent has one.
    pub at_once: BTreeMap<Kind, usize>,
    /// How long a claim lasts unless it is renewed, which happens three times in this time. Also how long the jobs of a
    /// worker that died wait.
    pub lease: Duration,
    /// Where the processes that share a database tell each other of jobs; without it PostgreSQL does, and MariaDB and
    /// MySQL tell nobody.
    pub redis: Option<Redis>,
    /// The channel of [`Settings::redis`]; only processes that share a database may share it.
    pub redis_channel: String,
    /// How often the queue is asked where nobody tells of jobs of other processes.
    pub poll: Duration,
    /// How often it is asked where they are told of, for what may have been missed.
    pub look: Duration,
    /// How long finished jobs are kept to be looked at.
    pub keep: Duration,
}

impl Settings {
    /// Tells how many jobs of a kind may run at once.
    pub fn limit(&self, kind: Kind) -> usize {
        self.at_once.get(&kind).copied().unwrap_or(1)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: "local".to_owned(),
            at_once: BTreeMap::from([
                (Kind::Commits, 4),
                (Kind::DiskUsage, 1),
                (Kind::Maintain, 1),
                (Kind::LfsSweep, 1),
                (Kind::LfsScrub, 1),
                (Kind::FanOut, 4),
                (Kind::Webhook, 16),
                (Kind::Mail, 4),
                (Kind::Mirror, 4),
                (Kind::Import, 2),
            ]),
            lease: Duration::from_secs(60),
            redis: None,
            redis_channel: "hakata:jobs".to_owned(),
            poll: Duration::from_millis(200),
            look: Duration::from_secs(5),
            keep: Duration::from_secs(24 * 3_600),
        }
    }
}
