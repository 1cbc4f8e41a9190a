//! Imports against real rows; over real HTTP they are tried in the tests of the binary.

use std::time::Duration;

use hakata_egress::{Allow, Guard, Resolver};
use hakata_repository::{Import as Intake, Rows, no_rows};
use hakata_store::imports::{self as rows, Import};
use hakata_store::jobs::{self as job_rows, Job};
use hakata_store::page::PageSize;
use hakata_store::{ImportState, JobState, RepositoryState, Visibility, repositories};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::Wish;
use super::run::key;
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

    /// Commits what an import fetched, as its worker does.
    async fn commit_import(&self, import: &Import, also: impl Rows + Clone) {
        let intake =
            Intake { idempotency_key: Some(key(import.id)), ..Intake::new(self.work_tree("t").join(".git")) };
        let repository = self.forge.repositories().open(import.repository).await.unwrap();
        let _changing = self.forge.changing_policy();
        repository.import(&intake, also, |_| {}).await.unwrap();
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
    /// Until it is there, a repository that is imported is seen by no stranger, takes nothing from its owner and says so,
    /// keeps its name, and is not swept away.
    async fn a_repository_that_is_being_filled_keeps_its_name(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let import = world.begin("https://nowhere.example.org/x").await.unwrap();
        assert_eq!(import.state, ImportState::Waiting);
        assert!(!import.login.as_ref().unwrap().windows(7).any(|window| window == b"hunter2"));
        let bob = world.user("bob").await;
        let hidden = world.forge.open_push(&bob, &path("alice/copy")).await.unwrap_err();
        assert_eq!(hidden.kind(), Kind::NotFound);
        let refused = [
            world.forge.open_push(&alice, &path("alice/copy")).await.unwrap_err(),
            world.forge.grant::<Read>(&alice, &path("alice/copy")).await.unwrap_err(),
        ];
        for refused in refused {
            assert!(refused.kind() == Kind::Conflict && refused.to_string().contains("still being imported"), "{refused}");
        }
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
        // As an earlier release did it: the import's row does not end with the commit.
        world.commit_import(&import, no_rows).await;
        let cancel = json!({ "command": "repo", "action": "imports", "act": "cancel", "id": import.id.to_string() });
        assert_eq!(world.admin(cancel).await.unwrap_err().kind(), Kind::Conflict);
        assert!(world.is_there(&import).await);
        assert_eq!(world.import_row(import.id.get()).await.state, ImportState::Done);
    }

    /// The commit itself ends the import: whoever dies behind it leaves nothing to be done again, and people may push at
    /// once.
    async fn an_import_is_done_with_its_commit(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let (remotes, import) = (world.remotes(), world.begin("https://nowhere.example.org/x").await.unwrap());
        let mut job = world.import_job().await;
        job.attempts = 1;
        world.commit_import(&import, world.forge.ending(import.id)).await;
        let row = world.import_row(import.id.get()).await;
        assert!(row.state == ImportState::Done && row.login.is_none() && row.finished_at.is_some());
        let work = world.path("t");
        world.commit(&work, "two");
        world.push(&alice, "alice/copy", &work, &["main"]).await.ok();
        let repository = world.forge.repositories().open(import.repository).await.unwrap();
        let tips = repository.snapshot().tips().to_vec();
        assert_eq!(remotes.import(&job).await, Outcome::Finish);
        let repository = world.forge.repositories().open(import.repository).await.unwrap();
        assert_eq!(repository.snapshot().tips(), tips, "what was pushed since stays");
    }

    /// A repository that is in use by another way is neither overwritten nor called imported.
    async fn what_others_use_is_not_called_imported(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let (remotes, import) = (world.remotes(), world.begin("https://nowhere.example.org/x").await.unwrap());
        let mut job = world.import_job().await;
        job.attempts = 1;
        // As an earlier release did it before there was anything in it; then somebody pushes.
        let (from, to, id) = (RepositoryState::Creating, RepositoryState::Active, import.repository);
        let main = hakata_names::RefName::parse(b"refs/heads/trunk").unwrap();
        let mut conn = world.forge.db().write().await.unwrap();
        repositories::set_state(&mut conn, id, from, to, 0).await.unwrap();
        repositories::set_default_ref(&mut conn, id, &main).await.unwrap();
        drop(conn);
        assert_eq!(remotes.import(&job).await, Outcome::Finish);
        let row = world.import_row(import.id.get()).await;
        assert!(row.state == ImportState::Failed && row.error.unwrap().contains("in use"));
        assert!(world.is_there(&import).await);
    }

    /// An import that waited for long is not made for somebody who may not any more.
    async fn an_import_asks_again_who_may(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let wish = Wish {
            path: path("alice/copy"),
            url: "https://nowhere.example.org/x".to_owned(),
            user: None,
            password: None,
            visibility: Visibility::Private,
            object_format: None,
            accepts_warnings: false,
        };
        let id = world.forge.begin_import(&alice, wish).await.unwrap();
        world.admin(json!({ "command": "user", "action": "disable", "name": "alice" })).await.unwrap();
        let mut job = world.import_job().await;
        job.attempts = 1;
        assert_eq!(world.remotes().import(&job).await, Outcome::Finish);
        let row = world.import_row(id.get()).await;
        assert!(row.state == ImportState::Failed && row.error.unwrap().contains("may not create"));
    }

    /// Who cancels an import does not pay for the rest of it: the connection to the other host ends soon.
    async fn a_cancelled_import_stops_fetching(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let import = world.begin(&format!("http://{}/x", there.local_addr().unwrap())).await.unwrap();
        let mut job = world.import_job().await;
        job.attempts = 1;
        let settings = hakata_egress::Settings { allow: Allow::parse(["127.0.0.0/8"]).unwrap(), ..Default::default() };
        let guard = Guard::new(settings).unwrap();
        let remotes = Remotes::new(world.forge.clone(), guard, world.path("authorities.pem")).unwrap();
        let importing = tokio::spawn(async move { remotes.import(&job).await });
        let (mut asked, _) = there.accept().await.unwrap();
        let cancel = json!({ "command": "repo", "action": "imports", "act": "cancel", "id": import.id.to_string() });
        world.admin(cancel).await.unwrap();
        // Never answered: the other end closes, or this waits for as long as an import may take.
        let mut request = Vec::new();
        asked.read_to_end(&mut request).await.unwrap();
        assert!(request.starts_with(b"GET /x/info/refs"));
        assert_eq!(importing.await.unwrap(), Outcome::Finish);
        assert_eq!(world.import_row(import.id.get()).await.error.unwrap(), "cancelled");
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
