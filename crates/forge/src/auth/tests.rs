//! Signing in against real rows: what is remembered, and what ends it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::secret::Secret;
use hakata_store::keys::KeyHolder;
use serde_json::json;

use super::key_rows::Freshness;

use crate::admin::Outcome;
use crate::keys::PublicKey;
use crate::testing::{World, name};
use crate::{Actor, Error, Kind, Scope, Settings, Via};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC96n2oKLx8U6DiIJkIN/vJ9Juynj4yBknxmVlCqerbX test@ed25519";

impl World {
    async fn basic(&self, user: &str, secret: &str) -> Result<Actor, Error> {
        let address = Some(IpAddr::from([192, 0, 2, 7]));
        self.forge.sign_in_basic(user, Secret::new(secret.to_owned()), address).await
    }

    async fn is_active(&self, user: hakata_names::UserId) -> bool {
        let mut conn = self.forge.db().write().await.unwrap();
        let row = hakata_store::users::find(&mut conn, user).await.unwrap().unwrap();
        row.owner.state == hakata_store::OwnerState::Active
    }

    async fn with_password(&self, user: &str, password: &str) {
        let add = json!({ "command": "user", "action": "add", "name": user, "password": password });
        self.admin(add).await.unwrap();
    }

    async fn token(&self, user: &str, scopes: &str) -> (String, String) {
        let new =
            json!({ "command": "token", "action": "new", "user": user, "scopes": scopes, "expires_s": 3600 });
        match self.admin(new).await.unwrap() {
            Outcome::Token { token, row } => {
                (token.expose().clone(), row.json()["id"].as_str().unwrap().to_owned())
            }
            other => panic!("{other:?}"),
        }
    }
}

fn words(error: &Error) -> (Kind, String, Option<String>) {
    (error.kind(), error.public().to_owned(), error.hint().map(str::to_owned))
}

/// Twenty clones of one build sign in at once: none of them is a wrong password.
#[tokio::test]
async fn many_right_logins_at_once_are_not_guesses() {
    let world = World::new().await;
    world.with_password("alice", "correct horse").await;
    let logins = (0..20).map(|_| world.basic("alice", "correct horse"));
    for login in futures_util::future::join_all(logins).await {
        login.unwrap();
    }
}

/// Who signed in by a key or a token and is shut out since, or is no administrator any more, does not go on.
#[tokio::test]
async fn what_was_taken_away_ends_at_once() {
    let world = World::new().await;
    let admin = |name: &str| json!({ "command": "user", "action": "add", "name": name, "admin": true, "keys": [KEY] });
    world.admin(admin("alice")).await.unwrap();
    world.admin(json!({ "command": "user", "action": "add", "name": "boss", "admin": true })).await.unwrap();
    let blob = PublicKey::parse(KEY).unwrap().blob;
    let by_key = world.forge.sign_in_key(&blob, None).await.unwrap();
    let (token, id) = world.token("alice", "repo:write").await;
    let by_token = world.forge.sign_in_token(Secret::new(token), None).await.unwrap();
    for actor in [&by_key, &by_token] {
        world.forge.check_not_revoked(actor).await.unwrap();
    }
    world.forge.check_signed_in(&by_key).await.unwrap();
    world.admin(json!({ "command": "token", "action": "revoke", "user": "alice", "id": id })).await.unwrap();
    assert!(world.forge.check_not_revoked(&by_token).await.is_err());
    world
        .admin(json!({ "command": "user", "action": "admin", "name": "alice", "admin": false }))
        .await
        .unwrap();
    assert!(world.forge.check_signed_in(&by_key).await.is_err(), "the rank went with the connection");
    let by_key = world.forge.sign_in_key(&blob, None).await.unwrap();
    world.forge.check_signed_in(&by_key).await.unwrap();
    world.admin(json!({ "command": "user", "action": "disable", "name": "alice" })).await.unwrap();
    assert!(world.forge.check_not_revoked(&by_key).await.is_err());
}

