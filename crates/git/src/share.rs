//! Which packs may be handed to somebody who may read only some refs, and the rest as a pack of its own; and many packs
//! as one.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::odb::pack::index::File as Index;
use hakata_names::{ObjectFormat, Oid};
use hakata_runtime::blocking::BlockingError;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::command::{Command, Subcommand};
use crate::process::{Child, ChildError};
use crate::quarantine::{IndexPackError, IndexedPack, PackLimits, Quarantine};
use crate::{Git, GitDir};

/// Why packs cannot be shared or copied.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The index of a pack cannot be read.
    #[error("reading {path}")]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// git could not list or pack objects.
    #[error("listing what refs lead to")]
    Child(#[from] ChildError),
    /// git lists objects in a way that is not known.
    #[error("git lists objects in an unknown way")]
    Unknown,
    /// The copy of whole packs is not whole.
    #[error("the copy lacks object {object}")]
    Lost {
        /// One that is missing.
        object: String,
    },
    /// The copy is not accepted.
    #[error("copying objects")]
    Copy(#[source] IndexPackError),
    /// The pool of blocking work is full, or the process is stopping.
    #[error("waiting to read the indexes of packs")]
    Busy(#[source] BlockingError),
}

/// What some tips lead to, in terms of packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// For each pack that was asked about: whether the tips lead to everything in it.
    pub wholly: Vec<bool>,
    /// Whether they lead to anything that lies elsewhere.
    pub has_rest: bool,
}

/// The index of one pack, and a bit for each object that was seen.
struct Seen {
    index: Index,
    bits: Vec<u64>,
    n: u32,
}

impl Seen {
    fn open(dir: &GitDir, stem: &str, format: ObjectFormat) -> Result<Self, ShareError> {
        let index = open_index(&dir.objects().join("pack").join(stem).with_extension("idx"), format)?;
        let bits = vec![0; index.num_objects() as usize / 64 + 1];
        Ok(Self { index, bits, n: 0 })
    }

    fn mark(&mut self, id: &ObjectId) -> bool {
        let Some(at) = self.index.lookup(id) else { return false };
        let (word, bit) = (&mut self.bits[at as usize / 64], 1 << (at % 64));
        self.n += u32::from(*word & bit == 0);
        *word |= bit;
        true
    }

    fn is_whole(&self) -> bool {
        self.n == self.index.num_objects()
    }
}

/// Finds out for each of these packs of a directory (its name up to the dot) whether the tips lead to everything in it. One walk of
/// git, one look-up a pack and object, one bit of memory for each object of the packs.
///
/// # Errors
/// [`ShareError`].
pub async fn split(
    git: &Git,
    dir: &GitDir,
    format: ObjectFormat,
    tips: &[Oid],
    stems: &[String],
) -> Result<Split, ShareError> {
    let (dir_, stems) = (dir.clone(), stems.to_vec());
    let open =
        move || stems.iter().map(|stem| Seen::open(&dir_, stem, format)).collect::<Result<Vec<_>, _>>();
    let mut packs = git.blocking().run(open).await.map_err(ShareError::Busy)??;
    let mut is_elsewhere = false;
    if !tips.is_empty() {
        let command = Command::new(Subcommand::RevList)
            .dir(dir)
            .flag("--objects")
            .flag("--no-object-names")
            .flag("--use-bitmap-index")
            .flag("--stdin");
        let mut child = start(git, &command, tips).await?;
        let stdout = child.stdout().ok_or(ShareError::Unknown)?;
        let mut lines = BufReader::with_capacity(64 << 10, stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line).await;
            if read.map_err(|error| child.io_error(error))? == 0 {
                break;
            }
            let id = ObjectId::from_hex(line.trim_ascii_end()).map_err(|_| ShareError::Unknown)?;
            let n_found = packs.iter_mut().map(|pack| pack.mark(&id)).filter(|found| *found).count();
            is_elsewhere |= n_found == 0;
        }
        child.finish().await?.success()?;
    }
    let is_torn = packs.iter().any(|pack| pack.n > 0 && !pack.is_whole());
    Ok(Split { wholly: packs.iter().map(Seen::is_whole).collect(), has_rest: is_elsewhere || is_torn })
}

