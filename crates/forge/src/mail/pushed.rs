//! What a push moved, read when its letter is written.

use hakata_names::{RepositoryId, UserId};
use hakata_store::ref_log::{self, LoggedMove};
use hakata_store::repositories::Repository;

use super::compose::Block;
use super::phrases::How;
use super::postman::Postman;
use super::{Addressees, Language, Matter, Notices, Reason};
use crate::webhooks::{Moved, Span, WebhookSettings, moved};
use crate::{Error, Forge, Kind};

/// Digits of an oid that are shown.
const SHOWN_DIGITS: usize = 10;

/// The refs that one push moved.
#[derive(Debug)]
pub(super) struct Pushed {
    moves: Vec<Moved>,
    /// How many more there are.
    n_more: u64,
}

impl Forge {
    /// Prepares what those who watch a repository are told of one change of it; nothing of imports, and of what is
    /// neither branch nor tag.
    pub(crate) async fn push_notices(
        &self,
        repository: RepositoryId,
        moves: &[LoggedMove],
        watchers: &[UserId],
    ) -> Result<Notices, Error> {
        let Some(first) = moves.iter().find(|moved| is_shown(moved)) else { return Ok(Notices::default()) };
        let to =
            Addressees::by(Some(repository), first.actor).and(watchers.iter().copied(), Reason::Subscribed);
        let source = format!("push:{repository}:{}", first.version);
        self.notices(&Matter::Push { version: first.version }, Some(source), to).await
    }
}

impl Postman {
    /// Reads what a push moved; `None`: its log is gone.
    pub(super) async fn read_push(&self, row: &Repository, version: i64) -> Result<Option<Pushed>, Error> {
        let settings = &self.forge.settings().mail;
        let mut conn = self.forge.db().read().await?;
        // Far more than are shown, so that the rest can be counted.
        let mut logged = ref_log::of_version(&mut conn, row.id, version, 10_000).await?;
        drop(conn);
        logged.retain(is_shown);
        if logged.is_empty() {
            return Ok(None);
        }
        let n_more = u64::try_from(logged.len().saturating_sub(settings.refs_per_push)).unwrap_or(u64::MAX);
        let reading = WebhookSettings {
            commits_per_push: settings.commits_per_push,
            paths_per_push: 0,
            ..self.forge.settings().webhooks.clone()
        };
        let mut moves = Vec::new();
        for logged in logged.into_iter().take(settings.refs_per_push) {
            let span = Span { repository: row.id, name: logged.name, old: logged.old, new: logged.new };
            let read = moved(&*self.operations, &reading, span, &row.default_ref).await;
            moves.push(read.map_err(|status| {
                Error::new(Kind::Unavailable, "the commits cannot be read now").with_source(status)
            })?);
        }
        Ok(Some(Pushed { moves, n_more }))
    }
}

impl Pushed {
    /// The name of the first ref, which the thread of the letter is named for.
    pub(super) fn thread(&self) -> &[u8] {
        self.moves.first().map_or(b"", |moved| moved.name.as_bytes())
    }

    /// One line about all of it.
    pub(super) fn headline(&self, language: Language, who: &str) -> String {
        match (self.moves.as_slice(), self.n_more) {
            ([only], 0) => language.pushed_one(who, &only.short_ref(), how(only)),
            (several, n_more) => {
                language.pushed_many(who, several.len() + usize::try_from(n_more).unwrap_or(usize::MAX))
            }
        }
    }

    /// A heading and the commits for each ref.
    pub(super) fn blocks(&self, language: Language, who: &str) -> Vec<Block> {
        let mut blocks = Vec::new();
        for moved in &self.moves {
            blocks.push(Block::Line(language.pushed_one(who, &moved.short_ref(), how(moved))));
            let mut items: Vec<(String, String)> = moved
                .commits
                .iter()
                .map(|commit| (shown(&commit.oid), format!("{} ({})", commit.subject(), commit.author.name)))
                .collect();
            let n_listed = u64::try_from(items.len()).unwrap_or(u64::MAX);
            let n_left_out = moved.n_commits.saturating_sub(n_listed);
            if n_left_out > 0 {
                items.push((String::new(), language.and_more(n_left_out)));
            }
            if !items.is_empty() {
                blocks.push(Block::Items(items));
            }
        }
        if self.n_more > 0 {
            blocks.push(Block::Line(language.and_more(self.n_more)));
        }
        blocks
    }
}

fn how(moved: &Moved) -> How {
    match (moved.old, moved.new) {
        (None, _) => How::Created,
        (_, None) => How::Deleted,
        _ if moved.is_forced => How::Forced,
        _ => How::Moved { n_commits: moved.n_commits },
    }
}

fn shown(oid: &str) -> String {
    oid.chars().take(SHOWN_DIGITS).collect()
}

/// Whether people are told of a move.
fn is_shown(moved: &LoggedMove) -> bool {
    crate::webhooks::is_news(&moved.reason) && (moved.name.branch().is_some() || moved.name.tag().is_some())
}
