//! Which repository of a tree goes where, as far as names tell. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hakata_git::foreign::{Found, What};
use hakata_names::{OwnerName, RefPattern, RepositoryId, RepositoryName, RepositoryPath};

use crate::accounts::check_owner_name;

/// How many of those that want the same name are named.
const MAX_RIVALS: usize = 3;

/// Where GitLab keeps repositories whose places do not tell their names.
const HASHED: &str = "@hashed";

/// One thing that was found in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it lies in the tree, safe to be shown.
    pub(super) place: String,
    /// Where it goes, if its name can be taken.
    pub(super) path: Option<RepositoryPath>,
    /// What shall become of it.
    pub(super) fate: Fate,
}

/// What shall become of something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is to be imported.
    Wanted {
        /// From here.
        directory: PathBuf,
        /// The bytes of its object files.
        size_bytes: u64,
        /// What has its name now.
        onto: Onto,
    },
    /// It is here already.
    Exists,
    /// It cannot be imported, and why.
    Refused(String),
}

/// What a repository is imported onto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onto {
    /// Its name is free.
    Nothing,
    /// A row that an import left which was cut.
    Cut(RepositoryId),
    /// A repository into which nothing was ever pushed.
    Empty(RepositoryId),
}

impl Item {
    /// Decides against it.
    pub(super) fn refuse(&mut self, why: impl Into<String>) {
        self.fate = Fate::Refused(why.into());
    }

    /// Where it goes, while it is to be imported.
    pub(super) fn wanted(&self) -> Option<&RepositoryPath> {
        self.path.as_ref().filter(|_| matches!(self.fate, Fate::Wanted { .. }))
    }
}

/// Gives everything that was found a path, or a reason why it has none; all but what is left out.
pub(super) fn plan(found: Vec<Found>, owner: Option<&OwnerName>, exclude: &[RefPattern]) -> Vec<Item> {
    let is_kept = |at: &Found| !exclude.iter().any(|pattern| is_left_out(&at.place, pattern));
    let mut items: Vec<Item> = found.into_iter().filter(is_kept).map(|at| item(at, owner)).collect();
    refuse_rivals(&mut items);
    items
}

fn item(found: Found, owner: Option<&OwnerName>) -> Item {
    let name = match &found.what {
        What::Repository { full_path: Some(name), .. } if found.place.starts_with(HASHED) => Path::new(name),
        _ => &found.place,
    };
    let (path, refused) = match target(name, owner) {
        Ok(path) => (Some(path), None),
        Err(why) => (None, Some(why)),
    };
    let fate = match (found.what, refused) {
        (What::Odd(oddity), _) => Fate::Refused(oddity.to_string()),
        (What::Repository { .. }, Some(why)) => Fate::Refused(why),
        (What::Repository { directory, size_bytes, .. }, None) => {
            Fate::Wanted { directory, size_bytes, onto: Onto::Nothing }
        }
    };
    Item { place: shown(&found.place), path, fate }
}

/// Reads a place as a repository's path.
fn target(place: &Path, owner: Option<&OwnerName>) -> Result<RepositoryPath, String> {
    let text = place.to_str().ok_or("its name is not UTF-8")?;
    let text = text.strip_suffix(".git").unwrap_or(text);
    let (folder, name) = text.rsplit_once('/').map_or((None, text), |(folder, name)| (Some(folder), name));
    let owner = match (owner, folder) {
        (Some(owner), _) => owner.clone(),
        (None, None) => return Err("it lies in no folder that names its owner; --owner names one".to_owned()),
        (None, Some(folder)) if folder.contains('/') => {
            return Err("it lies deeper than OWNER/NAME; --owner takes what lies deep".to_owned());
        }
        (None, Some(folder)) => {
            let owner =
                OwnerName::parse(folder).map_err(|error| format!("its owner's {error}: {folder:?}"))?;
            check_owner_name(&owner).map_err(|error| error.public().to_owned())?;
            owner
        }
    };
    let name = RepositoryName::parse(name).map_err(|error| format!("its {error}: {name:?}"))?;
    Ok(RepositoryPath { owner, name })
}

/// Refuses all that would have the same path: which of them is meant, nobody can tell.
fn refuse_rivals(items: &mut [Item]) {
    let mut rivals: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        if let Some(path) = item.wanted() {
            rivals.entry(path.to_string().to_ascii_lowercase()).or_default().push(at);
        }
    }
    for group in rivals.into_values().filter(|group| group.len() > 1) {
        let places: Vec<String> = group.iter().map(|at| items[*at].place.clone()).collect();
        for at in group {
            let others: Vec<&str> =
                places.iter().filter(|place| **place != items[at].place).map(String::as_str).collect();
            let more = others.len().saturating_sub(MAX_RIVALS);
            let mut names = others[..others.len() - more].join(", ");
            if more > 0 {
                names.push_str(&format!(" and {more} more"));
            }
            items[at].refuse(format!("the same name, in any case of its letters, has {names}"));
        }
    }
}

/// Whether a pattern is about this place or a folder around it. One without a slash is about any single name.
fn is_left_out(place: &Path, pattern: &RefPattern) -> bool {
    use std::os::unix::ffi::OsStrExt;
    if !pattern.as_str().contains('/') {
        return place.iter().any(|name| pattern.matches_path(name.as_bytes()));
    }
    place.ancestors().any(|path| pattern.matches_path(path.as_os_str().as_bytes()))
}

