//! Mirrors as people make and see them.

use std::time::Duration;

use hakata_names::{JobId, MirrorId, RepositoryPath};
use hakata_runtime::secret::Secret;
use hakata_store::mirrors::{self as rows, Mirror};
use hakata_store::page::PageSize;
use hakata_store::{Direction, StoreError, Visibility, repositories};
use serde_json::json;

use super::Filter;
use super::schedule::{Due, enqueue};
use crate::access::{Grant, Maintain};
use crate::audit::Entry;
use crate::hosting::Created;
use crate::remotes::{LoginWish, parse_url};
use crate::{Actor, Error, Forge, Kind};

/// A mirror to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) path: RepositoryPath,
    pub(crate) direction: Direction,
    pub(crate) url: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret<String>>,
    pub(crate) branches: Vec<String>,
    pub(crate) has_tags: bool,
    pub(crate) is_forced: bool,
    pub(crate) accepts_warnings: bool,
    /// `Some(0)`: only when there is reason to.
    pub(crate) every: Option<Duration>,
    /// Whether what is in the repository that follows may go, since the other's is to be there.
    pub(crate) overwrites: bool,
}

/// A mirror as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) row: Mirror,
    pub(crate) path: String,
}

impl Forge {
    /// Makes a mirror and begins to sync it. A repository that is to follow another is made if it is absent; one that
    /// has something in it must be given up for that. What the other side has is looked at by the first sync.
    pub(crate) async fn add_mirror(&self, actor: &Actor, wish: Wish) -> Result<MirrorId, Error> {
        let target = parse_url(&wish.url)?;
        let filter = Filter::new(wish.branches.iter().map(String::as_str), wish.has_tags)?;
        let interval_ms = millis(self.mirror_period(wish.every)?);
        let login = LoginWish { user: wish.user.clone(), password: wish.password.clone() }.check()?;
        let (grant, created) = self.place_of_mirror(actor, &wish).await?;
        self.check_others(&grant, &wish, target.as_str()).await?;
        let id: MirrorId = self.ids().next().await?;
        let login = match &login {
            Some(login) => Some(self.seal_login(id.into(), login).await?),
            None => None,
        };
        let now = self.clock().now_ms();
        let row = Mirror {
            id,
            repository: grant.repository(),
            direction: wish.direction,
            url: target.as_str().to_owned(),
            login,
            branches: filter.stored(),
            has_tags: wish.has_tags,
            is_forced: wish.is_forced,
            accepts_warnings: wish.accepts_warnings,
            interval_ms,
            next_at: self.next_sync(now, interval_ms, None),
            paused_at: None,
            tried_at: None,
            synced_at: None,
            failing_since: None,
            last_error: None,
            created_at: now,
            may_overwrite: wish.overwrites,
        };
        let detail = json!({ "direction": wish.direction.as_str(), "host": target.authority() });
        let audit = self.audit(actor, "mirror.add", grant.path(), detail).await?;
        self.write_mirror(&row, &audit).await?;
        if let Some(mut created) = created {
            created.keep();
        }
        Ok(id)
    }

    /// Writes a mirror, with the job that begins it.
    async fn write_mirror(&self, row: &Mirror, audit: &Entry) -> Result<(), Error> {
        let job: JobId = self.ids().next().await?;
        let _changing = self.changing_policy();
        let written = self.db().transaction(|tx| {
            Box::pin(async move {
                if row.direction == Direction::Pull
                    && !repositories::set_mirror(tx, row.repository, true).await?
                {
                    return Ok(false);
                }
                rows::insert(tx, row).await?;
                enqueue(tx, row, job, row.created_at, Due::Now).await?;
                audit.write(tx).await?;
                Ok::<_, StoreError>(true)
            })
        });
        match written.await? {
            true => Ok(()),
            false => Err(Error::new(Kind::Conflict, "this repository follows another already")),
        }
    }

