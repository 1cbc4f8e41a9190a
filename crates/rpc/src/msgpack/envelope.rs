//! What is around a request and a response.

use bytes::Bytes;
use rmp::Marker;
use rmp::decode::{RmpRead, read_array_len, read_bool, read_int, read_map_len, read_marker, read_nil};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;

use super::frame::Scanner;
use crate::call::Call;
use crate::status::{Code, Origin, Status};
use crate::v1::ErrorDetail;

/// The method by which a connection begins.
pub const AUTH: &str = "auth";

/// The notification by which a caller takes a request back; ours, since the protocol has none.
const CANCEL: &str = "cancel";

/// A message from a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// It wants an answer.
    Request {
        /// The caller's number for it.
        msgid: u32,
        /// What it wants.
        method: String,
        /// The parameters, encoded.
        params: Bytes,
    },
    /// It wants no answer any more, or no more of one that goes on by its cursor.
    Cancel {
        /// The caller's number for the request.
        msgid: u32,
    },
    /// It wants no more of what waits under a handle.
    Forget {
        /// The handle.
        handle: String,
    },
    /// Something else that wants no answer.
    Notification,
}

/// An answer, on the side of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The caller's number.
    pub msgid: u32,
    /// The error, encoded; `None` is nil.
    pub error: Option<Bytes>,
    /// The result, encoded.
    pub result: Bytes,
}

/// The bytes are MessagePack, but no message of MessagePack-RPC. There is nothing to answer to: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is no request of MessagePack-RPC")]
pub struct NoMessage;

/// Parameters, split into what the operation wants and what accompanies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The map without what begins with `_`.
    pub request: Vec<u8>,
    /// What accompanies it.
    pub extras: Extras,
}

/// What accompanies a request, in fields that begin with `_`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    actor: Option<i64>,
    deadline_ms: Option<u64>,
    idempotency_key: Option<String>,
    request_id: Option<String>,
    /// The handle of an answer to go on with.
    pub handle: Option<String>,
    /// The handle of a request whose next part this is.
    pub upload: Option<String>,
    /// Whether further parts of the request follow.
    pub more: bool,
}

impl Extras {
    /// Makes a call of it; no deadline is later than `max` from now.
    pub fn call(&self, max: Duration) -> Call {
        let wanted = self.deadline_ms.map_or(max, Duration::from_millis);
        Call {
            actor: self.actor,
            deadline: Some(Instant::now() + wanted.min(max)),
            idempotency_key: self.idempotency_key.clone(),
            request_id: self.request_id.clone(),
        }
    }
}

/// An error as it is on the wire.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct WireError {
    code: i32,
    name: String,
    message: String,
    detail: Option<ErrorDetail>,
}

/// Reads a whole message of a caller.
///
/// # Errors
/// If it is not one.
pub fn incoming(message: &Bytes) -> Result<Incoming, NoMessage> {
    let mut rest = &message[..];
    let n = read_array_len(&mut rest).map_err(|_| NoMessage)?;
    let kind: u8 = read_int(&mut rest).map_err(|_| NoMessage)?;
    match (kind, n) {
        (2, 3) => {
            let method = text(&mut rest).ok_or(NoMessage)?;
            if method != CANCEL {
                return Ok(Incoming::Notification);
            }
            let forgotten = || first_text(rest).map(|handle| Incoming::Forget { handle });
            let cancelled = only_number(rest).map(|msgid| Incoming::Cancel { msgid });
            Ok(cancelled.or_else(forgotten).unwrap_or(Incoming::Notification))
        }
        (0, 4) => {
            let msgid = read_int(&mut rest).map_err(|_| NoMessage)?;
            let method = text(&mut rest).ok_or(NoMessage)?;
            let params = message.slice(message.len() - rest.len()..);
            Ok(Incoming::Request { msgid, method, params })
        }
        _ => Err(NoMessage),
    }
}

/// Reads `[n]`.
fn only_number(mut params: &[u8]) -> Option<u32> {
    let n = read_array_len(&mut params).ok()?;
    (n == 1).then(|| read_int(&mut params).ok()).flatten()
}

/// Encodes `[2, "cancel", [msgid]]`: the request is taken back, or what its answer left waiting for the next page.
pub fn cancel(msgid: u32) -> Vec<u8> {
    let mut out = cancelling();
    number(msgid, &mut out);
    out
}

/// Encodes `[2, "cancel", [handle]]`.
pub fn forget(handle: &str) -> Vec<u8> {
    let mut out = cancelling();
    // Writing into memory does not fail.
    let _ = rmp::encode::write_str(&mut out, handle);
    out
}

/// Encodes the beginning of a notification with one parameter.
fn cancelling() -> Vec<u8> {
    let mut out = vec![0x93, 2];
    let _ = rmp::encode::write_str(&mut out, CANCEL);
    out.push(0x91);
    out
}

