//! Trees against real rows and directories.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hakata_names::{ObjectFormat, RefName, RepositoryId};
use hakata_runtime::units::ByteSize;
use hakata_store::testing::TestDatabase;
use hakata_store::{Engine, RepositoryState, Visibility, repositories};
use serde_json::{Value, json};

use crate::admin::{Note, Outcome, Plain, run};
use crate::hosting::Wish;
use crate::testing::{World, path};
use crate::{Actor, Error, Kind, Settings};

impl World {
    /// Makes a tree with one-commit repositories at these places.
    fn tree(&self, places: &[&str]) -> PathBuf {
        let (work, tree) = (self.work_tree("w"), self.path("tree"));
        std::fs::create_dir_all(&tree).unwrap();
        for place in places {
            self.git(&work, &["clone", "-q", "--bare", ".", tree.join(place).to_str().unwrap()]);
        }
        tree
    }

    async fn import_tree(&self, tree: &Path, more: Value) -> Result<Outcome, Error> {
        let mut command = json!({
            "command": "repo", "action": "import_tree", "directory": tree, "visibility": "private",
        });
        for (key, value) in more.as_object().unwrap() {
            command[key] = value.clone();
        }
        self.admin(command).await
    }

    async fn row(&self, of: &str) -> Option<repositories::Repository> {
        let mut conn = self.forge.db().read().await.unwrap();
        repositories::find_by_path(&mut conn, &path(of)).await.unwrap()
    }

    async fn make(&self, of: &str, state: RepositoryState) -> RepositoryId {
        let wish = Wish {
            object_format: ObjectFormat::Sha1,
            default_ref: RefName::parse(b"refs/heads/trunk").unwrap(),
            visibility: Visibility::Public,
            state,
            description: "made before".to_owned(),
        };
        self.forge.create_in_state(&Actor::System, &path(of), wish).await.unwrap()
    }
}

fn results(outcome: &Outcome) -> Vec<String> {
    let word =
        |row: Value| format!("{} {}", row["source"].as_str().unwrap(), row["result"].as_str().unwrap());
    outcome.objects().into_iter().map(word).collect()
}

hakata_store::on_every_engine! {
    /// A row that a cut import left is replaced, an empty repository is filled and keeps what was set, others are left.
    async fn what_a_cut_import_left_is_finished(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        world.user("alice").await;
        let tree = world.tree(&["alice/cut.git", "alice/empty.git", "alice/full.git"]);
        std::fs::write(tree.join("alice/cut.git/description"), "Cut\nbefore\n").unwrap();
        let cut = world.make("alice/cut", RepositoryState::Creating).await;
        let empty = world.make("alice/empty", RepositoryState::Active).await;
        let full = json!({
            "command": "repo", "action": "import", "source": tree.join("alice/full.git"), "path": "alice/full",
            "visibility": "private",
        });
        world.admin(full).await.unwrap();
        let version = world.row("alice/full").await.unwrap().version;

        let refused = world.import_tree(&tree, json!({})).await.unwrap();
        assert_eq!(results(&refused), ["alice/cut.git failed", "alice/empty.git failed", "alice/full.git failed"]);
        let Outcome::Report(report) = &refused else { panic!("{refused:?}") };
        assert!(report.has_failures && report.hint.is_some() && report.shown.rows.len() == 3);
        let row = world.row("alice/cut").await.unwrap();
        assert_eq!((row.id, row.state), (cut, RepositoryState::Creating), "nothing is replaced unasked");

        let done = world.import_tree(&tree, json!({ "skip_existing": true })).await.unwrap();
        assert_eq!(results(&done), ["alice/cut.git imported", "alice/empty.git imported", "alice/full.git exists"]);
        let row = world.row("alice/cut").await.unwrap();
        assert!(row.id != cut && row.state == RepositoryState::Active && row.version > 0);
        assert_eq!((row.description.as_str(), row.default_ref.as_bytes()), ("Cut before", &b"refs/heads/main"[..]));
        let row = world.row("alice/empty").await.unwrap();
        assert_eq!((row.id, row.visibility, row.description.as_str()), (empty, Visibility::Public, "made before"));
        assert_eq!(row.default_ref.as_bytes(), b"refs/heads/main", "HEAD follows the source's");
        assert_eq!(world.row("alice/full").await.unwrap().version, version);
        let again = world.import_tree(&tree, json!({ "skip_existing": true })).await.unwrap();
        assert!(results(&again).iter().all(|line| line.ends_with("exists")), "{again:?}");
    }
}

