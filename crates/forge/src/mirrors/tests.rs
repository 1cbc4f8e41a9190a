//! Mirrors against real rows; over real HTTP they are tried in the tests of the binary.

use std::time::Duration;

use hakata_egress::{Allow, Guard, Resolver};
use hakata_names::RefName;
use hakata_store::JobState;
use hakata_store::jobs::{self as job_rows, Job};
use hakata_store::mirrors::{self as rows, Mirror};
use hakata_store::page::PageSize;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::admin::Outcome;
use crate::jobs::{Kind as JobKind, Outcome as JobOutcome};
use crate::remotes::Remotes;
use crate::testing::{World, path};
use crate::{Actor, Error, Kind, Maintain, Settings, Write};

impl World {
    async fn add_mirror(&self, way: &str, url: &str, more: Value) -> Result<i64, Error> {
        let mut command = json!({
            "command": "repo", "action": "mirror", "act": "add", "path": "alice/tools", "direction": way,
            "url": url, "tags": true, "force": true,
        });
        for (key, value) in more.as_object().unwrap() {
            command[key] = value.clone();
        }
        let outcome = self.admin(command).await?;
        Ok(outcome.objects()[0]["id"].as_str().unwrap().parse().unwrap())
    }

    async fn mirror(&self, act: &str, id: i64) -> Result<Outcome, Error> {
        self.admin(json!({ "command": "repo", "action": "mirror", "act": act, "id": id.to_string() })).await
    }

    async fn mirror_row(&self, id: i64) -> Mirror {
        rows::find(&mut self.forge.db().read().await.unwrap(), id.into()).await.unwrap().unwrap()
    }

    async fn syncs(&self, state: JobState) -> Vec<Job> {
        let mut conn = self.forge.db().read().await.unwrap();
        job_rows::list(&mut conn, state, Some("mirror"), None, PageSize::MAX).await.unwrap().rows
    }

    /// Takes the jobs that wait, as a worker does, and ends each.
    async fn end_syncs(&self, outcome: &JobOutcome) -> usize {
        let queue = self.forge.job_queue("test", Duration::from_secs(60));
        let rules = JobKind::Mirror.rules();
        let claimed = queue.claim(JobKind::Mirror, &rules, 10, 10).await.unwrap();
        for job in &claimed {
            queue.settle(job, &rules, outcome).await.unwrap();
        }
        claimed.len()
    }
}

async fn world(database: hakata_store::testing::TestDatabase) -> (World, Actor) {
    let world = World::start(database, Settings::default()).await;
    let alice = world.user("alice").await;
    (world, alice)
}

