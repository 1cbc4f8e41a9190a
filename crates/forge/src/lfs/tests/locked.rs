//! What a push must leave as it is, and what it may take over.

use std::path::{Path, PathBuf};

use hakata_names::TreePath;

use super::{Stage, lock};
use crate::{Actor, Role};

/// `alice/tools` with `a.psd` on `main`, locked by alice; a clone of hers, and one of bob's.
struct Art {
    stage: Stage,
    alices: PathBuf,
    bobs: PathBuf,
}

impl Art {
    async fn new() -> Self {
        let stage = Stage::new().await;
        stage.invite("bob", Role::Developer).await;
        let alices = stage.world.work_tree("alices");
        let art = Self { bobs: stage.world.path("bobs"), alices, stage };
        art.change(&art.alices, "a.psd", "v0");
        art.push(&art.stage.alice, &art.alices, &["main"]).await.unwrap();
        art.copy();
        art
    }

    /// Gives bob what alice has: objects and branches.
    fn copy(&self) {
        if !self.bobs.exists() {
            std::fs::create_dir(&self.bobs).unwrap();
            self.git(&self.bobs, &["init", "-q", "-b", "main", "."]);
        }
        let from = self.alices.display().to_string();
        self.git(&self.bobs, &["fetch", "-q", &from, "+refs/heads/*:refs/remotes/a/*"]);
        if self.git(&self.bobs, &["branch", "--list", "main"]).is_empty() {
            self.git(&self.bobs, &["checkout", "-q", "-B", "main", "a/main"]);
        }
    }

    async fn lock(&self, path: &str) {
        let grant = self.stage.write(&self.stage.alice, "alice/tools").await;
        let path = TreePath::parse(path.as_bytes()).unwrap();
        lock(&self.stage.world.forge, &grant, &path).await.unwrap().unwrap();
        // Moves of the same moment are later than the lock.
        self.stage.world.clock.step_wall(1_000);
    }

    fn git(&self, dir: &Path, args: &[&str]) -> String {
        self.stage.world.git(dir, args)
    }

    fn change(&self, dir: &Path, path: &str, content: &str) {
        let file = dir.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
        self.git(dir, &["add", "-A"]);
        self.git(dir, &["commit", "-q", "-m", content]);
    }

    /// Pushes; `Err` is what git said.
    async fn push(&self, actor: &Actor, dir: &Path, args: &[&str]) -> Result<(), String> {
        self.stage.world.clock.step_wall(1_000);
        self.stage.world.push(actor, "alice/tools", dir, args).await.result()
    }

    async fn bob(&self, args: &[&str]) -> Result<(), String> {
        self.push(&self.stage.bob, &self.bobs, args).await
    }

    async fn refused(&self, args: &[&str]) {
        let said = self.bob(args).await.unwrap_err();
        assert!(said.contains("a.psd is locked by alice"), "{said}");
    }
}

#[tokio::test]
async fn l9_nobody_changes_deletes_or_brings_back_what_another_has_locked() {
    let art = Art::new().await;
    art.lock("a.psd").await;
    art.change(&art.bobs, "a.psd", "bob's");
    art.refused(&["main"]).await;
    art.refused(&["main:refs/heads/topic"]).await;
    // Changed and brought back is nothing changed.
    art.change(&art.bobs, "a.psd", "v0");
    art.bob(&["main"]).await.unwrap();
    art.git(&art.bobs, &["rm", "-q", "a.psd"]);
    art.git(&art.bobs, &["commit", "-q", "-m", "gone"]);
    art.refused(&["main"]).await;
    art.git(&art.bobs, &["reset", "-q", "--hard", "HEAD^"]);
    art.change(&art.bobs, "b.psd", "other files are anybody's");
    art.bob(&["main"]).await.unwrap();
    art.bob(&["main:refs/tags/v1"]).await.unwrap();
    art.bob(&[":refs/tags/v1"]).await.unwrap();
}

/// The version that a topic branch holds may be older than that of the default branch: its holder made it all the same.
#[tokio::test]
async fn l9_what_the_holder_made_may_be_merged_by_others() {
    let art = Art::new().await;
    art.lock("a.psd").await;
    // On a branch of hers, which is not merged yet.
    art.git(&art.alices, &["checkout", "-q", "-b", "hers"]);
    art.change(&art.alices, "a.psd", "v1");
    art.push(&art.stage.alice, &art.alices, &["hers"]).await.unwrap();
    art.copy();
    art.git(&art.bobs, &["checkout", "-q", "-b", "dev"]);
    art.change(&art.bobs, "dev", "dev");
    art.bob(&["dev"]).await.unwrap();
    art.git(&art.bobs, &["merge", "-q", "--no-edit", "a/hers"]);
    art.bob(&["dev"]).await.unwrap();
    // She goes on, on the default branch; he merges the older version elsewhere.
    art.git(&art.alices, &["checkout", "-q", "main"]);
    art.git(&art.alices, &["merge", "-q", "--ff-only", "hers"]);
    art.change(&art.alices, "a.psd", "v2");
    art.push(&art.stage.alice, &art.alices, &["main"]).await.unwrap();
    art.copy();
    art.git(&art.bobs, &["checkout", "-q", "main"]);
    art.change(&art.bobs, "two", "two");
    art.bob(&["main:refs/heads/two"]).await.unwrap();
    art.git(&art.bobs, &["merge", "-q", "--no-edit", "dev"]);
    art.bob(&["main:refs/heads/two"]).await.unwrap();
    // And a rebase onto the newest of the default branch, which loses nothing.
    art.git(&art.bobs, &["rebase", "-q", "a/main"]);
    art.bob(&["+main:refs/heads/two"]).await.unwrap();
}

