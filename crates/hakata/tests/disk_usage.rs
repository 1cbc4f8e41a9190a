//! What rows say that a repository uses, beside what `du` finds.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Person, Sandbox, Server, ServerOptions, run, wait_until};
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What `du` may find more than rows say, as docs/jobs.md has it: indexes of packs, and what is derived from them.
const MARGIN_PERCENT: u64 = 5;

/// Bytes of a file that nothing compresses.
const LARGE: usize = 700_000;

/// The bytes of a directory and everything in it, without what file systems round up.
fn du(path: &Path) -> Result<u64> {
    let found = run(Command::new("du").args(["--apparent-size", "--summarize", "--bytes"]).arg(path))?;
    let found = found.expect_success("du")?.stdout;
    found.split_whitespace().next().context("du says a number")?.parse().context("reading what du says")
}

/// The bytes of all packs in a repository's directory.
fn packs(objects: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(objects.join("pack"))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "pack") {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}

#[test]
fn rows_say_what_du_finds() -> Result<()> {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
    let options = ServerOptions::default();
    let server = Server::start(&sandbox, &options)?;
    let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
    let hakata = |arguments: &[&str]| -> Result<String> {
        Ok(run(&mut sandbox.hakata(arguments))?.expect_success("hakata")?.stdout)
    };
    let git = |arguments: &[&str]| run(&mut alice.git(2, arguments))?.expect_success("git");
    git(&["init", "--quiet", "t"])?;
    let url = format!("http://{}/alice/tools", server.http);
    let mut random = std::fs::File::open("/dev/urandom")?;
    // Some packs lie in files of their own, some in rows.
    for (n, size) in [LARGE, 100, LARGE, 1_000, 20_000, LARGE].into_iter().enumerate() {
        let mut bytes = vec![0; size];
        random.read_exact(&mut bytes)?;
        std::fs::write(sandbox.work().join("t").join(format!("f{n}")), bytes)?;
        git(&["-C", "t", "add", "--all"])?;
        git(&["-C", "t", "commit", "--quiet", "--message", "more"])?;
        git(&["-C", "t", "push", "--quiet", &url, "HEAD:main"])?;
    }
    let is_over = || hakata(&["queue", "list", "--json"]).is_ok_and(|jobs| jobs.trim().is_empty());
    wait_until("the jobs of the pushes", LIMIT, is_over)?;

    let listed = hakata(&["repo", "list", "--json"])?;
    let row: serde_json::Value = serde_json::from_str(listed.trim()).context("one repository")?;
    let said = row["size_bytes"].as_u64().context("a size")?;
    let directory = hakata(&["repo", "path", "alice/tools"])?;
    let objects = Path::new(directory.trim()).join("objects");
    assert_eq!(packs(&objects)?, said, "the packs of the directory are those of the rows");
    let found = du(&objects)?;
    ensure!(
        (said..=said + said * MARGIN_PERCENT / 100).contains(&found),
        "du finds {found} bytes where the row says {said}"
    );
    // All but the packs that lie in rows.
    let kept = du(&sandbox.data().join("blobs"))?;
    ensure!(
        (3 * LARGE as u64..=said + said * MARGIN_PERCENT / 100).contains(&kept),
        "du finds {kept} bytes of packs where the row says {said}"
    );
    Ok(())
}
