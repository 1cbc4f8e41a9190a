//! What is answered: a status, arguments, and lines behind a delimiter.

use hakata_forge::Error;
use hakata_names::escape_controls;
use hakata_pkt_line::{DELIM, FLUSH, encode_text};
use hakata_service::http::RequestId;
use http::StatusCode;

use crate::refusal::Refusal;

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// As HTTP would have it.
    pub(super) status: StatusCode,
    arguments: Vec<String>,
    /// `None`: nothing, not even a delimiter.
    lines: Option<Vec<String>>,
}

impl Reply {
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status, arguments: Vec::new(), lines: None }
    }

    /// Says no. Clients show the first line, and take one without any for a success of nothing.
    pub(super) fn refuse(status: StatusCode, words: impl ToString) -> Self {
        Self::new(status).lines(vec![words.to_string()])
    }

    /// Answers an error of the forge, and has its cause written to the log. Who asks for help names the id.
    pub(super) fn of_forge(error: &Error, id: RequestId) -> Self {
        let refusal = Refusal::of_forge(error, id);
        let mut line = error.err_line();
        if refusal.status.is_server_error() {
            line.push_str(&format!(" (request {id})"));
        }
        Self::refuse(refusal.status, line)
    }

    pub(super) fn argument(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.arguments.push(format!("{name}={value}"));
        self
    }

    pub(super) fn lines(self, lines: Vec<String>) -> Self {
        Self { lines: Some(lines), ..self }
    }

    /// What a person reads of a refusal.
    pub(super) fn words(&self) -> String {
        self.lines.iter().flatten().next().cloned().unwrap_or_default()
    }

    /// The packets up to the lines, for an answer whose data follow.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut packets = Vec::new();
        encode_text(&format!("status {}", self.status.as_u16()), &mut packets);
        self.arguments.iter().for_each(|argument| encode_text(argument, &mut packets));
        packets
    }

    /// All packets.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut packets = self.head();
        if let Some(lines) = &self.lines {
            packets.extend_from_slice(DELIM);
            lines.iter().for_each(|line| encode_text(line, &mut packets));
        }
        packets.extend_from_slice(FLUSH);
        packets
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::refuse(refusal.status, escape_controls(refusal.message.as_bytes()))
    }
}
