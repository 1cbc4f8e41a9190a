//! Commits and tags that the service makes itself.

use std::sync::Arc;

use hakata_names::{ObjectFormat, Oid, RepositoryId};
use hakata_rpc::v1::{
    ApplySuggestionRequest, CommitFilesRequest, CreateTagRequest, FileAct, FileChange, FileMode, Form,
    GetRefRequest, MadeCommit, RepositoryKey, Revision, Signature, Suggestion, UpdateRefsRequest,
};
use hakata_rpc::{Call, Code, Operations, Status};

use crate::fixture::{World, run};

const SCRIPT: &[u8] = b"commit refs/heads/main\nmark :1\ncommitter A <a@b> 1 +0000\ndata 4\none\n\
M 100644 inline a\ndata 6\n1\n2\n3\nM 100755 inline bin/run\ndata 4\nrun\nM 120000 inline link\ndata 3\nbin\
M 160000 0123456789012345678901234567890123456789 sub\n\n";

fn script(format: ObjectFormat) -> Vec<u8> {
    let text = String::from_utf8(SCRIPT.to_vec()).unwrap();
    let longer = format!("{}{}", "0123456789".repeat(6), "0123");
    match format {
        ObjectFormat::Sha1 => text.into_bytes(),
        ObjectFormat::Sha256 => text.replace(&"0123456789".repeat(4), &longer).into_bytes(),
    }
}

/// The same repository three times, each to be asked in its own way.
struct Copies {
    world: World,
    ways: Vec<(RepositoryId, Arc<dyn Operations>)>,
}

impl Copies {
    async fn new(format: ObjectFormat) -> Self {
        let world = World::new().await;
        world.import(format, &script(format));
        let to: [Arc<dyn Operations>; 3] =
            [world.local.clone(), world.grpc().operations(), world.msgpack().operations()];
        let mut ways = Vec::new();
        for (nth, to) in to.into_iter().enumerate() {
            ways.push((world.create(&format!("copy{nth}"), format).await, to));
        }
        Self { world, ways }
    }

