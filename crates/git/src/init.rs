//! Making a bare repository without starting git.

use std::io;
use std::path::Path;

use hakata_names::ObjectFormat;

use crate::GitDir;
use crate::refs::Head;

/// Makes an empty bare repository; directories that exist already are kept, `HEAD` and `config` are
/// rewritten. The parent directory is made too.
///
/// # Errors
/// The file system's.
pub fn init_bare(dir: &GitDir, format: ObjectFormat, head: &Head) -> io::Result<()> {
    for below in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        std::fs::create_dir_all(dir.path().join(below))?;
    }
    write_file(&dir.path().join("config"), config(format).as_bytes())?;
    write_head(dir, head)
}

/// Points `HEAD` of a repository somewhere, atomically.
///
/// # Errors
/// The file system's.
pub fn write_head(dir: &GitDir, head: &Head) -> io::Result<()> {
    let line = match head {
        Head::Symbolic(name) => [b"ref: ", name.as_bytes(), b"\n"].concat(),
        Head::Detached(oid) => format!("{oid}\n").into_bytes(),
    };
    write_file(&dir.path().join("HEAD"), &line)
}

/// Renders the whole configuration of a repository of ours.
fn config(format: ObjectFormat) -> String {
    let (version, extensions) = match format {
        ObjectFormat::Sha1 => (0, String::new()),
        ObjectFormat::Sha256 => (1, format!("[extensions]\n\tobjectFormat = {}\n", format.name())),
    };
    format!("[core]\n\trepositoryFormatVersion = {version}\n\tfileMode = true\n\tbare = true\n{extensions}")
}

/// Writes a file so that readers see the old or the new one.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let lock = path.with_file_name(name);
    std::fs::write(&lock, content)?;
    std::fs::rename(&lock, path)
}
