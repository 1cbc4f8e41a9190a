use std::path::PathBuf;

use hakata_names::ObjectFormat;

use super::{Alternates, Foreign, ForeignError};
use crate::GitDir;
use crate::quarantine::{PackLimits, Quarantine};
use crate::refs::Head;
use crate::testing::{self, Bench};

fn quarantine(bench: &Bench, format: ObjectFormat) -> Quarantine {
    Quarantine::create(&bench.root.path().join("quarantine"), None, format).unwrap()
}

#[tokio::test]
async fn refs_and_objects_are_taken_over() {
    let bench = Bench::new().await;
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (dir, [one, _, three]) = bench.history(format);
        testing::git(&dir, &["pack-refs", "--all"]);
        testing::git(&dir, &["update-ref", "refs/heads/topic/a", &three.to_string()]);
        testing::git(&dir, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/heads/main"]);
        let foreign = Foreign::open(dir.path(), Alternates::Inside).unwrap();
        assert_eq!(foreign.format(), format);
        assert_eq!(foreign.head(), &Head::Symbolic(testing::main()));
        assert_eq!(foreign.n_skipped(), 1, "a symbolic ref is skipped");
        let listed: Vec<String> = foreign.refs().iter().map(|at| format!("{} {}", at.oid, at.name)).collect();
        let expected = testing::git(
            &dir,
            &["for-each-ref", "--exclude=refs/remotes", "--format=%(objectname) %(refname)"],
        );
        assert_eq!(listed, expected.lines().collect::<Vec<_>>(), "a loose ref wins over a packed one");
        let quarantine = quarantine(&bench, format);
        let pack = foreign.pack_all(&bench.git, &quarantine, &PackLimits::default()).await.unwrap().unwrap();
        assert!(pack.n_objects > 9 && pack.idx.is_file());
        let tips: Vec<_> = foreign.refs().iter().map(|at| at.oid).collect();
        assert_eq!(quarantine.check_connected(&bench.git, &tips, &[]).await.unwrap(), []);
        testing::git(quarantine.dir(), &["cat-file", "-e", &one.to_string()]);
    }
}

#[tokio::test]
async fn configuration_and_hooks_of_others_do_nothing() {
    let bench = Bench::new().await;
    let (dir, _) = bench.history(ObjectFormat::Sha1);
    let mark = bench.root.path().join("was-here");
    let touch = format!("touch {}", mark.display());
    let config = format!(
        "[core]\n\tbare = true\n\tfsmonitor = {touch}\n\tsshCommand = {touch}\n\tpager = {touch}\n\talternateRefsCommand = {touch}\n\
         [include]\n\tpath = /etc/passwd\n[uploadpack]\n\tpackObjectsHook = {touch}\n[gc]\n\trecentObjectsHook = {touch}\n"
    );
    std::fs::write(dir.path().join("config"), config).unwrap();
    let foreign = Foreign::open(dir.path(), Alternates::Inside).unwrap();
    foreign
        .pack_all(&bench.git, &quarantine(&bench, ObjectFormat::Sha1), &PackLimits::default())
        .await
        .unwrap();
    assert!(!mark.exists(), "nothing that the repository names was run");
}

#[tokio::test]
async fn repositories_that_reach_out_are_refused() {
    let bench = Bench::new().await;
    let (secret, [one, ..]) = bench.history(ObjectFormat::Sha1);
    let fresh = || {
        let dir = bench.repository(ObjectFormat::Sha1);
        testing::git(&dir, &["pack-refs", "--all"]);
        dir
    };
    let outside = fresh();
    std::fs::write(outside.objects().join("info/alternates"), format!("{}\n", secret.objects().display()))
        .unwrap();
    let climbing = fresh();
    std::fs::write(climbing.objects().join("info/alternates"), "../../../\n").unwrap();
    for dir in [&outside, &climbing] {
        let refused = Foreign::open(dir.path(), Alternates::Inside);
        assert!(matches!(refused, Err(ForeignError::Outside { .. })), "{refused:?}");
    }
    assert!(Foreign::open(outside.path(), Alternates::Anywhere).is_ok(), "the operator may say so");

    let linked = fresh();
    std::os::unix::fs::symlink("/etc/hostname", linked.path().join("refs/heads/main")).unwrap();
    let foreign = Foreign::open(linked.path(), Alternates::Inside).unwrap();
    assert_eq!((foreign.refs().len(), foreign.n_skipped()), (0, 1), "links are not followed");

    let nothing =
        foreign.pack_all(&bench.git, &quarantine(&bench, ObjectFormat::Sha1), &PackLimits::default()).await;
    assert!(nothing.unwrap().is_none());
    let _ = one;
}

