//! `hakata repo import|recover|verify`: long work on one repository, or on all of a tree.

mod owners;
mod plan;
mod report;
mod tree;
mod wish;

use std::io;
use std::path::{Path, PathBuf};

use hakata_git::ChildError;
use hakata_git::foreign::{Alternates, Foreign, ForeignError};
use hakata_git::quarantine::{Fsck, IndexPackError};
use hakata_git::refs::Head;
use hakata_names::{ObjectFormat, RefName, RepositoryId, RepositoryPath};
use hakata_repository::{
    self as repository, Finding, Import, ImportError, ImportQuota, Imported, Reason, VerifyError, no_rows,
};
use hakata_store::{RepositoryState, Visibility, repositories};

use super::accounts::done;
use super::run::{Note, Plain, Progress};
use super::{Cell, Outcome, Row, Table, shown_bytes};
use crate::access::Read;
use crate::hosting::{Created, Wish};
use crate::quota::Quota;
use crate::{Actor, Error, Forge, Kind};

pub(super) use tree::import_tree;
pub use wish::{ImportTree, MissingOwners};

/// What helps when a directory cannot be read.
const WHO_READS: &str = "it is read by the user that owns the data directory: the server's, if one runs";

/// A repository to be brought in.
pub(super) struct Source {
    pub(super) directory: PathBuf,
    pub(super) path: RepositoryPath,
    pub(super) visibility: Visibility,
    pub(super) reason: Reason,
    pub(super) fsck: Fsck,
}

/// What must be known before there is a row.
struct Look {
    object_format: ObjectFormat,
    head: Option<RefName>,
    description: String,
    n_refs: usize,
}

/// Brings a bare directory in as a new repository; a failure, or a caller that leaves, leaves nothing behind.
pub(super) async fn import(
    forge: &Forge,
    actor: &Actor,
    mut source: Source,
    progress: &mut Progress<'_>,
) -> Result<Outcome, Error> {
    source.directory = allowed(forge, &source.directory).await?;
    if source.reason == Reason::Recover {
        refuse_own(forge, &source.directory).await?;
    }
    let look = look_at(forge, &source.directory, &Alternates::Inside).await?;
    let mut tell = |at| progress(note(at));
    let (id, imported) = bring_in(forge, actor, &source, look, Alternates::Inside, &mut tell).await?;
    let refused = imported.committed.refs.iter().filter(|(_, answer)| answer.is_err()).count();
    let row = Row::default()
        .with("id", Cell::text(id))
        .with("path", Cell::text(&source.path))
        .with("refs", number(imported.committed.n_accepted()))
        .with("refs_refused", number(refused))
        .with("refs_skipped", number(imported.n_skipped))
        .with("objects", Cell::Number(i64::from(imported.n_objects)))
        .with("size_bytes", Cell::Bytes(imported.size_bytes))
        .with("problems", Cell::Words(imported.problems));
    let size = shown_bytes(imported.size_bytes);
    Ok(done(format!("imported {} objects ({size}) into {}", imported.n_objects, source.path), Some(row)))
}

/// Makes the row and fills it; takes the row back unless that works.
async fn bring_in(
    forge: &Forge,
    actor: &Actor,
    source: &Source,
    look: Look,
    alternates: Alternates,
    tell: &mut (dyn FnMut(repository::Progress) + Send),
) -> Result<(RepositoryId, Imported), Error> {
    let wish = Wish {
        object_format: look.object_format,
        default_ref: look.head.map_or_else(|| forge.default_ref(), Ok)?,
        visibility: source.visibility,
        state: RepositoryState::Creating,
        description: look.description,
    };
    let id = forge.create_in_state(actor, &source.path, wish).await?;
    let mut created = Created::new(forge, id, &source.path, source.visibility);
    let filled = async {
        let opened = forge.repositories().open(id).await?;
        fill(forge, actor, source, &opened, alternates, tell).await
    };
    match filled.await {
        Ok(imported) => {
            created.keep();
            Ok((id, imported))
        }
        Err(error) => {
            // Whoever reads the answer finds nothing any more.
            created.undo().await;
            Err(error)
        }
    }
}

