//! What an operator may set about mail.

use std::path::PathBuf;
use std::time::Duration;

use hakata_mail::{Mailbox, Mailer, Smtp, TlsMode, Transport};

use super::Language;

/// The settings; every field has a key in the configuration.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// Who takes letters.
    pub way: Way,
    /// Who writes them; needed unless mail is off.
    pub from: Option<Mailbox>,
    /// The mail server of [`Way::Smtp`].
    pub smtp: Smtp,
    /// The maildir of [`Way::File`].
    pub folder: PathBuf,
    /// The language of readers who chose none.
    pub language: Language,
    /// How long a letter that fails is tried again.
    pub retry_for: Duration,
    /// How long notices are kept.
    pub keep: Duration,
    /// How long an hourly digest waits for more.
    pub hourly: Duration,
    /// How long a daily digest waits for more.
    pub daily: Duration,
    /// Refs of one push that are told of.
    pub refs_per_push: usize,
    /// Commits of one ref that are listed.
    pub commits_per_push: usize,
}

/// Who takes letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nobody: none are made.
    Off,
    /// The log.
    Log,
    /// A maildir.
    File,
    /// A mail server.
    Smtp,
}

impl MailSettings {
    /// Makes what sends letters, unless mail is off.
    pub(crate) fn mailer(&self) -> Option<Mailer> {
        let transport = match self.way {
            Way::Off => return None,
            Way::Log => Transport::Log,
            Way::File => Transport::Folder(self.folder.clone()),
            Way::Smtp => Transport::Smtp(self.smtp.clone()),
        };
        Some(Mailer::new(hakata_mail::Settings { from: self.from.clone()?, transport }))
    }
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            way: Way::Off,
            from: None,
            smtp: Smtp {
                host: String::new(),
                port: 587,
                tls: TlsMode::StartTls,
                login: None,
                timeout: Duration::from_secs(60),
                connections: 4,
                idle: Duration::from_secs(30),
                letters_per_connection: 100,
                certificates: None,
            },
            folder: PathBuf::from("mail"),
            language: Language::En,
            retry_for: Duration::from_secs(2 * 24 * 60 * 60),
            keep: Duration::from_secs(30 * 24 * 60 * 60),
            hourly: Duration::from_secs(60 * 60),
            daily: Duration::from_secs(24 * 60 * 60),
            refs_per_push: 20,
            commits_per_push: 20,
        }
    }
}
