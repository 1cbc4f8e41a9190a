//! Bytes that rot, get lost, or are left behind.

use std::path::PathBuf;

use hakata_store::lfs_objects;
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::{Answer, HOUR_MS, Refusal, Stage, batch_download, find, read, wanted};
use crate::admin::Outcome;
use crate::lfs::sweep;
use crate::{Error, Kind, Settings};

impl Stage {
    /// The file of an object.
    async fn file(&self, bytes: &[u8]) -> PathBuf {
        let forge = &self.world.forge;
        let mut conn = forge.db().read().await.unwrap();
        let at = lfs_objects::find_live(&mut conn, &wanted(bytes).oid).await.unwrap().unwrap();
        forge.repositories().blobs().local_path(hakata_blob::BlobKey::lfs(at.id)).unwrap()
    }

    async fn scrub(&self) -> (String, Vec<serde_json::Value>) {
        let scrubbed = self.world.admin(json!({ "command": "lfs", "action": "scrub" })).await.unwrap();
        let objects = scrubbed.objects();
        let Outcome::Report(report) = scrubbed else { panic!("{scrubbed:?}") };
        assert_eq!(report.has_failures, !objects.is_empty());
        (report.message, objects)
    }

    async fn content(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let grant = self.read(&self.alice, name).await;
        let stored = find(&self.world.forge, &grant, &wanted(bytes).oid).await?;
        let mut found = Vec::new();
        read(&self.world.forge, &grant, stored, None).await?.read_to_end(&mut found).await.unwrap();
        Ok(found)
    }
}

/// x5: a bad object is found, given to nobody, asked for again, and replaced wherever it was.
#[tokio::test]
async fn x5_a_bad_object_is_sent_again_by_the_next_who_has_it() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    stage.repository("alice/other").await;
    stage.upload(&stage.alice, "alice/tools", b"rotten").await.unwrap();
    stage.upload(&stage.alice, "alice/tools", b"sound").await.unwrap();
    assert_eq!(stage.ask(&stage.alice, "alice/other", &[b"rotten"]).await, [Answer::Present]);
    let (said, bad) = stage.scrub().await;
    assert_eq!((said.as_str(), bad.len()), ("read 2 objects, 11 B: 0 are bad", 0));
    std::fs::write(stage.file(b"rotten").await, b"ROTTEN").unwrap();
    assert_eq!(stage.content("alice/tools", b"rotten").await.unwrap(), b"ROTTEN", "nobody noticed yet");
    let (said, bad) = stage.scrub().await;
    assert!(said.contains("1 are bad"), "{said}");
    assert_eq!(bad.len(), 2, "in both repositories: {bad:?}");
    assert_eq!(bad[0]["oid"], wanted(b"rotten").oid.to_string());
    for name in ["alice/tools", "alice/other"] {
        assert_eq!(stage.content(name, b"rotten").await.unwrap_err().kind(), Kind::NotFound);
        let grant = stage.read(&stage.alice, name).await;
        let answers = batch_download(forge, &grant, &[wanted(b"rotten")]).await.unwrap();
        assert_eq!(answers, [Answer::Refused(Refusal::Missing)]);
    }
    let usage = stage.usage("alice/other").await;
    assert_eq!(stage.ask(&stage.alice, "alice/other", &[b"rotten"]).await, [Answer::Transfer], "not spared");
    stage.upload(&stage.alice, "alice/other", b"rotten").await.unwrap();
    for name in ["alice/tools", "alice/other"] {
        assert_eq!(stage.content(name, b"rotten").await.unwrap(), b"rotten", "{name}");
    }
    assert_eq!(stage.usage("alice/other").await, usage, "it is counted once");
    assert_eq!(stage.scrub().await.1.len(), 0);
    stage.world.clock.step_wall(25 * HOUR_MS);
    assert_eq!(sweep::sweep(forge).await.unwrap(), 1, "the bad bytes go");
    assert_eq!(stage.n_files(), 2);
}

