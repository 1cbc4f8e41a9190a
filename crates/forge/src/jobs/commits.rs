//! Commits of a push, registered with who wrote them and what they close or mention.

mod keywords;

use std::collections::HashMap;
use std::ops::ControlFlow;

use hakata_git::objects::{ReadError, View};
use hakata_git::read::{Commit, LogQuery};
use hakata_names::{EventId, Oid, RepositoryId, UserId};
use hakata_store::commits::{self, NewCommit};
use hakata_store::ref_log::LoggedMove;
use hakata_store::{StoreError, events, ref_log};

use crate::{Error, Forge};

/// Most commits that one push registers, the newest; those of a large import beyond it are left out.
const MAX_COMMITS: usize = 100_000;

/// Commits of one transaction.
const BATCH: usize = 500;

/// Most moves of one push that are looked at.
const MAX_MOVES: i64 = 100_000;

/// Longest address kept, in bytes.
const MAX_MAIL: usize = 255;

impl Forge {
    /// Registers the commits that the branches of a push brought and no push before it. Nothing happens if the
    /// repository or the log of that push is gone.
    ///
    /// # Errors
    /// When database or repository cannot be read.
    pub async fn register_commits(&self, id: RepositoryId, event: EventId) -> Result<(), Error> {
        let Some(moves) = self.branch_moves(id, event).await? else { return Ok(()) };
        let repository = self.repositories().open(id).await?;
        let readable = repository.readable().await.map_err(Error::internal)?;
        let listed = readable.objects().read(move |view| list(view, &moves)).await;
        let oids = listed.map_err(Error::internal)?;
        let mut authors = HashMap::new();
        for batch in oids.chunks(BATCH) {
            let known = commits::registered(&mut self.db().read().await?, id, batch).await?;
            // What another push brought, its ancestors came with. Our own may be those of an attempt that was cut short.
            if known.len() == batch.len() && known.iter().all(|(_, by)| *by != event) {
                break;
            }
            let is_known = |oid: &Oid| known.iter().any(|(known, _)| known == oid);
            let fresh: Vec<Oid> = batch.iter().filter(|oid| !is_known(oid)).copied().collect();
            let read = move |view: &View| fresh.iter().map(|oid| view.read_commit(oid)).collect();
            let read: Result<Vec<Commit>, ReadError> = readable.objects().read(read).await;
            let new = self.described(&read.map_err(Error::internal)?, &mut authors).await?;
            let new = &new;
            let registered = self.db().transaction(|tx| {
                Box::pin(async move {
                    for commit in new {
                        commits::register(tx, id, event, commit).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            });
            registered.await?;
        }
        Ok(())
    }

    /// Reads which branches an event moved.
    async fn branch_moves(&self, id: RepositoryId, event: EventId) -> Result<Option<Vec<LoggedMove>>, Error> {
        let mut conn = self.db().read().await?;
        let Some(event) = events::find(&mut conn, event).await? else { return Ok(None) };
        let mut moves = ref_log::of_version(&mut conn, id, event.version, MAX_MOVES).await?;
        moves.retain(|moved| moved.name.branch().is_some());
        Ok(Some(moves))
    }

    /// Says what is to be registered of each commit.
    async fn described(
        &self,
        read: &[Commit],
        authors: &mut HashMap<String, Option<UserId>>,
    ) -> Result<Vec<NewCommit>, Error> {
        let mut new = Vec::with_capacity(read.len());
        for commit in read {
            let mail = commit.text(&commit.author.email);
            let author_id = match authors.get(&mail) {
                Some(known) => *known,
                None => {
                    let found = commits::find_author(&mut self.db().read().await?, &mail).await?;
                    *authors.entry(mail.clone()).or_insert(found)
                }
            };
            new.push(NewCommit {
                oid: commit.oid,
                author_id,
                author_mail: shortened(mail.to_lowercase()),
                authored_at: commit.author.time.unwrap_or(0).saturating_mul(1_000),
                mentions: keywords::mentions(&commit.text(&commit.message)),
            });
        }
        Ok(new)
    }
}

/// Lists what the new tips reach and the old ones do not, newest first.
fn list(view: &View, moves: &[LoggedMove]) -> Result<Vec<Oid>, ReadError> {
    let there = |oid: &Oid| view.exists(oid);
    let tips: Vec<Oid> = moves.iter().filter_map(|moved| moved.new).filter(there).collect();
    let hide: Vec<Oid> = moves.iter().filter_map(|moved| moved.old).filter(there).collect();
    let mut oids = Vec::new();
    view.log(&LogQuery { tips, hide, ..LogQuery::default() }, &mut |oid| {
        oids.push(oid);
        if oids.len() == MAX_COMMITS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(oids)
}

fn shortened(mut mail: String) -> String {
    let mut end = mail.len().min(MAX_MAIL);
    while !mail.is_char_boundary(end) {
        end -= 1;
    }
    mail.truncate(end);
    // NUL is no text on PostgreSQL.
    mail.retain(|c| c != '\0');
    mail
}