hakata_store::on_every_engine! {
    /// A remembered login ends at once when the password or the account's state changes.
    async fn remembered_logins_end_with_the_credentials(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.with_password("alice", "correct horse").await;
        for spelling in ["alice", "Alice"] {
            let actor = world.basic(spelling, "correct horse").await.unwrap();
            assert_eq!((actor.name(), actor.is_admin()), ("alice", false));
        }
        let set = json!({ "command": "user", "action": "password", "name": "alice", "password": "battery staple" });
        world.admin(set).await.unwrap();
        assert!(world.basic("alice", "correct horse").await.is_err(), "the old password is remembered no more");
        world.basic("alice", "battery staple").await.unwrap();
        for (action, works) in [("disable", false), ("enable", true)] {
            world.admin(json!({ "command": "user", "action": action, "name": "alice" })).await.unwrap();
            assert_eq!(world.basic("alice", "battery staple").await.is_ok(), works, "{action}");
        }
        world.admin(json!({ "command": "user", "action": "admin", "name": "alice", "admin": true })).await.unwrap();
        assert!(world.basic("alice", "battery staple").await.unwrap().is_admin());
    }

    /// Tokens work in every place, end when they expire or are revoked, and carry their scopes.
    async fn tokens_work_until_they_end(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let (alice, bob) = (world.user("alice").await, world.user("bob").await);
        let (token, id) = world.token("alice", "repo:read").await;
        for user in ["", "x-token", "alice", "ALICE"] {
            let actor = world.basic(user, &token).await.unwrap();
            assert_eq!(actor.user(), alice.user(), "{user}");
            assert!(actor.scopes().allow(Scope::RepoRead) && !actor.scopes().allow(Scope::RepoWrite));
        }
        assert!(world.basic("bob", &token).await.is_err(), "another user's name beside a token is a mistake");
        assert_ne!(alice.user(), bob.user());
        let bearer = |token: &str| world.forge.sign_in_token(Secret::new(token.to_owned()), None);
        assert!(bearer(&token).await.is_ok());
        assert!(bearer(&format!("{token}0")).await.is_err());
        world.clock.advance(Duration::from_secs(3_601));
        assert!(bearer(&token).await.is_err(), "it has expired");
        let (second, second_id) = world.token("alice", "repo:write").await;
        assert!(bearer(&second).await.is_ok());
        let revoke = |id: &str| json!({ "command": "token", "action": "revoke", "user": "alice", "id": id });
        world.admin(revoke(&second_id)).await.unwrap();
        assert!(bearer(&second).await.is_err(), "it is revoked");
        let stranger = json!({ "command": "token", "action": "revoke", "user": "bob", "id": id });
        assert_eq!(world.admin(stranger).await.unwrap_err().kind(), Kind::NotFound, "not bob's to revoke");
    }

    /// What this process changes about a key counts at once; what another changes, within seconds.
    async fn kept_keys_end_with_their_rows(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await.user().unwrap();
        let blob = crate::keys::PublicKey::parse(KEY).unwrap().blob;
        let add = json!({ "command": "key", "action": "add", "owner": { "user": "alice" }, "line": KEY });
        world.admin(add).await.unwrap();
        let actor = world.forge.sign_in_key(&blob, None).await.unwrap();
        let user = |action: &str| json!({ "command": "user", "action": action, "name": "alice" });
        for (action, works) in [("disable", false), ("enable", true)] {
            world.admin(user(action)).await.unwrap();
            assert_eq!(world.forge.is_key_known(&blob).await.unwrap(), works, "{action}");
            assert_eq!(world.forge.sign_in_key(&blob, None).await.is_ok(), works, "{action}");
            assert_eq!(world.forge.check_signed_in(&actor).await.is_ok(), works, "{action}");
        }
        // As another process would, past everything that is kept here.
        let db = world.forge.db();
        if db.is_sole_owner() {
            return;
        }
        {
            let mut conn = db.write().await.unwrap();
            let keys = hakata_store::keys::list_of(&mut conn, KeyHolder::User(alice)).await.unwrap();
            assert!(hakata_store::keys::delete(&mut conn, KeyHolder::User(alice), keys[0].id).await.unwrap());
        }
        assert!(world.forge.check_not_revoked(&actor).await.is_err(), "what a push changes is asked of the rows");
        world.clock.advance(Duration::from_secs(2));
        assert!(!world.forge.is_key_known(&blob).await.unwrap());
        assert!(world.forge.sign_in_key(&blob, None).await.is_err());
        assert!(world.forge.check_signed_in(&actor).await.is_err());
    }

    /// Whenever the caller of a change leaves, what is kept of an account is what its row says.
    async fn a_caller_who_leaves_leaves_no_right_behind(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await.user().unwrap();
        let (token, _) = world.token("alice", "repo:read").await;
        let user = |action: &str| json!({ "command": "user", "action": action, "name": "alice" });
        for n_polls in 0..60 {
            world.admin(user("enable")).await.unwrap();
            world.basic("alice", &token).await.unwrap();
            let mut change = Box::pin(world.admin(user("disable")));
            for _ in 0..n_polls {
                if futures_util::poll!(change.as_mut()).is_ready() {
                    break;
                }
                // Gives the database time for what it was asked.
                world.forge.get_user(&name("alice")).await.unwrap();
            }
            drop(change);
            // What was begun may become durable after its caller left: what counts is an answer between two looks at the
            // row that found the same.
            let mut before = world.is_active(alice).await;
            loop {
                let signs_in = world.basic("alice", &token).await.is_ok();
                let after = world.is_active(alice).await;
                if before == after {
                    assert_eq!(signs_in, after, "left after {n_polls} polls");
                    break;
                }
                before = after;
            }
        }
    }

    /// One conversation over SSH asks the database whose the key is at most once.
    async fn a_login_by_key_reads_its_row_once(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let blob = crate::keys::PublicKey::parse(KEY).unwrap().blob;
        let add = json!({ "command": "key", "action": "add", "owner": { "user": "alice" }, "line": KEY });
        world.admin(add).await.unwrap();
        assert!(world.forge.is_key_known(&blob).await.unwrap());
        let kept = world.forge.key_by_fingerprint(crate::keys::fingerprint(&blob)).await.unwrap().unwrap();
        let actor = world.forge.sign_in_key(&blob, None).await.unwrap();
        let again = world.forge.key_by_fingerprint(crate::keys::fingerprint(&blob)).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&kept, &again), "the proof did not read it again");
        world.forge.check_signed_in(&actor).await.unwrap();
        let again = world.forge.key_by_id(kept.key.id, Freshness::Seconds).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&kept, &again), "nor did the command");
    }

    /// A key signs in its user or opens its repository, is held once, and ends when it is removed.
    async fn keys_belong_to_one_holder(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        world.user("bob").await;
        let blob = crate::keys::PublicKey::parse(KEY).unwrap().blob;
        assert!(!world.forge.is_key_known(&blob).await.unwrap());
        assert!(world.forge.sign_in_key(&blob, None).await.is_err());
        let add = |owner: serde_json::Value| json!({ "command": "key", "action": "add", "owner": owner, "line": KEY });
        let added = world.admin(add(json!({ "user": "alice" }))).await.unwrap();
        let id = added.row().unwrap().json()["id"].as_str().unwrap().to_owned();
        assert!(world.forge.is_key_known(&blob).await.unwrap());
        let actor = world.forge.sign_in_key(&blob, None).await.unwrap();
        assert_eq!(actor.user(), alice.user());
        assert!(matches!(actor, Actor::User { via: Via::Key { .. }, .. }));
        assert_eq!(world.admin(add(json!({ "user": "bob" }))).await.unwrap_err().kind(), Kind::Conflict);
        let create = json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "private" });
        world.admin(create).await.unwrap();
        let deploy = add(json!({ "repository": "alice/tools" }));
        assert_eq!(world.admin(deploy.clone()).await.unwrap_err().kind(), Kind::Conflict);
        let whoami = || crate::personal::run(&world.forge, &actor, crate::personal::Command::Whoami);
        assert_eq!(whoami().await.unwrap().objects()[0]["name"], "alice");
        let remove = |owner: &str| json!({ "command": "key", "action": "remove", "owner": { "user": owner }, "id": id });
        assert_eq!(world.admin(remove("bob")).await.unwrap_err().kind(), Kind::NotFound, "not bob's to remove");
        world.admin(remove("alice")).await.unwrap();
        assert!(world.forge.sign_in_key(&blob, None).await.is_err());
        assert_eq!(whoami().await.unwrap_err().kind(), Kind::Unauthenticated, "an open connection is no way around");
        world.admin(deploy).await.unwrap();
        let actor = world.forge.sign_in_key(&blob, None).await.unwrap();
        assert!(matches!(actor, Actor::DeployKey { can_write: false, .. }), "{actor:?}");
    }
}

