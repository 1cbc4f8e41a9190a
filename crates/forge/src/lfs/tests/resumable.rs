//! Uploads that go on, and what becomes of those that do not.

use hakata_blob::{BlobKey, UploadId};
use hakata_store::lfs_uploads::{self, LfsUpload, UploadKey, Writer};

use super::super::resumable::state_of;
use super::super::sweep::sweep;
use super::super::{append, offset};
use super::{Answer, Digest, Error, HOUR_MS, Kind, PageSize, Sha256, Stage, Wanted, json, verify, wanted};

/// The length of a part in a directory.
const PART: usize = 8 << 20;

fn content() -> Vec<u8> {
    (0..PART + 9).map(|at| u8::try_from(at / 1_000 % 251).unwrap()).collect()
}

impl Stage {
    /// Sends more of an upload of alice's.
    async fn more(&self, whole: &[u8], from: usize, to: usize) -> Result<u64, Error> {
        let Wanted { oid, size_bytes } = wanted(whole);
        let grant = self.write(&self.alice, "alice/tools").await;
        let at = (from as u64, Some(size_bytes));
        append(&self.world.forge, &grant, oid, at, &whole[from..to])
            .await
            .map(|progress| progress.offset_bytes)
    }

    async fn at(&self, whole: &[u8]) -> Result<u64, Error> {
        let Wanted { oid, size_bytes } = wanted(whole);
        let grant = self.write(&self.alice, "alice/tools").await;
        offset(&self.world.forge, &grant, oid, Some(size_bytes)).await.map(|progress| progress.offset_bytes)
    }

    async fn uploads(&self) -> Vec<LfsUpload> {
        let conn = &mut self.world.forge.db().read().await.unwrap();
        lfs_uploads::older_than(conn, i64::MAX, PageSize::default()).await.unwrap()
    }

    fn n_upload_files(&self) -> usize {
        std::fs::read_dir(self.world.path("blobs/uploads")).map_or(0, Iterator::count)
    }

    /// Makes an upload of which every part is kept, and whose writer died then; it had hashed these bytes.
    async fn all_parts(&self, whole: &[u8], hashed: &[u8]) {
        self.more(whole, 0, PART).await.unwrap();
        let LfsUpload { key, object, upload, offset_bytes, size_bytes, .. } = self.uploads().await.remove(0);
        let forge = &self.world.forge;
        let (blobs, last) = (forge.repositories().blobs(), whole[PART..].to_vec());
        blobs.put_part(BlobKey::lfs(object), &UploadId::new(upload), 2, last.into()).await.unwrap();
        let now = self.world.clock.now_ms();
        let writer = Writer { name: "died", node: forge.repositories().node(), until: now };
        let conn = &mut forge.db().write().await.unwrap();
        assert!(lfs_uploads::claim(conn, &key, object, writer, now).await.unwrap());
        let to = (size_bytes, &state_of(&Sha256::new_with_prefix(hashed))[..]);
        assert!(lfs_uploads::advance(conn, &key, writer, offset_bytes, to).await.unwrap());
    }

    /// Lets another node write an upload for so long.
    async fn written_elsewhere(&self, key: &UploadKey, object: hakata_names::LfsObjectId, lasts_ms: i64) {
        let now = self.world.clock.now_ms();
        let writer = Writer { name: "other", node: "elsewhere", until: now + lasts_ms };
        let conn = &mut self.world.forge.db().write().await.unwrap();
        assert!(lfs_uploads::claim(conn, key, object, writer, now).await.unwrap());
    }
}

