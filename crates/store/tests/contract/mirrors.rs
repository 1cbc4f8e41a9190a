//! Mirrors and imports: scheduled once, noted as they went, gone with their repository.

use hakata_names::{ImportId, JobId, MirrorId, RepositoryId};
use hakata_store::imports::{self, Import};
use hakata_store::jobs::{self, NewJob};
use hakata_store::mirrors::{self, Mirror};
use hakata_store::page::PageSize;
use hakata_store::repositories::{self, Erased};
use hakata_store::{Direction, ImportState, RepositoryState, on_every_engine};

use crate::fixture::{self, Fixture};

fn mirror(id: i64, repository: RepositoryId, direction: Direction) -> Mirror {
    Mirror {
        id: MirrorId::new(id),
        repository,
        direction,
        url: "https://git.example.org/é.git".to_owned(),
        login: Some(vec![0, 255, 7]),
        branches: "main release/*".to_owned(),
        has_tags: true,
        is_forced: false,
        accepts_warnings: false,
        interval_ms: 1_000,
        next_at: Some(50),
        paused_at: None,
        tried_at: None,
        synced_at: None,
        failing_since: None,
        last_error: None,
        created_at: 5,
        may_overwrite: false,
    }
}

fn import(id: i64, repository: RepositoryId, job: i64) -> Import {
    Import {
        id: ImportId::new(id),
        repository,
        path: "alice/tools".to_owned(),
        url: "https://git.example.org/x".to_owned(),
        login: Some(vec![1, 2]),
        accepts_warnings: true,
        actor: None,
        job: JobId::new(job),
        state: ImportState::Waiting,
        phase: None,
        size_bytes: 0,
        error: None,
        created_at: 5,
        started_at: None,
        finished_at: None,
    }
}

