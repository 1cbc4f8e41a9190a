//! What a client that pushed is told.

use std::io;

use bytes::Bytes;
use hakata_names::{RefName, escape_controls};
use hakata_pkt_line::{Band, FLUSH, encode_band, encode_parts};

use super::{PushCapabilities, PushRequest, ReportStatus};
use crate::serve::Output;

/// An empty side-band packet, sent while there is nothing to say so that proxies keep the connection.
pub const KEEPALIVE: &[u8] = b"0005\x01";

/// Longest reason in bytes.
const MAX_REASON: usize = 1_000;

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the pack was accepted, or what is wrong with it in a few words.
    pub unpack: Result<(), String>,
    /// What became of each ref.
    pub refs: Vec<RefReport>,
}

/// What became of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefReport {
    name: Bytes,
    outcome: Result<(), String>,
    options: Vec<(&'static str, String)>,
}

impl RefReport {
    /// Reports that a ref moved as asked.
    pub fn ok(name: &RefName) -> Self {
        Self { name: Bytes::copy_from_slice(name.as_bytes()), outcome: Ok(()), options: Vec::new() }
    }

    /// Reports why a ref did not move.
    pub fn refused(name: &RefName, reason: impl Into<String>) -> Self {
        Self { outcome: Err(reason.into()), ..Self::ok(name) }
    }

    /// Adds an `option` line that `report-status-v2` shows: `refname`, `old-oid`, `new-oid` or `forced-update`
    /// (with an empty value).
    #[must_use]
    pub fn option(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.options.push((key, value.into()));
        self
    }

    /// Says whether the ref moved.
    pub fn is_ok(&self) -> bool {
        self.outcome.is_ok()
    }
}

impl Report {
    /// Reports one reason for every command of a request, the pack being fine.
    pub fn all_refused(request: &PushRequest, reason: &str) -> Self {
        let refs = request.updates.iter().map(|update| RefReport::refused(&update.name, reason)).collect();
        Self { unpack: Ok(()), refs }.with_refused(request)
    }

    /// Reports a pack that was not accepted, and therefore no ref.
    pub fn unpack_failed(request: &PushRequest, reason: impl Into<String>) -> Self {
        Self { unpack: Err(reason.into()), ..Self::all_refused(request, "unpacker error") }
    }

    /// Adds the commands that name no ref of ours.
    #[must_use]
    pub fn with_refused(mut self, request: &PushRequest) -> Self {
        self.refs.extend(request.refused.iter().map(|command| RefReport {
            name: command.name.clone(),
            outcome: Err(format!("funny refname: {}", command.reason)),
            options: Vec::new(),
        }));
        self
    }
}

/// Renders the report as the client asked for it, with what ends the conversation; nothing at all if it asked
/// for none, but for the flush that ends its side-band.
pub fn encode_report(report: &Report, capabilities: &PushCapabilities) -> Bytes {
    let mut out = Vec::new();
    if capabilities.report != ReportStatus::None {
        let mut lines = Vec::new();
        encode_lines(report, capabilities.report, &mut lines);
        if !capabilities.side_band {
            return lines.into();
        }
        encode_band(Band::Primary, &lines, &mut out);
    }
    if capabilities.side_band {
        out.extend_from_slice(FLUSH);
    }
    out.into()
}

fn encode_lines(report: &Report, status: ReportStatus, out: &mut Vec<u8>) {
    match &report.unpack {
        Ok(()) => encode_parts(&[b"unpack ok\n"], out),
        Err(reason) => encode_parts(&[b"unpack ", clean(reason).as_bytes(), b"\n"], out),
    }
    for at in &report.refs {
        match &at.outcome {
            Ok(()) => encode_parts(&[b"ok ", &at.name, b"\n"], out),
            Err(reason) => encode_parts(&[b"ng ", &at.name, b" ", clean(reason).as_bytes(), b"\n"], out),
        }
        for (key, value) in at.options.iter().filter(|_| status == ReportStatus::V2 && at.is_ok()) {
            let value = clean(value);
            let space: &[u8] = if value.is_empty() { b"" } else { b" " };
            encode_parts(&[b"option ", key.as_bytes(), space, value.as_bytes(), b"\n"], out);
        }
    }
    out.extend_from_slice(FLUSH);
}

