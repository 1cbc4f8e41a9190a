//! Uploads that go over several requests: one writer at a time, and an offset that only its writer moves.

use hakata_names::{LfsObjectId, LfsOid};
use hakata_store::lfs_uploads::{self, LfsUpload, UploadKey, Writer};
use hakata_store::on_every_engine;
use hakata_store::page::PageSize;
use hakata_store::repositories;
use hakata_store::{Conn, RepositoryState};

use crate::fixture::Fixture;

fn upload(key: &UploadKey, object: i64) -> LfsUpload {
    LfsUpload {
        key: key.clone(),
        object: LfsObjectId::new(object),
        upload: "upload-1".to_owned(),
        size_bytes: 100,
        part_bytes: 40,
        offset_bytes: 0,
        digest: vec![0, 255, 7],
        is_contested: false,
        created_at: 1_000,
        written_by: None,
    }
}

fn writer<'a>(name: &'a str, node: &'a str, until: i64) -> Writer<'a> {
    Writer { name, node, until }
}

async fn find(conn: &mut Conn, key: &UploadKey) -> LfsUpload {
    lfs_uploads::find(conn, key).await.unwrap().unwrap()
}

on_every_engine! {
    async fn an_upload_is_kept_as_it_is(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let key = UploadKey { repository: tools, oid: LfsOid::new([3; 32]), uploader: "user:1".to_owned() };
        assert_eq!(lfs_uploads::find(conn, &key).await.unwrap(), None);
        assert!(lfs_uploads::insert(conn, &upload(&key, 1)).await.unwrap());
        assert!(!lfs_uploads::insert(conn, &upload(&key, 2)).await.unwrap(), "one of each key");
        assert_eq!(find(conn, &key).await, upload(&key, 1));
        let other = UploadKey { uploader: "user:2".to_owned(), ..key.clone() };
        assert!(lfs_uploads::insert(conn, &upload(&other, 3)).await.unwrap(), "another's is another");
        assert!(!lfs_uploads::delete(conn, &key, LfsObjectId::new(3)).await.unwrap(), "of another object");
        assert!(lfs_uploads::delete(conn, &key, LfsObjectId::new(1)).await.unwrap());
        assert_eq!(lfs_uploads::find(conn, &key).await.unwrap(), None);
    }

    async fn one_writes_at_a_time(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let key = UploadKey { repository: tools, oid: LfsOid::new([3; 32]), uploader: "user:1".to_owned() };
        let object = LfsObjectId::new(1);
        lfs_uploads::insert(conn, &upload(&key, 1)).await.unwrap();
        let (one, two) = (writer("w1", "a", 50), writer("w2", "b", 90));
        assert!(lfs_uploads::claim(conn, &key, object, one, 10).await.unwrap());
        assert!(find(conn, &key).await.is_written_elsewhere("b", 49) && !find(conn, &key).await.is_written_elsewhere("a", 49));
        assert!(!lfs_uploads::claim(conn, &key, object, two, 49).await.unwrap(), "another node writes");
        assert!(!lfs_uploads::advance(conn, &key, two, 0, (40, &[1])).await.unwrap(), "it is not the writer");
        assert!(!lfs_uploads::advance(conn, &key, one, 1, (41, &[1])).await.unwrap(), "it is not there");
        assert!(lfs_uploads::advance(conn, &key, writer("w1", "a", 60), 0, (40, &[1])).await.unwrap());
        assert!(!lfs_uploads::claim(conn, &key, object, two, 59).await.unwrap(), "who writes prolongs its time");
        // The same node lets one in at a time itself.
        assert!(lfs_uploads::claim(conn, &key, object, writer("w3", "a", 70), 20).await.unwrap());
        assert!(!lfs_uploads::advance(conn, &key, one, 40, (80, &[2])).await.unwrap(), "replaced");
        assert!(!lfs_uploads::release(conn, &key, "w1").await.unwrap());
        assert!(!find(conn, &key).await.is_contested, "nothing of that is in doubt");
        assert!(lfs_uploads::claim(conn, &key, object, two, 70).await.unwrap(), "its time is over");
        assert!(find(conn, &key).await.is_contested, "it may have written since");
        assert!(lfs_uploads::release(conn, &key, "w2").await.unwrap());
        assert!(!find(conn, &key).await.is_written_elsewhere("a", 71));
        assert!(lfs_uploads::claim(conn, &key, object, one, 71).await.unwrap());
        assert!(!lfs_uploads::claim(conn, &key, LfsObjectId::new(9), one, 71).await.unwrap(), "of another object");
        let found = find(conn, &key).await;
        assert_eq!((found.offset_bytes, found.digest, found.is_contested), (40, vec![1], true));
    }

    async fn old_ones_and_those_of_erased_repositories_are_swept(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let key = UploadKey { repository: tools, oid: LfsOid::new([3; 32]), uploader: "user:1".to_owned() };
        lfs_uploads::insert(conn, &upload(&key, 1)).await.unwrap();
        let older = async |conn: &mut Conn, before| lfs_uploads::older_than(conn, before, PageSize::default()).await.unwrap().len();
        assert_eq!((older(conn, 1_000).await, older(conn, 1_001).await), (0, 1));
        repositories::set_state(conn, tools, RepositoryState::Active, RepositoryState::Deleted, 5).await.unwrap();
        repositories::erase(conn, tools, 5, 100).await.unwrap();
        assert_eq!(older(conn, 1).await, 1, "its row still names its bytes");
    }
}
