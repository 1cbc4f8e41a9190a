//! The forge itself: what all of policy works with.

use std::sync::Arc;
use std::time::Duration;

use hakata_git::Git;
use hakata_mail::Mailer;
use hakata_names::RepositoryId;
use hakata_repository::Repositories;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::limit::{Bounds, Keyed};
use hakata_runtime::tasks::Tasks;
use hakata_store::Db;
use hakata_store::ids::Allocator;

use crate::Settings;
use crate::access::FactsCache;
use crate::auth::Authenticator;
use crate::hosting::Client;

/// All turns together are bounded by connections; a client waits as long as it would for a git process.
const TURNS: Bounds = Bounds { permits: 1 << 20, queue: 4_096, wait: Duration::from_secs(30) };

/// The engines that a forge stands on, put together by the binary.
#[derive(Debug)]
pub struct Parts {
    /// The database, migrated.
    pub db: Db,
    /// The repositories over it.
    pub repositories: Repositories,
    /// The git that they use.
    pub git: Git,
    /// The pool for work that blocks.
    pub blocking: Blocking,
    /// The time.
    pub clock: Clock,
    /// The owner of the forge's own tasks.
    pub tasks: Tasks,
}

/// Policy over one installation; a handle that is cheap to clone.
#[derive(Clone, Debug)]
pub struct Forge {
    pub(crate) inner: Arc<Inner>,
}

/// What the handles share.
#[derive(Debug)]
pub(crate) struct Inner {
    parts: Parts,
    settings: Settings,
    pub(crate) facts: FactsCache,
    pub(crate) authenticator: Authenticator,
    pub(crate) pushes: Keyed<RepositoryId>,
    pub(crate) turns: Keyed<Client>,
    pub(crate) lfs: crate::lfs::State,
    pub(crate) unscheduled: crate::mirrors::Unscheduled,
    /// `None`: mail is off.
    pub(crate) mailer: Option<Mailer>,
}

impl Forge {
    /// Puts a forge together.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let bounds = Bounds { permits: settings.pushes_at_once, ..Bounds::default() };
        let inner = Inner {
            facts: FactsCache::new(),
            authenticator: Authenticator::new(&parts, &settings),
            pushes: Keyed::new("pushes", bounds, settings.pushes_per_repository),
            turns: Keyed::new("client_transfers", TURNS, settings.transfers_per_client),
            lfs: crate::lfs::State::new(&settings.lfs),
            unscheduled: crate::mirrors::Unscheduled::default(),
            mailer: settings.mail.mailer(),
            parts,
            settings,
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.parts.db
    }

    pub(crate) fn repositories(&self) -> &Repositories {
        &self.inner.parts.repositories
    }

    pub(crate) fn ids(&self) -> &Allocator {
        self.inner.parts.repositories.ids()
    }

    pub(crate) fn git(&self) -> &Git {
        &self.inner.parts.git
    }

    pub(crate) fn blocking(&self) -> &Blocking {
        &self.inner.parts.blocking
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.parts.clock
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.inner.parts.tasks
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }
}
