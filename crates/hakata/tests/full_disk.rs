//! A disk that fills up: pushes are refused with a sentence, nothing is lost, and all is well when there is room again.
//!
//! The disk is a small tmpfs that only the server sees: `unshare` gives it a mount namespace, as root or wherever a
//! user may have a user namespace. The test reaches it through `/proc/PID/root`.

use anyhow::{Context, Result, bail};
use hakata_testkit::{Person, Sandbox, Server, ServerOptions, run};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What fits into a row of the database, and what needs a file.
const SMALL: usize = 20_000;
const LARGE: usize = 600_000;

/// A server of which one directory lies on a disk of its own.
struct Full {
    sandbox: Sandbox,
    server: Server,
    alice: Person,
    /// The disk, as the test sees it.
    disk: PathBuf,
}

impl Full {
    /// Starts a server with a disk of 4 MiB at `place` in the sandbox, and pushes something.
    fn start(place: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
        let mounted = sandbox.path().join(place);
        std::fs::create_dir_all(&mounted)?;
        let script = format!("mount -t tmpfs -o size=4m tmpfs '{}' && exec \"$@\"", mounted.display());
        let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
        let value = |value: &str| value.replace("SANDBOX", &sandbox.path().display().to_string());
        let options = ServerOptions {
            settings: settings.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect(),
            wrapper: wrapper.map(str::to_owned).to_vec(),
            ..ServerOptions::default()
        };
        let server = Server::start(&sandbox, &options).context(
            "a server in a mount namespace: this test needs a machine that permits `unshare --mount`",
        )?;
        let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
        let inside = mounted.strip_prefix("/").context("a sandbox has an absolute path")?;
        let disk = Path::new("/proc").join(server.pid().to_string()).join("root").join(inside);
        let this = Self { sandbox, server, alice, disk };
        this.git(&["init", "--quiet", "t"])?;
        this.commit(LARGE)?;
        this.git(&["-C", "t", "push", "--quiet", &this.url("http"), "HEAD:main"])?;
        Ok(this)
    }

    fn url(&self, transport: &str) -> String {
        match transport {
            "ssh" => format!("ssh://git@{}/alice/tools", self.server.ssh),
            _ => format!("http://{}/alice/tools", self.server.http),
        }
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = run(&mut self.alice.git(2, arguments))?.expect_success(&format!("git {arguments:?}"));
        Ok(output.with_context(|| self.sandbox.log())?.stdout.trim().to_owned())
    }

    /// Commits a file of random bytes.
    fn commit(&self, length: usize) -> Result<String> {
        let mut bytes = vec![0; length];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes))?;
        let name = std::fs::read_dir(self.sandbox.work().join("t"))?.count().to_string();
        std::fs::write(self.sandbox.work().join("t").join(&name), bytes)?;
        self.git(&["-C", "t", "add", "--all"])?;
        self.git(&["-C", "t", "commit", "--quiet", "--message", &name])?;
        self.git(&["-C", "t", "rev-parse", "HEAD"])
    }

    /// Fills the disk to its last byte.
    fn fill(&self) -> Result<()> {
        let mut file = std::fs::File::create(self.disk.join("filler")).context("the server's disk")?;
        for piece in [65_536, 4_096, 1] {
            let full = loop {
                if let Err(error) = file.write_all(&vec![0; piece]) {
                    break error;
                }
            };
            if full.kind() != std::io::ErrorKind::StorageFull {
                bail!("filling the disk ended with {full}");
            }
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        std::fs::remove_file(self.disk.join("filler")).context("making room")
    }

    /// Pushes over both transports to the full disk: refused with the sentence, and nothing has changed.
    fn assert_refused(&self, tip: &str) -> Result<()> {
        for transport in ["http", "ssh"] {
            let push = ["-C", "t", "push", "--quiet", &self.url(transport), "HEAD:main"];
            let refused = run(&mut self.alice.git(2, &push))?;
            let said = &refused.stderr;
            assert!(!refused.success() && said.contains("the server's disk is full"), "{transport}: {said}");
        }
        self.assert_whole(tip, "full")
    }

    /// What was acknowledged is there, for people and on the disk.
    fn assert_whole(&self, tip: &str, name: &str) -> Result<()> {
        for transport in ["http", "ssh"] {
            let clone = format!("{name}-{transport}");
            self.git(&["clone", "--quiet", &self.url(transport), &clone])?;
            assert_eq!(self.git(&["-C", &clone, "rev-parse", "HEAD"])?, tip, "{transport}");
            self.git(&["-C", &clone, "fsck", "--full", "--strict", "--no-progress"])?;
        }
        run(&mut self.sandbox.hakata(&["repo", "verify", "alice/tools"]))?.expect_success("repo verify")?;
        Ok(())
    }

    /// Fills the disk, pushes, makes room, and pushes the same again.
    fn prove(&self, length: usize) -> Result<()> {
        let old = self.git(&["-C", "t", "rev-parse", "HEAD"])?;
        let new = self.commit(length)?;
        self.fill()?;
        self.assert_refused(&old)?;
        self.free()?;
        let size_before = self.used()?;
        assert!(size_before < 3 << 20, "refused pushes keep no room: {size_before} bytes");
        self.git(&["-C", "t", "push", "--quiet", &self.url("http"), "HEAD:main"])?;
        self.assert_whole(&new, "freed")
    }

    /// Bytes of all files on the disk.
    fn used(&self) -> Result<u64> {
        let mut sum = 0;
        let mut folders = vec![self.disk.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => folders.push(entry.path()),
                    false => sum += entry.metadata()?.len(),
                }
            }
        }
        Ok(sum)
    }
}

#[test]
fn a_full_disk_of_packs_refuses_pushes_and_loses_nothing() -> Result<()> {
    Full::start("packs", &[("storage.blobs", "SANDBOX/packs")])?.prove(LARGE)
}

#[test]
fn a_full_disk_of_quarantines_refuses_pushes_and_loses_nothing() -> Result<()> {
    Full::start("data/quarantine", &[])?.prove(LARGE)
}

#[test]
fn a_full_disk_of_the_database_refuses_pushes_and_loses_nothing() -> Result<()> {
    Full::start("rows", &[("database.url", "sqlite://SANDBOX/rows/hakata.db")])?.prove(SMALL)
}
