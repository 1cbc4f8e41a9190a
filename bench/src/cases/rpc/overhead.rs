//! What a call costs that does nothing: authentication, routing and metrics, against the framework alone.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hakata_rpc::v1::{InfoRequest, InfoResponse, server_service};
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::echo;
use super::node::{Node, addresses};
use super::ours::Way;
use crate::Effort;
use crate::meter::Meter;

/// Most that a call of ours takes, as a multiple of the bare one.
const MAX_OVERHEAD: f64 = 1.3;

/// What MessagePack-RPC may take, as a multiple of gRPC; what two runs of one differ by is let pass.
const MAX_MSGPACK: f64 = 1.05;

/// How many call at once, and how often each.
const LOADS: [(usize, usize); 2] = [(1, 2_000), (32, 400)];

/// Connections of every client, as ours has them by default.
const N_CONNECTIONS: usize = 2;

/// The process without anything of ours; ends when dropped.
pub(super) struct Floor {
    meter: Meter,
    child: Child,
    pub(super) addresses: serde_json::Value,
}

impl Floor {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let ready = folder.join("floor.json");
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.arg(echo::ARGUMENT).arg(&ready);
        let (meter, child) = Meter::start("rpc-floor", &mut command, &folder.join("floor.log"))?;
        let mut floor = Self { meter, child, addresses: serde_json::Value::Null };
        floor.addresses = addresses(&ready)?;
        std::fs::remove_file(&ready)?;
        Ok(floor)
    }

    pub(super) fn address(&self, name: &str) -> Result<&str> {
        self.addresses[name].as_str().context("it has an address")
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Who is called.
#[derive(Clone)]
enum Callee {
    Bare(Arc<[Channel]>),
    Ours(Way),
}

impl Callee {
    async fn call(&self, nth: usize) -> Result<InfoResponse> {
        match self {
            Self::Bare(channels) => {
                let mut client = tonic::client::Grpc::new(channels[nth % channels.len()].clone());
                client.ready().await?;
                let path = http::uri::PathAndQuery::from_static("/hakata.git.v1.ServerService/Info");
                let codec = ProstCodec::<InfoRequest, InfoResponse>::default();
                Ok(client.unary(tonic::Request::new(InfoRequest {}), path, codec).await?.into_inner())
            }
            Self::Ours(to) => to.one::<server_service::Info>(InfoRequest {}).await,
        }
    }

    /// Calls from so many tasks at once.
    async fn load(&self, n_at_once: usize, n_each: usize) -> Result<()> {
        let tasks = (0..n_at_once).map(|nth| {
            let callee = self.clone();
            tokio::spawn(async move {
                for n in 0..n_each {
                    let answer = callee.call(nth + n).await?;
                    ensure!(!answer.version.is_empty(), "the answer has a version");
                }
                Ok(())
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        Ok(())
    }
}

/// Time and the server's processor time of one call, in microseconds; the best of all rounds.
#[derive(Clone, Copy)]
struct Cost {
    wall_us: f64,
    cpu_us: f64,
}

/// Measures both; `false` if a goal is missed.
pub(super) fn measure(runtime: &Runtime, folder: &Path, node: &Node, effort: Effort) -> Result<bool> {
    let floor = Floor::start(folder)?;
    let at = format!("http://{}", floor.address("bare")?);
    let channels = (0..N_CONNECTIONS)
        .map(|_| runtime.block_on(Channel::from_shared(at.clone())?.connect()).context("reaching the floor"));
    let bare = Callee::Bare(channels.collect::<Result<Vec<_>>>()?.into());
    let grpc = Callee::Ours(Way::Grpc(node.grpc()?));
    let msgpack = Callee::Ours(Way::Msgpack(node.msgpack()));
    let callees = [
        ("bare tonic", &bare, &floor.meter),
        ("gRPC", &grpc, &node.meter),
        ("MessagePack-RPC", &msgpack, &node.meter),
    ];
    println!(
        "\n| empty calls at once | server | µs a call | calls/s | server CPU µs |\n|---|---|---|---|---|"
    );
    let mut all_met = true;
    for (n_at_once, n_each) in LOADS {
        let n = (n_at_once * n_each) as f64;
        let mut best = [Cost { wall_us: f64::INFINITY, cpu_us: f64::INFINITY }; 3];
        for round in 0..=effort.rounds() * 2 {
            for ((name, callee, meter), best) in callees.iter().zip(&mut best) {
                let (cpu, started) = (meter.used()?, Instant::now());
                runtime
                    .block_on(callee.load(n_at_once, n_each))
                    .with_context(|| format!("calling {name}"))?;
                let (wall, cpu) = (started.elapsed(), meter.used()?.saturating_sub(cpu));
                let us = |time: Duration| time.as_secs_f64() * 1e6 / n;
                if round > 0 {
                    best.wall_us = best.wall_us.min(us(wall));
                    best.cpu_us = best.cpu_us.min(us(cpu));
                }
            }
        }
        for ((name, ..), cost) in callees.iter().zip(&best) {
            let rate = n_at_once as f64 * 1e6 / (cost.wall_us * n_at_once as f64);
            println!("| {n_at_once} | {name} | {:.2} | {rate:.0} | {:.2} |", cost.wall_us, cost.cpu_us);
        }
        all_met &= judge(n_at_once, best);
    }
    Ok(all_met)
}

/// Prints the ratios; `false` if a goal is missed.
fn judge(n_at_once: usize, [bare, grpc, msgpack]: [Cost; 3]) -> bool {
    let goal = |what: &str, ratio: f64, at_most: f64| {
        let met = ratio <= at_most;
        println!(
            "{what}, {n_at_once} at once: {ratio:.2} ×, at most {at_most}: {}",
            if met { "met" } else { "MISSED" }
        );
        met
    };
    let of_wall = goal("gRPC takes of bare tonic's time", grpc.wall_us / bare.wall_us, MAX_OVERHEAD);
    let of_cpu = goal("gRPC takes of bare tonic's processor time", grpc.cpu_us / bare.cpu_us, MAX_OVERHEAD);
    let msgpack = goal("MessagePack-RPC takes of gRPC's time", msgpack.wall_us / grpc.wall_us, MAX_MSGPACK);
    of_wall & of_cpu & msgpack
}
