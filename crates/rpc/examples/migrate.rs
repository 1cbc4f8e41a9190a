//! Moves a program from MessagePack-RPC to gRPC, one operation at a time and back at any moment.
//!
//! ```text
//! cargo run -p hakata-rpc --example migrate -- GRPC MSGPACK TOKEN OWNER/NAME
//! ```
//!
//! The program below shows a repository: its branches, its newest commits and what the last one changed. It never
//! learns who answers it. All that changes between the steps is [`Routes`], which a real program reads from a
//! configuration file:
//!
//! ```toml
//! [rpc.client]
//! default = "msgpack"
//! shadow = { "ref.list_branches" = "grpc" }
//! ```

use std::collections::BTreeMap;

use futures_util::StreamExt;
use hakata_rpc::v1::{
    CommitService, Comparison, DiffService, DiffStatsRequest, ListBranchesRequest, ListCommitsRequest,
    RefService, RepositoryKey, Revision,
};
use hakata_rpc::{Call, Canary, Client, Endpoint, Ends, Route, Routes, Settings, Status, grpc, msgpack};
use hakata_runtime::tasks::Tasks;

/// What the program shows of a repository.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page {
    /// The names of the branches.
    pub(crate) branches: Vec<String>,
    /// The subjects of the newest commits.
    pub(crate) subjects: Vec<String>,
    /// How many files the newest commit changed.
    pub(crate) n_changed: usize,
}

/// The program: three operations, asked of whoever the client chooses.
pub(crate) async fn show(client: &Client, path: &str) -> Result<Page, Status> {
    let repository = Some(RepositoryKey { path: path.to_owned(), id: 0 });
    let revision =
        |expression: &str| Some(Revision { expression: expression.to_owned(), ..Revision::default() });

    let request = ListBranchesRequest { repository: repository.clone(), ..Default::default() };
    let mut parts = client.list_branches(Call::default(), request);
    let mut branches = Vec::new();
    while let Some(part) = parts.next().await {
        let names = part?.branches.into_iter().filter_map(|branch| branch.r#ref);
        branches.extend(names.map(|found| String::from_utf8_lossy(&found.name).into_owned()));
    }

    let request = ListCommitsRequest { repository: repository.clone(), limit: 10, ..Default::default() };
    let mut parts = CommitService::list(client, Call::default(), request);
    let mut subjects = Vec::new();
    while let Some(part) = parts.next().await {
        let first_line = |message: &[u8]| String::from_utf8_lossy(message).lines().next().map(str::to_owned);
        subjects.extend(part?.commits.iter().filter_map(|commit| first_line(&commit.message)));
    }

    let comparison = Comparison { base: revision("HEAD~1"), head: revision("HEAD"), ..Default::default() };
    let request = DiffStatsRequest { repository, comparison: Some(comparison) };
    let n_changed = client.stats(Call::default(), request).await?.files.len();
    Ok(Page { branches, subjects, n_changed })
}

/// A step of the way: what an operator writes into the file, and why.
#[derive(Debug)]
pub(crate) struct Step {
    /// What it is for.
    pub(crate) what: &'static str,
    /// What stands in the file.
    pub(crate) routes: Routes,
}

/// The way, step by step. Each can be taken back by writing the one before.
pub(crate) fn steps() -> Vec<Step> {
    let table = |name: &str, to: Route| BTreeMap::from([(name.to_owned(), to)]);
    let before = Routes { default: Route::Msgpack, ..Routes::default() };
    let list_branches = "ref.list_branches";
    vec![
        Step { what: "before: everything over MessagePack-RPC", routes: before.clone() },
        Step {
            what: "one operation is asked twice, and the answers are compared: nothing depends on gRPC yet",
            routes: Routes { shadow: table(list_branches, Route::Grpc), ..before.clone() },
        },
        Step {
            what: "half of its calls are answered over gRPC",
            routes: Routes {
                canary: BTreeMap::from([(list_branches.to_owned(), Canary { to: Route::Grpc, percent: 50 })]),
                ..before.clone()
            },
        },
        Step {
            what: "all of its calls are; should the connection break, the old way stands in",
            routes: Routes {
                routes: table(list_branches, Route::Grpc),
                fallback: table(list_branches, Route::Msgpack),
                ..before
            },
        },
        Step {
            what: "the others followed; one is a problem over gRPC and stays for now",
            routes: Routes {
                default: Route::Grpc,
                routes: table("diff.stats", Route::Msgpack),
                ..Routes::default()
            },
        },
        Step {
            what: "after: everything over gRPC",
            routes: Routes { default: Route::Grpc, ..Routes::default() },
        },
    ]
}

/// Makes a client that can reach both ports, and begins with the first step.
pub(crate) fn client(
    to_grpc: &Endpoint,
    to_msgpack: Endpoint,
    tasks: &Tasks,
) -> Result<Client, Box<dyn std::error::Error>> {
    let ends = Ends {
        grpc: Some(grpc::Grpc::lazy(to_grpc)?),
        msgpack: Some(msgpack::Msgpack::lazy(to_msgpack, tasks.clone())),
        local: None,
    };
    let routes = Routes { default: Route::Msgpack, ..Routes::default() };
    Ok(Client::new(ends, &routes, Settings::default(), tasks.clone())?)
}

/// Goes the whole way while the program works, and tells after each step what it showed.
pub(crate) async fn migrate(
    client: &Client,
    path: &str,
    mut tell: impl FnMut(&Step, &Page),
) -> Result<(), Box<dyn std::error::Error>> {
    for step in steps() {
        // As when the file changes: calls on their way are not disturbed.
        client.set_routes(&step.routes)?;
        let mut page = show(client, path).await?;
        for _ in 1..20 {
            page = show(client, path).await?;
        }
        tell(&step, &page);
    }
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example is there to be watched")]
#[allow(dead_code, reason = "the test that runs this example calls `migrate` itself")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [grpc, msgpack, token, path] = &arguments[..] else {
        return Err("migrate GRPC MSGPACK TOKEN OWNER/NAME".into());
    };
    let tasks = Tasks::new();
    let endpoint = |address: &String| Endpoint::new(address.clone()).with_token(token.clone());
    let client = client(&endpoint(grpc), endpoint(msgpack), &tasks)?;
    migrate(&client, path, |step, page| println!("{}\n    {page:?}", step.what)).await?;
    tasks.cut().await;
    Ok(())
}
