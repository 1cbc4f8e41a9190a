//! The kinds of jobs, and the rules of each.

use std::time::Duration;

use hakata_runtime::metrics::Label;
use hakata_runtime::secret::random_bytes;
use serde::{Deserialize, Serialize};

/// Declares the kinds with the word that rows have.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// What a job does. A row of another kind, such as a newer release's, is left alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[$doc])* $name),+ }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the word that is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// Finds the kind of a word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// Registers the commits that a push brought, with their authors and what they close.
    Commits = "commits",
    /// Adds up what a repository and its owner use, and tells when a quota is nearly full.
    DiskUsage = "disk_usage",
    /// Makes one pack of the many small ones that pushes left.
    Maintain = "maintain",
    /// Collects LFS objects of a repository that no commit points to.
    LfsSweep = "lfs_sweep",
    /// Reads the bytes of LFS objects again.
    LfsScrub = "lfs_scrub",
    /// Turns what happened in a repository into deliveries of webhooks.
    FanOut = "fan_out",
    /// Tries one delivery of a webhook.
    Webhook = "webhook",
    /// Sends a letter about a notice, or about all that are held for a digest.
    Mail = "mail",
    /// Syncs one mirror with a repository of another host.
    Mirror = "mirror",
    /// Brings in a repository of another host.
    Import = "import",
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Label for Kind {
    const KEY: &'static str = "kind";

    fn value(self) -> &'static str {
        self.as_str()
    }
}

/// How jobs of a kind are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Attempts before a job is buried.
    pub attempts: u32,
    /// Pause before the second attempt; each one after it is twice as long.
    pub first_pause: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// How long one attempt may take before it is cut.
    pub time: Duration,
    /// How long a failing job holds back those behind it in its lane.
    pub hold: Duration,
    /// Jobs that may run at once with the same target, over all nodes.
    pub per_target: usize,
    /// Jobs that may run at once about the same repository, over all nodes.
    pub per_repository: usize,
}

impl Rules {
    /// What holds for most kinds: ten attempts in about an hour and a half, one job at once for a repository.
    pub const USUAL: Self = Self {
        attempts: 10,
        first_pause: Duration::from_secs(5),
        longest_pause: Duration::from_secs(30 * 60),
        time: Duration::from_secs(10 * 60),
        hold: Duration::from_secs(10 * 60),
        per_target: usize::MAX,
        per_repository: 1,
    };

    /// Tells how long to wait after failed attempt `attempt`, counted from 1: twice as long each time, give or take a
    /// quarter, so that what failed together is not tried again together.
    pub fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << attempt.saturating_sub(1).min(24));
        let quarters = 192 + u32::from(random_bytes::<1>()[0]) / 2;
        doubled.min(self.longest_pause) * quarters / 256
    }
}

impl Kind {
    /// Returns the rules of this kind.
    pub const fn rules(self) -> Rules {
        match self {
            Self::Commits | Self::DiskUsage | Self::FanOut => Rules::USUAL,
            // A large repository takes its time; whoever is cut begins again.
            Self::Maintain | Self::LfsSweep => Rules {
                attempts: 5,
                first_pause: Duration::from_secs(60),
                time: Duration::from_secs(6 * 60 * 60),
                ..Rules::USUAL
            },
            // It goes on where it was: what was read is noted.
            Self::LfsScrub => Rules {
                attempts: 1_000,
                first_pause: Duration::from_secs(60),
                time: Duration::from_secs(7 * 24 * 60 * 60),
                per_repository: usize::MAX,
                ..Rules::USUAL
            },
            // The delivery says when trying ends, which is sooner than this.
            Self::Webhook => Rules {
                attempts: 1_000,
                longest_pause: Duration::from_secs(6 * 60 * 60),
                time: Duration::from_secs(2 * 60),
                per_target: 4,
                per_repository: usize::MAX,
                ..Rules::USUAL
            },
            // Cut by `mirrors.time`; whoever gives up is tried again when the mirror's time comes.
            Self::Mirror => Rules {
                attempts: 4,
                first_pause: Duration::from_secs(30),
                longest_pause: Duration::from_secs(10 * 60),
                time: Duration::from_secs(7 * 24 * 60 * 60),
                per_target: 4,
                ..Rules::USUAL
            },
            // Cut by `repositories.import_time`.
            Self::Import => Rules {
                attempts: 5,
                first_pause: Duration::from_secs(30),
                time: Duration::from_secs(7 * 24 * 60 * 60),
                per_target: 4,
                ..Rules::USUAL
            },
            // `mail.retry_for` says when trying ends.
            Self::Mail => Rules {
                attempts: 1_000,
                first_pause: Duration::from_secs(10),
                longest_pause: Duration::from_secs(2 * 60 * 60),
                per_target: 4,
                per_repository: usize::MAX,
                ..Rules::USUAL
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Kind, Rules};

    #[test]
    fn words_read_back() {
        assert!(Kind::ALL.iter().all(|kind| Kind::parse(kind.as_str()) == Some(*kind)));
        assert_eq!(Kind::parse("tomorrow"), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let rules = Rules::USUAL;
        for (attempt, seconds) in [(1, 5), (2, 10), (5, 80), (10, 1_800), (u32::MAX, 1_800)] {
            let (pause, middle) = (rules.pause(attempt), Duration::from_secs(seconds));
            assert!(pause >= middle * 3 / 4 && pause <= middle * 5 / 4, "{attempt}: {pause:?}");
        }
        let pauses: std::collections::BTreeSet<_> = (0..64).map(|_| rules.pause(1)).collect();
        assert!(pauses.len() > 8, "pauses differ");
    }
}
