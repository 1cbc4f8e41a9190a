//! Named points where a test can have the process killed, or a task panic, always compiled in.
//!
//! Disarmed, which is always outside a crash test, a point costs one relaxed load.

use rustix::process::{Signal, getpid, kill_process};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Every point there is, in the order of its life, with what is true when it is passed. Names are given out here only.
pub const NAMES: &[(&str, &str)] = &[
    ("receive.quarantine", "the quarantine directory exists and is empty"),
    ("receive.indexed", "the received pack is indexed inside the quarantine"),
    ("receive.connected", "every new tip was proved connected"),
    ("push.staged_row", "the staged pack row is committed and no byte of the pack is kept yet"),
    ("push.blob_put", "the bytes of the pack are written and not yet synced"),
    ("push.blob_synced", "the bytes of the pack are synced under their final name"),
    ("commit.version", "the version was raised in the open transaction"),
    ("commit.pack_linked", "the pack was linked and made live in the open transaction"),
    ("commit.refs", "the refs were moved in the open transaction"),
    ("commit.rows", "log, event and job rows were written in the open transaction"),
    ("commit.before_commit", "the transaction is complete and not committed"),
    ("commit.after_commit", "the transaction is committed and nobody was told"),
    ("push.before_report", "the cache may follow; the client has no report yet"),
    ("cache.packs", "new packs are in the cache directory, the refs are old"),
    ("cache.removed", "old packs are gone from the cache directory, what names them may be there"),
    ("cache.refs", "the refs of the cache directory are new, its version is old"),
    ("cache.version", "the cache directory has its new version"),
    ("create.row", "the row of a new repository is committed, nothing else of it exists"),
    ("lfs.staged_row", "the row of an LFS object is committed and no byte of it is kept yet"),
    ("lfs.part_put", "a part of a resumable upload is synced, and the row does not count it yet"),
    ("lfs.part_row", "the row of a resumable upload counts a part that its client was not told of"),
    ("lfs.blob_put", "the bytes of an LFS object are synced under their final name, its row is staged"),
    ("lfs.before_commit", "an LFS object is linked and counted in the open transaction"),
    ("lfs.after_commit", "an LFS object is committed and its client was not told"),
    ("sweep.row", "a staged pack is declared dead; its row and bytes are still there"),
    ("sweep.bytes", "some bytes of a forgotten pack are deleted, others not"),
    ("erase.part", "some rows of a deleted repository are erased, others not"),
    ("import.pack", "the pack of an import is kept, no ref points into it"),
    ("mirror.fetched", "what a mirror lacked is in a quarantine, no ref points into it"),
    ("stage.kept", "the pack of a prepared change is durable in row or blob, and nobody was told of it"),
    ("adopt.pack", "the pack of a prepared change is in a quarantine again and still staged"),
    ("mail.taken", "the mail server took a letter, and no row says so yet"),
    ("id.received", "bytes of a memcached client were read and nothing is answered"),
];

/// True when a pass must be looked at: a point is armed, or passes are recorded.
static WATCHED: AtomicBool = AtomicBool::new(false);
static ARMED: Mutex<Option<Armed>> = Mutex::new(None);
static PASSES: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// The point that is armed, how many passes it still lets through, and what it does then.
struct Armed {
    index: usize,
    passes_left: u64,
    harm: Harm,
}

/// What an armed point does.
#[derive(Clone, Copy)]
enum Harm {
    /// Ends the process as a power cut would.
    Kill,
    /// Panics, as a bug would.
    Panic,
}

/// Why a point could not be armed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// The text is not `NAME:N` or `NAME:N:panic` with N from 1.
    #[error("a fault is written NAME:N or NAME:N:panic with N from 1, not {0:?}")]
    Form(String),
    /// No such point.
    #[error("no fault point is called {0:?}")]
    Unknown(String),
}

/// Passes the named point; the process dies here when this is the armed pass.
///
/// An unknown name is a bug and is caught by debug assertions when points are watched.
///
/// # Panics
/// If this is the armed pass and a panic is asked for.
#[inline]
pub fn point(name: &'static str) {
    if WATCHED.load(Ordering::Relaxed) {
        pass(name);
    }
}

