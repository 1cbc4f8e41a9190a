//! Users and groups: one namespace, credentials that are versioned, memberships.

use hakata_names::{GroupId, OwnerName, UserId};
use hakata_store::groups::{self, NewGroup};
use hakata_store::page::PageSize;
use hakata_store::users::{self, NewUser};
use hakata_store::{
    Conflict, OwnerKind, OwnerState, Role, StoreError, on_every_engine, owners, repositories,
};

use crate::fixture::{Fixture, repository, user};

fn name(name: &str) -> OwnerName {
    OwnerName::parse(name).unwrap()
}

on_every_engine! {
    /// Users and groups share names, whatever their case; the loser's transaction goes on.
    async fn names_are_taken_once(database: TestDatabase) {
        let Fixture { db, ids, alice, .. } = Fixture::new(&database).await;
        let (id, group_id): (UserId, GroupId) = (ids.next().await.unwrap(), ids.next().await.unwrap());
        let (taken, free) = (name("ALICE"), name("Guild"));
        let new = NewUser {
            id,
            name: &taken,
            display_name: "",
            email: "",
            password_hash: None,
            is_admin: false,
            is_external: false,
            created_at: 1,
        };
        let new = &new;
        let group = &NewGroup { id: group_id, name: &free, display_name: "The guild", created_at: 2 };
        db.transaction(|tx| {
            Box::pin(async move {
                assert_eq!(users::insert(tx, new).await?, Err(Conflict { what: "owner" }));
                assert_eq!(groups::insert(tx, group).await?, Ok(()));
                assert_eq!(groups::insert(tx, group).await?, Err(Conflict { what: "owner" }));
                Ok::<_, StoreError>(())
            })
        })
        .await
        .unwrap();
        let conn = &mut db.write().await.unwrap();
        let found = users::find_by_name(conn, &taken).await.unwrap().unwrap();
        assert_eq!((found.id, found.owner.name.as_str()), (alice, "alice"), "the case is as it was written");
        assert_eq!(users::find_by_name(conn, &free).await.unwrap(), None, "a group is no user");
        let guild = groups::find_by_name(conn, &name("guild")).await.unwrap().unwrap();
        assert_eq!((guild.kind, guild.display_name.as_str()), (OwnerKind::Group, "The guild"));
        assert_eq!(groups::find_by_name(conn, &taken).await.unwrap(), None, "a user is no group");
        assert_eq!(owners::rename(conn, alice.owner(), &free).await.unwrap(), Err(Conflict { what: "owner" }));
        assert_eq!(owners::rename(conn, alice.owner(), &taken).await.unwrap(), Ok(()), "another case of its own");
        assert_eq!(owners::rename(conn, alice.owner(), &name("alicia")).await.unwrap(), Ok(()));
        assert!(owners::find_by_name(conn, &taken).await.unwrap().is_none());
        assert_eq!(users::count(conn).await.unwrap(), 1);
    }

    /// Every change of what signs in raises the credentials version; other changes do not.
    async fn credentials_are_versioned(database: TestDatabase) {
        let Fixture { db, alice, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        assert!(users::set_password(conn, alice, None).await.unwrap());
        assert!(users::set_second_factor(conn, alice, 1).await.unwrap());
        assert!(users::set_admin(conn, alice, true).await.unwrap());
        assert_eq!(users::count_admins(conn).await.unwrap(), 1);
        assert!(users::set_state(conn, alice, OwnerState::Disabled).await.unwrap());
        assert_eq!(users::count_admins(conn).await.unwrap(), 0, "a disabled one cannot sign in");
        assert_eq!(users::credentials_version(conn, alice).await.unwrap(), Some(5));
        assert!(users::touch(conn, alice, 77).await.unwrap());
        assert!(users::set_email(conn, alice, "b@example.org").await.unwrap());
        assert!(owners::set_quota(conn, alice.owner(), Some(1 << 40)).await.unwrap());
        let found = users::find(conn, alice).await.unwrap().unwrap();
        assert_eq!((found.credentials_version, found.last_seen_at, found.password_hash), (5, Some(77), None));
        assert_eq!((found.email.as_str(), found.owner.quota_bytes), ("b@example.org", Some(1 << 40)));
        assert!(!users::set_password(conn, UserId::new(404), None).await.unwrap(), "nobody");
    }

    /// Pages continue where the last one ended and name no row twice.
    async fn users_are_listed_in_pages(database: TestDatabase) {
        let Fixture { db, ids, .. } = Fixture::new(&database).await;
        for name in ["Carol", "bob", "dave", "Eve"] {
            user(&db, &ids, name).await;
        }
        let conn = &mut db.read().await.unwrap();
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = users::list(conn, after.as_ref(), PageSize::new(2)).await.unwrap();
            seen.extend(page.rows.into_iter().map(|user| user.owner.name.to_string()));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(seen, ["alice", "bob", "Carol", "dave", "Eve"], "by name, whatever the case");
    }

    /// A membership raises the policy version of all repositories of the group, and only of those.
    async fn memberships_change_the_policy(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let group: GroupId = ids.next().await.unwrap();
        let guild = name("guild");
        let new = NewGroup { id: group, name: &guild, display_name: "", created_at: 1 };
        groups::insert(&mut db.write().await.unwrap(), &new).await.unwrap().unwrap();
        // The id of a group is one of an owner; the fixture only speaks of users.
        let shared = repository(&db, &ids, UserId::new(group.get()), "shared").await;
        // Taken last: on SQLite there is one writer.
        let conn = &mut db.write().await.unwrap();
        groups::set_member(conn, group, alice, Role::Developer).await.unwrap();
        groups::set_member(conn, group, alice, Role::Owner).await.unwrap();
        assert_eq!(groups::role_of(conn, group, alice).await.unwrap(), Some(Role::Owner));
        assert_eq!(groups::count_owners(conn, group).await.unwrap(), 1);
        let of_alice = groups::list_of_user(conn, alice).await.unwrap();
        assert_eq!(of_alice.iter().map(|(group, role)| (group.name.as_str(), *role)).collect::<Vec<_>>(), [("guild", Role::Owner)]);
        let members = groups::list_members(conn, group, None, PageSize::default()).await.unwrap();
        assert_eq!((members.rows.len(), members.rows[0].user_id, members.rows[0].role), (1, alice, Role::Owner));
        assert!(groups::remove_member(conn, group, alice).await.unwrap());
        assert!(!groups::remove_member(conn, group, alice).await.unwrap());
        let policy = async |conn: &mut _, id| repositories::find(conn, id).await.unwrap().unwrap().policy_version;
        assert_eq!((policy(conn, shared).await, policy(conn, tools).await), (4, 0));
        assert!(!groups::delete(conn, group).await.unwrap(), "it owns a repository");
        assert!(repositories::remove_unused(conn, shared).await.unwrap());
        assert!(groups::delete(conn, group).await.unwrap());
        assert!(!users::delete(conn, alice).await.unwrap(), "she owns a repository");
        assert!(repositories::remove_unused(conn, tools).await.unwrap());
        assert!(users::delete(conn, alice).await.unwrap());
        assert_eq!(users::find(conn, alice).await.unwrap(), None);
    }
}
