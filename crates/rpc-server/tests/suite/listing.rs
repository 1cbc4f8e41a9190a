//! Lists of refs: how many, and in which order.

use std::fmt::Write;
use std::sync::Arc;

use hakata_names::ObjectFormat;
use hakata_rpc::Operations;
use serde_json::{Value, json};

use crate::ask::ask;
use crate::fixture::World;

/// More refs than two parts hold.
const N_REFS: usize = 1_100;

/// So many are wanted: more than one part holds, and not all.
const LIMIT: usize = 700;

fn ways(world: &World) -> [(&'static str, Arc<dyn Operations>); 3] {
    [
        ("local", world.local.clone()),
        ("grpc", world.grpc().operations()),
        ("msgpack", world.msgpack().operations()),
    ]
}

/// Names what is on the parts of an answer.
fn names(parts: &[Value], list: &str) -> Vec<String> {
    let rows = parts.iter().flat_map(|part| part[list].as_array().unwrap());
    let name = |row: &Value| row.get("ref").unwrap_or(row)["name"].as_str().unwrap().to_owned();
    rows.map(name).collect()
}

async fn listed(to: &dyn Operations, key: &str, request: &Value) -> Vec<Value> {
    ask(to, key, request).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_the_whole_of_a_list_wherever_it_is_taken_up() {
    let world = World::new().await;
    let mut script =
        "commit refs/heads/main\nmark :1\ncommitter A <a@b> 1 +0000\ndata 0\nM 100644 inline a\ndata 0\n\n"
            .to_owned();
    for n in 0..N_REFS {
        for kind in ["heads", "tags"] {
            write!(script, "reset refs/{kind}/n{n:04}\nfrom :1\n\n").unwrap();
        }
    }
    world.import(ObjectFormat::Sha1, script.as_bytes());
    world.create("tools", ObjectFormat::Sha1).await;
    for (key, list, more) in [
        ("ref.list_branches", "branches", json!({})),
        ("ref.list_branches", "branches", json!({"order": "REF_ORDER_NEWEST"})),
        ("ref.list_branches", "branches", json!({"with_tips": true})),
        ("ref.list_tags", "tags", json!({})),
        ("ref.list_tags", "tags", json!({"order": "REF_ORDER_NEWEST", "with_tips": true})),
        (
            "ref.list_refs_containing",
            "refs",
            json!({"revision": {"ref_name": "refs/heads/main"}, "prefix": "refs/tags/"}),
        ),
    ] {
        let mut request = more.clone();
        request["repository"] = json!({"path": "alice/tools"});
        let all = names(&listed(&*world.local, key, &request).await, list);
        assert!(all.len() >= N_REFS, "{key}: {}", all.len());
        request["limit"] = LIMIT.into();
        for (way, to) in ways(&world) {
            let parts = listed(&*to, key, &request).await;
            assert_eq!(names(&parts, list), all[..LIMIT], "{key} {more} over {way}");
            let (first, rest) = parts.split_first().unwrap();
            assert!(!rest.is_empty(), "there is something to be taken up");
            let mut taken_up = request.clone();
            taken_up["cursor"] = first["cursor"].clone();
            let rest = listed(&*to, key, &taken_up).await;
            let both = [names(std::slice::from_ref(first), list), names(&rest, list)].concat();
            assert_eq!(both, all[..LIMIT], "{key} {more} over {way}, behind its first part");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_come_first_as_git_sorts_them_whatever_they_name() {
    let script = b"commit refs/heads/main\nmark :1\ncommitter A <a@b> 1000 +0000\ndata 0\nM 100644 inline a\ndata 2\na\n\n\
commit refs/heads/old\nmark :2\ncommitter A <a@b> 500 +0000\ndata 0\nM 100644 inline a\ndata 2\nb\n\n\
commit refs/heads/twin\nmark :3\ncommitter A <a@b> 1000 +0000\ndata 0\nM 100644 inline a\ndata 2\nc\n\n\
tag later\nfrom :2\ntagger A <a@b> 3000 +0000\ndata 0\n\
tag early\nfrom :1\ntagger A <a@b> 10 +0000\ndata 0\n\
reset refs/tags/light\nfrom :1\n\n";
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let world = World::new().await;
        world.import(format, script);
        let tag = |name: &str, target: &str, kind: &str, time: Option<u32>| {
            let target = world.git(&["rev-parse", target]);
            let tagger = time.map(|time| format!("tagger A <a@b> {time} +0000\n")).unwrap_or_default();
            let text = format!("object {}\ntype {kind}\ntag {name}\n{tagger}\nm\n", target.trim());
            let args = ["hash-object", "-t", "tag", "-w", "--stdin", "--literally"];
            let made = crate::fixture::run(world.client.path(), &args, text.as_bytes());
            let made = String::from_utf8(made).unwrap();
            world.git(&["update-ref", &format!("refs/tags/{name}"), made.trim()]);
        };
        tag("of-tree", "main^{tree}", "tree", Some(2_000));
        tag("of-blob", "main:a", "blob", Some(700));
        tag("of-tag", "early", "tag", Some(2_500));
        tag("of-nobody", "main", "commit", None);
        let blob = world.git(&["rev-parse", "main:a"]);
        world.git(&["update-ref", "refs/tags/blob", blob.trim()]);
        world.create("tools", format).await;
        for (key, list, below) in
            [("ref.list_tags", "tags", "refs/tags"), ("ref.list_branches", "branches", "refs/heads")]
        {
            let git = world.git(&["for-each-ref", "--sort=-creatordate", "--format=%(refname)", below]);
            let git: Vec<&str> = git.lines().collect();
            for with_tips in [false, true] {
                let request = json!({
                    "repository": {"path": "alice/tools"}, "order": "REF_ORDER_NEWEST", "with_tips": with_tips,
                });
                for (way, to) in ways(&world) {
                    let ours = names(&listed(&*to, key, &request).await, list);
                    assert_eq!(ours, git, "{key} over {way}");
                }
            }
        }
    }
}
