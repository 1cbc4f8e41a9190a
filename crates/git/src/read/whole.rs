//! Large files that are stored whole, inflated here.
//!
//! git searches no deltas for files from a certain size on (`core.bigFileThreshold`): each is one zlib stream, in a
//! pack or in a file of its own. Such a stream can be read piece by piece in little memory. What is a delta has to be
//! put together, which git does in little memory too. As in git, zlib's own sum tells whether a file was read to its
//! end as it was written.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gix::hash;
use gix::odb::pack::{data, index};
use gix::zlib::Decompress;
use gix::zlib::stream::inflate;
use hakata_names::Oid;

use crate::objects::{View, object_id};

/// Bytes that are inflated at once.
pub(super) const STRETCH: usize = 1 << 20;

/// Bytes of a pack that are looked at once.
const WINDOW: u64 = 256 << 10;

/// A file that is stored whole, and the place in it that was reached.
pub(super) struct Whole {
    stored: Box<dyn BufRead + Send>,
    inflate: Decompress,
    size_bytes: u64,
    at: u64,
    rooms: Rooms,
}

/// Finds a file that is stored whole; `None` also if it cannot be opened, since git can tell why.
pub(super) fn find(view: &View, oid: &Oid, size_bytes: u64) -> Option<Whole> {
    let alternates = view.repository().objects.store_ref().alternate_db_paths().ok()?;
    let own = view.repository().objects.store_ref().path().to_owned();
    let hash = view.repository().object_hash();
    let mut found = None;
    for objects in std::iter::once(own).chain(alternates) {
        if let Some(entry) = packed(&objects.join("pack"), (oid, size_bytes), hash) {
            found = Some(Whole::new(entry, size_bytes));
        } else if let Ok(file) = File::open(loose_path(&objects, oid)) {
            let mut whole = Whole::new(BufReader::with_capacity(64 << 10, file), size_bytes);
            found = whole.skip_header().then_some(whole);
        }
        if found.is_some() {
            break;
        }
    }
    found
}

/// Finds a file in the packs of a directory, but not as a delta.
fn packed(dir: &Path, (oid, size_bytes): (&Oid, u64), hash: hash::Kind) -> Option<Packed> {
    let id = object_id(oid);
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "idx") {
            continue;
        }
        // One that is gone by now was replaced by another.
        let Ok(index) = index::File::at(&path, hash) else { continue };
        let Some(at) = index.lookup(id) else { continue };
        let Ok(pack) = data::File::at(path.with_extension("pack"), hash) else { continue };
        let entry = pack.entry(index.pack_offset_at_index(at)).ok()?;
        if entry.header == data::entry::Header::Blob && entry.decompressed_size == size_bytes {
            return Some(Packed { pack, at: entry.data_offset });
        }
    }
    None
}

fn loose_path(objects: &Path, oid: &Oid) -> std::path::PathBuf {
    let hex = oid.to_string();
    let (first, rest) = hex.split_at(2);
    objects.join(first).join(rest)
}

/// A pack from the next byte of a file on.
struct Packed {
    pack: data::File,
    at: u64,
}

impl Read for Packed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Packed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let end = (self.at + WINDOW).min(self.pack.data_len() as u64);
        self.pack.entry_slice(self.at..end).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn consume(&mut self, n: usize) {
        self.at += n as u64;
    }
}

impl Whole {
    fn new(stored: impl BufRead + Send + 'static, size_bytes: u64) -> Self {
        let (stored, inflate) = (Box::new(stored), Decompress::default());
        Self { stored, inflate, size_bytes, at: 0, rooms: Rooms::default() }
    }

    /// Reads what stands before the content of a file that has none beside it; answers whether it is that.
    fn skip_header(&mut self) -> bool {
        let expected = format!("blob {}\0", self.size_bytes);
        let mut header = vec![0; expected.len()];
        matches!(self.read(&mut header), Ok(n) if n == header.len()) && header == expected.as_bytes()
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        inflate::read(&mut self.stored, &mut self.inflate, into)
    }

    /// Inflates what comes next, up to a place and a bounded number of bytes.
    pub(super) fn stretch(&mut self, end: u64) -> io::Result<Bytes> {
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let mut room = self.rooms.take(left.min(STRETCH));
        let n = room.n_bytes;
        if self.read(&mut room.bytes[..n])? < n {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += n as u64;
        if self.at == self.size_bytes && self.read(&mut [0])? > 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a file is longer than it says"));
        }
        Ok(Bytes::from_owner(room))
    }

    /// Returns the place that was reached.
    pub(super) fn at(&self) -> u64 {
        self.at
    }
}

/// Memory for stretches that is used again: that of a gigabyte would be a gigabyte of fresh pages.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<Vec<Vec<u8>>>>);

/// Memory of one stretch; it goes back when nobody reads it any more.
struct Room {
    bytes: Vec<u8>,
    n_bytes: usize,
    home: Rooms,
}

impl Rooms {
    fn take(&self, n_bytes: usize) -> Room {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        if bytes.len() < n_bytes {
            bytes.resize(n_bytes, 0);
        }
        Room { bytes, n_bytes, home: self.clone() }
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.n_bytes]
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}
