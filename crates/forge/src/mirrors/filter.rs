//! Which refs a mirror is about.

use hakata_names::{RefName, RefPattern};
use hakata_store::mirrors::Mirror;

use crate::Error;

/// The longest list of patterns, in bytes.
const MAX: usize = 1_024;

/// Branches by their names, and all tags and notes or none.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Empty: all branches.
    branches: Vec<RefPattern>,
    has_tags: bool,
}

impl Filter {
    /// Reads what a row says.
    pub(crate) fn of(mirror: &Mirror) -> Result<Self, Error> {
        Self::new(mirror.branches.split(' ').filter(|text| !text.is_empty()), mirror.has_tags)
    }

    /// Reads patterns.
    pub(crate) fn new<'a>(
        branches: impl IntoIterator<Item = &'a str>,
        has_tags: bool,
    ) -> Result<Self, Error> {
        let branches = branches.into_iter().map(RefPattern::parse).collect::<Result<Vec<_>, _>>();
        let branches = branches.map_err(|error| Error::new(crate::Kind::Invalid, error.to_string()))?;
        let filter = Self { branches, has_tags };
        match filter.stored().len() <= MAX {
            true => Ok(filter),
            false => {
                Err(Error::new(crate::Kind::Invalid, format!("patterns have at most {MAX} bytes together")))
            }
        }
    }

    /// Renders the patterns for their row.
    pub(crate) fn stored(&self) -> String {
        self.branches.iter().map(RefPattern::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Tells whether a ref is mirrored: of other namespaces than branches, tags and notes none is.
    pub(crate) fn has(&self, name: &RefName) -> bool {
        match name.branch() {
            Some(_) => self.branches.is_empty() || self.branches.iter().any(|pattern| pattern.matches(name)),
            None => self.has_tags && (name.tag().is_some() || name.as_bytes().starts_with(b"refs/notes/")),
        }
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::RefName;

    use super::Filter;

    #[test]
    fn branches_are_chosen_by_name_and_tags_all_together() {
        let has = |filter: &Filter, name: &str| filter.has(&RefName::parse(name.as_bytes()).unwrap());
        let all = Filter::new([], true).unwrap();
        for name in ["refs/heads/main", "refs/heads/a/b", "refs/tags/v1", "refs/notes/commits"] {
            assert!(has(&all, name), "{name}");
        }
        for name in ["refs/pull/1/head", "refs/hakata/x", "refs/changes/1"] {
            assert!(!has(&all, name), "{name}");
        }
        let some = Filter::new(["main", "release/*"], false).unwrap();
        assert!(has(&some, "refs/heads/main") && has(&some, "refs/heads/release/1"));
        assert!(!has(&some, "refs/heads/topic") && !has(&some, "refs/tags/v1"));
        assert_eq!(some.stored(), "main release/*");
        assert!(Filter::new(["a b"], true).is_err());
        assert!(Filter::new(["x".repeat(200).as_str(); 6], true).is_err());
    }
}
