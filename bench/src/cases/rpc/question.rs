//! What is asked.

/// An operation with its parameters; the rest is the [`Subject`](super::subject::Subject)'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// All branches and tags with the dates of their tips.
    Refs,
    /// `HEAD~10^{tree}`.
    Revision,
    /// The root directory with the sizes of its files.
    Tree,
    /// One file by its path.
    Blob,
    /// All files of `HEAD` by their oids.
    Blobs,
    /// So many commits, the newest first.
    Log(u32),
    /// How many commits there are.
    Count,
    /// The merge bases of some pairs, one question each.
    MergeBases,
    /// How far many refs are from `HEAD`, in one question.
    AheadBehind,
    /// The last 100 commits that changed one file.
    PathLog,
    /// The last commit of each entry of the root, never asked before.
    LastCommits,
    /// The same again.
    LastCommitsAgain,
    /// One commit's differences.
    SmallDiff,
    /// Many commits' differences, one question each; git gets all in one.
    Diffs,
    /// Lines added and deleted over half of the history.
    HugeStats,
    /// The patch over half of the history.
    HugePatch,
    /// The merges of history, made again.
    Merges,
    /// Who wrote each line of a long file.
    Blame,
}

/// What is demanded of an answer in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    /// How many times faster than the git command it has to be, beside never being slower than anybody.
    pub(super) than_git: f64,
}

impl Question {
    pub(super) const ALL: [Self; 19] = [
        Self::Refs,
        Self::Revision,
        Self::Tree,
        Self::Blob,
        Self::Blobs,
        Self::Log(50),
        Self::Log(5_000),
        Self::Count,
        Self::MergeBases,
        Self::AheadBehind,
        Self::PathLog,
        Self::LastCommits,
        Self::LastCommitsAgain,
        Self::SmallDiff,
        Self::Diffs,
        Self::HugeStats,
        Self::HugePatch,
        Self::Merges,
        Self::Blame,
    ];

    pub(super) fn name(self) -> String {
        let name = match self {
            Self::Refs => "refs with dates of tips",
            Self::Revision => "revision",
            Self::Tree => "root tree with sizes",
            Self::Blob => "one blob",
            Self::Blobs => "all blobs of HEAD",
            Self::Log(n) => return format!("log of {n}"),
            Self::Count => "count",
            Self::MergeBases => "merge bases",
            Self::AheadBehind => "ahead and behind",
            Self::PathLog => "log of a path",
            Self::LastCommits => "last commits of the root, cold",
            Self::LastCommitsAgain => "last commits of the root, again",
            Self::SmallDiff => "one small diff",
            Self::Diffs => "diffs of single commits",
            Self::HugeStats => "one huge diff, counted",
            Self::HugePatch => "one huge diff, patch",
            Self::Merges => "merges of history",
            Self::Blame => "blame",
        };
        name.to_owned()
    }

    pub(super) const fn bar(self) -> Bar {
        let than_git = match self {
            Self::Refs | Self::Revision | Self::Blob => 10.0,
            Self::LastCommits | Self::LastCommitsAgain => 5.0,
            Self::Tree | Self::Log(50) | Self::MergeBases | Self::SmallDiff => 3.0,
            _ => 1.0,
        };
        Bar { than_git }
    }
}
