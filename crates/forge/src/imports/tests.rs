//! Imports against real rows; over real HTTP they are tried in the tests of the binary.

use std::time::Duration;

use hakata_egress::{Guard, Resolver};
use hakata_store::imports::{self as rows, Import};
use hakata_store::jobs::{self as job_rows, Job};
use hakata_store::page::PageSize;
use hakata_store::{ImportState, JobState, RepositoryState, repositories};
use serde_json::json;

use crate::jobs::Outcome;
use crate::remotes::Remotes;
use crate::testing::{World, path};
use crate::{Error, Kind, Read, Settings};

impl World {
    async fn begin(&self, url: &str) -> Result<Import, Error> {
        let command = json!({
            "command": "repo", "action": "import_url", "url": url, "path": "alice/copy", "visibility": "private",
            "user": "bot", "password": "hunter2",
        });
        let outcome = self.admin(command).await?;
        let id: i64 = outcome.objects()[0]["id"].as_str().unwrap().parse().unwrap();
        Ok(self.import_row(id).await)
    }

    async fn import_row(&self, id: i64) -> Import {
        rows::find(&mut self.forge.db().read().await.unwrap(), id.into()).await.unwrap().unwrap()
    }

    async fn import_job(&self) -> Job {
        let mut conn = self.forge.db().read().await.unwrap();
        let listed = job_rows::list(&mut conn, JobState::Waiting, Some("import"), None, PageSize::MAX).await;
        listed.unwrap().rows.remove(0)
    }

    async fn is_there(&self, import: &Import) -> bool {
        let mut conn = self.forge.db().read().await.unwrap();
        repositories::find(&mut conn, import.repository).await.unwrap().is_some()
    }

    fn remotes(&self) -> Remotes {
        let resolver = Resolver::scripted(|name| match name {
            "intra.example.org" => vec!["169.254.169.254".parse().unwrap()],
            _ => Vec::new(),
        });
        let settings = hakata_egress::Settings { resolver, ..Default::default() };
        Remotes::new(self.forge.clone(), Guard::new(settings).unwrap(), self.path("authorities.pem")).unwrap()
    }
}

hakata_store::on_every_engine! {
    /// Until it is there, a repository that is imported is seen by nobody, keeps its name, and is not swept away.
    async fn a_repository_that_is_being_filled_keeps_its_name(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let import = world.begin("https://nowhere.example.org/x").await.unwrap();
        assert_eq!(import.state, ImportState::Waiting);
        assert!(!import.login.as_ref().unwrap().windows(7).any(|window| window == b"hunter2"));
        let hidden = world.forge.grant::<Read>(&alice, &path("alice/copy")).await.unwrap_err();
        assert_eq!(hidden.kind(), Kind::NotFound);
        assert_eq!(world.begin("https://other.example.org/x").await.unwrap_err().kind(), Kind::Conflict);
        let row = repositories::find(&mut world.forge.db().read().await.unwrap(), import.repository).await;
        assert_eq!(row.unwrap().unwrap().state, RepositoryState::Creating);
        world.clock.advance(Duration::from_secs(3 * 24 * 3_600));
        world.forge.repositories().sweep(1_000).await.unwrap();
        assert!(world.is_there(&import).await, "a job will fill it");
        let listed = world.admin(json!({ "command": "repo", "action": "imports", "act": "list", "limit": 9 })).await;
        let text = listed.unwrap().objects()[0].to_string();
        assert!(text.contains("\"state\":\"waiting\"") && !text.contains("hunter2"), "{text}");
    }

    /// What is away is tried again; after the last attempt, and where trying again is no use, nothing is left.
    async fn a_failure_leaves_nothing_behind(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let (remotes, import) = (world.remotes(), world.begin("https://nowhere.example.org/x").await.unwrap());
        let mut job = world.import_job().await;
        job.attempts = 1;
        assert!(matches!(remotes.import(&job).await, Outcome::Retry { .. }));
        let row = world.import_row(import.id.get()).await;
        assert!(row.state == ImportState::Waiting && row.error.unwrap().contains("no address"));
        assert!(world.is_there(&import).await);
        job.attempts = i64::from(crate::jobs::Kind::Import.rules().attempts);
        assert_eq!(remotes.import(&job).await, Outcome::Finish);
        let row = world.import_row(import.id.get()).await;
        assert!(row.state == ImportState::Failed && row.login.is_none() && row.finished_at.is_some());
        assert!(!world.is_there(&import).await);
        assert_eq!(remotes.import(&job).await, Outcome::Finish, "an end is an end");

        let import = world.begin("https://intra.example.org/x").await.unwrap();
        let mut job = world.import_job().await;
        job.attempts = 1;
        assert_eq!(remotes.import(&job).await, Outcome::Finish);
        let row = world.import_row(import.id.get()).await;
        assert!(row.state == ImportState::Failed && row.error.unwrap().contains("link-local"));
        assert!(!world.is_there(&import).await, "the name is free at once");
    }

    /// Whose change is durable is imported, however late somebody gives the import up.
    async fn what_is_committed_is_not_given_up(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let import = world.begin("https://nowhere.example.org/x").await.unwrap();
        let main = hakata_names::RefName::parse(b"refs/heads/main").unwrap();
        let mut conn = world.forge.db().write().await.unwrap();
        repositories::set_default_ref(&mut conn, import.repository, &main).await.unwrap();
        drop(conn);
        let cancel = json!({ "command": "repo", "action": "imports", "act": "cancel", "id": import.id.to_string() });
        assert_eq!(world.admin(cancel).await.unwrap_err().kind(), Kind::Conflict);
        assert!(world.is_there(&import).await);
        assert_eq!(world.import_row(import.id.get()).await.state, ImportState::Done);
    }

    /// An import can be cancelled, and one whose job is gone does not wait forever.
    async fn an_import_ends_with_its_job(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let import = world.begin("https://nowhere.example.org/x").await.unwrap();
        world.forge.end_abandoned_imports().await.unwrap();
        assert!(world.is_there(&import).await, "its job is there");
        let cancel = json!({ "command": "repo", "action": "imports", "act": "cancel", "id": import.id.to_string() });
        world.admin(cancel.clone()).await.unwrap();
        assert!(!world.is_there(&import).await);
        assert_eq!(world.admin(cancel).await.unwrap_err().kind(), Kind::Conflict);

        let import = world.begin("https://nowhere.example.org/x").await.unwrap();
        let job = world.import_job().await;
        job_rows::purge(&mut world.forge.db().write().await.unwrap(), job.id).await.unwrap();
        world.forge.end_abandoned_imports().await.unwrap();
        let row = world.import_row(import.id.get()).await;
        assert!(row.state == ImportState::Failed && !world.is_there(&import).await);
        world.clock.advance(Duration::from_secs(31 * 24 * 3_600));
        world.forge.end_abandoned_imports().await.unwrap();
        assert!(world.forge.list_imports(9).await.unwrap().is_empty(), "forgotten after a while");
    }
}
