//! The proof that an act was allowed.

use std::marker::PhantomData;
use std::sync::Arc;

use hakata_names::{RepositoryId, RepositoryPath, UserId};
use hakata_store::repositories;

use super::policy::ActKind;
use super::{Asker, Facts, Verdict, decide, is_refused_by_mirror};
use crate::{Actor, Error, Forge, Kind, Role, Scopes};

mod sealed {
    pub trait Sealed {}
}

/// An act as a type, so that a function can ask for the grant it needs.
pub trait Act: sealed::Sealed + Send + Sync + 'static {
    /// The same act as a value.
    const KIND: ActKind;
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident),+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl sealed::Sealed for $name {}

        impl Act for $name {
            const KIND: ActKind = ActKind::$name;
        }
    )+};
}

acts! {
    /// Fetch, archive, look.
    Read,
    /// Push.
    Write,
    /// Change settings, protections, deploy keys.
    Maintain,
    /// Delete, rename, change members and visibility.
    Own
}

/// Proof that an actor may do `A` to one repository; only [`Forge::grant`] makes one.
pub struct Grant<A> {
    actor: Actor,
    facts: Arc<Facts>,
    act: PhantomData<A>,
}

impl<A> Grant<A> {
    /// Tells whose grant it is.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Tells the repository's row.
    pub fn repository(&self) -> RepositoryId {
        self.facts.id
    }

    /// Tells the repository's path, in its owner's spelling.
    pub fn path(&self) -> &RepositoryPath {
        &self.facts.path
    }

    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }
}

impl<A> Clone for Grant<A> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), facts: self.facts.clone(), act: PhantomData }
    }
}

impl<A: Act> std::fmt::Debug for Grant<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grant<{:?}>({} on {})", A::KIND, self.actor.name(), self.path())
    }
}

impl Forge {
    /// Decides whether `actor` may do `A` to the repository at `path`.
    ///
    /// Cost: one look-up in memory when this process owns the database, else one SQL round trip.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is absent or hidden ([`Kind::Unauthenticated`] for an anonymous actor, in
    /// both cases); [`Kind::Forbidden`] when it is visible and the act is not allowed.
    pub async fn grant<A: Act>(&self, actor: &Actor, path: &RepositoryPath) -> Result<Grant<A>, Error> {
        let facts = self.facts(actor, path).await?;
        grant_from(actor, facts)
    }
}

impl Forge {
    /// Decides whether a user may read a repository now, signed in as themselves.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn may_read(
        &self,
        user: UserId,
        is_admin: bool,
        id: RepositoryId,
    ) -> Result<bool, Error> {
        let mut conn = self.db().read().await?;
        let Some(standing) = repositories::find_standing_by_id(&mut conn, id, Some(user)).await? else {
            return Ok(false);
        };
        let facts = Facts::new(&standing, Some(user));
        let role = if is_admin { Some(Role::Owner) } else { facts.role };
        let asker = Asker::User { role, scopes: Scopes::ALL };
        Ok(decide(asker, facts.visibility, facts.state, ActKind::Read) == Verdict::Allow)
    }
}

/// Decides on facts already read; `None` stands for no such repository.
pub(crate) fn grant_from<A: Act>(actor: &Actor, facts: Option<Arc<Facts>>) -> Result<Grant<A>, Error> {
    let Some(facts) = facts else { return Err(hidden(actor)) };
    let asker = asker(actor, &facts);
    match decide(asker, facts.visibility, facts.state, A::KIND) {
        Verdict::Allow if is_refused_by_mirror(asker, facts.is_mirror, A::KIND) => Err(Error::new(
            Kind::Forbidden,
            "this repository is a mirror: it follows one of another host and takes no pushes",
        )
        .with_hint("push to the repository that it follows")),
        Verdict::Allow => Ok(Grant { actor: actor.clone(), facts, act: PhantomData }),
        Verdict::Hide => Err(hidden(actor)),
        Verdict::SignIn => Err(Error::sign_in()),
        Verdict::RefuseRole => Err(refuse_role(A::KIND)),
        Verdict::RefuseScope => Err(refuse_scope(A::KIND)),
        Verdict::RefuseArchived => {
            Err(Error::new(Kind::Forbidden, "this repository is archived and read-only")
                .with_hint("its owner can take it out of the archive"))
        }
        Verdict::RefuseUnfinished => {
            Err(Error::new(Kind::Conflict, "this repository is still being imported and cannot be used yet")
                .with_hint("come again when the import is done: hakata repo imports tells how far it is"))
        }
    }
}

/// The one answer for absent and hidden.
pub(crate) fn hidden(actor: &Actor) -> Error {
    match actor {
        Actor::Anonymous => Error::sign_in(),
        _ => Error::repository_not_found(),
    }
}

fn asker(actor: &Actor, facts: &Facts) -> Asker {
    match actor {
        Actor::Anonymous => Asker::Anonymous,
        Actor::System => Asker::System,
        Actor::DeployKey { repository, can_write, .. } if *repository == facts.id => {
            Asker::KeyOfThis { can_write: *can_write }
        }
        Actor::DeployKey { .. } => Asker::KeyOfAnother,
        Actor::User { .. } => {
            let role = if actor.is_admin() { Some(Role::Owner) } else { facts.role };
            Asker::User { role, scopes: actor.scopes() }
        }
    }
}

fn refuse_role(act: ActKind) -> Error {
    let role = act.role();
    let words = match act {
        ActKind::Read => "reading",
        ActKind::Write => "pushing",
        ActKind::Maintain => "changing its settings",
        ActKind::Own => "owning it",
    };
    Error::new(Kind::Forbidden, format!("you may see this repository, but {words} needs the role {role}"))
        .with_hint("ask an owner of the repository for a larger role, or use a key or account that has it")
}

fn refuse_scope(act: ActKind) -> Error {
    let scope = act.scope().as_str();
    Error::new(Kind::Forbidden, format!("this token lacks the scope {scope}"))
        .with_hint(format!("make a token with: hakata token new --user NAME --scope {scope}"))
}
