//! What differs between the engines: names, column types, and nothing that a question could say portably.

use std::fmt;

/// A kind of SQL database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// A file of this process.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MariaDB or MySQL.
    MySql,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MariaDB or MySQL",
        })
    }
}

/// Writes the type macros of a migration in the words of one engine.
///
/// | macro | SQLite | PostgreSQL | MySQL |
/// |---|---|---|---|
/// | `{id}` | INTEGER (the row id) | BIGINT | BIGINT |
/// | `{text:n}` | TEXT | TEXT COLLATE "C" | VARCHAR(n), binary collation of the table |
/// | `{long_text}` | TEXT | TEXT | LONGTEXT |
/// | `{bytes:n}` | BLOB | BYTEA | VARBINARY(n) |
/// | `{blob}` | BLOB | BYTEA | LONGBLOB |
/// | `{end}` | | | table options |
/// | `{clustered}` | WITHOUT ROWID | | table options |
pub(crate) fn render(engine: Engine, template: &str) -> String {
    let mut out = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = tail.split_once('}').unwrap_or((tail, ""));
        out.push_str(&macro_text(engine, name));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn macro_text(engine: Engine, name: &str) -> String {
    // utf8mb4_bin pads with spaces when it compares; no name of ours ends in one.
    const OPTIONS: &str = " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
    let (name, length) = name.split_once(':').unwrap_or((name, ""));
    let [sqlite, postgres, mysql] = match name {
        "id" => ["INTEGER", "BIGINT", "BIGINT"].map(str::to_owned),
        "text" => ["TEXT".to_owned(), "TEXT COLLATE \"C\"".to_owned(), format!("VARCHAR({length})")],
        "long_text" => ["TEXT", "TEXT", "LONGTEXT"].map(str::to_owned),
        "bytes" => ["BLOB".to_owned(), "BYTEA".to_owned(), format!("VARBINARY({length})")],
        "blob" => ["BLOB", "BYTEA", "LONGBLOB"].map(str::to_owned),
        "end" => ["", "", OPTIONS].map(str::to_owned),
        "clustered" => [" WITHOUT ROWID", "", OPTIONS].map(str::to_owned),
        // Left as it is, so that the engine refuses the statement and names the macro.
        unknown => [(); 3].map(|()| format!("{{{unknown}}}")),
    };
    match engine {
        Engine::Sqlite => sqlite,
        Engine::Postgres => postgres,
        Engine::MySql => mysql,
    }
}

#[cfg(test)]
mod tests {
    use super::{Engine, render};

    #[test]
    fn macros_become_types_of_the_engine() {
        let template = "CREATE TABLE t (name {bytes:1024}, title {text:9}){clustered}";
        assert_eq!(render(Engine::Sqlite, template), "CREATE TABLE t (name BLOB, title TEXT) WITHOUT ROWID");
        assert_eq!(
            render(Engine::Postgres, template),
            "CREATE TABLE t (name BYTEA, title TEXT COLLATE \"C\")"
        );
        assert!(
            render(Engine::MySql, template)
                .starts_with("CREATE TABLE t (name VARBINARY(1024), title VARCHAR(9))")
        );
    }

    #[test]
    fn unknown_macros_are_left_for_the_engine_to_refuse() {
        assert_eq!(render(Engine::Sqlite, "a {nonsense} b"), "a {nonsense} b");
    }
}