/// Reads a whole message of a server.
///
/// # Errors
/// If it is not one.
pub fn answered(message: &Bytes) -> Result<Answered, NoMessage> {
    let mut rest = &message[..];
    let n = read_array_len(&mut rest).map_err(|_| NoMessage)?;
    let kind: u8 = read_int(&mut rest).map_err(|_| NoMessage)?;
    if (kind, n) != (1, 4) {
        return Err(NoMessage);
    }
    let msgid = read_int(&mut rest).map_err(|_| NoMessage)?;
    let at = message.len() - rest.len();
    let length = end_of(rest).ok_or(NoMessage)?;
    let error = message.slice(at..at + length);
    let error = Some(error).filter(|error| read_nil(&mut &error[..]).is_err());
    Ok(Answered { msgid, error, result: message.slice(at + length..) })
}

/// Splits parameters: one map, in an array as the protocol has it or without.
///
/// # Errors
/// A sentence about what is wrong.
pub fn params(bytes: &[u8]) -> Result<Params, Status> {
    let mut rest = bytes;
    let mut marker = peek(rest)?;
    if let Marker::FixArray(_) | Marker::Array16 | Marker::Array32 = marker {
        match read_array_len(&mut rest).map_err(|_| malformed())? {
            0 => return Ok(Params { request: vec![0x80], extras: Extras::default() }),
            1 => marker = peek(rest)?,
            n => return Err(Status::invalid(format!("{n} parameters where one map is wanted"))),
        }
    }
    if !matches!(marker, Marker::FixMap(_) | Marker::Map16 | Marker::Map32) {
        return Err(Status::invalid("the parameters are no map"));
    }
    let n = read_map_len(&mut rest).map_err(|_| malformed())?;
    split(n, rest)
}

fn split(n: u32, mut rest: &[u8]) -> Result<Params, Status> {
    let (mut kept, mut n_kept, mut extras) = (Vec::with_capacity(rest.len() + 5), 0, Extras::default());
    for _ in 0..n {
        let pair = rest;
        let key = text(&mut rest).ok_or_else(|| Status::invalid("a name of a parameter is no text"))?;
        let length = end_of(rest).ok_or_else(malformed)?;
        let (value, after) = rest.split_at(length);
        rest = after;
        if key.starts_with('_') {
            extra(&mut extras, &key, value)?;
        } else {
            kept.extend_from_slice(&pair[..pair.len() - rest.len()]);
            n_kept += 1;
        }
    }
    let mut request = Vec::with_capacity(kept.len() + 5);
    rmp::encode::write_map_len(&mut request, n_kept).map_err(|_| malformed())?;
    request.append(&mut kept);
    Ok(Params { request, extras })
}

fn extra(extras: &mut Extras, key: &str, mut value: &[u8]) -> Result<(), Status> {
    let wrong = || Status::invalid(format!("the parameter {key} is malformed"));
    match key {
        "_actor" => extras.actor = Some(read_int(&mut value).map_err(|_| wrong())?),
        "_deadline_ms" => extras.deadline_ms = Some(read_int(&mut value).map_err(|_| wrong())?),
        "_idempotency_key" => extras.idempotency_key = Some(text(&mut value).ok_or_else(wrong)?),
        "_request_id" => extras.request_id = Some(text(&mut value).ok_or_else(wrong)?),
        "_handle" => extras.handle = Some(text(&mut value).ok_or_else(wrong)?),
        "_upload" => extras.upload = Some(text(&mut value).ok_or_else(wrong)?),
        "_more" => extras.more = read_bool(&mut value).map_err(|_| wrong())?,
        _ => return Err(Status::invalid(format!("there is no parameter {key}"))),
    }
    Ok(())
}

/// Reads the first of some parameters, if it is text.
pub fn first_text(mut params: &[u8]) -> Option<String> {
    let n = read_array_len(&mut params).ok()?;
    if n > 0 { text(&mut params) } else { None }
}

/// Reads text, which may have come as bytes.
pub fn text(rest: &mut &[u8]) -> Option<String> {
    let marker = read_marker(rest).ok()?;
    let length = match marker {
        Marker::FixStr(n) => u32::from(n),
        Marker::Str8 | Marker::Bin8 => u32::from(rest.read_data_u8().ok()?),
        Marker::Str16 | Marker::Bin16 => u32::from(rest.read_data_u16().ok()?),
        Marker::Str32 | Marker::Bin32 => rest.read_data_u32().ok()?,
        _ => return None,
    };
    let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

/// Finds the end of the first value.
fn end_of(bytes: &[u8]) -> Option<usize> {
    Scanner::new(bytes.len()).scan(bytes).ok().flatten()
}

fn peek(bytes: &[u8]) -> Result<Marker, Status> {
    bytes.first().copied().map(Marker::from_u8).ok_or_else(malformed)
}

fn malformed() -> Status {
    Status::invalid("the parameters are no MessagePack")
}

/// Encodes a value as a map with names.
///
/// # Errors
/// Never for messages of the contract.
pub fn encode(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Status> {
    value
        .serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())
        .map_err(|error| Status::new(Code::Internal, format!("encoding an answer: {error}")))
}

/// Decodes a value.
///
/// # Errors
/// INVALID_ARGUMENT that names the field.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Status> {
    rmp_serde::from_slice(bytes).map_err(|error| Status::invalid(format!("reading the parameters: {error}")))
}

