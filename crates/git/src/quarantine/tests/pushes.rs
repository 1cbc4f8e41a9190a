//! git's own client pushing to our side.

use hakata_names::ObjectFormat;

use crate::testing::{self, Bench, Daemon};

#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_every_kind() {
    let bench = Bench::new().await;
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (work, [one, two, three]) = bench.history(format);
        let dir = bench.repository(format);
        let daemon = Daemon::start(&bench, &dir, format).await;
        let work_path = work.path().display().to_string();
        let push = async |args: &[&str]| {
            let args = [&["-C", &work_path, "push"], args].concat();
            let output = daemon.run(&bench, &args).await;
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (ok, said) = push(&[&daemon.url, "main", "v1", "nested"]).await;
        assert!(ok && said.contains("remote: hello from hakata"), "{said}");
        assert_eq!(testing::git(&dir, &["rev-parse", "main"]), format!("{three}\n"));
        testing::git(&dir, &["fsck", "--strict"]);

        let (ok, said) = push(&[&daemon.url, "main"]).await;
        assert!(ok && said.contains("up-to-date"), "{said}");
        let four = testing::commit(&work, "four", &[three]);
        let (ok, said) = push(&[
            &daemon.url,
            &format!("{four}:refs/heads/main"),
            &format!("{one}:refs/heads/old"),
            ":refs/tags/v1",
        ])
        .await;
        assert!(ok, "an update, a known commit and a deletion: {said}");
        assert_eq!(testing::git(&dir, &["rev-parse", "main", "old"]), format!("{four}\n{one}\n"));
        let (ok, said) = push(&[&daemon.url, ":refs/heads/old"]).await;
        assert!(ok, "nothing but a deletion: {said}");
        let (ok, said) =
            push(&["--atomic", "-o", "topic=x", &daemon.url, &format!("+{two}:refs/heads/main")]).await;
        assert!(ok, "forced, with options: {said}");
        let long = format!("{four}:refs/heads/{}", "x".repeat(256));
        let (ok, said) = push(&[&daemon.url, &long, &format!("{four}:refs/heads/fine")]).await;
        assert!(!ok && said.contains("funny refname") && said.contains("-> fine"), "{said}");
        let (ok, said) = push(&["--signed=yes", &daemon.url, "main"]).await;
        assert!(!ok && said.contains("does not support --signed"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_pushes_what_it_has() {
    let bench = Bench::new().await;
    let (dir, [_, _, three]) = bench.history(ObjectFormat::Sha1);
    let daemon = Daemon::start(&bench, &dir, ObjectFormat::Sha1).await;
    daemon.client(&bench, &["clone", "-q", "--bare", "--depth=1", &daemon.url, "shallow.git"]).await;
    let shallow = bench.path("shallow.git");
    let four = testing::commit(&shallow, "four", &[three]);
    daemon
        .client(&bench, &["-C", "shallow.git", "push", &daemon.url, &format!("{four}:refs/heads/main")])
        .await;
    assert_eq!(testing::git(&dir, &["rev-list", "--count", "main"]), "4\n");

    let empty = bench.repository(ObjectFormat::Sha1);
    let daemon = Daemon::start(&bench, &empty, ObjectFormat::Sha1).await;
    let refspec = format!("{four}:refs/heads/main");
    let said = daemon.failing_client(&bench, &["-C", "shallow.git", "push", &daemon.url, &refspec]).await;
    assert!(said.contains("shallow update not allowed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_object_is_named_to_the_person_who_pushes() {
    let bench = Bench::new().await;
    let work = bench.repository(ObjectFormat::Sha1);
    let blob = testing::object(&work, "blob", b"x");
    let tree = testing::object(&work, "tree", &[b"100644 .git\0".as_slice(), blob.as_bytes()].concat());
    let commit = testing::git(&work, &["commit-tree", "-m", "x", &tree.to_string()]);
    let dir = bench.repository(ObjectFormat::Sha1);
    let daemon = Daemon::start(&bench, &dir, ObjectFormat::Sha1).await;
    let path = work.path().display().to_string();
    let refspec = format!("{}:refs/heads/main", commit.trim());
    let said = daemon.failing_client(&bench, &["-C", &path, "push", &daemon.url, &refspec]).await;
    assert!(said.contains("hasDotgit") && said.contains("unpacker error"), "{said}");
    assert_eq!(testing::git(&dir, &["for-each-ref"]), "");
}
