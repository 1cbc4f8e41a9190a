//! `hakata bare` over the folder that nginx serves too.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Peer, free_port};
use crate::meter::Meter;

/// Starts the server.
pub(crate) fn start(folder: &Path, binary: &Path) -> Result<Peer> {
    let home = folder.join("bare");
    std::fs::create_dir(&home)?;
    // Repositories that the user of the bench gave may belong to others, as nginx is told too.
    std::fs::write(home.join(".gitconfig"), "[safe]\n\tdirectory = *\n")?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut serve = Command::new(binary);
    serve.arg("bare").arg("--root").arg(folder.join("repositories")).args([
        "--export-all",
        "--http",
        &address,
    ]);
    serve.args(["--admin", "off"]).env("HOME", &home).current_dir(&home);
    let (meter, child) = Meter::start("bare", &mut serve, &home.join("log"))?;
    Ok(Peer {
        name: "hakata bare",
        base: format!("http://{address}/"),
        path: "/".to_owned(),
        address,
        environment: Vec::new(),
        meters: vec![meter],
        children: vec![child],
    })
}
