//! How much a repository may hold, and the words about it. Reading always works.

use hakata_runtime::units::ByteSize;
use hakata_store::repositories::{QuotaOf, Standing};

/// Share of the quota, in percent, from which each push is told how full the repository is.
const WARN_FROM: u64 = 80;

/// Share from which the words are urgent.
const WARN_URGENTLY_FROM: u64 = 95;

/// The room that a push has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) of: QuotaOf,
    pub(crate) limit: u64,
    pub(crate) used: u64,
}

impl Quota {
    /// The tighter of the repository's quota and its owner's.
    pub(crate) fn of(standing: &Standing, default: ByteSize) -> Self {
        let bytes = |stored: i64| u64::try_from(stored).unwrap_or(0);
        let repository = &standing.repository;
        let own = Self {
            of: QuotaOf::Repository,
            limit: repository.quota_bytes.map_or(default.bytes(), bytes),
            used: bytes(repository.size_bytes),
        };
        let owners = standing.owner_quota_bytes.map(|limit| Self {
            of: QuotaOf::Owner,
            limit: bytes(limit),
            used: bytes(standing.owner_size_bytes),
        });
        owners.filter(|owners| owners.room() < own.room()).unwrap_or(own)
    }

    /// The bytes that are left.
    pub(crate) fn room(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// The refusal of a push for whose objects there is no room.
    pub(crate) fn refusal(self) -> String {
        let whose = match self.of {
            QuotaOf::Repository => "repository quota",
            QuotaOf::Owner => "owner's quota for all repositories",
        };
        format!("{whose} of {} is used up ({} used)", self.shown(self.limit), self.shown(self.used))
    }

    /// What to say after a push that added so many bytes.
    pub(crate) fn warning(self, added: u64) -> Option<String> {
        let used = self.used.saturating_add(added);
        let percent =
            u64::try_from(u128::from(used) * 100 / u128::from(self.limit.max(1))).unwrap_or(u64::MAX);
        let words = match percent {
            percent if percent >= WARN_URGENTLY_FROM => "WARNING: almost full",
            percent if percent >= WARN_FROM => "warning: filling up",
            _ => return None,
        };
        let who = match self.of {
            QuotaOf::Repository => "this repository uses",
            QuotaOf::Owner => "the repositories of its owner use",
        };
        let (used, limit) = (self.shown(used), self.shown(self.limit));
        Some(format!("{words}: {who} {used} of {limit} ({percent} %)"))
    }

    fn shown(self, bytes: u64) -> String {
        crate::admin::shown_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Quota, QuotaOf};

    const REPOSITORY: Quota = Quota { of: QuotaOf::Repository, limit: 1_000, used: 700 };

    #[test]
    fn words_name_the_quota_that_is_in_the_way() {
        let owners = Quota { of: QuotaOf::Owner, ..REPOSITORY };
        assert_eq!(REPOSITORY.refusal(), "repository quota of 1000 B is used up (700 B used)");
        assert_eq!(owners.refusal(), "owner's quota for all repositories of 1000 B is used up (700 B used)");
        let warning = owners.warning(100).unwrap();
        assert_eq!(warning, "warning: filling up: the repositories of its owner use 800 B of 1000 B (80 %)");
    }

    #[test]
    fn warnings_come_at_80_and_95_percent() {
        let quota = REPOSITORY;
        assert_eq!(quota.warning(99), None);
        assert!(quota.warning(100).unwrap().starts_with("warning: filling up"));
        assert!(
            quota
                .warning(250)
                .unwrap()
                .contains("WARNING: almost full: this repository uses 950 B of 1000 B (95 %)")
        );
        assert_eq!(Quota { limit: 10, used: 20, ..quota }.room(), 0);
        assert!(
            Quota { limit: 0, used: 0, ..quota }.warning(1).is_some(),
            "a quota of nothing does not divide by zero"
        );
    }
}
