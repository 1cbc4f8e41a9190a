//! Our side of fetches against git's own: the same requests, the same replies.

mod clients;
mod differential;
mod hostile;

use bytes::BytesMut;
use hakata_names::ObjectFormat;
use hakata_pkt_line::{DELIM, FLUSH, Packet, decode, encode};

use super::{
    FetchLimits, FetchStats, Mode, Output, Protocol, ProtocolVersion, ServeError, UploadPack, upload_pack,
};
use crate::GitDir;
use crate::testing::{self, Bench};

const V2: Protocol = Protocol { version: ProtocolVersion::V2, mode: Mode::Stateless };
const V0: Protocol = Protocol { version: ProtocolVersion::V0, mode: Mode::Stateless };

/// Sends one request to our side; returns what it says.
async fn ask(
    bench: &Bench,
    dir: &GitDir,
    format: ObjectFormat,
    protocol: Protocol,
    request: &[u8],
) -> (Result<FetchStats, ServeError>, Vec<u8>) {
    let snapshot = testing::snapshot(dir, format);
    let limits = FetchLimits { n_wants: 50, n_haves: 50, request_bytes: 1 << 20 };
    let conversation = UploadPack { git: &bench.git, snapshot: &snapshot, source: dir, protocol, limits };
    let mut said = Vec::new();
    let mut output = Output::writer(&mut said);
    let mut stats = FetchStats::default();
    let served = upload_pack(conversation, &mut &request[..], &mut output, &mut stats).await;
    drop(output);
    (served.map(|()| stats), said)
}

/// Writes a request of version 2.
fn v2(command: &str, format: ObjectFormat, arguments: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(format!("command={command}").as_bytes(), &mut out);
    encode(b"agent=git/2.47.3", &mut out);
    encode(format!("object-format={format}").as_bytes(), &mut out);
    out.extend_from_slice(DELIM);
    arguments.iter().for_each(|line| encode(format!("{line}\n").as_bytes(), &mut out));
    out.extend_from_slice(FLUSH);
    out
}

/// Reads packets as text, with what differs between servers made equal.
fn normalised(wire: &[u8]) -> Vec<String> {
    let mut buffer = BytesMut::from(wire);
    let mut lines = Vec::new();
    while let Ok(Some(packet)) = decode(&mut buffer) {
        lines.push(match packet {
            Packet::Data(line) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                let words =
                    line.split(' ').map(|word| if word.starts_with("agent=") { "agent=x\n" } else { word });
                words.collect::<Vec<_>>().join(" ")
            }
            special => format!("{special:?}"),
        });
    }
    assert!(buffer.is_empty(), "whole packets only");
    lines
}
