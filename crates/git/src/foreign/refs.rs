//! The refs of a foreign repository, read as files.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hakata_names::{ObjectFormat, Oid, RefName};

use super::{ForeignError, MAX_FILE, links};
use crate::refs::{Head, Ref};

/// Longest `packed-refs` that is read, in bytes.
const MAX_PACKED: u64 = 1 << 30;

/// Depth of directories below `refs`, more than any name of ours has.
const MAX_DEPTH: usize = 512;

/// Reads a small file; `None` if it is absent. Links are refused.
pub(super) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, ForeignError> {
    read_bounded(path, MAX_FILE).map_err(|source| ForeignError::Io { path: path.to_owned(), source })
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let metadata = match path.symlink_metadata() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        metadata => metadata?,
    };
    if !metadata.is_file() || metadata.len() > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a plain file of a sensible size"));
    }
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Reads `HEAD` and all refs; counts those that are skipped.
pub(super) fn read(path: &Path, format: ObjectFormat) -> Result<(Head, Vec<Ref>, usize), ForeignError> {
    let head = read_head(path, format)?;
    let mut reading = Reading { format, refs: BTreeMap::new(), n_skipped: 0 };
    let packed = path.join("packed-refs");
    let lines =
        read_bounded(&packed, MAX_PACKED).map_err(|source| ForeignError::Io { path: packed, source })?;
    reading.take_packed(&lines.unwrap_or_default());
    let refs = path.join("refs");
    links::check(&refs)?;
    reading.take_loose(&refs, b"refs", 0).map_err(|source| ForeignError::Io { path: refs, source })?;
    Ok((head, reading.refs.into_values().collect(), reading.n_skipped))
}

fn read_head(path: &Path, format: ObjectFormat) -> Result<Head, ForeignError> {
    let odd = |what| ForeignError::NotARepository { path: path.to_owned(), what };
    let line = read_file(&path.join("HEAD"))?.ok_or_else(|| odd("it has no HEAD"))?;
    let line = line.trim_ascii();
    match line.strip_prefix(b"ref:") {
        Some(name) => {
            RefName::parse(name.trim_ascii()).map(Head::Symbolic).map_err(|_| odd("its HEAD names no ref"))
        }
        None => match Oid::parse_wire(line, format) {
            Ok(Some(oid)) => Ok(Head::Detached(oid)),
            _ => Err(odd("its HEAD is malformed")),
        },
    }
}

struct Reading {
    format: ObjectFormat,
    refs: BTreeMap<RefName, Ref>,
    n_skipped: usize,
}

impl Reading {
    fn take_packed(&mut self, lines: &[u8]) {
        let mut last: Option<RefName> = None;
        for line in
            lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        {
            if let Some(hex) = line.strip_prefix(b"^") {
                let peeled = Oid::parse_wire(hex.trim_ascii_end(), self.format).ok().flatten();
                if let Some(at) = last.take().and_then(|name| self.refs.get_mut(&name)) {
                    at.peeled = peeled;
                }
                continue;
            }
            let (hex, name) = line.split_at_checked(self.format.hex_len()).unwrap_or((line, b""));
            last = self.take(hex, name.trim_ascii());
        }
    }

    fn take(&mut self, hex: &[u8], name: &[u8]) -> Option<RefName> {
        match (Oid::parse_wire(hex, self.format), RefName::parse(name)) {
            (Ok(Some(oid)), Ok(name)) => {
                self.refs.insert(name.clone(), Ref { name: name.clone(), oid, peeled: None });
                Some(name)
            }
            _ => {
                self.n_skipped += 1;
                None
            }
        }
    }

    fn take_loose(&mut self, directory: &Path, prefix: &[u8], depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "directories of refs are nested too deep",
            ));
        }
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = [prefix, b"/", entry.file_name().as_bytes()].concat();
            if kind.is_dir() {
                self.take_loose(&entry.path(), &name, depth + 1)?;
            } else if kind.is_file() && !name.ends_with(b".lock") {
                let line = read_bounded(&entry.path(), MAX_FILE)?.unwrap_or_default();
                self.take(line.trim_ascii(), &name);
            } else {
                self.n_skipped += 1;
            }
        }
        Ok(())
    }
}
