//! What a repository's rules say about each update of a push. Pure, but for one question about ancestry.

use hakata_names::{RefName, RefPattern, RefUpdate, RepositoryPath, UserId};
use hakata_store::{ProtectionKind, Role};

/// One protection, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) kind: ProtectionKind,
    pub(crate) pattern: RefPattern,
    /// The least role that may push; `None`: nobody.
    pub(crate) push: Option<Role>,
    pub(crate) may_force: bool,
    pub(crate) may_delete: bool,
    /// Who may push whatever their role.
    pub(crate) allowed: Vec<UserId>,
}

/// The pushing side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pusher {
    /// The role on this repository; a writable deploy key counts as developer.
    pub(crate) role: Option<Role>,
    pub(crate) user: Option<UserId>,
}

/// Whether a move loses commits that the ref had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ancestry {
    /// The old target is an ancestor of the new one, or there was none.
    FastForward,
    /// It is not, or nobody can tell.
    Forced,
}

/// Why an update is refused: the reason stands behind `ng <ref>`, the hint on band 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
}

impl Refused {
    fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: Some(hint.into()) }
    }
}

/// Namespaces that only Hakata itself writes.
const INTERNAL: [&[u8]; 2] = [b"refs/hakata/", b"refs/pull/"];

/// Judges what the names alone decide, before a byte of the pack is read.
pub(crate) fn judge_name(update: &RefUpdate, default_ref: &RefName) -> Result<(), Refused> {
    let name = update.name.as_bytes();
    if INTERNAL.iter().any(|space| name.starts_with(space)) {
        return Err(Refused::new("this namespace is the server's own", "push to refs/heads/ or refs/tags/"));
    }
    if name.starts_with(b"refs/for/") {
        return Err(Refused::new(
            "opening pull requests by push is not offered",
            "push a branch: git push origin HEAD:refs/heads/my-topic",
        ));
    }
    if update.new.is_none() && update.name == *default_ref {
        return Err(Refused::new(
            "deletion of the current branch prohibited",
            "this is the default branch; a push can move it, not delete it",
        ));
    }
    Ok(())
}

/// Judges an update by the rules; every rule that matches must allow it. `ancestry` is asked only when a rule
/// forbids forced pushes.
pub(crate) fn judge_rules(
    rules: &[Rule],
    pusher: Pusher,
    path: &RepositoryPath,
    update: &RefUpdate,
    mut ancestry: impl FnMut() -> Ancestry,
) -> Result<(), Refused> {
    for rule in rules.iter().filter(|rule| rule.is_about(&update.name)) {
        let short = hakata_names::escape_controls(update.name.short());
        let by_name = pusher.user.is_some_and(|user| rule.allowed.contains(&user));
        let by_role = rule.push.is_some_and(|least| pusher.role.is_some_and(|role| role >= least));
        if !by_name && !by_role {
            let needs = rule
                .push
                .map_or("nobody may push to it".to_owned(), |role| format!("{role} and above may push"));
            let but = if rule.allowed.is_empty() { "" } else { " but whom it names" };
            return Err(Refused::new(
                format!("{short} is protected: push refused"),
                format!("the rule '{}' says: {needs}{but}; push another branch", rule.pattern.as_str()),
            ));
        }
        let forced = update.old.is_some() && update.new.is_some() && !rule.may_force && {
            rule.kind == ProtectionKind::Tag || ancestry() == Ancestry::Forced
        };
        if forced {
            return Err(rule.refuse(&short, path, "force-push", "--allow-force"));
        }
        if update.new.is_none() && !rule.may_delete {
            return Err(rule.refuse(&short, path, "deletion", "--allow-delete"));
        }
    }
    Ok(())
}

impl Rule {
    fn is_about(&self, name: &RefName) -> bool {
        let of_kind = match self.kind {
            ProtectionKind::Branch => name.branch().is_some(),
            ProtectionKind::Tag => name.tag().is_some(),
        };
        of_kind && self.pattern.matches(name)
    }

