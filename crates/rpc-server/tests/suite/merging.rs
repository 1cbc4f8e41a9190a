//! Merges over the wire: what moves, what is refused, and the same answers in all ways.

use std::sync::Arc;

use bytes::Bytes;
use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    CheckMergeRequest, CreatePullRefsRequest, DeleteBranchRequest, FastForward, Form, GetRefRequest,
    MergeOutcome, MergePullRequestRequest, MergeRequest, MergeService, MergeState, RepositoryKey, Revision,
    Signature,
};
use hakata_rpc::{Call, Code, Operation, Operations};

use crate::ask::ask;
use crate::fixture::World;

/// `main` and `topic` differ on separate files and begin at `old`; `rival` conflicts with `main`; `alone` has no history
/// in common with them.
const SCRIPT: &str = "\
commit refs/heads/old
mark :1
author A <a@b> 1 +0100
committer C <c@d> 1 +0000
data 4
old
M 100644 inline a
data 4
1
2
M 100755 inline dir/run
data 2
x

commit refs/heads/main
mark :2
author A <a@b> 2 +0100
committer C <c@d> 2 +0000
data 5
main
from :1
M 100644 inline a
data 4
0
2

commit refs/heads/topic
mark :3
author T <t@b> 3 +0900
committer C <c@d> 3 +0000
data 4
one
from :1
M 100644 inline b
data 2
b

commit refs/heads/topic
mark :4
author T <t@b> 4 +0900
committer C <c@d> 4 +0000
data 4
two
from :3
M 100644 inline dir/c
data 2
c

commit refs/heads/rival
mark :5
author R <r@b> 5 -0330
committer C <c@d> 5 +0000
data 6
rival
from :1
M 100644 inline a
data 4
9
2

commit refs/heads/alone
mark :6
author L <l@b> 6 +0000
committer C <c@d> 6 +0000
data 6
alone
M 100644 inline z
data 2
z

";

async fn world(format: ObjectFormat, names: &[&str]) -> World {
    let world = World::new().await;
    world.import(format, SCRIPT.as_bytes());
    for name in names {
        world.create(name, format).await;
    }
    world
}

fn key(name: &str) -> Option<RepositoryKey> {
    Some(RepositoryKey { path: format!("alice/{name}"), id: 0 })
}

fn revision(expression: &str) -> Option<Revision> {
    Some(Revision { expression: expression.to_owned(), ..Revision::default() })
}

fn person(time_s: i64) -> Option<Signature> {
    Some(Signature { name: "M".into(), email: "m@example.org".into(), time_s, offset_minutes: 540 })
}

fn merge(name: &str, head: &str) -> MergeRequest {
    MergeRequest {
        repository: key(name),
        ref_name: "refs/heads/main".into(),
        head: revision(head),
        message: "Merge it  \n\n\n".into(),
        author: person(100),
        ..MergeRequest::default()
    }
}

async fn tip(to: &dyn Operations, repository: &str, name: &str) -> Bytes {
    let request = GetRefRequest { repository: key(repository), ref_name: name.to_owned().into() };
    to.get_ref(Call::default(), request).await.unwrap().target_oid
}

