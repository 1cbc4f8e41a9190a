//! The kind `commits`, as an import causes it; git says what is right.

use std::path::Path;
use std::process::Command;

use hakata_names::RepositoryPath;
use hakata_runtime::tasks::Tasks;
use hakata_store::jobs::{self, NewJob};
use hakata_store::{JobState, commits, on_every_engine, repositories};
use hakata_worker::{Handlers, Settings, Worker};

use crate::fixture::{World, admin, until};

fn git(dir: &Path, mail: &str, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).env_clear().args(args);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (key, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Test"),
        ("GIT_AUTHOR_EMAIL", mail),
        ("GIT_COMMITTER_NAME", "Test"),
        ("GIT_COMMITTER_EMAIL", "c@example.org"),
        ("GIT_AUTHOR_DATE", "1700000000 +0000"),
        ("GIT_COMMITTER_DATE", "1700000000 +0000"),
    ] {
        command.env(key, value);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

on_every_engine! {
    /// Every commit of every branch is registered once, authors are matched to users in any case of their address, and
    /// what messages close is known; doing it again changes nothing.
    async fn commits_of_a_push_are_registered_once(database: TestDatabase) {
        let world = World::new(database).await;
        let source = world.path("source");
        std::fs::create_dir_all(&source).unwrap();
        git(&source, "alice@example.org", &["init", "-q", "-b", "main", "."]);
        for n in 0..30 {
            let mail = if n % 3 == 0 { "Alice@Example.org" } else { "stranger@example.org" };
            git(&source, mail, &["commit", "-q", "--allow-empty", "-m", &format!("change {n}\n\nfixes #{n}, see #7")]);
        }
        git(&source, "alice@example.org", &["branch", "other", "HEAD~3"]);
        let (forge, _db, _engines) = world.forge("one").await;
        admin(&forge, serde_json::json!({ "command": "user", "action": "add", "name": "alice", "email": "alice@example.org" })).await;
        let import = serde_json::json!({
            "command": "repo", "action": "import", "source": source.join(".git"), "path": "alice/tools", "visibility": "private"
        });
        admin(&forge, import).await;
        let path: RepositoryPath = "alice/tools".parse().unwrap();
        let id = repositories::find_by_path(&mut world.db.read().await.unwrap(), &path).await.unwrap().unwrap().id;
        let (worker, tasks) = (Worker::new(&forge, Handlers::of(&forge), Settings::default(), None), Tasks::new());
        worker.start(&tasks);
        until(async || world.done("commits").await >= 1, "the import's commits are registered").await;
        let wanted = git(&source, "", &["rev-list", "--count", "--branches"]).parse::<i64>().unwrap();
        let count = async || commits::count(&mut world.db.read().await.unwrap(), id).await.unwrap();
        assert_eq!(count().await, (wanted, 10));
        let mentions = async |number| {
            commits::mentions_of(&mut world.db.read().await.unwrap(), id, number, 100).await.unwrap()
        };
        assert_eq!(mentions(12).await.iter().map(|(_, keyword)| keyword.as_str()).collect::<Vec<_>>(), ["closes"]);
        let of_seven = mentions(7).await;
        assert_eq!(of_seven.len(), 30);
        assert_eq!(of_seven.iter().filter(|(_, keyword)| keyword == "closes").count(), 1);
        let done = world.list(JobState::Done).await;
        let first = done.iter().find(|job| job.kind == "commits").unwrap();
        let again = NewJob {
            repository: first.repository,
            event: first.event,
            ..NewJob::new(hakata_names::JobId::new(9_999), "commits", 1)
        };
        assert!(jobs::enqueue(&mut world.db.write().await.unwrap(), &again).await.unwrap());
        let n_done = world.done("commits").await;
        until(async || world.done("commits").await > n_done, "the same again").await;
        assert_eq!(count().await, (wanted, 10));
        tasks.drain(std::time::Duration::from_secs(10)).await;
        worker.stop().await;
    }
}