/// Imports into a repository that is there, over the refs that it has since it was opened.
async fn fill(
    forge: &Forge,
    actor: &Actor,
    source: &Source,
    opened: &repository::Repository,
    alternates: Alternates,
    tell: &mut (dyn FnMut(repository::Progress) + Send),
) -> Result<Imported, Error> {
    let wanted = Import {
        source: source.directory.clone(),
        alternates,
        fsck: source.fsck,
        actor: actor.user(),
        reason: source.reason,
        quota: quota(forge, actor, source.reason, opened.id()).await?,
        idempotency_key: None,
    };
    let _changing = forge.changing_policy();
    let imported = opened.import(&wanted, no_rows, tell).await?;
    Ok(imported)
}

/// Reads the room that an import has, as a push would have it. What was here before comes back whatever its size.
async fn quota(
    forge: &Forge,
    actor: &Actor,
    reason: Reason,
    id: RepositoryId,
) -> Result<Option<ImportQuota>, Error> {
    if reason == Reason::Recover {
        return Ok(None);
    }
    let standing = repositories::find_standing_by_id(&mut forge.db().read().await?, id, actor.user()).await?;
    let standing = standing.ok_or_else(Error::repository_not_found)?;
    let default = forge.settings().repository_quota;
    let room_bytes = Quota::of(&standing, default).room();
    Ok(Some(ImportQuota { default_bytes: default.bytes(), room_bytes }))
}

/// Checks one repository; no finding means that all is well.
pub(super) async fn verify(forge: &Forge, actor: &Actor, path: &RepositoryPath) -> Result<Outcome, Error> {
    let grant = forge.grant::<Read>(actor, path).await?;
    let opened = forge.repositories().open(grant.repository()).await?;
    let mut table = Table::new(&["what", "finding"]);
    for finding in opened.verify().await? {
        let (what, words) = described(&finding);
        table.push(vec![Cell::text(what), Cell::text(words)]);
    }
    Ok(Outcome::Findings(table))
}

pub(super) fn described(finding: &Finding) -> (&'static str, String) {
    let shown = |oid: &Option<hakata_names::Oid>| oid.map_or("nothing".to_owned(), |oid| oid.to_string());
    match finding {
        Finding::Pack { pack, what } => ("pack", format!("pack {pack}: {what}")),
        Finding::Ref { name, row, directory } => {
            ("ref", format!("{name} is {} in the rows and {} in the directory", shown(row), shown(directory)))
        }
        Finding::Directory(words) => ("directory", words.clone()),
        Finding::Object(words) => ("object", words.clone()),
    }
}

/// Resolves the directory, and keeps it inside of the one that imports may come from.
async fn allowed(forge: &Forge, directory: &Path) -> Result<PathBuf, Error> {
    let absent = |error| unreadable(directory, error);
    let resolved = tokio::fs::canonicalize(directory).await.map_err(absent)?;
    let Some(root) = &forge.settings().import_root else { return Ok(resolved) };
    let root = tokio::fs::canonicalize(root).await.map_err(Error::internal)?;
    if resolved.starts_with(&root) {
        return Ok(resolved);
    }
    Err(Error::new(Kind::Forbidden, format!("imports come from {} only", root.display()))
        .with_hint("set repositories.import_root"))
}

/// The answer for a directory that cannot be opened.
fn unreadable(directory: &Path, error: io::Error) -> Error {
    let shown = directory.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::new(Kind::NotFound, format!("there is no directory {shown}")).with_source(error)
        }
        _ => Error::new(Kind::Forbidden, format!("the directory {shown} cannot be read"))
            .with_hint(WHO_READS)
            .with_source(error),
    }
}

