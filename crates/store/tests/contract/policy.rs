//! Keys, tokens, protections, audits and idempotency keys.

use hakata_names::{AuditId, KeyId, ProtectionId, RefPattern, TokenId, UserId};
use hakata_store::audits::{self, Audit, Filter};
use hakata_store::keys::{self, Key, KeyHolder};
use hakata_store::page::PageSize;
use hakata_store::protections::{self, Protection};
use hakata_store::tokens::{self, Token};
use hakata_store::{Conflict, ProtectionKind, Role, idempotency, on_every_engine, repositories, users};

use crate::fixture::{Fixture, user};

on_every_engine! {
    /// A fingerprint belongs to one holder and tells who that is.
    async fn keys_are_found_by_fingerprint(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let bob = user(&db, &ids, "bob").await;
        let conn = &mut db.write().await.unwrap();
        let key = Key {
            id: KeyId::new(1),
            holder: KeyHolder::User(alice),
            can_write: false,
            algorithm: "ssh-ed25519".to_owned(),
            fingerprint: "SHA256:abc".to_owned(),
            public_key: vec![0, 255, 13],
            title: "laptop".to_owned(),
            created_at: 5,
            last_used_at: None,
            expires_at: Some(500),
        };
        assert_eq!(keys::insert(conn, &key).await.unwrap(), Ok(()));
        let deploy = Key { id: KeyId::new(2), holder: KeyHolder::Repository(tools), can_write: true, ..key.clone() };
        assert_eq!(keys::insert(conn, &deploy).await.unwrap(), Err(Conflict { what: "key" }), "one holder a key");
        let deploy = Key { fingerprint: "SHA256:ABC".to_owned(), ..deploy };
        assert_eq!(keys::insert(conn, &deploy).await.unwrap(), Ok(()), "case counts");
        let known = keys::find_by_fingerprint(conn, "SHA256:abc").await.unwrap().unwrap();
        assert_eq!(known.key, key);
        let holder = known.user.unwrap();
        assert_eq!((holder.id, holder.name.as_str(), holder.credentials_version), (alice, "alice", 1));
        let known = keys::find_by_fingerprint(conn, "SHA256:ABC").await.unwrap().unwrap();
        assert_eq!((known.key, known.user), (deploy.clone(), None));
        assert_eq!(keys::find(conn, key.id).await.unwrap().unwrap().user.unwrap().id, alice, "by its id too");
        assert_eq!(keys::find(conn, KeyId::new(3)).await.unwrap(), None);
        assert!(keys::touch(conn, key.id, 9).await.unwrap());
        assert_eq!(keys::list_of(conn, key.holder).await.unwrap()[0].last_used_at, Some(9));
        assert!(!keys::delete(conn, KeyHolder::User(bob), key.id).await.unwrap(), "another's key");
        assert!(!keys::delete(conn, KeyHolder::User(alice), deploy.id).await.unwrap(), "the repository's key");
        assert!(keys::delete(conn, key.holder, key.id).await.unwrap());
        assert_eq!(keys::list_of(conn, deploy.holder).await.unwrap(), [deploy]);
    }

    /// A token is found by its digest only, and revoking it voids cached logins.
    async fn tokens_are_found_by_digest(database: TestDatabase) {
        let Fixture { db, ids, alice, .. } = Fixture::new(&database).await;
        let bob = user(&db, &ids, "bob").await;
        let conn = &mut db.write().await.unwrap();
        let token = Token {
            id: TokenId::new(1),
            user_id: alice,
            name: "ci".to_owned(),
            digest: [200; 32],
            hint: "hkt_ab".to_owned(),
            scopes: "repository:read".to_owned(),
            created_at: 5,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        assert_eq!(tokens::insert(conn, &token).await.unwrap(), Ok(()));
        let same = Token { id: TokenId::new(2), ..token.clone() };
        assert_eq!(tokens::insert(conn, &same).await.unwrap(), Err(Conflict { what: "token" }));
        let known = tokens::find_by_digest(conn, &token.digest).await.unwrap().unwrap();
        assert_eq!((&known.token, known.user_name.as_str(), known.credentials_version), (&token, "alice", 1));
        assert_eq!(tokens::find_by_digest(conn, &[0; 32]).await.unwrap(), None);
        assert!(tokens::touch(conn, token.id, 6).await.unwrap());
        assert!(!tokens::revoke(conn, bob, token.id, 7).await.unwrap(), "another's token");
        assert!(tokens::revoke(conn, alice, token.id, 7).await.unwrap());
        assert!(!tokens::revoke(conn, alice, token.id, 8).await.unwrap(), "once");
        assert_eq!(users::credentials_version(conn, alice).await.unwrap(), Some(2));
        let listed = tokens::list_of(conn, alice).await.unwrap();
        assert_eq!((listed[0].revoked_at, listed[0].last_used_at), (Some(7), Some(6)));
        assert_eq!(tokens::revoke_all(conn, alice, 9).await.unwrap(), 0);
    }

    /// Rules come back as they were written, and every change raises the policy version.
    async fn protections_change_the_policy(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let rule = Protection {
            id: ProtectionId::new(1),
            repository: tools,
            kind: ProtectionKind::Branch,
            pattern: RefPattern::parse("release/*").unwrap(),
            push_role: Some(Role::Maintainer),
            merge_role: None,
            may_force: false,
            may_delete: true,
            allowed_users: vec![UserId::new(3), UserId::new(4)],
            created_at: 5,
        };
        assert_eq!(protections::insert(conn, &rule).await.unwrap(), Ok(()));
        let same = Protection { id: ProtectionId::new(2), ..rule.clone() };
        assert_eq!(protections::insert(conn, &same).await.unwrap(), Err(Conflict { what: "protection" }));
        let of_tags = Protection { kind: ProtectionKind::Tag, created_at: 6, ..same };
        assert_eq!(protections::insert(conn, &of_tags).await.unwrap(), Ok(()));
        assert_eq!(protections::list_of(conn, tools).await.unwrap(), [rule.clone(), of_tags.clone()]);
        let changed = Protection { push_role: None, may_force: true, allowed_users: vec![], ..rule };
        assert!(protections::update(conn, &changed).await.unwrap());
        assert!(protections::delete(conn, tools, of_tags.id).await.unwrap());
        assert!(!protections::delete(conn, tools, of_tags.id).await.unwrap());
        assert_eq!(protections::list_of(conn, tools).await.unwrap(), [changed]);
        let now = repositories::find(conn, tools).await.unwrap().unwrap();
        assert_eq!(now.policy_version, 6, "attempts count too: raised once too often is safe");
    }

    /// Entries are listed newest first, in pages, whole or by actor or subject.
    async fn audits_are_listed_newest_first(database: TestDatabase) {
        let Fixture { db, alice, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        for n in 1..=6 {
            let entry = Audit {
                id: AuditId::new(n),
                at: n / 2,
                actor_id: (n % 2 == 0).then_some(alice),
                actor_name: "alice".to_owned(),
                address: "::1".to_owned(),
                action: "repository.create".to_owned(),
                subject: format!("alice/{}", n % 3),
                detail: "{}".to_owned(),
            };
            audits::append(conn, &entry).await.unwrap();
        }
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = audits::list(conn, Filter::default(), after, PageSize::new(2)).await.unwrap();
            seen.extend(page.rows.iter().map(|entry| entry.id.get()));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(seen, [6, 5, 4, 3, 2, 1]);
        let numbers = |page: hakata_store::page::Page<Audit, _>| page.rows.iter().map(|entry| entry.id.get()).collect::<Vec<_>>();
        let hers = Filter { actor: Some(alice), subject: None };
        assert_eq!(numbers(audits::list(conn, hers, None, PageSize::default()).await.unwrap()), [6, 4, 2]);
        let about = Filter { actor: None, subject: Some("alice/1") };
        assert_eq!(numbers(audits::list(conn, about, None, PageSize::default()).await.unwrap()), [4, 1]);
    }

    /// The first answer under a key stands.
    async fn the_first_answer_stands(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        assert_eq!(idempotency::find(conn, tools, "key").await.unwrap(), None);
        assert!(idempotency::put(conn, tools, "key", "{\"version\":1}", 10).await.unwrap());
        assert!(!idempotency::put(conn, tools, "key", "{}", 11).await.unwrap());
        assert!(idempotency::put(conn, tools, "KEY", "{}", 20).await.unwrap(), "case counts");
        assert_eq!(idempotency::find(conn, tools, "key").await.unwrap().as_deref(), Some("{\"version\":1}"));
        assert_eq!(idempotency::prune(conn, 20).await.unwrap(), 1);
        assert_eq!(idempotency::find(conn, tools, "key").await.unwrap(), None);
    }
}
