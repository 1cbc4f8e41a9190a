//! Compiles the contract, without `protoc`: messages, one trait a service, and one type an operation.

use prost::Message;
use std::error::Error;
use std::path::{Path, PathBuf};

#[path = "build/operations.rs"]
mod operations;
#[path = "build/wire.rs"]
mod wire;

/// Where the protos lie.
const ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    println!("cargo::rerun-if-changed=build");
    let mut files: Vec<PathBuf> = std::fs::read_dir(Path::new(ROOT).join("hakata/git/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let described = protox::compile(&files, [ROOT])?;
    let to = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names the folder of what is made")?);
    std::fs::write(to.join("hakata.git.v1.bin"), described.encode_to_vec())?;

    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    wire::attributes(&described, &mut config);
    config.service_generator(Box::new(operations::Generator::new(wire::with_cursor(&described))));
    std::fs::write(to.join("words.rs"), wire::words(&described))?;
    config.compile_fds(described)?;
    Ok(())
}
