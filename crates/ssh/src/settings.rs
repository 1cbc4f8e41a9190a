//! What an operator can set.

use hakata_service::stream::Patience;
use std::time::Duration;

/// Limits of the SSH listener and what it tells people.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Banner, key exchange and login together.
    pub handshake: Duration,
    /// A connection without a running command, and a command without a byte in either direction.
    pub idle: Duration,
    /// A client that does not take what it asked for, or too slowly.
    pub patience: Patience,
    /// Silence after which the client is asked whether it lives.
    pub keepalive: Duration,
    /// Unanswered questions after which it does not.
    pub keepalive_max: usize,
    /// Refused logins on one connection.
    pub login_attempts: usize,
    /// Channels open at once on one connection.
    pub channels: usize,
    /// What URLs of LFS over HTTP begin with.
    pub lfs_url: LfsUrl,
    /// How people add a key, shown to those whose keys are all unknown.
    pub key_hint: String,
}

/// What URLs of LFS over HTTP begin with, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LfsUrl {
    /// There is none here.
    Nowhere,
    /// Everybody reaches it by this.
    Everywhere(String),
    /// Only this machine does, and nobody said how others do.
    Loopback(String),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(30),
            idle: Duration::from_secs(10 * 60),
            patience: Patience::default(),
            keepalive: Duration::from_secs(30),
            keepalive_max: 3,
            login_attempts: 6,
            channels: 10,
            lfs_url: LfsUrl::Nowhere,
            key_hint: "ask an administrator of this server to add it: hakata key add NAME FILE.pub"
                .to_owned(),
        }
    }
}