/// The owner of a source has all the time in the world between our look at it and git's.
#[tokio::test]
async fn what_changes_after_the_look_leads_nowhere() {
    let bench = Bench::new().await;
    let (secret, [_, _, three]) = bench.history(ObjectFormat::Sha1);
    testing::git(&secret, &["repack", "-q", "-a", "-d"]);
    let pack_all = async |foreign: Foreign| {
        foreign.pack_all(&bench.git, &quarantine(&bench, ObjectFormat::Sha1), &PackLimits::default()).await
    };
    let looked_at = || {
        let dir = bench.repository(ObjectFormat::Sha1);
        std::fs::write(dir.path().join("refs/heads/main"), format!("{three}\n")).unwrap();
        let foreign = Foreign::open(dir.path(), Alternates::Inside).unwrap();
        (dir, foreign)
    };
    let borrowed = format!("{}\n", secret.objects().display());

    let (dir, foreign) = looked_at();
    std::fs::write(dir.objects().join("info/alternates"), &borrowed).unwrap();
    let packed = pack_all(foreign).await;
    assert!(matches!(packed, Err(ForeignError::Pack { .. })), "alternates are read once: {packed:?}");

    for place in ["objects/pack", "objects"] {
        let (dir, foreign) = looked_at();
        std::fs::remove_dir_all(dir.path().join(place)).unwrap();
        std::os::unix::fs::symlink(secret.path().join(place), dir.path().join(place)).unwrap();
        let packed = pack_all(foreign).await;
        assert!(matches!(packed, Err(ForeignError::Link { .. })), "{place}: {packed:?}");
    }

    let (dir, foreign) = looked_at();
    for entry in std::fs::read_dir(secret.objects().join("pack")).unwrap() {
        let file = entry.unwrap().path();
        std::os::unix::fs::symlink(&file, dir.objects().join("pack").join(file.file_name().unwrap()))
            .unwrap();
    }
    let packed = pack_all(foreign).await;
    assert!(matches!(packed, Err(ForeignError::Link { .. })), "{packed:?}");
}

#[tokio::test]
async fn links_among_refs_and_objects_lead_nowhere() {
    let bench = Bench::new().await;
    let (secret, _) = bench.history(ObjectFormat::Sha1);
    let secret_object = secret.objects().join("4b/825dc642cb6eb9a060e54bf8d69288fbee4904");
    let root = std::fs::canonicalize(bench.root.path()).unwrap();
    let pool = bench.repository(ObjectFormat::Sha1);
    for place in ["objects", "refs", "objects/pack", "objects/4b", "objects/pack/p.pack", "borrowed"] {
        let dir = bench.repository(ObjectFormat::Sha1);
        let link = match place {
            "borrowed" => {
                let line = format!("{}\n", pool.objects().display());
                std::fs::write(dir.objects().join("info/alternates"), line).unwrap();
                pool.objects().join("4b")
            }
            place => dir.path().join(place),
        };
        let _ = std::fs::remove_dir_all(&link);
        let target = if link.extension().is_some() { &secret_object } else { secret.path() };
        std::os::unix::fs::symlink(target, &link).unwrap();
        let refused = Foreign::open(dir.path(), Alternates::Below(root.clone()));
        let is_named =
            matches!(&refused, Err(ForeignError::Link { path }) if path.file_name() == link.file_name());
        assert!(is_named, "{place}: {refused:?}");
    }
    let outside = Foreign::open(secret.path(), Alternates::Below(pool.path().to_owned()));
    assert!(
        matches!(outside, Err(ForeignError::NotARepository { .. })),
        "a tree ends at its root: {outside:?}"
    );
}

