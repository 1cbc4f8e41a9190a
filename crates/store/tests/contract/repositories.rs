//! Repositories: names, standing, states, and their end.

use hakata_names::{ObjectFormat, RefName, RepositoryName, RepositoryPath};
use hakata_store::page::PageSize;
use hakata_store::ref_log::{self, Occasion};
use hakata_store::repositories::{self, Erased, Full, NewRepository, QuotaOf};
use hakata_store::{
    Conflict, OwnerKind, OwnerState, RepositoryState, Role, StoreError, Visibility, collaborators,
    on_every_engine, owners, refs,
};

use crate::fixture::{FRESH, Fixture, moved, oid, raise, repository, stored, user};

fn path(path: &str) -> RepositoryPath {
    RepositoryPath::parse(path).unwrap()
}

const TAKEN: Result<(), Conflict> = Err(Conflict { what: "repository" });

/// Why bytes were not added.
enum Ended {
    Full(Full),
    Store(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

on_every_engine! {
    /// One question tells the repository and what its rows say about a user.
    async fn standing_is_one_question(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let (bob, carol) = (user(&db, &ids, "bob").await, user(&db, &ids, "carol").await);
        let conn = &mut db.write().await.unwrap();
        collaborators::set(conn, tools, bob, Role::Reporter).await.unwrap();
        collaborators::set(conn, tools, bob, Role::Developer).await.unwrap();
        for (who, role) in [(Some(bob), Some(Role::Developer)), (Some(carol), None), (Some(alice), None), (None, None)] {
            let found = repositories::find_standing(conn, &path("Alice/TOOLS"), who).await.unwrap().unwrap();
            assert_eq!((found.collaborator_role, found.group_role), (role, None));
            assert_eq!((found.owner_kind, found.owner_state), (OwnerKind::User, OwnerState::Active));
            assert_eq!((found.repository.id, found.repository.owner_id), (tools, alice.owner()));
            assert_eq!(found.repository.path().to_string(), "alice/tools");
            assert_eq!((found.repository.version, found.repository.policy_version), (0, 2));
            assert_eq!(repositories::find_standing_by_id(conn, tools, who).await.unwrap(), Some(found));
        }
        assert_eq!(repositories::find_standing(conn, &path("alice/other"), None).await.unwrap(), None);
        assert_eq!(repositories::find_standing(conn, &path("bob/tools"), None).await.unwrap(), None);
        let listed = collaborators::list(conn, tools, None, PageSize::default()).await.unwrap();
        assert_eq!(listed.rows.len(), 1);
        assert!(collaborators::remove(conn, tools, bob).await.unwrap());
        assert!(!collaborators::remove(conn, tools, bob).await.unwrap());
    }

    /// A name belongs to one repository of an owner; a deleted one frees it and may come back.
    async fn deleted_repositories_free_their_names(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let id = ids.next().await.unwrap();
        let (name, main) = (RepositoryName::parse("Tools").unwrap(), RefName::parse(b"refs/heads/\xff").unwrap());
        let new = NewRepository {
            id,
            owner_id: alice.owner(),
            name: &name,
            object_format: ObjectFormat::Sha256,
            default_ref: &main,
            state: RepositoryState::Active,
            visibility: Visibility::Public,
            description: "second",
            created_at: 3,
        };
        let (active, deleted) = (RepositoryState::Active, RepositoryState::Deleted);
        let conn = &mut db.write().await.unwrap();
        assert_eq!(repositories::insert(conn, &new).await.unwrap(), TAKEN);
        assert!(repositories::set_state(conn, tools, active, deleted, 9).await.unwrap());
        assert!(!repositories::set_state(conn, tools, active, deleted, 9).await.unwrap(), "no longer active");
        assert_eq!(raise(conn, tools).await.unwrap(), None, "a deleted repository takes no push");
        assert_eq!(repositories::version_of(conn, tools).await.unwrap(), None);
        assert_eq!(repositories::insert(conn, &new).await.unwrap(), Ok(()));
        let second = repositories::find_by_path(conn, &path("alice/tools")).await.unwrap().unwrap();
        assert_eq!((second.id, second.object_format, second.default_ref), (id, ObjectFormat::Sha256, main));
        assert_eq!(repositories::restore(conn, tools).await.unwrap(), TAKEN);
        let other = RepositoryName::parse("other").unwrap();
        assert_eq!(repositories::rename(conn, id, &other).await.unwrap(), Ok(()));
        assert_eq!(repositories::restore(conn, tools).await.unwrap(), Ok(()));
        assert_eq!(repositories::rename(conn, id, &name).await.unwrap(), TAKEN);
        let back = repositories::find_by_path(conn, &path("alice/tools")).await.unwrap().unwrap();
        assert_eq!((back.id, back.state, back.deleted_at, back.policy_version), (tools, active, None, 2));
        let listed = repositories::list_of_owner(conn, alice.owner(), None, PageSize::new(1)).await.unwrap();
        assert_eq!((listed.rows[0].id, listed.next.as_ref()), (id, Some(&other)));
        assert_eq!(repositories::count_of_owner(conn, alice.owner()).await.unwrap(), 2);
    }

    /// Archived repositories take no commit; a version is raised only as expected.
    async fn versions_are_raised_as_expected(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        assert_eq!(raise(conn, tools).await.unwrap(), Some(1));
        assert_eq!(raise(conn, tools).await.unwrap(), Some(2));
        assert!(repositories::archive(conn, tools).await.unwrap());
        let later = repositories::Expected { policy_version: 1, ..FRESH };
        assert_eq!(repositories::raise_version(conn, tools, later, 5).await.unwrap(), None, "archived");
        let (archived, active) = (RepositoryState::Archived, RepositoryState::Active);
        assert!(repositories::set_state(conn, tools, archived, active, 9).await.unwrap());
        assert_eq!(raise(conn, tools).await.unwrap(), None, "judged under older rules");
        let later = repositories::Expected { policy_version: 2, ..FRESH };
        assert_eq!(repositories::raise_version(conn, tools, later, 6).await.unwrap(), Some(3));
        let now = repositories::find(conn, tools).await.unwrap().unwrap();
        assert_eq!((now.version, now.pushed_at), (3, Some(6)));
    }

    /// Bytes are counted for the repository and its owner, and move along.
    async fn bytes_belong_to_the_owner(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let bob = user(&db, &ids, "bob").await;
        let same_name = repository(&db, &ids, bob, "Tools").await;
        db.transaction(|tx| {
            Box::pin(async move {
                assert!(repositories::add_size(tx, tools, 1000).await?);
                assert!(repositories::add_size(tx, tools, -100).await?);
                assert_eq!(repositories::transfer(tx, tools, bob.owner()).await?, TAKEN, "he has one of that name");
                assert!(repositories::remove_unused(tx, same_name).await?);
                assert_eq!(repositories::transfer(tx, tools, bob.owner()).await?, Ok(()));
                Ok::<_, StoreError>(())
            })
        })
        .await
        .unwrap();
        let conn = &mut db.read().await.unwrap();
        let size_of = async |conn: &mut _, id| owners::find(conn, id).await.unwrap().unwrap().size_bytes;
        assert_eq!((size_of(conn, alice.owner()).await, size_of(conn, bob.owner()).await), (0, 900));
        let now = repositories::find_by_path(conn, &path("bob/tools")).await.unwrap().unwrap();
        assert_eq!((now.id, now.size_bytes), (tools, 900));
    }

    /// Bytes are added up to the quota of the repository and that of its owner, and not beyond.
    async fn bytes_are_added_within_quotas(database: TestDatabase) {
        let Fixture { db, alice, tools, .. } = Fixture::new(&database).await;
        let add = async |bytes, default| {
            let add = db.transaction(|tx| {
                Box::pin(async move {
                    match repositories::add_size_within(tx, tools, bytes, default).await? {
                        Ok(()) => Ok(None),
                        Err(full) => Err(Ended::Full(full)),
                    }
                })
            });
            match add.await {
                Ok(none) => none,
                Err(Ended::Full(full)) => Some(full),
                Err(Ended::Store(error)) => panic!("{error}"),
            }
        };
        let full = |of, limit_bytes, used_bytes| Some(Full { of, limit_bytes, used_bytes });
        assert_eq!(add(600, 1_000).await, None);
        assert_eq!(add(401, 1_000).await, full(QuotaOf::Repository, 1_000, 600), "the default bounds a repository without a quota");
        assert_eq!(add(400, 1_000).await, None, "a quota can be used up");
        assert_eq!(add(0, 10).await, None, "what adds nothing is not refused");
        assert_eq!(add(-500, 10).await, None, "nor what takes away");
        repositories::set_quota(&mut db.write().await.unwrap(), tools, Some(5_000)).await.unwrap();
        owners::set_quota(&mut db.write().await.unwrap(), alice.owner(), Some(700)).await.unwrap();
        assert_eq!(add(201, 10).await, full(QuotaOf::Owner, 700, 500), "the owner's quota is in the way");
        assert_eq!(add(200, 10).await, None);
        let conn = &mut db.read().await.unwrap();
        let used = repositories::find(conn, tools).await.unwrap().unwrap().size_bytes;
        let of_owner = owners::find(conn, alice.owner()).await.unwrap().unwrap().size_bytes;
        assert_eq!((used, of_owner), (700, 700), "a refusal leaves no trace");
    }

    /// A deleted repository is erased in steps, all of it, and nothing of its neighbour.
    async fn erasing_leaves_nothing(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let neighbour = repository(&db, &ids, alice, "neighbour").await;
        let conn = &mut db.write().await.unwrap();
        for id in [tools, neighbour] {
            let rows: Vec<_> = (0..25).map(|n| stored(format!("refs/heads/{n}"), n)).collect();
            refs::load(conn, id, &rows).await.unwrap();
            let occasion = Occasion { repository: id, version: 1, actor: None, reason: "push", at: 1 };
            // One commit that moved all of them.
            let moves: Vec<_> = (0..25).map(|n| moved(format!("refs/heads/{n}"), None, Some(0))).collect();
            ref_log::append(conn, occasion, &moves).await.unwrap();
            raise(conn, id).await.unwrap();
        }
        assert_eq!(repositories::erase(conn, tools, 9, 10).await.unwrap(), Erased::All, "only the deleted are erased");
        assert!(!repositories::remove_unused(conn, tools).await.unwrap(), "something was pushed");
        let (active, deleted) = (RepositoryState::Active, RepositoryState::Deleted);
        assert!(repositories::set_state(conn, tools, active, deleted, 9).await.unwrap());
        let listed = repositories::list_in_state(conn, deleted, None, PageSize::default()).await.unwrap();
        assert_eq!(listed.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [tools]);
        let early = repositories::erase(conn, tools, 8, 10).await.unwrap();
        assert_eq!((early, refs::count(conn, tools).await.unwrap()), (Erased::All, 25), "its time has not come");
        assert_eq!(repositories::erase(conn, tools, 9, 10).await.unwrap(), Erased::Part);
        let left = ref_log::since(conn, tools, 0, 100).await.unwrap().len();
        assert_eq!(left, 15, "a step is as long as it may be, also through the moves of one commit");
        assert!(repositories::restore(conn, tools).await.unwrap().is_err(), "half of it is gone");
        let mut steps = 2;
        while repositories::erase(conn, tools, 9, 10).await.unwrap() == Erased::Part {
            steps += 1;
        }
        assert_eq!(steps, 3, "25 refs at 10 a step");
        assert_eq!(repositories::find(conn, tools).await.unwrap(), None);
        assert_eq!(refs::count(conn, tools).await.unwrap(), 0);
        assert_eq!(refs::count(conn, neighbour).await.unwrap(), 25);
        assert_eq!(ref_log::since(conn, neighbour, 0, 10).await.unwrap()[0].new, Some(oid(0)));
        let left = repositories::list_all(conn, None, PageSize::default()).await.unwrap();
        assert_eq!(left.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [neighbour]);
    }
}
