//! What a server says first.

use bytes::Bytes;
use hakata_names::ObjectFormat;
use hakata_pkt_line::{FLUSH, encode, encode_parts};

use super::{Mode, Protocol, ProtocolVersion, Service};
use crate::refs::{Head, RefSnapshot};

/// Capabilities of version 0 that upload-pack always has, in git's order.
const V0_UPLOAD: &str = "multi_ack thin-pack side-band side-band-64k ofs-delta shallow deepen-since deepen-not \
                         deepen-relative no-progress include-tag multi_ack_detailed allow-tip-sha1-in-want \
                         allow-reachable-sha1-in-want";

/// Capabilities of receive-pack, which is ours.
const V0_RECEIVE: &str =
    "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options";

/// Features of `fetch`, in git's order.
const FETCH_FEATURES: [&str; 5] = ["shallow", "wait-for-done", "filter", REF_IN_WANT, "sideband-all"];

/// The one feature that needs nothing of git: refs asked for by name are found in the snapshot.
const REF_IN_WANT: &str = "ref-in-want";

/// What this server can do: what the found git said of itself, as far as we can serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    agent: String,
    fetch: Vec<&'static str>,
    v2_sha1: Bytes,
    v2_sha256: Bytes,
}

impl Capabilities {
    /// Intersects git's own `fetch=` features with ours.
    pub(crate) fn learn(agent: &str, git_features: &[&str]) -> Self {
        let fetch: Vec<&'static str> =
            FETCH_FEATURES.into_iter().filter(|it| *it == REF_IN_WANT || git_features.contains(it)).collect();
        let v2 = |format| render_v2(agent, &fetch, format);
        Self {
            v2_sha1: v2(ObjectFormat::Sha1),
            v2_sha256: v2(ObjectFormat::Sha256),
            agent: agent.to_owned(),
            fetch,
        }
    }

    /// Returns what we call ourselves.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Says whether `fetch` has a feature.
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.fetch.contains(&feature)
    }

    fn v2(&self, format: ObjectFormat) -> Bytes {
        match format {
            ObjectFormat::Sha1 => self.v2_sha1.clone(),
            ObjectFormat::Sha256 => self.v2_sha256.clone(),
        }
    }
}

/// Renders the advertisement of a service, to be sent in order. HTTP puts its `# service=` lines before.
///
/// Costs a few small strings; the lines of refs are slices of the snapshot. A push has no version 2: asked
/// for it, receive-pack answers in version 0, as git does.
pub fn advertise(
    snapshot: &RefSnapshot,
    service: Service,
    protocol: Protocol,
    capabilities: &Capabilities,
) -> Vec<Bytes> {
    match (service, protocol.version) {
        (Service::UploadPack, ProtocolVersion::V2) => vec![capabilities.v2(snapshot.format())],
        (_, version) => {
            let mut first = Vec::with_capacity(512);
            if version == ProtocolVersion::V1 {
                encode(b"version 1\n", &mut first);
            }
            let rest = match service {
                Service::UploadPack => upload_lines(snapshot, protocol.mode, capabilities, &mut first),
                Service::ReceivePack => receive_lines(snapshot, capabilities, &mut first),
            };
            vec![first.into(), rest, Bytes::from_static(FLUSH)]
        }
    }
}

fn render_v2(agent: &str, fetch: &[&str], format: ObjectFormat) -> Bytes {
    let mut out = Vec::new();
    encode(b"version 2\n", &mut out);
    encode_parts(&[b"agent=", agent.as_bytes(), b"\n"], &mut out);
    encode(b"ls-refs=unborn\n", &mut out);
    let features = fetch.join(" ");
    let equals: &[u8] = if fetch.is_empty() { b"" } else { b"=" };
    encode_parts(&[b"fetch", equals, features.as_bytes(), b"\n"], &mut out);
    encode(b"server-option\n", &mut out);
    encode_parts(&[b"object-format=", format.name().as_bytes(), b"\n"], &mut out);
    encode(b"object-info\n", &mut out);
    out.extend_from_slice(FLUSH);
    out.into()
}

/// Writes the first line of upload-pack's version 0; returns the rest as a slice of the snapshot.
fn upload_lines(
    snapshot: &RefSnapshot,
    mode: Mode,
    capabilities: &Capabilities,
    first: &mut Vec<u8>,
) -> Bytes {
    let mut words = String::from(V0_UPLOAD);
    if mode == Mode::Stateless {
        words.push_str(" no-done");
    }
    let head = snapshot.head_target();
    if let (Head::Symbolic(name), Some(_)) = (snapshot.head(), head) {
        // A symref's name is bytes; one that is not UTF-8 is left out rather than changed.
        if let Ok(name) = std::str::from_utf8(name.as_bytes()) {
            words.push_str(" symref=HEAD:");
            words.push_str(name);
        }
    }
    if capabilities.has("filter") {
        words.push_str(" filter");
    }
    push_common(&mut words, snapshot.format(), capabilities);
    match (head, snapshot.iter().next()) {
        (Some(oid), _) => {
            encode_first(&oid.to_string(), b"HEAD", &words, first);
            snapshot.v0_upload_lines().from(0)
        }
        (None, Some(at)) => {
            encode_first(&at.oid.to_string(), at.name.as_bytes(), &words, first);
            crate::refs::encode_peeled(at, first);
            snapshot.v0_upload_lines().from(1)
        }
        (None, None) => encode_none(snapshot.format(), &words, first),
    }
}

/// Writes the first line of receive-pack's advertisement; returns the rest.
fn receive_lines(snapshot: &RefSnapshot, capabilities: &Capabilities, first: &mut Vec<u8>) -> Bytes {
    let mut words = String::from(V0_RECEIVE);
    push_common(&mut words, snapshot.format(), capabilities);
    match snapshot.iter().next() {
        Some(at) => {
            encode_first(&at.oid.to_string(), at.name.as_bytes(), &words, first);
            snapshot.v0_receive_lines().from(1)
        }
        None => encode_none(snapshot.format(), &words, first),
    }
}

fn push_common(words: &mut String, format: ObjectFormat, capabilities: &Capabilities) {
    words.push_str(" object-format=");
    words.push_str(format.name());
    words.push_str(" agent=");
    words.push_str(capabilities.agent());
}

fn encode_first(oid: &str, name: &[u8], words: &str, out: &mut Vec<u8>) {
    encode_parts(&[oid.as_bytes(), b" ", name, b"\0", words.as_bytes(), b"\n"], out);
}

fn encode_none(format: ObjectFormat, words: &str, out: &mut Vec<u8>) -> Bytes {
    encode_first(format.zero_hex(), b"capabilities^{}", words, out);
    Bytes::new()
}
