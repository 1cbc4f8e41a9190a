//! `hakata repo import --tree`: one repository after the other, whatever becomes of each.

use std::path::{Path, PathBuf};

use hakata_git::foreign::{Alternates, Found, Search};
use hakata_git::quarantine::Fsck;
use hakata_names::{RefPattern, RepositoryPath};
use hakata_repository::{self as repository, Reason};
use hakata_store::{RepositoryState, repositories};

use super::plan::{Fate, Item, Onto, plan};
use super::report::{Fared, Tally};
use super::wish::ImportTree;
use super::{Source, WHO_READS, allowed, bring_in, fill, look_at, owners, unreadable};
use crate::admin::run::{Note, Plain, Progress};
use crate::admin::{Outcome, shown_bytes};
use crate::{Actor, Error, Forge, Kind};

/// Directories that are read at a time, before other work gets the thread.
const DIRECTORIES_AT_ONCE: usize = 256;

/// Imports everything below a directory. A repository that fails is named and leaves nothing behind; so does the one
/// that is under way when the caller leaves, while those before it stay.
///
/// # Errors
/// When nothing was begun: the directory cannot be searched or has nothing in it, or owners are missing.
pub(in crate::admin) async fn import_tree(
    forge: &Forge,
    actor: &Actor,
    wish: ImportTree,
    progress: &mut Progress<'_>,
) -> Result<Outcome, Error> {
    let parse = |pattern: &String| RefPattern::parse(pattern);
    let exclude: Result<Vec<RefPattern>, _> = wish.exclude.iter().map(parse).collect();
    let exclude = exclude.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
    let root = allowed(forge, &wish.directory).await?;
    let found = search(forge, &root, progress).await?;
    let mut items = plan(found, wish.owner.as_ref(), &exclude);
    if items.is_empty() {
        let message = format!("there is no repository below {}", root.display());
        return Err(Error::new(Kind::NotFound, message).with_hint(WHO_READS));
    }
    owners::settle(forge, actor, &wish, &mut items).await?;
    settle_names(forge, &wish, &mut items).await?;
    let sizes = items.iter().map(size_of);
    let work = Work { forge, actor, total: sizes.sum(), n: items.len(), root, wish: &wish };
    Ok(work.run(items, progress).await)
}

fn size_of(item: &Item) -> u64 {
    match item.fate {
        Fate::Wanted { size_bytes, .. } => size_bytes,
        Fate::Exists | Fate::Refused(_) => 0,
    }
}

/// Finds the repositories; the pool of blocking work is shared, so it is asked often for little.
async fn search(forge: &Forge, root: &Path, progress: &mut Progress<'_>) -> Result<Vec<Found>, Error> {
    drop(tokio::fs::read_dir(root).await.map_err(|error| unreadable(root, error))?);
    let directory = root.to_owned();
    if forge.blocking().run(move || Search::is_repository(&directory)).await? {
        let message = format!("{} is a repository itself", root.display());
        return Err(
            Error::new(Kind::Invalid, message).with_hint("hakata repo import DIR OWNER/NAME takes one")
        );
    }
    let mut search = Search::new(root);
    loop {
        let (searched, goes_on) = forge
            .blocking()
            .run(move || {
                let goes_on = search.advance(DIRECTORIES_AT_ONCE);
                (search, goes_on)
            })
            .await?;
        search = searched;
        let (phase, unit) = ("looking for repositories".to_owned(), "repositories".to_owned());
        progress(Note { phase, done: search.n_found() as u64, total: None, unit, plain: Plain::Never });
        if !goes_on {
            return Ok(search.into_found());
        }
    }
}

/// Looks at what has the names now.
async fn settle_names(forge: &Forge, wish: &ImportTree, items: &mut [Item]) -> Result<(), Error> {
    let mut conn = forge.db().read().await?;
    for item in items {
        let Some(path) = item.wanted() else { continue };
        let Some(row) = repositories::find_by_path(&mut conn, path).await? else { continue };
        let now = match (row.state, row.version) {
            (RepositoryState::Creating, _) => Some(Onto::Cut(row.id)),
            (RepositoryState::Active, 0) => Some(Onto::Empty(row.id)),
            _ => None,
        };
        item.fate = match (now, wish.skip_existing, &item.fate) {
            (Some(onto), true, Fate::Wanted { directory, size_bytes, .. }) => {
                Fate::Wanted { directory: directory.clone(), size_bytes: *size_bytes, onto }
            }
            (_, true, _) => Fate::Exists,
            (Some(Onto::Cut(_)), false, _) => Fate::Refused(format!(
                "{path} is being imported, or that was cut; --skip-existing takes it up"
            )),
            (_, false, _) => Fate::Refused(taken(path)),
        };
    }
    Ok(())
}

fn taken(path: &RepositoryPath) -> String {
    format!("the repository {path} exists already; --skip-existing passes it over")
}

