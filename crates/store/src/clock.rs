//! The database's own clock, for leases: those who hold them and those who wait for their end may have clocks that differ,
//! but they share the database.

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::Sql;

/// The database's clock in milliseconds since 1970, as each engine says it. The MySQL driver sets its sessions to UTC.
macro_rules! now {
    (sqlite) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
    (postgres) => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
    (mysql) => {
        "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
    };
}
pub(crate) use now;

/// Makes a question around the database's clock: `clocked!("SELECT ", " FROM t")`; with `insert_absent` before it, an INSERT
/// like that of [`sql!`](crate::sql::sql).
macro_rules! clocked {
    (insert_absent $before:expr, $after:expr) => {
        $crate::sql::sql!(
            sqlite: concat!($before, $crate::clock::now!(sqlite), $after, " ON CONFLICT DO NOTHING"),
            postgres: concat!($before, $crate::clock::now!(postgres), $after, " ON CONFLICT DO NOTHING"),
            mysql: concat!($before, $crate::clock::now!(mysql), $after)
        )
    };
    ($before:expr, $after:expr) => {
        $crate::sql::sql!(
            sqlite: concat!($before, $crate::clock::now!(sqlite), $after),
            postgres: concat!($before, $crate::clock::now!(postgres), $after),
            mysql: concat!($before, $crate::clock::now!(mysql), $after)
        )
    };
}
pub(crate) use clocked;

/// Makes a [`ManySql`](crate::sql::ManySql) whose head is around the database's clock: of the engine, then as
/// [`clocked`], then what follows the rows, which are a placeholder each.
macro_rules! clocked_many {
    ($engine:expr, $before:expr, $after:expr, $tail:expr) => {{
        const fn many(head: &'static str) -> $crate::sql::ManySql {
            $crate::sql::ManySql { head, row: "?", between: ", ", tail: $tail, again: None }
        }
        match $engine {
            $crate::dialect::Engine::Sqlite => many(concat!($before, $crate::clock::now!(sqlite), $after)),
            $crate::dialect::Engine::Postgres => {
                many(concat!($before, $crate::clock::now!(postgres), $after))
            }
            $crate::dialect::Engine::MySql => many(concat!($before, $crate::clock::now!(mysql), $after)),
        }
    }};
}
pub(crate) use clocked_many;

/// Reads the database's clock, in ms.
pub(crate) async fn read(conn: &mut Conn) -> Result<i64, StoreError> {
    const READ: Sql = clocked!("SELECT ", "");
    Ok(conn.find(&READ, &[], |row| row.int(0)).await?.unwrap_or_default())
}