on_every_engine! {
    /// What was written is read again, and lists are of one repository or of all.
    async fn mirrors_are_found_again(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = fixture::repository(&db, &ids, alice, "other").await;
        let conn = &mut db.write().await.unwrap();
        let (one, two) = (mirror(1, tools, Direction::Pull), mirror(2, other, Direction::Push));
        for mirror in [&one, &two] {
            mirrors::insert(conn, mirror).await.unwrap();
        }
        assert_eq!(mirrors::find(conn, one.id).await.unwrap(), Some(one.clone()));
        assert_eq!(mirrors::list_of(conn, tools).await.unwrap(), std::slice::from_ref(&one));
        assert_eq!(mirrors::list(conn, None, PageSize::MAX).await.unwrap().rows, [one.clone(), two]);
        mirrors::allow_overwrite(conn, one.id).await.unwrap();
        let allowed = mirrors::find(conn, one.id).await.unwrap();
        assert_eq!(allowed, Some(Mirror { may_overwrite: true, ..one.clone() }));
        assert!(mirrors::delete(conn, one.id).await.unwrap() && !mirrors::delete(conn, one.id).await.unwrap());
        assert_eq!(mirrors::find(conn, one.id).await.unwrap(), None);
    }

    /// Of two who see that a mirror is due, one enqueues; a paused one is not due.
    async fn a_due_mirror_is_scheduled_once(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let one = mirror(1, tools, Direction::Pull);
        mirrors::insert(conn, &one).await.unwrap();
        mirrors::insert(conn, &Mirror { next_at: None, ..mirror(2, tools, Direction::Push) }).await.unwrap();
        assert!(mirrors::due(conn, 49, None, PageSize::MAX).await.unwrap().is_empty());
        assert_eq!(mirrors::due(conn, 50, None, PageSize::MAX).await.unwrap(), [(50, one.id)]);
        assert!(mirrors::due(conn, 50, Some((50, one.id)), PageSize::MAX).await.unwrap().is_empty());
        assert!(mirrors::reschedule(conn, one.id, Some(50), Some(90)).await.unwrap());
        assert!(!mirrors::reschedule(conn, one.id, Some(50), Some(95)).await.unwrap(), "another was faster");
        assert!(mirrors::pause(conn, one.id, 7).await.unwrap() && !mirrors::pause(conn, one.id, 8).await.unwrap());
        assert!(mirrors::due(conn, 100, None, PageSize::MAX).await.unwrap().is_empty());
        assert!(!mirrors::reschedule(conn, one.id, Some(90), Some(95)).await.unwrap());
        assert!(mirrors::resume(conn, one.id).await.unwrap() && !mirrors::resume(conn, one.id).await.unwrap());
        assert_eq!(mirrors::due(conn, 90, None, PageSize::MAX).await.unwrap().len(), 1);
    }

    /// The first failure is remembered until something works.
    async fn tries_are_noted(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let one = mirror(1, tools, Direction::Pull);
        mirrors::insert(conn, &one).await.unwrap();
        mirrors::note_failure(conn, one.id, 10, "gone").await.unwrap();
        mirrors::note_failure(conn, one.id, 20, "still gone").await.unwrap();
        let seen = mirrors::find(conn, one.id).await.unwrap().unwrap();
        assert_eq!((seen.tried_at, seen.synced_at, seen.failing_since), (Some(20), None, Some(10)));
        assert_eq!(seen.last_error.as_deref(), Some("still gone"));
        assert_eq!(mirrors::count(conn).await.unwrap(), (1, 0, 1));
        mirrors::note_success(conn, one.id, 30, None).await.unwrap();
        let seen = mirrors::find(conn, one.id).await.unwrap().unwrap();
        assert_eq!((seen.tried_at, seen.synced_at, seen.failing_since), (Some(30), Some(30), None));
        assert_eq!(seen.last_error, None);
        assert_eq!(mirrors::count(conn).await.unwrap(), (1, 0, 0));
    }

    /// A repository follows one other at most; saying so has pushes judged again.
    async fn a_repository_is_a_mirror_once(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let before = repositories::find(conn, tools).await.unwrap().unwrap();
        assert!(!before.is_mirror && repositories::set_mirror(conn, tools, true).await.unwrap());
        assert!(!repositories::set_mirror(conn, tools, true).await.unwrap());
        let after = repositories::find(conn, tools).await.unwrap().unwrap();
        assert!(after.is_mirror && after.policy_version == before.policy_version + 1);
        assert!(repositories::set_mirror(conn, tools, false).await.unwrap());
        assert!(!repositories::find(conn, tools).await.unwrap().unwrap().is_mirror);
    }

    /// Jobs that do the same work are found by what they are about.
    async fn jobs_of_the_same_work_stand_together(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        for (id, payload) in [(1, "{\"mirror\":1}"), (2, "{\"mirror\":2}")] {
            let job = NewJob { repository: Some(tools), payload, ..NewJob::new(JobId::new(id), "mirror", 1) };
            jobs::enqueue(conn, &job).await.unwrap();
        }
        let found = jobs::standing(conn, "mirror", tools, "{\"mirror\":2}").await.unwrap();
        assert_eq!(found.iter().map(|job| job.id.get()).collect::<Vec<_>>(), [2]);
        jobs::purge(conn, JobId::new(2)).await.unwrap();
        assert!(jobs::standing(conn, "mirror", tools, "{\"mirror\":2}").await.unwrap().is_empty());
    }

    /// An import goes from waiting to its end, forgets its login there, and does not begin again.
    async fn an_import_ends_once(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        jobs::enqueue(conn, &NewJob::new(JobId::new(9), "import", 1)).await.unwrap();
        let one = import(1, tools, 9);
        imports::insert(conn, &one).await.unwrap();
        assert_eq!(imports::find(conn, one.id).await.unwrap(), Some(one.clone()));
        assert!(imports::is_under_way(conn, tools).await.unwrap());
        assert!(imports::begin(conn, one.id, 10).await.unwrap());
        imports::note_progress(conn, one.id, "fetching", 700).await.unwrap();
        imports::note_retry(conn, one.id, "away").await.unwrap();
        assert!(imports::begin(conn, one.id, 20).await.unwrap(), "another attempt");
        imports::note_progress(conn, one.id, "indexing", 900).await.unwrap();
        let seen = imports::find(conn, one.id).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.started_at, seen.size_bytes), (ImportState::Running, Some(10), 900));
        assert!(imports::abandoned(conn, PageSize::MAX).await.unwrap().is_empty(), "its job is there");
        jobs::purge(conn, JobId::new(9)).await.unwrap();
        assert_eq!(imports::abandoned(conn, PageSize::MAX).await.unwrap().len(), 1);
        assert!(imports::end(conn, one.id, ImportState::Done, None, 30).await.unwrap());
        assert!(!imports::end(conn, one.id, ImportState::Failed, Some("late"), 40).await.unwrap());
        assert!(!imports::begin(conn, one.id, 50).await.unwrap(), "it has ended");
        let seen = imports::find(conn, one.id).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.login, seen.finished_at), (ImportState::Done, None, Some(30)));
        assert!(!imports::is_under_way(conn, tools).await.unwrap());
        imports::insert(conn, &import(2, tools, 10)).await.unwrap();
        let newest = imports::list(conn, None, PageSize::new(1)).await.unwrap();
        assert_eq!(newest.rows[0].id.get(), 2);
        assert_eq!(imports::list(conn, newest.next, PageSize::MAX).await.unwrap().rows.len(), 1);
        assert_eq!(imports::prune(conn, 31).await.unwrap(), 1, "one that waits is kept");
    }

    /// A mirror goes with its repository.
    async fn erasing_a_repository_takes_its_mirrors(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        mirrors::insert(conn, &mirror(1, tools, Direction::Push)).await.unwrap();
        let (active, deleted) = (RepositoryState::Active, RepositoryState::Deleted);
        assert!(repositories::set_state(conn, tools, active, deleted, 9).await.unwrap());
        assert_eq!(repositories::erase(conn, tools, 9, 10).await.unwrap(), Erased::All);
        assert_eq!(mirrors::find(conn, MirrorId::new(1)).await.unwrap(), None);
    }
}
