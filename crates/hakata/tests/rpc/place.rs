//! A server with one repository, and its ports.

use hakata_testkit::{Person, Sandbox, Server, ServerOptions, run};
use std::io::{Read, Write};
use std::net::TcpStream;

/// What callers show.
pub(crate) const TOKEN: &str = "a-token-of-the-tests";

/// A running server and where its repository service is.
pub(crate) struct Place {
    pub(crate) sandbox: Sandbox,
    pub(crate) server: Server,
    pub(crate) grpc: String,
    pub(crate) msgpack: String,
}

impl Place {
    /// Starts a server.
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata")).unwrap();
        Self::start(sandbox, "127.0.0.1:0", "127.0.0.1:0")
    }

    pub(crate) fn start(sandbox: Sandbox, grpc: &str, msgpack: &str) -> Self {
        let options = options(grpc, msgpack);
        let server = Server::start(&sandbox, &options).unwrap();
        let (grpc, msgpack) = (server.rpc_grpc.clone(), server.rpc_msgpack.clone());
        Self { sandbox, server, grpc, msgpack }
    }

    /// Makes the repository `alice/tools` with two commits and a file of some size.
    pub(crate) fn fill(&self) -> String {
        let alice = Person::with_account(&self.sandbox, "alice", &[], &options("off", "off")).unwrap();
        let git = |arguments: &[&str]| {
            let output = run(&mut alice.git(2, arguments)).unwrap().expect_success("git").unwrap();
            output.stdout.trim().to_owned()
        };
        git(&["init", "--quiet", "t"]);
        for (name, bytes) in [("a", vec![b'a'; 300_000]), ("b", b"b\n".to_vec())] {
            std::fs::write(self.sandbox.work().join("t").join(name), bytes).unwrap();
            git(&["-C", "t", "add", "--all"]);
            git(&["-C", "t", "commit", "--quiet", "--message", name]);
        }
        let url = format!("http://{}/alice/tools", self.server.http);
        git(&["-C", "t", "push", "--quiet", &url, "HEAD:main"]);
        git(&["-C", "t", "rev-parse", "HEAD"])
    }

    /// How many operations were served over a protocol.
    pub(crate) fn served(&self, protocol: &str) -> u64 {
        let lines = metrics(&self.server.admin);
        let label = format!("protocol=\"{protocol}\"");
        let counts = lines.lines().filter(|line| line.starts_with("hakata_rpc_calls_total{"));
        let counts = counts.filter(|line| line.contains(&label)).filter_map(|line| line.rsplit(' ').next());
        counts.filter_map(|count| count.parse::<u64>().ok()).sum()
    }
}

fn options(grpc: &str, msgpack: &str) -> ServerOptions {
    let settings = [("rpc.grpc", grpc), ("rpc.msgpack", msgpack), ("rpc.tokens", TOKEN)];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    ServerOptions { settings, ..ServerOptions::default() }
}

fn metrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