hakata_store::on_every_engine! {
    /// A repository that is to follow is made, takes no pushes from people, and does again when the mirror is removed.
    async fn a_mirror_takes_no_pushes_as_long_as_it_is_one(database: TestDatabase) {
        let (world, alice) = world(database).await;
        let url = "https://git.example.org/x.git";
        let id = world.add_mirror("pull", url, json!({})).await.unwrap();
        let refused = world.forge.grant::<Write>(&alice, &path("alice/tools")).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Forbidden);
        assert!(refused.to_string().contains("mirror") && refused.hint().is_some(), "{refused}");
        let pushed = world.forge.open_push(&alice, &path("alice/tools")).await.unwrap_err();
        assert_eq!(pushed.kind(), Kind::Forbidden);
        world.forge.grant::<Write>(&Actor::System, &path("alice/tools")).await.unwrap();
        world.forge.grant::<Maintain>(&alice, &path("alice/tools")).await.unwrap();
        let again = world.add_mirror("pull", "https://git.example.org/y.git", json!({})).await.unwrap_err();
        assert_eq!(again.kind(), Kind::Conflict, "one repository cannot follow two");
        world.add_mirror("push", "https://git.example.org/y.git", json!({})).await.unwrap();
        world.mirror("remove", id).await.unwrap();
        world.forge.grant::<Write>(&alice, &path("alice/tools")).await.unwrap();
        assert_eq!(world.mirror("remove", id).await.unwrap_err().kind(), Kind::NotFound);
    }

    /// A login is kept sealed, and neither a list nor a log line of the command has it.
    async fn a_login_is_never_shown(database: TestDatabase) {
        let (world, _) = world(database).await;
        let login = json!({ "user": "bot", "password": "hunter2" });
        let id = world.add_mirror("pull", "https://git.example.org/x", login).await.unwrap();
        let sealed = world.mirror_row(id).await.login.unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        let listed = world.admin(json!({ "command": "repo", "action": "mirror", "act": "list" })).await.unwrap();
        let text = listed.objects()[0].to_string();
        assert!(!text.contains("hunter2") && !text.contains("bot") && text.contains("\"login\":true"), "{text}");
        let command: crate::admin::Command = serde_json::from_value(json!({
            "command": "repo", "action": "mirror", "act": "add", "path": "a/b", "direction": "pull",
            "url": "https://x/y", "tags": true, "force": true, "password": "hunter2",
        })).unwrap();
        assert!(!format!("{command:?}").contains("hunter2"));
        for url in ["https://bot:hunter2@git.example.org/x", "ssh://git@example.org/x", "/srv/x.git"] {
            let refused = world.add_mirror("push", url, json!({})).await.unwrap_err();
            assert_eq!(refused.kind(), Kind::Invalid);
            assert!(!format!("{refused:?}").contains("hunter2"));
        }
    }

    /// A mirror is enqueued when it is made, when its time comes, and when somebody asks; never twice at once.
    async fn a_sync_is_enqueued_once(database: TestDatabase) {
        let (world, _) = world(database).await;
        let id = world.add_mirror("pull", "https://git.example.org/x", json!({ "every_s": 3_600 })).await.unwrap();
        assert_eq!(world.syncs(JobState::Waiting).await.len(), 1, "at once");
        world.clock.advance(Duration::from_secs(3_600 * 11 / 10 + 1));
        assert_eq!(world.forge.schedule_mirrors().await.unwrap(), 1);
        assert_eq!(world.forge.schedule_mirrors().await.unwrap(), 0, "its time is another now");
        assert_eq!(world.syncs(JobState::Waiting).await.len(), 1, "the one that waits does it");
        assert_eq!(world.end_syncs(&JobOutcome::Finish).await, 1);
        world.mirror("sync", id).await.unwrap();
        world.mirror("sync", id).await.unwrap();
        let later = JobOutcome::Retry { why: "away".to_owned(), after: None };
        assert_eq!(world.end_syncs(&later).await, 1);
        assert_eq!(world.end_syncs(&later).await, 0, "it waits for its next attempt");
        world.mirror("sync", id).await.unwrap();
        assert_eq!(world.end_syncs(&JobOutcome::Bury { why: "no".to_owned() }).await, 1, "who asks does not wait");
        assert_eq!(world.syncs(JobState::Buried).await.len(), 1);
        world.mirror("sync", id).await.unwrap();
        assert!(world.syncs(JobState::Buried).await.is_empty(), "what was given up is begun anew");
        world.mirror("pause", id).await.unwrap();
        assert_eq!(world.mirror("sync", id).await.unwrap_err().kind(), Kind::Conflict);
        world.clock.advance(Duration::from_secs(100_000));
        assert_eq!(world.forge.schedule_mirrors().await.unwrap(), 0, "a paused one rests");
        world.mirror("resume", id).await.unwrap();
        assert_eq!(world.end_syncs(&JobOutcome::Finish).await, 1);
    }

    /// Who takes a mirror away means what is under way too: the connection to the other host ends soon.
    async fn a_mirror_that_is_taken_away_stops(database: TestDatabase) {
        let (world, _) = world(database).await;
        let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", there.local_addr().unwrap());
        let id = world.add_mirror("pull", &url, json!({})).await.unwrap();
        let settings = hakata_egress::Settings { allow: Allow::parse(["127.0.0.0/8"]).unwrap(), ..Default::default() };
        let guard = Guard::new(settings).unwrap();
        let remotes = Remotes::new(world.forge.clone(), guard, world.path("authorities.pem")).unwrap();
        let job = world.syncs(JobState::Waiting).await.remove(0);
        let syncing = tokio::spawn(async move { remotes.sync(&job).await });
        let (mut asked, _) = there.accept().await.unwrap();
        world.mirror("remove", id).await.unwrap();
        // Never answered: the other end closes, or this waits for as long as a sync may take.
        let mut request = Vec::new();
        asked.read_to_end(&mut request).await.unwrap();
        assert!(request.starts_with(b"GET /x/info/refs"));
        assert_eq!(syncing.await.unwrap(), JobOutcome::Finish);
    }

    /// A row that cannot be read, of a newer release perhaps, holds up no other mirror, and is told of once.
    async fn one_odd_mirror_holds_up_no_other(database: TestDatabase) {
        let (world, _) = world(database).await;
        let add = async |url: &str| world.add_mirror("push", url, json!({ "every_s": 3_600 })).await.unwrap();
        world.admin(json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "private" }))
            .await.unwrap();
        let (odd, fine) = (add("https://git.example.org/x").await, add("https://git.example.org/y").await);
        assert_eq!(world.end_syncs(&JobOutcome::Finish).await, 1, "one at once");
        assert_eq!(world.end_syncs(&JobOutcome::Finish).await, 1);
        world.database.execute(&format!("UPDATE mirror SET direction = 'around', next_at = 1 WHERE id = {odd}")).await;
        let round = async || {
            world.clock.advance(Duration::from_secs(3_600 * 11 / 10 + 1));
            world.forge.schedule_mirrors().await.unwrap()
        };
        assert_eq!(round().await, 1);
        assert_eq!(world.syncs(JobState::Waiting).await[0].payload, format!("{{\"mirror\":{fine}}}"));
        assert_eq!(world.end_syncs(&JobOutcome::Finish).await, 1);
        assert_eq!(round().await, 1, "and so the next time");
        world.database.execute(&format!("UPDATE mirror SET direction = 'push' WHERE id = {odd}")).await;
        assert_eq!(world.forge.schedule_mirrors().await.unwrap(), 1, "mended, it is tried again");
    }

    /// After a push, mirrors that follow us are synced, and not those that we follow.
    async fn pushes_are_passed_on(database: TestDatabase) {
        let (world, alice) = world(database).await;
        world.admin(json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "private" }))
            .await.unwrap();
        let id = world.add_mirror("push", "https://git.example.org/x", json!({ "every_s": 0 })).await.unwrap();
        assert_eq!(world.mirror_row(id).await.next_at, None, "only when there is reason to");
        assert_eq!(world.end_syncs(&JobOutcome::Finish).await, 1);
        let repository = world.forge.grant::<Write>(&alice, &path("alice/tools")).await.unwrap().repository();
        world.forge.fan_out_webhooks(repository).await.unwrap();
        assert!(world.syncs(JobState::Waiting).await.is_empty(), "nothing moved in it");
        let mut conn = world.forge.db().write().await.unwrap();
        let main = RefName::parse(b"refs/heads/trunk").unwrap();
        hakata_store::repositories::set_default_ref(&mut conn, repository, &main).await.unwrap();
        drop(conn);
        world.forge.fan_out_webhooks(repository).await.unwrap();
        assert_eq!(world.syncs(JobState::Waiting).await.len(), 1);
    }

    /// What may not be reached is given up at once, what is away is tried again; the row tells which and since when.
    async fn failures_are_told(database: TestDatabase) {
        let (world, _) = world(database).await;
        let resolver = Resolver::scripted(|name| match name {
            "intra.example.org" => vec!["10.0.0.7".parse().unwrap()],
            _ => Vec::new(),
        });
        let settings = hakata_egress::Settings { resolver, allow: Allow::default(), ..Default::default() };
        let authorities = world.path("authorities.pem");
        let remotes = Remotes::new(world.forge.clone(), Guard::new(settings).unwrap(), authorities).unwrap();
        let inside = world.add_mirror("pull", "https://intra.example.org/x", json!({})).await.unwrap();
        let job = world.syncs(JobState::Waiting).await.remove(0);
        let outcome = remotes.sync(&job).await;
        assert!(matches!(&outcome, JobOutcome::Bury { why } if why.contains("private address")), "{outcome:?}");
        let row = world.mirror_row(inside).await;
        assert!(row.failing_since.is_some() && row.synced_at.is_none());
        assert!(row.last_error.unwrap().contains("private address"));
        world.mirror("remove", inside).await.unwrap();
        assert_eq!(remotes.sync(&job).await, JobOutcome::Finish, "nobody wants it any more");
        let away = world.add_mirror("pull", "https://nowhere.example.org/x", json!({})).await.unwrap();
        let jobs = world.syncs(JobState::Waiting).await;
        let outcome = remotes.sync(jobs.last().unwrap()).await;
        assert!(matches!(outcome, JobOutcome::Retry { .. }), "{outcome:?}");
        assert!(world.mirror_row(away).await.last_error.unwrap().contains("no address"));
    }
}

