//! A forge that writes letters into a folder, and who reads them.

use std::sync::Arc;
use std::time::Duration;

use hakata_rpc_server::Local;
use hakata_store::NoticeState;
use hakata_store::notices::Notice;
use hakata_store::testing::TestDatabase;
use serde_json::{Value, json};

use crate::access::Read;
use crate::jobs::{Kind, Outcome};
use crate::mail::{MailSettings, Postman, Way};
use crate::testing::{World, path};
use crate::{Actor, Settings};

/// A forge whose letters lie in a folder: alice owns `tools`, which bob may read.
pub(super) struct Mailed {
    pub(super) world: World,
    pub(super) folder: tempfile::TempDir,
    alice: Actor,
    pub(super) postman: Option<Postman>,
}

impl Mailed {
    pub(super) async fn start(database: TestDatabase, way: Way) -> Self {
        let folder = tempfile::Builder::new().prefix("hakata_test_").tempdir().unwrap();
        let mail = MailSettings {
            way,
            from: Some("Hakata <hakata@git.example.org>".parse().unwrap()),
            folder: folder.path().join("mail"),
            ..MailSettings::default()
        };
        let world = World::start(database, Settings { mail, ..Settings::default() }).await;
        let alice = world.user("alice").await;
        world.user("bob").await;
        let version = world.forge.git().version().to_string();
        let local = Local::new(world.forge.repositories().clone(), version, Default::default());
        let postman = Postman::new(world.forge.clone(), Arc::new(local));
        let mailed = Self { world, folder, alice, postman };
        for user in ["alice", "bob"] {
            mailed.wish(user, json!({ "address": format!("{user}@example.org") })).await;
        }
        mailed.admin(json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "private" })).await;
        mailed.admin(json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": "reporter" })).await;
        mailed
    }

    pub(super) async fn admin(&self, command: Value) {
        self.world.admin(command).await.unwrap();
    }

    pub(super) async fn wish(&self, user: &str, more: Value) {
        let mut command = json!({ "command": "mail", "action": "wish", "user": user });
        for (key, value) in more.as_object().unwrap() {
            command[key] = value.clone();
        }
        self.admin(command).await;
    }

    pub(super) async fn watch(&self, user: &str, level: &str) {
        self.admin(json!({ "command": "mail", "action": "watch", "user": user, "path": "alice/tools", "level": level })).await;
    }

    /// Has alice push a commit to `main`.
    pub(super) async fn push(&self, dir: &std::path::Path, message: &str) {
        self.world.commit(dir, message);
        self.world.push(&self.alice, "alice/tools", dir, &["main"]).await.ok();
    }

    pub(super) async fn repository(&self) -> hakata_names::RepositoryId {
        self.world.forge.grant::<Read>(&Actor::System, &path("alice/tools")).await.unwrap().repository()
    }

    pub(super) async fn fan_out(&self) {
        self.world.forge.fan_out_webhooks(self.repository().await).await.unwrap();
    }

    /// Runs the jobs of mail whose time has come, and tells how they ended.
    pub(super) async fn work(&self) -> Vec<Outcome> {
        let queue = self.world.forge.job_queue("test", Duration::from_secs(60));
        let (rules, mut outcomes) = (Kind::Mail.rules(), Vec::new());
        loop {
            let claimed = queue.claim(Kind::Mail, &rules, 100, 100).await.unwrap();
            if claimed.is_empty() {
                return outcomes;
            }
            for claimed in claimed {
                let outcome = self.postman.as_ref().unwrap().deliver(&claimed.job).await;
                queue.settle(&claimed, &rules, &outcome).await.unwrap();
                outcomes.push(outcome);
            }
        }
    }

    /// The letters to a user, by their ids.
    pub(super) fn letters(&self, to: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("mail/new")) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = paths.into_iter().map(|path| std::fs::read_to_string(path).unwrap());
        read.filter(|letter| letter.contains(&format!("\r\nTo: {to}@example.org\r\n"))).collect()
    }

    pub(super) async fn notices(&self) -> Vec<Notice> {
        let listed = self.world.forge.list_notices(None, 1_000).await.unwrap();
        listed.into_iter().map(|(notice, _)| notice).rev().collect()
    }

    pub(super) async fn states(&self) -> Vec<NoticeState> {
        self.notices().await.iter().map(|notice| notice.state).collect()
    }
}

/// The value of a field, unfolded.
pub(super) fn field(letter: &str, name: &str) -> Option<String> {
    let head = letter.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    head.split("\r\n").find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
}

/// The link of a letter, as its header has it.
pub(super) fn link(letter: &str) -> String {
    let field = field(letter, "List-Unsubscribe").unwrap();
    field.trim_matches(['<', '>']).rsplit('/').next().unwrap().to_owned()
}
