//! Other programs hear of what happens, through the real broker, with the example that we ship.
//!
//! `./test` installs Python's client. Where it is not there, the test fails, unless `./test` said that it cannot be
//! installed here.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{
    Person, Process, RabbitServer, Sandbox, Server, ServerOptions, is_absent, python, run, wait_until,
};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// The kinds of jobs, each with a queue.
const KINDS: [&str; 6] = ["commits", "disk_usage", "fan_out", "mail", "maintain", "webhook"];

fn url() -> String {
    std::env::var("HAKATA_TEST_AMQP_URL")
        .unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// Names on the broker that no other test has, deleted at the end.
struct Names(String);

impl Drop for Names {
    fn drop(&mut self) {
        let prefix = &self.0;
        let delete = async {
            let connection = Connection::connect(&url(), ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            for queue in KINDS
                .map(|kind| format!("{prefix}.jobs.{kind}"))
                .into_iter()
                .chain([format!("{prefix}.dead")])
            {
                channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
            }
            for exchange in ["jobs", "dead", "events"].map(|tail| format!("{prefix}.{tail}")) {
                channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
            }
            lapin::Result::Ok(())
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let _ = runtime.map(|runtime| runtime.block_on(delete));
    }
}

fn git(alice: &Person, arguments: &[&str]) -> Result<String> {
    let output = run(&mut alice.git(2, arguments))?.expect_success(&format!("git {arguments:?}"))?;
    Ok(output.stdout.trim().to_owned())
}

/// How the connections to the broker do: of the relay and the consumer.
fn links(sandbox: &Sandbox) -> Result<[String; 2]> {
    let output = run(&mut sandbox.hakata(&["status", "--json"]))?.expect_success("hakata status")?;
    let status: Value = serde_json::from_str(&output.stdout)?;
    Ok(["relay", "consumer"].map(|link| status["broker"][link].as_str().unwrap_or_default().to_owned()))
}

/// Whether no job waits or runs.
fn are_jobs_done(sandbox: &Sandbox) -> bool {
    KINDS.iter().all(|kind| {
        let listed = run(&mut sandbox.hakata(&["queue", "list", "--json", "--kind", kind]));
        listed.is_ok_and(|listed| listed.success() && listed.stdout.trim().is_empty())
    })
}

/// The events that the example printed.
fn printed(log: &Path) -> Result<Vec<Value>> {
    let log = std::fs::read_to_string(log).context("reading what the example printed")?;
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).context("a line is JSON")).collect()
}

#[test]
fn the_example_hears_of_pushes_and_jobs_run_through_the_broker() -> Result<()> {
    if is_absent("python") {
        return Ok(());
    }
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
    let mut random = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut random))?;
    let names = Names(format!("hakata_test_{:016x}", u64::from_le_bytes(random)));
    let settings = [("rabbitmq.url", url()), ("rabbitmq.prefix", names.0.clone())];
    let settings = settings.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let options = ServerOptions { settings, ..ServerOptions::default() };
    let server = Server::start(&sandbox, &options)?;
    wait_until("both connections", LIMIT, || links(&sandbox).is_ok_and(|links| links == ["up", "up"]))?;

    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/follow_events.py");
    let log = sandbox.path().join("events.log");
    let mut follow = Command::new(python()?);
    follow.arg(example).arg(url()).args(["--prefix", &names.0]);
    let mut follow = Process::spawn(&mut follow, &log)?;
    let listens = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("listening on "));
    wait_until("the example listens", LIMIT, || listens() || follow.has_ended())?;
    ensure!(listens(), "the example ended: {}", std::fs::read_to_string(&log)?);

    let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
    git(&alice, &["init", "--quiet", "t"])?;
    git(&alice, &["-C", "t", "commit", "--quiet", "--allow-empty", "--message", "one"])?;
    let tip = git(&alice, &["-C", "t", "rev-parse", "HEAD"])?;
    let url = format!("http://{}/alice/tools", server.http);
    git(&alice, &["-C", "t", "push", "--quiet", &url, "HEAD:refs/heads/main"])?;
    wait_until("an event", LIMIT, || printed(&log).is_ok_and(|events| !events.is_empty()))?;
    let events = printed(&log)?;
    let event = &events[0];
    assert_eq!((&event["schema"], &event["event"]), (&Value::from(1), &Value::from("push")), "{event}");
    assert_eq!(
        (&event["repository"]["path"], &event["actor"]["name"]),
        (&"alice/tools".into(), &"alice".into())
    );
    let wanted = serde_json::json!([{ "name": "refs/heads/main", "old": null, "new": tip }]);
    assert_eq!(event["details"]["refs"], wanted, "{event}");

    // The jobs of that push came through the broker as well.
    wait_until("the jobs of the push", LIMIT, || are_jobs_done(&sandbox))
}

#[test]
fn a_broker_with_tls_is_used_if_its_certificate_is_trusted() -> Result<()> {
    let mut sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
    let directory = sandbox.path().join("rabbitmq");
    std::fs::create_dir_all(&directory)?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let broker = RabbitServer::start_with_tls(&directory, &certificate, &key)?;
    let url = broker.tls_url().context("the broker speaks TLS")?;
    let options = |more: &[(&str, String)]| {
        let mut settings = vec![("rabbitmq.url".to_owned(), url.clone())];
        settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        ServerOptions { settings, ..ServerOptions::default() }
    };

    let mut stranger = Server::start(&sandbox, &options(&[]))?;
    wait_until("both connections are refused", LIMIT, || {
        links(&sandbox).is_ok_and(|links| links.iter().all(|link| link.starts_with("down: ")))
    })?;
    let refused = links(&sandbox)?;
    if !refused.iter().all(|link| link.to_lowercase().contains("certificate")) {
        sandbox.keep();
        anyhow::bail!("they say that it is for the certificate: {refused:?}");
    }
    stranger.stop()?;

    let options = options(&[("rabbitmq.authority", certificate.display().to_string())]);
    let server = Server::start(&sandbox, &options)?;
    wait_until("both connections", LIMIT, || links(&sandbox).is_ok_and(|links| links == ["up", "up"]))?;
    let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
    git(&alice, &["init", "--quiet", "t"])?;
    git(&alice, &["-C", "t", "commit", "--quiet", "--allow-empty", "--message", "one"])?;
    let url = format!("http://{}/alice/tools", server.http);
    git(&alice, &["-C", "t", "push", "--quiet", &url, "HEAD:refs/heads/main"])?;
    wait_until("the jobs of the push", LIMIT, || are_jobs_done(&sandbox))
}
