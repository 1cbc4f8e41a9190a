//! Two servers with a data directory each, over one database and one folder of packs.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{
    Database, Engine, Person, S3Server, Sandbox, Server, ServerOptions, SlowProxy, run, wait_until,
};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Too large to live in a row of the database.
const LARGE: usize = 2_000_000;

fn sandbox() -> Result<Sandbox> {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata"))
}

fn options(database: &Database, packs: &Path, node: &str) -> ServerOptions {
    let settings = [
        ("database.url", database.url()),
        ("storage.blobs", packs.display().to_string()),
        ("server.node", node.to_owned()),
    ];
    ServerOptions {
        settings: settings.map(|(key, value)| (key.to_owned(), value)).to_vec(),
        ..ServerOptions::default()
    }
}

/// Adds a file of random bytes to `t` and commits it.
fn commit(sandbox: &Sandbox, alice: &Person, name: &str) -> Result<String> {
    let mut bytes = vec![0; LARGE];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes))?;
    std::fs::write(sandbox.work().join("t").join(name), bytes)?;
    git(alice, &["-C", "t", "add", "--all"])?;
    git(alice, &["-C", "t", "commit", "--quiet", "--message", name])?;
    git(alice, &["-C", "t", "rev-parse", "HEAD"])
}

fn git(alice: &Person, arguments: &[&str]) -> Result<String> {
    let output = run(&mut alice.git(2, arguments))?.expect_success(&format!("git {arguments:?}"))?;
    Ok(output.stdout.trim().to_owned())
}

fn url(address: &str) -> String {
    format!("http://{address}/alice/tools")
}

#[test]
fn two_servers_share_a_database_and_packs() -> Result<()> {
    let database = Database::create(Engine::Postgres)?.context("PostgreSQL has databases")?;
    let (one, two) = (sandbox()?, sandbox()?);
    let packs = one.path().join("packs");
    let (first, second) = (options(&database, &packs, "one"), options(&database, &packs, "two"));
    let a = Server::start(&one, &first)?;
    let mut b = Server::start(&two, &second)?;
    let alice = Person::with_account(&one, "alice", &[], &first)?;
    git(&alice, &["init", "--quiet", "t"])?;

    let tip = commit(&one, &alice, "a")?;
    git(&alice, &["-C", "t", "push", "--quiet", &url(&a.http), "HEAD:main"])?;
    git(&alice, &["clone", "--quiet", &url(&b.http), "from-b"])?;
    assert_eq!(git(&alice, &["-C", "from-b", "rev-parse", "HEAD"])?, tip, "what one took the other gives");
    let own =
        ["one", "two"].iter().zip([&one, &two]).find(|(_, sandbox)| sandbox.data().join("blobs").exists());
    assert!(own.is_none(), "{own:?} keeps packs of its own", own = own.map(|(name, _)| name));

    // The other one is killed and starts again, sweeping, while this one takes a push.
    let tip = commit(&one, &alice, "b")?;
    let slow = SlowProxy::start(&a.http, LARGE as u64)?;
    std::thread::scope(|scope| {
        let mut push = alice.git(2, &["-C", "t", "push", "--quiet", &url(&slow.address), "HEAD:main"]);
        let pushing = scope.spawn(move || run(&mut push));
        wait_until("a push under way", LIMIT, || slow.passed() > LARGE as u64 / 4)?;
        b.kill()?;
        b = b.start_again(&two, &second)?;
        ensure!(!pushing.is_finished(), "the push was over before the other server was back");
        pushing.join().map_err(|_| anyhow::anyhow!("a client panicked"))??.expect_success("git push")?;
        Ok(())
    })?;
    git(&alice, &["-C", "from-b", "pull", "--quiet", &url(&b.http), "main"])?;
    assert_eq!(git(&alice, &["-C", "from-b", "rev-parse", "HEAD"])?, tip);
    git(&alice, &["-C", "from-b", "fsck", "--full", "--strict", "--no-progress"])?;
    for (sandbox, options) in [(&one, &first), (&two, &second)] {
        let verify = ["repo", "verify", "alice/tools"];
        run(sandbox.hakata(&verify).envs(options.environment()))?.expect_success("hakata repo verify")?;
    }
    Ok(())
}

