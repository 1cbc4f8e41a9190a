//! What a starting server says, and the next two steps for a new one.

use crate::compose::Engines;
use crate::config::Public;
use crate::data_dir::Addresses;
use crate::serve::{Start, first_user};
use std::fmt;
use std::path::{Path, PathBuf};

/// The facts behind the words.
#[derive(Debug)]
pub(super) struct Transcript {
    data: PathBuf,
    is_new: bool,
    file: Option<PathBuf>,
    addresses: Addresses,
    public: Public,
    is_tls: bool,
    database: String,
    git: String,
    has_users: bool,
    login: Option<String>,
    key: Option<PathBuf>,
    flags: String,
}

impl Transcript {
    /// Gathers the facts.
    pub(super) fn new(start: &Start, engines: &Engines, addresses: &Addresses, has_users: bool) -> Self {
        let quoted = |flag: &str, path: &Option<PathBuf>| match path {
            Some(path) => format!(" {flag} {}", quote(path)),
            None => String::new(),
        };
        Self {
            data: start.settings.server.data.clone(),
            is_new: start.is_new,
            file: start.layers.file().map(PathBuf::from),
            addresses: addresses.clone(),
            public: start.settings.public.clone(),
            is_tls: start.settings.tls.is_some(),
            database: engines.db.engine().to_string(),
            git: engines.git.version().to_string(),
            has_users,
            login: first_user::login().map(|name| name.to_string()),
            key: first_user::key_files().into_iter().next(),
            flags: quoted("--data", &start.place.data) + &quoted("--config", &start.place.config),
        }
    }

    fn http(&self) -> Option<String> {
        let scheme = if self.is_tls { "https" } else { "http" };
        let bound = self.addresses.http.as_ref().map(|address| format!("{scheme}://{}", reachable(address)));
        self.public.http.clone().filter(|_| bound.is_some()).or(bound)
    }

    fn ssh(&self) -> Option<String> {
        let bound = self.addresses.ssh.as_ref().map(|address| format!("ssh://{}", reachable(address)));
        self.public.ssh.clone().filter(|_| bound.is_some()).or(bound)
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flags, .. } = self;
        let new = if self.is_new { " (new)" } else { "" };
        let config = match &self.file {
            Some(file) => format!("config {}", file.display()),
            None => format!("config none, defaults in use (hakata config show{flags})"),
        };
        writeln!(f, "hakata {}  data {}{new}   {config}", env!("CARGO_PKG_VERSION"), self.data.display())?;
        let (http, ssh) = (self.http(), self.ssh());
        let off = || "off".to_owned();
        let (web, shell) = (http.clone().unwrap_or_else(off), ssh.clone().unwrap_or_else(off));
        let metrics = self.addresses.admin.clone().unwrap_or_else(off);
        writeln!(f, "  http  {web}   ssh  {shell}   metrics  {metrics}")?;
        let Addresses { id, id_http, id_grpc, .. } = &self.addresses;
        if id.is_some() || id_http.is_some() || id_grpc.is_some() {
            let [id, http, grpc] = [id, id_http, id_grpc].map(|address| address.clone().unwrap_or_else(off));
            writeln!(f, "  ids   {id}   http  {http}   grpc  {grpc}")?;
        }
        write!(f, "  db    {}   git  {}", self.database, self.git)?;
        if self.database == "SQLite" {
            f.write_str("   (PostgreSQL, MySQL: hakata config help database)")?;
        }
        if self.has_users {
            return Ok(());
        }
        let user = self.login.as_deref().unwrap_or("aiko");
        let key = self.key.as_deref().map_or_else(|| "~/.ssh/id_ed25519.pub".to_owned(), quote);
        let url = ssh.or(http).unwrap_or_default();
        let url = url.replacen("://", &format!("://{user}@"), 1);
        write!(f, "\n\n  1  Create the first user   hakata user add {user} --admin --key {key}{flags}")?;
        write!(f, "\n  2  Push                    git push {url}/{user}/hello HEAD:main")
    }
}

/// An address that a client on this machine can connect to: listening everywhere is no address.
fn reachable(address: &str) -> String {
    let everywhere = ["0.0.0.0:", "[::]:"];
    match everywhere.iter().find_map(|prefix| address.strip_prefix(prefix)) {
        Some(port) => format!("localhost:{port}"),
        None => address.to_owned(),
    }
}

/// Quotes a path for a shell when it needs that.
fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@~".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        Transcript {
            data: "./hakata-data".into(),
            is_new: true,
            file: None,
            addresses: Addresses {
                http: Some("127.0.0.1:3000".to_owned()),
                ssh: Some("0.0.0.0:2222".to_owned()),
                admin: Some("127.0.0.1:9090".to_owned()),
                ..Addresses::default()
            },
            public: Public { http: Some("https://git.example.org".to_owned()), ssh: None },
            is_tls: false,
            database: "SQLite".to_owned(),
            git: "2.47.3".to_owned(),
            has_users: false,
            login: None,
            key: None,
            flags: String::new(),
        }
    }

    #[test]
    fn a_new_server_names_the_next_two_steps() {
        let text = transcript().to_string();
        let wanted = "\
hakata 0.1.0  data ./hakata-data (new)   config none, defaults in use (hakata config show)
  http  https://git.example.org   ssh  ssh://localhost:2222   metrics  127.0.0.1:9090
  db    SQLite   git  2.47.3   (PostgreSQL, MySQL: hakata config help database)

  1  Create the first user   hakata user add aiko --admin --key ~/.ssh/id_ed25519.pub
  2  Push                    git push ssh://aiko@localhost:2222/aiko/hello HEAD:main";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_server_with_users_is_brief_and_flags_are_repeated_in_the_steps() {
        let known = Transcript { has_users: true, ..transcript() };
        assert_eq!(known.to_string().lines().count(), 3);
        let elsewhere = Transcript { flags: format!(" --data {}", quote(Path::new("/a b"))), ..transcript() };
        assert!(elsewhere.to_string().contains("id_ed25519.pub --data '/a b'\n"), "{elsewhere}");
    }
}
