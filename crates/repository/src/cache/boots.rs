//! Which boots of the machine wrote cache directories that can be believed.
//!
//! Cache directories are never synced: they can be made again. What a process wrote survives its own death in the
//! page cache, whole and in order, but a power cut may keep a recorded version and lose the refs below it. So every
//! record names the boot in which it was written, and is believed in that boot. A process that stops in good order
//! syncs the file system and leaves a mark with the boot's name; records of that boot are believed afterwards too.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where Linux names the present boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The boots to believe.
#[derive(Debug)]
pub(crate) struct Boots {
    mark: PathBuf,
    current: String,
    clean: Option<String>,
}

impl Boots {
    /// Learns the present boot and the last one that ended in good order. From here on this process writes to the
    /// directory, so a mark of the present boot is taken away.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let current = match fs::read_to_string(BOOT_ID) {
            Ok(id) => id.trim().to_owned(),
            // Elsewhere nothing is believed after a restart.
            Err(_) => format!("process-{}-{}", std::process::id(), now_nanos()),
        };
        Self::open_as(dir, current)
    }

    fn open_as(dir: &Path, current: String) -> io::Result<Self> {
        let mark = dir.join("synced-boot");
        let clean = match fs::read_to_string(&mark) {
            Ok(id) => Some(id.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if clean.as_deref() == Some(&current) {
            fs::remove_file(&mark)?;
            File::open(dir)?.sync_all()?;
        }
        Ok(Self { mark, current, clean })
    }

    /// Returns the name that records of this process carry.
    pub(crate) fn current(&self) -> &str {
        &self.current
    }

    /// Tells whether what was written in a boot is what it was meant to be.
    pub(crate) fn trusts(&self, boot: &str) -> bool {
        boot == self.current || self.clean.as_deref() == Some(boot)
    }

    /// Syncs the file system and leaves the mark. Nothing may write to cache directories afterwards. Blocks.
    pub(crate) fn mark_clean(&self) -> io::Result<()> {
        let dir = self.mark.parent().unwrap_or(Path::new("."));
        rustix::fs::syncfs(File::open(dir)?)?;
        let temporary = self.mark.with_extension("new");
        fs::write(&temporary, &self.current)?;
        File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, &self.mark)?;
        File::open(dir)?.sync_all()
    }
}

fn now_nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::Boots;

    #[test]
    fn a_boot_is_believed_while_it_lasts_and_after_a_clean_end() {
        let dir = tempfile::tempdir().unwrap();
        let open = |boot: &str| Boots::open_as(dir.path(), boot.to_owned()).unwrap();
        let first = open("one");
        assert!(first.trusts("one") && !first.trusts("zero"));
        assert!(!open("two").trusts("one"), "the power was cut in boot one");
        first.mark_clean().unwrap();
        let second = open("two");
        assert!(second.trusts("one") && second.trusts("two"));
        assert!(open("three").trusts("one") && !open("three").trusts("two"));
    }

    #[test]
    fn a_restart_in_the_same_boot_takes_the_mark_away() {
        let dir = tempfile::tempdir().unwrap();
        let open = |boot: &str| Boots::open_as(dir.path(), boot.to_owned()).unwrap();
        open("one").mark_clean().unwrap();
        assert!(open("one").trusts("one"));
        assert!(!open("two").trusts("one"), "the second process of boot one did not end well");
    }
}
