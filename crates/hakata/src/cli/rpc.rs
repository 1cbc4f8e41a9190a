//! The command line of the repository service.

use crate::cli::ServeArgs;
use clap::{Args, Subcommand, ValueEnum};

/// How to serve operations, or what to call.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RpcArgs {
    /// How to serve.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// What to do instead.
    #[command(subcommand)]
    pub(crate) command: Option<RpcCommand>,
}

/// What there is beside serving.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RpcCommand {
    /// Calls one operation and prints what it answers, one JSON object a part
    Call(CallArgs),
}

/// Which operation to call, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct CallArgs {
    /// The operation, such as ref.list_branches; without it all are listed
    pub(crate) operation: Option<String>,
    /// The request, as a JSON object; - reads requests from standard input, one a line
    #[arg(default_value = "{}")]
    pub(crate) request: String,
    /// Who answers: a server over gRPC or MessagePack-RPC, or this process [default: as rpc.client says]
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<RouteName>,
    /// Where the server is, if not where this configuration says; over gRPC unless --route says otherwise
    #[arg(long, value_name = "ADDR")]
    pub(crate) to: Option<String>,
    /// For whom it is done: the number of a user, for logs and events
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<i64>,
}

/// A way to the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RouteName {
    /// gRPC
    Grpc,
    /// MessagePack-RPC
    Msgpack,
    /// This process, while no server runs on the data directory
    Local,
}
