//! New commits from old ones: merged, picked or reverted, one on top of another.
//!
//! A [`Replay`] makes what belongs to them in memory; it writes to the scratch of its process only what the next merge
//! needs, and nothing to the repository. What git's sequencer decides about messages and empty commits is decided here
//! too, so that the same people and dates make the same commits. Source: `sequencer.c` of git.

use hakata_names::Oid;

use super::{MergeQuery, Merged, Merging};
use crate::objects::{Kind, Objects, ReadError};
use crate::read::{Allowance, Commit, Person};
use crate::write::{Bounds, NewCommit, NewObjects, Signer, WriteError};

/// Why no commit comes of it.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The sides disagree.
    #[error("merging {theirs} conflicts")]
    Conflict {
        /// The commit that could not be merged, picked or reverted.
        theirs: Oid,
        /// On what they disagree.
        merged: Box<Merged>,
    },
    /// Nothing would change.
    #[error("{0} changes nothing here")]
    Empty(Oid),
    /// The question makes no sense; a sentence for who asked.
    #[error("{0}")]
    Invalid(String),
    /// Something cannot be read, or git does not answer.
    #[error("reading what is merged")]
    Read(#[from] ReadError),
    /// What comes of it cannot be made.
    #[error("making commits")]
    Write(#[from] WriteError),
}

/// What becomes of a pick that changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyPicks {
    /// It ends the replay: what `git cherry-pick` does.
    #[default]
    Refuse,
    /// It is left out.
    Drop,
    /// It becomes a commit without changes.
    Keep,
    /// It is kept if the old commit changed nothing either, else left out: what `git rebase` does.
    KeepOriginal,
}

/// What becomes of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Pick,
    Revert,
}

/// A row of new commits.
pub struct Replay {
    merging: Merging,
    base: Objects,
    made: NewObjects,
    tip: Oid,
    /// What is at the tip.
    tree: Oid,
    committer: Signer,
}

impl Replay {
    /// Begins at a commit. Waits for a process that merges; the allowance's time holds until the end.
    ///
    /// # Errors
    /// [`ReplayError::Read`].
    pub async fn start(
        objects: &Objects,
        tip: Oid,
        committer: Signer,
        bounds: Bounds,
        allowance: &Allowance,
    ) -> Result<Self, ReplayError> {
        let tree = objects.read_within(allowance, move |view| Ok(view.commit(&tip)?.tree)).await?;
        let merging = objects.start_merging(allowance).await?;
        let made = NewObjects::new(objects.format(), bounds);
        Ok(Self { merging, base: objects.clone(), made, tip, tree, committer })
    }

    /// Returns the newest commit.
    pub fn tip(&self) -> Oid {
        self.tip
    }

    /// Merges a commit into the tip without making a commit; returns the tree.
    ///
    /// # Errors
    /// [`ReplayError::Conflict`], [`ReplayError::Read`].
    pub async fn merge(&mut self, theirs: Oid) -> Result<Oid, ReplayError> {
        let query = MergeQuery { base: None, ours: self.tip, theirs };
        clean(theirs, self.merging.merge(&query).await?)
    }

    /// Makes a commit of a tree on top of the tip, and of further parents.
    ///
    /// # Errors
    /// [`ReplayError::Write`], [`ReplayError::Read`].
    pub async fn commit(
        &mut self,
        tree: Oid,
        further: &[Oid],
        author: Signer,
        message: Vec<u8>,
    ) -> Result<Oid, ReplayError> {
        let parents = std::iter::once(self.tip).chain(further.iter().copied()).collect();
        let scratch = self.merging.objects().await?;
        let empty = NewObjects::new(self.made.format(), Bounds::default());
        let made = std::mem::replace(&mut self.made, empty);
        self.made = made.collected(&scratch, &self.base, tree).await?;
        let committer = self.committer.clone();
        self.tip = self.made.commit(&NewCommit { tree, parents, author, committer, message })?;
        self.tree = tree;
        Ok(self.tip)
    }

    /// Makes the tip known to the process: to be called before the next merge into it.
    async fn show_tip(&mut self) -> Result<(), ReplayError> {
        let content = self.made.find(&self.tip).map(|(_, content)| content.to_vec());
        if let Some(content) = content {
            self.merging.put(Kind::Commit, content).await?;
        }
        Ok(())
    }

    /// Takes the change of a commit over to the tip: its author and message stay. Says whether there is a new tip.
    ///
    /// # Errors
    /// [`ReplayError::Conflict`], [`ReplayError::Empty`], [`ReplayError::Invalid`] for a merge without `mainline`, the
    /// number of the parent whose side is kept, or another commit with one.
    pub async fn pick(
        &mut self,
        oid: Oid,
        mainline: Option<u32>,
        empty: EmptyPicks,
    ) -> Result<bool, ReplayError> {
        let old = self.read(oid).await?;
        let Some((tree, _)) = self.apply(&old, mainline, empty, &Change::Pick).await? else {
            return Ok(false);
        };
        let author = signer(&old.author, &old);
        let message = text(&old, without_blank_start(&old.message));
        self.commit(tree, &[], author, message).await?;
        Ok(true)
    }

