//! The refs of one repository at one version, in memory and ready to be sent.

mod format;
mod prefix;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hakata_names::{ObjectFormat, Oid, RefName};

pub(crate) use format::{Lines, encode_peeled};
pub(crate) use prefix::Prefixes;

/// One ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// Its fully qualified name.
    pub name: RefName,
    /// What it points to.
    pub oid: Oid,
    /// What that is behind all tag objects; `None` if it is no tag object.
    pub peeled: Option<Oid>,
}

/// Where `HEAD` points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// To a ref, which need not exist yet.
    Symbolic(RefName),
    /// To a commit; only folders of plain repositories have this.
    Detached(Oid),
}

impl From<RefName> for Head {
    fn from(name: RefName) -> Self {
        Self::Symbolic(name)
    }
}

/// A ref that came, moved or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefChange {
    /// It is there now, pointing to this.
    Set(Ref),
    /// It is gone.
    Remove(RefName),
}

impl RefChange {
    /// Returns the name of the ref.
    pub fn name(&self) -> &RefName {
        match self {
            Self::Set(at) => &at.name,
            Self::Remove(name) => name,
        }
    }
}

/// All refs of a repository at one version, sorted by name, immutable, cheap to clone.
///
/// Each form in which refs go over the wire is rendered once, when first asked for, and answered as slices
/// of that one buffer: an advertisement of 50,000 refs copies nothing.
#[derive(Clone, Debug)]
pub struct RefSnapshot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    version: i64,
    format: ObjectFormat,
    head: Head,
    refs: Box<[Ref]>,
    tips: OnceLock<Box<[Oid]>>,
    v2_peeled: OnceLock<Lines>,
    v2_plain: OnceLock<Lines>,
    v0_upload: OnceLock<Lines>,
    v0_receive: OnceLock<Lines>,
}

impl RefSnapshot {
    /// Builds the snapshot of a version. Sorts `refs` if they are not; of two with one name the later wins.
    pub fn build(version: i64, format: ObjectFormat, head: impl Into<Head>, mut refs: Vec<Ref>) -> Self {
        if !refs.is_sorted_by(|a, b| a.name < b.name) {
            refs.reverse();
            refs.sort_by(|a, b| a.name.cmp(&b.name));
            refs.dedup_by(|later, earlier| later.name == earlier.name);
        }
        Self(Arc::new(Inner {
            version,
            format,
            head: head.into(),
            refs: refs.into(),
            tips: OnceLock::new(),
            v2_peeled: OnceLock::new(),
            v2_plain: OnceLock::new(),
            v0_upload: OnceLock::new(),
            v0_receive: OnceLock::new(),
        }))
    }

    /// Builds the snapshot of a repository without refs.
    pub fn empty(version: i64, format: ObjectFormat, head: impl Into<Head>) -> Self {
        Self::build(version, format, head, Vec::new())
    }

    /// Returns the version of the repository that this shows.
    pub fn version(&self) -> i64 {
        self.0.version
    }

    /// Returns the hash function of the repository.
    pub fn format(&self) -> ObjectFormat {
        self.0.format
    }

    /// Returns where `HEAD` points.
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// Finds what `HEAD` resolves to; `None` while its branch is unborn.
    pub fn head_target(&self) -> Option<Oid> {
        match &self.0.head {
            Head::Symbolic(name) => self.find(name).map(|at| at.oid),
            Head::Detached(oid) => Some(*oid),
        }
    }

    /// Finds a ref by its name.
    pub fn find(&self, name: &RefName) -> Option<&Ref> {
        let refs = &self.0.refs;
        refs.binary_search_by(|at| at.name.cmp(name)).ok().map(|at| &refs[at])
    }

    /// Says whether an object is what some ref, or `HEAD`, points to, directly or behind a tag object.
    pub fn is_tip(&self, oid: &Oid) -> bool {
        self.tips().binary_search(oid).is_ok()
    }

    /// Lists the objects that refs and `HEAD` point to and the ones behind tag objects, sorted, each once.
    pub fn tips(&self) -> &[Oid] {
        self.0.tips.get_or_init(|| {
            let mut tips: Vec<Oid> =
                self.0.refs.iter().flat_map(|at| [Some(at.oid), at.peeled]).flatten().collect();
            tips.extend(self.head_target());
            tips.sort_unstable();
            tips.dedup();
            tips.into()
        })
    }

