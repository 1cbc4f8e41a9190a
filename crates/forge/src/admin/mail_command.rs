//! The commands about mail.

use hakata_names::{OwnerName, RepositoryPath};
use hakata_store::{Digest, NoticeState, WatchLevel};
use serde::{Deserialize, Serialize};

use crate::mail::Language;

/// `hakata mail …`, `hakata user mail` and `hakata user watch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum MailCommand {
    /// Sends a letter now, past the queue.
    Test {
        /// Where to.
        address: String,
    },
    /// Lists what readers were told, newest first.
    List {
        /// Only what is in this state.
        #[serde(default)]
        state: Option<NoticeState>,
        /// At most so many.
        limit: u16,
    },
    /// Shows or changes what a user wants of mail.
    Wish {
        /// Who.
        user: OwnerName,
        /// Another address; empty: none.
        #[serde(default)]
        address: Option<String>,
        /// Whether there is mail beside what is about the account's security.
        #[serde(default)]
        notices: Option<bool>,
        /// How notices are collected.
        #[serde(default)]
        digest: Option<Digest>,
        /// The language.
        #[serde(default)]
        language: Option<LanguageWish>,
    },
    /// Sets how much a user wants to hear of a repository.
    Watch {
        /// Who.
        user: OwnerName,
        /// Of what.
        path: RepositoryPath,
        /// How much.
        level: WatchLevel,
    },
    /// Lists the repositories that a user chose something for.
    Watches {
        /// Who.
        user: OwnerName,
    },
}

/// A language that a user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LanguageWish {
    /// The installation's, whatever it is.
    Default,
    /// This one.
    #[serde(untagged)]
    One(Language),
}
