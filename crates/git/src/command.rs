//! The one place where a git command line is built.
//!
//! Only the subcommands of [`Subcommand`] exist. Flags are literals of the code, values are glued to their
//! flag (`--max-input-size=7`), and what remains stands behind `--end-of-options`. The environment is empty but
//! for what [`Command::build`] sets, so neither a user's nor a system's configuration is read; only commands in an
//! operator's own repositories ([`Command::for_operator`]) read what their configuration says.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use hakata_names::{Oid, TreePath};
use hakata_runtime::secret::Secret;

use crate::settings::{Budget, Budgets, Settings};
use crate::{Git, GitDir};

/// Where git's own children look for programs; git puts its exec path before it.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The git subcommands that Hakata runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subcommand {
    Archive,
    Blame,
    CatFile,
    CommitGraph,
    Config,
    DiffTree,
    Fetch,
    Fsck,
    Grep,
    HttpBackend,
    IndexPack,
    Log,
    LsRemote,
    MergeTree,
    MultiPackIndex,
    PackObjects,
    Push,
    RangeDiff,
    ReceivePack,
    RevList,
    UploadArchive,
    UploadPack,
    Var,
    VerifyPack,
    Version,
}

impl Subcommand {
    /// Returns the word on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Blame => "blame",
            Self::CatFile => "cat-file",
            Self::CommitGraph => "commit-graph",
            Self::Config => "config",
            Self::DiffTree => "diff-tree",
            Self::Fetch => "fetch",
            Self::Fsck => "fsck",
            Self::Grep => "grep",
            Self::HttpBackend => "http-backend",
            Self::IndexPack => "index-pack",
            Self::Log => "log",
            Self::LsRemote => "ls-remote",
            Self::MergeTree => "merge-tree",
            Self::MultiPackIndex => "multi-pack-index",
            Self::PackObjects => "pack-objects",
            Self::Push => "push",
            Self::RangeDiff => "range-diff",
            Self::ReceivePack => "receive-pack",
            Self::RevList => "rev-list",
            Self::UploadArchive => "upload-archive",
            Self::UploadPack => "upload-pack",
            Self::Var => "var",
            Self::VerifyPack => "verify-pack",
            Self::Version => "version",
        }
    }

    /// Returns what such a process may take.
    pub(crate) const fn budget(self, budgets: &Budgets) -> Budget {
        match self {
            Self::Archive
            | Self::CatFile
            | Self::HttpBackend
            | Self::Push
            | Self::UploadArchive
            | Self::UploadPack => budgets.fetch,
            Self::Fetch | Self::IndexPack | Self::ReceivePack => budgets.index,
            Self::Blame
            | Self::Config
            | Self::DiffTree
            | Self::Grep
            | Self::Log
            | Self::LsRemote
            | Self::MergeTree
            | Self::RangeDiff
            | Self::RevList
            | Self::Var
            | Self::Version => budgets.question,
            Self::CommitGraph | Self::Fsck | Self::MultiPackIndex | Self::PackObjects | Self::VerifyPack => {
                budgets.maintenance
            }
        }
    }
}

/// Configuration of every process, whatever it does. Each line says no to something that would otherwise come
/// from a repository, a user or a default.
const CONFIG: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    // Our directories may belong to another user when an operator runs a command as root.
    "safe.directory=*",
    "transfer.fsckObjects=true",
    "transfer.advertiseSID=false",
    // Out of one pack: `multi` crashes with git 2.47. The word `single` is unknown before 2.44, which dies of it.
    "pack.allowPackReuse=true",
    "pack.writeReverseIndex=true",
    "uploadpack.allowFilter=true",
    // Every want is checked by us before git sees it.
    "uploadpack.allowAnySHA1InWant=true",
    "uploadpack.allowSidebandAll=true",
    "uploadpack.keepAlive=5",
    "lsrefs.unborn=advertise",
];