    fn refuse(&self, short: &str, path: &RepositoryPath, act: &str, option: &str) -> Refused {
        let tag = if self.kind == ProtectionKind::Tag { " --tag" } else { "" };
        let pattern = self.pattern.as_str();
        Refused::new(
            format!("{short} is protected: {act} refused"),
            format!("an administrator can allow it: hakata repo protect {path} '{pattern}'{tag} {option}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::{Oid, RefName, RefPattern, RefUpdate, RepositoryPath, UserId};
    use hakata_store::{ProtectionKind, Role};

    use super::{Ancestry, Pusher, Rule, judge_name, judge_rules};

    fn rule(kind: ProtectionKind, pattern: &str, push: Option<Role>) -> Rule {
        let pattern = RefPattern::parse(pattern).unwrap();
        Rule { kind, pattern, push, may_force: false, may_delete: false, allowed: vec![UserId::new(9)] }
    }

    fn update(name: &str, old: Option<u8>, new: Option<u8>) -> RefUpdate {
        let oid = |byte: Option<u8>| byte.map(|byte| Oid::from_bytes(&[byte; 20]).unwrap());
        RefUpdate { name: RefName::parse(name.as_bytes()).unwrap(), old: oid(old), new: oid(new) }
    }

    fn by_role(role: Role) -> Pusher {
        Pusher { role: Some(role), user: Some(UserId::new(1)) }
    }

    fn judge(rules: &[Rule], pusher: Pusher, update: &RefUpdate, ancestry: Ancestry) -> Result<(), String> {
        let path = RepositoryPath::parse("alice/tools").unwrap();
        judge_rules(rules, pusher, &path, update, || ancestry).map_err(|refused| refused.reason)
    }

    #[test]
    fn a_protected_branch_refuses_small_roles_force_and_deletion() {
        use Ancestry::{FastForward, Forced};
        let rules = [rule(ProtectionKind::Branch, "main", Some(Role::Maintainer))];
        let moved = update("refs/heads/main", Some(1), Some(2));
        let deleted = update("refs/heads/main", Some(1), None);
        let maintainer = by_role(Role::Maintainer);
        assert_eq!(judge(&rules, maintainer, &moved, FastForward), Ok(()));
        let refused = |what: &str| Err(format!("main is protected: {what} refused"));
        assert_eq!(judge(&rules, by_role(Role::Developer), &moved, FastForward), refused("push"));
        assert_eq!(judge(&rules, maintainer, &moved, Forced), refused("force-push"));
        assert_eq!(judge(&rules, by_role(Role::Owner), &deleted, FastForward), refused("deletion"));
        let other = update("refs/heads/topic", Some(1), Some(2));
        assert_eq!(judge(&rules, by_role(Role::Developer), &other, Forced), Ok(()));
    }

    #[test]
    fn nobody_means_nobody_but_the_named() {
        let rules = [rule(ProtectionKind::Branch, "release/*", None)];
        let moved = update("refs/heads/release/1", Some(1), Some(2));
        assert!(judge(&rules, by_role(Role::Owner), &moved, Ancestry::FastForward).is_err());
        let named = Pusher { role: Some(Role::Developer), user: Some(UserId::new(9)) };
        assert_eq!(judge(&rules, named, &moved, Ancestry::FastForward), Ok(()));
    }

    #[test]
    fn a_protected_tag_does_not_move_even_forward() {
        let rules = [rule(ProtectionKind::Tag, "v*", Some(Role::Developer))];
        let owner = by_role(Role::Owner);
        let made = update("refs/tags/v1", None, Some(1));
        let moved = update("refs/tags/v1", Some(1), Some(2));
        assert_eq!(judge(&rules, owner, &made, Ancestry::Forced), Ok(()));
        assert!(judge(&rules, owner, &moved, Ancestry::FastForward).is_err());
        let branch = update("refs/heads/v1", Some(1), Some(2));
        assert_eq!(
            judge(&rules, owner, &branch, Ancestry::Forced),
            Ok(()),
            "a rule about tags spares branches"
        );
    }

    #[test]
    fn every_matching_rule_must_agree_and_ancestry_is_asked_only_if_it_matters() {
        let mut lax = rule(ProtectionKind::Branch, "**", Some(Role::Developer));
        (lax.may_force, lax.may_delete) = (true, true);
        let path = RepositoryPath::parse("alice/tools").unwrap();
        let moved = update("refs/heads/main", Some(1), Some(2));
        let unasked = || panic!("nobody needs to know");
        judge_rules(std::slice::from_ref(&lax), by_role(Role::Developer), &path, &moved, unasked).unwrap();
        let strict = rule(ProtectionKind::Branch, "main", Some(Role::Owner));
        assert!(judge(&[lax, strict], by_role(Role::Developer), &moved, Ancestry::FastForward).is_err());
    }

    #[test]
    fn names_of_the_server_and_the_default_branch_are_safe() {
        let main = RefName::parse(b"refs/heads/main").unwrap();
        for name in ["refs/hakata/x", "refs/pull/1/head", "refs/for/main"] {
            assert!(judge_name(&update(name, None, Some(1)), &main).is_err(), "{name}");
        }
        assert!(judge_name(&update("refs/heads/main", Some(1), None), &main).is_err());
        for name in ["refs/heads/main", "refs/heads/pull/1", "refs/notes/commits", "refs/forks/x"] {
            assert!(judge_name(&update(name, None, Some(1)), &main).is_ok(), "{name}");
        }
    }
}