/// An import of many.
struct Work<'a> {
    forge: &'a Forge,
    actor: &'a Actor,
    wish: &'a ImportTree,
    root: PathBuf,
    /// Repositories, and other things that were found.
    n: usize,
    /// Bytes of the object files of all that are wanted.
    total: u64,
}

impl Work<'_> {
    async fn run(&self, items: Vec<Item>, progress: &mut Progress<'_>) -> Outcome {
        let began = tokio::time::Instant::now();
        let mut tally = Tally::new(self.wish.dry_run);
        let mut done = 0;
        for (at, item) in items.iter().enumerate() {
            let size_bytes = size_of(item);
            let label = item.path.as_ref().map_or_else(|| item.place.clone(), ToString::to_string);
            let phase = format!("{} of {}: {label}", at + 1, self.n);
            let note = |done, plain| Note {
                phase: phase.clone(),
                done,
                total: Some(self.total),
                unit: "bytes".to_owned(),
                plain,
            };
            progress(note(done, Plain::Never));
            let mut tell = |step: repository::Progress| {
                let within = match step {
                    repository::Progress::Opened { .. } | repository::Progress::Fetching { .. } => 0,
                    repository::Progress::Indexing { size_bytes, .. }
                    | repository::Progress::Indexed { size_bytes, .. } => size_bytes,
                };
                progress(note(done + within.min(size_bytes), Plain::Never));
            };
            let fared = self.one(item, &mut tell).await;
            done += size_bytes;
            if !self.wish.dry_run {
                progress(note(done, spoken(&phase, &fared)));
            }
            tally.add(item, &fared, size_bytes);
            // Lines are lost when too many wait for whoever writes them.
            tokio::task::yield_now().await;
        }
        tally.report(began.elapsed())
    }

    async fn one(&self, item: &Item, tell: &mut (dyn FnMut(repository::Progress) + Send)) -> Fared {
        let (directory, onto, path) = match (&item.fate, &item.path) {
            (Fate::Wanted { directory, onto, .. }, Some(path)) => (directory, *onto, path),
            (Fate::Refused(why), _) => return Fared::Failed(why.clone()),
            (Fate::Exists | Fate::Wanted { .. }, _) => return Fared::Exists,
        };
        self.bring(directory, onto, path, tell).await.unwrap_or_else(|error| Fared::Failed(told(&error)))
    }

    async fn bring(
        &self,
        directory: &Path,
        onto: Onto,
        path: &RepositoryPath,
        tell: &mut (dyn FnMut(repository::Progress) + Send),
    ) -> Result<Fared, Error> {
        let (forge, actor) = (self.forge, self.actor);
        let alternates = Alternates::Below(self.root.clone());
        let look = look_at(forge, directory, &alternates).await?;
        let (n_refs, object_format) = (look.n_refs, look.object_format.name());
        if matches!(onto, Onto::Empty(_)) && n_refs == 0 {
            return Ok(Fared::Exists);
        }
        if self.wish.dry_run {
            return Ok(Fared::Planned { n_refs, object_format });
        }
        let source = Source {
            directory: directory.to_owned(),
            path: path.clone(),
            visibility: self.wish.visibility,
            reason: Reason::Import,
            fsck: if self.wish.accept_warnings { Fsck::Hashes } else { Fsck::Strict },
        };
        let imported = match onto {
            Onto::Empty(id) => {
                let opened = forge.repositories().open(id).await?;
                // It was empty when the import began; what was pushed since is not moved.
                if !opened.snapshot().is_empty() {
                    return Ok(Fared::Exists);
                }
                fill(forge, actor, &source, &opened, alternates, tell).await?
            }
            Onto::Cut(id) => {
                // If it is not dead, its commit finds no row, and that import fails instead of this one.
                forge.remove_unused(id).await;
                bring_in(forge, actor, &source, look, alternates, tell).await?.1
            }
            Onto::Nothing => bring_in(forge, actor, &source, look, alternates, tell).await?.1,
        };
        Ok(Fared::Imported { imported: Box::new(imported), object_format })
    }
}

/// The line about a repository.
fn spoken(phase: &str, fared: &Fared) -> Plain {
    let reason = fared.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    match fared {
        Fared::Imported { imported, .. } => {
            Plain::Line(format!("{phase} imported, {}{reason}", shown_bytes(imported.size_bytes)))
        }
        Fared::Failed(_) => Plain::Alarm(format!("{phase} failed{reason}")),
        Fared::Exists | Fared::Planned { .. } => Plain::Line(format!("{phase} {}", fared.word())),
    }
}

/// What an operator is told of an error: the sentence, its causes, and what helps.
fn told(error: &Error) -> String {
    let mut text = error.public().to_owned();
    for (before, more) in [(": ", error.chain()), ("; ", error.hint().unwrap_or_default().to_owned())] {
        if !more.is_empty() {
            text.push_str(before);
            text.push_str(&more);
        }
    }
    text
}