#[test]
fn two_servers_on_machines_of_their_own_share_a_bucket() -> Result<()> {
    let database = Database::create(Engine::Postgres)?.context("PostgreSQL has databases")?;
    let bucket = S3Server::start()?;
    let (one, two) = (sandbox()?, sandbox()?);
    let options = |node: &str| {
        let mut options = options(&database, Path::new("blobs"), node);
        options.settings.extend(bucket.settings().map(|(key, value)| (key.to_owned(), value)));
        options.settings.push(("storage.s3.part_size".to_owned(), "5MiB".to_owned()));
        options
    };
    let (first, second) = (options("one"), options("two"));
    let a = Server::start(&one, &first)?;
    let b = Server::start(&two, &second)?;
    let alice = Person::with_account(&one, "alice", &[], &first)?;
    git(&alice, &["init", "--quiet", "t"])?;

    // One pack that goes whole, and one that goes in parts and comes back with its index.
    commit(&one, &alice, "a")?;
    git(&alice, &["-C", "t", "push", "--quiet", &url(&a.http), "HEAD:main"])?;
    for name in ["b", "c", "d"] {
        commit(&one, &alice, name)?;
    }
    let tip = git(&alice, &["-C", "t", "rev-parse", "HEAD"])?;
    git(&alice, &["-C", "t", "push", "--quiet", &url(&a.http), "HEAD:main"])?;
    assert_eq!(bucket.objects()?.len(), 6, "three files a pack, and no more: {:?}", bucket.objects()?);
    git(&alice, &["clone", "--quiet", &url(&b.http), "from-b"])?;
    assert_eq!(git(&alice, &["-C", "from-b", "rev-parse", "HEAD"])?, tip, "what one took the other gives");
    git(&alice, &["-C", "from-b", "fsck", "--full", "--strict", "--no-progress"])?;
    for (sandbox, options) in [(&one, &first), (&two, &second)] {
        assert!(!sandbox.data().join("blobs").exists(), "no packs of its own");
        let verify = ["repo", "verify", "alice/tools"];
        run(sandbox.hakata(&verify).envs(options.environment()))?.expect_success("hakata repo verify")?;
    }

    // The other takes a push as well, and loses its directories.
    let tip = commit(&one, &alice, "e")?;
    git(&alice, &["-C", "t", "push", "--quiet", &url(&b.http), "HEAD:main"])?;
    drop(a);
    std::fs::remove_dir_all(one.data().join("repositories"))?;
    let a = Server::start(&one, &first)?;
    git(&alice, &["clone", "--quiet", &url(&a.http), "from-a"])?;
    assert_eq!(git(&alice, &["-C", "from-a", "rev-parse", "HEAD"])?, tip);

    // Damage is found where the bytes are, not where they are cached.
    let damaged = bucket.objects()?.into_iter().find(|path| path.extension().is_some_and(|at| at == "pack"));
    let damaged = damaged.context("the bucket has packs")?;
    let mut bytes = std::fs::read(&damaged)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes)?;
    let verified = run(one.hakata(&["repo", "verify", "alice/tools"]).envs(first.environment()))?;
    assert!(verified.expect_success("hakata repo verify").is_err(), "a damaged pack is found");
    Ok(())
}

