//! The example of `hakata-rpc`, run against the real servers.

#[path = "../../../rpc/examples/migrate.rs"]
mod migrate;

use std::collections::BTreeSet;

use hakata_names::ObjectFormat;

use crate::fixture::{World, endpoint};

const SCRIPT: &[u8] =
    b"commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline a\ndata 2\na\n\n\
commit refs/heads/main\ncommitter A <a@b> 2 +0000\ndata 4\ntwo\nM 100644 inline b\ndata 2\nb\n\n";

/// Reads a counter: the sum of its series that have all these labels.
fn count(name: &str, labels: &[String]) -> u64 {
    let metrics = hakata_runtime::metrics::render();
    let series = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let series = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Counts calls of an operation that were served over a protocol.
fn served(operation: &str, protocol: &str) -> u64 {
    let labels = [format!("operation=\"{operation}\""), format!("protocol=\"{protocol}\"")];
    count("hakata_rpc_calls_total", &labels)
}

/// Counts what comparisons with a second route said.
fn compared(result: &str) -> u64 {
    count("hakata_rpc_client_shadows_total", &[format!("result=\"{result}\"")])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_moves_from_one_protocol_to_the_other() {
    hakata_runtime::metrics::register(&[hakata_rpc::metrics(), hakata_rpc_server::metrics()].concat());
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    let client = migrate::client(&endpoint(world.grpc_at), endpoint(world.msgpack_at), &world.tasks).unwrap();
    let (mut pages, mut counts) = (Vec::new(), Vec::new());
    let operations = ["ref.list_branches", "commit.list", "diff.stats"];
    let tell = |step: &migrate::Step, page: &migrate::Page| {
        pages.push(page.clone());
        let of = |protocol| operations.map(|operation| served(operation, protocol));
        counts.push((step.what, of("msgpack"), of("grpc")));
    };
    migrate::migrate(&client, "alice/tools", tell).await.unwrap();
    let wanted = migrate::Page {
        branches: vec!["refs/heads/main".to_owned()],
        subjects: vec!["two".to_owned(), "one".to_owned()],
        n_changed: 1,
    };
    assert!(pages.iter().all(|page| *page == wanted), "the program sees no difference: {pages:?}");
    assert_eq!(pages.len(), 6);
    // What each step added to the counts of the server, by protocol.
    let added = |n: usize, operation: usize| {
        let before = if n == 0 { (0, 0) } else { (counts[n - 1].1[operation], counts[n - 1].2[operation]) };
        (counts[n].1[operation] - before.0, counts[n].2[operation] - before.1)
    };
    assert_eq!(added(0, 0), (20, 0), "before, all over MessagePack-RPC");
    let (canary_old, canary_new) = added(2, 0);
    // Comparisons of the step before may end during this one, over gRPC.
    assert!(
        canary_old < 20 && canary_old > 0 && canary_new >= 20 - canary_old,
        "{canary_old} and {canary_new}"
    );
    assert_eq!((added(3, 0), added(3, 1)), ((0, 20), (20, 0)), "one operation moved, the others did not");
    assert_eq!((added(4, 1), added(4, 2)), ((0, 20), (20, 0)), "one is left behind");
    assert_eq!((added(5, 0), added(5, 1), added(5, 2)), ((0, 20), (0, 20), (0, 20)), "all over gRPC");
    let compared: BTreeSet<_> =
        ["equal", "different", "failed"].into_iter().filter(|result| compared(result) > 0).collect();
    assert_eq!(compared, BTreeSet::from(["equal"]), "both protocols answer alike");
}
