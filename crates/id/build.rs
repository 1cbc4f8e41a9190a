//! Compiles the proto, without `protoc`.

use prost::Message;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/katsubushi.proto";
    println!("cargo::rerun-if-changed={PROTO}");
    let described = protox::compile([PROTO], ["proto"])?;
    let to = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names the folder of what is made")?);
    std::fs::write(to.join("katsubushi.bin"), described.encode_to_vec())?;
    tonic_prost_build::configure().build_client(false).build_transport(false).compile_fds(described)?;
    Ok(())
}
