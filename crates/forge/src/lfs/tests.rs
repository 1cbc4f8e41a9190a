//! LFS over a whole forge: who may have what, how much, and what is left when things break.

mod bad;
mod locked;
mod removed;
mod used;

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hakata_names::{LfsOid, RefName, TreePath};
use hakata_runtime::secret::Secret;
use hakata_store::page::PageSize;
use hakata_store::testing::TestDatabase;
use hakata_store::{Engine, Role, lfs_objects};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{
    Answer, LockWish, Operation, Refusal, Right, Wanted, batch_download, batch_upload, find, list_locks,
    lock, read, receive, unlock, verify, verify_locks,
};
use crate::access::{Grant, Read, Write};
use crate::testing::{World, path};
use crate::{Actor, Error, Kind, Settings};

mod resumable;

pub(super) const HOUR_MS: i64 = 60 * 60 * 1_000;

pub(super) fn wanted(bytes: &[u8]) -> Wanted {
    Wanted { oid: LfsOid::new(Sha256::digest(bytes).into()), size_bytes: bytes.len() as u64 }
}

/// A forge with the repository `alice/tools` of `alice`, and `bob`, who has nothing to do with it.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) alice: Actor,
    pub(super) bob: Actor,
}

impl Stage {
    pub(super) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        Self::on(TestDatabase::create(Engine::Sqlite).await, settings).await
    }

    pub(super) async fn on(database: TestDatabase, settings: Settings) -> Self {
        let world = World::start(database, settings).await;
        let (alice, bob) = (world.user("alice").await, world.user("bob").await);
        let stage = Self { world, alice, bob };
        stage.repository("alice/tools").await;
        stage
    }

    pub(super) async fn repository(&self, name: &str) {
        self.world
            .admin(json!({ "command": "repo", "action": "create", "path": name, "visibility": "private" }))
            .await
            .unwrap();
    }

    pub(super) async fn invite(&self, name: &str, role: Role) {
        let command = json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": name, "role": role });
        self.world.admin(command).await.unwrap();
    }

    pub(super) async fn write(&self, actor: &Actor, name: &str) -> Grant<Write> {
        self.world.forge.grant(actor, &path(name)).await.unwrap()
    }

    pub(super) async fn read(&self, actor: &Actor, name: &str) -> Grant<Read> {
        self.world.forge.grant(actor, &path(name)).await.unwrap()
    }

    pub(super) async fn upload(&self, actor: &Actor, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let Wanted { oid, size_bytes } = wanted(bytes);
        receive(&self.world.forge, &self.write(actor, name).await, oid, size_bytes, bytes).await
    }

    pub(super) async fn ask(&self, actor: &Actor, name: &str, objects: &[&[u8]]) -> Vec<Answer> {
        let objects: Vec<Wanted> = objects.iter().map(|bytes| wanted(bytes)).collect();
        let grant = self.write(actor, name).await;
        batch_upload(&self.world.forge, &grant, None, &objects).await.unwrap()
    }

    /// Waits until so many uploads have announced their objects.
    async fn staged_are(&self, n: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let conn = &mut self.world.forge.db().read().await.unwrap();
        while lfs_objects::staged_older_than(conn, i64::MAX, PageSize::default()).await.unwrap().len() != n {
            assert!(tokio::time::Instant::now() < deadline, "{n} are to be staged");
            tokio::task::yield_now().await;
        }
    }

    /// Asks alice's batch again and again until it answers so.
    async fn until_asked(&self, bytes: &[u8], is_right: impl Fn(&Answer) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let answers = self.ask(&self.alice, "alice/tools", &[bytes]).await;
            if is_right(&answers[0]) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "still {answers:?}");
        }
    }

    /// Commits files of pointers to objects in a clone.
    pub(super) fn commit(&self, dir: &Path, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            let Wanted { oid, size_bytes } = wanted(bytes);
            let text =
                format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size_bytes}\n");
            std::fs::write(dir.join(name), text).unwrap();
        }
        self.world.git(dir, &["add", "-A"]);
        self.world.git(dir, &["commit", "-q", "-m", "pointers"]);
    }

    /// What a repository has of LFS: how many objects, and their bytes.
    pub(super) async fn usage(&self, name: &str) -> (i64, i64) {
        let grant = self.read(&Actor::System, name).await;
        let mut conn = self.world.forge.db().read().await.unwrap();
        let usage = lfs_objects::usage_of(&mut conn, grant.repository()).await.unwrap();
        (usage.n_objects, usage.bytes)
    }

    /// Counts the files of LFS objects, finished or not.
    pub(super) fn n_files(&self) -> usize {
        fn count(dir: std::path::PathBuf) -> usize {
            let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
            entries.map(|entry| if entry.path().is_dir() { count(entry.path()) } else { 1 }).sum()
        }
        count(self.world.path("blobs/lfs"))
    }
}

