//! What a command answers: values for programs, a table for people, from one place.

use std::borrow::Cow;

use hakata_runtime::secret::Secret;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// The answer of a command. Its own serde form travels over the local socket; programs get [`Outcome::objects`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done; the sentence says what.
    Done {
        /// A sentence for a person.
        message: String,
        /// What was made or changed, if there is something to show.
        row: Option<Row>,
    },
    /// One thing.
    One(Row),
    /// A list; `--json` prints one object a line.
    List(Table),
    /// A secret that is shown once: the token alone goes to standard output.
    Token {
        /// The text of the token.
        #[serde(serialize_with = "expose")]
        token: Secret<String>,
        /// The token's row.
        row: Row,
    },
    /// What a check found; empty means all is well.
    Findings(Table),
    /// What became of many things.
    Report(Report),
}

/// What became of many things: people see the rows that matter and the sentence, programs all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// How it went, in a sentence.
    pub message: String,
    /// What a person can do about what did not work.
    pub hint: Option<String>,
    /// What people look at.
    pub shown: Table,
    /// Everything; `--json` prints one object a line.
    pub all: Table,
    /// Whether something did not work, so that the command should fail.
    pub has_failures: bool,
}

/// Columns and rows of the same width.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// The columns' names, snake_case: keys of the JSON objects.
    pub columns: Vec<Cow<'static, str>>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

/// One object: keys and values in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row(pub Vec<(Cow<'static, str>, Cell)>);

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Words; ids are words too.
    Text(String),
    /// A count or a time in milliseconds.
    Number(i64),
    /// A count of bytes; a table shows it with its unit.
    Bytes(u64),
    /// Yes or no.
    Flag(bool),
    /// Several words.
    Words(Vec<String>),
    /// Milliseconds since 1970; a table shows a date.
    Time(i64),
    /// Nothing.
    Absent,
}

impl Cell {
    /// Wraps words.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// Wraps a time that may be absent.
    pub fn time(at: Option<i64>) -> Self {
        at.map_or(Self::Absent, Self::Time)
    }

    /// Returns the value for programs: numbers stay numbers, nothing is `null`.
    pub fn json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Number(number) | Self::Time(number) => Value::from(*number),
            Self::Bytes(bytes) => Value::from(*bytes),
            Self::Flag(flag) => Value::from(*flag),
            Self::Words(words) => Value::from(words.clone()),
            Self::Absent => Value::Null,
        }
    }

    /// Renders the value for a terminal; control characters are made visible.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => hakata_names::escape_controls(text.as_bytes()),
            Self::Number(number) => number.to_string(),
            Self::Bytes(bytes) => shown_bytes(*bytes),
            Self::Flag(true) => "yes".to_owned(),
            Self::Flag(false) => "no".to_owned(),
            Self::Words(words) => hakata_names::escape_controls(words.join(", ").as_bytes()),
            Self::Time(at) => jiff::Timestamp::from_millisecond(*at)
                .map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%d %H:%M").to_string()),
            Self::Absent => "-".to_owned(),
        }
    }
}

/// Renders a measured size, rounded to one digit.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = format!("{bytes} B");
    let mut tenths = u128::from(bytes) * 10;
    for unit in units {
        if tenths < 10_240 {
            break;
        }
        tenths = (tenths + 512) / 1_024;
        size = format!("{}.{} {unit}", tenths / 10, tenths % 10);
    }
    size
}

impl Outcome {
    /// Returns the objects for `--json`, one a line for a list.
    pub fn objects(&self) -> Vec<Value> {
        match self {
            Self::Done { row, .. } => {
                let row = row.clone().unwrap_or_default();
                vec![row.with("done", Cell::Flag(true)).json()]
            }
            Self::One(row) => vec![row.json()],
            Self::Token { token, row } => vec![row.clone().with("token", Cell::text(token.expose())).json()],
            Self::List(table) | Self::Findings(table) => table.objects(),
            Self::Report(report) => report.all.objects(),
        }
    }

