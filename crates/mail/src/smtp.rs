//! The conversation with a mail server, and the connections it is held on.
//!
//! A connection goes back to the others only behind a whole exchange: whatever is cut in the middle, by time or by a
//! caller that left, is closed, since the next answer on it would be to the last question.

mod opening;
mod tls;

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use hakata_runtime::metrics::GaugeGuard;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use lettre::transport::smtp::{Error, response::Response};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::metrics::{CONNECTIONS, OPENED};
use crate::{Address, SendError, Smtp, Stage, Taken};

/// A mail server and our open connections to it.
pub(crate) struct Server {
    settings: Smtp,
    /// The name that we greet it by.
    hello: String,
    tls: OnceCell<TlsConnector>,
    permits: Semaphore,
    idle: Mutex<Vec<Open>>,
}

/// A connection between two letters.
struct Open {
    connection: AsyncSmtpConnection,
    n_letters: usize,
    since: Instant,
    _open: GaugeGuard,
}

/// How far a try is, for the one who cuts it.
#[derive(Debug, Default)]
struct Progress(AtomicUsize);

impl Progress {
    fn reach(&self, stage: Stage) {
        self.0.store(stage as usize, Ordering::Relaxed);
    }

    fn stage(&self) -> Stage {
        Stage::ALL.get(self.0.load(Ordering::Relaxed)).copied().unwrap_or(Stage::Content)
    }
}

impl Server {
    pub(crate) fn new(settings: Smtp, hello: &str) -> Self {
        let permits = Semaphore::new(settings.connections);
        Self { settings, hello: hello.to_owned(), tls: OnceCell::new(), permits, idle: Mutex::default() }
    }

    /// Gives the server one letter for one reader.
    pub(crate) async fn send(&self, from: &Address, to: &Address, letter: &[u8]) -> Result<Taken, SendError> {
        let (progress, limit) = (Progress::default(), self.settings.timeout);
        let sent = timeout(limit, self.converse(from, to, letter, &progress)).await;
        sent.unwrap_or_else(|_| Err(SendError::Late { stage: progress.stage(), limit_s: limit.as_secs() }))
    }

    async fn converse(
        &self,
        from: &Address,
        to: &Address,
        letter: &[u8],
        progress: &Progress,
    ) -> Result<Taken, SendError> {
        // Never closed.
        let _permit = self.permits.acquire().await.ok();
        let mut open = self.take(progress).await?;
        let sent = open.transact(from, to, letter, progress).await;
        let is_whole = match &sent {
            Ok(_) => true,
            // The server forgets the letter, and another may follow.
            Err(SendError::Answered { .. }) => open.connection.command(Rset).await.is_ok(),
            Err(_) => false,
        };
        if is_whole {
            self.give_back(open).await;
        }
        sent
    }

    /// Takes a connection that still answers, or opens one.
    async fn take(&self, progress: &Progress) -> Result<Open, SendError> {
        progress.reach(Stage::Connecting);
        while let Some(mut open) = self.pop() {
            if open.since.elapsed() < self.settings.idle && open.connection.command(Noop).await.is_ok() {
                return Ok(open);
            }
        }
        let mut connection = opening::open(&self.settings, &self.hello, &self.tls).await?;
        let open = CONNECTIONS.track();
        OPENED.inc();
        if let Some(login) = &self.settings.login {
            progress.reach(Stage::Login);
            if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
                return Err(SendError::NoLogin);
            }
            let credentials = Credentials::new(login.user.clone(), login.password.expose().clone());
            let answered = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            answered.map_err(|error| failure(Stage::Login, error))?;
        }
        Ok(Open { connection, n_letters: 0, since: Instant::now(), _open: open })
    }

    fn pop(&self) -> Option<Open> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn give_back(&self, mut open: Open) {
        if open.n_letters >= self.settings.letters_per_connection {
            drop(open.connection.quit().await);
            return;
        }
        open.since = Instant::now();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(open);
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Open {
    /// Source: RFC 5321, section 3.3.
    async fn transact(
        &mut self,
        from: &Address,
        to: &Address,
        letter: &[u8],
        progress: &Progress,
    ) -> Result<Taken, SendError> {
        let mut parameters = Vec::new();
        if !from.is_ascii() || !to.is_ascii() {
            if !self.connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(SendError::AddressBeyondAscii);
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        self.n_letters += 1;
        let connection = &mut self.connection;
        progress.reach(Stage::Sender);
        let answer = connection.command(Mail::new(Some(from.inner().clone()), parameters)).await;
        answer.map_err(|error| failure(Stage::Sender, error))?;
        progress.reach(Stage::Recipient);
        let answer = connection.command(Rcpt::new(to.inner().clone(), Vec::new())).await;
        answer.map_err(|error| failure(Stage::Recipient, error))?;
        progress.reach(Stage::Data);
        let answer = connection.command(Data).await;
        answer.map_err(|error| failure(Stage::Data, error))?;
        progress.reach(Stage::Content);
        let answer = connection.message(letter).await;
        let answer = answer.map_err(|error| failure(Stage::Content, error))?;
        Ok(Taken { answer: words(&answer) })
    }
}

/// What the server said, with its code.
fn words(answer: &Response) -> String {
    let said: Vec<&str> = answer.message().collect();
    hakata_names::escape_controls(format!("{} {}", u16::from(answer.code()), said.join(" ")).as_bytes())
}

fn failure(stage: Stage, error: Error) -> SendError {
    match error.status() {
        Some(code) => {
            let said = error.source().map(ToString::to_string).unwrap_or_default();
            answered(stage, code.into(), said)
        }
        None => SendError::Broken { stage, source: Box::new(error) },
    }
}

fn answered(stage: Stage, code: u16, said: String) -> SendError {
    let first = said.split_whitespace().next().unwrap_or_default();
    let is_status =
        first.split('.').count() == 3 && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let enhanced = if is_status && first.len() <= 11 { first.to_owned() } else { String::new() };
    SendError::Answered { stage, code, enhanced, text: said }
}