#[tokio::test]
async fn t2_what_was_sent_can_be_read_whole_and_in_ranges() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    let bytes = b"0123456789";
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[bytes]).await, [Answer::Transfer]);
    stage.upload(&stage.alice, "alice/tools", bytes).await.unwrap();
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[bytes]).await, [Answer::Present], "b6");
    let grant = stage.read(&stage.alice, "alice/tools").await;
    let stored = find(forge, &grant, &wanted(bytes).oid).await.unwrap();
    for (range, expected) in [(None, &bytes[..]), (Some(3..5), b"34")] {
        let mut found = Vec::new();
        read(forge, &grant, stored, range).await.unwrap().read_to_end(&mut found).await.unwrap();
        assert_eq!(found, expected);
    }
    verify(forge, &grant, &wanted(bytes).oid, 10).await.unwrap();
    assert_eq!(verify(forge, &grant, &wanted(bytes).oid, 11).await.unwrap_err().kind(), Kind::Invalid, "t6");
    assert_eq!(verify(forge, &grant, &wanted(b"x").oid, 1).await.unwrap_err().kind(), Kind::NotFound);
    stage.upload(&stage.alice, "alice/tools", bytes).await.unwrap();
    stage.upload(&stage.alice, "alice/tools", b"").await.unwrap();
    let usage =
        lfs_objects::usage_of(&mut forge.db().read().await.unwrap(), grant.repository()).await.unwrap();
    assert_eq!((usage.n_objects, usage.bytes), (2, 10), "sent twice is kept once, and nothing is something");
}

#[tokio::test]
async fn t2_wrong_bytes_leave_nothing() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    let grant = stage.write(&stage.alice, "alice/tools").await;
    let Wanted { oid, .. } = wanted(b"hello");
    for (bytes, size) in [(&b"jello"[..], 5), (b"hell", 5), (b"hello!", 5), (b"hello", 6), (b"", 5)] {
        let refused = receive(forge, &grant, oid, size, bytes).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid, "{bytes:?}: {refused}");
    }
    let left = receive(forge, &grant, oid, 5, Leaves(3)).await.unwrap_err();
    assert!(left.is_client_left(), "{left}: {}", left.chain());
    assert_eq!(stage.n_files(), 0);
    let conn = &mut forge.db().read().await.unwrap();
    let staged = lfs_objects::staged_older_than(conn, i64::MAX, PageSize::default()).await.unwrap();
    assert_eq!(staged, [], "no row waits for a sweep");
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[b"hello"]).await, [Answer::Transfer]);
}

/// A source that gives some bytes and then breaks.
struct Leaves(usize);

