//! What a killed server leaves behind, and that a sweep leaves nothing of it.
//!
//! Beside [`Rows`] the one place of this crate that looks at rows and files of the product: from outside nobody sees
//! them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use hakata_names::PackId;
use hakata_store::page::PageSize;
use hakata_store::{Conn, PackState, packs};

use super::rows::Rows;
use crate::{Sandbox, Server, ServerOptions, wait_until};

/// How long a sweep may keep us waiting: the age of what it takes, and the time to the next one.
const LIMIT: Duration = Duration::from_secs(60);

/// What is to go later than so soon is no leftover.
const SOON: Duration = Duration::from_secs(3_600);

/// Rows and files of one installation.
pub(super) struct Leftovers {
    data: PathBuf,
    rows: Rows,
}

/// The options of a server that sweeps as early as it can be told to.
pub(super) fn sweeping(options: &ServerOptions) -> ServerOptions {
    let mut options = options.clone();
    for key in ["repositories.staged_age", "repositories.sweep_every"] {
        options.settings.push((key.to_owned(), "1s".to_owned()));
    }
    options
}

impl Leftovers {
    /// Looks at the installation of a sandbox.
    pub(super) fn of(sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        Ok(Self { data: sandbox.data(), rows: Rows::of(sandbox, options)? })
    }

    /// Waits until nothing is left, or until the server has ended; true for the former.
    pub(super) fn wait_until_swept(&self, server: &mut Server) -> Result<bool> {
        let (mut left, mut has_ended) = (Vec::new(), false);
        let waited = wait_until("a sweep", LIMIT, || {
            has_ended = server.has_ended();
            left = self.find().unwrap_or_else(|error| vec![format!("{error:#}")]);
            left.is_empty() || has_ended
        });
        waited.with_context(|| format!("left behind: {left:?}"))?;
        Ok(left.is_empty())
    }

    /// Lists what a dead server left: packs that no commit took, bytes of no row, and short-lived files.
    fn find(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for place in ["quarantine", "scratch", "blobs/tmp"] {
            left.extend(short_lived(&self.data.join(place))?);
        }
        self.rows.read(async |conn| self.find_rows(conn, &mut left).await)?;
        Ok(left)
    }

    async fn find_rows(&self, conn: &mut Conn, left: &mut Vec<String>) -> Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        // What compaction replaced stays for a day, since a clone may still read it.
        let soon = i64::try_from((now + SOON).as_millis())?;
        let mut rows = packs::staged_older_than(conn, i64::MAX, PageSize::MAX).await?;
        rows.extend(packs::dead_before(conn, soon, None, PageSize::MAX).await?);
        left.extend(rows.iter().map(|row| format!("row of pack {}: {:?}", row.id, row.state)));
        for path in files(&self.data.join("blobs/packs"))? {
            let id = path.file_stem().and_then(|stem| i64::from_str_radix(stem.to_str()?, 16).ok());
            let row = match id {
                Some(id) => packs::find(conn, PackId::new(id)).await?,
                None => None,
            };
            let is_promised = |row: packs::Pack| {
                row.state == PackState::Live || row.delete_after.is_some_and(|until| until > soon)
            };
            if !row.is_some_and(|row| !row.is_inline && is_promised(row)) {
                left.push(format!("bytes that no row promises: {}", path.display()));
            }
        }
        Ok(())
    }
}

/// Lists what lies in a directory for short-lived files; a running server has locks and empty folders there.
fn short_lived(dir: &Path) -> Result<Vec<String>> {
    let is_upload_folder = dir.ends_with("tmp");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        match is_upload_folder {
            true if path.is_dir() => found.extend(short_lived(&path)?),
            true if path.extension().is_some_and(|extension| extension == "lock") => {}
            _ => found.push(path.display().to_string()),
        }
    }
    Ok(found)
}

/// Lists the files two levels below a directory.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for shard in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        for file in std::fs::read_dir(shard?.path())? {
            found.push(file?.path());
        }
    }
    Ok(found)
}