#[tokio::test]
async fn steps_count_the_whole_tree_and_a_line_tells_of_each() {
    let world = World::new().await;
    world.user("alice").await;
    let tree = world.tree(&["alice/a.git", "alice/b.git", "alice/c.git"]);
    std::fs::remove_dir_all(tree.join("alice/b.git/refs")).unwrap();
    let command = json!({
        "command": "repo", "action": "import_tree", "directory": tree, "visibility": "private",
    });
    let mut notes: Vec<Note> = Vec::new();
    let command = serde_json::from_value(command).unwrap();
    run(&world.forge, command, &mut |note| notes.push(note)).await.unwrap();
    let notes: Vec<Note> = notes.into_iter().filter(|note| note.total.is_some()).collect();
    assert!(notes.windows(2).all(|pair| pair[0].done <= pair[1].done && pair[0].total == pair[1].total));
    let last = notes.last().unwrap();
    assert_eq!((Some(last.done), last.unit.as_str()), (last.total, "bytes"), "all is done in the end");
    let lines: Vec<&str> = notes
        .iter()
        .filter_map(|note| match &note.plain {
            Plain::Line(line) | Plain::Alarm(line) => Some(line.as_str()),
            Plain::Never | Plain::Sometimes => None,
        })
        .collect();
    assert!(lines[0].starts_with("1 of 3: alice/a imported, "), "{lines:?}");
    assert_eq!(lines[1], "2 of 3: alice/b failed: it is not a git repository: it has no refs");
    assert!(lines.len() == 3 && notes.iter().any(|note| matches!(note.plain, Plain::Alarm(_))), "{lines:?}");
}

#[tokio::test]
async fn an_import_whose_caller_leaves_keeps_what_was_done_and_can_go_on() {
    let world = World::new().await;
    world.user("alice").await;
    let tree = world.tree(&["alice/a.git", "alice/b.git"]);
    let command = |skip: bool| {
        let wish = json!({
            "command": "repo", "action": "import_tree", "directory": tree, "visibility": "private",
            "skip_existing": skip,
        });
        serde_json::from_value(wish).unwrap()
    };
    let leave = tokio_util::sync::CancellationToken::new();
    let mut progress = |note: Note| {
        if note.phase.starts_with("2 of 2") {
            leave.cancel();
        }
    };
    tokio::select! {
        biased;
        () = leave.cancelled() => {}
        done = run(&world.forge, command(false), &mut progress) => panic!("the caller leaves before: {done:?}"),
    }
    assert!(world.row("alice/a").await.is_some_and(|row| row.version > 0), "what was done stays");
    let done = run(&world.forge, command(true), &mut |_| {}).await.unwrap();
    assert_eq!(results(&done), ["alice/a.git exists", "alice/b.git imported"]);
}

#[tokio::test]
async fn nothing_is_begun_when_owners_are_missing_or_the_tree_is_none() {
    let world = World::new().await;
    world.user("alice").await;
    let tree = world.tree(&["alice/a.git", "bob/b.git", "Carol/c.git", "admin/d.git"]);
    let refused = world.import_tree(&tree, json!({})).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
    assert_eq!(refused.public(), "there are no users or groups of these names: bob, Carol");
    assert!(world.row("alice/a").await.is_none());
    let wishes = [
        (tree.join("nowhere"), json!({}), Kind::NotFound),
        (tree.join("alice/a.git/HEAD"), json!({}), Kind::NotFound),
        (tree.join("alice/a.git"), json!({}), Kind::Invalid),
        (tree.join("alice/a.git/objects"), json!({}), Kind::NotFound),
        (tree.clone(), json!({ "exclude": ["a b"] }), Kind::Invalid),
        (tree.clone(), json!({ "exclude": ["*"] }), Kind::NotFound),
        (tree.clone(), json!({ "missing": { "groups_of": "dave" } }), Kind::NotFound),
    ];
    for (directory, wish, kind) in wishes {
        let refused = world.import_tree(&directory, wish.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{} {wish}", directory.display());
    }
    let made = world.import_tree(&tree, json!({ "missing": { "groups_of": "alice" } })).await.unwrap();
    let expected =
        ["Carol/c.git imported", "admin/d.git failed", "alice/a.git imported", "bob/b.git imported"];
    assert_eq!(results(&made), expected);
}

#[tokio::test]
async fn an_import_is_held_to_quotas_and_a_recovery_is_not() {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let repository_quota = ByteSize::new(100);
    let world = World::start(database, Settings { repository_quota, ..Settings::default() }).await;
    world.user("alice").await;
    let tree = world.tree(&["alice/a.git"]);
    let source = tree.join("alice/a.git");
    let import = json!({
        "command": "repo", "action": "import", "source": source, "path": "alice/a", "visibility": "private",
    });
    let recover = json!({ "command": "repo", "action": "recover", "source": source, "path": "alice/a" });
    let refused = world.admin(import).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLarge, "{refused:?}");
    assert_eq!(refused.public(), "its objects take more than the 100 B that are left of the quota");
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.row("alice/a").await.is_some() {
        assert!(Instant::now() < deadline, "nothing is left behind");
        tokio::task::yield_now().await;
    }
    world.admin(recover).await.unwrap();
    assert!(world.row("alice/a").await.is_some_and(|row| row.size_bytes > 100));
}
