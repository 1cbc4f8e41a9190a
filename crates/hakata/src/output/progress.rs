//! Progress of long work: one moving line on a terminal, elsewhere a plain line now and then, or for each part.

use crate::output::note;
use hakata_forge::admin::Plain;
use hakata_runtime::units::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often plain lines are written.
const PAUSE: Duration = Duration::from_secs(10);

/// How far long work has come; each step says all there is to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// What is being done: `copying packs`.
    what: String,
    /// How much of it is done.
    done: u64,
    /// How much there is, if known.
    total: Option<u64>,
    /// What is counted.
    unit: Unit,
    /// What is seen of it without a terminal.
    #[serde(default)]
    plain: Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Items,
    Bytes,
}

/// Shows steps on standard error.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing is shown.
    #[cfg(test)]
    Silent,
    /// A bar on a terminal.
    Bar(Box<ProgressBar>),
    /// Lines; holds when the last one was written.
    Lines(Option<Instant>),
}

impl Step {
    /// Counts things.
    pub(crate) fn items(what: impl Into<String>, done: u64, total: Option<u64>) -> Self {
        Self { what: what.into(), done, total, unit: Unit::Items, plain: Plain::Sometimes }
    }

    /// Counts bytes.
    pub(crate) fn bytes(what: impl Into<String>, done: u64, total: Option<u64>) -> Self {
        Self { what: what.into(), done, total, unit: Unit::Bytes, plain: Plain::Sometimes }
    }

    /// Says what is seen of it without a terminal.
    pub(crate) fn with_plain(self, plain: Plain) -> Self {
        Self { plain, ..self }
    }
}

impl Progress {
    /// Chooses by what standard error is.
    pub(crate) fn new() -> Self {
        match io::stderr().is_terminal() {
            true => Self::Bar(Box::new(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()))),
            false => Self::Lines(None),
        }
    }

    /// Shows nothing.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::Silent
    }

    /// Shows a step.
    pub(crate) fn show(&mut self, step: &Step) {
        match self {
            #[cfg(test)]
            Self::Silent => {}
            Self::Bar(bar) => {
                if let Plain::Alarm(line) = &step.plain {
                    bar.println(printable(line));
                }
                draw(bar, step);
            }
            Self::Lines(last) => match &step.plain {
                Plain::Never => {}
                Plain::Line(line) | Plain::Alarm(line) => note(&printable(line)),
                Plain::Sometimes if last.is_none_or(|last| last.elapsed() >= PAUSE) => {
                    *last = Some(Instant::now());
                    note(&line(step));
                }
                Plain::Sometimes => {}
            },
        }
    }
}

/// Escapes control characters: git's words are in some lines.
fn printable(line: &str) -> String {
    hakata_names::escape_controls(line.as_bytes())
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, step: &Step) {
    let template = match (step.unit, step.total) {
        (Unit::Bytes, Some(_)) => "{msg} [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        (Unit::Items, Some(_)) => "{msg} [{bar:30}] {pos}/{len}  {per_sec}  {eta} left",
        (Unit::Bytes, None) => "{msg} {spinner} {bytes}  {bytes_per_sec}",
        (Unit::Items, None) => "{msg} {spinner} {pos}  {per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    if step.done < bar.position() {
        // Something else has begun, whose rate is its own.
        bar.reset();
    }
    match step.total {
        Some(total) => bar.set_length(total),
        None => bar.unset_length(),
    }
    bar.set_message(step.what.clone());
    bar.set_position(step.done);
}

fn line(step: &Step) -> String {
    let shown = |count: u64| match step.unit {
        Unit::Items => count.to_string(),
        Unit::Bytes => ByteSize::new(count).to_string(),
    };
    match step.total {
        Some(total) => format!("{}: {} of {}", step.what, shown(step.done), shown(total)),
        None => format!("{}: {}", step.what, shown(step.done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_say_what_and_how_far() {
        assert_eq!(line(&Step::items("checking", 3, Some(9))), "checking: 3 of 9");
        let bytes = Step::bytes("copying", 1 << 20, None);
        assert_eq!(line(&bytes), "copying: 1MiB");
    }
}