    /// Finds the repository that is to be mirrored, or makes the one that is to follow.
    async fn place_of_mirror(
        &self,
        actor: &Actor,
        wish: &Wish,
    ) -> Result<(Grant<Maintain>, Option<Created>), Error> {
        let error = match self.grant::<Maintain>(actor, &wish.path).await {
            Ok(grant) => return Ok((grant, None)),
            Err(error) => error,
        };
        if error.kind() != Kind::NotFound || wish.direction == Direction::Push {
            return Err(error);
        }
        // Who may not create it learns as little as before.
        let created =
            self.create_for_mirror(actor, &wish.path).await.map_err(|other| match other.kind() {
                Kind::Forbidden | Kind::Conflict => error,
                _ => other,
            })?;
        Ok((self.grant(actor, &wish.path).await?, Some(created)))
    }

    /// Checks that there is room for one more mirror, and that nothing is lost by it unless that is meant.
    async fn check_others(&self, grant: &Grant<Maintain>, wish: &Wish, url: &str) -> Result<(), Error> {
        let others = rows::list_of(&mut self.db().read().await?, grant.repository()).await?;
        let most = self.settings().mirrors.per_repository;
        if others.len() >= most {
            return Err(Error::new(Kind::Invalid, format!("there are {most} mirrors already")));
        }
        if others.iter().any(|other| other.url == url && other.direction == wish.direction) {
            return Err(Error::new(Kind::Conflict, "there is a mirror of this URL already"));
        }
        if wish.direction == Direction::Pull && !wish.overwrites {
            self.check_empty(grant).await?;
        }
        Ok(())
    }

    /// Makes the empty repository that will follow another, private; it goes again unless that is kept.
    async fn create_for_mirror(&self, actor: &Actor, path: &RepositoryPath) -> Result<Created, Error> {
        let grant = self.create_repository(actor, path, Visibility::Private, None, String::new()).await?;
        Ok(Created::new(self, grant.repository(), grant.path(), Visibility::Private))
    }

    async fn check_empty(&self, grant: &Grant<Maintain>) -> Result<(), Error> {
        let opened = self.repositories().open(grant.repository()).await?;
        if opened.snapshot().is_empty() {
            return Ok(());
        }
        let words = format!("{} is not empty: what the other has not would be deleted in it", grant.path());
        Err(Error::new(Kind::Conflict, words).with_hint("say --overwrite if that is meant"))
    }

    /// Gives the time between two syncs; zero for none by itself.
    fn mirror_period(&self, wish: Option<Duration>) -> Result<Duration, Error> {
        let settings = &self.settings().mirrors;
        match wish {
            None => Ok(settings.every),
            Some(Duration::ZERO) => Ok(Duration::ZERO),
            Some(every) if every >= settings.least_every => Ok(every),
            Some(_) => {
                let least = settings.least_every.as_secs();
                Err(Error::new(Kind::Invalid, format!("the time between two syncs is at least {least} s"))
                    .with_hint("0s syncs only after pushes and when somebody asks for it; mirrors.least_every is the least"))
            }
        }
    }

    /// Lists the mirrors of a repository, or all.
    pub(crate) async fn list_mirrors(
        &self,
        actor: &Actor,
        path: Option<&RepositoryPath>,
    ) -> Result<Vec<Shown>, Error> {
        let found = match path {
            Some(path) => {
                let grant = self.grant::<Maintain>(actor, path).await?;
                rows::list_of(&mut self.db().read().await?, grant.repository()).await?
            }
            None if actor.is_admin() => self.all_mirrors().await?,
            None => return Err(Error::new(Kind::Forbidden, "only an administrator lists all mirrors")),
        };
        let mut shown = Vec::with_capacity(found.len());
        let mut conn = self.db().read().await?;
        for row in found {
            let repository = repositories::find(&mut conn, row.repository).await?;
            let path = repository.map_or_else(|| format!("#{}", row.repository), |it| it.path().to_string());
            shown.push(Shown { row, path });
        }
        Ok(shown)
    }

