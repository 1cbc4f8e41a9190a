//! Objects of one open database that are kept decoded, for all its readers.
//!
//! What is kept never goes stale: an object's name says what it is. It goes with the open database, and so with the
//! packs that it was read from.

use std::sync::Arc;

use bytes::Bytes;
use gix::ObjectId;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::{Header, Kind};

/// A typical tree or commit, with what it weighs.
const TYPICAL_BYTES: usize = 1 << 10;

/// Parts of the cache, each with a lock and its share of the memory: few, since an object must fit into one.
const SHARDS: usize = 2;

/// What is known about an object.
#[derive(Clone, Debug)]
enum Known {
    /// Kind and size alone.
    Header(Header),
    /// All of it.
    Content(gix::object::Kind, Bytes),
}

/// Weighs an object by its content and something for the rest.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<ObjectId, Known> for Weight {
    fn weight(&self, _: &ObjectId, known: &Known) -> u64 {
        let content = match known {
            Known::Header(_) => 0,
            Known::Content(_, content) => content.len(),
        };
        128 + content as u64
    }
}

/// Objects by name; those that are asked for rarely go first. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct KeptObjects(Arc<Cache<ObjectId, Known, Weight>>);

impl KeptObjects {
    /// Keeps objects of this weight in all; with 0 none.
    pub(super) fn new(max_bytes: usize) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(max_bytes / TYPICAL_BYTES)
            .weight_capacity(max_bytes as u64)
            .build()
            .expect("all that has no default is set");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Arc::new(Cache::with_options(options, Weight, hasher, lifecycle)))
    }

    /// Finds kind and size of an object.
    pub(super) fn header(&self, id: &ObjectId) -> Option<Header> {
        Some(match self.0.get(id)? {
            Known::Header(header) => header,
            Known::Content(kind, content) => Header { kind: kind.into(), size_bytes: content.len() as u64 },
        })
    }

    /// Keeps kind and size of an object.
    pub(super) fn keep_header(&self, id: ObjectId, header: Header) {
        self.0.insert(id, Known::Header(header));
    }

    /// Finds the content of an object of a kind.
    pub(super) fn content(&self, id: &ObjectId, of: Kind) -> Option<Bytes> {
        match self.0.get(id)? {
            Known::Content(kind, content) if of == kind.into() => Some(content),
            _ => None,
        }
    }
}

impl gix::odb::pack::cache::Object for KeptObjects {
    fn put(&mut self, id: ObjectId, kind: gix::object::Kind, content: &[u8]) {
        self.0.insert(id, Known::Content(kind, Bytes::copy_from_slice(content)));
    }

    fn get(&mut self, id: &ObjectId, out: &mut Vec<u8>) -> Option<gix::object::Kind> {
        let Known::Content(kind, content) = self.0.get(id)? else { return None };
        out.clear();
        out.extend_from_slice(&content);
        Some(kind)
    }
}
