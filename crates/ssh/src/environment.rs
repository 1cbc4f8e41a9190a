//! The one variable that a client may set.

use hakata_forge::hosting::ProtocolVersion;

/// Longest value that is taken.
const MAX_VALUE: usize = 256;

/// Takes a variable of an `env` request; `None` refuses it.
///
/// Only `GIT_PROTOCOL` is ever taken, and only as `version=N`, optionally with further `key` or `key=value` parts
/// between colons. The newest version that we know wins, as in git; other parts are ignored.
pub(crate) fn protocol_of(name: &str, value: &str) -> Option<ProtocolVersion> {
    if name != "GIT_PROTOCOL" || value.len() > MAX_VALUE {
        return None;
    }
    let mut parts = value.split(':');
    let mut newest = version(parts.next()?)?;
    for part in parts {
        if !is_key_value(part) {
            return None;
        }
        newest = newest.max(version(part).unwrap_or_default());
    }
    Some(newest)
}

fn version(part: &str) -> Option<ProtocolVersion> {
    match part.strip_prefix("version=")? {
        "0" => Some(ProtocolVersion::V0),
        "1" => Some(ProtocolVersion::V1),
        "2" => Some(ProtocolVersion::V2),
        _ => None,
    }
}

fn is_key_value(part: &str) -> bool {
    let is_word =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let (key, value) = part.split_once('=').unwrap_or((part, ""));
    !key.is_empty() && is_word(key) && is_word(value)
}

#[cfg(test)]
mod tests {
    use super::{ProtocolVersion, protocol_of};

    #[test]
    fn only_the_protocol_version_is_taken() {
        let long = format!("version=2:{}", "a".repeat(260));
        for (name, value, asked) in [
            ("GIT_PROTOCOL", "version=2", Some(ProtocolVersion::V2)),
            ("GIT_PROTOCOL", "version=1", Some(ProtocolVersion::V1)),
            ("GIT_PROTOCOL", "version=0", Some(ProtocolVersion::V0)),
            ("GIT_PROTOCOL", "version=1:version=2", Some(ProtocolVersion::V2)),
            ("GIT_PROTOCOL", "version=2:object-format=sha256", Some(ProtocolVersion::V2)),
            ("GIT_PROTOCOL", "version=2:flag", Some(ProtocolVersion::V2)),
            ("GIT_PROTOCOL", "version=3", None),
            ("GIT_PROTOCOL", "version=", None),
            ("GIT_PROTOCOL", "version=22", None),
            ("GIT_PROTOCOL", "", None),
            ("GIT_PROTOCOL", "2", None),
            ("GIT_PROTOCOL", "version=2:", None),
            ("GIT_PROTOCOL", "version=2:a b", None),
            ("GIT_PROTOCOL", "version=2:$(id)", None),
            ("GIT_PROTOCOL", "version=2\n", None),
            ("GIT_PROTOCOL", "version=2:a=b=c", None),
            ("GIT_PROTOCOL", &long, None),
            ("git_protocol", "version=2", None),
            ("LANG", "version=2", None),
            ("LD_PRELOAD", "x", None),
            ("GIT_CONFIG_PARAMETERS", "version=2", None),
            ("PATH", "/tmp", None),
        ] {
            assert_eq!(protocol_of(name, value), asked, "{name}={value}");
        }
    }
}