/// Encodes `[1, msgid, nil, result]`, where the result is encoded already.
pub fn result(msgid: u32, result: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(result.len() + 8);
    out.extend_from_slice(&[0x94, 1]);
    number(msgid, &mut out);
    out.push(0xc0);
    out.extend_from_slice(result);
    out
}

/// Encodes `[1, msgid, error, nil]`.
pub fn error(msgid: u32, status: &Status) -> Vec<u8> {
    let mut out = vec![0x94, 1];
    number(msgid, &mut out);
    let wire = WireError {
        code: status.code as i32,
        name: status.code.name().to_owned(),
        message: status.message.clone(),
        detail: status.detail.as_deref().cloned(),
    };
    let before = out.len();
    if encode(&wire, &mut out).is_err() {
        out.truncate(before);
        out.push(0xc3);
    }
    out.push(0xc0);
    out
}

/// Encodes a request as one map, with what accompanies it inside.
///
/// # Errors
/// Never for messages of the contract.
pub fn params_of(request: &impl Serialize, extras: &Extras) -> Result<Vec<u8>, Status> {
    let mut map = Vec::new();
    encode(request, &mut map)?;
    let mut fields = &map[..];
    let n = read_map_len(&mut fields).map_err(|_| malformed())?;
    let mut beside = Vec::new();
    let unwritable = |_| Status::new(Code::Internal, "encoding a request");
    let n_beside = write_extras(extras, &mut beside).map_err(unwritable)?;
    if n_beside == 0 {
        return Ok(map);
    }
    let mut out = Vec::with_capacity(map.len() + beside.len() + 4);
    rmp::encode::write_map_len(&mut out, n + n_beside).map_err(unwritable)?;
    out.extend_from_slice(fields);
    out.append(&mut beside);
    Ok(out)
}

/// Encodes `[0, msgid, method, [params]]`, where the parameters are encoded already.
pub fn request(msgid: u32, method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.len() + method.len() + 12);
    out.extend_from_slice(&[0x94, 0]);
    number(msgid, &mut out);
    // Writing into memory does not fail.
    let _ = rmp::encode::write_str(&mut out, method);
    out.push(0x91);
    out.extend_from_slice(params);
    out
}

/// Encodes `[0, msgid, "auth", [token]]`.
pub fn auth(msgid: u32, token: &str) -> Vec<u8> {
    let mut params = Vec::with_capacity(token.len() + 3);
    let _ = rmp::encode::write_str(&mut params, token);
    request(msgid, AUTH, &params)
}

fn write_extras(extras: &Extras, out: &mut Vec<u8>) -> Result<u32, rmp::encode::ValueWriteError> {
    use rmp::encode::{write_bool, write_sint, write_str, write_uint};
    let mut n = 0;
    if let Some(actor) = extras.actor {
        write_str(out, "_actor")?;
        write_sint(out, actor)?;
        n += 1;
    }
    if let Some(deadline_ms) = extras.deadline_ms {
        write_str(out, "_deadline_ms")?;
        write_uint(out, deadline_ms)?;
        n += 1;
    }
    let texts = [
        ("_idempotency_key", &extras.idempotency_key),
        ("_request_id", &extras.request_id),
        ("_handle", &extras.handle),
        ("_upload", &extras.upload),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            write_str(out, name)?;
            write_str(out, text)?;
            n += 1;
        }
    }
    if extras.more {
        write_str(out, "_more")?;
        write_bool(out, true).map_err(rmp::encode::ValueWriteError::InvalidMarkerWrite)?;
        n += 1;
    }
    Ok(n)
}

/// Reads what a server says went wrong.
pub fn status(error: &[u8]) -> Status {
    match rmp_serde::from_slice::<WireError>(error) {
        Ok(wire) => {
            let detail = wire.detail.map(Box::new);
            Status { origin: Origin::Operation, code: Code::of(wire.code), message: wire.message, detail }
        }
        Err(_) => Status::new(Code::Unknown, "the server answered with an error of another kind"),
    }
}

impl From<&Call> for Extras {
    fn from(call: &Call) -> Self {
        let left = call.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Self {
            actor: call.actor,
            deadline_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            idempotency_key: call.idempotency_key.clone(),
            request_id: call.request_id.clone(),
            handle: None,
            upload: None,
            more: false,
        }
    }
}

fn number(n: u32, out: &mut Vec<u8>) {
    // Writing into memory does not fail.
    let _ = rmp::encode::write_uint(out, n.into());
}

#[cfg(test)]
mod tests;