#[tokio::test]
async fn a_repository_with_something_in_it_is_given_up_only_on_purpose() {
    let world = World::new().await;
    world.user("alice").await;
    let source = world.work_tree("t");
    let recover = json!({ "command": "repo", "action": "recover", "path": "alice/tools", "source": source.join(".git") });
    world.admin(recover).await.unwrap();
    let url = "https://git.example.org/x";
    let refused = world.add_mirror("pull", url, json!({})).await.unwrap_err();
    assert!(refused.kind() == Kind::Conflict && refused.hint().unwrap().contains("--overwrite"));
    world.add_mirror("pull", url, json!({ "overwrite": true })).await.unwrap();
}

#[tokio::test]
async fn the_next_sync_is_about_a_period_away_and_later_for_what_fails() {
    let world = World::new().await;
    let (hour, now) = (3_600_000, 1_000_000_000_000_i64);
    let next = |failing: Option<i64>| world.forge.next_sync(now, hour, failing).unwrap() - now;
    let times: Vec<i64> = (0..50).map(|_| next(None)).collect();
    assert!(times.iter().all(|time| (hour * 9 / 10 - 1..=hour * 11 / 10 + 1).contains(time)), "{times:?}");
    assert!(times.iter().max() != times.iter().min(), "not all at once");
    assert!(next(Some(now - hour)) < 2 * hour, "a short outage changes nothing");
    assert!(next(Some(now - 40 * hour)) > 8 * hour, "a long one is asked about less often");
    assert!(next(Some(now - 4_000 * hour)) < 27 * hour, "but once a day");
    assert_eq!(world.forge.next_sync(now, 0, None), None);
    world.user("alice").await;
    let absent = world.add_mirror("push", "https://x/y", json!({})).await.unwrap_err();
    assert_eq!(absent.kind(), Kind::NotFound, "nothing is made to be followed");
    let soon = world.add_mirror("pull", "https://x/y", json!({ "every_s": 1 })).await.unwrap_err();
    assert_eq!(soon.kind(), Kind::Invalid);
}
