//! What is known about a request beside itself: its id, who sent it, over what.

use super::Settings;
use crate::stream::Peer;
use ::http::{HeaderMap, HeaderValue};
use hakata_runtime::secret::random_bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// What the server knows about a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts {
    /// Its name in logs and in the answer's `X-Request-Id`.
    pub id: RequestId,
    /// The other end of the connection.
    pub peer: Peer,
    /// The client's address, behind trusted proxies the one they tell; absent for processes of this machine.
    pub client: Option<IpAddr>,
    /// Whether the client's words were encrypted on their way.
    pub transport: Transport,
    /// When its head was complete.
    pub received: Instant,
}

/// How a client reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In the clear.
    Plain,
    /// By TLS, here or at a trusted proxy.
    Tls,
}

/// A request's name: 16 hexadecimal digits, or what a trusted proxy calls it.
#[derive(Clone, Copy)]
pub struct RequestId {
    text: [u8; Self::MAX],
    len: u8,
}

impl RequestId {
    /// The longest id taken from a proxy: that of a UUID.
    const MAX: usize = 36;

    /// Makes an id that this process gives once and that does not tell how many it gave.
    pub fn fresh() -> Self {
        static BASE: LazyLock<u64> = LazyLock::new(|| u64::from_ne_bytes(random_bytes()));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = BASE.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        // An odd factor and a xor with the high half are both reversible: no two counts give one id.
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed ^ (mixed >> 32);
        let mut text = [0; Self::MAX];
        for (i, digit) in text[..16].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[usize::try_from((mixed >> (60 - 4 * i)) & 15).unwrap_or(0)];
        }
        Self { text, len: 16 }
    }

    /// Takes an id of 1 to 36 letters, digits, dots, underscores and hyphens.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let fine = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
        if text.is_empty() || text.len() > Self::MAX || !text.iter().all(fine) {
            return None;
        }
        let mut id = Self { text: [0; Self::MAX], len: u8::try_from(text.len()).ok()? };
        id.text[..text.len()].copy_from_slice(text);
        Some(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or("")
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(&self.text[..usize::from(self.len)]).ok()?;
        // Each id comes once: over HTTP/2 it must not push what comes again out of the table of headers.
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl RequestFacts {
    /// Learns the facts of a request whose head was just read.
    pub(super) fn learn(settings: &Settings, peer: Peer, transport: Transport, headers: &HeaderMap) -> Self {
        let mut facts =
            Self { id: RequestId::fresh(), peer, client: peer.ip(), transport, received: Instant::now() };
        if settings.trusted_proxies.is_empty() || !trusts(settings, peer.ip()) {
            return facts;
        }
        if let Some(id) = headers.get("x-request-id").and_then(|v| RequestId::parse(v.as_bytes())) {
            facts.id = id;
        }
        facts.client = forwarded_for(settings, headers).or(facts.client);
        let proto = headers.get_all("x-forwarded-proto").iter().next_back();
        if proto.is_some_and(|v| v.as_bytes().rsplit(|b| *b == b',').next().is_some_and(is_https)) {
            facts.transport = Transport::Tls;
        }
        facts
    }
}

fn is_https(proto: &[u8]) -> bool {
    proto.trim_ascii().eq_ignore_ascii_case(b"https")
}

/// A configured proxy may also sit on this machine's own socket file.
fn trusts(settings: &Settings, address: Option<IpAddr>) -> bool {
    address.is_none_or(|ip| settings.trusted_proxies.iter().any(|network| network.contains(ip)))
}

/// Walks `X-Forwarded-For` from its end, where our own proxies wrote, to the first address that is not one of them.
/// What stands before that was written by the client and proves nothing.
fn forwarded_for(settings: &Settings, headers: &HeaderMap) -> Option<IpAddr> {
    let mut last = None;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        for entry in line.as_bytes().rsplit(|b| *b == b',') {
            let Some(address) = parse_address(entry) else { return last };
            last = Some(address);
            if !trusts(settings, last) {
                return last;
            }
        }
    }
    last
}

fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let with_port = || text.parse::<SocketAddr>().map(|a| a.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().or_else(|_| with_port()).ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn facts(peer: &str, lines: &[(&'static str, &str)]) -> RequestFacts {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let settings = Settings { trusted_proxies, ..Settings::default() };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer::tcp(format!("{peer}:7").parse().unwrap());
        RequestFacts::learn(&settings, peer, Transport::Plain, &headers)
    }

    #[test]
    fn the_real_address_is_told_only_by_trusted_proxies() {
        let client = |peer, value| {
            let seen = facts(peer, &[("x-forwarded-for", value)]).client;
            seen.map(|ip| ip.to_string()).unwrap_or_default()
        };
        for (peer, value, expected) in [
            ("198.51.100.9", "192.0.2.1", "198.51.100.9"),
            ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "203.0.113.5, 192.0.2.1, 10.9.9.9", "192.0.2.1"),
            ("10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
            ("10.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "<script>", "10.0.0.1"),
            ("10.0.0.1", "<script>, 10.2.2.2", "10.2.2.2"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            assert_eq!(client(peer, value), expected, "{peer} says {value:?}");
        }
    }

    #[test]
    fn id_and_transport_are_told_only_by_trusted_proxies() {
        let lines = [("x-request-id", "abc-123"), ("x-forwarded-proto", "http, https")];
        let believed = facts("10.0.0.1", &lines);
        assert_eq!((believed.id.as_str(), believed.transport), ("abc-123", Transport::Tls));
        let stranger = facts("192.0.2.1", &lines);
        assert_eq!((stranger.id.as_str().len(), stranger.transport), (16, Transport::Plain));
        let odd = facts("10.0.0.1", &[("x-request-id", "a b")]);
        assert_eq!(odd.id.as_str().len(), 16, "an odd id is replaced");
    }

    #[test]
    fn fresh_ids_differ() {
        let ids: HashSet<_> = (0..10_000).map(|_| RequestId::fresh().to_string()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
