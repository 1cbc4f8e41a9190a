//! Clients that other people wrote: Python's of gRPC, which learns the contract by reflection, and its MessagePack.
//!
//! `./test` installs them. A client that is not there fails its test, unless `./test` said that it cannot be
//! installed here.

use crate::place::{Place, TOKEN};
use hakata_testkit::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether `./test` could not install Python's clients: then a test says so and passes.
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn is_absent() -> bool {
    let absent = std::env::var("HAKATA_TEST_CLIENTS_ABSENT").unwrap_or_default();
    let is_absent = absent.split(',').any(|name| name == "python");
    if is_absent {
        eprintln!("NOTHING TESTED: python could not be installed here");
    }
    is_absent
}

/// The Python that has the clients: named by `./test`, or where `./test` puts it.
fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("HAKATA_TEST_PYTHON") {
        return python.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache.or(home).unwrap().join("hakata/python/bin/python")
}

/// Runs one of the scripts beside this file.
fn script(name: &str, protocol: &str) {
    let place = Place::new();
    let tip = place.fill();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rpc").join(name);
    let at = if protocol == "grpc" { &place.grpc } else { &place.msgpack };
    let mut command = Command::new(python());
    let output = run(command.arg(path).args([at, TOKEN, "alice/tools", &tip]))
        .expect("run ./test, which installs this client");
    let output = output.expect_success(name).unwrap();
    assert!(output.stdout.ends_with("11 operations\n"), "the script came to its end: {output:?}");
    assert!(place.served(protocol) >= 11, "the server was asked over {protocol}");
}

#[test]
fn grpcio_learns_the_contract_by_reflection_and_asks() {
    if !is_absent() {
        script("grpc_client.py", "grpc");
    }
}

#[test]
fn a_few_lines_of_python_speak_messagepack_rpc() {
    if !is_absent() {
        script("msgpack_client.py", "msgpack");
    }
}
