//! `git daemon`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Peer, free_port};
use crate::meter::Meter;

/// Starts the daemon over the folder of repositories, pushes allowed.
pub(crate) fn start(folder: &Path) -> Result<Peer> {
    let port = free_port()?;
    let mut daemon = Command::new("git");
    daemon.args([
        "daemon",
        "--reuseaddr",
        "--listen=127.0.0.1",
        "--enable=receive-pack",
        "--max-connections=100",
    ]);
    daemon
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", folder.join("repositories").display()));
    let (meter, child) = Meter::start("daemon", &mut daemon, &folder.join("daemon.log"))?;
    Ok(Peer {
        name: "git daemon",
        address: format!("127.0.0.1:{port}"),
        base: format!("git://127.0.0.1:{port}/"),
        path: "/".to_owned(),
        environment: Vec::new(),
        meters: vec![meter],
        children: vec![child],
    })
}
