//! The letter by which an operator finds out whether mail works.

use hakata_mail::{Address, Letter, Mailer, SendError};
use hakata_runtime::secret::random_bytes;

use crate::{Error, Forge, Kind};

impl Forge {
    /// Sends a letter to an address now, past the queue, and tells what whoever took it said.
    pub(crate) async fn send_test_letter(&self, address: &str) -> Result<String, Error> {
        let mailer = self.get_mailer()?;
        let to: Address = address
            .parse()
            .map_err(|error: hakata_mail::ParseMailboxError| Error::new(Kind::Invalid, error.to_string()))?;
        let id = format!("test.{:016x}@{}", u64::from_le_bytes(random_bytes()), mailer.domain());
        let text = "This letter was sent by `hakata mail test`.\nMail works. メールは届いています。\n";
        let html = "<p>This letter was sent by <code>hakata mail test</code>.<br>Mail works. メールは届いています。</p>";
        let letter = Letter::new(id, to.into(), "Test of mail / メールのテスト", text, html);
        let sent = mailer.send(&letter).await;
        Ok(sent.map_err(|error| not_sent(&error))?.answer)
    }

    fn get_mailer(&self) -> Result<&Mailer, Error> {
        let off =
            || Error::new(Kind::Invalid, "mail is off").with_hint("set mail.transport: see docs/mail.md");
        self.inner.mailer.as_ref().ok_or_else(off)
    }
}

fn not_sent(error: &SendError) -> Error {
    Error::new(Kind::Unavailable, format!("the letter was not sent: {}", error.detail()))
}
