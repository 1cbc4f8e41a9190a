//! Lists for people, made from declarations: of metrics, and of the operations of the repository service.

use crate::compose;
use hakata_rpc::Operation;
use hakata_runtime::metrics;
use std::fmt::Write;

/// Makes `docs/metrics.md`.
pub(crate) fn metrics_page() -> String {
    compose::register_metrics();
    let mut text = String::from(
        "# Metrics\n\n\
         <!-- Made by `hakata reference metrics`; a test fails when this page is stale. -->\n\n\
         `GET /metrics` on the admin listener (`127.0.0.1:9090` unless configured or taken) answers in the OpenMetrics text format,\n\
         which Prometheus reads. Times are in seconds, sizes in bytes. A histogram has `_bucket`, `_sum` and `_count`. Labels\n\
         take few values and never name a repository, a person, a path or a ref. A metric that did not move yet is shown too;\n\
         the series of a labelled one appear when they first move.\n\n\
         | metric | kind | labels | what |\n|---|---|---|---|\n",
    );
    for metric in metrics::catalogue() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, doc) = (metric.name, metric.kind.as_str(), metric.doc.replace('|', "\\|"));
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {doc} |", labels.join(" "));
    }
    text
}

/// Makes `docs/rpc-operations.md`.
pub(crate) fn operations_page() -> String {
    let mut text = String::from(
        "# Operations of the repository service\n\n\
         <!-- Made by `hakata reference operations`; a test fails when this page is stale. -->\n\n\
         What each does, whether it reads or changes, and the errors of its own. The messages are in\n\
         [`crates/rpc/proto/hakata/git/v1`](../crates/rpc/proto/hakata/git/v1), the rest in [rpc.md](rpc.md).\n\n\
         Every operation may answer besides: `UNAUTHENTICATED` (no token), `INVALID_ARGUMENT` (a field is malformed),\n\
         `RESOURCE_EXHAUSTED` (a limit was met) and `UNAVAILABLE` (the server is busy or stops), both with a time to wait where\n\
         waiting helps, `DEADLINE_EXCEEDED`, `CANCELLED`, and `INTERNAL` for faults of the server, whose log tells. A change of\n\
         a repository that is archived is `FAILED_PRECONDITION`, and one that met other changes five times `ABORTED`.\n\n\
         *In parts*: the answer streams, or with *asked* the request; *with a cursor* the answer can be taken up behind any part.\n\n\
         | operation | | in parts | |\n|---|---|---|---|\n",
    );
    for operation in Operation::ALL {
        let does = if operation.reads() { "reads" } else { "changes" };
        let parts = match (operation.uploads(), operation.streams(), operation.pages()) {
            (true, ..) => "asked",
            (_, _, true) => "answered, with a cursor",
            (_, true, _) => "answered",
            _ => "",
        };
        let about = operation.about().replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {does} | {parts} | {about} |", operation.key());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{metrics_page, operations_page};

    #[test]
    fn the_page_of_operations_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rpc-operations.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        let fresh = operations_page();
        assert!(page == fresh, "write it anew: hakata reference operations > docs/rpc-operations.md");
        let untold = fresh.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |"));
        assert_eq!(untold.count(), 0, "the proto says what each operation does");
    }

    #[test]
    fn the_page_of_metrics_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == metrics_page(), "write it anew: hakata reference metrics > docs/metrics.md");
    }
}
