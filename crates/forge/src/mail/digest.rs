//! One letter for what a reader was to be told in an hour or a day.

use std::time::Duration;

use hakata_mail::{Letter, Mailbox};
use hakata_names::{JobId, NoticeId, UserId};
use hakata_store::StoreError;
use hakata_store::notices::{self, Notice};
use hakata_store::readers::{self, Reader};

use super::Language;
use super::compose::{self, Block, Footer};
use super::letter::Told;
use super::notices::enqueue_digest;
use super::postman::Postman;
use crate::Error;
use crate::jobs::Outcome;

/// Most notices of one digest; further ones are in the next.
const MAX_NOTICES: i64 = 200;

impl Postman {
    /// Sends what is held for a user. The notices are put under the job's id first, so that another try tells of the same
    /// ones by the same Message-ID.
    pub(super) async fn deliver_digest(&self, job: JobId, user: UserId) -> Result<Outcome, Error> {
        let filled =
            self.forge.db().transaction(|tx| Box::pin(notices::fill_batch(tx, user, job, MAX_NOTICES)));
        let batch: Vec<Notice> = filled.await.map_err(|error: StoreError| Error::from(error))?;
        let Some(first) = batch.first() else { return Ok(Outcome::Finish) };
        let since = first.created_at;
        let reader = readers::find(&mut self.forge.db().read().await?, user, None).await?;
        let Some(reader) = reader else { return Ok(Outcome::Finish) };
        let language = self.forge.language_of(&reader.preference);
        let mut all = Vec::new();
        for notice in batch {
            let id = notice.id;
            if let Err(why) = self.standing(&notice).await? {
                self.drop_notice(id, why).await?;
                continue;
            }
            match self.told(notice, language).await? {
                Some(told) => all.push(told),
                None => drop(self.drop_notice(id, "what it tells of is gone").await?),
            }
        }
        all.sort_by(|one, other| one.path.cmp(&other.path));
        let mut outcome = Outcome::Finish;
        if !all.is_empty() {
            let letter = self.digest(job, &all, &reader, language).await?;
            let ids: Vec<NoticeId> = all.iter().map(|told| told.notice.id).collect();
            let sent = self.send(&letter, since).await;
            outcome = self.settle(sent, &ids).await?;
        }
        if outcome == Outcome::Finish {
            self.go_on(user).await?;
        }
        Ok(outcome)
    }

    /// Has what did not fit into a digest told by another one at once.
    async fn go_on(&self, user: UserId) -> Result<(), Error> {
        if !notices::has_held(&mut self.forge.db().read().await?, user).await? {
            return Ok(());
        }
        let (job, now): (JobId, i64) = (self.forge.ids().next().await?, self.forge.clock().now_ms());
        let enqueued = self.forge.db().transaction(|tx| {
            Box::pin(async move { enqueue_digest(tx, job, user, now, Duration::ZERO).await })
        });
        enqueued.await.map_err(|error: StoreError| Error::from(error))
    }

    async fn digest(
        &self,
        job: JobId,
        all: &[Told],
        reader: &Reader,
        language: Language,
    ) -> Result<Letter, Error> {
        let domain = self.mailer.domain();
        let mut blocks = Vec::new();
        let mut place = None;
        for told in all {
            if place != Some(&told.path) {
                place = Some(&told.path);
                blocks.push(Block::Heading(told.path.clone().unwrap_or_else(|| "Hakata".to_owned())));
            }
            blocks.extend(told.blocks.iter().cloned());
        }
        let leave = self.forge.leave_url(reader, None).await?;
        let footer = Footer {
            because: language.because_of_digest().to_owned(),
            leave: leave.clone().map(|url| (language.leave().to_owned(), url)),
        };
        let address = reader.email.parse().map_err(Error::internal)?;
        let to = Mailbox { name: reader.display_name.clone(), address };
        let text = compose::text(&blocks, &footer);
        let html = compose::html(language.as_str(), &blocks, &footer);
        let id = format!("digest.{job}.{}@{domain}", reader.id);
        let mut letter = Letter::new(id, to, format!("[Hakata] {}", language.digest(all.len())), text, html);
        letter.fields.push(("X-Hakata-Reason", "digest".to_owned()));
        letter.list =
            Some(hakata_mail::List { id: format!("digest.{domain}"), name: "Hakata".to_owned(), leave });
        Ok(letter)
    }
}
