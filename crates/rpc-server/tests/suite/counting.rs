//! Lines of large files are counted, and what is too large for that is told.

use hakata_names::ObjectFormat;
use serde_json::json;

use crate::ask::ask;
use crate::fixture::World;

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_large_files_are_counted_or_their_size_is_told() {
    let world = World::new().await;
    let (large, huge) = ("0123456789abcdef\n".repeat(100_000), "0123456789abcdef\n".repeat(1_000_000));
    let script = format!(
        "commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 0\n\
         M 100644 inline huge\ndata {}\n{huge}\nM 100644 inline large\ndata {}\n{large}\n",
        huge.len(),
        large.len(),
    );
    world.import(ObjectFormat::Sha1, script.as_bytes());
    world.create("tools", ObjectFormat::Sha1).await;
    let request = json!({
        "repository": {"path": "alice/tools"},
        "comparison": {"head": {"ref_name": "refs/heads/main"}},
    });
    let answers = ask(&*world.local, "diff.stats", &request).await;
    let answer = answers[0].as_ref().unwrap();
    assert_eq!(answer["n_added"], 100_000);
    let files: Vec<_> = answer["files"].as_array().unwrap().iter().collect();
    let told = |at: usize| (files[at]["n_added"].clone(), files[at]["too_large"].clone());
    assert_eq!(told(0), (json!(0), json!(true)), "{answer}");
    assert_eq!(told(1), (json!(100_000), json!(false)));
}
