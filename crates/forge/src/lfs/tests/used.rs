//! Sizes, whatever happens at the same time.

use std::sync::Arc;

use hakata_store::repositories;
use serde_json::json;
use tokio::sync::Barrier;

use super::{Stage, wanted};
use crate::lfs::{How, batch_upload, collect, receive};
use crate::{Forge, Settings};

const NAMES: [&str; 3] = ["alice/tools", "alice/b", "alice/c"];

/// Adds up again: what rows say must be what is there.
async fn recount(forge: &Forge, stage: &Stage, name: &str) {
    let id = stage.read(&stage.alice, name).await.repository();
    let counted = forge.db().transaction(|tx| {
        Box::pin(
            async move { Ok::<_, hakata_store::StoreError>(repositories::recount(tx, id).await?.unwrap()) },
        )
    });
    let counted = counted.await.unwrap();
    assert_eq!(counted.repository.was_bytes, counted.repository.used_bytes, "{name}");
    assert_eq!(counted.owner.was_bytes, counted.owner.used_bytes, "the owner");
}

hakata_store::on_every_engine! {
    /// x6: what is sent, shared, removed and collected by many at once is counted once, for repository and owner.
    async fn sizes_are_exact_under_races(database: TestDatabase) {
        let mut settings = Settings::default();
        // Whatever is in quarantine is ripe.
        settings.lfs.gc_grace = std::time::Duration::ZERO;
        settings.lfs.gc_quarantine = std::time::Duration::ZERO;
        let stage = Stage::on(database, settings).await;
        for name in &NAMES[1..] {
            stage.repository(name).await;
        }
        let objects: Vec<Vec<u8>> = (1..=6_usize).map(|n| vec![b'x'; n * 100]).collect();
        for round in 0..3 {
            let barrier = Arc::new(Barrier::new(NAMES.len() * 4));
            let mut running = Vec::new();
            for name in NAMES {
                let grant = stage.write(&stage.alice, name).await;
                for kind in 0..4 {
                    let (forge, grant, barrier) = (stage.world.forge.clone(), grant.clone(), barrier.clone());
                    let (objects, oids) = (objects.clone(), objects[..2].iter().map(|o| wanted(o).oid.to_string()));
                    let oids: Vec<String> = oids.collect();
                    running.push(tokio::spawn(async move {
                        barrier.wait().await;
                        match kind {
                            0 => for bytes in &objects {
                                let wanted = wanted(bytes);
                                let _ = receive(&forge, &grant, wanted.oid, wanted.size_bytes, &bytes[..]).await;
                            },
                            1 => {
                                let asked: Vec<_> = objects.iter().map(|bytes| wanted(bytes)).collect();
                                batch_upload(&forge, &grant, None, &asked).await.unwrap();
                            }
                            2 => {
                                let how = How { even_without_pointers: true, ..How::default() };
                                for _ in 0..3 {
                                    collect(&forge, grant.repository(), how).await.unwrap();
                                }
                            }
                            _ => {
                                let path = grant.path().to_string();
                                for action in ["remove", "restore"] {
                                    let command = json!({ "command": "lfs", "action": action, "path": path, "oids": oids });
                                    let command = serde_json::from_value(command).unwrap();
                                    let _ = crate::admin::run(&forge, command, &mut |_| {}).await;
                                }
                            }
                        }
                    }));
                }
            }
            for running in running {
                running.await.unwrap();
            }
            for name in NAMES {
                recount(&stage.world.forge, &stage, name).await;
            }
            stage.world.clock.step_wall(1_000 * (round + 1));
        }
    }
}