/// What an operator's own processes inherit beside what a request says: names and values.
pub(crate) type Variables = Arc<[(&'static str, OsString)]>;

/// A git command line that is being built.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    subcommand: Subcommand,
    /// The environment of an operator whose configuration and hooks count; `None`: ours alone.
    operator: Option<Variables>,
    dir: Option<GitDir>,
    cwd: PathBuf,
    config: Vec<String>,
    args: Vec<OsString>,
    operands: Vec<OsString>,
    paths: Option<Vec<OsString>>,
    env: Vec<(&'static str, OsString)>,
    /// Variables that are not to be seen in a log.
    secrets: Vec<(&'static str, Secret<String>)>,
}

impl Command {
    /// Starts a command line without a repository.
    pub(crate) fn new(subcommand: Subcommand) -> Self {
        Self {
            subcommand,
            operator: None,
            dir: None,
            cwd: PathBuf::from("/"),
            config: Vec::new(),
            args: Vec::new(),
            operands: Vec::new(),
            paths: None,
            env: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Runs it in a repository: as its working directory and as `GIT_DIR`.
    pub(crate) fn dir(mut self, dir: &GitDir) -> Self {
        self.cwd = dir.path().to_owned();
        self.dir = Some(dir.clone());
        self.env("GIT_DIR", dir.path())
    }

    /// Runs it with the operator's configuration and hooks and these variables.
    pub(crate) fn for_operator(mut self, variables: &Variables) -> Self {
        self.operator = Some(variables.clone());
        self
    }

    /// Runs it in a repository as `git http-backend` does after it entered one.
    pub(crate) fn inside(mut self, dir: &GitDir) -> Self {
        dir.path().clone_into(&mut self.cwd);
        self.about(dir).env("GIT_DIR", ".")
    }

    /// Counts it as a process of a repository, which it enters by itself.
    pub(crate) fn about(mut self, dir: &GitDir) -> Self {
        self.dir = Some(dir.clone());
        self
    }

    /// Adds a literal flag.
    pub(crate) fn flag(mut self, flag: &'static str) -> Self {
        self.args.push(flag.into());
        self
    }

    /// Adds a literal flag if it applies.
    pub(crate) fn flag_if(self, applies: bool, flag: &'static str) -> Self {
        if applies { self.flag(flag) } else { self }
    }

    /// Adds `flag=value` as one argument.
    pub(crate) fn option(mut self, flag: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.args.push(glue(flag, value.as_ref()));
        self
    }

    /// Adds `flag=value` as one argument.
    pub(crate) fn number(self, flag: &'static str, value: impl Display) -> Self {
        let value = value.to_string();
        self.option(flag, value)
    }

    /// Adds `-x` with its value, which may be empty or begin with a dash, as one argument.
    pub(crate) fn short(mut self, flag: &'static str, value: impl AsRef<OsStr>) -> Self {
        let mut whole = OsString::from(flag);
        whole.push(value);
        self.args.push(whole);
        self
    }

    /// Adds an object among the flags, for subcommands that do not know `--end-of-options`: digits are no flag.
    pub(crate) fn oid(mut self, oid: &Oid) -> Self {
        self.args.push(oid.to_string().into());
        self
    }

    /// Adds literal paths behind `--`, which stands there even without any.
    pub(crate) fn paths<'a>(self, paths: impl IntoIterator<Item = &'a TreePath>) -> Self {
        let words = paths.into_iter().map(|path| OsStr::from_bytes(path.as_bytes()).to_owned());
        let paths = Some(words.collect());
        Self { paths, ..self }.env("GIT_LITERAL_PATHSPECS", "1")
    }

    /// Adds an argument behind `--end-of-options`.
    pub(crate) fn operand(mut self, operand: impl AsRef<OsStr>) -> Self {
        self.operands.push(operand.as_ref().to_owned());
        self
    }

    /// Sets one more line of configuration; `value` is a literal or a number.
    pub(crate) fn config(mut self, key: &'static str, value: impl Display) -> Self {
        self.config.push(format!("{key}={value}"));
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment whose value nobody else is to see: other users of the machine see command
    /// lines, but not environments.
    pub(crate) fn secret_env(mut self, name: &'static str, value: Secret<String>) -> Self {
        self.secrets.push((name, value));
        self
    }

    /// Reads and writes objects in `objects`, and reads them in `base` as well.
    pub(crate) fn objects(self, objects: &Path, base: &Path) -> Self {
        self.env("GIT_OBJECT_DIRECTORY", objects).env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quote_path(base))
    }

    /// Returns what is run, for limits and metrics.
    pub(crate) fn subcommand(&self) -> Subcommand {
        self.subcommand
    }

    /// Returns the repository it runs in.
    pub(crate) fn repository(&self) -> Option<&GitDir> {
        self.dir.as_ref()
    }

    /// Makes the command for the operating system.
    pub(crate) fn build(&self, git: &Git) -> std::process::Command {
        let mut command = self.build_for(git.binary(), git.settings());
        if !self.runs_hooks() {
            git.mark().put_on(&mut command);
        }
        command
    }

    /// Says whether hooks of an operator may run, and leave processes behind that are none of our business.
    fn runs_hooks(&self) -> bool {
        self.operator.is_some()
            && matches!(self.subcommand, Subcommand::ReceivePack | Subcommand::HttpBackend)
    }

    /// Makes the command for a git that is not known yet.
    pub(crate) fn build_for(&self, binary: &Path, settings: &Settings) -> std::process::Command {
        let mut command = std::process::Command::new(binary);
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(&self.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match &self.operator {
            Some(variables) => {
                command.envs(variables.iter().map(|(name, value)| (name, value)));
            }
            None => self.isolate(&mut command, settings),
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.envs(self.secrets.iter().map(|(name, value)| (name, value.expose())));
        command.arg(self.subcommand.name()).args(&self.args);
        if !self.operands.is_empty() {
            command.arg("--end-of-options").args(&self.operands);
        }
        if let Some(paths) = &self.paths {
            command.arg("--").args(paths);
        }
        command
    }

    /// Keeps out every configuration but ours.
    fn isolate(&self, command: &mut std::process::Command, settings: &Settings) {
        command
            .env("HOME", "/nonexistent")
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1");
        for line in CONFIG.iter().map(|line| OsStr::new(*line)).chain(self.config.iter().map(OsStr::new)) {
            command.arg("-c").arg(line);
        }
        for line in [
            format!("pack.threads={}", settings.pack_threads),
            format!("pack.windowMemory={}", settings.pack_window_memory_bytes),
            format!("core.bigFileThreshold={}", settings.big_file_threshold_bytes),
        ] {
            command.arg("-c").arg(line);
        }
    }
}

fn glue(flag: &str, value: &OsStr) -> OsString {
    let mut whole = OsString::from(flag);
    whole.push("=");
    whole.push(value);
    whole
}

/// Quotes a path for a list that git splits at colons. Source: git(1), `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
fn quote_path(path: &Path) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    let mut out = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::{Command, Subcommand};
    use crate::{GitDir, Settings};

    #[test]
    fn operands_never_become_options() {
        let dir = GitDir::new("/srv/x.git");
        let command = Command::new(Subcommand::RevList).dir(&dir).number("--max-count", 3).operand("--evil");
        let built = command.build_for(Path::new("/usr/bin/git"), &Settings::new("/tmp/x"));
        let args: Vec<&OsStr> = built.get_args().collect();
        let end = args.iter().position(|arg| *arg == "--end-of-options").unwrap();
        assert_eq!(args[end + 1], "--evil");
        assert!(args[..end].iter().any(|arg| *arg == "--max-count=3"));
        assert!(args[..end].iter().position(|arg| *arg == "rev-list").is_some());
    }

    #[test]
    fn the_environment_is_ours_alone() {
        let command = Command::new(Subcommand::Version);
        let built = command.build_for(Path::new("/usr/bin/git"), &Settings::new("/tmp/x"));
        let names: Vec<&OsStr> = built.get_envs().map(|(name, _)| name).collect();
        assert!(names.contains(&OsStr::new("GIT_CONFIG_GLOBAL")));
        assert!(!names.contains(&OsStr::new("USER")), "nothing of our own environment is handed on");
    }

    #[test]
    fn an_operators_command_reads_their_configuration() {
        let variables = [("HOME", "/home/op".into())].into();
        let dir = GitDir::new("/srv/x.git");
        let command = Command::new(Subcommand::UploadPack).for_operator(&variables).inside(&dir);
        let built = command.flag(".").build_for(Path::new("/usr/bin/git"), &Settings::new("/tmp/x"));
        assert_eq!(built.get_args().collect::<Vec<_>>(), ["upload-pack", "."], "no configuration of ours");
        let value = |name: &str| built.get_envs().find(|(it, _)| *it == name).and_then(|(_, value)| value);
        assert_eq!(value("HOME"), Some(OsStr::new("/home/op")));
        assert_eq!((value("GIT_DIR"), value("GIT_CONFIG_GLOBAL")), (Some(OsStr::new(".")), None));
    }

    #[test]
    fn paths_in_lists_are_quoted() {
        assert_eq!(super::quote_path(Path::new("/a:b\"c\\d")), "\"/a:b\\\"c\\\\d\"");
    }
}
