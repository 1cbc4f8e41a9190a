//! One event as one line.

use super::queue::{Queue, Urgency};
use std::io;
use std::sync::Arc;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Gives writers in which an event stays one line and moves no cursor, whatever its values hold.
#[derive(Clone)]
pub(super) struct Lines(pub(super) Arc<Queue>);

/// Takes one event; the subscriber gives each whole, its line feed last.
pub(super) struct Line<'a> {
    queue: &'a Queue,
    urgency: Urgency,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: &self.0, urgency: Urgency::Soon }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        let urgency = if *meta.level() == Level::ERROR { Urgency::Now } else { Urgency::Soon };
        Line { queue: &self.0, urgency }
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        if !may_hold_control(text) {
            self.queue.push(event, self.urgency);
            return Ok(event.len());
        }
        let mut escaped = String::with_capacity(text.len() + 16);
        for c in String::from_utf8_lossy(text).chars() {
            if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
        }
        escaped.push('\n');
        self.queue.push(escaped.as_bytes(), self.urgency);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether any byte may belong to a control character: C0, DEL, or the lead byte of C1 in UTF-8.
fn may_hold_control(text: &[u8]) -> bool {
    text.iter().any(|b| *b < 0x20 || *b == 0x7f || *b == 0xc2)
}

#[cfg(test)]
mod tests {
    use super::super::queue::tests::Kept;
    use super::{Lines, Queue};
    use std::sync::Arc;

    /// Logs and gives back what came out; the queue is closed, so that lines go straight through.
    fn logged(log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let queue = Arc::new(Queue::new(1 << 20, kept.clone()));
        queue.close();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Lines(queue)).finish();
        tracing::subscriber::with_default(subscriber, log);
        kept.text()
    }

    #[test]
    fn a_value_from_outside_cannot_forge_a_line_or_move_the_cursor() {
        let text = logged(|| {
            tracing::info!(path = %"/a\nINFO forged\x1b[2J\u{9b}1m é", "request");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
        assert!(text.contains("é"), "letters stay: {text}");
    }
}
