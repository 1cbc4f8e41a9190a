//! Fetching into a quarantine.

use std::io;
use std::path::Path;
use std::time::Duration;

use hakata_names::{Oid, RefName};
use tokio::io::AsyncWriteExt;

use super::{FetchError, Remote};
use crate::command::{Command, Subcommand};
use crate::process::Child;
use crate::quarantine::{IndexPackError, IndexedPack, PackLimits, Quarantine};
use crate::refs::Head;
use crate::{Git, init};

/// What an import takes.
const REFSPECS: [&str; 3] =
    ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+refs/notes/*:refs/notes/*"];

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
        if let Some(name) = listed.head {
            let dir = into.dir().clone();
            let write = move || init::write_head(&dir, &Head::Symbolic(name));
            blocking(git, write).await?;
        }
        self.run(git, into, REFSPECS.join("\n"), progress).await
    }

    /// Fetches some refs into a quarantine in front of a repository that has `known`, under their own names. What the
    /// repository has is not sent again. Answers where the refs are now: the other side may have moved them since it
    /// was asked.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch_refs(
        &self,
        git: &Git,
        into: &Quarantine,
        names: &[RefName],
        known: &[Oid],
        progress: impl FnMut(u64) + Send,
    ) -> Result<Vec<(RefName, Oid)>, FetchError> {
        let lines = packed(known);
        let path = into.dir().path().join("packed-refs");
        blocking(git, move || std::fs::write(path, lines)).await?;
        let mut refspecs = Vec::new();
        for name in names {
            refspecs.extend_from_slice(b"+");
            refspecs.extend_from_slice(name.as_bytes());
            refspecs.extend_from_slice(b":");
            refspecs.extend_from_slice(name.as_bytes());
            refspecs.push(b'\n');
        }
        self.run(git, into, refspecs, progress).await?;
        let (dir, format) = (into.dir().path().to_owned(), into.format());
        let read = move || crate::foreign::read_refs(&dir, format).map_err(io::Error::other);
        let wanted: std::collections::BTreeSet<&RefName> = names.iter().collect();
        let refs = blocking(git, read).await?;
        Ok(refs.into_iter().filter(|at| wanted.contains(&at.name)).map(|at| (at.name, at.oid)).collect())
    }

    async fn run(
        &self,
        git: &Git,
        into: &Quarantine,
        refspecs: impl Into<Vec<u8>>,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<(), FetchError> {
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
            let _ = stdin.write_all(&refspecs.into()).await;
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

/// Lists oids as refs, each once: what we say that we have. Source: git-pack-refs(1).
fn packed(known: &[Oid]) -> String {
    let mut lines = "# pack-refs with: sorted\n".to_owned();
    for (n, oid) in known.iter().enumerate() {
        lines.push_str(&format!("{oid} refs/known/{n:09}\n"));
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
