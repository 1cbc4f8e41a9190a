//! What a notice tells of, and why its reader is told.

use hakata_names::RepositoryPath;
use serde::{Deserialize, Serialize};

/// What happened; the payload of a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Matter {
    /// Branches or tags moved; the log of this version has them.
    Push { version: i64 },
    /// A quota is nearly used up.
    Quota { of: String, percent: i64, used_bytes: i64, limit_bytes: i64 },
    /// A webhook was paused by itself.
    Webhook { id: i64, host: String, why: String },
    /// A repository is gone, or elsewhere.
    Repository { change: RepositoryChange },
    /// Something about who can sign in as the reader.
    Account { change: AccountChange },
}

/// What became of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RepositoryChange {
    Deleted { path: RepositoryPath },
    Moved { from: RepositoryPath, to: RepositoryPath },
}

/// What became of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountChange {
    /// The password is another one, or there is none any more.
    Password { is_set: bool },
    /// There is another SSH key.
    Key { title: String, fingerprint: String },
    /// There is another token.
    Token { name: String, scopes: String },
    /// Mail goes to another address; this letter still goes where it went before.
    Address { was: String },
    /// The account administers the installation, or no longer.
    Admin { is_admin: bool },
}

impl Matter {
    /// Returns the word that is stored and shown.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Push { .. } => "push",
            Self::Quota { .. } => "quota",
            Self::Webhook { .. } => "webhook",
            Self::Repository { .. } => "repository",
            Self::Account { .. } => "account",
        }
    }

    /// Whether the reader must still be allowed to read the repository when the letter is sent. Of one that is gone its
    /// readers are told all the same.
    pub(crate) const fn needs_grant(&self) -> bool {
        matches!(self, Self::Push { .. } | Self::Quota { .. } | Self::Webhook { .. })
    }
}

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Watches the repository.
    Subscribed,
    /// Owns the repository, its group, or the installation.
    Owner,
    /// It is about the reader's own account. Nobody can do without such letters.
    Security,
}

impl Reason {
    /// Returns the word that is stored, shown and sent.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Owner => "owner",
            Self::Security => "security",
        }
    }

    /// Finds the reason of a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Subscribed, Self::Owner, Self::Security].into_iter().find(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountChange, Matter, Reason};

    #[test]
    fn payloads_read_back_and_name_their_kind() {
        let key =
            AccountChange::Key { title: "改行\nlaptop".to_owned(), fingerprint: "SHA256:x".to_owned() };
        for matter in [
            Matter::Push { version: 7 },
            Matter::Quota { of: "owner".to_owned(), percent: 90, used_bytes: 9, limit_bytes: 10 },
            Matter::Account { change: key },
        ] {
            let text = serde_json::to_string(&matter).unwrap();
            assert!(text.contains(&format!("\"kind\":\"{}\"", matter.kind())), "{text}");
            assert_eq!(serde_json::from_str::<Matter>(&text).unwrap(), matter);
        }
        for reason in [Reason::Subscribed, Reason::Owner, Reason::Security] {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
    }
}
