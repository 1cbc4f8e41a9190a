//! The id server with clients that other people wrote for memcached, and with ours.
//!
//! `./test` installs them. A client that is not there fails its test, unless `./test` said that it cannot be
//! installed here.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hakata_id::client::{Client, Endpoint, Settings};
use hakata_testkit::{IdServer, Output, Sandbox, ServerOptions, is_absent, python, run, wait_until};

fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata")).expect("a sandbox")
}

/// A server of its own worker id, and where it listens.
fn server(sandbox: &Sandbox) -> IdServer {
    let settings = vec![("id.worker_id".to_owned(), "7".to_owned())];
    let options = ServerOptions { settings, ..ServerOptions::default() };
    IdServer::start_as(sandbox, "ids", &options).expect("a server")
}

/// Runs one of the scripts beside this file.
fn script(interpreter: &Path, name: &str) {
    let sandbox = sandbox();
    let server = server(&sandbox);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/id_clients").join(name);
    let output = play(Command::new(interpreter).arg(path).arg(&server.id));
    let output = output.expect_success(name).expect("the client is content");
    assert!(output.stdout.ends_with(" ids, each once\n"), "the script came to its end: {output:?}");
}

fn play(command: &mut Command) -> Output {
    run(command).expect("run ./test, which installs this client")
}

#[test]
fn memccapable_passes_all_cases_that_need_no_stored_value() {
    if is_absent("libmemcached") {
        return;
    }
    let sandbox = sandbox();
    let server = server(&sandbox);
    let (host, port) = server.id.rsplit_once(':').expect("host and port");
    for case in [
        "ascii version",
        "ascii quit",
        "ascii verbosity",
        "ascii stat",
        "binary noop",
        "binary quit",
        "binary quitq",
        "binary version",
        "binary stat",
    ] {
        let output =
            play(Command::new("memccapable").args(["-v", "-t", "10", "-h", host, "-p", port, "-T", case]));
        // A case that it does not know passes too, so its own line is looked for.
        let line = format!("{}{}", output.stdout, output.stderr);
        assert!(line.contains(case) && line.contains("[pass]") && output.success(), "{case}: {output:?}");
    }
}

#[test]
fn memcstat_memcping_and_memccat_work_in_both_protocols() {
    if is_absent("libmemcached") {
        return;
    }
    let sandbox = sandbox();
    let server = server(&sandbox);
    let servers = format!("--servers={}", server.id);
    let stat = play(Command::new("memcstat").arg(&servers)).expect_success("memcstat").expect("statistics");
    for name in ["pid: ", "version: ", "curr_connections: ", "cmd_get: ", "get_hits: "] {
        assert!(stat.stdout.contains(name), "memcstat shows {name}: {stat:?}");
    }
    play(Command::new("memcping").arg(&servers)).expect_success("memcping").expect("an answer");
    let mut seen = BTreeSet::new();
    for protocol in [&[][..], &["--binary"]] {
        for keys in [&["a"][..], &["a", "b", "c"]] {
            let output = play(Command::new("memccat").arg(&servers).args(protocol).args(keys));
            let output = output.expect_success("memccat").expect("ids");
            let ids: Vec<u64> = output.stdout.lines().map(|id| id.parse().expect("an id")).collect();
            assert_eq!(ids.len(), keys.len(), "memccat {protocol:?} {keys:?}: {output:?}");
            for id in ids {
                assert!(id > 0 && seen.insert(id), "{id} came twice");
            }
        }
    }
}

#[test]
fn pymemcache_gets_ids_and_stays_in_step() {
    if !is_absent("python") {
        script(&python().expect("a home"), "pymemcache_client.py");
    }
}

#[test]
fn python_binary_memcached_gets_ids_and_stays_in_step() {
    if !is_absent("python") {
        script(&python().expect("a home"), "python_binary_memcached.py");
    }
}

#[test]
fn cache_memcached_fast_gets_ids_and_stays_in_step() {
    if !is_absent("perl") {
        script(Path::new("perl"), "cache_memcached_fast.pl");
    }
}

/// What a client of ours does while servers restart.
struct Fetching {
    client: Client,
    is_over: AtomicBool,
    n_fetches: AtomicUsize,
}

impl Fetching {
    /// Fetches until it is told to stop; every fetch must succeed.
    async fn fetch(&self) -> Vec<u64> {
        let mut ids = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            ids.push(self.client.get().await.expect("a fetch during a rolling restart"));
            ids.extend(self.client.get_many(20).await.expect("a fetch during a rolling restart"));
            self.n_fetches.fetch_add(2, Ordering::SeqCst);
        }
        ids
    }

    /// Waits for fetches that began after now.
    fn wait_for_more(&self) {
        let before = self.n_fetches.load(Ordering::SeqCst);
        let more = || self.n_fetches.load(Ordering::SeqCst) > before + 200;
        wait_until("more fetches", Duration::from_secs(60), more).expect("fetches go on");
    }
}

/// Tells clients to stop, also if the test fails half way.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_rolling_restart_fails_no_fetch_and_repeats_no_id() {
    let sandbox = sandbox();
    let start = |name: &str, worker_id: &str, address: &str| {
        let mut settings = vec![("id.worker_id".to_owned(), worker_id.to_owned())];
        settings.push(("id.address".to_owned(), address.to_owned()));
        let options = ServerOptions { settings, ..ServerOptions::default() };
        IdServer::start_as(&sandbox, name, &options).expect("a server")
    };
    let mut servers = [start("a", "1", "127.0.0.1:0"), start("b", "2", "127.0.0.1:0")];
    let addresses = servers.each_ref().map(|server| server.id.clone());
    let endpoints = addresses.each_ref().map(|address| Endpoint::Tcp(address.clone()));
    let client = Client::new(endpoints, Settings::default()).expect("there are servers");
    let fetching = Fetching { client, is_over: AtomicBool::new(false), n_fetches: AtomicUsize::new(0) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let ids: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..8).map(|_| scope.spawn(|| runtime.handle().block_on(fetching.fetch()))).collect();
        let over = Over(&fetching.is_over);
        for _ in 0..3 {
            for (server, (name, worker_id, address)) in
                servers.iter_mut().zip([("a", "1", &addresses[0]), ("b", "2", &addresses[1])])
            {
                fetching.wait_for_more();
                server.stop().expect("a clean end");
                fetching.wait_for_more();
                *server = start(name, worker_id, address);
            }
        }
        fetching.wait_for_more();
        drop(over);
        clients.into_iter().map(|client| client.join().expect("no fetch fails")).collect()
    });
    let n_ids: usize = ids.iter().map(Vec::len).sum();
    let unique: BTreeSet<u64> = ids.into_iter().flatten().collect();
    assert_eq!(unique.len(), n_ids, "no id comes twice");
}
