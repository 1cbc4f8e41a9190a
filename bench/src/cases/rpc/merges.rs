//! What a merge check costs: processor time of the service and of all that it starts.

use anyhow::Result;
use hakata_rpc::v1::{CheckMergeRequest, MergeState, Revision, merge_service};
use tokio::runtime::Runtime;

use super::node::Node;
use super::ours::Way;
use super::subject::Subject;

/// Most processor time of one check, in milliseconds.
const MAX_CPU_MS: f64 = 15.0;

/// Checks once more the merges of history, and prints what each took; `false` if a goal is missed.
pub(super) fn measure(runtime: &Runtime, node: &Node, subject: &Subject) -> Result<bool> {
    if subject.merges.is_empty() {
        return Ok(true);
    }
    let grpc = Way::Grpc(node.grpc()?);
    let before = node.meter.used()?;
    let mut n_clean = 0;
    for (base, head) in &subject.merges {
        let at = |oid: &hakata_names::Oid| Revision {
            oid: bytes::Bytes::copy_from_slice(oid.as_bytes()),
            ..Revision::default()
        };
        let request = CheckMergeRequest {
            repository: Some(subject.key.clone()),
            base: Some(at(base)),
            head: Some(at(head)),
            allow_unrelated: true,
        };
        let answer = runtime.block_on(grpc.one::<merge_service::CheckMerge>(request))?;
        n_clean += usize::from(answer.state() == MergeState::Clean);
    }
    let used = node.meter.used()?.saturating_sub(before);
    let n = subject.merges.len();
    let ms = used.as_secs_f64() * 1e3 / n as f64;
    let met = ms <= MAX_CPU_MS;
    println!(
        "{}: {n} merge checks, {n_clean} of them clean: {ms:.2} ms of processor time each, at most {MAX_CPU_MS}: {}",
        subject.shown,
        if met { "met" } else { "MISSED" }
    );
    Ok(met)
}
