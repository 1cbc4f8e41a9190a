//! Mail on its way out: letters in the format of the net, and the server, folder or log that takes them.
//!
//! A [`Letter`] says what is to be written to whom; [`Mailer::send`] writes it as a text part and an HTML part with
//! headers that no name can break out of, and hands it over. What went wrong is told by stage and class, so that a
//! caller knows whether another try makes sense ([`SendError::class`]). The crate knows neither users nor events, makes
//! no second try by itself, and keeps no queue.
//!
//! ```
//! use hakata_mail::{Letter, Mailbox, Mailer, Settings, Transport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let from: Mailbox = "Hakata <hakata@git.example.org>".parse()?;
//! let mailer = Mailer::new(Settings { from, transport: Transport::Folder(folder.path().join("mail")) });
//! let letter = Letter::new("1.2@git.example.org", "bob@example.org".parse()?, "プッシュ", "本文\n", "<p>本文</p>");
//! mailer.send(&letter).await?;
//! # Ok(())
//! # }
//! ```

mod mailbox;
mod settings;

mod letter;

mod error;
mod mailer;

mod folder;
mod smtp;

mod metrics;

pub use error::{Class, SendError, Stage};
pub use letter::{EncodeError, Letter, List};
pub use mailbox::{Address, Mailbox, ParseMailboxError};
pub use mailer::{Mailer, Taken};
pub use metrics::metrics;
pub use settings::{Login, Settings, Smtp, TlsMode, Transport};