impl AsyncRead for Leaves {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        self.0 -= 1;
        buf.put_slice(b"h");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn b4_another_size_is_refused_both_ways() {
    let stage = Stage::new().await;
    stage.upload(&stage.alice, "alice/tools", b"hello").await.unwrap();
    let other = [Wanted { size_bytes: 6, ..wanted(b"hello") }];
    let refused = [Answer::Refused(Refusal::OtherSize { stored_bytes: 5, asked_bytes: 6 })];
    let forge = &stage.world.forge;
    let write = stage.write(&stage.alice, "alice/tools").await;
    assert_eq!(batch_upload(forge, &write, None, &other).await.unwrap(), refused);
    let grant = stage.read(&stage.alice, "alice/tools").await;
    assert_eq!(batch_download(forge, &grant, &other).await.unwrap(), refused);
}

#[tokio::test]
async fn b7_an_object_that_is_asked_for_twice_is_answered_twice() {
    let stage = Stage::new().await;
    let answers = stage.ask(&stage.alice, "alice/tools", &[b"a", b"b", b"a"]).await;
    assert_eq!(answers, [Answer::Transfer, Answer::Transfer, Answer::Transfer]);
    let write = stage.write(&stage.alice, "alice/tools").await;
    let twice = [wanted(b"a"), Wanted { size_bytes: 9, ..wanted(b"a") }];
    let answers = batch_upload(&stage.world.forge, &write, None, &twice).await.unwrap();
    assert!(
        matches!(answers[..], [Answer::Transfer, Answer::Refused(Refusal::OtherSize { .. })]),
        "{answers:?}"
    );
}

/// Nobody gets an object, or is spared sending it, because of an oid alone.
#[tokio::test]
async fn x1_what_is_known_elsewhere_is_given_to_its_readers_only() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    for name in ["alice/other", "bob/own"] {
        stage.repository(name).await;
    }
    stage.upload(&stage.alice, "alice/tools", b"secret").await.unwrap();
    let bobs = stage.read(&stage.bob, "bob/own").await;
    let answers = batch_download(forge, &bobs, &[wanted(b"secret")]).await.unwrap();
    assert_eq!(answers, [Answer::Refused(Refusal::Missing)], "b13");
    assert_eq!(find(forge, &bobs, &wanted(b"secret").oid).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(stage.ask(&stage.bob, "bob/own", &[b"secret"]).await, [Answer::Transfer], "he sends it");
    assert_eq!(stage.ask(&stage.alice, "alice/other", &[b"secret"]).await, [Answer::Present], "she need not");
    stage.upload(&stage.bob, "bob/own", b"secret").await.unwrap();
    assert_eq!(stage.n_files(), 1, "equal bytes are kept once");
    let other = stage.read(&stage.alice, "alice/other").await;
    let usage =
        lfs_objects::usage_of(&mut forge.db().read().await.unwrap(), other.repository()).await.unwrap();
    assert_eq!(usage.bytes, 6, "and count for each");
    stage.upload(&stage.alice, "alice/tools", b"more").await.unwrap();
    stage.invite("bob", Role::Reporter).await;
    assert_eq!(stage.ask(&stage.bob, "bob/own", &[b"more"]).await, [Answer::Present], "a reader has it");
}

#[tokio::test]
async fn x6_room_is_reserved_and_given_back() {
    let stage = Stage::new().await;
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "10B" });
    stage.world.admin(quota).await.unwrap();
    let (six, five, three) = (&b"666666"[..], &b"55555"[..], &b"333"[..]);
    let answers = stage.ask(&stage.alice, "alice/tools", &[six, five, three]).await;
    assert_eq!((&answers[0], &answers[2]), (&Answer::Transfer, &Answer::Transfer));
    let Answer::Refused(Refusal::Full(words)) = &answers[1] else { panic!("{answers:?}") };
    assert!(words.contains("4 B are left") && words.contains("10 B"), "{words}");
    stage.upload(&stage.alice, "alice/tools", six).await.unwrap();
    let refused = stage.upload(&stage.alice, "alice/tools", five).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLarge, "{refused}");
    assert_eq!(stage.n_files(), 1, "what has no room is not kept");
    stage.world.clock.advance(Duration::from_secs(3_601));
    assert_eq!(
        stage.ask(&stage.alice, "alice/tools", &[b"4444"]).await,
        [Answer::Transfer],
        "promises lapse"
    );
}

/// Whoever leaves in the middle leaves the room that was promised.
#[tokio::test]
async fn x6_an_upload_that_is_dropped_gives_its_room_back() {
    let stage = Stage::new().await;
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "10B" });
    stage.world.admin(quota).await.unwrap();
    let (six, seven) = (wanted(b"666666"), &b"7777777"[..]);
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[b"666666"]).await, [Answer::Transfer]);
    let grant = stage.write(&stage.alice, "alice/tools").await;
    let (mut source, stalled) = tokio::io::duplex(16);
    let receiving = receive(&stage.world.forge, &grant, six.oid, six.size_bytes, stalled);
    let begun = async {
        tokio::io::AsyncWriteExt::write_all(&mut source, b"666").await.unwrap();
        stage.staged_are(1).await;
    };
    tokio::select! {
        received = receiving => panic!("three bytes are missing: {received:?}"),
        () = begun => {}
    }
    stage.until_asked(seven, |answer| *answer == Answer::Transfer).await;
    // The row goes a moment after the room, without a sweeper.
    stage.staged_are(0).await;
    assert_eq!(stage.n_files(), 0);
}

/// A promise lasts as long as its upload.
#[tokio::test]
async fn x6_an_upload_prolongs_its_promise() {
    let mut settings = Settings::default();
    settings.lfs.action_time = Duration::from_millis(20);
    let stage = Stage::with(settings).await;
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "10B" });
    stage.world.admin(quota).await.unwrap();
    let six = wanted(b"666666");
    let grant = stage.write(&stage.alice, "alice/tools").await;
    let (source, stalled) = tokio::io::duplex(16);
    let receiving = receive(&stage.world.forge, &grant, six.oid, six.size_bytes, stalled);
    let prolonged = async {
        stage.staged_are(1).await;
        // The promise of the beginning is over; one that is prolonged counts from now.
        stage.world.clock.step_wall(10_000);
        stage.until_asked(b"7777777", |answer| matches!(answer, Answer::Refused(_))).await;
    };
    tokio::select! {
        received = receiving => panic!("nothing was sent: {received:?}"),
        () = prolonged => {}
    }
    drop(source);
}

