//! Closed sets, with the word of each.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the word that is stored, shown and sent.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Finds the variant of a word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

words! {
    /// In whose words a webhook is told.
    Format {
        /// Gitea's, with headers for receivers of Gogs and GitHub as well.
        Gitea = "gitea",
        /// GitHub's.
        Github = "github",
        /// Backlog's activities.
        Backlog = "backlog",
        /// A message for a chat that takes Slack's.
        Slack = "slack",
    }
    /// How a body is written.
    ContentType {
        /// JSON itself.
        Json = "json",
        /// A form whose field `payload` is the JSON.
        Form = "form",
    }
    /// What a webhook may be told of.
    EventKind {
        /// Refs moved.
        Push = "push",
        /// A branch or tag is new.
        Create = "create",
        /// A branch or tag is gone.
        Delete = "delete",
        /// A test.
        Ping = "ping",
    }
}

impl ContentType {
    /// Returns the media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}