/// x5: what is bad has its room already, however full a quota is.
#[tokio::test]
async fn x5_a_full_quota_has_room_for_what_is_sent_again() {
    let stage = Stage::new().await;
    stage.upload(&stage.alice, "alice/tools", b"rotten").await.unwrap();
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "6B" });
    stage.world.admin(quota).await.unwrap();
    std::fs::write(stage.file(b"rotten").await, b"x").unwrap();
    stage.scrub().await;
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[b"rotten"]).await, [Answer::Transfer]);
    stage.upload(&stage.alice, "alice/tools", b"rotten").await.unwrap();
    assert_eq!(stage.content("alice/tools", b"rotten").await.unwrap(), b"rotten");
}

/// Bytes that are missing are bad as soon as somebody asks for them, and good again when they are back.
#[tokio::test]
async fn x5_what_is_missing_is_noticed_and_may_come_back() {
    let stage = Stage::new().await;
    stage.upload(&stage.alice, "alice/tools", b"away").await.unwrap();
    let file = stage.file(b"away").await;
    std::fs::rename(&file, file.with_extension("away")).unwrap();
    assert_eq!(stage.content("alice/tools", b"away").await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[b"away"]).await, [Answer::Transfer]);
    std::fs::rename(file.with_extension("away"), &file).unwrap();
    let (said, bad) = stage.scrub().await;
    assert!(said.contains("1 are good again") && bad.is_empty(), "{said}");
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[b"away"]).await, [Answer::Present]);
    assert_eq!(stage.content("alice/tools", b"away").await.unwrap(), b"away");
}

/// The job reads what was not read for long, and leaves out what was.
#[tokio::test]
async fn x5_objects_are_read_again_in_their_time() {
    let stage = Stage::with(Settings::default()).await;
    let forge = &stage.world.forge;
    stage.upload(&stage.alice, "alice/tools", b"rotten").await.unwrap();
    std::fs::write(stage.file(b"rotten").await, b"ROTTEN").unwrap();
    forge.scrub_lfs().await.unwrap();
    assert!(stage.content("alice/tools", b"rotten").await.is_ok(), "it was hashed when it came");
    stage.world.clock.step_wall(31 * 24 * HOUR_MS);
    forge.scrub_lfs().await.unwrap();
    assert_eq!(stage.content("alice/tools", b"rotten").await.unwrap_err().kind(), Kind::NotFound);
}

/// A store that fails at the end may have kept the bytes all the same: a row names them until they are gone.
#[tokio::test]
async fn what_a_failed_store_may_have_kept_is_swept() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    let (store, aside) = (stage.world.path("blobs/lfs"), stage.world.path("aside"));
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, b"no directory").unwrap();
    stage.upload(&stage.alice, "alice/tools", b"late").await.unwrap_err();
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    let now = forge.clock().now_ms();
    let mut conn = forge.db().read().await.unwrap();
    let dead =
        lfs_objects::dead_before(&mut conn, i64::MAX, hakata_store::page::PageSize::MAX).await.unwrap();
    assert_eq!(dead.len(), 1, "its row is there");
    let sooner = lfs_objects::dead_before(&mut conn, now, hakata_store::page::PageSize::MAX).await.unwrap();
    assert_eq!(sooner.len(), 0, "and waits");
    drop(conn);
    let key = hakata_blob::BlobKey::lfs(dead[0].id);
    forge.repositories().blobs().put(key, &b"late"[..]).await.unwrap();
    sweep::sweep(forge).await.unwrap();
    assert_eq!(stage.n_files(), 1);
    stage.world.clock.step_wall(25 * HOUR_MS);
    sweep::sweep(forge).await.unwrap();
    assert_eq!(stage.n_files(), 0, "what came late goes too");
    stage.upload(&stage.alice, "alice/tools", b"late").await.unwrap();
    assert_eq!(stage.content("alice/tools", b"late").await.unwrap(), b"late");
}
