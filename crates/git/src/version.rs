//! Versions of git, and which of them nobody should serve with.

/// The first release of each line that has the fixes of July 2025; every later line has them from its start. Source:
/// git's release notes of 2.43.7 to 2.50.1.
const MENDED: [Version; 8] = [
    Version { major: 2, minor: 43, patch: 7 },
    Version { major: 2, minor: 44, patch: 4 },
    Version { major: 2, minor: 45, patch: 4 },
    Version { major: 2, minor: 46, patch: 4 },
    Version { major: 2, minor: 47, patch: 3 },
    Version { major: 2, minor: 48, patch: 2 },
    Version { major: 2, minor: 49, patch: 1 },
    Version { major: 2, minor: 50, patch: 1 },
];

/// A version of git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl Version {
    /// Reads what `git version` says; words behind the numbers are ignored.
    pub fn parse(said: &str) -> Option<Self> {
        let mut numbers = said.trim().strip_prefix("git version ")?.split(['.', ' ', '-']);
        let mut next = || numbers.next()?.parse().ok();
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }

    /// Whether git's authors have since published fixes that this release lacks. A distribution that mends an old release
    /// and keeps its number is suspected wrongly.
    pub fn has_known_holes(self) -> bool {
        let line = MENDED.iter().find(|mended| (mended.major, mended.minor) >= (self.major, self.minor));
        line.is_some_and(|mended| self < *mended)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_read_as_git_writes_them() {
        for (said, version) in [
            ("git version 2.47.3\n", Some((2, 47, 3))),
            ("git version 2.50.1 (Apple Git-155)\n", Some((2, 50, 1))),
            ("git version 2.44.0.windows.1\n", Some((2, 44, 0))),
            ("git version 2.52.0-rc1\n", Some((2, 52, 0))),
            ("git version 3.0\n", Some((3, 0, 0))),
            ("hub version 2.14.2\n", None),
            ("", None),
        ] {
            let expected = version.map(|(major, minor, patch)| Version { major, minor, patch });
            assert_eq!(Version::parse(said), expected, "{said:?}");
        }
    }

    #[test]
    fn releases_without_the_fixes_of_their_line_have_holes() {
        for (patch_by_line, has_holes) in [
            (
                &[(41, 9), (42, 4), (43, 6), (44, 3), (45, 3), (46, 3), (47, 2), (48, 1), (49, 0), (50, 0)][..],
                true,
            ),
            (&[(43, 7), (44, 4), (45, 4), (46, 4), (47, 3), (48, 2), (49, 1), (50, 1), (51, 0)][..], false),
        ] {
            for &(minor, patch) in patch_by_line {
                let version = Version { major: 2, minor, patch };
                assert_eq!(version.has_known_holes(), has_holes, "git {version}");
            }
        }
        assert!(!Version { major: 3, minor: 0, patch: 0 }.has_known_holes());
    }
}