#[tokio::test]
async fn what_is_no_repository_is_named() {
    let bench = Bench::new().await;
    let open = |dir: &GitDir| Foreign::open(dir.path(), Alternates::Inside);
    let absent = GitDir::new(PathBuf::from("/nowhere/at/all"));
    assert!(matches!(open(&absent), Err(ForeignError::Io { .. })));
    assert!(matches!(open(&GitDir::new(bench.root.path())), Err(ForeignError::NotARepository { .. })));
    for (file, content, expected) in [
        ("HEAD", "nonsense", "its HEAD is malformed"),
        ("config", "[extensions]\n\tobjectFormat = md5\n", "its object format is unknown"),
        ("config", "[extensions]\n\trefStorage = reftable\n", "git refs migrate"),
        ("config", "[core\n", "its config cannot be read"),
    ] {
        let dir = bench.repository(ObjectFormat::Sha1);
        std::fs::write(dir.path().join(file), content).unwrap();
        let error = open(&dir).unwrap_err().to_string();
        assert!(error.contains(expected), "{file}: {error}");
    }
}

#[tokio::test]
async fn forks_borrow_from_a_pool_beside_them() {
    let bench = Bench::new().await;
    let (base, [_, _, three]) = bench.history(ObjectFormat::Sha1);
    let (pool, fork) = (bench.repository(ObjectFormat::Sha1), bench.repository(ObjectFormat::Sha1));
    let relative =
        |to: &GitDir| format!("# shared\n../../{}/objects\n", to.path().file_name().unwrap().display());
    std::fs::write(pool.objects().join("info/alternates"), relative(&base)).unwrap();
    std::fs::write(fork.objects().join("info/alternates"), relative(&pool)).unwrap();
    std::fs::write(fork.path().join("refs/heads/main"), format!("{three}\n")).unwrap();
    let root = std::fs::canonicalize(bench.root.path()).unwrap();
    let foreign = Foreign::open(fork.path(), Alternates::Below(root.clone())).unwrap();
    let quarantine = quarantine(&bench, ObjectFormat::Sha1);
    let pack = foreign.pack_all(&bench.git, &quarantine, &PackLimits::default()).await.unwrap().unwrap();
    assert_eq!(pack.n_objects, 9, "all that three commits lead to");
    for within in [fork.path().to_owned(), root.join("elsewhere")] {
        let refused = Foreign::open(fork.path(), Alternates::Below(within));
        assert!(matches!(refused, Err(ForeignError::Outside { .. })), "{refused:?}");
    }
    // Two that borrow from each other end, too.
    std::fs::write(base.objects().join("info/alternates"), relative(&fork)).unwrap();
    assert!(Foreign::open(fork.path(), Alternates::Below(root)).is_ok());
}

#[tokio::test]
async fn a_description_is_one_line_that_somebody_wrote() {
    let bench = Bench::new().await;
    let unnamed = "Unnamed repository; edit this file 'description' to name the repository.\n";
    let long = "a".repeat(2_000);
    for (file, config, expected) in [
        (unnamed, "", ""),
        ("Tools\tfor\x1b all\nof us\n", "", "Tools for all of us"),
        (unnamed, "[gitweb]\n\tdescription = from gitweb\n", "from gitweb"),
        ("", "", ""),
        (long.as_str(), "", &long[..1_000]),
    ] {
        let dir = bench.repository(ObjectFormat::Sha1);
        std::fs::write(dir.path().join("description"), file).unwrap();
        std::fs::write(dir.path().join("config"), config).unwrap();
        let foreign = Foreign::open(dir.path(), Alternates::Inside).unwrap();
        assert_eq!(foreign.description(), expected, "{file:?}");
    }
}
