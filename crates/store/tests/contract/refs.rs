//! Refs: bytes, order, compare-and-swap, conflicts, and the log.

use std::collections::HashSet;
use std::time::Instant;

use hakata_store::on_every_engine;
use hakata_store::page::PageSize;
use hakata_store::ref_log::{self, Occasion};
use hakata_store::refs::{self, StoredRef};

use crate::fixture::{Fixture, moved, oid, raise, ref_name, stored};

on_every_engine! {
    /// Names are bytes: case counts, trailing bytes count, and any byte sorts by its value.
    async fn names_are_bytes_and_sort_by_them(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let names: [&[u8]; 9] = [
            b"refs/heads/A",
            b"refs/heads/B",
            b"refs/heads/a",
            b"refs/heads/a-",
            b"refs/heads/a0",
            b"refs/heads/ab",
            b"refs/heads/\xc3\xa9",
            b"refs/heads/\xe9",
            b"refs/heads/\xff\xfe",
        ];
        let mut conn = db.write().await.unwrap();
        for name in names.iter().rev() {
            assert!(refs::insert_absent(&mut conn, tools, &stored(name, 1)).await.unwrap());
            assert!(!refs::insert_absent(&mut conn, tools, &stored(name, 2)).await.unwrap(), "twice");
        }
        let listed = refs::list(&mut conn, tools).await.unwrap();
        let listed: Vec<&[u8]> = listed.iter().map(|found| found.name.as_bytes()).collect();
        assert_eq!(listed, names);
        assert!(refs::find(&mut conn, tools, &ref_name("refs/heads/b")).await.unwrap().is_none(), "case counts");
        assert_eq!(refs::count(&mut conn, tools).await.unwrap(), 9);
    }

    /// The row count says whether a ref was where it had to be, also when nothing changes.
    async fn row_counts_are_matched_rows(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let main = stored("refs/heads/main", 1);
        assert!(!refs::update_from(conn, tools, &oid(1), &main).await.unwrap(), "absent");
        assert!(refs::insert_absent(conn, tools, &main).await.unwrap());
        assert!(refs::update_from(conn, tools, &oid(1), &main).await.unwrap(), "same value, matched row");
        assert!(!refs::update_from(conn, tools, &oid(2), &main).await.unwrap(), "elsewhere");
        let tagged = StoredRef { peeled: Some(oid(9)), ..stored("refs/heads/main", 2) };
        assert!(refs::update_from(conn, tools, &oid(1), &tagged).await.unwrap());
        assert_eq!(refs::find(conn, tools, &main.name).await.unwrap(), Some(tagged));
        assert!(!refs::delete_from(conn, tools, &main.name, &oid(1)).await.unwrap());
        assert!(refs::delete_from(conn, tools, &main.name, &oid(2)).await.unwrap());
        assert!(!refs::delete_from(conn, tools, &main.name, &oid(2)).await.unwrap());
    }

    /// Few and many moves are judged the same way, each for itself.
    async fn moves_succeed_one_by_one(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        for n in [4_u32, 1500] {
            let name = |i: u32| format!("refs/heads/n{n}/b{i:05}");
            let create: Vec<_> = (0..n).map(|i| moved(name(i), None, Some(i))).collect();
            let done = apply(&db, tools, &create).await;
            assert!(done.iter().all(|is_done| *is_done), "all are new");
            let mixed: Vec<_> = (0..n)
                .map(|i| match i % 4 {
                    0 => moved(name(i), Some(i), Some(i + n)),
                    1 => moved(name(i), Some(i), None),
                    2 => moved(name(i), Some(i + 1), Some(0)),
                    _ => moved(name(i), None, Some(0)),
                })
                .collect();
            let done = apply(&db, tools, &mixed).await;
            let expected: Vec<bool> = (0..n).map(|i| i % 4 < 2).collect();
            assert_eq!(done, expected);
            let names: Vec<String> = (0..n).map(name).collect();
            let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
            let mut now = refs::find_many(&mut db.read().await.unwrap(), tools, &names).await.unwrap();
            now.sort_by(|a, b| a.name.cmp(&b.name));
            let expected: Vec<StoredRef> = (0..n)
                .filter(|i| i % 4 != 1)
                .map(|i| stored(name(i), if i % 4 == 0 { i + n } else { i }))
                .collect();
            assert_eq!(now, expected, "misses changed nothing");
        }
    }

    /// A directory of a new name, and a name below it, are conflicts; neighbours in the order are not.
    async fn directories_conflict_with_files(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let existing = ["refs/heads/a", "refs/heads/b/c", "refs/heads/b/d", "refs/heads/b-", "refs/heads/b0"];
        let rows: Vec<_> = existing.iter().map(|name| stored(name, 1)).collect();
        let conn = &mut db.write().await.unwrap();
        refs::load(conn, tools, &rows).await.unwrap();
        // Once by questions for few names, once by the scan for many.
        let many: Vec<_> = (0..50).map(|i| ref_name(format!("refs/heads/x{i}"))).collect();
        for padding in [&many[..0], &many[..]] {
            let clash = async |conn: &mut _, name: &str, leaving: &[&str]| {
                let leaving: HashSet<_> = leaving.iter().map(ref_name).collect();
                let name = ref_name(name);
                let new: Vec<_> = std::iter::once(&name).chain(padding).collect();
                let clashes = refs::conflicts(conn, tools, &new, &leaving).await.unwrap();
                clashes.first().map(|clash| clash.existing.to_string())
            };
            assert_eq!(clash(conn, "refs/heads/a/x/y", &[]).await.as_deref(), Some("refs/heads/a"));
            assert_eq!(clash(conn, "refs/heads/a/x", &["refs/heads/a"]).await, None);
            assert_eq!(clash(conn, "refs/heads/b", &[]).await.as_deref(), Some("refs/heads/b/c"));
            assert_eq!(clash(conn, "refs/heads/b", &["refs/heads/b/c"]).await.as_deref(), Some("refs/heads/b/d"));
            assert_eq!(clash(conn, "refs/heads/b", &["refs/heads/b/c", "refs/heads/b/d"]).await, None);
            assert_eq!(clash(conn, "refs/heads/b/e", &[]).await, None);
            assert_eq!(clash(conn, "refs/heads/A/x", &[]).await, None, "case counts");
        }
    }

    /// The log gives back what was appended, above a version and since a time.
    async fn the_log_tells_every_move(database: TestDatabase) {
        let Fixture { db, tools, alice, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        for version in 1..=3 {
            let at = version * 1000;
            let occasion = Occasion { repository: tools, version, actor: Some(alice), reason: "push", at };
            let n = u32::try_from(version).unwrap();
            let moves = [
                moved("refs/heads/main", Some(n), Some(n + 1)),
                moved(b"refs/heads/\xff", None, Some(n)),
            ];
            ref_log::append(conn, occasion, &moves).await.unwrap();
        }
        let above = ref_log::since(conn, tools, 1, 100).await.unwrap();
        assert_eq!(above.iter().map(|logged| logged.version).collect::<Vec<_>>(), [2, 2, 3, 3]);
        assert_eq!((above[0].old, above[0].new, above[0].actor), (Some(oid(2)), Some(oid(3)), Some(alice)));
        assert_eq!((above[1].name.as_bytes(), above[1].old), (&b"refs/heads/\xff"[..], None));
        for version in [1, 2] {
            let of_one = ref_log::of_version(conn, tools, version, 100).await.unwrap();
            assert!(!of_one.is_empty() && of_one.iter().all(|logged| logged.version == version), "{of_one:?}");
        }
        assert_eq!(ref_log::of_version(conn, tools, 1, 1).await.unwrap().len(), 1);
        assert_eq!(ref_log::recent_old(conn, tools, 2000, 100).await.unwrap(), [oid(3), oid(2)]);
        let first = ref_log::list(conn, tools, None, PageSize::new(3)).await.unwrap();
        assert_eq!(first.rows.iter().map(|logged| logged.version).collect::<Vec<_>>(), [3, 3, 2]);
        let second = ref_log::list(conn, tools, first.next.as_ref(), PageSize::new(3)).await.unwrap();
        assert_eq!(second.rows.iter().map(|logged| logged.version).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(second.next, None);
        assert_eq!(ref_log::prune(conn, tools, 2000).await.unwrap(), 2);
        assert_eq!(ref_log::oldest_version(conn, tools).await.unwrap(), Some(2));
    }

    /// 50,000 refs are written and read, and 10,000 moved, in time that a person would wait.
    async fn many_refs_move_in_seconds(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let name = |i| format!("refs/heads/feature/number-{i:06}");
        let rows: Vec<_> = (0..50_000).map(|i| stored(name(i), i)).collect();
        let moves: Vec<_> = (0..10_000).map(|i| moved(name(i * 5), Some(i * 5), Some(i))).collect();
        let started = Instant::now();
        let given = &rows;
        db.transaction(|tx| Box::pin(async move { refs::load(tx, tools, given).await })).await.unwrap();
        let written = started.elapsed();
        let listed = refs::list(&mut db.read().await.unwrap(), tools).await.unwrap();
        let read = started.elapsed() - written;
        assert!(listed == rows, "all come back in the order of their names");
        let done = apply(&db, tools, &moves).await;
        let moved = started.elapsed() - written - read;
        assert!(done.iter().all(|is_done| *is_done), "all were where they had to be");
        println!("{}: 50,000 written in {written:?}, read in {read:?}, 10,000 moved in {moved:?}", db.engine());
        assert!(started.elapsed().as_secs() < 60, "{written:?}, {read:?}, {moved:?}");
    }
}

async fn apply(
    db: &hakata_store::Db,
    tools: hakata_names::RepositoryId,
    moves: &[refs::RefMove],
) -> Vec<bool> {
    db.transaction(|tx| {
        Box::pin(async move {
            raise(tx, tools).await?.expect("the repository is active");
            refs::apply(tx, tools, moves).await
        })
    })
    .await
    .unwrap()
}
