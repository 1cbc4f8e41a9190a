//! The list of metrics for people, made from their declarations.

use crate::compose;
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

#[cfg(test)]
mod tests {
    use super::metrics_page;

    #[test]
    fn the_page_of_metrics_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == metrics_page(), "write it anew: hakata reference metrics > docs/metrics.md");
    }
}
