use bytes::Bytes;
use std::time::Duration;

use super::{
    Extras, Incoming, NoMessage, answered, decode, error, incoming, params, params_of, request, result,
    status,
};
use crate::call::Call;
use crate::status::{Code, Status};
use crate::v1::{GetRefRequest, Moved, RepositoryKey};

fn asked() -> GetRefRequest {
    let repository = RepositoryKey { path: "aiko/hello".to_owned(), id: 0 };
    GetRefRequest { repository: Some(repository), ref_name: Bytes::from_static(b"refs/heads/\xff") }
}

#[test]
fn a_request_is_read_as_it_was_written() -> Result<(), Box<dyn std::error::Error>> {
    let call = Call { actor: Some(-7), request_id: Some("r".into()), ..Call::default() };
    let bytes = Bytes::from(request(9, "ref.get_ref", &params_of(&asked(), &Extras::from(&call))?));
    let Incoming::Request { msgid, method, params: encoded } = incoming(&bytes)? else {
        return Err("no request".into());
    };
    assert_eq!((msgid, method.as_str()), (9, "ref.get_ref"));
    let read = params(&encoded)?;
    assert_eq!(decode::<GetRefRequest>(&read.request)?, asked());
    let heard = read.extras.call(Duration::from_secs(5));
    assert_eq!((heard.actor, heard.request_id.as_deref()), (Some(-7), Some("r")));
    Ok(())
}

#[test]
fn a_part_of_a_request_says_where_it_goes_and_whether_more_follow() -> Result<(), Status> {
    let extras = Extras { upload: Some("h".to_owned()), more: true, ..Extras::default() };
    let read = params(&params_of(&asked(), &extras)?)?;
    assert_eq!((read.extras, decode::<GetRefRequest>(&read.request)?), (extras, asked()));
    assert!(params(b"\x81\xa5_more\x01").is_err(), "a number is no truth");
    assert_eq!(incoming(&super::forget("h").into()), Ok(Incoming::Forget { handle: "h".to_owned() }));
    Ok(())
}

#[test]
fn parameters_are_one_map_or_none() {
    for none in [&b"\x90"[..], b"\x91\x80", b"\x80"] {
        assert_eq!(params(none).map(|params| params.request), Ok(vec![0x80]), "{none:x?}");
    }
    for wrong in [
        &b""[..],
        b"\xc0",
        b"\x92\x80\x80",
        b"\x91\x01",
        b"\x81\x01\x02",
        b"\x81\xa2_x\x01",
        b"\x81\xa6_actor\xa1a",
    ] {
        assert_eq!(params(wrong).map_err(|status| status.code), Err(Code::InvalidArgument), "{wrong:x?}");
    }
}

#[test]
fn an_answer_is_read_as_it_was_written() -> Result<(), Box<dyn std::error::Error>> {
    let good = answered(&result(3, b"\x81\xa1a\x01").into())?;
    assert_eq!((good.msgid, good.error, &good.result[..]), (3, None, &b"\x81\xa1a\x01"[..]));
    let moved = Moved { ref_name: "refs/heads/a".into(), ..Moved::default() };
    let wrong = Status::moved("it moved", moved);
    let bad = answered(&error(4, &wrong).into())?;
    assert_eq!(bad.error.map(|bytes| status(&bytes)), Some(wrong));
    Ok(())
}

#[test]
fn other_messages_are_none() {
    for wrong in [
        &b"\x01"[..],
        b"\x90",
        b"\x94\x01\x01\xc0\xc0",
        b"\x93\x00\x01\xa1a",
        b"\x94\x00\xa1a\xa1a\x90",
        b"\x94\x00\x01\x01\x90",
    ] {
        assert_eq!(incoming(&Bytes::copy_from_slice(wrong)), Err(NoMessage), "{wrong:x?}");
    }
    assert_eq!(incoming(&Bytes::from_static(b"\x93\x02\xa1a\x90")), Ok(Incoming::Notification));
    assert_eq!(incoming(&super::cancel(70_000).into()), Ok(Incoming::Cancel { msgid: 70_000 }));
}
