//! The end of packs that never came to their commit.

use hakata_names::PackId;

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Declares a staged pack dead, so that no commit can take it any more; false if one was faster.
///
/// Its row stays until its bytes are gone and [`delete_dead`](super::delete_dead) removes it: whatever dies in between,
/// the row still names the bytes.
///
/// # Errors
/// Any [`StoreError`].
pub async fn give_up_staged(conn: &mut Conn, id: PackId, now: i64) -> Result<bool, StoreError> {
    const GIVE_UP: Sql =
        sql!("UPDATE pack SET state = 'dead', delete_after = ? WHERE id = ? AND state = 'staged'");
    conn.execute_one(&GIVE_UP, values![now, id]).await
}
