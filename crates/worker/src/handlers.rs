//! What is done for each kind of job; one file a kind.

mod commits;
mod disk_usage;
mod fan_out;
mod lfs_scrub;
mod lfs_sweep;
mod maintain;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hakata_forge::Forge;
use hakata_forge::jobs::{Job, Kind, Outcome, Rules};
use hakata_forge::mail::Postman;
use hakata_forge::remotes::Remotes;
use hakata_forge::webhooks::Courier;

/// Runs one attempt. Dropping its future must stop it.
type Run = Arc<dyn Fn(Job) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// How jobs of one kind are run.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) rules: Rules,
    pub(crate) run: Run,
}

/// The handlers of a worker; kinds without one are left to other workers.
#[derive(Clone, Default)]
pub struct Handlers {
    by_kind: BTreeMap<Kind, Handler>,
}

impl Handlers {
    /// Makes the handlers of all kinds that need nothing but the forge.
    pub fn of(forge: &Forge) -> Self {
        let mut handlers = Self::default();
        let goes_out = |kind: &Kind| matches!(kind, Kind::Webhook | Kind::Mail | Kind::Mirror | Kind::Import);
        for &kind in Kind::ALL.iter().filter(|kind| !goes_out(kind)) {
            let forge = forge.clone();
            let run = move |job| {
                let forge = forge.clone();
                async move {
                    match kind {
                        Kind::Commits => commits::run(&forge, &job).await,
                        Kind::DiskUsage => disk_usage::run(&forge, &job).await,
                        Kind::Maintain => maintain::run(&forge, &job).await,
                        Kind::LfsSweep => lfs_sweep::run(&forge, &job).await,
                        Kind::LfsScrub => lfs_scrub::run(&forge).await,
                        Kind::FanOut => fan_out::run(&forge, &job).await,
                        // Needs a courier, a postman, or the way to other hosts.
                        Kind::Webhook | Kind::Mail | Kind::Mirror | Kind::Import => {
                            Outcome::Retry { why: "nobody carries it".to_owned(), after: None }
                        }
                    }
                }
            };
            handlers = handlers.with(kind, kind.rules(), run);
        }
        handlers
    }

    /// Adds the handler of deliveries.
    #[must_use]
    pub fn with_courier(self, courier: Courier) -> Self {
        self.with(Kind::Webhook, Kind::Webhook.rules(), move |job| {
            let courier = courier.clone();
            async move { courier.deliver(&job.payload).await }
        })
    }

    /// Adds the handlers of mirrors and of imports from other hosts.
    #[must_use]
    pub fn with_remotes(self, remotes: &Remotes) -> Self {
        let (mirrors, imports) = (remotes.clone(), remotes.clone());
        let mirror = move |job: Job| {
            let remotes = mirrors.clone();
            async move { remotes.sync(&job).await }
        };
        let import = move |job: Job| {
            let remotes = imports.clone();
            async move { remotes.import(&job).await }
        };
        self.with(Kind::Mirror, Kind::Mirror.rules(), mirror).with(Kind::Import, Kind::Import.rules(), import)
    }

    /// Adds the handler of mail. Without a postman, mail is left to other workers.
    #[must_use]
    pub fn with_postman(self, postman: Option<Postman>) -> Self {
        let Some(postman) = postman else { return self };
        self.with(Kind::Mail, Kind::Mail.rules(), move |job| {
            let postman = postman.clone();
            async move { postman.deliver(&job).await }
        })
    }

    /// Adds the handler of a kind, or replaces it.
    #[must_use]
    pub fn with<F>(mut self, kind: Kind, rules: Rules, run: impl Fn(Job) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let run: Run = Arc::new(move |job| Box::pin(run(job)));
        self.by_kind.insert(kind, Handler { rules, run });
        self
    }

    pub(crate) fn find(&self, kind: Kind) -> Option<&Handler> {
        self.by_kind.get(&kind)
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.by_kind.keys().copied()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_kind.keys()).finish()
    }
}
