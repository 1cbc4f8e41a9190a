use std::time::Duration;

use super::{from_tonic, parse_timeout, to_tonic};
use crate::status::Status;
use crate::v1::Moved;

#[test]
fn details_survive_the_way() {
    let moved = Moved { ref_name: "refs/heads/a".into(), ..Moved::default() };
    for status in [Status::not_found("no such repository"), Status::moved("it moved", moved)] {
        assert_eq!(from_tonic(to_tonic(&status)), status);
    }
}

#[test]
fn a_timeout_is_at_most_eight_digits_and_a_unit() {
    assert_eq!(parse_timeout("100m"), Some(Duration::from_millis(100)));
    assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
    for wrong in ["", "m", "1", "123456789S", "-1S", "1x", "1µ", "١S"] {
        assert_eq!(parse_timeout(wrong), None, "{wrong}");
    }
}
