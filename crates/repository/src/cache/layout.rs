//! The files of a cache directory that are not git's.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use hakata_git::{GitDir, maintain};
use hakata_names::RepositoryId;

use crate::refresh::Needed;

/// The file that says what a directory shows.
const RECORD: &str = "hakata-version";

/// The file that is there while derived files are being written.
const DERIVING: &str = "hakata-deriving";

/// The file that is there while packs go.
const REMOVING: &str = "hakata-removing";

/// Returns where the directory of a repository is: by id, spread over a hundred directories.
pub(super) fn dir_of(root: &Path, id: RepositoryId) -> GitDir {
    let id = id.get();
    GitDir::new(root.join(format!("{:02}", id % 100)).join(format!("{id}.git")))
}

/// Returns which repository a path is the directory of, if it is one below `root`.
pub(super) fn id_of(root: &Path, path: &Path) -> Option<RepositoryId> {
    let root = fs::canonicalize(root).ok()?;
    let id = path.file_stem()?.to_str()?.parse().ok().map(RepositoryId::new)?;
    (dir_of(&root, id).path() == path).then_some(id)
}

/// Notes that derived files are being written. If this process dies, git may have named packs that go at the same time,
/// and nobody looked: see [`remove_unfinished`]. Blocks.
pub(super) fn begin_deriving(dir: &GitDir) -> io::Result<()> {
    remove_unfinished(dir)?;
    fs::write(dir.path().join(DERIVING), "")
}

/// Notes that derived files were written, and name what there is. Blocks.
pub(super) fn end_deriving(dir: &GitDir) -> io::Result<()> {
    match fs::remove_file(dir.path().join(DERIVING)) {
        // The whole directory went meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes derived files whose writer did not come to its end. To be called when none is being written. Blocks.
pub(super) fn remove_unfinished(dir: &GitDir) -> io::Result<()> {
    let note = dir.path().join(DERIVING);
    if note.try_exists()? {
        maintain::remove_derived(dir)?;
        fs::remove_file(note)?;
    }
    Ok(())
}

/// Notes that packs go. Derived files that are written meanwhile may name them: if this process dies, or fails, the next
/// step removes those. Blocks.
pub(super) fn begin_removing(dir: &GitDir) -> io::Result<()> {
    fs::write(dir.path().join(REMOVING), "")
}

/// Says whether packs go, or went by a step that did not come to its end. Blocks.
pub(super) fn is_removing(dir: &GitDir) -> io::Result<bool> {
    dir.path().join(REMOVING).try_exists()
}

/// Removes what was derived while packs went, and the note. Blocks.
pub(super) fn end_removing(dir: &GitDir) -> io::Result<()> {
    maintain::remove_derived(dir)?;
    fs::remove_file(dir.path().join(REMOVING))
}

/// What a directory says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) shown: Needed,
    /// The boot in which it was written.
    pub(super) boot: String,
    /// The database that it follows.
    pub(super) installation: String,
}

/// Reads what a directory says about itself, if it does.
pub(super) fn read_record(dir: &GitDir) -> io::Result<Option<Record>> {
    match fs::read_to_string(dir.path().join(RECORD)) {
        Ok(text) => Ok(parse_record(&text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn parse_record(text: &str) -> Option<Record> {
    let fields: Vec<&str> = text.strip_suffix('\n')?.split(' ').collect();
    let [version, prune_epoch, boot, installation] = fields[..] else { return None };
    Some(Record {
        shown: Needed { version: version.parse().ok()?, prune_epoch: prune_epoch.parse().ok()? },
        boot: boot.to_owned(),
        installation: installation.to_owned(),
    })
}

/// Records what a directory shows; the last thing that a step adds.
pub(super) fn write_record(dir: &GitDir, record: &Record) -> io::Result<()> {
    let path = dir.path().join(RECORD);
    let temporary = path.with_extension("new");
    let Record { shown, boot, installation } = record;
    fs::write(&temporary, format!("{} {} {boot} {installation}\n", shown.version, shown.prune_epoch))?;
    fs::rename(temporary, path)
}

/// Moves a directory that does not belong to our rows out of the way, and says where it is now. It may hold the only
/// copy of somebody's work.
pub(super) fn set_aside(root: &Path, dir: &GitDir, now_ms: i64) -> io::Result<std::path::PathBuf> {
    let name = dir.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let aside = root.join("set-aside");
    fs::create_dir_all(&aside)?;
    let to = aside.join(format!("{name}-{now_ms}.git"));
    fs::rename(dir.path(), &to)?;
    Ok(to)
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

    use super::{Record, dir_of, parse_record, read_record, write_hook, write_record};
    use crate::refresh::Needed;

    #[test]
    fn directories_are_named_by_id() {
        let path = |id| dir_of("/data".as_ref(), RepositoryId::new(id)).path().to_str().unwrap().to_owned();
        assert_eq!(path(7), "/data/07/7.git");
        assert_eq!(path(1234), "/data/34/1234.git");
    }

    #[test]
    fn a_record_is_read_back_and_a_torn_one_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = GitDir::new(temporary.path());
        let shown = Needed { version: 7, prune_epoch: 2 };
        let record = Record { shown, boot: "b".to_owned(), installation: "i".to_owned() };
        assert_eq!(read_record(&dir).unwrap(), None);
        write_record(&dir, &record).unwrap();
        assert_eq!(read_record(&dir).unwrap(), Some(record));
        for torn in ["", "7", "7 2", "7 2 boot\n", "7 2 boot i", "x 2 boot i\n", "\0\0\0\0"] {
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
