//! Commands against real rows and directories, as the command line and the socket send them.

use hakata_store::audits::{self, Filter};
use hakata_store::page::PageSize;
use serde_json::{Value, json};

use super::Outcome;
use crate::testing::{World, path};
use crate::{Actor, Kind, Read, Settings};

fn objects(outcome: &Outcome) -> Vec<Value> {
    outcome.objects()
}

impl World {
    async fn actions(&self) -> Vec<String> {
        let mut conn = self.forge.db().read().await.unwrap();
        let all = Filter { actor: None, subject: None };
        let page = audits::list(&mut conn, all, None, PageSize::MAX).await.unwrap();
        page.rows.into_iter().rev().map(|row| row.action).collect()
    }
}

hakata_store::on_every_engine! {
    /// A bare directory comes in whole, is verified, and a failed import leaves no row behind.
    async fn a_directory_is_imported_and_verified(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let work = world.work_tree("w");
        let bare = world.path("bare.git");
        world.git(&work, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        let import = json!({ "command": "repo", "action": "import", "source": bare, "path": "alice/copy", "visibility": "private" });
        let mut notes = Vec::new();
        let command = serde_json::from_value(import.clone()).unwrap();
        let outcome = super::run(&world.forge, command, &mut |note| notes.push(note.phase)).await.unwrap();
        assert_eq!(objects(&outcome)[0]["refs"], 1, "{outcome:?}");
        assert!(notes.contains(&"indexed".to_owned()), "{notes:?}");
        let grant = world.forge.grant::<Read>(&Actor::System, &path("alice/copy")).await.unwrap();
        let opened = world.forge.repositories().open(grant.repository()).await.unwrap();
        let main = hakata_names::RefName::parse(b"refs/heads/main").unwrap();
        let tip = opened.snapshot().find(&main).unwrap().oid.to_string();
        assert_eq!(tip, world.git(&work, &["rev-parse", "HEAD"]));
        let verify = json!({ "command": "repo", "action": "verify", "path": "alice/copy" });
        let outcome = world.admin(verify).await.unwrap();
        assert!(!outcome.has_findings(), "{outcome:?}");
        assert_eq!(world.admin(import).await.unwrap_err().kind(), Kind::Conflict, "the name is taken now");
        for (source, kind) in [(world.path("nowhere"), Kind::NotFound), (world.path(""), Kind::Invalid)] {
            let import = json!({ "command": "repo", "action": "import", "source": source, "path": "alice/other", "visibility": "private" });
            assert_eq!(world.admin(import).await.unwrap_err().kind(), kind);
        }
        let list = json!({ "command": "repo", "action": "list", "owner": "alice" });
        assert_eq!(objects(&world.admin(list).await.unwrap()).len(), 1, "what failed has no row");
    }

    /// Two administrators who take the rank from each other at once: one of them keeps it.
    async fn the_last_administrator_stays(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let add = |name: &str| json!({ "command": "user", "action": "add", "name": name, "admin": true });
        let demote = |name: &str| json!({ "command": "user", "action": "admin", "name": name, "admin": false });
        let disable = |name: &str| json!({ "command": "user", "action": "disable", "name": name });
        let promote = |name: &str| json!({ "command": "user", "action": "admin", "name": name, "admin": true });
        let enable = |name: &str| json!({ "command": "user", "action": "enable", "name": name });
        world.admin(add("anna")).await.unwrap();
        world.admin(add("ben")).await.unwrap();
        for _ in 0..5 {
            let (left, right) = tokio::join!(world.admin(demote("anna")), world.admin(disable("ben")));
            let (refused, keeper) = match (left, right) {
                (Err(error), Ok(_)) => (error, "anna"),
                (Ok(_), Err(error)) => (error, "ben"),
                both => panic!("exactly one is refused: {both:?}"),
            };
            assert_eq!(refused.kind(), Kind::Conflict);
            for command in [demote(keeper), disable(keeper)] {
                assert_eq!(world.admin(command).await.unwrap_err().kind(), Kind::Conflict);
            }
            for command in [promote("anna"), enable("ben")] {
                world.admin(command).await.unwrap();
            }
        }
    }

    /// Two owners of a group who leave at once: one of them stays.
    async fn a_group_keeps_an_owner(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        for user in ["alice", "bob"] {
            world.user(user).await;
        }
        world.admin(json!({ "command": "group", "action": "create", "name": "guild", "owner": "alice" })).await.unwrap();
        let member = |change: Value| json!({ "command": "group", "action": "member", "name": "guild", "change": change });
        let add = |user: &str, role: &str| member(json!({ "action": "add", "user": user, "role": role }));
        let remove = |user: &str| member(json!({ "action": "remove", "user": user }));
        for _ in 0..5 {
            world.admin(add("alice", "owner")).await.ok();
            world.admin(add("bob", "owner")).await.ok();
            let (left, right) = tokio::join!(world.admin(remove("alice")), world.admin(add("bob", "reporter")));
            assert_eq!([left.is_ok(), right.is_ok()].iter().filter(|is_ok| **is_ok).count(), 1, "{left:?} {right:?}");
        }
    }

    /// HEAD is moved with its audit row, also while the rules change; an archived repository keeps it.
    async fn the_default_branch_is_set_and_shown(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let about = |mut command: Value| {
            command["command"] = json!("repo");
            command["path"] = json!("alice/tools");
            world.admin(command)
        };
        about(json!({ "action": "create", "visibility": "private" })).await.unwrap();
        let set = |branch: &str| about(json!({ "action": "default_branch", "branch": branch }));
        let shown = || about(json!({ "action": "default_branch" }));
        assert_eq!(objects(&shown().await.unwrap()), [json!({ "default_branch": "main" })]);
        let rule = about(json!({ "action": "protect", "pattern": "main", "push": "owner" }));
        let (was_set, was_made) = tokio::join!(set("topic/one"), rule);
        was_made.unwrap();
        assert!(was_set.unwrap().message().unwrap().ends_with("which does not exist yet"));
        assert_eq!(objects(&shown().await.unwrap()), [json!({ "default_branch": "topic/one" })]);
        set("refs/heads/trunk").await.unwrap();
        assert_eq!(objects(&shown().await.unwrap()), [json!({ "default_branch": "trunk" })]);
        for wrong in ["", "a..b", "-x", "HEAD "] {
            assert_eq!(set(wrong).await.unwrap_err().kind(), Kind::Invalid, "{wrong:?}");
        }
        about(json!({ "action": "archive", "archived": true })).await.unwrap();
        assert_eq!(set("main").await.unwrap_err().kind(), Kind::Forbidden);
        let actions = world.actions().await;
        assert_eq!(actions.iter().filter(|action| *action == "repo.default_branch").count(), 2, "{actions:?}");
    }

    /// A rule names people by their accounts; it shows them until it is replaced.
    async fn a_rule_names_people(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        world.user("bob").await;
        let create = json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "public" });
        world.admin(create).await.unwrap();
        let protect = |allowed: Value| world.admin(json!({
            "command": "repo", "action": "protect", "path": "alice/tools", "pattern": "main", "push": null, "allowed": allowed,
        }));
        let list = || world.admin(json!({ "command": "repo", "action": "protections", "path": "alice/tools" }));
        protect(json!(["bob", "Alice", "bob"])).await.unwrap();
        assert_eq!(objects(&list().await.unwrap())[0]["users"], json!(["alice", "bob"]));
        assert_eq!(protect(json!(["nobody"])).await.unwrap_err().kind(), Kind::NotFound);
        let many = protect(json!(vec!["bob"; 101])).await.unwrap_err();
        assert_eq!(many.kind(), Kind::Invalid, "what a push reads is bounded");
        protect(json!([])).await.unwrap();
        assert_eq!(objects(&list().await.unwrap())[0]["users"], json!([]), "the rule was replaced");
    }

    /// Every act is written down with the change, and nothing that failed is.
    async fn acts_are_audited(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let create = json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "public" });
        world.admin(create.clone()).await.unwrap();
        world.admin(create).await.unwrap_err();
        let protect = json!({ "command": "repo", "action": "protect", "path": "alice/tools", "pattern": "main", "push": null });
        world.admin(protect.clone()).await.unwrap();
        world.admin(protect).await.unwrap();
        let unprotect = json!({ "command": "repo", "action": "unprotect", "path": "alice/tools", "pattern": "main" });
        world.admin(unprotect.clone()).await.unwrap();
        assert_eq!(world.admin(unprotect).await.unwrap_err().kind(), Kind::NotFound, "a second rule took the first's place");
        world.admin(json!({ "command": "user", "action": "disable", "name": "alice" })).await.unwrap();
        let actions = ["user.add", "repo.create", "repo.protect", "repo.protect", "repo.unprotect", "user.disable"];
        assert_eq!(world.actions().await, actions);
    }
}