    /// Lists the refs by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Ref> {
        self.0.refs.iter()
    }

    /// Returns how many refs there are.
    pub fn len(&self) -> usize {
        self.0.refs.len()
    }

    /// Says whether there is no ref.
    pub fn is_empty(&self) -> bool {
        self.0.refs.is_empty()
    }

    /// Builds the snapshot of a later version from this one and what changed; of several changes of one
    /// ref the last counts. Costs one pass over the refs.
    pub fn apply(&self, version: i64, changes: impl IntoIterator<Item = RefChange>) -> Self {
        let mut changes: Vec<RefChange> = changes.into_iter().collect();
        changes.reverse();
        changes.sort_by(|a, b| a.name().cmp(b.name()));
        changes.dedup_by(|earlier, later| earlier.name() == later.name());
        let mut refs = Vec::with_capacity(self.len() + changes.len());
        let mut changes = changes.into_iter().peekable();
        for at in self.iter() {
            while let Some(change) = changes.next_if(|change| *change.name() < at.name) {
                push(&mut refs, change);
            }
            match changes.next_if(|change| *change.name() == at.name) {
                Some(change) => push(&mut refs, change),
                None => refs.push(at.clone()),
            }
        }
        changes.for_each(|change| push(&mut refs, change));
        Self::build(version, self.format(), self.0.head.clone(), refs)
    }

    /// Builds the same snapshot with another `HEAD`.
    pub fn with_head(&self, version: i64, head: impl Into<Head>) -> Self {
        Self::build(version, self.format(), head, self.0.refs.to_vec())
    }

    /// Returns the lines of a v2 `ls-refs` reply.
    pub(crate) fn v2_lines(&self, peel: Peel) -> &Lines {
        match peel {
            Peel::Yes => self.0.v2_peeled.get_or_init(|| Lines::v2(self, Peel::Yes)),
            Peel::No => self.0.v2_plain.get_or_init(|| Lines::v2(self, Peel::No)),
        }
    }

    /// Returns the lines of a v0 advertisement of upload-pack, with peeled entries.
    pub(crate) fn v0_upload_lines(&self) -> &Lines {
        self.0.v0_upload.get_or_init(|| Lines::v0(self, Peel::Yes))
    }

    /// Returns the lines of a v0 advertisement of receive-pack.
    pub(crate) fn v0_receive_lines(&self) -> &Lines {
        self.0.v0_receive.get_or_init(|| Lines::v0(self, Peel::No))
    }

    /// Slices out the v2 lines of the refs that match, in order, without copying.
    pub(crate) fn v2_slices(&self, peel: Peel, prefixes: &Prefixes) -> Vec<Bytes> {
        let lines = self.v2_lines(peel);
        prefixes.ranges(&self.0.refs).into_iter().map(|range| lines.slice(range)).collect()
    }
}

/// Whether lines name what is behind tag objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peel {
    /// They do.
    Yes,
    /// They do not.
    No,
}

fn push(refs: &mut Vec<Ref>, change: RefChange) {
    if let RefChange::Set(at) = change {
        refs.push(at);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hakata_names::{ObjectFormat, Oid, RefName};
    use proptest::prelude::*;

    use super::{Head, Ref, RefChange, RefSnapshot};

    fn name(text: &str) -> RefName {
        RefName::parse(text.as_bytes()).unwrap()
    }

    fn oid(byte: u8) -> Oid {
        Oid::from_bytes(&[byte; 20]).unwrap()
    }

    fn at(text: &str, byte: u8) -> Ref {
        Ref { name: name(text), oid: oid(byte), peeled: None }
    }

    #[test]
    fn refs_are_sorted_and_the_later_of_two_wins() {
        let refs = vec![at("refs/heads/b", 1), at("refs/heads/a", 2), at("refs/heads/b", 3)];
        let snapshot = RefSnapshot::build(7, ObjectFormat::Sha1, name("refs/heads/b"), refs);
        let names: Vec<String> = snapshot.iter().map(|at| at.name.to_string()).collect();
        assert_eq!(names, ["refs/heads/a", "refs/heads/b"]);
        assert_eq!(snapshot.head_target(), Some(oid(3)));
        assert_eq!(snapshot.version(), 7);
    }

    #[test]
    fn a_tip_is_a_target_or_what_its_tag_means() {
        let tag = Ref { name: name("refs/tags/t"), oid: oid(4), peeled: Some(oid(5)) };
        let snapshot = RefSnapshot::build(1, ObjectFormat::Sha1, Head::Detached(oid(9)), vec![tag]);
        assert!(snapshot.is_tip(&oid(4)) && snapshot.is_tip(&oid(5)) && snapshot.is_tip(&oid(9)));
        assert!(!snapshot.is_tip(&oid(6)));
    }

    proptest! {
        #[test]
        fn apply_is_what_a_map_does(steps in proptest::collection::vec((0u8..6, 0u8..4), 0..20), cut in 0usize..20) {
            let change = |(who, what): (u8, u8)| match what {
                0 => RefChange::Remove(name(&format!("refs/heads/{who}"))),
                what => RefChange::Set(at(&format!("refs/heads/{who}"), what)),
            };
            let mut expected = BTreeMap::new();
            for change in steps.iter().copied().map(change) {
                match change {
                    RefChange::Set(at) => { expected.insert(at.name.clone(), at); }
                    RefChange::Remove(name) => { expected.remove(&name); }
                }
            }
            let cut = cut.min(steps.len());
            let empty = RefSnapshot::empty(0, ObjectFormat::Sha1, name("refs/heads/0"));
            let first = empty.apply(1, steps[..cut].iter().copied().map(change));
            let second = first.apply(2, steps[cut..].iter().copied().map(change));
            let expected: Vec<Ref> = expected.into_values().collect();
            prop_assert_eq!(second.iter().cloned().collect::<Vec<_>>(), expected);
        }
    }
}
