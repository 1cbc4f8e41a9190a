//! What happened, with everything that any format tells of it.

use hakata_names::{Oid, RefName};
use hakata_rpc::v1;
use hakata_store::repositories::Repository;
use hakata_store::{RepositoryState, Visibility};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::person::Person;
use super::{EventKind, WebhookSettings};

/// What a body is made from.
#[derive(Debug)]
pub(super) struct News<'a> {
    pub(super) settings: &'a WebhookSettings,
    /// The webhook that is told.
    pub(super) webhook: i64,
    /// A number of this delivery.
    pub(super) delivery: i64,
    pub(super) kind: EventKind,
    /// Absent in a test of a webhook that is not about one repository.
    pub(super) repository: Option<About>,
    /// Who did it.
    pub(super) sender: Person,
    /// When, in ms.
    pub(super) at: i64,
    /// What moved; absent in a test.
    pub(super) moved: Option<Moved>,
}

/// The repository.
#[derive(Debug)]
pub(super) struct About {
    pub(super) row: Repository,
    pub(super) owner: Person,
    /// `https://git.example.org/owner/name`
    pub(super) html_url: String,
    pub(super) ssh_url: String,
}

/// A ref that moved, and the commits that it moved over.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) name: RefName,
    pub(crate) old: Option<Oid>,
    pub(crate) new: Option<Oid>,
    /// Whether the old tip cannot be reached from the new one.
    pub(crate) is_forced: bool,
    /// The newest first, as many as are listed.
    pub(crate) commits: Vec<Commit>,
    /// How many there are.
    pub(crate) n_commits: u64,
    /// The commit that the ref names now.
    pub(crate) head: Option<Commit>,
}

/// A commit as payloads tell it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    pub(crate) oid: String,
    pub(crate) tree: String,
    pub(crate) message: String,
    pub(crate) author: Author,
    pub(crate) committer: Author,
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) modified: Vec<String>,
}

/// Who wrote a commit, in the commit's own words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) email: String,
    /// RFC 3339, with the author's offset.
    pub(crate) time: String,
}

impl About {
    pub(super) fn new(row: Repository, owner: Person, settings: &WebhookSettings) -> Self {
        let path = row.path();
        let base = settings.base_url.trim_end_matches('/');
        let ssh = settings.ssh_url.trim_end_matches('/');
        Self { html_url: format!("{base}/{path}"), ssh_url: format!("{ssh}/{path}.git"), row, owner }
    }

    pub(super) fn full_name(&self) -> String {
        self.row.path().to_string()
    }

    pub(super) fn clone_url(&self) -> String {
        format!("{}.git", self.html_url)
    }

    pub(super) fn is_private(&self) -> bool {
        self.row.visibility == Visibility::Private
    }

    pub(super) fn is_archived(&self) -> bool {
        self.row.state == RepositoryState::Archived
    }

    pub(super) fn default_branch(&self) -> String {
        text(self.row.default_ref.short())
    }

    pub(super) fn commit_url(&self, commit: &Commit) -> String {
        format!("{}/commit/{}", self.html_url, commit.oid)
    }

    /// Writes what a ref points to; zeros for nothing, as many as the repository's oids have.
    pub(super) fn hex(&self, oid: Option<Oid>) -> String {
        Oid::wire_hex(oid, self.row.object_format)
    }

    /// The page that shows what a move brought.
    pub(super) fn compare_url(&self, moved: &Moved) -> String {
        match (moved.old, moved.new) {
            (Some(old), Some(new)) => format!("{}/compare/{old}...{new}", self.html_url),
            (None, Some(new)) => format!("{}/commit/{new}", self.html_url),
            _ => String::new(),
        }
    }
}

impl Moved {
    /// Makes a move whose commits were not read.
    pub(crate) fn bare(name: RefName, old: Option<Oid>, new: Option<Oid>) -> Self {
        Self { name, old, new, is_forced: false, commits: Vec::new(), n_commits: 0, head: None }
    }

    pub(crate) fn full_ref(&self) -> String {
        text(self.name.as_bytes())
    }

    pub(crate) fn short_ref(&self) -> String {
        text(self.name.short())
    }

    /// `branch` or `tag`.
    pub(crate) fn ref_type(&self) -> &'static str {
        if self.name.tag().is_some() { "tag" } else { "branch" }
    }
}

impl Commit {
    /// Takes a commit of the contract, without its paths.
    pub(crate) fn of(commit: &v1::Commit) -> Self {
        Self {
            oid: hex(&commit.oid),
            tree: hex(&commit.tree_oid),
            message: text(&commit.message),
            author: Author::of(commit.author.as_ref()),
            committer: Author::of(commit.committer.as_ref()),
            ..Self::default()
        }
    }

    /// The first line of the message.
    pub(crate) fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

impl Author {
    fn of(signature: Option<&v1::Signature>) -> Self {
        let Some(signature) = signature else { return Self::default() };
        let time = rfc3339(signature.time_s, signature.offset_minutes);
        Self { name: text(&signature.name), email: text(&signature.email), time }
    }
}

/// Writes a time of a commit; one that no calendar has becomes 1970.
fn rfc3339(time_s: i64, offset_minutes: i32) -> String {
    let time = Timestamp::from_second(time_s).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = Offset::from_seconds(offset_minutes.saturating_mul(60)).unwrap_or(Offset::UTC);
    time.to_zoned(TimeZone::fixed(offset)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Writes a time of ours.
pub(super) fn utc(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, utc};

    #[test]
    fn times_keep_their_offset() {
        assert_eq!(rfc3339(1_700_000_000, 540), "2023-11-15T07:13:20+09:00");
        assert_eq!(rfc3339(1_700_000_000, -210), "2023-11-14T18:43:20-03:30");
        assert_eq!(rfc3339(i64::MAX, 0), "1970-01-01T00:00:00+00:00");
        assert_eq!(utc(1_700_000_000_000), "2023-11-14T22:13:20Z");
    }
}
