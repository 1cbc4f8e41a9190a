//! SQL texts: written once with `?`, numbered `$1…` for PostgreSQL when the crate is compiled.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::dialect::Engine;

/// One question in the words of each engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) mysql: &'static str,
}

/// Makes a [`Sql`]: `sql!("… ?")`, or `sql!(sqlite: "…", postgres: "…", mysql: "…")` where the engines differ.
///
/// `sql!(insert_absent "INSERT …")` makes an INSERT that writes no row when a unique one is there, to be run by
/// [`Conn::insert_absent`](crate::Conn).
macro_rules! sql {
    (insert_absent $text:expr) => {
        $crate::sql::sql!(
            sqlite: concat!($text, " ON CONFLICT DO NOTHING"),
            postgres: concat!($text, " ON CONFLICT DO NOTHING"),
            mysql: $text
        )
    };
    (sqlite: $sqlite:expr, postgres: $postgres:expr, mysql: $mysql:expr) => {{
        const QUESTION: &str = $postgres;
        const LENGTH: usize = $crate::sql::numbered_len(QUESTION);
        const NUMBERED: [u8; LENGTH] = $crate::sql::numbered::<LENGTH>(QUESTION);
        const TEXT: &str = match std::str::from_utf8(&NUMBERED) {
            Ok(text) => text,
            Err(_) => panic!("SQL is UTF-8"),
        };
        $crate::sql::Sql { sqlite: $sqlite, postgres: TEXT, mysql: $mysql }
    }};
    ($text:expr) => {
        $crate::sql::sql!(sqlite: $text, postgres: $text, mysql: $text)
    };
}
pub(crate) use sql;

/// A question about many rows: `head`, then `row` repeated with `between`, then `tail`.
///
/// Callers send full chunks of [`CHUNK`] rows and then rests in powers of two, so that connections cache few
/// statements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManySql {
    pub(crate) head: &'static str,
    pub(crate) row: &'static str,
    pub(crate) between: &'static str,
    pub(crate) tail: &'static str,
    /// A second round over the same rows behind `tail`.
    pub(crate) again: Option<Again>,
}

/// The second round of a [`ManySql`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    pub(crate) row: &'static str,
    pub(crate) between: &'static str,
    pub(crate) tail: &'static str,
}

/// Most rows in one statement. Far below every engine's limit of parameters; more would not be faster: a request of
/// more than 16 KiB is several TLS records, which the driver sends one by one without TCP_NODELAY, and then a server
/// on the same machine waits 40 ms for the rest.
pub(crate) const CHUNK: usize = 128;

impl ManySql {
    /// Writes the statement for `n` rows. Only fixed texts of this crate go into it.
    pub(crate) fn text(&self, engine: Engine, n: usize) -> SqlStr {
        let mut text = self.head.to_owned();
        push_rows(&mut text, n, self.row, self.between);
        text.push_str(self.tail);
        if let Some(again) = self.again {
            push_rows(&mut text, n, again.row, again.between);
            text.push_str(again.tail);
        }
        if engine == Engine::Postgres {
            text = numbered_at_run_time(&text);
        }
        AssertSqlSafe(text).into_sql_str()
    }
}

/// Cuts rows into pieces of [`CHUNK`] and then of falling powers of two.
pub(crate) fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let n = if rest.len() >= CHUNK { CHUNK } else { 1 << rest.len().ilog2() };
        let (piece, tail) = rest.split_at(n);
        rest = tail;
        Some(piece)
    })
}

fn push_rows(text: &mut String, n: usize, row: &str, between: &str) {
    for at in 0..n {
        if at > 0 {
            text.push_str(between);
        }
        text.push_str(row);
    }
}

fn numbered_at_run_time(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    for (n, part) in text.split('?').enumerate() {
        if n > 0 {
            out.push('$');
            out.push_str(&n.to_string());
        }
        out.push_str(part);
    }
    out
}

/// Length of the text after [`numbered`].
pub(crate) const fn numbered_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut n, mut length) = (0, 0, 0);
    while at < bytes.len() {
        if bytes[at] == b'?' {
            n += 1;
            length += if n < 10 { 2 } else { 3 };
        } else {
            length += 1;
        }
        at += 1;
    }
    assert!(n < 100, "a question has at most 99 values");
    length
}

/// Replaces each `?` by `$1`, `$2`, …; our texts have no `?` inside quotes.
#[expect(clippy::cast_possible_truncation, reason = "a digit fits into a byte")]
pub(crate) const fn numbered<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let bytes = text.as_bytes();
    let mut out = [0; LENGTH];
    let (mut at, mut n, mut to) = (0, 0_usize, 0);
    while at < bytes.len() {
        if bytes[at] == b'?' {
            n += 1;
            out[to] = b'$';
            to += 1;
            if n >= 10 {
                out[to] = b'0' + (n / 10) as u8;
                to += 1;
            }
            out[to] = b'0' + (n % 10) as u8;
        } else {
            out[to] = bytes[at];
        }
        to += 1;
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use sqlx::SqlSafeStr as _;

    use super::{Again, CHUNK, Engine, ManySql, chunks};

    #[test]
    fn placeholders_are_numbered_for_postgres_only() {
        let sql = sql!("SELECT a FROM t WHERE b = ? AND c IN (?,?,?,?,?,?,?,?,?,?)");
        assert_eq!(sql.postgres, "SELECT a FROM t WHERE b = $1 AND c IN ($2,$3,$4,$5,$6,$7,$8,$9,$10,$11)");
        assert_eq!(sql.sqlite, sql.mysql);
        assert!(sql.sqlite.ends_with("?)"));
    }

    #[test]
    fn many_rows_repeat_the_row() {
        let sql =
            ManySql { head: "INSERT INTO t VALUES ", row: "(?, ?)", between: ", ", tail: "", again: None };
        assert_eq!(sql.text(Engine::MySql, 2).into_sql_str().as_str(), "INSERT INTO t VALUES (?, ?), (?, ?)");
        assert_eq!(sql.text(Engine::Postgres, 2).as_str(), "INSERT INTO t VALUES ($1, $2), ($3, $4)");
        let again = Some(Again { row: "b = ?", between: " OR ", tail: ")" });
        let sql = ManySql { head: "WHERE a IN (", row: "?", between: ", ", tail: ") AND (", again };
        assert_eq!(sql.text(Engine::Postgres, 2).as_str(), "WHERE a IN ($1, $2) AND (b = $3 OR b = $4)");
    }

    #[test]
    fn chunks_have_few_sizes_and_lose_nothing() {
        let rows: Vec<usize> = (0..CHUNK * 2 + 44).collect();
        let sizes: Vec<usize> = chunks(&rows).map(<[usize]>::len).collect();
        assert_eq!(sizes, [128, 128, 32, 8, 4]);
        assert_eq!(chunks(&rows).flatten().copied().collect::<Vec<_>>(), rows);
    }
}
