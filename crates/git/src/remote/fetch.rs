//! Fetching into a quarantine.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use hakata_names::Oid;
use tokio::io::AsyncWriteExt;

use super::{FetchError, Remote};
use crate::command::{Command, Subcommand};
use crate::process::Child;
use crate::quarantine::{IndexPackError, IndexedPack, PackLimits, Quarantine};
use crate::refs::Head;
use crate::{Git, init};

/// Where git keeps many refs.
const PACKED_REFS: &str = "packed-refs";

/// Time between two looks at how much has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Most refs of an import that are listed.
const MAX_REFS: usize = 4_000_000;

impl Remote {
    /// Fetches branches, tags, notes and `HEAD` into an empty quarantine, telling how many bytes have come. Dropping the
    /// future kills git.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(
        &self,
        git: &Git,
        into: &Quarantine,
        progress: impl FnMut(u64) + Send,
    ) -> Result<(), FetchError> {
        let listed = self.list(git, into.dir(), into.format(), MAX_REFS).await?;
        let oids: Vec<Oid> = listed.refs.iter().map(|(_, oid)| *oid).collect();
        self.run(git, into, oids, progress).await?;
        let dir = into.dir().clone();
        let write = move || {
            if let Some(name) = listed.head {
                init::write_head(&dir, &Head::Symbolic(name))?;
            }
            let refs = listed.refs.iter().map(|(name, oid)| (name.as_bytes(), oid));
            std::fs::write(dir.path().join(PACKED_REFS), packed(refs))
        };
        blocking(git, write).await
    }

    /// Fetches objects that refs there point to into a quarantine in front of a repository that has `known`. What the
    /// repository has is not sent again. No ref is written, however many there are.
    ///
    /// # Errors
    /// [`FetchError`]; that it does not serve an object is one, when a ref has moved since it was listed.
    pub async fn fetch_objects(
        &self,
        git: &Git,
        into: &Quarantine,
        wanted: impl IntoIterator<Item = Oid>,
        known: &[Oid],
        progress: impl FnMut(u64) + Send,
    ) -> Result<(), FetchError> {
        let names: Vec<String> = (0..known.len()).map(|n| format!("refs/known/{n:09}")).collect();
        let lines = packed(names.iter().map(String::as_bytes).zip(known));
        let path = into.dir().path().join(PACKED_REFS);
        blocking(git, move || std::fs::write(path, lines)).await?;
        self.run(git, into, wanted, progress).await
    }

    /// Fetches objects by their names, which every server has that shows them, and which git looks up at once: refs it
    /// would compare with each other, and write one file for each.
    async fn run(
        &self,
        git: &Git,
        into: &Quarantine,
        wanted: impl IntoIterator<Item = Oid>,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<(), FetchError> {
        let wanted: BTreeSet<Oid> = wanted.into_iter().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let lines: String = wanted.iter().map(|oid| format!("{oid}\n")).collect();
        let command = self
            .command(Subcommand::Fetch, into.dir())
            // Always a pack: nothing is left loose.
            .config("fetch.unpackLimit", 1)
            .flag("--no-tags")
            .flag("--no-write-fetch-head")
            .flag("--no-auto-maintenance")
            .flag("--no-recurse-submodules")
            .flag("--quiet")
            .flag("--stdin")
            .operand(&self.url);
        let mut child = Child::spawn(git, &command).await.map_err(FetchError::Child)?;
        if let Some(mut stdin) = child.stdin() {
            // A child that does not read on has its reasons; its status tells them.
            let _ = stdin.write_all(lines.as_bytes()).await;
        }
        let packs = into.dir().objects().join("pack");
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                ended = child.ended() => break ended.map_err(|error| FetchError::Child(child.io_error(error)))?,
                _ = ticks.tick() => {
                    let n_bytes = growing(&packs).await;
                    self.check_size(n_bytes)?;
                    progress(n_bytes);
                }
            }
        }
        let finished = child.finish().await.map_err(FetchError::Child)?;
        if !finished.status.success() {
            return Err(FetchError::refused(finished.message()));
        }
        self.check_size(growing(&packs).await)
    }

    fn check_size(&self, n_bytes: u64) -> Result<(), FetchError> {
        if n_bytes > self.max_bytes { Err(FetchError::TooLarge { limit: self.max_bytes }) } else { Ok(()) }
    }
}

impl Quarantine {
    /// Packs what `tips` lead to and `known` does not out of this quarantine into another, checking every object.
    /// Dropping the future kills git.
    ///
    /// # Errors
    /// [`FetchError::Child`] or [`FetchError::Index`].
    pub async fn pack_into(
        &self,
        git: &Git,
        into: &Self,
        tips: &[Oid],
        known: &[Oid],
        limits: &PackLimits,
    ) -> Result<IndexedPack, FetchError> {
        let command = Command::new(Subcommand::PackObjects)
            .dir(self.dir())
            .flag("--revs")
            .flag("--stdout")
            .flag("--delta-base-offset")
            .flag("--quiet");
        let mut child = Child::spawn(git, &command).await.map_err(FetchError::Child)?;
        let (stdin, stdout) = (child.stdin(), child.stdout());
        let mut revisions: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
        revisions.extend(known.iter().map(|tip| format!("^{tip}\n")));
        let asking = async move {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(revisions.as_bytes()).await;
            }
        };
        let indexing = async {
            match stdout {
                Some(mut stdout) => into.index_pack(git, &mut stdout, limits).await,
                None => Err(IndexPackError::Truncated),
            }
        };
        let ((), indexed) = tokio::join!(asking, indexing);
        let finished = child.finish().await.map_err(FetchError::Child)?;
        match (finished.success(), indexed) {
            (Ok(_), Ok(pack)) => Ok(pack),
            // A pack that ends early is the fault of the side that made it.
            (Err(source), Err(IndexPackError::Truncated) | Ok(_)) => Err(FetchError::Child(source)),
            (_, Err(source)) => Err(FetchError::Index(source)),
        }
    }
}

/// Lists refs, which are in the order of their names. Source: git-pack-refs(1).
fn packed<'a>(refs: impl Iterator<Item = (&'a [u8], &'a Oid)>) -> Vec<u8> {
    let mut lines = b"# pack-refs with: sorted\n".to_vec();
    for (name, oid) in refs {
        lines.extend_from_slice(oid.to_string().as_bytes());
        lines.push(b' ');
        lines.extend_from_slice(name);
        lines.push(b'\n');
    }
    lines
}

async fn blocking<T: Send + 'static>(
    git: &Git,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FetchError> {
    let done = git.blocking().run(work).await;
    done.map_err(|error| FetchError::Storage(io::Error::other(error)))?.map_err(FetchError::Storage)
}

/// Measures packs, also one that is being written.
async fn growing(dir: &Path) -> u64 {
    let mut n_bytes = 0;
    if let Ok(mut entries) = tokio::fs::read_dir(dir).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            n_bytes += entry.metadata().await.map_or(0, |at| at.len());
        }
    }
    n_bytes
}
