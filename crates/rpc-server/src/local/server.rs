//! The service itself.

use std::time::{SystemTime, UNIX_EPOCH};

use hakata_rpc::v1::{InfoRequest, InfoResponse, LimitsRequest, LimitsResponse, ServerService};
use hakata_rpc::{Call, Pending};

use super::Local;
use super::blobs::PART_BYTES;

impl ServerService for Local {
    fn info(&self, _call: Call, _request: InfoRequest) -> Pending<InfoResponse> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let answer = InfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_version: self.0.git_version.clone(),
            now_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        };
        Box::pin(async move { Ok(answer) })
    }

    fn limits(&self, _call: Call, _request: LimitsRequest) -> Pending<LimitsResponse> {
        let settings = &self.0.settings;
        let answer = LimitsResponse {
            request_bytes: settings.max_request_bytes as u64,
            answer_bytes: settings.max_answer_bytes as u64,
            call_ms: u64::try_from(settings.max_call.as_millis()).unwrap_or(u64::MAX),
            part_bytes: PART_BYTES as u64,
            long_call_ms: u64::try_from(settings.max_long_call.as_millis()).unwrap_or(u64::MAX),
            upload_bytes: settings.max_upload_bytes,
            made_bytes: settings.max_made_bytes,
            made_objects: settings.max_made_objects as u64,
            changes: settings.limits.changes as u64,
            commits: settings.limits.commits as u64,
            refs: settings.limits.refs as u64,
            pairs: settings.limits.pairs as u64,
            objects: settings.limits.objects as u64,
            names: settings.limits.names as u64,
        };
        Box::pin(async move { Ok(answer) })
    }
}
