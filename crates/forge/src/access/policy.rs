//! The table: who may do what. Pure, and the only place that decides.

use hakata_store::{RepositoryState as State, Role, Visibility};

use crate::{Scope, Scopes};

/// An act on one repository, as a value; the types [`crate::Read`] … stand for the same four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActKind {
    /// Fetch, archive, look.
    Read,
    /// Push.
    Write,
    /// Change settings, protections, deploy keys.
    Maintain,
    /// Delete, rename, change members and visibility.
    Own,
}

impl ActKind {
    /// All acts, the smallest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Maintain, Self::Own];

    /// The least role that may do this.
    pub(crate) const fn role(self) -> Role {
        match self {
            Self::Read => Role::Reporter,
            Self::Write => Role::Developer,
            Self::Maintain => Role::Maintainer,
            Self::Own => Role::Owner,
        }
    }

    /// The scope that a token needs for this.
    pub(crate) const fn scope(self) -> Scope {
        match self {
            Self::Read => Scope::RepoRead,
            Self::Write => Scope::RepoWrite,
            Self::Maintain | Self::Own => Scope::RepoAdmin,
        }
    }
}

/// The asking side of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Nobody signed in.
    Anonymous,
    /// A user with this role on the repository (an administrator counts as owner), whose proof has scopes.
    User { role: Option<Role>, scopes: Scopes },
    /// A deploy key of this very repository.
    KeyOfThis { can_write: bool },
    /// A deploy key of another repository.
    KeyOfAnother,
    /// The operator.
    System,
}

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Do it.
    Allow,
    /// Answer as if there were no such repository, asking an anonymous client for credentials.
    Hide,
    /// Ask for credentials: the repository is public, the act needs somebody.
    SignIn,
    /// Refuse: the role is too small.
    RefuseRole,
    /// Refuse: the token lacks the scope.
    RefuseScope,
    /// Refuse: archived.
    RefuseArchived,
    /// Refuse: it is still being filled.
    RefuseUnfinished,
}

/// Decides.
///
/// 1. A repository that is deleted is hidden from everybody; one that is still being filled from all but those who may
///    do this once it is there, as if it were private: they are told to wait.
/// 2. Who may not read it does not learn that it exists.
/// 3. Then the role must reach the act, the token's scopes too, and an archived repository is only read
///    or owned (so that its owner can delete it or bring it back).
pub(crate) fn decide(asker: Asker, visibility: Visibility, state: State, act: ActKind) -> Verdict {
    match state {
        State::Deleted => return Verdict::Hide,
        State::Creating => {
            return match decide(asker, Visibility::Private, State::Active, act) {
                Verdict::Allow => Verdict::RefuseUnfinished,
                _ => Verdict::Hide,
            };
        }
        State::Active | State::Archived => {}
    }
    let public = visibility == Visibility::Public;
    let verdict = match asker {
        Asker::System => Verdict::Allow,
        Asker::KeyOfAnother => Verdict::Hide,
        Asker::KeyOfThis { can_write } => match act {
            ActKind::Read => Verdict::Allow,
            ActKind::Write if can_write => Verdict::Allow,
            _ => Verdict::RefuseRole,
        },
        Asker::Anonymous if !public => Verdict::Hide,
        Asker::Anonymous if act == ActKind::Read => Verdict::Allow,
        Asker::Anonymous => Verdict::SignIn,
        Asker::User { role, scopes } => of_user(role, scopes, public, act),
    };
    match (verdict, state, act) {
        (Verdict::Allow, State::Archived, ActKind::Write | ActKind::Maintain) => Verdict::RefuseArchived,
        (verdict, ..) => verdict,
    }
}

/// Tells whether a repository that follows another host's refuses what is allowed otherwise: what is pushed to it would
/// be gone when the other moves next. The system itself does the following.
pub(crate) fn is_refused_by_mirror(asker: Asker, is_mirror: bool, act: ActKind) -> bool {
    is_mirror && act == ActKind::Write && asker != Asker::System
}

/// Decides for a user: first whether it may be seen, then whether role and scopes suffice.
fn of_user(role: Option<Role>, scopes: Scopes, public: bool, act: ActKind) -> Verdict {
    let sees = public || (role.is_some() && scopes.allow(Scope::RepoRead));
    if !sees {
        return Verdict::Hide;
    }
    if act == ActKind::Read {
        return Verdict::Allow;
    }
    if role.is_none_or(|role| role < act.role()) {
        return Verdict::RefuseRole;
    }
    if scopes.allow(act.scope()) { Verdict::Allow } else { Verdict::RefuseScope }
}

#[cfg(test)]
mod tests {
    use super::{ActKind, Asker, Role, State, Verdict, Visibility, decide};
    use crate::{Scope, Scopes};

