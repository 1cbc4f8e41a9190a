//! The process's log: one line per event on standard error, as text or JSON.
//!
//! Lines are written by a thread of their own, some milliseconds after they were made; an error is out before whoever
//! logged it goes on, and so is everything before a panic. A process that is killed loses the lines of the last 20 ms.

mod line;
mod queue;
mod text;

use hakata_runtime::metrics::Metric;
use hakata_runtime::thread::Thread;
use hakata_runtime::units::ByteSize;
use line::Lines;
use queue::{ERROR_TIME, Queue};
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use text::Text;
use tracing_subscriber::EnvFilter;

/// The target of lines about requests.
pub(crate) const ACCESS: &str = "hakata::access";

/// How long the end of the process may wait for somebody to take the log.
const LAST_TIME: Duration = Duration::from_secs(5);

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
    /// The system gives no thread.
    #[error("starting the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Logging was started before.
    #[error("the log is already set up")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The running log; what waits is written when this is dropped, the last of a process to be.
#[must_use = "dropping it ends the writing of lines together"]
pub struct Log {
    queue: Arc<Queue>,
    thread: Option<Thread>,
}

/// Starts logging to standard error, for the rest of the process; at most `buffer` of lines wait to be written.
///
/// # Errors
/// When the filter does not parse, or logging runs already.
pub fn init(format: Format, filter: &str, buffer: ByteSize) -> Result<Log, InitLogError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| InitLogError::Filter { filter: filter.to_owned(), source })?;
    let max_bytes = usize::try_from(buffer.bytes()).unwrap_or(usize::MAX);
    let queue = Arc::new(Queue::new(max_bytes, io::stderr()));
    let lines = Lines(queue.clone());
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_ansi(false).with_writer(lines);
    match format {
        Format::Text => builder.event_format(Text::default()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(InitLogError::Twice)?;
    let writer = queue.clone();
    let thread = Thread::spawn("hakata-log", move || writer.run()).map_err(InitLogError::Thread)?;
    flush_at_panics(queue.clone());
    Ok(Log { queue, thread: Some(thread) })
}

/// Writes what waits before a panic is told, so that what led to it stands above it.
fn flush_at_panics(queue: Arc<Queue>) {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        queue.flush(ERROR_TIME);
        tell(panic);
    }));
}

impl Log {
    /// Writes what waits, so that it stands above what others write to standard error.
    pub fn flush(&self) {
        self.queue.flush(LAST_TIME);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let is_written = self.queue.flush(LAST_TIME);
        self.queue.close();
        // A thread that nobody takes a line from ends with the process.
        if let Some(thread) = self.thread.take().filter(|_| is_written) {
            thread.join();
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// Lists the metrics of the log.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    queue::metrics()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_parse_and_a_bad_filter_is_told() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!("xml".parse::<Format>().is_err());
        let refused = init(Format::Text, "a=b=c=d", ByteSize::mib(1));
        assert!(matches!(refused, Err(InitLogError::Filter { .. })));
    }
}