/// Refuses the directory of a repository that is here. When a database is lost, ids begin again: the directory that
/// an operator means to recover from may have been set aside for a new repository of the same id.
async fn refuse_own(forge: &Forge, directory: &Path) -> Result<(), Error> {
    let (repositories, path) = (forge.repositories().clone(), directory.to_owned());
    let Some(id) = forge.blocking().run(move || repositories.whose_directory(&path)).await? else {
        return Ok(());
    };
    let row = repositories::find(&mut forge.db().read().await?, id).await?;
    match row.filter(|row| row.state != RepositoryState::Deleted) {
        None => Ok(()),
        Some(row) => Err(Error::new(
            Kind::Conflict,
            format!("{} is the directory of {}, which is not lost", directory.display(), row.path()),
        )
        .with_hint("what was there for another database is in repositories/set-aside")),
    }
}

/// Reads what must be known before there is a row: the hash, where HEAD points, what its owner says about it.
async fn look_at(forge: &Forge, directory: &Path, alternates: &Alternates) -> Result<Look, Error> {
    let (path, alternates) = (directory.to_owned(), alternates.clone());
    let foreign = forge.blocking().run(move || Foreign::open(&path, alternates)).await??;
    let head = match foreign.head() {
        Head::Symbolic(name) => Some(name.clone()),
        _ => None,
    };
    let description = foreign.description().to_owned();
    Ok(Look { object_format: foreign.format(), head, description, n_refs: foreign.refs().len() })
}

fn note(at: repository::Progress) -> Note {
    let (phase, done, total, unit) = match at {
        repository::Progress::Fetching { size_bytes } => ("fetching", size_bytes, None, "bytes"),
        repository::Progress::Opened { n_refs } => ("opened", n_refs as u64, Some(n_refs as u64), "refs"),
        repository::Progress::Indexing { size_bytes, .. } => ("indexing", size_bytes, None, "bytes"),
        repository::Progress::Indexed { size_bytes, .. } => {
            ("indexed", size_bytes, Some(size_bytes), "bytes")
        }
    };
    Note { phase: phase.to_owned(), done, total, unit: unit.to_owned(), plain: Plain::Sometimes }
}

fn number(count: usize) -> Cell {
    Cell::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

impl From<ForeignError> for Error {
    fn from(error: ForeignError) -> Self {
        let refused = |error: ForeignError| {
            Self::new(Kind::Invalid, "this directory cannot be imported").with_source(error)
        };
        match error {
            ForeignError::Index { source: IndexPackError::TooLarge { limit }, .. } => {
                let left = shown_bytes(limit);
                Self::new(Kind::TooLarge, format!("its objects take more than the {left} that are left of the quota"))
                    .with_hint("the owner's quota and limits.repository_size hold for imports as for pushes")
                    .with_source(error)
            }
            ForeignError::Busy(busy) => busy.into(),
            ForeignError::Outside { .. } => refused(error).with_hint(
                "run `git repack -a -d` in it and remove its objects/info/alternates, or import what both lie in by --tree",
            ),
            error => refused(error),
        }
    }
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Foreign(error) => error.into(),
            ImportError::Fetch(_) => {
                Self::new(Kind::Invalid, "this address cannot be imported from").with_source(error)
            }
            ImportError::Format { .. } => Self::new(Kind::Invalid, error.to_string()),
            ImportError::Receive(error) => error.into(),
            ImportError::Commit(error) => error.into(),
            ImportError::Store(error) => error.into(),
            ImportError::Busy(error) => error.into(),
        }
    }
}

impl From<VerifyError> for Error {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => error.into(),
            VerifyError::Blob(error) => Self::internal(error),
            VerifyError::Fetch(error) => Self::internal(error),
            VerifyError::Child(ChildError::Limited(limited)) => limited.into(),
            VerifyError::Child(error) => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests;