    /// Asks in all ways; the answers, without what was staged, are the same.
    async fn commit(&self, request: &CommitFilesRequest) -> Result<MadeCommit, Status> {
        let mut answers = Vec::new();
        for (id, to) in &self.ways {
            let request = CommitFilesRequest { repository: key(*id), ..request.clone() };
            answers.push(to.commit_files(Call::default(), request.into()).await);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{request:?}: {answers:?}");
        answers.swap_remove(0)
    }

    async fn suggest(&self, request: &ApplySuggestionRequest) -> Result<MadeCommit, Status> {
        let mut answers = Vec::new();
        for (id, to) in &self.ways {
            let request = ApplySuggestionRequest { repository: key(*id), ..request.clone() };
            answers.push(to.apply_suggestion(Call::default(), request).await);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{request:?}: {answers:?}");
        answers.swap_remove(0)
    }

    /// Asks git in the directory of the last copy.
    async fn git(&self, args: &[&str]) -> String {
        git(&self.world, self.ways[2].0, args).await
    }
}

async fn git(world: &World, id: RepositoryId, args: &[&str]) -> String {
    let cache = world.repositories.open(id).await.unwrap().cache().await.unwrap();
    String::from_utf8(run(cache.dir().path(), args, b"")).unwrap()
}

fn key(id: RepositoryId) -> Option<RepositoryKey> {
    Some(RepositoryKey { id: id.get(), path: String::new() })
}

fn signature() -> Signature {
    Signature {
        name: "A U Thor".into(),
        email: "a@example.org".into(),
        time_s: 1_700_000_000,
        offset_minutes: 540,
    }
}

fn commit(changes: Vec<FileChange>) -> CommitFilesRequest {
    CommitFilesRequest {
        ref_name: "refs/heads/main".into(),
        author: Some(signature()),
        message: "  \nsubject  \n\n\nbody".into(),
        changes,
        ..CommitFilesRequest::default()
    }
}

fn change(act: FileAct, path: &'static str, content: &'static str) -> FileChange {
    FileChange { act: act.into(), path: path.into(), content: content.into(), ..FileChange::default() }
}

fn put(path: &'static str, content: &'static str) -> FileChange {
    change(FileAct::Put, path, content)
}

fn hex(oid: &[u8]) -> String {
    Oid::from_bytes(oid).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_committed_alike_in_all_ways_and_as_git_would() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let copies = Copies::new(format).await;
        let before = copies.git(&["rev-parse", "main"]).await;
        let changes = vec![
            change(FileAct::Create, "new/deep", "new\n"),
            change(FileAct::Update, "a", "changed\n"),
            FileChange { mode: FileMode::Symlink.into(), ..put("l", "a") },
            FileChange { from_path: "bin/run".into(), ..change(FileAct::Move, "run", "") },
            FileChange { act: FileAct::Delete.into(), path: "link".into(), ..FileChange::default() },
        ];
        let made = copies.commit(&commit(changes)).await.unwrap();
        assert_eq!((made.version, &made.staged), (2, &None));
        let tree = copies.git(&["ls-tree", "-r", "--format=%(objectmode) %(path)", "main"]).await;
        assert_eq!(tree, "100644 a\n120000 l\n100644 new/deep\n100755 run\n160000 sub\n");
        assert_eq!(copies.git(&["cat-file", "blob", "main:a"]).await, "changed\n");
        let said = copies.git(&["cat-file", "commit", "main"]).await;
        let person = "A U Thor <a@example.org> 1700000000 +0900";
        let tree = copies.git(&["rev-parse", "main^{tree}"]).await;
        let wanted =
            format!("tree {tree}parent {before}author {person}\ncommitter {person}\n\nsubject\n\nbody\n");
        assert_eq!(said, wanted);
        assert_eq!(copies.git(&["rev-parse", "main"]).await.trim(), hex(&made.oid));
        for (id, _) in &copies.ways {
            let repository = copies.world.repositories.open(*id).await.unwrap();
            assert_eq!(repository.verify().await.unwrap(), [], "rows, bytes and directory agree");
        }

        let start = Some(Revision { expression: "main~1".to_owned(), ..Revision::default() });
        let branch = CommitFilesRequest {
            ref_name: "refs/heads/topic".into(),
            start,
            committer: Some(Signature { name: "C".into(), ..signature() }),
            ..commit(vec![put("a", "topic\n")])
        };
        copies.commit(&branch).await.unwrap();
        assert_eq!(copies.git(&["rev-parse", "topic~1"]).await, before);
        assert_eq!(copies.git(&["log", "-1", "--format=%an %cn", "topic"]).await, "A U Thor C\n");
        let again = copies.commit(&branch).await.unwrap_err();
        assert_eq!(again.code, Code::Aborted, "a new branch must not exist");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_gets_its_first_commit() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha256, b"");
    let id = world.create("empty", ObjectFormat::Sha256).await;
    let request = CommitFilesRequest { repository: key(id), ..commit(vec![put("README", "hello\n")]) };
    let made = world.local.commit_files(Call::default(), request.clone().into()).await.unwrap();
    assert_eq!(git(&world, id, &["log", "--format=%H %P", "main"]).await, format!("{} \n", hex(&made.oid)));
    let other = CommitFilesRequest { ref_name: "refs/heads/other".into(), ..request };
    let other = world.local.commit_files(Call::default(), other.into()).await.unwrap_err();
    assert_eq!(other.code, Code::NotFound, "a branch without a beginning is made once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_told_alike_and_changes_nothing() {
    let copies = Copies::new(ObjectFormat::Sha1).await;
    let before = copies.git(&["rev-parse", "main"]).await;
    let expecting = |oid: &'static [u8]| FileChange { expected_oid: oid.into(), ..put("a", "x") };
    for (change, path, kind) in [
        (change(FileAct::Create, "a", "x"), "a", "exists"),
        (change(FileAct::Update, "none", "x"), "none", "missing"),
        (change(FileAct::Delete, "none", ""), "none", "missing"),
        (put("a/b", "x"), "a/b", "file/directory"),
        (put("link/b", "x"), "link/b", "symlink/directory"),
        (put("sub/b", "x"), "sub/b", "submodule/directory"),
        (put("bin", "x"), "bin", "no file"),
        (expecting(&[7; 20]), "a", "content"),
    ] {
        let refused = copies.commit(&commit(vec![change])).await.unwrap_err();
        assert_eq!(refused.code, Code::FailedPrecondition, "{refused}");
        let paths = refused.detail.unwrap().paths;
        assert_eq!((paths.len(), &paths[0].path[..], &paths[0].kind[..]), (1, path.as_bytes(), kind));
    }
    let invalid = [
        commit(vec![put("a", "x"), put("a", "y")]),
        commit(vec![put(".git/hooks/x", "x")]),
        commit(vec![put("x/GIT~1/y", "x")]),
        commit(vec![put("../x", "x")]),
        commit(vec![put("", "x")]),
        commit(vec![change(FileAct::Unspecified, "a", "")]),
        commit(vec![FileChange { mode: FileMode::Symlink.into(), ..put(".gitmodules", "a") }]),
        commit(vec![FileChange { mode: 9, ..put("a", "x") }]),
        CommitFilesRequest { author: None, ..commit(vec![put("a", "x")]) },
        CommitFilesRequest { message: " \n".into(), ..commit(vec![put("a", "x")]) },
        CommitFilesRequest { ref_name: "refs/tags/v1".into(), ..commit(vec![put("a", "x")]) },
        CommitFilesRequest { form: 9, ..commit(vec![put("a", "x")]) },
        // git itself refuses what could run commands in a clone.
        commit(vec![put(".gitmodules", "[submodule \"a\"]\n\tpath = a\n\turl = -u./payload\n")]),
    ];
    for request in invalid {
        let refused = copies.commit(&request).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{request:?}: {refused}");
    }
    let same = copies.commit(&commit(vec![put("a", "1\n2\n3\n")])).await.unwrap_err();
    assert_eq!(same.code, Code::FailedPrecondition, "a commit that changes nothing");
    assert_eq!(copies.git(&["rev-parse", "main"]).await, before);
    let empty = CommitFilesRequest { allow_empty: true, ..commit(Vec::new()) };
    copies.commit(&empty).await.unwrap();
    assert_eq!(copies.git(&["rev-parse", "main~1"]).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_commits_on_one_tip_one_wins_and_the_other_is_told() {
    let copies = Copies::new(ObjectFormat::Sha1).await;
    let (id, to) = &copies.ways[1];
    let tip = Oid::parse_hex(copies.git(&["rev-parse", "main"]).await.trim().as_bytes()).unwrap();
    let on_tip = |content| CommitFilesRequest {
        repository: key(*id),
        expected_oid: tip.as_bytes().to_vec().into(),
        ..commit(vec![put("a", content)])
    };
    let (one, other) = tokio::join!(
        to.commit_files(Call::default(), on_tip("one").into()),
        to.commit_files(Call::default(), on_tip("other").into())
    );
    let mut both = [one, other];
    both.sort_by_key(Result::is_err);
    let [Ok(won), Err(lost)] = both else { panic!("one wins: {both:?}") };
    assert_eq!(lost.code, Code::Aborted);
    let moved = lost.detail.and_then(|detail| detail.moved).unwrap();
    assert_eq!((&moved.expected_oid[..], &moved.actual_oid), (tip.as_bytes(), &won.oid));
    assert_eq!(git(&copies.world, *id, &["rev-list", "--count", "main"]).await, "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_repeated_under_its_name_is_made_once() {
    let copies = Copies::new(ObjectFormat::Sha1).await;
    let tip = Oid::parse_hex(copies.git(&["rev-parse", "main"]).await.trim().as_bytes()).unwrap();
    for (id, to) in &copies.ways {
        let call = Call { idempotency_key: Some("one".to_owned()), ..Call::default() };
        let request = CommitFilesRequest {
            repository: key(*id),
            expected_oid: tip.as_bytes().to_vec().into(),
            ..commit(vec![put("a", "x")])
        };
        let (first, second) = tokio::join!(
            to.commit_files(call.clone(), request.clone().into()),
            to.commit_files(call.clone(), request.clone().into())
        );
        // A client that tries again says another time.
        let author = Some(Signature { time_s: 1_800_000_000, ..signature() });
        let third = to.commit_files(call, CommitFilesRequest { author, ..request }.into()).await;
        assert_eq!((&first, &first), (&second, &third));
        assert!(first.is_ok(), "{first:?}");
        assert_eq!(git(&copies.world, *id, &["rev-list", "--count", "main"]).await, "2\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_is_committed_by_its_caller() {
    let copies = Copies::new(ObjectFormat::Sha1).await;
    for (nth, (id, to)) in copies.ways.iter().enumerate() {
        let before = git(&copies.world, *id, &["rev-parse", "main"]).await;
        let request = CommitFilesRequest {
            repository: key(*id),
            form: Form::Prepare.into(),
            ..commit(vec![put("a", "prepared")])
        };
        let made = to.commit_files(Call::default(), request.into()).await.unwrap();
        assert_eq!(made.version, 0);
        assert_eq!(git(&copies.world, *id, &["rev-parse", "main"]).await, before, "preparing moves nothing");

        let staged = made.staged.clone();
        let update = UpdateRefsRequest { repository: key(*id), staged, atomic: true, ..Default::default() };
        let elsewhere = UpdateRefsRequest { repository: key(copies.ways[(nth + 1) % 3].0), ..update.clone() };
        let elsewhere = to.update_refs(Call::default(), elsewhere).await.unwrap_err();
        assert_eq!(elsewhere.code, Code::InvalidArgument);
        let call = Call { idempotency_key: Some("merge".to_owned()), ..Call::default() };
        let done = to.update_refs(call.clone(), update.clone()).await.unwrap();
        assert_eq!((done.version, done.moves.len(), &done.moves[0].refusal[..]), (2, 1, ""));
        assert_eq!(git(&copies.world, *id, &["rev-parse", "main"]).await.trim(), hex(&made.oid));
        assert_eq!(to.update_refs(call, update.clone()).await, Ok(done), "a repetition is told the same");
        let again = to.update_refs(Call::default(), update).await.unwrap_err();
        assert_eq!(again.code, Code::FailedPrecondition);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_replace_lines_they_were_made_for() {
    let copies = Copies::new(ObjectFormat::Sha1).await;
    let lines = |lines: &[&'static str]| lines.iter().map(|line| (*line).into()).collect();
    let suggest = |path: &'static str, first_line, n_lines, old: &[&'static str], new: &[&'static str]| {
        Suggestion { path: path.into(), first_line, n_lines, old_lines: lines(old), new_lines: lines(new) }
    };
    let request = |suggestions| ApplySuggestionRequest {
        ref_name: "refs/heads/main".into(),
        author: Some(signature()),
        message: "suggested".into(),
        suggestions,
        ..ApplySuggestionRequest::default()
    };
    let two = vec![
        suggest("a", 3, 1, &["3"], &["three", "3½"]),
        suggest("bin/run", 1, 1, &[], &["ran"]),
        suggest("a", 1, 1, &["1"], &[]),
    ];
    copies.suggest(&request(two)).await.unwrap();
    assert_eq!(copies.git(&["cat-file", "blob", "main:a"]).await, "2\nthree\n3½\n");
    assert_eq!(copies.git(&["ls-tree", "--format=%(objectmode)", "main", "bin/run"]).await, "100755\n");

    for (suggestion, kind) in [
        (suggest("a", 1, 1, &["1"], &["x"]), "content"),
        (suggest("a", 9, 1, &[], &["x"]), "content"),
        (suggest("none", 1, 1, &[], &["x"]), "missing"),
        (suggest("link", 1, 1, &[], &["x"]), "no file"),
    ] {
        let refused = copies.suggest(&request(vec![suggestion.clone()])).await.unwrap_err();
        assert_eq!(refused.code, Code::FailedPrecondition, "{suggestion:?}");
        let paths = refused.detail.unwrap().paths;
        assert_eq!((paths.len(), &paths[0].path, &paths[0].kind[..]), (1, &suggestion.path, kind));
    }
    let overlapping = vec![suggest("a", 1, 2, &[], &["x"]), suggest("a", 2, 1, &[], &["y"])];
    for bad in [overlapping, Vec::new(), vec![suggest("a", 1, 1, &[], &["x\ny"])]] {
        assert_eq!(copies.suggest(&request(bad)).await.unwrap_err().code, Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_with_a_message_are_objects_as_git_makes_them() {
    let copies = Copies::new(ObjectFormat::Sha1).await;
    let main = copies.git(&["rev-parse", "main"]).await;
    for (id, to) in &copies.ways {
        let revision =
            |expression: &str| Some(Revision { expression: expression.to_owned(), ..Revision::default() });
        let tag = |name: &'static str, target, message: &'static str| CreateTagRequest {
            repository: key(*id),
            ref_name: name.into(),
            target: revision(target),
            message: message.into(),
            tagger: (!message.is_empty()).then(signature),
            ..CreateTagRequest::default()
        };
        let made = to.create_tag(Call::default(), tag("refs/tags/v1", "main", "release ")).await.unwrap();
        let made = made.r#ref.unwrap();
        assert_eq!(hex(&made.peeled_oid), main.trim());
        let person = "A U Thor <a@example.org> 1700000000 +0900";
        let text = format!("object {main}type commit\ntag v1\ntagger {person}\n\nrelease\n");
        let by_git = run(copies.world.client.path(), &["mktag"], text.as_bytes());
        assert_eq!(hex(&made.target_oid), String::from_utf8(by_git).unwrap().trim());

        to.create_tag(Call::default(), tag("refs/tags/nested", "v1", "again")).await.unwrap();
        to.create_tag(Call::default(), tag("refs/tags/tree", "main^{tree}", "a tree")).await.unwrap();
        let light = to.create_tag(Call::default(), tag("refs/tags/light", "main", "")).await.unwrap();
        let light = light.r#ref.unwrap();
        assert_eq!((hex(&light.target_oid), light.peeled_oid.len()), (main.trim().to_owned(), 0));
        let listed = git(
            &copies.world,
            *id,
            &["for-each-ref", "--format=%(refname:short) %(objecttype) %(type)", "refs/tags"],
        );
        assert_eq!(listed.await, "light commit \nnested tag tag\ntree tag tree\nv1 tag commit\n");
        let again = to.create_tag(Call::default(), tag("refs/tags/v1", "main", "other")).await.unwrap_err();
        assert_eq!(again.code, Code::Aborted);
        let nobody = CreateTagRequest { tagger: None, ..tag("refs/tags/v2", "main", "m") };
        assert_eq!(to.create_tag(Call::default(), nobody).await.unwrap_err().code, Code::InvalidArgument);
        let found = GetRefRequest { repository: key(*id), ref_name: "refs/tags/v1".into() };
        assert_eq!(to.get_ref(Call::default(), found).await, Ok(made));
    }
}