/// What somebody had on a branch before the lock is not the holder's; and her work is not taken back by a merge.
#[tokio::test]
async fn l9_an_older_version_of_somebody_else_is_not_merged() {
    let art = Art::new().await;
    art.git(&art.bobs, &["checkout", "-q", "-b", "his"]);
    art.change(&art.bobs, "a.psd", "bob's, before the lock");
    art.bob(&["his"]).await.unwrap();
    art.lock("a.psd").await;
    art.git(&art.bobs, &["checkout", "-q", "main"]);
    art.git(&art.bobs, &["merge", "-q", "--no-ff", "--no-edit", "his"]);
    art.refused(&["main"]).await;
    art.refused(&["his:main"]).await;
    // Also from behind a commit that came after the lock.
    art.git(&art.bobs, &["checkout", "-q", "his"]);
    art.change(&art.bobs, "other", "after the lock");
    art.bob(&["his"]).await.unwrap();
    art.refused(&["his:main"]).await;
    art.change(&art.alices, "a.psd", "v1");
    art.push(&art.stage.alice, &art.alices, &["main"]).await.unwrap();
    art.copy();
    art.git(&art.bobs, &["checkout", "-q", "-B", "main", "a/main"]);
    art.git(&art.bobs, &["merge", "-q", "--no-edit", "-s", "ours", "his"]);
    art.bob(&["main"]).await.unwrap();
    // The other way round: the merge keeps the old file.
    art.git(&art.bobs, &["checkout", "-q", "-B", "old", "a/main~"]);
    art.git(&art.bobs, &["merge", "-q", "--no-edit", "-s", "ours", "main"]);
    art.refused(&["old:main"]).await;
    art.refused(&["+a/main~:refs/heads/main"]).await;
}

/// A broken repository lets nothing through unjudged.
#[tokio::test]
async fn l9_what_cannot_be_judged_is_refused() {
    let art = Art::new().await;
    art.change(&art.alices, "deep/dir/file", "x");
    art.push(&art.stage.alice, &art.alices, &["main"]).await.unwrap();
    art.copy();
    art.git(&art.bobs, &["checkout", "-q", "-B", "main", "a/main"]);
    art.lock("deep/dir/locked").await;
    art.change(&art.bobs, "deep/dir/file", "y");
    let updates = missing_tree(&art).await;
    assert!(updates.contains("it cannot be told whether this changes a locked file"), "{updates}");
}

/// Judges an update to a commit whose tree is not there, as a repository has after damage; answers what is said.
async fn missing_tree(art: &Art) -> String {
    use crate::lfs::{Guards, Present};
    use hakata_git::objects::View;
    use hakata_names::{Oid, RefName, RefUpdate};

    let forge = &art.stage.world.forge;
    let id = art.stage.read(&art.stage.alice, "alice/tools").await.repository();
    let repository = forge.repositories().open(id).await.unwrap();
    let readable = repository.readable().await.unwrap();
    let main = RefName::parse(b"refs/heads/main").unwrap();
    let old = repository.snapshot().find(&main).unwrap().oid;
    let absent = Oid::from_bytes(&[7; 20]).unwrap();
    let updates = vec![RefUpdate { name: main, old: Some(old), new: Some(absent) }];
    let rules = forge.rules(&art.stage.bob, id).await.unwrap();
    let refused = rules.judge_all(forge, &repository, &updates, Some(readable.objects())).await.unwrap();
    let guards = Guards::default();
    assert!(guards.is_empty());
    let present = Present { default_tip: Some(old), heads: std::collections::HashMap::new() };
    let looked = readable
        .objects()
        .read(move |view: &View| Ok(Guards::default().find_touched(view, &updates, &present).is_err()))
        .await;
    assert!(looked.unwrap(), "a missing commit is an error, not an answer");
    refused.into_iter().map(|(_, refused)| refused.reason).collect()
}

/// Many locks and many refs cost one comparison of trees, and each ref has its reason.
#[tokio::test]
async fn l9_many_locks_and_many_refs_are_judged_at_once() {
    let art = Art::new().await;
    for n in 0..40 {
        art.lock(&format!("assets/{n}/file")).await;
    }
    art.lock("a.psd").await;
    art.change(&art.bobs, "a.psd", "bob's");
    let refs: Vec<String> = (0..20).map(|n| format!("main:refs/heads/t{n}")).collect();
    let mut args: Vec<&str> = refs.iter().map(String::as_str).collect();
    art.git(&art.bobs, &["branch", "free", "a/main"]);
    args.push("free");
    let said = art.bob(&args).await.unwrap_err();
    assert_eq!(said.matches("a.psd is locked by alice").count(), 20, "{said}");
    assert!(said.contains("[new branch]      free -> free"), "{said}");
}