/// Many objects that its actor may read elsewhere are given to a repository together, as far as there is room.
#[tokio::test]
async fn x1_a_large_batch_is_shared_as_far_as_there_is_room() {
    let stage = Stage::new().await;
    stage.repository("alice/other").await;
    let contents: Vec<String> = (100..240).map(|n| format!("{n}")).collect();
    for bytes in &contents {
        stage.upload(&stage.alice, "alice/tools", bytes.as_bytes()).await.unwrap();
    }
    let all: Vec<&[u8]> = contents.iter().map(String::as_bytes).collect();
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/other", "quota": "393B" });
    stage.world.admin(quota).await.unwrap();
    let answers = stage.ask(&stage.alice, "alice/other", &all).await;
    let n_present = answers.iter().filter(|answer| **answer == Answer::Present).count();
    assert_eq!(n_present, 131, "128 at once, and three of the rest");
    assert!(
        answers.iter().all(|answer| matches!(answer, Answer::Present | Answer::Refused(Refusal::Full(_))))
    );
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/other", "quota": "1kB" });
    stage.world.admin(quota).await.unwrap();
    assert!(
        stage.ask(&stage.alice, "alice/other", &all).await.iter().all(|answer| *answer == Answer::Present)
    );
    let other = stage.read(&stage.alice, "alice/other").await;
    let conn = &mut stage.world.forge.db().read().await.unwrap();
    let usage = lfs_objects::usage_of(conn, other.repository()).await.unwrap();
    assert_eq!((usage.n_objects, usage.bytes, stage.n_files()), (140, 420, 140));
}

#[tokio::test]
async fn b11_the_largest_object_is_bounded() {
    let mut settings = Settings::default();
    settings.lfs.max_object = hakata_runtime::units::ByteSize::new(4);
    let stage = Stage::with(settings).await;
    let answers = stage.ask(&stage.alice, "alice/tools", &[b"12345"]).await;
    let Answer::Refused(refusal) = &answers[0] else { panic!("{answers:?}") };
    assert!(refusal.to_string().starts_with("size must be less than or equal to 4"), "{refusal}");
    assert_eq!(stage.upload(&stage.alice, "alice/tools", b"12345").await.unwrap_err().kind(), Kind::Invalid);
}

/// Rules on a branch hold for what is sent for it.
#[tokio::test]
async fn b12_a_protected_branch_is_protected_from_objects_too() {
    let stage = Stage::new().await;
    stage.invite("bob", Role::Developer).await;
    let rule = json!({ "command": "repo", "action": "protect", "path": "alice/tools", "tags": false,
        "pattern": "main", "push": "maintainer", "force": false, "delete": false, "allowed": [] });
    stage.world.admin(rule).await.unwrap();
    let grant = stage.write(&stage.bob, "alice/tools").await;
    let ask = async |name: &str| {
        let name = RefName::parse(name.as_bytes()).unwrap();
        batch_upload(&stage.world.forge, &grant, Some(&name), &[wanted(b"a")])
            .await
            .map_err(|error| error.kind())
    };
    assert_eq!(ask("refs/heads/main").await, Err(Kind::Forbidden));
    assert_eq!(ask("refs/heads/topic").await, Ok(vec![Answer::Transfer]));
}

/// The token of an action opens one object of one repository, for who asked, as long as they may.
#[tokio::test]
async fn security_19_tokens_are_bound_and_judged_again() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    stage.invite("bob", Role::Developer).await;
    let grant = stage.write(&stage.bob, "alice/tools").await;
    let right = Right { operation: Operation::Upload, object: Some((wanted(b"a").oid, 1)) };
    let token = forge.lfs_signer(&grant).await.unwrap().unwrap().token(right);
    let bearer = forge.sign_in_lfs(&token).await.unwrap();
    assert_eq!(
        (bearer.repository, bearer.right, bearer.actor),
        (grant.repository(), right, stage.bob.clone())
    );
    for text in ["", "hkl_", "hkl_AAAA", "hkt_x"] {
        let refused = forge.sign_in_lfs(&Secret::new(text.to_owned())).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Forbidden, "{text}");
    }
    let disable = json!({ "command": "user", "action": "disable", "name": "bob" });
    stage.world.admin(disable).await.unwrap();
    assert_eq!(forge.sign_in_lfs(&token).await.unwrap_err().kind(), Kind::Forbidden, "his account is closed");
    let alices = stage.write(&stage.alice, "alice/tools").await;
    let token = forge.lfs_signer(&alices).await.unwrap().unwrap().token(right);
    stage.world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(forge.sign_in_lfs(&token).await.unwrap_err().kind(), Kind::Forbidden, "it has ended");
    let public =
        json!({ "command": "repo", "action": "visibility", "path": "alice/tools", "visibility": "public" });
    stage.world.admin(public).await.unwrap();
    let strangers = stage.read(&Actor::Anonymous, "alice/tools").await;
    assert!(forge.lfs_signer(&strangers).await.unwrap().is_none(), "strangers need none");
}

