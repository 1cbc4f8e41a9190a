//! The git of this machine: found once, asked what it can do, and shared.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use hakata_names::{ObjectFormat, RefName};
use hakata_pkt_line::{Packet, decode};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::limit::{Bounds, Keyed};
use hakata_runtime::tasks::Tasks;

use crate::GitDir;
use crate::command::{Command, Subcommand};
use crate::merge::{Kept, Pool};
use crate::objects::Handles;
use crate::process::{ChildError, ask};
use crate::quarantine::{Scratch, make_empty};
use crate::refs::Head;
use crate::serve::Capabilities;
use crate::settings::Settings;
use crate::strays::{Mark, Warden};
use crate::version::Version;

/// The oldest git that Hakata runs. Source: `index-pack` and `upload-pack` as they are used here were tested
/// from this version on.
pub const OLDEST: Version = Version { major: 2, minor: 41, patch: 0 };

/// Where a git without a path is looked for, in order.
const DIRECTORIES: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin"];

/// Why there is no git to work with.
#[derive(Debug, thiserror::Error)]
pub enum FindGitError {
    /// No such program.
    #[error("git is not installed: no {} in {}", .binary.display(), DIRECTORIES.join(", "))]
    Absent {
        /// What was looked for.
        binary: PathBuf,
    },
    /// It does not run.
    #[error("asking {} for its version", .binary.display())]
    Run {
        /// The program.
        binary: PathBuf,
        /// What failed.
        #[source]
        source: ChildError,
    },
    /// It is something else.
    #[error("{} does not say that it is git", .binary.display())]
    NotGit {
        /// The program.
        binary: PathBuf,
    },
    /// It is too old.
    #[error("{} is git {found}, Hakata needs {OLDEST} or newer", .binary.display())]
    TooOld {
        /// The program.
        binary: PathBuf,
        /// Its version.
        found: Version,
    },
    /// The directory for short-lived repositories cannot be used.
    #[error("preparing {}", .path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// The found git and everything that goes with running it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Git(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    binary: PathBuf,
    version: Version,
    capabilities: Capabilities,
    permits: Keyed<PathBuf>,
    tasks: Tasks,
    blocking: Blocking,
    handles: Handles,
    merges: Arc<Pool>,
    kept_merges: Arc<Kept>,
    mark: Mark,
    warden: OnceLock<Warden>,
}

