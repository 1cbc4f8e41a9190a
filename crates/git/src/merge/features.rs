//! What the `git merge-tree` of a version can do.
//!
//! | since | what |
//! |---|---|
//! | 2.39 | `--stdin` |
//! | 2.40 | a merge base in a line of `--stdin` |
//! | 2.45 | trees in place of commits, where the merge base is given: not used, commits do everywhere |
//! | 2.45.1, 2.46 | no attributes from `HEAD` in bare repositories; since 2.43 they are read unless another tree is named |
//! | 2.49 | each answer is flushed; before, answers wait in a buffer until it is full |
//!
//! Source: git's release notes, and the history of `builtin/merge-tree.c`.

use crate::version::Version;

/// How an answer is made to come before the next question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// git does it.
    ByItself,
    /// A second merge, whose answer is longer than the buffer, pushes it out.
    Nudged,
}

/// Differences between versions that count here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) flush: Flush,
    /// Whether attributes have to be turned off by naming an empty tree.
    pub(super) reads_attributes_of_head: bool,
}

impl Features {
    pub(super) fn of(version: Version) -> Self {
        let line = (version.major, version.minor);
        Self {
            flush: if line >= (2, 49) { Flush::ByItself } else { Flush::Nudged },
            reads_attributes_of_head: line < (2, 46),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Features, Flush};
    use crate::Version;

    #[test]
    fn versions_differ() {
        for (minor, flush, reads_attributes_of_head) in [
            (41, Flush::Nudged, true),
            (45, Flush::Nudged, true),
            (46, Flush::Nudged, false),
            (48, Flush::Nudged, false),
            (49, Flush::ByItself, false),
        ] {
            let features = Features::of(Version { major: 2, minor, patch: 0 });
            assert_eq!(features, Features { flush, reads_attributes_of_head }, "git 2.{minor}");
        }
    }
}
