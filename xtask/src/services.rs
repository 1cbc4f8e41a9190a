//! The servers that tests talk to: named by the environment, found on their standard port, or
//! installed and started privately.

mod amqp;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tools;

const POSTGRES: &str = "HAKATA_TEST_POSTGRES_URL";
const MYSQL: &str = "HAKATA_TEST_MYSQL_URL";

/// How long a private server may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Servers that answer, for as long as this value lives.
pub(crate) struct Services {
    /// Environment variables that tell the tests where they are.
    pub(crate) urls: Vec<(&'static str, String)>,
    /// Private servers, stopped on drop.
    _private: Vec<Private>,
}

/// A server of our own in a temporary directory.
struct Private {
    server: Child,
    directory: PathBuf,
}

impl Drop for Private {
    fn drop(&mut self) {
        // The server is `runuser` or the database itself: SIGTERM reaches both, SIGKILL would orphan the child.
        let _ = Command::new("kill").arg(self.server.id().to_string()).status();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Finds or starts what the present tests need.
///
/// # Errors
/// If a server can neither be found nor started.
pub(crate) fn ensure() -> Result<Services> {
    let mut private = Vec::new();
    // Tests of leases start a Redis each, to freeze, kill and empty.
    tools::ensure_debian("redis-server", "redis-server")?;
    let urls = vec![
        (POSTGRES, postgres(&mut private)?),
        (MYSQL, mysql(&mut private)?),
        (amqp::AMQP, amqp::url(&mut private)?),
    ];
    Ok(Services { urls, _private: private })
}

/// Prints the URLs as shell assignments, for use by hand. Only servers that outlive this process are printed.
///
/// # Errors
/// If a server is not there.
pub(crate) fn print() -> Result<()> {
    for (name, url) in ensure()?.urls {
        println!("export {name}='{url}'");
    }
    Ok(())
}

fn postgres(private: &mut Vec<Private>) -> Result<String> {
    let standard = "postgres://postgres@127.0.0.1:5432/postgres";
    if let Some(url) =
        std::env::var(POSTGRES).ok().or_else(|| postgres_answers(standard).then(|| standard.into()))
    {
        return Ok(url);
    }
    let (program, port) = (postgres_program("postgres")?, free_port()?);
    let directory = temporary("postgres")?;
    tools::run(Command::new("chown").arg("postgres").arg(&directory))?;
    let cluster = directory.join("cluster");
    let initdb = program.with_file_name("initdb");
    tools::run(
        as_postgres(&initdb)
            .args(["--auth=trust", "--username=postgres", "-D"])
            .arg(&cluster)
            .stdout(Stdio::null()),
    )?;
    let mut server = as_postgres(&program);
    server.arg("-D").arg(&cluster).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(&directory);
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    private.push(start(server, directory, || postgres_answers(&url))?);
    Ok(url)
}

/// Finds one of PostgreSQL's programs, which Debian keeps out of the path.
fn postgres_program(program: &str) -> Result<PathBuf> {
    let find = || -> Option<PathBuf> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        versions.flatten().map(|version| version.path().join("bin").join(program)).find(|path| path.exists())
    };
    if find().is_none() {
        tools::install_debian("postgresql")?;
    }
    find().with_context(|| format!("PostgreSQL has no program {program}"))
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
    command
}

fn postgres_answers(url: &str) -> bool {
    answers(Command::new("psql").args([url, "-Atc", "SELECT 1"]))
}

fn mysql(private: &mut Vec<Private>) -> Result<String> {
    if let Ok(url) = std::env::var(MYSQL) {
        return Ok(url);
    }
    if mysql_answers(3306) {
        return Ok("mysql://root@127.0.0.1:3306/mysql".to_owned());
    }
    tools::ensure_debian("mariadbd", "mariadb-server")?;
    let (directory, port) = (temporary("mariadb")?, free_port()?);
    let mut install = Command::new("mariadb-install-db");
    let tables = directory.join("tables");
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--user=mysql"]);
    tools::run(Command::new("chown").arg("mysql").arg(&directory))?;
    tools::run(install.arg(format!("--datadir={}", tables.display())).stdout(Stdio::null()))?;
    let mut server = Command::new("mariadbd");
    server.args(["--no-defaults", "--user=mysql", "--bind-address=127.0.0.1", &format!("--port={port}")]);
    server.arg(format!("--datadir={}", tables.display()));
    server.arg(format!("--socket={}", directory.join("socket").display()));
    private.push(start(server, directory, || mysql_answers(port))?);
    Ok(format!("mysql://root@127.0.0.1:{port}/mysql"))
}

fn mysql_answers(port: u16) -> bool {
    let port = format!("--port={port}");
    answers(Command::new("mariadb").args([
        "--protocol=tcp",
        "-h127.0.0.1",
        &port,
        "-uroot",
        "-e",
        "SELECT 1",
    ]))
}

/// Whether a client's query succeeds.
fn answers(client: &mut Command) -> bool {
    client
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn start(mut server: Command, directory: PathBuf, ready: impl Fn() -> bool) -> Result<Private> {
    let log = std::fs::File::create(directory.join("log")).context("creating a server's log")?;
    let server = server
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting a server")?;
    let private = Private { server, directory };
    let deadline = Instant::now() + START_LIMIT;
    while !ready() {
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(private.directory.join("log")).unwrap_or_default();
            bail!("a private server does not answer:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(private)
}

fn temporary(name: &str) -> Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("hakata-test-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).context("creating a directory for a server")?;
    Ok(directory)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("finding a free port")?.local_addr()?.port())
}
