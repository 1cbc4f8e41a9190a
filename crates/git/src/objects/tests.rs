use hakata_names::{ObjectFormat, Oid};

use super::{Kind, ReadError};
use crate::testing::{self, Bench};

#[tokio::test]
async fn objects_are_read_as_git_reads_them() {
    let bench = Bench::new().await;
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (dir, [one, two, _]) = bench.history(format);
        let tag = Oid::parse_hex(testing::git(&dir, &["rev-parse", "nested"]).trim().as_bytes()).unwrap();
        let blob = Oid::parse_hex(testing::git(&dir, &["rev-parse", "main:file"]).trim().as_bytes()).unwrap();
        let absent = Oid::from_bytes(&vec![7; format.oid_len()]).unwrap();
        let objects = bench.git.objects(&dir, 1).await.unwrap();
        let read = objects.read(move |view| {
            assert_eq!(view.format(), format);
            assert_eq!(view.header(&tag)?.unwrap().kind, Kind::Tag);
            assert_eq!(view.header(&absent)?, None);
            assert_eq!(view.peel(&tag)?, Some(two), "a tag of a tag is followed to its end");
            assert_eq!(view.peel(&two)?, None);
            let commit = view.commit(&two)?;
            assert_eq!((commit.parents, commit.committed_at), (vec![one], 1_700_000_000));
            assert_eq!((commit.summary, commit.author), (b"two".to_vec(), b"A <a@example.org>".to_vec()));
            assert_eq!(view.read_blob(&blob, 6)?, &b"three\n"[..]);
            assert!(matches!(view.read_blob(&blob, 5), Err(ReadError::TooLarge { size_bytes: 6, .. })));
            assert!(
                matches!(view.read_blob(&two, 5_000), Err(ReadError::Object { .. })),
                "a commit is no file"
            );
            assert!(matches!(view.commit(&absent), Err(ReadError::Absent(_))));
            Ok(())
        });
        read.await.unwrap();
    }
}

#[tokio::test]
async fn new_packs_are_noticed_by_an_open_database() {
    let bench = Bench::new().await;
    let (dir, [one, ..]) = bench.history(ObjectFormat::Sha1);
    testing::git(&dir, &["repack", "-q", "-a", "-d"]);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    assert!(objects.read(move |view| Ok(view.exists(&one))).await.unwrap());
    let later = testing::commit(&dir, "later", &[one]);
    testing::git(&dir, &["update-ref", "refs/heads/later", &later.to_string()]);
    testing::git(&dir, &["repack", "-q", "-d"]);
    let again = bench.git.objects(&dir, 0).await.unwrap();
    assert!(again.read(move |view| Ok(view.exists(&later))).await.unwrap());
}

/// Handles, contents and what deltas are made of are kept from reader to reader, by the numbers of packs.
#[tokio::test]
async fn packs_that_come_and_go_do_not_mix_up_objects() {
    let bench = Bench::new().await;
    let (dir, [one, ..]) = bench.history(ObjectFormat::Sha1);
    testing::git(&dir, &["repack", "-q", "-a", "-d"]);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    assert!(objects.read(move |view| Ok(view.exists(&one))).await.unwrap());
    let pack = dir.objects().join("pack/pack").display().to_string();
    for n in 0..5 {
        // Objects alike in pairs, so that one is a delta of the other.
        let text = move |m: usize| format!("{n}\n{}", "line\n".repeat(500 + m));
        let pair = [0, 1].map(|m| testing::object(&dir, "blob", text(m).as_bytes()));
        let listed = format!("{}\n{}\n", pair[0], pair[1]);
        let name = testing::pipe(&dir, &["pack-objects", "-q", &pack], listed.as_bytes());
        let name = String::from_utf8(name).unwrap();
        testing::git(&dir, &["prune-packed", "-q"]);
        for (m, oid) in pair.into_iter().enumerate() {
            let read = objects.read(move |view| {
                let header = view.header(&oid)?.unwrap();
                assert_eq!((header.kind, header.size_bytes), (Kind::Blob, text(m).len() as u64));
                assert_eq!(view.read_blob(&oid, 1 << 20)?, text(m).as_bytes());
                assert_eq!(view.header(&oid)?, Some(header), "what is kept says the same");
                assert_eq!(view.read_blob(&oid, 1 << 20)?, text(m).as_bytes());
                assert!(matches!(view.read_tag(&oid), Err(ReadError::Object { .. })), "a file is no tag");
                Ok(())
            });
            read.await.unwrap();
        }
        for extension in ["idx", "pack", "rev"] {
            let _ = std::fs::remove_file(format!("{pack}-{}.{extension}", name.trim()));
        }
    }
}

