//! A time of day that a test steps under a running server, by Debian's libfaketime.
//!
//! Only the time of day is false. The clocks that merely go on are left alone, as they are on a machine whose
//! administrator or time server sets the time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where Debian keeps the library, below its folder for this architecture.
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// The time of day of one process.
pub struct FakeClock {
    file: PathBuf,
    library: PathBuf,
}

impl FakeClock {
    /// Makes a clock that is right as yet; `file` holds how far it is off.
    ///
    /// # Errors
    /// If libfaketime is not installed.
    pub fn new(file: &Path) -> Result<Self> {
        let library =
            Path::new("/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH)).join(LIBRARY);
        ensure!(library.exists(), "install Debian's package faketime, or run ./test, which does");
        let clock = Self { file: file.to_owned(), library };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets the clock off by so many milliseconds; processes notice within a second.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set(&self, off_by_ms: i64) -> Result<()> {
        let sign = if off_by_ms < 0 { '-' } else { '+' };
        let (seconds, rest) = (off_by_ms.unsigned_abs() / 1_000, off_by_ms.unsigned_abs() % 1_000);
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{sign}{seconds}.{rest:03}s\n")).context("writing a clock")?;
        std::fs::rename(new, &self.file).context("setting a clock")
    }

    /// What a process needs in its environment to live by this clock.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone()),
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}
