//! What the tips of refs say, kept: an object says the same for ever.

use hakata_git::objects::{Kind, ReadError, View};
use hakata_git::refs::Ref as GitRef;
use hakata_names::Oid;
use hakata_rpc::v1::{Signature, Tip};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::super::messages::{oid_bytes, signature};
use crate::metrics::TIPS_BYTES;

/// What a typical tip weighs.
const TYPICAL_BYTES: u64 = 512;

/// What is known of a ref's target; `None` if it leads to no commit.
type Known = Option<Box<Tip>>;

/// Tips by the target of the ref. Not by repository: objects with one name are the same wherever they are, and only the
/// targets of a repository's own refs are looked for.
#[derive(Debug)]
pub(in crate::local) struct KeptTips(Cache<Oid, Known, Weight>);

/// Weighs a tip by its texts and something for the rest.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Oid, Known> for Weight {
    fn weight(&self, _: &Oid, known: &Known) -> u64 {
        let person = |person: &Option<Signature>| person.as_ref().map_or(0, |p| p.name.len() + p.email.len());
        let tip = known.as_ref().map_or(0, |tip| {
            let people = person(&tip.author) + person(&tip.committer) + person(&tip.tagger);
            size_of::<Tip>() + tip.subject.len() + people
        });
        128 + tip as u64
    }
}

impl KeptTips {
    /// Keeps tips of this weight in all; with 0 none.
    pub(in crate::local) fn new(max_bytes: u64) -> Self {
        let typical = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(typical, max_bytes, Weight))
    }

    /// Finds the commit at the end of a ref, and who made its tag object. Blocks.
    pub(super) fn find(&self, view: &View, found: &GitRef) -> Result<Option<Tip>, ReadError> {
        if let Some(known) = self.0.get(&found.oid) {
            return Ok(known.map(|tip| *tip));
        }
        let tip = read(view, found)?;
        self.0.insert(found.oid, tip.clone().map(Box::new));
        TIPS_BYTES.set(i64::try_from(self.0.weight()).unwrap_or(i64::MAX));
        Ok(tip)
    }
}

fn read(view: &View, found: &GitRef) -> Result<Option<Tip>, ReadError> {
    let end = found.peeled.unwrap_or(found.oid);
    if view.header(&end)?.is_none_or(|header| header.kind != Kind::Commit) {
        return Ok(None);
    }
    let commit = view.read_commit(&end)?;
    let tagger = found.peeled.map(|_| view.read_tag(&found.oid)).transpose()?.and_then(|tag| tag.tagger);
    Ok(Some(Tip {
        oid: oid_bytes(&end),
        subject: commit.subject().into(),
        author: Some(signature(commit.author)),
        committer: Some(signature(commit.committer)),
        tagger: tagger.map(signature),
    }))
}
