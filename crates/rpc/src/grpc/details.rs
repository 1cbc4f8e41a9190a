//! Statuses with details, as other clients of gRPC read them: `grpc-status-details-bin` holds a `google.rpc.Status`.
//! Source: the richer error model of grpc.io, "Error handling".

use prost::Message;
use prost::bytes::Bytes;

use crate::status::{Code, Origin, Status};
use crate::v1::ErrorDetail;

/// What our details are called among others.
const TYPE_URL: &str = "type.googleapis.com/hakata.git.v1.ErrorDetail";

/// `google.rpc.Status`. Source: google/rpc/status.proto.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`. Source: google/protobuf/any.proto.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// Says whether an error of this type is among the causes.
fn is_caused_by<E: std::error::Error + 'static>(error: &dyn std::error::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.into_iter().any(|cause| cause.is::<E>())
}

/// Reads a status of gRPC; details of others are passed over.
pub fn from_tonic(status: tonic::Status) -> Status {
    // The channel gave up at the deadline that went along with the request.
    if is_caused_by::<tonic::TimeoutExpired>(&status) {
        return Status::new(Code::DeadlineExceeded, "the server did not answer in time");
    }
    let detail = RichStatus::decode(status.details())
        .ok()
        .and_then(|rich| rich.details.into_iter().find(|any| any.type_url == TYPE_URL))
        .and_then(|any| ErrorDetail::decode(any.value).ok())
        .map(Box::new);
    // What the channel says has a cause in this process; what the server says has none here. A server that is there but
    // busy says when to ask again; one that stops, and a proxy in front of none, says nothing.
    let is_gone = status.code() == tonic::Code::Unavailable && detail.is_none();
    let local = is_gone || std::error::Error::source(&status).is_some();
    let origin = if local { Origin::Transport } else { Origin::Operation };
    let message = match std::error::Error::source(&status) {
        Some(source) => said(source),
        None => status.message().to_owned(),
    };
    // Whatever a broken connection is called here, it means that the server was not reached.
    let code = match (std::error::Error::source(&status), Code::of(status.code() as i32)) {
        (Some(_), Code::Unknown | Code::Internal | Code::Cancelled) => Code::Unavailable,
        (_, code) => code,
    };
    Status { origin, code, message, detail }
}

/// Says an error with its causes.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Writes a status for gRPC.
pub fn to_tonic(status: &Status) -> tonic::Status {
    let code = tonic::Code::from_i32(status.code as i32);
    let Some(detail) = &status.detail else { return tonic::Status::new(code, &status.message) };
    let any = Any { type_url: TYPE_URL.to_owned(), value: detail.encode_to_vec().into() };
    let rich = RichStatus { code: status.code as i32, message: status.message.clone(), details: vec![any] };
    tonic::Status::with_details(code, &status.message, rich.encode_to_vec().into())
}
