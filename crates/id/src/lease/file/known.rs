//! The list of worker ids that ever had a fence in a directory.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The list's name in the directory.
pub(super) const KNOWN: &str = "known";

/// The longest list that is read: more lines than there are worker ids in all layouts.
const MAX_LIST: u64 = 64 * 1024;

/// What the list says about a worker id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// It never had a fence here.
    Never,
    /// It had one.
    Had,
    /// The list is missing although there are fences.
    Unknown,
}

/// Looks a worker id up and adds it, durably, if it is missing.
pub(super) fn note(dir: &Path, name: &str) -> io::Result<Word> {
    let (path, lacks_list) = (dir.join(KNOWN), !dir.join(KNOWN).try_exists()?);
    let has_others = lacks_list && has_fences(dir, name)?;
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // Others note their own ids at the same time.
    file.lock()?;
    let mut list = Vec::new();
    Read::by_ref(&mut file).take(MAX_LIST).read_to_end(&mut list)?;
    if list.split(|byte| *byte == b'\n').any(|line| line == name.as_bytes()) {
        return Ok(Word::Had);
    }
    // A line that a crash cut short stays a line of its own.
    let gap = if list.last().is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
    file.write_all(format!("{gap}{name}\n").as_bytes())?;
    file.sync_all()?;
    sync_dir(dir)?;
    Ok(if has_others { Word::Unknown } else { Word::Never })
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Tells whether the directory has fence files of other worker ids.
fn has_fences(dir: &Path, name: &str) -> io::Result<bool> {
    let own = format!("{name}.fence");
    for entry in std::fs::read_dir(dir)? {
        let other = entry?.file_name();
        if other.to_string_lossy().ends_with(".fence") && other != *own {
            return Ok(true);
        }
    }
    Ok(false)
}
