//! Other people's clients of memcached, gRPC, MessagePack and AMQP, against which our servers are tested, their mail
//! server, and their receivers of webhooks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::tools;

/// Names the Python that has the clients below.
const PYTHON: &str = "HAKATA_TEST_PYTHON";

/// Names the clients that could not be installed, whose tests pass without having tested anything.
const ABSENT: &str = "HAKATA_TEST_CLIENTS_ABSENT";

/// Python's clients, in the versions that the tests were written for.
const PACKAGES: [&str; 11] = [
    "pymemcache==4.0.0",
    "python-binary-memcached==0.33.0",
    "grpcio==1.85.1",
    "grpcio-reflection==1.85.1",
    "protobuf==7.36.2",
    "msgpack==1.2.4",
    "aiosmtpd==1.4.6",
    "pika==1.4.4",
    "gidgethub==6.0.0",
    "buildbot==4.3.0",
    "buildbot-gitea==1.8.0",
];

/// Finds or installs all clients; returns environment variables that tell the tests where they are.
///
/// What cannot be installed is named loudly, here and by each test that needs it.
pub(crate) fn ensure() -> Vec<(&'static str, String)> {
    let mut absent = Vec::new();
    let mut found = |client: &str, installed: Result<()>| {
        if let Err(error) = installed {
            eprintln!("WARNING: tests with {client} will test nothing: {error:#}");
            absent.push(client.to_owned());
        }
    };
    found("libmemcached", tools::ensure_debian("memccat", "libmemcached-tools"));
    found("perl", perl());
    found("webhook", tools::ensure_debian("webhook", "webhook"));
    let python = python_home().map(|home| (home.join("bin/python"), home));
    found(
        "python",
        python.as_ref().map_err(|error| anyhow::anyhow!("{error:#}")).and_then(|(_, home)| pip(home)),
    );
    let mut variables = vec![(ABSENT, absent.join(","))];
    if let Ok((python, _)) = python {
        variables.push((PYTHON, python.display().to_string()));
    }
    variables
}

fn perl() -> Result<()> {
    let has_client = || {
        let mut perl = Command::new("perl");
        perl.args(["-MCache::Memcached::Fast", "-e", "1"]).stderr(Stdio::null());
        perl.status().is_ok_and(|status| status.success())
    };
    if has_client() { Ok(()) } else { tools::install_debian("libcache-memcached-fast-perl") }
}

/// The environment of our own in the user's cache directory.
fn python_home() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(cache.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("hakata/python"))
}

/// Installs Python's clients into `home`, unless these very versions are there.
fn pip(home: &Path) -> Result<()> {
    let stamp = home.join("packages");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing {}", PACKAGES.join(", "));
    let mut probe = Command::new("python3");
    probe.args(["-c", "import ensurepip"]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        tools::install_debian("python3-venv")?;
    }
    tools::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home))?;
    let mut install = Command::new(home.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    tools::run(&mut install)?;
    std::fs::write(stamp, wanted).context("noting what is installed")
}