    /// Goes to the commit itself if it stands on the tip already, else picks it.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    pub async fn rebase(&mut self, oid: Oid) -> Result<bool, ReplayError> {
        let old = self.read(oid).await?;
        if old.parents.first() == Some(&self.tip) {
            (self.tip, self.tree) = (oid, old.tree);
            return Ok(true);
        }
        self.pick(oid, None, EmptyPicks::KeepOriginal).await
    }

    /// Takes the change of a commit back. The message is `message`, or git's own.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    pub async fn revert(
        &mut self,
        oid: Oid,
        mainline: Option<u32>,
        author: Signer,
        message: Option<Vec<u8>>,
    ) -> Result<(), ReplayError> {
        let old = self.read(oid).await?;
        let applied = self.apply(&old, mainline, EmptyPicks::Refuse, &Change::Revert).await?;
        let (tree, parent) = applied.ok_or(ReplayError::Empty(oid))?;
        let message = message.unwrap_or_else(|| revert_message(&old, parent));
        self.commit(tree, &[], author, message).await?;
        Ok(())
    }

    /// Merges a change, or its opposite, into the tip; returns the tree and the parent that the change is counted from.
    async fn apply(
        &mut self,
        old: &Commit,
        mainline: Option<u32>,
        empty: EmptyPicks,
        change: &Change,
    ) -> Result<Option<(Oid, Option<Oid>)>, ReplayError> {
        let parent = parent_of(old, mainline)?;
        self.show_tip().await?;
        let before = match parent {
            Some(parent) => parent,
            None => self.nothing().await?,
        };
        let (base, theirs) = match change {
            Change::Pick => (before, old.oid),
            Change::Revert => (old.oid, before),
        };
        let query = MergeQuery { base: Some(base), ours: self.tip, theirs };
        let tree = clean(old.oid, self.merging.merge(&query).await?)?;
        if tree == self.tree {
            let is_kept = match empty {
                EmptyPicks::Refuse => return Err(ReplayError::Empty(old.oid)),
                EmptyPicks::Drop => false,
                EmptyPicks::Keep => true,
                EmptyPicks::KeepOriginal => self.is_empty(old, parent).await?,
            };
            return Ok(is_kept.then_some((tree, parent)));
        }
        Ok(Some((tree, parent)))
    }

    /// Says whether a commit changed nothing.
    async fn is_empty(&self, old: &Commit, parent: Option<Oid>) -> Result<bool, ReplayError> {
        let Some(parent) = parent else { return Ok(false) };
        let tree = old.tree;
        Ok(self.base.read(move |view| Ok(view.commit(&parent)?.tree == tree)).await?)
    }

    /// Makes a commit without files, which the first commit of a history is compared with.
    async fn nothing(&mut self) -> Result<Oid, ReplayError> {
        let tree = self.merging.put(Kind::Tree, Vec::new()).await?;
        let who = "nobody <> 0 +0000";
        let content = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nnothing\n");
        Ok(self.merging.put(Kind::Commit, content.into_bytes()).await?)
    }

    async fn read(&self, oid: Oid) -> Result<Commit, ReplayError> {
        Ok(self.base.read(move |view| view.read_commit(&oid)).await?)
    }

    /// Gives the process back; returns all that was made.
    pub fn into_objects(self) -> (Oid, NewObjects) {
        (self.tip, self.made)
    }
}

fn clean(theirs: Oid, merged: Merged) -> Result<Oid, ReplayError> {
    if merged.is_clean {
        Ok(merged.tree)
    } else {
        Err(ReplayError::Conflict { theirs, merged: Box::new(merged) })
    }
}

/// Finds the parent whose difference to a commit is its change; `None` for a first commit.
fn parent_of(commit: &Commit, mainline: Option<u32>) -> Result<Option<Oid>, ReplayError> {
    let oid = commit.oid;
    let invalid = |what: String| Err(ReplayError::Invalid(what));
    match (&commit.parents[..], mainline) {
        ([], None) => Ok(None),
        ([parent], None | Some(1)) => Ok(Some(*parent)),
        ([] | [_], Some(n)) => invalid(format!("{oid} is no merge and has no mainline {n}")),
        (_, None) => invalid(format!("{oid} is a merge: say which parent is its mainline")),
        (parents, Some(n)) => {
            let found = usize::try_from(n).ok().and_then(|n| parents.get(n.checked_sub(1)?));
            found.map_or_else(|| invalid(format!("{oid} has no parent {n}")), |parent| Ok(Some(*parent)))
        }
    }
}

/// Takes somebody over to a new commit, whose texts are UTF-8.
fn signer(person: &Person, commit: &Commit) -> Signer {
    Signer {
        name: text(commit, &person.name),
        email: text(commit, &person.email),
        time: person.time.unwrap_or(0),
        offset_minutes: person.offset_minutes,
    }
}

/// Turns a text of a commit into UTF-8: by the encoding that the commit names, or byte by byte as Latin-1 where it is
/// none. Source: `verify_utf8` of git, which does so whenever it makes a commit.
fn text(commit: &Commit, bytes: &[u8]) -> Vec<u8> {
    if commit.encoding.is_some() {
        return commit.text(bytes).into_bytes();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().copied().map(char::from));
    }
    out.into_bytes()
}

/// Leaves out empty lines at the beginning.
fn without_blank_start(message: &[u8]) -> &[u8] {
    let mut rest = message;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        if !rest[..end].iter().all(u8::is_ascii_whitespace) {
            break;
        }
        rest = &rest[end + 1..];
    }
    rest
}

/// Writes what `git revert` says.
fn revert_message(old: &Commit, parent: Option<Oid>) -> Vec<u8> {
    let message = text(old, without_blank_start(&old.message));
    let subject = message.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut out = match subject.strip_prefix(b"Revert \"") {
        Some(original) if !original.starts_with(b"Revert \"") => [b"Reapply \"", original, b"\n"].concat(),
        _ => [b"Revert \"", subject, b"\"\n"].concat(),
    };
    out.extend_from_slice(format!("\nThis reverts commit {}", old.oid).as_bytes());
    if let (Some(parent), [_, _, ..]) = (parent, &old.parents[..]) {
        out.extend_from_slice(format!(", reversing\nchanges made to {parent}").as_bytes());
    }
    out.extend_from_slice(b".\n");
    out
}
