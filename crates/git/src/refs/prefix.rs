//! Which refs a client wants to hear about.

use std::ops::Range;

use super::Ref;

/// From this many `ref-prefix` lines on all of them are ignored and everything is shown, as git does.
/// Source: `TOO_MANY_PREFIXES` in git's ls-refs.c.
pub(crate) const TOO_MANY_PREFIXES: usize = 65_536;

/// The `ref-prefix` lines of a request; none means all refs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefixes {
    list: Vec<Vec<u8>>,
    too_many: bool,
}

impl Prefixes {
    /// Adds one prefix; too many of them mean everything.
    pub(crate) fn push(&mut self, prefix: &[u8]) {
        if self.list.len() + 1 >= TOO_MANY_PREFIXES {
            self.too_many = true;
            self.list.clear();
        }
        if !self.too_many {
            self.list.push(prefix.to_vec());
        }
    }

    /// Says whether a name is wanted.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        self.list.is_empty() || self.list.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Finds the ranges of matching refs among sorted ones: ascending, disjoint, two searches a prefix.
    pub(crate) fn ranges(&self, refs: &[Ref]) -> Vec<Range<usize>> {
        if self.list.is_empty() {
            return Vec::from_iter((!refs.is_empty()).then_some(0..refs.len()));
        }
        let mut ranges: Vec<Range<usize>> = self
            .list
            .iter()
            .map(|prefix| {
                let start = refs.partition_point(|at| at.name.as_bytes() < prefix.as_slice());
                start..start + refs[start..].partition_point(|at| at.name.as_bytes().starts_with(prefix))
            })
            .filter(|range| !range.is_empty())
            .collect();
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        ranges.dedup_by(|next, kept| {
            let joins = next.start <= kept.end;
            if joins {
                kept.end = kept.end.max(next.end);
            }
            joins
        });
        ranges
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::{Oid, RefName};
    use proptest::prelude::*;

    use super::{Prefixes, TOO_MANY_PREFIXES};
    use crate::refs::Ref;

    fn refs(names: &[String]) -> Vec<Ref> {
        let oid = Oid::from_bytes(&[1; 20]).unwrap();
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        names.iter().map(|n| Ref { name: RefName::parse(n.as_bytes()).unwrap(), oid, peeled: None }).collect()
    }

    proptest! {
        #[test]
        fn ranges_hold_exactly_the_refs_that_match(
            names in proptest::collection::vec("refs/[ab]{1,2}/[ab]{1,3}", 0..12),
            wanted in proptest::collection::vec("(refs/)?[ab/]{0,4}", 0..5),
        ) {
            let refs = refs(&names);
            let mut prefixes = Prefixes::default();
            wanted.iter().for_each(|prefix| prefixes.push(prefix.as_bytes()));
            let expected: Vec<usize> = (0..refs.len()).filter(|at| prefixes.matches(refs[*at].name.as_bytes())).collect();
            prop_assert_eq!(prefixes.ranges(&refs).into_iter().flatten().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn too_many_prefixes_mean_everything() {
        let mut prefixes = Prefixes::default();
        for _ in 0..TOO_MANY_PREFIXES + 3 {
            prefixes.push(b"refs/none/");
        }
        assert!(prefixes.matches(b"refs/heads/main"));
    }
}
