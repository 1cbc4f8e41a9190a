//! git's own client against our side, over a connection from beginning to end.

use hakata_names::ObjectFormat;

use crate::testing::{self, Bench, Daemon};

const BOTH: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

#[tokio::test(flavor = "multi_thread")]
async fn clones_and_fetches_of_every_kind() {
    let bench = Bench::new().await;
    for format in BOTH {
        for version in ["0", "1", "2"] {
            let (dir, [one, two, three]) = bench.history(format);
            let daemon = Daemon::start(&bench, &dir, format).await;
            let protocol = format!("protocol.version={version}");
            let run = async |args: &[&str]| daemon.client(&bench, &[&["-c", &protocol], args].concat()).await;
            let clone = |name: &str| format!("{name}-{format}-{version}.git");

            let full = clone("full");
            run(&["clone", "-q", "--mirror", &daemon.url, &full]).await;
            let full = bench.path(&full);
            assert_eq!(testing::git(&full, &["rev-parse", "main"]), format!("{three}\n"));
            testing::git(&full, &["fsck", "--strict"]);
            let listed = testing::git(&full, &["for-each-ref"]);
            assert_eq!(listed, testing::git(&dir, &["for-each-ref"]), "{format} v{version}");

            let shallow = clone("shallow");
            run(&["clone", "-q", "--bare", "--depth=1", &daemon.url, &shallow]).await;
            assert_eq!(testing::git(&bench.path(&shallow), &["rev-list", "--count", "main"]), "1\n");
            run(&["-C", &shallow, "fetch", "-q", "--deepen=1", &daemon.url, "main"]).await;
            assert_eq!(testing::git(&bench.path(&shallow), &["rev-list", "--count", "main"]), "2\n");
            run(&["-C", &shallow, "fetch", "-q", "--unshallow", &daemon.url, "main"]).await;
            assert_eq!(testing::git(&bench.path(&shallow), &["rev-list", "--count", "main"]), "3\n");

            let partial = clone("partial");
            run(&["clone", "-q", "--bare", "--filter=blob:none", &daemon.url, &partial]).await;
            let partial = bench.path(&partial);
            let missing = testing::git(&partial, &["rev-list", "--objects", "--missing=print", "main"]);
            assert_eq!(missing.lines().filter(|line| line.starts_with('?')).count(), 3, "{missing}");

            let four = testing::commit(&dir, "four", &[three]);
            testing::git(&dir, &["update-ref", "refs/heads/main", &four.to_string()]);
            run(&[
                "-C",
                &clone("full"),
                "fetch",
                "-q",
                &daemon.url,
                "main",
                &one.to_string(),
                &two.to_string(),
            ])
            .await;
            testing::git(&full, &["cat-file", "-e", &four.to_string()]);

            let lost = testing::commit(&dir, "lost", &[]).to_string();
            let said = daemon
                .failing_client(&bench, &["-C", &clone("full"), "-c", &protocol, "fetch", &daemon.url, &lost])
                .await;
            assert!(said.contains("not our ref"), "{format} v{version}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_can_be_cloned_and_listed() {
    let bench = Bench::new().await;
    for format in BOTH {
        for version in ["0", "1", "2"] {
            let dir = bench.repository(format);
            let daemon = Daemon::start(&bench, &dir, format).await;
            let name = format!("empty-{format}-{version}.git");
            let protocol = format!("protocol.version={version}");
            daemon.client(&bench, &["-c", &protocol, "clone", "-q", "--bare", &daemon.url, &name]).await;
            let shown = testing::git(&bench.path(&name), &["rev-parse", "--show-object-format"]);
            assert_eq!(shown.trim(), format.name(), "v{version}");
            assert_eq!(daemon.client(&bench, &["-c", &protocol, "ls-remote", &daemon.url]).await, "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_a_branch_and_nothing_else() {
    let bench = Bench::new().await;
    let (dir, _) = bench.history(ObjectFormat::Sha1);
    let daemon = Daemon::start(&bench, &dir, ObjectFormat::Sha1).await;
    let remote = format!("--remote={}", daemon.url);
    let tar = daemon.client(&bench, &["archive", &remote, "--format=tar", "main"]).await;
    assert!(tar.contains("three\n"), "the file is in the archive");
    let lost = testing::commit(&dir, "lost", &[]).to_string();
    let said = daemon.failing_client(&bench, &["archive", &remote, "--format=tar", &lost]).await;
    assert!(said.contains("no such ref"), "{said}");
}
