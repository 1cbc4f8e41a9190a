//! A process that runs out of descriptors lives, does not spin, and serves again.

use super::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;

/// The test binary runs itself, because the limit holds for a whole process.
#[test]
fn running_out_of_descriptors_is_survived() {
    const CHILD: &str = "listener::tests::descriptors::running_out_of_descriptors_is_survived";
    if std::env::var_os("DESCRIPTOR_CHILD").is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(with_forty_descriptors());
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([CHILD, "--exact", "--nocapture"])
        .env("DESCRIPTOR_CHILD", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Clients and server share the process and so the limit: 60 connects cannot all be had.
async fn with_forty_descriptors() {
    let tasks = Tasks::new();
    let address = start(&tasks, &Settings::default(), &Connections::default());
    let mut early = TcpStream::connect(address).await.unwrap();
    early.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert_eq!(early.read_u8().await.unwrap(), b'H', "accepted while there was room");
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(40), maximum: hard }).unwrap();
    // These connects block the only thread, so that none is accepted before all descriptors are taken.
    let mut clients = Vec::new();
    while let Ok(client) = std::net::TcpStream::connect(address) {
        clients.push(client);
    }
    assert!(clients.len() > 10, "only {} fitted", clients.len());
    let (begun, cpu_before) = (Instant::now(), cpu_ms());
    while ERRORS.get(Name("test")).get() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(30), "accept never ran out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (took, spent) = (begun.elapsed().as_millis(), cpu_ms() - cpu_before);
    assert!(took >= 300, "five errors took {took} ms: the loop does not spin");
    assert!(spent < 300, "{spent} ms of processor time");
    early.write_all(GET).await.unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ok"), "an open connection is served");
    drop((clients, early));
    let again = tokio::time::timeout(Duration::from_secs(10), async {
        while !ask(address).await.is_ok_and(|answer| answer.ends_with("ok")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(again.await.is_ok(), "descriptors that come back are used");
    tasks.cut().await;
}

/// Processor time of this process so far.
fn cpu_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0) / 1_000_000
}
