//! A folder of repositories of every sort, made by git with fixed dates.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::request::Names;

/// A folder, a home, and what is in them; removed when dropped.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    pub(crate) names: Names,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("hakata_bare_").tempdir().unwrap();
        for name in ["root", "home", "outside"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, names: Names::default() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Runs git in a directory below this place; the test fails if git does.
    pub(crate) fn git(&self, at: &str, args: &[&str]) -> String {
        let output = self.command(at, args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?} in {at}: {said}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A git that reads nothing of this machine's configuration.
    pub(crate) fn command(&self, at: &str, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(["-c", "init.defaultBranch=main", "-c", "credential.helper="])
            .args(args)
            .current_dir(self.path(at))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@example.org")])
            .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
            .stdin(Stdio::null());
        command
    }

    /// Makes an exported repository with a little history, and sets keys of its configuration.
    pub(crate) fn repository(&self, name: &str, init: &[&str], keys: &[(&str, &str)]) {
        let at = format!("root/{name}");
        self.git("root", &[&["init", "-q", "--bare"], init, &[name]].concat());
        let tree = self.git(&at, &["hash-object", "-w", "-t", "tree", "/dev/null"]);
        let one = self.git(&at, &["commit-tree", "-m", "one", &tree]);
        let two = self.git(&at, &["commit-tree", "-m", "two", "-p", &one, &tree]);
        let hidden = self.git(&at, &["commit-tree", "-m", "secret", "-p", &one, &tree]);
        for (ref_name, oid) in [
            ("refs/heads/main", &two),
            ("refs/heads/topic/a", &one),
            ("refs/heads/secret", &hidden),
            ("refs/tags/light", &one),
        ] {
            self.git(&at, &["update-ref", ref_name, oid]);
        }
        self.git(&at, &["tag", "-a", "-m", "v1", "v1", &two]);
        self.git(&at, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/heads/topic/a"]);
        for (key, value) in keys {
            self.git(&at, &["config", key, value]);
        }
        std::fs::write(self.path(&at).join("git-daemon-export-ok"), "").unwrap();
    }

    /// Makes the folder of the table, and learns the names that it uses.
    pub(crate) fn fill(&mut self) {
        let repository = |name: &str, keys: &[(&str, &str)]| self.repository(name, &[], keys);
        repository("plain.git", &[]);
        repository("push.git", &[("http.receivepack", "true"), ("core.logAllRefUpdates", "true")]);
        repository("never.git", &[("http.uploadpack", "false"), ("http.receivepack", "false")]);
        repository("nofiles.git", &[("http.getanyfile", "no")]);
        repository("archive.git", &[("http.uploadarchive", "true")]);
        repository("hidden.git", &[("transfer.hideRefs", "refs/heads/secret")]);
        repository(
            "any.git",
            &[("uploadpack.allowAnySHA1InWant", "true"), ("uploadpack.allowFilter", "true")],
        );
        repository(
            "strict.git",
            &[
                ("http.receivepack", "true"),
                ("receive.denyNonFastForwards", "true"),
                ("receive.denyDeletes", "true"),
                ("receive.advertisePushOptions", "true"),
            ],
        );
        repository("quiet.git", &[("uploadpack.advertiseRefs", "x"), ("lsrefs.unborn", "ignore")]);
        repository("small.git", &[("http.maxRequestBuffer", "8192")]);
        repository("odd.git", &[("http.getanyfile", "perhaps")]);
        repository("future.git", &[("core.repositoryformatversion", "9")]);
        repository("included.git", &[("include.path", "more")]);
        repository("private.git", &[]);
        repository("deep.git", &[]);
        repository("packed.git", &[]);
        repository("detached.git", &[]);
        self.repository("long.git", &["--object-format=sha256"], &[]);
        self.repository("tables.git", &["--ref-format=reftable"], &[]);
        self.git("root", &["init", "-q", "--bare", "empty.git"]);
        self.git("root", &["init", "-q", "tree"]);
        for name in ["empty.git", "tree/.git"] {
            std::fs::write(self.root().join(name).join("git-daemon-export-ok"), "").unwrap();
        }
        self.shape();
        self.learn();
    }

    /// Does what git has no flag for.
    fn shape(&self) {
        let root = self.root();
        std::fs::write(root.join("included.git/more"), "[http]\n\treceivepack = true\n").unwrap();
        std::fs::remove_file(root.join("private.git/git-daemon-export-ok")).unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::rename(root.join("deep.git"), root.join("a/b/deep.git")).unwrap();
        std::fs::write(root.join("file"), "nothing\n").unwrap();
        self.git("root/packed.git", &["pack-refs", "--all"]);
        self.git("root/packed.git", &["repack", "-adq"]);
        self.git("root/detached.git", &["update-ref", "--no-deref", "HEAD", "refs/heads/topic/a"]);
        self.git(
            "outside",
            &["clone", "-q", "--bare", &root.join("plain.git").display().to_string(), "o.git"],
        );
        std::fs::write(self.path("outside/o.git/git-daemon-export-ok"), "").unwrap();
        std::os::unix::fs::symlink(self.path("outside/o.git"), root.join("out.git")).unwrap();
        std::os::unix::fs::symlink("plain.git", root.join("in.git")).unwrap();
        let borrowed = root.join("borrow.git");
        self.git("root", &["init", "-q", "--bare", "borrow.git"]);
        std::fs::write(borrowed.join("objects/info/alternates"), "../../plain.git/objects\n").unwrap();
        std::fs::write(borrowed.join("git-daemon-export-ok"), "").unwrap();
        let main = self.git("root/plain.git", &["rev-parse", "main"]);
        self.git("root/borrow.git", &["update-ref", "refs/heads/main", &main]);
        let hook = root.join("strict.git/hooks/pre-receive");
        std::fs::write(
            &hook,
            "#!/bin/sh\nwhile read old new ref; do echo \"see $ref by $REMOTE_USER of $GIT_COMMITTER_EMAIL\"\n\
             echo \"options $GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0\"\n\
             case $ref in */refused) echo no >&2; exit 1;; esac; done\n",
        )
        .unwrap();
        make_runnable(&hook);
    }

    fn learn(&mut self) {
        let at = "root/plain.git";
        for (name, revision) in [
            ("main", "main"),
            ("one", "main~1"),
            ("hidden", "secret"),
            ("tag", "v1"),
            ("tree", "main^{tree}"),
        ] {
            let oid = self.git(at, &["rev-parse", revision]);
            self.names.oids.insert(name, oid);
        }
        self.names.oids.insert("zero", "0".repeat(40));
        self.names.oids.insert("none", "1".repeat(40));
        self.names.oids.insert("long", self.git("root/long.git", &["rev-parse", "main"]));
        let pack = std::fs::read_dir(self.root().join("packed.git/objects/pack")).unwrap();
        let pack = pack.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pack = pack.filter_map(|name| Some(name.strip_suffix(".idx")?.to_owned())).next().unwrap();
        self.names.oids.insert("pack", pack);
        let main = self.names.oids["main"].clone();
        self.names.oids.insert("loose", format!("{}/{}", &main[..2], &main[2..]));
        let new = self.git(at, &["commit-tree", "-m", "three", "-p", &main, &self.names.oids["tree"]]);
        let pack = self.pack(at, &format!("{new}\n^{main}\n"));
        let _ =
            std::fs::remove_file(self.root().join(format!("plain.git/objects/{}/{}", &new[..2], &new[2..])));
        self.names.bytes.insert("cut", pack[..pack.len() - 10].to_vec());
        self.names.bytes.insert("pack", pack);
        self.names.oids.insert("new", new);
    }

    fn pack(&self, at: &str, revisions: &str) -> Vec<u8> {
        use std::io::Write;
        let mut command = self.command(at, &["pack-objects", "--revs", "--stdout", "-q"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(revisions.as_bytes()).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    /// Copies the folder as it is, dates included.
    pub(crate) fn copy_root(&self, name: &str) -> PathBuf {
        let status = Command::new("cp").arg("-a").arg(self.root()).arg(self.path(name)).status().unwrap();
        assert!(status.success());
        self.path(name)
    }
}

pub(crate) fn make_runnable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
