use bytes::Bytes;

use crate::v1::{BlameRequest, DiffLine, GetBlobResponse, LineKind, RefMove, Revision};

#[test]
fn json_is_for_people() -> Result<(), Box<dyn std::error::Error>> {
    let request: BlameRequest = serde_json::from_str(
        r#"{"repository": {"path": "aiko/hello"}, "path": "src/main.rs", "ignored_oids": ["00ff", "0aB0"]}"#,
    )?;
    assert_eq!(request.ignored_oids, [Bytes::from_static(b"\x00\xff"), Bytes::from_static(b"\x0a\xb0")]);
    assert_eq!(request.path, "src/main.rs");
    let line =
        DiffLine { kind: LineKind::Added.into(), text: Bytes::from_static(b"\xff"), ..DiffLine::default() };
    let json = serde_json::to_value(&line)?;
    assert_eq!(json["kind"], "LINE_KIND_ADDED");
    assert_eq!(json["text"], "base64:/w==");
    assert_eq!(serde_json::from_value::<DiffLine>(json)?, line);
    Ok(())
}

#[test]
fn a_request_refuses_fields_that_it_does_not_know() {
    let misspelt = serde_json::from_str::<RefMove>(r#"{"old_iod": "00"}"#);
    assert!(misspelt.is_err_and(|error| error.to_string().contains("old_iod")));
    assert!(serde_json::from_str::<Revision>(r#"{"oid": "0"}"#).is_err());
}

#[test]
fn an_answer_may_grow() -> Result<(), Box<dyn std::error::Error>> {
    let answer: GetBlobResponse = serde_json::from_str(r#"{"size_bytes": 3, "new": {"x": [1]}}"#)?;
    assert_eq!(answer.size_bytes, 3);
    Ok(())
}

#[test]
fn messagepack_takes_bytes_and_the_old_raw_type() -> Result<(), Box<dyn std::error::Error>> {
    let moved = RefMove {
        ref_name: "refs/heads/a".into(),
        old_oid: Bytes::new(),
        new_oid: Bytes::from_static(&[0xff; 20]),
    };
    let mut bytes = Vec::new();
    serde::Serialize::serialize(&moved, &mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())?;
    assert_eq!(rmp_serde::from_slice::<RefMove>(&bytes)?, moved);
    // fixmap of 1, fixstr "new_oid", raw 16 of 20 bytes that are no UTF-8: as writers before 2013 do.
    let old = [b"\x81\xa7new_oid\xda\x00\x14".as_slice(), &[0xff; 20]].concat();
    assert_eq!(rmp_serde::from_slice::<RefMove>(&old)?.new_oid, moved.new_oid);
    Ok(())
}