#[tokio::test]
async fn an_abandoned_upload_is_swept_with_its_parts_and_its_room() {
    let stage = Stage::new().await;
    let whole = content();
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "9MB" });
    stage.world.admin(quota).await.unwrap();
    assert_eq!(stage.more(&whole, 0, PART).await.unwrap(), PART as u64);
    stage.world.clock.step_wall(2 * HOUR_MS);
    let other = vec![7; 2_000_000];
    assert!(
        matches!(stage.ask(&stage.alice, "alice/tools", &[&other]).await[..], [Answer::Refused(_)]),
        "it keeps its room"
    );
    assert_eq!(sweep(&stage.world.forge).await.unwrap(), 0);
    assert_eq!(stage.at(&whole).await.unwrap(), PART as u64);
    stage.world.clock.step_wall(23 * HOUR_MS);
    sweep(&stage.world.forge).await.unwrap();
    assert_eq!((stage.uploads().await.len(), stage.n_upload_files(), stage.n_files()), (0, 0, 0));
    assert_eq!(stage.ask(&stage.alice, "alice/tools", &[&other]).await, [Answer::Transfer]);
    assert_eq!(stage.at(&whole).await.unwrap(), 0, "it begins again");
}

#[tokio::test]
async fn another_node_that_writes_is_waited_for() {
    let stage = Stage::new().await;
    let whole = content();
    stage.more(&whole, 0, PART).await.unwrap();
    let row = stage.uploads().await.remove(0);
    stage.written_elsewhere(&row.key, row.object, 1_000).await;
    assert_eq!(stage.at(&whole).await.unwrap_err().kind(), Kind::Limited);
    assert_eq!(stage.more(&whole, PART, whole.len()).await.unwrap_err().kind(), Kind::Limited);
    stage.world.clock.step_wall(1_000);
    assert_eq!(stage.at(&whole).await.unwrap(), PART as u64);
    assert_eq!(stage.more(&whole, PART, whole.len()).await.unwrap(), whole.len() as u64);
    let grant = stage.write(&stage.alice, "alice/tools").await;
    verify(&stage.world.forge, &grant, &wanted(&whole).oid, whole.len() as u64).await.unwrap();
    assert_eq!((stage.uploads().await.len(), stage.n_upload_files()), (0, 0));
}

/// A part that a replaced writer wrote late is found, and nobody is given it.
#[tokio::test]
async fn what_two_nodes_wrote_is_read_again() {
    let stage = Stage::new().await;
    let whole = content();
    stage.more(&whole, 0, PART).await.unwrap();
    let row = stage.uploads().await.remove(0);
    stage.written_elsewhere(&row.key, row.object, 10).await;
    stage.world.clock.step_wall(10);
    let late = stage.world.forge.repositories().blobs();
    let id = UploadId::new(row.upload.clone());
    late.put_part(BlobKey::lfs(row.object), &id, 1, vec![9; PART].into()).await.unwrap();
    let refused = stage.more(&whole, PART, whole.len()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid, "{refused}");
    assert_eq!((stage.uploads().await.len(), stage.n_upload_files(), stage.n_files()), (0, 0, 0));
    assert_eq!(stage.more(&whole, 0, whole.len()).await.unwrap(), whole.len() as u64);
}

/// A process that died between the last part and the end leaves an upload that the next question brings to its end:
/// clients ask nothing more when they hear that all bytes are there.
#[tokio::test]
async fn an_upload_that_is_whole_is_ended_before_that_is_said() {
    let stage = Stage::new().await;
    let whole = content();
    stage.all_parts(&whole, b"other").await;
    assert_eq!(stage.at(&whole).await.unwrap(), 0, "of wrong bytes nothing is kept");
    assert_eq!((stage.uploads().await.len(), stage.n_upload_files(), stage.n_files()), (0, 0, 0));
    stage.all_parts(&whole, &whole).await;
    assert_eq!(stage.at(&whole).await.unwrap(), whole.len() as u64);
    let grant = stage.write(&stage.alice, "alice/tools").await;
    verify(&stage.world.forge, &grant, &wanted(&whole).oid, whole.len() as u64).await.unwrap();
    assert_eq!((stage.uploads().await.len(), stage.n_upload_files(), stage.n_files()), (0, 0, 1));
}
