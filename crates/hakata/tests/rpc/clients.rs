//! Clients that other people wrote: Python's of gRPC, which learns the contract by reflection, and its MessagePack.
//!
//! `./test` installs them. A client that is not there fails its test, unless `./test` said that it cannot be
//! installed here.

use crate::place::{Place, TOKEN};
use hakata_testkit::{is_absent, python, run};
use std::path::Path;
use std::process::Command;

/// Runs one of the scripts beside this file.
fn script(name: &str, protocol: &str) {
    let place = Place::new();
    let tip = place.fill();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rpc").join(name);
    let at = if protocol == "grpc" { &place.grpc } else { &place.msgpack };
    let mut command = Command::new(python().unwrap());
    let output = run(command.arg(path).args([at, TOKEN, "alice/tools", &tip]))
        .expect("run ./test, which installs this client");
    let output = output.expect_success(name).unwrap();
    assert!(output.stdout.ends_with("11 operations\n"), "the script came to its end: {output:?}");
    assert!(place.served(protocol) >= 11, "the server was asked over {protocol}");
}

#[test]
fn grpcio_learns_the_contract_by_reflection_and_asks() {
    if !is_absent("python") {
        script("grpc_client.py", "grpc");
    }
}

#[test]
fn a_few_lines_of_python_speak_messagepack_rpc() {
    if !is_absent("python") {
        script("msgpack_client.py", "msgpack");
    }
}
