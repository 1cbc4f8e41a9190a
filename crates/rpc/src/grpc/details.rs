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

/// Reads a status of gRPC; details of others are passed over.
pub fn from_tonic(status: tonic::Status) -> Status {
    let detail = RichStatus::decode(status.details())
        .ok()
        .and_then(|rich| rich.details.into_iter().find(|any| any.type_url == TYPE_URL))
        .and_then(|any| ErrorDetail::decode(any.value).ok())
        .map(Box::new);
    // What the channel says has a cause in this process; what the server says has none here.
    let local = std::error::Error::source(&status).is_some();
    let origin = if local { Origin::Transport } else { Origin::Operation };
    Status { origin, code: Code::of(status.code() as i32), message: status.message().to_owned(), detail }
}

/// Writes a status for gRPC.
pub fn to_tonic(status: &Status) -> tonic::Status {
    let code = tonic::Code::from_i32(status.code as i32);
    let Some(detail) = &status.detail else { return tonic::Status::new(code, &status.message) };
    let any = Any { type_url: TYPE_URL.to_owned(), value: detail.encode_to_vec().into() };
    let rich = RichStatus { code: status.code as i32, message: status.message.clone(), details: vec![any] };
    tonic::Status::with_details(code, &status.message, rich.encode_to_vec().into())
}
