//! The process's log: one line per event on standard error, as text or JSON.

use std::io::{self, Write};
use std::str::FromStr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// A format that is neither `text` nor `json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no log format is called {0:?}; write text or json")]
pub struct ParseFormatError(String);

impl FromStr for Format {
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, ParseFormatError> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(ParseFormatError(text.to_owned())),
        }
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum InitLogError {
    /// The filter does not parse.
    #[error("no log filter in {filter:?}; write info, or like info,hakata_git=debug")]
    Filter {
        /// What was given.
        filter: String,
        /// Where it breaks.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was started before.
    #[error("the log is already set up")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts logging to standard error, for the rest of the process.
///
/// # Errors
/// When the filter does not parse, or logging runs already.
pub fn init(format: Format, filter: &str) -> Result<(), InitLogError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| InitLogError::Filter { filter: filter.to_owned(), source })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(parsed).with_ansi(false).with_writer(Escaping(io::stderr));
    match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(InitLogError::Twice)
}

/// Gives writers in which an event stays one line and moves no cursor, whatever its values hold.
#[derive(Clone, Copy, Debug)]
struct Escaping<M>(M);

/// Writes one event; the subscriber gives each whole, its line feed last.
struct Line<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Escaping<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self.0.make_writer())
    }
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        if memchr_control(text).is_none() {
            self.0.write_all(event)?;
            return Ok(event.len());
        }
        let mut escaped = String::with_capacity(text.len() + 16);
        for c in String::from_utf8_lossy(text).chars() {
            if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
        }
        escaped.push('\n');
        self.0.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Finds the first byte that may belong to a control character: C0, DEL, or the lead byte of C1 in UTF-8.
fn memchr_control(text: &[u8]) -> Option<usize> {
    text.iter().position(|b| *b < 0x20 || *b == 0x7f || *b == 0xc2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_value_from_outside_cannot_forge_a_line_or_move_the_cursor() {
        let kept = Kept::default();
        let sink = kept.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(Escaping(move || sink.clone())).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(path = %"/a\nINFO forged\x1b[2J\u{9b}1m é", "request");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
        assert!(text.contains("é"), "letters stay: {text}");
    }

    #[test]
    fn formats_parse_and_a_bad_filter_is_told() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!("xml".parse::<Format>().is_err());
        assert!(matches!(init(Format::Text, "a=b=c=d"), Err(InitLogError::Filter { .. })));
    }
}
