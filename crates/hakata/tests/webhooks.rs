//! Webhooks of a running server: pushes by HTTP and SSH, receivers that behave and receivers that do not.

#[path = "webhooks/verifiers.rs"]
mod verifiers;
#[path = "webhooks/world.rs"]
mod world;

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Manner, Received, WebhookReceiver, run_with_input, wait_until};
use std::process::Command;
use std::time::{Duration, Instant};
use world::{LIMIT, World};

const OK: Manner = Manner::Answers(&["200 OK"]);

/// Python's own HMAC over the body: a verifier that shares no code with us.
fn verifies(request: &Received, header: &str, prefix: &str) -> Result<()> {
    let script = "import hashlib, hmac, sys\n\
                  print(hmac.new(b's3cret', sys.stdin.buffer.read(), hashlib.sha256).hexdigest())";
    let made = run_with_input(Command::new("python3").args(["-c", script]), &request.body)?;
    let expected = format!("{prefix}{}", made.expect_success("python3")?.stdout.trim());
    let sent = request.headers.get(header).with_context(|| format!("no {header}"))?;
    ensure!(*sent == expected, "{header} is {sent}, not {expected}");
    Ok(())
}

#[test]
fn pushes_by_http_and_ssh_reach_every_format() -> Result<()> {
    let world = World::start()?;
    let receiver = WebhookReceiver::start(OK)?;
    for format in ["gitea", "github", "backlog", "slack"] {
        world.add(&receiver.url(&format!("/{format}")), &["--format", format, "--events", "push"])?;
    }
    for (n, url) in [world.http(), world.ssh()].iter().enumerate() {
        world.commit_and_push(&format!("c{n}"), url, "HEAD:refs/heads/main")?;
        wait_until("all four", LIMIT, || receiver.received().len() == (n + 1) * 4)?;
    }
    let tip = world.git(&["-C", "t", "rev-parse", "HEAD"])?.trim().to_owned();
    for request in receiver.received() {
        verifies(&request, "x-signature", "sha256=")?;
        let body: serde_json::Value = serde_json::from_slice(&request.body)?;
        let is_last = request.body.windows(tip.len()).any(|part| part == tip.as_bytes());
        match request.path.as_str() {
            "/gitea" => {
                verifies(&request, "x-gitea-signature", "")?;
                verifies(&request, "x-gogs-signature", "")?;
                ensure!(body["repository"]["full_name"] == "alice/tools");
                ensure!(!is_last || body["after"] == tip.as_str());
            }
            "/github" => {
                verifies(&request, "x-hub-signature-256", "sha256=")?;
                ensure!(request.headers["x-github-event"] == "push");
            }
            "/backlog" => ensure!(body["type"] == 12),
            path => ensure!(path == "/slack" && body["text"].is_string()),
        }
    }
    Ok(())
}

#[test]
fn what_failed_is_sent_again_in_order() -> Result<()> {
    let world = World::start()?;
    let receiver =
        WebhookReceiver::start(Manner::Answers(&["500 Oops", "429 Slow\r\nRetry-After: 1", "200 OK"]))?;
    let id = world.add(&receiver.url("/"), &["--events", "push"])?;
    for n in 0..4 {
        world.commit_and_push(&format!("c{n}"), &world.http(), "HEAD:refs/heads/main")?;
    }
    wait_until("all four, after two that failed", LIMIT, || receiver.received().len() == 6)?;
    wait_until("the last is recorded", LIMIT, || {
        world.states(&id).is_ok_and(|states| states.iter().all(|state| state == "delivered"))
    })?;
    let received = receiver.received();
    let deliveries: Vec<&str> =
        received.iter().map(|request| request.headers["x-gitea-delivery"].as_str()).collect();
    ensure!(
        deliveries[0] == deliveries[1] && deliveries[1] == deliveries[2],
        "the first is tried until it is taken"
    );
    let sequences: Result<Vec<u64>> =
        received[2..].iter().map(|request| Ok(request.headers["x-hakata-sequence"].parse()?)).collect();
    ensure!(sequences?.is_sorted(), "then the others follow in their order");
    ensure!(received[0].body == received[2].body, "the same bytes each time");
    Ok(())
}

