//! Every operation gives the same answer in all three ways, and what git can say too, git says too.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use futures_util::StreamExt;
use hakata_names::ObjectFormat;
use hakata_rpc::v1::{BlobService, CommitService, GetBlobRequest, History, ListCommitsRequest, RefService};
use hakata_rpc::v1::{
    Comparison, DiffService, ListBranchesRequest, ListTreeRequest, PatchRequest, RepositoryKey, Revision,
    TreeService,
};
use hakata_rpc::{Call, Operation, Operations};

use crate::ask::ask;
use crate::fixture::World;

/// A history with merges, renames, a submodule, a link, odd names, a large file and more entries than one part holds.
fn history() -> Vec<u8> {
    let mut script = Vec::new();
    let mut add = |text: &str| script.extend_from_slice(text.as_bytes());
    let person = |time: u32| format!("A U Thor <a@example.org> {time} +0900");
    let mut made = String::new();
    for n in 0..700 {
        let _ = writeln!(made, "M 100644 inline many/file{n:04}\ndata 6\n{n:05}\n");
    }
    add(&format!(
        "commit refs/heads/main\nmark :1\nauthor {0}\ncommitter {0}\ndata 6\nfirst\nM 100644 inline src/lib.rs\ndata 20\nfn main() {{\n    a\n}}\n\nM 120000 inline link\ndata 3\nsrcM 160000 0123456789012345678901234567890123456789 sub\nM 100755 inline \"odd \\303\\244\\n\\377name\"\ndata 2\nx\n{made}\n",
        person(1_000)
    ));
    for n in 2..=150u32 {
        add(&format!(
            "commit refs/heads/main\nmark :{n}\nauthor {0}\ncommitter {0}\ndata 10\ncommit {n:03}from :{1}\nM 100644 inline log\ndata 4\n{n:03}\n\n",
            person(1_000 + n),
            n - 1
        ));
    }
    add(&format!(
        "commit refs/heads/topic\nmark :200\nauthor {0}\ncommitter {0}\ndata 6\ntopic\nfrom :100\nR src/lib.rs src/moved.rs\n\n",
        person(2_000)
    ));
    add(&format!(
        "commit refs/heads/main\nmark :201\nauthor {0}\ncommitter {0}\ndata 6\nmerge\nfrom :150\nmerge :200\nR src/lib.rs src/moved.rs\n\n",
        person(3_000)
    ));
    add("tag v1.0\nfrom :150\ntagger A U Thor <a@example.org> 2500 +0000\ndata 8\nrelease\n\n");
    add("reset refs/tags/light\nfrom :10\n\nreset refs/heads/feature/one\nfrom :20\n\n");
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    add(&format!(
        "commit refs/heads/main\nmark :202\nauthor {0}\ncommitter {0}\ndata 4\nbig\nfrom :201\nM 100644 inline pointer\ndata {1}\n{lfs}\nM 100644 inline big\ndata 3000000\n",
        person(4_000),
        lfs.len()
    ));
    script.extend(std::iter::repeat_n(*b"0123456789abcde\n", 187_500).flatten());
    script.push(b'\n');
    script
}

