//! Lists: aligned columns for people, one JSON object a line for programs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Rows under column names; each row has its object for `--json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    objects: Vec<Value>,
}

impl Table {
    /// Makes an empty table.
    pub(crate) fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new(), objects: Vec::new() }
    }

    /// Adds a row, with its object.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = String>, object: Value) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
        self.objects.push(object);
    }

    /// Leaves the last column out of what people see; objects keep it.
    pub(crate) fn without_last_column(mut self) -> Self {
        self.columns.pop();
        for row in &mut self.rows {
            row.pop();
        }
        self
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Counts the rows.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes one object a line.
    pub(crate) fn json_lines(&self) -> String {
        self.objects.iter().map(|object| format!("{object}\n")).collect()
    }
}

/// Column names in capitals, cells padded to their column; nothing at all for an empty table.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let heads: Vec<String> =
            self.columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
        let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in std::iter::once(&heads).chain(&self.rows) {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<String>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Escapes control characters, so that a name from outside cannot drive the terminal.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_control_characters_are_escaped() {
        let mut table = Table::new(["name", "created_at"]);
        assert_eq!(table.to_string(), "", "an empty list prints nothing");
        table.push(["aiko".to_owned(), "now".to_owned()], json!({"name": "aiko"}));
        table.push(["\u{1b}[2J".to_owned(), String::new()], json!({"name": "\u{1b}[2J"}));
        assert_eq!(table.to_string(), "NAME       CREATED AT\naiko       now\n\\u{1b}[2J\n");
        assert_eq!(table.json_lines(), "{\"name\":\"aiko\"}\n{\"name\":\"\\u001b[2J\"}\n");
    }
}
