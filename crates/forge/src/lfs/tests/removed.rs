//! What an owner removed for good.

use serde_json::json;

use super::{Answer, Refusal, Stage, batch_download, find, wanted};
use crate::{Kind, Role};

#[tokio::test]
async fn b3_what_an_owner_removed_is_neither_given_nor_taken() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    stage.repository("alice/other").await;
    for (name, bytes) in
        [("alice/tools", &b"secret"[..]), ("alice/tools", b"kept"), ("alice/other", b"secret")]
    {
        stage.upload(&stage.alice, name, bytes).await.unwrap();
    }
    let oid = wanted(b"secret").oid.to_string();
    let act = |action: &str, oid: &str| json!({ "command": "lfs", "action": action, "path": "alice/tools", "oids": [oid] });
    for (odd, kind) in [("abc", Kind::Invalid), (&wanted(b"unknown").oid.to_string(), Kind::NotFound)] {
        assert_eq!(stage.world.admin(act("remove", odd)).await.unwrap_err().kind(), kind);
    }
    let done = stage.world.admin(act("remove", &oid)).await.unwrap();
    assert_eq!(done.message(), Some("removed 1 objects of alice/tools, 6 B"));
    stage.world.admin(act("remove", &oid)).await.unwrap();
    assert_eq!(stage.usage("alice/tools").await, (1, 4));
    let grant = stage.read(&stage.alice, "alice/tools").await;
    let answers = batch_download(forge, &grant, &[wanted(b"secret"), wanted(b"kept")]).await.unwrap();
    assert_eq!(answers, [Answer::Refused(Refusal::Removed), Answer::Transfer]);
    let removed = [Answer::Refused(Refusal::Removed)];
    assert_eq!(
        stage.ask(&stage.alice, "alice/tools", &[b"secret"]).await,
        removed,
        "though she may read it elsewhere"
    );
    let gone = find(forge, &grant, &wanted(b"secret").oid).await.unwrap_err();
    assert!(gone.is_removed() && gone.kind() == Kind::NotFound);
    assert!(!find(forge, &grant, &wanted(b"unknown").oid).await.unwrap_err().is_removed());
    let refused = stage.upload(&stage.alice, "alice/tools", b"secret").await.unwrap_err();
    assert!(refused.is_removed(), "{refused}");
    let other = stage.read(&stage.alice, "alice/other").await;
    assert!(find(forge, &other, &wanted(b"secret").oid).await.is_ok(), "others keep theirs");
    let done = stage.world.admin(act("restore", &oid)).await.unwrap();
    assert!(done.message().unwrap().contains("1 that were removed may be sent again"), "{done:?}");
    stage.upload(&stage.alice, "alice/tools", b"secret").await.unwrap();
    assert!(find(forge, &grant, &wanted(b"secret").oid).await.is_ok());
}

/// The sentence tells nobody of a repository that they may not read.
#[tokio::test]
async fn what_was_removed_is_known_to_readers_only() {
    let stage = Stage::new().await;
    stage.upload(&stage.alice, "alice/tools", b"secret").await.unwrap();
    stage.invite("bob", Role::Reporter).await;
    let grant = stage.read(&stage.bob, "alice/tools").await;
    let oid = wanted(b"secret").oid;
    let command =
        json!({ "command": "lfs", "action": "remove", "path": "alice/tools", "oids": [oid.to_string()] });
    stage.world.admin(command).await.unwrap();
    assert!(find(&stage.world.forge, &grant, &oid).await.unwrap_err().is_removed());
    stage.repository("bob/own").await;
    let own = stage.read(&stage.bob, "bob/own").await;
    assert!(!find(&stage.world.forge, &own, &oid).await.unwrap_err().is_removed(), "each for itself");
}