#[test]
fn a_receiver_that_is_gone_is_paused_until_somebody_resumes_it() -> Result<()> {
    let world = World::start()?;
    let receiver = WebhookReceiver::start(Manner::Answers(&["410 Gone", "200 OK"]))?;
    let id = world.add(&receiver.url("/"), &["--events", "push"])?;
    world.commit_and_push("one", &world.http(), "HEAD:refs/heads/main")?;
    wait_until("it is paused", LIMIT, || {
        world.hakata(&["hook", "list", "--json"]).is_ok_and(|list| list.contains(r#""paused":"gone""#))
    })?;
    world.commit_and_push("two", &world.http(), "HEAD:refs/heads/main")?;
    wait_until("it is held", LIMIT, || world.states(&id).is_ok_and(|states| states == ["held", "failed"]))?;
    world.hakata(&["hook", "resume", &id])?;
    wait_until("it is delivered", LIMIT, || {
        world.states(&id).is_ok_and(|states| states == ["delivered", "failed"])
    })?;
    ensure!(receiver.received().len() == 2);
    Ok(())
}

#[test]
fn what_must_not_be_reached_is_not() -> Result<()> {
    let world = World::start()?;
    let inner = WebhookReceiver::start(OK)?;
    let location: &'static str = format!("302 Found\r\nLocation: {}", inner.url("/admin")).leak();
    let heads: &'static [&'static str] = vec![location].leak();
    let outer = WebhookReceiver::start(Manner::Answers(heads))?;
    let redirected = world.add(&outer.url("/"), &["--events", "push"])?;
    let private = world.add("http://10.0.0.1:8080/", &["--events", "push"])?;
    let metadata = world.add("http://[::ffff:169.254.169.254]/latest", &["--events", "push"])?;
    world.commit_and_push("one", &world.http(), "HEAD:refs/heads/main")?;
    for id in [&redirected, &private, &metadata] {
        wait_until("it is given up", LIMIT, || world.states(id).is_ok_and(|states| states == ["failed"]))?;
    }
    ensure!(outer.received().len() == 1 && inner.received().is_empty(), "a redirect is not followed");
    Ok(())
}

#[test]
fn a_name_is_judged_by_the_address_that_it_resolves_to() -> Result<()> {
    // Something is allowed, but not this machine.
    let world = World::allowing("192.0.2.0/24")?;
    let inner = WebhookReceiver::start(OK)?;
    let port = inner.url("/").rsplit(':').next().context("a port")?.to_owned();
    let hook = world.add(&format!("http://localhost:{port}"), &["--events", "push"])?;
    world.commit_and_push("one", &world.http(), "HEAD:refs/heads/main")?;
    wait_until("it is given up", LIMIT, || world.states(&hook).is_ok_and(|states| states == ["failed"]))?;
    ensure!(inner.received().is_empty(), "a name of this machine leads nowhere");
    let delivery = world.deliveries(&hook)?.remove(0);
    let id = delivery["id"].as_str().context("an id")?;
    let shown = world.hakata(&["hook", "deliveries", &hook, id, "--json"])?;
    ensure!(shown.contains("loopback"), "the record says why: {shown}");
    Ok(())
}

#[test]
fn a_receiver_that_hangs_delays_no_other() -> Result<()> {
    let world = World::start()?;
    let (hanging, quick) = (WebhookReceiver::start(Manner::Hangs)?, WebhookReceiver::start(OK)?);
    world.add(&quick.url("/"), &["--events", "push"])?;
    let before = slowest(&world, &quick, "before", 15)?;
    for _ in 0..5 {
        world.add(&hanging.url("/"), &["--events", "push"])?;
    }
    let with = slowest(&world, &quick, "with", 15)?;
    ensure!(!hanging.received().is_empty(), "it was asked meanwhile");
    // A delay by what hangs would be seconds; the rest is the noise of a busy machine.
    ensure!(with < before * 3 + Duration::from_secs(1), "{with:?} with it, {before:?} without");
    Ok(())
}

/// Pushes to branches of their own, and measures the longest time from a push's end to its delivery.
fn slowest(world: &World, quick: &WebhookReceiver, name: &str, n_pushes: usize) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for n in 0..n_pushes {
        let n_before = quick.received().len();
        world.commit_and_push(
            &format!("{name} {n}"),
            &world.http(),
            &format!("HEAD:refs/heads/{name}-{n}"),
        )?;
        let pushed = Instant::now();
        wait_until("it is told", LIMIT, || quick.received().len() > n_before)?;
        let told = quick.received()[n_before].at;
        slowest = slowest.max(told.saturating_duration_since(pushed));
    }
    Ok(slowest)
}