impl Git {
    /// Finds git, refuses one that is too old, and learns what it can do. Kills git processes that a dead server left
    /// which had the same directory for short-lived repositories, and empties that.
    ///
    /// `tasks` owns the tasks that watch processes; reads of objects run on `blocking`.
    ///
    /// # Errors
    /// Any [`FindGitError`]; each is a sentence for the operator.
    pub async fn find(settings: Settings, tasks: &Tasks, blocking: Blocking) -> Result<Self, FindGitError> {
        let binary = find_binary(&settings.binary)?;
        let bounds =
            Bounds { permits: settings.max_children, queue: settings.max_waiting, wait: settings.wait };
        let scratch_failed = |source| FindGitError::Scratch { path: settings.scratch.clone(), source };
        std::fs::create_dir_all(&settings.scratch).map_err(scratch_failed)?;
        let mark = Mark::new(&settings.scratch).map_err(scratch_failed)?;
        let n_left = mark.end_those_before();
        if n_left > 0 {
            tracing::warn!(n_processes = n_left, "killed git processes that a dead server had left");
        }
        make_empty(&settings.scratch).map_err(scratch_failed)?;
        let scratch = Scratch::create(&settings.scratch).map_err(scratch_failed)?;
        let mut inner = Inner {
            capabilities: Capabilities::learn(&settings.agent, &[]),
            permits: Keyed::new("git_children", bounds, settings.max_children_per_repository),
            handles: Handles::new(&settings),
            merges: Pool::new(&settings, tasks, &blocking),
            kept_merges: Arc::new(Kept::new(settings.kept_merges_bytes)),
            version: OLDEST,
            tasks: tasks.clone(),
            settings: settings.clone(),
            binary,
            blocking,
            mark,
            warden: OnceLock::new(),
        };
        let asking = Self(Arc::new(inner.clone_for_start()));
        inner.version = asking.ask_version().await?;
        let features = asking.ask_fetch_features(&scratch).await?;
        let features: Vec<&str> = features.iter().map(String::as_str).collect();
        inner.capabilities = Capabilities::learn(&settings.agent, &features);
        tracing::info!(git.version = %inner.version, git.binary = %inner.binary.display(), "found git");
        if inner.version.has_known_holes() {
            tracing::warn!(git.version = %inner.version, "this git has known holes unless its vendor mended it: upgrade it");
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Returns the program.
    pub fn binary(&self) -> &Path {
        &self.0.binary
    }

    /// Returns what can be served with it.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// Returns what it was set up with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Counts the processes that run in repositories now.
    pub fn children(&self) -> usize {
        self.0.permits.in_use()
    }

    /// Starts a process that outlives this one if this is killed, and kills the git processes that it leaves: `program
    /// warden MARK`, which calls [`watch`](crate::watch). Once for the life of a server.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_warden(&self, program: &Path) -> io::Result<()> {
        let warden = Warden::start(program, &self.0.mark)?;
        // A second one would do no harm; it ends when it is dropped here.
        let _ = self.0.warden.set(warden);
        Ok(())
    }

    pub(crate) fn mark(&self) -> &Mark {
        &self.0.mark
    }

    pub(crate) fn permits(&self) -> &Keyed<PathBuf> {
        &self.0.permits
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(crate) fn blocking(&self) -> &Blocking {
        &self.0.blocking
    }

    pub(crate) fn handles(&self) -> &Handles {
        &self.0.handles
    }

    pub(crate) fn merges(&self) -> &Arc<Pool> {
        &self.0.merges
    }

    pub(crate) fn kept_merges(&self) -> &Kept {
        &self.0.kept_merges
    }

    async fn ask_version(&self) -> Result<Version, FindGitError> {
        let binary = || self.0.binary.clone();
        let run = |source| FindGitError::Run { binary: binary(), source };
        let (finished, said) =
            ask(self, &Command::new(Subcommand::Version), Vec::new(), 256).await.map_err(run)?;
        finished.success().map_err(run)?;
        let said = String::from_utf8_lossy(&said);
        let found = Version::parse(&said).ok_or_else(|| FindGitError::NotGit { binary: binary() })?;
        if found < OLDEST {
            return Err(FindGitError::TooOld { binary: binary(), found });
        }
        Ok(found)
    }

    /// Asks what `fetch` of version 2 can do, in an empty repository.
    async fn ask_fetch_features(&self, scratch: &Scratch) -> Result<Vec<String>, FindGitError> {
        let dir = GitDir::new(scratch.path().join("empty.git"));
        let main = Head::Symbolic(RefName::parse_branch(b"main").expect("a branch can be called main"));
        crate::init::init_bare(&dir, ObjectFormat::Sha1, &main)
            .map_err(|source| FindGitError::Scratch { path: dir.path().to_owned(), source })?;
        let command = Command::new(Subcommand::UploadPack)
            .dir(&dir)
            .env("GIT_PROTOCOL", "version=2")
            .flag("--strict")
            .flag("--advertise-refs")
            .operand(".");
        let run = |source| FindGitError::Run { binary: self.0.binary.clone(), source };
        let (finished, said) = ask(self, &command, Vec::new(), 65_536).await.map_err(run)?;
        finished.success().map_err(run)?;
        Ok(fetch_features(&said))
    }
}

impl Inner {
    /// Copies what a first question needs.
    fn clone_for_start(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            binary: self.binary.clone(),
            version: self.version,
            capabilities: self.capabilities.clone(),
            permits: self.permits.clone(),
            tasks: self.tasks.clone(),
            blocking: self.blocking.clone(),
            handles: Handles::new(&self.settings),
            merges: self.merges.clone(),
            kept_merges: self.kept_merges.clone(),
            mark: self.mark.clone(),
            warden: OnceLock::new(),
        }
    }
}

/// Picks the words of `fetch=` out of an advertisement of version 2.
fn fetch_features(advertisement: &[u8]) -> Vec<String> {
    let mut buffer = advertisement.into();
    while let Ok(Some(packet)) = decode(&mut buffer) {
        if let Packet::Data(line) = packet
            && let Some(features) = line.strip_prefix(b"fetch=")
        {
            return String::from_utf8_lossy(features).split_ascii_whitespace().map(str::to_owned).collect();
        }
    }
    Vec::new()
}

fn find_binary(binary: &Path) -> Result<PathBuf, FindGitError> {
    let absent = || FindGitError::Absent { binary: binary.to_owned() };
    if binary.components().count() > 1 || binary.is_absolute() {
        return std::path::absolute(binary).ok().filter(|path| path.is_file()).ok_or_else(absent);
    }
    DIRECTORIES.iter().map(|dir| Path::new(dir).join(binary)).find(|path| path.is_file()).ok_or_else(absent)
}

#[cfg(test)]
mod tests {
    use super::{FindGitError, Git, OLDEST};
    use crate::testing;

    #[tokio::test]
    async fn the_git_of_this_machine_is_found_and_asked() {
        let bench = testing::Bench::new().await;
        assert!(bench.git.version() >= OLDEST);
        assert!(bench.git.capabilities().has("filter"), "a git of our age can filter");
    }

    #[tokio::test]
    async fn an_absent_git_is_named() {
        let mut settings = testing::settings(std::path::Path::new("/nowhere"));
        settings.binary = "git-of-the-future".into();
        let found = Git::find(settings, &testing::tasks(), testing::blocking()).await;
        assert!(matches!(found, Err(FindGitError::Absent { .. })), "{found:?}");
    }
}
