//! Events as text.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as the subscriber does by itself. Most lines of a busy server are about requests, and these take a
/// shorter way to the same text: one without colours that are off.
#[derive(Debug, Default)]
pub(super) struct Text {
    others: Format<Full>,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        let is_plain = about.target() == super::ACCESS && *about.level() == Level::INFO;
        if !is_plain || writer.has_ansi_escapes() || context.event_scope().is_some() {
            return self.others.format_event(context, writer, event);
        }
        SystemTime.format_time(&mut writer)?;
        writer.write_str("  INFO ")?;
        writer.write_str(about.target())?;
        writer.write_char(':')?;
        let mut fields = Fields { writer, written: Ok(()) };
        event.record(&mut fields);
        fields.written?;
        fields.writer.write_char('\n')
    }
}

/// Writes the fields of an event, each behind a blank.
struct Fields<'a> {
    writer: Writer<'a>,
    written: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let Self { writer, written } = self;
        *written = written.and_then(|()| {
            writer.write_char(' ')?;
            if field.name() != "message" {
                writer.write_str(field.name())?;
                writer.write_char('=')?;
            }
            writer.write_fmt(value)
        });
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Escaping looks at each letter; most words need none.
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if value.bytes().all(is_plain) {
            self.write(field, format_args!("\"{value}\""));
        } else {
            self.write(field, format_args!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use crate::log::ACCESS;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// Takes what a subscriber writes.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log_everything() {
        let address: Option<std::net::IpAddr> = Some([192, 0, 2, 1].into());
        tracing::event!(
            target: ACCESS,
            tracing::Level::INFO,
            request.id = "00ff",
            odd = "a\"b\\c\n\u{9b}é",
            path = %"/a b",
            status = 200_u16,
            duration_ms = 0.25,
            client.address = address.map(tracing::field::display),
            user = None::<&str>,
            is_last = false,
            "request"
        );
        tracing::event!(target: ACCESS, tracing::Level::WARN, "odd");
        tracing::info!(n = 1, "something else");
        tracing::info_span!("outer", a = 1).in_scope(|| {
            tracing::event!(target: ACCESS, tracing::Level::INFO, n = 1, "within");
        });
    }

    /// Gives the lines without their times.
    fn lines(sink: &Sink) -> Vec<String> {
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn the_shorter_way_leads_to_the_same_text() {
        let (ours, theirs) = (Sink::default(), Sink::default());
        let into = |sink: &Sink| {
            let sink = sink.clone();
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone())
        };
        tracing::subscriber::with_default(into(&ours).event_format(Text::default()).finish(), log_everything);
        tracing::subscriber::with_default(into(&theirs).finish(), log_everything);
        assert_eq!(lines(&ours), lines(&theirs));
        assert_eq!(lines(&ours).len(), 4);
    }
}
