//! What people and programs see: tables or JSON on standard output, failures on standard error, exit codes.

mod failure;
mod progress;
mod table;

pub(crate) use failure::{Exit, Failure, chain};
pub(crate) use progress::{Progress, Step};
pub(crate) use table::Table;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, IsTerminal, Read, Write};

/// How a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables and sentences.
    Text,
    /// One object, or one a line for lists.
    Json,
}

/// What a command has to say when it is done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Nothing, or nothing more.
    Silent,
    /// Lines for people, and the object that says the same.
    Text(String, Value),
    /// A list.
    Table(Table),
    /// What a check found; the command fails when that is anything.
    Findings(Table),
    /// What became of many things; the command fails when something did not work.
    Report {
        /// What people look at.
        shown: Table,
        /// How it went, below the table.
        lines: Vec<String>,
        /// What programs get, one object a line.
        objects: Vec<Value>,
        /// Whether something did not work.
        has_failures: bool,
    },
    /// Bytes that are the same in both formats: a completion script, a configuration file.
    Raw(String),
}

impl Answer {
    /// Whether the command succeeded with this answer.
    pub(crate) fn is_success(&self) -> bool {
        match self {
            Self::Findings(table) => table.is_empty(),
            Self::Report { has_failures, .. } => !has_failures,
            _ => true,
        }
    }
}

/// Prints an answer on standard output.
///
/// # Errors
/// The write's, except that a reader who left early (`| head`) is no failure.
pub(crate) fn print(answer: &Answer, format: Format) -> io::Result<()> {
    let text = match (answer, format) {
        (Answer::Silent, _) => return Ok(()),
        (Answer::Raw(text), _) => text.clone(),
        (Answer::Text(text, _), Format::Text) if text.is_empty() => return Ok(()),
        (Answer::Text(text, _), Format::Text) => format!("{text}\n"),
        (Answer::Text(_, object), Format::Json) => format!("{object}\n"),
        (Answer::Findings(table), Format::Text) if table.is_empty() => "nothing is wrong\n".to_owned(),
        (Answer::Table(table) | Answer::Findings(table), Format::Text) => table.to_string(),
        (Answer::Report { shown, lines, .. }, Format::Text) => {
            let gap = if shown.is_empty() { "" } else { "\n" };
            format!("{shown}{gap}{}\n", lines.join("\n"))
        }
        (Answer::Report { objects, .. }, Format::Json) => {
            objects.iter().map(|object| format!("{object}\n")).collect()
        }
        (Answer::Table(table) | Answer::Findings(table), Format::Json) => table.json_lines(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints a failure on standard error; if that is gone there is nobody left to tell.
pub(crate) fn print_failure(failure: &Failure, format: Format) {
    let text = match format {
        Format::Text => failure.to_string(),
        Format::Json => failure.to_json().to_string(),
    };
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a line to standard error, beside the answer: a warning, a question, a step of long work.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether somebody can be asked and will see the question.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question that is answered by y or, as by anything else, no.
pub(crate) fn ask(question: &str) -> bool {
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().take(100).read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
