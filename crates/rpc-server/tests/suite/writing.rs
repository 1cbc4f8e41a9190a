//! Changes of refs over the wire.

use std::sync::Arc;

use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    CreateBranchRequest, CreatePullRefsRequest, DeleteBranchRequest, GetRefRequest, GetRepositoryRequest,
    RefMove, RefService, RepositoryKey, RepositoryService, Revision, SetDefaultBranchRequest,
    UpdateRefsRequest,
};
use hakata_rpc::{Call, Code, Operations};
use serde_json::json;

use crate::ask::ask;
use crate::fixture::World;

const SCRIPT: &[u8] = b"commit refs/heads/main\nmark :1\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline a\ndata 2\na\n\n\
commit refs/heads/main\nmark :2\ncommitter A <a@b> 2 +0000\ndata 4\ntwo\nfrom :1\nM 100644 inline b\ndata 2\nb\n\n";

fn key() -> Option<RepositoryKey> {
    Some(RepositoryKey { path: "Alice/tools".to_owned(), id: 0 })
}

fn revision(expression: &str) -> Option<Revision> {
    Some(Revision { expression: expression.to_owned(), ..Revision::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_come_move_and_go() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    let to = world.grpc();
    let make = |name: &'static str, at: &str| CreateBranchRequest {
        repository: key(),
        ref_name: name.into(),
        start: revision(at),
        ..CreateBranchRequest::default()
    };
    let made = to.create_branch(Call::default(), make("refs/heads/old", "main~1")).await.unwrap();
    let made = made.r#ref.unwrap();
    let again = to.create_branch(Call::default(), make("refs/heads/old", "main")).await.unwrap_err();
    assert_eq!(again.code, Code::Aborted);
    let moved = again.detail.and_then(|detail| detail.moved).unwrap();
    assert_eq!((&moved.expected_oid[..], &moved.actual_oid), (&b""[..], &made.target_oid));
    let inside = to.create_branch(Call::default(), make("refs/heads/old/deep", "main")).await.unwrap_err();
    assert_eq!(inside.code, Code::FailedPrecondition);
    let tag = to.create_branch(Call::default(), make("refs/tags/v1", "main")).await.unwrap_err();
    assert_eq!(tag.code, Code::InvalidArgument);
    let nowhere = to.create_branch(Call::default(), make("refs/heads/new", "none")).await.unwrap_err();
    assert_eq!(nowhere.code, Code::NotFound);

    let main =
        to.get_ref(Call::default(), GetRefRequest { repository: key(), ref_name: "refs/heads/main".into() });
    let main = main.await.unwrap();
    let step = |new: &bytes::Bytes| RefMove {
        ref_name: "refs/heads/old".into(),
        old_oid: made.target_oid.clone(),
        new_oid: new.clone(),
    };
    let request = UpdateRefsRequest {
        repository: key(),
        moves: vec![step(&main.target_oid)],
        atomic: true,
        staged: None,
    };
    // Of two that ask for the same, one wins and the other is told where the ref is.
    let (one, other) = tokio::join!(
        to.update_refs(Call::default(), request.clone()),
        to.update_refs(Call::default(), request.clone())
    );
    let mut both = [one, other];
    both.sort_by_key(Result::is_err);
    assert_eq!(both[0].as_ref().map(|answer| answer.moves.len()), Ok(1));
    assert_eq!(both[1].as_ref().map_err(|status| status.code), Err(Code::Aborted));

    let stale = DeleteBranchRequest {
        repository: key(),
        ref_name: "refs/heads/old".into(),
        expected_oid: made.target_oid.clone(),
        ..DeleteBranchRequest::default()
    };
    let refused = to.delete_branch(Call::default(), stale.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::Aborted);
    let fresh = DeleteBranchRequest { expected_oid: main.target_oid, ..stale };
    assert!(to.delete_branch(Call::default(), fresh.clone()).await.is_ok());
    assert_eq!(
        to.delete_branch(Call::default(), fresh).await.map_err(|status| status.code),
        Err(Code::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_not_here_make_no_ref() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    let to = world.msgpack();
    let absent = RefMove { ref_name: "refs/heads/x".into(), old_oid: "".into(), new_oid: vec![7; 20].into() };
    let request = UpdateRefsRequest { repository: key(), moves: vec![absent], atomic: false, staged: None };
    let answer = to.update_refs(Call::default(), request).await.unwrap();
    assert_eq!((answer.version, answer.moves.len()), (0, 1));
    assert!(!answer.moves[0].refusal.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_repeated_under_its_name_happens_once() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    let to = world.grpc();
    let call =
        Call { idempotency_key: Some("one".to_owned()), actor: Some(world.alice.get()), ..Call::default() };
    let request = SetDefaultBranchRequest { repository: key(), ref_name: "refs/heads/trunk".into() };
    let first = to.set_default_branch(call.clone(), request.clone()).await.unwrap();
    let again = to.set_default_branch(call, request).await.unwrap();
    assert_eq!(first, again);
    let now = to.get(Call::default(), GetRepositoryRequest { repository: key() }).await.unwrap();
    assert_eq!((&now.default_ref[..], now.version), (&b"refs/heads/trunk"[..], first.version));
}

/// Refs, as they are now.
async fn refs(to: &dyn Operations) -> Vec<String> {
    let mut names = Vec::new();
    for (key, list) in [("ref.list_branches", "branches"), ("ref.list_tags", "tags")] {
        let request = json!({"repository": {"path": "alice/tools"}});
        for part in ask(to, key, &request).await {
            let part = part.unwrap();
            let rows = part[list].as_array().unwrap().iter();
            names.extend(rows.map(|row| row["ref"]["name"].as_str().unwrap().to_owned()));
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_refs_can_be_prepared_and_is_made_by_its_caller() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    let ways: [Arc<dyn Operations>; 3] =
        [world.local.clone(), world.grpc().operations(), world.msgpack().operations()];
    let tagger = json!({"name": "A", "email": "a@b", "time_s": 7});
    for to in &ways {
        let before = refs(&**to).await;
        let head = json!({"ref_name": "refs/heads/main"});
        for (key, mut request, made) in [
            ("ref.create_branch", json!({"ref_name": "refs/heads/topic", "start": head}), "refs/heads/topic"),
            (
                "ref.create_tag",
                json!({"ref_name": "refs/tags/v1", "target": head, "message": "v1", "tagger": tagger}),
                "refs/tags/v1",
            ),
            ("ref.create_tag", json!({"ref_name": "refs/tags/light", "target": head}), "refs/tags/light"),
            ("ref.delete_branch", json!({"ref_name": "refs/heads/topic"}), ""),
            ("ref.delete_tag", json!({"ref_name": "refs/tags/v1"}), ""),
            ("ref.delete_tag", json!({"ref_name": "refs/tags/light"}), ""),
        ] {
            request["repository"] = json!({"path": "alice/tools"});
            request["form"] = json!("FORM_PREPARE");
            let prior = refs(&**to).await;
            let [Ok(prepared)] = &ask(&**to, key, &request).await[..] else { panic!("{key} is prepared") };
            assert_eq!(refs(&**to).await, prior, "{key} moves nothing");
            assert_eq!(prepared["version"], json!(0), "{key}");
            let commit = json!({
                "repository": {"path": "alice/tools"}, "staged": prepared["staged"], "atomic": true,
            });
            let [Ok(done)] = &ask(&**to, "ref.update_refs", &commit).await[..] else { panic!("{key}") };
            assert!(done["version"].as_i64() > Some(0), "{key}: {done}");
            let after = refs(&**to).await;
            assert_ne!(after, prior, "{key}");
            assert!(made.is_empty() || after.iter().any(|name| name == made), "{key}: {after:?}");
        }
        assert_eq!(refs(&**to).await, before);
        let offer = json!({
            "repository": {"path": "alice/tools"}, "number": 1, "head": head,
            "base": {"expression": "main~1"}, "form": "FORM_PREPARE",
        });
        let [Ok(offered)] = &ask(&**to, "pull_request.create_pull_refs", &offer).await[..] else { panic!() };
        assert_eq!(
            (&offered["version"], offered["staged"]["moves"].as_array().unwrap().len()),
            (&json!(1), 3)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_answered_the_same_under_its_name_whatever_came_between() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    let ways: [Arc<dyn Operations>; 3] =
        [world.local.clone(), world.grpc().operations(), world.msgpack().operations()];
    for (nth, to) in ways.iter().enumerate() {
        let named = |key: &str| Call { idempotency_key: Some(format!("{key} {nth}")), ..Call::default() };
        let topic = bytes::Bytes::from(format!("refs/heads/topic{nth}"));
        let create = CreateBranchRequest {
            repository: key(),
            ref_name: topic.clone(),
            start: revision("main~1"),
            ..CreateBranchRequest::default()
        };
        let made = to.create_branch(named("create"), create.clone()).await.unwrap();
        let delete = DeleteBranchRequest { repository: key(), ref_name: topic, ..Default::default() };
        let deleted = to.delete_branch(named("delete"), delete.clone()).await.unwrap();
        assert_eq!(to.create_branch(named("create"), create.clone()).await, Ok(made), "it is gone since");
        let again = to.create_branch(named("again"), create).await.unwrap();
        assert!(again.version > deleted.version);
        assert_eq!(to.delete_branch(named("delete"), delete).await, Ok(deleted), "it is there again");
        let offer = CreatePullRefsRequest {
            repository: key(),
            number: 1 + nth as i64,
            head: revision("main~1"),
            base: revision("main"),
            expected_version: Some(0),
            ..CreatePullRefsRequest::default()
        };
        let offered = to.create_pull_refs(named("offer"), offer.clone()).await.unwrap();
        let newer = CreatePullRefsRequest { head: revision("main"), expected_version: None, ..offer.clone() };
        let newer = to.create_pull_refs(named("newer"), newer).await.unwrap();
        assert_eq!((offered.version, newer.version), (1, 2));
        assert_eq!(to.create_pull_refs(named("offer"), offer.clone()).await, Ok(offered));
        let other = CreatePullRefsRequest { number: 77, ..offer };
        let other = to.create_pull_refs(named("offer"), other).await.unwrap_err();
        assert_eq!(other.code, Code::InvalidArgument, "a name is for one change: {other}");
        let long = Call { idempotency_key: Some("x".repeat(181)), ..Call::default() };
        let request = SetDefaultBranchRequest { repository: key(), ref_name: "refs/heads/trunk".into() };
        assert_eq!(to.set_default_branch(long, request).await.unwrap_err().code, Code::InvalidArgument);
    }
}