/// Copies everything that the tips lead to, and that none of these packs (files ending in `.pack`) has, into a quarantine.
///
/// # Errors
/// [`ShareError`].
pub async fn copy_rest(
    git: &Git,
    dir: &GitDir,
    tips: &[Oid],
    shared: &[String],
    into: &Quarantine,
    limits: &PackLimits,
) -> Result<IndexedPack, ShareError> {
    let command = Command::new(Subcommand::PackObjects)
        .dir(dir)
        .flag("--revs")
        .flag("--stdout")
        .flag("--delta-base-offset")
        .flag("--quiet");
    let command = shared.iter().fold(command, |command, pack| command.option("--keep-pack", pack));
    copy(git, &command, tips, into, limits).await
}

/// Copies everything that is in some packs of a directory (files ending in `.pack`) into one pack in a quarantine,
/// whether anything leads to it or not.
///
/// # Errors
/// [`ShareError`]; [`ShareError::Lost`] if the new pack lacks anything.
pub async fn copy_packs(
    git: &Git,
    dir: &GitDir,
    packs: &[String],
    into: &Quarantine,
    limits: &PackLimits,
) -> Result<IndexedPack, ShareError> {
    let command = Command::new(Subcommand::PackObjects)
        .dir(dir)
        .flag("--stdin-packs")
        .flag("--stdout")
        .flag("--delta-base-offset")
        .flag("--quiet");
    let made = copy(git, &command, packs, into, limits).await?;
    let (idx, format) = (made.idx.clone(), into.format());
    let olds: Vec<_> = packs.iter().map(|pack| dir.objects().join("pack").join(pack)).collect();
    let compare = move || has_all(&idx, &olds, format);
    git.blocking().run(compare).await.map_err(ShareError::Busy)??;
    Ok(made)
}

/// Makes sure that a pack has everything that others have. Blocks.
fn has_all(idx: &Path, others: &[PathBuf], format: ObjectFormat) -> Result<(), ShareError> {
    let new = open_index(idx, format)?;
    for other in others {
        let old = open_index(&other.with_extension("idx"), format)?;
        if let Some(lost) = old.iter().find(|entry| new.lookup(entry.oid).is_none()) {
            return Err(ShareError::Lost { object: lost.oid.to_string() });
        }
    }
    Ok(())
}

/// Runs a command that writes a pack, and indexes that in a quarantine.
async fn copy(
    git: &Git,
    command: &Command,
    lines: &[impl Display],
    into: &Quarantine,
    limits: &PackLimits,
) -> Result<IndexedPack, ShareError> {
    let mut child = start(git, command, lines).await?;
    let mut stdout = child.stdout().ok_or(ShareError::Unknown)?;
    let indexed = into.index_pack(git, &mut stdout, limits).await;
    drop(stdout);
    let finished = child.finish().await?.success();
    match (finished, indexed) {
        (Ok(_), Ok(pack)) => Ok(pack),
        // A pack that ends early is the fault of the side that made it.
        (Err(error), Err(IndexPackError::Truncated) | Ok(_)) => Err(error.into()),
        (_, Err(error)) => Err(ShareError::Copy(error)),
    }
}

/// Starts a command that reads its input to the end before it writes.
async fn start(git: &Git, command: &Command, lines: &[impl Display]) -> Result<Child, ShareError> {
    let mut child = Child::spawn(git, command).await?;
    if let Some(mut stdin) = child.stdin() {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // A child that does not read on has its reasons; its status tells them.
        let _ = stdin.write_all(lines.as_bytes()).await;
    }
    Ok(child)
}

fn open_index(path: &Path, format: ObjectFormat) -> Result<Index, ShareError> {
    let kind = match format {
        ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
    };
    let failed = |source| ShareError::Index { path: path.to_owned(), source };
    Index::at(path, kind).map_err(|error| failed(error.into()))
}
