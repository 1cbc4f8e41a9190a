//! What an operator may set about mail on its way out.

use std::path::PathBuf;
use std::time::Duration;

use hakata_runtime::secret::Secret;

use crate::Mailbox;

/// Who writes, and who takes the letters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The sender of all letters; bounces go there.
    pub from: Mailbox,
    /// Who takes them.
    pub transport: Transport,
}

/// Who takes letters.
#[derive(Clone, Debug)]
pub enum Transport {
    /// A mail server.
    Smtp(Smtp),
    /// A maildir, for development: one file a letter in `new/`. The directory is made at the first letter.
    Folder(PathBuf),
    /// The log, for development: whole letters, with addresses and words.
    Log,
}

/// The mail server that letters are given to.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the conversation is kept from others.
    pub tls: TlsMode,
    /// Who we are to it.
    pub login: Option<Login>,
    /// How long one letter may take, from connecting to the server's last word.
    pub timeout: Duration,
    /// Connections at once; further letters wait for one.
    pub connections: usize,
    /// A connection that was silent for so long is not used again.
    pub idle: Duration,
    /// Letters on one connection.
    pub letters_per_connection: usize,
    /// Authorities in PEM that are trusted beside those of the machine.
    pub certificates: Option<PathBuf>,
}

/// How a conversation with a mail server is encrypted. The certificate is always verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// From the first byte.
    Tls,
    /// From the server's consent on; without it there is no letter.
    StartTls,
    /// Not at all.
    None,
}

/// A name and a password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}
