//! Where Redis is, in the words of katsubushi.

use hakata_runtime::secret::Secret;

/// The namespace when none is named: that of the library behind katsubushi.
const NAMESPACE: &str = "raus";

/// A Redis and a namespace in it: `redis://user:password@host:port/db?ns=NS`, or `rediss://` for TLS.
#[derive(Clone, Debug)]
pub struct RedisUrl {
    /// What the driver understands.
    pub(super) server: Secret<String>,
    /// What our keys begin with.
    pub(super) namespace: String,
}

/// Why a URL names no Redis that we can use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RedisUrlError {
    /// Not `redis://` or `rediss://`, or the rest does not parse.
    #[error("not a URL of the form redis://user:password@host:port/db?ns=NAMESPACE")]
    Form,
    /// A cluster: its keys lie on several servers.
    #[error(
        "a Redis cluster cannot keep leases: a lease and its fence change in one step, and katsubushi's keys of one id \
         lie on different nodes (hint: name a single redis:// server with replicas)"
    )]
    Cluster,
    /// A parameter that we do not know.
    #[error("unknown parameter behind the question mark (hint: only ns is known)")]
    Parameter,
    /// A namespace that would need quoting.
    #[error("a namespace has 1 to 64 letters, digits, and - _ . :")]
    Namespace,
}

impl RedisUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`RedisUrlError`], which never repeats the URL, since it may hold a password.
    pub fn parse(url: &str) -> Result<Self, RedisUrlError> {
        let (server, query) = url.split_once('?').unwrap_or((url, ""));
        match server.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis" | "rediss") => {}
            Some("rediscluster" | "redisscluster") => return Err(RedisUrlError::Cluster),
            _ => return Err(RedisUrlError::Form),
        }
        if ::redis::parse_redis_url(server).is_none_or(|parsed| parsed.fragment().is_some()) {
            return Err(RedisUrlError::Form);
        }
        let mut namespace = NAMESPACE;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            namespace = pair.strip_prefix("ns=").ok_or(RedisUrlError::Parameter)?;
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if !(1..=64).contains(&namespace.len()) || !namespace.chars().all(is_plain) {
            return Err(RedisUrlError::Namespace);
        }
        Ok(Self { server: Secret::new(server.to_owned()), namespace: namespace.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_katsubushi_are_understood() {
        let read = |url| RedisUrl::parse(url).map(|url| (url.server.expose().clone(), url.namespace));
        let ok = |server: &str, namespace: &str| Ok((server.to_owned(), namespace.to_owned()));
        for (url, expected) in [
            ("redis://localhost:6379", ok("redis://localhost:6379", "raus")),
            ("redis://u:p%40w@h:1/3?ns=a-b:c", ok("redis://u:p%40w@h:1/3", "a-b:c")),
            ("rediss://h/0", ok("rediss://h/0", "raus")),
            ("redis://[::1]:7/?ns=x", ok("redis://[::1]:7/", "x")),
            ("redis://h?", ok("redis://h", "raus")),
            ("rediscluster://h:1?ns=x", Err(RedisUrlError::Cluster)),
            ("rediss://h/#insecure", Err(RedisUrlError::Form)),
            ("http://h", Err(RedisUrlError::Form)),
            ("redis:", Err(RedisUrlError::Form)),
            ("", Err(RedisUrlError::Form)),
            ("redis://h?db=2", Err(RedisUrlError::Parameter)),
            ("redis://h?ns=", Err(RedisUrlError::Namespace)),
            ("redis://h?ns=a b", Err(RedisUrlError::Namespace)),
        ] {
            assert_eq!(read(url), expected, "{url}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = RedisUrl::parse("redis://u:hunter2@h").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
    }
}
