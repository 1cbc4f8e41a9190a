//! Which addresses repositories may be imported from.
//!
//! The operator names them; what callers ask for must begin with one. A host is looked up once, and git is told to use the
//! address that was found, so that nobody answers otherwise the second time. Addresses that only this machine or its
//! link knows by special meaning (loopback, link-local, metadata of clouds, multicast, reserved) are refused behind names;
//! an operator who means one writes it down.

use std::net::{IpAddr, Ipv6Addr};

use hakata_egress::{Forbidden, forbidden};
use hakata_rpc::{Code, Status};
use http::Uri;

/// The longest URL, in bytes.
const MAX_URL: usize = 2_048;

/// A URL that others may begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSource(Parsed);

/// A URL without anything that could mean something else to another reader.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parsed {
    is_tls: bool,
    /// In lower case; without the brackets of an address.
    host: String,
    port: u16,
    /// Begins with a slash.
    path: String,
}

/// Where a repository may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether the operator wrote the address itself.
    is_literal: bool,
}

impl ImportSource {
    /// Reads what an operator writes.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(url: &str) -> Result<Self, String> {
        parse(url).map(Self)
    }

    fn covers(&self, wanted: &Parsed) -> bool {
        let Self(source) = self;
        let below = wanted.path.strip_prefix(source.path.trim_end_matches('/'));
        (source.is_tls, &source.host, source.port) == (wanted.is_tls, &wanted.host, wanted.port)
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Finds out whether a caller's URL is among what the operator allows.
pub(crate) fn allowed(url: &str, sources: &[ImportSource]) -> Result<Allowed, Status> {
    let wanted = parse(url).map_err(Status::invalid)?;
    if !sources.iter().any(|source| source.covers(&wanted)) {
        let message = "the operator allows no import from there: see rpc.import_from";
        return Err(Status::new(Code::PermissionDenied, message));
    }
    let Parsed { is_tls, host, port, path } = wanted;
    let is_literal = host.parse::<IpAddr>().is_ok() || host == "localhost";
    let scheme = if is_tls { "https" } else { "http" };
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    Ok(Allowed { url: format!("{scheme}://{shown}:{port}{path}"), host, port, is_literal })
}

impl Allowed {
    /// Looks the host up, once; `None` if it is an address itself.
    pub(crate) async fn resolve(&self) -> Result<Option<IpAddr>, Status> {
        if self.host.parse::<IpAddr>().is_ok() {
            return Ok(None);
        }
        let unknown =
            || Status::new(Code::FailedPrecondition, format!("the host {} is not known", self.host));
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(|_| unknown())?;
        let found: Vec<IpAddr> = found.map(|at| at.ip()).collect();
        if !self.is_literal && found.iter().copied().any(is_special) {
            let message = format!("the host {} means an address that is special to this machine", self.host);
            return Err(Status::new(Code::PermissionDenied, message));
        }
        found.first().copied().map(Some).ok_or_else(unknown)
    }
}

/// Says whether an address is nothing that a name may mean. Hosts that an operator names may be in a private network.
fn is_special(address: IpAddr) -> bool {
    !matches!(forbidden(address), None | Some(Forbidden::Private | Forbidden::CarrierGrade))
}

fn parse(url: &str) -> Result<Parsed, String> {
    let wrong = |what: &str| format!("the address {url:?} {what}");
    if url.len() > MAX_URL {
        return Err(format!("the address is longer than {MAX_URL} bytes"));
    }
    let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong("does not begin with https:// or http://")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
    if authority.as_str().contains('@') || uri.query().is_some() || url.contains('#') {
        return Err(wrong("has a user, a query or a fragment"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if host.is_empty() || !(host.bytes().all(is_name) || host.parse::<Ipv6Addr>().is_ok()) {
        return Err(wrong("names no host"));
    }
    // Numbers that other readers take for addresses: 127.1, 0x7f000001, 2130706433.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number && host.parse::<IpAddr>().is_err() {
        return Err(wrong("names its host by an odd number"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~+".contains(&byte);
    let path = uri.path();
    if !path.bytes().all(is_plain) || path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(wrong("has a path with other than letters, digits and ._-~+"));
    }
    let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    Ok(Parsed { is_tls, host, port, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{ImportSource, allowed, is_special, parse};
    use hakata_rpc::Code;

    #[test]
    fn only_what_the_operator_named_is_allowed() {
        let sources: Vec<_> = ["https://git.example.org/mirror/", "http://10.0.0.7:8080"]
            .map(|source| ImportSource::parse(source).unwrap())
            .into();
        for url in [
            "https://git.example.org/mirror/tools.git",
            "https://GIT.example.org:443/mirror/a/b",
            "http://10.0.0.7:8080/x",
        ] {
            assert!(allowed(url, &sources).is_ok(), "{url}");
        }
        for url in [
            "https://git.example.org/mirrors/x",
            "https://git.example.org/",
            "http://git.example.org/mirror/x",
            "https://git.example.org:444/mirror/x",
            "https://git.example.org.evil.example/mirror/x",
            "http://10.0.0.7/x",
        ] {
            assert_eq!(allowed(url, &sources).unwrap_err().code, Code::PermissionDenied, "{url}");
        }
        assert_eq!(allowed("https://git.example.org/x", &[]).unwrap_err().code, Code::PermissionDenied);
    }

    #[test]
    fn what_others_might_read_otherwise_is_refused() {
        for url in [
            "",
            "/etc/passwd",
            "file:///etc/passwd",
            "ssh://host/x",
            "ext::sh -c id",
            "https://user:secret@host/x",
            "https://host/x?y",
            "https://host/x#y",
            "https://host/a/../b",
            "https://host/%2e%2e/b",
            "https://host/a b",
            "http://127.1/x",
            "http://2130706433/x",
            "http://0x7f.0.0.1.0x1/x",
            "https://ho\u{301}st/x",
            "--upload-pack=x",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn special_addresses_are_known_in_every_disguise() {
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "::127.0.0.1",
            "168.63.129.16",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            assert!(is_special(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "10.0.0.7", "100.64.0.1", "fd12::7", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(!is_special(address.parse().unwrap()), "{address}");
        }
    }
}
