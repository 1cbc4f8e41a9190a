//! One step of a cache directory: packs come, refs move, the version is recorded, packs go.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hakata_blob::BlobError;
use hakata_git::quarantine::{IndexPackError, Quarantine};
use hakata_git::ref_files::{self, Sync};
use hakata_git::refs::{Head, RefChange};
use hakata_git::{Git, init, maintain};
use hakata_names::PackId;
use hakata_runtime::blocking::BlockingError;
use hakata_runtime::fault;
use hakata_store::packs::Pack;
use hakata_store::{StoreError, packs as catalogue};

use super::layout::{self, Record, Seen};
use super::packs::{self, Compared, Listed, Trust};
use super::{Advance, Entry, Known, REBUILDS, STEPS, derived, fetch};
use crate::engine::{Engine, OpenError};
use crate::refresh::{Needed, State, change, moves_between};

/// Why a directory cannot be brought into step. It is left behind, marked by its old version, and the next step
/// repeats what is missing.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The refs cannot be read.
    #[error("reading where refs point")]
    Open(#[source] OpenError),
    /// The catalogue cannot be read.
    #[error("reading the catalogue of packs")]
    Store(#[from] StoreError),
    /// A file cannot be written.
    #[error("writing below {path}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes of a pack cannot be read.
    #[error("fetching pack {pack}")]
    Blob {
        /// Which pack.
        pack: PackId,
        /// What failed.
        source: BlobError,
    },
    /// A pack in its row is not what was put there.
    #[error("indexing pack {pack}")]
    Index {
        /// Which pack.
        pack: PackId,
        /// What git said.
        source: IndexPackError,
    },
    /// A pack is not the one that the catalogue promises.
    #[error("pack {pack} is not the one that its row describes")]
    Corrupt {
        /// Which pack.
        pack: PackId,
    },
    /// The pool of blocking work is full, or the process is stopping.
    #[error("waiting to write files")]
    Busy(#[source] BlockingError),
}

/// Brings a directory to the newest state. Runs in one task per directory at a time.
pub(super) async fn run(engine: Arc<Engine>, entry: Arc<Entry>) -> Result<(), Arc<StepError>> {
    let stepped = step(&engine, &entry).await;
    if stepped.is_err() {
        // What was done half-way is compared again next time.
        *entry.known() = None;
        entry.advances().clear();
    }
    stepped.map_err(Arc::new)
}

async fn step(engine: &Arc<Engine>, entry: &Arc<Entry>) -> Result<(), StepError> {
    STEPS.inc();
    let state = engine.newest(entry.id).await.map_err(StepError::Open)?;
    let needed = state.needed();
    match from_memory(entry, needed) {
        Some(advances) => follow(engine, entry, &state, advances).await?,
        None => rebuild(engine, entry, &state).await?,
    }
    let mut advances = entry.advances();
    *advances = advances.split_off(&(needed.version + 1));
    drop(advances);
    entry.n_changes.fetch_add(1, Ordering::Relaxed);
    derived::schedule(engine, entry);
    Ok(())
}

/// Finds the commits between what the directory shows and what is needed, if this process made them all and nobody
/// touched the directory.
fn from_memory(entry: &Entry, needed: Needed) -> Option<Vec<Advance>> {
    let known = entry.known().clone().filter(|known| entry.is_as_left(known))?;
    if known.at.prune_epoch != needed.prune_epoch || known.at.version > needed.version {
        return None;
    }
    let advances = entry.advances();
    (known.at.version + 1..=needed.version).map(|version| advances.get(&version).cloned()).collect()
}

/// Follows commits of this process, without a question to the database.
async fn follow(
    engine: &Arc<Engine>,
    entry: &Arc<Entry>,
    state: &Arc<State>,
    advances: Vec<Advance>,
) -> Result<(), StepError> {
    let (engine_, entry_, state_) = (engine.clone(), entry.clone(), state.clone());
    let files = move || {
        let dir = &entry_.dir;
        for (id, offered) in advances.iter().filter_map(|advance| advance.pack.as_ref()) {
            if let Some(pack) = &offered.pack {
                packs::adopt(dir, *id, pack)?;
                entry_.count_packs(&engine_.git, entry_.n_packs.load(Ordering::Relaxed) + 1);
            }
        }
        fault::point("cache.packs");
        if advances.iter().any(|advance| advance.default_ref.is_some()) {
            init::write_head(dir, state_.snapshot.head())?;
        }
        let changes: Vec<RefChange> = advances.iter().flat_map(|advance| advance.changes.clone()).collect();
        write_refs(&entry_, &state_, Some(&changes))?;
        record(&engine_, &entry_, state_.needed())
    };
    blocking(engine, entry, files).await
}

/// Compares the whole directory with the rows.
async fn rebuild(engine: &Arc<Engine>, entry: &Arc<Entry>, state: &Arc<State>) -> Result<(), StepError> {
    REBUILDS.inc();
    // After the refs: packs of this version are listed, and of later ones perhaps.
    let mut conn = engine.db.read().await?;
    let rows = catalogue::list_of(&mut conn, entry.id).await?;
    drop(conn);
    let (shown, compared) = prepare(engine, entry, state, &rows).await?;
    let missing = rows.iter().filter(|row| compared.missing.contains(&row.id));
    for row in missing {
        bring(engine, entry, row).await?;
    }
    fault::point("cache.packs");
    let changes = match shown {
        Some(shown) => changes_since(engine, entry, shown, state).await?,
        None => None,
    };
    let (engine_, entry_, state_) = (engine.clone(), entry.clone(), state.clone());
    let n_packs = rows.len();
    let files = move || {
        write_refs(&entry_, &state_, changes.as_deref())?;
        record(&engine_, &entry_, state_.needed())?;
        if !compared.foreign.is_empty() {
            entry_.generation.fetch_add(1, Ordering::AcqRel);
            layout::begin_removing(&entry_.dir)?;
            maintain::remove_derived(&entry_.dir)?;
            packs::remove_foreign(&compared.foreign)?;
            fault::point("cache.removed");
            // Whoever lists packs from now on finds none of those that went; what was listed before is found out by the
            // generation at its end, or is there by now and goes.
            entry_.generation.fetch_add(1, Ordering::AcqRel);
            layout::end_removing(&entry_.dir)?;
            engine_.git.forget(&entry_.dir);
            entry_.remember(state_.needed());
        }
        entry_.count_packs(&engine_.git, u64::try_from(n_packs).unwrap_or(u64::MAX));
        Ok(())
    };
    blocking(engine, entry, files).await
}

/// Makes sure that there is a directory, and finds what it shows (if that can be believed) and what it lacks.
async fn prepare(
    engine: &Arc<Engine>,
    entry: &Arc<Entry>,
    state: &Arc<State>,
    rows: &[Pack],
) -> Result<(Option<Needed>, Compared), StepError> {
    let listed = |row: &Pack| Listed {
        size_bytes: u64::try_from(row.size_bytes).unwrap_or_default(),
        is_inline: row.is_inline,
    };
    let listed: BTreeMap<PackId, Listed> = rows.iter().map(|row| (row.id, listed(row))).collect();
    let (engine_, entry_) = (engine.clone(), entry.clone());
    let no_writer = entry.writing_derived.try_lock().ok();
    let is_nobody_writing = no_writer.is_some();
    let (format, version) = (state.format(), state.version());
    let head = Head::Symbolic(state.default_ref.clone());
    let files = move || {
        let dir = &entry_.dir;
        let shown = believed(&engine_, &entry_, version)?;
        init::init_bare(dir, format, &head)?;
        layout::write_hook(dir, &engine_.settings.push_url)?;
        if is_nobody_writing {
            layout::remove_unfinished(dir)?;
        }
        // Steps come one after another: a note of one that removes packs is one of a step that did not come to its end.
        if layout::is_removing(dir)? {
            entry_.generation.fetch_add(1, Ordering::AcqRel);
            layout::end_removing(dir)?;
        }
        let trust = if shown.is_some() { Trust::Sizes } else { Trust::Links };
        if trust == Trust::Links {
            maintain::remove_derived(dir)?;
        }
        let compared = packs::compare(dir, &listed, &engine_.blobs, trust)?;
        Ok((shown, compared))
    };
    blocking(engine, entry, files).await
}

/// Reads what a directory shows, if that can be believed. One that follows another database, or is ahead of ours (which
/// then came out of a backup), is set aside.
fn believed(engine: &Engine, entry: &Entry, version: i64) -> io::Result<Option<Needed>> {
    let Some(Record { shown, boot, installation }) = layout::read_record(&entry.dir)? else {
        return Ok(None);
    };
    if installation != engine.installation || shown.version > version {
        let aside = layout::set_aside(&engine.caches.root, &entry.dir, engine.clock.now_ms())?;
        let (id, aside) = (entry.id.get(), aside.display());
        tracing::warn!(repository.id = id, path = %aside, "a directory that is not of these rows was set aside");
        return Ok(None);
    }
    Ok(engine.caches.boots.trusts(&boot).then_some(shown))
}

/// Reads what moved since the version that a directory shows; `None` if all refs must be written.
async fn changes_since(
    engine: &Engine,
    entry: &Entry,
    shown: Needed,
    state: &State,
) -> Result<Option<Vec<RefChange>>, StepError> {
    let mut conn = engine.db.read().await?;
    let moves = moves_between(&mut conn, entry.id, shown.version, state.version()).await?;
    Ok(moves.map(|moves| moves.into_iter().map(|at| change(at.name, at.new, at.peeled)).collect()))
}

/// Puts a pack into the directory: from its quarantine, from a local blob, or from where its bytes are kept.
async fn bring(engine: &Arc<Engine>, entry: &Arc<Entry>, row: &Pack) -> Result<(), StepError> {
    let id = row.id;
    let offered =
        entry.advances().values().filter_map(|advance| advance.pack.clone()).find(|(at, _)| *at == id);
    let (engine_, entry_) = (engine.clone(), entry.clone());
    let is_inline = row.is_inline;
    let files = move || match offered.as_ref().and_then(|(_, offered)| offered.pack.as_ref()) {
        Some(pack) => packs::adopt(&entry_.dir, id, pack).map(|()| true),
        None if is_inline => Ok(false),
        None => packs::adopt_blob(&entry_.dir, id, &engine_.blobs),
    };
    if blocking(engine, entry, files).await? {
        return Ok(());
    }
    bring_back(engine, entry, row).await
}

/// Fetches the bytes of a pack and links them with their index.
async fn bring_back(engine: &Arc<Engine>, entry: &Arc<Entry>, row: &Pack) -> Result<(), StepError> {
    let id = row.id;
    let parent = engine.settings.data.join("quarantine");
    let format =
        hakata_names::Oid::from_bytes(&row.checksum).map_err(|_| StepError::Corrupt { pack: id })?.format();
    let quarantine = blocking(engine, entry, move || Quarantine::create(&parent, None, format)).await?;
    let indexed = fetch::bring_back(engine, &quarantine, row).await?;
    let entry_ = entry.clone();
    blocking(engine, entry, move || packs::adopt(&entry_.dir, id, &indexed)).await?;
    drop(quarantine);
    Ok(())
}

fn write_refs(entry: &Entry, state: &State, changes: Option<&[RefChange]>) -> io::Result<()> {
    let dir = &entry.dir;
    match changes {
        Some(changes) => ref_files::apply(dir, &state.snapshot, changes, Sync::No)?,
        None => ref_files::write_all(dir, &state.snapshot, Sync::No)?,
    }
    fault::point("cache.refs");
    Ok(())
}

fn record(engine: &Engine, entry: &Entry, shown: Needed) -> io::Result<()> {
    let (boot, installation) = (engine.caches.boots.current().to_owned(), engine.installation.clone());
    layout::write_record(&entry.dir, &Record { shown, boot, installation })?;
    fault::point("cache.version");
    entry.remember(shown);
    Ok(())
}

impl Entry {
    /// Remembers how many packs there are. An open object database has room for so many more than it found; it is let
    /// go before that is used up.
    fn count_packs(&self, git: &Git, n_packs: u64) {
        const ROOM: u64 = 256;
        let before = self.n_packs.swap(n_packs, Ordering::Relaxed);
        if before / ROOM != n_packs / ROOM {
            git.forget(&self.dir);
        }
    }

    /// Takes what the directory is like now for what we made it.
    fn remember(&self, at: Needed) {
        *self.known() = Some(Known { at, seen: Seen::look(&self.dir) });
    }
}

/// Runs work on files where it may block.
async fn blocking<T: Send + 'static>(
    engine: &Engine,
    entry: &Entry,
    files: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StepError> {
    let done = engine.blocking.run(files).await.map_err(StepError::Busy)?;
    done.map_err(|source| StepError::Io { path: entry.dir.path().to_owned(), source })
}
