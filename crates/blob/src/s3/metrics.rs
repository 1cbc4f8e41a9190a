//! What is counted of conversations with a bucket.

use hakata_runtime::metrics::{
    Counter, CounterFamily, Gauge, Histogram, HistogramFamily, Label, Metric, SECONDS,
};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Put,
    Get,
    Head,
    Delete,
    CreateUpload,
    PutPart,
    ListParts,
    ListUploads,
    CompleteUpload,
    AbortUpload,
    Credentials,
}

/// How one attempt at a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Ok,
    Absent,
    Throttled,
    Refused,
    EngineError,
    Unreachable,
    TimedOut,
    Broken,
}

impl Label for Operation {
    const KEY: &'static str = "operation";

    fn value(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::CreateUpload => "create_upload",
            Self::PutPart => "put_part",
            Self::ListParts => "list_parts",
            Self::ListUploads => "list_uploads",
            Self::CompleteUpload => "complete_upload",
            Self::AbortUpload => "abort_upload",
            Self::Credentials => "credentials",
        }
    }
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Absent => "absent",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::EngineError => "engine_error",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
        }
    }
}

pub(super) static REQUESTS: CounterFamily<(Operation, Outcome)> =
    CounterFamily::new("hakata_s3_requests_total", "Requests to the bucket, each attempt counted");
pub(super) static RETRIES: CounterFamily<Operation> = CounterFamily::new(
    "hakata_s3_retries_total",
    "Attempts that were made again, and reads that went on where they broke",
);
pub(super) static WAITED: HistogramFamily<Operation> = HistogramFamily::new(
    "hakata_s3_request_seconds",
    "Time from sending a request to the head of its answer, each attempt for itself",
    SECONDS,
);
pub(super) static SENT: Counter = Counter::new(
    "hakata_s3_sent_bytes_total",
    "Bytes of bodies sent to the bucket, attempts that failed too",
);
pub(super) static RECEIVED: Counter =
    Counter::new("hakata_s3_received_bytes_total", "Bytes of blobs read from the bucket");
pub(super) static PARTS: Gauge =
    Gauge::new("hakata_s3_parts_in_memory", "Parts of blobs that are being filled or sent to the bucket");
pub(super) static PART_WAITED: Histogram = Histogram::new(
    "hakata_s3_part_wait_seconds",
    "Time that a write waited for memory for its next part: storage.s3.upload_memory",
    SECONDS,
);
pub(super) static CONNECTIONS: Gauge =
    Gauge::new("hakata_s3_connections", "Connections to the bucket, idle ones too");
pub(super) static CONNECTION_WAITED: Histogram = Histogram::new(
    "hakata_s3_connection_wait_seconds",
    "Time that a request waited for its turn: storage.s3.connections",
    SECONDS,
);
pub(super) static ABORTED: Counter =
    Counter::new("hakata_s3_uploads_aborted_total", "Uploads in parts that were taken back");
pub(super) static SWEPT: Counter =
    Counter::new("hakata_s3_uploads_swept_total", "Uploads in parts of writers that died, taken back later");

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![
        &REQUESTS,
        &RETRIES,
        &WAITED,
        &SENT,
        &RECEIVED,
        &PARTS,
        &PART_WAITED,
        &CONNECTIONS,
        &CONNECTION_WAITED,
        &ABORTED,
        &SWEPT,
    ]
}
