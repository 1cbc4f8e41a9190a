//! `hakata rpc call -`: a program that goes on asking while its configuration and its servers change.

use crate::place::{Place, TOKEN};
use hakata_testkit::{Sandbox, run, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

/// A client that asks as fast as it is answered, and how often it was.
struct Load {
    child: Child,
    asking: JoinHandle<ChildStdin>,
    reading: JoinHandle<Vec<String>>,
    n_answers: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    log: std::path::PathBuf,
}

impl Load {
    /// Begins to ask for the branches of the repository.
    fn begin(sandbox: &Sandbox, config: &Path, operation: &str, name: &str) -> Self {
        let log = sandbox.path().join(format!("{name}.log"));
        let mut command = sandbox.bare_hakata();
        command.args(["rpc", "call", "--config"]).arg(config).args([operation, "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (n_answers, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let over = is_over.clone();
        let asking = std::thread::spawn(move || {
            // No more is asked than a pipe holds, so that the answers keep step.
            while !over.load(Ordering::SeqCst)
                && stdin.write_all(b"{\"repository\": {\"path\": \"alice/tools\"}}\n").is_ok()
            {}
            stdin
        });
        let counter = n_answers.clone();
        let reading = std::thread::spawn(move || {
            let mut odd = Vec::new();
            for line in BufReader::new(stdout).lines() {
                let line = line.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                if line.contains("\"error\"") {
                    odd.push(line);
                }
            }
            odd
        });
        Self { child, asking, reading, n_answers, is_over, log }
    }

    /// Waits for answers to questions that were asked after now.
    fn go_on(&self, n: u64) {
        let before = self.n_answers.load(Ordering::SeqCst);
        // What is in the pipes was asked before.
        let wanted = before + 3_000 + n;
        wait_until("more answers", LIMIT, || self.n_answers.load(Ordering::SeqCst) >= wanted).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_for_log(&self, words: &str) {
        wait_until(words, LIMIT, || self.log().contains(words)).unwrap();
    }

    /// Ends it; every call must have been answered well.
    fn end(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(self.asking.join().unwrap());
        let odd = self.reading.join().unwrap();
        let status = self.child.wait().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(odd.is_empty() && status.success(), "{} calls failed: {:?}\n{log}", odd.len(), odd.first());
    }
}

/// Writes a configuration as an editor does: beside, then in its place.
fn write(config: &Path, servers: &Place, rest: &str) {
    let text = format!(
        "[rpc.client]\ngrpc = \"{}\"\nmsgpack = \"{}\"\ntoken = \"{TOKEN}\"\nrest = \"1s\"\n{rest}\n[log]\nlevel = \"info\"\n",
        servers.grpc, servers.msgpack
    );
    let beside = config.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, config).unwrap();
}

#[test]
fn a_route_changes_in_the_file_and_no_call_fails() {
    let place = Place::new();
    place.fill();
    let config = place.sandbox.path().join("client.toml");
    write(&config, &place, "default = \"msgpack\"");
    let load = Load::begin(&place.sandbox, &config, "ref.list_branches", "load");
    load.go_on(1);
    assert_eq!(place.served("grpc"), 0, "nobody was told of gRPC yet");
    write(&config, &place, "default = \"msgpack\"\nroutes = { \"ref.list_branches\" = \"grpc\" }");
    load.wait_for_log("rpc routes were read again");
    load.go_on(1);
    let (msgpack, grpc) = (place.served("msgpack"), place.served("grpc"));
    assert!(msgpack > 0 && grpc > 0, "{msgpack} calls before, {grpc} after");
    load.go_on(1_000);
    assert!(place.served("grpc") >= grpc + 1_000, "the calls go over gRPC");
    assert_eq!(place.served("msgpack"), msgpack, "and no longer over MessagePack-RPC");

    // A slip of the pen changes nothing, and is told.
    write(&config, &place, "default = \"msgpack\"\nroutes = { \"ref.list_branch\" = \"grpc\" }");
    load.wait_for_log("rpc routes read again are wrong; those before stay");
    assert!(load.log().contains("client.toml:7: rpc.client.routes:"), "{}", load.log());
    load.go_on(1);
    assert_eq!(place.served("msgpack"), msgpack, "the routes before stay");
    write(&config, &place, "default = \"msgpack\"");
    wait_until("the way back", LIMIT, || place.served("msgpack") > msgpack).unwrap();
    load.end();
}

#[test]
fn a_second_route_that_answers_otherwise_is_noticed() {
    let (right, wrong) = (Place::new(), Place::new());
    right.fill();
    wrong.fill();
    let planted = ["rpc", "call", "--route", "grpc", "--to", &wrong.grpc, "ref.create_branch"];
    let request = r#"{"repository": {"path": "alice/tools"}, "ref_name": "refs/heads/planted", "start": {"expression": "main"}}"#;
    let mut plant = wrong.sandbox.bare_hakata();
    plant.args(planted).arg(request).env("HAKATA_RPC__TOKENS", TOKEN);
    run(&mut plant).unwrap().expect_success("a branch that only one of them has").unwrap();
    let config = right.sandbox.path().join("client.toml");
    let both = Place { msgpack: wrong.msgpack.clone(), ..right };
    write(&config, &both, "default = \"grpc\"\nshadow = { \"ref.list_branches\" = \"msgpack\" }");
    let load = Load::begin(&both.sandbox, &config, "ref.list_branches", "load");
    load.wait_for_log("the second route answers otherwise");
    load.end();
}

#[test]
fn readers_lose_no_call_while_their_server_is_killed_and_starts_again() {
    let (mut first, second) = (Place::new(), Place::new());
    first.fill();
    second.fill();
    let config = second.sandbox.path().join("client.toml");
    let (grpc, msgpack) = (first.grpc.clone(), first.msgpack.clone());
    let both = |first: &Place| {
        let text = "default = \"grpc\"\nfallback = { ref = \"msgpack\" }\n";
        let text = format!(
            "[rpc.client]\ngrpc = \"{}\"\nmsgpack = \"{}\"\ntoken = \"{TOKEN}\"\nrest = \"200ms\"\n{text}",
            first.grpc, second.msgpack
        );
        std::fs::write(&config, text).unwrap();
    };
    both(&first);
    let load = Load::begin(&second.sandbox, &config, "ref.list_branches", "load");
    load.go_on(1);
    for _ in 0..3 {
        let before = second.served("msgpack");
        first.server.kill().unwrap();
        wait_until("the other stands in", LIMIT, || second.served("msgpack") > before).unwrap();
        load.go_on(1);
        first = Place::start(first.sandbox, &grpc, &msgpack);
        wait_until("the way back", LIMIT, || first.served("grpc") > 100).unwrap();
    }
    assert!(load.log().contains("rpc route answers again"), "{}", load.log());
    load.end();
}
