//! From a notice to a letter.

use hakata_mail::{Letter, List, Mailbox};
use hakata_names::RepositoryId;
use hakata_store::notices::Notice;
use hakata_store::readers::Reader;
use hakata_store::repositories;
use sha2::{Digest as _, Sha256};

use super::compose::{self, Block, Footer};
use super::postman::Postman;
use super::{AccountChange, Language, Matter, Reason, RepositoryChange};
use crate::{Error, Forge};

/// A notice with all that its letter says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) notice: Notice,
    pub(super) matter: Matter,
    pub(super) reason: Reason,
    /// `alice/tools`
    pub(super) path: Option<String>,
    /// Who did it, for people.
    pub(super) who: String,
    /// One line about it.
    pub(super) headline: String,
    /// The rest.
    pub(super) blocks: Vec<Block>,
    /// What the thread is about.
    thread: String,
}

impl Postman {
    /// Finds out all that a letter about a notice says; `None`: there is nothing to tell any more.
    pub(super) async fn told(&self, notice: Notice, language: Language) -> Result<Option<Told>, Error> {
        let (Ok(matter), Some(reason)) =
            (serde_json::from_str::<Matter>(&notice.payload), Reason::parse(&notice.reason))
        else {
            return Ok(None);
        };
        let row = match notice.repository {
            Some(id) => repositories::find(&mut self.forge.db().read().await?, id).await?,
            None => None,
        };
        let who = self.forge.person(notice.actor).await?;
        let who = if who.full_name.is_empty() { who.login } else { who.full_name };
        let path = match &matter {
            Matter::Repository { change: RepositoryChange::Deleted { path } } => Some(path.to_string()),
            _ => row.as_ref().map(|row| row.path().to_string()),
        };
        let place = notice
            .repository
            .map_or_else(|| format!("user.{}", notice.user), |id| format!("repository.{id}"));
        let (headline, blocks, about) = match (&matter, &row) {
            (Matter::Push { version }, Some(row)) => {
                let Some(pushed) = self.read_push(row, *version).await? else { return Ok(None) };
                let blocks = pushed.blocks(language, &who);
                (pushed.headline(language, &who), blocks, short(pushed.thread()))
            }
            (Matter::Push { .. }, None) => return Ok(None),
            _ => {
                let headline = language.headline(&matter, &who);
                let mut blocks = vec![Block::Line(format!("{headline}{}", language.of(".", "。")))];
                blocks.extend(language.details(&matter).into_iter().map(Block::Line));
                (headline, blocks, matter.kind().to_owned())
            }
        };
        Ok(Some(Told {
            thread: format!("{place}.{about}"),
            notice,
            matter,
            reason,
            path,
            who,
            headline,
            blocks,
        }))
    }

    /// Writes the letter of one notice.
    pub(super) async fn letter(
        &self,
        told: &Told,
        reader: &Reader,
        language: Language,
    ) -> Result<Letter, Error> {
        let domain = self.mailer.domain();
        let subject = match &told.path {
            Some(path) => format!("[{path}] {}", told.headline),
            None => format!("[Hakata] {}", told.headline),
        };
        // Nobody leaves what is about the account's security.
        let leave = match told.reason {
            Reason::Security => None,
            _ => self.forge.leave_url(reader, told.notice.repository).await?,
        };
        let because = language.because(told.reason, told.path.as_deref());
        let footer = Footer { because, leave: leave.clone().map(|url| (language.leave().to_owned(), url)) };
        let id = format!("{}.{}@{domain}", told.notice.source.replace(':', "."), told.notice.user);
        let to = mailbox(reader, &told.matter)?;
        let text = compose::text(&told.blocks, &footer);
        let html = compose::html(language.as_str(), &told.blocks, &footer);
        let mut letter = Letter::new(id, to, subject, text, html);
        letter.at = Some(told.notice.created_at);
        letter.thread = Some(format!("thread.{}@{domain}", told.thread));
        letter.fields.push(("X-Hakata-Reason", told.reason.as_str().to_owned()));
        letter.fields.push(("X-Hakata-Event", told.matter.kind().to_owned()));
        if told.notice.actor.is_some() {
            letter.from_name = Some(told.who.clone());
            letter.fields.push(("X-Hakata-Actor", told.who.clone()));
        }
        if let Some(path) = &told.path {
            letter.fields.push(("X-Hakata-Repository", path.clone()));
            letter.list = Some(List { id: list_id(path, domain), name: path.clone(), leave });
        }
        Ok(letter)
    }
}

impl Forge {
    /// Makes the URL by which a reader leaves; `None` where people have no URL of ours over HTTP.
    pub(super) async fn leave_url(
        &self,
        reader: &Reader,
        repository: Option<RepositoryId>,
    ) -> Result<Option<String>, Error> {
        let base = self.settings().webhooks.base_url.trim_end_matches('/');
        if !base.starts_with("http") {
            return Ok(None);
        }
        Ok(Some(format!("{base}/-/mail/mute/{}", self.mute_token(reader.id, repository).await?)))
    }
}

/// Says where a letter about a matter goes.
fn mailbox(reader: &Reader, matter: &Matter) -> Result<Mailbox, Error> {
    let address = match matter {
        Matter::Account { change: AccountChange::Address { was } } => was,
        _ => &reader.email,
    };
    let address = address.parse().map_err(Error::internal)?;
    Ok(Mailbox { name: reader.display_name.clone(), address })
}

/// Names a repository as lists are named: `tools.alice.git.example.org`. Source: RFC 2919.
fn list_id(path: &str, domain: &str) -> String {
    let (owner, name) = path.split_once('/').unwrap_or(("", path));
    let labels = [name, owner, domain].into_iter().flat_map(|part| part.split('.'));
    let labels: Vec<&str> = labels.filter(|label| !label.is_empty()).collect();
    labels.join(".").to_ascii_lowercase()
}

/// Names the thread of a ref; a digest, since refs may be longer than ids, and bytes.
fn short(ref_name: &[u8]) -> String {
    Sha256::digest(ref_name)[..10].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::list_id;

    #[test]
    fn lists_have_names_that_are_dotted_words() {
        for (path, id) in
            [("alice/tools", "tools.alice.git.example.org"), ("Group.X/A..b.", "a.b.group.x.git.example.org")]
        {
            assert_eq!(list_id(path, "git.example.org"), id);
        }
    }
}
