//! What a running server tells about itself.

use crate::compose::Engines;
use crate::data_dir::{Addresses, DataDir};
use crate::output::Answer;
use hakata_git::Git;
use hakata_runtime::metrics::Label;
use hakata_runtime::tasks::Tasks;
use hakata_runtime::units::Span;
use hakata_service::shutdown::Shutdown;
use hakata_worker::rabbit::Broker;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the answer is made from.
pub(super) struct Status {
    since: Instant,
    data: PathBuf,
    addresses: Addresses,
    database: String,
    broker: Option<Broker>,
    git: Git,
    faces: Tasks,
    shutdown: Shutdown,
}

impl Status {
    /// Begins to count the time.
    pub(super) fn new(
        dir: &DataDir,
        addresses: &Addresses,
        engines: &Engines,
        broker: Option<Broker>,
        faces: &Tasks,
        shutdown: &Shutdown,
    ) -> Self {
        Self {
            since: Instant::now(),
            data: dir.path().to_owned(),
            addresses: addresses.clone(),
            database: engines.db.engine().to_string(),
            broker,
            git: engines.git.clone(),
            faces: faces.clone(),
            shutdown: shutdown.clone(),
        }
    }

    /// Tells how the server does now.
    pub(super) fn answer(&self) -> Answer {
        let up = Duration::from_secs(self.since.elapsed().as_secs());
        let state = if self.shutdown.is_draining() { "draining" } else { "serving" };
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION"));
        let listening = |address: &Option<String>| address.clone().unwrap_or_else(|| "off".to_owned());
        let Addresses { http, ssh, admin, .. } = &self.addresses;
        let links = self.broker.as_ref().map(Broker::links);
        let broker: Option<BTreeMap<&str, String>> =
            links.map(|links| links.iter().map(|(link, state)| (link.value(), state.to_string())).collect());
        let mut lines = vec![
            format!("hakata {version} is {state} (process {pid}, up {})", Span::new(up)),
            format!("data      {}", self.data.display()),
            format!(
                "listens   http {}  ssh {}  metrics {}",
                listening(http),
                listening(ssh),
                listening(admin)
            ),
            format!("database  {}", self.database),
            format!("git       {} ({} running)", self.git.version(), self.git.children()),
            format!("tasks     {}", self.faces.live()),
        ];
        if let Some(broker) = &broker {
            let links: Vec<String> = broker.iter().map(|(link, state)| format!("{link} {state}")).collect();
            lines.push(format!("broker    {}", links.join("  ")));
        }
        let object = json!({
            "state": state, "version": version, "pid": pid, "up_s": up.as_secs(), "data": self.data,
            "listening": self.addresses, "database": self.database, "broker": broker, "git_version": self.git.version().to_string(),
            "git_children": self.git.children(), "tasks": self.faces.live(),
        });
        Answer::Text(lines.join("\n"), object)
    }
}