/// What a server keeps moves from its directory to a bucket and back, while it serves and while it does not.
#[test]
fn files_move_to_a_bucket_and_back() -> Result<()> {
    let (sandbox, bucket) = (sandbox()?, S3Server::start()?);
    let options = |moving: &str, has_bucket: bool| {
        let mut settings = vec![("storage.moving".to_owned(), moving.to_owned())];
        if has_bucket {
            settings.extend(bucket.settings().map(|(key, value)| (key.to_owned(), value)));
        }
        ServerOptions { settings, ..ServerOptions::default() }
    };
    let migrate = |options: &ServerOptions| {
        let moved = run(sandbox.hakata(&["lfs", "migrate-storage", "--json"]).envs(options.environment()))?;
        anyhow::Ok(moved.expect_success("hakata lfs migrate-storage")?.stdout)
    };
    let on_disk = options("no", false);
    let mut server = Server::start(&sandbox, &on_disk)?;
    let alice = Person::with_account(&sandbox, "alice", &[], &on_disk)?;
    git(&alice, &["init", "--quiet", "t"])?;
    git(&alice, &["-C", "t", "lfs", "install", "--local"])?;
    git(&alice, &["-C", "t", "lfs", "track", "*.bin"])?;
    commit(&sandbox, &alice, "one.bin")?;
    commit(&sandbox, &alice, "one.txt")?;
    git(&alice, &["-C", "t", "remote", "add", "origin", &url(&server.http)])?;
    git(&alice, &["-C", "t", "push", "--quiet", "origin", "HEAD:main"])?;
    let refused = run(sandbox.hakata(&["lfs", "migrate-storage"]).envs(on_disk.environment()))?;
    assert!(refused.expect_success("moving nowhere").is_err(), "there is one store only");

    // Both are read, and one is written.
    let to_bucket = options("to_bucket", true);
    server.stop()?;
    server = server.start_again(&sandbox, &to_bucket)?;
    git(&alice, &["-C", "t", "remote", "set-url", "origin", &url(&server.http)])?;
    commit(&sandbox, &alice, "two.bin")?;
    git(&alice, &["-C", "t", "push", "--quiet", "origin", "HEAD:main"])?;
    assert_eq!(bucket.objects()?.len(), 1, "what is new, and nothing else: {:?}", bucket.objects()?);
    fetch_all(&sandbox, &alice, &server, "both")?;
    let said = migrate(&to_bucket)?;
    assert!(
        said.contains("\"copied\":4,\"done\":true") && said.contains("\"there\":1"),
        "an object and a pack: {said}"
    );
    assert!(migrate(&to_bucket)?.contains("\"copied\":0"), "what was copied is left alone");
    server.stop()?;

    // The bucket alone; then back, with the server stopped.
    std::fs::rename(sandbox.data().join("blobs"), sandbox.data().join("aside"))?;
    std::fs::remove_dir_all(sandbox.data().join("repositories"))?;
    let in_bucket = options("no", true);
    server = server.start_again(&sandbox, &in_bucket)?;
    fetch_all(&sandbox, &alice, &server, "bucket")?;
    server.stop()?;
    let to_directory = options("to_directory", true);
    assert!(migrate(&to_directory)?.contains("\"copied\":5"), "everything");
    std::fs::remove_dir_all(sandbox.data().join("repositories"))?;
    server = server.start_again(&sandbox, &on_disk)?;
    fetch_all(&sandbox, &alice, &server, "disk")?;
    for command in [&["lfs", "scrub"][..], &["repo", "verify", "alice/tools"]] {
        run(sandbox.hakata(command).envs(on_disk.environment()))?
            .expect_success("reading everything back")?;
    }
    server.stop()?;

    damage_stays_where_it_is(&sandbox, &bucket, &to_directory)
}

/// What is damaged does not move, and is said.
fn damage_stays_where_it_is(sandbox: &Sandbox, bucket: &S3Server, options: &ServerOptions) -> Result<()> {
    let damaged = bucket.objects()?.into_iter().find(|path| path.to_string_lossy().contains("/lfs/"));
    std::fs::write(damaged.context("the bucket has objects")?, b"damaged")?;
    std::fs::remove_dir_all(sandbox.data().join("blobs"))?;
    let moved = run(sandbox.hakata(&["lfs", "migrate-storage", "--json"]).envs(options.environment()))?;
    assert!(moved.stdout.contains("\"bad\":1"), "{}", moved.stdout);
    assert!(moved.expect_success("moving damage").is_err());
    Ok(())
}

/// Clones, with all LFS objects, and compares with `t`.
fn fetch_all(sandbox: &Sandbox, alice: &Person, server: &Server, into: &str) -> Result<()> {
    git(alice, &["clone", "--quiet", &url(&server.http), into])?;
    git(alice, &["-C", into, "lfs", "install", "--local"])?;
    git(alice, &["-C", into, "lfs", "pull"])?;
    for entry in std::fs::read_dir(sandbox.work().join(into))? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().context("a file has a name")?;
            let (ours, theirs) = (std::fs::read(&path)?, std::fs::read(sandbox.work().join("t").join(name))?);
            ensure!(ours == theirs, "{} differs", path.display());
        }
    }
    Ok(())
}
