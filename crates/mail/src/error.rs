//! Why a letter was not taken, and what that means.

use std::fmt;
use std::path::PathBuf;

use crate::EncodeError;

/// How far a conversation with a mail server was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Waiting for one of the connections.
    Waiting,
    /// Resolving, connecting, greeting, TLS.
    Connecting,
    /// Showing name and password.
    Login,
    /// `MAIL FROM`: the server judges us.
    Sender,
    /// `RCPT TO`: the server judges the address.
    Recipient,
    /// `DATA`.
    Data,
    /// The letter itself, and the last word about it.
    Content,
}

impl Stage {
    /// All stages, in their order.
    pub(crate) const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Connecting,
        Self::Login,
        Self::Sender,
        Self::Recipient,
        Self::Data,
        Self::Content,
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting for a connection",
            Self::Connecting => "connecting",
            Self::Login => "signing in",
            Self::Sender => "naming the sender",
            Self::Recipient => "naming the recipient",
            Self::Data => "offering the letter",
            Self::Content => "sending the letter",
        })
    }
}

/// What a failure means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The server cannot be reached, or does not answer: try again.
    Unreachable,
    /// The server asks to come again (4xx).
    Temporary,
    /// The server does not want us: an operator must look, and letters wait until then.
    Configuration,
    /// The server never will take this letter (5xx).
    Refused,
}

/// What another library said.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a letter was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The authorities that would vouch for the server cannot be used.
    #[error("reading the authorities that vouch for the mail server{}", shown(.path))]
    Authorities {
        /// The file, if it is one of ours.
        path: Option<PathBuf>,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// There is no connection, or nobody who greets on it.
    #[error("connecting to the mail server")]
    Connect {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The server is not whom it should be, or cannot speak TLS.
    #[error("beginning TLS with the mail server")]
    Tls {
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The server does not offer STARTTLS, or somebody in between took the offer away.
    #[error("the mail server offers no TLS")]
    NoTls,
    /// The server took too long.
    #[error("{stage}: the mail server took longer than {limit_s} s")]
    Late {
        /// When the time was over.
        stage: Stage,
        /// The limit.
        limit_s: u64,
    },
    /// The connection broke, or nonsense came over it.
    #[error("{stage}: the conversation with the mail server broke off")]
    Broken {
        /// When.
        stage: Stage,
        /// What happened.
        #[source]
        source: BoxError,
    },
    /// The server said no.
    #[error("{stage}: the mail server answered {code}{}{enhanced}", if .enhanced.is_empty() { "" } else { " " })]
    Answered {
        /// To what.
        stage: Stage,
        /// `550`
        code: u16,
        /// `5.1.1`, or nothing. Source: RFC 3463.
        enhanced: String,
        /// All that it said, which may name the address: not for logs.
        text: String,
    },
    /// The server does not do what the letter needs.
    #[error("the mail server takes no addresses beyond ASCII")]
    AddressBeyondAscii,
    /// The server lets nobody sign in, or by no way that we know.
    #[error("the mail server offers no way to sign in that we know")]
    NoLogin,
    /// The folder cannot be written.
    #[error("writing a letter to {path}")]
    Folder {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl SendError {
    /// Tells what it means for the next try.
    pub fn class(&self) -> Class {
        match self {
            Self::Encode(_) | Self::AddressBeyondAscii => Class::Refused,
            Self::Authorities { .. } | Self::Tls { .. } | Self::NoTls | Self::NoLogin => Class::Configuration,
            Self::Connect { .. } | Self::Late { .. } | Self::Broken { .. } | Self::Folder { .. } => {
                Class::Unreachable
            }
            Self::Answered { code: 400..=499, .. } => Class::Temporary,
            // Who signs in wrong, or not, is refused everywhere. Source: RFC 4954, section 6.
            Self::Answered { code: 530 | 534 | 535 | 538, .. } => Class::Configuration,
            Self::Answered { stage: Stage::Recipient | Stage::Data | Stage::Content, .. } => Class::Refused,
            Self::Answered { .. } => Class::Configuration,
        }
    }

    /// Tells all of it, for whoever administers: the server's own words may name the address.
    pub fn detail(&self) -> String {
        match self {
            Self::Answered { text: said, .. } => {
                hakata_names::escape_controls(format!("{self}: {said}").as_bytes())
            }
            _ => self.summary(),
        }
    }

    /// Tells what happened and why, for logs: no address, and nothing that the server said beside its code.
    pub fn summary(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let said = error.to_string();
            // The library writes its causes into its own words.
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            source = error.source();
        }
        hakata_names::escape_controls(text.as_bytes())
    }
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| format!(": {}", path.display())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Class, SendError, Stage};

    #[test]
    fn who_is_refused_decides_what_a_code_means() {
        for (stage, code, class) in [
            (Stage::Connecting, 421, Class::Temporary),
            (Stage::Connecting, 554, Class::Configuration),
            (Stage::Login, 535, Class::Configuration),
            (Stage::Login, 454, Class::Temporary),
            (Stage::Sender, 530, Class::Configuration),
            (Stage::Sender, 550, Class::Configuration),
            (Stage::Recipient, 450, Class::Temporary),
            (Stage::Recipient, 550, Class::Refused),
            (Stage::Recipient, 530, Class::Configuration),
            (Stage::Content, 554, Class::Refused),
            (Stage::Content, 451, Class::Temporary),
        ] {
            let error = SendError::Answered { stage, code, enhanced: String::new(), text: String::new() };
            assert_eq!(error.class(), class, "{stage}: {code}");
        }
    }

    #[test]
    fn the_log_hears_the_code_and_the_operator_the_words() {
        let error = SendError::Answered {
            stage: Stage::Recipient,
            code: 550,
            enhanced: "5.1.1".to_owned(),
            text: "5.1.1 <bob@example.org>: no such user".to_owned(),
        };
        assert_eq!(error.to_string(), "naming the recipient: the mail server answered 550 5.1.1");
        assert!(error.detail().ends_with("550 5.1.1: 5.1.1 <bob@example.org>: no such user"));
    }
}