#[tokio::test]
async fn what_nobody_has_is_swept_in_its_time() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    stage.upload(&stage.alice, "alice/tools", b"kept").await.unwrap();
    stage.upload(&stage.alice, "alice/tools", b"gone").await.unwrap();
    let grant = stage.write(&stage.alice, "alice/tools").await;
    let at = find(forge, &stage.read(&stage.alice, "alice/tools").await, &wanted(b"gone").oid).await.unwrap();
    let id =
        lfs_objects::find_live(&mut forge.db().read().await.unwrap(), &wanted(b"gone").oid).await.unwrap();
    lfs_objects::unlink(&mut forge.db().write().await.unwrap(), grant.repository(), id.unwrap().id)
        .await
        .unwrap();
    assert_eq!(super::sweep::sweep(forge).await.unwrap(), 0, "a download may still read it");
    let mut bytes = Vec::new();
    let reading = stage.read(&stage.alice, "alice/tools").await;
    read(forge, &reading, at, None).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"gone");
    stage.world.clock.step_wall(25 * HOUR_MS);
    assert_eq!(super::sweep::sweep(forge).await.unwrap(), 1);
    assert_eq!(stage.n_files(), 1);
    stage.upload(&stage.alice, "alice/tools", b"gone").await.unwrap();
    assert_eq!(stage.n_files(), 2, "it may come again");
}

#[tokio::test]
async fn l6_only_its_holder_or_a_maintainer_takes_a_lock_away() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    stage.invite("bob", Role::Developer).await;
    let art = TreePath::parse(b"art/a.psd").unwrap();
    let (alices, bobs) =
        (stage.write(&stage.alice, "alice/tools").await, stage.write(&stage.bob, "alice/tools").await);
    let locked = lock(forge, &alices, &art).await.unwrap().unwrap();
    assert_eq!(locked.owner, "alice");
    assert_eq!(lock(forge, &bobs, &art).await.unwrap().unwrap_err(), locked, "l2");
    assert_eq!(lock(forge, &alices, &art).await.unwrap().unwrap_err(), locked, "l2: also her own");
    for force in [false, true] {
        assert_eq!(
            unlock(forge, &bobs, locked.id, force).await.unwrap_err().kind(),
            Kind::Forbidden,
            "{force}"
        );
    }
    let bobs_own = lock(forge, &bobs, &TreePath::parse(b"b").unwrap()).await.unwrap().unwrap();
    assert_eq!(unlock(forge, &alices, bobs_own.id, false).await.unwrap_err().kind(), Kind::Forbidden);
    let told = verify_locks(forge, &bobs, &LockWish::default()).await.unwrap();
    assert_eq!((told.ours, told.theirs), (vec![bobs_own.clone()], vec![locked.clone()]), "l4");
    stage.repository("alice/other").await;
    let elsewhere = stage.write(&stage.alice, "alice/other").await;
    assert_eq!(unlock(forge, &elsewhere, locked.id, true).await.unwrap_err().kind(), Kind::NotFound, "l8");
    assert_eq!(unlock(forge, &alices, bobs_own.id, true).await.unwrap(), bobs_own, "she owns the repository");
    assert_eq!(unlock(forge, &alices, locked.id, false).await.unwrap(), locked);
    assert_eq!(unlock(forge, &alices, locked.id, false).await.unwrap_err().kind(), Kind::NotFound);
    let read = stage.read(&stage.bob, "alice/tools").await;
    assert_eq!(list_locks(forge, &read, &LockWish::default()).await.unwrap().locks, []);
    let wish = LockWish { cursor: Some("x".to_owned()), ..LockWish::default() };
    assert_eq!(list_locks(forge, &read, &wish).await.unwrap_err().kind(), Kind::Invalid);
}