    /// Returns the table for a terminal, if the answer is one.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::List(table) | Self::Findings(table) => Some(table),
            Self::Report(report) => Some(&report.shown),
            Self::Done { .. } | Self::One(_) | Self::Token { .. } => None,
        }
    }

    /// Returns the row, if the answer is one thing.
    pub fn row(&self) -> Option<&Row> {
        match self {
            Self::One(row) | Self::Token { row, .. } => Some(row),
            Self::Done { row, .. } => row.as_ref(),
            Self::List(_) | Self::Findings(_) | Self::Report(_) => None,
        }
    }

    /// Returns the sentence, if the answer is one.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Done { message, .. } => Some(message),
            Self::Report(report) => Some(&report.message),
            _ => None,
        }
    }

    /// Whether a check found something, so that the command should fail.
    pub fn has_findings(&self) -> bool {
        matches!(self, Self::Findings(table) if !table.rows.is_empty())
    }
}

fn expose<S: Serializer>(token: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}

impl Row {
    /// Adds a value at the end.
    #[must_use]
    pub fn with(mut self, key: &'static str, cell: Cell) -> Self {
        self.0.push((Cow::Borrowed(key), cell));
        self
    }

    /// Returns the row as an object for programs.
    pub fn json(&self) -> Value {
        Value::Object(self.0.iter().map(|(key, cell)| (key.to_string(), cell.json())).collect())
    }
}

impl Table {
    /// Makes an empty table.
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.iter().copied().map(Cow::Borrowed).collect(), rows: Vec::new() }
    }

    /// Makes a table of rows that all have these keys, in this order.
    pub(crate) fn of_rows(columns: &[&'static str], rows: impl Iterator<Item = Row>) -> Self {
        let mut table = Self::new(columns);
        for row in rows {
            debug_assert!(
                row.0.iter().map(|(key, _)| key.as_ref()).eq(columns.iter().copied()),
                "keys are columns"
            );
            table.push(row.0.into_iter().map(|(_, cell)| cell).collect());
        }
        table
    }

    /// Adds a row; it must be as wide as the table.
    pub fn push(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a row as wide as its table");
        self.rows.push(cells);
    }

    /// Returns one object a row.
    fn objects(&self) -> Vec<Value> {
        let row = |cells: &Vec<Cell>| Row(self.columns.iter().cloned().zip(cells.iter().cloned()).collect());
        self.rows.iter().map(|cells| row(cells).json()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Outcome, Row, Table, shown_bytes};

    #[test]
    fn a_list_is_one_object_a_line_and_survives_the_socket() {
        let mut table = Table::new(&["id", "size_bytes", "expires_at"]);
        table.push(vec![Cell::text(7), Cell::Bytes(2_048), Cell::Absent]);
        let wire = serde_json::to_string(&Outcome::List(table)).unwrap();
        let back: Outcome = serde_json::from_str(&wire).unwrap();
        let line = back.objects()[0].to_string();
        assert_eq!(line, r#"{"expires_at":null,"id":"7","size_bytes":2048}"#);
        assert_eq!(back.table().unwrap().rows[0][1].shown(), "2.0 KiB");
    }

    #[test]
    fn a_token_is_in_the_json_and_not_in_debug() {
        let row = Row::default().with("name", Cell::text("ci"));
        let outcome = Outcome::Token { token: "hkt_secret".to_owned().into(), row };
        assert!(!format!("{outcome:?}").contains("hkt_secret"));
        assert_eq!(outcome.objects()[0]["token"], "hkt_secret");
    }

    #[test]
    fn cells_are_safe_and_readable() {
        assert_eq!(Cell::text("a\u{1b}[2J").shown(), "a\\u{1b}[2J");
        assert_eq!(Cell::Time(0).shown(), "1970-01-01 00:00");
        assert_eq!((shown_bytes(1_023), shown_bytes(1_572_864)), ("1023 B".into(), "1.5 MiB".into()));
    }
}