    async fn all_mirrors(&self) -> Result<Vec<Mirror>, Error> {
        let (mut all, mut after) = (Vec::new(), None);
        let mut conn = self.db().read().await?;
        loop {
            let page = rows::list(&mut conn, after, PageSize::MAX).await?;
            all.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Ends a mirror: what it brought stays, and a repository that followed another takes pushes again.
    pub(crate) async fn remove_mirror(&self, actor: &Actor, id: MirrorId) -> Result<(), Error> {
        let mirror = self.get_mirror(actor, id).await?;
        let audit = self.audit(actor, "mirror.remove", format!("mirror {id}"), json!({})).await?;
        let _changing = self.changing_policy();
        let removed = self.db().transaction(|tx| {
            let (mirror, audit) = (&mirror, &audit);
            Box::pin(async move {
                if !rows::delete(tx, mirror.id).await? {
                    return Ok(false);
                }
                if mirror.direction == Direction::Pull {
                    repositories::set_mirror(tx, mirror.repository, false).await?;
                }
                audit.write(tx).await?;
                Ok::<_, StoreError>(true)
            })
        });
        if removed.await? { Ok(()) } else { Err(no_mirror(id)) }
    }

    /// Syncs a mirror as soon as a worker is free.
    pub(crate) async fn sync_mirror(&self, actor: &Actor, id: MirrorId) -> Result<(), Error> {
        let mirror = self.get_mirror(actor, id).await?;
        if mirror.paused_at.is_some() {
            return Err(Error::new(Kind::Conflict, format!("mirror {id} is paused"))
                .with_hint(format!("hakata repo mirror resume {id}")));
        }
        let (job, now): (JobId, i64) = (self.ids().next().await?, self.clock().now_ms());
        let enqueued = self.db().transaction(|tx| {
            let mirror = &mirror;
            Box::pin(async move { enqueue(tx, mirror, job, now, Due::Now).await })
        });
        enqueued.await.map_err(|error: StoreError| Error::from(error))
    }

    /// Lets a mirror rest until it is resumed.
    pub(crate) async fn pause_mirror(&self, actor: &Actor, id: MirrorId) -> Result<(), Error> {
        self.get_mirror(actor, id).await?;
        let audit = self.audit(actor, "mirror.pause", format!("mirror {id}"), json!({})).await?;
        let now = self.clock().now_ms();
        let paused = self.db().transaction(|tx| {
            let audit = &audit;
            Box::pin(async move {
                let is_paused = rows::pause(tx, id, now).await?;
                if is_paused {
                    audit.write(tx).await?;
                }
                Ok::<_, StoreError>(is_paused)
            })
        });
        match paused.await? {
            true => Ok(()),
            false => Err(Error::new(Kind::Conflict, format!("mirror {id} is paused already"))),
        }
    }

    /// Ends a pause, and syncs at once.
    pub(crate) async fn resume_mirror(&self, actor: &Actor, id: MirrorId) -> Result<(), Error> {
        let mirror = self.get_mirror(actor, id).await?;
        let audit = self.audit(actor, "mirror.resume", format!("mirror {id}"), json!({})).await?;
        let (job, now): (JobId, i64) = (self.ids().next().await?, self.clock().now_ms());
        let resumed = self.db().transaction(|tx| {
            let (mirror, audit) = (&mirror, &audit);
            Box::pin(async move {
                if !rows::resume(tx, id).await? {
                    return Ok(false);
                }
                enqueue(tx, mirror, job, now, Due::Now).await?;
                audit.write(tx).await?;
                Ok::<_, StoreError>(true)
            })
        });
        match resumed.await? {
            true => Ok(()),
            false => Err(Error::new(Kind::Conflict, format!("mirror {id} is not paused"))),
        }
    }

    /// Reads a mirror of a repository whose settings the actor may change.
    async fn get_mirror(&self, actor: &Actor, id: MirrorId) -> Result<Mirror, Error> {
        let mut conn = self.db().read().await?;
        let mirror = rows::find(&mut conn, id).await?.ok_or_else(|| no_mirror(id))?;
        let row = repositories::find(&mut conn, mirror.repository).await?.ok_or_else(|| no_mirror(id))?;
        drop(conn);
        match self.grant::<Maintain>(actor, &row.path()).await {
            // An archived repository may still be let go.
            Ok(_) => Ok(mirror),
            Err(_) if actor.is_admin() => Ok(mirror),
            Err(error) if error.kind() == Kind::NotFound => Err(no_mirror(id)),
            Err(error) => Err(error),
        }
    }
}

fn no_mirror(id: MirrorId) -> Error {
    Error::new(Kind::NotFound, format!("there is no mirror {id}"))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
