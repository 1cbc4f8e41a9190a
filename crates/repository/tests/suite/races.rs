//! Changes that meet, on every engine.

use std::sync::Arc;

use futures_util::future::join_all;
use hakata_names::Oid;
use hakata_repository::{Atomicity, CommitError, Intent, RefRefusal, no_rows};
use hakata_store::page::PageSize;
use hakata_store::{on_every_engine, owners, packs, ref_log, repositories};

use crate::fixture::{World, branch, make, moved, noise};

/// Rounds of a race.
const ROUNDS: u32 = 3;

on_every_engine! {
    /// Of 32 that move one ref, exactly one wins each round, and the log has exactly the winners.
    async fn one_of_many_moves_a_ref(database: TestDatabase) {
        let world = Arc::new(World::new(database).await);
        let id = world.create("tools").await;
        let mut tip = world.client.commit(b"0", &[]);
        world.push_ok(id, vec![make("refs/heads/main", tip)]).await;
        for round in 0..ROUNDS {
            let new: Vec<Oid> =
                (0..32).map(|n| world.client.commit(format!("{round} {n}").as_bytes(), &[tip])).collect();
            let pushes = new.iter().map(|new| {
                let (world, update) = (world.clone(), moved("refs/heads/main", tip, *new));
                tokio::spawn(async move { world.push(id, vec![update], Atomicity::Each).await.unwrap() })
            });
            let answers: Vec<_> = join_all(pushes).await.into_iter().map(Result::unwrap).collect();
            let winners: Vec<Oid> =
                answers.iter().zip(&new).filter(|(answer, _)| answer.is_complete()).map(|(_, new)| *new).collect();
            assert_eq!(winners.len(), 1, "exactly one wins");
            let is_stale = |answer: &&hakata_repository::Committed| {
                answer.refs[0].1 == Err(RefRefusal::Stale { actual: Some(winners[0]) })
            };
            assert_eq!(answers.iter().filter(is_stale).count(), 31, "the others learn where it is");
            tip = winners[0];
        }
        let log = ref_log::since(&mut world.db.read().await.unwrap(), id, 0, 1_000).await.unwrap();
        assert_eq!(log.len(), usize::try_from(ROUNDS).unwrap() + 1);
        assert_eq!(world.listed(id).await, [format!("{tip} refs/heads/main")]);
        world.assert_sound(id).await;
    }

    /// Of `a` and `a/b`, one is made.
    async fn a_and_its_directory_are_never_both_made(database: TestDatabase) {
        let world = Arc::new(World::new(database).await);
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        for round in 0..8 {
            let names = [format!("refs/heads/{round}"), format!("refs/heads/{round}/b")];
            let pushes = names.iter().map(|name| {
                let (world, update) = (world.clone(), make(name, one));
                tokio::spawn(async move { world.push(id, vec![update], Atomicity::Each).await.unwrap() })
            });
            let n: usize = join_all(pushes).await.into_iter().map(|answer| answer.unwrap().n_accepted()).sum();
            assert_eq!(n, 1, "one of the two");
        }
        assert_eq!(world.listed(id).await.len(), 8);
        world.assert_sound(id).await;
    }

    /// A collection between the proof of connectivity and the commit: what leaned on dropped objects is refused, what
    /// did not goes through.
    async fn a_push_that_leans_on_dropped_objects_is_refused(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let (base, other) = (world.client.commit(b"base", &[]), world.client.commit(b"other", &[]));
        world.push_ok(id, vec![make("refs/heads/main", other)]).await;
        world.push_ok(id, vec![make("refs/heads/old", base)]).await;
        let leaning = world.client.commit(b"new", &[base]);
        let standing = world.client.commit(b"newer", &[other]);
        let updates = vec![make("refs/heads/leaning", leaning), make("refs/heads/standing", standing)];
        let prepared = world.receive(id, updates).await.prepare(world.intent());

        world.push_ok(id, vec![crate::fixture::delete("refs/heads/old", base)]).await;
        let dropped = packs::list_of(&mut world.db.read().await.unwrap(), id).await.unwrap()[1].id;
        let version = world.row(id).await.version;
        let collect = world.db.transaction(|tx| {
            Box::pin(async move {
                assert!(packs::unlink(tx, dropped, id).await?);
                repositories::raise_prune_epoch(tx, id, version).await
            })
        });
        assert!(collect.await.unwrap());

        let committed = world.open(id).await.commit(prepared, no_rows).await.unwrap();
        let expected =
            [(branch("leaning"), Err(RefRefusal::Incomplete)), (branch("standing"), Ok(()))];
        assert_eq!(committed.refs, expected);
        world.assert_sound(id).await;
    }

    /// While the rules change and change, every push is committed under the rules it was judged by.
    async fn no_push_is_committed_under_rules_it_was_not_judged_by(database: TestDatabase) {
        let world = Arc::new(World::new(database).await);
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let changing = {
            let world = world.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    repositories::raise_policy_version(&mut world.db.write().await.unwrap(), id).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        };
        let pushes = (0..8).map(|n| {
            let world = world.clone();
            tokio::spawn(async move {
                let received = world.receive(id, vec![make(&format!("refs/heads/{n}"), one)]).await;
                let judged = world.row(id).await.policy_version;
                let mut prepared = received.prepare(Intent { policy_version: judged, ..world.intent() });
                loop {
                    let judged = prepared.intent().policy_version;
                    let repository = world.open(id).await;
                    let ended = repository.commit(prepared, move |conn, _| {
                        Box::pin(async move {
                            let row = repositories::find(conn, id).await?.unwrap();
                            assert_eq!(row.policy_version, judged, "the rules are those that were judged");
                            Ok(())
                        })
                    });
                    match ended.await {
                        Err(CommitError::PolicyChanged { prepared: again, policy_version }) => {
                            prepared = *again;
                            prepared.set_policy_version(policy_version);
                        }
                        Err(CommitError::Contended) => return 0,
                        ended => return ended.unwrap().n_accepted(),
                    }
                }
            })
        });
        let n: usize = join_all(pushes).await.into_iter().map(Result::unwrap).sum();
        changing.await.unwrap();
        assert_eq!(world.listed(id).await.len(), n, "what was accepted is there, and nothing else");
    }

    /// Of pushes that together are more than a quota, as many go through as it has room for, and the others are told
    /// what it is and what is used. Nothing of theirs is kept.
    async fn pushes_at_once_stay_within_the_quota(database: TestDatabase) {
        let world = Arc::new(World::new(database).await);
        let (one, other) = (world.create("one").await, world.create("other").await);
        let quota = 350_000;
        for is_owners in [false, true] {
            let before = world.row(one).await.size_bytes;
            if is_owners {
                let used = before + world.row(other).await.size_bytes;
                let conn = &mut world.db.write().await.unwrap();
                owners::set_quota(conn, world.alice.owner(), Some(used + quota)).await.unwrap();
            }
            let mut prepared = Vec::new();
            for n in 0..8 {
                let id = if is_owners && n % 2 == 0 { other } else { one };
                let tip = world.client.commit(&noise(100_000 + usize::from(is_owners) * 10 + n), &[]);
                let name = format!("refs/heads/{is_owners}/{n}");
                let received = world.receive(id, vec![make(&name, tip)]).await;
                let default = if is_owners { u64::MAX } else { u64::try_from(quota).unwrap() };
                prepared.push((id, received.prepare(world.intent()).within_quota(default)));
            }
            let pushes = prepared.into_iter().map(|(id, prepared)| {
                let world = world.clone();
                tokio::spawn(async move { world.open(id).await.commit(prepared, no_rows).await })
            });
            let ended: Vec<_> = join_all(pushes).await.into_iter().map(Result::unwrap).collect();
            let n_accepted = ended.iter().filter(|ended| ended.is_ok()).count();
            assert_eq!(n_accepted, 3, "as many as there is room for: {ended:?}");
            for refused in ended.iter().filter_map(|ended| ended.as_ref().err()) {
                let CommitError::Full { limit_bytes, used_bytes, .. } = refused else { panic!("{refused:?}") };
                assert!(used_bytes <= limit_bytes && used_bytes + 100_000 > *limit_bytes, "{refused}");
            }
        }
        let mut sum = 0;
        for id in [one, other] {
            let conn = &mut world.db.read().await.unwrap();
            let kept: i64 = packs::list_of(conn, id).await.unwrap().iter().map(|pack| pack.size_bytes).sum();
            assert_eq!(world.row(id).await.size_bytes, kept, "what is counted is what is kept");
            sum += kept;
        }
        let conn = &mut world.db.read().await.unwrap();
        let owner = owners::find(conn, world.alice.owner()).await.unwrap().unwrap();
        assert!(owner.size_bytes == sum && sum <= owner.quota_bytes.unwrap(), "{sum} of {owner:?}");
        let staged = packs::staged_older_than(conn, i64::MAX, PageSize::MAX).await.unwrap();
        assert!(staged.is_empty(), "the packs of refused pushes are gone");
        world.assert_sound(one).await;
    }
}
