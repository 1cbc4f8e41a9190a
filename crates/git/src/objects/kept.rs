//! Objects that are kept decoded, for all open databases and their readers.
//!
//! An object is kept by its name, and once more by its place in a pack if it is stored as a change of another one: the
//! next older version of a file is mostly a change of the one that was read before. What is kept by name never goes
//! stale: the name says what it is. Places do not either while their database is open: it gives the number of a pack to
//! no other one (see [`Readers`](super::readers::Readers)). What is kept of a database that was closed is found by nobody
//! and goes when there is no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use gix::ObjectId;
use hakata_runtime::metrics::{Gauge, Metric};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::{Header, Kind};

static BYTES: Gauge = Gauge::new("hakata_git_object_cache_bytes", "Memory of decoded objects that are kept");

/// A typical object, with what it weighs.
const TYPICAL_BYTES: usize = 4 << 10;

/// Parts of the cache, each with a lock and its share of the memory: few, since an object must fit into one.
const SHARDS: usize = 4;

/// Lists the metrics of what is kept.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&BYTES]
}

/// What something is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Number of the open database.
    database: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Object(ObjectId),
    /// Number of a pack, and where in it.
    Pack(u32, u64),
}

/// What is known about an object.
#[derive(Clone, Debug)]
enum Known {
    /// Kind and size alone.
    Header(Header),
    /// All of it; with how much of a pack it takes if it is known by its place.
    Content(gix::object::Kind, Bytes, usize),
}

/// Weighs an object by its content and something for the rest.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Known> for Weight {
    fn weight(&self, _: &Key, known: &Known) -> u64 {
        let content = match known {
            Known::Header(_) => 0,
            Known::Content(_, content, _) => content.len(),
        };
        160 + content as u64
    }
}

/// Room for objects of all databases; those that are asked for rarely go first. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Cache<Key, Known, Weight>>);

impl Room {
    /// Makes room for objects of this weight in all; with 0 none is kept.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(max_bytes / TYPICAL_BYTES)
            .weight_capacity(max_bytes as u64)
            .build()
            .expect("all that has no default is set");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Arc::new(Cache::with_options(options, Weight, hasher, lifecycle)))
    }
}

/// What is kept of one open database. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct KeptObjects {
    room: Room,
    database: u64,
}

impl KeptObjects {
    /// Begins with none for a database that was just opened.
    pub(super) fn new(room: Room) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { room, database: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Finds kind and size of an object.
    pub(super) fn header(&self, id: &ObjectId) -> Option<Header> {
        Some(match self.get(Place::Object(*id))? {
            Known::Header(header) => header,
            Known::Content(kind, content, _) => {
                Header { kind: kind.into(), size_bytes: content.len() as u64 }
            }
        })
    }

    /// Keeps kind and size of an object.
    pub(super) fn keep_header(&self, id: ObjectId, header: Header) {
        self.put(Place::Object(id), Known::Header(header));
    }

    /// Finds the content of an object of a kind.
    pub(super) fn content(&self, id: &ObjectId, of: Kind) -> Option<Bytes> {
        match self.get(Place::Object(*id))? {
            Known::Content(kind, content, _) if of == kind.into() => Some(content),
            _ => None,
        }
    }

    fn get(&self, place: Place) -> Option<Known> {
        self.room.0.get(&Key { database: self.database, place })
    }

    fn put(&self, place: Place, known: Known) {
        self.room.0.insert(Key { database: self.database, place }, known);
    }

    fn keep(&self, place: Place, kind: gix::object::Kind, content: &[u8], packed_bytes: usize) {
        self.put(place, Known::Content(kind, Bytes::copy_from_slice(content), packed_bytes));
        BYTES.set(i64::try_from(self.room.0.weight()).unwrap_or(i64::MAX));
    }

    fn copy(&self, place: Place, into: &mut Vec<u8>) -> Option<(gix::object::Kind, usize)> {
        let Known::Content(kind, content, packed_bytes) = self.get(place)? else { return None };
        into.clear();
        into.extend_from_slice(&content);
        Some((kind, packed_bytes))
    }
}

impl gix::odb::pack::cache::Object for KeptObjects {
    fn put(&mut self, id: ObjectId, kind: gix::object::Kind, content: &[u8]) {
        self.keep(Place::Object(id), kind, content, 0);
    }

    fn get(&mut self, id: &ObjectId, out: &mut Vec<u8>) -> Option<gix::object::Kind> {
        self.copy(Place::Object(*id), out).map(|(kind, _)| kind)
    }
}

impl gix::odb::pack::cache::DecodeEntry for KeptObjects {
    fn put(&mut self, pack: u32, offset: u64, content: &[u8], kind: gix::object::Kind, packed_bytes: usize) {
        self.keep(Place::Pack(pack, offset), kind, content, packed_bytes);
    }

    fn get(&mut self, pack: u32, offset: u64, out: &mut Vec<u8>) -> Option<(gix::object::Kind, usize)> {
        let (kind, packed_bytes) = self.copy(Place::Pack(pack, offset), out)?;
        Some((kind, packed_bytes))
    }
}
