//! Migrations: one result however often and from however many nodes; newer and edited schemas are refused.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hakata_store::testing::TestDatabase;
use hakata_store::{Engine, MigrateError, Migrated, on_every_engine, settings};

/// The newest migration.
const NEWEST: i64 = 11;

on_every_engine! {
    /// The second run finds nothing to do and keeps what is there.
    async fn migrating_again_changes_nothing(database: TestDatabase) {
        let db = database.open().await;
        assert!(db.schema_versions().await.is_err(), "no schema yet");
        let first = db.migrate().await.unwrap();
        assert_eq!(first, Migrated { from: 0, to: NEWEST });
        settings::set(&mut db.write().await.unwrap(), "title", "kept").await.unwrap();
        assert_eq!(db.migrate().await.unwrap(), Migrated { from: NEWEST, to: NEWEST });
        let title = settings::find(&mut db.read().await.unwrap(), "title").await.unwrap();
        assert_eq!(title.as_deref(), Some("kept"));
        assert_eq!(db.schema_versions().await.unwrap(), (NEWEST, NEWEST));
    }

    /// Nodes that start together migrate one after the other.
    async fn nodes_migrate_one_at_a_time(database: TestDatabase) {
        let nodes = [database.open().await, database.open().await, database.open().await];
        let migrated = join_all(nodes.iter().map(|node| node.migrate())).await;
        let mut from: Vec<i64> = migrated.into_iter().map(|migrated| migrated.unwrap().from).collect();
        from.sort_unstable();
        assert_eq!(from, [0, NEWEST, NEWEST]);
    }

    /// A newer release has been here: its schema is not touched.
    async fn a_newer_schema_is_refused(database: TestDatabase) {
        let db = database.migrated().await;
        database
            .execute(
                "INSERT INTO migration (id, name, checksum, n_statements, applied_at) \
                 SELECT 99, 'later', checksum, 1, 1 FROM migration WHERE id = 1",
            )
            .await;
        let refused = db.migrate().await.unwrap_err();
        assert!(matches!(refused, MigrateError::Newer { found: 99, known: NEWEST }), "{refused}");
        assert!(refused.to_string().contains("run the newer release"), "{refused}");
    }

    /// A migration that was applied with another text is not trusted.
    async fn an_edited_migration_is_refused(database: TestDatabase) {
        let db = database.migrated().await;
        database.execute("UPDATE migration SET checksum = (SELECT digest FROM access_token) WHERE id = 0").await;
        let zeros = match db.engine() {
            Engine::Postgres => r"'\x0000'::bytea",
            _ => "x'0000'",
        };
        database.execute(&format!("UPDATE migration SET checksum = {zeros}")).await;
        let refused = db.migrate().await.unwrap_err();
        assert!(matches!(refused, MigrateError::Differs { id: 1, name: "start" }), "{refused}");
    }
}

/// Where every DDL statement commits by itself, a run that was cut short goes on where it was, also when the last
/// statement was done and not yet counted.
#[test]
fn a_run_that_was_cut_short_goes_on() {
    hakata_store::testing::run(Engine::MySql, async |database: TestDatabase| {
        let db = database.migrated().await;
        database.execute("DROP TABLE idempotency").await;
        for table in [
            "id_lease",
            "job_kind",
            "repository_commit",
            "commit_mention",
            "webhook",
            "webhook_delivery",
            "webhook_attempt",
            "webhook_cursor",
            "watch",
            "mail_preference",
            "notice",
            "mirror",
            "repository_import",
            "lfs_object",
            "repository_lfs_object",
            "lfs_reservation",
            "lfs_lock",
            "lfs_upload",
            "lfs_removal",
            "lfs_sweep",
        ] {
            database.execute(&format!("DROP TABLE {table}")).await;
        }
        for column in ["lane", "sequence", "target", "held_until", "published_at"] {
            database.execute(&format!("ALTER TABLE job DROP COLUMN {column}")).await;
        }
        for index in ["job_by_kind", "job_by_lane", "job_by_end", "job_by_relay"] {
            database.execute(&format!("DROP INDEX IF EXISTS {index} ON job")).await;
        }
        database.execute("DROP INDEX event_by_relay ON event").await;
        database.execute("ALTER TABLE job DROP COLUMN relay_at").await;
        database.execute("ALTER TABLE event DROP COLUMN relay_at").await;
        database.execute("ALTER TABLE repository DROP COLUMN quota_level").await;
        database.execute("ALTER TABLE repository DROP COLUMN is_mirror").await;
        database.execute("ALTER TABLE owner DROP COLUMN quota_level").await;
        database.execute("DELETE FROM migration WHERE id > 1").await;
        database.execute("UPDATE migration SET applied_at = NULL, n_statements = n_statements - 3").await;
        assert_eq!(db.migrate().await.unwrap(), Migrated { from: 0, to: NEWEST });
        assert_eq!(db.migrate().await.unwrap(), Migrated { from: NEWEST, to: NEWEST });
    });
}

/// The page that reviewers read says what the migrations make.
#[test]
fn schema_sql_is_what_migrations_make() {
    hakata_store::testing::run(Engine::Sqlite, async |database: TestDatabase| {
        database.migrated().await;
        let snapshot = include_str!("../../schema.sql");
        let without_comments: Vec<&str> =
            snapshot.lines().filter_map(|line| line.split("--").next()).collect();
        let page: BTreeSet<String> =
            without_comments.join("\n").split(';').map(squeezed).filter(|text| !text.is_empty()).collect();
        let made: BTreeSet<String> =
            database.sqlite_schema().await.iter().map(|text| squeezed(text)).collect();
        let differ: Vec<_> = page.symmetric_difference(&made).collect();
        assert!(differ.is_empty(), "schema.sql and the migrations differ in: {differ:#?}");
    });
}

fn squeezed(text: &str) -> String {
    let text = text.replace("IF NOT EXISTS ", "").split_whitespace().collect::<Vec<_>>().join(" ");
    // An added column stands behind the line break that was before the bracket.
    text.replace(" ,", ",").replace(" )", ")")
}
