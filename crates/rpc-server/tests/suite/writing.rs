//! Changes of refs over the wire.

use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    CreateBranchRequest, DeleteBranchRequest, GetRefRequest, GetRepositoryRequest, RefMove, RefService,
    RepositoryKey, RepositoryService, Revision, SetDefaultBranchRequest, UpdateRefsRequest,
};
use hakata_rpc::{Call, Code};

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
    };
    let made = to.create_branch(Call::default(), make("refs/heads/old", "main~1")).await.unwrap();
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