    /// The table as people read it: rows are roles, columns are acts, for a session without a token.
    #[test]
    fn roles_by_acts_on_private_and_public() {
        use Verdict::{Allow, Hide, RefuseRole};
        let rows: [(Option<Role>, Visibility, [Verdict; 4]); 10] = [
            (None, Visibility::Private, [Hide; 4]),
            (Some(Role::Reporter), Visibility::Private, [Allow, RefuseRole, RefuseRole, RefuseRole]),
            (Some(Role::Developer), Visibility::Private, [Allow, Allow, RefuseRole, RefuseRole]),
            (Some(Role::Maintainer), Visibility::Private, [Allow, Allow, Allow, RefuseRole]),
            (Some(Role::Owner), Visibility::Private, [Allow; 4]),
            (None, Visibility::Public, [Allow, RefuseRole, RefuseRole, RefuseRole]),
            (Some(Role::Reporter), Visibility::Public, [Allow, RefuseRole, RefuseRole, RefuseRole]),
            (Some(Role::Developer), Visibility::Public, [Allow, Allow, RefuseRole, RefuseRole]),
            (Some(Role::Maintainer), Visibility::Public, [Allow, Allow, Allow, RefuseRole]),
            (Some(Role::Owner), Visibility::Public, [Allow; 4]),
        ];
        for (role, visibility, verdicts) in rows {
            for (act, expected) in ActKind::ALL.into_iter().zip(verdicts) {
                let asker = Asker::User { role, scopes: Scopes::ALL };
                let got = decide(asker, visibility, State::Active, act);
                assert_eq!(got, expected, "{role:?} {visibility:?} {act:?}");
            }
        }
    }

    /// Every set of scopes (64) x role x visibility x state x act: a token never allows more than the
    /// session would, nothing unreadable is revealed, and what is allowed has its scope.
    #[test]
    fn every_combination_keeps_the_invariants() {
        let roles =
            [None, Some(Role::Reporter), Some(Role::Developer), Some(Role::Maintainer), Some(Role::Owner)];
        let sets = (0..64_u8).map(|bits| {
            let chosen = Scope::ALL.into_iter().enumerate().filter(move |(i, _)| bits >> i & 1 == 1);
            chosen.fold(Scopes::NONE, |set, (_, scope)| set.with(scope))
        });
        let mut n_checked = 0;
        for scopes in sets {
            for role in roles {
                for visibility in [Visibility::Private, Visibility::Public] {
                    for state in [State::Creating, State::Active, State::Archived, State::Deleted] {
                        for act in ActKind::ALL {
                            check(role, scopes, visibility, state, act);
                            n_checked += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(n_checked, 64 * 5 * 2 * 4 * 4);
    }

    fn check(role: Option<Role>, scopes: Scopes, visibility: Visibility, state: State, act: ActKind) {
        let case = format!("{role:?} {scopes} {visibility:?} {state:?} {act:?}");
        let got = decide(Asker::User { role, scopes }, visibility, state, act);
        let session = decide(Asker::User { role, scopes: Scopes::ALL }, visibility, state, act);
        let read = decide(Asker::User { role, scopes }, visibility, state, ActKind::Read);
        let public = visibility == Visibility::Public;
        if got == Verdict::Allow {
            assert_eq!(session, Verdict::Allow, "a token is no more than its user: {case}");
            let read_by_all = act == ActKind::Read && public;
            assert!(read_by_all || scopes.allow(act.scope()), "an act without its scope: {case}");
        }
        if state == State::Creating {
            let asker = Asker::User { role, scopes };
            let may = decide(asker, Visibility::Private, State::Active, act) == Verdict::Allow;
            assert_eq!(got, if may { Verdict::RefuseUnfinished } else { Verdict::Hide }, "{case}");
        } else if read != Verdict::Allow {
            assert_eq!(got, Verdict::Hide, "what cannot be read is hidden for every act: {case}");
        }
        if state == State::Deleted {
            assert_eq!(got, Verdict::Hide, "{case}");
        }
        if state == State::Archived && matches!(act, ActKind::Write | ActKind::Maintain) {
            assert_ne!(got, Verdict::Allow, "{case}");
        }
        assert_ne!(got, Verdict::SignIn, "somebody is signed in already: {case}");
    }

    #[test]
    fn anonymous_reads_public_and_is_asked_for_credentials_else() {
        for act in ActKind::ALL {
            assert_eq!(decide(Asker::Anonymous, Visibility::Private, State::Active, act), Verdict::Hide);
            let on_public = decide(Asker::Anonymous, Visibility::Public, State::Active, act);
            assert_eq!(on_public, if act == ActKind::Read { Verdict::Allow } else { Verdict::SignIn });
        }
    }

    #[test]
    fn a_deploy_key_opens_its_own_repository_only() {
        for act in ActKind::ALL {
            for visibility in [Visibility::Private, Visibility::Public] {
                assert_eq!(decide(Asker::KeyOfAnother, visibility, State::Active, act), Verdict::Hide);
                let reads = decide(Asker::KeyOfThis { can_write: false }, visibility, State::Active, act);
                assert_eq!(reads == Verdict::Allow, act == ActKind::Read);
                let writes = decide(Asker::KeyOfThis { can_write: true }, visibility, State::Active, act);
                assert_eq!(writes == Verdict::Allow, act <= ActKind::Write);
            }
        }
    }

    #[test]
    fn archived_is_read_and_owned_but_not_changed() {
        let owner = Asker::User { role: Some(Role::Owner), scopes: Scopes::ALL };
        let verdict = |act| decide(owner, Visibility::Private, State::Archived, act);
        assert_eq!(verdict(ActKind::Read), Verdict::Allow);
        assert_eq!(verdict(ActKind::Write), Verdict::RefuseArchived);
        assert_eq!(verdict(ActKind::Maintain), Verdict::RefuseArchived);
        assert_eq!(verdict(ActKind::Own), Verdict::Allow);
    }
}