/// Keeps a reason on its line and within bounds.
fn clean(reason: &str) -> String {
    let end = reason.floor_char_boundary(MAX_REASON);
    escape_controls(&reason.as_bytes()[..end])
}

/// Renders a fatal error for a client whose push has been read: band 3, or an `ERR` line without side-band.
pub fn encode_fatal(message: &str, capabilities: &PushCapabilities) -> Bytes {
    let message = clean(message);
    if !capabilities.side_band {
        return crate::serve::encode_error(&message);
    }
    let mut out = Vec::new();
    encode_band(Band::Fatal, format!("{message}\n").as_bytes(), &mut out);
    out.extend_from_slice(FLUSH);
    out.into()
}

/// Words for the person who pushes, shown as `remote: …`. A client without side-band hears nothing.
pub struct Progress<'a, 'b> {
    output: &'a mut Output<'b>,
    side_band: bool,
}

impl<'a, 'b> Progress<'a, 'b> {
    /// Speaks to a client through its output.
    pub fn new(output: &'a mut Output<'b>, capabilities: &PushCapabilities) -> Self {
        Self { output, side_band: capabilities.side_band }
    }

    /// Says one line; control characters are escaped.
    ///
    /// # Errors
    /// The output's.
    pub async fn line(&mut self, line: &str) -> io::Result<()> {
        if !self.side_band {
            return Ok(());
        }
        let mut out = Vec::new();
        encode_band(Band::Progress, format!("{}\n", escape_controls(line.as_bytes())).as_bytes(), &mut out);
        self.output.send(out.into()).await?;
        self.output.flush().await
    }

    /// Says nothing, so that proxies keep the connection.
    ///
    /// # Errors
    /// The output's.
    pub async fn keepalive(&mut self) -> io::Result<()> {
        if self.side_band {
            self.output.send(Bytes::from_static(KEEPALIVE)).await?;
            self.output.flush().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::RefName;

    use super::{Progress, RefReport, Report, encode_fatal, encode_report};
    use crate::receive::{PushCapabilities, ReportStatus};
    use crate::serve::Output;

    fn report() -> Report {
        let name = |name: &str| RefName::parse(name.as_bytes()).unwrap();
        Report {
            unpack: Ok(()),
            refs: vec![
                RefReport::ok(&name("refs/heads/a"))
                    .option("refname", "refs/pull/1/head")
                    .option("forced-update", ""),
                RefReport::refused(&name("refs/heads/b"), "no\nok refs/heads/c"),
            ],
        }
    }

    fn capabilities(report: ReportStatus, side_band: bool) -> PushCapabilities {
        PushCapabilities { report, side_band, ..PushCapabilities::default() }
    }

    #[test]
    fn plain_reports_are_lines() {
        let bytes = encode_report(&report(), &capabilities(ReportStatus::V1, false));
        assert_eq!(
            bytes, "000eunpack ok\n0014ok refs/heads/a\n002bng refs/heads/b no\\u{a}ok refs/heads/c\n0000",
            "a reason never becomes a second line"
        );
    }

    #[test]
    fn version_two_has_options_and_side_band_wraps() {
        let bytes = encode_report(&report(), &capabilities(ReportStatus::V2, true));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text[4..].starts_with("\u{1}000eunpack ok\n"), "{text}");
        assert!(text.contains("0024option refname refs/pull/1/head\n0019option forced-update\n"), "{text}");
        assert!(text.ends_with("00000000"), "the report's flush, then the side-band's: {text}");
    }

    #[test]
    fn who_asks_for_nothing_is_told_nothing() {
        assert_eq!(encode_report(&report(), &capabilities(ReportStatus::None, false)), "");
        assert_eq!(encode_report(&report(), &capabilities(ReportStatus::None, true)), "0000");
        assert_eq!(encode_fatal("x\ny", &capabilities(ReportStatus::V1, false)), "000fERR x\\u{a}y");
    }

    #[tokio::test]
    async fn progress_is_escaped() {
        let mut wire = Vec::new();
        let mut output = Output::writer(&mut wire);
        let mut progress = Progress::new(&mut output, &capabilities(ReportStatus::V1, true));
        progress.line("a\u{1b}[31m").await.unwrap();
        progress.keepalive().await.unwrap();
        drop(output);
        assert_eq!(wire, b"0011\x02a\\u{1b}[31m\n0005\x01");
    }
}
