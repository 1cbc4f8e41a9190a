//! Grants over real rows, and the memory in front of them.

use serde_json::json;

use crate::testing::{World, path};
use crate::{Actor, Error, Kind, Own, Read, Scope, Scopes, Settings, Via, Write};

impl World {
    async fn create(&self, to: &str, visibility: &str) {
        let create = json!({ "command": "repo", "action": "create", "path": to, "visibility": visibility });
        self.admin(create).await.unwrap();
    }

    async fn reads(&self, actor: &Actor, at: &str) -> Result<(), Error> {
        self.forge.grant::<Read>(actor, &path(at)).await.map(drop)
    }
}

fn words(error: Error) -> (Kind, String, Option<String>) {
    (error.kind(), error.public().to_owned(), error.hint().map(str::to_owned))
}

fn with_token(actor: &Actor, scopes: Scopes, is_admin: bool) -> Actor {
    let Actor::User { id, name, .. } = actor.clone() else { panic!("a user") };
    Actor::User { id, name, is_admin, via: Via::Token { id: 1.into(), scopes } }
}

hakata_store::on_every_engine! {
    /// Nobody can tell an absent repository from one that is hidden.
    async fn absent_and_hidden_are_answered_alike(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let bob = world.user("bob").await;
        world.create("alice/secret", "private").await;
        for actor in [&Actor::Anonymous, &bob] {
            let hidden = words(world.reads(actor, "alice/secret").await.unwrap_err());
            assert_eq!(hidden, words(world.reads(actor, "alice/absent").await.unwrap_err()));
            let hidden = words(world.forge.open_push(actor, &path("alice/secret")).await.unwrap_err());
            assert_eq!(hidden, words(world.forge.open_push(actor, &path("alice/absent")).await.unwrap_err()));
        }
        assert_eq!(world.reads(&Actor::Anonymous, "alice/secret").await.unwrap_err().kind(), Kind::Unauthenticated);
        assert_eq!(world.reads(&bob, "alice/secret").await.unwrap_err().kind(), Kind::NotFound);
    }

    /// What was read into memory does not outlive a change of visibility, role, name or existence.
    async fn every_change_is_seen_by_the_next_request(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let bob = world.user("bob").await;
        assert!(world.reads(&alice, "alice/tools").await.is_err());
        world.create("alice/tools", "private").await;
        world.reads(&alice, "Alice/TOOLS").await.unwrap();
        assert!(world.reads(&bob, "alice/tools").await.is_err());
        let visible = |v: &str| json!({ "command": "repo", "action": "visibility", "path": "alice/tools", "visibility": v });
        world.admin(visible("public")).await.unwrap();
        world.reads(&bob, "alice/tools").await.unwrap();
        world.reads(&Actor::Anonymous, "alice/tools").await.unwrap();
        world.admin(visible("private")).await.unwrap();
        assert!(world.reads(&bob, "alice/tools").await.is_err());
        world.admin(json!({ "command": "repo", "action": "rename", "path": "alice/tools", "to": "alice/gear" })).await.unwrap();
        assert!(world.reads(&alice, "alice/tools").await.is_err(), "the old name leads nowhere");
        world.reads(&alice, "alice/gear").await.unwrap();
        world.admin(json!({ "command": "repo", "action": "archive", "path": "alice/gear", "archived": true })).await.unwrap();
        let archived = world.forge.grant::<Write>(&alice, &path("alice/gear")).await.unwrap_err();
        assert_eq!(archived.kind(), Kind::Forbidden);
        world.admin(json!({ "command": "repo", "action": "delete", "path": "alice/gear" })).await.unwrap();
        assert_eq!(world.reads(&alice, "alice/gear").await.unwrap_err().kind(), Kind::NotFound);
        world.create("alice/gear", "private").await;
    }

    /// A group's roles hold on its repositories, the largest role counts, and a group keeps an owner.
    async fn groups_give_roles(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let bob = world.user("bob").await;
        world.admin(json!({ "command": "group", "action": "create", "name": "team", "owner": "alice" })).await.unwrap();
        world.create("team/app", "private").await;
        world.forge.grant::<Own>(&alice, &path("team/app")).await.unwrap();
        assert!(world.reads(&bob, "team/app").await.is_err());
        let member = |change: serde_json::Value| json!({ "command": "group", "action": "member", "name": "team", "change": change });
        let add = |role: &str| member(json!({ "action": "add", "user": "bob", "role": role }));
        world.admin(add("reporter")).await.unwrap();
        world.reads(&bob, "team/app").await.unwrap();
        assert_eq!(world.forge.grant::<Write>(&bob, &path("team/app")).await.unwrap_err().kind(), Kind::Forbidden);
        assert_eq!(world.forge.open_push(&bob, &path("team/new")).await.unwrap_err().kind(), Kind::NotFound);
        world.admin(add("maintainer")).await.unwrap();
        world.forge.grant::<Write>(&bob, &path("team/app")).await.unwrap();
        world.forge.open_push(&bob, &path("team/new")).await.unwrap();
        let remove = |user: &str| member(json!({ "action": "remove", "user": user }));
        assert_eq!(world.admin(remove("alice")).await.unwrap_err().kind(), Kind::Conflict, "the last owner stays");
        world.admin(remove("bob")).await.unwrap();
        assert!(world.reads(&bob, "team/app").await.is_err());
        let delete = json!({ "command": "group", "action": "delete", "name": "team" });
        assert_eq!(world.admin(delete).await.unwrap_err().kind(), Kind::Conflict, "it owns a repository");
    }
}

#[tokio::test]
async fn an_administrators_token_has_the_rank_only_with_its_scope() {
    let world = World::new().await;
    world.user("alice").await;
    let root = world.user("boss").await;
    world.create("alice/secret", "private").await;
    let read = Scopes::only(Scope::RepoRead);
    let cases = [
        (with_token(&root, read, true), false),
        (with_token(&root, read.with(Scope::Admin), true), true),
        (with_token(&root, Scopes::only(Scope::Admin), true), false),
        (with_token(&root, Scopes::ALL, false), false),
    ];
    for (actor, reads) in cases {
        assert_eq!(world.reads(&actor, "alice/secret").await.is_ok(), reads, "{actor:?}");
    }
}

#[tokio::test]
async fn reserved_and_taken_names_are_refused() {
    let world = World::new().await;
    world.user("alice").await;
    let add = |name: &str| json!({ "command": "user", "action": "add", "name": name });
    assert_eq!(world.admin(add("Login")).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(world.admin(add("ALICE")).await.unwrap_err().kind(), Kind::Conflict);
    let group =
        |name: &str| json!({ "command": "group", "action": "create", "name": name, "owner": "alice" });
    assert_eq!(world.admin(group("alice")).await.unwrap_err().kind(), Kind::Conflict, "one namespace");
    assert_eq!(world.admin(group("api")).await.unwrap_err().kind(), Kind::Invalid);
}