#[tokio::test]
async fn doctor_finds_that_nobody_is_there() {
    let world = World::new().await;
    let doctor = || world.admin(json!({ "command": "doctor" }));
    let found = objects(&doctor().await.unwrap());
    assert!(found.iter().any(|finding| finding["what"] == "users"), "{found:?}");
    world.admin(json!({ "command": "user", "action": "add", "name": "boss", "admin": true })).await.unwrap();
    let found = objects(&doctor().await.unwrap());
    assert!(!found.iter().any(|finding| finding["what"] == "users"), "{found:?}");
}

#[tokio::test]
async fn a_quota_is_set_and_shown() {
    let world = World::new().await;
    world.user("alice").await;
    world.admin(json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "private", "object_format": "sha256" })).await.unwrap();
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "5GiB" });
    let outcome = world.admin(quota).await.unwrap();
    assert_eq!(outcome.message(), Some("the quota of alice/tools is 5.0 GiB now"));
    let list = world.admin(json!({ "command": "repo", "action": "list" })).await.unwrap();
    assert_eq!(objects(&list)[0]["object_format"], "sha256");
    let directory =
        world.admin(json!({ "command": "repo", "action": "path", "path": "alice/tools" })).await.unwrap();
    let directory = objects(&directory)[0]["directory"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&directory).join("HEAD").exists(), "{directory}");
}