#[tokio::test]
async fn a_closure_that_panics_takes_its_handle_with_it() {
    let bench = Bench::new().await;
    let (dir, [one, ..]) = bench.history(ObjectFormat::Sha1);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    assert!(objects.read(|_| -> Result<(), ReadError> { panic!("odd object") }).await.is_err());
    assert!(objects.read(move |view| Ok(view.exists(&one))).await.unwrap());
}

/// Every push may bring a pack, and a database is open for long.
#[tokio::test]
async fn an_open_database_has_room_for_many_packs() {
    let bench = Bench::new().await;
    let (dir, [one, ..]) = bench.history(ObjectFormat::Sha1);
    testing::git(&dir, &["repack", "-q", "-a", "-d"]);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    assert!(objects.read(move |view| Ok(view.exists(&one))).await.unwrap());
    let pack = dir.objects().join("pack/pack").display().to_string();
    let mut newest = one;
    for n in 0..40 {
        newest = testing::object(&dir, "blob", format!("{n}").as_bytes());
        testing::pipe(&dir, &["pack-objects", "-q", &pack], format!("{newest}\n").as_bytes());
    }
    testing::git(&dir, &["prune-packed", "-q"]);
    assert_eq!(objects.read(move |view| view.read_blob(&newest, 100)).await.unwrap(), &b"39"[..]);
}

/// Packs that went stay open until the database is opened anew, which must not be long.
#[tokio::test]
async fn a_database_that_holds_many_packs_that_went_is_opened_anew() {
    let bench = Bench::new().await;
    let (dir, [one, ..]) = bench.history(ObjectFormat::Sha1);
    testing::git(&dir, &["repack", "-q", "-a", "-d"]);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    assert!(objects.read(move |view| Ok(view.exists(&one))).await.unwrap());
    let pack = dir.objects().join("pack/pack").display().to_string();
    for n in 0..40 {
        let blob = testing::object(&dir, "blob", format!("{n}").as_bytes());
        let name = testing::pipe(&dir, &["pack-objects", "-q", &pack], format!("{blob}\n").as_bytes());
        testing::git(&dir, &["prune-packed", "-q"]);
        assert!(objects.read(move |view| Ok(view.exists(&blob))).await.unwrap());
        for extension in ["idx", "pack", "rev"] {
            let path = format!("{pack}-{}.{extension}", String::from_utf8_lossy(&name).trim());
            let _ = std::fs::remove_file(path);
        }
    }
    let is_same = async || {
        let again = bench.git.objects(&dir, 0).await.unwrap();
        std::sync::Arc::ptr_eq(again.opened(), objects.opened())
    };
    let mut n_uses = 0;
    while is_same().await {
        n_uses += 1;
        assert!(n_uses < 1_000, "it is never opened anew");
    }
}

/// A history in which every commit has up to two random parents; half of it may be in a commit-graph.
#[tokio::test]
async fn reachability_is_git_s() {
    let bench = Bench::new().await;
    let dir = bench.repository(ObjectFormat::Sha1);
    let (mut commits, mut seed) = (Vec::<Oid>::new(), 12_345_u64);
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % n
    };
    for n in 0..24 {
        let mut parents: Vec<Oid> =
            (0..2).filter_map(|_| commits.get(random(commits.len() + 2)).copied()).collect();
        parents.dedup();
        commits.push(testing::commit(&dir, &format!("{n}"), &parents));
    }
    for graph in [false, true] {
        if graph {
            for (n, commit) in commits.iter().take(12).enumerate() {
                testing::git(&dir, &["update-ref", &format!("refs/heads/{n}"), &commit.to_string()]);
            }
            crate::maintain::write_commit_graph(&bench.git, &dir).await.unwrap();
        }
        for (at, from) in commits.iter().enumerate().step_by(3) {
            let listed = testing::git(&dir, &["rev-list", &from.to_string()]);
            let expected: Vec<bool> =
                commits.iter().map(|commit| listed.contains(&commit.to_string())).collect();
            let (targets, from) = (commits.clone(), [*from]);
            let objects = bench.git.objects(&dir, u64::from(graph)).await.unwrap();
            let found = objects.read(move |view| {
                let together = view.reachable(&targets, &from)?;
                for (target, reached) in targets.iter().zip(&together) {
                    assert_eq!(view.is_ancestor(target, &from[0])?, *reached, "alone and together agree");
                }
                Ok(together)
            });
            assert_eq!(found.await.unwrap(), expected, "from {at}, graph {graph}");
        }
    }
}
