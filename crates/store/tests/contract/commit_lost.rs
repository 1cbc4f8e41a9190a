//! A COMMIT whose answer is lost: reported as such and never repeated, because it may have happened.

use std::sync::atomic::{AtomicU32, Ordering};

use hakata_store::testing::{Lost, Others, Relay, TestDatabase};
use hakata_store::{Db, Engine, StoreError, settings};

async fn a_lost_commit_is_reported(database: TestDatabase) {
    let direct = database.migrated().await;
    let relay = Relay::start(&database).await;
    let db = Db::open(&relay.settings(1)).await.unwrap();
    db.transaction(|tx| Box::pin(async move { settings::set(tx, "before", "1").await })).await.unwrap();
    for (lost, found) in [(Lost::Answer, Some("1")), (Lost::Commit, None)] {
        let name = format!("{lost:?}");
        let (name, n_runs) = (name.as_str(), &AtomicU32::new(0));
        relay.lose(lost, Others::Stay);
        let ended: Result<(), StoreError> = db
            .transaction(|tx| {
                Box::pin(async move {
                    n_runs.fetch_add(1, Ordering::SeqCst);
                    settings::set(tx, name, "1").await
                })
            })
            .await;
        assert!(matches!(ended, Err(StoreError::CommitUnknown(_))), "{ended:?}");
        assert_eq!(n_runs.load(Ordering::SeqCst), 1, "a commit that may have happened is not repeated");
        let at = settings::find(&mut direct.read().await.unwrap(), name).await.unwrap();
        assert_eq!(at.as_deref(), found, "{name}");
    }
    db.transaction(|tx| Box::pin(async move { settings::set(tx, "after", "1").await })).await.unwrap();
}

#[test]
fn a_lost_commit_is_reported_on_postgres() {
    hakata_store::testing::run(Engine::Postgres, a_lost_commit_is_reported);
}

#[test]
fn a_lost_commit_is_reported_on_mariadb() {
    hakata_store::testing::run(Engine::MySql, a_lost_commit_is_reported);
}
