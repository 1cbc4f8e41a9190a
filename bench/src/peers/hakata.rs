//! Hakata itself, one process for HTTP and SSH, as `hakata serve` starts it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Peer, sshd};
use crate::meter::Meter;
use crate::repositories::Repository;

/// Starts a server under `name`, makes the user `bench` with a key and a token, and imports every repository as public.
pub(crate) fn start(
    name: &str,
    folder: &Path,
    binary: &Path,
    repositories: &[Repository],
) -> Result<(Peer, String)> {
    let home = folder.join(name);
    std::fs::create_dir(&home)?;
    let (data, ready, key) = (home.join("data"), home.join("ready.json"), folder.join("sshd/client.pub"));
    let hakata = |arguments: &[&str]| -> Result<String> {
        let output = Command::new(binary)
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .output()
            .context("running hakata")?;
        ensure!(output.status.success(), "hakata {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut serve = Command::new(binary);
    serve.arg("serve").arg("--data").arg(&data).arg("--ready-file").arg(&ready);
    for section in ["HTTP", "SSH", "ADMIN"] {
        serve.env(format!("HAKATA_{section}__ADDRESS"), "127.0.0.1:0");
    }
    let (meter, child) = Meter::start(name, &mut serve, &home.join("log"))?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready.exists() {
        if Instant::now() > deadline {
            bail!("hakata does not start: {}", std::fs::read_to_string(home.join("log"))?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
    let address = |name: &str| addresses[name].as_str().unwrap_or_default().to_owned();
    hakata(&["user", "add", "bench", "--admin", "--key", &key.display().to_string()])?;
    let token = hakata(&["token", "new", "--user", "bench", "--scope", "repo:read,repo:write"])?;
    let mut directories = Vec::new();
    for repository in repositories {
        let name = format!("bench/{}", repository.name);
        hakata(&["repo", "import", &repository.path.display().to_string(), &name, "--public"])?;
        directories.push(PathBuf::from(hakata(&["repo", "path", &name])?));
    }
    directories.iter().try_for_each(|directory| wait_until_settled(directory))?;
    let (http, ssh) = (address("http"), address("ssh"));
    let header = ("GIT_CONFIG_VALUE_0".to_owned(), format!("Authorization: Bearer {token}"));
    let count = ("GIT_CONFIG_COUNT".to_owned(), "1".to_owned());
    let name = ("GIT_CONFIG_KEY_0".to_owned(), "http.extraHeader".to_owned());
    let peer = Peer {
        name: "hakata",
        base: format!("http://{http}/bench/"),
        path: "/bench/".to_owned(),
        address: http,
        environment: vec![count, name, header, sshd::client(&folder.join("sshd/client"))],
        meters: vec![meter],
        children: vec![child],
    };
    Ok((peer, format!("ssh://git@{ssh}/bench/")))
}

/// Waits for what Hakata writes beside the packs some time after an import: the peers' repositories have it too.
fn wait_until_settled(directory: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !directory.join("objects/pack/multi-pack-index").exists() {
        ensure!(Instant::now() < deadline, "no index over the packs of {}", directory.display());
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