/// Arms one point by `NAME:N`: the process kills itself by SIGKILL at the Nth pass from now. By `NAME:N:panic` whoever
/// passes there panics, once.
///
/// # Errors
/// When the text has another form or names no point; then nothing is armed.
pub fn arm(spec: &str) -> Result<(), ArmError> {
    let form = || ArmError::Form(spec.to_owned());
    let (name, n) = spec.split_once(':').ok_or_else(form)?;
    let (n, harm) = match n.strip_suffix(":panic") {
        Some(n) => (n, Harm::Panic),
        None => (n, Harm::Kill),
    };
    let passes_left: u64 = n.parse().ok().filter(|n| *n > 0).ok_or_else(form)?;
    let index = index_of(name).ok_or_else(|| ArmError::Unknown(name.to_owned()))?;
    *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Armed { index, passes_left, harm });
    WATCHED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Starts counting passes without arming anything.
pub fn record() {
    WATCHED.store(true, Ordering::Relaxed);
}

/// Lists the points passed since [`record`] or [`arm`], in the order of [`NAMES`].
pub fn reached() -> Vec<&'static str> {
    let passed = NAMES.iter().zip(&PASSES).filter(|(_, n)| n.load(Ordering::Relaxed) > 0);
    passed.map(|((name, _), _)| *name).collect()
}

#[cold]
fn pass(name: &'static str) {
    let Some(index) = index_of(name) else {
        debug_assert!(false, "fault point {name:?} is not in the list of names");
        return;
    };
    PASSES[index].fetch_add(1, Ordering::Relaxed);
    match due(index) {
        None => {}
        Some(Harm::Kill) => die(),
        Some(Harm::Panic) => std::panic::panic_any("an armed fault point"),
    }
}

/// Counts a pass of the armed point; what it does now, if it is due, and then it is armed no more.
fn due(index: usize) -> Option<Harm> {
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    let point = armed.as_mut().filter(|armed| armed.index == index)?;
    point.passes_left = point.passes_left.saturating_sub(1);
    if point.passes_left > 0 {
        return None;
    }
    armed.take().map(|point| point.harm)
}

/// Ends the process as a power cut would: no destructor, no flush.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

fn index_of(name: &str) -> Option<usize> {
    NAMES.iter().position(|(known, _)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn names_are_distinct_and_explained() {
        let names: BTreeSet<_> = NAMES.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), NAMES.len());
        assert!(NAMES.iter().all(|(name, doc)| name.contains('.') && doc.len() > 10));
    }

    #[test]
    fn a_bad_spec_is_refused() {
        assert_eq!(arm("push.nowhere:1"), Err(ArmError::Unknown("push.nowhere".to_owned())));
        for spec in [
            "push.blob_put",
            "push.blob_put:",
            "push.blob_put:0",
            "push.blob_put:-1",
            "push.blob_put:1:",
            "push.blob_put::panic",
        ] {
            assert_eq!(arm(spec), Err(ArmError::Form(spec.to_owned())));
        }
    }

    #[test]
    fn recorded_passes_are_listed_in_order() {
        record();
        point("import.pack");
        point("create.row");
        let reached = reached();
        let order: Vec<_> =
            reached.iter().filter(|name| ["create.row", "import.pack"].contains(name)).collect();
        assert_eq!(order, [&"create.row", &"import.pack"]);
    }

    /// The test binary runs itself: the child arms, passes twice and must die in the second pass.
    #[test]
    fn the_armed_pass_kills_the_process() {
        const CHILD: &str = "fault::tests::the_armed_pass_kills_the_process";
        let is_child =
            std::env::args().any(|arg| arg == "--exact") && std::env::var_os("FAULT_CHILD").is_some();
        if is_child {
            arm("sweep.bytes:1:panic").unwrap();
            assert!(std::panic::catch_unwind(|| point("sweep.bytes")).is_err(), "the armed pass panics");
            point("sweep.bytes");
            arm("sweep.row:2").unwrap();
            point("sweep.row");
            point("sweep.bytes");
            point("sweep.row");
            std::process::exit(0);
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD, "--exact", "--nocapture"])
            .env("FAULT_CHILD", "1")
            .output()
            .unwrap();
        assert_eq!(child.status.signal(), Some(9), "killed at the second pass, not before or after");
    }
}
