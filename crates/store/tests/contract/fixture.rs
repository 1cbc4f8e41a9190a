//! What most tests start from.

use hakata_names::{ObjectFormat, Oid, OwnerName, RefName, RepositoryId, RepositoryName, UserId};
use hakata_store::ids::Allocator;
use hakata_store::refs::{RefMove, StoredRef};
use hakata_store::repositories::{self, Expected, NewRepository};
use hakata_store::testing::TestDatabase;
use hakata_store::users::{self, NewUser};
use hakata_store::{Conn, Db, RepositoryState, StoreError, Visibility};

/// What a repository starts with.
pub(crate) const FRESH: Expected =
    Expected { state: RepositoryState::Active, prune_epoch: 0, policy_version: 0 };

/// A migrated database with the user `alice` and her repository `tools`.
pub(crate) struct Fixture {
    pub(crate) db: Db,
    pub(crate) ids: Allocator,
    pub(crate) alice: UserId,
    pub(crate) tools: RepositoryId,
}

impl Fixture {
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        let db = database.migrated().await;
        let ids = Allocator::new(db.clone());
        let alice = user(&db, &ids, "alice").await;
        let tools = repository(&db, &ids, alice, "tools").await;
        Self { db, ids, alice, tools }
    }
}

pub(crate) async fn user(db: &Db, ids: &Allocator, name: &str) -> UserId {
    let id: UserId = ids.next().await.unwrap();
    let name = OwnerName::parse(name).unwrap();
    let new = NewUser {
        id,
        name: &name,
        display_name: "",
        email: "a@example.org",
        password_hash: Some("$argon2id$x"),
        is_admin: false,
        is_external: false,
        created_at: 1,
    };
    let new = &new;
    db.transaction(|tx| Box::pin(async move { users::insert(tx, new).await })).await.unwrap().unwrap();
    id
}

pub(crate) async fn repository(db: &Db, ids: &Allocator, owner: UserId, name: &str) -> RepositoryId {
    let id: RepositoryId = ids.next().await.unwrap();
    let name = RepositoryName::parse(name).unwrap();
    let main = ref_name("refs/heads/main");
    let new = NewRepository {
        id,
        owner_id: owner.owner(),
        name: &name,
        object_format: ObjectFormat::Sha1,
        default_ref: &main,
        state: RepositoryState::Active,
        visibility: Visibility::Private,
        description: "",
        created_at: 1,
    };
    repositories::insert(&mut db.write().await.unwrap(), &new).await.unwrap().unwrap();
    id
}

/// An oid that ends in a number.
pub(crate) fn oid(n: u32) -> Oid {
    let mut raw = [7; 20];
    raw[16..].copy_from_slice(&n.to_be_bytes());
    Oid::from_bytes(&raw).unwrap()
}

pub(crate) fn ref_name(name: impl AsRef<[u8]>) -> RefName {
    RefName::parse(name.as_ref()).unwrap()
}

pub(crate) fn stored(name: impl AsRef<[u8]>, n: u32) -> StoredRef {
    StoredRef { name: ref_name(name), oid: oid(n), peeled: None }
}

pub(crate) fn moved(name: impl AsRef<[u8]>, old: Option<u32>, new: Option<u32>) -> RefMove {
    RefMove { name: ref_name(name), old: old.map(oid), new: new.map(oid), peeled: None }
}

/// Raises the version of a repository whose rules are still the first ones.
pub(crate) async fn raise(conn: &mut Conn, id: RepositoryId) -> Result<Option<i64>, StoreError> {
    repositories::raise_version(conn, id, FRESH, 5).await
}
