//! Ranges of bytes. Source: RFC 9110, section 14.

use std::ops::Range;

use http::HeaderMap;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// What of an object is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// A range, which is not empty and lies within it.
    Range(Range<u64>),
    /// Nothing: the range begins behind its end.
    Unsatisfiable,
}

/// Decides what of an object of `size` bytes a request wants. What is not understood, such as several ranges, is
/// ignored, as is a range of something that the client has in another version.
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Part::Whole };
    if headers.get(IF_RANGE).is_some_and(|known| known.as_bytes() != etag.as_bytes()) {
        return Part::Whole;
    }
    range.to_str().ok().and_then(|range| parse(range, size)).unwrap_or(Part::Whole)
}

/// Tells whether the client has the object already.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let has = |value: &http::HeaderValue| {
        let mut tags = value.to_str().unwrap_or("").split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    };
    headers.get_all(IF_NONE_MATCH).iter().any(has)
}

fn parse(range: &str, size: u64) -> Option<Part> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // Whatever is too large for a number lies behind every end.
        is_number.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let n_last = number(last)?;
        let start = size.saturating_sub(n_last);
        return Some(if n_last == 0 || size == 0 { Part::Unsatisfiable } else { Part::Range(start..size) });
    }
    let start = number(first)?;
    let end = match last {
        "" => size,
        last => number(last)?.saturating_add(1),
    };
    if end <= start && !last.is_empty() {
        return None;
    }
    Some(if start >= size { Part::Unsatisfiable } else { Part::Range(start..end.min(size)) })
}

#[cfg(test)]
mod tests {
    use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
    use http::{HeaderMap, HeaderValue};

    use super::{Part, is_known, wanted};

    fn headers(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn t5_ranges_are_cut_to_what_there_is() {
        for (range, size, part) in [
            ("bytes=0-9", 10, Part::Range(0..10)),
            ("bytes=4-9", 10, Part::Range(4..10)),
            ("bytes=4-4", 10, Part::Range(4..5)),
            ("bytes=4-", 10, Part::Range(4..10)),
            ("bytes=4-99999999999999999999999", 10, Part::Range(4..10)),
            ("bytes=-3", 10, Part::Range(7..10)),
            ("bytes=-30", 10, Part::Range(0..10)),
            ("bytes=10-", 10, Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Part::Unsatisfiable),
            ("bytes=-0", 10, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=5-4", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("items=0-1", 10, Part::Whole),
            ("", 10, Part::Whole),
        ] {
            assert_eq!(wanted(&headers(&[(RANGE, range)]), "\"x\"", size), part, "{range} of {size}");
        }
    }

    #[test]
    fn t5_a_range_of_another_version_is_the_whole() {
        let same = headers(&[(RANGE, "bytes=1-"), (IF_RANGE, "\"x\"")]);
        assert_eq!(wanted(&same, "\"x\"", 9), Part::Range(1..9));
        for other in ["\"y\"", "W/\"x\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            let fields = headers(&[(RANGE, "bytes=1-"), (IF_RANGE, other)]);
            assert_eq!(wanted(&fields, "\"x\"", 9), Part::Whole, "{other}");
        }
        let mut twice = headers(&[(RANGE, "bytes=1-")]);
        twice.append(RANGE, HeaderValue::from_static("bytes=2-"));
        assert_eq!(wanted(&twice, "\"x\"", 9), Part::Whole, "which of two?");
    }

    #[test]
    fn t7_what_the_client_has_is_known_by_its_tag() {
        for (tags, is) in
            [("\"x\"", true), ("W/\"x\"", true), ("\"a\", \"x\"", true), ("*", true), ("\"y\"", false)]
        {
            assert_eq!(is_known(&headers(&[(IF_NONE_MATCH, tags)]), "\"x\""), is, "{tags}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"x\""));
    }
}
