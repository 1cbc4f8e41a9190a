//! The files of a cache directory that are not git's.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use hakata_git::GitDir;
use hakata_names::RepositoryId;

use super::boots::Boots;
use crate::refresh::Needed;

/// The file that says what a directory shows.
const RECORD: &str = "hakata-version";

/// Returns where the directory of a repository is: by id, spread over a hundred directories.
pub(super) fn dir_of(root: &Path, id: RepositoryId) -> GitDir {
    let id = id.get();
    GitDir::new(root.join(format!("{:02}", id % 100)).join(format!("{id}.git")))
}

/// Reads what a directory shows, if it says so and can be believed.
pub(super) fn read_record(dir: &GitDir, boots: &Boots) -> io::Result<Option<Needed>> {
    let text = match fs::read_to_string(dir.path().join(RECORD)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(parse_record(&text).filter(|(_, boot)| boots.trusts(boot)).map(|(shown, _)| shown))
}

fn parse_record(text: &str) -> Option<(Needed, &str)> {
    let (version, rest) = text.strip_suffix('\n')?.split_once(' ')?;
    let (prune_epoch, boot) = rest.split_once(' ')?;
    Some((Needed { version: version.parse().ok()?, prune_epoch: prune_epoch.parse().ok()? }, boot))
}

/// Records what a directory shows; the last thing that a step adds.
pub(super) fn write_record(dir: &GitDir, shown: Needed, boots: &Boots) -> io::Result<()> {
    let path = dir.path().join(RECORD);
    let temporary = path.with_extension("new");
    fs::write(&temporary, format!("{} {} {}\n", shown.version, shown.prune_epoch, boots.current()))?;
    fs::rename(temporary, path)
}

/// Writes the hook that turns pushes away, unless it is there.
pub(super) fn write_hook(dir: &GitDir, push_url: &str) -> io::Result<()> {
    let hooks = dir.path().join("hooks");
    let path = hooks.join("pre-receive");
    let script = hook(push_url);
    if fs::read_to_string(&path).is_ok_and(|present| present == script) {
        return Ok(());
    }
    fs::create_dir_all(&hooks)?;
    let temporary = hooks.join("pre-receive.new");
    fs::write(&temporary, script)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
    fs::rename(temporary, path)
}

fn hook(push_url: &str) -> String {
    let quoted = push_url.replace('\'', r"'\''");
    format!(
        "#!/bin/sh\n\
         # Written by Hakata. This directory follows its database: what is pushed here would be lost.\n\
         printf '%s\\n' 'This directory is a copy that Hakata keeps; it takes no pushes.' >&2\n\
         printf 'hint: push to %s instead\\n' '{quoted}' >&2\n\
         exit 1\n"
    )
}

/// How the places looked where git keeps objects: whoever adds or removes some there changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen([Option<(u64, i64, i64)>; 2]);

impl Seen {
    /// Looks now. Two `stat`.
    pub(super) fn look(dir: &GitDir) -> Self {
        let objects = dir.objects();
        let stat = |path: &Path| fs::metadata(path).ok().map(|at| (at.ino(), at.mtime(), at.mtime_nsec()));
        Self([stat(&objects.join("pack")), stat(&objects)])
    }

    /// Tells whether they look the same now.
    pub(super) fn is_now(self, dir: &GitDir) -> bool {
        self.0.iter().all(Option::is_some) && Self::look(dir) == self
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use hakata_git::GitDir;
    use hakata_names::RepositoryId;

    use super::{dir_of, parse_record, read_record, write_hook, write_record};
    use crate::cache::boots::Boots;
    use crate::refresh::Needed;

    #[test]
    fn directories_are_named_by_id() {
        let path = |id| dir_of("/data".as_ref(), RepositoryId::new(id)).path().to_str().unwrap().to_owned();
        assert_eq!(path(7), "/data/07/7.git");
        assert_eq!(path(1234), "/data/34/1234.git");
    }

    #[test]
    fn a_record_is_read_back_and_a_torn_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (git_dir, boots) = (GitDir::new(dir.path()), Boots::open(dir.path()).unwrap());
        let shown = Needed { version: 7, prune_epoch: 2 };
        assert_eq!(read_record(&git_dir, &boots).unwrap(), None);
        write_record(&git_dir, shown, &boots).unwrap();
        assert_eq!(read_record(&git_dir, &boots).unwrap(), Some(shown));
        for torn in ["", "7", "7 2", "7 2 boot", "x 2 boot\n", "\0\0\0\0"] {
            assert_eq!(parse_record(torn), None, "{torn:?}");
        }
    }

    #[test]
    fn the_hook_refuses_and_names_the_address() {
        let dir = tempfile::tempdir().unwrap();
        write_hook(&GitDir::new(dir.path()), "http://it's/here").unwrap();
        let ran = Command::new(dir.path().join("hooks/pre-receive")).output().unwrap();
        assert_eq!(ran.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&ran.stderr).contains("hint: push to http://it's/here instead"));
    }
}
