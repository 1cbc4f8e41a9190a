//! Handing letters over.

use std::sync::Arc;

use tokio::time::Instant;

use crate::folder::Folder;
use crate::metrics::{FAILED, TAKEN, TOOK};
use crate::smtp::Server;
use crate::{Letter, SendError, Settings, Transport};

/// Hands letters to whoever takes them; cheap to clone.
#[derive(Clone, Debug)]
pub struct Mailer {
    settings: Arc<Settings>,
    way: Arc<Way>,
}

#[derive(Debug)]
enum Way {
    Smtp(Box<Server>),
    Folder(Folder),
    Log,
}

/// A letter was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What whoever took it said.
    pub answer: String,
}

impl Mailer {
    /// Makes a mailer; nothing is opened before the first letter.
    pub fn new(settings: Settings) -> Self {
        let way = match &settings.transport {
            Transport::Smtp(smtp) => {
                Way::Smtp(Box::new(Server::new(smtp.clone(), settings.from.address.domain())))
            }
            Transport::Folder(path) => Way::Folder(Folder::new(path.clone())),
            Transport::Log => Way::Log,
        };
        Self { settings: Arc::new(settings), way: Arc::new(way) }
    }

    /// Returns the domain of the sender, which ids of letters end with.
    pub fn domain(&self) -> &str {
        self.settings.from.address.domain()
    }

    /// Sends a letter once. Dropping the future may leave it sent or not.
    ///
    /// # Errors
    /// [`SendError`]; its class says whether to try again. A failure at [`crate::Stage::Content`] may follow a letter
    /// that was taken: the same Message-ID lets readers show it once.
    pub async fn send(&self, letter: &Letter) -> Result<Taken, SendError> {
        let began = Instant::now();
        let sent = self.send_uncounted(letter).await;
        TOOK.observe_duration(began.elapsed());
        match &sent {
            Ok(_) => TAKEN.inc(),
            Err(error) => FAILED.get(error.class()).inc(),
        }
        sent
    }

    async fn send_uncounted(&self, letter: &Letter) -> Result<Taken, SendError> {
        let bytes = letter.encode(&self.settings)?;
        match &*self.way {
            Way::Smtp(server) => server.send(&self.settings.from.address, &letter.to.address, &bytes).await,
            Way::Folder(folder) => folder.keep(&letter.id, &bytes).await,
            Way::Log => {
                let (to, subject) = (letter.to.address.to_string(), &letter.subject);
                tracing::info!(
                    mail.id = letter.id,
                    mail.to = to,
                    mail.subject = subject,
                    mail.text = letter.text,
                    "a mail"
                );
                Ok(Taken { answer: "written to the log".to_owned() })
            }
        }
    }
}