#[tokio::test]
async fn strangers_and_mistypers_hear_the_same_words() {
    let world = World::new().await;
    world.with_password("alice", "correct horse").await;
    world.user("keys-only").await;
    let mut answers = Vec::new();
    for (user, secret) in [
        ("alice", "wrong password"),
        ("nobody", "wrong password"),
        ("keys-only", "wrong password"),
        ("../etc", "wrong password"),
        ("", "wrong password"),
        ("alice", "hkt_nonsense"),
    ] {
        answers.push(words(&world.basic(user, secret).await.unwrap_err()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].0, Kind::Unauthenticated);
}

#[tokio::test]
async fn guessing_is_slowed_and_does_not_end_logins_that_are_remembered() {
    let world = World::new().await;
    world.with_password("alice", "correct horse").await;
    world.basic("alice", "correct horse").await.unwrap();
    let mut kinds = Vec::new();
    for n in 0..12 {
        kinds.push(world.basic("alice", &format!("guess number {n}")).await.unwrap_err().kind());
    }
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Unauthenticated).count(), 10);
    assert_eq!(kinds[11], Kind::Limited);
    world.basic("alice", "correct horse").await.unwrap();
    world.clock.advance(Duration::from_secs(61));
    world.basic("alice", "correct horse").await.unwrap();
}

#[tokio::test]
async fn a_second_factor_closes_the_password() {
    let world = World::new().await;
    world.with_password("alice", "correct horse").await;
    world.basic("alice", "correct horse").await.unwrap();
    let user = world.forge.get_user(&name("alice")).await.unwrap();
    let mut conn = world.forge.db().write().await.unwrap();
    hakata_store::users::set_second_factor(&mut conn, user.id, 1).await.unwrap();
    drop(conn);
    world.forge.policy_changed();
    let error = world.basic("alice", "correct horse").await.unwrap_err();
    assert!(error.hint().unwrap().contains("hakata token new"), "{error:?}");
    let (token, _) = world.token("alice", "repo:read").await;
    world.basic("alice", &token).await.unwrap();
}