/// Requests to make of each operation that reads: key and JSON without the repository.
const REQUESTS: &[(&str, &str)] = &[
    ("server.limits", "{}"),
    ("repository.get", "R"),
    ("repository.exists", "R"),
    ("repository.size", "R"),
    ("repository.list", "{}"),
    ("repository.fsck", "R"),
    ("repository.archive", r#"R, "paths": ["src", "big"], "prefix": "tools/""#),
    ("repository.archive", r#"R, "format": "ARCHIVE_FORMAT_TAR_GZ", "revision": {"expression": "v1.0"}"#),
    ("repository.archive", r#"R, "format": "ARCHIVE_FORMAT_ZIP", "revision": {"expression": "main~1"}"#),
    ("repository.archive", r#"R, "paths": ["none"]"#),
    ("repository.create_bundle", "R"),
    (
        "repository.create_bundle",
        r#"R, "ref_names": ["refs/heads/main"], "excluded": [{"expression": "v1.0"}]"#,
    ),
    ("ref.list_branches", r#"R, "with_tips": true"#),
    ("ref.list_branches", r#"R, "order": "REF_ORDER_NEWEST", "limit": 2"#),
    ("ref.list_tags", r#"R, "patterns": ["v*"], "with_tips": true"#),
    ("ref.get_ref", r#"R, "ref_name": "refs/heads/main""#),
    ("ref.get_ref", r#"R, "ref_name": "refs/heads/none""#),
    ("ref.resolve_revision", r#"R, "revision": {"expression": "v1.0^{commit}~3"}"#),
    ("ref.resolve_revision", r#"R, "revision": {"expression": "no such thing"}"#),
    ("ref.list_refs_containing", r#"R, "revision": {"expression": "light"}"#),
    (
        "ref.ahead_behind",
        r#"R, "pairs": [{"base": {"expression": "main"}, "head": {"expression": "topic"}}]"#,
    ),
    ("commit.get", "R"),
    ("commit.get", r#"R, "revision": {"ref_name": "refs/tags/v1.0"}"#),
    ("commit.list", "R"),
    ("commit.list", r#"R, "history": {"paths": ["src"], "no_merges": true}"#),
    ("commit.list", r#"R, "history": {"paths": ["src/moved.rs"], "follow": true}"#),
    ("commit.count", "R"),
    ("commit.last_commit_for_path", r#"R, "path": "src""#),
    ("commit.list_last_commits_for_tree", "R"),
    ("commit.list_last_commits_for_tree", r#"R, "path": "many""#),
    ("commit.merge_base", r#"R, "revisions": [{"expression": "main~1^1"}, {"expression": "topic"}]"#),
    ("commit.blame", r#"R, "path": "src/moved.rs""#),
    ("commit.languages", "R"),
    ("commit.signature", "R"),
    ("commit.signature", r#"R, "revision": {"expression": "main^{tree}"}"#),
    ("tree.get_entry", r#"R, "path": "src/moved.rs""#),
    ("tree.list", r#"R, "recursive": true, "with_sizes": true"#),
    ("tree.list", r#"R, "path": "many""#),
    ("tree.find_files", r#"R, "query": "fl07", "limit": 20"#),
    ("tree.search", r#"R, "query": "0[67]..5", "regex": true"#),
    ("blob.get", r#"R, "path": "big""#),
    ("blob.get", r#"R, "path": "big", "offset_bytes": 1000000, "limit_bytes": 1500000"#),
    ("blob.get", r#"R, "path": "src""#),
    ("blob.get_many", r#"R, "oids": ["OID:big", "0000000000000000000000000000000000000001", "OID:log"]"#),
    ("blob.get_many", r#"R, "oids": ["OID:log", "OID:big", "OID:log"], "limit_bytes": 200000"#),
    ("blob.get_many", r#"R, "oids": ["OID:log", "OID:big"], "limit_bytes": 3"#),
    ("blob.sizes", r#"R, "oids": ["OID:big", "0000000000000000000000000000000000000001"]"#),
    ("blob.lfs_pointers", "R"),
    (
        "diff.diff",
        r#"R, "comparison": {"base": {"expression": "topic"}, "head": {"expression": "main"}}, "words": true"#,
    ),
    ("diff.patch", r#"R, "comparison": {"base": {"expression": "light"}}"#),
    ("diff.stats", r#"R, "comparison": {"base": {"expression": "light"}}"#),
    ("diff.changed_paths", r#"R, "comparison": {"head": {"expression": "main~1"}}"#),
    (
        "diff.range_diff",
        r#"R, "old_base": {"expression": "light"}, "old_head": {"expression": "topic"}, "new_base": {"expression": "light"}, "new_head": {"expression": "topic"}"#,
    ),
    ("merge.check_merge", r#"R, "base": {"expression": "light"}, "head": {"expression": "topic"}"#),
    ("merge.check_merge", r#"R, "base": {"expression": "main~1"}, "head": {"expression": "topic"}"#),
    ("pull_request.list_versions", r#"R, "number": 1"#),
    ("pull_request.compare_versions", r#"R, "number": 1, "old_version": 1"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_the_same_in_all_ways() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, &history());
    world.create("tools", ObjectFormat::Sha1).await;
    let ways: [(&str, Arc<dyn Operations>); 2] =
        [("grpc", world.grpc().operations()), ("msgpack", world.msgpack().operations())];
    for (key, request) in REQUESTS {
        let request = serde_json::from_str(&written(&world, request)).unwrap();
        let first = ask(&*world.local, key, &request).await;
        for (way, to) in &ways {
            let other = ask(&**to, key, &request).await;
            assert_eq!(first.len(), other.len(), "{key} {request} over {way}: {first:.200?} {other:.200?}");
            for (one, other) in first.iter().zip(&other) {
                assert_eq!(one, other, "{key} {request} over {way}");
            }
        }
    }
    let asked: BTreeSet<_> = REQUESTS.iter().filter_map(|(key, _)| Operation::find(key)).collect();
    let missing: Vec<_> = Operation::ALL
        .iter()
        .filter(|of| of.reads() && !asked.contains(of) && **of != Operation::ServerInfo)
        .collect();
    assert!(missing.is_empty(), "every operation that reads is asked: {missing:?}");
}

/// Puts the repository and oids into a request.
fn written(world: &World, request: &str) -> String {
    let Some(rest) = request.strip_prefix('R') else { return request.to_owned() };
    let mut request = format!("{{\"repository\": {{\"path\": \"alice/tools\"}}{rest}}}");
    for name in ["big", "log"] {
        let oid = world.git(&["rev-parse", &format!("main:{name}")]);
        request = request.replace(&format!("OID:{name}"), oid.trim());
    }
    request
}

fn key() -> Option<RepositoryKey> {
    Some(RepositoryKey { path: "alice/tools".to_owned(), id: 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let world = World::new().await;
        let script = history();
        let gitlink = b"M 160000 0123456789012345678901234567890123456789 sub\n";
        let script = match format {
            ObjectFormat::Sha1 => script,
            ObjectFormat::Sha256 => without(&script, gitlink),
        };
        world.import(format, &script);
        world.create("tools", format).await;
        let to = world.msgpack();

        let request = ListBranchesRequest { repository: key(), ..ListBranchesRequest::default() };
        let parts: Vec<_> = to.list_branches(Call::default(), request).map(Result::unwrap).collect().await;
        let branches = parts.into_iter().flat_map(|part| part.branches).filter_map(|branch| branch.r#ref);
        let lines: String = branches.fold(String::new(), |mut lines, found| {
            let oid = hakata_names::Oid::from_bytes(&found.target_oid).unwrap();
            let _ = writeln!(lines, "{oid} {}", String::from_utf8_lossy(&found.name));
            lines
        });
        assert_eq!(lines, world.git(&["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads"]));

        let history = History { paths: vec!["src".into()], ..History::default() };
        let request =
            ListCommitsRequest { repository: key(), history: Some(history), ..ListCommitsRequest::default() };
        let parts: Vec<_> = listed(&to, request).await;
        let oids: String = parts.iter().fold(String::new(), |mut oids, oid| {
            let _ = writeln!(oids, "{oid}");
            oids
        });
        assert_eq!(oids, world.git(&["rev-list", "main", "--", "src"]));

        let request = GetBlobRequest { repository: key(), path: "big".into(), ..GetBlobRequest::default() };
        let parts: Vec<_> =
            BlobService::get(&to, Call::default(), request).map(Result::unwrap).collect().await;
        let content: Vec<u8> = parts.iter().flat_map(|part| part.content.to_vec()).collect();
        assert_eq!(content, world.git(&["cat-file", "blob", "main:big"]).into_bytes());

        let request = ListTreeRequest { repository: key(), recursive: true, ..ListTreeRequest::default() };
        let parts: Vec<_> =
            TreeService::list(&to, Call::default(), request).map(Result::unwrap).collect().await;
        let paths: Vec<u8> = parts
            .iter()
            .flat_map(|part| &part.entries)
            .flat_map(|entry| [&entry.path[..], b"\0"].concat())
            .collect();
        assert_eq!(
            paths,
            crate::fixture::run(
                world.client.path(),
                &["ls-tree", "-r", "-t", "-z", "--name-only", "main"],
                b""
            )
        );

        let base = Some(Revision { expression: "light".to_owned(), ..Revision::default() });
        let comparison = Some(Comparison { base, ..Comparison::default() });
        let request = PatchRequest { repository: key(), comparison, binary: false };
        let parts: Vec<_> = to.patch(Call::default(), request).map(Result::unwrap).collect().await;
        let patch: Vec<u8> = parts.iter().flat_map(|part| part.content.to_vec()).collect();
        let args = ["diff-tree", "-r", "-p", "--find-renames", "--full-index", "light", "main"];
        assert_eq!(patch, crate::fixture::run(world.client.path(), &args, b""));
    }
}

/// Lists the oids of a history.
async fn listed(to: &impl CommitService, request: ListCommitsRequest) -> Vec<hakata_names::Oid> {
    let parts: Vec<_> = to.list(Call::default(), request).map(Result::unwrap).collect().await;
    let commits = parts.into_iter().flat_map(|part| part.commits);
    commits.map(|commit| hakata_names::Oid::from_bytes(&commit.oid).unwrap()).collect()
}

fn without(script: &[u8], line: &[u8]) -> Vec<u8> {
    let at = script.windows(line.len()).position(|window| window == line).unwrap();
    [&script[..at], &script[at + line.len()..]].concat()
}
