//! What the listener counts.

use hakata_runtime::metrics::{CounterFamily, Gauge, Label, Metric};

/// Connections from their acceptance to their end.
pub(crate) static CONNECTIONS: Gauge =
    Gauge::new("hakata_ssh_connections", "SSH connections that are open now");
/// Channels that run a command.
pub(crate) static CHANNELS: Gauge = Gauge::new("hakata_ssh_channels", "SSH channels that run a command now");
/// How connections ended.
pub(crate) static ENDS: CounterFamily<End> =
    CounterFamily::new("hakata_ssh_connections_ended_total", "SSH connections that ended, by how they did");
/// How logins went.
pub(crate) static LOGINS: CounterFamily<LoginOutcome> =
    CounterFamily::new("hakata_ssh_logins_total", "Keys judged for login, by outcome");
/// What was asked for.
pub(crate) static COMMANDS: CounterFamily<(CommandLabel, ExitLabel)> =
    CounterFamily::new("hakata_ssh_commands_total", "Commands over SSH, by command and exit");

/// Lists the metrics of this crate.
pub(crate) fn all() -> Vec<&'static dyn Metric> {
    vec![&CONNECTIONS, &CHANNELS, &ENDS, &LOGINS, &COMMANDS]
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $key:literal { $($(#[$variant_doc:meta])* $variant:ident = $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl Label for $name {
            const KEY: &'static str = $key;

            fn value(self) -> &'static str {
                match self {
                    $(Self::$variant => $value),+
                }
            }
        }
    };
}

label! {
    /// How a connection ended.
    End, "end" {
        /// The client left, or both sides had finished.
        Closed = "closed",
        /// The client broke the protocol, or the network broke.
        Failed = "failed",
        /// The handshake took too long.
        Handshake = "handshake_timeout",
        /// Nothing ran for too long.
        Idle = "idle",
        /// Too many refused logins.
        Refused = "login_refused",
        /// The server stops.
        Drained = "drained",
    }
}

label! {
    /// How the judgement of a key went.
    LoginOutcome, "outcome" {
        /// The signature is right and the key is known.
        Accepted = "accepted",
        /// Nobody has this key.
        Unknown = "unknown_key",
        /// The kind of key or signature is not accepted.
        Kind = "refused_kind",
        /// We could not look it up.
        Failed = "failed",
    }
}

label! {
    /// What was asked for.
    CommandLabel, "command" {
        /// A fetch.
        UploadPack = "upload_pack",
        /// A push.
        ReceivePack = "receive_pack",
        /// An archive.
        UploadArchive = "upload_archive",
        /// Signing in to LFS over HTTP.
        LfsAuthenticate = "lfs_authenticate",
        /// LFS itself.
        LfsTransfer = "lfs_transfer",
        /// A command for people.
        People = "people",
        /// No command: the greeting.
        Greeting = "greeting",
        /// Something that is not offered.
        Refused = "refused",
    }
}

label! {
    /// How a command ended.
    ExitLabel, "exit" {
        /// With status 0.
        Success = "success",
        /// With another status.
        Failure = "failure",
        /// The client left before it ended.
        Left = "client_left",
        /// The client took or sent nothing for too long.
        Stalled = "stalled",
    }
}