fn hex(oid: &Bytes) -> String {
    hakata_names::Oid::from_bytes(oid).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_the_commit_that_git_makes() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let world = world(format, &["tools"]).await;
        let to = world.grpc();
        let answer = to.merge(Call::default(), merge("tools", "topic")).await.unwrap();
        assert_eq!(answer.outcome(), MergeOutcome::Moved);
        assert!(answer.version > 0 && answer.staged.is_none());
        assert_eq!(tip(&to, "tools", "refs/heads/main").await, answer.oid);
        let tree = world.git(&["merge-tree", "--write-tree", "main", "topic"]);
        let (main, topic) = (world.git(&["rev-parse", "main"]), world.git(&["rev-parse", "topic"]));
        let who = "M <m@example.org> 100 +0900";
        let commit =
            format!("tree {tree}parent {main}parent {topic}author {who}\ncommitter {who}\n\nMerge it\n");
        let expected = crate::fixture::run(
            world.client.path(),
            &["hash-object", "-t", "commit", "--stdin"],
            commit.as_bytes(),
        );
        assert_eq!(hex(&answer.oid).as_bytes(), expected.trim_ascii());
        let again = to.merge(Call::default(), merge("tools", "topic")).await.unwrap();
        assert_eq!((again.outcome(), &again.oid, again.version), (MergeOutcome::UpToDate, &answer.oid, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_how_a_head_stands_to_a_base() {
    let world = world(ObjectFormat::Sha1, &["tools"]).await;
    let to = world.msgpack();
    let check = |base: &str, head: &str, allow_unrelated: bool| {
        let (base, head) = (revision(base), revision(head));
        let request = CheckMergeRequest { repository: key("tools"), base, head, allow_unrelated };
        to.check_merge(Call::default(), request)
    };
    for (base, head, state, ahead, behind) in [
        ("main", "topic", MergeState::Clean, 2, 1),
        ("main", "rival", MergeState::Conflicts, 1, 1),
        ("old", "topic", MergeState::FastForward, 2, 0),
        ("topic", "old", MergeState::Merged, 0, 2),
        ("main", "main", MergeState::Merged, 0, 0),
        ("main", "alone", MergeState::Unrelated, 1, 2),
    ] {
        let answer = check(base, head, false).await.unwrap();
        assert_eq!((answer.state(), answer.ahead, answer.behind), (state, ahead, behind), "{base} {head}");
        let again = check(base, head, false).await.unwrap();
        assert_eq!(answer, again, "an answer that is kept is the same");
    }
    assert_eq!(check("main", "alone", true).await.unwrap().state(), MergeState::Clean);
    let conflicts = check("main", "rival", false).await.unwrap().conflicts;
    let [one] = &conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!((&one.path[..], &one.kind[..]), (&b"a"[..], "contents"));
    let blob = |rev: &str| world.git(&["rev-parse", rev]);
    assert_eq!(hex(&one.base_oid), blob("old:a").trim());
    assert_eq!((hex(&one.ours_oid), one.ours_mode), (blob("main:a").trim().to_owned(), 0o100_644));
    assert_eq!(hex(&one.theirs_oid), blob("rival:a").trim());
    let absent = check("main", "nothing", false).await.unwrap_err();
    assert_eq!(absent.code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_a_caller_can_act_on() {
    let world = world(ObjectFormat::Sha1, &["tools"]).await;
    let to = world.grpc();
    let before = tip(&to, "tools", "refs/heads/main").await;
    let conflict = to.merge(Call::default(), merge("tools", "rival")).await.unwrap_err();
    assert_eq!(conflict.code, Code::FailedPrecondition);
    let paths = conflict.detail.unwrap().paths;
    assert_eq!(paths.iter().map(|path| &path.path[..]).collect::<Vec<_>>(), [b"a"]);
    let unrelated = to.merge(Call::default(), merge("tools", "alone")).await.unwrap_err();
    assert_eq!(unrelated.code, Code::InvalidArgument);
    let only = MergeRequest { fast_forward: FastForward::Only.into(), ..merge("tools", "topic") };
    assert_eq!(to.merge(Call::default(), only).await.unwrap_err().code, Code::FailedPrecondition);
    let other = tip(&to, "tools", "refs/heads/old").await;
    let stale = MergeRequest { expected_oid: other.clone(), ..merge("tools", "topic") };
    let stale = to.merge(Call::default(), stale).await.unwrap_err();
    let moved = stale.detail.and_then(|detail| detail.moved).unwrap();
    assert_eq!((stale.code, &moved.expected_oid, &moved.actual_oid), (Code::Aborted, &other, &before));
    let head = MergeRequest { expected_head_oid: other.clone(), ..merge("tools", "topic") };
    let head = to.merge(Call::default(), head).await.unwrap_err();
    let moved = head.detail.and_then(|detail| detail.moved).unwrap();
    assert_eq!((head.code, moved.actual_oid), (Code::Aborted, tip(&to, "tools", "refs/heads/topic").await));
    for request in [
        MergeRequest { author: None, ..merge("tools", "topic") },
        MergeRequest { message: " \n".into(), ..merge("tools", "topic") },
        MergeRequest { ref_name: "refs/tags/v1".into(), ..merge("tools", "topic") },
        MergeRequest { head: None, ..merge("tools", "topic") },
    ] {
        let refused = to.merge(Call::default(), request).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
    }
    assert_eq!(tip(&to, "tools", "refs/heads/main").await, before, "nothing moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_merges_that_race_one_wins_and_the_other_is_told() {
    let world = world(ObjectFormat::Sha1, &["tools"]).await;
    let to = Arc::new(world.grpc());
    let before = tip(&*to, "tools", "refs/heads/main").await;
    let ask = |author: i64| {
        let request =
            MergeRequest { expected_oid: before.clone(), author: person(author), ..merge("tools", "topic") };
        to.merge(Call::default(), request)
    };
    let (one, other) = tokio::join!(ask(1), ask(2));
    let mut both = [one, other];
    both.sort_by_key(Result::is_err);
    let winner = both[0].clone().unwrap();
    let loser = both[1].clone().unwrap_err();
    let moved = loser.detail.and_then(|detail| detail.moved).unwrap();
    assert_eq!((loser.code, &moved.expected_oid, &moved.actual_oid), (Code::Aborted, &before, &winner.oid));
    assert_eq!(tip(&*to, "tools", "refs/heads/main").await, winner.oid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_repeated_under_its_name_is_made_once() {
    let world = world(ObjectFormat::Sha1, &["tools"]).await;
    let to = world.msgpack();
    let call = Call { idempotency_key: Some("merge 1".to_owned()), ..Call::default() };
    let first = to.merge(call.clone(), merge("tools", "topic")).await.unwrap();
    let again = to.merge(call, merge("tools", "topic")).await.unwrap();
    assert_eq!(first, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_had_nothing_to_do_is_answered_so_again() {
    let world = world(ObjectFormat::Sha1, &["one", "two", "three"]).await;
    let ways: [(&str, Arc<dyn Operations>); 3] = [
        ("one", world.local.clone()),
        ("two", world.grpc().operations()),
        ("three", world.msgpack().operations()),
    ];
    for (name, to) in &ways {
        let named = |key: &str| Call { idempotency_key: Some(key.to_owned()), ..Call::default() };
        let before = tip(&**to, name, "refs/heads/main").await;
        let first = to.merge(named("1"), merge(name, "main")).await.unwrap();
        assert_eq!((first.outcome(), &first.oid, first.version), (MergeOutcome::UpToDate, &before, 0));
        let moved = to.merge(named("2"), merge(name, "topic")).await.unwrap();
        assert_ne!(moved.oid, before);
        assert_eq!(to.merge(named("1"), merge(name, "main")).await.unwrap(), first, "{name}");
        // Under that name it would be another merge by now.
        assert_eq!(to.merge(named("1"), merge(name, "rival")).await.unwrap(), first, "{name}");
        let elsewhere = MergeRequest { ref_name: "refs/heads/old".into(), ..merge(name, "topic") };
        let elsewhere = to.merge(named("1"), elsewhere).await.unwrap_err();
        assert_eq!(elsewhere.code, Code::InvalidArgument, "{elsewhere}");

        // A pull request that is merged already, whose branch goes.
        let pull = CreatePullRefsRequest {
            repository: key(name),
            number: 1,
            head: revision("topic"),
            base: revision("old"),
            ..CreatePullRefsRequest::default()
        };
        to.create_pull_refs(Call::default(), pull).await.unwrap();
        let request = MergePullRequestRequest {
            repository: key(name),
            number: 1,
            ref_name: "refs/heads/main".into(),
            message: "again".into(),
            author: person(100),
            delete_ref_name: "refs/heads/topic".into(),
            ..MergePullRequestRequest::default()
        };
        let first = to.merge_pull_request(named("3"), request.clone()).await.unwrap();
        assert_eq!((first.outcome(), &first.oid), (MergeOutcome::UpToDate, &moved.oid));
        assert!(first.version > moved.version, "its branch went");
        assert_eq!(to.merge_pull_request(named("3"), request).await.unwrap(), first, "{name}");

        // What came of a name is told even when the branch is gone.
        let gone = DeleteBranchRequest {
            repository: key(name),
            ref_name: "refs/heads/main".into(),
            ..DeleteBranchRequest::default()
        };
        to.delete_branch(Call::default(), gone).await.unwrap();
        assert_eq!(to.merge(named("2"), merge(name, "topic")).await.unwrap(), moved, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_merge_moves_nothing() {
    let world = world(ObjectFormat::Sha1, &["tools"]).await;
    let to = world.grpc();
    let before = tip(&to, "tools", "refs/heads/main").await;
    let request = MergeRequest { form: Form::Prepare.into(), ..merge("tools", "topic") };
    let prepared = to.merge(Call::default(), request).await.unwrap();
    let staged = prepared.staged.unwrap();
    assert_eq!((prepared.version, tip(&to, "tools", "refs/heads/main").await), (0, before.clone()));
    let [moved] = &staged.moves[..] else { panic!("{staged:?}") };
    assert_eq!((&moved.old_oid, &moved.new_oid), (&before, &prepared.oid));
    assert!(staged.pack_id > 0 && !staged.pack_oid.is_empty());
}

const PERSON: &str = r#"{"name": "M", "email": "m@example.org", "time_s": 100, "offset_minutes": -90}"#;

/// What is asked in turn: `R` is the repository, `P` a person.
const REQUESTS: &[(&str, &str)] = &[
    ("merge.check_merge", r#"R, "base": {"expression": "main"}, "head": {"expression": "rival"}"#),
    (
        "merge.merge",
        r#"R, "ref_name": "refs/heads/main", "head": {"expression": "rival"}, "message": "no", "author": P"#,
    ),
    ("merge.rebase", r#"R, "ref_name": "refs/heads/main", "head": {"expression": "topic"}, "committer": P"#),
    (
        "merge.merge",
        r#"R, "ref_name": "refs/heads/main", "head": {"expression": "topic"}, "message": "two", "author": P"#,
    ),
    (
        "merge.merge",
        r#"R, "ref_name": "refs/heads/main", "head": {"expression": "main"}, "message": "self", "author": P"#,
    ),
    ("merge.fast_forward", r#"R, "ref_name": "refs/heads/old", "head": {"expression": "topic~1"}"#),
    ("merge.fast_forward", r#"R, "ref_name": "refs/heads/old", "head": {"expression": "rival"}"#),
    (
        "merge.cherry_pick",
        r#"R, "ref_name": "refs/heads/old", "commits": [{"expression": "main~3"}, {"expression": "topic"}], "committer": P"#,
    ),
    (
        "merge.cherry_pick",
        r#"R, "ref_name": "refs/heads/old", "commits": [{"expression": "topic"}], "committer": P"#,
    ),
    ("merge.revert", r#"R, "ref_name": "refs/heads/old", "commits": [{"expression": "old"}], "author": P"#),
    (
        "merge.revert",
        r#"R, "ref_name": "refs/heads/main", "commits": [{"expression": "main"}], "mainline": 1, "message": "back", "author": P"#,
    ),
    (
        "merge.squash",
        r#"R, "ref_name": "refs/heads/rival", "head": {"expression": "topic"}, "message": "all\n\nCo-authored-by: X <x@y>", "author": P"#,
    ),
    (
        "merge.merge",
        r#"R, "ref_name": "refs/heads/rival", "head": {"expression": "alone"}, "allow_unrelated": true, "message": "odd", "author": P"#,
    ),
    (
        "pull_request.create_pull_refs",
        r#"R, "number": 7, "head": {"ref_name": "refs/heads/topic"}, "base": {"ref_name": "refs/heads/alone"}"#,
    ),
    (
        "pull_request.create_pull_refs",
        r#"R, "number": 7, "head": {"expression": "topic"}, "base": {"expression": "alone"}"#,
    ),
    (
        "pull_request.create_pull_refs",
        r#"R, "number": 7, "head": {"expression": "topic~1"}, "base": {"expression": "alone"}, "expected_version": 2"#,
    ),
    (
        "pull_request.create_pull_refs",
        r#"R, "number": 7, "head": {"expression": "old"}, "base": {"expression": "topic~2"}, "expected_version": 1"#,
    ),
    (
        "pull_request.create_pull_refs",
        r#"R, "number": 0, "head": {"expression": "old"}, "base": {"expression": "main"}"#,
    ),
    ("pull_request.list_versions", r#"R, "number": 7"#),
    ("pull_request.list_versions", r#"R, "number": 8"#),
    ("pull_request.compare_versions", r#"R, "number": 7, "old_version": 1"#),
    ("pull_request.compare_versions", r#"R, "number": 7, "old_version": 1, "new_version": 3"#),
    (
        "pull_request.merge_pull_request",
        r#"R, "number": 7, "ref_name": "refs/heads/rival", "delete_ref_name": "refs/heads/topic", "message": "x", "author": P"#,
    ),
    (
        "pull_request.merge_pull_request",
        r#"R, "number": 7, "ref_name": "refs/heads/rival", "method": "MERGE_METHOD_MERGE", "delete_ref_name": "refs/heads/old", "message": "x", "author": P"#,
    ),
    ("ref.list_branches", "R"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_the_same_in_all_ways() {
    let world = world(ObjectFormat::Sha1, &["one", "two", "three"]).await;
    let ways: [(&str, Arc<dyn Operations>); 3] = [
        ("one", world.local.clone()),
        ("two", world.grpc().operations()),
        ("three", world.msgpack().operations()),
    ];
    let mut n_well = 0;
    for (key, request) in REQUESTS {
        let operation = Operation::find(key).unwrap();
        let mut answers = Vec::new();
        for (name, to) in &ways {
            let repository = format!(r#""repository": {{"path": "alice/{name}"}}"#);
            let request = request.replacen('R', &repository, 1).replace("\": P", &format!("\": {PERSON}"));
            let request = serde_json::from_str(&format!("{{{request}}}")).unwrap();
            answers.push(match operation.key() {
                "ref.list_branches" => vec![Ok(listed(&**to, name).await.into())],
                _ => ask(&**to, key, &request).await,
            });
        }
        assert_eq!(answers[0], answers[1], "{key} {request}");
        assert_eq!(answers[0], answers[2], "{key} {request}");
        n_well += usize::from(answers[0].iter().all(Result::is_ok));
    }
    assert!(n_well > REQUESTS.len() / 2, "most of it works: {n_well}");
    for prefix in ["merge", "pull_request"] {
        let all = Operation::ALL.iter().filter(|operation| operation.service() == prefix);
        // Commits of files have tests of their own.
        let all = all.filter(|of| !["merge.commit_files", "merge.apply_suggestion"].contains(&of.key()));
        let missing: Vec<_> = all.filter(|of| REQUESTS.iter().all(|(key, _)| *key != of.key())).collect();
        assert!(missing.is_empty(), "every operation is asked: {missing:?}");
    }
}

async fn listed(to: &dyn Operations, name: &str) -> String {
    let mut lines = String::new();
    for branch in ["main", "old", "rival", "topic", "alone"] {
        let request =
            GetRefRequest { repository: key(name), ref_name: format!("refs/heads/{branch}").into() };
        let found = to.get_ref(Call::default(), request).await;
        lines += &format!(
            "{branch} {:?}\n",
            found.map(|found| hex(&found.target_oid)).map_err(|error| error.code)
        );
    }
    lines
}