/// Renders a place for people and programs; that of the tree itself is a dot.
fn shown(place: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let bytes = place.as_os_str().as_bytes();
    hakata_names::escape_controls(if bytes.is_empty() { b"." } else { bytes })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    use hakata_git::foreign::{Found, Oddity, What};
    use hakata_names::RefPattern;

    use super::{Fate, Item, Onto, plan};
    use crate::testing::name;

    fn found(place: impl AsRef<Path>) -> Found {
        let directory = PathBuf::from("/tree").join(&place);
        let what = What::Repository { directory, size_bytes: 7, full_path: Some("team/tools".to_owned()) };
        Found { place: place.as_ref().to_owned(), what }
    }

    fn planned(places: &[&str], owner: Option<&str>) -> Vec<Item> {
        plan(places.iter().map(found).collect(), owner.map(name).as_ref(), &[])
    }

    fn refused(item: &Item) -> &str {
        match &item.fate {
            Fate::Refused(why) => why,
            fate => panic!("{}: {fate:?}", item.place),
        }
    }

    #[test]
    fn folders_name_owners_unless_one_owner_takes_all() {
        let items = planned(&["Alice/tools.git", "bob/no-tail"], None);
        let paths: Vec<String> = items.iter().map(|item| item.wanted().unwrap().to_string()).collect();
        assert_eq!(paths, ["Alice/tools", "bob/no-tail"]);
        let directory = PathBuf::from("/tree/Alice/tools.git");
        assert_eq!(items[0].fate, Fate::Wanted { directory, size_bytes: 7, onto: Onto::Nothing });
        let hashed = planned(&["@hashed/6b/86/6b86.git"], None);
        assert_eq!(
            hashed[0].wanted().unwrap().to_string(),
            "team/tools",
            "GitLab's name is in the repository"
        );
        let items = planned(&["a/b/deep.git", "shallow.git"], Some("carol"));
        let paths: Vec<String> = items.iter().map(|item| item.wanted().unwrap().to_string()).collect();
        assert_eq!(paths, ["carol/deep", "carol/shallow"]);
    }

    #[test]
    fn names_that_cannot_be_taken_are_told_with_the_reason() {
        for (place, expected) in [
            ("tools.git", "--owner names one"),
            ("a/b/c.git", "deeper than OWNER/NAME"),
            ("alice/tools.wiki.git", ".wiki"),
            ("alice/no spaces.git", "letters, digits"),
            ("alice/.hidden.git", "may not start with a dot"),
            ("@pools/a.git", "its owner's name may have letters"),
            ("admin/tools.git", "the name 'admin' is reserved"),
        ] {
            let items = planned(&[place], None);
            assert!(refused(&items[0]).contains(expected), "{place}: {}", refused(&items[0]));
            assert_eq!((items[0].place.as_str(), items[0].wanted()), (place, None));
        }
        let odd = plan(vec![found(OsStr::from_bytes(b"alice/\xff\x1b.git"))], None, &[]);
        assert_eq!(
            (odd[0].place.as_str(), refused(&odd[0])),
            ("alice/\\xff\\u{1b}.git", "its name is not UTF-8")
        );
    }

    #[test]
    fn of_those_that_want_one_name_none_gets_it() {
        let places = ["alice/Tool.git", "Alice/tool", "alice/other.git", "alice/tool.git"];
        let items = planned(&places, None);
        assert!(refused(&items[0]).contains("Alice/tool, alice/tool.git"), "{}", refused(&items[0]));
        assert!(refused(&items[3]).contains("alice/Tool.git"));
        assert!(items[2].wanted().is_some());
        let many: Vec<String> = (0..9).map(|n| format!("{n}/same.git")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(refused(&planned(&many, Some("carol"))[0]).ends_with("3/same.git and 5 more"));
    }

    #[test]
    fn something_odd_keeps_its_reason_and_takes_no_name() {
        let odd = Found { place: "alice/tool.git".into(), what: What::Odd(Oddity::Link) };
        let items = plan(vec![odd, found("alice/TOOL.git")], None, &[]);
        assert!(refused(&items[0]).contains("symbolic link"));
        assert!(items[1].wanted().is_some(), "a link is no rival");
    }

    #[test]
    fn patterns_leave_out_names_folders_and_paths() {
        let places =
            ["+gitaly/tmp/x.git", "alice/tools.git", "alice/tools.wiki.git", "bob/old/x.git", "bob/x.git"];
        for (pattern, kept) in [
            ("*.wiki.git", &[0, 1, 3, 4][..]),
            ("+gitaly", &[1, 2, 3, 4]),
            ("bob/old", &[0, 1, 2, 4]),
            ("bob/*", &[0, 1, 2]),
            ("old/x.git", &[0, 1, 2, 3, 4]),
            ("**/x.git", &[1, 2]),
        ] {
            let patterns = [RefPattern::parse(pattern).unwrap()];
            let items = plan(places.iter().map(found).collect(), Some(&name("carol")), &patterns);
            let left: Vec<&str> = items.iter().map(|item| item.place.as_str()).collect();
            let kept: Vec<&str> = kept.iter().map(|at| places[*at]).collect();
            assert_eq!(left, kept, "{pattern}");
        }
    }
}
