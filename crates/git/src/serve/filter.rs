//! Filters of partial clones.

use super::request::{RequestError, parse_number, quote};

/// Longest filter in bytes, and the most parts of a combined one.
const MAX_FILTER: usize = 1_024;
const MAX_PARTS: usize = 8;

/// A filter that we serve, in the client's spelling. Source: git-rev-list(1), `--filter`.
///
/// `sparse:oid` is refused: it names an object of the repository by an arbitrary expression, which no check
/// of wants covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(String);

impl Filter {
    /// Reads a filter.
    pub(crate) fn parse(spec: &[u8]) -> Result<Self, RequestError> {
        let refuse = || RequestError::Malformed(format!("filter '{}' not supported", quote(spec)));
        let text =
            std::str::from_utf8(spec).ok().filter(|text| text.len() <= MAX_FILTER).ok_or_else(refuse)?;
        let served = match text.strip_prefix("combine:") {
            Some(parts) => {
                let mut parts = parts.split('+');
                parts.by_ref().take(MAX_PARTS).all(|part| decode(part).is_some_and(|part| is_served(&part)))
                    && parts.next().is_none()
            }
            None => is_served(text),
        };
        if served { Ok(Self(text.to_owned())) } else { Err(refuse()) }
    }

    /// Returns the filter as git reads it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_served(part: &str) -> bool {
    match part.split_once(':') {
        Some(("blob", "none")) => true,
        Some(("blob", limit)) => limit.strip_prefix("limit=").is_some_and(is_size),
        Some(("tree", depth)) => parse_number::<u32>(depth.as_bytes()).is_some(),
        Some(("object", kind)) => matches!(kind, "type=commit" | "type=tree" | "type=blob" | "type=tag"),
        _ => false,
    }
}

/// Reads `10`, `10k`, `1m`, `1g`.
fn is_size(text: &str) -> bool {
    let digits = text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']).unwrap_or(text);
    digits.len() <= 12 && parse_number::<u64>(digits.as_bytes()).is_some()
}

/// Undoes the percent encoding of a part; what it may contain is checked afterwards.
fn decode(part: &str) -> Option<String> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high << 4 | low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Filter;

    #[test]
    fn filters_that_are_served() {
        for spec in [
            "blob:none",
            "blob:limit=0",
            "blob:limit=10k",
            "tree:0",
            "tree:3",
            "object:type=blob",
            "combine:blob:none+tree:3",
            "combine:blob%3anone+object%3Atype%3dcommit",
        ] {
            assert_eq!(Filter::parse(spec.as_bytes()).map(|f| f.as_str().to_owned()), Ok(spec.to_owned()));
        }
    }

    #[test]
    fn filters_that_are_refused() {
        for spec in [
            "",
            "blob",
            "blob:limit=",
            "blob:limit=-1",
            "blob:limit=99999999999999999999",
            "tree:-1",
            "tree:",
            "object:type=x",
            "sparse:oid=HEAD:x",
            "sparse:path=/etc/passwd",
            "combine:",
            "combine:blob:none+sparse:oid=HEAD",
            "combine:combine:blob:none",
            "combine:blob%3",
            "blob:none\n",
        ] {
            assert!(Filter::parse(spec.as_bytes()).is_err(), "{spec}");
        }
        let many = format!("combine:{}", ["tree:1"; 9].join("+"));
        assert!(Filter::parse(many.as_bytes()).is_err(), "a combined filter has at most eight parts");
    }

    proptest! {
        #[test]
        fn hostile_filters_never_panic(spec in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Filter::parse(&spec);
        }
    }
}
