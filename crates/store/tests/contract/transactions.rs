//! Transactions: all or nothing, whatever ends them.

use hakata_names::{KeyId, UserId};
use hakata_store::keys::{self, Key, KeyHolder};
use hakata_store::{Engine, StoreError, on_every_engine, settings};

on_every_engine! {
    /// An error of the body takes everything back, and the next transaction starts clean.
    async fn an_error_takes_everything_back(database: TestDatabase) {
        let db = database.migrated().await;
        let refused: Result<(), StoreError> = db
            .transaction(|tx| {
                Box::pin(async move {
                    settings::set(tx, "a", "1").await?;
                    Err(StoreError::Broken)
                })
            })
            .await;
        assert!(matches!(refused, Err(StoreError::Broken)));
        db.transaction(|tx| Box::pin(async move { settings::set(tx, "b", "1").await })).await.unwrap();
        let conn = &mut db.read().await.unwrap();
        assert_eq!(settings::find(conn, "a").await.unwrap(), None);
        assert_eq!(settings::find(conn, "b").await.unwrap().as_deref(), Some("1"));
    }

    /// A transaction whose future is dropped is rolled back and keeps nobody waiting.
    async fn a_dropped_transaction_is_rolled_back(database: TestDatabase) {
        let db = database.migrated().await;
        for round in 0..10 {
            let mut tx = db.begin().await.unwrap();
            settings::set(&mut tx, "a", "dropped").await.unwrap();
            drop(tx);
            let mut next = db.begin().await.unwrap();
            assert_eq!(settings::find(&mut next, "a").await.unwrap(), None, "round {round}");
            settings::set(&mut next, "b", "kept").await.unwrap();
            next.commit().await.unwrap();
        }
    }

    /// A caller who leaves in the middle of a statement leaves nothing behind, not even a lock.
    async fn a_cancelled_statement_leaves_nothing(database: TestDatabase) {
        let db = database.migrated().await;
        db.transaction(|tx| Box::pin(async move { settings::set(tx, "a", "first").await })).await.unwrap();
        let mut holder = db.begin().await.unwrap();
        settings::set(&mut holder, "a", "holder").await.unwrap();
        let waiter = db.transaction(|tx| {
            Box::pin(async move {
                settings::set(tx, "b", "waiter").await?;
                settings::set(tx, "a", "waiter").await
            })
        });
        let left = tokio::time::timeout(std::time::Duration::from_millis(100), waiter).await;
        assert!(left.is_err(), "the holder has the row: {left:?}");
        holder.commit().await.unwrap();
        db.transaction(|tx| {
            Box::pin(async move {
                assert_eq!(settings::find(tx, "b").await?, None);
                assert_eq!(settings::find(tx, "a").await?.as_deref(), Some("holder"));
                settings::set(tx, "a", "next").await?;
                settings::set(tx, "b", "next").await
            })
        })
        .await
        .unwrap();
    }

    /// Foreign keys hold, and a body that swallows the error cannot commit the rest.
    async fn a_swallowed_error_does_not_commit(database: TestDatabase) {
        let db = database.migrated().await;
        let swallowed: Result<(), StoreError> = db
            .transaction(|tx| {
                Box::pin(async move {
                    settings::set(tx, "a", "1").await?;
                    let of_nobody = Key {
                        id: KeyId::new(1),
                        holder: KeyHolder::User(UserId::new(404)),
                        can_write: false,
                        algorithm: "ssh-ed25519".to_owned(),
                        fingerprint: "SHA256:x".to_owned(),
                        public_key: vec![1],
                        title: String::new(),
                        created_at: 1,
                        last_used_at: None,
                        expires_at: None,
                    };
                    let refused = keys::insert(tx, &of_nobody).await;
                    assert!(matches!(refused, Err(StoreError::Refused(_))), "no such user: {refused:?}");
                    Ok(())
                })
            })
            .await;
        assert!(matches!(swallowed, Err(StoreError::Broken)), "{swallowed:?}");
        assert_eq!(settings::find(&mut db.read().await.unwrap(), "a").await.unwrap(), None);
    }

    /// What is written and not committed is seen by nobody else, and by everybody right after.
    async fn only_committed_rows_are_seen(database: TestDatabase) {
        let db = database.migrated().await;
        let mut tx = db.begin().await.unwrap();
        settings::set(&mut tx, "a", "1").await.unwrap();
        let mut reader = db.read().await.unwrap();
        assert_eq!(settings::find(&mut reader, "a").await.unwrap(), None);
        tx.commit().await.unwrap();
        assert_eq!(settings::find(&mut reader, "a").await.unwrap().as_deref(), Some("1"));
    }

    /// Settings compare by case, and nodes agree on the first value.
    async fn the_first_setting_stands(database: TestDatabase) {
        let db = database.migrated().await;
        let conn = &mut db.write().await.unwrap();
        assert_eq!(settings::get_or_set(conn, "secret", "one").await.unwrap(), "one");
        assert_eq!(settings::get_or_set(conn, "secret", "two").await.unwrap(), "one");
        assert_eq!(settings::find(conn, "Secret").await.unwrap(), None, "case counts");
        settings::set(conn, "secret", "日本語 🍜").await.unwrap();
        assert_eq!(settings::find(conn, "secret").await.unwrap().as_deref(), Some("日本語 🍜"));
        assert!(settings::remove(conn, "secret").await.unwrap());
        assert!(!settings::remove(conn, "secret").await.unwrap());
    }

    /// The pools are counted, and a closed database says that it is not available.
    async fn pools_are_counted(database: TestDatabase) {
        hakata_runtime::metrics::register(&hakata_store::metrics());
        let db = database.migrated().await;
        let _conn = db.read().await.unwrap();
        db.ping().await.unwrap();
        let text = hakata_runtime::metrics::render();
        let value = |name: &str| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(name));
            line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok()).unwrap_or(-1.0)
        };
        assert!(value("hakata_database_connections_open") >= 1.0, "{text}");
        assert!(value("hakata_database_connections_in_use") >= 1.0, "{text}");
        assert!(value("hakata_database_wait_seconds_count") >= 2.0, "{text}");
        drop(_conn);
        db.close().await;
        let closed = db.ping().await.unwrap_err();
        assert!(closed.is_transient(), "{closed}");
    }

    /// When no connection comes free in time the question fails as unavailable, and is not left waiting.
    async fn an_exhausted_pool_is_unavailable(database: TestDatabase) {
        database.migrated().await.close().await;
        let settings = hakata_store::Settings {
            max_connections: 1,
            acquire_timeout: std::time::Duration::from_millis(200),
            ..database.settings()
        };
        let db = hakata_store::Db::open(&settings).await.unwrap();
        let held = db.begin().await.unwrap();
        let refused = db.begin().await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
        held.rollback().await;
        db.begin().await.unwrap().rollback().await;
    }
}

/// A connection for questions does not write where that can be told.
#[test]
fn readers_of_sqlite_refuse_to_write() {
    hakata_store::testing::run(Engine::Sqlite, async |database: hakata_store::testing::TestDatabase| {
        let db = database.migrated().await;
        assert!(db.is_sole_owner());
        let written = settings::set(&mut db.read().await.unwrap(), "a", "1").await;
        assert!(written.is_err(), "a reader wrote");
    });
}
