//! A RabbitMQ of a test's own, to be killed again and again.

mod program;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Process, free_port, is_taken, wait_until};
use program::Ports;

/// How long a start may take, on a machine that does other things too.
const START_LIMIT: Duration = Duration::from_secs(180);

/// A broker with a node name, ports and a directory of its own, killed on drop.
pub struct RabbitServer {
    process: Process,
    place: Place,
}

/// Where a broker is.
struct Place {
    directory: PathBuf,
    ports: Ports,
    tls: Option<Tls>,
}

/// How a broker speaks TLS.
struct Tls {
    port: u16,
    certificate: PathBuf,
    key: PathBuf,
}

impl RabbitServer {
    /// Starts RabbitMQ on free ports with its data in `directory`, which is made.
    ///
    /// # Errors
    /// If it is not installed or does not answer in time.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_at(directory, None)
    }

    /// Starts RabbitMQ as [`RabbitServer::start`], on one more port with TLS and this certificate and key in PEM.
    ///
    /// # Errors
    /// As [`RabbitServer::start`].
    pub fn start_with_tls(directory: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Self::start_at(directory, Some(Tls { port: free_port()?, certificate, key }))
    }

    fn start_at(directory: &Path, tls: Option<Tls>) -> Result<Self> {
        std::fs::create_dir_all(directory).context("making a directory for RabbitMQ")?;
        let ports = Ports { clients: free_port()?, nodes: free_port()? };
        let place = Place { directory: directory.to_owned(), ports, tls };
        let mut server = Self { process: place.spawn()?, place };
        server.wait()?;
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.place.ports.clients)
    }

    /// Its URL with TLS, if it was started so, for a certificate of `localhost`.
    pub fn tls_url(&self) -> Option<String> {
        let tls = self.place.tls.as_ref()?;
        Some(format!("amqps://guest:guest@localhost:{}/%2f", tls.port))
    }

    /// Kills the process on the spot.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts a killed server again with its data.
    ///
    /// # Errors
    /// As [`RabbitServer::start`].
    pub fn start_again(&mut self) -> Result<()> {
        self.process = self.place.spawn()?;
        self.wait()
    }

    /// Waits for an answer. A server that finds its name or a port still taken is started once more.
    fn wait(&mut self) -> Result<()> {
        let mut spawned = Ok(());
        let answers = wait_until("an answer of RabbitMQ", START_LIMIT, || {
            if self.process.has_ended() {
                spawned = self.place.spawn().map(|process| self.process = process);
            }
            spawned.is_err() || self.place.answers()
        });
        spawned.and(answers)
    }
}

impl Place {
    fn spawn(&self) -> Result<Process> {
        let configuration = self.tls.as_ref().map(Tls::configuration).unwrap_or_default();
        let node = format!("hakata-prove-{}", self.ports.clients);
        let mut command = program::command(&self.directory, &node, self.ports, &configuration)?;
        // The script becomes the server then, instead of its parent: who kills the process kills the server.
        command.env("RUNNING_UNDER_SYSTEMD", "1");
        Process::spawn(&mut command, &self.directory.join("output")).context("starting RabbitMQ")
    }

    fn answers(&self) -> bool {
        program::answers(self.ports.clients) && self.tls.as_ref().is_none_or(|tls| is_taken(tls.port))
    }
}

impl Tls {
    fn configuration(&self) -> String {
        let Self { port, certificate, key } = self;
        format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_none\n",
            certificate.display(),
            key.display()
        )
    }
}
