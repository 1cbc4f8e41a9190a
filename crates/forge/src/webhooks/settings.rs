//! What an operator may set about webhooks.

use std::time::Duration;

use hakata_runtime::secret::Secret;
use hakata_runtime::units::ByteSize;

/// The settings; every field has a key in the configuration.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// The URL of this installation that payloads name: `https://git.example.org`.
    pub base_url: String,
    /// The same for SSH: `ssh://git.example.org`.
    pub ssh_url: String,
    /// What secrets are sealed with in their rows; `None`: a random key that is kept beside them.
    pub seal: Option<Secret<String>>,
    /// For how long a delivery is tried again.
    pub retry_for: Duration,
    /// For how long a webhook may fail before it is paused.
    pub pause_after: Duration,
    /// For how long deliveries are kept.
    pub keep: Duration,
    /// Webhooks of one repository, or of one owner.
    pub per_place: usize,
    /// Refs of one push that are told of.
    pub refs_per_push: usize,
    /// Commits of one push that a payload lists.
    pub commits_per_push: usize,
    /// Paths that the commits of one payload list together.
    pub paths_per_push: usize,
    /// How much of an answer's body is kept.
    pub answer: ByteSize,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            base_url: "http://127.0.0.1:3000".to_owned(),
            ssh_url: "ssh://127.0.0.1:2222".to_owned(),
            seal: None,
            retry_for: 3 * day,
            pause_after: 3 * day,
            keep: 30 * day,
            per_place: 50,
            refs_per_push: 1_000,
            commits_per_push: 100,
            paths_per_push: 3_000,
            answer: ByteSize::new(64 << 10),
        }
    }
}
