//! Signatures: what is handed out is what the tools of the signers verify.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hakata_names::ObjectFormat;
use hakata_rpc::v1::{RepositoryKey, Revision, SignatureKind, SignatureRequest, SignatureResponse};
use hakata_rpc::{Call, Code, Operations};

use crate::fixture::World;

const SCRIPT: &[u8] = b"commit refs/heads/main\nmark :1\nauthor \xc3\x84 <a@b> 1 +0100\ncommitter A <a@b> 1 +0000\nencoding latin1\ndata 9\none\n\ntwo\n\nM 100644 inline a\ndata 2\na\n\n\
tag plain\nfrom :1\ntagger A <a@b> 4 +0000\ndata 3\nv1\n\n";

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

async fn world(format: ObjectFormat) -> World {
    let world = World::new().await;
    world.import(format, SCRIPT);
    world
}

/// Runs a tool with a home of its own; says whether it was content.
fn is_content(program: &str, home: &Path, args: &[&str], input: &[u8]) -> bool {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed here: {error}"));
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait().unwrap().success()
}

/// Signs a commit, a merge of it and a tag in the client's repository; pushes them.
async fn signed(world: &World, format: ObjectFormat, config: &[&str]) {
    let git = |args: &[&str]| {
        let people = ["-c", "user.name=A", "-c", "user.email=a@b"];
        world.git(&[&people[..], config, args].concat()).trim().to_owned()
    };
    let first = git(&["commit-tree", "-S", "-p", "main", "-m", "signed", "-m", "- more\n", "main^{tree}"]);
    git(&["update-ref", "refs/heads/signed", &first]);
    git(&["tag", "-s", "-m", "signed", "-m", "more", "tag-of-it", "signed"]);
    // A merge of a signed tag keeps that in a header of its own.
    let tag = world.git(&["cat-file", "tag", "tag-of-it"]);
    let kept: String = tag.trim_end().lines().enumerate().fold(String::new(), |text, (nth, line)| {
        text + if nth == 0 { "mergetag " } else { " " } + line + "\n"
    });
    let tree = git(&["rev-parse", "main^{tree}"]);
    let unsigned = format!(
        "tree {tree}\nparent {}\nparent {first}\nauthor A <a@b> 7 +0000\ncommitter A <a@b> 7 +0000\n{kept}\nmerge\n",
        git(&["rev-parse", "main"])
    );
    let args = ["hash-object", "-t", "commit", "-w", "--stdin"];
    let unsigned = crate::fixture::run(world.client.path(), &args, unsigned.as_bytes());
    let unsigned = String::from_utf8(unsigned).unwrap();
    git(&["update-ref", "refs/heads/unsigned", unsigned.trim()]);
    world.create("tools", format).await;
}

async fn signature(to: &dyn Operations, revision: &str) -> SignatureResponse {
    let repository = Some(RepositoryKey { path: "alice/tools".to_owned(), id: 0 });
    let revision = Some(Revision { expression: revision.to_owned(), ..Revision::default() });
    to.signature(Call::default(), SignatureRequest { repository, revision }).await.unwrap()
}

/// Looks at what is handed out in all ways; `verify` is given the file of a signature and a payload.
async fn verified(world: &World, dir: &Path, kind: SignatureKind, verify: impl Fn(&str, &[u8]) -> bool) {
    let (grpc, msgpack) = (world.grpc(), world.msgpack());
    let ways: [&dyn Operations; 3] = [&*world.local, &grpc, &msgpack];
    for at in ["signed", "tag-of-it"] {
        for to in ways {
            let found = signature(to, at).await;
            assert_eq!(found.kind(), kind, "{at}");
            let file = dir.join("signature");
            std::fs::write(&file, &found.signature).unwrap();
            let file = file.display().to_string();
            assert!(verify(&file, &found.payload), "the signature of {at} is good");
            let other = [&found.payload[..], b"x"].concat();
            assert!(!verify(&file, &other), "another text was not signed");
        }
    }
    for at in ["main", "plain", "unsigned"] {
        let found = signature(ways[2], at).await;
        let is_none = found.kind() == SignatureKind::Unspecified && found.signature.is_empty();
        assert!(is_none && found.payload.is_empty(), "{at} is not signed: {found:?}");
    }
    let repository = Some(RepositoryKey { path: "alice/tools".to_owned(), id: 0 });
    let tree = Some(Revision { expression: "main^{tree}".to_owned(), ..Revision::default() });
    let refused =
        world.local.signature(Call::default(), SignatureRequest { repository, revision: tree }).await;
    assert_eq!(refused.unwrap_err().code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_verifies_what_ssh_keys_signed() {
    for format in FORMATS {
        let world = world(format).await;
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key").display().to_string();
        let keygen = |args: &[&str], input: &[u8]| is_content("ssh-keygen", dir.path(), args, input);
        assert!(keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &key], b""));
        let config = ["-c", "gpg.format=ssh", "-c", &format!("user.signingkey={key}")];
        signed(&world, format, &config).await;
        let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
        let allowed = dir.path().join("allowed").display().to_string();
        std::fs::write(&allowed, format!("a@b {public}")).unwrap();
        let verify = |signature: &str, payload: &[u8]| {
            keygen(
                &["-q", "-Y", "verify", "-f", &allowed, "-I", "a@b", "-n", "git", "-s", signature],
                payload,
            )
        };
        verified(&world, dir.path(), SignatureKind::Ssh, verify).await;
    }
}

/// A home of GnuPG, whose agent ends with it.
struct Keyring(PathBuf);

impl Keyring {
    fn gpg(&self, args: &[&str], input: &[u8]) -> bool {
        is_content("gpg", &self.0, &[&["--batch", "--quiet", "--no-tty"], args].concat(), input)
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        is_content("gpgconf", &self.0, &["--kill", "all"], b"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gpg_verifies_what_openpgp_keys_signed() {
    for format in FORMATS {
        let world = world(format).await;
        // git runs gpg with the directory as its home.
        let keyring = Keyring(world.client.path().to_owned());
        let make = ["--passphrase", "", "--quick-generate-key", "A <a@b>", "ed25519", "sign", "never"];
        assert!(keyring.gpg(&make, b""), "gpg makes a key");
        signed(&world, format, &["-c", "gpg.format=openpgp", "-c", "user.signingkey=a@b"]).await;
        let dir = tempfile::tempdir().unwrap();
        let verify = |signature: &str, payload: &[u8]| keyring.gpg(&["--verify", signature, "-"], payload);
        verified(&world, dir.path(), SignatureKind::Openpgp, verify).await;
    }
}
