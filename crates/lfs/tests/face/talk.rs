//! One end of a session over SSH: what a client says, and what it hears.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use hakata_forge::lfs::Operation;
use hakata_lfs::{Duplex, LfsSsh, Opened, Settings};
use hakata_pkt_line::{DELIM, FLUSH, Packet, decode, encode};
use hakata_runtime::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use crate::fixture::Fixture;

/// A client in the middle of a session.
pub(crate) struct Talk {
    to: DuplexStream,
    from: DuplexStream,
    errors: DuplexStream,
    buffer: BytesMut,
    serving: JoinHandle<u32>,
}

/// What stands behind the delimiter of a request.
pub(crate) enum Section<'a> {
    /// There is none.
    None,
    /// Lines of text.
    Lines(&'a [String]),
    /// Bytes.
    Data(&'a [u8]),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) arguments: Vec<String>,
    /// What stands behind the delimiter; `None`: there is none.
    pub(crate) section: Option<Vec<Vec<u8>>>,
}

impl Heard {
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.section.iter().flatten();
        lines.map(|line| String::from_utf8(line.clone()).unwrap().trim_end_matches('\n').to_owned()).collect()
    }

    pub(crate) fn argument(&self, name: &str) -> &str {
        let found = self.arguments.iter().find_map(|argument| argument.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

impl Fixture {
    /// Opens a session as somebody; nothing is read or said yet.
    pub(crate) async fn open(&self, who: &str, path: &str, operation: Operation) -> Talk {
        self.open_with(who, path, operation, Settings::default()).await
    }

    pub(crate) async fn open_with(
        &self,
        who: &str,
        path: &str,
        operation: Operation,
        settings: Settings,
    ) -> Talk {
        let address = Some(IpAddr::from([127, 0, 0, 1]));
        let secret = Secret::new("secret-word".to_owned());
        let actor = self.forge().sign_in_basic(who, secret, address).await.unwrap();
        let opened = Opened { actor, address, path: path.parse().unwrap(), operation };
        let face = Arc::new(LfsSsh::new(self.forge().clone(), settings));
        let (to, input) = duplex(64 << 10);
        let (output, from) = duplex(64 << 10);
        let (theirs, errors) = duplex(64 << 10);
        let streams = Duplex { input: Box::new(input), output: Box::new(output), errors: Box::new(theirs) };
        let serving = tokio::spawn(async move { face.serve(&opened, streams).await });
        Talk { to, from, errors, buffer: BytesMut::new(), serving }
    }

    /// Opens a session and agrees on the version.
    pub(crate) async fn session(&self, who: &str, path: &str, operation: Operation) -> Talk {
        let mut talk = self.open(who, path, operation).await;
        talk.agree().await;
        talk
    }
}

impl Talk {
    /// Reads the capabilities, and agrees on the version.
    pub(crate) async fn agree(&mut self) {
        assert_eq!(self.greeting().await, ["version=1", "locking"]);
        assert_eq!(self.ask("version 1", &[], Section::None).await.status, 200);
    }

    /// Reads the capabilities.
    pub(crate) async fn greeting(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(Packet::Data(line)) = self.packet().await {
            lines.push(String::from_utf8(line.to_vec()).unwrap().trim_end().to_owned());
        }
        lines
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, command: &str, arguments: &[String], section: Section<'_>) -> Heard {
        self.send(&request(command, arguments, section)).await;
        self.hear().await
    }

    /// Sends bytes as they are. A server that reads no more is none of a client's concern here.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.to.write_all(bytes).await;
    }

    /// Reads an answer.
    pub(crate) async fn hear(&mut self) -> Heard {
        let Some(Packet::Data(status)) = self.packet().await else { panic!("no status") };
        let status = std::str::from_utf8(&status).unwrap().trim_end();
        let status = status.strip_prefix("status ").unwrap().parse().unwrap();
        let mut heard = Heard { status, arguments: Vec::new(), section: None };
        loop {
            match (self.packet().await.unwrap(), &mut heard.section) {
                (Packet::Flush, _) => return heard,
                (Packet::Delim, section @ None) => *section = Some(Vec::new()),
                (Packet::Data(line), None) => {
                    heard.arguments.push(String::from_utf8(line.to_vec()).unwrap().trim_end().to_owned());
                }
                (Packet::Data(line), Some(lines)) => lines.push(line.to_vec()),
                (packet, _) => panic!("{packet:?} has no place in an answer"),
            }
        }
    }

    /// Hangs up, and returns the exit status and what a person read.
    pub(crate) async fn end(mut self) -> (u32, String) {
        drop(self.to);
        let status = self.serving.await.unwrap();
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors).await.unwrap();
        (status, errors)
    }

    async fn packet(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            if self.from.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }
}

/// Writes a request.
pub(crate) fn request(command: &str, arguments: &[String], section: Section<'_>) -> Vec<u8> {
    let mut packets = Vec::new();
    encode(format!("{command}\n").as_bytes(), &mut packets);
    arguments.iter().for_each(|argument| encode(format!("{argument}\n").as_bytes(), &mut packets));
    match section {
        Section::None => {}
        Section::Lines(lines) => {
            packets.extend_from_slice(DELIM);
            lines.iter().for_each(|line| encode(format!("{line}\n").as_bytes(), &mut packets));
        }
        Section::Data(bytes) => {
            packets.extend_from_slice(DELIM);
            bytes.chunks(32_768).for_each(|piece| encode(piece, &mut packets));
        }
    }
    packets.extend_from_slice(FLUSH);
    packets
}

/// The line of an object in a batch.
pub(crate) fn line(bytes: &[u8]) -> String {
    format!("{} {}", crate::fixture::oid(bytes), bytes.len())
}

/// The arguments that come back with an object: its length, and the token of its line.
pub(crate) fn arguments(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let token = words.iter().find(|word| word.starts_with("token="));
    let size = format!("size={}", words[1]);
    std::iter::once(size).chain(token.map(|token| (*token).to_owned())).collect()
}
